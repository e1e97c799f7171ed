//! `mox import imap`: an account of another server.

use std::fs::{self, DirBuilder};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Instant, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use mox_base::{Domain, Secret};
use mox_imapclient::{
    ClientError, Credentials, Fetched, Folder, Journal, Listed, Mark, Session, TlsMode,
    WINDOW_MESSAGES,
};
use mox_net::tls::client::Verify;
use mox_net::tls::load_roots;
use mox_transfer::{Event, Item, MESSAGE_BYTES_MAX, Meter, Sink, SourceError, Summary};
use parking_lot::Mutex;
use tokio::runtime::{Handle, Runtime};

use super::import::{Common, Job, Watch, report};
use super::network::{Network, dial_addresses};
use super::progress::Progress;
use super::setaccountpassword::read_line;
use super::{Global, say};

/// Messages after which what was taken over is noted.
const CHUNK_MESSAGES: usize = 2_000;

/// Take over an account from another server, by IMAP.
///
/// All folders with their roles, subscriptions and messages; flags, keywords and dates are kept. Nothing
/// is changed on the other server. What was taken over is noted in a journal: the next run takes only
/// what is new, and a run that was interrupted goes on where it was. Deletions and changed flags are not
/// followed.
#[derive(Debug, Args)]
pub(super) struct ImportImap {
    /// Name of the account here.
    account: String,
    /// The other server.
    #[arg(long)]
    host: String,
    /// Its port. Default: 993 with TLS from the start, else 143.
    #[arg(long)]
    port: Option<u16>,
    /// How the connection is protected. Without TLS others may read the password.
    #[arg(long, value_enum, default_value = "implicit")]
    tls: Tls,
    /// PEM file with certificates of authorities that are trusted instead of those of the system.
    #[arg(long, value_name = "FILE")]
    tlscerts: Option<PathBuf>,
    /// The user there.
    #[arg(long)]
    user: String,
    /// File with the password there in its first line. Default: the first line of standard input.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Only this folder, as the mailbox is called here; may be given more than once.
    #[arg(long, value_name = "MAILBOX")]
    folder: Vec<String>,
    /// Also take over folders that show messages of others, such as "All Mail" of Gmail.
    #[arg(long)]
    views: bool,
    /// The journal. Default: a file in ~/.local/state/mox for each account, server and user.
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    #[command(flatten)]
    options: Common,
}

/// How a connection is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Tls {
    /// TLS from the start.
    Implicit,
    /// TLS after STARTTLS, which must be offered.
    Starttls,
    /// No TLS.
    None,
}

impl From<Tls> for TlsMode {
    fn from(tls: Tls) -> Self {
        match tls {
            Tls::Implicit => Self::Implicit,
            Tls::Starttls => Self::StartTls,
            Tls::None => Self::None,
        }
    }
}

impl ImportImap {
    pub(super) fn run(self, global: &Global) -> Result<()> {
        let started = Instant::now();
        let password = self.password()?;
        let summary = self.take_over(global, password)?;
        report(&summary, started)
    }

    fn password(&self) -> Result<Secret> {
        let password = match &self.password_file {
            Some(path) => {
                let file = fs::File::open(path);
                let file = file.with_context(|| format!("open {}", path.display()))?;
                read_line(&mut io::BufReader::new(file))?
            }
            None => {
                say(&format!("password of {} (shown as you type): ", self.user));
                read_line(&mut io::stdin().lock())?
            }
        };
        Ok(Secret::new(password))
    }

