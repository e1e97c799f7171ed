//! A server in a temporary folder, and clients that speak to it line by line.

use std::io::{Cursor, Read as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mox_base::{Clock, Domain, Flags, MailboxName, ModSeq, NumSet, Rng, Uid, UnixSeconds};
use mox_config::{Live, NamedFiles};
use mox_dns::{FakeDns, Resolver};
use mox_login::{Logins, set_password};
use mox_net::trace::{TraceLevel, TraceSwitch};
use mox_net::{AuthFailures, Conn, ConnectionLimits, Incoming};
use mox_queue::{Filter, Queue, Queued, Sort, SortField};
use mox_reportdb::ReportDb;
use mox_sasl::Password;
use mox_signing::SigningKeys;
use mox_smtpd::{Port, ReceivedIds, Service, Services, Smtpd};
use mox_store::{
    Account, ClientKeys, Destination, Disk, FlagChange, FlagOp, JunkFilter, NewMessage, Policies,
    Policy, RealDisk, ReceivedTls, Store,
};
use mox_testkit::{ManualClock, TestRng};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) const PASSWORD: &str = "correct horse";

const MOX_CONF: &str = "DataDir: data\nLogLevel: info\nHostname: mail.example.org\n\
    Listeners:\n\tlocal:\n\t\tIPs:\n\t\t\t- 127.0.0.1\n\
    Postmaster:\n\tAccount: mjl\n\tMailbox: Postmaster\n";

const DOMAINS_CONF: &str = "Domains:\n\
\texample.org:
\t\tLocalpartCatchallSeparator: +
\t\tTLSRPT:
\t\t\tLocalpart: tls-reports
\t\t\tAccount: mjl
\t\t\tMailbox: TLSRPT
\t\tAliases:
\t\t\tteam:
\t\t\t\tAddresses:
\t\t\t\t\t- mjl@example.org
\t\t\t\t\t- other@example.org
\t\t\t\tPostPublic: true
\t\t\tstaff:
\t\t\t\tAddresses:
\t\t\t\t\t- mjl@example.org
\t\t\t\t\t- other@example.org
\t\t\t\tAllowMsgFrom: true
\tany.example: nil
\toff.example:
\t\tDisabled: true
Accounts:
\tmjl:
\t\tDomain: example.org
\t\tDestinations:
\t\t\tmjl@example.org: nil
\t\t\tlists@example.org:
\t\t\t\tMailbox: Lists
\t\t\tgone@example.org:
\t\t\t\tSMTPError: 550 moved away
\t\t\tbusy@example.org:
\t\t\t\tSMTPError: 421
\t\t\tmjl@off.example: nil
\tother:
\t\tDomain: example.org
\t\tDestinations:
\t\t\tother@example.org: nil
\t\t\t@any.example: nil
\tsmall:
\t\tDomain: example.org
\t\tQuotaMessageSize: 2000
\t\tDestinations:
\t\t\tsmall@example.org: nil
\tout:
\t\tLoginDisabled: on leave
\t\tDomain: example.org
\t\tDestinations:
\t\t\tout@example.org: nil
";

/// How long the first message of a stranger waits, by the clock of the runtime: tests of what comes
/// after need not wait.
pub(crate) const FIRST_TIME_DELAY: Duration = Duration::ZERO;

/// How a test's server differs from the usual.
pub(crate) struct Setup {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) limits: ConnectionLimits,
    pub(crate) failures: AuthFailures,
    pub(crate) mox_conf: String,
    pub(crate) domains_conf: String,
    pub(crate) resolver: Arc<dyn Resolver>,
    pub(crate) is_pedantic: bool,
    pub(crate) is_localserve: bool,
    pub(crate) has_spool_dir: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            disk: Arc::new(RealDisk),
            limits: ConnectionLimits::unlimited(),
            failures: AuthFailures::new(),
            mox_conf: MOX_CONF.to_owned(),
            domains_conf: DOMAINS_CONF.to_owned(),
            resolver: Arc::new(dns()),
            is_pedantic: false,
            is_localserve: false,
            has_spool_dir: true,
        }
    }
}

/// What there is in DNS of the clients of these tests: a host with a name, domains whose mail may come
/// from it, and others that can get mail.
pub(crate) fn dns() -> FakeDns {
    let peer = mox_net::MEMORY_PEER.to_string();
    let mut dns = FakeDns::new();
    dns.add_ptr(&peer, "client.example").add_ips("client.example", &[&peer]);
    dns.add_txt("client.example", "v=spf1 a -all").add_ips("old.example", &["192.0.2.2"]);
    dns.add_txt("example.org", "v=spf1 a:client.example -all");
    dns.add_mx("forged.example", 10, "client.example").add_txt("forged.example", "v=spf1 -all");
    for domain in ["b.example", "elsewhere.example", "x.example"] {
        dns.add_mx(domain, 10, "client.example");
    }
    dns
}

