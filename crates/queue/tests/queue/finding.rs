//! Filters, pages, and changes.

use mox_queue::{
    Change, Filter, HoldRule, HookFilter, HookSort, LateResult, MessageId, NewHook, Queued,
    RESULT_TEXT_BYTES_MAX, Settlement, Sort, SortField, TimeFilter,
};
use mox_queue::{RetiredFilter, RetiredSort, RetiredSortField};

use crate::support::{Fixture, NOW, delivered, failed, failure, mailbox};

/// Four messages that differ in everything a filter looks at.
struct Found {
    fixture: Fixture,
    ids: Vec<MessageId>,
}

impl Found {
    fn new() -> Self {
        let fixture = Fixture::new();
        let rows = [
            ("one", "me@local.example", "a@x.example"),
            ("one", "me+1@local.example", "Bob@y.example"),
            ("two", "you@other.example", "c@x.example"),
            ("two", "", "a@z.example"),
        ];
        let mut ids = Vec::new();
        for (index, (account, from, rcpt)) in rows.into_iter().enumerate() {
            let mut message = fixture.message_of(account, from, &[rcpt]);
            message.transport = (index == 2).then(|| "relay".to_owned());
            ids.extend(fixture.add_at(NOW.plus_secs(10 * index as i64), message));
        }
        let found = Self { fixture, ids };
        let third = Filter { ids: vec![found.ids[2]], ..Filter::default() };
        found.change(third, Change::Hold(true), 1);
        found
    }

    #[track_caller]
    fn change(&self, filter: Filter, change: Change, want: u64) {
        let now = NOW.plus_secs(30);
        assert_eq!(self.fixture.queue.change(filter, change, now).wait().unwrap(), want);
    }

    fn list(&self, filter: &Filter, sort: &Sort) -> Vec<usize> {
        let listed = self.fixture.queue.list(filter, sort).unwrap();
        listed.iter().map(|message| self.place(message)).collect()
    }

    fn place(&self, message: &Queued) -> usize {
        self.ids.iter().position(|id| *id == message.id).unwrap()
    }

    #[track_caller]
    fn check(&self, filter: &Filter, want: &[usize]) {
        let sort = Sort { is_ascending: true, ..Sort::default() };
        assert_eq!(self.list(filter, &sort), want, "{filter:?}");
        assert_eq!(self.fixture.queue.count(filter).unwrap(), want.len() as u64, "{filter:?}");
    }
}

#[test]
fn every_filter() {
    let found = Found::new();
    let text = |text: &str| Some(text.to_owned());
    let none = Filter::default;
    found.check(&none(), &[0, 1, 2, 3]);
    found.check(&Filter { ids: vec![found.ids[1], MessageId(99)], ..none() }, &[1]);
    found.check(&Filter { account: text("two"), ..none() }, &[2, 3]);
    found.check(&Filter { account: text("tw"), ..none() }, &[]);
    found.check(&Filter { from: text("me@local.example"), ..none() }, &[0]);
    found.check(&Filter { from: text("@LOCAL.example"), ..none() }, &[0, 1]);
    found.check(&Filter { to: text("bob@"), ..none() }, &[1]);
    found.check(&Filter { to: text("@x.example"), ..none() }, &[0, 2]);
    // Not a pattern of SQL.
    found.check(&Filter { to: text("%"), ..none() }, &[]);
    found.check(&Filter { to: text("'"), ..none() }, &[]);
    // All of them must hold.
    found.check(&Filter { from: text("you"), to: text("@x.example"), ..none() }, &[2]);
    found.check(&Filter { hold: Some(true), ..none() }, &[2]);
    found.check(&Filter { hold: Some(false), ..none() }, &[0, 1, 3]);
    found.check(&Filter { transport: text("relay"), ..none() }, &[2]);
    found.check(&Filter { transport: text(""), ..none() }, &[0, 1, 3]);
    let (before, after) =
        (TimeFilter::Before(NOW.plus_secs(10)), TimeFilter::After(NOW.plus_secs(10)));
    found.check(&Filter { submitted: Some(before), ..none() }, &[0]);
    found.check(&Filter { submitted: Some(after), ..none() }, &[2, 3]);
    found.check(&Filter { next_attempt: Some(before), ..none() }, &[0]);
    found.check(&Filter { next_attempt: Some(after), ..none() }, &[2, 3]);
}

