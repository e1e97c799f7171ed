//! A sender with a queue and accounts of its own, and servers that play scripts.

use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use mox_base::{Address, Flags, MailboxName, Rng, Uid, UnixSeconds};
use mox_config::{Live, NamedFiles};
use mox_dns::FakeDns;
use mox_net::tls::client::Connector;
use mox_net::{Supervisor, http};
use mox_queue::{
    Body, Filter, MessageId, NewMessage, NewRecipient, Queue, Queued, Retired, RetiredFilter,
    RetiredSort, Sort,
};
use mox_reportdb::ReportDb;
use mox_sender::connection::Waits;
use mox_sender::mtasts::{HttpsFetch, MtaSts};
use mox_sender::{Limits, Sender, Services};
use mox_smtp::{Mailbox, ReversePath};
use mox_store::{Columns, Fetched, Policy, Store};
use mox_testkit::{ManualClock, TestRng};
use mox_tlspolicy::pkix::Roots;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use crate::remote::{Heard, NOW};

/// How long anything may take before a test fails instead of hanging.
pub(crate) const WAIT: Duration = Duration::from_secs(300);

pub(crate) const MESSAGE: &str =
    "From: <a@example.org>\r\nSubject: tale\r\n\r\nOnce upon a time\r\n";

const MOX_CONF: &str = "\
DataDir: data
LogLevel: info
Hostname: mail.example.org
Postmaster:
\tAccount: post
\tMailbox: Postmaster
Listeners:
\tx: nil
Transports:
\tfail:
\t\tFail:
\t\t\tSMTPCode: 550
\t\t\tSMTPMessage: not from here
\tfail later:
\t\tFail:
\t\t\tSMTPCode: 421
";

const DOMAINS_CONF: &str = "\
Domains:
\texample.org: nil
\toff.example:
\t\tDisabled: true
Accounts:
\ta:
\t\tDomain: example.org
\t\tKeepRetiredMessagePeriod: 24h
\t\tDestinations:
\t\t\ta@example.org: nil
\tpost:
\t\tDomain: example.org
\t\tDestinations:
\t\t\tpostmaster@example.org: nil
Routes:
\t-
\t\tToDomain:
\t\t\t- routed.example
\t\tTransport: fail
\t-
\t\tToDomain:
\t\t\t- later.example
\t\tTransport: fail later
";

/// Domains whose mail this machine takes, each by a host of its own; and one that takes none.
pub(crate) fn dns() -> FakeDns {
    let mut dns = FakeDns::new();
    for domain in ["one.example", "two.example", "three.example"] {
        let host = format!("mx.{domain}");
        dns.add_mx(domain, 10, &host).add_ips(&host, &["127.0.0.1"]);
    }
    dns.add_mx("null.example", 0, ".");
    dns
}

pub(crate) struct Rig {
    pub(crate) queue: Queue,
    pub(crate) store: Store,
    pub(crate) reports: ReportDb,
    pub(crate) clock: ManualClock,
    pub(crate) waits: Waits,
    limits: Limits,
    roots: Roots,
    loopback_to: Option<SocketAddr>,
    config: Arc<Live>,
    dns: Arc<FakeDns>,
    rng: Arc<dyn Rng>,
    changed: Arc<Notify>,
    _dir: TempDir,
}

/// A sender that runs.
pub(crate) struct Running {
    pub(crate) sender: Sender,
    supervisor: Supervisor,
}

