//! The Rejects mailbox, the table of recent decisions, and the keys of passes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mox_base::{Flags, UnixSeconds, Validation};
use mox_policy::{PASS_KEY_CHARS, PassKey, REJECTS_MAX, Reason};
use mox_store::{
    DECISION_KEEP_SECS, DECISION_TEXT_BYTES_MAX, DECISIONS_MAX, Decision, DecisionFilter, Envelope,
    Incoming, NewMessage, Outcome, PASS_KEYS_MAX, Policy, RealDisk, Store,
};

use crate::faults::{Copying, CopyingDisk, reopen};
use crate::history::{address, incoming, origin};
use crate::support::{Fixture, START, name};

fn fixture() -> Fixture {
    let rejects_mailbox = Some(name("Rejects"));
    Fixture::with(Policy { rejects_mailbox, ..Policy::default() }, RealDisk)
}

fn text(message_id: &str, body: &str) -> Vec<u8> {
    format!("Message-ID: <{message_id}>\r\n\r\n{body}\r\n").into_bytes()
}

/// As smtpd hands it over. The hash of a real message would be SHA-256 of its bytes.
fn reject(fixture: &Fixture, message_id: &str, body: &str) -> NewMessage {
    let mut hash = [0; 32];
    hash.iter_mut().zip(body.bytes()).for_each(|(to, from)| *to = from);
    let from = origin("ann@example.org", Validation::None, "192.0.2.1");
    let incoming =
        Incoming { destined: Some(name("Inbox")), content_hash: Some(hash), ..incoming(from) };
    let envelope = Some(Envelope { incoming: Some(incoming), ..Envelope::default() });
    NewMessage { envelope, ..fixture.message(&text(message_id, body)) }
}

#[track_caller]
fn check(fixture: &Fixture, (message_id, body): (&str, &str), keeps_all: bool, want: bool) {
    let message = reject(fixture, message_id, body);
    let kept = fixture.account.keep_reject(name("Rejects"), keeps_all, message).wait().unwrap();
    assert_eq!(kept.is_some(), want, "{message_id} {body}");
}

#[test]
fn rejects_are_kept_once() {
    let fixture = fixture();
    check(&fixture, ("1@x", "one"), false, true);
    assert_eq!(fixture.flags("Rejects", 1), Flags::SEEN);
    // The same by id, then by content.
    check(&fixture, ("1@x", "other"), false, false);
    check(&fixture, ("2@x", "one"), true, false);
    check(&fixture, ("2@x", "two"), false, true);
    // What is elsewhere does not count.
    fixture.deliver(&text("3@x", "three"));
    check(&fixture, ("3@x", "three"), false, true);
    assert_eq!(fixture.uids("Rejects"), [1, 2, 3]);
}

#[test]
fn rejects_go_after_14_days_and_are_bounded() {
    let fixture = fixture();
    check(&fixture, ("1@x", "one"), false, true);
    fixture.clock.advance(Duration::from_secs(14 * 24 * 3600));
    check(&fixture, ("2@x", "two"), false, true);
    assert_eq!(fixture.uids("Rejects"), [1, 2]);
    fixture.clock.advance(Duration::from_secs(1));
    check(&fixture, ("3@x", "three"), true, true);
    assert_eq!(fixture.uids("Rejects"), [1, 2, 3]);
    check(&fixture, ("4@x", "four"), false, true);
    assert_eq!(fixture.uids("Rejects"), [2, 3, 4]);
    let more = usize::try_from(REJECTS_MAX).unwrap() - 3;
    let many = (0..more).map(|n| fixture.message(&text(&format!("n{n}@x"), "n"))).collect();
    fixture.add("Rejects", many).unwrap();
    check(&fixture, ("5@x", "five"), false, false);
    check(&fixture, ("5@x", "five"), true, true);
    // The same again goes by age.
    fixture.clock.advance(Duration::from_secs(15 * 24 * 3600));
    check(&fixture, ("6@x", "six"), false, true);
    // So many are looked at for each one that comes.
    assert_eq!(fixture.uids("Rejects").len(), 2);
    check(&fixture, ("7@x", "seven"), false, true);
    assert_eq!(fixture.uids("Rejects").len(), 2);
}

