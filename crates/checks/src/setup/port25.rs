//! Whether mail may go out.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use mox_dns::{DnsError, Lookups as _, Name};

use super::LOOKUP_WAIT;
use crate::services::within;
use crate::{Finding, Services};

/// How long connecting takes at most, over all addresses that are tried.
pub const DIAL_WAIT: Duration = Duration::from_secs(10);

/// A domain whose servers everybody can reach.
const KNOWN_DOMAIN: &str = "gmail.com";

/// Addresses that are tried.
const TRIED_MAX: usize = 3;

/// Connects to port 25 of a server that everybody can reach. RFC 5321 §4.5.4.2 is how mail goes out.
pub async fn port25(services: &Services) -> Finding {
    match reach(services).await {
        Ok(to) => Finding::ok(format!("connections to port 25 of others are possible ({to})")),
        Err(error) => Finding::warning(
            format!("connect to port 25 of {KNOWN_DOMAIN}: {error}"),
            "Many providers block outgoing connections to port 25 against spam, and lift it when \
             asked: look for \"port 25\" or \"SMTP\" in their pages, or open a ticket.\n\
             If they do not, send through another server: configure it as a transport with \
             Submissions in mox.conf and name it in a route (a smarthost). Receiving mail is not \
             affected.",
        ),
    }
}

/// Why no server was reached.
#[derive(Debug, thiserror::Error)]
enum NotReached {
    #[error("look up its servers: {0}")]
    Dns(#[from] DnsError),
    #[error(transparent)]
    Dial(#[from] mox_net::DialError),
}

async fn reach(services: &Services) -> Result<SocketAddr, NotReached> {
    let ips = known_ips(services).await?;
    let each = DIAL_WAIT / u32::try_from(ips.len().max(1)).unwrap_or(1);
    let mut error = mox_net::DialError::NoAddresses;
    for ip in ips {
        let to = SocketAddr::new(ip, 25);
        match services.network.dial(to, each).await {
            Ok(_conn) => return Ok(to),
            Err(failed) => error = failed,
        }
    }
    Err(error.into())
}

async fn known_ips(services: &Services) -> Result<Vec<IpAddr>, DnsError> {
    let missing = DnsError::Temporary(mox_dns::Trouble::Malformed);
    let Ok(domain) = Name::parse(KNOWN_DOMAIN) else { return Err(missing) };
    let found = within(LOOKUP_WAIT, services.resolver.mx(&domain)).await?;
    let Some((_, host)) = found.records.first() else { return Err(missing) };
    let mut ips = within(LOOKUP_WAIT, services.resolver.ips(host)).await?.records;
    ips.truncate(TRIED_MAX);
    Ok(ips)
}

#[cfg(test)]
mod tests {
    use mox_dns::FakeDns;

    use super::*;
    use crate::tests::services;
    use crate::{FakeNetwork, Level};

    #[track_caller]
    fn check(network: FakeNetwork, want: (Level, &str)) {
        let mut dns = FakeDns::new();
        dns.add_mx("gmail.com", 20, "b.example").add_mx("gmail.com", 10, "a.example");
        dns.add_ips("a.example", &["8.8.4.4", "2a00::1"]);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        let finding = runtime.block_on(port25(&services(dns, network)));
        assert_eq!((finding.level, finding.what.as_str()), want);
        assert_eq!(finding.next_step.contains("smarthost"), want.0 == Level::Warning);
    }

    #[test]
    fn port_25_must_be_open() {
        let mut network = FakeNetwork::new();
        network.add_open("8.8.4.4:25");
        check(network, (Level::Ok, "connections to port 25 of others are possible (8.8.4.4:25)"));
        let mut network = FakeNetwork::new();
        network.add_silent("8.8.4.4:25").add_open("[2a00::1]:25");
        check(network, (Level::Ok, "connections to port 25 of others are possible ([2a00::1]:25)"));
        let mut network = FakeNetwork::new();
        network.add_silent("8.8.4.4:25").add_silent("[2a00::1]:25");
        let want = "connect to port 25 of gmail.com: connect to [2a00::1]:25: timed out";
        check(network, (Level::Warning, want));
    }

    #[tokio::test]
    async fn without_dns_nothing_is_known() {
        let finding = port25(&services(FakeDns::new(), FakeNetwork::new())).await;
        assert!(finding.what.contains("look up its servers"), "{finding}");
    }
}
