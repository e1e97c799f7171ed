//! What accounts have sent.

use std::sync::Arc;

use mox_base::{Address, UnixSeconds};
use mox_queue::{NewMessage, NewRecipient, Queue, QueueError, SendingLimits, TlsHint};
use mox_smtp::{Mailbox, ReversePath};
use mox_takeover::Account;
use mox_testkit::TestRng;
use mox_testkit::original::{Row, row, time, write_database};

use crate::fixtures::{Fixture, unix_secs};

/// A minute after the last message of the fixtures.
const NOW: UnixSeconds = UnixSeconds(1_795_170_000);

const DAY_SECS: i64 = 24 * 3600;

fn queue(dir: &tempfile::TempDir) -> Queue {
    Queue::open(&dir.path().join("queue"), Arc::new(TestRng::new(1))).unwrap()
}

/// Sends a message as far as the limits let it.
fn send(queue: &Queue, to: &str, limits: (u32, u32), now: UnixSeconds) -> Result<(), QueueError> {
    let (messages_per_day, first_time_rcpts_per_day) = limits;
    let body = queue.stage(&mut &b"\r\n"[..]).unwrap();
    let mut message = NewMessage::new("alice", body);
    message.limits = Some(SendingLimits { messages_per_day, first_time_rcpts_per_day });
    let rcpt_to = Mailbox::from(Address::parse(to).unwrap());
    message.recipients = vec![NewRecipient::new(ReversePath::Null, rcpt_to)];
    queue.add(message, now).wait().map(|_| ())
}

#[test]
fn limits_count_on() {
    let fixture = Fixture::new("rich");
    let theirs = Account::open(&fixture.theirs("alice")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let queue = queue(&dir);
    let summary = theirs.copy_sending("alice", &queue, NOW).unwrap();
    assert_eq!(summary.taken["recipients of messages that were sent"], 10);
    assert_eq!(theirs.check_sending().unwrap(), summary);
    // Counted once, however often it is done.
    assert_eq!(theirs.copy_sending("alice", &queue, NOW).unwrap(), summary);
    assert!(matches!(
        send(&queue, "one@good.example", (10, 10), NOW),
        Err(QueueError::MessagesPerDay)
    ));
    // Ten were sent to, all of them today: they are known, and nobody else may be new.
    assert!(matches!(
        send(&queue, "new@good.example", (20, 10), NOW),
        Err(QueueError::FirstTimeRcptsPerDay)
    ));
    send(&queue, "One@Good.example", (11, 10), NOW).unwrap();
    assert!(matches!(
        send(&queue, "one@good.example", (11, 10), NOW),
        Err(QueueError::MessagesPerDay)
    ));
    send(&queue, "new@good.example", (11, 10), NOW.plus_secs(DAY_SECS + 60)).unwrap();
}

#[test]
fn what_servers_offered_is_known() {
    let fixture = Fixture::new("rich");
    let theirs = Account::open(&fixture.theirs("alice")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let queue = queue(&dir);
    theirs.copy_sending("alice", &queue, NOW).unwrap();
    let expected = &fixture.expected["accounts"]["alice"]["raw"]["RecipientDomainTLS"];
    let records = expected["records"].as_array().unwrap();
    assert_eq!(records.len(), 3);
    for want in records {
        let hint = queue.tls_hint("alice", want["Domain"].as_str().unwrap()).unwrap().unwrap();
        assert_eq!(want["STARTTLS"], hint.has_starttls, "{want}");
        assert_eq!(want["RequireTLS"], hint.has_requiretls, "{want}");
        assert!(unix_secs(&want["Updated"]) < NOW.0);
    }
    assert_eq!(queue.tls_hint("bob", "good.example").unwrap(), None);
}

fn outgoing(id: i64, to: &str, at: i64) -> Row {
    row(id).with("Recipient", to).with("Submitted", time(at))
}

#[test]
fn of_long_ago_only_the_addresses_are_known() {
    let dir = tempfile::tempdir().unwrap();
    let days_ago = |days: i64| NOW.0 - days * DAY_SECS;
    let sent = (1..=3_000).map(|id| outgoing(id, &format!("a{id}@x.example"), days_ago(40)));
    let mut sent: Vec<_> = sent.collect();
    sent.push(outgoing(3_001, "\"two words\"@B\u{fc}cher.example", days_ago(2)));
    sent.push(outgoing(3_002, "a1@x.example", NOW.0 - 60));
    sent.push(outgoing(3_003, "a@[192.0.2.1]", NOW.0 + 86_400));
    let offered = |domain: &str| row(domain).with("STARTTLS", true).with("Updated", time(NOW.0));
    let offered = vec![offered("b\u{fc}cher.example"), offered("not..one")];
    let tables = [("Outgoing", sent), ("RecipientDomainTLS", offered)];
    write_database(&dir.path().join("index.db"), "account", tables);
    let theirs = Account::open(dir.path()).unwrap();
    let queue = queue(&dir);
    let summary = theirs.copy_sending("alice", &queue, NOW).unwrap();
    assert_eq!(summary.taken["recipients of messages that were sent"], 3_003);
    // One of them today, to somebody who was written to before.
    send(&queue, "a2999@x.example", (2, 0), NOW).unwrap();
    let refused = send(&queue, "a2999@x.example", (2, 0), NOW);
    assert!(matches!(refused, Err(QueueError::MessagesPerDay)), "{refused:?}");
    send(&queue, "\"two words\"@b\u{fc}cher.example", (3, 0), NOW).unwrap();
    let refused = send(&queue, "other@x.example", (9, 0), NOW);
    assert!(matches!(refused, Err(QueueError::FirstTimeRcptsPerDay)), "{refused:?}");
    assert_eq!(summary.skipped["domains of recipients that cannot be any"].count, 1);
    let hint = TlsHint { has_starttls: true, has_requiretls: false };
    assert_eq!(queue.tls_hint("alice", "xn--bcher-kva.example").unwrap(), Some(hint));
}
