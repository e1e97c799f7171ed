//! Mail programs of our users.

use mox_base::{Rng, Secret};
use mox_sasl::{ChannelBindings, Mechanism};
use mox_smtpd::{Port, Service};
use mox_testkit::TestRng;

use crate::support::{Client, Fixture, PASSWORD, Sent, Setup, encode, plain};

const USER: &str = "mjl@example.org";
const MESSAGE: &str = "From: M <mjl@example.org>\r\nTo: other@example.org\r\n\
    Message-ID: <1@x>\r\nDate: Fri, 20 Nov 2026 08:55:32 +0000\r\n\r\nHi.\r\n";

fn fixture() -> Fixture {
    let fixture = Fixture::new();
    fixture.set_password("mjl");
    fixture
}

#[tokio::test]
async fn mail_takes_a_login_and_a_login_takes_a_password() {
    // RFC 6409 §4.3, RFC 4954 §4.
    let fixture = fixture();
    let mut client = fixture.client(Fixture::port(Service::Submission)).await;
    let wrong = plain(USER, "wrong horse");
    let unknown = plain("nobody@example.org", PASSWORD);
    client
        .dialogue(&format!(
            "MAIL FROM:<mjl@example.org> => 530 5.7.0
             AUTH PLAIN {wrong} => 535 5.7.8
             AUTH PLAIN {unknown} => 535 5.7.8
             AUTH PLAIN ! => 501 5.5.2
             AUTH CRAM-MD5 => 504 5.5.4
             AUTH SCRAM-SHA-256-PLUS => 538 5.7.11
             MAIL FROM:<mjl@example.org> => 530 5.7.0"
        ))
        .await;
    client.login("mjl+phone@example.org").await;
    client.check("AUTH PLAIN", "503 5.5.1").await;
    let reply = client.transact(USER, &["other@example.org"], MESSAGE).await;
    assert!(reply.starts_with("250 2.2.0"), "{reply}");
    // Everything goes by the queue, also what comes back here.
    assert_eq!(fixture.only_queued().to(), "other@example.org");
    assert_eq!(fixture.counts(["mjl", "other"]), [0, 0]);
}

/// Logs in with our own client of the mechanism.
async fn log_in(client: &mut Client<tokio::io::DuplexStream>, mechanism: Mechanism) -> String {
    let mut nonce = [0; mox_sasl::NONCE_BYTES];
    TestRng::new(5).fill(&mut nonce);
    let bindings = ChannelBindings::default();
    let secret = Secret::new(PASSWORD);
    let mut sasl = mox_sasl::Client::new(mechanism, USER, secret, &[], &bindings, nonce).unwrap();
    let first = sasl.initial().map(|message| format!(" {}", encode(&message)));
    let mut reply =
        client.say(&format!("AUTH {}{}", mechanism.name(), first.unwrap_or_default())).await;
    while let Some(challenge) = reply.strip_prefix("334 ") {
        use base64::Engine;
        let challenge = base64::engine::general_purpose::STANDARD.decode(challenge).unwrap();
        let response = sasl.step(&challenge).unwrap();
        reply = client.say(&encode(&response)).await;
    }
    sasl.finish().unwrap();
    reply
}

#[tokio::test]
async fn every_mechanism_logs_in() {
    let fixture = fixture();
    for mechanism in
        [Mechanism::Plain, Mechanism::Login, Mechanism::ScramSha1, Mechanism::ScramSha256]
    {
        let mut client = fixture.client(Fixture::port(Service::Submission)).await;
        let reply = log_in(&mut client, mechanism).await;
        assert!(reply.starts_with("235 2.7.0"), "{}: {reply}", mechanism.name());
        client.check("MAIL FROM:<mjl@example.org>", "250").await;
    }
}

#[tokio::test]
async fn a_login_may_be_given_up() {
    // RFC 4954 §4.
    let fixture = fixture();
    let mut client = fixture.client(Fixture::port(Service::Submission)).await;
    client
        .dialogue(
            "AUTH LOGIN => 334 VXNlcm5hbWU6
             * => 501 5.5.0
             AUTH PLAIN => 334
             = => 501
             NOOP => 250",
        )
        .await;
}

