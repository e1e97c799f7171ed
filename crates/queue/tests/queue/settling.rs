//! What came of attempts: results, history, suppressions, notices.

use std::net::IpAddr;

use mox_queue::{
    Change, Filter, HINT_KEEP_SECS, MessageId, NewNotice, Outcome, RetiredFilter, RetiredSort,
    Settled, Settlement, TlsHint,
};

use crate::support::{Fixture, NOW, delayed, delivered, failed, failure, mailbox};

fn notice() -> NewNotice {
    NewNotice {
        account: "account".to_owned(),
        mailbox: "Inbox".to_owned(),
        is_seen: false,
        message_id: "<n@local.example>".to_owned(),
        body: b"Subject: no\r\n\r\n".to_vec(),
    }
}

#[test]
fn a_delay_keeps_the_message_with_its_result() {
    let fixture = Fixture::new();
    fixture.add(&["a@x.example"]);
    let lease = fixture.lease_one(NOW);
    let mut settlement = Settlement::new(lease.id, NOW, delayed());
    settlement.duration_ms = 12;
    settlement.dialed_ips.insert("mx.x.example".to_owned(), vec![IpAddr::from([192, 0, 2, 1])]);
    settlement.retry_at = Some(NOW.plus_secs(60));
    let settled = fixture.queue.settle(vec![settlement.clone()], NOW).wait().unwrap();
    let id = lease.id;
    assert_eq!(settled, [Settled { id, is_final: false, suppressed: false }]);
    let fixture = fixture.reopened();
    let [message] = &fixture.all()[..] else { panic!("one") };
    assert_eq!(message.next_attempt, NOW.plus_secs(60));
    assert_eq!(message.dialed_ips, settlement.dialed_ips);
    let [result] = &message.results[..] else { panic!("one") };
    assert_eq!((result.start, result.duration_ms, result.is_success), (NOW.0, 12, false));
    assert_eq!((result.code, result.text.as_str()), (Some(451), "try later"));
}

#[test]
fn what_is_settled_is_out_of_the_queue_and_kept_as_wished() {
    let fixture = Fixture::new();
    let added = fixture.add(&["a@x.example", "b@y.example", "c@z.example"]);
    for (id, outcome, keep_secs) in
        [(added[0], delivered(), 50), (added[1], failed(false), 100), (added[2], delivered(), 0)]
    {
        let lease = fixture.lease_one(NOW);
        assert_eq!(lease.id, id);
        let settlement = Settlement { keep_secs, ..Settlement::new(id, NOW, outcome) };
        let settled = fixture.queue.settle(vec![settlement], NOW).wait().unwrap();
        assert!(settled[0].is_final);
    }
    assert!(fixture.all().is_empty());
    assert_eq!(fixture.next_due(NOW), None);
    let fixture = fixture.reopened();
    let sort = RetiredSort { is_ascending: true, ..RetiredSort::default() };
    let retired = fixture.queue.retired_list(&RetiredFilter::default(), &sort).unwrap();
    let kept: Vec<_> = retired.iter().map(|one| (one.message.id, one.is_success)).collect();
    assert_eq!(kept, [(added[0], true), (added[1], false)]);
    assert_eq!(retired[0].message.results[0].text, "queued");
    assert_eq!(fixture.queue.remove_expired(NOW.plus_secs(50)).unwrap(), 1);
    assert_eq!(fixture.queue.remove_expired(NOW.plus_secs(100)).unwrap(), 1);
    assert!(fixture.queue.retired_get(added[1]).unwrap().is_none());
}

#[test]
fn settled_twice_counts_once() {
    let fixture = Fixture::new();
    fixture.add(&["a@x.example"]);
    let lease = fixture.lease_one(NOW);
    let settlement =
        Settlement { notices: vec![notice()], ..Settlement::new(lease.id, NOW, delivered()) };
    let both = vec![settlement.clone(), settlement.clone()];
    assert_eq!(fixture.queue.settle(both, NOW).wait().unwrap().len(), 1);
    assert!(fixture.queue.settle(vec![settlement], NOW).wait().unwrap().is_empty());
    assert_eq!(fixture.queue.pending_notices(10).unwrap().len(), 1);
}

#[test]
fn what_was_dropped_meanwhile_is_left_out() {
    let fixture = Fixture::new();
    let added = fixture.add(&["a@x.example", "b@x.example"]);
    let lease = fixture.lease_one(NOW);
    let one = Filter { ids: vec![lease.id], ..Filter::default() };
    assert_eq!(fixture.queue.change(one, Change::Drop, NOW).wait().unwrap(), 1);
    let settlement =
        Settlement { notices: vec![notice()], ..Settlement::new(lease.id, NOW, failed(true)) };
    let unknown = Settlement::new(MessageId(77), NOW, delivered());
    assert!(fixture.queue.settle(vec![settlement, unknown], NOW).wait().unwrap().is_empty());
    assert!(fixture.queue.pending_notices(10).unwrap().is_empty());
    assert!(fixture.queue.suppressions(None, None).unwrap().is_empty());
    assert_eq!(fixture.all()[0].id, added[1]);
    assert!(fixture.queue.body(added[1]).is_ok());
}

