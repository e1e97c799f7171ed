//! Watches whether block lists have the addresses of this server.
//!
//! The lists are those that the public listener asks about others, and `MonitorDNSBLs`. What comes of
//! it is in the metric `mox_dnsbl_ips_success`, and in the log when it changes.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use mox_admin::records::{PUBLIC_LISTENER, sending_ips};
use mox_base::Domain;
use mox_config::{Config, Live};
use mox_dns::Resolver;
use mox_mailauth::dnsbl::{self, Answer, ZONES_MAX};
use mox_metrics::queue::connections_tried;
use mox_net::blocking;
use tokio::time::{Instant, sleep, timeout};

use crate::setup::{IPS_MAX, interfaces, system_interfaces};

/// How often it is looked whether it is time to ask.
pub const TICK: Duration = Duration::from_secs(5 * 60);

/// How often lists are asked at least.
pub const PERIOD: Duration = Duration::from_secs(3 * 3600);

/// After so many connections to others they are asked earlier.
pub const CONNECTIONS_EARLY: u64 = 100;

/// Between two questions: lists do not like to be asked much.
pub const PAUSE: Duration = Duration::from_secs(1);

/// How long one question takes at most.
pub const LOOKUP_WAIT: Duration = Duration::from_secs(30);

/// How an address stands with a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is not listed.
    Good,
    /// It is.
    Listed,
    /// The list does not tell.
    Unknown,
}

/// The lists to watch, each once.
#[must_use]
pub fn zones(config: &Config) -> Vec<Domain> {
    let public = config.statics.listeners.get(PUBLIC_LISTENER);
    let of_listener = public.map(|listener| listener.smtp.dnsbls.as_slice()).unwrap_or_default();
    let mut zones: Vec<Domain> = Vec::new();
    for zone in of_listener.iter().chain(&config.dynamic.monitor_dnsbls) {
        if !zones.contains(&zone.0) {
            zones.push(zone.0.clone());
        }
    }
    zones.truncate(ZONES_MAX);
    zones
}

/// How each address stands with each list.
pub type Standings = BTreeMap<(Domain, IpAddr), Standing>;

/// Asks all lists about these addresses, one after the other.
pub async fn ask_all(resolver: &dyn Resolver, config: &Config, ips: &[IpAddr]) -> Standings {
    let mut standings = Standings::new();
    for zone in zones(config) {
        for ip in ips.iter().take(IPS_MAX) {
            if !standings.is_empty() {
                sleep(PAUSE).await;
            }
            let answer = timeout(LOOKUP_WAIT, dnsbl::check(resolver, &zone, *ip)).await;
            let standing = match answer {
                Ok(Answer::NotListed(_)) => Standing::Good,
                Ok(Answer::Listed(_)) => Standing::Listed,
                Ok(Answer::Unknown(_)) | Err(_) => Standing::Unknown,
            };
            standings.insert((zone.clone(), *ip), standing);
        }
    }
    standings
}

/// Whether it is time to ask again: since `since`, with so many connections made meanwhile.
fn is_due(since: Duration, connections: u64) -> bool {
    since >= PERIOD || connections >= CONNECTIONS_EARLY
}

/// Watches until it is dropped.
pub async fn run(resolver: Arc<dyn Resolver>, config: Arc<Live>) {
    let mut before = Standings::new();
    loop {
        let (asked, made) = (Instant::now(), connections_tried());
        let snapshot = config.snapshot();
        let for_ips = Arc::clone(&snapshot);
        let ips = blocking(move || own_ips(&for_ips)).await;
        let mut now = Box::pin(ask_all(&*resolver, &snapshot, &ips)).await;
        keep_known(&before, &mut now);
        publish(&before, &now);
        before = now;
        loop {
            sleep(TICK).await;
            if is_due(asked.elapsed(), connections_tried().saturating_sub(made)) {
                break;
            }
        }
    }
}

/// The public addresses that mail is sent from: those written down, else those of the machine. Blocks.
fn own_ips(config: &Config) -> Vec<IpAddr> {
    let ips = sending_ips(config);
    if !ips.is_empty() {
        return ips;
    }
    system_interfaces().map(|all| interfaces(&all).public).unwrap_or_default()
}

/// A list that does not answer has not taken back what it said before.
fn keep_known(before: &Standings, now: &mut Standings) {
    for (key, standing) in now.iter_mut().filter(|(_, standing)| **standing == Standing::Unknown) {
        if let Some(known) = before.get(key) {
            *standing = *known;
        }
    }
}

