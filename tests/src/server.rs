//! A server to test.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use mox::ctl::Client as Control;
use mox::localserve::{CERT_FILE, InitOptions, init};
use mox::server::{Options, Server};
use mox::service::Service;
use mox::services::Mode;
use mox_dns::{FakeDns, Resolver};
use mox_store::Disk;
use tempfile::TempDir;

use crate::client::Client;

/// How long sessions may take to end: no test that passes waits for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// A running server in a directory of its own.
pub(crate) struct TestServer {
    server: Server,
    dir: TempDir,
}

fn data_dir(dir: &TempDir) -> PathBuf {
    dir.path().join("localserve")
}

/// What there is in DNS for a server that is not a localserve: the domain that tests send from.
pub(crate) fn dns() -> FakeDns {
    let mut dns = FakeDns::new();
    dns.add_ips("client.example", &["127.0.0.1"]).add_ptr("127.0.0.1", "client.example");
    dns.add_txt("client.example", "v=spf1 a -all");
    dns
}

impl TestServer {
    /// A fresh localserve.
    pub(crate) async fn start() -> Self {
        Self::start_as(Mode::Localserve).await
    }

    /// A fresh server of either kind, with the configuration of localserve.
    pub(crate) async fn start_as(mode: Mode) -> Self {
        let dir = tempfile::tempdir().unwrap();
        init(&data_dir(&dir), &InitOptions::default()).unwrap();
        Self::start_in(dir, mode).await
    }

    /// A fresh localserve with a changed mox.conf.
    pub(crate) async fn start_with(edit: impl FnOnce(String) -> String) -> Self {
        let dir = tempfile::tempdir().unwrap();
        init(&data_dir(&dir), &InitOptions::default()).unwrap();
        Self::edit(&dir, "mox.conf", edit);
        Self::start_in(dir, Mode::Localserve).await
    }

    /// A fresh localserve with both files changed.
    pub(crate) async fn start_with_both(
        edit_static: impl FnOnce(String) -> String,
        edit_dynamic: impl FnOnce(String) -> String,
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        init(&data_dir(&dir), &InitOptions::default()).unwrap();
        Self::edit(&dir, "mox.conf", edit_static);
        Self::edit(&dir, "domains.conf", edit_dynamic);
        Self::start_in(dir, Mode::Localserve).await
    }

    fn edit(dir: &TempDir, file: &str, edit: impl FnOnce(String) -> String) {
        let path = data_dir(dir).join(file);
        let conf = std::fs::read_to_string(&path).unwrap();
        let edited = edit(conf.clone());
        assert_ne!(conf, edited);
        std::fs::write(&path, edited).unwrap();
    }

    /// A fresh localserve with these accounts, besides or among its own; each has the address of its name.
    pub(crate) async fn start_with_accounts(names: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        init(&data_dir(&dir), &InitOptions::default()).unwrap();
        let mut accounts = String::from("Accounts:\n");
        for name in names.iter().filter(|name| **name != "mox") {
            let destination = format!("{name}@localhost: nil");
            accounts += &format!("\t{name}:\n\t\tDomain: localhost\n");
            accounts += &format!("\t\tDestinations:\n\t\t\t{destination}\n");
        }
        if names.iter().any(|name| *name != "mox") {
            Self::edit(&dir, "domains.conf", |text| text.replacen("Accounts:\n", &accounts, 1));
        }
        Self::start_in(dir, Mode::Localserve).await
    }

    /// A fresh localserve whose accounts are on this disk.
    pub(crate) async fn start_on(disk: Arc<dyn Disk>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        init(&data_dir(&dir), &InitOptions::default()).unwrap();
        let (options, _) = Options::load(Mode::Localserve, &data_dir(&dir), None).unwrap();
        let options = Options { disk, ..options.on_free_ports() };
        Self { server: Server::start(options).await.unwrap(), dir }
    }