/// The policies of the configuration, as far as the tests need them.
struct ConfigPolicies(Arc<Live>);

impl Policies for ConfigPolicies {
    fn policy(&self, account: &str) -> Option<Arc<Policy>> {
        let config = self.0.snapshot();
        let settings = config.account(account)?;
        let name = |name: &Option<mox_config::Text<MailboxName>>| Some(name.as_ref()?.0.clone());
        let junk_filter = settings.junk_filter.as_ref().map(|filter| JunkFilter {
            kinds: mox_junk::Kinds::default(),
            params: mox_junk::Params::default(),
            threshold: filter.threshold,
        });
        Some(Arc::new(Policy {
            quota_bytes: config.quota_bytes(account),
            junk_filter,
            introbox: name(&settings.introbox),
            rejects_mailbox: name(&settings.rejects_mailbox),
            initial_mailboxes: Policy::default_mailboxes(),
            ..Policy::default()
        }))
    }
}

pub(crate) struct Fixture {
    pub(crate) smtpd: Smtpd,
    pub(crate) store: Store,
    pub(crate) queue: Queue,
    pub(crate) reports: ReportDb,
    pub(crate) keys: Arc<ClientKeys>,
    pub(crate) stopping: CancellationToken,
    config: Arc<Live>,
    pub(crate) clock: ManualClock,
    next_cid: AtomicU64,
    dir: TempDir,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        Self::with(Setup::default())
    }

    pub(crate) fn with(setup: Setup) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("mox.conf"), &setup.mox_conf).unwrap();
        std::fs::write(dir.path().join("domains.conf"), &setup.domains_conf).unwrap();
        let spool_dir = dir.path().join("spool");
        if setup.has_spool_dir {
            std::fs::create_dir(&spool_dir).unwrap();
        }
        let start = UnixSeconds(1_795_164_932);
        let config = Live::load(dir.path(), NamedFiles::Skip, start).unwrap_or_else(|faults| {
            panic!("{faults:?}");
        });
        let config = Arc::new(config.0);
        let manual = ManualClock::at(start);
        let clock: Arc<dyn Clock> = Arc::new(manual.clone());
        let live = Arc::clone(&config);
        let policies = Arc::new(ConfigPolicies(Arc::clone(&config)));
        let store = Store::with_disk(dir.path(), Arc::clone(&clock), policies, setup.disk);
        let rng: Arc<dyn Rng> = Arc::new(TestRng::new(1));
        let keys = Arc::new(ClientKeys::open(dir.path()).unwrap());
        let logins = Logins::new(
            Arc::clone(&config),
            store.clone(),
            Arc::clone(&keys),
            Arc::clone(&clock),
            Arc::clone(&rng),
            [9; 32],
            setup.failures,
        );
        let queue = Queue::open(&dir.path().join("queue"), Arc::clone(&rng)).unwrap();
        let reports = ReportDb::open(&dir.path().join("reports.db")).unwrap();
        let smtpd = Smtpd::new(Services {
            logins,
            store: store.clone(),
            queue: queue.clone(),
            signing: Arc::new(SigningKeys::new()),
            reports: reports.clone(),
            config,
            resolver: setup.resolver,
            clock,
            rng,
            limits: setup.limits,
            trace: TraceSwitch::new(TraceLevel::Off),
            spool_dir,
            received_ids: ReceivedIds::new([1; 16], [2; 8]),
            is_pedantic: setup.is_pedantic,
            is_localserve: setup.is_localserve,
        });
        let stopping = CancellationToken::new();
        let next_cid = AtomicU64::new(1);
        Self {
            smtpd,
            store,
            queue,
            reports,
            keys,
            stopping,
            config: live,
            clock: manual,
            next_cid,
            dir,
        }
    }

    /// Changes domains.conf while the server runs.
    pub(crate) fn configure(&self, from: &str, to: &str) {
        let path = self.dir.path().join("domains.conf");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{from} is not in\n{text}");
        std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
        assert!(self.config.reload(UnixSeconds(1_795_164_933)).unwrap());
    }

    pub(crate) fn set_password(&self, account: &str) {
        let password = Password::for_storing(PASSWORD).unwrap();
        let account = self.store.account(account).unwrap();
        set_password(&account, &password, &TestRng::new(2)).wait().unwrap();
    }

    pub(crate) fn port(kind: Service) -> Port {
        Port {
            kind,
            tls: None,
            is_tls_immediate: false,
            requires_tls: false,
            message_bytes_max: 1_000_000,
            offers_requiretls: true,
            hostname: Domain::parse("mail.example.org").unwrap(),
            blocklists: Vec::new(),
            first_time_delay: FIRST_TIME_DELAY,
        }
    }

    /// Starts a connection, before its greeting.
    pub(crate) fn open(&self, port: Port) -> (DuplexStream, JoinHandle<()>) {
        let (client, server) = tokio::io::duplex(64 << 10);
        let cid = self.next_cid.fetch_add(1, Ordering::SeqCst);
        let stopping = self.stopping.clone();
        let incoming = Incoming { conn: Conn::memory(server), cid, stopping };
        (client, tokio::spawn(self.smtpd.clone().serve(incoming, port)))
    }

    /// A client that was greeted and has said EHLO.
    pub(crate) async fn client(&self, port: Port) -> Client<DuplexStream> {
        let (stream, served) = self.open(port);
        let mut client = Client { stream, served };
        assert!(client.reply().await.starts_with("220 mail.example.org ESMTP"));
        client.check("EHLO client.example", "250 SMTPUTF8").await;
        client
    }

    pub(crate) async fn deliverer(&self) -> Client<DuplexStream> {
        self.client(Self::port(Service::Delivery)).await
    }

    /// A client of submission, logged in as a user with [`PASSWORD`].
    pub(crate) async fn submitter(&self, user: &str) -> Client<DuplexStream> {
        let mut client = self.client(Self::port(Service::Submission)).await;
        client.login(user).await;
        client
    }

    /// All messages of a mailbox, oldest first; none if there is no such mailbox.
    pub(crate) fn messages(&self, account: &str, mailbox: &str) -> Vec<String> {
        let contents = self.contents(account, mailbox).into_iter();
        contents.map(|bytes| String::from_utf8_lossy(&bytes).into()).collect()
    }

    /// The same, byte by byte.
    pub(crate) fn contents(&self, account: &str, mailbox: &str) -> Vec<Vec<u8>> {
        let reader = self.store.account(account).unwrap().read().unwrap();
        let Ok(mailbox) = reader.mailbox(&MailboxName::parse(mailbox).unwrap()) else {
            return Vec::new();
        };
        let uids = reader.uids(mailbox.id).unwrap();
        let read = |uid| reader.content(mailbox.id, Uid::new(uid).unwrap()).unwrap().to_vec();
        uids.into_iter().map(|uid| read(uid).unwrap()).collect()
    }

    /// How the messages in an Inbox were protected on their way here, oldest first.
    pub(crate) fn received_tls(&self, account: &str) -> Vec<ReceivedTls> {
        let reader = self.account(account).read().unwrap();
        let inbox = reader.mailbox(&MailboxName::parse("Inbox").unwrap()).unwrap().id;
        let all = NumSet::range(1, u32::MAX);
        let mut rows = reader.changed_since(inbox, ModSeq::default(), &all).unwrap().rows;
        rows.sort_by_key(|row| row.uid);
        let read = |id| reader.remembered(id).unwrap().unwrap().envelope.unwrap().tls;
        rows.iter().map(|row| read(row.id)).collect()
    }

    pub(crate) fn account(&self, name: &str) -> Account {
        self.store.account(name).unwrap()
    }

    /// Marks all messages of a mailbox, with these flags and no others.
    pub(crate) fn mark(&self, account: &str, mailbox: &str, flags: Flags) {
        let account = self.account(account);
        let reader = account.read().unwrap();
        let mailbox = reader.mailbox(&MailboxName::parse(mailbox).unwrap()).unwrap();
        let change =
            FlagChange { op: FlagOp::Replace, flags, keywords: Vec::new(), unchanged_since: None };
        account.change_flags(mailbox.id, NumSet::range(1, u32::MAX), change).wait().unwrap();
    }

    /// Moves all messages of a mailbox.
    pub(crate) fn move_all(&self, account: &str, from: &str, to: &str) {
        let account = self.account(account);
        let reader = account.read().unwrap();
        let source = reader.mailbox(&MailboxName::parse(from).unwrap()).unwrap();
        let target = MailboxName::parse(to).unwrap();
        account.move_to(source.id, NumSet::range(1, u32::MAX), target).wait().unwrap();
    }

    /// Puts a message to somebody into the Sent mailbox.
    pub(crate) fn write_to(&self, account: &str, to: &str) {
        let account = self.account(account);
        let text = format!("From: <x@example.org>\r\nTo: <{to}>\r\nSubject: hello\r\n\r\nx\r\n");
        let content = account.stage(Vec::new(), &mut Cursor::new(text)).unwrap();
        let (flags, keywords) = (Flags::SEEN, Vec::new());
        let message = NewMessage { content, flags, keywords, received: None, envelope: None };
        let sent = Destination { mailbox: MailboxName::parse("Sent").unwrap(), create: false };
        account.add(sent, vec![message]).wait().unwrap();
    }

    /// Waits until the junk filter has learnt what there is to learn.
    pub(crate) async fn learn(&self, account: &str) {
        while !self.account(account).is_tidy().unwrap() {
            self.store.tick();
            tokio::task::yield_now().await;
        }
    }

    /// How many messages the Inboxes of these accounts have.
    pub(crate) fn counts<const N: usize>(&self, accounts: [&str; N]) -> [usize; N] {
        accounts.map(|account| self.messages(account, "Inbox").len())
    }

    /// All that is queued, in the order in which it was.
    pub(crate) fn queued(&self) -> Vec<Sent> {
        let sort = Sort { field: SortField::Queued, is_ascending: true, after: None };
        let rows = self.queue.list(&Filter::default(), &sort).unwrap();
        let sent = |row: Queued| {
            let mut bytes = Vec::new();
            self.queue.body(row.id).unwrap().read_to_end(&mut bytes).unwrap();
            Sent { text: String::from_utf8_lossy(&bytes).into(), row }
        };
        rows.into_iter().map(sent).collect()
    }

    /// Where domains.conf is.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// What is queued, with nothing else in the queue.
    pub(crate) fn only_queued(&self) -> Sent {
        let mut queued = self.queued();
        assert_eq!(queued.len(), 1);
        queued.remove(0)
    }

    pub(crate) fn spooled_files(&self) -> usize {
        std::fs::read_dir(self.dir.path().join("spool")).unwrap().count()
    }

    pub(crate) fn check(&self) {
        for account in ["mjl", "other", "small"] {
            let found = self.store.account(account).map(|account| account.check().unwrap());
            assert_eq!(found.unwrap_or_default(), Vec::<String>::new(), "{account}");
        }
    }
}

