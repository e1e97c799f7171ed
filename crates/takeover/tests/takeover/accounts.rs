//! Whole accounts.

use std::collections::BTreeMap;

use mox_base::{ModSeq, NumSet, Uid};
use mox_store::{Account as Ours, Mailbox};
use mox_takeover::{Account, BATCH_MESSAGES_MAX, Watch};
use mox_testkit::original::Plan;

use crate::fields;
use crate::fixtures::Fixture;
use crate::pages::{Known, messages};

#[track_caller]
fn check(fixture: &str, account: &str, messages_min: u64) {
    let fixture = Fixture::new(fixture);
    let checked = fixture.check(account);
    let summary = fixture.copy(account);
    assert!(summary.is_whole() && summary.differs.is_empty(), "{summary:?}");
    assert_eq!(checked, summary);
    let count = fields::check(&fixture, account, &summary);
    assert!(count >= messages_min, "{count} messages");
}

#[test]
fn a_localserve() {
    check("basic", "mox", 15);
}

#[test]
fn an_account_of_many_things() {
    check("rich", "alice", 200);
}

#[test]
fn an_account_with_files_in_two_directories() {
    check("rich", "bob", 20);
}

#[test]
fn copies_made_while_it_ran() {
    check("live", "alice", 150);
    check("live", "bob", 10);
}

/// Ends the copying after some commits.
struct Impatient(u32);

impl Watch for Impatient {
    fn progress(&mut self, _done: u64, _total: u64) -> bool {
        self.0 -= 1;
        self.0 > 0
    }
}

#[test]
fn copying_goes_on_where_it_ended_and_may_be_done_again() {
    let fixture = Fixture::new("rich");
    let ours = fixture.store.account("alice").unwrap();
    let theirs = Account::open(&fixture.theirs("alice")).unwrap();
    theirs.copy(&ours, None, &mut Impatient(1)).unwrap();
    let first = ours.read().unwrap().last_message().unwrap().unwrap();
    drop(theirs);
    let summary = fixture.copy("alice");
    assert!(ours.read().unwrap().last_message().unwrap().unwrap() >= first);
    assert_eq!(fixture.copy("alice"), summary);
    fields::check(&fixture, "alice", &summary);
}

/// Everything that clients can see of an account: mailboxes, messages and removals.
fn seen(ours: &Ours) -> (Vec<Mailbox>, BTreeMap<i64, Known>, Vec<Vec<Uid>>) {
    let reader = ours.read().unwrap();
    let mailboxes = reader.mailboxes().unwrap();
    let removals = |one: &Mailbox| {
        reader.changed_since(one.id, ModSeq::default(), &NumSet::all()).unwrap().vanished
    };
    let removals = mailboxes.iter().map(removals).collect();
    (mailboxes, messages(ours), removals)
}

#[test]
fn copying_may_end_after_every_commit() {
    let plan = Plan { messages: 2 * BATCH_MESSAGES_MAX as u64 + 50, ..Plan::default() };
    let fixture = Fixture::generated(&plan);
    let whole = fixture.copy("alice");
    let want = seen(&fixture.store.account("alice").unwrap());
    let theirs = Account::open(&fixture.theirs("alice")).unwrap();
    let ours = fixture.store.account("bob").unwrap();
    let mut counts = Vec::new();
    loop {
        // Passes over what is there, and ends after the first commit of anything new.
        let patience = u32::try_from(counts.len()).unwrap() + 1;
        let summary = theirs.copy(&ours, None, &mut Impatient(patience)).unwrap();
        counts.push(messages(&ours).len());
        if summary == whole {
            break;
        }
        assert!(counts.len() < 20, "{counts:?}");
    }
    assert!(counts.is_sorted() && counts.len() > 2, "{counts:?}");
    assert_eq!(seen(&ours), want);
    assert_eq!(ours.check().unwrap(), Vec::<String>::new());
}
