//! APPEND: what is added whole, what not at all.

use crate::support::{Client, Setup, server, server_with};

const MAIL: &str = "Subject: x\r\n\r\nhi\r\n";

#[tokio::test]
async fn what_cannot_be_appended_is_refused_before_it_is_sent() {
    let server = server_with(Setup { quota_bytes: Some(10_000), ..Setup::default() });
    let mut client = server.login().await;
    client.fails("APPEND nowhere {5}", "NO [TRYCREATE]").await;
    client.fails("APPEND a//b {5}", "NO [CANNOT]").await;
    client.fails("APPEND Inbox {0}", "NO").await;
    client.fails("APPEND Inbox {10001}", "NO [OVERQUOTA]").await;
    client.fails("APPEND Inbox {9223372036854775807}", "NO [OVERQUOTA]").await;
    client.fails("APPEND Inbox (\\Recent) {5}", "BAD").await;
    client.fails("APPEND Inbox \"30-Feb-2026 00:00:00 +0000\" {5}", "BAD").await;
    client.fails("APPEND Inbox", "BAD").await;
    client.fails("APPEND Inbox (\\Seen)", "BAD").await;
    assert_eq!(client.ok("STATUS Inbox (MESSAGES)").await, ["* STATUS Inbox (MESSAGES 0)"]);
    server.check();
}

/// RFC 7888 §4: it comes all the same, and the connection goes on behind it.
#[tokio::test]
async fn what_comes_without_being_waited_for_is_read_and_dropped() {
    let server = server_with(Setup { quota_bytes: Some(10_000), ..Setup::default() });
    let mut client = server.login().await;
    let large = "x".repeat(10_001);
    for (mailbox, message, want) in [
        ("nowhere", MAIL, "NO [TRYCREATE]"),
        ("a//b", MAIL, "NO [CANNOT]"),
        ("Inbox", "", "NO"),
        ("Inbox", &large, "NO [OVERQUOTA]"),
    ] {
        let (_, reply) = client.append(mailbox, message).await;
        assert!(reply.starts_with(want), "{mailbox}: {reply}");
        client.ok("NOOP").await;
    }
    // The second of two messages is too large: none is added.
    let half = "x".repeat(6_000);
    client.send(&format!("a APPEND Inbox {{6000+}}\r\n{half} {{6000+}}\r\n{half}\r\n")).await;
    let (_, reply) = client.finish("a").await;
    assert!(reply.starts_with("NO [OVERQUOTA]"), "{reply}");
    client.send(&format!("a APPEND Inbox {{6000+}}\r\n{half} {{6000}}\r\n")).await;
    let (_, reply) = client.finish("a").await;
    assert!(reply.starts_with("NO [OVERQUOTA]"), "{reply}");
    // Nonsense behind a message.
    client.send("a APPEND Inbox {4+}\r\nA: b nonsense\r\n").await;
    let (_, reply) = client.finish("a").await;
    assert!(reply.starts_with("BAD"), "{reply}");
    assert_eq!(client.ok("STATUS Inbox (MESSAGES)").await, ["* STATUS Inbox (MESSAGES 0)"]);
    // A flag that is none: what follows cannot be understood.
    client.send("a APPEND Inbox (\\Recent) {4+}\r\nA: b\r\nb NOOP\r\n").await;
    let (_, reply) = client.finish("a").await;
    assert!(reply.starts_with("BAD"), "{reply}");
    assert_eq!(client.line().await, "* BYE literal of a refused command");
    client.closed().await;
    server.check();
}

#[tokio::test]
async fn a_full_account_takes_no_more_but_moves_within() {
    let server = server_with(Setup { quota_bytes: Some(10_000), ..Setup::default() });
    let mut client = server.inbox().await;
    let half = format!("A: b\r\n\r\n{}", "x".repeat(6_000));
    assert!(client.append("Inbox", &half).await.1.starts_with("OK"));
    assert!(client.append("Inbox", &half).await.1.starts_with("NO [OVERQUOTA]"));
    client.fails("COPY 1 Archive", "NO [OVERQUOTA]").await;
    // RFC 9051 §6.4.8: a move needs no room.
    client.ok("MOVE 1 Archive").await;
    server.check();
}

#[tokio::test]
async fn a_client_that_vanishes_in_a_message_leaves_nothing() {
    let server = server();
    let random: String = {
        let rng = mox_testkit::TestRng::new(3);
        (0..200_000).map(|_| format!("{:016x}", rng.next_u64())).collect()
    };
    // Part of a large one, and a large one whole without the end of the command.
    for (size, sent) in [(9_000_000, 3_000_000), (3_000_000, 3_000_000)] {
        let mut client = server.login().await;
        client.send(&format!("a APPEND Inbox {{{size}+}}\r\n")).await;
        client.send(&random[..sent]).await;
        client.vanish().await;
        assert_eq!(server.body_files(), Vec::<String>::new());
    }
    let mut client = server.login().await;
    assert!(client.append("Inbox", &random).await.1.starts_with("OK"));
    assert_eq!(server.body_files().len(), 1);
    assert_eq!(client.ok("STATUS Inbox (MESSAGES)").await, ["* STATUS Inbox (MESSAGES 1)"]);
    server.check();
}

