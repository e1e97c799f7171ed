//! A whole mail server: started, addressed, stopped.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, anyhow};
use mox_base::{Clock as _, Domain};
use mox_config::{Finding, HttpPort, HttpService, Live, LogLevel, NamedFiles, PassedFiles};
use mox_dns::Resolver;
use mox_net::tls::TlsAcceptor;
use mox_net::{BindError, ShutdownReport, SystemClock, blocking};
use mox_sender::Sender;
use mox_store::{Disk, RealDisk};
use mox_tlspolicy::pkix::Roots;
use tokio::task::JoinHandle;

use crate::background;
use crate::ctl::Control;
use crate::data_dir::{DataDir, remove_old_temporary};
use crate::log::{Levels, PRINT};
use crate::privileges::Privileges;
use crate::sending::{self, Sending};
use crate::service::Service;
use crate::services::{Mode, Services};
use crate::sockets::{Sockets, bind_fault};
use crate::tls::ListenerCerts;
use crate::updates;
use crate::wiring::Drivers;

/// How long sessions may take to end what they do when the server stops. Then they are dropped.
pub const SHUTDOWN_WAIT: Duration = Duration::from_secs(3);

/// How long sessions go on after the last connection was accepted, if another process takes over.
pub const HAND_OVER_WAIT: Duration = Duration::from_millis(500);

/// How often is looked, and in which intervals, whether they have begun at all.
const BEGIN_LOOKS_MAX: u32 = 1_000;
const BEGIN_PAUSE: Duration = Duration::from_millis(10);

/// Which ports are listened on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ports {
    /// Those of the configuration.
    Configured,
    /// Any that are free: for tests. [`Server::address`] tells which.
    Free,
}

/// How a server is to run.
#[derive(Clone)]
pub struct Options {
    /// The kind of server.
    pub mode: Mode,
    /// The configuration.
    pub config: Arc<Live>,
    /// How much is logged.
    pub levels: Levels,
    /// Refuse deviations from the protocols, whatever the configuration says.
    pub pedantic: bool,
    /// Which ports are listened on.
    pub ports: Ports,
    /// What the accounts are kept on: the real disk, or one that fails when a test wants it to.
    pub disk: Arc<dyn Disk>,
    /// Who is asked DNS questions: `None` for whom the kind of server asks. A test has its own.
    pub resolver: Option<Arc<dyn Resolver>>,
    /// How mail is sent.
    pub sending: Sending,
    /// Sockets that listen already: those that are missing are made.
    pub sockets: Sockets,
    /// How the process is kept and confined.
    pub privileges: Privileges,
    /// The authorities that are trusted, if they were read already: a process that is confined
    /// cannot.
    pub roots: Option<Roots>,
}

impl Options {
    /// Loads the configuration. Returns its notices too.
    ///
    /// - `config`: the path of `mox.conf`, or of its directory.
    /// - `level`: stands for all levels of the configuration.
    ///
    /// # Errors
    ///
    /// All faults of the configuration.
    pub fn load(
        mode: Mode,
        config: &Path,
        level: Option<LogLevel>,
    ) -> Result<(Self, Vec<Finding>), Vec<Finding>> {
        Self::load_passed(mode, config, level, (NamedFiles::Check, PassedFiles::default()))
    }

    /// As [`Options::load`], in a process that some of the named files were passed to.
    pub(crate) fn load_passed(
        mode: Mode,
        config: &Path,
        level: Option<LogLevel>,
        (named_files, passed): (NamedFiles, PassedFiles),
    ) -> Result<(Self, Vec<Finding>), Vec<Finding>> {
        let now = SystemClock::new().now();
        let (live, notices) = Live::load_passed(config, named_files, passed, now)?;
        let levels = Levels::from_config(&live.snapshot().statics, level);
        let config = Arc::new(live);
        let (ports, disk) = (Ports::Configured, Arc::new(RealDisk));
        let options = Self {
            mode,
            config,
            levels,
            pedantic: false,
            ports,
            disk,
            resolver: None,
            sending: Sending::default(),
            sockets: Sockets::default(),
            privileges: Privileges::default(),
            roots: None,
        };
        Ok((options, notices))
    }

