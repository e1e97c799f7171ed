//! Learning what is junk from the marks of messages.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use mox_base::{Flags, NumSet};
use mox_junk::{Kinds, Params, Totals, Words};
use mox_store::{
    Destination, Expunge, FlagChange, FlagOp, JunkFilter, JunkFlags, JunkProgress, Policies,
    Policy, RealDisk, Store,
};
use mox_testkit::ManualClock;
use parking_lot::Mutex;
use proptest::prelude::*;

use crate::faults::{Copying, CopyingDisk};
use crate::support::{Fixture, START, name, set};

const FILTER: JunkFilter = JunkFilter {
    kinds: Kinds { onegrams: true, twograms: false, threegrams: false },
    params: Params { max_power: 0.01, top_words: 10, ignore_words: 0.1, rare_words: 2 },
    threshold: 0.95,
};

fn policy(junk_filter: Option<JunkFilter>) -> Policy {
    Policy { junk_filter, initial_mailboxes: Policy::default_mailboxes(), ..Policy::default() }
}

fn fixture() -> Fixture {
    Fixture::with(policy(Some(FILTER)), RealDisk)
}

fn text(words: &str) -> Vec<u8> {
    format!("From: a@b.example\r\nSubject: x\r\n\r\n{words}\r\n").into_bytes()
}

fn add(fixture: &Fixture, words: &str, flags: Flags) {
    let mut message = fixture.message(&text(words));
    message.flags = flags;
    fixture.add("Inbox", vec![message]).unwrap();
}

fn mark(fixture: &Fixture, mailbox: &str, uids: &[u32], op: FlagOp, flags: Flags) {
    let change = FlagChange { op, flags, keywords: Vec::new(), unchanged_since: None };
    fixture.account.change_flags(fixture.id(mailbox), set(uids), change).wait().unwrap();
}

fn progress(fixture: &Fixture) -> JunkProgress {
    fixture.account.read().unwrap().junk_progress().unwrap()
}

fn probability(fixture: &Fixture, words: &str) -> f64 {
    let words = Words::of_bytes(&text(words), FILTER.kinds);
    fixture.account.read().unwrap().classify(&words, &FILTER.params).unwrap().probability
}

/// Lets it learn, and checks how many were learnt.
#[track_caller]
fn check(fixture: &Fixture, ham: u32, spam: u32) {
    fixture.settle();
    let progress = progress(fixture);
    assert_eq!((progress.totals, progress.waiting), (Totals { ham, spam }, 0));
    assert_eq!(progress.words == 0, ham + spam == 0, "{progress:?}");
    assert_eq!(fixture.account.read().unwrap().has_learnt().unwrap(), ham + spam > 0);
    fixture.check();
}

#[test]
fn what_is_marked_is_learnt_and_what_is_unmarked_is_forgotten() {
    let fixture = fixture();
    for _ in 0..3 {
        add(&fixture, "meeting agenda minutes", Flags::NOT_JUNK);
        add(&fixture, "winner casino jackpot", Flags::JUNK);
        add(&fixture, "neither of both", Flags::NONE);
        add(&fixture, "both at once", Flags::JUNK | Flags::NOT_JUNK);
    }
    check(&fixture, 3, 3);
    assert!(probability(&fixture, "casino winner jackpot") > 0.9);
    assert!(probability(&fixture, "the meeting agenda minutes") < 0.1);
    // The other class, both, none.
    mark(&fixture, "Inbox", &[1], FlagOp::Replace, Flags::JUNK);
    check(&fixture, 2, 4);
    mark(&fixture, "Inbox", &[1], FlagOp::Add, Flags::NOT_JUNK);
    check(&fixture, 2, 3);
    mark(&fixture, "Inbox", &[1, 2, 5, 6, 9, 10], FlagOp::Replace, Flags::SEEN);
    check(&fixture, 0, 0);
    assert!((probability(&fixture, "casino winner jackpot") - 0.5).abs() < 1e-9);
}

#[test]
fn copies_are_learnt_and_what_is_expunged_is_forgotten_before_it_is_erased() {
    let fixture = fixture();
    add(&fixture, "winner casino jackpot", Flags::JUNK);
    check(&fixture, 0, 1);
    let inbox = fixture.id("Inbox");
    fixture.account.copy(inbox, set(&[1]), name("Trash")).wait().unwrap();
    check(&fixture, 0, 2);
    // The session that knows it keeps it readable, and it is forgotten all the same.
    let watcher = fixture.account.subscribe();
    let all = Expunge { uids: NumSet::all(), only_deleted: false };
    fixture.account.expunge(inbox, all.clone()).wait().unwrap();
    while progress(&fixture).waiting > 0 {
        fixture.store.tick();
        std::thread::yield_now();
    }
    assert_eq!(progress(&fixture).totals, Totals { ham: 0, spam: 1 });
    drop(watcher);
    check(&fixture, 0, 1);
    fixture.account.delete_mailbox(name("Trash")).wait().unwrap();
    check(&fixture, 0, 0);
}

