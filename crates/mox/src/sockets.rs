//! Sockets that listen before the server starts: bound with rights that it does not have, or made
//! by a service manager that started it when somebody connected.
//!
//! They come as the service manager passes them (the variables `LISTEN_FDS` and `LISTEN_PID`), from
//! descriptor 3 on. Each is found by the address that it is bound to, so that names of sockets and
//! their order mean nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use listenfd::ListenFd;
use mox_config::Config;
use mox_net::{BindError, Listener};
use parking_lot::Mutex;

use crate::service::Service;

/// The most sockets that are taken over. Ours; a configuration with more addresses has a fault.
pub const SOCKETS_MAX: usize = 500;

/// Sockets that listen, by their address. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Sockets(Arc<Mutex<BTreeMap<SocketAddr, TcpListener>>>);

/// All addresses that a configuration listens on, each once.
#[must_use]
pub fn wanted(config: &Config) -> BTreeSet<SocketAddr> {
    let mut wanted = BTreeSet::new();
    for listener in config.statics.listeners.values() {
        let ports = Service::ALL.iter().flat_map(|service| service.ports(config, listener));
        for (port, _) in ports {
            wanted.extend(listener.ips.iter().map(|ip| SocketAddr::new(*ip, port)));
        }
    }
    wanted
}

impl Sockets {
    /// Takes the first `count` sockets that were passed to this process.
    ///
    /// # Errors
    ///
    /// If one does not listen for TCP, two have the same address, or there are more than
    /// [`SOCKETS_MAX`].
    pub fn take(passed: &mut ListenFd, count: usize) -> Result<Self> {
        if count > SOCKETS_MAX {
            bail!("{count} sockets were passed, at most {SOCKETS_MAX} are taken");
        }
        let sockets = Self::default();
        for index in 0..count {
            let socket = passed.take_tcp_listener(index);
            let socket = socket
                .with_context(|| format!("socket {index} of those passed, in LISTEN_FDS"))?
                .with_context(|| format!("socket {index} of those passed was taken twice"))?;
            sockets.add(socket).with_context(|| format!("socket {index} of those passed"))?;
        }
        Ok(sockets)
    }

    fn add(&self, socket: TcpListener) -> Result<()> {
        let addr = socket.local_addr().context("address of socket")?;
        if self.0.lock().insert(addr, socket).is_some() {
            bail!("there are two for {addr}");
        }
        Ok(())
    }

    /// Makes those sockets of the configuration that are not there yet.
    ///
    /// # Errors
    ///
    /// The first address that cannot be listened on, with what to do about it.
    pub fn bind_missing(&self, config: &Config) -> Result<()> {
        let wanted = wanted(config);
        if wanted.len() > SOCKETS_MAX {
            bail!(
                "the configuration listens on {} addresses, at most {SOCKETS_MAX} are possible",
                wanted.len()
            );
        }
        // All or none: nobody would accept on those that were bound before a failure.
        let missing = self.missing(&wanted).into_iter();
        let bound: Result<Vec<_>, _> = missing.map(Listener::bind_std).collect();
        bound.map_err(bind_fault)?.into_iter().try_for_each(|socket| self.add(socket))
    }

    /// The addresses that no socket is for.
    pub fn missing(&self, wanted: &BTreeSet<SocketAddr>) -> Vec<SocketAddr> {
        let sockets = self.0.lock();
        let mut free: BTreeSet<SocketAddr> = sockets.keys().copied().collect();
        let missing = wanted.iter().filter(|addr| match serving(**addr, &free) {
            Some(found) => !free.remove(&found),
            None => true,
        });
        missing.copied().collect()
    }

    /// Copies of all, in the order of their addresses.
    ///
    /// # Errors
    ///
    /// If there are no more descriptors.
    pub fn duplicates(&self) -> io::Result<Vec<OwnedFd>> {
        self.0.lock().values().map(|socket| socket.try_clone().map(OwnedFd::from)).collect()
    }

    /// Closes sockets that the configuration has no use for; returns their addresses.
    pub fn close_unwanted(&self, wanted: &BTreeSet<SocketAddr>) -> Vec<SocketAddr> {
        let mut sockets = self.0.lock();
        let mut unwanted: BTreeSet<SocketAddr> = sockets.keys().copied().collect();
        for addr in wanted {
            if let Some(found) = serving(*addr, &unwanted) {
                unwanted.remove(&found);
            }
        }
        sockets.retain(|addr, _| !unwanted.contains(addr));
        unwanted.into_iter().collect()
    }

    /// Listens on an address, with the socket that was passed for it if there is one.
    pub(crate) fn listen(&self, addr: SocketAddr) -> Result<Listener, BindError> {
        match self.remove(addr) {
            Some(socket) => Listener::from_std(socket).map_err(|source| BindError { addr, source }),
            None => Listener::bind(addr),
        }
    }

    fn remove(&self, addr: SocketAddr) -> Option<TcpListener> {
        // Any free port is asked for: what was passed is for none.
        if addr.port() == 0 {
            return None;
        }
        let mut sockets = self.0.lock();
        let found = serving(addr, &sockets.keys().copied().collect())?;
        sockets.remove(&found)
    }

    /// Logs which sockets nobody took: connections to them would wait for ever.
    pub(crate) fn warn_of_unused(&self) {
        for (addr, _closed) in std::mem::take(&mut *self.0.lock()) {
            tracing::warn!(%addr, "a socket was passed that no listener of mox.conf is for: closed");
        }
    }
}