impl Running {
    /// Lets it end what it does.
    pub(crate) async fn stop(self) {
        let report = self.supervisor.shutdown(WAIT).await;
        assert_eq!((report.killed, self.supervisor.panics()), (0, 0));
    }
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self::asking(dns())
    }

    pub(crate) fn asking(dns: FakeDns) -> Self {
        Self::configured(dns, "", "")
    }

    /// With more transports, and routes behind those that there are.
    pub(crate) fn configured(dns: FakeDns, transports: &str, routes: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("mox.conf"), format!("{MOX_CONF}{transports}")).unwrap();
        std::fs::write(dir.path().join("domains.conf"), format!("{DOMAINS_CONF}{routes}")).unwrap();
        let (config, _) = Live::load(dir.path(), NamedFiles::Skip, NOW)
            .unwrap_or_else(|faults| panic!("{faults:?}"));
        let clock = ManualClock::at(NOW);
        let rng: Arc<dyn Rng> = Arc::new(TestRng::new(7));
        let queue = Queue::open(&dir.path().join("queue"), Arc::clone(&rng)).unwrap();
        let changed = Arc::new(Notify::new());
        let notify = Arc::clone(&changed);
        queue.on_change(Arc::new(move || notify.notify_one()));
        Self {
            queue,
            store: Store::new(dir.path(), Arc::new(clock.clone()), Arc::new(Policy::default())),
            reports: ReportDb::open(&dir.path().join("reports.db")).unwrap(),
            clock,
            waits: Waits::all(WAIT),
            limits: Limits::default(),
            roots: Roots::default(),
            loopback_to: None,
            config: Arc::new(config),
            dns: Arc::new(dns),
            rng,
            changed,
            _dir: dir,
        }
    }

    pub(crate) fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Whose certificates are trusted.
    pub(crate) fn with_roots(self, roots: Roots) -> Self {
        Self { roots, ..self }
    }

    /// Everything goes to the server at this address.
    pub(crate) fn with_loopback(self, addr: SocketAddr) -> Self {
        Self { loopback_to: Some(addr), ..self }
    }

    /// Starts a sender for which all SMTP servers listen on this port.
    pub(crate) fn start(&self, port: u16) -> Running {
        let clock = Arc::new(self.clock.clone());
        let supervisor = Supervisor::new(&*clock);
        let connector = Connector::new(self.roots.clone(), clock.clone());
        let http = http::Client::new(connector.clone(), self.dns.clone());
        let sts = MtaSts::new(
            self.reports.clone(),
            self.dns.clone(),
            Arc::new(HttpsFetch::new(http.clone())),
            clock.clone(),
            Arc::clone(&self.rng),
        );
        let sender = Sender::start(Services {
            queue: self.queue.clone(),
            store: self.store.clone(),
            reports: self.reports.clone(),
            config: Arc::clone(&self.config),
            resolver: self.dns.clone(),
            clock,
            rng: Arc::clone(&self.rng),
            supervisor: supervisor.clone(),
            connector,
            sts,
            http,
            limits: self.limits,
            waits: self.waits,
            port,
            loopback_to: self.loopback_to,
            is_pedantic: false,
        });
        Running { sender, supervisor }
    }

    /// A message from `from` that is not queued yet; to be changed first.
    pub(crate) fn message(&self, from: &str, rcpts: &[&str]) -> NewMessage {
        let body = self.body(MESSAGE);
        let from = match from {
            "" => ReversePath::Null,
            from => ReversePath::Mailbox(mailbox(from)),
        };
        let rcpts = rcpts.iter().map(|rcpt| NewRecipient::new(from.clone(), mailbox(rcpt)));
        NewMessage {
            recipients: rcpts.collect(),
            message_id: "<tale@example.org>".to_owned(),
            subject: "tale".to_owned(),
            ..NewMessage::new("a", body)
        }
    }

    pub(crate) fn body(&self, text: &str) -> Body {
        self.queue.stage(&mut text.as_bytes()).unwrap()
    }

    pub(crate) fn queue(&self, message: NewMessage) -> Vec<MessageId> {
        self.queue.add(message, self.now()).wait().unwrap()
    }

    /// Queues a message of the account `a`.
    pub(crate) fn add(&self, rcpts: &[&str]) -> Vec<MessageId> {
        self.queue(self.message("a@example.org", rcpts))
    }

    pub(crate) fn now(&self) -> UnixSeconds {
        mox_base::Clock::now(&self.clock)
    }

    /// All that is queued, the oldest first.
    pub(crate) fn queued(&self) -> Vec<Queued> {
        let mut all = self.queue.list(&Filter::default(), &Sort::default()).unwrap();
        all.sort_by_key(|message| message.id);
        all
    }

    /// All that left the queue, the oldest first.
    pub(crate) fn retired(&self) -> Vec<Retired> {
        let mut all =
            self.queue.retired_list(&RetiredFilter::default(), &RetiredSort::default()).unwrap();
        all.sort_by_key(|retired| retired.message.id);
        all
    }

    /// Waits until something is true of the queue while a sender runs.
    pub(crate) async fn until(&self, is_true: impl Fn(&Self) -> bool) {
        let wait = async {
            while !is_true(self) {
                self.changed.notified().await;
            }
        };
        timeout(WAIT, wait).await.expect("it becomes true");
    }

    /// Moves the clock to when the first message is due, if that is not past.
    pub(crate) fn advance_to_due(&self) {
        let due = self.queue.next_due(self.now()).unwrap().expect("something is queued");
        self.clock.set(due.max(self.now()));
    }

    /// Runs a sender until the server has played its scripts and everything is settled.
    pub(crate) async fn attempt(
        &self,
        (addr, played): (SocketAddr, JoinHandle<Vec<Heard>>),
    ) -> Vec<Heard> {
        let running = self.start(addr.port());
        let heard = timeout(WAIT, played).await.expect("all is played").unwrap();
        running.stop().await;
        heard
    }

    /// Runs a sender until an account has so many messages in a mailbox, which are returned.
    pub(crate) async fn until_mail(
        &self,
        running: &Running,
        (account, mailbox): (&str, &str),
        count: usize,
    ) -> Vec<Received> {
        assert_eq!(running.supervisor.panics(), 0);
        let changes = self.store.account(account).unwrap().subscribe();
        let wait = async {
            loop {
                let mail = self.mail(account, mailbox);
                if mail.len() >= count {
                    return mail;
                }
                changes.ready().await;
                drop(changes.take());
            }
        };
        timeout(WAIT, wait).await.expect("mail comes")
    }

    /// Runs a sender without a server to talk to, until the account `a` has so many messages.
    pub(crate) async fn alone(&self, count: usize) -> Vec<Received> {
        // Nobody listens there.
        let running = self.start(1);
        let mail = self.until_mail(&running, ("a", "Inbox"), count).await;
        running.stop().await;
        mail
    }

    /// The messages of a mailbox.
    pub(crate) fn mail(&self, account: &str, mailbox: &str) -> Vec<Received> {
        let reader = self.store.account(account).unwrap().read().unwrap();
        let Ok(mailbox) = reader.mailbox(&MailboxName::parse(mailbox).unwrap()) else {
            return Vec::new();
        };
        let uids = reader.uids(mailbox.id).unwrap();
        let read = |uid: u32| {
            let uid = Uid::new(uid).unwrap();
            let text = reader.content(mailbox.id, uid).unwrap().to_vec().unwrap();
            let mut flags = Flags::NONE;
            let mut visit = |row: &Fetched<'_>| {
                flags = row.flags;
                ControlFlow::Continue(())
            };
            let columns = Columns::default();
            let _to_the_end = reader.fetch(mailbox.id, &[uid.get()], columns, &mut visit).unwrap();
            Received { text: String::from_utf8(text).unwrap(), flags }
        };
        uids.into_iter().map(read).collect()
    }
}

