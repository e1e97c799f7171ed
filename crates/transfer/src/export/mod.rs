//! Mail out of accounts: Maildir or mbox, as a directory, an archive or one stream.
//!
//! The account is read a few messages at a time, so that a server beside it can empty its log: what
//! comes or goes meanwhile may be in it or not.

mod message;
mod paths;
mod target;

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;

use mox_base::{Flags, Keyword, MailboxName, MsgId, Uid, UnixSeconds};
use mox_store::{Columns, Content, Mailbox, Reader, StoreError};

use crate::body::BodyWriter;
use crate::maildir_name::{GivenLetters, KEYWORDS_FILE};
use paths::Paths;

pub use message::{write_mbox_message, write_with_line_feeds};
pub use target::Target;

/// Messages that are read at one moment of the account.
const PAGE_MESSAGES: usize = 64;

/// The most problems that are kept and written down.
const PROBLEMS_MAX: usize = 10_000;

/// The file with what could not be exported.
const ERRORS_FILE: &str = "errors.txt";

/// What messages are written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A file for each message.
    Maildir,
    /// A file for each mailbox, lines that begin with `From ` quoted (mboxrd).
    Mbox,
}

/// What is exported and how.
#[derive(Clone, Debug)]
pub struct ExportOptions {
    /// What messages are written as.
    pub format: Format,
    /// Only this mailbox; all if absent. The names of those above it are left out.
    pub mailbox: Option<MailboxName>,
    /// Also those below it.
    pub recursive: bool,
    /// Only messages that came into their mailbox then or later.
    pub since: Option<UnixSeconds>,
    /// A directory for what must be known whole before it is written.
    pub temporary: PathBuf,
}

/// How far it is, or what was done in all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    /// Mailboxes written.
    pub mailboxes: u64,
    /// Messages written.
    pub messages: u64,
    /// Bytes of these messages as the account has them.
    pub bytes: u64,
    /// Messages there were at the beginning.
    pub messages_total: u64,
    /// What could not be written as it is, and why.
    pub problems: Vec<String>,
}

