//! Answers that are kept.

use std::fmt;
use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mox_base::Clock;
use mox_dns::{Answer, Data, DnsError, Name, Pending, RecordType, Resolver};
use parking_lot::Mutex;

use super::flights::{Flight, Flights};
use super::generations::{Bounds, Generations, Kept};

/// Answers that are kept at most.
pub const CACHE_ENTRIES_MAX: usize = 20_000;

/// Bytes that kept answers take at most, counted roughly.
pub const CACHE_BYTES_MAX: usize = 16 << 20;

/// How long an answer with records is kept at most, in seconds.
pub const TTL_SECS_MAX: u32 = 86_400;

/// How long it is kept at most that there is nothing, in seconds. RFC 2308 §5 finds one to three
/// hours sensible.
pub const NEGATIVE_TTL_SECS_MAX: u32 = 10_800;

/// How long an answer is kept at least, in seconds.
///
/// Deviation: RFC 1035 §3.2.1 has those with a TTL of zero used for one transaction only. For us
/// that is the decision on one message, which asks the same more than once: this long.
pub const TTL_SECS_MIN: u32 = 5;

/// How long it is kept that there was no answer, in seconds: who sends mail in a row is not to have
/// us wait for the same each time. RFC 9520 §3.2.
pub const FAILURE_TTL_SECS: u32 = 5;

/// What a kept answer takes beside its records and names, in bytes.
const ENTRY_BYTES: usize = 200;

/// What a record takes beside what it points to, in bytes.
const RECORD_BYTES: usize = 64;

type Key = (Name, RecordType);
type Outcome = Result<Answer, DnsError>;

/// Keeps the answers of a resolver, those that there is nothing too, for as long as they may be kept
/// within [`TTL_SECS_MIN`] and [`TTL_SECS_MAX`]; and asks each question once, however many want to
/// know it at the same time.
pub struct Cached<R> {
    shared: Arc<Inner<R>>,
    flights: Flights<Key, Outcome>,
}

struct Inner<R> {
    resolver: R,
    clock: Arc<dyn Clock>,
    kept: Mutex<Generations<Key, Outcome>>,
    counters: Counters,
}

/// What a [`Cached`] was asked and has found, since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheCounts {
    /// Questions that were answered from what was kept.
    pub hits: u64,
    /// Questions that waited for the same of somebody else.
    pub joined: u64,
    /// Questions that were asked.
    pub asked: u64,
    /// Of those asked: answers with records.
    pub found: u64,
    /// Of those asked: answers that there is nothing.
    pub not_found: u64,
    /// Of those asked: answers with signatures missing or wrong.
    pub bogus: u64,
    /// Of those asked: no answer for another reason.
    pub temporary: u64,
    /// Answers that are kept now.
    pub entries: usize,
}

#[derive(Default)]
struct Counters {
    hits: AtomicU64,
    joined: AtomicU64,
    asked: AtomicU64,
    found: AtomicU64,
    not_found: AtomicU64,
    bogus: AtomicU64,
    temporary: AtomicU64,
}

impl<R> fmt::Debug for Cached<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cached").field("counts", &self.counts()).finish_non_exhaustive()
    }
}

impl<R> Cached<R> {
    /// Keeps what `resolver` answers; `clock` says for how long.
    #[must_use]
    pub fn new(resolver: R, clock: Arc<dyn Clock>) -> Self {
        let bounds = Bounds { entries_max: CACHE_ENTRIES_MAX, bytes_max: CACHE_BYTES_MAX };
        let kept = Mutex::new(Generations::new(bounds));
        let inner = Inner { resolver, clock, kept, counters: Counters::default() };
        Self { shared: Arc::new(inner), flights: Flights::default() }
    }

    /// What was asked and found.
    #[must_use]
    pub fn counts(&self) -> CacheCounts {
        let counters = &self.shared.counters;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        CacheCounts {
            hits: read(&counters.hits),
            joined: read(&counters.joined),
            asked: read(&counters.asked),
            found: read(&counters.found),
            not_found: read(&counters.not_found),
            bogus: read(&counters.bogus),
            temporary: read(&counters.temporary),
            entries: self.shared.kept.lock().len(),
        }
    }

    /// The resolver that answers what is not kept.
    #[must_use]
    pub fn resolver(&self) -> &R {
        &self.shared.resolver
    }
}

impl<R> Inner<R> {
    /// What is kept of an earlier answer, with the seconds it may still be.
    fn known(&self, key: &Key) -> Option<Outcome> {
        let now = self.clock.monotonic();
        let kept = self.kept.lock().get(key, now)?;
        let age_secs = u32::try_from(now.saturating_sub(kept.since).as_secs()).unwrap_or(u32::MAX);
        Some(aged(kept.value, age_secs))
    }