/// A message in an account.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) text: String,
    pub(crate) flags: Flags,
}

impl Received {
    /// Checks that it has all of these lines.
    #[track_caller]
    pub(crate) fn check(&self, lines: &[&str]) {
        for line in lines {
            assert!(self.text.lines().any(|one| one == *line), "{line} is not in\n{}", self.text);
        }
    }
}

pub(crate) fn mailbox(address: &str) -> Mailbox {
    Mailbox::from(Address::parse(address).unwrap())
}

/// The parts of a script: to the end of a message that is taken.
pub(crate) const HELLO: &str = "
    S: 220 hi
    C: EHLO mail.example.org
    S: 250-mx.example
    S: 250-ENHANCEDSTATUSCODES
    S: 250 DSN";

pub(crate) const TAKES: &str = "
    C: MAIL FROM:<a@example.org>
    S: 250 2.1.0 ok
    C: RCPT TO:
    S: 250 2.1.5 ok
    C: DATA
    S: 354 go
    DATA
    S: 250 2.6.0 taken";

pub(crate) const BYE: &str = "
    C: QUIT
    S: 221 2.0.0 bye";

/// Refuses the one recipient.
pub(crate) fn refuses(reply: &str) -> String {
    format!(
        "{HELLO}
        C: MAIL FROM:
        S: 250 2.1.0 ok
        C: RCPT TO:
        S: {reply}
        C: QUIT
        S: 221 2.0.0 bye"
    )
}