#[test]
fn a_message_that_is_accepted_leaves_the_rejects() {
    let fixture = fixture();
    for (id, body) in [("1@x", "one"), ("2@x", "two"), ("3@x", "three")] {
        check(&fixture, (id, body), false, true);
    }
    let from = incoming(origin("ann@example.org", Validation::None, "192.0.2.1"));
    let envelope = Some(Envelope { incoming: Some(from), ..Envelope::default() });
    let accepted = NewMessage { envelope, ..fixture.message(&text("2@x", "two")) };
    fixture.add("Inbox", vec![accepted]).unwrap();
    assert_eq!(fixture.uids("Rejects"), [1, 3]);
    // Neither what was put there by its owner, nor what is a reject itself.
    fixture.deliver(&text("1@x", "one"));
    let mut again = reject(&fixture, "3@x", "three");
    let again_incoming = again.envelope.as_mut().unwrap().incoming.as_mut().unwrap();
    again_incoming.marks.is_reject = true;
    fixture.add("Inbox", vec![again]).unwrap();
    assert_eq!(fixture.uids("Rejects"), [1, 3]);
}

pub(crate) fn decision(number: u32, outcome: Outcome) -> Decision {
    Decision {
        time: START.plus_secs(i64::from(number)),
        times: 1,
        outcome,
        reason: if outcome == Outcome::Refused {
            Reason::JunkContent
        } else {
            Reason::NoBadSignals
        },
        code: (outcome == Outcome::Refused).then_some(451),
        mail_from: "ann@example.org".to_owned(),
        rcpt_to: "me@local.example".to_owned(),
        author: "ann@example.org".to_owned(),
        subject: format!("number {number}"),
        message_id: Some(format!("{number}@example.org")),
        remote_ip: "192.0.2.1".to_owned(),
        mailbox: "Inbox".to_owned(),
        explanation: vec!["first line".to_owned(), "second".to_owned()],
    }
}

fn record(fixture: &Fixture, decision: &Decision) {
    fixture.account.record_decision(decision.clone()).wait().unwrap();
}

fn decisions(fixture: &Fixture, limit: u32) -> Vec<Decision> {
    fixture.account.read().unwrap().decisions(&DecisionFilter::default(), limit).unwrap()
}

#[test]
fn decisions_are_listed_the_newest_first() {
    let fixture = fixture();
    let all = [
        decision(1, Outcome::Accepted),
        decision(2, Outcome::Refused),
        decision(3, Outcome::Delayed),
        decision(4, Outcome::Refused),
    ];
    all.iter().for_each(|decision| record(&fixture, decision));
    let newest: Vec<Decision> = all.iter().rev().cloned().collect();
    assert_eq!(decisions(&fixture, 100), newest);
    assert_eq!(decisions(&fixture, 2), newest[..2]);
    assert_eq!(decisions(&fixture, 0), []);
}

#[test]
fn decisions_are_found_by_outcome_and_sender() {
    let fixture = fixture();
    let ann = decision(1, Outcome::Accepted);
    let bob = Decision { author: "Bob@B.example".to_owned(), ..decision(2, Outcome::Refused) };
    let bounce = Decision {
        author: String::new(),
        mail_from: String::new(),
        ..decision(3, Outcome::Refused)
    };
    [&ann, &bob, &bounce].into_iter().for_each(|decision| record(&fixture, decision));
    let check = |outcome, sender: Option<&str>, want: &[&Decision]| {
        let filter = DecisionFilter { outcome, sender: sender.map(str::to_owned) };
        let found = fixture.account.read().unwrap().decisions(&filter, 9).unwrap();
        assert_eq!(found.iter().collect::<Vec<_>>(), want, "{filter:?}");
    };
    check(None, None, &[&bounce, &bob, &ann]);
    check(Some(Outcome::Refused), None, &[&bounce, &bob]);
    check(Some(Outcome::Delayed), None, &[]);
    check(None, Some("ANN@"), &[&bob, &ann]);
    check(None, Some("b.EXAMPLE"), &[&bob]);
    check(Some(Outcome::Accepted), Some("b.example"), &[]);
    check(None, Some("%"), &[]);
}

