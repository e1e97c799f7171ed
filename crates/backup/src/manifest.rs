//! The manifest: every file of a backup with its size and checksums, as lines of JSON.
//!
//! The first line is the [`Header`], the last the [`End`] with a checksum of all lines before it;
//! between them stands an [`Entry`] for each file, folder and symbolic link. It is written last: a
//! backup without it was not finished.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Component, Path};

use aws_lc_rs::digest::{Context, Digest, SHA256};
use serde::{Deserialize, Serialize};

use crate::error::{At as _, BackupError, Result};

/// The name of the manifest in a backup.
pub const MANIFEST: &str = "manifest.jsonl";

/// The version of the format.
pub const FORMAT: u32 = 1;

/// Files have a checksum for each piece of this size, so that a damaged place can be told.
pub const CHUNK_BYTES: usize = 1 << 20;

/// Characters kept of the checksum of a piece.
const CHUNK_DIGITS: usize = 16;

/// The longest line that is read. A database of 1 TB has one of 20 MB.
const LINE_BYTES_MAX: u64 = 64 << 20;

/// The most entries that are read. Ours.
const ENTRIES_MAX: usize = 10_000_000;

/// The first line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// [`FORMAT`].
    pub mox_backup: u32,
    /// When the backup began, in Unix seconds.
    pub made: i64,
    /// The version of the program.
    pub program: String,
}

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A folder.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A file of the configuration.
    Config,
    /// A database of SQLite.
    Database,
    /// The body of a message. It is never changed.
    Body,
    /// A key or another secret of the server.
    Secret,
    /// Anything else.
    Other,
}

/// A file, folder or symbolic link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Below the backup, parts separated by `/`.
    pub path: String,
    /// What it is.
    pub kind: Kind,
    /// The bits of its mode, in octal digits.
    pub mode: String,
    /// In bytes; 0 for what is no file.
    pub size: u64,
    /// In hexadecimal digits; empty for what is no file.
    pub sha256: String,
    /// The first 16 digits of the SHA-256 of each piece of [`CHUNK_BYTES`], if there are more than one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chunks: Vec<String>,
    /// Where a symbolic link leads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
}

impl Entry {
    /// The bits of the mode.
    #[must_use]
    pub fn mode_bits(&self) -> u32 {
        // The setuid bit of another owner's file would become that of who copies it.
        let bits = if self.kind == Kind::Directory { 0o2777 } else { 0o777 };
        u32::from_str_radix(&self.mode, 8).unwrap_or(0o600) & bits
    }

    /// Whether it has content.
    #[must_use]
    pub fn is_file(&self) -> bool {
        !matches!(self.kind, Kind::Directory | Kind::Symlink)
    }
}

/// The last line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct End {
    /// How many entries there are.
    pub entries: u64,
    /// What could not be copied, for people.
    pub faults: Vec<String>,
    /// Of all lines before this one and of the faults, each with a line end.
    pub sha256: String,
}

/// All of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The first line.
    pub header: Header,
    /// In the order in which they were made: folders come before what is in them.
    pub entries: Vec<Entry>,
    /// What could not be copied.
    pub faults: Vec<String>,
}

impl Manifest {
    /// Reads the manifest of the backup in `dir`, and checks that it is whole.
    ///
    /// # Errors
    ///
    /// [`BackupError::NoManifest`] if there is none, [`BackupError::BadManifest`] if any byte of it is
    /// not as it was written.
    pub fn read(dir: &Path) -> Result<Self> {
        let path = dir.join(MANIFEST);
        if !path.is_file() {
            return Err(BackupError::NoManifest(dir.to_owned()));
        }
        let mut lines = Lines {
            reader: BufReader::new(File::open(&path).at("open", &path)?),
            hashed: Context::new(&SHA256),
            number: 0,
        };
        let first = lines.next(&path)?.ok_or_else(|| bad(1, "empty"))?;
        let header: Header = parse(&first, 1)?;
        if header.mox_backup != FORMAT {
            return Err(bad(1, "made by another version, in a format that is not known"));
        }
        let (mut entries, mut links) = (Vec::new(), HashSet::new());
        let mut before = lines.hashed.clone();
        loop {
            let line =
                lines.next(&path)?.ok_or_else(|| bad(lines.number + 1, "the end is missing"))?;
            let number = lines.number;
            if let Ok(entry) = parse::<Entry>(&line, number) {
                let mut above = Path::new(&entry.path).ancestors();
                let is_below_link = above.any(|above| links.contains(above));
                if !is_safe(&entry.path) || is_below_link || entries.len() == ENTRIES_MAX {
                    return Err(bad(number, "path that leads elsewhere"));
                }
                if entry.kind == Kind::Symlink {
                    links.insert(Path::new(&entry.path).to_owned());
                }
                entries.push(entry);
                before = lines.hashed.clone();
                continue;
            }
            let end: End = parse(&line, number)?;
            if end.sha256 != sum(before, &end.faults) || end.entries != entries.len() as u64 {
                return Err(bad(number, "checksum of the manifest differs"));
            }
            if lines.next(&path)?.is_some() {
                return Err(bad(number + 1, "more than the end"));
            }
            return Ok(Self { header, entries, faults: end.faults });
        }
    }