#[test]
fn the_mailbox_marks_what_comes_to_it() {
    let pattern = |text: &str| Some(regex::Regex::new(text).unwrap());
    let junk_flags = JunkFlags {
        enabled: true,
        junk: pattern("^(junk|spam)"),
        neutral: pattern("^inbox"),
        not_junk: None,
    };
    let fixture = Fixture::with(Policy { junk_flags, ..policy(Some(FILTER)) }, RealDisk);
    fixture.deliver_many(3);
    check(&fixture, 0, 0);
    let moves = |uids: &[u32], from: &str, to: &str| {
        let from = fixture.id(from);
        fixture.account.move_to(from, set(uids), name(to)).wait().unwrap();
    };
    moves(&[1, 2], "Inbox", "Junk");
    moves(&[3], "Inbox", "Archive");
    check(&fixture, 1, 2);
    moves(&[1], "Junk", "Archive");
    moves(&[2], "Junk", "Inbox");
    check(&fixture, 2, 0);
}

/// Headers added at delivery are not there yet when a message is judged.
#[test]
fn added_headers_are_not_learnt() {
    let fixture = fixture();
    let body = text("winner casino jackpot");
    let prefix = b"X-Odd: added\r\nReply-To: <added@prefix.example>\r\n".to_vec();
    let content = fixture.account.stage(prefix, &mut std::io::Cursor::new(&body)).unwrap();
    let message = mox_store::NewMessage { content, flags: Flags::JUNK, ..fixture.message(b"\r\n") };
    fixture.add("Inbox", vec![message]).unwrap();
    check(&fixture, 0, 1);
    let want = Words::of_bytes(&body, FILTER.kinds).len();
    assert_eq!(progress(&fixture).words, want as u64);
}

/// A policy that the test changes.
#[derive(Clone)]
struct Changing(Arc<Mutex<Policy>>);

impl Policies for Changing {
    fn policy(&self, _account: &str) -> Option<Arc<Policy>> {
        Some(Arc::new(self.0.lock().clone()))
    }
}

#[test]
fn another_filter_learns_anew_and_none_forgets() {
    let changing = Changing(Arc::new(Mutex::new(policy(Some(FILTER)))));
    let mut fixture = Fixture::new();
    let clock = Arc::clone(&fixture.clock);
    let dir = fixture.dir.path().join("changing");
    fixture.store = Store::new(&dir, clock, Arc::new(changing.clone()));
    fixture.account = fixture.store.account("mjl").unwrap();
    add(&fixture, "winner casino jackpot", Flags::JUNK);
    add(&fixture, "meeting agenda minutes", Flags::NOT_JUNK);
    check(&fixture, 1, 1);
    let words = progress(&fixture).words;
    let pairs = Kinds { twograms: true, ..FILTER.kinds };
    changing.0.lock().junk_filter = Some(JunkFilter { kinds: pairs, ..FILTER });
    // Looked at when something happens, or the account is opened.
    add(&fixture, "lottery of millions", Flags::JUNK);
    check(&fixture, 1, 2);
    assert!(progress(&fixture).words > words + 3);
    changing.0.lock().junk_filter = None;
    mark(&fixture, "Inbox", &[1], FlagOp::Replace, Flags::NONE);
    check(&fixture, 0, 0);
    // What changed meanwhile is taken as it is now.
    changing.0.lock().junk_filter = Some(FILTER);
    add(&fixture, "any text", Flags::NONE);
    fixture.account.retrain().wait().unwrap();
    check(&fixture, 1, 1);
}

#[test]
fn retraining_gives_the_same() {
    let fixture = fixture();
    let numbered = |number: u32| {
        let flags = if number.is_multiple_of(3) { Flags::JUNK } else { Flags::NOT_JUNK };
        let message = fixture.message(&text(&format!("number x{number}x of many words")));
        mox_store::NewMessage { flags, ..message }
    };
    fixture.add("Inbox", (0..600).map(numbered).collect()).unwrap();
    check(&fixture, 400, 200);
    let before = progress(&fixture);
    fixture.account.retrain().wait().unwrap();
    check(&fixture, 400, 200);
    assert_eq!(progress(&fixture), before);
}

#[test]
fn many_flags_are_changed_without_waiting_for_the_filter() {
    let fixture = fixture();
    let uids: Vec<u32> = fixture.deliver_many(2_000).into_iter().map(|uid| uid.get()).collect();
    fixture.settle();
    // After some commits learning waits for the next tick, as filling the index does.
    for _ in 0..4 {
        fixture.account.subscribe_to(name("Inbox")).wait().unwrap();
    }
    mark(&fixture, "Inbox", &uids, FlagOp::Add, Flags::JUNK);
    assert_eq!(progress(&fixture).waiting, 2_000);
    check(&fixture, 0, 2_000);
}