#[tokio::test]
async fn a_disabled_account_is_told_so_after_its_password() {
    let fixture = Fixture::new();
    fixture.set_password("out");
    let mut client = fixture.client(Fixture::port(Service::Submission)).await;
    let wrong = plain("out@example.org", "wrong horse");
    client.check(&format!("AUTH PLAIN {wrong}"), "535 5.7.8").await;
    let right = plain("out@example.org", PASSWORD);
    let reply = client.say(&format!("AUTH PLAIN {right}")).await;
    assert!(reply.starts_with("525 5.7.13") && reply.contains("on leave"), "{reply}");
    client.check("MAIL FROM:<out@example.org>", "530").await;
}

#[tokio::test]
async fn no_password_without_tls_where_tls_is_wanted() {
    // RFC 8314 §3.3.
    let fixture = fixture();
    let port = Port { requires_tls: true, ..Fixture::port(Service::Submission) };
    let mut client = fixture.client(port).await;
    let right = plain(USER, PASSWORD);
    client.check(&format!("AUTH PLAIN {right}"), "538 5.7.11").await;
    client.send(b"EHLO x\r\n").await;
    assert!(!client.lines().await.iter().any(|line| line.contains("AUTH")));
}

#[tokio::test]
async fn a_sender_is_one_of_the_user() {
    let fixture = fixture();
    let mut client = fixture.submitter(USER).await;
    client
        .dialogue(
            "MAIL FROM:<other@example.org> => 550 5.7.1
             MAIL FROM:<x@elsewhere.example> => 550 5.7.1
             MAIL FROM:<mjl@[127.0.0.1]> => 550 5.7.1
             MAIL FROM:<team@example.org> => 550 5.7.1
             MAIL FROM:<mjl@off.example> => 451 4.3.0
             MAIL FROM:<staff@example.org> => 250
             RSET => 250
             MAIL FROM:<lists+x@example.org> => 250
             RSET => 250
             MAIL FROM:<> => 250",
        )
        .await;
}

/// RFC 6409 §5.1: what is known to fail is refused at once.
#[tokio::test]
async fn recipients_anywhere_are_taken_but_for_those_here_that_are_none() {
    let fixture = fixture();
    let mut client = fixture.submitter(USER).await;
    client
        .dialogue(
            "MAIL FROM:<mjl@example.org> => 250
             RCPT TO:<nobody@example.org> => 550 5.1.1
             RCPT TO:<mjl@off.example> => 450 4.2.1
             RCPT TO:<gone@example.org> => 550 5.1.1 moved away
             RCPT TO:<busy@example.org> => 451 4.3.0
             RCPT TO:<x@elsewhere.example> => 250
             RCPT TO:<x@[192.0.2.1]> => 250
             RCPT TO:<other@example.org> => 250
             RCPT TO:<staff@example.org> => 250
             RCPT TO:<small@example.org> => 250
             RCPT TO:<Postmaster> => 250",
        )
        .await;
    assert!(client.data(MESSAGE).await.starts_with("250"));
    let rcpts: Vec<_> = fixture.queued().iter().map(Sent::to).collect();
    let want = [
        "x@elsewhere.example",
        "x@[192.0.2.1]",
        "other@example.org",
        "staff@example.org",
        "small@example.org",
        "postmaster@mail.example.org",
    ];
    assert_eq!(rcpts, want);
}

/// Submits a message and checks the reply.
async fn check(fixture: &Fixture, message: &str, want: &str) {
    let mut client = fixture.submitter(USER).await;
    let reply = client.transact(USER, &["other@example.org"], message).await;
    assert!(reply.starts_with(want), "{message:?}: {reply}");
}

/// RFC 6409 §6, RFC 5322 §3.6.
#[tokio::test]
async fn a_message_says_truly_who_it_is_from() {
    let fixture = fixture();
    check(&fixture, "From: staff@example.org\r\n\r\nx\r\n", "250").await;
    check(&fixture, "From: mjl@example.org\r\n\r\n", "250").await;
    check(&fixture, "From: other@example.org\r\n\r\nx\r\n", "550 5.7.1").await;
    check(&fixture, "From: mjl@off.example\r\n\r\nx\r\n", "451 4.3.0").await;
    check(&fixture, "From: mjl@example.org, lists@example.org\r\n\r\n", "550 5.6.0").await;
    check(&fixture, "Subject: x\r\n\r\nx\r\n", "550 5.6.0").await;
    check(&fixture, "Hello\r\nFrom: mjl@example.org\r\n\r\nx\r\n", "550 5.6.0").await;
    check(&fixture, "From: mjl@example.org\r\n", "554 5.6.0").await;
    let long = format!("X: {}\r\n", "x".repeat(70)).repeat(4_000);
    check(&fixture, &format!("From: mjl@example.org\r\n{long}\r\n"), "554 5.6.0").await;
}