    /// Writes it into the backup in `dir`, durably.
    ///
    /// # Errors
    ///
    /// If the file cannot be made, or there is one.
    pub fn write(&self, dir: &Path) -> Result<()> {
        let path = dir.join(MANIFEST);
        let making = dir.join("manifest.new");
        let mut text = Vec::new();
        line(&mut text, &self.header, &path)?;
        for entry in &self.entries {
            line(&mut text, entry, &path)?;
        }
        let mut hashed = Context::new(&SHA256);
        hashed.update(&text);
        let end = End {
            entries: self.entries.len() as u64,
            faults: self.faults.clone(),
            sha256: sum(hashed, &self.faults),
        };
        line(&mut text, &end, &path)?;
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&making)
            .at("make", &making)?;
        file.write_all(&text).and_then(|()| file.sync_all()).at("write", &making)?;
        fs::rename(&making, &path).at("name", &path)?;
        File::open(dir).and_then(|dir| dir.sync_all()).at("sync", dir)
    }
}

struct Lines {
    reader: BufReader<File>,
    hashed: Context,
    number: usize,
}

impl Lines {
    /// The next line without its end. `None` at the end of the file.
    fn next(&mut self, path: &Path) -> Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        let mut limited = (&mut self.reader).take(LINE_BYTES_MAX);
        limited.read_until(b'\n', &mut line).at("read", path)?;
        if line.is_empty() {
            return Ok(None);
        }
        self.number += 1;
        self.hashed.update(&line);
        match line.pop() {
            Some(b'\n') => Ok(Some(line)),
            _ => Err(bad(self.number, "line without an end")),
        }
    }
}

/// The checksum of lines that were hashed, and of faults.
fn sum(mut lines: Context, faults: &[String]) -> String {
    for fault in faults {
        lines.update(fault.as_bytes());
        lines.update(b"\n");
    }
    hex(&lines.finish())
}

fn bad(line: usize, what: &'static str) -> BackupError {
    BackupError::BadManifest { line, what }
}

/// Reads a line that must be as we write it, to the last blank.
fn parse<T: Serialize + for<'a> Deserialize<'a>>(line: &[u8], number: usize) -> Result<T> {
    let value: T = serde_json::from_slice(line).map_err(|_| bad(number, "cannot be read"))?;
    let same = serde_json::to_vec(&value).is_ok_and(|written| written == line);
    if same { Ok(value) } else { Err(bad(number, "not as it is written")) }
}

fn line(text: &mut Vec<u8>, value: &impl Serialize, path: &Path) -> Result<()> {
    serde_json::to_writer(&mut *text, value).map_err(std::io::Error::from).at("write", path)?;
    text.push(b'\n');
    Ok(())
}

/// Whether a path stays below the folder it is taken from.
pub(crate) fn is_safe(path: &str) -> bool {
    let is_plain = |component| matches!(component, Component::Normal(_));
    !path.is_empty() && !path.contains('\0') && Path::new(path).components().all(is_plain)
}

pub(crate) fn hex(digest: &Digest) -> String {
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Hashes a file piece by piece.
pub(crate) struct Hasher {
    whole: Context,
    chunk: Context,
    in_chunk: usize,
    chunks: Vec<String>,
    size: u64,
}

/// What it found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Hashed {
    pub(crate) size: u64,
    pub(crate) sha256: String,
    /// None if there is but one.
    pub(crate) chunks: Vec<String>,
}

impl Hashed {
    /// Of what is no file.
    pub(crate) fn none() -> Self {
        Self { size: 0, sha256: String::new(), chunks: Vec::new() }
    }
}

impl Hasher {
    pub(crate) fn new() -> Self {
        let (whole, chunk) = (Context::new(&SHA256), Context::new(&SHA256));
        Self { whole, chunk, in_chunk: 0, chunks: Vec::new(), size: 0 }
    }

    pub(crate) fn update(&mut self, mut data: &[u8]) {
        self.whole.update(data);
        self.size += data.len() as u64;
        while !data.is_empty() {
            if self.in_chunk == CHUNK_BYTES {
                self.end_chunk();
            }
            let (now, later) = data.split_at(data.len().min(CHUNK_BYTES - self.in_chunk));
            self.chunk.update(now);
            self.in_chunk += now.len();
            data = later;
        }
    }

