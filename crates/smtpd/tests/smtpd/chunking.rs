//! Messages that come by BDAT. RFC 3030.

use std::time::Duration;

use mox_smtpd::{DATA_DEADLINE, Port, Service};
use mox_testkit::memory::{is_alone, resident_bytes};
use tokio::io::{AsyncWriteExt, DuplexStream};
use tokio::time::Instant;

use crate::support::{Client, Fixture, Setup};

async fn start(fixture: &Fixture, port: Port, body: &str) -> Client<DuplexStream> {
    let mut client = fixture.client(port).await;
    client.check(&format!("MAIL FROM:<a@client.example> BODY={body}"), "250").await;
    client.check("RCPT TO:<mjl@example.org>", "250").await;
    client
}

/// A message in chunks, each with its BDAT.
fn chunks(chunks: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (index, chunk) in chunks.iter().enumerate() {
        let last = if index + 1 == chunks.len() { " LAST" } else { "" };
        bytes.extend_from_slice(format!("BDAT {}{last}\r\n", chunk.len()).as_bytes());
        bytes.extend_from_slice(chunk);
    }
    bytes
}

/// Sends chunks pipelined, whole and in single bytes, and checks the last reply and what is stored
/// after `Received`.
async fn check(fixture: &Fixture, body: &str, parts: &[&[u8]], want: &str, stored: Option<&[u8]>) {
    for step in [usize::MAX, 1] {
        let before = fixture.counts(["mjl"])[0];
        let mut client = start(fixture, Fixture::port(Service::Delivery), body).await;
        for piece in chunks(parts).chunks(step) {
            client.send(piece).await;
            tokio::task::yield_now().await;
        }
        let mut reply = String::new();
        for _ in parts {
            reply = client.reply().await;
        }
        assert!(reply.starts_with(want), "{parts:?}: {reply}");
        client.check("RSET", "250").await;
        let messages = fixture.contents("mjl", "Inbox").split_off(before);
        let at =
            |message: &[u8]| message.windows(8).position(|it| it == b" +0000\r\n").unwrap() + 8;
        let bodies: Vec<_> = messages.iter().map(|m| m[at(m)..].to_vec()).collect();
        assert_eq!(bodies, Vec::from_iter(stored.map(<[u8]>::to_vec)), "{parts:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn chunks_are_stored_as_they_were_meant() {
    let fixture = Fixture::new();
    // Valid.
    check(
        &fixture,
        "7BIT",
        &[b"A: b\r\n\r\n", b".\r\n..x\r\n"],
        "250 2.2.0",
        Some(b"A: b\r\n\r\n.\r\n..x\r\n"),
    )
    .await;
    check(
        &fixture,
        "8BITMIME",
        &[b"A: b\r", b"\n\r\n\xff\r\n", b""],
        "250 2.2.0",
        Some(b"A: b\r\n\r\n\xff\r\n"),
    )
    .await;
    check(
        &fixture,
        "BINARYMIME",
        &[b"A: b\r\n\r\n\0\r", b"\n\n\xff"],
        "250 2.2.0",
        Some(b"A: b\r\n\r\n\0\r\n\n\xff"),
    )
    .await;
    // At its edge: lines that end with LF, no header, nothing at all.
    check(&fixture, "7BIT", &[b"A: b\n\nx\n.\ny"], "250", Some(b"A: b\r\n\r\nx\r\n.\r\ny\r\n"))
        .await;
    check(&fixture, "7BIT", &[b"Hello there"], "250", Some(b"\r\nHello there\r\n")).await;
    check(&fixture, "7BIT", &[b""], "250", Some(b"\r\n")).await;
    // Past it; the chunks after are skipped.
    check(&fixture, "7BIT", &[b"A: b\r\n\r\nx\ry"], "500 5.5.2", None).await;
    check(&fixture, "7BIT", &[b"A: b\r\n\r\nx\ry", b"QUIT\r\n", b"QUIT\r\n"], "503 5.5.1", None)
        .await;
    fixture.check();
}

#[tokio::test(start_paused = true)]
async fn a_chunk_over_the_limit_is_read_to_its_end_and_refused() {
    // RFC 1870 §6.3; RFC 3030 §2.
    let fixture = Fixture::new();
    let port = Port { message_bytes_max: 100, ..Fixture::port(Service::Delivery) };
    let fits = format!("A: b\r\n\r\n{}\r\n", "x".repeat(90));
    for (parts, want) in [
        (vec![fits.as_bytes()], "250"),
        (vec![fits.as_bytes(), b""], "250"),
        (vec![fits.as_bytes(), b"x"], "552 5.2.3"),
        (vec![&[b'x'; 101][..]], "552 5.2.3"),
    ] {
        let mut client = start(&fixture, port.clone(), "7BIT").await;
        client.send(&chunks(&parts)).await;
        let mut reply = String::new();
        for _ in &parts {
            reply = client.reply().await;
        }
        assert!(reply.starts_with(want), "{reply}");
        client.check("NOOP", "250").await;
    }
    assert_eq!(fixture.counts(["mjl"]), [2]);
    // What nobody can wait for.
    let mut client = start(&fixture, port, "7BIT").await;
    client.check("BDAT 99999999999999999999 LAST", "552").await;
    client.closed().await;
}

#[tokio::test]
async fn a_client_that_goes_away_between_chunks_has_sent_none() {
    let fixture = Fixture::new();
    for part in ["BDAT 8\r\nA: b\r\n\r\n", "BDAT 9 LAST\r\nA: b\r\n\r\n", "BDAT 8 LAST"] {
        let mut client = start(&fixture, Fixture::port(Service::Delivery), "7BIT").await;
        client.send(part.as_bytes()).await;
        client.stream.shutdown().await.unwrap();
        let bytes_left = client.lines().await.concat();
        assert!(bytes_left.is_empty() || bytes_left.starts_with("250 2.0.0 8 bytes"));
    }
    assert_eq!(fixture.counts(["mjl"]), [0]);
    fixture.check();
}

#[tokio::test]
async fn many_chunks_are_in_a_file_and_not_in_memory() {
    if !is_alone("chunking::many_chunks_are_in_a_file_and_not_in_memory") {
        return;
    }
    const CHUNKS: usize = 1_600;
    let fixture = Fixture::new();
    let port = Port { message_bytes_max: 200 << 20, ..Fixture::port(Service::Delivery) };
    let mut client = start(&fixture, port, "7BIT").await;
    client.send(b"BDAT 17\r\nSubject: huge\r\n\r\n").await;
    assert!(client.reply().await.starts_with("250"));
    let chunk = format!("{}\r\n", "0123456789".repeat(7)).repeat(1_000);
    let before = resident_bytes();
    let mut most = before;
    for _ in 0..CHUNKS {
        client.check(&format!("BDAT {}\r\n{chunk}NOOP", chunk.len()), "250").await;
        assert!(client.reply().await.starts_with("250"));
        most = most.max(resident_bytes());
    }
    client.check("BDAT 0 LAST", "250 2.2.0").await;
    assert!(most - before < 64 << 20, "{} KB more", (most - before) >> 10);
    assert_eq!(fixture.spooled_files(), 0);
    assert_eq!(fixture.counts(["mjl"]), [1]);
}

#[tokio::test]
async fn chunks_that_cannot_be_spooled_are_read_and_refused() {
    let fixture = Fixture::with(Setup { has_spool_dir: false, ..Setup::default() });
    let port = Port { message_bytes_max: 10 << 20, ..Fixture::port(Service::Delivery) };
    let large = format!("Subject: x\r\n\r\n{}", "0123456789\r\n".repeat(200_000));
    let mut client = start(&fixture, port, "7BIT").await;
    client.send(&chunks(&[large.as_bytes(), b"QUIT\r\n"])).await;
    assert!(client.reply().await.starts_with("451 4.3.0"));
    assert!(client.reply().await.starts_with("503 5.5.1"));
    // Small ones need no file.
    client.check("MAIL FROM:<a@client.example>", "250").await;
    client.check("RCPT TO:<mjl@example.org>", "250").await;
    client.send(&chunks(&[b"A: b\r\n\r\n"])).await;
    assert!(client.reply().await.starts_with("250 2.2.0"));
    assert_eq!(fixture.counts(["mjl"]), [1]);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_stops_within_a_chunk_is_told_so() {
    let fixture = Fixture::new();
    for line in ["BDAT 10 LAST", "RSET\r\nBDAT 10"] {
        let mut client = start(&fixture, Fixture::port(Service::Delivery), "7BIT").await;
        client.send(format!("{line}\r\nshort").as_bytes()).await;
        let mut reply = client.reply().await;
        if reply.starts_with("250") {
            reply = client.reply().await;
        }
        assert!(reply.starts_with("421 4.4.2"), "{reply}");
        client.closed().await;
    }
}

/// RFC 2920 §3.2: replies do not wait for a chunk whose command came with the others.
#[tokio::test]
async fn replies_are_there_before_the_chunk() {
    let fixture = Fixture::new();
    let mut client = fixture.client(Fixture::port(Service::Delivery)).await;
    client.send(b"MAIL FROM:<a@client.example>\r\nRCPT TO:<mjl@example.org>\r\n").await;
    client.send(b"BDAT 8 LAST\r\nA").await;
    for _ in ["MAIL", "RCPT"] {
        assert!(client.reply().await.starts_with("250 2.1.0"));
    }
    client.send(b": b\r\n\r\nRSET\r\nBDAT 6\r\n").await;
    for want in ["250 2.2.0", "250 2.0.0"] {
        let reply = client.reply().await;
        assert!(reply.starts_with(want), "{reply}");
    }
    client.send(b"QUIT\r\n").await;
    assert!(client.reply().await.starts_with("503 5.5.1"));
}

/// Attack: small chunks far apart, to hold a message open for ever.
#[tokio::test(start_paused = true)]
async fn a_message_in_chunks_has_one_deadline() {
    const PAUSE: Duration = Duration::from_secs(4 * 60);

    let fixture = Fixture::new();
    let mut client = start(&fixture, Fixture::port(Service::Delivery), "7BIT").await;
    let started = Instant::now();
    loop {
        client.send(b"BDAT 1\r\nx").await;
        let reply = client.reply().await;
        if reply.starts_with("421 4.4.2") {
            break;
        }
        assert!(reply.starts_with("250"), "{reply}");
        assert!(started.elapsed() < DATA_DEADLINE.limit + PAUSE);
        tokio::time::sleep(PAUSE).await;
    }
    assert!(started.elapsed() >= DATA_DEADLINE.limit);
    client.closed().await;
}

/// RFC 8689 §2: `NoRequireTLS` switches it off, and without TLS it means nothing.
#[tokio::test]
async fn requiretls_needs_tls() {
    let fixture = Fixture::new();
    let mut client = fixture.deliverer().await;
    client.check("MAIL FROM:<a@client.example> REQUIRETLS", "523 5.7.10").await;
    let port = Port { offers_requiretls: false, ..Fixture::port(Service::Delivery) };
    let mut client = fixture.client(port).await;
    client.check("MAIL FROM:<a@client.example> REQUIRETLS", "555 5.3.3").await;
}
