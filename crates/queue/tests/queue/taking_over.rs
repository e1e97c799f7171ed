//! Queues of other servers that are taken over.

use std::io::Read as _;

use mox_base::UnixSeconds;
use mox_queue::{
    Attempt, HOLD_RULES_MAX, HoldRule, HoldRuleId, Hook, HookEnd, HookId, INLINE_BYTES_MAX,
    KeptBody, KeptQueued, KeptRcpt, KeptSent, KeptSequences, Kind, MessageId, NewHook, QueueError,
    Queued, RESULT_TEXT_BYTES_MAX, RESULTS_MAX, Release, Retired, Suppression, TlsHint,
};
use mox_smtp::ReversePath;

use crate::support::{Fixture, NOW, delivered, mailbox};

/// Waits since a while, for a while more.
fn message(id: i64) -> Queued {
    Queued {
        id: MessageId(id),
        base_id: None,
        body_id: 0,
        queued: NOW.plus_secs(-500),
        account: "account".to_owned(),
        mail_from: ReversePath::Mailbox(mailbox("me@local.example")),
        rcpt_to: mailbox("a@x.example"),
        from_id: None,
        notify: None,
        orcpt: None,
        priority: 0,
        require_tls: None,
        transport: None,
        is_held: false,
        is_leased: false,
        attempts: 3,
        attempts_max: None,
        next_attempt: NOW.plus_secs(100),
        last_attempt: Some(NOW.plus_secs(-400)),
        results: Vec::new(),
        dialed_ips: Default::default(),
        kind: Kind::Mail,
        size: 0,
        message_id: "<id@local.example>".to_owned(),
        subject: String::new(),
        has_8bit: false,
        is_binary: false,
        needs_utf8: false,
        has_utf8_body: false,
        ret: None,
        envid: None,
        release: None,
        extra: Default::default(),
    }
}

fn retired(id: i64) -> Retired {
    Retired {
        message: message(id),
        is_success: true,
        last_activity: NOW,
        keep_until: NOW.plus_secs(1_000),
    }
}

fn hook(id: i64) -> Hook {
    let call = NewHook {
        account: "account".to_owned(),
        url: "https://h.example/".to_owned(),
        authorization: "secret".to_owned(),
        payload: "{}".to_owned(),
        ..NewHook::default()
    };
    Hook {
        id: HookId(id),
        call,
        has_authorization: true,
        submitted: NOW.plus_secs(-500),
        attempts: 2,
        next_attempt: NOW.plus_secs(50),
        results: Vec::new(),
        retired: None,
    }
}

impl Fixture {
    fn own(&self, message: Queued, body: &[u8]) -> KeptQueued {
        let body = self.queue.stage(&mut &*body).unwrap();
        KeptQueued { message, body: KeptBody::Own { body, utf8: None } }
    }

    fn keep(&self, messages: Vec<KeptQueued>) -> Result<Vec<MessageId>, QueueError> {
        self.queue.keep_queued(messages, NOW).wait()
    }

    fn keep_one(&self, message: Queued) -> Result<Vec<MessageId>, QueueError> {
        self.keep(vec![self.own(message, b"x\r\n")])
    }
}

fn of(message: Queued, other: i64) -> KeptQueued {
    KeptQueued { message, body: KeptBody::Of(MessageId(other)) }
}

#[test]
fn a_message_goes_on_where_it_was() {
    let fixture = Fixture::new();
    fixture.keep_one(message(7)).unwrap();
    assert_eq!(fixture.next_due(NOW), Some(NOW.plus_secs(100)));
    assert!(fixture.lease(NOW).is_empty());
    let lease = fixture.lease_one(NOW.plus_secs(100));
    assert_eq!((lease.id, lease.attempt), (MessageId(7), 4));
    fixture.settle(&lease, NOW.plus_secs(100), delivered());
    // Numbers count on behind it, though it is gone.
    assert_eq!(fixture.add(&["b@x.example"]), [MessageId(8)]);
}

#[test]
fn what_was_kept_is_kept_once() {
    let fixture = Fixture::new();
    let large = vec![b'x'; INLINE_BYTES_MAX + 1];
    let base = |id| Queued { base_id: Some(MessageId(1)), ..message(id) };
    let both = || vec![fixture.own(base(1), &large), of(base(2), 1)];
    fixture.keep(both()).unwrap();
    let before = fixture.all();
    fixture.keep(both()).unwrap();
    assert_eq!(fixture.all(), before);
    assert_eq!(before[0].body_id, before[1].body_id);
    let mut body = Vec::new();
    fixture.queue.body(MessageId(2)).unwrap().read_to_end(&mut body).unwrap();
    assert_eq!(body, large);
    // The file of the second try is gone with it; the first one stays.
    let fixture = fixture.reopened();
    assert_eq!(mox_queue::body_files(&fixture.dir.path().join("queue")).unwrap().len(), 1);
    fixture.keep(vec![of(base(3), 2)]).unwrap();
    assert_eq!(fixture.all()[2].body_id, before[0].body_id);
}

