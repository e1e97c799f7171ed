//! A server with two accounts, and clients that speak to it line by line.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use mox_base::{Clock, MailboxName, Rng};
use mox_config::{Live, NamedFiles};
use mox_imapd::{Imapd, PROGRESS_WAIT, Port, Services, UrlSealer};
use mox_login::{Logins, set_password};
use mox_net::tls::TlsAcceptor;
use mox_net::trace::TraceSwitch;
use mox_net::{AuthFailures, Conn, ConnectionLimits, Incoming};
use mox_sasl::Password;
use mox_store::{Account, ClientKeys, Destination, NewMessage, Policy, Store};
use mox_testkit::{ManualClock, TestRng};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const MOX_CONF: &str = "DataDir: data\nLogLevel: info\nHostname: mail.example.org\n\
    Listeners:\n\tlocal:\n\t\tIPs:\n\t\t\t- 127.0.0.1\n\
    Postmaster:\n\tAccount: mjl\n\tMailbox: Postmaster\n";
const DOMAINS_CONF: &str = "Domains:\n\texample.org: nil\nAccounts:\n\
    \tmjl:\n\t\tDomain: example.org\n\t\tDestinations:\n\t\t\tmjl@example.org: nil\n\
    \tother:\n\t\tIMAPCapabilitiesDisabled:\n\t\t\t- IDLE\n\t\t\t- COMPRESS=DEFLATE\n\
    \t\tDomain: example.org\n\t\tDestinations:\n\t\t\tother@example.org: nil\n\
    \toff:\n\t\tLoginDisabled: on leave\n\t\tDomain: example.org\n\
    \t\tDestinations:\n\t\t\toff@example.org: nil\n";
pub(crate) const HOSTNAME: &str = "mail.example.org";
pub(crate) const PASSWORD: &str = "correct horse";

/// What differs between servers.
pub(crate) struct Setup {
    pub(crate) quota_bytes: Option<u64>,
    pub(crate) limits: ConnectionLimits,
    pub(crate) failures: AuthFailures,
    pub(crate) port: Port,
    pub(crate) progress_wait: Duration,
}

impl Default for Setup {
    fn default() -> Self {
        let hostname = HOSTNAME.to_owned();
        let port = Port { plaintext_allowed: true, hostname, ..Port::default() };
        let (limits, failures) = (ConnectionLimits::unlimited(), AuthFailures::new());
        Self { quota_bytes: None, limits, failures, port, progress_wait: PROGRESS_WAIT }
    }
}

impl Setup {
    pub(crate) fn with_tls(tls: TlsAcceptor, is_tls_immediate: bool) -> Self {
        let port = Port { tls: Some(tls), is_tls_immediate, ..Port::default() };
        Self { port, ..Self::default() }
    }
}

pub(crate) struct Server {
    pub(crate) imapd: Imapd,
    pub(crate) port: Port,
    pub(crate) account: Account,
    pub(crate) keys: Arc<ClientKeys>,
    pub(crate) stopping: CancellationToken,
    pub(crate) clock: ManualClock,
    pub(crate) dir: TempDir,
}

pub(crate) fn server() -> Server {
    server_with(Setup::default())
}

pub(crate) fn server_with(setup: Setup) -> Server {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("mox.conf"), MOX_CONF).unwrap();
    std::fs::write(dir.path().join("domains.conf"), DOMAINS_CONF).unwrap();
    let manual = ManualClock::at(mox_base::UnixSeconds(1_795_164_932));
    let clock: Arc<dyn Clock> = Arc::new(manual.clone());
    let live = Live::load(dir.path(), NamedFiles::Skip, clock.now()).unwrap().0;
    let mailboxes = Policy::default_mailboxes();
    let quota_bytes = setup.quota_bytes;
    let policy = Policy { initial_mailboxes: mailboxes, quota_bytes, ..Policy::default() };
    let store = Store::new(dir.path(), Arc::clone(&clock), Arc::new(policy));
    let rng: Arc<dyn Rng> = Arc::new(TestRng::new(1));
    let password = Password::for_storing(PASSWORD).unwrap();
    for name in ["mjl", "other", "off"] {
        set_password(&store.account(name).unwrap(), &password, &*rng).wait().unwrap();
    }
    let account = store.account("mjl").unwrap();
    let keys = Arc::new(ClientKeys::open(dir.path()).unwrap());
    let logins = Logins::new(
        Arc::new(live),
        store,
        Arc::clone(&keys),
        Arc::clone(&clock),
        rng,
        [9; 32],
        setup.failures,
    );
    let services = Services {
        logins,
        clock,
        limits: setup.limits,
        trace: TraceSwitch::default(),
        is_pedantic: false,
        progress_wait: setup.progress_wait,
        rng: Arc::<TestRng>::new(TestRng::new(2)),
        sealer: UrlSealer::new(&[8; 32]),
        version: "0.0.1".to_owned(),
    };
    let stopping = CancellationToken::new();
    Server {
        imapd: Imapd::new(services),
        port: setup.port,
        account,
        keys,
        stopping,
        clock: manual,
        dir,
    }
}

/// What a client speaks over.
pub(crate) trait Io: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

impl Server {
    /// A connection of which nothing is known yet; `buffer_bytes` are on the way at most.
    pub(crate) fn dial(&self, buffer_bytes: usize) -> Client {
        let (client, server) = tokio::io::duplex(buffer_bytes);
        let conn = Conn::memory(server);
        assert_eq!(conn.peer_ip(), IpAddr::V4(Ipv4Addr::new(127, 0, 0, 10)));
        let incoming = Incoming { conn, cid: 1, stopping: self.stopping.clone() };
        let task = tokio::spawn(self.imapd.clone().serve(incoming, self.port.clone()));
        Client { stream: BufReader::new(Box::new(client)), task, number: 0 }
    }

