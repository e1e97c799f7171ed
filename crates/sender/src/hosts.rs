//! How many connections a host gets at the same time, and whose turn it is.
//!
//! A bound for each recipient's domain does not bound what one server gets: thousands of domains may
//! have their mail at one provider, and all of ours may go by one smarthost. Which host it is is known
//! only when a delivery is about to connect; so it asks here. If there is no place its domain waits in
//! line, its messages go back into the queue as they were, and no attempt counts.
//!
//! Invariant: a domain is in one line at most.
//! Invariant: there is a line at a host only while all its places are taken or promised. Whoever gives
//! one back promises it to the first in line; who does not come for it gives it back, too.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

/// Domains that wait in line, for all hosts. Those beyond try again later, as after a failure.
pub(crate) const WAITING_MAX: usize = 10_000;

/// Who is connected to which host, and who waits.
#[derive(Debug)]
pub(crate) struct Hosts {
    /// Connections to one host.
    max: usize,
    /// Those that somebody is connected to, or waits for.
    hosts: HashMap<String, Host>,
    /// The domains that stand in line.
    waiting: HashSet<String>,
    turns: u64,
}

#[derive(Debug, Default)]
struct Host {
    open: usize,
    /// Promised places.
    turns: Vec<Turn>,
    line: VecDeque<String>,
}

/// A place that is kept for a domain.
#[derive(Debug)]
struct Turn {
    id: TurnId,
    domain: String,
    /// A delivery is on its way to it.
    is_heard: bool,
}

/// Which turn a delivery follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TurnId(u64);

/// What a delivery gets that is about to connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// A place; [`Hosts::leave`] gives it back.
    Open,
    /// None; its domain stands in line.
    Wait,
    /// Not even a place in line.
    Full,
}

impl Hosts {
    /// - `max`: connections to one host; 0 is taken for 1.
    pub(crate) fn new(max: usize) -> Self {
        Self { max: max.max(1), hosts: HashMap::new(), waiting: HashSet::new(), turns: 0 }
    }

    /// A delivery for a domain is about to connect to a host.
    pub(crate) fn enter(&mut self, name: &str, domain: &str) -> Entry {
        let host = self.hosts.entry(name.to_owned()).or_default();
        if let Some(at) = host.turns.iter().position(|turn| turn.domain == domain) {
            host.turns.swap_remove(at);
            host.open += 1;
            return Entry::Open;
        }
        if host.taken() < self.max {
            host.open += 1;
            return Entry::Open;
        }
        if self.waiting.contains(domain) {
            return Entry::Wait;
        }
        if self.waiting.len() >= WAITING_MAX {
            return Entry::Full;
        }
        self.waiting.insert(domain.to_owned());
        host.line.push_back(domain.to_owned());
        Entry::Wait
    }

    /// A connection to a host ended. Whether that makes it somebody's turn.
    pub(crate) fn leave(&mut self, name: &str) -> bool {
        if let Some(host) = self.hosts.get_mut(name) {
            host.open = host.open.saturating_sub(1);
        }
        self.call(name)
    }

    /// A delivery for a domain begins. If it follows a turn, [`Hosts::end_turn`] is to be told when
    /// it has connected, or will not.
    pub(crate) fn begin(&mut self, domain: &str) -> Option<TurnId> {
        let mut turns = self.hosts.values_mut().flat_map(|host| &mut host.turns);
        let turn = turns.find(|turn| turn.domain == domain && !turn.is_heard)?;
        turn.is_heard = true;
        Some(turn.id)
    }

    /// If the turn was not used others have theirs. Whether there is one.
    pub(crate) fn end_turn(&mut self, id: TurnId) -> bool {
        self.end_turns(|turn| turn.id == id)
    }

    /// A domain whose turn it is and that no delivery was begun for.
    pub(crate) fn called(&self) -> Option<&str> {
        let mut turns = self.hosts.values().flat_map(|host| &host.turns);
        turns.find(|turn| !turn.is_heard).map(|turn| turn.domain.as_str())
    }

    /// No delivery can begin for a domain now: it does not come for its turns. Whether they are those
    /// of others now.
    pub(crate) fn end_unheard(&mut self, domain: &str) -> bool {
        self.end_turns(|turn| !turn.is_heard && turn.domain == domain)
    }