    fn take_over(&self, global: &Global, password: Secret) -> Result<Summary> {
        let meter = Meter::default();
        let mut watch = Watch::new(Progress::new(None), meter.clone());
        // Makes the account's folder if it is missing: the journal is of that one.
        let job =
            Job { account: self.account.clone(), keep_duplicates: self.options.keep_duplicates };
        job.run(global, |_: &mut Sink<'_>| Ok(()), &mut watch)?;
        let data_dir = global.config()?.snapshot().data_dir();
        let mut journal = Journal::open(&self.journal_path(&data_dir)?)?;
        // Two threads: one reads from the other server while the one of an import waits for it.
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.context("start runtime")?;
        let mut session = runtime.block_on(self.connect(password))?;
        let folders = runtime.block_on(session.folders())?;
        let (plans, mut session) = self.plan(&runtime, session, folders, &journal, &mut watch)?;
        let total = plans.iter().flat_map(|plan| &plan.messages).map(|message| message.size).sum();
        watch.progress.set_total(total);
        let mut sum = Summary::default();
        for plan in plans {
            session = self.folder(
                global,
                (&runtime, session),
                &plan,
                (&mut journal, &mut watch),
                &mut sum,
            )?;
        }
        runtime.block_on(session.logout());
        Ok(sum)
    }

    async fn connect(&self, password: Secret) -> Result<Session> {
        let roots: Vec<_> = self.tlscerts.clone().into_iter().collect();
        let network = Network::new(load_roots(roots.is_empty(), &roots)?);
        let mode = TlsMode::from(self.tls);
        let port = self.port.unwrap_or(if mode == TlsMode::Implicit { 993 } else { 143 });
        let mut verify = Verify { pkix: true, ..Verify::default() };
        let mut conn = match self.host.parse::<IpAddr>() {
            Ok(ip) => {
                verify.ip = Some(ip);
                dial_addresses(&[SocketAddr::new(ip, port)]).await?
            }
            Err(_) => {
                let host = Domain::parse_host(&self.host).context("host")?;
                verify.names = vec![host.clone()];
                network.dial_host(&host, port).await?
            }
        };
        if mode == TlsMode::Implicit {
            conn = network.connector.connect(conn, &verify).await.context("tls")?.0;
        }
        let mut session = Session::begin(conn, std::env::temp_dir(), MESSAGE_BYTES_MAX).await?;
        if mode == TlsMode::StartTls {
            session = session.start_tls(&network.connector, &verify).await?;
        }
        let credentials = Credentials { user: self.user.clone(), password };
        session.log_in(&credentials, mode == TlsMode::None, &*network.rng).await?;
        Ok(session)
    }

    /// What is to be taken over of each folder.
    fn plan(
        &self,
        runtime: &Runtime,
        mut session: Session,
        folders: Vec<Folder>,
        journal: &Journal,
        watch: &mut Watch,
    ) -> Result<(Vec<Plan>, Session)> {
        let mut plans = Vec::new();
        for folder in folders {
            let name = folder.mailbox.as_str();
            if !self.folder.is_empty() && !self.folder.iter().any(|wanted| wanted == name) {
                continue;
            }
            if folder.is_view && !self.views && self.folder.is_empty() {
                let text = "was left out, as it shows messages of other folders; with Gmail also \
                            archived ones that are in no other: --views takes it over";
                watch.problem(&format!("{name}: {text}"));
                continue;
            }
            if folder.is_renamed {
                watch.problem(&format!("{:?} is taken as {name:?}", folder.wire_name));
            }
            let listed = runtime.block_on(async {
                let selected = session.examine(&folder.wire_name).await?;
                let above = journal.uid(&folder.wire_name, selected.uidvalidity);
                // An empty folder has no message to ask for.
                let messages = match selected.exists {
                    0 => Vec::new(),
                    _ => session.list_above(above).await?,
                };
                Ok::<_, ClientError>((selected.uidvalidity, messages))
            });
            match listed {
                Ok((uidvalidity, messages)) => plans.push(Plan { folder, uidvalidity, messages }),
                Err(error @ ClientError::Refused { .. }) => {
                    watch.problem(&format!("{name}: {error}"))
                }
                Err(error) => return Err(error.into()),
            }
        }
        if plans.is_empty() && !self.folder.is_empty() {
            bail!("the server has no such folder");
        }
        Ok((plans, session))
    }

    /// Takes over a folder, some messages at a time: those are noted once they are durable here.
    fn folder(
        &self,
        global: &Global,
        (runtime, mut session): (&Runtime, Session),
        plan: &Plan,
        (journal, watch): (&mut Journal, &mut Watch),
        sum: &mut Summary,
    ) -> Result<Session> {
        let name = &plan.folder.wire_name;
        if !plan.messages.is_empty() {
            runtime.block_on(session.examine(name))?;
        }
        let job =
            Job { account: self.account.clone(), keep_duplicates: self.options.keep_duplicates };
        let nothing: &[Listed] = &[];
        let mut chunks: Vec<&[Listed]> = plan.messages.chunks(CHUNK_MESSAGES).collect();
        if chunks.is_empty() {
            // The mailbox itself is taken over even if it is empty.
            chunks.push(nothing);
        }
        let session = Arc::new(Mutex::new(session));
        let refused = Arc::new(AtomicU32::new(u32::MAX));
        for chunk in chunks {
            let reading = Reading {
                handle: runtime.handle().clone(),
                session: Arc::clone(&session),
                folder: plan.folder.clone(),
                messages: chunk.to_vec(),
                meter: watch.meter.clone(),
                refused: Arc::clone(&refused),
            };
            let done = job.run(global, move |sink| reading.read(sink), watch)?;
            add(sum, &done);
            watch.done_before(sum);
            // What was refused is asked for again the next time, and so is all after it.
            let first = refused.load(Ordering::Relaxed);
            if let Some(last) = chunk.iter().rev().find(|message| message.uid < first) {
                journal.note(name, Mark { uidvalidity: plan.uidvalidity, uid: last.uid })?;
            }
        }
        Arc::into_inner(session).map(Mutex::into_inner).context("session is still in use")
    }

    fn journal_path(&self, data_dir: &Path) -> Result<PathBuf> {
        if let Some(path) = &self.journal {
            return Ok(path.clone());
        }
        let home = std::env::var_os("HOME").filter(|home| !home.is_empty());
        let state = std::env::var_os("XDG_STATE_HOME").filter(|state| !state.is_empty());
        let state = state.map(PathBuf::from);
        let state = state.or_else(|| Some(Path::new(&home?).join(".local/state")));
        let dir = state.context("no home directory: name a file with --journal")?.join("mox");
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&dir);
        made.with_context(|| format!("make {}", dir.display()))?;
        // An account that was removed and made anew is another one.
        let made = fs::metadata(data_dir.join("accounts").join(&self.account));
        let made = made.and_then(|meta| meta.created()).ok();
        let made = made.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let of = made.map_or_else(
            || data_dir.to_string_lossy().into_owned(),
            |age| age.as_nanos().to_string(),
        );
        Ok(dir.join(journal_name(&[&of, &self.account, &self.host, &self.user])))
    }
}

