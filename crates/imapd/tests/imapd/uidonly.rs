//! UIDONLY over a real store. RFC 9586 §3.

use crate::support::{Server, server};

fn filled(count: usize) -> Server {
    let server = server();
    for number in 0..count {
        server.deliver(format!("Subject: s{number}\r\n\r\nbody {number}\r\n").as_bytes());
    }
    server
}

#[tokio::test]
async fn everything_is_named_by_uid() {
    let server = filled(4);
    let mut client = server.login().await;
    assert_eq!(client.ok("ENABLE UIDONLY").await, ["* ENABLED UIDONLY"]);
    let lines = client.ok("SELECT Inbox").await;
    assert!(!lines.iter().any(|line| line.contains("UNSEEN")), "{lines:?}");
    client.ok("UID STORE 2 +FLAGS.SILENT (\\Deleted)").await;
    assert_eq!(client.ok("EXPUNGE").await, ["* VANISHED 2"]);
    assert_eq!(
        client.ok("UID FETCH 3:4 (RFC822.SIZE)").await,
        ["* 3 UIDFETCH (RFC822.SIZE 23)", "* 4 UIDFETCH (RFC822.SIZE 23)"]
    );
    assert_eq!(client.ok("UID FETCH 3 (FLAGS UID)").await, ["* 3 UIDFETCH (UID 3 FLAGS ())"]);
    let lines = client.ok("UID FETCH 4 BODY[TEXT]").await;
    assert_eq!(lines[0], "* 4 UIDFETCH (BODY[TEXT] {8}\r\nbody 3\r\n FLAGS (\\Seen))");
    assert_eq!(lines[1], "* 4 UIDFETCH (FLAGS (\\Seen))");
    assert_eq!(client.ok("UID SEARCH SUBJECT s3").await, ["* SEARCH 4"]);
    let lines = client.ok("UID MOVE 1 Archive").await;
    assert_eq!(lines[1], "* VANISHED 1");
    server.check();
}

/// A section that is streamed ends in the same line that UIDFETCH began.
#[tokio::test]
async fn large_messages_are_named_by_uid() {
    let server = server();
    let body = "line\r\n".repeat(60_000);
    server.deliver(format!("Subject: x\r\n\r\n{body}").as_bytes());
    let mut client = server.login().await;
    client.ok("ENABLE UIDONLY").await;
    client.ok("SELECT Inbox").await;
    let lines = client.ok("UID FETCH 1 (BODY.PEEK[TEXT] RFC822.SIZE)").await;
    let size = body.len();
    assert!(lines[0].starts_with(&format!("* 1 UIDFETCH (BODY[TEXT] {{{size}}}\r\n")));
    assert!(lines[0].ends_with(&format!(" RFC822.SIZE {})", size + 14)));
}

/// A trap of clients: they enable it and go on with numbers. They are told, and stay connected.
#[tokio::test]
async fn a_client_that_forgets_stays_connected() {
    let server = filled(2);
    let mut client = server.inbox().await;
    let mut other = server.inbox().await;
    client.ok("ENABLE UIDONLY").await;
    for command in [
        "FETCH 1:* FLAGS",
        "STORE 1 +FLAGS (\\Seen)",
        "SEARCH UNSEEN",
        "SEARCH SUBJECT {3+}\r\nabc",
        "COPY 1 Archive",
        "MOVE 1 Archive",
        "UID SEARCH 1:*",
    ] {
        client.fails(command, "BAD [UIDREQUIRED]").await;
    }
    other.ok("STORE 1 +FLAGS.SILENT (\\Deleted)").await;
    other.ok("EXPUNGE").await;
    // Told of nothing while it was refused, nor was anything done.
    let lines = client.ok("NOOP").await;
    assert_eq!(lines, ["* 1 UIDFETCH (FLAGS (\\Deleted))", "* VANISHED 1"]);
    assert_eq!(client.ok("UID FETCH 1:* FLAGS").await, ["* 2 UIDFETCH (FLAGS ())"]);
    server.check();
}

/// RFC 9738 §3.2, and that the limit is announced but far away.
#[tokio::test]
async fn searches_go_up_or_down_from_a_uid() {
    let server = filled(4);
    let mut client = server.inbox().await;
    assert_eq!(client.ok("UID SEARCH UIDAFTER 2").await, ["* SEARCH 3 4"]);
    assert_eq!(client.ok("SEARCH UIDBEFORE 3 UIDAFTER 1").await, ["* SEARCH 2"]);
    assert_eq!(client.ok("UID SEARCH UIDAFTER 4").await, ["* SEARCH"]);
    assert_eq!(client.ok("UID SEARCH UIDBEFORE 1").await, ["* SEARCH"]);
    assert_eq!(client.ok("UID SEARCH NOT UIDBEFORE 4").await, ["* SEARCH 4"]);
    let lines = client.ok("CAPABILITY").await;
    let limit = format!(" MESSAGELIMIT={}", mox_imap::session::MESSAGES_MAX);
    assert!(lines[0].contains(&limit), "{lines:?}");
    // An APPEND of more than one may have appends nothing, and says how many there may be.
    let many = " {1+}\r\nx".repeat(1_001);
    client.fails(&format!("APPEND Inbox{many}"), "NO [MESSAGELIMIT 1000] APPEND too many").await;
    assert_eq!(client.ok("STATUS Inbox (MESSAGES)").await, ["* STATUS Inbox (MESSAGES 4)"]);
    server.check();
}
