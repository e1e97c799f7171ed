//! Leases: who is next, what an attempt leaves, crashes, clocks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use mox_base::UnixSeconds;
use mox_queue::{Attempt, Change, Filter, LeaseRequest, MessageId, Release, Settlement, wait_secs};

use crate::support::{Fixture, NOW, delayed, delivered, ids, mailbox};

fn late(secs: i64) -> UnixSeconds {
    NOW.plus_secs(secs)
}

#[test]
fn a_lease_is_an_attempt_with_the_next_one_written() {
    let fixture = Fixture::new();
    let [id] = fixture.add(&["a@x.example"])[..] else { panic!("one") };
    assert_eq!(fixture.next_due(NOW), Some(NOW));
    let lease = fixture.lease_one(NOW);
    assert_eq!((lease.id, lease.attempt, lease.message.attempts), (id, 1, 1));
    let wait = lease.next_attempt.secs_since(NOW);
    assert!((445..=454).contains(&wait), "{wait}");
    assert_eq!(lease.message.last_attempt, Some(NOW));
    assert!(lease.message.is_leased);
    // Not twice, and nothing else to wait for.
    assert!(fixture.lease(late(1_000)).is_empty());
    assert_eq!(fixture.next_due(NOW), None);
}

#[test]
fn the_waits_double_from_attempt_to_attempt() {
    let fixture = Fixture::new();
    fixture.add(&["a@x.example"]);
    let mut now = NOW;
    for attempt in 1..=9 {
        let lease = fixture.lease_one(now);
        assert_eq!(lease.attempt, attempt);
        let (least, most) = (wait_secs(attempt - 1, 0), wait_secs(attempt - 1, 9));
        let wait = lease.next_attempt.secs_since(now);
        assert!((least..=most).contains(&wait), "{attempt}: {wait}");
        fixture.settle(&lease, now, delayed());
        assert_eq!(fixture.next_due(now), Some(lease.next_attempt));
        assert!(fixture.lease(lease.next_attempt.plus_secs(-1)).is_empty());
        now = lease.next_attempt;
    }
}

#[test]
fn a_crash_in_an_attempt_is_counted_and_costs_the_attempt() {
    let fixture = Fixture::new();
    fixture.add(&["a@x.example", "b@y.example", "c@z.example"]);
    let lease = fixture.lease_one(NOW);
    let other = fixture.lease_one(NOW);
    fixture.settle(&other, NOW, delivered());
    let fixture = fixture.reopened();
    assert_eq!(fixture.queue.interrupted(), 1);
    let [interrupted, _] = &fixture.all()[..] else { panic!("two") };
    assert_eq!((interrupted.id, interrupted.attempts), (lease.id, 1));
    assert_eq!(interrupted.next_attempt, lease.next_attempt);
    assert_eq!(interrupted.results[0].text, Attempt::INTERRUPTED);
    assert_eq!(fixture.lease(NOW).len(), 1);
    assert_eq!(ids(&fixture.lease(lease.next_attempt)), [lease.id]);
    assert_eq!(fixture.reopened().reopened().queue.interrupted(), 0);
}

#[test]
fn what_is_given_back_was_no_attempt() {
    let fixture = Fixture::new();
    fixture.add(&["a@x.example"]);
    let lease = fixture.lease_one(NOW);
    fixture.queue.give_back(vec![lease.id, MessageId(99)], NOW).wait().unwrap();
    assert_eq!(fixture.next_due(NOW), Some(NOW));
    let again = fixture.lease_one(NOW);
    assert_eq!(again.attempt, 1);
    fixture.queue.give_back(vec![lease.id], NOW).wait().unwrap();
    assert_eq!(fixture.reopened().queue.interrupted(), 0);
}

#[track_caller]
fn check_choice(fixture: &Fixture, request: LeaseRequest, want: &[MessageId]) {
    let leases = fixture.queue.lease(request, late(100)).wait().unwrap();
    assert_eq!(ids(&leases), want);
    fixture.queue.give_back(ids(&leases), late(100)).wait().unwrap();
}

