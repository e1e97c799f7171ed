//! Why a store operation failed.

use std::io;
use std::sync::Arc;

use mox_sqlite::{OpenError, WriteError};

/// Why an operation on an account failed. Nothing was changed when one is returned.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// There is no such account in the configuration.
    #[error("no such account")]
    NoAccount,
    /// The account has mail already, and is not to be filled with that of another server.
    #[error("the account has messages already")]
    InUse,
    /// A message that is to keep its UID has that of another one.
    #[error("another message has the UID")]
    UidTaken,
    /// There is no such mailbox.
    #[error("no such mailbox")]
    NoMailbox,
    /// The mailbox exists already.
    #[error("mailbox already exists")]
    MailboxExists,
    /// The mailbox has mailboxes below it.
    #[error("mailbox has mailboxes below it")]
    HasChildren,
    /// Source and target are the same mailbox.
    #[error("source and target are the same mailbox")]
    SameMailbox,
    /// The operation is not possible on the Inbox.
    #[error("not possible on the inbox")]
    IsInbox,
    /// The mailbox name a rename would make is not valid.
    #[error("the new mailbox name is not valid")]
    BadName,
    /// Neither a subscription nor a mailbox of this name exists.
    #[error("not subscribed")]
    NotSubscribed,
    /// The client key is registered already.
    #[error("client key is registered already")]
    KeyExists,
    /// The message is gone.
    #[error("no such message")]
    NoMessage,
    /// The account would have more than [`crate::ANNOTATIONS_MAX`] annotations.
    #[error("too many annotations")]
    TooManyAnnotations,
    /// Annotations take too many bytes: [`crate::ANNOTATION_BYTES_MAX`].
    #[error("annotations too large")]
    AnnotationsTooLarge,
    /// The account would go over its quota.
    #[error("over quota: {used_bytes} bytes used of {limit_bytes}")]
    OverQuota {
        /// Bytes in use.
        used_bytes: u64,
        /// Bytes allowed.
        limit_bytes: u64,
    },
    /// A bound of the store is reached.
    #[error("too many {what}")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
    },
    /// The mailbox has used up its UIDs, or the account its UIDVALIDITY values.
    #[error("identifiers used up, recreate the mailbox")]
    IdsUsedUp,
    /// More work is queued for this account than may wait.
    #[error("account is busy")]
    Busy,
    /// The disk, or the space the account may take there, is full.
    #[error("disk full")]
    DiskFull,
    /// A sync or commit failed earlier: the account takes no writes until it is opened anew.
    #[error("account closed for writing after a failed commit")]
    Poisoned,
    /// The database of this account was made by a newer version.
    #[error("account database has version {found}, this program knows up to {known}")]
    TooNew {
        /// The version found.
        found: u32,
        /// The newest this program reads.
        known: u32,
    },
    /// The database of this account was made by an older version, and may not be changed.
    #[error("account database has the old version {found}: open it for writing once")]
    TooOld {
        /// The version found.
        found: u32,
    },
    /// What the database holds contradicts itself.
    #[error("account database damaged: {what}")]
    Damaged {
        /// What was found.
        what: &'static str,
    },
    /// The database failed.
    #[error("account database")]
    Database(#[source] Arc<rusqlite::Error>),
    /// A file could not be read or written.
    #[error("account file")]
    Io(#[source] Arc<io::Error>),
}

impl StoreError {
    /// Whether the same operation may succeed later without anybody changing it.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        matches!(
            self,
            Self::Busy
                | Self::DiskFull
                | Self::Poisoned
                | Self::Database(_)
                | Self::Io(_)
                | Self::OverQuota { .. }
        )
    }
}

impl WriteError for StoreError {
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

impl From<OpenError> for StoreError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::TooNew { found, known } => Self::TooNew { found, known },
            OpenError::Sqlite(error) => error.into(),
            _ => Self::Damaged { what: "no write-ahead log on this file system" },
        }
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => Self::DiskFull,
            _ => Self::Database(Arc::new(error)),
        }
    }
}

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> Self {
        use io::ErrorKind::{QuotaExceeded, StorageFull};
        match error.kind() {
            StorageFull | QuotaExceeded => Self::DiskFull,
            _ => Self::Io(Arc::new(error)),
        }
    }
}

/// The outcome of a store operation.
pub type Result<T> = std::result::Result<T, StoreError>;

/// The outcome of a write that is queued. It is there when the write is on disk, or has failed.
///
/// Dropping it does not cancel the write.
pub type Pending<T> = mox_sqlite::Pending<T, StoreError>;