pub(crate) fn takes() -> String {
    format!("{HELLO}{TAKES}{BYE}")
}

/// Recipients that a [`Sink`] does not answer before they are let go.
#[derive(Clone)]
pub(crate) struct Held {
    /// How their addresses end.
    rcpts: &'static str,
    come: Arc<Semaphore>,
    gate: Arc<Semaphore>,
}

impl Held {
    pub(crate) fn new(rcpts: &'static str) -> Self {
        let none = || Arc::new(Semaphore::new(0));
        Self { rcpts, come: none(), gate: none() }
    }

    /// Waits until so many have come.
    pub(crate) async fn come(&self, count: u32) {
        let come = timeout(WAIT, self.come.acquire_many(count)).await;
        come.expect("they come").unwrap().forget();
    }

    pub(crate) fn let_go(&self) {
        self.gate.close();
    }
}

/// A server that takes all messages on any number of connections.
pub(crate) struct Sink {
    pub(crate) addr: SocketAddr,
    taken: mpsc::UnboundedReceiver<()>,
    _accepting: JoinSet<()>,
}

impl Sink {
    pub(crate) async fn new() -> Self {
        Self::holding(&Held::new("nobody>")).await
    }

    pub(crate) async fn holding(held: &Held) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (sender, taken) = mpsc::unbounded_channel();
        let held = held.clone();
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (sender, held) = (sender.clone(), held.clone());
                tokio::spawn(async move { drop(swallow(stream, sender, held).await) });
            }
        });
        Self { addr, taken, _accepting: accepting }
    }

    /// Waits until it has taken so many more.
    pub(crate) async fn takes(&mut self, messages: usize) {
        for _ in 0..messages {
            timeout(WAIT, self.taken.recv()).await.expect("more messages come").unwrap();
        }
    }
}

async fn swallow(
    stream: TcpStream,
    taken: mpsc::UnboundedSender<()>,
    held: Held,
) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    stream.write_all(b"220 sink\r\n").await?;
    let (mut line, mut is_data) = (String::new(), false);
    loop {
        line.clear();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let verb = line.split([' ', '\r']).next().unwrap_or_default();
        if verb == "RCPT" && line.trim_end().ends_with(held.rcpts) {
            held.come.add_permits(1);
            // That it is closed lets go.
            drop(held.gate.acquire().await);
        }
        let reply = match (is_data, verb) {
            (true, ".") => {
                is_data = false;
                let _nobody_counts = taken.send(());
                "250 taken\r\n"
            }
            (true, _) => continue,
            (false, "EHLO") => "250-sink\r\n250 PIPELINING\r\n",
            (false, "DATA") => {
                is_data = true;
                "354 go\r\n"
            }
            (false, "QUIT") => return stream.write_all(b"221 bye\r\n").await,
            (false, _) => "250 ok\r\n",
        };
        stream.write_all(reply.as_bytes()).await?;
    }
}
