//! Every limit of the server session, at its edge and past it.
#![expect(clippy::panic, reason = "an action that has no place here should fail the test")]

#[expect(dead_code, reason = "each test uses a part of it")]
mod driver;

use std::sync::Arc;

use driver::{Driver, Event};
use mox_smtp::server::{
    Action, Answer, DataEnd, ERRORS_MAX, Input, Question, RCPTS_MAX, RECEIVED_MAX, Service, Session,
};
use mox_smtp::{COMMAND_LINE_BYTES_MAX, DataReport, OVERFLOW_BYTES_MAX, REPLY_LINE_BYTES_MAX};
use mox_testkit::TestRng;

/// What was sent since the last time, without questions.
fn sent(driver: &mut Driver) -> String {
    let events = driver.take_events().into_iter();
    let bytes = events.filter_map(|event| match event {
        Event::Sent(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        Event::Told(_) => None,
    });
    bytes.collect()
}

fn greeted() -> Driver {
    let mut driver = Driver::new(driver::config(Service::Delivery), None);
    driver.receive(b"EHLO client.example\r\n");
    driver.take_events();
    driver
}

fn send(driver: &mut Driver, line: &str) -> String {
    driver.receive(format!("{line}\r\n").as_bytes());
    while let Some(question) = driver.question().cloned() {
        driver.answer(driver::answer(&question, "ok"));
    }
    sent(driver)
}

/// RFC 5321 §4.5.3.1.10.
#[test]
fn a_transaction_has_at_most_so_many_recipients() {
    let mut driver = greeted();
    send(&mut driver, "MAIL FROM:<a@client.example>");
    for _ in 0..RCPTS_MAX {
        assert_eq!(send(&mut driver, "RCPT TO:<mjl@local.example>"), "250 2.1.0 ok\r\n");
    }
    let past = send(&mut driver, "RCPT TO:<mjl@local.example>");
    assert_eq!(past, "452 4.5.3 too many recipients (cid)\r\n");
    // The others are still good.
    assert!(send(&mut driver, "DATA").starts_with("354"));
}

/// RFC 3030 §2: more than this is not even read to be refused.
#[test]
fn a_chunk_has_at_most_so_many_bytes() {
    let most = driver::config(Service::Delivery).size_bytes_max + OVERFLOW_BYTES_MAX;
    for (chunk_bytes, is_closed) in [(most, false), (most + 1, true)] {
        let mut driver = greeted();
        send(&mut driver, "MAIL FROM:<a@client.example>");
        send(&mut driver, "RCPT TO:<mjl@local.example>");
        let reply = send(&mut driver, &format!("BDAT {chunk_bytes}"));
        let want =
            if is_closed { "552 5.3.4 message too big, at most 1000 bytes (cid)\r\n" } else { "" };
        assert_eq!((reply.as_str(), driver.is_closed()), (want, is_closed), "{chunk_bytes}");
    }
}

#[test]
fn a_connection_has_at_most_so_many_errors() {
    let mut driver = greeted();
    for _ in 0..ERRORS_MAX {
        assert!(send(&mut driver, "XYZZY").starts_with("500 5.5.1"));
    }
    assert_eq!(send(&mut driver, "XYZZY"), "421 4.7.0 too many errors (cid)\r\n");
    assert!(driver.is_closed());
}

/// RFC 5321 §4.5.3.1.4.
#[test]
fn a_line_has_at_most_so_many_bytes() {
    let mut driver = greeted();
    let longest = format!("NOOP {}", "x".repeat(COMMAND_LINE_BYTES_MAX - "NOOP \r\n".len()));
    assert_eq!(send(&mut driver, &longest), "250 2.0.0 ok\r\n");
    assert_eq!(send(&mut driver, &format!("{longest}x")), "500 5.5.0 line too long (cid)\r\n");
    assert!(driver.is_closed());
    // The same without any line end: nothing is kept.
    let mut driver = greeted();
    driver.receive(&[b'x'; COMMAND_LINE_BYTES_MAX]);
    assert!(driver.is_closed());
}

/// A session that waits for the end of its data.
fn in_data() -> (Session, TestRng) {
    let rng = TestRng::new(1);
    let mut session = Session::new(Arc::new(driver::config(Service::Delivery)), "cid", None);
    for line in ["EHLO client.example", "MAIL FROM:<>", "RCPT TO:<mjl@local.example>"] {
        let action = session.handle(Input::Line(line.as_bytes()), driver::NOW, &rng);
        if matches!(action, Action::Ask(Question::Rcpt(_))) {
            let action = session.handle(Input::Answer(Answer::Rcpt(Ok(()))), driver::NOW, &rng);
            assert!(matches!(action, Action::Reply(_)));
        }
    }
    let action = session.handle(Input::Line(b"DATA"), driver::NOW, &rng);
    assert!(matches!(action, Action::ReadData { .. }), "{action:?}");
    (session, rng)
}

/// The reply to an end of the data, and whether the connection is closed; `None` if a decision is
/// asked for.
#[track_caller]
fn check_end(end: DataEnd, want: Option<(&str, bool)>) {
    let (mut session, rng) = in_data();
    let (reply, is_closed) = match session.handle(Input::DataEnd(end), driver::NOW, &rng) {
        Action::Ask(Question::Decide { .. }) => (None, false),
        Action::Reply(reply) => (Some(reply), false),
        Action::Close(reply) => (reply, true),
        action => panic!("{action:?}"),
    };
    let got = reply.map(|reply| (reply.to_string(), is_closed));
    assert_eq!(got.as_ref().map(|(text, is_closed)| (text.as_str(), *is_closed)), want);
}

/// RFC 5321 §6.3; RFC 1870 §6.3.
#[test]
fn data_may_end_badly() {
    let with =
        |received_count| DataEnd::Complete(DataReport { received_count, ..DataReport::default() });
    check_end(with(0), None);
    check_end(with(RECEIVED_MAX), None);
    check_end(with(RECEIVED_MAX + 1), Some(("550 5.4.6 mail loop (cid)", false)));
    check_end(DataEnd::StorageFull, Some(("452 4.3.1 no storage left (cid)", false)));
    let failed = "451 4.3.0 temporary failure, try again later (cid)";
    check_end(DataEnd::StorageFailed, Some((failed, false)));
    let overrun = "552 5.3.4 message too big, at most 1000 bytes (cid)";
    check_end(DataEnd::Overrun, Some((overrun, true)));
}

/// RFC 5321 §3.8: 421 may come at any time.
#[test]
fn a_shutdown_or_a_time_out_ends_any_state() {
    for input in [Input::ShuttingDown, Input::TimedOut] {
        let (mut session, rng) = in_data();
        let action = session.handle(input, driver::NOW, &rng);
        assert!(matches!(action, Action::Close(Some(reply)) if reply.code == 421));
    }
}

/// RFC 5321 §4.5.3.1.5: what a user made up may be long, and comes back to them.
#[test]
fn replies_keep_their_lines_short_whatever_was_sent() {
    let tls = driver::tls(Some(driver::USER));
    let mut driver = Driver::new(driver::config(Service::Submission), Some(tls));
    driver.receive(b"EHLO x\r\n");
    driver.take_events();
    let reply = send(&mut driver, &format!("MAIL FROM:{}", "é\u{7}".repeat(600)));
    assert!(reply.starts_with("501 5.5.2 syntax error at "), "{reply}");
    assert!(reply.is_ascii() && reply.lines().all(|line| line.len() <= REPLY_LINE_BYTES_MAX));
}