#[test]
fn who_is_next() {
    let fixture = Fixture::new();
    let at = |secs: i64, rcpt: &str, priority: i8| {
        let mut message = fixture.message(&[rcpt]);
        message.priority = priority;
        fixture.add_at(late(secs), message)[0]
    };
    let x1 = at(0, "a@x.example", 0);
    let x2 = at(1, "b@x.example", 0);
    let y1 = at(2, "c@y.example", 0);
    let urgent = at(3, "d@x.example", 4);
    let low = at(4, "e@z.example", -2);
    let mut not_due = fixture.message(&["f@x.example"]);
    not_due.priority = 9;
    not_due.release = Some(Release { at: late(500), request: "for;496".to_owned() });
    fixture.add_at(late(4), not_due);
    let all = LeaseRequest { max: 10, per_domain_max: 10, ..LeaseRequest::default() };
    // RFC 6710 §4.1: higher priorities first; then the longest waiting.
    check_choice(&fixture, all.clone(), &[urgent, x1, x2, y1, low]);
    check_choice(&fixture, LeaseRequest { max: 2, ..all.clone() }, &[urgent, x1]);
    check_choice(
        &fixture,
        LeaseRequest { per_domain_max: 2, ..all.clone() },
        &[urgent, x1, y1, low],
    );
    check_choice(&fixture, LeaseRequest { per_domain_max: 0, ..all.clone() }, &[urgent, y1, low]);
    let busy = vec!["x.example".to_owned(), "other.example".to_owned()];
    check_choice(&fixture, LeaseRequest { busy_domains: busy, ..all.clone() }, &[y1, low]);
    let only = Some("x.example".to_owned());
    check_choice(
        &fixture,
        LeaseRequest { only_domain: only.clone(), ..all.clone() },
        &[urgent, x1, x2],
    );
    check_choice(&fixture, LeaseRequest { only_domain: only, max: 1, ..all.clone() }, &[urgent]);
    check_choice(&fixture, LeaseRequest { max: 0, ..all }, &[]);
}

#[test]
fn what_waits_for_a_busy_domain_is_no_reason_to_come_back() {
    let fixture = Fixture::new();
    fixture.add(&["a@x.example"]);
    let later = fixture.message(&["b@y.example", "c@x.example"]);
    fixture.add_at(late(5), later);
    let except = |busy: &[&str]| {
        let busy: Vec<_> = busy.iter().map(|domain| (*domain).to_owned()).collect();
        fixture.queue.next_due_except(&busy, late(5)).unwrap()
    };
    assert_eq!(except(&[]), Some(NOW));
    assert_eq!(except(&["other.example"]), Some(NOW));
    assert_eq!(except(&["x.example"]), Some(late(5)));
    assert_eq!(except(&["y.example", "x.example"]), None);
}

#[test]
fn siblings_share_a_transaction() {
    let fixture = Fixture::new();
    let rcpts = ["a@x.example", "b@x.example", "c@y.example", "d@x.example", "e@x.example"];
    let added = fixture.add(&rcpts);
    let alone = fixture.add(&["f@x.example"])[0];
    let changed = Filter { ids: vec![added[3]], ..Filter::default() };
    fixture.queue.change(changed, Change::RequireTls(Some(true)), NOW).wait().unwrap();
    // One of a base and domain at a time, however many may be taken of the domain.
    let leases = fixture.lease(NOW);
    assert_eq!(ids(&leases), [added[0], alone, added[2]]);
    let siblings = fixture.queue.siblings(&leases[0], 10, NOW).wait().unwrap();
    assert_eq!(ids(&siblings), [added[1], added[4]]);
    assert_eq!(siblings[0].attempt, 1);
    assert!(fixture.queue.siblings(&leases[1], 10, NOW).wait().unwrap().is_empty());
    // After a failure of one, the other is due later, and counts other attempts.
    fixture.settle(&siblings[0], NOW, delayed());
    assert!(fixture.queue.siblings(&leases[0], 10, late(100_000)).wait().unwrap().is_empty());
}

