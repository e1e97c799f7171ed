//! What is common to directories and archives: files by their paths become events.

use std::collections::{HashMap, HashSet};
use std::io::{self, Read, Write as _};

use mox_base::{MailboxName, SpecialUse, UnixSeconds, ZonedTime};
use mox_mime::LineEndings;
use mox_store::{MAILBOXES_MAX, MESSAGE_KEYWORDS_MAX};

use super::layout::{self, Place};
use super::{ENTRIES_MAX, EXPANDED_BYTES_MAX, ReadOptions, is_mbox_beginning, read_mbox};
use crate::body::BodyWriter;
use crate::event::{Event, Item, Sink, SourceError, tell, tell_problem};
use crate::maildir_name::{FileName, KEYWORDS_FILE_BYTES_MAX, Letters};

/// The bytes by which a file is known to be an mbox.
const BEGINNING_BYTES: u64 = 16;

/// Reads the files of a tree, in whatever order they come.
pub(super) struct Tree<'a, 's> {
    pub(super) options: &'a ReadOptions,
    pub(super) sink: &'a mut Sink<'s>,
    letters: HashMap<Vec<String>, Letters>,
    told: HashSet<MailboxName>,
    entries: u64,
    expanded: u64,
}

/// A file of the tree.
pub(super) struct Entry<'e> {
    pub(super) path: &'e str,
    pub(super) modified: Option<UnixSeconds>,
    pub(super) content: &'e mut dyn Read,
}

impl<'a, 's> Tree<'a, 's> {
    pub(super) fn new(options: &'a ReadOptions, sink: &'a mut Sink<'s>) -> Self {
        let (letters, told) = (HashMap::new(), HashSet::new());
        Self { options, sink, letters, told, entries: 0, expanded: 0 }
    }

    /// Counts a file or folder.
    pub(super) fn count(&mut self) -> Result<(), SourceError> {
        self.entries += 1;
        if self.entries > ENTRIES_MAX {
            return Err(SourceError::TooMuch { what: "files" });
        }
        Ok(())
    }

    pub(super) fn problem(&mut self, text: String) -> Result<(), SourceError> {
        tell_problem(self.sink, text)
    }

