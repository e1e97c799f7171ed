//! `mox import`: mail of other programs into an account.

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail};
use clap::{Args, Subcommand};
use mox_base::MailboxName;
use mox_net::SystemClock;
use mox_store::Store;
use mox_transfer::{
    Event, FrameWriter, ImportOptions, Kind, Meter, Notice, ReadOptions, Sink, SourceError,
    Summary, mailbox_name, read_path, size_of,
};
use tokio::sync::mpsc;

use super::import_imap::ImportImap;
use super::import_moxdata::ImportMoxdata;
use super::progress::{Progress, bytes_text, rate_text};
use super::{Global, print, say};
use crate::ctl::{Client, SOCKET, parse_summary};
use crate::data_dir::DataDir;
use crate::policies::ConfigPolicies;

/// The size of the pieces in which mail goes to the server.
const PIECE_BYTES: usize = 256 << 10;

/// Pieces that wait to be sent.
const PIECES_MAX: usize = 4;

/// Take over mail of other programs into an account.
///
/// Flags, keywords and dates are kept. Missing mailboxes are made, and get the role that their name is
/// known for if no other mailbox has it. Messages that a mailbox has already, byte by byte, are left
/// out: an import that was interrupted is completed by running it again. The files are read by this
/// command and sent to the server if one is running; else it opens the account itself.
#[derive(Debug, Subcommand)]
#[command(subcommand_required = true)]
pub(super) enum Import {
    /// Take over a Maildir, with its folders if it has some.
    ///
    /// Folders named as Dovecot and Courier name them (.Sent.2020), or in directories of their own.
    /// They go below the mailbox, or to the top of the account if that is the Inbox.
    Maildir(Folder),
    /// Take over an mbox, or a directory with such files.
    Mbox(Folder),
    /// Take over a zip file of Maildirs and mbox files.
    Zip(Archive),
    /// Take over a tar file of Maildirs and mbox files, compressed by gzip or not.
    Tgz(Archive),
    Imap(ImportImap),
    Moxdata(ImportMoxdata),
}

/// What comes from a file or directory.
#[derive(Debug, Args)]
pub(super) struct Folder {
    /// Name of the account.
    account: String,
    /// The mailbox for the messages, such as Inbox.
    mailbox: String,
    /// The file or directory.
    path: PathBuf,
    #[command(flatten)]
    options: Common,
}

/// What comes from an archive.
#[derive(Debug, Args)]
pub(super) struct Archive {
    /// Name of the account.
    account: String,
    /// The file.
    path: PathBuf,
    /// What to leave out at the start of names in the archive, such as "backup/".
    #[arg(long, value_name = "PREFIX")]
    strip: Option<String>,
    #[command(flatten)]
    options: Common,
}

/// What all imports take.
#[derive(Debug, Args)]
pub(super) struct Common {
    /// Also add messages that the mailbox has already.
    #[arg(long)]
    pub(super) keep_duplicates: bool,
}

impl Import {
    pub(super) fn run(self, global: &Global) -> Result<ExitCode> {
        let (account, path, target, strip, options, kinds) = match self {
            Self::Imap(command) => return command.run(global).map(|()| ExitCode::SUCCESS),
            Self::Moxdata(command) => return command.run(global),
            Self::Maildir(Folder { account, mailbox, path, options }) => {
                (account, path, mailbox, None, options, [Kind::Directory, Kind::Directory])
            }
            Self::Mbox(Folder { account, mailbox, path, options }) => {
                (account, path, mailbox, None, options, [Kind::Mbox, Kind::Directory])
            }
            Self::Zip(Archive { account, path, strip, options }) => {
                (account, path, "Inbox".to_owned(), strip, options, [Kind::Zip, Kind::Zip])
            }
            Self::Tgz(Archive { account, path, strip, options }) => {
                (account, path, "Inbox".to_owned(), strip, options, [Kind::Tgz, Kind::Tar])
            }
        };
        let kind = Kind::of(&path)?;
        if !kinds.contains(&kind) {
            bail!("{} is {}", path.display(), kind_text(kind));
        }
        let (target, _) = mailbox_name(target.split('/')).context("mailbox name")?;
        let total = size_of(&path).with_context(|| format!("look at {}", path.display()))?;
        let source = Source { path, target, strip };
        let meter = Meter::default();
        let mut watch = Watch::new(Progress::new(Some(total)), meter.clone());
        let job = Job { account, keep_duplicates: options.keep_duplicates };
        let read = move |sink: &mut Sink<'_>| source.read(&meter, sink);
        let started = Instant::now();
        let summary = job.run(global, read, &mut watch)?;
        report(&summary, started)?;
        Ok(ExitCode::SUCCESS)
    }
}