    /// A localserve in a directory that was made by [`crate::localserve::init`].
    ///
    /// # Errors
    ///
    /// If its configuration has faults.
    pub fn localserve(dir: &Path) -> Result<Self> {
        let loaded = Self::load(Mode::Localserve, dir, None);
        let faults = |faults: Vec<Finding>| anyhow!("{}", faults_text(&faults));
        loaded.map(|(options, _)| options).map_err(faults)
    }

    /// On any ports that are free.
    #[must_use]
    pub fn on_free_ports(self) -> Self {
        Self { ports: Ports::Free, ..self }
    }
}

/// All faults in one text.
pub(crate) fn faults_text(faults: &[Finding]) -> String {
    let lines: Vec<_> = faults.iter().map(ToString::to_string).collect();
    let heading = if lines.len() > 1 { "multiple errors:\n" } else { "" };
    format!("{heading}{}", lines.join("\n"))
}

/// A socket that is listened on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// The listener of the configuration.
    pub listener: String,
    /// What is offered.
    pub service: Service,
    /// Where, with the real port.
    pub addr: SocketAddr,
    /// What is served, if it is HTTP.
    pub http: Option<HttpPort>,
}

/// A running mail server.
pub struct Server {
    services: Services,
    bound: Vec<Bound>,
    accepting: Vec<JoinHandle<()>>,
    control: Control,
    sender: Sender,
    /// Given up last, when nothing writes any more.
    data: DataDir,
}

/// A service on an address, before it is listened on.
#[derive(Clone)]
pub(crate) struct Endpoint {
    pub(crate) listener: String,
    pub(crate) service: Service,
    pub(crate) addr: SocketAddr,
    pub(crate) tls: Option<TlsAcceptor>,
    /// What the listener calls itself.
    pub(crate) hostname: Domain,
    pub(crate) settings: mox_config::Listener,
    /// What is served, if it is HTTP.
    pub(crate) http: Option<HttpPort>,
}

impl Server {
    /// Starts everything: it listens when this returns.
    ///
    /// # Errors
    ///
    /// If the data directory is in use or cannot be used, certificates cannot be loaded, or a port
    /// is taken. Nothing runs then.
    pub async fn start(options: Options) -> Result<Self> {
        let Options {
            mode,
            config,
            levels,
            pedantic,
            ports,
            disk,
            resolver,
            sending,
            sockets: passed,
            privileges,
            roots,
        } = options;
        let build = move || -> Result<_> {
            let snapshot = config.snapshot();
            let data = DataDir::take(&snapshot.data_dir())?;
            let certs = ListenerCerts::load(&snapshot)?;
            let services = Services::build(mode, config, levels, pedantic, disk, resolver, &data)?;
            let services = Services { privileges, ..services };
            certs.warn_of_expiry(services.clock.now());
            for account in services.admin().resume_removals().context("remove accounts")? {
                tracing::info!(account, "account removed, as was begun before the last end");
            }
            services.logins.learn_shapes();
            let temporary = data.temporary()?;
            remove_old_temporary(&temporary, SystemTime::now());
            let drivers = Drivers::new(&services, temporary);
            let sending = sending::prepare(&services, sending, roots)?;
            services.acme.start(&services, &sending.http(&services))?;
            let certs = certs.with_acme(services.acme.clone());
            Ok((data, certs, services, drivers, sending))
        };
        let (data, certs, services, drivers, sending) = blocking(build).await?;
        // All that can fail comes before anything runs.
        let mut sockets = Vec::new();
        for endpoint in endpoints(&services, &certs, ports) {
            match passed.listen(endpoint.addr) {
                Ok(socket) => sockets.push((endpoint, socket)),
                Err(error) if mode == Mode::Localserve && is_missing_ipv6(&error) => {
                    tracing::info!(addr = %error.addr, "no IPv6 on this machine, not listening");
                }
                Err(error) => return Err(bind_fault(error)),
            }
        }
        passed.warn_of_unused();
        let smtp = sockets.iter().find(|(endpoint, _)| endpoint.service == Service::Smtp);
        let smtp = smtp.map(|(_, socket)| socket.addr());
        updates::start(&services, sending.checks(&services), data.path());
        let sender = sending.start(&services, smtp);
        let control = Control::start(data.path(), &services, &sender, drivers.imapd())?;
        let mut bound = Vec::new();
        let mut accepting = Vec::new();
        for (endpoint, socket) in sockets {
            let (listener, service) = (endpoint.listener.clone(), endpoint.service);
            let addr = socket.addr();
            tracing::debug!(listener, %service, %addr, "listening");
            bound.push(Bound { listener, service, addr, http: endpoint.http.clone() });
            accepting.push(drivers.accept(endpoint, socket));
        }
        background::start(&services, certs);
        tracing::error!(target: PRINT, version = crate::VERSION, "ready to serve");
        Ok(Self { services, bound, accepting, control, sender, data })
    }