/// A file name for what identifies an import: no two give the same, and none names another directory.
fn journal_name(words: &[&str]) -> String {
    let mut name = String::from("import");
    for word in words {
        name.push('-');
        for byte in word.bytes() {
            match byte {
                b'a'..=b'z' | b'0'..=b'9' | b'.' | b'@' => name.push(char::from(byte)),
                byte => name.push_str(&format!("%{byte:02x}")),
            }
        }
    }
    // File systems take 255 bytes.
    name.truncate(240);
    name
}

fn add(sum: &mut Summary, more: &Summary) {
    sum.added += more.added;
    sum.duplicates += more.duplicates;
    sum.bytes += more.bytes;
    sum.mailboxes += more.mailboxes;
    sum.problems += more.problems;
}

/// What is to be taken over of a folder.
struct Plan {
    folder: Folder,
    uidvalidity: u32,
    /// Ascending.
    messages: Vec<Listed>,
}

/// Reads some messages of the open folder.
struct Reading {
    handle: Handle,
    session: Arc<Mutex<Session>>,
    folder: Folder,
    messages: Vec<Listed>,
    meter: Meter,
    /// The lowest UID that the server refused to give: it may give it later.
    refused: Arc<AtomicU32>,
}

impl Reading {
    fn read(self, sink: &mut Sink<'_>) -> Result<(), SourceError> {
        let Folder { mailbox: name, special_use, subscribed, .. } = self.folder.clone();
        tell(sink, Event::Mailbox { name, special_use, subscribed })?;
        let mut fitting = Vec::with_capacity(self.messages.len());
        for Listed { uid, size } in &self.messages {
            if *size > MESSAGE_BYTES_MAX {
                self.problem(sink, *uid, &format!("{size} bytes are too much"))?;
            } else {
                fitting.push(*uid);
            }
        }
        for window in fitting.chunks(WINDOW_MESSAGES) {
            let mut missing = self.fetch(window, sink)?;
            // One that the server cannot give may have kept it from giving others.
            if window.len() > 1 {
                for uid in std::mem::take(&mut missing) {
                    missing.extend(self.fetch(&[uid], sink)?);
                }
            }
            for uid in missing {
                self.problem(sink, uid, "the server did not give it")?;
            }
        }
        Ok(())
    }