/// Wherever the program stops while messages are marked, learnt, moved and erased.
#[test]
fn a_crash_at_any_commit_counts_nothing_twice() {
    let copies = tempfile::tempdir().unwrap();
    let work = tempfile::tempdir().unwrap();
    let disk = Arc::new(CopyingDisk {
        from: work.path().join("accounts/mjl"),
        to: copies.path().to_owned(),
        copies: AtomicUsize::new(0),
        turn: Mutex::default(),
    });
    let filtered = || Arc::new(policy(Some(FILTER)));
    let clock = || Arc::new(ManualClock::at(START));
    let copying = Arc::new(Copying(Arc::clone(&disk)));
    let store = Store::with_disk(work.path(), clock(), filtered(), copying);
    let mut fixture = Fixture::new();
    fixture.account = store.account("mjl").unwrap();
    fixture.store = store;
    for number in 0..5 {
        add(&fixture, &format!("winner {number} casino"), Flags::JUNK);
    }
    mark(&fixture, "Inbox", &[1, 2, 3], FlagOp::Replace, Flags::NOT_JUNK);
    check(&fixture, 3, 2);
    let which = Expunge { uids: set(&[3, 4, 5]), only_deleted: false };
    fixture.account.expunge(fixture.id("Inbox"), which).wait().unwrap();
    fixture.account.move_to(fixture.id("Inbox"), set(&[1]), name("Junk")).wait().unwrap();
    check(&fixture, 1, 1);
    fixture.account.retrain().wait().unwrap();
    check(&fixture, 1, 1);
    drop(fixture);
    let copied = disk.copies.load(Ordering::SeqCst);
    assert!(copied > 12, "{copied} copies");
    for number in 0..copied {
        let mut after = Fixture::new();
        after.store = Store::new(&copies.path().join(number.to_string()), clock(), filtered());
        after.account = after.store.account("mjl").unwrap();
        after.check();
        after.settle();
        let learnt = progress(&after);
        assert_eq!(learnt.waiting, 0, "copy {number}");
        after.check();
        after.account.retrain().wait().unwrap();
        after.settle();
        assert_eq!(progress(&after), learnt, "copy {number}");
    }
}

#[derive(Clone, Debug)]
enum Step {
    Add(u8, u16),
    Mark(u32, u16),
    Copy(u32),
    Expunge(u32),
    Tick,
}

fn step() -> impl Strategy<Value = Step> {
    let marks = prop::sample::select(vec![0, 64, 128, 192_u16]);
    let uid = 1..8_u32;
    prop_oneof![
        (0..6_u8, marks.clone()).prop_map(|(text, flags)| Step::Add(text, flags)),
        (uid.clone(), marks).prop_map(|(uid, flags)| Step::Mark(uid, flags)),
        uid.clone().prop_map(Step::Copy),
        uid.prop_map(Step::Expunge),
        Just(Step::Tick),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Whatever was done, what is known is what the messages that are left say.
    #[test]
    fn what_is_learnt_is_what_the_marks_say(steps in prop::collection::vec(step(), 1..15)) {
        let fixture = fixture();
        let texts = ["a cat", "cat and dog", "dog food", "cat cat", "bird", ""];
        for step in steps {
            match step {
                Step::Add(text, flags) => add(&fixture, texts[usize::from(text)], Flags::from_bits(flags)),
                Step::Mark(uid, flags) => {
                    mark(&fixture, "Inbox", &[uid], FlagOp::Replace, Flags::from_bits(flags));
                }
                Step::Copy(uid) => {
                    let inbox = fixture.id("Inbox");
                    fixture.account.copy(inbox, set(&[uid]), name("Archive")).wait().unwrap();
                }
                Step::Expunge(uid) => {
                    let which = Expunge { uids: set(&[uid]), only_deleted: false };
                    fixture.account.expunge(fixture.id("Inbox"), which).wait().unwrap();
                }
                Step::Tick => fixture.store.tick(),
            }
            fixture.check();
        }
        fixture.settle();
        let before = progress(&fixture);
        fixture.account.retrain().wait().unwrap();
        fixture.settle();
        prop_assert_eq!(progress(&fixture), before);
    }
}

#[test]
fn what_was_left_when_the_program_ended_is_learnt_when_the_account_is_opened() {
    let mut fixture = fixture();
    // After some commits learning waits for the next tick, and none comes.
    for _ in 0..4 {
        fixture.account.subscribe_to(name("Inbox")).wait().unwrap();
    }
    add(&fixture, "winner casino jackpot", Flags::JUNK);
    let junk = Destination { mailbox: name("Junk"), create: false };
    fixture.account.add(junk, vec![fixture.message(&text("more"))]).wait().unwrap();
    assert_eq!(progress(&fixture).waiting, 2);
    let again =
        Store::new(fixture.dir.path(), fixture.clock.clone(), Arc::new(policy(Some(FILTER))));
    fixture.store = again;
    fixture.account = fixture.store.account("mjl").unwrap();
    check(&fixture, 0, 2);
}
