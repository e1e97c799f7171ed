//! The files of queued messages, and which of them are the same message for several recipients.

use std::fs::{self, File};
use std::io::{self, BufReader, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use mox_queue::{KeptBody, KeptQueued, MessageId, Queue, Queued};

use super::message::Found;
use crate::file::{TakeoverError, open_own};
use crate::message::file_name;

/// Bodies of one submission that are told apart; each further one is kept by itself.
const FORMS_MAX: usize = 16;

/// What is larger without its file is kept by itself.
const FORM_BYTES_MAX: u64 = 1 << 20;

const CHUNK_BYTES: u64 = 64 << 10;

/// The files, and the bodies of the submission that was seen last: of the recipients of one, ours keeps
/// the body once, and sends it to several of them at once. The numbers of one submission follow one
/// another.
#[derive(Debug)]
pub(super) struct Files {
    dir: PathBuf,
    base: Option<MessageId>,
    forms: Vec<Form>,
}

/// A body, and everything else that recipients that have it must have in common.
#[derive(Debug)]
struct Form {
    message: Queued,
    prefix: Vec<u8>,
    utf8: Vec<u8>,
    file: (u64, u64),
    path: PathBuf,
}

impl Files {
    /// - `dir`: with `index.db`.
    pub(super) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), base: None, forms: Vec::new() }
    }

    fn path(&self, id: MessageId) -> PathBuf {
        self.dir.join(file_name(id.0))
    }

    /// Looks at the file of a message; or says why there is none.
    pub(super) fn find(&self, mut found: Found) -> Result<Found, String> {
        let path = self.path(found.message.id);
        let shown = |error: io::Error| format!("{}: {error}", path.display());
        let meta = fs::symlink_metadata(&path).map_err(shown)?;
        if !meta.is_file() {
            return Err(format!("{}: not a file", path.display()));
        }
        let (noted, size) = (found.message.size, found.prefix.len() as u64 + meta.len());
        if size < noted {
            return Err(format!("{}: {size} bytes with its prefix, not {noted}", path.display()));
        }
        found.is_longer = size > noted;
        found.message.size = size;
        Ok(found)
    }

    /// Sets the base of a message, and finds an earlier one of the submission that has the same body.
    /// To be called for all messages, in their order.
    ///
    /// Recipients of one base are sent one body: those whose bodies differ get bases of their own.
    pub(super) fn join(&mut self, found: &mut Found) -> io::Result<Option<MessageId>> {
        if found.message.base_id != self.base {
            self.forms.clear();
            self.base = found.message.base_id;
        }
        let Some(base) = self.base else { return Ok(None) };
        if found.bytes > FORM_BYTES_MAX {
            // Not compared with any other, so it has no siblings either.
            found.message.base_id = Some(found.message.id).filter(|id| *id != base);
            return Ok(None);
        }
        let path = self.path(found.message.id);
        let meta = fs::symlink_metadata(&path)?;
        let file = (meta.dev(), meta.ino());
        for form in &self.forms {
            if form.is_of(found) && (form.file == file || have_same_content(&form.path, &path)?) {
                found.message.base_id = form.message.base_id;
                return Ok(Some(form.message.id));
            }
        }
        if !self.forms.is_empty() {
            found.message.base_id = Some(found.message.id).filter(|id| *id != base);
        }
        if self.forms.len() < FORMS_MAX {
            let Found { message, prefix, utf8, .. } = &*found;
            let (message, prefix, utf8) = (message.clone(), prefix.clone(), utf8.clone());
            self.forms.push(Form { message, prefix, utf8, file, path });
        }
        Ok(None)
    }

    /// Makes a message ready to be kept, or says why its file cannot be read. Also says how many bytes
    /// of memory that takes.
    ///
    /// - `of`: see [`Files::join`].
    pub(super) fn stage(
        &mut self,
        queue: &Queue,
        found: Found,
        of: Option<MessageId>,
    ) -> Result<Result<(KeptQueued, u64), String>, TakeoverError> {
        let Found { message, prefix, utf8, bytes, .. } = found;
        if let Some(of) = of {
            return Ok(Ok((KeptQueued { message, body: KeptBody::Of(of) }, bytes)));
        }
        let path = self.path(message.id);
        let file = match open_own(&path) {
            Ok(file) => file,
            Err(error) => return Ok(Err(self.without(message.id, &error))),
        };
        let mut source = Source { file: BufReader::new(file), error: None };
        let staged = queue.stage(&mut prefix.as_slice().chain(&mut source));
        if let Some(error) = source.error {
            return Ok(Err(self.without(message.id, &error)));
        }
        let body = staged?;
        let utf8 = match utf8.as_slice() {
            [] => None,
            mut utf8 => Some(queue.stage(&mut utf8)?),
        };
        let bytes = bytes + body.size() + utf8.as_ref().map_or(0, mox_queue::Body::size);
        Ok(Ok((KeptQueued { message, body: KeptBody::Own { body, utf8 } }, bytes)))
    }

    /// Nobody can have the body of a message that has none.
    fn without(&mut self, id: MessageId, error: &io::Error) -> String {
        self.forms.retain(|form| form.message.id != id);
        format!("{}: {error}", self.path(id).display())
    }
}

impl Form {
    /// Whether all but the file is the same.
    fn is_of(&self, found: &Found) -> bool {
        let (one, other) = (&self.message, &found.message);
        one.account == other.account
            && one.mail_from == other.mail_from
            && one.kind == other.kind
            && one.size == other.size
            && one.message_id == other.message_id
            && one.subject == other.subject
            && one.has_8bit == other.has_8bit
            && one.needs_utf8 == other.needs_utf8
            && one.attempts_max == other.attempts_max
            && one.extra == other.extra
            && one.release.as_ref().map(|release| &release.request)
                == other.release.as_ref().map(|release| &release.request)
            && self.prefix == found.prefix
            && self.utf8 == found.utf8
    }
}

/// The file of a message, which remembers that it could not be read: what else fails is ours.
struct Source {
    file: BufReader<File>,
    error: Option<io::Error>,
}

impl io::Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read(buffer).map_err(|error| {
            let kind = error.kind();
            self.error = Some(error);
            kind.into()
        })
    }
}

/// Copies are links to one file, unless somebody has copied the directory without.
fn have_same_content(one: &Path, other: &Path) -> io::Result<bool> {
    let (mut one, mut other) = (open_own(one)?, open_own(other)?);
    let (mut first, mut second) = (Vec::new(), Vec::new());
    loop {
        first.clear();
        second.clear();
        one.by_ref().take(CHUNK_BYTES).read_to_end(&mut first)?;
        other.by_ref().take(CHUNK_BYTES).read_to_end(&mut second)?;
        if first != second {
            return Ok(false);
        }
        if first.is_empty() {
            return Ok(true);
        }
    }
}
