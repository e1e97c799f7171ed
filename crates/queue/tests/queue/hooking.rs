//! Webhook calls: when they are made, how often, and what is kept of them.

use mox_base::UnixSeconds;
use mox_queue::{
    HOOK_ATTEMPTS_MAX, HOOK_BYTES_PER_ACCOUNT_MAX, HOOKS_PER_ACCOUNT_MAX, Hook, HookChange,
    HookEvent, HookFilter, HookId, HookOutcome, HookSettled, HookSort, HookSortField, MessageId,
    NewHook, OutgoingEvent, RESPONSE_BYTES_MAX, Settlement, TimeFilter,
};

use crate::support::{Fixture, NOW, delayed, delivered};

fn incoming(url: &str) -> NewHook {
    NewHook {
        account: "account".to_owned(),
        url: url.to_owned(),
        authorization: "Basic secret".to_owned(),
        payload: "{}".to_owned(),
        keep_secs: 1_000,
        ..NewHook::default()
    }
}

fn outgoing(queued: MessageId, event: OutgoingEvent) -> NewHook {
    NewHook { queued: Some(queued), event: Some(event), ..incoming("https://hooks.example/out") }
}

impl Fixture {
    fn add_hooks(&self, hooks: &[NewHook]) {
        self.queue.add_hooks(hooks.to_vec(), NOW).wait().unwrap();
    }

    fn lease_hooks(&self, now: UnixSeconds) -> Vec<Hook> {
        self.queue.lease_hooks(10, Vec::new(), now).wait().unwrap()
    }

    fn answer(&self, hook: &Hook, code: u16, now: UnixSeconds) -> HookSettled {
        let response = "é".repeat(RESPONSE_BYTES_MAX);
        let outcome = HookOutcome { code, response, start: now, ..HookOutcome::default() };
        self.queue.settle_hook(hook.id, outcome, now).wait().unwrap()
    }

    fn waiting(&self) -> Vec<Hook> {
        let sort = HookSort { is_ascending: true, ..HookSort::default() };
        self.queue.hooks(&HookFilter::default(), &sort).unwrap()
    }

    fn retired_hooks(&self) -> Vec<Hook> {
        self.queue.hooks_retired(&HookFilter::default(), &HookSort::default()).unwrap()
    }
}

#[test]
fn a_call_that_is_answered_is_made_once() {
    let fixture = Fixture::new();
    fixture.add_hooks(&[incoming("https://hooks.example/in")]);
    assert_eq!(fixture.queue.hook_next_due(NOW).unwrap(), Some(NOW));
    let [hook] = &fixture.lease_hooks(NOW)[..] else { panic!("one") };
    assert_eq!((hook.attempts, hook.call.authorization.as_str()), (1, "Basic secret"));
    assert!(fixture.lease_hooks(NOW.plus_secs(100_000)).is_empty(), "it is being made");
    assert_eq!(fixture.queue.hook_next_due(NOW).unwrap(), None);
    assert_eq!(fixture.answer(hook, 200, NOW), HookSettled::Done);
    assert!(fixture.waiting().is_empty());
    let fixture = fixture.reopened();
    let [retired] = &fixture.retired_hooks()[..] else { panic!("one") };
    let end = retired.retired.unwrap();
    assert!(end.is_success && retired.has_authorization && retired.call.authorization.is_empty());
    assert_eq!(end.keep_until, NOW.plus_secs(1_000));
    assert!(retired.results[0].response.len() <= RESPONSE_BYTES_MAX);
    assert_eq!(fixture.queue.remove_expired(NOW.plus_secs(999)).unwrap(), 0);
    fixture.queue.remove_expired(NOW.plus_secs(1_000)).unwrap();
    assert!(fixture.retired_hooks().is_empty());
}

#[test]
fn a_call_that_fails_is_made_again_until_it_is_given_up() {
    let fixture = Fixture::new();
    fixture.add_hooks(&[NewHook { keep_secs: 0, ..incoming("https://hooks.example/in") }]);
    let mut now = NOW;
    for attempt in 1..=HOOK_ATTEMPTS_MAX {
        let [hook] = &fixture.lease_hooks(now)[..] else { panic!("attempt {attempt}") };
        assert_eq!(hook.attempts, attempt);
        // Only 200 is a success.
        let want =
            if attempt == HOOK_ATTEMPTS_MAX { HookSettled::Over } else { HookSettled::Again };
        assert_eq!(fixture.answer(hook, if attempt % 2 == 0 { 201 } else { 500 }, now), want);
        assert!(fixture.lease_hooks(now).is_empty(), "it waits");
        now = fixture.queue.hook_next_due(now).unwrap().unwrap_or(now);
    }
    assert!(now.secs_since(NOW) > 24 * 3_600, "{now:?}");
    assert!(fixture.waiting().is_empty() && fixture.retired_hooks().is_empty());
}

