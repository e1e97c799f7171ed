//! Random operations, beside a model of what must come of them.

use std::collections::BTreeMap;

use mox_base::UnixSeconds;
use mox_queue::{Change, Filter, Lease, LeaseRequest, MessageId, Outcome, Settlement};
use proptest::prelude::*;

use crate::support::{Fixture, NOW, delayed, delivered, failed, ids};

const DOMAINS: [&str; 3] = ["x.example", "y.example", "z.example"];

/// A step, with numbers that choose among what there is.
#[derive(Clone, Debug)]
enum Step {
    Add { rcpts: Vec<usize>, priority: i8 },
    Lease { max: usize, per_domain_max: usize, busy: Option<usize> },
    LeaseOf { domain: usize },
    Siblings { of: usize },
    Settle { which: usize, outcome: usize },
    GiveBack { which: usize },
    Hold { which: usize, is_held: bool },
    Schedule { which: usize, secs: i64 },
    Wait { secs: i64 },
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let number = || 0..100_usize;
    prop_oneof![
        3 => (prop::collection::vec(0..DOMAINS.len(), 1..4), -1..2_i8)
            .prop_map(|(rcpts, priority)| Step::Add { rcpts, priority }),
        3 => (0..4_usize, 0..3_usize, prop::option::of(0..DOMAINS.len()))
            .prop_map(|(max, per_domain_max, busy)| Step::Lease { max, per_domain_max, busy }),
        1 => (0..DOMAINS.len()).prop_map(|domain| Step::LeaseOf { domain }),
        1 => number().prop_map(|of| Step::Siblings { of }),
        4 => (number(), 0..3_usize)
            .prop_map(|(which, outcome)| Step::Settle { which, outcome }),
        1 => number().prop_map(|which| Step::GiveBack { which }),
        1 => (number(), any::<bool>()).prop_map(|(which, is_held)| Step::Hold { which, is_held }),
        1 => (number(), -900..900_i64).prop_map(|(which, secs)| Step::Schedule { which, secs }),
        2 => (0..1_000_i64).prop_map(|secs| Step::Wait { secs }),
        1 => Just(Step::Reopen),
    ]
}

/// What the model knows of a message.
#[derive(Clone, Debug)]
struct Row {
    domain: usize,
    priority: i8,
    attempts: u32,
    next: UnixSeconds,
    is_held: bool,
    lease: Option<Lease>,
    /// When it was due before it was leased.
    was_due: UnixSeconds,
}

impl Row {
    fn is_waiting(&self) -> bool {
        !self.is_held && self.lease.is_none()
    }
}

struct Model {
    fixture: Option<Fixture>,
    rows: BTreeMap<MessageId, Row>,
    now: UnixSeconds,
}

impl Model {
    fn fixture(&self) -> &Fixture {
        self.fixture.as_ref().unwrap()
    }

    fn pick(&self, which: usize, is_leased: bool) -> Option<MessageId> {
        let of_kind = self.rows.iter().filter(|(_, row)| row.lease.is_some() == is_leased);
        let ids: Vec<_> = of_kind.map(|(id, _)| *id).collect();
        (!ids.is_empty()).then(|| ids[which % ids.len()])
    }

    /// What may be leased, without a domain.
    fn due(&self, busy: Option<usize>) -> Vec<(MessageId, Row)> {
        let is_due = |row: &Row| row.is_waiting() && row.next <= self.now;
        let due = self.rows.iter().filter(|(_, row)| is_due(row) && Some(row.domain) != busy);
        due.map(|(id, row)| (*id, row.clone())).collect()
    }

    /// Notes leases, which must be of messages that were due.
    fn leased(&mut self, leases: Vec<Lease>, due: &[(MessageId, Row)]) {
        for lease in leases {
            assert!(due.iter().any(|(id, _)| *id == lease.id), "{} was not due", lease.id);
            let row = self.rows.get_mut(&lease.id).unwrap();
            assert!(row.lease.is_none(), "{} leased twice", lease.id);
            row.attempts += 1;
            assert_eq!((lease.attempt, lease.message.attempts), (row.attempts, row.attempts));
            row.was_due = row.next;
            row.next = lease.next_attempt;
            row.lease = Some(lease);
        }
    }

    fn lease(&mut self, max: usize, per_domain_max: usize, busy: Option<usize>) {
        let busy_domains = busy.map(|domain| DOMAINS[domain].to_owned()).into_iter().collect();
        let request = LeaseRequest { max, per_domain_max, busy_domains, only_domain: None };
        let leases = self.fixture().queue.lease(request, self.now).wait().unwrap();
        let due = self.due(busy);
        assert!(leases.len() <= max);
        assert_eq!(leases.is_empty(), max == 0 || due.is_empty());
        if let Some(first) = leases.first() {
            let highest = due.iter().map(|(_, row)| row.priority).max();
            assert_eq!(Some(first.message.priority), highest);
        }
        for domain in DOMAINS {
            let count = leases.iter().filter(|lease| lease.message.rcpt_to.host.ascii() == domain);
            assert!(count.count() <= per_domain_max.max(1));
        }
        self.leased(leases, &due);
    }