    /// Keeps an answer.
    fn keep(&self, key: Key, outcome: &Outcome) {
        let counter = match outcome {
            Ok(_) => &self.counters.found,
            Err(DnsError::NotFound { .. }) => &self.counters.not_found,
            Err(DnsError::Bogus) => &self.counters.bogus,
            Err(DnsError::Temporary(_)) => &self.counters.temporary,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        let ttl_secs = match outcome {
            Ok(answer) => answer.ttl_secs.clamp(TTL_SECS_MIN, TTL_SECS_MAX),
            Err(DnsError::NotFound { ttl_secs, .. }) => {
                (*ttl_secs).clamp(TTL_SECS_MIN, NEGATIVE_TTL_SECS_MAX)
            }
            Err(_) => FAILURE_TTL_SECS,
        };
        let since = self.clock.monotonic();
        let until = since.saturating_add(Duration::from_secs(ttl_secs.into()));
        let bytes = ENTRY_BYTES + 2 * key.0.as_str().len() + size_bytes(outcome);
        let kept = Kept { value: outcome.clone(), since, until, bytes };
        self.kept.lock().insert(key, kept);
    }
}

impl<R: Resolver + 'static> Resolver for Cached<R> {
    fn lookup<'a>(&'a self, name: &'a Name, kind: RecordType) -> Pending<'a> {
        let key = (name.clone(), kind);
        let counters = &self.shared.counters;
        if let Some(outcome) = self.shared.known(&key) {
            counters.hits.fetch_add(1, Ordering::Relaxed);
            return Box::pin(ready(outcome));
        }
        let (flight, joined) = self.flights.join(&key, || ask(&self.shared, key.clone()));
        let counter = if joined { &counters.joined } else { &counters.asked };
        counter.fetch_add(1, Ordering::Relaxed);
        Box::pin(flight)
    }
}

/// Asks, and keeps the answer.
fn ask<R: Resolver + 'static>(inner: &Arc<Inner<R>>, key: Key) -> Flight<Outcome> {
    let inner = Arc::clone(inner);
    Box::pin(async move {
        let outcome = inner.resolver.lookup(&key.0, key.1).await;
        inner.keep(key, &outcome);
        outcome
    })
}

/// An outcome some time later.
fn aged(outcome: Outcome, age_secs: u32) -> Outcome {
    match outcome {
        Ok(answer) => Ok(Answer { ttl_secs: answer.ttl_secs.saturating_sub(age_secs), ..answer }),
        Err(DnsError::NotFound { exists, security, ttl_secs }) => {
            let ttl_secs = ttl_secs.saturating_sub(age_secs);
            Err(DnsError::NotFound { exists, security, ttl_secs })
        }
        error => error,
    }
}

