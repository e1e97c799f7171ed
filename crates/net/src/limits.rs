//! Limits by network: how many connections and failed logins an address and its neighbours may
//! have in a while.
//!
//! An address counts in three classes at once: itself, its network, and its provider's larger
//! network. So one customer of a provider cannot use up what his neighbours may do, and a botnet
//! in one network is still held back.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use mox_base::UnixSeconds;
use parking_lot::Mutex;

/// The number of address classes.
pub const CLASSES: usize = 3;

/// The number of addresses of one class that one window remembers.
///
/// About 2 MB. A network of the widest class can fill no more entries than its own limit, so a
/// flood must come from many large networks to get here. When a class is full, addresses that are
/// not in it share one counter with the widest class's limit until the window ends: newcomers are
/// slowed down together, those already known are judged as before.
pub const ENTRIES_MAX: usize = 65_536;

/// The address masked to each class: IPv4 /32, /26, /21; IPv6 /64, /48, /32.
///
/// An IPv4 address mapped into IPv6 is taken as the IPv4 address.
#[must_use]
pub fn ip_classes(ip: IpAddr) -> [IpAddr; CLASSES] {
    match ip.to_canonical() {
        IpAddr::V4(ip) => [32, 26, 21].map(|bits| IpAddr::V4(mask_v4(ip, bits))),
        IpAddr::V6(ip) => [64, 48, 32].map(|bits| IpAddr::V6(mask_v6(ip, bits))),
    }
}

fn mask_v4(ip: Ipv4Addr, bits: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(ip.to_bits() & u32::MAX.unbounded_shl(32 - bits))
}

fn mask_v6(ip: Ipv6Addr, bits: u32) -> Ipv6Addr {
    Ipv6Addr::from_bits(ip.to_bits() & u128::MAX.unbounded_shl(128 - bits))
}

/// A span of time and how much each class may do in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Its length, at least 1. Windows start at multiples of it since 1970.
    pub secs: u32,
    /// The limit of each class, narrowest first.
    pub limits: [u32; CLASSES],
}

/// Counts events in fixed windows; an event that would exceed any limit is refused and not counted.
///
/// Pure: time is an argument. Each call costs a look-up per window and class.
#[derive(Debug)]
pub struct RateLimiter {
    windows: Vec<Counters>,
}

#[derive(Debug)]
struct Counters {
    window: Window,
    /// Which window the counts belong to: seconds since 1970 divided by its length.
    index: i64,
    classes: [Table; CLASSES],
}

#[derive(Debug)]
struct Table {
    counts: HashMap<IpAddr, u32>,
    /// Events of addresses that found the table full.
    unlisted: u32,
    entries_max: usize,
}

impl RateLimiter {
    /// A limiter that keeps to all of these windows at once.
    #[must_use]
    pub fn new(windows: &[Window]) -> Self {
        Self::with_entries_max(windows, ENTRIES_MAX)
    }

    /// A limiter that remembers at most `entries_max` addresses per window and class.
    #[must_use]
    pub fn with_entries_max(windows: &[Window], entries_max: usize) -> Self {
        let table = || Table { counts: HashMap::new(), unlisted: 0, entries_max };
        let windows = windows
            .iter()
            .map(|window| Counters {
                window: *window,
                index: i64::MIN,
                classes: [(); 3].map(|()| table()),
            })
            .collect();
        Self { windows }
    }

    /// Counts `count` events of the address, or refuses them all.
    #[must_use]
    pub fn try_add(&mut self, ip: IpAddr, now: UnixSeconds, count: u32) -> bool {
        if !self.can_add(ip, now, count) {
            return false;
        }
        let keys = ip_classes(ip);
        for counters in &mut self.windows {
            for (table, key) in counters.classes.iter_mut().zip(keys) {
                table.add(key, count);
            }
        }
        true
    }

