//! What holds for the client whatever a server sends.

mod client;

use client::{Client, Event};
use mox_smtp::client::{GROUP_BYTES_MAX, TlsUse};
use proptest::prelude::*;

fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => prop::sample::select(vec![
            "220 hi", "250 ok", "250-x", "250-PIPELINING", "250 CHUNKING", "250-BINARYMIME",
            "250 STARTTLS", "250-AUTH PLAIN SCRAM-SHA-256 LOGIN", "250 SMTPUTF8", "251 ok",
            "250-LIMITS RCPTMAX=1 X", "250-REQUIRETLS", "334 VXNlcm5hbWU6", "235 ok", "354 go",
            "421 bye", "450 later", "452 full", "500 what", "501 no", "502 no", "550 no", "552 full",
        ]).prop_map(str::to_owned),
        1 => "[2-5][0-9]{2}[- ][ -~é]{0,20}",
        1 => "[ -~]{0,10}",
    ]
}

proptest! {
    /// RFC 5321 §4.2: any replies in any order.
    #[test]
    fn no_replies_do_harm(bits: u8, begins: bool, lines in prop::collection::vec(line(), 0..60)) {
        let begin = ["220 hi", "250-x", "250-CHUNKING", "250 PIPELINING"];
        let begin = begin.into_iter().filter(|_| begins).map(str::to_owned);
        let text: String = begin.chain(lines).map(|line| format!("{line}\r\n")).collect();
        client::check(bits, text.as_bytes());
    }

    #[test]
    fn no_bytes_do_harm(bits: u8, bytes: Vec<u8>) {
        client::check(bits, &bytes);
    }
}

/// RFC 2920 §3.1: what is sent before replies are read is bounded, and nobody is left out.
#[test]
fn many_recipients_are_sent_in_groups() {
    const RCPTS: usize = 5_000;
    let mut client = Client::new(client::config(TlsUse::Never, None), false);
    client.receive(b"220 hi\r\n250-x\r\n250 PIPELINING\r\n");
    client.take_events();
    client.deliver(&client::transaction(&format!("- many={RCPTS}")));
    let (mut rcpts, mut groups, mut has_data) = (0, 0, false);
    while !has_data {
        let events = client.take_events();
        let Some(Event::Sent(bytes)) = events.first() else { panic!("{events:?}") };
        assert!(bytes.len() < GROUP_BYTES_MAX + 100);
        let text = String::from_utf8_lossy(bytes);
        has_data = text.ends_with("\r\nDATA\r\n");
        rcpts += text.matches("RCPT TO:").count();
        groups += 1;
        let replies = "250 ok\r\n".repeat(text.lines().count() - usize::from(has_data));
        client.receive(replies.as_bytes());
    }
    client.receive(b"354 go\r\n");
    assert_eq!(client.take_events(), [Event::Told("data".to_owned())]);
    assert_eq!(rcpts, RCPTS);
    assert!((20..60).contains(&groups), "{groups}");
    // They get one result each.
    client.tell("data");
    client.receive(b"250 taken\r\n");
    assert_eq!(client.take_events().len(), RCPTS + 1);
}