#[test]
fn pages_go_both_ways_by_either_time() {
    let found = Found::new();
    let first = Filter { ids: vec![found.ids[0]], ..Filter::default() };
    found.change(first, Change::Schedule { from_now: false, secs: 20 }, 1);
    // The first is now due with the third: their numbers decide.
    let cases: [(SortField, bool, [usize; 4]); 4] = [
        (SortField::NextAttempt, true, [1, 0, 2, 3]),
        (SortField::NextAttempt, false, [3, 2, 0, 1]),
        (SortField::Queued, true, [0, 1, 2, 3]),
        (SortField::Queued, false, [3, 2, 1, 0]),
    ];
    for (field, is_ascending, want) in cases {
        let mut sort = Sort { field, is_ascending, after: None };
        let page = Filter { max: 1, ..Filter::default() };
        for place in want {
            let [message] = &found.fixture.queue.list(&page, &sort).unwrap()[..] else {
                panic!("one")
            };
            assert_eq!(found.place(message), place, "{field:?} {is_ascending}");
            let time = match field {
                SortField::NextAttempt => message.next_attempt,
                SortField::Queued => message.queued,
            };
            sort.after = Some((time, message.id));
        }
        assert!(found.fixture.queue.list(&page, &sort).unwrap().is_empty());
    }
}

#[test]
fn every_change() {
    let found = Found::new();
    let all = Filter::default;
    let get = |index: usize| found.fixture.queue.get(found.ids[index]).unwrap().unwrap();
    let now = NOW.plus_secs(30);
    found.change(all(), Change::Transport(Some("other".to_owned())), 4);
    assert_eq!(get(0).transport.as_deref(), Some("other"));
    found.change(all(), Change::Transport(None), 4);
    assert_eq!(get(2).transport, None);
    for require_tls in [Some(true), Some(false), None] {
        found.change(all(), Change::RequireTls(require_tls), 4);
        assert_eq!(get(1).require_tls, require_tls);
    }
    found.change(all(), Change::Schedule { from_now: true, secs: 100 }, 4);
    assert_eq!(get(3).next_attempt, now.plus_secs(100));
    assert_eq!(found.fixture.next_due(now), Some(now.plus_secs(100)));
    found.change(all(), Change::Schedule { from_now: false, secs: -100 }, 4);
    assert_eq!(found.fixture.next_due(now), Some(now));
    // No more than wanted, those that are due first.
    found.change(Filter { max: 1, ..all() }, Change::Hold(true), 1);
    assert!(get(0).is_held);
    found.change(all(), Change::Hold(true), 4);
    assert_eq!(found.fixture.next_due(now), None);
    assert!(found.fixture.lease(now).is_empty());
    found.change(all(), Change::Hold(false), 4);
    assert_eq!(found.fixture.lease(now).len(), 4);
    found.change(all(), Change::Drop, 4);
    assert!(found.fixture.all().is_empty());
    assert_eq!(found.fixture.next_due(now), None);
}

fn rule(account: &str, sender: &str, rcpt: &str) -> HoldRule {
    let domain = |text: &str| mox_base::Domain::parse(text).ok();
    HoldRule {
        account: (!account.is_empty()).then(|| account.to_owned()),
        sender_domain: domain(sender),
        rcpt_domain: domain(rcpt),
    }
}

#[test]
fn a_hold_rule_needs_all_that_it_names() {
    let cases: [(HoldRule, &[usize]); 6] = [
        (rule("", "", ""), &[0, 1, 2, 3]),
        (rule("one", "", ""), &[0, 1, 2]),
        (rule("", "local.example", ""), &[0, 1, 2]),
        (rule("", "", "z.example"), &[2, 3]),
        (rule("two", "other.example", "x.example"), &[2]),
        // One of the three is wrong.
        (rule("one", "other.example", "x.example"), &[2]),
    ];
    for (rule, want) in cases {
        let found = Found::new();
        let (id, held) = found.fixture.queue.add_hold_rule(rule.clone()).wait().unwrap();
        let newly = want.iter().filter(|place| **place != 2).count();
        assert_eq!(held, newly as u64, "{rule:?}");
        found.check(&Filter { hold: Some(true), ..Filter::default() }, want);
        assert_eq!(found.fixture.queue.hold_rules().unwrap(), [(id, rule)]);
        // What is held stays held without the rule.
        found.fixture.queue.remove_hold_rule(id).wait().unwrap();
        found.check(&Filter { hold: Some(true), ..Filter::default() }, want);
        assert!(found.fixture.queue.remove_hold_rule(id).wait().is_err());
    }
}

