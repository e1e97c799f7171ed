//! Why a backup, a check or a restore ended.

use std::io;
use std::path::{Path, PathBuf};

use mox_sqlite::OpenError;
use mox_store::StoreError;

/// Why it could not be done. What is wrong with single files is told with the outcome instead.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// A file or folder could not be read or written.
    #[error("{doing} {}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// What came of it.
        #[source]
        source: io::Error,
    },
    /// A database could not be copied.
    #[error("copy database {}", path.display())]
    Database {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: OpenError,
    },
    /// An account could not be opened or changed.
    #[error("account {name}")]
    Account {
        /// Its name.
        name: String,
        /// Why.
        #[source]
        source: StoreError,
    },
    /// The destination has files already.
    #[error("{}: there are files already, and nothing is overwritten", .0.display())]
    NotEmpty(PathBuf),
    /// The destination is in what is to be copied.
    #[error("{}: the backup cannot be in what is copied", .0.display())]
    Inside(PathBuf),
    /// There is no manifest: the backup was not finished, or it is none.
    #[error("{}: no manifest: not a backup, or one that was not finished", .0.display())]
    NoManifest(PathBuf),
    /// The manifest is damaged.
    #[error("manifest, line {line}: {what}")]
    BadManifest {
        /// From 1.
        line: usize,
        /// What is wrong there.
        what: &'static str,
    },
    /// The backup is damaged, and nothing was done with it.
    #[error("the backup has {0} faults")]
    Faulty(usize),
    /// A file of the backup is damaged.
    #[error("{path}: {what}")]
    Damaged {
        /// Below the backup.
        path: String,
        /// What is wrong with it.
        what: String,
    },
    /// The backup has no such account.
    #[error("the backup has no account {0:?}")]
    NoAccount(String),
    /// The backup has no such message.
    #[error("the backup has no such message: {0}")]
    NoMessage(String),
}

/// The outcome.
pub type Result<T> = std::result::Result<T, BackupError>;

/// Adds to an error of a file which file it was.
pub(crate) trait At<T> {
    fn at(self, doing: &'static str, path: &Path) -> Result<T>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, doing: &'static str, path: &Path) -> Result<T> {
        self.map_err(|source| BackupError::Io { doing, path: path.to_owned(), source })
    }
}

/// An error with its causes, in one line.
pub(crate) fn text(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
