//! A server with one account, and clients that speak to it line by line.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use mox_base::{Clock, MailboxName, Rng};
use mox_config::{Live, NamedFiles};
use mox_imapd::{Imapd, Port, Services};
use mox_login::{Logins, set_password};
use mox_net::trace::TraceSwitch;
use mox_net::{AuthFailures, Conn, ConnectionLimits, Incoming};
use mox_sasl::Password;
use mox_store::{Account, ClientKeys, Destination, NewMessage, Policy, Store};
use mox_testkit::{ManualClock, TestRng};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, DuplexStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const MOX_CONF: &str = "DataDir: data\nLogLevel: info\nHostname: mail.example.org\n\
    Listeners:\n\tlocal:\n\t\tIPs:\n\t\t\t- 127.0.0.1\n\
    Postmaster:\n\tAccount: mjl\n\tMailbox: Postmaster\n";
const DOMAINS_CONF: &str = "Domains:\n\texample.org: nil\nAccounts:\n\
    \tmjl:\n\t\tDomain: example.org\n\t\tDestinations:\n\t\t\tmjl@example.org: nil\n";
pub(crate) const PASSWORD: &str = "correct horse";

pub(crate) struct Server {
    pub(crate) imapd: Imapd,
    pub(crate) account: Account,
    pub(crate) stopping: CancellationToken,
    _dir: TempDir,
}

pub(crate) fn server() -> Server {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("mox.conf"), MOX_CONF).unwrap();
    std::fs::write(dir.path().join("domains.conf"), DOMAINS_CONF).unwrap();
    let manual = ManualClock::at(mox_base::UnixSeconds(1_795_164_932));
    let clock: Arc<dyn Clock> = Arc::new(manual);
    let live = Live::load(dir.path(), NamedFiles::Skip, clock.now()).unwrap().0;
    let mailboxes = Policy::default_mailboxes();
    let policy = Policy { initial_mailboxes: mailboxes, ..Policy::default() };
    let store = Store::new(dir.path(), Arc::clone(&clock), Arc::new(policy));
    let rng: Arc<dyn Rng> = Arc::new(TestRng::new(1));
    let account = store.account("mjl").unwrap();
    let password = Password::for_storing(PASSWORD).unwrap();
    set_password(&account, &password, &*rng).wait().unwrap();
    let keys = Arc::new(ClientKeys::open(dir.path()).unwrap());
    let failures = AuthFailures::new();
    let logins =
        Logins::new(Arc::new(live), store, keys, Arc::clone(&clock), rng, [9; 32], failures);
    let services = Services {
        logins,
        clock,
        limits: ConnectionLimits::unlimited(),
        trace: TraceSwitch::default(),
        is_pedantic: false,
        version: "0.0.1".to_owned(),
    };
    let stopping = CancellationToken::new();
    Server { imapd: Imapd::new(services), account, stopping, _dir: dir }
}

impl Server {
    /// A client that has read the greeting.
    pub(crate) async fn connect(&self) -> Client {
        let (client, server) = tokio::io::duplex(16 << 10);
        let conn = Conn::memory(server);
        assert_eq!(conn.peer_ip(), IpAddr::V4(Ipv4Addr::new(127, 0, 0, 10)));
        let incoming = Incoming { conn, cid: 1, stopping: self.stopping.clone() };
        let port = Port { plaintext_allowed: true, ..Port::default() };
        let task = tokio::spawn(self.imapd.clone().serve(incoming, port));
        let mut client = Client { stream: BufReader::new(client), task, number: 0 };
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
}

pub(crate) struct Client {
    stream: BufReader<DuplexStream>,
    task: JoinHandle<()>,
    number: u32,
}

/// Longer than anything takes, and no wait in a test that passes.
const PATIENCE: Duration = Duration::from_secs(60);

impl Client {
    pub(crate) async fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    /// A line, with what literals it has, without its end.
    pub(crate) async fn line(&mut self) -> String {
        let mut line = Vec::new();
        loop {
            let read = self.stream.read_until(b'\n', &mut line);
            let count = tokio::time::timeout(PATIENCE, read).await.unwrap().unwrap();
            assert!(count > 0, "closed after {:?}", String::from_utf8_lossy(&line));
            let text = String::from_utf8_lossy(&line).into_owned();
            let Some(size) = text.strip_suffix("}\r\n").and_then(|t| t.rsplit('{').next()) else {
                return text.trim_end_matches("\r\n").to_owned();
            };
            let at = line.len();
            line.resize(at + size.parse::<usize>().unwrap(), 0);
            let read = self.stream.read_exact(&mut line[at..]);
            tokio::time::timeout(PATIENCE, read).await.unwrap().unwrap();
        }
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

    /// Sends a command that must fail with this.
    pub(crate) async fn fails(&mut self, text: &str, want: &str) {
        let (_, reply) = self.command(text).await;
        assert!(reply.starts_with(want), "{text}: {reply}");
    }

    /// Waits for the server to close the connection, and for its task to end.
    pub(crate) async fn closed(mut self) {
        let mut rest = Vec::new();
        let read = self.stream.read_to_end(&mut rest);
        tokio::time::timeout(PATIENCE, read).await.unwrap().unwrap();
        assert_eq!(String::from_utf8_lossy(&rest), "");
        self.task.await.unwrap();
    }
}