#[test]
fn numbers_of_others_are_not_taken() {
    let fixture = Fixture::new();
    let id = fixture.add(&["b@x.example"])[0];
    let before = fixture.all();
    let taken = |outcome| matches!(outcome, Err(QueueError::IdTaken { id: 1 }));
    assert!(taken(
        fixture.keep(vec![fixture.own(message(2), b"x"), fixture.own(message(id.0), b"x"),])
    ));
    assert!(taken(fixture.queue.keep_retired(vec![retired(3), retired(id.0)]).wait()));
    assert_eq!((fixture.all(), fixture.queue.retired_get(MessageId(3)).unwrap()), (before, None));
    // Those that wait and those of the history have the same numbers.
    fixture.queue.keep_retired(vec![retired(3)]).wait().unwrap();
    let taken = fixture.keep_one(message(3));
    assert!(matches!(taken, Err(QueueError::IdTaken { id: 3 })), "{taken:?}");
    fixture.queue.keep_hooks(vec![hook(1)]).wait().unwrap();
    let other = Hook { submitted: NOW, ..hook(1) };
    let taken = fixture.queue.keep_hooks(vec![hook(2), other]).wait();
    assert!(matches!(taken, Err(QueueError::IdTaken { id: 1 })), "{taken:?}");
    assert!(!fixture.queue.has_hook(&hook(2)).unwrap());
}

#[test]
fn a_body_of_nobody_is_refused() {
    let fixture = Fixture::new();
    let refused = fixture.keep(vec![fixture.own(message(1), b"x"), of(message(2), 9)]);
    assert!(matches!(refused, Err(QueueError::NoMessage)), "{refused:?}");
    assert!(fixture.all().is_empty());
}

#[test]
fn of_a_token_that_two_have_the_first_keeps_it() {
    let fixture = Fixture::new();
    let with = |id| Queued { from_id: Some("token".to_owned()), ..message(id) };
    assert_eq!(fixture.keep_one(with(1)).unwrap(), []);
    for _again in 0..2 {
        assert_eq!(fixture.keep_one(with(2)).unwrap(), [MessageId(2)]);
        let gone = Retired { message: with(3), ..retired(3) };
        let without = fixture.queue.keep_retired(vec![gone]).wait().unwrap();
        assert_eq!(without, [MessageId(3)]);
    }
    assert_eq!(fixture.all()[1].from_id, None);
    assert_eq!(fixture.queue.retired_by_from_id("token").unwrap(), None);
}

/// Texts of any length may have been kept elsewhere.
#[test]
fn results_are_kept_within_bounds() {
    let fixture = Fixture::new();
    let result = |start| Attempt {
        start,
        text: "x".repeat(RESULT_TEXT_BYTES_MAX + 1),
        ..Attempt::default()
    };
    let results: Vec<_> = (0..i64::try_from(RESULTS_MAX).unwrap() + 5).map(result).collect();
    fixture.keep_one(Queued { results, ..message(1) }).unwrap();
    let kept = &fixture.all()[0].results;
    assert_eq!((kept.len(), kept[0].start), (RESULTS_MAX, 5));
    assert!(kept.iter().all(|one| one.text.len() == RESULT_TEXT_BYTES_MAX));
}

#[test]
fn waits_are_counted_anew_when_the_clock_goes_back_and_dates_are_not() {
    let fixture = Fixture::new();
    let date = Release { at: NOW.plus_secs(9_000), request: "until;later".to_owned() };
    let dated = Queued {
        release: Some(date),
        last_attempt: None,
        next_attempt: NOW.plus_secs(9_000),
        ..message(2)
    };
    fixture.keep(vec![fixture.own(message(1), b"x"), fixture.own(dated, b"x")]).unwrap();
    let earlier = NOW.plus_secs(-10_000);
    assert_eq!(fixture.next_due(earlier), Some(earlier.plus_secs(500)));
    assert_eq!(fixture.all()[1].next_attempt, NOW.plus_secs(9_000));
}

#[test]
fn hold_rules_hold_nothing_that_is_there() {
    let fixture = Fixture::new();
    fixture.keep_one(message(1)).unwrap();
    let rule = |id| (HoldRuleId(id), HoldRule::default());
    let keep = |rules| fixture.queue.keep_hold_rules(rules).wait();
    keep(vec![rule(4), rule(7)]).unwrap();
    keep(vec![rule(4)]).unwrap();
    assert_eq!(fixture.queue.hold_rules().unwrap().len(), 2);
    assert!(!fixture.all()[0].is_held);
    let id = fixture.add(&["b@x.example"])[0];
    assert!(fixture.queue.get(id).unwrap().unwrap().is_held, "what comes is held");
    let other = HoldRule { account: Some("other".to_owned()), ..HoldRule::default() };
    let taken = keep(vec![(HoldRuleId(7), other.clone())]);
    assert!(matches!(taken, Err(QueueError::IdTaken { id: 7 })), "{taken:?}");
    let many = (1..=HOLD_RULES_MAX).map(|id| rule(100 + i64::try_from(id).unwrap())).collect();
    assert!(matches!(keep(many), Err(QueueError::TooMany { .. })));
    assert_eq!(fixture.queue.add_hold_rule(other).wait().unwrap().0, HoldRuleId(8));
}

