//! NOTIFY over a real store. RFC 5465.

use std::time::Instant;

use mox_imapd::NOTIFY_PAUSE;

use crate::support::{Client, Server, server};

const MAIL: &str = "From: a@example.org\r\nSubject: news\r\n\r\nhello\r\n";

impl Client {
    /// Reads lines that come by themselves.
    async fn hears(&mut self, want: &[&str]) {
        for want in want {
            assert_eq!(self.line().await, *want);
        }
    }

    /// Nothing was told.
    async fn hears_nothing(&mut self) {
        assert_eq!(self.ok("CAPABILITY").await.len(), 1);
    }
}

/// A session with a NOTIFY in force, and one to change things.
async fn listening(server: &Server, notify: &str) -> (Client, Client) {
    let mut client = server.login().await;
    client.ok(notify).await;
    (client, server.login().await)
}

/// RFC 5465 §5.1 to §5.3: without IDLE or a command.
#[tokio::test]
async fn the_selected_mailbox_is_told_of_at_once() {
    let server = server();
    server.deliver(MAIL.as_bytes());
    let (mut client, mut other) = (server.inbox().await, server.inbox().await);
    client.ok("NOTIFY SET (SELECTED (MessageNew MessageExpunge FlagChange))").await;
    server.deliver(MAIL.as_bytes());
    client.hears(&["* 2 EXISTS", "* 2 FETCH (UID 2 FLAGS ())"]).await;
    other.ok("STORE 1 +FLAGS.SILENT (\\Deleted label)").await;
    let line = client.line().await;
    assert!(line.starts_with("* FLAGS (") && line.ends_with(" label)"), "{line}");
    client.hears(&["* 1 FETCH (UID 1 FLAGS (\\Deleted label))"]).await;
    other.ok("EXPUNGE").await;
    client.hears(&["* 1 EXPUNGE"]).await;
    // Numbers of a command mean what the client was told.
    assert_eq!(client.ok("FETCH 1 UID").await, ["* 1 FETCH (UID 2)"]);
    client.ok("NOTIFY NONE").await;
    server.deliver(MAIL.as_bytes());
    other.ok("STORE 1 +FLAGS.SILENT (\\Deleted)").await;
    other.ok("EXPUNGE").await;
    assert_eq!(client.ok("NOOP").await, Vec::<String>::new());
    // Listening again, it is brought up to date.
    let lines = client.ok("NOTIFY SET (SELECTED (MessageNew MessageExpunge))").await;
    assert_eq!(lines, ["* 1 EXPUNGE", "* 1 EXISTS", "* 1 FETCH (UID 3 FLAGS ())"]);
    server.check();
}

/// RFC 5465 §5.2.
#[tokio::test]
async fn new_messages_come_with_what_was_asked_for() {
    let server = server();
    let mut client = server.inbox().await;
    let items = "UID FLAGS BODY[HEADER.FIELDS (SUBJECT)] BODY.PEEK[TEXT]";
    client.ok(&format!("NOTIFY SET (SELECTED (MessageNew ({items}) MessageExpunge))")).await;
    for number in 1..=3 {
        server.deliver(MAIL.as_bytes());
        client
            .hears(&[
                &format!("* {number} EXISTS"),
                &format!(
                    "* {number} FETCH (UID {number} BODY[HEADER.FIELDS (Subject)] {{17}}\r\n\
                 Subject: news\r\n\r\n BODY[TEXT] {{7}}\r\nhello\r\n FLAGS ())"
                ),
            ])
            .await;
    }
    // A message of which that cannot be had is told all the same, and those after it too.
    let notify = "NOTIFY SET (SELECTED (MessageNew (BINARY.PEEK[2]) MessageExpunge))";
    client.ok(notify).await;
    let mut other = server.login().await;
    let size = MAIL.len();
    let two = format!("APPEND Inbox {{{size}+}}\r\n{MAIL} {{{size}+}}\r\n{MAIL}");
    other.ok(&two).await;
    let failed = "* NO generating notify fetch response: no such part";
    client.hears(&["* 5 EXISTS", failed, "* 4 FETCH (UID 4)", failed, "* 5 FETCH (UID 5)"]).await;
    // Nothing of this was looked at by the user.
    assert_eq!(client.ok("SEARCH UNSEEN").await, ["* SEARCH 1 2 3 4 5"]);
    server.check();
}