#[test]
fn an_administrator_drops_with_a_trace() {
    let fixture = Fixture::new();
    fixture.add(&["a@x.example"]);
    let lease = fixture.queue.lease_found(Filter::default(), NOW).wait().unwrap().remove(0);
    let settlement =
        Settlement { keep_secs: 9, ..Settlement::new(lease.id, NOW, Outcome::Dropped) };
    fixture.queue.settle(vec![settlement], NOW).wait().unwrap();
    let retired = fixture.queue.retired_get(lease.id).unwrap().unwrap();
    assert_eq!((retired.is_success, retired.message.attempts), (false, 0));
    assert_eq!(retired.message.results[0].text, "dropped by an administrator");
}

#[test]
fn a_notice_is_there_until_it_is_delivered() {
    let fixture = Fixture::new();
    fixture.add(&["a@x.example"]);
    let lease = fixture.lease_one(NOW);
    let settlement =
        Settlement { notices: vec![notice()], ..Settlement::new(lease.id, NOW, failed(false)) };
    fixture.queue.settle(vec![settlement], NOW).wait().unwrap();
    let [pending] = &fixture.queue.pending_notices(10).unwrap()[..] else { panic!("one") };
    assert_eq!((&pending.notice, pending.is_from_before), (&notice(), false));
    let fixture = fixture.reopened();
    let [pending] = &fixture.queue.pending_notices(10).unwrap()[..] else { panic!("one") };
    assert_eq!((pending.is_from_before, pending.created), (true, NOW));
    fixture.queue.notice_done(pending.id).wait().unwrap();
    fixture.queue.notice_done(pending.id).wait().unwrap();
    assert!(fixture.queue.pending_notices(10).unwrap().is_empty());
}

#[test]
fn a_failure_that_says_so_suppresses_the_address() {
    let fixture = Fixture::new();
    fixture.add(&["Some.User+shop@x.example", "someuser@x.example"]);
    let mut suppressed = Vec::new();
    for _ in 0..2 {
        let lease = fixture.lease_one(NOW);
        let settlement = Settlement::new(lease.id, NOW, failed(true));
        suppressed.push(fixture.queue.settle(vec![settlement], NOW).wait().unwrap()[0].suppressed);
    }
    assert_eq!(suppressed, [true, false]);
    let [entry] = &fixture.queue.suppressions(Some("account"), None).unwrap()[..] else {
        panic!("one")
    };
    assert_eq!(entry.base_address, "someuser@x.example");
    assert_eq!((entry.address.as_str(), entry.is_manual), ("Some.User+shop@x.example", false));
    assert_eq!(entry.reason, "delivery failed: 550 no such user");
    let found = fixture.queue.suppressed("account", &mailbox("SOMEUSER-2@x.example")).unwrap();
    assert_eq!(found.as_ref(), Some(entry));
    assert!(fixture.queue.suppressed("other", &mailbox("someuser@x.example")).unwrap().is_none());
}

#[test]
fn a_long_answer_is_cut() {
    let fixture = Fixture::new();
    fixture.add(&["a@x.example"]);
    let lease = fixture.lease_one(NOW);
    let error = failure(450, &"é".repeat(mox_queue::RESULT_TEXT_BYTES_MAX));
    fixture.settle(&lease, NOW, Outcome::Delayed { error });
    assert_eq!(fixture.all()[0].results[0].text.len(), mox_queue::RESULT_TEXT_BYTES_MAX);
}

#[test]
fn what_a_domain_offered_is_remembered_for_a_year() {
    let fixture = Fixture::new();
    fixture.add(&["a@x.example", "b@x.example"]);
    let hint = |has_starttls| Some(TlsHint { has_starttls, has_requiretls: false });
    for has_starttls in [false, true] {
        let lease = fixture.lease_one(NOW);
        let tls_hint = hint(has_starttls);
        let settlement = Settlement { tls_hint, ..Settlement::new(lease.id, NOW, delivered()) };
        fixture.queue.settle(vec![settlement], NOW).wait().unwrap();
        assert_eq!(fixture.queue.tls_hint("account", "x.example").unwrap(), hint(has_starttls));
    }
    assert_eq!(fixture.queue.tls_hint("other", "x.example").unwrap(), None);
    fixture.queue.remove_expired(NOW.plus_secs(HINT_KEEP_SECS)).unwrap();
    assert_eq!(fixture.queue.tls_hint("account", "x.example").unwrap(), hint(true));
    fixture.queue.remove_expired(NOW.plus_secs(HINT_KEEP_SECS + 1)).unwrap();
    assert_eq!(fixture.queue.tls_hint("account", "x.example").unwrap(), None);
}