    /// Fetches messages. Returns those that did not come.
    fn fetch(&self, uids: &[u32], sink: &mut Sink<'_>) -> Result<Vec<u32>, SourceError> {
        let mut session = self.session.lock();
        let mut missing = uids.to_vec();
        let tag = self.handle.block_on(session.begin_fetch(uids)).map_err(failed)?;
        loop {
            let next = self.handle.block_on(session.next_fetched(&tag));
            match next {
                Ok(Some(fetched)) => {
                    // What was not asked for, or comes twice, is not taken.
                    let Ok(place) = missing.binary_search(&fetched.uid) else { continue };
                    missing.remove(place);
                    self.message(fetched, sink)?;
                }
                Ok(None) => return Ok(missing),
                Err(ClientError::Refused { .. }) => {
                    if let ([uid], false) = (uids, missing.is_empty()) {
                        self.refused.fetch_min(*uid, Ordering::Relaxed);
                    }
                    return Ok(missing);
                }
                Err(error) => return Err(failed(error)),
            }
        }
    }

    fn message(&self, fetched: Fetched, sink: &mut Sink<'_>) -> Result<(), SourceError> {
        let Fetched { uid, flags, keywords, received, content } = fetched;
        match content {
            Ok(content) => {
                self.meter.add(content.size());
                let mailbox = self.folder.mailbox.clone();
                let item = Item { mailbox, received, flags, keywords, content };
                tell(sink, Event::Message(Box::new(item)))
            }
            Err(Some(size)) => self.problem(sink, uid, &format!("{size} bytes are too much")),
            Err(None) => self.problem(sink, uid, "it has no content"),
        }
    }

    fn problem(&self, sink: &mut Sink<'_>, uid: u32, text: &str) -> Result<(), SourceError> {
        let name = &self.folder.mailbox;
        tell(sink, Event::Problem(format!("{name}: message with uid {uid}: {text}")))
    }
}

fn tell(sink: &mut Sink<'_>, event: Event) -> Result<(), SourceError> {
    if sink(event).is_break() { Err(SourceError::Stopped) } else { Ok(()) }
}

fn failed(error: ClientError) -> SourceError {
    SourceError::Io { what: "the other server".to_owned(), source: io::Error::other(error) }
}

#[cfg(test)]
mod tests {
    use mox_base::{Flags, MailboxName, Uid};
    use mox_net::SystemClock;
    use mox_store::{Destination, NewMessage, Policy, Store};

    use super::*;
    use crate::localserve::{ADDRESS, InitOptions, PASSWORD, init};
    use crate::server::{Options, Server};

    #[test]
    fn journals_have_names_of_their_own() {
        assert_eq!(journal_name(&["a", "b.example", "c@d"]), "import-a-b.example-c@d");
        assert_ne!(journal_name(&["a-b", "c"]), journal_name(&["a", "b-c"]));
        assert_eq!(journal_name(&["../x"]), "import-..%2fx");
        assert!(journal_name(&[&"x".repeat(500)]).len() < 255);
    }

    /// The name of a mailbox, and of each message its text, flags and date.
    type Folder = (String, Vec<(String, String, i64)>);