/// Sets the metric, and logs what is new.
fn publish(before: &Standings, now: &Standings) {
    // What is no longer watched has no value.
    if before.keys().any(|key| !now.contains_key(key)) {
        mox_metrics::dns::forget_own_addresses();
    }
    for ((zone, ip), standing) in now {
        let was = before.get(&(zone.clone(), *ip));
        match standing {
            Standing::Unknown => continue,
            Standing::Listed if was != Some(&Standing::Listed) => {
                tracing::error!(%zone, %ip, "this server is on a block list");
            }
            Standing::Good if was == Some(&Standing::Listed) => {
                tracing::info!(%zone, %ip, "this server is off a block list");
            }
            Standing::Good | Standing::Listed => {}
        }
        mox_metrics::dns::own_address(zone.ascii(), *ip, *standing == Standing::Listed);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use mox_dns::{DnsError, FakeDns, RecordType, Trouble};

    use super::*;

    const MOX_CONF: &str = "\
DataDir: data
LogLevel: info
Hostname: mx.a.example
Listeners:
\tinternal:
\t\tIPs:
\t\t\t- 127.0.0.1
\tpublic:
\t\tIPs:
\t\t\t- 8.8.4.4
\t\tSMTP:
\t\t\tEnabled: true
\t\t\tNoSTARTTLS: true
\t\t\tDNSBLs:
\t\t\t\t- a.example
Postmaster:
\tAccount: mjl
\tMailbox: Postmaster
";

    const DOMAINS_CONF: &str = "\
Domains:
\ta.example: nil
Accounts:
\tmjl:
\t\tDomain: a.example
\t\tDestinations:
\t\t\tmjl@a.example: nil
MonitorDNSBLs:
\t- a.example
\t- b.example
\t- c.example
";

    fn config() -> Config {
        Config::parse(Path::new("/none"), MOX_CONF, DOMAINS_CONF).unwrap()
    }

    #[test]
    fn lists_of_both_files_are_watched_once() {
        let zones = zones(&config());
        let zones: Vec<_> = zones.iter().map(Domain::ascii).collect();
        assert_eq!(zones, ["a.example", "b.example", "c.example"]);
    }

    /// RFC 5782 §2.1.
    #[tokio::test(start_paused = true)]
    async fn each_address_is_asked_about_with_pauses() {
        let mut dns = FakeDns::new();
        dns.add_ips("4.4.8.8.b.example", &["127.0.0.2"]);
        dns.fail("4.4.8.8.c.example", RecordType::A, DnsError::Temporary(Trouble::Timeout));
        let start = Instant::now();
        let ips = own_ips(&config());
        let mut found = ask_all(&dns, &config(), &ips).await;
        let told = |found: &Standings| {
            let one = |((zone, ip), standing): (&(Domain, IpAddr), &Standing)| {
                format!("{zone} {ip} {standing:?}")
            };
            found.iter().map(one).collect::<Vec<_>>()
        };
        let want =
            ["a.example 8.8.4.4 Good", "b.example 8.8.4.4 Listed", "c.example 8.8.4.4 Unknown"];
        assert_eq!(told(&found), want);
        assert_eq!(start.elapsed(), PAUSE * 2);
        // What was known before is not forgotten.
        let before = found.keys().map(|key| (key.clone(), Standing::Listed)).collect();
        keep_known(&before, &mut found);
        assert_eq!(told(&found)[2], "c.example 8.8.4.4 Listed");
    }

    /// The metric is one of the whole process: no other test here touches it.
    #[test]
    fn the_metric_is_for_what_is_watched() {
        let key = |zone: &str| (Domain::parse(zone).unwrap(), "8.8.4.4".parse().unwrap());
        let first = Standings::from([
            (key("a.example"), Standing::Listed),
            (key("b.example"), Standing::Good),
        ]);
        publish(&Standings::new(), &first);
        let lines = || {
            let text = mox_metrics::text();
            let ours = text.lines().filter(|line| line.starts_with("mox_dnsbl_ips_success{"));
            ours.map(str::to_owned).collect::<Vec<_>>()
        };
        let mut found = lines();
        found.sort();
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(
            found.iter().any(|line| line.contains("a.example") && line.ends_with(" 0")),
            "{found:?}"
        );
        assert!(
            found.iter().any(|line| line.contains("b.example") && line.ends_with(" 1")),
            "{found:?}"
        );
        let second = Standings::from([(key("b.example"), Standing::Good)]);
        publish(&first, &second);
        assert_eq!(lines().len(), 1, "{:?}", lines());
    }

    #[test]
    fn after_hours_or_many_connections_it_is_time() {
        for (secs, connections, want) in [
            (300, CONNECTIONS_EARLY - 1, false),
            (300, CONNECTIONS_EARLY, true),
            (PERIOD.as_secs() - 1, 0, false),
            (PERIOD.as_secs(), 0, true),
        ] {
            assert_eq!(
                is_due(Duration::from_secs(secs), connections),
                want,
                "{secs} {connections}"
            );
        }
    }
}