    /// What is listened on, in the order of the configuration.
    #[must_use]
    pub fn bound(&self) -> &[Bound] {
        &self.bound
    }

    /// The first address that a service is offered on.
    #[must_use]
    pub fn address(&self, service: Service) -> Option<SocketAddr> {
        self.bound.iter().find(|bound| bound.service == service).map(|bound| bound.addr)
    }

    /// The first address where this is served by HTTP, with or without TLS.
    #[must_use]
    pub fn http_address(&self, service: HttpService) -> Option<SocketAddr> {
        let serves = |bound: &&Bound| {
            bound.http.as_ref().is_some_and(|http| http.services.contains(&service))
        };
        self.bound.iter().find(serves).map(|bound| bound.addr)
    }

    /// What the drivers of this server share.
    #[must_use]
    pub fn services(&self) -> &Services {
        &self.services
    }

    /// What sends its mail.
    #[must_use]
    pub fn sender(&self) -> &Sender {
        &self.sender
    }

    /// The data directory.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        self.data.path()
    }

    /// Whether connections are accepted on all sockets still.
    #[must_use]
    pub fn is_accepting(&self) -> bool {
        !self.accepting.iter().any(JoinHandle::is_finished)
    }

    /// Resolves when somebody asked by the control socket to end the server.
    pub async fn stop_asked(&self) {
        self.control.stop_asked().await;
    }

    /// As [`Server::shutdown`], when another process goes on with the sockets: sessions that were
    /// just accepted get [`HAND_OVER_WAIT`] to begin, so that nobody is greeted with a good-bye.
    pub async fn hand_over(mut self) -> ShutdownReport {
        self.services.supervisor.stop_accepting();
        for task in self.accepting.drain(..) {
            let _ended = task.await;
        }
        // On a busy machine some may not even have begun: their time runs from then.
        for _ in 0..BEGIN_LOOKS_MAX {
            if self.services.supervisor.have_all_begun() {
                break;
            }
            tokio::time::sleep(BEGIN_PAUSE).await;
        }
        tokio::time::sleep(HAND_OVER_WAIT).await;
        self.shutdown().await
    }

    /// Stops: accepts no more, lets sessions end for up to [`SHUTDOWN_WAIT`], drops the rest, and
    /// removes the control socket.
    pub async fn shutdown(self) -> ShutdownReport {
        self.shutdown_within(SHUTDOWN_WAIT).await
    }

    /// As [`Server::shutdown`], but sessions may take so long.
    pub async fn shutdown_within(self, wait: Duration) -> ShutdownReport {
        let Self { services, accepting, control, sender, data, bound: _ } = self;
        let report = services.supervisor.shutdown(wait).await;
        for task in accepting {
            // Ends with the supervisor; a panic in it was reported by its hook.
            let _ended = task.await;
        }
        let store = services.store.clone();
        drop((services, sender));
        // Accounts that nobody uses any more are written back and closed.
        blocking(move || drop(store)).await;
        // By its path, which is the next server's as soon as the directory is free.
        control.remove();
        drop(data);
        // Those who asked for the end hear of it when all is free.
        drop(control);
        tracing::info!(killed = report.killed, "stopped");
        report
    }
}

