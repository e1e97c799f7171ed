//! What commands that connect to other servers have in common.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use mox_base::{Domain, Rng};
use mox_checks::{Internet, Services};
use mox_dns::{Lookups as _, Name, Resolver};
use mox_net::dns::{SystemOptions, SystemResolver};
use mox_net::http::Client;
use mox_net::tls::client::Connector;
use mox_net::tls::load_roots;
use mox_net::{Conn, LocalIps, SystemClock, SystemRng, dial};
use mox_tlspolicy::pkix::Roots;

/// How long connecting to one host takes at most.
const DIAL_WAIT: Duration = Duration::from_secs(30);

/// What is needed to ask DNS and to connect with TLS.
pub(super) struct Network {
    pub(super) resolver: Arc<dyn Resolver>,
    pub(super) connector: Connector,
    pub(super) rng: Arc<dyn Rng>,
}

/// Does work over the network, as a server of this system would. `roots`: whose certificates are
/// trusted, in PEM; none: whom the system trusts. Each step of the work has an end of its own.
pub(super) fn over_network<T>(
    roots: &[PathBuf],
    work: impl AsyncFnOnce(&Network) -> Result<T>,
) -> Result<T> {
    over_network_with(load_roots(roots.is_empty(), roots)?, work)
}

/// As [`over_network`], trusting these authorities.
pub(super) fn over_network_with<T>(
    roots: Roots,
    work: impl AsyncFnOnce(&Network) -> Result<T>,
) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let network = Network::new(roots);
    runtime.context("start runtime")?.block_on(work(&network))
}

impl Network {
    /// Trusting these authorities.
    pub(super) fn new(roots: Roots) -> Self {
        let (clock, rng) = (Arc::new(SystemClock::new()), Arc::new(SystemRng));
        let resolver = SystemResolver::new(SystemOptions::default(), clock.clone(), rng.clone());
        Self { resolver: Arc::new(resolver), connector: Connector::new(roots, clock), rng }
    }

    /// Connects to a port of a host.
    pub(super) async fn dial_host(&self, host: &Domain, port: u16) -> Result<Conn> {
        let ips = match own_addresses(host) {
            Some(ips) => ips.to_vec(),
            None => {
                let found = self.resolver.ips(&Name::from(host)).await;
                found.with_context(|| format!("look up {host}"))?.records
            }
        };
        let addresses: Vec<_> = ips.into_iter().map(|ip| SocketAddr::new(ip, port)).collect();
        dial_addresses(&addresses).await
    }

    /// What checks ask through. Nothing was asked before, so that what was just changed is seen as
    /// soon as the DNS server shows it.
    pub(super) fn checks(&self) -> Services {
        let client = Client::new(self.connector.clone(), Arc::clone(&self.resolver));
        Services {
            resolver: Arc::clone(&self.resolver),
            network: Arc::new(Internet::new(client)),
            connector: self.connector.clone(),
            clock: Arc::new(SystemClock::new()),
        }
    }

    /// Random bytes for a login, which these commands do not do.
    pub(super) fn nonce<const N: usize>(&self) -> [u8; N] {
        let mut nonce = [0; N];
        self.rng.fill(&mut nonce);
        nonce
    }
}

/// The addresses of this machine, if that is what a name means: DNS is not asked. RFC 6761 §6.3.
fn own_addresses(host: &Domain) -> Option<[IpAddr; 2]> {
    let ips = [Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()];
    (host.ascii() == "localhost").then_some(ips)
}

/// Connects to the first that answers.
pub(super) async fn dial_addresses(addresses: &[SocketAddr]) -> Result<Conn> {
    Ok(dial(addresses, DIAL_WAIT, LocalIps::default()).await?)
}

/// What this machine calls itself, for EHLO. Servers may want a name that they can look up:
/// commands have a flag for it.
pub(super) fn own_name() -> String {
    let name = fs::read_to_string("/etc/hostname").unwrap_or_default();
    let name = Domain::parse_host(name.trim());
    name.map_or_else(|_| "localhost".to_owned(), |name| name.ascii().to_owned())
}

/// Reads `host:port`; without a port, `default` if there is one.
pub(super) fn host_and_port(text: &str, default: Option<u16>) -> Result<(Domain, u16), String> {
    let (host, port) = match (text.rsplit_once(':'), default) {
        (Some((host, port)), _) => {
            let port = port.parse().ok().filter(|port| *port > 0).ok_or("no such port")?;
            (host, port)
        }
        (None, Some(port)) => (text, port),
        (None, None) => return Err("wanted is host:port".to_owned()),
    };
    Ok((Domain::parse(host).map_err(|error| error.to_string())?, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, default: Option<u16>, want: Option<(&str, u16)>) {
        let got = host_and_port(text, default).ok();
        let got = got.as_ref().map(|(host, port)| (host.ascii(), *port));
        assert_eq!(got, want, "{text}");
    }

    #[test]
    fn hosts_have_ports() {
        check("MX.example:443", None, Some(("mx.example", 443)));
        check("mx.example", Some(25), Some(("mx.example", 25)));
        check("mx.example:65535", Some(25), Some(("mx.example", 65_535)));
        check("mx.example", None, None);
        check("mx.example:65536", None, None);
        check("mx.example:0", None, None);
        check("mx.example:", Some(25), None);
        check(":25", None, None);
        check("192.0.2.1:25", None, None);
    }

    /// RFC 6761 §6.3.
    #[test]
    fn localhost_is_this_machine() {
        for (host, want) in [("LOCALHOST", true), ("localhost.example", false)] {
            assert_eq!(own_addresses(&Domain::parse(host).unwrap()).is_some(), want, "{host}");
        }
    }

    #[test]
    fn this_machine_has_a_name() {
        assert!(Domain::parse_host(&own_name()).is_ok());
    }
}
