//! Preparing a message for the store: analysed and compressed on the caller's thread, a large
//! body already durable, so that the writer has only rows to insert.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fs;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use aws_lc_rs::digest::Context;
use mox_base::UnixSeconds;
use mox_mime::{Analysis, Limits};
use mox_sqlite::{Disk, create_dirs};
use rusqlite::{Connection, params};
use zstd::stream::raw::CParameter;
use zstd::stream::read::Encoder;

use crate::Result;
use crate::account::{Account, Shared};
use crate::content::{HEAD_ZSTD, TEXT_ZSTD, WHOLE_BYTES_MAX};
use crate::hash::{self, BodyHash, Hashing};
use crate::tx::Tx;

/// A text that is larger than this when compressed becomes a file beside the database.
pub const INLINE_BYTES_MAX: usize = 256 << 10;

/// The most of a header section that is stored apart from the text.
const HEAD_BYTES_MAX: u64 = 256 << 10;

/// Level 1: the higher ones cost more time than they save space.
const ZSTD_LEVEL: i32 = 1;

/// The window of a large text: 128 KB. A session that streams one holds as much.
const WINDOW_LOG: u32 = 17;

/// Compression must save at least one part in this many.
const SAVING_PARTS: usize = 20;

/// How much of a large text is tried to see whether it can be compressed.
const SAMPLE_BYTES: usize = 64 << 10;

/// What the store keeps of the analysis of a message.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    pub(crate) message_id: Option<String>,
    /// Base subject; absent when empty.
    pub(crate) subject: Option<String>,
    pub(crate) is_reply: bool,
    /// Oldest first.
    pub(crate) references: Vec<String>,
    pub(crate) is_dsn: bool,
    pub(crate) sent: Option<UnixSeconds>,
    pub(crate) sent_day: Option<i64>,
    pub(crate) structure: Vec<u8>,
    pub(crate) preview: String,
}

#[derive(Debug)]
enum StagedText {
    Inline(Vec<u8>),
    File(StagedFile),
}

/// A file that is removed again unless its row is committed.
#[derive(Debug)]
struct StagedFile {
    shared: Arc<SharedDisk>,
    name: String,
    keep: bool,
}

/// What removing a staged file needs, without keeping the account open.
#[derive(Debug)]
struct SharedDisk {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
}

impl Drop for StagedFile {
    fn drop(&mut self) {
        if !self.keep
            && let Err(error) = self.shared.disk.remove(&self.shared.dir.join(&self.name))
        {
            tracing::warn!(%error, file = %self.name, "removing the file of a refused message");
        }
    }
}

/// A message ready to be added.
#[derive(Debug)]
pub struct Staged {
    pub(crate) facts: Facts,
    pub(crate) prefix: Vec<u8>,
    codec: u8,
    head: Vec<u8>,
    head_size: u64,
    text: StagedText,
    text_size: u64,
    hash: BodyHash,
}

impl Account {
    /// Prepares a message: `prefix` are the header lines that the server adds in front of it, so
    /// it must begin with its header section, be it an empty one.
    ///
    /// Costs time for parsing and compressing, and blocks on the disk if the message is large.
    /// Memory stays below a few MB whatever its size.
    ///
    /// # Errors
    ///
    /// If `source` cannot be read, or the file of a large body not be written and synced.
    pub fn stage(&self, prefix: Vec<u8>, source: &mut (impl Read + Seek)) -> Result<Staged> {
        let size = source.seek(SeekFrom::End(0))?;
        source.seek(SeekFrom::Start(0))?;
        let analysis = mox_mime::analyze(source, &Limits::default())?;
        let body_offset = analysis.message.root.body_offset;
        let head_size = body_offset.min(HEAD_BYTES_MAX);
        let text_size = size.saturating_sub(head_size);
        source.seek(SeekFrom::Start(0))?;
        let head = read_exactly(source, head_size)?;
        let mut hashed = hash::begin(&prefix);
        hashed.update(&head);
        let (head, head_codec) = match compress(&head)? {
            Some(smaller) => (smaller, HEAD_ZSTD),
            None => (head, 0),
        };
        let range = head_size..head_size.saturating_add(text_size);
        let (text, text_codec, hash) = stage_text(self.shared(), source, range, hashed)?;
        let codec = head_codec | text_codec;
        let facts = Facts::of(&analysis);
        Ok(Staged { facts, prefix, codec, head, head_size, text, text_size, hash })
    }
}