    /// Whether `count` events would be accepted now. Counts nothing.
    #[must_use]
    pub fn can_add(&mut self, ip: IpAddr, now: UnixSeconds, count: u32) -> bool {
        let keys = ip_classes(ip);
        self.windows.iter_mut().all(|counters| {
            counters.roll(now);
            let widest = counters.window.limits[CLASSES - 1];
            counters.classes.iter().zip(keys).zip(counters.window.limits).all(
                |((table, key), limit)| {
                    let (used, listed) = table.used(key);
                    let limit = if listed { limit } else { widest };
                    used.checked_add(count).is_some_and(|sum| sum <= limit)
                },
            )
        })
    }

    /// Takes the address's own events of the present windows back, in all classes: what others in
    /// its network did stays counted.
    pub fn reset(&mut self, ip: IpAddr, now: UnixSeconds) {
        let keys = ip_classes(ip);
        for counters in &mut self.windows {
            counters.roll(now);
            let own = counters.classes[0].counts.get(&keys[0]).copied().unwrap_or(0);
            for (table, key) in counters.classes.iter_mut().zip(keys) {
                table.subtract(key, own);
            }
        }
    }
}

impl Counters {
    fn roll(&mut self, now: UnixSeconds) {
        let index = now.0.div_euclid(i64::from(self.window.secs.max(1)));
        if index == self.index {
            return;
        }
        self.index = index;
        for table in &mut self.classes {
            // A new map gives back the memory of a flood.
            table.counts = HashMap::new();
            table.unlisted = 0;
        }
    }
}

impl Table {
    /// The count of the address, and whether it has, or could have, an entry of its own.
    fn used(&self, key: IpAddr) -> (u32, bool) {
        match self.counts.get(&key) {
            Some(count) => (*count, true),
            None if self.counts.len() < self.entries_max => (0, true),
            None => (self.unlisted, false),
        }
    }

    fn add(&mut self, key: IpAddr, count: u32) {
        if let Some(used) = self.counts.get_mut(&key) {
            *used = used.saturating_add(count);
        } else if self.counts.len() < self.entries_max {
            self.counts.insert(key, count);
        } else {
            self.unlisted = self.unlisted.saturating_add(count);
        }
    }

    fn subtract(&mut self, key: IpAddr, count: u32) {
        match self.counts.get_mut(&key) {
            Some(used) if *used > count => *used -= count,
            Some(_) => {
                self.counts.remove(&key);
            }
            None => self.unlisted = self.unlisted.saturating_sub(count),
        }
    }
}

/// How many connections of each class are open now. Clones share the counts.
#[derive(Clone, Debug)]
pub struct OpenConnections {
    limits: [u32; CLASSES],
    open: Arc<Mutex<[HashMap<IpAddr, u32>; CLASSES]>>,
}

/// One open connection; dropping it ends the count.
#[derive(Debug)]
pub struct OpenPermit {
    keys: [IpAddr; CLASSES],
    open: Arc<Mutex<[HashMap<IpAddr, u32>; CLASSES]>>,
}

impl OpenConnections {
    /// Limits by class, narrowest first. Memory is bounded by the number of open connections.
    #[must_use]
    pub fn new(limits: [u32; CLASSES]) -> Self {
        Self { limits, open: Arc::default() }
    }

    /// Counts a connection, or refuses it.
    #[must_use]
    pub fn try_open(&self, ip: IpAddr) -> Option<OpenPermit> {
        let keys = ip_classes(ip);
        let mut open = self.open.lock();
        let fits = open
            .iter()
            .zip(keys)
            .zip(self.limits)
            .all(|((map, key), limit)| map.get(&key).copied().unwrap_or(0) < limit);
        if !fits {
            return None;
        }
        for (map, key) in open.iter_mut().zip(keys) {
            *map.entry(key).or_insert(0) += 1;
        }
        drop(open);
        Some(OpenPermit { keys, open: Arc::clone(&self.open) })
    }
}

impl Drop for OpenPermit {
    fn drop(&mut self) {
        let mut open = self.open.lock();
        for (map, key) in open.iter_mut().zip(self.keys) {
            if let Some(count) = map.get_mut(&key) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    map.remove(&key);
                }
            }
        }
    }
}

