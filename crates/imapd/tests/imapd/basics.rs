//! Logging in, mailboxes, appending, changing, and hearing of others' changes.

use crate::support::{PASSWORD, server};

const MAIL: &[u8] = b"From: a@example.org\r\nSubject: one\r\n\r\nhello\r\n";

#[tokio::test]
async fn a_wrong_password_is_refused_and_a_right_one_not() {
    let server = server();
    let mut client = server.connect().await;
    client.fails("LOGIN mjl@example.org wrong-password", "NO [AUTHENTICATIONFAILED]").await;
    client.fails("LOGIN nobody@example.org wrong-password", "NO [AUTHENTICATIONFAILED]").await;
    client.fails("SELECT Inbox", "NO").await;
    client.ok(&format!("LOGIN mjl@example.org \"{PASSWORD}\"")).await;
    client.ok("SELECT Inbox").await;
    let lines = client.ok("LOGOUT").await;
    assert_eq!(lines, ["* BYE thanks"]);
    client.closed().await;
}

#[tokio::test]
async fn mailboxes_are_created_listed_renamed_and_deleted() {
    let server = server();
    let mut client = server.login().await;
    assert_eq!(client.ok("CREATE a/b").await.len(), 2);
    client.fails("CREATE a", "NO").await;
    client.ok("RENAME a x").await;
    assert_eq!(client.ok("LIST \"\" x*").await, ["* LIST () \"/\" x", "* LIST () \"/\" x/b"]);
    client.fails("DELETE x", "NO [HASCHILDREN]").await;
    client.ok("DELETE x/b").await;
    client.fails("STATUS x/b (MESSAGES)", "NO").await;
    let status = client.ok("STATUS Inbox (MESSAGES UIDNEXT UNSEEN)").await;
    assert_eq!(status, ["* STATUS Inbox (MESSAGES 0 UIDNEXT 1 UNSEEN 0)"]);
    server.check();
}

#[tokio::test]
async fn an_appended_message_is_there_with_its_flags_and_date() {
    let server = server();
    let mut client = server.inbox().await;
    client.send("a APPEND Inbox (\\Seen label) \"20-Nov-2020 10:00:00 +0100\" {16}\r\n").await;
    assert!(client.line().await.starts_with("+ "));
    client.send("Subject: x\n\nhi\r\n\r\n").await;
    let (untagged, reply) = client.finish("a").await;
    assert_eq!(untagged, ["* 1 EXISTS"]);
    assert!(reply.starts_with("OK [APPENDUID "), "{reply}");
    let lines = client.ok("FETCH 1 (FLAGS INTERNALDATE BODY.PEEK[])").await;
    // Bare line feeds are repaired.
    let want = "* 1 FETCH (UID 1 INTERNALDATE \"20-Nov-2020 10:00:00 +0100\" BODY[] {18}\r\n\
        Subject: x\r\n\r\nhi\r\n FLAGS (\\Seen label))";
    assert_eq!(lines, [want]);
    client.fails("APPEND nothere {5}", "NO [TRYCREATE]").await;
    server.check();
}

#[tokio::test]
async fn several_messages_are_appended_together() {
    let server = server();
    let mut client = server.login().await;
    client.send("a APPEND Inbox {4+}\r\nA: b (\\Seen) {4+}\r\nC: d\r\n").await;
    let (_, reply) = client.finish("a").await;
    assert!(reply.starts_with("OK [APPENDUID ") && reply.contains(" 1:2]"), "{reply}");
    // One of them too many: none is added.
    client.send("b APPEND Inbox {4+}\r\nA: b {0+}\r\n\r\n").await;
    let (_, reply) = client.finish("b").await;
    assert!(reply.starts_with("NO"), "{reply}");
    assert_eq!(client.ok("STATUS Inbox (MESSAGES)").await, ["* STATUS Inbox (MESSAGES 2)"]);
    server.check();
}

#[tokio::test]
async fn flags_copies_moves_and_expunges_reach_the_other_session() {
    let server = server();
    for _ in 0..4 {
        server.deliver(MAIL);
    }
    let (mut one, mut two) = (server.inbox().await, server.inbox().await);
    let lines = one.ok("STORE 1:2 +FLAGS (\\Deleted)").await;
    assert_eq!(lines[0], "* 1 FETCH (UID 1 FLAGS (\\Deleted))");
    assert_eq!(two.ok("NOOP").await, lines);
    let lines = one.ok("EXPUNGE").await;
    assert_eq!(lines, ["* 1 EXPUNGE", "* 1 EXPUNGE"]);
    // Not in answer to a FETCH by number, but before the next command's end.
    let (untagged, reply) = two.command("FETCH 1 (BODY.PEEK[TEXT])").await;
    assert_eq!(untagged, ["* 1 FETCH (UID 1 BODY[TEXT] {7}\r\nhello\r\n)"]);
    assert!(reply.starts_with("OK [EXPUNGEISSUED]"), "{reply}");
    assert_eq!(two.ok("NOOP").await, ["* 1 EXPUNGE", "* 1 EXPUNGE"]);
    let (untagged, reply) = two.command("MOVE 1 Archive").await;
    assert!(untagged[0].starts_with("* OK [COPYUID ") && untagged[1] == "* 1 EXPUNGE");
    assert!(reply.starts_with("OK"));
    assert_eq!(one.ok("NOOP").await, ["* 1 EXPUNGE"]);
    one.ok("COPY 1 Archive").await;
    assert_eq!(one.ok("STATUS Archive (MESSAGES)").await, ["* STATUS Archive (MESSAGES 2)"]);
    server.check();
}

