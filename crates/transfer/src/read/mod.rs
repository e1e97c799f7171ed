//! Reading mail of other programs.

mod directory;
mod layout;
mod mbox;
mod tar_file;
mod tree;
mod zip_file;

use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mox_base::MailboxName;

use crate::event::{Sink, SourceError};

pub use directory::read_directory;
use mbox::is_mbox as is_mbox_beginning;
pub(crate) use mbox::is_quoted_from;
pub use mbox::read_mbox;
pub use tar_file::{read_tar, read_tgz};
pub use zip_file::read_zip;

/// The most files and folders in a source. Ours.
pub const ENTRIES_MAX: u64 = 10_000_000;

/// The most files in one folder of a directory: their names are held and sorted. Ours.
pub const FOLDER_ENTRIES_MAX: usize = 2_000_000;

/// The most bytes that an archive may unpack to. Ours; the quota of the account is usually less.
pub const EXPANDED_BYTES_MAX: u64 = 1 << 40;

/// The largest message that is taken over if nobody says otherwise. Ours.
pub const MESSAGE_BYTES_MAX: u64 = 100 << 20;

/// The longest path in a source, in bytes. Ours.
pub const PATH_BYTES_MAX: usize = 4_096;

/// How to read.
#[derive(Clone, Debug)]
pub struct ReadOptions {
    /// The mailbox of what lies at the top, such as that of an mbox. Folders lie at the top of the
    /// account if this is the Inbox, and else below it.
    pub target: MailboxName,
    /// A directory for messages too large for memory.
    pub temporary: PathBuf,
    /// Larger messages are left out.
    pub message_bytes_max: u64,
    /// Left out at the start of paths in an archive.
    pub strip: Option<String>,
}

/// How far a source was read, for whoever watches.
#[derive(Clone, Debug, Default)]
pub struct Meter(Arc<AtomicU64>);

impl Meter {
    /// Bytes of the source read so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Counts what is read from `source`.
    pub fn count<R>(&self, source: R) -> Metered<R> {
        Metered { source, meter: self.clone() }
    }

    /// Notes that more was read.
    pub fn add(&self, bytes: u64) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// A source that tells its [`Meter`] what is read.
#[derive(Debug)]
pub struct Metered<R> {
    source: R,
    meter: Meter,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        self.meter.add(count as u64);
        Ok(count)
    }
}

impl<R: Seek> Seek for Metered<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.source.seek(to)
    }
}

/// What a file or directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A directory: a Maildir, or folders with mail in them.
    Directory,
    /// A zip file.
    Zip,
    /// A tar file, compressed by gzip.
    Tgz,
    /// A tar file.
    Tar,
    /// An mbox.
    Mbox,
}

impl Kind {
    /// Finds out what a path is by what it begins with.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or is none of these.
    pub fn of(path: &Path) -> Result<Self, SourceError> {
        let error = || SourceError::io(path.display());
        let meta = std::fs::metadata(path).map_err(error())?;
        if meta.is_dir() {
            return Ok(Self::Directory);
        }
        let file = std::fs::File::open(path).map_err(error())?;
        let mut beginning = Vec::new();
        file.take(512).read_to_end(&mut beginning).map_err(error())?;
        Self::of_bytes(&beginning).ok_or(SourceError::NotThat {
            what: "neither a directory nor an mbox, zip, tgz or tar file",
        })
    }

    /// By the first 512 bytes of a file. An empty one is an empty mbox.
    #[must_use]
    pub fn of_bytes(beginning: &[u8]) -> Option<Self> {
        match beginning {
            [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Some(Self::Zip),
            [0x1f, 0x8b, ..] => Some(Self::Tgz),
            _ if beginning.get(257..262) == Some(b"ustar") => Some(Self::Tar),
            _ if is_mbox_beginning(beginning) => Some(Self::Mbox),
            _ => None,
        }
    }
}

/// Reads whatever lies at a path.
///
/// # Errors
///
/// If it is none of these, cannot be read, or holds too much.
pub fn read_path(
    path: &Path,
    options: &ReadOptions,
    meter: &Meter,
    sink: &mut Sink<'_>,
) -> Result<(), SourceError> {
    let open = || std::fs::File::open(path).map_err(SourceError::io(path.display()));
    match Kind::of(path)? {
        Kind::Directory => read_directory(path, options, meter, sink),
        Kind::Zip => read_zip(meter.count(open()?), options, sink),
        Kind::Tgz => read_tgz(open()?, options, meter, sink),
        Kind::Tar => read_tar(open()?, options, meter, sink),
        Kind::Mbox => {
            let mailbox = options.target.clone();
            read_mbox(meter.count(open()?), &mailbox, options, sink).map(|_| ())
        }
    }
}

/// The size of what lies at a path, for progress: of a directory that of the files in it.
///
/// # Errors
///
/// If it cannot be listed.
pub fn size_of(path: &Path) -> io::Result<u64> {
    let meta = std::fs::metadata(path)?;
    if meta.is_file() {
        return Ok(meta.len());
    }
    directory::size(path, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(beginning: &[u8], want: Option<Kind>) {
        assert_eq!(Kind::of_bytes(beginning), want, "{beginning:?}");
    }

    #[test]
    fn files_are_known_by_their_beginning() {
        check(b"PK\x03\x04...", Some(Kind::Zip));
        check(b"PK\x05\x06", Some(Kind::Zip));
        check(b"\x1f\x8b\x08", Some(Kind::Tgz));
        check(b"From a@b.example Mon", Some(Kind::Mbox));
        check(b"\r\n\nFrom a", Some(Kind::Mbox));
        check(b"", Some(Kind::Mbox));
        let mut tar = vec![b'a'; 512];
        tar[257..262].copy_from_slice(b"ustar");
        check(&tar, Some(Kind::Tar));
        check(b"From: a", None);
        check(b"PK", None);
    }
}
