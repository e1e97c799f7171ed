//! Whether block lists have the addresses.

use std::net::IpAddr;
use std::time::Duration;

use futures_util::future::join_all;
use mox_base::Domain;
use mox_dns::Resolver;
use mox_mailauth::dnsbl::{self, Answer};
use tokio::time::timeout;

use super::IPS_MAX;
use crate::Finding;

/// Lists that many servers use.
pub const BLOCKLISTS: [&str; 2] = ["sbl.spamhaus.org", "bl.spamcop.net"];

/// How long one list is asked about one address.
pub const BLOCKLIST_WAIT: Duration = Duration::from_secs(5);

/// Asks block lists about the addresses of the machine. RFC 5782 §2.1.
///
/// `zones`: at most [`dnsbl::ZONES_MAX`] are asked.
pub async fn blocklists<R: Resolver + ?Sized>(
    resolver: &R,
    zones: &[Domain],
    ips: &[IpAddr],
) -> Vec<Finding> {
    let pairs = ips.iter().take(IPS_MAX).flat_map(|ip| {
        zones.iter().take(dnsbl::ZONES_MAX).map(move |zone| (zone, ip.to_canonical()))
    });
    let asked = pairs.map(async |(zone, ip)| {
        let answer = timeout(BLOCKLIST_WAIT, dnsbl::check(resolver, zone, ip)).await;
        judged(zone, ip, answer.ok())
    });
    join_all(asked).await
}

fn judged(zone: &Domain, ip: IpAddr, answer: Option<Answer>) -> Finding {
    match answer {
        Some(Answer::NotListed(_)) => Finding::ok(format!("{ip} is not listed at {zone}")),
        Some(Answer::Listed(listing)) => {
            let why = listing.explanation.map(|text| format!(": {text}")).unwrap_or_default();
            Finding::warning(
                format!("{ip} is listed at {zone}{why}"),
                format!(
                    "Servers that use the list refuse mail from {ip}. Addresses often are listed for \
                     what was done with them before.\nSee on which lists it is, and how to get it \
                     removed: https://multirbl.valli.org/lookup/{ip}.html\nOtherwise ask the provider \
                     for another address."
                ),
            )
        }
        Some(Answer::Unknown(problem)) => {
            Finding::note(format!("{zone} does not tell whether it has {ip}: {problem}"), "")
        }
        None => Finding::note(format!("{zone} does not tell whether it has {ip} in time"), ""),
    }
}

#[cfg(test)]
mod tests {
    use mox_dns::FakeDns;

    use super::*;
    use crate::Level;

    /// RFC 5782 §2.1.
    #[test]
    fn listed_addresses_are_told() {
        let mut dns = FakeDns::new();
        dns.add_ips("4.4.8.8.b.example", &["127.0.0.2"]);
        dns.add_txt("4.4.8.8.b.example", "seen in 2025");
        dns.add_ips("5.4.8.8.a.example", &["127.255.255.254"]);
        let zones = ["a.example", "b.example"].map(|zone| Domain::parse(zone).unwrap());
        let ips = ["8.8.4.4", "8.8.4.5"].map(|ip| ip.parse().unwrap());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let findings = runtime.block_on(blocklists(&dns, &zones, &ips));
        let told: Vec<_> = findings.iter().map(|one| (one.level, one.what.as_str())).collect();
        let want = [
            (Level::Ok, "8.8.4.4 is not listed at a.example"),
            (Level::Warning, "8.8.4.4 is listed at b.example: seen in 2025"),
            (
                Level::Note,
                "a.example does not tell whether it has 8.8.4.5: the list refuses to answer: \
                 127.255.255.254",
            ),
            (Level::Ok, "8.8.4.5 is not listed at b.example"),
        ];
        assert_eq!(told, want);
        assert!(findings[1].next_step.contains("multirbl.valli.org/lookup/8.8.4.4.html"));
    }

    #[test]
    fn the_lists_we_name_are_domains() {
        assert!(BLOCKLISTS.iter().all(|zone| Domain::parse(zone).is_ok()));
    }
}
