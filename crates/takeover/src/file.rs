//! Databases of the original as files.

use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mox_bstore::{Database, Fault, OpenError, Source, Table};
use mox_queue::QueueError;
use mox_reportdb::ReportDbError;
use mox_store::StoreError;

/// Why something cannot be taken over.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TakeoverError {
    /// The original runs, or another program uses the file.
    #[error("{}: in use: stop the other mail server first", .0.display())]
    InUse(PathBuf),
    /// A file cannot be read.
    #[error("{}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file is not a database, or one that is damaged as a whole.
    #[error("{}", .path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: OpenError,
    },
    /// A part of a database that all else depends on is damaged, or has a form that is not known.
    #[error("{}: {table}", .path.display())]
    Table {
        /// The file.
        path: PathBuf,
        /// The type of records.
        table: &'static str,
        /// What is wrong.
        #[source]
        source: Fault,
    },
    /// A database lacks something that each has.
    #[error(
        "{}: has no {what}: another kind of database, or not opened by a release of the last years: \
         let the latest release of the original open it once",
        .path.display()
    )]
    Missing {
        /// The file.
        path: PathBuf,
        /// What it lacks.
        what: &'static str,
    },
    /// The queue holds something that was not taken over from here, or that has changed since.
    #[error("the queue is in use already: what is taken over needs an empty one")]
    QueueUsed,
    /// What was read cannot be written to our queue.
    #[error("write to the queue")]
    Queue(#[from] QueueError),
    /// There is no data of the original.
    #[error("{} holds no data of the original mox", .0.display())]
    NotOriginal(PathBuf),
    /// Whoever watches wanted it to end.
    #[error("stopped before everything was taken over")]
    Stopped,
    /// What was read cannot be written to our account.
    #[error("write to the account")]
    Store(#[from] StoreError),
    /// What was read cannot be written to our database of reports.
    #[error("write to the database of reports")]
    Reports(#[from] ReportDbError),
    /// A file of ours cannot be written.
    #[error("write {}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl TakeoverError {
    /// Whether it is about what is in the original's files, and not about who uses them or about ours.
    pub(crate) fn is_damage(&self) -> bool {
        matches!(
            self,
            Self::Read { .. } | Self::Open { .. } | Self::Table { .. } | Self::Missing { .. }
        )
    }

    /// What happened, with all causes.
    pub(crate) fn in_full(&self) -> String {
        let mut text = self.to_string();
        let mut next = std::error::Error::source(self);
        while let Some(cause) = next {
            text = format!("{text}: {cause}");
            next = cause.source();
        }
        text
    }
}

/// Opens a file that is the original's own, and no link: who may write there must not have root read
/// another file through it.
pub(crate) fn open_own(path: &Path) -> io::Result<File> {
    let other = || io::Error::new(io::ErrorKind::InvalidInput, "not a file");
    // Nor one in a directory that somebody linked who does not own it. Those of a message's path, up to the
    // directory of the account.
    let above = path.ancestors().skip(1).take(3).filter(|dir| !dir.as_os_str().is_empty());
    for dir in above {
        let link = std::fs::symlink_metadata(dir)?;
        let is_known = !link.is_symlink() || link.uid() == 0;
        if !is_known && std::fs::metadata(dir)?.uid() != link.uid() {
            return Err(other());
        }
    }
    let named = std::fs::symlink_metadata(path)?;
    if !named.is_file() {
        return Err(other());
    }
    let file = File::open(path)?;
    let opened = file.metadata()?;
    // A link may have been put there meanwhile.
    let is_same = (named.dev(), named.ino()) == (opened.dev(), opened.ino());
    if is_same { Ok(file) } else { Err(other()) }
}

/// A file that is read at random places.
#[derive(Debug)]
pub struct FileSource {
    file: File,
    size: u64,
}

impl FileSource {
    /// Opens a database file and takes a shared lock on it, as long as this value is kept. Blocks.
    ///
    /// # Errors
    ///
    /// [`TakeoverError::InUse`] if a program has it open for writing, and if it cannot be read.
    pub fn open(path: &Path) -> Result<Self, TakeoverError> {
        let unreadable = |source| TakeoverError::Read { path: path.to_owned(), source };
        let file = File::open(path).map_err(unreadable)?;
        match file.try_lock_shared() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(TakeoverError::InUse(path.to_owned())),
            Err(TryLockError::Error(error)) => return Err(unreadable(error)),
        }
        let size = file.metadata().map_err(unreadable)?.len();
        Ok(Self { file, size })
    }
}

impl Source for FileSource {
    fn size(&self) -> u64 {
        self.size
    }

    fn read(&self, offset: u64, len: usize) -> io::Result<Arc<[u8]>> {
        let mut bytes = vec![0; len];
        self.file.read_exact_at(&mut bytes, offset)?;
        Ok(bytes.into())
    }
}

/// A database and where it lies.
#[derive(Debug)]
pub(crate) struct DatabaseFile {
    pub(crate) path: PathBuf,
    pub(crate) database: Database<FileSource>,
}

impl DatabaseFile {
    pub(crate) fn open(path: PathBuf) -> Result<Self, TakeoverError> {
        let source = FileSource::open(&path)?;
        match Database::open(source) {
            Ok(database) => Ok(Self { path, database }),
            Err(source) => Err(TakeoverError::Open { path, source }),
        }
    }

    /// The records of a type; `None` if the release that wrote the file did not have it.
    pub(crate) fn table(
        &self,
        table: &'static str,
    ) -> Result<Option<Table<'_, FileSource>>, TakeoverError> {
        let path = self.path.clone();
        Table::open(&self.database, table).map_err(|source| TakeoverError::Table {
            path,
            table,
            source,
        })
    }

    /// The records of a type that every database of this kind has.
    pub(crate) fn required(
        &self,
        table: &'static str,
    ) -> Result<Table<'_, FileSource>, TakeoverError> {
        let missing = || TakeoverError::Missing { path: self.path.clone(), what: table };
        self.table(table)?.ok_or_else(missing)
    }
}
