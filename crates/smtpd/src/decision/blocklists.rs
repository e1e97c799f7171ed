//! Lists of known sources of junk, asked last.
//!
//! Source: RFC 5782 §5 (a list shows that it works by what it must and must not have).

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mox_base::{Domain, UnixSeconds};
use mox_dns::Resolver;
use mox_mailauth::dnsbl::{Answer, HealthError, Problem, ZONES_MAX, check_all, check_health_all};
use mox_net::Wait;
use mox_policy::Listing;
use tokio::time::Instant;

use crate::facts::Bounded;

/// For all lists of one message: a list that works answers in far less.
pub const BLOCKLISTS_WAIT: Wait = Wait::new("block lists", Duration::from_secs(5));

/// How long it is believed that a list works, or does not.
pub const BLOCKLIST_HEALTH_SECS: i64 = 4 * 60 * 60;

/// How long a list is left alone that did not answer; twice as long each time it does not again, up to
/// [`BLOCKLIST_HEALTH_SECS`]. Until it has shown that it works it may be one that lists everybody.
const BLOCKLIST_RETRY_SECS: i64 = 5 * 60;

/// Which lists work. One for all connections; there is an entry for each list in the configuration.
#[derive(Debug, Default)]
pub(crate) struct Health(Mutex<HashMap<Domain, Known>>);

/// What is known of a list.
#[derive(Clone, Copy, Debug)]
struct Known {
    at: UnixSeconds,
    keep_secs: i64,
    works: bool,
    /// How often in a row it did not answer.
    silences: u32,
}

impl Health {
    /// `None`: it must be asked. Whoever is told so is the one who asks; it counts as silent until
    /// then, so that it delays one message and not all that come meanwhile.
    fn claim(&self, zone: &Domain, now: UnixSeconds) -> Option<bool> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.get(zone) {
            let age_secs = now.0.saturating_sub(known.at.0);
            if (0..known.keep_secs).contains(&age_secs) {
                return Some(known.works);
            }
        }
        let entry = known.entry(zone.clone()).or_insert_with(|| Known::silent(now, 0));
        *entry = Known::silent(now, entry.silences);
        None
    }

    /// `works`: `None` if it did not answer.
    fn set(&self, zone: &Domain, now: UnixSeconds, works: Option<bool>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let silences = known.get(zone).map_or(0, |known| known.silences);
        let entry = match works {
            Some(works) => Known { at: now, keep_secs: BLOCKLIST_HEALTH_SECS, works, silences: 0 },
            None => Known::silent(now, silences.saturating_add(1)),
        };
        known.insert(zone.clone(), entry);
    }
}

impl Known {
    fn silent(now: UnixSeconds, silences: u32) -> Self {
        let doublings = silences.saturating_sub(1).min(8);
        let keep_secs = (BLOCKLIST_RETRY_SECS << doublings).min(BLOCKLIST_HEALTH_SECS);
        Self { at: now, keep_secs, works: false, silences }
    }
}

/// The first of these lists that has the address. Lists that do not work are left out; one that does
/// not answer lists nobody, and is left alone for a while.
///
/// Asks two questions for each of [`ZONES_MAX`] lists, and two more for each now and then, all lists at
/// once: one that does not answer must not use up the time of the others.
pub(crate) async fn first_listing(
    resolver: Arc<dyn Resolver>,
    health: &Health,
    zones: &[Domain],
    ip: IpAddr,
    now: UnixSeconds,
) -> Option<Listing> {
    let resolver = Bounded::new(resolver, BLOCKLISTS_WAIT);
    let zones = zones.get(..ZONES_MAX).unwrap_or(zones);
    let claims = zones.iter().map(|zone| (zone, health.claim(zone, now)));
    let claims: Vec<_> = claims.filter(|(_, works)| *works != Some(false)).collect();
    let of = |is_new: bool| {
        let some = claims.iter().filter(move |(_, works)| works.is_none() || !is_new);
        some.map(|(zone, _)| (*zone).clone()).collect::<Vec<_>>()
    };
    let (new, asked) = (of(true), of(false));
    let since = Instant::now();
    let (outcomes, answers) =
        tokio::join!(check_health_all(&resolver, &new), check_all(&resolver, &asked, ip));
    for (zone, outcome) in new.iter().zip(outcomes) {
        health.set(zone, now, works(zone, outcome));
    }
    let mut found = None;
    let took = since.elapsed();
    for (zone, answer) in asked.iter().zip(answers) {
        let status = match &answer {
            Answer::Listed(_) => "fail",
            Answer::NotListed(_) => "pass",
            Answer::Unknown(_) => "temperror",
        };
        mox_metrics::dns::blocklist_asked(zone.ascii(), status, took);
        let is_new = new.contains(zone);
        match answer {
            Answer::Unknown(Problem::Dns(_)) if !is_new => health.set(zone, now, None),
            Answer::Listed(listing) if found.is_none() && health.claim(zone, now) == Some(true) => {
                let text = listing.explanation.unwrap_or_else(|| "no reason given".to_owned());
                found = Some(Listing { zone: zone.to_string(), text });
            }
            Answer::Listed(_) | Answer::NotListed(_) | Answer::Unknown(_) => {}
        }
    }
    found
}

