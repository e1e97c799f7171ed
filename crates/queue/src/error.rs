//! Why an operation failed.

use std::io;
use std::sync::Arc;

use mox_sqlite::{OpenError, WriteError};

/// The result of an operation.
pub type Result<T> = std::result::Result<T, QueueError>;

/// The outcome of a write that is queued. It is there when the write is on disk, or has failed.
pub type Pending<T> = mox_sqlite::Pending<T, QueueError>;

/// Why an operation on the queue failed. Nothing was changed when one is returned.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueueError {
    /// A message, queued or retired, has this FromID already.
    #[error("fromid is taken")]
    FromIdTaken,
    /// The account sends more messages than it may in a day.
    #[error("too many messages in a day")]
    MessagesPerDay,
    /// The account writes to more addresses for the first time than it may in a day.
    #[error("too many first-time recipients in a day")]
    FirstTimeRcptsPerDay,
    /// What is taken over has a number that something else has already.
    #[error("number {id} is taken by something else")]
    IdTaken {
        /// Of a message or a webhook call.
        id: i64,
    },
    /// There is no such message.
    #[error("no such message")]
    NoMessage,
    /// There is no such hold rule.
    #[error("no such hold rule")]
    NoHoldRule,
    /// The address is on the suppression list already.
    #[error("address is suppressed already")]
    SuppressedAlready,
    /// The address is not on the suppression list.
    #[error("address is not suppressed")]
    NotSuppressed,
    /// A message without recipients.
    #[error("no recipients")]
    NoRecipients,
    /// A bound of the queue is reached.
    #[error("too many {what}")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
    },
    /// More work is waiting than may.
    #[error("queue is busy")]
    Busy,
    /// The disk is full.
    #[error("disk full")]
    DiskFull,
    /// A sync or commit failed, or the writer broke down: what is on disk is not known until the
    /// database is opened anew, which the next write does.
    #[error("queue database is being opened anew after a failed commit")]
    Poisoned,
    /// The database was made by a newer version.
    #[error("queue database has version {found}, this program knows up to {known}")]
    TooNew {
        /// The version found.
        found: u32,
        /// The newest this program reads.
        known: u32,
    },
    /// What the database holds contradicts itself.
    #[error("queue database is damaged: {what}")]
    Damaged {
        /// What was found.
        what: &'static str,
    },
    /// The database failed.
    #[error("queue database")]
    Database(#[source] Arc<rusqlite::Error>),
    /// A file could not be read or written.
    #[error("queue file")]
    Io(#[source] Arc<io::Error>),
}

impl QueueError {
    /// Whether the same operation may succeed later without anybody changing it.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        matches!(
            self,
            Self::Busy | Self::DiskFull | Self::Poisoned | Self::Database(_) | Self::Io(_)
        )
    }
}

impl WriteError for QueueError {
    fn poisoned() -> Self {
        Self::Poisoned
    }

    fn busy() -> Self {
        Self::Busy
    }

    fn is_disk_full(&self) -> bool {
        matches!(self, Self::DiskFull)
    }
}

impl From<rusqlite::Error> for QueueError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => Self::DiskFull,
            _ => Self::Database(Arc::new(error)),
        }
    }
}

impl From<OpenError> for QueueError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::TooNew { found, known } => Self::TooNew { found, known },
            OpenError::Sqlite(error) => error.into(),
            _ => Self::Damaged { what: "no write-ahead log on this file system" },
        }
    }
}

impl From<io::Error> for QueueError {
    fn from(error: io::Error) -> Self {
        use io::ErrorKind::{QuotaExceeded, StorageFull};
        match error.kind() {
            StorageFull | QuotaExceeded => Self::DiskFull,
            _ => Self::Io(Arc::new(error)),
        }
    }
}
