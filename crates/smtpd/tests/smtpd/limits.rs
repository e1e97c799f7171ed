//! Clients that ask too much, are too slow, or come at the wrong time.

use std::time::Duration;

use mox_net::{AuthFailures, CLASSES, ConnectionLimits, Window};
use mox_smtpd::{Port, Service};
use tokio::time::Instant;

use crate::support::{Client, Fixture, PASSWORD, Setup, plain};

/// The first line of a connection, and whether it is the last.
async fn greeting(fixture: &Fixture, port: Port) -> Client<tokio::io::DuplexStream> {
    let (stream, served) = fixture.open(port);
    Client { stream, served }
}

async fn check_refused(fixture: &Fixture, kind: Service, want: &str) {
    let mut client = greeting(fixture, Fixture::port(kind)).await;
    let reply = client.reply().await;
    assert!(reply.starts_with(want), "{reply}");
    client.closed().await;
}

#[tokio::test]
async fn connections_are_limited_by_rate_and_number() {
    let limits = ConnectionLimits::with(&[Window { secs: 60, limits: [2; CLASSES] }], [9; CLASSES]);
    let fixture = Fixture::with(Setup { limits, ..Setup::default() });
    for _ in 0..2 {
        fixture.deliverer().await;
    }
    check_refused(&fixture, Service::Delivery, "421 4.7.0").await;

    let fixture = Fixture::with(Setup {
        limits: ConnectionLimits::with(&[], [1; CLASSES]),
        ..Setup::default()
    });
    let mut first = fixture.deliverer().await;
    check_refused(&fixture, Service::Delivery, "421 4.7.0").await;
    first.check("QUIT", "221").await;
    first.closed().await;
    fixture.deliverer().await;
}

#[tokio::test(start_paused = true)]
async fn failed_logins_cost_time_and_then_the_service() {
    let failures = AuthFailures::with(&[Window { secs: 60, limits: [5; CLASSES] }]);
    let fixture = Fixture::with(Setup { failures, ..Setup::default() });
    fixture.set_password("mjl");
    let mut client = fixture.client(Fixture::port(Service::Submission)).await;
    let wrong = format!("AUTH PLAIN {}", plain("mjl@example.org", "wrong horse"));
    let before = Instant::now();
    for _ in 0..3 {
        client.check(&wrong, "535 5.7.8").await;
    }
    assert!(before.elapsed() < Duration::from_secs(40), "{:?}", before.elapsed());
    let before = Instant::now();
    client.check(&wrong, "535 5.7.8").await;
    assert!(before.elapsed() > Duration::from_secs(20), "a byte a second from now on");
    client.check(&wrong, "535 5.7.8").await;
    // The sixth is not even looked at, the right password or not; and new connections neither.
    let right = format!("AUTH PLAIN {}", plain("mjl@example.org", PASSWORD));
    client.check(&right, "454 4.7.0").await;
    check_refused(&fixture, Service::Submission, "421 4.7.0").await;
    // Other servers are not concerned.
    fixture.deliverer().await;
}

#[tokio::test(start_paused = true)]
async fn a_right_password_ends_the_slowness() {
    let fixture = Fixture::new();
    fixture.set_password("mjl");
    let mut client = fixture.client(Fixture::port(Service::Submission)).await;
    let wrong = format!("AUTH PLAIN {}", plain("mjl@example.org", "wrong horse"));
    for _ in 0..4 {
        client.check(&wrong, "535 5.7.8").await;
    }
    client.login("mjl@example.org").await;
    client.check("NOOP", "250").await;
    let before = Instant::now();
    client.check("NOOP", "250").await;
    assert!(before.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_is_closed_after_five_minutes() {
    // RFC 5321 §4.5.3.2.7.
    let fixture = Fixture::new();
    let mut client = fixture.deliverer().await;
    let before = Instant::now();
    assert!(client.reply().await.starts_with("421 4.4.2"));
    assert!(before.elapsed() >= mox_smtpd::COMMAND_WAIT.limit);
    client.closed().await;
}

#[tokio::test(start_paused = true)]
async fn a_command_that_drips_in_is_closed_as_well() {
    let fixture = Fixture::new();
    let mut client = fixture.deliverer().await;
    let before = Instant::now();
    for _ in 0..4 {
        client.send(b"X").await;
        tokio::time::advance(Duration::from_secs(60)).await;
        tokio::task::yield_now().await;
    }
    assert!(client.reply().await.starts_with("421 4.4.2"));
    assert!(before.elapsed() < Duration::from_secs(310), "{:?}", before.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_message_that_does_not_go_on_is_given_up() {
    let fixture = Fixture::new();
    let mut client = fixture.deliverer().await;
    client.check("MAIL FROM:<a@client.example>", "250").await;
    client.check("RCPT TO:<mjl@example.org>", "250").await;
    client.check("DATA", "354").await;
    client.send(b"Subject: x\r\n\r\nbo").await;
    let before = Instant::now();
    assert!(client.reply().await.starts_with("421 4.4.2"));
    assert!(before.elapsed() >= mox_smtpd::DATA_WAIT.limit);
    client.closed().await;
    assert_eq!(fixture.counts(["mjl"]), [0]);
}

#[tokio::test]
async fn what_is_no_smtp_is_closed() {
    let fixture = Fixture::new();
    for bytes in [&b"GET / HTTP/1.1\r\n"[..], b"\x16\x03\x01\x02\x00\r\n", b"\xff\xff\xff\r\n"] {
        let mut client = greeting(&fixture, Fixture::port(Service::Delivery)).await;
        assert!(client.reply().await.starts_with("220"));
        client.send(bytes).await;
        assert!(client.reply().await.starts_with("500"), "{}", bytes.escape_ascii());
        client.closed().await;
    }
    let mut client = fixture.deliverer().await;
    client.send(&[b'x'; 2_048]).await;
    assert!(client.reply().await.starts_with("500 5.5.0"));
    client.closed().await;
}

#[tokio::test]
async fn a_shutdown_ends_connections_with_their_next_command() {
    let fixture = Fixture::new();
    let mut idle = fixture.deliverer().await;
    let mut busy = fixture.deliverer().await;
    busy.check("MAIL FROM:<a@client.example>", "250").await;
    busy.check("RCPT TO:<mjl@example.org>", "250").await;
    busy.check("DATA", "354").await;
    busy.send(b"Subject: x\r\n\r\nbody\r\n").await;
    fixture.stopping.cancel();
    assert!(idle.reply().await.starts_with("421 4.3.2"));
    idle.closed().await;
    // A message under way is still taken: nothing is won by having it sent again.
    assert!(busy.say(".").await.starts_with("250 2.2.0"));
    assert!(busy.reply().await.starts_with("421 4.3.2"));
    busy.closed().await;
    assert_eq!(fixture.counts(["mjl"]), [1]);
    check_refused(&fixture, Service::Delivery, "421 4.3.2").await;
}

#[tokio::test]
async fn a_client_that_only_fails_is_sent_away() {
    let fixture = Fixture::new();
    let port = Port { message_bytes_max: 20, ..Fixture::port(Service::Submission) };
    fixture.set_password("mjl");
    let mut client = fixture.client(port).await;
    client.login("mjl@example.org").await;
    for _ in 0..11 {
        let message = format!("From: {}\r\n\r\n", "x".repeat(50));
        let rcpts = ["mjl@example.org"];
        let reply = client.transact("mjl@example.org", &rcpts, &message).await;
        assert!(reply.starts_with("552"), "{reply}");
    }
    client.check("MAIL FROM:<mjl@example.org>", "550 5.1.0").await;
    client.closed().await;
}