/// What takes the first of them takes the others, so that nobody makes a second connection for them.
#[test]
fn siblings_come_with_the_first() {
    let fixture = Fixture::new();
    let added = fixture.add(&["a@x.example", "b@x.example", "c@y.example", "d@x.example"]);
    let alone = fixture.add(&["f@x.example"])[0];
    let suppressed = mailbox("d@x.example");
    fixture.queue.suppress("account", &suppressed, "asked for", NOW).wait().unwrap();
    let request = LeaseRequest { max: 10, per_domain_max: 10, ..LeaseRequest::default() };
    let groups = fixture.queue.lease_groups(request, 10, NOW).wait().unwrap();
    let all: Vec<_> = groups.iter().map(|group| ids(group)).collect();
    assert_eq!(all, [vec![added[0], added[1], added[3]], vec![alone], vec![added[2]]]);
    let suppressed: Vec<_> = groups.iter().flatten().map(|lease| lease.is_suppressed).collect();
    assert_eq!(suppressed, [false, false, true, false, false]);
    assert!(fixture.lease(NOW).is_empty());
}

#[test]
fn siblings_are_bounded_too() {
    let fixture = Fixture::new();
    let added = fixture.add(&["a@x.example", "b@x.example", "c@x.example"]);
    let lease = fixture.lease_one(NOW);
    let siblings = fixture.queue.siblings(&lease, 1, NOW).wait().unwrap();
    assert_eq!(ids(&siblings), [added[1]]);
}

#[test]
fn a_clock_that_goes_back_makes_nobody_wait_for_years() {
    let fixture = Fixture::new();
    fixture.add(&["a@x.example"]);
    let year = 365 * 24 * 3_600;
    let lease = fixture.lease_one(late(year));
    let wait = lease.next_attempt.secs_since(late(year));
    fixture.settle(&lease, late(year), delayed());
    let fixture = fixture.reopened();
    // The clock was wrong and is set right.
    assert_eq!(fixture.next_due(NOW), Some(late(wait)));
    assert_eq!(fixture.lease(late(wait)).len(), 1);
}

#[test]
fn a_date_of_release_stays_when_the_clock_goes_back() {
    // RFC 4865 §4: `until` names a time, `for` a wait.
    let fixture = Fixture::new();
    let year = 365 * 24 * 3_600;
    for (request, rcpt) in [("until;2030-01-01T00:00:00Z", "a@x.example"), ("for;9", "b@x.example")]
    {
        let mut message = fixture.message(&[rcpt]);
        let at = late(2 * year);
        message.release = Some(Release { at, request: request.to_owned() });
        fixture.add_at(late(year), message);
    }
    assert_eq!(fixture.next_due(NOW), Some(late(year)));
    let times: Vec<_> = fixture.all().iter().map(|message| message.next_attempt).collect();
    assert_eq!(times, [late(2 * year), late(year)]);
}

#[test]
fn a_small_step_of_the_clock_changes_nothing() {
    let fixture = Fixture::new();
    fixture.add(&["a@x.example"]);
    let lease = fixture.lease_one(NOW);
    fixture.settle(&lease, NOW, delayed());
    assert_eq!(fixture.next_due(late(-50)), Some(lease.next_attempt));
}

#[test]
fn those_who_wait_are_told_when_something_may_be_due_sooner() {
    let fixture = Fixture::new();
    let woken = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&woken);
    fixture.queue.on_change(Arc::new(move || {
        counter.fetch_add(1, Ordering::Relaxed);
    }));
    fixture.add(&["a@x.example"]);
    assert_eq!(woken.load(Ordering::Relaxed), 1);
    let lease = fixture.lease_one(NOW);
    assert_eq!(woken.load(Ordering::Relaxed), 1);
    fixture.settle(&lease, NOW, delayed());
    assert_eq!(woken.load(Ordering::Relaxed), 2);
    let lease = fixture.lease_one(late(1_000));
    fixture.settle(&lease, late(1_000), delivered());
    assert_eq!(woken.load(Ordering::Relaxed), 2);
}

#[test]
fn what_was_found_is_taken_without_an_attempt() {
    let fixture = Fixture::new();
    let added = fixture.add(&["a@x.example", "b@y.example"]);
    let busy = fixture.lease_one(NOW);
    let found = fixture.queue.lease_found(Filter::default(), NOW).wait().unwrap();
    assert_eq!(busy.id, added[0]);
    assert_eq!((ids(&found), found[0].attempt), (vec![added[1]], 0));
    assert_eq!(fixture.next_due(NOW), None);
    fixture.queue.give_back(ids(&found), NOW).wait().unwrap();
    assert_eq!(fixture.next_due(NOW), Some(NOW));
    let settlement = Settlement::new(busy.id, NOW, delivered());
    fixture.queue.settle(vec![settlement], NOW).wait().unwrap();
}
