use std::io::{Cursor, Read as _};
use std::sync::Arc;

use mox_base::{Domain, UnixSeconds};
use mox_config::{Live, NamedFiles};
use mox_dns::FakeDns;
use mox_mailauth::dkim::{self, PrivateKey, Status};
use mox_queue::{Filter, Queue, Queued, Sort};
use mox_reportdb::ReportDb;
use mox_signing::SigningKeys;
use mox_testkit::{ManualClock, TestRng};

use super::super::{Reporter, Services};

/// Half a minute after midnight in UTC, Saturday 21 November 2026.
pub(super) const NOW: UnixSeconds = UnixSeconds(1_795_219_230);

const MOX_CONF: &str = "DataDir: data\nLogLevel: info\nHostname: mx.a.example\n\
    Listeners:\n\tlocal:\n\t\tIPs:\n\t\t\t- 127.0.0.1\n\
    Postmaster:\n\tAccount: u\n\tMailbox: Postmaster\n";

const ACCOUNTS: &str = "Accounts:\n\tu:\n\t\tDomain: a.example\n\
    \t\tDestinations:\n\t\t\tu@a.example: nil\n";

const SIGNING: &str = "\t\tDKIM:\n\t\t\tSelectors:\n\t\t\t\tone:\n\
    \t\t\t\t\tPrivateKeyFile: one\n\t\t\tSign:\n\t\t\t\t- one\n";

/// How a test's server differs from the usual.
#[derive(Clone, Copy, Default)]
pub(super) struct Setup {
    /// Lines at the end of `mox.conf`.
    pub(super) statics: &'static str,
    /// Lines of the domain of the host, in place of signing.
    pub(super) domain: Option<&'static str>,
}

pub(super) struct Fixture {
    pub(super) reporter: Reporter,
    pub(super) db: ReportDb,
    pub(super) queue: Queue,
    pub(super) clock: ManualClock,
    /// The record of the key that signs.
    key: String,
    _dir: tempfile::TempDir,
}

/// A message in the queue, with its text.
pub(super) struct Sent {
    pub(super) queued: Queued,
    pub(super) text: String,
}

impl Fixture {
    pub(super) fn new(dns: FakeDns) -> Self {
        Self::with(dns, Setup::default())
    }

    pub(super) fn with(dns: FakeDns, setup: Setup) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        let key = PrivateKey::generate_ed25519().unwrap();
        write("one", &key.to_pem(None).unwrap());
        write("mox.conf", &format!("{MOX_CONF}{}", setup.statics));
        let domain = setup.domain.unwrap_or(SIGNING);
        write("domains.conf", &format!("Domains:\n\ta.example:\n{domain}{ACCOUNTS}"));
        let config = Live::load(dir.path(), NamedFiles::Skip, NOW);
        let config = config.unwrap_or_else(|faults| panic!("{faults:?}")).0;
        let clock = ManualClock::at(NOW);
        let rng = Arc::new(TestRng::new(1));
        let queue = Queue::open(&dir.path().join("queue"), rng.clone()).unwrap();
        let db = ReportDb::open(&dir.path().join("reports.db")).unwrap();
        let reporter = Reporter::new(Services {
            config: Arc::new(config),
            queue: queue.clone(),
            reports: db.clone(),
            resolver: Arc::new(dns),
            signing: Arc::new(SigningKeys::new()),
            clock: Arc::new(clock.clone()),
            rng,
        });
        let key = key.record().unwrap().to_string();
        Self { reporter, db, queue, clock, key, _dir: dir }
    }

    /// What is in the queue, the oldest first.
    pub(super) fn sent(&self) -> Vec<Sent> {
        let sort = Sort { is_ascending: true, ..Sort::default() };
        let queued = self.queue.list(&Filter::default(), &sort).unwrap();
        let read = |queued: Queued| {
            let mut text = String::new();
            self.queue.body(queued.id).unwrap().read_to_string(&mut text).unwrap();
            Sent { queued, text }
        };
        queued.into_iter().map(read).collect()
    }

    /// To whom there is something in the queue.
    pub(super) fn rcpts(&self) -> Vec<String> {
        self.sent().iter().map(|sent| sent.queued.rcpt_to.to_string()).collect()
    }

    /// The names that a message is signed with, which must be right. RFC 6376 §6.1.
    pub(super) async fn signed_names(&self, message: &str) -> Vec<String> {
        let mut dns = FakeDns::new();
        dns.add_txt("one._domainkey.a.example", &self.key);
        let verified = dkim::verify(&dns, message.as_bytes(), self.clock_now()).await.unwrap();
        let [verified] = &verified[..] else { panic!("one signature in {message}") };
        assert_eq!(verified.status, Status::Pass, "{:?}", verified.reason);
        verified.signature.as_ref().unwrap().signed_names.clone()
    }

    fn clock_now(&self) -> UnixSeconds {
        mox_base::Clock::now(&self.clock)
    }
}

impl Sent {
    /// The value of a field, unfolded.
    pub(super) fn field(&self, name: &str) -> Option<String> {
        let header = self.text.split("\r\n\r\n").next().unwrap().replace("\r\n ", " ");
        let header = header.replace("\r\n\t", " ");
        let prefix = format!("{name}: ");
        header.lines().find_map(|line| Some(line.strip_prefix(&prefix)?.to_owned()))
    }

    pub(super) fn message(&self) -> Cursor<&[u8]> {
        Cursor::new(self.text.as_bytes())
    }
}

pub(super) fn domain(name: &str) -> Domain {
    Domain::parse(name).unwrap()
}