/// RFC 5465 §6.2.
#[tokio::test]
async fn delayed_removals_wait_for_the_client() {
    let server = server();
    for _ in 0..3 {
        server.deliver(MAIL.as_bytes());
    }
    let (mut client, mut other) = (server.inbox().await, server.inbox().await);
    client.ok("NOTIFY SET (SELECTED-DELAYED (MessageNew MessageExpunge))").await;
    other.ok("STORE 1 +FLAGS.SILENT (\\Deleted)").await;
    other.ok("EXPUNGE").await;
    server.deliver(MAIL.as_bytes());
    client.hears(&["* 4 EXISTS", "* 4 FETCH (UID 4 FLAGS ())"]).await;
    let lines = client.ok("FETCH 2 UID").await;
    assert_eq!(lines, ["* 2 FETCH (UID 2)"]);
    assert_eq!(client.ok("NOOP").await, ["* 1 EXPUNGE"]);
    client.send("i IDLE\r\n").await;
    client.hears(&["+ waiting"]).await;
    other.ok("STORE 1 +FLAGS.SILENT (\\Deleted)").await;
    other.ok("EXPUNGE").await;
    client.hears(&["* 1 EXPUNGE"]).await;
    client.send("DONE\r\n").await;
    client.hears(&["i OK IDLE done"]).await;
    server.check();
}

/// RFC 5465 §5.8, §6.2: a client that listens but never lets itself be told.
#[tokio::test]
async fn too_much_to_keep_back_ends_in_an_overflow() {
    let server = server();
    let mut other = server.inbox().await;
    let count = mox_imap::session::DELAYED_REMOVALS_MAX + 1;
    for _ in 0..count.div_ceil(100) {
        let size = MAIL.len();
        let many = format!(" {{{size}+}}\r\n{MAIL}").repeat(100);
        other.ok(&format!("APPEND Inbox{many}")).await;
    }
    let mut client = server.inbox().await;
    client.ok("NOTIFY SET (SELECTED-DELAYED (MessageNew MessageExpunge))").await;
    other.ok("STORE 1:* +FLAGS.SILENT (\\Deleted)").await;
    for uid in 1..=count {
        other.ok(&format!("UID EXPUNGE {uid}")).await;
    }
    let overflow = "* OK [NOTIFICATIONOVERFLOW] out of sync after too many pending changes";
    client.hears(&[overflow]).await;
    server.deliver(MAIL.as_bytes());
    assert_eq!(client.ok("NOOP").await, Vec::<String>::new());
    client.ok("SELECT Inbox").await;
    server.deliver(MAIL.as_bytes());
    assert_eq!(client.ok("NOOP").await, Vec::<String>::new(), "as after NOTIFY NONE");
    let lines = client.ok("NOTIFY SET (SELECTED (MessageNew MessageExpunge))").await;
    assert!(lines[0].ends_with(" EXISTS"), "{lines:?}");
    server.check();
}

