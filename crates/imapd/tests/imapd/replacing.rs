//! REPLACE over a connection, with another client looking on. RFC 8508.

use crate::support::{Setup, server, server_with};

const OLD: &[u8] = b"Subject: old\r\n\r\nold\r\n";
const NEW: &str = "Subject: new\r\n\r\nnew\r\n";

#[tokio::test]
async fn everybody_sees_the_new_message_and_then_the_old_one_go() {
    let server = server();
    for _ in 0..3 {
        server.deliver(OLD);
    }
    let (mut client, mut other) = (server.inbox().await, server.inbox().await);
    let replace = |what: &str| format!("{what} (\\Seen) {{{}+}}\r\n{NEW}", NEW.len());
    let (untagged, reply) = client.command(&replace("REPLACE 2 Inbox")).await;
    assert_eq!((&untagged[1][..], &untagged[2][..]), ("* 4 EXISTS", "* 2 EXPUNGE"));
    assert!(untagged[0].starts_with("* OK [APPENDUID ") && untagged[0].contains(" 4] "));
    assert_eq!((untagged.len(), &reply[..]), (3, "OK replaced"));
    let want = ["* 4 EXISTS", "* 4 FETCH (UID 4 FLAGS (\\Seen))", "* 2 EXPUNGE"];
    assert_eq!(other.ok("NOOP").await, want);
    assert_eq!(client.ok("UID SEARCH ALL").await, ["* SEARCH 1 3 4"]);
    // To another mailbox, by UID and by `*`.
    let (untagged, _) = client.command(&replace("UID REPLACE 1 Drafts")).await;
    assert!(untagged[0].contains("APPENDUID") && untagged[0].contains(" 1] "), "{untagged:?}");
    assert_eq!(untagged[1..], ["* 1 EXPUNGE"]);
    let (untagged, _) = client.command(&replace("REPLACE * Drafts")).await;
    assert_eq!(untagged[1..], ["* 2 EXPUNGE"]);
    assert_eq!(other.ok("NOOP").await, ["* 1 EXPUNGE", "* 2 EXPUNGE"]);
    assert_eq!(client.ok("STATUS Drafts (MESSAGES)").await, ["* STATUS Drafts (MESSAGES 2)"]);
    // What was replaced while it was being replaced is not replaced again.
    client.send(&format!("a UID REPLACE 3 Inbox {{{}}}\r\n", NEW.len())).await;
    assert_eq!(client.line().await, "+ ");
    other.ok("STORE 1 +FLAGS.SILENT \\Deleted").await;
    other.ok("EXPUNGE").await;
    client.send(&format!("{NEW}\r\n")).await;
    let (untagged, reply) = client.finish("a").await;
    assert_eq!(untagged, ["* 1 FETCH (UID 3 FLAGS (\\Deleted))", "* 1 EXPUNGE"]);
    assert!(reply.contains("message to be replaced has been expunged"), "{reply}");
    assert_eq!(client.ok("STATUS Inbox (MESSAGES)").await, ["* STATUS Inbox (MESSAGES 0)"]);
    server.check();
}

#[tokio::test]
async fn clients_with_qresync_and_uidonly_hear_of_uids() {
    let server = server();
    server.deliver(OLD);
    server.deliver(OLD);
    let mut client = server.login().await;
    client.ok("ENABLE QRESYNC UIDONLY").await;
    client.ok("SELECT Inbox").await;
    let replace = |what: &str| format!("{what} Inbox {{{}+}}\r\n{NEW}", NEW.len());
    client.fails(&replace("REPLACE 1"), "BAD [UIDREQUIRED]").await;
    let (untagged, reply) = client.command(&replace("UID REPLACE 1")).await;
    assert_eq!(untagged[1..], ["* 3 EXISTS", "* VANISHED 1"]);
    assert!(reply.starts_with("OK [HIGHESTMODSEQ "), "{reply}");
    server.check();
}

#[tokio::test]
async fn a_replace_that_fails_changes_nothing() {
    let server = server_with(Setup { quota_bytes: Some(1_000), ..Setup::default() });
    server.deliver(OLD);
    let mut client = server.inbox().await;
    client.fails("REPLACE 1 nowhere {5}", "NO [TRYCREATE]").await;
    client.fails("REPLACE 1 a//b {5}", "NO [CANNOT]").await;
    client.fails("REPLACE 1 Inbox {0}", "NO").await;
    client.fails("REPLACE 1 Inbox {1000}", "NO [OVERQUOTA]").await;
    client.fails("REPLACE 2 Inbox {5}", "NO").await;
    client.fails("UID REPLACE 9 Inbox {5+}\r\nA: b\n", "NO").await;
    let large = "x".repeat(1_000_000);
    client.fails(&format!("REPLACE 2 Inbox {{1000000+}}\r\n{large}"), "NO").await;
    client.fails("REPLACE 1 Inbox {5+}\r\nA: b\n {5+}\r\nA: b\n", "BAD").await;
    client.ok("EXAMINE Inbox").await;
    client.fails("REPLACE 1 Inbox {5}", "NO").await;
    assert_eq!(client.ok("UID SEARCH ALL").await, ["* SEARCH 1"]);
    // As the original: more than that is not read for nothing.
    client.send("a REPLACE 1 Inbox {1000001+}\r\n").await;
    assert_eq!(client.line().await, "* BYE [ALERT] literal too big");
    assert!(client.line().await.starts_with("a BAD [TOOBIG]"));
    client.closed().await;
    server.check();
}
