//! A made-up host with thousands of messages.

use mox_store::Mailbox;
use mox_testkit::original::Plan;

use crate::fixtures::Fixture;

#[test]
fn a_made_up_host_is_taken_over_whole() {
    let plan = Plan { accounts: 2, messages: 1_500, ..Plan::default() };
    let fixture = Fixture::generated(&plan);
    for account in plan.account_names() {
        let summary = fixture.copy(&account);
        assert_eq!(
            summary.damaged.len() + summary.differs.len() + summary.skipped.len(),
            0,
            "{summary:?}"
        );
        assert_eq!(summary.taken["messages"], 1_500);
        assert_eq!(summary.taken["removals that clients are told"], 99);
        let ours = fixture.store.account(&account).unwrap();
        assert_eq!(ours.check().unwrap(), Vec::<String>::new());
        let mailboxes = ours.read().unwrap().mailboxes().unwrap();
        let count = |one: &Mailbox| one.counts.total + one.counts.deleted;
        assert_eq!(mailboxes.iter().map(count).sum::<u64>(), 1_500);
        assert_eq!(mailboxes.len(), 20);
        assert!(mailboxes.iter().filter(|one| count(one) > 0).count() > 15);
    }
}