#[tokio::test]
async fn idle_hears_of_deliveries_at_once() {
    let server = server();
    let mut client = server.inbox().await;
    client.send("a IDLE\r\n").await;
    assert_eq!(client.line().await, "+ waiting");
    server.deliver(MAIL);
    assert_eq!(client.line().await, "* 1 EXISTS");
    assert_eq!(client.line().await, "* 1 FETCH (UID 1 FLAGS ())");
    client.send("DONE\r\n").await;
    let (_, reply) = client.finish("a").await;
    assert!(reply.starts_with("OK"));
}

#[tokio::test]
async fn a_mailbox_deleted_by_another_is_gone_for_its_session() {
    let server = server();
    let (mut one, mut two) = (server.login().await, server.login().await);
    one.ok("CREATE gone").await;
    one.send("a APPEND gone {4+}\r\nA: b\r\n").await;
    one.finish("a").await;
    two.ok("SELECT gone").await;
    one.ok("DELETE gone").await;
    let (_, reply) = two.command("FETCH 1 RFC822.SIZE").await;
    assert!(reply.starts_with("OK") || reply.starts_with("NO [NONEXISTENT]"), "{reply}");
    two.fails("STORE 1 +FLAGS (\\Seen)", "NO [NONEXISTENT]").await;
    two.ok("CLOSE").await;
    server.check();
}

#[tokio::test]
async fn a_session_that_deletes_or_empties_its_own_mailbox_is_told() {
    let server = server();
    server.deliver(MAIL);
    let mut client = server.inbox().await;
    assert_eq!(client.ok("RENAME Inbox old").await, ["* 1 EXPUNGE"]);
    client.ok("SELECT old").await;
    assert_eq!(client.ok("DELETE old").await, ["* 1 EXPUNGE"]);
}

#[tokio::test]
async fn a_client_with_an_old_copy_is_brought_up_to_date() {
    let server = server();
    for _ in 0..5 {
        server.deliver(MAIL);
    }
    let mut client = server.login().await;
    client.ok("ENABLE QRESYNC").await;
    let lines = client.ok("SELECT Inbox").await;
    let code = |name: &str| {
        let line = lines.iter().find(|line| line.contains(name)).unwrap();
        line.split([' ', ']']).nth(3).unwrap().to_owned()
    };
    let (validity, modseq) = (code("UIDVALIDITY"), code("HIGHESTMODSEQ"));
    client.ok("STORE 2 +FLAGS (\\Seen)").await;
    client.ok("STORE 4 +FLAGS (\\Deleted)").await;
    assert_eq!(client.ok("EXPUNGE").await, ["* VANISHED 4"]);
    let lines = client.ok(&format!("SELECT Inbox (QRESYNC ({validity} {modseq}))")).await;
    assert!(lines.iter().any(|line| line.starts_with("* 2 FETCH (UID 2 FLAGS (\\Seen)")));
    assert_eq!(lines.last().unwrap(), "* VANISHED (EARLIER) 4");
    let lines = client.ok(&format!("UID FETCH 1:* (FLAGS) (CHANGEDSINCE {modseq} VANISHED)")).await;
    assert_eq!(lines[0], "* VANISHED (EARLIER) 4");
    assert_eq!(lines.len(), 2);
}

#[tokio::test]
async fn a_server_that_stops_says_bye() {
    let server = server();
    let mut client = server.inbox().await;
    client.send("a IDLE\r\n").await;
    assert_eq!(client.line().await, "+ waiting");
    server.stopping.cancel();
    assert_eq!(client.line().await, "* BYE mox shutting down");
    client.closed().await;
}

#[tokio::test(start_paused = true)]
async fn an_idle_client_is_dropped_before_login_and_told_after() {
    let server = server();
    server.connect().await.closed().await;
}

#[tokio::test]
async fn another_protocol_is_turned_away() {
    let server = server();
    let mut client = server.connect().await;
    client.send("GET / HTTP/1.1\r\n").await;
    assert_eq!(client.line().await, "* BYE please try again speaking imap");
    client.closed().await;
}