    /// Which host a domain does better to ask first: the lower, where it is its turn, then where there
    /// is a place.
    pub(crate) fn rank(&self, name: &str, domain: &str) -> u8 {
        let Some(host) = self.hosts.get(name) else { return 1 };
        match host.turns.iter().any(|turn| turn.domain == domain) {
            true => 0,
            false if host.taken() < self.max => 1,
            false => 2,
        }
    }

    /// The domains that may begin no delivery: those in line, and those of which one follows a turn.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = &str> {
        let turns = self.hosts.values().flat_map(|host| &host.turns);
        let heard = turns.filter(|turn| turn.is_heard).map(|turn| turn.domain.as_str());
        self.waiting.iter().map(String::as_str).chain(heard)
    }

    fn end_turns(&mut self, is_over: impl Fn(&Turn) -> bool) -> bool {
        let has = |host: &Host| host.turns.iter().any(&is_over);
        let hosts = self.hosts.iter().filter(|(_, host)| has(host));
        let names: Vec<String> = hosts.map(|(name, _)| name.clone()).collect();
        let mut is_turn = false;
        for name in names {
            if let Some(host) = self.hosts.get_mut(&name) {
                host.turns.retain(|turn| !is_over(turn));
            }
            is_turn |= self.call(&name);
        }
        is_turn
    }

    /// Promises the free places of a host to the first in line, if there are any.
    fn call(&mut self, name: &str) -> bool {
        let Some(host) = self.hosts.get_mut(name) else { return false };
        let mut is_turn = false;
        while host.taken() < self.max
            && let Some(domain) = host.line.pop_front()
        {
            self.waiting.remove(&domain);
            self.turns += 1;
            host.turns.push(Turn { id: TurnId(self.turns), domain, is_heard: false });
            is_turn = true;
        }
        if host.taken() == 0 {
            self.hosts.remove(name);
        }
        is_turn
    }
}

impl Host {
    fn taken(&self) -> usize {
        self.open + self.turns.len()
    }
}

/// [`Hosts`] for all deliveries.
#[derive(Debug)]
pub(crate) struct Gate {
    hosts: Mutex<Hosts>,
    /// Told when it is somebody's turn.
    work: Arc<Notify>,
}

/// A place at a host, until this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    gate: Arc<Gate>,
    host: String,
}

impl Gate {
    pub(crate) fn new(max: usize, work: Arc<Notify>) -> Self {
        Self { hosts: Mutex::new(Hosts::new(max)), work }
    }

    /// See [`Hosts::enter`].
    pub(crate) fn enter(self: &Arc<Self>, host: &str, domain: &str) -> Result<Place, Entry> {
        match self.hosts.lock().enter(host, domain) {
            Entry::Open => Ok(Place { gate: Arc::clone(self), host: host.to_owned() }),
            entry => Err(entry),
        }
    }

    /// See [`Hosts::begin`].
    pub(crate) fn begin(&self, domain: &str) -> Option<TurnId> {
        self.hosts.lock().begin(domain)
    }

    /// See [`Hosts::end_turn`].
    pub(crate) fn end_turn(&self, id: TurnId) {
        self.wake(|hosts| hosts.end_turn(id));
    }

    /// See [`Hosts::called`].
    pub(crate) fn called(&self) -> Option<String> {
        self.hosts.lock().called().map(str::to_owned)
    }

    /// See [`Hosts::end_unheard`].
    pub(crate) fn end_unheard(&self, domain: &str) {
        self.hosts.lock().end_unheard(domain);
    }

    /// See [`Hosts::rank`].
    pub(crate) fn rank(&self, host: &str, domain: &str) -> u8 {
        self.hosts.lock().rank(host, domain)
    }

    /// See [`Hosts::waiting`].
    pub(crate) fn waiting(&self) -> Vec<String> {
        self.hosts.lock().waiting().map(str::to_owned).collect()
    }

    fn wake(&self, change: impl FnOnce(&mut Hosts) -> bool) {
        if change(&mut self.hosts.lock()) {
            self.work.notify_one();
        }
    }
}

impl Place {
    pub(crate) fn is_at(&self, host: &str) -> bool {
        self.host == host
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.gate.wake(|hosts| hosts.leave(&self.host));
    }
}

#[cfg(test)]
mod tests;