/// A message for one recipient in the queue.
pub(crate) struct Sent {
    pub(crate) row: Queued,
    /// What goes on the wire.
    pub(crate) text: String,
}

impl Sent {
    /// To whom it goes.
    pub(crate) fn to(&self) -> String {
        self.row.rcpt_to.to_string()
    }
}

/// A copy without what it says of the decision.
pub(crate) fn addressed(copy: &str) -> &str {
    let at = copy.find("Delivered-To: ").expect("every copy has an address");
    &copy[at..]
}

pub(crate) struct Client<S> {
    pub(crate) stream: S,
    pub(crate) served: JoinHandle<()>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    /// The next line without its end; empty at the end of the stream.
    async fn line(&mut self) -> String {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            match self.stream.read_u8().await {
                Ok(byte) => line.push(byte),
                Err(_) => break,
            }
        }
        String::from_utf8(line).unwrap().trim_end_matches("\r\n").to_owned()
    }

    /// The last line of the next reply, without the name of the connection.
    pub(crate) async fn reply(&mut self) -> String {
        self.lines().await.pop().unwrap_or_default()
    }

    pub(crate) async fn lines(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let line = self.line().await;
            let is_last = line.as_bytes().get(3) != Some(&b'-');
            lines.push(line);
            if is_last {
                return lines;
            }
        }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    pub(crate) async fn say(&mut self, line: &str) -> String {
        self.send(format!("{line}\r\n").as_bytes()).await;
        self.reply().await
    }

    /// Says a line, and checks how the last line of the reply begins.
    pub(crate) async fn check(&mut self, line: &str, want: &str) {
        let got = self.say(line).await;
        assert!(got.starts_with(want), "{line}: {got}, not {want}");
    }

    /// Says lines and checks replies: `line => reply` each.
    pub(crate) async fn dialogue(&mut self, text: &str) {
        for step in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (line, want) = step.split_once(" => ").unwrap_or_else(|| panic!("{step}"));
            self.check(line, want).await;
        }
    }

    /// Sends a message after the reply to DATA, which must be positive.
    pub(crate) async fn data(&mut self, message: &str) -> String {
        self.check("DATA", "354").await;
        self.send(message.as_bytes()).await;
        self.say(".").await
    }

    /// A whole transaction. Returns the reply to the data.
    pub(crate) async fn transact(&mut self, from: &str, rcpts: &[&str], message: &str) -> String {
        self.check(&format!("MAIL FROM:<{from}>"), "250").await;
        for rcpt in rcpts {
            self.check(&format!("RCPT TO:<{rcpt}>"), "250").await;
        }
        self.data(message).await
    }

    pub(crate) async fn login(&mut self, user: &str) {
        let line = format!("AUTH PLAIN {}", plain(user, PASSWORD));
        self.check(&line, "235 2.7.0").await;
    }

    /// Checks that the server has closed the connection, and that its task is over.
    pub(crate) async fn closed(mut self) {
        assert_eq!(self.line().await, "");
        drop(self.stream);
        self.served.await.unwrap();
    }
}

/// The response of PLAIN. RFC 4616 §2.
pub(crate) fn plain(user: &str, password: &str) -> String {
    encode(format!("\0{user}\0{password}").as_bytes())
}

pub(crate) fn encode(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
