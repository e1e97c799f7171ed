use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

/// What is asked in order, and what is said to each.
#[track_caller]
fn check_enter(hosts: &mut Hosts, asked: &[(&str, &str, Entry)]) {
    for (host, domain, want) in asked {
        assert_eq!(hosts.enter(host, domain), *want, "{domain} at {host}");
    }
}

#[track_caller]
fn check_waiting(hosts: &Hosts, want: &[&str]) {
    let waiting: BTreeSet<&str> = hosts.waiting().collect();
    assert_eq!(waiting, want.iter().copied().collect());
}

use Entry::{Full, Open, Wait};

#[test]
fn a_host_gets_so_many_connections_and_no_more() {
    let mut hosts = Hosts::new(2);
    check_enter(&mut hosts, &[("h", "a", Open), ("h", "b", Open)]);
    check_enter(&mut hosts, &[("h", "c", Wait), ("h", "d", Wait), ("h", "c", Wait)]);
    check_waiting(&hosts, &["c", "d"]);
    // Others have nothing to do with it.
    check_enter(&mut hosts, &[("i", "e", Open), ("i", "a", Open)]);
    // None at all is taken for one.
    check_enter(&mut Hosts::new(0), &[("h", "a", Open), ("h", "b", Wait)]);
}

#[test]
fn who_waits_longest_is_next() {
    let mut hosts = Hosts::new(1);
    check_enter(&mut hosts, &[("h", "a", Open), ("h", "b", Wait), ("h", "c", Wait)]);
    assert!(hosts.leave("h"));
    check_waiting(&hosts, &["c"]);
    // The place is kept: who comes now goes to the end.
    check_enter(&mut hosts, &[("h", "a", Wait)]);
    let turn = hosts.begin("b").unwrap();
    // One delivery follows a turn, and others of the domain wait meanwhile.
    assert_eq!(hosts.begin("b"), None);
    check_waiting(&hosts, &["a", "b", "c"]);
    check_enter(&mut hosts, &[("h", "b", Open)]);
    assert!(!hosts.end_turn(turn), "it is used");
    check_waiting(&hosts, &["a", "c"]);
    assert!(hosts.leave("h"));
    check_enter(&mut hosts, &[("h", "c", Open)]);
    assert!(hosts.leave("h"));
    check_enter(&mut hosts, &[("h", "a", Open)]);
    assert!(!hosts.leave("h"), "nobody is left");
    assert!(hosts.hosts.is_empty() && hosts.waiting.is_empty());
}

#[test]
fn a_turn_that_is_not_used_is_that_of_the_next() {
    let mut hosts = Hosts::new(1);
    check_enter(
        &mut hosts,
        &[("h", "a", Open), ("h", "b", Wait), ("h", "c", Wait), ("h", "d", Wait)],
    );
    hosts.leave("h");
    // Its delivery goes elsewhere.
    let turn = hosts.begin("b").unwrap();
    assert!(hosts.end_turn(turn));
    // There are no messages any more.
    assert!(hosts.end_unheard("c"));
    check_enter(&mut hosts, &[("h", "c", Wait), ("h", "d", Open)]);
    // Who is on the way is waited for.
    hosts.leave("h");
    let turn = hosts.begin("c").unwrap();
    assert!(!hosts.end_unheard("c"));
    check_enter(&mut hosts, &[("h", "x", Wait), ("h", "c", Open)]);
    assert!(!hosts.end_turn(turn));
}

#[test]
fn a_domain_stands_in_one_line() {
    let mut hosts = Hosts::new(1);
    check_enter(&mut hosts, &[("h", "a", Open), ("i", "b", Open)]);
    check_enter(&mut hosts, &[("h", "c", Wait), ("i", "c", Wait), ("i", "d", Wait)]);
    assert!(hosts.leave("i"));
    check_enter(&mut hosts, &[("i", "d", Open)]);
    assert!(hosts.leave("h"));
    check_enter(&mut hosts, &[("i", "c", Wait), ("h", "c", Open)]);
}

/// Hosts of one preference: a domain waited for one beside a free one.
#[test]
fn where_there_is_a_place_is_asked_first() {
    let mut hosts = Hosts::new(1);
    check_enter(&mut hosts, &[("h", "a", Open), ("h", "b", Wait)]);
    assert_eq!((hosts.rank("h", "b"), hosts.rank("i", "b")), (2, 1));
    hosts.leave("h");
    assert_eq!((hosts.rank("h", "b"), hosts.rank("h", "c")), (0, 2));
}