#[test]
fn one_url_gets_one_call_at_a_time_and_none_waits_for_another() {
    let fixture = Fixture::new();
    let (a, b) = (incoming("https://a.example/"), incoming("https://b.example/"));
    fixture.add_hooks(&[a.clone(), a.clone(), b.clone(), a, b]);
    let numbers = |hooks: &[Hook]| hooks.iter().map(|hook| hook.id.0).collect::<Vec<_>>();
    let first = fixture.lease_hooks(NOW);
    assert_eq!(numbers(&first), [1, 3]);
    let busy = vec!["https://a.example/".to_owned()];
    assert_eq!(numbers(&fixture.queue.lease_hooks(10, busy, NOW).wait().unwrap()), [5]);
    assert_eq!(numbers(&fixture.queue.lease_hooks(0, Vec::new(), NOW).wait().unwrap()), [0; 0]);
}

#[test]
fn news_about_a_message_take_the_place_of_older_ones() {
    let fixture = Fixture::new();
    let id = fixture.add(&["a@x.example"])[0];
    let lease = fixture.lease_one(NOW);
    let hooks = vec![outgoing(id, OutgoingEvent::Delayed)];
    let settlement = Settlement { hooks, ..Settlement::new(lease.id, NOW, delayed()) };
    fixture.queue.settle(vec![settlement], NOW).wait().unwrap();
    let [in_flight] = &fixture.lease_hooks(NOW)[..] else { panic!("one") };
    let later = NOW.plus_secs(1_000);
    let lease = fixture.lease_one(later);
    let hooks = vec![outgoing(id, OutgoingEvent::Delivered)];
    let settlement = Settlement { hooks, ..Settlement::new(lease.id, later, delivered()) };
    fixture.queue.settle(vec![settlement], later).wait().unwrap();
    let [next] = &fixture.waiting()[..] else { panic!("one waits") };
    assert_eq!(next.call.event, Some(OutgoingEvent::Delivered));
    // What was under way is told of in the history.
    assert_eq!(fixture.answer(in_flight, 200, later), HookSettled::Over);
    let [old] = &fixture.retired_hooks()[..] else { panic!("one is over") };
    let end = old.retired.unwrap();
    assert_eq!((end.superseded_by, end.is_success), (Some(next.id), false));
    assert_eq!((old.results.len(), old.results[0].code), (1, 200));
}

/// A crash while a call is made: it is not known whether it was heard.
#[test]
fn calls_that_a_crash_cut_off_are_made_again() {
    let fixture = Fixture::new();
    fixture.add_hooks(&[incoming("https://hooks.example/in")]);
    fixture.lease_hooks(NOW);
    let fixture = fixture.reopened();
    assert!(fixture.lease_hooks(NOW).is_empty(), "not at once");
    let [hook] = &fixture.lease_hooks(NOW.plus_secs(60))[..] else { panic!("one") };
    assert_eq!((hook.attempts, hook.results.len()), (2, 1));
    assert!(hook.results[0].error.contains("interrupted"));
}

#[test]
fn a_clock_that_goes_back_delays_nothing_for_long() {
    let fixture = Fixture::new();
    fixture.add_hooks(&[incoming("https://hooks.example/in")]);
    let past = NOW.plus_secs(-10_000_000);
    assert_eq!(fixture.queue.hook_next_due(past).unwrap(), Some(past));
    assert_eq!(fixture.lease_hooks(past).len(), 1);
}