    fn end_chunk(&mut self) {
        let chunk = std::mem::replace(&mut self.chunk, Context::new(&SHA256));
        let mut digits = hex(&chunk.finish());
        digits.truncate(CHUNK_DIGITS);
        self.chunks.push(digits);
        self.in_chunk = 0;
    }

    pub(crate) fn finish(mut self) -> Hashed {
        if !self.chunks.is_empty() {
            self.end_chunk();
        }
        Hashed { size: self.size, sha256: hex(&self.whole.finish()), chunks: self.chunks }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let header = Header { mox_backup: FORMAT, made: 1_795_164_932, program: "0.1".to_owned() };
        let entry = |path: &str, kind, size| Entry {
            path: path.to_owned(),
            kind,
            mode: "640".to_owned(),
            size,
            sha256: if size > 0 { "ab".repeat(32) } else { String::new() },
            chunks: Vec::new(),
            target: (kind == Kind::Symlink).then(|| "../else where".to_owned()),
        };
        let entries = vec![
            entry("data", Kind::Directory, 0),
            entry("data/a \u{e4}\n.db", Kind::Database, 7),
            entry("config/link", Kind::Symlink, 0),
        ];
        Manifest { header, entries, faults: vec!["one".to_owned()] }
    }

    #[test]
    fn what_is_written_is_read() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(Manifest::read(dir.path()), Err(BackupError::NoManifest(_))));
        manifest().write(dir.path()).unwrap();
        assert_eq!(Manifest::read(dir.path()).unwrap(), manifest());
    }

    #[test]
    fn every_changed_bit_and_every_cut_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        manifest().write(dir.path()).unwrap();
        let path = dir.path().join(MANIFEST);
        let well = fs::read(&path).unwrap();
        for place in 0..well.len() {
            for bit in [0, 5] {
                let mut damaged = well.clone();
                damaged[place] ^= 1 << bit;
                fs::write(&path, &damaged).unwrap();
                assert!(Manifest::read(dir.path()).is_err(), "byte {place} bit {bit}");
            }
            fs::write(&path, &well[..place]).unwrap();
            assert!(Manifest::read(dir.path()).is_err(), "cut at {place}");
        }
        fs::write(&path, [&well[..], b"{}\n"].concat()).unwrap();
        assert!(Manifest::read(dir.path()).is_err());
    }

    /// Attack: a backup of somebody else, in which a link leads to where the next entry is written.
    #[test]
    fn nothing_lies_below_a_link() {
        let dir = tempfile::tempdir().unwrap();
        for (path, is_read) in [
            ("config/link.txt", true),
            ("config/linked/file", true),
            ("config/link", false),
            ("config/link/file", false),
            ("config/link/a/b", false),
        ] {
            let mut manifest = manifest();
            let entry = Entry { path: path.to_owned(), ..manifest.entries[0].clone() };
            manifest.entries.push(entry);
            manifest.write(dir.path()).unwrap();
            assert_eq!(Manifest::read(dir.path()).is_ok(), is_read, "{path}");
            fs::remove_file(dir.path().join(MANIFEST)).unwrap();
        }
    }

    /// A program that runs with the rights of its owner would run with those of who puts it back.
    #[test]
    fn bits_that_give_rights_away_are_dropped() {
        for (kind, mode, want) in [
            (Kind::Database, "640", 0o640),
            (Kind::Database, "4755", 0o755),
            (Kind::Database, "2755", 0o755),
            (Kind::Directory, "2750", 0o2750),
            (Kind::Directory, "7777", 0o2777),
            (Kind::Database, "nonsense", 0o600),
        ] {
            let entry = manifest().entries.remove(1);
            let entry = Entry { kind, mode: mode.to_owned(), ..entry };
            assert_eq!(entry.mode_bits(), want, "{mode}");
        }
    }

    #[track_caller]
    fn check_path(path: &str, want: bool) {
        assert_eq!(is_safe(path), want, "{path:?}");
    }

    #[test]
    fn paths_stay_in_the_backup() {
        check_path("data/accounts/a", true);
        check_path("a", true);
        check_path("", false);
        check_path("/etc/passwd", false);
        check_path("data/../../x", false);
        check_path("a\0b", false);
    }

    #[test]
    fn pieces_are_told_apart_from_the_second_on() {
        let count = |size: usize| {
            let mut hasher = Hasher::new();
            // In uneven strides, so that pieces end inside of them.
            for part in vec![1; size].chunks(70_001) {
                hasher.update(part);
            }
            let hashed = hasher.finish();
            assert_eq!(hashed.size, size as u64);
            hashed.chunks.len()
        };
        assert_eq!(
            [0, 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES].map(count),
            [0, 0, 0, 2, 2]
        );
    }
}
