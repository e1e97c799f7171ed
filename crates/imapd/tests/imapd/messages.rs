//! Flags, copies, searches, and what other sessions hear of them.

use crate::support::{Client, Server, server};

const MAIL: &[u8] = b"From: a@example.org\r\nTo: b@example.org\r\nSubject: one\r\n\
    Date: Fri, 20 Nov 2026 10:00:00 +0000\r\n\r\nhello\r\n";

fn filled(count: usize) -> Server {
    let server = server();
    for _ in 0..count {
        server.deliver(MAIL);
    }
    server
}

/// The value of a code in a line of SELECT.
fn code(lines: &[String], name: &str) -> u64 {
    let line = lines.iter().find(|line| line.contains(name)).unwrap();
    let rest = line.split_once(name).unwrap().1;
    rest.trim_start().split([']', ' ']).next().unwrap().parse().unwrap()
}

/// RFC 9051 §6.3.3.
#[tokio::test]
async fn a_mailbox_that_is_examined_does_not_change() {
    let server = filled(2);
    let mut client = server.login().await;
    let reply = client.reply("EXAMINE Inbox").await;
    assert!(reply.starts_with("OK [READ-ONLY]"), "{reply}");
    for command in [
        "STORE 1 +FLAGS (\\Seen)",
        "EXPUNGE",
        "UID EXPUNGE 1",
        "MOVE 1 Archive",
        "UID MOVE 1 Archive",
    ] {
        client.fails(command, "NO").await;
    }
    client.ok("FETCH 1 BODY[]").await;
    client.ok("COPY 1 Archive").await;
    assert_eq!(client.ok("FETCH 1:* FLAGS").await.concat().matches("Seen").count(), 0);
    client.ok("CLOSE").await;
    client.fails("FETCH 1 FLAGS", "NO").await;
    // A SELECT that fails leaves nothing selected.
    client.ok("SELECT Inbox").await;
    let (lines, reply) = client.command("SELECT nothere").await;
    assert_eq!(lines, ["* OK [CLOSED] x"]);
    assert!(reply.starts_with("NO SELECT no such mailbox"), "{reply}");
    client.fails("FETCH 1 FLAGS", "NO").await;
}

#[tokio::test]
async fn copies_and_moves_go_where_they_can() {
    let server = filled(4);
    let mut client = server.inbox().await;
    for command in ["COPY", "MOVE", "UID COPY", "UID MOVE"] {
        client.fails(&format!("{command} 1 nothere"), "NO [TRYCREATE]").await;
        client.fails(&format!("{command} 1 Inbox"), "NO").await;
        client.fails(&format!("{command} 1 a//b"), "NO [CANNOT]").await;
    }
    client.fails("COPY 5 Archive", "BAD").await;
    // RFC 9051 §6.4.9: UIDs that are not there are no error. They were answered NO.
    for command in ["UID COPY", "UID MOVE"] {
        let reply = client.reply(&format!("{command} 5:9 Archive")).await;
        assert_eq!(reply, "OK no matching messages");
    }
    let reply = client.reply("UID COPY 4,2:1,2 Archive").await;
    assert!(reply.contains(" 1:2,4 1:3]"), "{reply}");
    let lines = client.ok("MOVE 3 Archive").await;
    assert!(lines[0].ends_with(" 3 4] moved") && lines[1] == "* 3 EXPUNGE", "{lines:?}");
    let mut archive = server.login().await;
    assert_eq!(archive.ok("SELECT Archive").await[3], "* 4 EXISTS");
    client.ok("ENABLE QRESYNC").await;
    let (lines, reply) = client.command("UID MOVE 1 Archive").await;
    assert_eq!(lines[1], "* VANISHED 1");
    assert!(reply.starts_with("OK [HIGHESTMODSEQ "), "{reply}");
    assert_eq!(archive.ok("NOOP").await, ["* 5 EXISTS", "* 5 FETCH (UID 5 FLAGS ())"]);
    server.check();
}

