//! Whole accounts.

use mox_takeover::{Account, Watch};

use crate::fields;
use crate::fixtures::Fixture;

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