/// Why an export ended early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The watcher wanted no more.
    #[error("stopped")]
    Stopped,
    /// There is no such mailbox.
    #[error("no such mailbox")]
    NoMailbox,
    /// Of several mailboxes no single stream can be made.
    #[error("one mailbox at a time can be written as a single mbox")]
    NotSingle,
    /// The account could not be read.
    #[error("account")]
    Store(#[from] StoreError),
    /// What is exported could not be written.
    #[error("write {what}")]
    Write {
        /// What was written.
        what: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl ExportError {
    fn write(what: &str) -> impl FnOnce(io::Error) -> Self {
        let what = what.to_owned();
        move |source| Self::Write { what, source }
    }
}

/// Hears how far it is. Breaks to end it.
pub type ExportWatcher<'a> = dyn FnMut(&Exported) -> ControlFlow<()> + 'a;

/// Exports mailboxes sorted by name, their messages by the time they were received.
///
/// `open` begins reading the account anew. A message that cannot be read is left out and told in the
/// file `errors.txt`. Blocks. Memory grows with the number of messages in one mailbox only, by some
/// bytes for each.
///
/// # Errors
///
/// If the account cannot be read at all, or the target not be written.
pub fn export<W: Write>(
    open: &dyn Fn() -> Result<Reader, StoreError>,
    options: &ExportOptions,
    target: Target<W>,
    watch: &mut ExportWatcher<'_>,
) -> Result<(Exported, Target<W>), ExportError> {
    let mailboxes = selected(open()?.mailboxes()?, options)?;
    if target.is_single() && (mailboxes.len() != 1 || options.format != Format::Mbox) {
        return Err(ExportError::NotSingle);
    }
    let messages_total = mailboxes.iter().map(|(mailbox, _)| mailbox.counts.messages()).sum();
    let done = Exported { messages_total, ..Exported::default() };
    let mut export = Export { open, options, target, watch, done, paths: Paths::default() };
    for (mailbox, name) in &mailboxes {
        export.mailbox(mailbox, name)?;
        export.done.mailboxes += 1;
    }
    let Export { mut target, done, .. } = export;
    if !done.problems.is_empty() && !target.is_single() {
        let text: String = done.problems.iter().map(|problem| format!("{problem}\n")).collect();
        let written =
            target.file(ERRORS_FILE, UnixSeconds(0), text.len() as u64, &mut text.as_bytes());
        written.map_err(ExportError::write(ERRORS_FILE))?;
    }
    Ok((done, target))
}

/// The mailboxes that are wanted, with the names that they get.
fn selected(
    all: Vec<Mailbox>,
    options: &ExportOptions,
) -> Result<Vec<(Mailbox, String)>, ExportError> {
    let Some(wanted) = &options.mailbox else {
        return Ok(all
            .into_iter()
            .map(|one| {
                let name = one.name.to_string();
                (one, name)
            })
            .collect());
    };
    let above = wanted.parent().map_or(0, |parent| parent.as_str().len() + 1);
    let some: Vec<_> = all
        .into_iter()
        .filter(|one| one.name == *wanted || (options.recursive && one.name.is_below(wanted)))
        .map(|one| {
            let name = one.name.as_str().get(above..).unwrap_or_default().to_owned();
            (one, name)
        })
        .collect();
    if some.is_empty() { Err(ExportError::NoMailbox) } else { Ok(some) }
}

struct Export<'a, 'w, W: Write> {
    open: &'a dyn Fn() -> Result<Reader, StoreError>,
    options: &'a ExportOptions,
    target: Target<W>,
    watch: &'a mut ExportWatcher<'w>,
    done: Exported,
    paths: Paths,
}

/// A message as it is exported.
struct Message {
    id: MsgId,
    received: UnixSeconds,
    flags: Flags,
    keywords: Vec<Keyword>,
    mail_from: String,
    content: Content,
}

/// Whether a message was written; else why it could not be read.
type Written = Result<Option<io::Error>, ExportError>;

impl<W: Write> Export<'_, '_, W> {
    fn problem(&mut self, text: String) {
        if self.done.problems.len() < PROBLEMS_MAX {
            self.done.problems.push(text);
        }
    }

    fn mailbox(&mut self, mailbox: &Mailbox, name: &str) -> Result<(), ExportError> {
        let (path, changed) = self.paths.of(name);
        if changed {
            self.problem(format!("mailbox {name:?} is written as {path:?}"));
        }
        let mut places = Vec::new();
        let reader = (self.open)()?;
        let uids = reader.uids(mailbox.id)?;
        let since = self.options.since;
        let mut earlier = 0;
        let _all = reader.fetch(mailbox.id, &uids, Columns::default(), &mut |row| {
            if since.is_some_and(|since| row.saved < since) {
                earlier += 1;
            } else if !row.is_expunged {
                places.push((row.received.time(), row.id, row.uid));
            }
            ControlFlow::Continue(())
        })?;
        self.done.messages_total = self.done.messages_total.saturating_sub(earlier);
        drop(reader);
        drop(uids);
        places.sort_unstable();
        match self.options.format {
            Format::Maildir => self.maildir(mailbox, &path, &places),
            Format::Mbox => self.mbox(mailbox, &path, &places),
        }
    }

    fn maildir(
        &mut self,
        mailbox: &Mailbox,
        path: &str,
        places: &[(UnixSeconds, MsgId, Uid)],
    ) -> Result<(), ExportError> {
        for folder in ["", "/cur", "/new", "/tmp"] {
            let path = format!("{path}{folder}");
            self.target.folder(&path).map_err(ExportError::write(&path))?;
        }
        let mut letters = GivenLetters::default();
        let mut lost = 0_u64;
        self.each(mailbox, places, &mut |export, message| {
            let (info, is_whole) = letters.of(message.flags, &message.keywords);
            lost += u64::from(!is_whole);
            let folder = if message.flags.contains(Flags::SEEN) { "cur" } else { "new" };
            let time = message.received.0.max(0);
            let path = format!("{path}/{folder}/{time}.{}.mox:2,{info}", message.id);
            let mut text = BodyWriter::new(&export.options.temporary, u64::MAX);
            // Read once before: what fails then is writing.
            let open = || message.content.reader(0..u64::MAX).map_err(io::Error::other);
            if let Err(error) = open().and_then(|mut all| io::copy(&mut all, &mut io::sink())) {
                return Ok(Some(error));
            }
            let content = message.content.reader(0..u64::MAX)?;
            write_with_line_feeds(content, &mut text)
                .map_err(ExportError::write("temporary file"))?;
            export.file(&path, message.received, text)?;
            Ok(None)
        })?;
        if lost > 0 {
            self.problem(format!(
                "{path}: {lost} messages have more keywords than letters are left"
            ));
        }
        let Some(file) = letters.file() else { return Ok(()) };
        let path = format!("{path}/{KEYWORDS_FILE}");
        let written =
            self.target.file(&path, UnixSeconds(0), file.len() as u64, &mut file.as_bytes());
        written.map_err(ExportError::write(&path))
    }

    fn mbox(
        &mut self,
        mailbox: &Mailbox,
        path: &str,
        places: &[(UnixSeconds, MsgId, Uid)],
    ) -> Result<(), ExportError> {
        let path = format!("{path}.mbox");
        if self.target.needs_size() {
            let mut whole = BodyWriter::new(&self.options.temporary, u64::MAX);
            self.each(mailbox, places, &mut |_, message| {
                mbox_message(message, &mut whole).map_err(ExportError::write("temporary file"))
            })?;
            let latest = places.last().map_or(UnixSeconds(0), |place| place.0);
            return self.file(&path, latest, whole);
        }
        self.target.begin(&path).map_err(ExportError::write(&path))?;
        self.each(mailbox, places, &mut |export, message| {
            mbox_message(message, &mut export.target).map_err(ExportError::write(&path))
        })?;
        self.target.end().map_err(ExportError::write(&path))
    }

    /// Writes a file whose content is known now.
    fn file(&mut self, path: &str, time: UnixSeconds, text: BodyWriter) -> Result<(), ExportError> {
        let body = text.finish().map_err(ExportError::write("temporary file"))?;
        let Some(mut body) = body else { return Ok(()) };
        let size = body.size();
        self.target.file(path, time, size, &mut body).map_err(ExportError::write(path))
    }

    /// Hands each message to `write`, which answers with why one could not be read.
    fn each(
        &mut self,
        mailbox: &Mailbox,
        places: &[(UnixSeconds, MsgId, Uid)],
        write: &mut dyn FnMut(&mut Self, &Message) -> Written,
    ) -> Result<(), ExportError> {
        for page in places.chunks(PAGE_MESSAGES) {
            let reader = (self.open)()?;
            for (_, id, uid) in page {
                let unread = match read(&reader, mailbox, *uid) {
                    Ok(Some(message)) => {
                        let unread = write(self, &message)?;
                        self.done.messages += u64::from(unread.is_none());
                        self.done.bytes += message.content.size();
                        unread.map(|error| error.to_string())
                    }
                    // It went meanwhile.
                    Ok(None) => None,
                    Err(error) => Some(error.to_string()),
                };
                if let Some(error) = unread {
                    self.problem(format!("{}: message {id}, uid {uid}: {error}", mailbox.name));
                }
            }
            drop(reader);
            if (self.watch)(&self.done).is_break() {
                return Err(ExportError::Stopped);
            }
        }
        Ok(())
    }
}

fn read(reader: &Reader, mailbox: &Mailbox, uid: Uid) -> Result<Option<Message>, StoreError> {
    let mut row = None;
    let _all = reader.fetch(mailbox.id, &[uid.get()], Columns::default(), &mut |found| {
        if !found.is_expunged {
            row = Some((found.id, found.received.time(), found.flags, found.keyword_list()));
        }
        ControlFlow::Continue(())
    })?;
    let Some((id, received, flags, keywords)) = row else { return Ok(None) };
    let mail_from = reader.mail_from(id)?.unwrap_or_default();
    let content = reader.content(mailbox.id, uid)?;
    Ok(Some(Message { id, received, flags, keywords, mail_from, content }))
}

/// Writes a message to an mbox. A message that is damaged is only known to be so when some of it was
/// written, so it is read once before.
fn mbox_message(message: &Message, to: &mut dyn Write) -> io::Result<Option<io::Error>> {
    let open = || message.content.reader(0..u64::MAX).map_err(io::Error::other);
    if let Err(error) = open().and_then(|mut content| io::copy(&mut content, &mut io::sink())) {
        return Ok(Some(error));
    }
    let Message { received, flags, keywords, mail_from, .. } = message;
    write_mbox_message(open()?, mail_from, *received, (*flags, keywords), to)?;
    Ok(None)
}