/// The connection limits of one protocol, shared by its listeners.
#[derive(Clone, Debug)]
pub struct ConnectionLimits {
    rate: Arc<Mutex<RateLimiter>>,
    open: OpenConnections,
}

const CONNECTIONS_PER_MINUTE: Window = Window { secs: 60, limits: [300, 900, 2_700] };
const OPEN_CONNECTIONS: [u32; CLASSES] = [30, 90, 270];

impl ConnectionLimits {
    /// 300, 900, 2,700 new connections in a minute, and 30, 90, 270 open ones.
    #[must_use]
    pub fn new() -> Self {
        Self::with(&[CONNECTIONS_PER_MINUTE], OPEN_CONNECTIONS)
    }

    /// Other limits, for tests and for a server that only serves its own machine.
    #[must_use]
    pub fn with(windows: &[Window], open: [u32; CLASSES]) -> Self {
        let rate = Arc::new(Mutex::new(RateLimiter::new(windows)));
        Self { rate, open: OpenConnections::new(open) }
    }

    /// No limits by address; [`crate::CONNECTIONS_MAX`] still holds.
    #[must_use]
    pub fn unlimited() -> Self {
        Self::with(&[], [u32::MAX; CLASSES])
    }

    /// Counts a new connection towards the rate; false if it comes too fast.
    #[must_use]
    pub(crate) fn try_connect(&self, ip: IpAddr, now: UnixSeconds) -> bool {
        self.rate.lock().try_add(ip, now, 1)
    }

    /// Counts a connection as open until the permit is dropped; `None` if there are too many.
    #[must_use]
    pub(crate) fn try_open(&self, ip: IpAddr) -> Option<OpenPermit> {
        self.open.try_open(ip)
    }
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self::new()
    }
}

/// Failed logins by address, shared by all protocols.
#[derive(Clone, Debug)]
pub struct AuthFailures {
    limiter: Arc<Mutex<RateLimiter>>,
}

const AUTH_FAILURES: [Window; 2] =
    [Window { secs: 60, limits: [10, 30, 90] }, Window { secs: 86_400, limits: [50, 150, 450] }];

impl AuthFailures {
    /// 10, 30, 90 in a minute and 50, 150, 450 in a day.
    #[must_use]
    pub fn new() -> Self {
        Self::with(&AUTH_FAILURES)
    }

    /// Other limits, for tests.
    #[must_use]
    pub fn with(windows: &[Window]) -> Self {
        Self { limiter: Arc::new(Mutex::new(RateLimiter::new(windows))) }
    }

    /// Whether the address may try to log in: one more failure would still be accepted.
    #[must_use]
    pub fn may_try(&self, ip: IpAddr, now: UnixSeconds) -> bool {
        self.limiter.lock().can_add(ip, now, 1)
    }

    /// Counts a failure. False if the limit was already reached.
    pub fn record(&self, ip: IpAddr, now: UnixSeconds) -> bool {
        self.limiter.lock().try_add(ip, now, 1)
    }

    /// Forgets the failures of the address after a success.
    pub fn reset(&self, ip: IpAddr, now: UnixSeconds) {
        self.limiter.lock().reset(ip, now);
    }
}

impl Default for AuthFailures {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[track_caller]
    fn check_classes(address: &str, want: [&str; 3]) {
        assert_eq!(ip_classes(ip(address)), want.map(ip), "{address}");
    }

    #[test]
    fn addresses_fall_into_three_classes() {
        check_classes("192.0.2.255", ["192.0.2.255", "192.0.2.192", "192.0.0.0"]);
        check_classes("::ffff:192.0.2.255", ["192.0.2.255", "192.0.2.192", "192.0.0.0"]);
        check_classes(
            "2001:db8:aaaa:bbbb:cccc::1",
            ["2001:db8:aaaa:bbbb::", "2001:db8:aaaa::", "2001:db8::"],
        );
        check_classes("0.0.0.0", ["0.0.0.0", "0.0.0.0", "0.0.0.0"]);
        check_classes("::", ["::", "::", "::"]);
    }