/// RFC 5465 §3.1, §5.1 to §5.3: messages in mailboxes that are not selected.
#[tokio::test]
async fn other_mailboxes_are_told_of_by_their_status() {
    let server = server();
    let mut other = server.login().await;
    other.ok("CREATE a/b").await;
    other.append("a", MAIL).await;
    let mut client = server.login().await;
    let notify = "NOTIFY SET STATUS (SELECTED NONE) (MAILBOXES Sent NONE) \
        (PERSONAL (MessageNew MessageExpunge FlagChange))";
    client.ok("SELECT Archive").await;
    let lines = client.ok(notify).await;
    let names: Vec<_> = lines.iter().map(|line| line.split(' ').nth(2).unwrap()).collect();
    assert_eq!(names, ["Drafts", "Inbox", "Junk", "Trash", "a", "a/b"]);
    assert!(lines[4].starts_with("* STATUS a (MESSAGES 1 UIDNEXT 2 UIDVALIDITY "), "{lines:?}");
    assert!(lines[4].ends_with(" UNSEEN 1)"), "{lines:?}");
    other.append("a/b", MAIL).await;
    client.hears(&["* STATUS a/b (UIDNEXT 2 MESSAGES 1 UNSEEN 1)"]).await;
    other.ok("SELECT a").await;
    other.ok("STORE 1 +FLAGS (\\Seen)").await;
    let line = client.line().await;
    assert!(line.starts_with("* STATUS a (UIDVALIDITY "), "{line}");
    assert!(line.ends_with(" UNSEEN 0)"), "{line}");
    other.append("Sent", MAIL).await;
    other.append("Archive", MAIL).await;
    client.ok("ENABLE CONDSTORE").await;
    other.ok("STORE 1 +FLAGS (\\Deleted)").await;
    other.ok("EXPUNGE").await;
    // The two come together, unless the pause ended between them; of the selected mailbox and of Sent
    // nothing is told.
    let mut line = client.line().await;
    while !line.starts_with("* STATUS a (UIDNEXT 2 MESSAGES 0 ") {
        assert!(line.starts_with("* STATUS a ("), "{line}");
        line = client.line().await;
    }
    assert!(line.contains(" HIGHESTMODSEQ "), "{line}");
    client.hears_nothing().await;
    server.check();
}

/// A storm of deliveries to many mailboxes does not cost a look at each of them.
#[tokio::test]
async fn a_storm_is_told_in_few_lines() {
    let server = server();
    let mut other = server.login().await;
    for number in 0..10 {
        other.ok(&format!("CREATE m{number}")).await;
    }
    let mut client = server.login().await;
    client.ok("NOTIFY SET (PERSONAL (MessageNew MessageExpunge))").await;
    let start = Instant::now();
    for _ in 0..20 {
        for number in 0..10 {
            other.append(&format!("m{number}"), MAIL).await;
        }
    }
    let mut lines = 0;
    loop {
        let line = client.line().await;
        assert!(line.starts_with("* STATUS m"), "{line}");
        lines += 1;
        if line == "* STATUS m9 (UIDNEXT 21 MESSAGES 20 UNSEEN 20)" {
            break;
        }
    }
    let looks = start.elapsed().as_millis() / NOTIFY_PAUSE.as_millis() + 2;
    assert!(lines <= looks * 10, "{lines} lines in {looks} looks at ten mailboxes");
    client.hears_nothing().await;
    server.check();
}

/// RFC 5465 §6.3 to §6.7, RFC 7377 §2.2: each filter in a session of its own.
#[tokio::test]
async fn every_filter_watches_its_mailboxes() {
    let server = server();
    let mut other = server.login().await;
    other.ok("CREATE Inbox/x").await;
    other.ok("CREATE a/b/c").await;
    other.ok("UNSUBSCRIBE a/b").await;
    let all = ["Inbox", "Inbox/x", "a", "a/b", "a/b/c"];
    let filters: [(&str, &[&str]); 6] = [
        ("PERSONAL", &all),
        ("INBOXES", &["Inbox", "Inbox/x"]),
        ("SUBSCRIBED", &["Inbox", "Inbox/x", "a", "a/b/c"]),
        ("SUBTREE a/b", &["a/b", "a/b/c"]),
        ("SUBTREE-ONE (a Inbox)", &["Inbox", "Inbox/x", "a", "a/b"]),
        ("MAILBOXES (a nothere inbox)", &["Inbox", "a"]),
    ];
    let mut watched = Vec::new();
    for (filter, want) in filters {
        let mut client = server.login().await;
        client.ok(&format!("NOTIFY SET ({filter} (MessageNew MessageExpunge))")).await;
        watched.push((client, filter, want));
    }
    for mailbox in all {
        other.append(mailbox, MAIL).await;
    }
    for (client, filter, want) in &mut watched {
        let mut names = Vec::new();
        for _ in 0..want.len() {
            let line = client.line().await;
            names.push(line.split(' ').nth(2).unwrap().to_owned());
        }
        names.sort();
        let (lines, _) = client.command("NOOP").await;
        assert_eq!((&names[..], lines), (&want.map_names()[..], Vec::new()), "{filter}");
    }
    server.check();
}

