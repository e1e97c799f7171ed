//! Bodies: small ones in the database, large ones in files beside it.
//!
//! Invariant: the file of a body is on disk, with its name, before the row that names it; it goes
//! after the commit that removed its row. What a crash leaves between is swept at opening.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mox_base::Rng;
use mox_sqlite::{Disk, create_dirs};
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::error::{QueueError, Result};
use crate::message::MessageId;
use crate::queue::{Queue, State};

/// A body that is larger than this becomes a file.
pub const INLINE_BYTES_MAX: usize = 256 << 10;

/// The folder with large bodies in the folder of a queue.
pub const BODIES: &str = "bodies";

/// Names tried for a new file. They are long and random: one that is taken is a bad generator.
const NAMES_TRIED_MAX: usize = 10;

const NAME_BYTES: usize = 16;

/// A body that is ready to be added: a large one is on disk already, and is removed again if it is
/// not added.
#[derive(Debug)]
pub struct Body(Place);

#[derive(Debug)]
enum Place {
    Inline(Vec<u8>),
    File(StagedFile),
}

#[derive(Debug)]
struct StagedFile {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    name: String,
    size: u64,
    keep: bool,
}

impl Drop for StagedFile {
    fn drop(&mut self) {
        if !self.keep
            && let Err(error) = self.disk.remove(&self.dir.join(&self.name))
        {
            tracing::warn!(%error, file = %self.name, "removing the file of a message not queued");
        }
    }
}

impl Body {
    /// Bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        match &self.0 {
            Place::Inline(data) => data.len() as u64,
            Place::File(file) => file.size,
        }
    }

    /// What it takes of the memory that may wait for the writer.
    pub(crate) fn memory_bytes(&self) -> usize {
        match &self.0 {
            Place::Inline(data) => data.len(),
            Place::File(_) => 0,
        }
    }

    /// The row. To be called when nothing but the commit can fail any more.
    pub(crate) fn insert(self, db: &Connection, message: i64, is_utf8: bool) -> Result<()> {
        let size = self.size();
        let (data, mut file) = match self.0 {
            Place::Inline(data) => (Some(data), None),
            Place::File(file) => (None, Some(file)),
        };
        let name = file.as_ref().map(|file| &file.name);
        db.prepare_cached("INSERT INTO body VALUES(?1, ?2, ?3, ?4, ?5)")?.execute(params![
            message,
            is_utf8,
            size.cast_signed(),
            data,
            name
        ])?;
        if let Some(file) = &mut file {
            file.keep = true;
        }
        Ok(())
    }
}

/// Reads a body, forth and back.
#[derive(Debug)]
pub struct BodyReader {
    source: Source,
    size: u64,
}

#[derive(Debug)]
enum Source {
    Inline(Cursor<Vec<u8>>),
    File(File),
}

impl BodyReader {
    /// Bytes in all.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.size
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.size == 0
    }

    /// All of it, if it is in memory anyway: a body of at most [`INLINE_BYTES_MAX`].
    #[must_use]
    pub fn in_memory(&self) -> Option<&[u8]> {
        match &self.source {
            Source::Inline(data) => Some(data.get_ref()),
            Source::File(_) => None,
        }
    }
}

impl Read for BodyReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.source {
            Source::Inline(data) => data.read(buffer),
            Source::File(file) => file.read(buffer),
        }
    }
}

impl Seek for BodyReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match &mut self.source {
            Source::Inline(data) => data.seek(to),
            Source::File(file) => file.seek(to),
        }
    }
}

impl Queue {
    /// Prepares a body. Blocks; a large one is synced here.
    ///
    /// # Errors
    ///
    /// If `source` cannot be read, or the file of a large body not be written and synced.
    pub fn stage(&self, source: &mut impl Read) -> Result<Body> {
        let state = self.state();
        let mut head = Vec::new();
        source.by_ref().take(INLINE_BYTES_MAX as u64 + 1).read_to_end(&mut head)?;
        if head.len() <= INLINE_BYTES_MAX {
            return Ok(Body(Place::Inline(head)));
        }
        let dir = bodies_dir(&state.dir);
        let name = new_name(&dir, &*state.rng)?;
        let path = dir.join(&name);
        let folder = path.parent().map_or_else(|| dir.clone(), Path::to_path_buf);
        create_dirs(&*state.disk, &folder)?;
        let disk = Arc::clone(&state.disk);
        let mut file = StagedFile { disk, dir, name, size: 0, keep: false };
        file.size = state.disk.create_synced(&path, &mut Cursor::new(head).chain(source))?;
        state.disk.sync_dir(&folder)?;
        Ok(Body(Place::File(file)))
    }

    /// The body of a message.
    ///
    /// # Errors
    ///
    /// [`QueueError::NoMessage`] if it is not queued any more; else if it cannot be read.
    pub fn body(&self, id: MessageId) -> Result<BodyReader> {
        self.open_body(id, false)?.ok_or(QueueError::NoMessage)
    }

    /// The form of the body for peers with SMTPUTF8, if there is one.
    ///
    /// # Errors
    ///
    /// As [`Queue::body`].
    pub fn body_utf8(&self, id: MessageId) -> Result<Option<BodyReader>> {
        self.open_body(id, true)
    }