/// None of a list that could not be asked.
fn works(zone: &Domain, outcome: Result<(), HealthError>) -> Option<bool> {
    match outcome {
        Ok(()) => Some(true),
        Err(HealthError::Problem(_)) => None,
        Err(error) => {
            tracing::error!(%zone, %error, "block list is not used");
            Some(false)
        }
    }
}

#[cfg(test)]
mod tests {
    use mox_dns::{DnsError, FakeDns, RecordType, Trouble};

    use super::*;

    fn zones(names: &[&str]) -> Vec<Domain> {
        names.iter().map(|name| Domain::parse(name).unwrap()).collect()
    }

    fn dns() -> FakeDns {
        let mut dns = FakeDns::new();
        for zone in ["good.example", "other.example", "slow.example"] {
            dns.add_ips(&format!("2.0.0.127.{zone}"), &["127.0.0.2"]);
        }
        for zone in ["good.example", "other.example", "empty.example", "all.example"] {
            dns.add_ips(&format!("9.2.0.192.{zone}"), &["127.0.0.4"]);
        }
        dns.add_ips("1.0.0.127.all.example", &["127.0.0.2"]);
        dns.add_ips("2.0.0.127.all.example", &["127.0.0.2"]);
        dns.add_txt("9.2.0.192.good.example", "seen in 2026");
        for name in ["1.0.0.127.slow.example", "9.2.0.192.slow.example"] {
            dns.fail(name, RecordType::A, DnsError::Temporary(Trouble::Timeout));
        }
        dns
    }

    #[track_caller]
    fn check(names: &[&str], ip: &str, want: Option<(&str, &str)>) {
        let (dns, health) = (Arc::new(dns()), Health::default());
        let zones = zones(names);
        let ip = ip.parse().unwrap();
        let found = first_listing(dns, &health, &zones, ip, UnixSeconds(1_000_000));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let found = runtime.block_on(found);
        let want = want.map(|(zone, text)| Listing { zone: zone.into(), text: text.into() });
        assert_eq!(found, want, "{names:?} {ip}");
    }

    #[test]
    fn the_first_list_that_works_and_has_the_address_counts() {
        check(&["good.example"], "192.0.2.9", Some(("good.example", "seen in 2026")));
        check(
            &["other.example", "good.example"],
            "192.0.2.9",
            Some(("other.example", "no reason given")),
        );
        check(
            &["slow.example", "good.example"],
            "192.0.2.9",
            Some(("good.example", "seen in 2026")),
        );
        check(&["good.example"], "192.0.2.8", None);
        // RFC 5782 §5: a list of everybody, and one of nobody.
        check(&["all.example"], "192.0.2.9", None);
        check(&["empty.example"], "192.0.2.9", None);
        check(&["slow.example"], "192.0.2.9", None);
        check(&[], "192.0.2.9", None);
    }