#[test]
fn a_hold_rule_holds_what_comes_later() {
    let fixture = Fixture::new();
    let (id, held) = fixture.queue.add_hold_rule(rule("", "", "bücher.example")).wait().unwrap();
    assert_eq!(held, 0);
    let fixture = fixture.reopened();
    fixture.add(&["a@xn--bcher-kva.example", "b@x.example"]);
    let is_held: Vec<_> = fixture.all().iter().map(|message| message.is_held).collect();
    assert_eq!(is_held, [true, false]);
    assert_eq!(fixture.lease(NOW).len(), 1);
    fixture.queue.remove_hold_rule(id).wait().unwrap();
    fixture.add(&["c@bücher.example"]);
    assert_eq!(fixture.lease(NOW).len(), 1);
    // Held in the middle of an attempt: it is the last one.
    let lease = fixture.add(&["d@y.example"]);
    let leased = fixture.lease_one(NOW);
    assert_eq!(leased.id, lease[0]);
    fixture.queue.add_hold_rule(HoldRule::default()).wait().unwrap();
    fixture.settle(&leased, NOW, crate::support::delayed());
    assert_eq!(fixture.next_due(NOW), None);
}

#[test]
fn the_history_is_found() {
    let found = Found::new();
    found.change(Filter::default(), Change::Hold(false), 4);
    let outcomes = [delivered(), failed(false), delivered(), failed(false)];
    for (id, outcome) in found.ids.iter().zip(outcomes) {
        let now = NOW.plus_secs(1_000 - 10 * id.0);
        let filter = Filter { ids: vec![*id], ..Filter::default() };
        found.fixture.queue.lease_found(filter, NOW.plus_secs(30)).wait().unwrap();
        let settlement = Settlement { keep_secs: 100, ..Settlement::new(*id, now, outcome) };
        found.fixture.queue.settle(vec![settlement], now).wait().unwrap();
    }
    let check = |filter: RetiredFilter, want: &[usize]| {
        let field = RetiredSortField::Queued;
        let sort = RetiredSort { field, is_ascending: true, after: None };
        let listed = found.fixture.queue.retired_list(&filter, &sort).unwrap();
        let places: Vec<_> = listed.iter().map(|one| found.place(&one.message)).collect();
        assert_eq!(places, want, "{filter:?}");
    };
    let text = |text: &str| Some(text.to_owned());
    let none = RetiredFilter::default;
    check(none(), &[0, 1, 2, 3]);
    check(RetiredFilter { ids: vec![found.ids[2]], ..none() }, &[2]);
    check(RetiredFilter { account: text("one"), ..none() }, &[0, 1]);
    check(RetiredFilter { from: text("other"), ..none() }, &[2]);
    check(RetiredFilter { to: text("a@"), ..none() }, &[0, 3]);
    check(RetiredFilter { is_success: Some(false), ..none() }, &[1, 3]);
    check(RetiredFilter { transport: text("relay"), ..none() }, &[2]);
    let after = TimeFilter::After(NOW.plus_secs(15));
    check(RetiredFilter { submitted: Some(after), ..none() }, &[2, 3]);
    let recent = TimeFilter::After(NOW.plus_secs(975));
    check(RetiredFilter { last_activity: Some(recent), ..none() }, &[0, 1]);
    // By last activity, the newest first, in pages.
    let mut sort = RetiredSort::default();
    for place in [0, 1, 2, 3] {
        let page = RetiredFilter { max: 1, ..none() };
        let [one] = &found.fixture.queue.retired_list(&page, &sort).unwrap()[..] else {
            panic!("one")
        };
        assert_eq!(found.place(&one.message), place);
        sort.after = Some((one.last_activity, one.message.id));
    }
}