impl Facts {
    pub(crate) fn of(analysis: &Analysis) -> Self {
        let summary = &analysis.summary;
        Self {
            message_id: summary.message_id.as_ref().map(|id| id.id.clone()),
            subject: Some(summary.base_subject.clone()).filter(|subject| !subject.is_empty()),
            is_reply: summary.is_reply,
            references: summary.references.clone(),
            is_dsn: summary.is_dsn,
            sent: summary.date,
            sent_day: summary.sent_day,
            structure: analysis.message.to_blob(),
            preview: summary.preview.clone(),
        }
    }
}

impl Staged {
    /// The size of the message in bytes, with the prefix.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.prefix.len() as u64 + self.head_size + self.text_size
    }

    /// Its hash, with the prefix.
    #[must_use]
    pub fn hash(&self) -> BodyHash {
        self.hash
    }

    /// What it takes of the memory that may wait in a queue.
    pub(crate) fn memory_bytes(&self) -> usize {
        let text = match &self.text {
            StagedText::Inline(data) => data.len(),
            StagedText::File(_) => 0,
        };
        self.prefix.len() + self.head.len() + text + self.facts.structure.len()
    }

    /// Inserts the row of the body. If the commit fails later, the file without a row is removed
    /// when the account is opened anew.
    pub(crate) fn insert_body(self, tx: &mut Tx<'_>, id: i64) -> Result<()> {
        let (data, mut file) = match self.text {
            StagedText::Inline(data) => (Some(data), None),
            StagedText::File(file) => (None, Some(file)),
        };
        let mut insert =
            tx.db().prepare_cached("INSERT INTO body VALUES (?1, 1, ?2, ?3, ?4, ?5, ?6, ?7)")?;
        insert.execute(params![
            id,
            self.codec,
            self.head_size,
            self.text_size,
            self.head,
            data,
            file.as_ref().map(|file| &file.name),
        ])?;
        if let Some(file) = &mut file {
            file.keep = true;
        }
        hash::insert(tx.db(), id, &self.hash)
    }
}

fn read_exactly(source: &mut impl Read, size: u64) -> Result<Vec<u8>> {
    let mut data = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
    source.take(size).read_to_end(&mut data)?;
    if data.len() as u64 == size {
        return Ok(data);
    }
    Err(io::Error::from(io::ErrorKind::UnexpectedEof).into())
}

thread_local! {
    static COMPRESSOR: RefCell<Option<zstd::bulk::Compressor<'static>>> =
        const { RefCell::new(None) };
}

/// The compressed form, if it saves enough.
fn compress(data: &[u8]) -> Result<Option<Vec<u8>>> {
    let smaller = COMPRESSOR.with_borrow_mut(|slot| {
        let compressor = match slot {
            Some(compressor) => compressor,
            None => slot.insert(zstd::bulk::Compressor::new(ZSTD_LEVEL)?),
        };
        compressor.compress(data)
    })?;
    let saves = smaller.len() + data.len() / SAVING_PARTS < data.len();
    Ok(saves.then_some(smaller))
}