    fn open_body(&self, id: MessageId, is_utf8: bool) -> Result<Option<BodyReader>> {
        const SQL: &str = "SELECT b.size, b.data, b.file FROM queued AS q \
            JOIN body AS b ON b.message = q.message WHERE q.id = ?1 AND b.is_utf8 = ?2";
        let row: Option<(i64, Option<Vec<u8>>, Option<String>)> = self.read(|db| {
            let mut statement = db.prepare_cached(SQL)?;
            let columns = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
            Ok(statement.query_row(params![id.0, is_utf8], columns).optional()?)
        })?;
        let Some((size, data, file)) = row else {
            return Ok(None);
        };
        let source = match (data, file) {
            (Some(data), _) => Source::Inline(Cursor::new(data)),
            (None, Some(name)) => {
                Source::File(File::open(bodies_dir(&self.state().dir).join(name))?)
            }
            (None, None) => return Err(QueueError::Damaged { what: "body without content" }),
        };
        Ok(Some(BodyReader { source, size: size.cast_unsigned() }))
    }
}

/// Removes the bodies of a message. Returns the files to remove after the commit.
pub(crate) fn remove(db: &Connection, message: i64) -> Result<Vec<String>> {
    let mut statement = db.prepare_cached("DELETE FROM body WHERE message = ?1 RETURNING file")?;
    let files = statement.query_map([message], |row| row.get::<_, Option<String>>(0))?;
    Ok(files.filter_map(rusqlite::Result::transpose).collect::<rusqlite::Result<_>>()?)
}

/// Removes files that no row names any more, after their commit.
pub(crate) fn remove_files(state: &State, files: &[String]) {
    let mut held = state.held.lock();
    if held.holds > 0 {
        held.files.extend_from_slice(files);
        return;
    }
    drop(held);
    for name in files {
        if let Err(error) = state.disk.remove(&bodies_dir(&state.dir).join(name)) {
            // It is swept when the queue is opened next.
            tracing::warn!(%error, file = %name, "removing the file of a message");
        }
    }
}

/// Body files that are to go when nobody holds that off any more.
#[derive(Debug, Default)]
pub(crate) struct Held {
    holds: u32,
    files: Vec<String>,
}

/// Keeps body files of a queue from being removed until it is dropped.
#[must_use = "files are removed again when this is dropped"]
pub struct BodyHold(Arc<State>);

impl Drop for BodyHold {
    fn drop(&mut self) {
        let mut held = self.0.held.lock();
        held.holds = held.holds.saturating_sub(1);
        let files = if held.holds == 0 { std::mem::take(&mut held.files) } else { Vec::new() };
        drop(held);
        remove_files(&self.0, &files);
    }
}

impl Queue {
    /// Holds off the removal of body files: every one that the database names from now on stays
    /// until the hold is dropped, and then goes if its message is gone.
    pub fn hold_bodies(&self) -> BodyHold {
        self.state().held.lock().holds += 1;
        BodyHold(Arc::clone(self.state()))
    }
}

/// The body files that messages of a copy have, as they are named below [`BODIES`]. Nobody may be
/// writing to the copy.
///
/// # Errors
///
/// If the database cannot be opened or read.
pub fn body_files(dir: &Path) -> Result<Vec<String>> {
    let db = mox_sqlite::open_still(&crate::queue::database(dir), &crate::schema::SETTINGS)?;
    let mut statement = db.prepare("SELECT file FROM body WHERE file IS NOT NULL ORDER BY file")?;
    Ok(statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?)
}

/// Removes files without a row: a crash came between the two.
pub(crate) fn sweep(dir: &Path, disk: &dyn Disk, db: &Connection) -> Result<()> {
    let dir = bodies_dir(dir);
    if !dir.is_dir() {
        return Ok(());
    }
    let known: HashSet<String> = db
        .prepare("SELECT file FROM body WHERE file IS NOT NULL")?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for folder in fs::read_dir(&dir)? {
        let folder = folder?;
        // What somebody else put there keeps no queue closed.
        if !folder.file_type()?.is_dir() {
            continue;
        }
        for file in fs::read_dir(folder.path())? {
            let file = file?;
            if !file.file_type()?.is_file() {
                continue;
            }
            let (folder, file) = (folder.file_name(), file.file_name());
            let name = format!("{}/{}", folder.to_string_lossy(), file.to_string_lossy());
            if !known.contains(&name) {
                tracing::info!(file = %name, "removing body file without message");
                disk.remove(&dir.join(name))?;
            }
        }
    }
    Ok(())
}

pub(crate) fn bodies_dir(dir: &Path) -> PathBuf {
    dir.join(BODIES)
}

/// A name that is not taken: random, in a folder of its first two digits.
fn new_name(dir: &Path, rng: &dyn Rng) -> io::Result<String> {
    for _ in 0..NAMES_TRIED_MAX {
        let mut bytes = [0; NAME_BYTES];
        rng.fill(&mut bytes);
        let [first, ..] = bytes;
        let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let name = format!("{first:02x}/{digits}");
        if !dir.join(&name).exists() {
            return Ok(name);
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}