fn kind_text(kind: Kind) -> &'static str {
    match kind {
        Kind::Directory => "a directory",
        Kind::Zip => "a zip file",
        Kind::Tgz => "a tar file, compressed",
        Kind::Tar => "a tar file",
        Kind::Mbox => "an mbox",
    }
}

/// Prints what was done.
pub(super) fn report(summary: &Summary, started: Instant) -> Result<()> {
    let Summary { added, duplicates, bytes, mailboxes, problems } = *summary;
    print(&format!(
        "{added} messages added ({}), {duplicates} were there already, {mailboxes} mailboxes made, \
         {problems} problems; {}\n",
        bytes_text(bytes),
        rate_text(added + duplicates, started.elapsed()),
    ))
}

/// A file or directory to be read.
struct Source {
    path: PathBuf,
    target: MailboxName,
    strip: Option<String>,
}

impl Source {
    fn read(self, meter: &Meter, sink: &mut Sink<'_>) -> Result<(), SourceError> {
        let options = ReadOptions {
            target: self.target,
            temporary: std::env::temp_dir(),
            message_bytes_max: mox_transfer::MESSAGE_BYTES_MAX,
            strip: self.strip,
        };
        read_path(&self.path, &options, meter, sink)
    }
}

/// Tells whoever waits.
pub(super) struct Watch {
    pub(super) progress: Progress,
    pub(super) meter: Meter,
    /// Messages and bytes of earlier jobs.
    before: (u64, u64),
}

impl Watch {
    pub(super) fn new(progress: Progress, meter: Meter) -> Self {
        Self { progress, meter, before: (0, 0) }
    }

    /// So much was done by earlier jobs.
    pub(super) fn done_before(&mut self, summary: &Summary) {
        self.before = (summary.added + summary.duplicates, summary.bytes);
    }

    pub(super) fn problem(&mut self, text: &str) {
        self.progress.clear();
        // A name in somebody's archive may hold what a terminal takes for a command.
        let shown: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        say(&format!("problem: {shown}\n"));
    }

    pub(super) fn show(&mut self, messages: u64, bytes: u64) {
        let (messages, bytes) = (messages + self.before.0, bytes + self.before.1);
        self.progress.show(self.meter.bytes(), messages, bytes);
    }
}

/// Takes mail over, by way of the server or without one.
pub(super) struct Job {
    pub(super) account: String,
    pub(super) keep_duplicates: bool,
}