    #[test]
    fn an_event_over_any_limit_is_refused_and_not_counted() {
        let mut limiter = RateLimiter::new(&[Window { secs: 60, limits: [2, 3, 100] }]);
        let (one, neighbour) = (ip("192.0.2.1"), ip("192.0.2.2"));
        let now = UnixSeconds(120);
        assert!(limiter.try_add(one, now, 2));
        assert!(!limiter.try_add(one, now, 1));
        // The refused event did not use up the network's third.
        assert!(limiter.try_add(neighbour, now, 1));
        assert!(!limiter.try_add(neighbour, now, 1));
        // Windows are aligned to multiples of their length, not to the first event.
        assert!(!limiter.try_add(one, UnixSeconds(179), 1));
        assert!(limiter.try_add(one, UnixSeconds(180), 2));
    }

    #[test]
    fn a_reset_leaves_what_neighbours_did() {
        let mut limiter = RateLimiter::new(&[Window { secs: 60, limits: [5, 6, 100] }]);
        let (one, neighbour, now) = (ip("192.0.2.1"), ip("192.0.2.2"), UnixSeconds(0));
        assert!(limiter.try_add(one, now, 4));
        assert!(limiter.try_add(neighbour, now, 2));
        assert!(!limiter.can_add(one, now, 1));
        limiter.reset(one, now);
        assert!(limiter.can_add(one, now, 4));
        assert!(!limiter.can_add(one, now, 5));
    }

    #[test]
    fn when_a_class_is_full_newcomers_share_one_counter() {
        let window = Window { secs: 60, limits: [2, 2, 5] };
        let mut limiter = RateLimiter::with_entries_max(&[window], 3);
        let now = UnixSeconds(0);
        // Each from another network of the widest class.
        let address = |n: u32| IpAddr::V4(Ipv4Addr::from_bits(n << 16));
        for n in 0..3 {
            assert!(limiter.try_add(address(n), now, 1));
        }
        let newcomers = (3..100).filter(|n| limiter.try_add(address(*n), now, 1)).count();
        assert_eq!(newcomers, 5);
        // Those known are judged as before.
        assert!(limiter.try_add(address(0), now, 1));
        assert!(!limiter.try_add(address(0), now, 1));
        for class in &limiter.windows[0].classes {
            assert!(class.counts.len() <= 3);
        }
        assert!(limiter.try_add(address(50), UnixSeconds(60), 2));
    }

    #[test]
    fn an_open_connection_counts_until_its_permit_is_dropped() {
        let open = OpenConnections::new([2, 3, 10]);
        let (one, neighbour) = (ip("192.0.2.1"), ip("192.0.2.2"));
        let first = open.try_open(one).unwrap();
        let _second = open.try_open(one).unwrap();
        assert!(open.try_open(one).is_none());
        let _third = open.try_open(neighbour).unwrap();
        assert!(open.try_open(neighbour).is_none(), "the network is full");
        drop(first);
        let again = open.try_open(one);
        assert!(again.is_some());
        drop((again, _second, _third));
        assert!(open.open.lock().iter().all(HashMap::is_empty));
    }

    #[test]
    fn the_limits_of_the_server_are_those_promised() {
        let (address, now) = (ip("192.0.2.1"), UnixSeconds(0));
        let limits = ConnectionLimits::new();
        let connected = (0..400).filter(|_| limits.try_connect(address, now)).count();
        assert_eq!(connected, 300);
        let permits: Vec<_> = (0..40).filter_map(|_| limits.try_open(address)).collect();
        assert_eq!(permits.len(), 30);
        let failures = AuthFailures::new();
        assert_eq!((0..20).filter(|_| failures.record(address, now)).count(), 10);
        assert!(!failures.may_try(address, now));
        let later = (1..100).filter(|minute| failures.record(address, UnixSeconds(minute * 60)));
        assert_eq!(later.count(), 40, "50 in a day");
        assert!(!failures.may_try(address, UnixSeconds(86_399)));
        assert!(failures.may_try(address, UnixSeconds(86_400)));
        failures.reset(address, UnixSeconds(86_400));
        assert!(ConnectionLimits::unlimited().try_connect(address, now));
    }