/// Servers try again for days what is refused for now.
#[test]
fn refusals_of_the_same_message_are_counted() {
    let fixture = fixture();
    let first = decision(1, Outcome::Refused);
    record(&fixture, &first);
    let again = Decision { time: START.plus_secs(900), ..first.clone() };
    record(&fixture, &again);
    record(&fixture, &Decision { rcpt_to: "you@local.example".to_owned(), ..first.clone() });
    record(&fixture, &Decision { reason: Reason::DnsBlocklisted, ..first.clone() });
    record(&fixture, &Decision { message_id: None, ..first.clone() });
    record(&fixture, &Decision { message_id: None, ..first.clone() });
    let accepted = Decision { outcome: Outcome::Accepted, code: None, ..first.clone() };
    record(&fixture, &accepted);
    record(&fixture, &accepted);
    let listed = decisions(&fixture, 100);
    assert_eq!(listed.len(), 7);
    assert_eq!(listed[0], Decision { times: 2, ..again });
    assert_eq!(listed.iter().filter(|decision| decision.times == 1).count(), 6);
}

#[test]
fn decisions_are_forgotten_after_30_days() {
    let fixture = fixture();
    let at = |number| UnixSeconds(START.0 + i64::from(number));
    for number in 0..3 {
        record(&fixture, &Decision { time: at(number), ..decision(number, Outcome::Accepted) });
    }
    let secs = u64::try_from(DECISION_KEEP_SECS).unwrap() + 1;
    fixture.clock.advance(Duration::from_secs(secs));
    record(&fixture, &Decision { time: at(9_000), ..decision(9, Outcome::Refused) });
    let left: Vec<String> = decisions(&fixture, 9).into_iter().map(|one| one.subject).collect();
    assert_eq!(left, ["number 9", "number 2", "number 1"]);
}

#[test]
fn a_flood_of_refusals_pushes_out_refusals_only() {
    let fixture = fixture();
    record(&fixture, &decision(1, Outcome::Accepted));
    let pending: Vec<_> = (0..DECISIONS_MAX + 7)
        .map(|number| fixture.account.record_decision(decision(number, Outcome::Refused)))
        .collect::<Vec<_>>();
    for pending in pending {
        // Some are turned away when too many wait: they are counted below.
        let _busy = pending.wait();
    }
    for number in DECISIONS_MAX..DECISIONS_MAX + 20 {
        record(&fixture, &Decision { message_id: None, ..decision(number, Outcome::Refused) });
    }
    let listed = decisions(&fixture, u32::MAX);
    let refused = listed.iter().filter(|one| one.outcome == Outcome::Refused).count();
    assert_eq!(refused, usize::try_from(DECISIONS_MAX).unwrap());
    assert_eq!(listed.len(), refused + 1);
    assert_eq!(listed[0].subject, format!("number {}", DECISIONS_MAX + 19));
}

#[test]
fn texts_of_decisions_are_bounded() {
    let fixture = fixture();
    let long = "\u{fc}".repeat(10 * DECISION_TEXT_BYTES_MAX);
    let decision = Decision {
        mail_from: long.clone(),
        subject: long.clone(),
        message_id: Some(long.clone()),
        explanation: vec![long; 3],
        ..decision(1, Outcome::Refused)
    };
    record(&fixture, &decision);
    record(&fixture, &decision);
    let [stored] = &decisions(&fixture, 9)[..] else { panic!("counted as one") };
    assert_eq!(stored.times, 2);
    assert_eq!(stored.subject.len(), DECISION_TEXT_BYTES_MAX);
    assert_eq!(stored.explanation.join("\n").len(), 8 * DECISION_TEXT_BYTES_MAX);
}

