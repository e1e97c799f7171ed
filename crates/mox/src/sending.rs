//! Sending: what it needs beside the services of the server.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use mox_config::Config;
use mox_net::http;
use mox_net::tls::client::Connector;
use mox_net::tls::load_roots;
use mox_sender::connection::Waits;
use mox_sender::mtasts::{HttpsFetch, MtaSts};
use mox_sender::reports::{self, Reporter};
use mox_sender::{Limits, SMTP_PORT, Sender};
use mox_tlspolicy::pkix::Roots;

use crate::services::{Mode, Services};

/// Where nobody listens: a localserve without SMTP delivers to nobody, never to the world.
const NOBODY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// How mail is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sending {
    /// Where the servers of domains listen: 25, but in tests.
    pub port: u16,
    /// How much is done at the same time.
    pub limits: Limits,
}

impl Default for Sending {
    fn default() -> Self {
        Self { port: SMTP_PORT, limits: Limits::default() }
    }
}

/// What has to be read before anything runs.
pub(crate) struct Prepared {
    connector: Connector,
    sending: Sending,
}

/// Reads the authorities that are trusted. Blocks.
///
/// - `roots`: these, if they were read before.
pub(crate) fn prepare(
    services: &Services,
    sending: Sending,
    roots: Option<Roots>,
) -> Result<Prepared> {
    let roots = match roots {
        Some(roots) => roots,
        None => self::roots(&services.config.snapshot())?,
    };
    let connector = Connector::new(roots, Arc::clone(&services.clock));
    Ok(Prepared { connector, sending })
}

/// The authorities that a configuration trusts. Blocks.
pub(crate) fn roots(config: &Config) -> Result<Roots> {
    let (with_system, files): (bool, Vec<PathBuf>) = match &config.statics.tls.ca {
        Some(ca) => {
            let files = ca.cert_files.iter().map(|file| config.path(file));
            (ca.additional_to_system, files.collect())
        }
        None => (true, Vec::new()),
    };
    load_roots(with_system, &files).context("read certificates of authorities (TLS.CA)")
}

/// Where all mail goes, if it is not to leave.
fn loopback(mode: Mode, own_smtp: Option<SocketAddr>) -> Option<SocketAddr> {
    (mode == Mode::Localserve).then(|| own_smtp.unwrap_or(NOBODY))
}

/// Sends reports of ours. A localserve has nobody to send them to.
fn reporter(services: &Services) -> Reporter {
    Reporter::new(reports::Services {
        config: Arc::clone(&services.config),
        queue: services.queue.clone(),
        reports: services.reports.clone(),
        resolver: Arc::clone(&services.resolver),
        signing: Arc::clone(&services.signing),
        clock: Arc::clone(&services.clock),
        rng: Arc::clone(&services.rng),
    })
}

impl Prepared {
    /// Makes requests of HTTP, and trusts the same authorities.
    pub(crate) fn http(&self, services: &Services) -> http::Client {
        http::Client::new(self.connector.clone(), Arc::clone(&services.resolver))
    }

    /// What looks at the world need.
    pub(crate) fn checks(&self, services: &Services) -> mox_checks::Services {
        mox_checks::Services {
            resolver: Arc::clone(&services.resolver),
            network: Arc::new(mox_checks::Internet::new(self.http(services))),
            connector: self.connector.clone(),
            clock: Arc::clone(&services.clock),
        }
    }

    /// Starts to send. `own_smtp`: where this server takes mail; a localserve sends all there.
    pub(crate) fn start(self, services: &Services, own_smtp: Option<SocketAddr>) -> Sender {
        let http = self.http(services);
        let Self { connector, sending } = self;
        let resolver = Arc::clone(&services.resolver);
        let (clock, rng) = (Arc::clone(&services.clock), Arc::clone(&services.rng));
        let fetch = Arc::new(HttpsFetch::new(http.clone()));
        let db = services.reports.clone();
        let sts =
            MtaSts::new(db, Arc::clone(&resolver), fetch, Arc::clone(&clock), Arc::clone(&rng));
        let is_local = services.mode == Mode::Localserve;
        if !is_local {
            let (sts, stopping) = (sts.clone(), services.supervisor.stopping());
            let cid = services.supervisor.next_cid();
            let fresh = async move { sts.keep_fresh(stopping).await };
            services.supervisor.spawn("mtasts", cid, fresh);
            reporter(services).start(&services.supervisor);
        }
        Sender::start(mox_sender::Services {
            queue: services.queue.clone(),
            store: services.store.clone(),
            reports: services.reports.clone(),
            config: Arc::clone(&services.config),
            resolver,
            clock,
            rng,
            supervisor: services.supervisor.clone(),
            connector,
            sts,
            http,
            limits: sending.limits,
            waits: Waits::default(),
            port: sending.port,
            loopback_to: loopback(services.mode, own_smtp),
            is_pedantic: services.pedantic && !is_local,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mail_of_a_localserve_does_not_leave() {
        let own = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 1025)));
        assert_eq!(loopback(Mode::Localserve, own), own);
        assert_eq!(loopback(Mode::Localserve, None), Some(NOBODY));
        assert_eq!(loopback(Mode::Serve, own), None);
        assert_eq!(loopback(Mode::Serve, None), None);
    }
}