impl Job {
    /// Takes over what a source gives. What was taken over before an error stays.
    pub(super) fn run(
        &self,
        global: &Global,
        source: impl FnOnce(&mut Sink<'_>) -> Result<(), SourceError> + Send + 'static,
        watch: &mut Watch,
    ) -> Result<Summary> {
        let config = global.config()?;
        let data_dir = config.snapshot().data_dir();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.context("start runtime")?;
        let client = match runtime.block_on(Client::connect(&data_dir)) {
            Ok(client) => client,
            Err(error) if is_nobody_there(&data_dir) => {
                refuse_other_owner(&data_dir)?;
                let data = DataDir::take(&data_dir).with_context(|| error.to_string())?;
                let policies = Arc::new(ConfigPolicies::new(Arc::new(config)));
                let store = Store::new(data.path(), Arc::new(SystemClock::new()), policies);
                return self.offline(&store, source, watch);
            }
            Err(error) => return Err(error),
        };
        let summary = runtime.block_on(self.online(client, source, watch));
        watch.progress.clear();
        summary
    }

    fn offline(
        &self,
        store: &Store,
        source: impl FnOnce(&mut Sink<'_>) -> Result<(), SourceError>,
        watch: &mut Watch,
    ) -> Result<Summary> {
        let account = store.account(&self.account).context("open account")?;
        let options = ImportOptions { keep_duplicates: self.keep_duplicates };
        let outcome = mox_transfer::import(&account, options, source, &mut |notice| {
            match notice {
                Notice::Problem(text) => watch.problem(text),
                Notice::Progress(summary) => {
                    watch.show(summary.added + summary.duplicates, summary.bytes);
                }
            }
            ControlFlow::Continue(())
        });
        watch.progress.clear();
        let added = outcome.summary.added;
        outcome.end.with_context(|| format!("{added} messages were added, then it ended"))?;
        Ok(outcome.summary)
    }

    async fn online(
        &self,
        mut client: Client,
        source: impl FnOnce(&mut Sink<'_>) -> Result<(), SourceError> + Send + 'static,
        watch: &mut Watch,
    ) -> Result<Summary> {
        let keep = if self.keep_duplicates { "keep" } else { "" };
        client.run("import", &[&self.account, keep]).await?;
        let (pieces, mut to_send) = mpsc::channel(PIECES_MAX);
        let (notes, mut told) = mpsc::channel(PIECES_MAX);
        let reading = tokio::task::spawn_blocking(move || feed(source, pieces, &notes));
        let tell = async {
            let mut local_problems = 0;
            while let Some(note) = told.recv().await {
                match note {
                    Note::Problem(text) => {
                        local_problems += 1;
                        watch.problem(&text);
                    }
                    Note::Read { messages, bytes } => watch.show(messages, bytes),
                }
            }
            local_problems
        };
        // Once the server refuses, nothing more is read: the reader finds that nobody listens.
        let send = async {
            let sent = client.send_pieces(&mut to_send).await;
            drop(to_send);
            sent
        };
        let (sent, local_problems) = tokio::join!(send, tell);
        let read = reading.await.context("reading")?;
        sent.map_err(|error| anyhow!("the server ended it: {error}"))?;
        let text = String::from_utf8(client.data().await?).context("answer of the server")?;
        let mut lines = text.lines();
        let mut summary = lines.next().and_then(parse_summary).context("answer of the server")?;
        for problem in lines {
            watch.problem(problem);
        }
        summary.problems += local_problems;
        let added = summary.added;
        read.with_context(|| format!("{added} messages were added, then it ended"))?;
        Ok(summary)
    }
}

/// Whether no server listens on the control socket.
fn is_nobody_there(data_dir: &Path) -> bool {
    let path = data_dir.join(SOCKET);
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => false,
        Err(error) => {
            matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
        }
    }
}

/// What root writes, the server could not open later.
fn refuse_other_owner(data_dir: &Path) -> Result<()> {
    let owner = std::fs::metadata(data_dir).context("look at the data directory")?.uid();
    if owner != nix::unistd::geteuid().as_raw() {
        bail!(
            "without a running server this must be run by the owner of {}: start the server, or use \
             \"sudo -u '#{owner}'\"",
            data_dir.display()
        );
    }
    Ok(())
}

/// What the reading thread tells.
enum Note {
    Problem(String),
    Read { messages: u64, bytes: u64 },
}

/// Reads the source and sends it in pieces. Also ends what is sent if the source cannot be read on: the
/// server takes over what it has.
fn feed(
    source: impl FnOnce(&mut Sink<'_>) -> Result<(), SourceError>,
    pieces: mpsc::Sender<Vec<u8>>,
    notes: &mpsc::Sender<Note>,
) -> Result<(), SourceError> {
    let mut writer = FrameWriter::new(PieceWriter { pieces, piece: Vec::new() });
    let (mut messages, mut bytes) = (0, 0);
    let mut failed = None;
    let read = source(&mut |mut event| {
        match &event {
            Event::Problem(text) => {
                let _nobody = notes.blocking_send(Note::Problem(text.clone()));
            }
            Event::Message(item) => {
                messages += 1;
                bytes += item.content.size();
                // Whoever shows it may be behind.
                let _full = notes.try_send(Note::Read { messages, bytes });
            }
            Event::Mailbox { .. } => {}
        }
        match writer.event(&mut event) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        }
    });
    if let Some(source) = failed {
        return Err(SourceError::Io { what: "send to the server".to_owned(), source });
    }
    let ended = writer.end();
    read?;
    ended
        .map(drop)
        .map_err(|source| SourceError::Io { what: "send to the server".to_owned(), source })
}

/// Collects what is written into pieces, and waits while too many are on their way.
struct PieceWriter {
    pieces: mpsc::Sender<Vec<u8>>,
    piece: Vec<u8>,
}

impl Write for PieceWriter {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.piece.extend_from_slice(data);
        if self.piece.len() >= PIECE_BYTES {
            self.flush()?;
        }
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE_BYTES));
        self.pieces.blocking_send(piece).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use mox_store::ReadOnly;
    use mox_transfer::{ExportOptions, Exported, Format, Target, export};