/// For comparing lists of names.
trait MapNames {
    fn map_names(&self) -> Vec<String>;
}

impl MapNames for [&str] {
    fn map_names(&self) -> Vec<String> {
        self.iter().map(ToString::to_string).collect()
    }
}

/// RFC 5465 §5.4, §5.5.
#[tokio::test]
async fn names_and_subscriptions_are_told() {
    let server = server();
    let (mut client, mut other) =
        listening(&server, "NOTIFY SET (PERSONAL (MailboxName SubscriptionChange))").await;
    other.ok("CREATE x (USE (\\Sent))").await;
    client
        .hears(&[
            "* LIST (\\Subscribed) \"/\" x",
            "* LIST (\\Subscribed) \"/\" Sent",
            "* LIST (\\Subscribed \\Sent) \"/\" x",
        ])
        .await;
    other.ok("RENAME x y").await;
    client.hears(&["* LIST (\\Sent) \"/\" y (\"OLDNAME\" (x))"]).await;
    other.ok("SUBSCRIBE y").await;
    client.hears(&["* LIST (\\Subscribed) \"/\" y"]).await;
    other.ok("UNSUBSCRIBE y").await;
    client.hears(&["* LIST () \"/\" y"]).await;
    other.ok("SUBSCRIBE ghost").await;
    client.hears(&["* LIST (\\Subscribed \\NonExistent) \"/\" ghost"]).await;
    other.ok("DELETE y").await;
    client.hears(&["* LIST (\\NonExistent) \"/\" y"]).await;
    other.append("Inbox", MAIL).await;
    client.hears_nothing().await;
    // Only the names, and only of what is subscribed.
    client.ok("NOTIFY SET (SUBSCRIBED (MailboxName))").await;
    other.ok("CREATE quiet").await;
    client.hears(&["* LIST (\\Subscribed) \"/\" quiet"]).await;
    other.ok("UNSUBSCRIBE quiet").await;
    other.ok("DELETE quiet").await;
    client.hears_nothing().await;
    client.fails("NOTIFY SET (PERSONAL (AnnotationChange))", "NO [BADEVENT (MessageNew ").await;
    client.fails("NOTIFY SET (PERSONAL (MessageNew))", "BAD").await;
    server.check();
}

/// A change that comes while a command is under way is told after it, though nothing follows.
#[tokio::test]
async fn what_comes_during_a_command_is_told_after_it() {
    let server = server();
    server.deliver(MAIL.as_bytes());
    let mut client = server.inbox().await;
    client.ok("NOTIFY SET (SELECTED (MessageNew MessageExpunge FlagChange))").await;
    let lines = client.ok("FETCH 1 BODY[TEXT]").await;
    assert_eq!(lines, ["* 1 FETCH (UID 1 BODY[TEXT] {7}\r\nhello\r\n FLAGS (\\Seen))"]);
    client.hears(&["* 1 FETCH (UID 1 FLAGS (\\Seen))"]).await;
    // Half a command holds back what would change what it means.
    client.send("x FETCH 1").await;
    let mut other = server.inbox().await;
    other.ok("STORE 1 +FLAGS.SILENT (\\Deleted)").await;
    other.ok("EXPUNGE").await;
    client.send(" UID\r\n").await;
    let (lines, reply) = client.finish("x").await;
    assert_eq!((lines.len(), &*reply), (1, "OK [EXPUNGEISSUED] at least one message was expunged"));
    client.hears(&["* 1 FETCH (UID 1 FLAGS (\\Seen \\Deleted))", "* 1 EXPUNGE"]).await;
    server.check();
}
