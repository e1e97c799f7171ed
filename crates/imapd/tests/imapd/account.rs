//! What is kept with mailboxes and the account: annotations and quota.

use crate::support::{Setup, server, server_with};

/// RFC 5464 §4.2, §4.3, §4.4.
#[tokio::test]
async fn annotations_are_kept_and_told() {
    let server = server();
    let (mut one, mut two) = (server.login().await, server.login().await);
    two.ok("ENABLE METADATA").await;
    one.ok("SETMETADATA Inbox (/private/comment \"x\" /shared/A ~{3+}\r\n\0\x01\x02)").await;
    let lines = one.ok("GETMETADATA Inbox (/private/COMMENT /shared/a)").await;
    assert_eq!(lines, ["* METADATA Inbox (/private/comment \"x\" /shared/a ~{3}\r\n\0\x01\x02)"]);
    let lines = two.ok("NOOP").await;
    assert_eq!(lines, ["* METADATA Inbox /private/comment /shared/a"]);
    let lines = two.ok("LIST \"\" Inbox RETURN (METADATA (/private/comment /private/y))").await;
    assert_eq!(lines[1..], ["* METADATA Inbox (/private/comment \"x\" /private/y NIL)"]);
    one.fails("GETMETADATA nothere /private/x", "NO [TRYCREATE]").await;
    one.fails("SETMETADATA nothere (/private/x NIL)", "NO [TRYCREATE]").await;
    one.ok("SETMETADATA \"\" (/private/x \"y\")").await;
    let reply = one.reply("GETMETADATA (MAXSIZE 0 DEPTH infinity) \"\" /").await;
    assert!(reply.starts_with("OK [METADATA LONGENTRIES 1]"), "{reply}");
    server.check();
}

/// RFC 9208 §4.1.
#[tokio::test]
async fn quota_is_told() {
    let server = server_with(Setup { quota_bytes: Some(10_240), ..Setup::default() });
    let mut client = server.inbox().await;
    let message = "x".repeat(2_000);
    client.append("Inbox", &message).await;
    let lines = client.ok("GETQUOTAROOT Inbox").await;
    assert_eq!(lines, ["* QUOTAROOT Inbox \"\"", "* QUOTA \"\" (STORAGE 2 10)"]);
    client.ok("STORE 1 +FLAGS.SILENT (\\Deleted)").await;
    let lines = client.ok("STATUS Inbox (DELETED DELETED-STORAGE)").await;
    assert!(lines[0].starts_with("* STATUS Inbox (DELETED 1 DELETED-STORAGE 20"), "{lines:?}");
    client.ok("EXPUNGE").await;
    // It is free at once, though this session was told of it only now.
    assert_eq!(client.ok("GETQUOTA \"\"").await, ["* QUOTA \"\" (STORAGE 0 10)"]);
    client.fails("GETQUOTA x", "NO").await;
    client.fails("SETQUOTA \"\" (STORAGE 1)", "NO [NOPERM]").await;
    server.check();
}