/// All services on all addresses of the configuration.
fn endpoints(services: &Services, certs: &ListenerCerts, ports: Ports) -> Vec<Endpoint> {
    let config = services.config.snapshot();
    let mut endpoints = Vec::new();
    for (name, listener) in &config.statics.listeners {
        for service in Service::ALL {
            for (port, http) in service.ports(&config, listener) {
                let port = if ports == Ports::Free { 0 } else { port };
                let clock = Arc::clone(&services.clock);
                let tls = certs.acceptor(name, listener, service, http.as_ref(), clock);
                endpoints.extend(listener.ips.iter().map(|ip| Endpoint {
                    listener: name.clone(),
                    service,
                    addr: SocketAddr::new(*ip, port),
                    tls: tls.clone(),
                    hostname: config.listener_hostname(listener).clone(),
                    settings: listener.clone(),
                    http: http.clone(),
                }));
            }
        }
    }
    endpoints
}

/// Whether `::1` failed since the machine has no IPv6.
fn is_missing_ipv6(error: &BindError) -> bool {
    /// `EAFNOSUPPORT` on Linux.
    const FAMILY_NOT_SUPPORTED: i32 = 97;
    let is_loopback = matches!(error.addr.ip(), IpAddr::V6(ip) if ip.is_loopback());
    let is_missing = error.source.kind() == io::ErrorKind::AddrNotAvailable
        || error.source.raw_os_error() == Some(FAMILY_NOT_SUPPORTED);
    is_loopback && is_missing
}

/// Reads the certificates that the configuration names, to find faults in them. Blocks.
///
/// # Errors
///
/// The first fault.
pub fn check_certificates(config: &Path) -> Result<()> {
    check_passed_certificates(config, (NamedFiles::Check, PassedFiles::default()))
}

/// As [`check_certificates`], in a process that some of the named files were passed to.
pub(crate) fn check_passed_certificates(
    config: &Path,
    files: (NamedFiles, PassedFiles),
) -> Result<()> {
    let now = SystemClock::new().now();
    let loaded = Live::load_passed(config, files.0, files.1, now);
    let (live, _) = loaded.map_err(|faults| anyhow!("{}", faults_text(&faults)))?;
    ListenerCerts::load(&live.snapshot()).map(drop).context("load certificates")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_missing(addr: &str, errno: i32, want: bool) {
        let source = io::Error::from_raw_os_error(errno);
        let error = BindError { addr: addr.parse().unwrap(), source };
        assert_eq!(is_missing_ipv6(&error), want, "{addr} {errno}");
    }

    #[test]
    fn only_a_missing_ipv6_loopback_is_forgiven() {
        const EACCES: i32 = 13;
        const EAFNOSUPPORT: i32 = 97;
        const EADDRINUSE: i32 = 98;
        const EADDRNOTAVAIL: i32 = 99;
        check_missing("[::1]:25", EADDRNOTAVAIL, true);
        check_missing("[::1]:25", EAFNOSUPPORT, true);
        check_missing("[::1]:25", EADDRINUSE, false);
        check_missing("[::1]:25", EACCES, false);
        check_missing("[2001:db8::1]:25", EADDRNOTAVAIL, false);
        check_missing("127.0.0.1:25", EADDRNOTAVAIL, false);
    }
}