    fn settle(&mut self, id: MessageId, outcome: usize) {
        let outcomes: [Outcome; 3] = [delivered(), delayed(), failed(true)];
        let settlement = Settlement {
            keep_secs: id.0 % 2 * 1_000_000,
            ..Settlement::new(id, self.now, outcomes[outcome].clone())
        };
        let settled = self.fixture().queue.settle(vec![settlement], self.now).wait().unwrap();
        assert_eq!(settled[0].is_final, outcome != 1);
        if outcome == 1 {
            self.rows.get_mut(&id).unwrap().lease = None;
        } else {
            self.rows.remove(&id);
        }
    }

    fn add(&mut self, rcpts: &[usize], priority: i8) {
        let addresses: Vec<_> =
            rcpts.iter().map(|domain| format!("a@{}", DOMAINS[*domain])).collect();
        let addresses: Vec<_> = addresses.iter().map(String::as_str).collect();
        let mut message = self.fixture().message(&addresses);
        message.priority = priority;
        let added = self.fixture().add_at(self.now, message);
        for (id, domain) in added.into_iter().zip(rcpts) {
            let row = Row {
                domain: *domain,
                priority,
                attempts: 0,
                next: self.now,
                is_held: false,
                lease: None,
                was_due: self.now,
            };
            assert!(self.rows.insert(id, row).is_none(), "{id} used again");
        }
    }

    fn change(&self, id: MessageId, change: Change) {
        let filter = Filter { ids: vec![id], ..Filter::default() };
        let changed = self.fixture().queue.change(filter, change, self.now).wait().unwrap();
        assert_eq!(changed, 1);
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Add { rcpts, priority } => self.add(&rcpts, priority),
            Step::Lease { max, per_domain_max, busy } => self.lease(max, per_domain_max, busy),
            Step::LeaseOf { domain } => {
                let only_domain = Some(DOMAINS[domain].to_owned());
                let request = LeaseRequest { max: 1, only_domain, ..LeaseRequest::default() };
                let leases = self.fixture().queue.lease(request, self.now).wait().unwrap();
                let mut due = self.due(None);
                due.retain(|(_, row)| row.domain == domain);
                assert_eq!(leases.is_empty(), due.is_empty());
                self.leased(leases, &due);
            }
            Step::Siblings { of } => {
                let Some(id) = self.pick(of, true) else { return };
                let lease = self.rows[&id].lease.clone().unwrap();
                let siblings = self.fixture().queue.siblings(&lease, 5, self.now).wait().unwrap();
                let due = self.due(None);
                for sibling in &siblings {
                    assert_eq!(sibling.base_id, lease.base_id);
                    assert_eq!(sibling.attempt, lease.attempt);
                    assert_eq!(sibling.message.rcpt_to.host, lease.message.rcpt_to.host);
                }
                self.leased(siblings, &due);
            }
            Step::Settle { which, outcome } => {
                if let Some(id) = self.pick(which, true) {
                    self.settle(id, outcome);
                }
            }
            Step::GiveBack { which } => {
                let Some(id) = self.pick(which, true) else { return };
                self.fixture().queue.give_back(vec![id], self.now).wait().unwrap();
                let row = self.rows.get_mut(&id).unwrap();
                row.attempts -= 1;
                row.next = row.was_due;
                row.lease = None;
            }
            Step::Hold { which, is_held } => {
                let Some(id) = self.pick(which, which % 2 == 0) else { return };
                self.change(id, Change::Hold(is_held));
                self.rows.get_mut(&id).unwrap().is_held = is_held;
            }
            Step::Schedule { which, secs } => {
                let Some(id) = self.pick(which, false) else { return };
                self.change(id, Change::Schedule { from_now: false, secs });
                let row = self.rows.get_mut(&id).unwrap();
                row.next = row.next.plus_secs(secs);
            }
            Step::Wait { secs } => self.now = self.now.plus_secs(secs),
            Step::Reopen => {
                self.fixture = self.fixture.take().map(Fixture::reopened);
                let leased: Vec<_> =
                    self.rows.values_mut().filter_map(|row| row.lease.take()).collect();
                assert_eq!(self.fixture().queue.interrupted(), ids(&leased).len() as u64);
            }
        }
    }

    /// Everything the queue says agrees with the model.
    fn compare(&self) {
        let all = self.fixture().all();
        assert!(all.iter().map(|message| &message.id).eq(self.rows.keys()));
        for message in &all {
            let row = &self.rows[&message.id];
            assert_eq!(message.attempts, row.attempts);
            assert_eq!((message.is_held, message.is_leased), (row.is_held, row.lease.is_some()));
            assert_eq!(message.next_attempt, row.next);
        }
        let waiting = self.rows.values().filter(|row| row.is_waiting());
        assert_eq!(self.fixture().next_due(self.now), waiting.map(|row| row.next).min());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn the_queue_does_as_the_model(steps in prop::collection::vec(step(), 1..40)) {
        let mut model =
            Model { fixture: Some(Fixture::new()), rows: BTreeMap::new(), now: NOW };
        for step in steps {
            model.step(step);
            model.compare();
        }
    }
}