#[tokio::test]
async fn flags_are_stored_as_asked() {
    let server = filled(3);
    let (mut one, mut two) = (server.inbox().await, server.inbox().await);
    one.fails("STORE 4 +FLAGS (\\Seen)", "BAD").await;
    one.fails("STORE 1 +FLAGS (\\Recent)", "BAD").await;
    one.fails("STORE 1 +FLAGS (\\Unknown)", "BAD").await;
    assert_eq!(one.ok("UID STORE 9 +FLAGS (\\Seen)").await, Vec::<String>::new());
    let lines = one.ok("STORE 1,1:2 FLAGS (Zulu \\Seen $Junk alpha)").await;
    let want = ["* 1 FETCH (UID 1 FLAGS (\\Seen $Junk alpha zulu))"];
    assert_eq!((lines.len(), &lines[0]), (2, &want[0].to_owned()));
    assert_eq!(two.ok("NOOP").await, lines);
    // Nothing changes: the one who asked is told, the other is not.
    assert_eq!(one.ok("STORE 1 +FLAGS (alpha)").await, want);
    assert_eq!(one.ok("STORE 2 -FLAGS.SILENT ($junk)").await, Vec::<String>::new());
    assert_eq!(two.ok("NOOP").await, ["* 2 FETCH (UID 2 FLAGS (\\Seen alpha zulu))"]);
    let lines = one.ok("SELECT Inbox").await;
    assert!(
        lines.iter().any(|line| line.starts_with("* FLAGS ") && line.ends_with(" alpha zulu)"))
    );
    server.check();
}

/// A change by another that waited was told after the session's own later one: its client then
/// took the old flags for the new ones.
#[tokio::test]
async fn an_old_change_of_flags_is_not_told_after_a_newer_one() {
    let server = filled(1);
    let (mut one, mut two) = (server.inbox().await, server.inbox().await);
    two.ok("STORE 1 +FLAGS (\\Flagged)").await;
    let mut last = one.ok("STORE 1 +FLAGS (\\Seen)").await;
    last.extend(one.ok("NOOP").await);
    assert_eq!(last.last().unwrap(), "* 1 FETCH (UID 1 FLAGS (\\Seen \\Flagged))");
    // The same without an answer to the STORE: the client must still hear of the other's.
    two.ok("STORE 1 -FLAGS (\\Flagged)").await;
    one.ok("STORE 1 +FLAGS.SILENT (\\Draft)").await;
    assert_eq!(one.ok("NOOP").await, ["* 1 FETCH (UID 1 FLAGS (\\Seen \\Draft))"]);
    // And where reading a message changed it.
    let (mut one, mut two) = (filled_session(&server, 2).await, server.inbox().await);
    two.ok("STORE 2 +FLAGS (\\Flagged)").await;
    one.ok("FETCH 2 BODY[TEXT]").await;
    two.ok("STORE 2 -FLAGS (\\Flagged)").await;
    let lines = one.ok("NOOP").await;
    assert_eq!(lines.last().unwrap(), "* 2 FETCH (UID 2 FLAGS (\\Seen))");
    server.check();
}

async fn filled_session(server: &Server, count: usize) -> Client {
    let mut client = server.inbox().await;
    while client.ok("SEARCH ALL").await[0].split(' ').count() - 2 < count {
        server.deliver(MAIL);
        client.ok("NOOP").await;
    }
    client
}