/// Stages the text, which is this range of the source, and finishes the hash with it.
fn stage_text(
    shared: &Shared,
    source: &mut (impl Read + Seek),
    range: Range<u64>,
    mut hashed: Context,
) -> Result<(StagedText, u8, BodyHash)> {
    let size = range.end - range.start;
    if size <= WHOLE_BYTES_MAX {
        let data = read_exactly(source, size)?;
        hashed.update(&data);
        let hash = hash::finish(hashed);
        let (data, codec) = match compress(&data)? {
            Some(smaller) => (smaller, TEXT_ZSTD),
            None => (data, 0),
        };
        if data.len() <= INLINE_BYTES_MAX {
            return Ok((StagedText::Inline(data), codec, hash));
        }
        let file = write_file(shared, &mut data.as_slice())?;
        return Ok((StagedText::File(file), codec, hash));
    }
    let sample = read_exactly(source, SAMPLE_BYTES as u64)?;
    // Each try reads the text anew, and hashes it anew.
    source.seek(SeekFrom::Start(range.start))?;
    let mut text = Hashing::new(&hashed, source.take(size));
    if compress(&sample)?.is_none() {
        let file = write_file(shared, &mut text)?;
        return Ok((StagedText::File(file), 0, text.finish()));
    }
    if let Some(data) = compress_inline(&mut text)? {
        return Ok((StagedText::Inline(data), TEXT_ZSTD, text.finish()));
    }
    source.seek(SeekFrom::Start(range.start))?;
    let mut text = Hashing::new(&hashed, source.take(size));
    let file = write_file(shared, &mut encoder(&mut text)?)?;
    Ok((StagedText::File(file), TEXT_ZSTD, text.finish()))
}

/// Compresses a stream so that reading it later takes little memory.
fn encoder<'a, R: Read>(source: R) -> Result<Encoder<'a, BufReader<R>>> {
    let mut encoder = Encoder::new(source, ZSTD_LEVEL)?;
    encoder.set_parameter(CParameter::WindowLog(WINDOW_LOG))?;
    Ok(encoder)
}

/// Compresses a large text that may still turn out small (a log, a table). `None` if not.
fn compress_inline(source: &mut impl Read) -> Result<Option<Vec<u8>>> {
    let mut compressed = encoder(source)?;
    let mut data = Vec::new();
    let read = compressed.by_ref().take(INLINE_BYTES_MAX as u64 + 1).read_to_end(&mut data)?;
    Ok((read <= INLINE_BYTES_MAX).then_some(data))
}

/// Writes a file of its own for a body: the file is synced, then the folder with its name.
fn write_file(shared: &Shared, content: &mut dyn Read) -> Result<StagedFile> {
    let dir = shared.blob_dir();
    let disk = Arc::new(SharedDisk { disk: Arc::clone(&shared.disk), dir: dir.clone() });
    let (folder, name) = loop {
        let number = shared.next_blob_number();
        let folder = format!("{:02x}", number & 0xff);
        // The time of this use of the account, then a counter: taken only if the account was
        // opened twice within a second.
        let name = format!("{folder}/{}-{number}", shared.opened_at());
        if !dir.join(&name).exists() {
            break (dir.join(folder), name);
        }
    };
    create_dirs(&*shared.disk, &folder)?;
    let file = StagedFile { shared: disk, name, keep: false };
    shared.disk.create_synced(&dir.join(&file.name), content)?;
    shared.disk.sync_dir(&folder)?;
    Ok(file)
}

/// Removes body files that no row names: a crash came between file and commit.
pub(crate) fn sweep(shared: &Shared, db: &Connection) -> Result<()> {
    let dir = shared.blob_dir();
    if !dir.is_dir() {
        return Ok(());
    }
    let known: HashSet<String> = db
        .prepare("SELECT file FROM body WHERE file IS NOT NULL")?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for name in blob_files(shared)? {
        if !known.contains(&name) {
            tracing::info!(account = %shared.name, file = %name, "removing body file without message");
            shared.disk.remove(&dir.join(&name))?;
        }
    }
    Ok(())
}

/// The names of all body files, as rows name them.
pub(crate) fn blob_files(shared: &Shared) -> Result<Vec<String>> {
    let mut names = Vec::new();
    let dir = shared.blob_dir();
    if !dir.is_dir() {
        return Ok(names);
    }
    for folder in fs::read_dir(dir)? {
        let folder = folder?;
        // What somebody else put there keeps no account closed.
        if !folder.file_type()?.is_dir() {
            continue;
        }
        for file in fs::read_dir(folder.path())? {
            let (folder, file) = (folder.file_name(), file?.file_name());
            names.push(format!("{}/{}", folder.to_string_lossy(), file.to_string_lossy()));
        }
    }
    Ok(names)
}
