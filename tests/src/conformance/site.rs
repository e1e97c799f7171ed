//! A server with an account for each case.

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU16, Ordering};

use mox::localserve::{CERT_FILE, InitOptions, init};
use mox::server::{Options, Server};
use mox::service::Service;
use mox::services::Mode;
use mox_login::set_password;
use mox_sasl::Password;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use super::peer::Peer;

/// The password of every account.
pub(super) const PASSWORD: &str = "correct horse";

/// A server on free ports of loopback, on threads of its own.
pub(super) struct Site {
    runtime: Runtime,
    server: Server,
    dir: TempDir,
    taken: AtomicU16,
}

/// The account of one case.
pub(super) struct Subject<'s> {
    site: &'s Site,
    number: u16,
}

fn data_dir(dir: &TempDir) -> PathBuf {
    dir.path().join("site")
}

impl Site {
    /// A server with so many accounts.
    pub(super) fn start(accounts: usize) -> Self {
        Self::start_with(&vec![String::new(); accounts])
    }

    /// A server with an account for each of these, which are more lines of its configuration.
    pub(super) fn start_with(accounts: &[String]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = data_dir(&dir);
        init(&path, &InitOptions::default()).unwrap();
        let mut more = String::from("Accounts:\n");
        for (number, settings) in accounts.iter().enumerate() {
            let address = format!("c{number}@localhost");
            writeln!(more, "\tc{number}:\n\t\tDomain: localhost").unwrap();
            writeln!(more, "{settings}\t\tDestinations:\n\t\t\t{address}: nil").unwrap();
        }
        let domains = fs::read_to_string(path.join("domains.conf")).unwrap();
        fs::write(path.join("domains.conf"), domains.replacen("Accounts:\n", &more, 1)).unwrap();
        // What is refused only where the configuration says so is not what the standard forbids.
        let statics = fs::read_to_string(path.join("mox.conf")).unwrap();
        let lenient = statics.replace("Pedantic: true", "Pedantic: false");
        assert_ne!(lenient, statics);
        fs::write(path.join("mox.conf"), lenient).unwrap();
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (options, _) = Options::load(Mode::Localserve, &path, None).unwrap();
        let server = runtime.block_on(Server::start(options.on_free_ports())).unwrap();
        Self { runtime, server, dir, taken: AtomicU16::new(0) }
    }

    /// An account that no other case has.
    pub(super) fn subject(&self) -> Subject<'_> {
        let number = self.taken.fetch_add(1, Ordering::Relaxed);
        let services = self.server.services();
        let account = services.store.account(&format!("c{number}")).unwrap();
        let password = Password::for_storing(PASSWORD).unwrap();
        set_password(&account, &password, &*services.rng).wait().unwrap();
        Subject { site: self, number }
    }

    /// Checks that nothing went wrong inside, and stops it.
    pub(super) fn stop(self) {
        let Self { runtime, server, dir: _dir, taken } = self;
        let services = server.services();
        assert_eq!(services.supervisor.panics(), 0, "a connection panicked");
        for number in 0..taken.into_inner() {
            let account = services.store.account(&format!("c{number}")).unwrap();
            assert_eq!(account.check().unwrap(), Vec::<String>::new(), "account {number}");
        }
        let report = runtime.block_on(server.shutdown_within(crate::server::PATIENCE));
        assert_eq!(report.killed, 0, "a session did not end");
    }

    fn address(&self, service: Service) -> SocketAddr {
        self.server.address(service).unwrap()
    }
}

impl Subject<'_> {
    /// The name to log in with.
    pub(super) fn user(&self) -> String {
        format!("c{}@localhost", self.number)
    }

    /// An address of loopback that only this case connects from: failed logins of one case are
    /// not to keep others out.
    fn own_ip(&self) -> Ipv4Addr {
        let [high, low] = self.number.to_be_bytes();
        Ipv4Addr::new(127, 1 + high, low, 1)
    }

    /// A connection of which nothing has been read.
    pub(super) fn dial(&self) -> Peer {
        Peer::dial(self.own_ip(), self.site.address(Service::Imap))
    }

    /// A connection that has read its greeting.
    pub(super) fn connect(&self) -> Peer {
        let mut peer = self.dial();
        let greeting = peer.line();
        assert!(greeting.starts_with("* OK "), "{greeting}");
        peer
    }

    /// A connection to the port where TLS comes first, its greeting unread.
    pub(super) fn dial_tls(&self) -> Peer {
        let mut peer = Peer::dial(self.own_ip(), self.site.address(Service::Imaps));
        self.start_tls(&mut peer);
        peer
    }

    /// Begins TLS on a connection.
    pub(super) fn start_tls(&self, peer: &mut Peer) {
        peer.start_tls(&data_dir(&self.site.dir).join(CERT_FILE));
    }

    /// A connection that is logged in.
    pub(super) fn login(&self) -> Peer {
        let mut peer = self.connect();
        peer.ok(&format!("LOGIN {} \"{PASSWORD}\"", self.user()));
        peer
    }

    /// A connection that is logged in and speaks IMAP4rev2.
    pub(super) fn rev2(&self) -> Peer {
        let mut peer = self.login();
        peer.ok("ENABLE IMAP4rev2");
        peer.is_rev2 = true;
        peer
    }

    /// A connection that has selected INBOX.
    pub(super) fn inbox(&self) -> Peer {
        let mut peer = self.login();
        peer.ok("SELECT INBOX");
        peer
    }

    /// The same with IMAP4rev2.
    pub(super) fn inbox_rev2(&self) -> Peer {
        let mut peer = self.rev2();
        peer.ok("SELECT INBOX");
        peer
    }

    /// INBOX with so many messages, selected.
    pub(super) fn filled(&self, count: usize) -> Peer {
        let mut peer = self.login();
        peer.fill("INBOX", count);
        peer.ok("SELECT INBOX");
        peer
    }

    /// The same with IMAP4rev2.
    pub(super) fn filled_rev2(&self, count: usize) -> Peer {
        let mut peer = self.rev2();
        peer.fill("INBOX", count);
        peer.ok("SELECT INBOX");
        peer
    }
}