    /// A client that has read the greeting.
    pub(crate) async fn connect(&self) -> Client {
        let mut client = self.dial(16 << 10);
        assert!(client.line().await.starts_with("* OK [CAPABILITY IMAP4rev2 "));
        client
    }

    /// A client that is logged in.
    pub(crate) async fn login(&self) -> Client {
        let mut client = self.connect().await;
        client.ok(&format!("LOGIN mjl@example.org \"{PASSWORD}\"")).await;
        client
    }

    /// A client that has selected the Inbox.
    pub(crate) async fn inbox(&self) -> Client {
        let mut client = self.login().await;
        client.ok("SELECT Inbox").await;
        client
    }

    pub(crate) fn deliver(&self, content: &[u8]) {
        let content = self.account.stage(Vec::new(), &mut std::io::Cursor::new(content)).unwrap();
        let message = NewMessage {
            content,
            flags: mox_base::Flags::NONE,
            keywords: Vec::new(),
            received: None,
            envelope: None,
        };
        let destination = Destination { mailbox: MailboxName::inbox(), create: false };
        self.account.add(destination, vec![message]).wait().unwrap();
    }

    pub(crate) fn check(&self) {
        assert_eq!(self.account.check().unwrap(), Vec::<String>::new());
    }

    /// The files below the account's folder that are not the database's own.
    pub(crate) fn body_files(&self) -> Vec<String> {
        let mut folders = vec![self.dir.path().join("accounts/mjl")];
        let mut files = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let entry = entry.unwrap();
                let name = entry.file_name().into_string().unwrap();
                if entry.file_type().unwrap().is_dir() {
                    folders.push(entry.path());
                } else if !name.starts_with("index.db") {
                    files.push(name);
                }
            }
        }
        files
    }
}

pub(crate) struct Client {
    pub(crate) stream: BufReader<Box<dyn Io>>,
    pub(crate) task: JoinHandle<()>,
    pub(crate) number: u32,
}

/// Longer than anything takes, and no wait in a test that passes.
const PATIENCE: Duration = Duration::from_secs(60 * 60);

impl Client {
    pub(crate) async fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// A line, with what literals it has, without its end; `None` if the server closed instead.
    pub(crate) async fn line_or_end(&mut self) -> Option<String> {
        let mut line = Vec::new();
        loop {
            let read = self.stream.read_until(b'\n', &mut line);
            let count = tokio::time::timeout(PATIENCE, read).await.unwrap().unwrap_or(0);
            if count == 0 {
                assert!(line.is_empty(), "closed after {:?}", String::from_utf8_lossy(&line));
                return None;
            }
            let text = String::from_utf8_lossy(&line).into_owned();
            let Some(size) = text.strip_suffix("}\r\n").and_then(|t| t.rsplit('{').next()) else {
                return Some(text.trim_end_matches("\r\n").to_owned());
            };
            let at = line.len();
            line.resize(at + size.parse::<usize>().unwrap(), 0);
            let read = self.stream.read_exact(&mut line[at..]);
            tokio::time::timeout(PATIENCE, read).await.unwrap().unwrap();
        }
    }

    pub(crate) async fn line(&mut self) -> String {
        self.line_or_end().await.unwrap_or_else(|| panic!("closed"))
    }

    /// Sends a command; returns the untagged lines and the tagged one without its tag.
    pub(crate) async fn command(&mut self, text: &str) -> (Vec<String>, String) {
        self.number += 1;
        let tag = format!("t{}", self.number);
        self.send(&format!("{tag} {text}\r\n")).await;
        self.finish(&tag).await
    }

    pub(crate) async fn finish(&mut self, tag: &str) -> (Vec<String>, String) {
        let mut untagged = Vec::new();
        loop {
            let line = self.line().await;
            match line.strip_prefix(&format!("{tag} ")) {
                Some(reply) => return (untagged, reply.to_owned()),
                None => untagged.push(line),
            }
        }
    }

    /// Sends a command that must succeed; returns the untagged lines.
    pub(crate) async fn ok(&mut self, text: &str) -> Vec<String> {
        let (untagged, reply) = self.command(text).await;
        assert!(reply.starts_with("OK"), "{text}: {reply}");
        untagged
    }

    /// Sends a command that must succeed; returns the text of its reply.
    pub(crate) async fn reply(&mut self, text: &str) -> String {
        let (_, reply) = self.command(text).await;
        assert!(reply.starts_with("OK"), "{text}: {reply}");
        reply
    }

    /// Sends a command that must fail with this.
    pub(crate) async fn fails(&mut self, text: &str, want: &str) {
        let (_, reply) = self.command(text).await;
        assert!(reply.starts_with(want), "{text}: {reply}");
    }

    /// Appends a message to a mailbox.
    pub(crate) async fn append(&mut self, mailbox: &str, message: &str) -> (Vec<String>, String) {
        self.command(&format!("APPEND {mailbox} {{{}+}}\r\n{message}", message.len())).await
    }

    /// Waits for the server to close the connection, and for its task to end.
    pub(crate) async fn closed(mut self) {
        let mut rest = Vec::new();
        let read = self.stream.read_to_end(&mut rest);
        // A peer that vanishes without TLS's goodbye is as good.
        let _end = tokio::time::timeout(PATIENCE, read).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&rest), "");
        drop(self.stream);
        self.task.await.unwrap();
    }

    /// Goes away without a word, and waits for the server to notice.
    pub(crate) async fn vanish(self) {
        drop(self.stream);
        self.task.await.unwrap();
    }
}