#[test]
fn calls_are_found_and_changed() {
    let fixture = Fixture::new();
    let id = fixture.add(&["a@x.example"])[0];
    let other = NewHook { account: "other".to_owned(), ..incoming("https://o.example/") };
    fixture.add_hooks(&[
        incoming("https://i.example/"),
        other,
        outgoing(id, OutgoingEvent::Failed),
    ]);
    let find = |filter: HookFilter| -> Vec<i64> {
        let sort = HookSort { is_ascending: true, ..HookSort::default() };
        fixture.queue.hooks(&filter, &sort).unwrap().iter().map(|hook| hook.id.0).collect()
    };
    assert_eq!(find(HookFilter::default()), [1, 2, 3]);
    assert_eq!(find(HookFilter { max: 2, ..HookFilter::default() }), [1, 2]);
    assert_eq!(find(HookFilter { ids: vec![HookId(2), HookId(9)], ..HookFilter::default() }), [2]);
    assert_eq!(find(HookFilter { account: Some("other".into()), ..HookFilter::default() }), [2]);
    let event = |event| HookFilter { event: Some(event), ..HookFilter::default() };
    assert_eq!(find(event(HookEvent::Incoming)), [1, 2]);
    assert_eq!(find(event(HookEvent::Outgoing(OutgoingEvent::Failed))), [3]);
    assert_eq!(find(event(HookEvent::Outgoing(OutgoingEvent::Delayed))), [0; 0]);
    let before = HookFilter { submitted: Some(TimeFilter::Before(NOW)), ..HookFilter::default() };
    assert_eq!(find(before), [0; 0]);
    // The second page, backwards.
    let field = HookSortField::Submitted;
    let sort = HookSort { field, after: Some((NOW, HookId(3))), ..HookSort::default() };
    let page = fixture.queue.hooks(&HookFilter::default(), &sort).unwrap();
    assert_eq!(page.iter().map(|hook| hook.id.0).collect::<Vec<_>>(), [2, 1]);

    let change = |filter, change| fixture.queue.change_hooks(filter, change, NOW).wait().unwrap();
    let later = HookChange::Schedule { from_now: true, secs: 500 };
    assert_eq!(change(event(HookEvent::Incoming), later), 2);
    assert_eq!(fixture.waiting()[1].next_attempt, NOW.plus_secs(500));
    let sooner = HookChange::Schedule { from_now: false, secs: -100 };
    let second = HookFilter { ids: vec![HookId(2)], ..HookFilter::default() };
    assert_eq!(change(second.clone(), sooner), 1);
    assert_eq!(find(HookFilter::default()), [3, 2, 1]);
    assert_eq!(change(second, HookChange::Cancel), 1);
    assert_eq!(fixture.waiting().len(), 2);
    assert!(!fixture.retired_hooks()[0].retired.unwrap().is_success);
}

/// What was made and is kept must not stand in the way of what is to be made.
#[test]
fn history_takes_half_of_the_room_of_an_account() {
    for (column, most) in [("count", HOOKS_PER_ACCOUNT_MAX), ("bytes", HOOK_BYTES_PER_ACCOUNT_MAX)]
    {
        for (used, is_kept) in [(most / 2, true), (most / 2 + 1, false)] {
            let fixture = Fixture::new();
            fixture.add_hooks(&[incoming("https://i.example/")]);
            let db = rusqlite::Connection::open(fixture.dir.path().join("queue/queue.db")).unwrap();
            db.execute(&format!("UPDATE hook_usage SET {column} = ?1"), [used]).unwrap();
            let [hook] = &fixture.lease_hooks(NOW)[..] else { panic!("one") };
            assert_eq!(fixture.answer(hook, 200, NOW), HookSettled::Done);
            assert_eq!(fixture.retired_hooks().len(), usize::from(is_kept), "{column} {used}");
            assert!(fixture.waiting().is_empty());
            let truth = "UPDATE hook_usage SET count = (SELECT count(*) FROM hook), \
                bytes = (SELECT coalesce(sum(length(payload)), 0) FROM hook)";
            db.execute(truth, []).unwrap();
        }
    }
}

/// A program that never answers does not fill the disk.
#[test]
fn an_account_has_so_many_calls_and_no_more() {
    let fixture = Fixture::new();
    fixture.add_hooks(&[incoming("https://i.example/")]);
    let db = rusqlite::Connection::open(fixture.dir.path().join("queue/queue.db")).unwrap();
    let usage = |column: &str, number: i64| {
        db.execute(&format!("UPDATE hook_usage SET {column} = ?1"), [number]).unwrap();
    };
    for (column, most) in [("count", HOOKS_PER_ACCOUNT_MAX), ("bytes", HOOK_BYTES_PER_ACCOUNT_MAX)]
    {
        let before = fixture.waiting().len();
        usage(column, most - 1);
        fixture.add_hooks(&[incoming("https://i.example/")]);
        usage(column, most);
        fixture.add_hooks(&[incoming("https://i.example/")]);
        assert_eq!(fixture.waiting().len(), before + 1, "{column}");
        let other = NewHook { account: column.to_owned(), ..incoming("https://o.example/") };
        fixture.add_hooks(&[other]);
        assert_eq!(fixture.waiting().len(), before + 2, "{column}");
        usage(column, 1);
    }
    // What is removed makes room.
    let gone =
        NewHook { keep_secs: 0, account: "gone".to_owned(), ..incoming("https://i.example/") };
    fixture.add_hooks(&[gone]);
    let filter = HookFilter { account: Some("gone".to_owned()), ..HookFilter::default() };
    fixture.queue.change_hooks(filter, HookChange::Cancel, NOW).wait().unwrap();
    const SQL: &str = "SELECT count, bytes FROM hook_usage WHERE account = 'gone'";
    let left = db.query_row(SQL, [], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)));
    assert_eq!(left.unwrap(), (0, 0));
    // The numbers as they are, for the check at the end.
    db.execute_batch(
        "DELETE FROM hook_usage; INSERT INTO hook_usage \
         SELECT account, count(*), sum(length(payload)) FROM hook GROUP BY account;",
    )
    .unwrap();
}