    use super::*;
    use crate::localserve::{InitOptions, init};
    use crate::server::{Options, Server};

    /// Imports as the command does. What was added and what was there.
    fn run(dir: &Path, path: &Path) -> Result<(u64, u64)> {
        let global = Global { config: Some(dir.join("mox.conf")), loglevel: None, pedantic: false };
        let (path, target) = (path.to_owned(), MailboxName::inbox());
        let source = Source { path, target, strip: None };
        let meter = Meter::default();
        let mut watch = Watch::new(Progress::new(None), meter.clone());
        let job = Job { account: "mox".to_owned(), keep_duplicates: false };
        let summary = job.run(&global, move |sink| source.read(&meter, sink), &mut watch)?;
        Ok((summary.added, summary.duplicates))
    }

    fn mbox(count: usize) -> String {
        (0..count).map(|n| format!("From a\nSubject: {n}\n\ntext {n}\n\n")).collect()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn mail_goes_to_a_server_and_without_one_to_the_account_itself() {
        let dir = tempfile::tempdir().unwrap();
        let (ls, file) = (dir.path().join("ls"), dir.path().join("old.mbox"));
        init(&ls, &InitOptions::default()).unwrap();
        fs::write(&file, mbox(300)).unwrap();
        let (here, path) = (ls.clone(), file.clone());
        let outcome = tokio::task::spawn_blocking(move || run(&here, &path)).await.unwrap();
        assert_eq!(outcome.unwrap(), (300, 0));

        let options = Options::localserve(&ls).unwrap().on_free_ports();
        let server = Server::start(options).await.unwrap();
        fs::write(&file, mbox(1_000)).unwrap();
        let (here, path) = (ls.clone(), file.clone());
        let outcome = tokio::task::spawn_blocking(move || run(&here, &path)).await.unwrap();
        assert_eq!(outcome.unwrap(), (700, 300));

        // An export beside the server has all of it.
        let account = ReadOnly::open(&server.data_dir().join("accounts/mox")).unwrap();
        let options = ExportOptions {
            since: None,
            format: Format::Mbox,
            mailbox: Some(MailboxName::inbox()),
            recursive: false,
            temporary: dir.path().to_owned(),
        };
        let watch = &mut |_: &Exported| ControlFlow::Continue(());
        let target = Target::single(Vec::new());
        let (done, _) = export(&|| account.read(), &options, target, watch).unwrap();
        assert_eq!(done.messages, 1_000);
    }

    #[test]
    fn a_file_that_is_something_else_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("notes");
        fs::write(&file, "remember the milk").unwrap();
        let import = Import::Zip(Archive {
            account: "mox".to_owned(),
            path: file,
            strip: None,
            options: Common { keep_duplicates: false },
        });
        let global = Global { config: None, loglevel: None, pedantic: false };
        let error = import.run(&global).unwrap_err().to_string();
        assert!(error.contains("neither a directory nor an mbox"), "{error}");
    }
}