    /// What a limiter means, without its tables: a list of all accepted events.
    #[derive(Default)]
    struct Model {
        events: Vec<(i64, IpAddr, i64)>,
    }

    impl Model {
        fn count(&self, class: usize, key: IpAddr, secs: u32, now: i64) -> i64 {
            let index = |time: i64| time.div_euclid(i64::from(secs));
            self.events
                .iter()
                .filter(|(time, ip, _)| index(*time) == index(now) && ip_classes(*ip)[class] == key)
                .map(|(_, _, count)| count)
                .sum()
        }

        fn can_add(&self, windows: &[Window], ip: IpAddr, now: i64, count: u32) -> bool {
            windows.iter().all(|window| {
                (0..CLASSES).all(|class| {
                    let used = self.count(class, ip_classes(ip)[class], window.secs, now);
                    used + i64::from(count) <= i64::from(window.limits[class])
                })
            })
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Add(IpAddr, u32),
        Pass(i64),
    }

    fn any_step() -> impl Strategy<Value = Step> {
        let v4 = (0..3_u32, 0..3_u32, 0..3_u32)
            .prop_map(|(a, b, c)| IpAddr::V4(Ipv4Addr::from_bits((a << 12) | (b << 7) | c)));
        let v6 = (0..2_u128, 0..2_u128, 0..2_u128).prop_map(|(a, b, c)| {
            IpAddr::V6(Ipv6Addr::from_bits((1 << 120) | (a << 97) | (b << 81) | (c << 65)))
        });
        prop_oneof![
            3 => (v4, 0..4_u32).prop_map(|(ip, count)| Step::Add(ip, count)),
            3 => (v6, 0..4_u32).prop_map(|(ip, count)| Step::Add(ip, count)),
            1 => (0..40_i64).prop_map(Step::Pass),
        ]
    }

    proptest! {
        #[test]
        fn the_limiter_agrees_with_a_list_of_events(
            start in -100_i64..100, steps in prop::collection::vec(any_step(), 0..200)
        ) {
            let windows =
                [Window { secs: 10, limits: [4, 6, 9] }, Window { secs: 35, limits: [7, 12, 20] }];
            let mut limiter = RateLimiter::new(&windows);
            let mut model = Model::default();
            let mut now = start;
            for step in steps {
                match step {
                    Step::Pass(secs) => now += secs,
                    Step::Add(ip, count) => {
                        let want = model.can_add(&windows, ip, now, count);
                        prop_assert_eq!(limiter.can_add(ip, UnixSeconds(now), count), want);
                        prop_assert_eq!(limiter.try_add(ip, UnixSeconds(now), count), want);
                        if want {
                            model.events.push((now, ip, i64::from(count)));
                        }
                    }
                }
            }
        }

        #[test]
        fn after_a_reset_the_others_stand_as_if_the_address_had_never_come(
            steps in prop::collection::vec(any_step(), 0..100), victim in any_step()
        ) {
            let windows = [Window { secs: 1_000, limits: [1_000; 3] }];
            let Step::Add(victim, _) = victim else { return Ok(()) };
            let own = ip_classes(victim)[0];
            let (mut with, mut without) = (RateLimiter::new(&windows), RateLimiter::new(&windows));
            let now = UnixSeconds(5);
            for step in &steps {
                let Step::Add(ip, count) = step else { continue };
                let _ = with.try_add(*ip, now, *count);
                if ip_classes(*ip)[0] != own {
                    let _ = without.try_add(*ip, now, *count);
                }
            }
            with.reset(victim, now);
            for step in steps {
                let Step::Add(ip, _) = step else { continue };
                for (class, key) in ip_classes(ip).into_iter().enumerate() {
                    let used = |limiter: &RateLimiter| limiter.windows.first()
                        .map_or(0, |counters| counters.classes[class].used(key).0);
                    prop_assert_eq!(used(&with), used(&without));
                }
            }
        }
    }
}