/// Only its own turn ends for a domain that does not come.
#[test]
fn others_keep_their_turns() {
    let mut hosts = Hosts::new(1);
    check_enter(&mut hosts, &[("h", "a", Open), ("h", "b", Wait), ("h", "c", Wait)]);
    assert_eq!(hosts.called(), None, "all wait");
    hosts.leave("h");
    assert_eq!(hosts.called(), Some("b"));
    assert!(!hosts.end_unheard("c"), "it is not its turn yet");
    assert!(hosts.end_unheard("b"));
    assert_eq!(hosts.called(), Some("c"));
    assert!(hosts.begin("c").is_some());
    assert_eq!(hosts.called(), None, "it comes");
}

/// Attack: a domain with names without end, all at one host that hangs.
#[test]
fn lines_are_bounded() {
    let mut hosts = Hosts::new(1);
    check_enter(&mut hosts, &[("h", "a", Open), ("i", "b", Open)]);
    for domain in 0..WAITING_MAX {
        assert_eq!(hosts.enter("h", &domain.to_string()), Wait);
    }
    check_enter(
        &mut hosts,
        &[("h", "x", Full), ("i", "x", Full), ("h", "7", Wait), ("j", "x", Open)],
    );
    assert!(hosts.leave("h"));
    check_enter(&mut hosts, &[("i", "x", Wait), ("i", "y", Full)]);
}

/// Something that happens, of so many hosts and domains.
#[derive(Clone, Copy, Debug)]
enum Step {
    Begin(usize),
    Enter(usize),
    Leave(usize),
    Unheard,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => any::<usize>().prop_map(Step::Begin),
        4 => any::<usize>().prop_map(Step::Enter),
        3 => any::<usize>().prop_map(Step::Leave),
        1 => Just(Step::Unheard),
    ]
}

/// A delivery that has begun and not yet connected.
struct Begun {
    host: String,
    domain: String,
    turn: Option<TurnId>,
}

/// Deliveries of ten domains to three hosts, as the scheduler begins them.
struct Model {
    hosts: Hosts,
    begun: Vec<Begun>,
    open: Vec<String>,
}

impl Model {
    fn play(&mut self, step: Step) {
        match step {
            Step::Begin(seed) => {
                let domain = format!("d{}", seed % 10);
                if !self.hosts.waiting().any(|waiting| waiting == domain) {
                    let turn = self.hosts.begin(&domain);
                    self.begun.push(Begun { host: format!("h{}", seed / 10 % 3), domain, turn });
                }
            }
            Step::Enter(seed) if !self.begun.is_empty() => {
                let Begun { host, domain, turn } = self.begun.swap_remove(seed % self.begun.len());
                if self.hosts.enter(&host, &domain) == Open {
                    self.open.push(host);
                }
                turn.map(|turn| self.hosts.end_turn(turn));
            }
            Step::Leave(seed) if !self.open.is_empty() => {
                let host = self.open.swap_remove(seed % self.open.len());
                self.hosts.leave(&host);
            }
            Step::Unheard => drop(self.end_called()),
            Step::Enter(_) | Step::Leave(_) => {}
        }
        self.check();
    }

    /// No delivery can begin for a domain whose turn it is. Whether there was one.
    fn end_called(&mut self) -> bool {
        let Some(domain) = self.hosts.called().map(str::to_owned) else { return false };
        self.hosts.end_unheard(&domain);
        true
    }

    fn check(&self) {
        let mut in_line = 0;
        for (name, host) in &self.hosts.hosts {
            assert_eq!(host.open, self.open.iter().filter(|open| *open == name).count());
            assert!(host.taken() <= self.hosts.max, "{host:?}");
            assert!(host.line.is_empty() || host.taken() == self.hosts.max, "{host:?}");
            assert!(host.taken() > 0, "{name} is left over");
            assert!(host.line.iter().all(|domain| self.hosts.waiting.contains(domain)));
            in_line += host.line.len();
        }
        assert_eq!(in_line, self.hosts.waiting.len(), "each in one line");
    }
}

proptest! {
    /// However deliveries begin, connect and end: the bound holds, and once all have ended nobody waits.
    #[test]
    fn nobody_waits_for_nothing(max in 1_usize..4, steps in prop::collection::vec(step(), 0..200)) {
        let mut model = Model { hosts: Hosts::new(max), begun: Vec::new(), open: Vec::new() };
        for step in steps {
            model.play(step);
        }
        while !model.begun.is_empty() {
            model.play(Step::Enter(0));
        }
        while !model.open.is_empty() {
            model.play(Step::Leave(0));
        }
        while model.end_called() {
            model.check();
        }
        prop_assert!(model.hosts.hosts.is_empty() && model.hosts.waiting.is_empty());
    }
}