/// The socket for an address: the one bound to it, or else to all addresses of its family, or
/// else to all of both, as service managers do if they are told a port alone.
fn serving(addr: SocketAddr, sockets: &BTreeSet<SocketAddr>) -> Option<SocketAddr> {
    let (any4, any6) = (IpAddr::from([0, 0, 0, 0]), IpAddr::from(Ipv6Addr::UNSPECIFIED));
    let families = if addr.is_ipv4() { [addr.ip(), any4, any6] } else { [addr.ip(), any6, any6] };
    let mut candidates = families.map(|ip| SocketAddr::new(ip, addr.port())).into_iter();
    candidates.find(|candidate| sockets.contains(candidate))
}

/// Says what to do about a port that cannot be had.
pub(crate) fn bind_fault(error: BindError) -> anyhow::Error {
    let advice = match error.source.kind() {
        io::ErrorKind::AddrInUse => {
            "another program uses the port: stop it, or change Port in mox.conf"
        }
        io::ErrorKind::PermissionDenied => {
            "ports below 1024 need a right: run \"setcap cap_net_bind_service=+ep\" on the \
             program, set AmbientCapabilities=CAP_NET_BIND_SERVICE in its systemd unit, or change \
             Port in mox.conf"
        }
        io::ErrorKind::AddrNotAvailable => {
            "this machine does not have the address: change IPs in mox.conf"
        }
        _ => "see IPs and Port in mox.conf",
    };
    anyhow::Error::new(error).context(advice)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[track_caller]
    fn check(addr: &str, sockets: &[&str], want: Option<&str>) {
        let sockets = sockets.iter().map(|addr| addr.parse().unwrap()).collect();
        let found = serving(addr.parse().unwrap(), &sockets);
        assert_eq!(found, want.map(|addr| addr.parse().unwrap()), "{addr}");
    }

    #[test]
    fn a_socket_is_found_by_its_address() {
        let all = ["192.0.2.1:25", "0.0.0.0:25", "[::]:25", "[::]:143"];
        check("192.0.2.1:25", &all, Some("192.0.2.1:25"));
        check("192.0.2.2:25", &all, Some("0.0.0.0:25"));
        check("[2001:db8::1]:25", &all, Some("[::]:25"));
        // One for both families.
        check("192.0.2.1:143", &all, Some("[::]:143"));
        check("192.0.2.1:587", &all, None);
        check("[::1]:25", &["127.0.0.1:25", "0.0.0.0:25"], None);
        check("192.0.2.1:25", &[], None);
    }

    fn sockets(count: usize) -> (Sockets, Vec<SocketAddr>) {
        let sockets = Sockets::default();
        let mut addrs = Vec::new();
        for _ in 0..count {
            // An address of its own: nobody takes the port when it is given back.
            let addr = format!("127.3.1.{count}:0").parse().unwrap();
            let socket = Listener::bind_std(addr).unwrap();
            addrs.push(socket.local_addr().unwrap());
            sockets.add(socket).unwrap();
        }
        (sockets, addrs)
    }

    #[test]
    fn what_is_missing_is_known_and_what_is_not_wanted_is_closed() {
        let (sockets, addrs) = sockets(3);
        let other: SocketAddr = "192.0.2.1:25".parse().unwrap();
        let wanted = BTreeSet::from([addrs[0], addrs[1], other]);
        assert_eq!(sockets.missing(&wanted), [other]);
        assert_eq!(sockets.duplicates().unwrap().len(), 3);
        assert_eq!(sockets.close_unwanted(&wanted), [addrs[2]]);
        assert!(std::net::TcpStream::connect(addrs[2]).is_err());
        assert!(std::net::TcpStream::connect(addrs[0]).is_ok());
        assert_eq!(sockets.missing(&BTreeSet::from([addrs[2]])), [addrs[2]]);
    }

    #[tokio::test]
    async fn a_passed_socket_is_used_once_and_port_0_takes_none() {
        let (sockets, addrs) = sockets(1);
        let free = sockets.listen("127.0.0.1:0".parse().unwrap()).unwrap();
        assert_ne!(free.addr(), addrs[0]);
        let ours = sockets.listen(addrs[0]).unwrap();
        assert_eq!(ours.addr(), addrs[0]);
        let error = sockets.listen(addrs[0]).unwrap_err();
        assert_eq!(error.source.kind(), io::ErrorKind::AddrInUse);
        sockets.warn_of_unused();
    }

    /// Bug: those that were bound before one that could not be stayed, and took connections that nobody
    /// answered.
    #[test]
    fn all_sockets_are_bound_or_none() {
        let taken = Listener::bind_std("127.0.0.2:0".parse().unwrap()).unwrap();
        let port = taken.local_addr().unwrap().port();
        let statics = format!(
            "DataDir: data\nLogLevel: info\nHostname: mx.example\n\
             Listeners:\n\tlocal:\n\t\tIPs:\n\t\t\t- 127.0.0.1\n\t\t\t- 127.0.0.2\n\t\tSMTP:\n\
             \t\t\tEnabled: true\n\t\t\tPort: {port}\n\t\t\tNoSTARTTLS: true\n\
             Postmaster:\n\tAccount: a\n\tMailbox: P\n"
        );
        let domains = "Domains:\n\ta.example: nil\nAccounts:\n\ta:\n\t\tDomain: a.example\n\
            \t\tDestinations:\n\t\t\ta@a.example: nil\n";
        let config = Config::parse(Path::new("/etc/mox"), &statics, domains).unwrap();
        assert_eq!(wanted(&config).len(), 2);
        let sockets = Sockets::default();
        assert!(sockets.bind_missing(&config).is_err());
        assert_eq!(sockets.duplicates().unwrap().len(), 0);
    }

    #[test]
    fn two_sockets_for_one_address_are_a_fault() {
        let (sockets, _) = sockets(1);
        let copy = TcpListener::from(sockets.duplicates().unwrap().remove(0));
        assert!(sockets.add(copy).unwrap_err().to_string().contains("two for"));
    }
}