/// What an answer points to.
fn size_bytes(outcome: &Outcome) -> usize {
    let Ok(answer) = outcome else { return 0 };
    let records = answer.records.iter().map(|record| {
        RECORD_BYTES
            + match record {
                Data::A(_) | Data::Aaaa(_) => 0,
                Data::Cname(name) | Data::Ns(name) | Data::Ptr(name) => name.as_str().len(),
                Data::Mx { exchange: name, .. } | Data::Srv { target: name, .. } => {
                    name.as_str().len()
                }
                Data::Tlsa(tlsa) => tlsa.data.len(),
                Data::Txt(text) => text.len(),
            }
    });
    answer.canonical.as_str().len() + records.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use futures_util::FutureExt as _;
    use mox_dns::{FakeDns, Lookups as _, Security, Trouble};
    use mox_testkit::ManualClock;

    use super::*;

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    /// Answers with a TTL of its own choice.
    struct Fixed(Outcome, AtomicU64);

    impl Resolver for Fixed {
        fn lookup<'a>(&'a self, _: &'a Name, _: RecordType) -> Pending<'a> {
            self.1.fetch_add(1, Ordering::Relaxed);
            Box::pin(ready(self.0.clone()))
        }
    }

    fn found(ttl_secs: u32) -> Outcome {
        let records = vec![Data::A(Ipv4Addr::LOCALHOST)];
        Ok(Answer { canonical: name("a.example"), records, security: Security::Secure, ttl_secs })
    }

    fn not_found(ttl_secs: u32) -> Outcome {
        Err(DnsError::NotFound { exists: true, security: Security::Secure, ttl_secs })
    }

    /// Asks now and after `wait_secs`; `want` is how often it was really asked.
    #[track_caller]
    fn check(outcome: Outcome, wait_secs: u64, want: u64) {
        let clock = Arc::new(ManualClock::default());
        let cached =
            Cached::new(Fixed(outcome.clone(), AtomicU64::new(0)), Arc::clone(&clock) as _);
        let at = name("a.example");
        let ask = || cached.lookup(&at, RecordType::A).now_or_never().unwrap();
        assert_eq!(ask(), outcome);
        clock.advance(Duration::from_secs(wait_secs));
        let (again, age) = (ask(), u32::try_from(wait_secs).unwrap());
        let asked = cached.resolver().1.load(Ordering::Relaxed);
        assert_eq!(asked, want, "{outcome:?} after {wait_secs} s");
        assert_eq!(again, if want == 1 { aged(outcome, age) } else { outcome });
    }

    /// RFC 1035 §3.2.1, RFC 2308 §5.
    #[test]
    fn answers_are_kept_as_long_as_they_hold_within_bounds() {
        check(found(60), 0, 1);
        check(found(60), 59, 1);
        check(found(60), 60, 2);
        check(found(0), 4, 1);
        check(found(0), 5, 2);
        check(found(u32::MAX), 86_399, 1);
        check(found(u32::MAX), 86_400, 2);
        check(not_found(60), 59, 1);
        check(not_found(60), 60, 2);
        check(not_found(86_400), 10_799, 1);
        check(not_found(86_400), 10_800, 2);
    }

    /// RFC 9520 §3.2.
    #[test]
    fn failures_are_kept_for_a_moment() {
        for error in [DnsError::Bogus, DnsError::Temporary(Trouble::Timeout)] {
            check(Err(error.clone()), 4, 1);
            check(Err(error), 5, 2);
        }
    }

    #[test]
    fn kinds_and_names_are_told_apart_and_counted() {
        let mut dns = FakeDns::new();
        dns.add_ips("a.example", &["192.0.2.1"]).add_txt("a.example", "x");
        dns.fail("bad.example", RecordType::A, DnsError::Bogus);
        dns.fail("slow.example", RecordType::A, DnsError::Temporary(Trouble::Timeout));
        let cached = Cached::new(dns, Arc::new(ManualClock::default()));
        let now = |name: &str| {
            let name = Name::parse(name).unwrap();
            let _answer = cached.ipv4(&name).now_or_never().unwrap();
            let _answer = cached.txt(&name).now_or_never().unwrap();
        };
        now("a.example");
        now("A.example.");
        now("bad.example");
        now("slow.example");
        let counts = cached.counts();
        let want = CacheCounts {
            hits: 2,
            joined: 0,
            asked: 6,
            found: 2,
            not_found: 2,
            bogus: 1,
            temporary: 1,
            entries: 6,
        };
        assert_eq!(counts, want);
        assert_eq!(cached.resolver().take_asked().len(), 6);
    }

    /// Answers when it is told to.
    struct Slow(tokio::sync::Semaphore, AtomicU64);

    impl Resolver for Slow {
        fn lookup<'a>(&'a self, _: &'a Name, _: RecordType) -> Pending<'a> {
            Box::pin(async {
                self.1.fetch_add(1, Ordering::Relaxed);
                let _permit = self.0.acquire().await.unwrap();
                found(60)
            })
        }
    }

    #[tokio::test]
    async fn a_question_is_on_its_way_once() {
        let slow = Slow(tokio::sync::Semaphore::new(0), AtomicU64::new(0));
        let cached = Cached::new(slow, Arc::new(ManualClock::default()));
        let (one, other) = (name("a.example"), name("b.example"));
        let mut gone = cached.lookup(&one, RecordType::A);
        assert!((&mut gone).now_or_never().is_none());
        let waiting: Vec<_> = (0..100).map(|_| cached.lookup(&one, RecordType::A)).collect();
        let apart = cached.lookup(&other, RecordType::A);
        // Who asked first does not wait.
        drop(gone);
        cached.resolver().0.add_permits(2);
        for outcome in futures_util::future::join_all(waiting).await {
            assert_eq!(outcome, found(60));
        }
        assert_eq!(apart.await, found(60));
        assert_eq!(cached.resolver().1.load(Ordering::Relaxed), 2);
        let counts = cached.counts();
        assert_eq!((counts.asked, counts.joined, counts.found), (2, 100, 2));
        assert_eq!(cached.flights.len(), 0);
    }

    /// Attack: mail that names ever new domains, with as much text as fits, is to fill our memory.
    #[test]
    fn large_answers_do_not_fill_the_memory() {
        let text = Data::Txt(vec![b'x'; 60_000]);
        let Ok(answer) = found(60) else { return };
        let large = Ok(Answer { records: vec![text], ..answer });
        let cached = Cached::new(Fixed(large, AtomicU64::new(0)), Arc::new(ManualClock::default()));
        for number in 0..1000 {
            let name = name(&format!("{number}.example"));
            let _answer = cached.lookup(&name, RecordType::Txt).now_or_never().unwrap();
        }
        let entries = cached.counts().entries;
        assert!((100..=CACHE_BYTES_MAX / 60_000).contains(&entries), "{entries}");
    }
}
