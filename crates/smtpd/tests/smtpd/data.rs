//! What may come as data.

use mox_smtpd::{Port, Service};
use mox_testkit::memory::{is_alone, resident_bytes};
use tokio::io::AsyncWriteExt;

use crate::support::{Client, Fixture};

type Stream = tokio::io::DuplexStream;

async fn start(fixture: &Fixture) -> Client<Stream> {
    let mut client = fixture.deliverer().await;
    client.check("MAIL FROM:<a@client.example>", "250").await;
    client.check("RCPT TO:<mjl@example.org>", "250").await;
    client.check("DATA", "354").await;
    client
}

/// Sends data whole and in single bytes, and checks the reply and what is stored after `Received`.
async fn check(fixture: &Fixture, data: &str, want: &str, stored: Option<&str>) {
    for step in [usize::MAX, 1] {
        let before = fixture.messages("mjl", "Inbox").len();
        let mut client = start(fixture).await;
        for piece in data.as_bytes().chunks(step) {
            client.send(piece).await;
            tokio::task::yield_now().await;
        }
        let reply = client.reply().await;
        assert!(reply.starts_with(want), "{data:?}: {reply}");
        let messages = fixture.messages("mjl", "Inbox").split_off(before);
        let bodies: Vec<&str> =
            messages.iter().map(|m| m.split_once(" +0000\r\n").unwrap().1).collect();
        assert_eq!(bodies, Vec::from_iter(stored), "{data:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn data_is_stored_as_it_was_meant() {
    let fixture = Fixture::new();
    let cases: &[(&str, &str, Option<&str>)] = &[
        // Valid. RFC 5321 §4.5.2.
        ("A: b\r\n\r\nx\r\n..y\r\n.\r\n", "250 2.2.0", Some("A: b\r\n\r\nx\r\n.y\r\n")),
        ("\r\nbody\r\n.\r\n", "250 2.2.0", Some("\r\nbody\r\n")),
        // At its edge: bare line feeds, no header, nothing at all, a fold without a field.
        ("A: b\n\nx\n\r\n.\r\n", "250", Some("A: b\r\n\r\nx\r\n\r\n")),
        ("Hello there\r\n.\r\n", "250", Some("\r\nHello there\r\n")),
        (".\r\n", "250", Some("\r\n")),
        (" folded\r\n.\r\n", "250", Some("\r\n folded\r\n")),
        ("..\r\n.\r\n", "250", Some("\r\n.\r\n")),
        // Past it: what another server could take for an end.
        ("A: b\r\n\r\nx\n.\n\r\n.\r\n", "500 5.5.2", None),
        ("A: b\r\n\r\nx\n.\r\nQUIT\r\n.\r\n", "500 5.5.2", None),
        ("A: b\r\n\r\nx\r\n.\nQUIT\r\n.\r\n", "500 5.5.2", None),
        ("A: b\r\rx\r\n.\r\n", "500 5.5.2", None),
        ("A: b\r\n\r\nx\r.\r\r\n.\r\n", "500 5.5.2", None),
        ("A: b\r\n\r\nx\n.\r\r\n.\r\n", "500 5.5.2", None),
    ];
    for (data, want, stored) in cases {
        check(&fixture, data, want, *stored).await;
    }
    fixture.check();
}

#[tokio::test(start_paused = true)]
async fn a_smuggled_command_is_data_and_the_connection_goes_on_slowly() {
    let fixture = Fixture::new();
    let mut client = start(&fixture).await;
    let smuggled = b"A: b\r\n\r\nx\n.\r\nMAIL FROM:<evil@client.example>\r\n.\r\nNOOP\r\n";
    client.send(smuggled).await;
    let reply = client.reply().await;
    assert!(reply.starts_with("500 5.5.2") && reply.contains("smuggling"), "{reply}");
    assert!(client.reply().await.starts_with("250 2.0.0"), "only NOOP is a command");
    let before = tokio::time::Instant::now();
    client.check("MAIL FROM:<a@client.example>", "250").await;
    assert!(before.elapsed().as_secs() >= 10, "a byte a second");
    assert_eq!(fixture.counts(["mjl"]), [0]);
}

#[tokio::test(start_paused = true)]
async fn a_message_in_a_loop_is_refused() {
    // RFC 5321 §6.3.
    for (count, want) in [(100, "250"), (101, "550 5.4.6")] {
        let fixture = Fixture::new();
        let mut client = start(&fixture).await;
        client.send("Received: x\r\n".repeat(count).as_bytes()).await;
        let reply = client.say("\r\nbody\r\n.").await;
        assert!(reply.starts_with(want), "{count}: {reply}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_over_the_limit_is_read_to_its_end_and_refused() {
    // RFC 1870 §6.1, §6.3.
    let fixture = Fixture::new();
    let port = Port { message_bytes_max: 100, ..Fixture::port(Service::Delivery) };
    let mut client = fixture.client(port.clone()).await;
    client.check("MAIL FROM:<a@client.example> SIZE=101", "552 5.2.3").await;
    let fits = format!("A: b\r\n\r\n{}\r\n", "x".repeat(90));
    let reply = client.transact("a@client.example", &["mjl@example.org"], &fits).await;
    assert!(reply.starts_with("250"), "{reply}");
    let over = format!("A: b\r\n\r\n{}\r\n", "x".repeat(91));
    let reply = client.transact("a@client.example", &["mjl@example.org"], &over).await;
    assert!(reply.starts_with("552 5.2.3"), "{reply}");
    assert_eq!(fixture.counts(["mjl"]), [1]);
}

#[tokio::test]
async fn a_client_that_goes_away_within_a_message_has_sent_none() {
    let fixture = Fixture::new();
    for part in [
        &b"A: b\r\n\r\nbody"[..],
        b"A: b\r\n\r\nbody\r\n",
        b"A: b\r\n\r\nbody\r\n.",
        b"A: b\r\n\r\nbody\r\n.\r",
    ] {
        let mut client = start(&fixture).await;
        client.send(part).await;
        client.stream.shutdown().await.unwrap();
        client.closed().await;
    }
    assert_eq!(fixture.counts(["mjl"]), [0]);
    fixture.check();
}

#[tokio::test]
async fn a_huge_message_is_in_a_file_and_not_in_memory() {
    if !is_alone("data::a_huge_message_is_in_a_file_and_not_in_memory") {
        return;
    }
    const MESSAGE_BYTES: usize = 100 << 20;
    let fixture = Fixture::new();
    let port = Port { message_bytes_max: 200 << 20, ..Fixture::port(Service::Delivery) };
    let mut client = fixture.client(port).await;
    client.check("MAIL FROM:<a@client.example> SIZE=104857600", "250").await;
    client.check("RCPT TO:<mjl@example.org>", "250").await;
    client.check("DATA", "354").await;
    let before = resident_bytes();
    client.send(b"Subject: huge\r\n\r\n").await;
    let line = format!("{}\r\n", "0123456789".repeat(7));
    let lines = line.repeat(1_000);
    let mut most = before;
    for _ in 0..MESSAGE_BYTES / lines.len() {
        client.send(lines.as_bytes()).await;
        most = most.max(resident_bytes());
    }
    assert!(client.say(".").await.starts_with("250"));
    most = most.max(resident_bytes());
    assert!(most - before < 64 << 20, "{} KB more", (most - before) >> 10);
    assert_eq!(fixture.spooled_files(), 0);
    assert_eq!(fixture.counts(["mjl"]), [1]);
}

#[tokio::test]
async fn a_line_of_any_length_is_a_line() {
    let fixture = Fixture::new();
    let mut client = start(&fixture).await;
    client.send(b"Subject: x\r\n\r\n").await;
    for _ in 0..50 {
        client.send(&[b'x'; 10_000]).await;
    }
    assert!(client.say("\r\n.").await.starts_with("250"));
    let message = &fixture.messages("mjl", "Inbox")[0];
    assert!(message.ends_with(&format!("{}\r\n", "x".repeat(500_000))));
}