#[tokio::test]
async fn a_part_that_is_not_there_fails_the_whole_message() {
    let server = filled(1);
    server.deliver(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\none\r\n--b--\r\n");
    let mut client = server.inbox().await;
    for items in ["BODY[TEXT] BODY.PEEK[1.HEADER]", "BODY[1] BODY.PEEK[1.2]", "BODY[1] BINARY[2]"] {
        let (lines, reply) = client.command(&format!("FETCH 2:* ({items})")).await;
        assert!(lines.is_empty() && reply.starts_with("NO"), "{items}: {lines:?} {reply}");
    }
    assert_eq!(client.ok("SEARCH SEEN").await, ["* SEARCH"]);
    server.check();
}

/// RFC 7162 §3.1.3.
#[tokio::test]
async fn a_conditional_store_leaves_newer_messages_alone() {
    let server = filled(3);
    let (mut client, mut other) = (server.login().await, server.inbox().await);
    let lines = client.ok("SELECT Inbox (CONDSTORE)").await;
    let modseq = code(&lines, "HIGHESTMODSEQ");
    other.ok("STORE 2 +FLAGS (\\Flagged)").await;
    let (lines, reply) =
        client.command(&format!("STORE 1:2 (UNCHANGEDSINCE {modseq}) +FLAGS (\\Seen)")).await;
    assert_eq!(reply, "OK [MODIFIED 2] conditional store did not modify all");
    assert!(
        lines.contains(&format!("* 2 FETCH (UID 2 FLAGS (\\Flagged) MODSEQ ({}))", modseq + 1))
    );
    assert!(lines.contains(&format!("* 1 FETCH (UID 1 FLAGS (\\Seen) MODSEQ ({}))", modseq + 2)));
    let (lines, reply) =
        client.command("UID STORE 1,3 (UNCHANGEDSINCE 0) FLAGS.SILENT (\\Draft)").await;
    assert_eq!(reply, "OK [MODIFIED 1,3] conditional store did not modify all");
    assert!(lines.iter().all(|line| !line.contains("Draft")), "{lines:?}");
    let lines = client.ok("STORE 3 +FLAGS.SILENT (x)").await;
    assert_eq!(lines, [format!("* 3 FETCH (UID 3 MODSEQ ({}))", modseq + 3)]);
    let lines = client.ok(&format!("FETCH 1:* (FLAGS) (CHANGEDSINCE {})", modseq + 2)).await;
    assert_eq!(lines, [format!("* 3 FETCH (UID 3 FLAGS (x) MODSEQ ({}))", modseq + 3)]);
    let lines = client.ok(&format!("UID SEARCH MODSEQ {}", modseq + 1)).await;
    assert_eq!(lines, [format!("* SEARCH 1 2 3 (MODSEQ {})", modseq + 3)]);
    let reply = client.reply("EXPUNGE").await;
    assert!(reply.starts_with("OK [HIGHESTMODSEQ "), "{reply}");
    server.check();
}

/// RFC 7162 §3.2.5.
#[tokio::test]
async fn a_client_with_a_wrong_copy_is_warned() {
    let server = filled(6);
    let mut client = server.login().await;
    client.fails("SELECT Inbox (QRESYNC (1 1))", "BAD").await;
    client.ok("ENABLE QRESYNC").await;
    let lines = client.ok("SELECT Inbox").await;
    let validity = code(&lines, "UIDVALIDITY");
    client.ok("STORE 2 +FLAGS.SILENT (\\Deleted)").await;
    let reply = client.reply("EXPUNGE").await;
    let modseq: u64 = reply.split([' ', ']']).nth(2).unwrap().parse().unwrap();
    client.ok("STORE 4 +FLAGS.SILENT (\\Seen)").await;
    // The sample fits: only what is new since comes.
    let ask = |sample: &str| format!("SELECT Inbox (QRESYNC ({validity} {modseq} 1:6 {sample}))");
    let lines = client.ok(&ask("(1:3 1,3:4)")).await;
    assert!(lines.iter().all(|line| !line.contains("VANISHED") && !line.contains("ALERT")));
    assert_eq!(lines.iter().filter(|line| line.contains(" FETCH ")).count(), 1);
    // The client believes in a message that was gone by then.
    let lines = client.ok(&ask("(1:3 1:3)")).await;
    assert!(lines.iter().any(|line| line.starts_with("* OK [ALERT]")), "{lines:?}");
    assert_eq!(lines.last().unwrap(), "* VANISHED (EARLIER) 2");
    client.fails(&ask("(3:1 1:3,2)"), "NO").await;
    client.fails(&ask("(1:2 1:3)"), "BAD").await;
    let other = format!("SELECT Inbox (QRESYNC ({} {modseq}))", validity + 1);
    let lines = client.ok(&other).await;
    assert!(lines.iter().all(|line| !line.contains("FETCH") && !line.contains("VANISHED")));
    server.check();
}

/// RFC 9051 §6.4.4.
#[tokio::test]
async fn every_search_key_finds_what_it_should() {
    let server = filled(1);
    server.deliver(
        b"From: =?utf-8?q?J=C3=B6rg?= <joerg@example.com>\r\nCc: c@x\r\nBcc: d@x\r\n\
        Subject: =?utf-8?q?caf=C3=A9?=\r\nMessage-ID: <1@x>\r\n\
        Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\
        na\xefve text that is longer than the other by quite a few bytes, this is why it is here\r\n",
    );
    let mut client = server.inbox().await;
    client.ok("STORE 2 FLAGS (\\Seen \\Answered $Forwarded label)").await;
    let cases = [
        ("ALL", "1 2"),
        ("1", "1"),
        ("*", "2"),
        ("UID 2:9", "2"),
        ("SEEN", "2"),
        ("UNSEEN", "1"),
        ("ANSWERED", "2"),
        ("UNANSWERED DELETED", ""),
        ("UNDELETED UNFLAGGED UNDRAFT", "1 2"),
        ("FLAGGED", ""),
        ("DRAFT", ""),
        ("NEW", ""),
        ("RECENT", ""),
        ("OLD", "1 2"),
        ("KEYWORD LABEL", "2"),
        ("UNKEYWORD label", "1"),
        ("KEYWORD $forwarded", "2"),
        ("FROM example.com", "2"),
        ("TO B@EXAMPLE", "1"),
        ("CC c@x BCC d@x", "2"),
        ("SUBJECT one", "1"),
        ("HEADER message-id \"\"", "2"),
        ("HEADER Message-ID 1@x", "2"),
        ("BODY hello", "1"),
        ("BODY Subject", ""),
        ("TEXT \"subject: one\"", "1"),
        ("NOT BODY hello", "2"),
        ("OR SUBJECT one FROM joerg", "1 2"),
        ("NOT NOT 1", "1"),
        ("(SEEN (2 ANSWERED))", "2"),
        ("LARGER 150", "2"),
        ("SMALLER 150", "1"),
        ("SENTON 20-Nov-2026", "1"),
        ("SENTBEFORE 20-Nov-2026", ""),
        ("SENTSINCE 20-Nov-2026", "1"),
        ("SINCE 1-Jan-2026 BEFORE \"1-Jan-2027\"", "1 2"),
        ("ON 1-Jan-2000", ""),
    ];
    for (key, want) in cases {
        let lines = client.ok(&format!("SEARCH {key}")).await;
        assert_eq!(lines, [format!("* SEARCH {want}").trim_end()], "{key}");
    }
    for (key, want) in [("SUBJECT {5+}\r\ncaf\u{e9}", "2"), ("BODY {6+}\r\nNA\u{cf}VE", "2")] {
        let lines = client.ok(&format!("SEARCH CHARSET UTF-8 {key}")).await;
        assert_eq!(lines, [format!("* SEARCH {want}")], "{key}");
    }
    client.fails("SEARCH CHARSET KOI8-R ALL", "NO [BADCHARSET").await;
    for bad in ["", "3", "BOGUS", "OR 1", "NOT", "(1", "UID", "SINCE 31-Feb-2026", "LARGER x"] {
        client.fails(&format!("SEARCH {bad}"), "BAD").await;
    }
}

/// RFC 4731 §3.1, RFC 5182 §2.1.
#[tokio::test]
async fn extended_searches_say_and_save_what_is_asked() {
    let server = filled(5);
    let mut client = server.inbox().await;
    let lines = client.ok("SEARCH RETURN (MIN MAX COUNT ALL) 2:4").await;
    let tag = client.number;
    assert_eq!(lines, [format!("* ESEARCH (TAG \"t{tag}\") MIN 2 MAX 4 COUNT 3 ALL 2:4")]);
    let lines = client.ok("UID SEARCH RETURN () SEEN").await;
    assert_eq!(lines, [format!("* ESEARCH (TAG \"t{}\") UID", client.number)]);
    assert_eq!(client.ok("SEARCH RETURN (SAVE) 2:3").await, Vec::<String>::new());
    assert_eq!(client.ok("FETCH $ UID").await.len(), 2);
    assert_eq!(client.ok("SEARCH UID $ NOT 2").await, ["* SEARCH 3"]);
    client.ok("STORE $ +FLAGS.SILENT (\\Deleted)").await;
    client.ok("UID EXPUNGE 2").await;
    assert_eq!(client.ok("UID FETCH $ FLAGS").await, ["* 2 FETCH (UID 3 FLAGS (\\Deleted))"]);
    client.ok("SEARCH RETURN (SAVE MAX) ALL").await;
    assert_eq!(client.ok("FETCH $ UID").await, ["* 4 FETCH (UID 5)"]);
    client.fails("SEARCH RETURN (SAVE) 99", "BAD").await;
    assert_eq!(client.ok("FETCH $ UID").await, Vec::<String>::new());
    client.ok("ENABLE IMAP4rev2").await;
    let lines = client.ok("SEARCH ALL").await;
    assert_eq!(lines, [format!("* ESEARCH (TAG \"t{}\") ALL 1:4", client.number)]);
    client.fails("SEARCH RETURN (BOGUS) ALL", "BAD").await;
    server.check();
}

/// RFC 9051 §6.4.3, §6.4.9, and commands on a mailbox that another has deleted.
#[tokio::test]
async fn a_deleted_mailbox_can_only_be_left() {
    let server = server();
    let (mut one, mut two) = (server.login().await, server.login().await);
    one.ok("CREATE gone").await;
    one.append("gone", "A: b\r\n\r\nx").await;
    two.ok("SELECT gone").await;
    one.ok("DELETE gone").await;
    for command in
        ["CHECK", "UID STORE 1 FLAGS (x)", "UID COPY 1 Archive", "UID MOVE 1 Archive", "EXPUNGE"]
    {
        two.fails(command, "NO [NONEXISTENT]").await;
    }
    two.ok("UNSELECT").await;
    one.ok("CREATE gone").await;
    assert_eq!(two.ok("SELECT gone").await[3], "* 0 EXISTS");
    one.ok("DELETE gone").await;
    two.ok("CLOSE").await;
    server.check();
}