#[test]
fn what_was_sent_is_found_by_what_a_report_names() {
    let fixture = Fixture::new();
    let mut message = fixture.message(&["a@x.example", "b@x.example"]);
    message.message_id = "<1@local.example>".to_owned();
    message.envid = Some("envelope 1".to_owned());
    message.recipients[0].from_id = Some("token".to_owned());
    let added = fixture.add_at(NOW, message);
    for lease in fixture.queue.lease_found(Filter::default(), NOW).wait().unwrap() {
        let settlement =
            Settlement { keep_secs: 100, ..Settlement::new(lease.id, NOW, delivered()) };
        fixture.queue.settle(vec![settlement], NOW).wait().unwrap();
    }
    let queue = &fixture.queue;
    assert_eq!(queue.retired_by_from_id("token").unwrap().unwrap().message.id, added[0]);
    assert!(queue.retired_by_from_id("other").unwrap().is_none());
    assert_eq!(queue.retired_by_envid("envelope 1").unwrap().len(), 2);
    assert!(queue.retired_by_envid("").unwrap().is_empty());
    let by_id = queue.retired_by_message_id("<1@local.example>").unwrap();
    assert_eq!(by_id[1].message.rcpt_to, mailbox("a@x.example"));
    // A report tells more.
    let result = mox_queue::Attempt { text: "bounced".to_owned(), ..Default::default() };
    let now = NOW.plus_secs(5);
    queue.append_result(added[0], result.clone(), Some(false), now).wait().unwrap();
    let retired = queue.retired_get(added[0]).unwrap().unwrap();
    assert_eq!((retired.is_success, retired.last_activity), (false, now));
    assert_eq!(retired.message.results[1], result);
    assert!(queue.append_result(MessageId(99), result, None, now).wait().is_err());
}

/// What a report tells is written as a whole: result, suppression and call; of a message that is not
/// kept any longer nothing is.
#[test]
fn what_a_report_tells_is_written_at_once() {
    let fixture = Fixture::new();
    let message = fixture.message(&["a@x.example"]);
    let id = fixture.add_at(NOW, message)[0];
    for lease in fixture.queue.lease_found(Filter::default(), NOW).wait().unwrap() {
        let settlement =
            Settlement { keep_secs: 100, ..Settlement::new(lease.id, NOW, delivered()) };
        fixture.queue.settle(vec![settlement], NOW).wait().unwrap();
    }
    let queue = &fixture.queue;
    let account = queue.retired_get(id).unwrap().unwrap().message.account;
    // Attack: a report with a long text.
    let text = "x".repeat(RESULT_TEXT_BYTES_MAX + 1);
    let late = LateResult {
        id,
        result: Some(mox_queue::Attempt {
            text: text.clone(),
            remote_mta: Some(text),
            ..Default::default()
        }),
        is_success: Some(false),
        suppress: Some(failure(550, "gone")),
        hook: Some(NewHook { account: account.clone(), ..NewHook::default() }),
    };
    queue.settle_late(late.clone(), NOW.plus_secs(1)).wait().unwrap();
    let retired = queue.retired_get(id).unwrap().unwrap();
    let result = retired.message.results.last().unwrap();
    assert_eq!(result.text.len(), RESULT_TEXT_BYTES_MAX);
    assert_eq!(result.remote_mta.as_ref().unwrap().len(), RESULT_TEXT_BYTES_MAX);
    let suppressed = queue.suppressed(&account, &mailbox("a@x.example")).unwrap().unwrap();
    assert!(!suppressed.is_manual && suppressed.reason.ends_with("550 gone"));
    let calls = || queue.hooks(&HookFilter::default(), &HookSort::default()).unwrap().len();
    assert_eq!(calls(), 1);
    queue.remove_expired(NOW.plus_secs(100)).unwrap();
    queue.settle_late(late, NOW.plus_secs(101)).wait().unwrap();
    assert_eq!((queue.retired_get(id).unwrap(), calls()), (None, 1));
}