#[tokio::test]
async fn what_a_message_lacks_is_added_and_bcc_is_not_told() {
    // RFC 6409 §8.2, §8.3; RFC 5322 §3.6.3.
    let fixture = fixture();
    let mut client = fixture.submitter(USER).await;
    let message = "From: mjl@example.org\r\nBcc: lists@example.org,\r\n other@example.org\r\n\
                   Subject: x\r\n\r\nBcc: stays\r\n";
    let rcpts = ["other@example.org", "lists@example.org"];
    assert!(client.transact(USER, &rcpts, message).await.starts_with("250"));
    let queued = fixture.queued();
    let (prefix, rest) = queued[0].text.split_once("Message-Id: <").unwrap();
    assert_eq!(
        prefix,
        format!(
            "Received: from mail.example.org by mail.example.org ([127.0.0.1]) via tcp\r\n\t\
             with ESMTPA id {}; 20 Nov 2026 08:55:32 +0000\r\n",
            mox_smtpd::ReceivedIds::new([1; 16], [2; 8]).id(1)
        )
    );
    let (id, rest) = rest.split_at(22);
    assert!(id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'), "{id}");
    assert_eq!(
        rest,
        "@mail.example.org>\r\nDate: Fri, 20 Nov 2026 08:55:32 +0000\r\n\
         Authentication-Results: mail.example.org;\r\n\
         \tauth=pass smtp.mailfrom=mjl@example.org\r\n\
         From: mjl@example.org\r\nSubject: x\r\n\r\nBcc: stays\r\n"
    );
    assert_eq!(queued[1].text, queued[0].text);
    assert_eq!(queued[1].row.body_id, queued[0].row.body_id, "it is kept once");
    assert_eq!(queued[0].row.size, queued[0].text.len() as u64);
    assert_eq!(queued[0].row.message_id, format!("<{id}@mail.example.org>"));
}

#[tokio::test]
async fn a_large_message_loses_its_bcc_too() {
    let fixture = fixture();
    let port = Port { message_bytes_max: 10 << 20, ..Fixture::port(Service::Submission) };
    let mut client = fixture.client(port).await;
    client.login(USER).await;
    let body = format!("{}\r\n", "x".repeat(998)).repeat(2_000);
    let message = format!(
        "{}Bcc: s@t.example\r\n\r\n{body}",
        MESSAGE.split_once("\r\n\r\n").unwrap().0.to_owned() + "\r\n"
    );
    assert!(client.transact(USER, &["other@example.org"], &message).await.starts_with("250"));
    let sent = fixture.only_queued().text;
    assert!(sent.ends_with(&format!("+0000\r\n\r\n{body}")) && !sent.contains("Bcc"));
}

#[tokio::test]
async fn pedantic_wants_what_the_rfcs_want() {
    let fixture = Fixture::with(Setup { is_pedantic: true, ..Setup::default() });
    fixture.set_password("mjl");
    check(&fixture, "From: mjl@example.org\r\n\r\nx\r\n", "250").await;
    check(&fixture, "Return-Path: <>\r\nFrom: mjl@example.org\r\n\r\nx\r\n", "550 5.6.0").await;
    check(&fixture, "From: mjl@example.org\r\n\r\n\u{e9}\r\n", "500 5.6.0").await;
    let mut client = fixture.submitter(USER).await;
    client.check("MAIL FROM:<mjl@example.org> BODY=8BITMIME", "250").await;
    client.check("RCPT TO:<other@example.org>", "250").await;
    let reply = client.data("From: mjl@example.org\r\nSubject: \u{e9}\r\n\r\nx\r\n").await;
    assert!(reply.starts_with("550 5.6.0"), "{reply}");
}