/// A thousand small messages of one command used to be held in memory whatever their size.
#[tokio::test]
async fn one_command_does_not_take_all_memory() {
    let server = server();
    let mut client = server.login().await;
    let message = format!("A: b\r\n\r\n{}", "x".repeat(600_000));
    client.send("a APPEND Inbox").await;
    let mut count = 0_u64;
    let reply = loop {
        client.send(&format!(" {{{}}}\r\n", message.len())).await;
        let line = client.line().await;
        if !line.starts_with("+ ") {
            break line;
        }
        client.send(&message).await;
        count += 1;
    };
    assert!(reply.starts_with("a NO [LIMIT]"), "{reply}");
    assert!(count * 500_000 < mox_imapd::STAGED_BYTES_MAX + 1_000_000, "{count}");
    assert_eq!(client.ok("STATUS Inbox (MESSAGES)").await, ["* STATUS Inbox (MESSAGES 0)"]);
    server.check();
}

#[tokio::test]
async fn forms_of_append() {
    let server = server();
    let (mut client, mut other) = (server.inbox().await, server.inbox().await);
    client
        .send("a APPEND {5+}\r\nInbox (\\Flagged ZULU alpha) UTF8 (~{7+}\r\nA: \u{e9}\r\n)\r\n")
        .await;
    let (untagged, reply) = client.finish("a").await;
    assert_eq!((untagged.len(), reply.contains(" 1]")), (1, true), "{reply}");
    client.send("a APPEND Inbox ~{4+}\r\nA: \0 (\\Seen) {4}\r\n").await;
    assert_eq!(client.line().await, "+ ");
    client.send("C: d\r\n").await;
    let (untagged, reply) = client.finish("a").await;
    assert_eq!(untagged, ["* 3 EXISTS"]);
    assert!(reply.contains(" 2:3]"), "{reply}");
    let want = [
        "* 3 EXISTS",
        "* 1 FETCH (UID 1 FLAGS (\\Flagged alpha zulu))",
        "* 2 FETCH (UID 2 FLAGS ())",
        "* 3 FETCH (UID 3 FLAGS (\\Seen))",
    ];
    assert_eq!(other.ok("NOOP").await, want);
    // To another mailbox than the selected one nobody here is told.
    assert_eq!(client.append("Archive", MAIL).await.0, Vec::<String>::new());
    assert_eq!(other.ok("NOOP").await, Vec::<String>::new());
    server.check();
}

/// The date and zone that FETCH shows of a message.
async fn date(client: &mut Client, uid: u32) -> String {
    let lines = client.ok(&format!("UID FETCH {uid} (INTERNALDATE)")).await;
    let date = lines[0].split('"').nth(1).map(str::to_owned);
    date.unwrap_or_else(|| panic!("{lines:?}"))
}

/// RFC 9051 §2.3.3, §6.3.12; RFC 4469 §3 and RFC 8508 §3.1 for the other ways to add a message.
#[tokio::test]
async fn a_date_keeps_its_zone() {
    const EAST: &str = "20-Nov-2026 00:30:00 +0530";
    const WEST: &str = " 1-Nov-2026 23:59:59 -0930";
    let server = server();
    let mut client = server.inbox().await;
    client.ok(&format!("APPEND Inbox \"{EAST}\" {{4+}}\r\nA: b")).await;
    assert_eq!(date(&mut client, 1).await, EAST);
    client.ok(&format!("APPEND Inbox \"{WEST}\" CATENATE (TEXT {{4+}}\r\nA: b)")).await;
    assert_eq!(date(&mut client, 2).await, WEST);
    client.ok(&format!("UID REPLACE 1 Inbox \"{WEST}\" {{4+}}\r\nA: c")).await;
    assert_eq!(date(&mut client, 3).await, WEST);
    // Several at once, each with its own.
    let two = format!("\"{EAST}\" {{4+}}\r\nA: d \"{WEST}\" {{4+}}\r\nA: e");
    client.ok(&format!("APPEND Inbox {two}")).await;
    assert_eq!(date(&mut client, 4).await, EAST);
    assert_eq!(date(&mut client, 5).await, WEST);
    client.ok("UID MOVE 4 Archive").await;
    client.ok("UID COPY 5 Archive").await;
    // The day is that of the zone, as a search sees it. RFC 9051 §6.4.4.
    assert_eq!(client.ok("UID SEARCH ON 1-Nov-2026").await, ["* SEARCH 2 3 5"]);
    assert_eq!(client.ok("UID SEARCH SINCE 2-Nov-2026").await, ["* SEARCH"]);
    client.ok("SELECT Archive").await;
    assert_eq!(date(&mut client, 1).await, EAST);
    assert_eq!(date(&mut client, 2).await, WEST);
    client.fails("APPEND Inbox \"20-Nov-2026 00:30:00 +2400\" {4}", "BAD").await;
    server.check();
}