#[test]
fn decisions_come_with_the_message_or_its_copy() {
    let fixture = fixture();
    let with = |mut message: NewMessage, decision: Decision| {
        let incoming = message.envelope.as_mut().unwrap().incoming.as_mut().unwrap();
        incoming.decision = Some(decision);
        message
    };
    let refused = with(reject(&fixture, "1@x", "one"), decision(1, Outcome::Refused));
    fixture.account.keep_reject(name("Rejects"), false, refused).wait().unwrap();
    // No second copy, but a second decision.
    let refused = with(reject(&fixture, "1@x", "one"), decision(2, Outcome::Refused));
    assert_eq!(fixture.account.keep_reject(name("Rejects"), false, refused).wait().unwrap(), None);
    let accepted = with(reject(&fixture, "3@x", "three"), decision(3, Outcome::Delayed));
    fixture.add("Inbox", vec![accepted]).unwrap();
    let outcomes: Vec<_> = decisions(&fixture, 9).iter().map(|one| one.outcome).collect();
    assert_eq!(outcomes, [Outcome::Delayed, Outcome::Refused, Outcome::Refused]);
}

#[test]
fn each_address_has_a_key_of_its_own() {
    let fixture = fixture();
    let key = |number: u32| PassKey::from_stored(&format!("{number:016}")).unwrap();
    let made =
        |text: &str, number| fixture.account.pass_key(address(text), key(number)).wait().unwrap();
    assert_eq!(made("me@local.example", 1), key(1));
    assert_eq!(made("you@local.example", 2), key(2));
    assert_eq!(made("me@local.example", 3), key(1));
    let stored = |text: &str| fixture.account.read().unwrap().pass_key(&address(text)).unwrap();
    assert_eq!(stored("me@local.example"), Some(key(1)));
    assert_eq!(stored("them@local.example"), None);
    assert_eq!(key(1).expose().len(), PASS_KEY_CHARS);
    // A catch-all address has as many keys as senders make up names; the oldest go.
    for number in 3..=u32::try_from(PASS_KEYS_MAX).unwrap() + 1 {
        made(&format!("n{number}@local.example"), number);
    }
    assert_eq!(stored("me@local.example"), None);
    assert_eq!(stored("you@local.example"), Some(key(2)));
}

/// Copy, decision, and what leaves the rejects stand in one commit.
#[test]
fn a_crash_leaves_copies_and_decisions_together() {
    let (work, copies) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let disk = Arc::new(CopyingDisk {
        from: work.path().join("accounts/mjl"),
        to: copies.path().to_owned(),
        copies: AtomicUsize::new(0),
        turn: parking_lot::Mutex::default(),
    });
    let mut fixture = fixture();
    let policy = Policy { rejects_mailbox: Some(name("Rejects")), ..Policy::default() };
    let (clock, copying) = (Arc::clone(&fixture.clock), Arc::new(Copying(Arc::clone(&disk))));
    fixture.store = Store::with_disk(work.path(), clock, Arc::new(policy), copying);
    fixture.account = fixture.store.account("mjl").unwrap();
    let with = |number, outcome| {
        let mut message = reject(&fixture, "1@x", "one");
        message.flags = Flags::JUNK;
        let incoming = message.envelope.as_mut().unwrap().incoming.as_mut().unwrap();
        incoming.decision = Some(decision(number, outcome));
        message
    };
    let refused = with(1, Outcome::Refused);
    fixture.account.keep_reject(name("Rejects"), false, refused).wait().unwrap();
    fixture.add("Inbox", vec![with(2, Outcome::Accepted)]).unwrap();
    let is_final = (fixture.uids("Rejects").len(), fixture.uids("Inbox").len());
    assert_eq!(is_final, (0, 1));
    drop(fixture);
    let mut seen = Vec::new();
    for number in 0..disk.copies.load(Ordering::SeqCst) {
        let account = reopen(&copies.path().join(number.to_string())).account("mjl").unwrap();
        assert_eq!(account.check().unwrap(), Vec::<String>::new(), "copy {number}");
        let reader = account.read().unwrap();
        let count = |text| reader.mailbox(&name(text)).map_or(0, |one| one.counts.messages());
        let decisions = reader.decisions(&DecisionFilter::default(), 9).unwrap().len();
        seen.push((count("Rejects"), count("Inbox"), decisions));
    }
    seen.dedup();
    // The last one, without a copy after it, may or may not be among them.
    let want = [(0, 0, 0), (1, 0, 1), (0, 1, 2)];
    assert!(seen.len() >= 2 && want.starts_with(&seen), "{seen:?}");
}