#[test]
fn calls_are_made_when_they_are_due() {
    let fixture = Fixture::new();
    let end = HookEnd {
        superseded_by: Some(HookId(5)),
        is_success: false,
        last_activity: NOW,
        keep_until: NOW.plus_secs(10),
    };
    let over = Hook { retired: Some(end), ..hook(6) };
    for _again in 0..2 {
        fixture.queue.keep_hooks(vec![hook(5), over.clone()]).wait().unwrap();
    }
    assert!(fixture.queue.has_hook(&over).unwrap());
    assert_eq!(fixture.queue.hook_next_due(NOW).unwrap(), Some(NOW.plus_secs(50)));
    let leased = fixture.queue.lease_hooks(5, Vec::new(), NOW.plus_secs(50)).wait().unwrap();
    assert_eq!((leased.len(), leased[0].id, leased[0].attempts), (1, HookId(5), 3));
    assert_eq!(leased[0].call.authorization, "secret");
    let all = fixture.queue.hooks_retired(&Default::default(), &Default::default()).unwrap();
    assert_eq!((all[0].retired, all[0].call.authorization.as_str()), (Some(end), ""));
    // It is removed when its time has come.
    fixture.queue.remove_expired(NOW.plus_secs(10)).unwrap();
    assert!(!fixture.queue.has_hook(&over).unwrap());
}

#[test]
fn sequences_only_rise() {
    let fixture = Fixture::new();
    let last = KeptSequences { messages: 50, hooks: 60, hold_rules: 0 };
    fixture.queue.keep_sequences(last).wait().unwrap();
    fixture.queue.keep_sequences(KeptSequences { hooks: 6, ..last }).wait().unwrap();
    assert_eq!(fixture.queue.kept_counts().unwrap().last, last);
    assert_eq!(fixture.add(&["b@x.example"]), [MessageId(51)]);
    let fixture = fixture.reopened();
    assert_eq!(fixture.queue.kept_counts().unwrap().last.messages, 51);
}

#[test]
fn what_is_known_here_is_not_undone() {
    let fixture = Fixture::new();
    let queue = &fixture.queue;
    let address = mailbox("a@x.example");
    queue.suppress("account", &address, "ours", NOW).wait().unwrap();
    let theirs = Suppression {
        account: "account".to_owned(),
        base_address: "a@x.example".to_owned(),
        address: "a@x.example".to_owned(),
        is_manual: false,
        reason: "theirs".to_owned(),
        created: UnixSeconds(0),
    };
    let other = Suppression { base_address: "b@x.example".to_owned(), ..theirs.clone() };
    queue.keep_suppressions(vec![theirs, other]).wait().unwrap();
    let reasons: Vec<_> =
        queue.suppressions(None, None).unwrap().into_iter().map(|one| one.reason).collect();
    assert_eq!(reasons, ["ours", "theirs"]);
    let hint = |has_starttls| TlsHint { has_starttls, has_requiretls: false };
    let keep = |has| {
        let hints = vec![("x.example".to_owned(), hint(has), NOW)];
        queue.keep_tls_hints("account", hints).wait().unwrap();
    };
    keep(true);
    keep(false);
    assert_eq!(queue.tls_hint("account", "x.example").unwrap(), Some(hint(true)));
}

#[test]
fn what_was_sent_counts_once() {
    let fixture = Fixture::new();
    let send = |rcpt: &str| {
        let mut message = fixture.message(&[rcpt]);
        message.limits =
            Some(mox_queue::SendingLimits { messages_per_day: 4, first_time_rcpts_per_day: 1 });
        fixture.queue.add(message, NOW).wait().map(|_| ())
    };
    for _again in 0..2 {
        let rcpt = KeptRcpt { address: "A@X.example".to_owned(), first: UnixSeconds(0) };
        fixture.queue.keep_rcpts("account", vec![rcpt]).wait().unwrap();
        let mut sent = KeptSent::new(NOW);
        // Today, a day ago, just before that, and in the future.
        for ago in [1, 2, 86_400, 86_401, -1] {
            sent.add(NOW.plus_secs(-ago));
        }
        fixture.queue.keep_sent("account", sent).wait().unwrap();
    }
    send("a@x.example").unwrap();
    assert!(matches!(send("a@x.example"), Err(QueueError::MessagesPerDay)));
}
