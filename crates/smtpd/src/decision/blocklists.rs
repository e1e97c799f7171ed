//! Lists of known sources of junk, asked last.
//!
//! Source: RFC 5782 §5 (a list shows that it works by what it must and must not have).

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mox_base::{Domain, UnixSeconds};
use mox_dns::Resolver;
use mox_mailauth::dnsbl::{Answer, HealthError, ZONES_MAX, check_all, check_health_all};
use mox_net::Wait;
use mox_policy::Listing;

use crate::facts::Bounded;

/// For all lists of one message.
pub const BLOCKLISTS_WAIT: Wait = Wait::new("block lists", Duration::from_secs(30));

/// How long it is believed that a list works, or does not.
pub const BLOCKLIST_HEALTH_SECS: i64 = 4 * 60 * 60;

/// How long a list is left alone that could not be asked whether it works. Until it has shown that,
/// it may be one that lists everybody.
const BLOCKLIST_RETRY_SECS: i64 = 5 * 60;

/// Which lists work; none if that could not be asked. One for all connections; there is an entry for each list in the configuration.
#[derive(Debug, Default)]
pub(crate) struct Health(Mutex<HashMap<Domain, (UnixSeconds, Option<bool>)>>);

impl Health {
    fn known(&self, zone: &Domain, now: UnixSeconds) -> Option<bool> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, works) = known.get(zone)?;
        let age_secs = now.0.saturating_sub(at.0);
        let keep_secs = if works.is_some() { BLOCKLIST_HEALTH_SECS } else { BLOCKLIST_RETRY_SECS };
        (0..keep_secs).contains(&age_secs).then_some(works.unwrap_or(false))
    }

    fn set(&self, zone: &Domain, now: UnixSeconds, works: Option<bool>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(zone.clone(), (now, works));
    }
}

/// The first of these lists that has the address. Lists that do not work are left out; one that does
/// not answer lists nobody.
///
/// Asks two questions for each of [`ZONES_MAX`] lists, and four more for each now and then.
pub(crate) async fn first_listing(
    resolver: Arc<dyn Resolver>,
    health: &Health,
    zones: &[Domain],
    ip: IpAddr,
    now: UnixSeconds,
) -> Option<Listing> {
    let resolver = Bounded::new(resolver, BLOCKLISTS_WAIT);
    let zones = zones.get(..ZONES_MAX).unwrap_or(zones);
    let is_new = |zone: &&Domain| health.known(zone, now).is_none();
    let new: Vec<Domain> = zones.iter().filter(is_new).cloned().collect();
    // All at once: one that does not answer must not use up the time of the others.
    for (zone, outcome) in new.iter().zip(check_health_all(&resolver, &new).await) {
        health.set(zone, now, works(zone, outcome));
    }
    let works = |zone: &&Domain| health.known(zone, now) == Some(true);
    let working: Vec<Domain> = zones.iter().filter(works).cloned().collect();
    let answers = check_all(&resolver, &working, ip).await;
    working.iter().zip(answers).find_map(|(zone, answer)| match answer {
        Answer::Listed(listing) => {
            let text = listing.explanation.unwrap_or_else(|| "no reason given".to_owned());
            Some(Listing { zone: zone.to_string(), text })
        }
        Answer::NotListed(_) | Answer::Unknown(_) => None,
    })
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
            [(1, 0), (BLOCKLIST_RETRY_SECS, 2), (BLOCKLIST_HEALTH_SECS, 0)]
        {
            let resolver = Arc::clone(&dns) as Arc<dyn Resolver>;
            let now = start.plus_secs(after_secs);
            assert_eq!(first_listing(resolver, &health, &zones, ip, now).await, None);
            assert_eq!(dns.take_asked().len(), questions, "{after_secs}");
        }
    }
}
