//! What is kept of an account goes with it, and nothing of others.

use mox_queue::{HoldRule, RetiredFilter, RetiredSort, Settlement};

use crate::support::{Fixture, NOW, delivered, mailbox};

/// What is kept of the account: messages of before, suppressed addresses, hold rules.
#[track_caller]
fn check(fixture: &Fixture, account: &str, want: (usize, usize, usize)) {
    let queue = &fixture.queue;
    let filter = RetiredFilter { account: Some(account.to_owned()), ..RetiredFilter::default() };
    let retired = queue.retired_list(&filter, &RetiredSort::default()).unwrap();
    let suppressed = queue.suppressions(Some(account), None).unwrap();
    let rules = queue.hold_rules().unwrap();
    let rules = rules.iter().filter(|(_, rule)| rule.account.as_deref() == Some(account));
    assert_eq!((retired.len(), suppressed.len(), rules.count()), want, "{account}");
}

#[test]
fn an_account_is_forgotten() {
    let fixture = Fixture::new();
    for account in ["account", "other"] {
        fixture.add_at(NOW, fixture.message_of(account, "me@local.example", &["a@x.example"]));
        let lease = fixture.lease_one(NOW);
        let settlement =
            Settlement { keep_secs: 100, ..Settlement::new(lease.id, NOW, delivered()) };
        fixture.queue.settle(vec![settlement], NOW).wait().unwrap();
        fixture.queue.suppress(account, &mailbox("b@x.example"), "asked to", NOW).wait().unwrap();
        let rule = HoldRule { account: Some(account.to_owned()), ..HoldRule::default() };
        fixture.queue.add_hold_rule(rule).wait().unwrap();
        check(&fixture, account, (1, 1, 1));
    }
    // A message that is still there stays.
    fixture.add(&["c@x.example"]);
    fixture.queue.forget_account("account").unwrap();
    check(&fixture, "account", (0, 0, 0));
    check(&fixture, "other", (1, 1, 1));
    assert_eq!(fixture.all().len(), 1);
    fixture.queue.forget_account("account").unwrap();
}