    #[tokio::test]
    async fn whether_a_list_works_is_asked_now_and_then() {
        let (dns, health) = (Arc::new(dns()), Health::default());
        let zones = zones(&["good.example"]);
        let ip = "192.0.2.8".parse().unwrap();
        let start = UnixSeconds(1_000_000);
        let mut counts = Vec::new();
        for after_secs in [0, 1, BLOCKLIST_HEALTH_SECS - 1, BLOCKLIST_HEALTH_SECS, -1] {
            let resolver = Arc::clone(&dns) as Arc<dyn Resolver>;
            let now = start.plus_secs(after_secs);
            assert_eq!(first_listing(resolver, &health, &zones, ip, now).await, None);
            counts.push(dns.take_asked().len());
        }
        // A clock that was set back begins anew.
        assert_eq!(counts, [4, 1, 1, 4, 4]);
    }

    /// A list of everybody that could not be asked at first lists nobody meanwhile.
    #[tokio::test]
    async fn a_list_that_could_not_be_asked_is_not_believed() {
        let health = Health::default();
        let zones = zones(&["all.example"]);
        let ip = "192.0.2.9".parse().unwrap();
        let start = UnixSeconds(1_000_000);
        let mut silent = dns();
        let name = "1.0.0.127.all.example";
        silent.fail(name, RecordType::A, DnsError::Temporary(Trouble::Timeout));
        assert_eq!(first_listing(Arc::new(silent), &health, &zones, ip, start).await, None);
        let dns = Arc::new(dns());
        for (after_secs, questions) in
            [(1, 0), (BLOCKLIST_RETRY_SECS, 4), (BLOCKLIST_HEALTH_SECS, 0)]
        {
            let resolver = Arc::clone(&dns) as Arc<dyn Resolver>;
            let now = start.plus_secs(after_secs);
            assert_eq!(first_listing(resolver, &health, &zones, ip, now).await, None);
            assert_eq!(dns.take_asked().len(), questions, "{after_secs}");
        }
    }

    /// A dead list delays a message now and then, and ever more rarely.
    #[tokio::test]
    async fn a_list_that_does_not_answer_is_left_alone_ever_longer() {
        let health = Health::default();
        let zones = zones(&["slow.example"]);
        let ip = "192.0.2.9".parse().unwrap();
        let dns = Arc::new(dns());
        let (mut now, mut waits) = (UnixSeconds(1_000_000), Vec::new());
        for _ in 0..8 {
            let resolver = Arc::clone(&dns) as Arc<dyn Resolver>;
            assert_eq!(first_listing(resolver, &health, &zones, ip, now).await, None);
            assert!(!dns.take_asked().is_empty());
            let wait = health.0.lock().unwrap()[&zones[0]].keep_secs;
            assert_eq!(health.claim(&zones[0], now.plus_secs(wait - 1)), Some(false));
            waits.push(wait / 60);
            now = now.plus_secs(wait);
        }
        assert_eq!(waits, [5, 10, 20, 40, 80, 160, 240, 240]);
    }

    /// One that answered yesterday and does not today must not delay every message.
    #[tokio::test]
    async fn a_list_that_stops_answering_is_left_alone() {
        let health = Health::default();
        let zones = zones(&["slow.example", "good.example"]);
        let ip = "192.0.2.9".parse().unwrap();
        let now = UnixSeconds(1_000_000);
        health.set(&zones[0], now, Some(true));
        let dns = Arc::new(dns());
        for questions in [5 + 1, 2] {
            let resolver = Arc::clone(&dns) as Arc<dyn Resolver>;
            let found = first_listing(resolver, &health, &zones, ip, now).await;
            assert_eq!(found.unwrap().zone, "good.example");
            assert_eq!(dns.take_asked().len(), questions);
        }
    }

    /// Messages that come together are not all delayed by one question.
    #[test]
    fn one_message_asks_for_all() {
        let (health, zones) = (Health::default(), zones(&["slow.example"]));
        let now = UnixSeconds(1_000_000);
        assert_eq!(health.claim(&zones[0], now), None);
        assert_eq!(health.claim(&zones[0], now), Some(false));
        health.set(&zones[0], now, Some(true));
        assert_eq!(health.claim(&zones[0], now), Some(true));
    }
}
