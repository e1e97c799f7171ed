//! Why an operation failed.

use mox_sqlite::OpenError;

use crate::query::ReportId;

/// The result of an operation.
pub type Result<T> = std::result::Result<T, ReportDbError>;

/// Why an operation failed. Nothing was changed when one is returned.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportDbError {
    /// No more reports of this kind, or evaluations, are kept: [`REPORTS_BYTES_MAX`],
    /// [`EVALUATIONS_MAX`].
    ///
    /// [`REPORTS_BYTES_MAX`]: crate::REPORTS_BYTES_MAX
    /// [`EVALUATIONS_MAX`]: crate::EVALUATIONS_MAX
    #[error("no room for more {what}")]
    Full {
        /// What there is no room for.
        what: &'static str,
    },
    /// The sender's domain sent [`REPORTS_PER_SENDER_MAX`] within a day.
    ///
    /// [`REPORTS_PER_SENDER_MAX`]: crate::REPORTS_PER_SENDER_MAX
    #[error("too many reports from one sender")]
    TooManyFromSender,
    /// A report has no policy of a domain that is ours.
    #[error("no policy of a known domain")]
    UnknownDomain,
    /// A row of another server has the number of one of ours that says something else.
    #[error("row {} of {table} is another already", .id.0)]
    OtherRow {
        /// In which table.
        table: &'static str,
        /// Its number.
        id: ReportId,
    },
    /// A commit failed earlier: nothing is written until the database is opened anew.
    #[error("closed for writing after a failed commit")]
    Poisoned,
    /// The file was made by a newer version.
    #[error("database has version {found}, this program knows up to {known}")]
    TooNew {
        /// The version found.
        found: u32,
        /// The newest this program reads.
        known: u32,
    },
    /// What is in the database contradicts itself.
    #[error("database is damaged: {what}")]
    Damaged {
        /// What is wrong.
        what: &'static str,
    },
    /// The database failed.
    #[error("database")]
    Sqlite(#[from] rusqlite::Error),
}

impl From<OpenError> for ReportDbError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::TooNew { found, known } => Self::TooNew { found, known },
            OpenError::Sqlite(error) => error.into(),
            _ => Self::Damaged { what: "no write-ahead log on this file system" },
        }
    }
}