    /// The mailboxes of an account with the contents, flags and times of their messages.
    fn content(store: &Store, name: &str) -> Vec<Folder> {
        let reader = store.account(name).unwrap().read().unwrap();
        let mut all = Vec::new();
        for mailbox in reader.mailboxes().unwrap() {
            let mut messages = Vec::new();
            let uids = reader.uids(mailbox.id).unwrap();
            let columns = mox_store::Columns::default();
            let _all = reader.fetch(mailbox.id, &uids, columns, &mut |row| {
                let content = reader.content(mailbox.id, Uid::new(row.uid.get()).unwrap());
                let content = String::from_utf8(content.unwrap().to_vec().unwrap()).unwrap();
                let flags = format!("{:?} {}", row.flags, row.keywords);
                messages.push((content, flags, row.received.time().0));
                std::ops::ControlFlow::Continue(())
            });
            all.push((mailbox.name.to_string(), messages));
        }
        all
    }

    fn fill(store: &Store, numbers: std::ops::Range<i64>) {
        let account = store.account("mox").unwrap();
        for mailbox in ["Inbox", "Lists/Entwürfe & more", "Sent"] {
            let messages = numbers.clone().map(|number| {
                let text = format!("Subject: {number} in {mailbox}\r\n\r\ntext\r\n");
                NewMessage {
                    content: account.stage(Vec::new(), &mut io::Cursor::new(text)).unwrap(),
                    flags: if number % 2 == 0 {
                        Flags::SEEN | Flags::FORWARDED
                    } else {
                        Flags::NONE
                    },
                    keywords: vec![mox_base::Keyword::parse("work").unwrap()],
                    received: Some(mox_base::UnixSeconds(1_000_000_000 + number).into()),
                    envelope: None,
                }
            });
            let mailbox = MailboxName::parse(mailbox).unwrap();
            let destination = Destination { mailbox, create: true };
            account.add(destination, messages.collect()).wait().unwrap();
        }
    }

    fn command(dir: &Path, port: u16) -> ImportImap {
        ImportImap {
            account: "mox".to_owned(),
            host: "127.0.0.1".to_owned(),
            port: Some(port),
            tls: Tls::None,
            tlscerts: None,
            user: ADDRESS.to_owned(),
            password_file: None,
            folder: Vec::new(),
            views: false,
            journal: Some(dir.join("journal")),
            options: Common { keep_duplicates: false },
        }
    }

    /// One server of ours is read, the other's account is filled without a server.
    #[tokio::test(flavor = "multi_thread")]
    async fn an_account_is_taken_over_and_then_only_what_is_new() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        for path in [&from, &to] {
            init(path, &InitOptions::default()).unwrap();
        }
        let server =
            Server::start(Options::localserve(&from).unwrap().on_free_ports()).await.unwrap();
        let store = server.services().store.clone();
        fill(&store, 0..450);
        let port = server.address(crate::service::Service::Imap).unwrap().port();
        let global = Global { config: Some(to.join("mox.conf")), loglevel: None, pedantic: false };
        let import = move |global: Global, command: ImportImap| {
            tokio::task::spawn_blocking(move || command.take_over(&global, Secret::new(PASSWORD)))
        };
        let first = import(global.clone(), command(dir.path(), port)).await.unwrap().unwrap();
        assert_eq!((first.added, first.duplicates, first.problems), (3 * 450, 0, 0));
        fill(&store, 450..460);
        let second = import(global.clone(), command(dir.path(), port)).await.unwrap().unwrap();
        assert_eq!((second.added, second.duplicates), (3 * 10, 0));
        // Without the journal all is read again, and nothing is added.
        fs::remove_file(dir.path().join("journal")).unwrap();
        let third = import(global.clone(), command(dir.path(), port)).await.unwrap().unwrap();
        assert_eq!((third.added, third.duplicates), (0, 3 * 460));
        let other = Store::new(&to, Arc::new(SystemClock::new()), Arc::new(Policy::default()));
        assert_eq!(content(&other, "mox"), content(&store, "mox"));

        let nowhere = ImportImap { folder: vec!["x".to_owned()], ..command(dir.path(), port) };
        let error = import(global.clone(), nowhere).await.unwrap().unwrap_err();
        assert!(format!("{error:#}").contains("no such folder"), "{error:#}");
        let nobody =
            ImportImap { user: "nobody@localhost".to_owned(), ..command(dir.path(), port) };
        let error = import(global, nobody).await.unwrap().unwrap_err();
        assert!(format!("{error:#}").contains("login refused"), "{error:#}");
    }
}