    /// A fresh server that is no localserve, with this DNS.
    pub(crate) async fn start_with_dns(resolver: Arc<dyn Resolver>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        init(&data_dir(&dir), &InitOptions::default()).unwrap();
        Self::start_asking(dir, Mode::Serve, Some(resolver)).await
    }

    /// A fresh server for the internet with these domains and accounts, among them localserve's.
    pub(crate) async fn serving(domains_conf: &str, dns: FakeDns) -> Self {
        let dir = tempfile::tempdir().unwrap();
        init(&data_dir(&dir), &InitOptions::default()).unwrap();
        std::fs::write(data_dir(&dir).join("domains.conf"), domains_conf).unwrap();
        Self::start_asking(dir, Mode::Serve, Some(Arc::new(dns))).await
    }

    async fn start_in(dir: TempDir, mode: Mode) -> Self {
        // A test asks nobody outside.
        let resolver: Option<Arc<dyn Resolver>> = match mode {
            Mode::Serve => Some(Arc::new(dns())),
            Mode::Localserve => None,
        };
        Self::start_asking(dir, mode, resolver).await
    }

    async fn start_asking(dir: TempDir, mode: Mode, resolver: Option<Arc<dyn Resolver>>) -> Self {
        let (options, _) = Options::load(mode, &data_dir(&dir), None).unwrap();
        let options = Options { resolver, ..options.on_free_ports() };
        let server = Server::start(options).await.unwrap();
        Self { server, dir }
    }

    /// Stops it in order and starts it anew.
    pub(crate) async fn restart(self) -> Self {
        let Self { server, dir } = self;
        assert_eq!(server.shutdown_within(PATIENCE).await.killed, 0);
        Self::start_in(dir, Mode::Localserve).await
    }

    /// Checks that nothing went wrong inside, and stops it.
    pub(crate) async fn stop(self) {
        let Self { server, dir: _dir } = self;
        assert_eq!(server.services().supervisor.panics(), 0, "a connection panicked");
        let faults = server.services().store.account("mox").unwrap().check().unwrap();
        assert_eq!(faults, Vec::<String>::new());
        assert_eq!(server.shutdown_within(PATIENCE).await.killed, 0, "a session did not end");
    }

    pub(crate) fn server(&self) -> &Server {
        &self.server
    }

    /// The directory with configuration and data.
    pub(crate) fn path(&self) -> PathBuf {
        data_dir(&self.dir)
    }

    /// The certificate of the server.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.path().join(CERT_FILE)
    }

    /// A connection without TLS, whatever the port wants; nothing is read yet.
    pub(crate) async fn connect_plain(&self, service: Service) -> Client {
        Client::connect(self.server.address(service).unwrap()).await
    }

    /// A connection, TLS where that comes first; nothing is read yet.
    pub(crate) async fn connect(&self, service: Service) -> Client {
        let client = Client::connect(self.server.address(service).unwrap()).await;
        if service.is_tls_immediate() {
            client.start_tls(&self.certificate()).await
        } else {
            client
        }
    }

    /// An SMTP session after its EHLO.
    pub(crate) async fn smtp(&self, service: Service) -> Client {
        let mut client = self.connect(service).await;
        client.expect("220 ").await;
        client.ehlo().await;
        client
    }

    /// An IMAP session after its greeting.
    pub(crate) async fn imap(&self) -> Client {
        let mut client = self.connect(Service::Imap).await;
        client.expect("* OK ").await;
        client
    }

    /// An IMAP session that is logged in and has the Inbox selected.
    pub(crate) async fn inbox(&self) -> Client {
        let mut client = self.imap().await;
        client.log_in("moxmoxmox").await;
        client.ask("s1 SELECT Inbox").await;
        client
    }

    /// The control socket.
    pub(crate) async fn control(&self) -> Control {
        Control::connect(Path::new(&self.path())).await.unwrap()
    }
}