    /// The path without what is to be left out at its start.
    pub(super) fn stripped<'p>(&self, path: &'p str) -> &'p str {
        let prefix = self.options.strip.as_deref().unwrap_or_default();
        path.strip_prefix("./").unwrap_or(path).strip_prefix(prefix).unwrap_or(path)
    }

    /// Whether the names of the keywords of a Maildir are known.
    pub(super) fn has_letters(&self, levels: &[String]) -> bool {
        self.letters.contains_key(levels)
    }

    /// Reads the names of the keywords of a Maildir.
    pub(super) fn learn_letters(
        &mut self,
        levels: Vec<String>,
        content: &mut dyn Read,
    ) -> Result<(), SourceError> {
        let mut text = Vec::new();
        if let Err(error) = content.take(KEYWORDS_FILE_BYTES_MAX).read_to_end(&mut text) {
            return self.problem(format!("{}: names of keywords: {error}", levels.join("/")));
        }
        if self.letters.len() >= MAILBOXES_MAX {
            return Err(SourceError::TooMuch { what: "folders" });
        }
        let (letters, bad) = Letters::parse(&text);
        for line in bad {
            self.problem(format!("{}: no name of a keyword: {line:?}", levels.join("/")))?;
        }
        self.letters.insert(levels, letters);
        Ok(())
    }

    /// The mailbox of a folder. It is told when it is first met.
    pub(super) fn mailbox(&mut self, levels: &[String]) -> Result<MailboxName, SourceError> {
        let (name, changed) = layout::mailbox(&self.options.target, levels);
        if !self.told.contains(&name) {
            if self.told.len() >= MAILBOXES_MAX {
                return Err(SourceError::TooMuch { what: "folders" });
            }
            self.told.insert(name.clone());
            if changed {
                let shown = levels.join("/");
                self.problem(format!(
                    "{shown:?} is no name for a mailbox, taken as {name:?}",
                    name = name.as_str()
                ))?;
            }
            let special_use = SpecialUse::NONE;
            tell(self.sink, Event::Mailbox { name: name.clone(), special_use, subscribed: None })?;
        }
        Ok(name)
    }

    /// Reads a file.
    pub(super) fn file(
        &mut self,
        place: Option<Place>,
        entry: Entry<'_>,
    ) -> Result<(), SourceError> {
        match place {
            Some(Place::Message { levels, name }) => self.message(&levels, &name, entry),
            Some(Place::Mbox { levels, is_certain }) => self.mbox(&levels, is_certain, entry),
            Some(Place::Keywords { levels }) if self.has_letters(&levels) => Ok(()),
            Some(Place::Keywords { levels }) => self.learn_letters(levels, entry.content),
            Some(Place::Maildir { levels }) => self.mailbox(&levels).map(|_| ()),
            Some(Place::Ignored) => Ok(()),
            None => self.problem(format!("unrecognized file {:?}", shortened(entry.path))),
        }
    }

    fn message(
        &mut self,
        levels: &[String],
        name: &str,
        entry: Entry<'_>,
    ) -> Result<(), SourceError> {
        let mailbox = self.mailbox(levels)?;
        let none = Letters::default();
        let parsed = FileName::parse(name, self.letters.get(levels).unwrap_or(&none));
        let Entry { path, modified, content } = entry;
        let bytes_max = self.options.message_bytes_max;
        let mut writer = LineEndings::new(BodyWriter::new(&self.options.temporary, bytes_max));
        let content = Expanding { source: content, expanded: &mut self.expanded };
        let copied = io::copy(&mut content.take(bytes_max.saturating_add(1)), &mut writer);
        if let Err(error) = copied {
            if self.expanded > EXPANDED_BYTES_MAX {
                return Err(SourceError::TooMuch { what: "bytes in the archive" });
            }
            if is_full(&error) {
                return Err(SourceError::Io { what: "temporary file".to_owned(), source: error });
            }
            return self.problem(format!("{}: {error}", shortened(path)));
        }
        writer.flush().map_err(SourceError::io(path))?;
        let body = writer.into_inner().finish().map_err(SourceError::io("temporary file"))?;
        let Some(content) = body else {
            return self.problem(format!("{}: more than {bytes_max} bytes", shortened(path)));
        };
        let FileName { received, flags, mut keywords } = parsed;
        keywords.truncate(MESSAGE_KEYWORDS_MAX);
        let received = received.or(modified).map(ZonedTime::from);
        tell(
            self.sink,
            Event::Message(Box::new(Item { mailbox, received, flags, keywords, content })),
        )
    }

    fn mbox(
        &mut self,
        levels: &[String],
        is_certain: bool,
        entry: Entry<'_>,
    ) -> Result<(), SourceError> {
        let Entry { path, content, .. } = entry;
        let mut beginning = Vec::new();
        let read = Read::take(&mut *content, BEGINNING_BYTES).read_to_end(&mut beginning);
        if let Err(error) = read {
            return self.problem(format!("{}: {error}", shortened(path)));
        }
        // A file of another name is an mbox only if it begins as one, and is not empty.
        let is_mbox = is_mbox_beginning(&beginning) && (is_certain || !beginning.is_empty());
        if !is_mbox {
            return self.problem(format!("unrecognized file {:?}", shortened(path)));
        }
        let mailbox = self.mailbox(levels)?;
        let content = Expanding { source: content, expanded: &mut self.expanded };
        let content = beginning.as_slice().chain(content);
        match read_mbox(content, &mailbox, self.options, self.sink) {
            Ok(_) => Ok(()),
            Err(SourceError::Stopped) => Err(SourceError::Stopped),
            Err(_) if self.expanded > EXPANDED_BYTES_MAX => {
                Err(SourceError::TooMuch { what: "bytes in the archive" })
            }
            Err(SourceError::Io { what, source }) if is_full(&source) => {
                Err(SourceError::Io { what, source })
            }
            Err(error) => self.problem(format!("{}: {error}", shortened(path))),
        }
    }
}

/// Whether there is no room for temporary files: then all that follows would be lost too.
fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// As much of a path as is told.
pub(super) fn shortened(path: &str) -> String {
    path.chars().take(200).collect()
}

/// Counts what is unpacked, and ends in an error beyond the bound.
struct Expanding<'e> {
    source: &'e mut dyn Read,
    expanded: &'e mut u64,
}

impl Read for Expanding<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        *self.expanded = self.expanded.saturating_add(count as u64);
        if *self.expanded > EXPANDED_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "unpacks to too much"));
        }
        Ok(count)
    }
}
