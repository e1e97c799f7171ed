//! The open database.

use std::path::Path;
use std::sync::Arc;

use mox_base::UnixSeconds;
use parking_lot::Mutex;
use rusqlite::{Connection, ErrorCode, TransactionBehavior, params};

use crate::error::{ReportDbError, Result};
use crate::schema;

/// How long reports of others are kept: two years, so that a year can be compared with the last.
pub const REPORT_KEEP_SECS: i64 = 2 * 366 * 24 * 3600;

/// How long evaluations are kept. A day's report is sent soon after the day, or not at all.
pub const EVALUATION_KEEP_SECS: i64 = 48 * 3600;

/// Rows removed in one transaction, so that others need not wait long.
const REMOVED_AT_ONCE_MAX: u32 = 500;

/// Pages given back to the file system after a removal.
const PAGES_FREED_MAX: u32 = 2_000;

/// The database of reports. Cheap to clone; closed with the last clone.
#[derive(Clone)]
pub struct ReportDb {
    shared: Arc<Mutex<Shared>>,
}

struct Shared {
    db: Connection,
    is_poisoned: bool,
}

/// How much was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// DMARC reports.
    pub dmarc: u64,
    /// Rows of TLS reports.
    pub tls: u64,
    /// Evaluations.
    pub evaluations: u64,
    /// Rows of results of TLS.
    pub tls_results: u64,
    /// Addresses that get reports again.
    pub suppressions: u64,
}

impl std::fmt::Debug for ReportDb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ReportDb")
    }
}

impl ReportDb {
    /// Opens the file, making it if it is missing, and brings its tables up to date.
    ///
    /// # Errors
    ///
    /// If it cannot be opened, or is of a newer version.
    pub fn open(path: &Path) -> Result<Self> {
        let shared = Shared { db: schema::open(path)?, is_poisoned: false };
        Ok(Self { shared: Arc::new(Mutex::new(shared)) })
    }

    /// Opens a copy that nobody writes to, for [`ReportDb::check`]. No file is made.
    ///
    /// # Errors
    ///
    /// If the file cannot be opened.
    pub fn open_still(path: &Path) -> Result<Self> {
        let shared = Shared { db: schema::open_still(path)?, is_poisoned: false };
        Ok(Self { shared: Arc::new(Mutex::new(shared)) })
    }

    /// Reads within one statement or more, with nothing written in between.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        read(&self.shared.lock().db)
    }

    /// Does all of `write` or nothing.
    pub(crate) fn write<T>(&self, write: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let mut shared = self.shared.lock();
        if shared.is_poisoned {
            return Err(ReportDbError::Poisoned);
        }
        let tx = shared.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let written = write(&tx)?;
        if let Err(error) = tx.commit() {
            // What is on disk is not known any more, unless there was just no room.
            let is_full = error.sqlite_error_code() == Some(ErrorCode::DiskFull);
            shared.is_poisoned = !is_full;
            return Err(error.into());
        }
        Ok(written)
    }

    /// Removes reports older than [`REPORT_KEEP_SECS`], evaluations older than
    /// [`EVALUATION_KEEP_SECS`], results of TLS beyond [`TLS_RESULT_KEEP_DAYS`] and suppressions whose
    /// time is over, a few at a time.
    ///
    /// [`TLS_RESULT_KEEP_DAYS`]: crate::TLS_RESULT_KEEP_DAYS
    ///
    /// # Errors
    ///
    /// If the database fails; what was removed until then stays removed.
    pub fn remove_old(&self, now: UnixSeconds) -> Result<Removed> {
        let reports = now.plus_secs(-REPORT_KEEP_SECS);
        let removed = Removed {
            dmarc: self.remove_before("dmarc", "received", reports)?,
            tls: self.remove_before("tls", "received", reports)?,
            evaluations: self.remove_before(
                "evaluation",
                "evaluated",
                now.plus_secs(-EVALUATION_KEEP_SECS),
            )?,
            tls_results: self.remove_before(
                "tls_result",
                "day",
                UnixSeconds(Self::first_day_kept(now)),
            )?,
            suppressions: self.remove_before("report_suppression", "until", now)?,
        };
        if removed != Removed::default() {
            let free = format!("PRAGMA incremental_vacuum({PAGES_FREED_MAX})");
            self.read(|db| Ok(db.execute_batch(&free)?))?;
        }
        Ok(removed)
    }

    /// `table` and `column` are ours; `time` is of the kind of that column. Walks the index of that column.
    fn remove_before(&self, table: &str, column: &str, time: UnixSeconds) -> Result<u64> {
        let sql = format!(
            "DELETE FROM {table} WHERE id IN \
             (SELECT id FROM {table} WHERE {column} < ?1 ORDER BY {column} LIMIT ?2)"
        );
        let mut removed = 0;
        loop {
            let some = self.write(|db| {
                Ok(db.prepare_cached(&sql)?.execute(params![time.0, REMOVED_AT_ONCE_MAX])?)
            })?;
            removed += u64::try_from(some).unwrap_or_default();
            if some < REMOVED_AT_ONCE_MAX as usize {
                return Ok(removed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Fixture, dmarc};

    #[test]
    fn nothing_is_written_after_a_commit_that_failed() {
        let Fixture { db, path, .. } = &Fixture::new();
        let tables = "CREATE TABLE parent(id INTEGER PRIMARY KEY); CREATE TABLE child(id \
            REFERENCES parent(id) DEFERRABLE INITIALLY DEFERRED);";
        db.write(|db| Ok(db.execute_batch(tables)?)).unwrap();
        db.read(|db| Ok(db.execute_batch("PRAGMA foreign_keys = ON")?)).unwrap();
        let orphan = db.write(|db| Ok(db.execute_batch("INSERT INTO child VALUES(1)")?));
        assert!(matches!(orphan, Err(ReportDbError::Sqlite(_))));
        let report = dmarc("example.org", 86_400, "a");
        assert!(matches!(db.add_dmarc(&report), Err(ReportDbError::Poisoned)));
        // Reading goes on, and so does writing once it is opened anew.
        assert_eq!(db.check().unwrap(), Vec::<String>::new());
        ReportDb::open(path).unwrap().add_dmarc(&report).unwrap();
    }

    #[test]
    fn a_full_disk_does_no_lasting_harm() {
        let Fixture { db, .. } = &Fixture::new();
        let limit = |pages: u32| {
            let sql = format!("PRAGMA max_page_count = {pages}");
            db.read(|db| Ok(db.query_row(&sql, [], |row| row.get::<_, u32>(0))?)).unwrap()
        };
        limit(1);
        let mut number = 0;
        let full = loop {
            number += 1;
            if let Err(error) = db.add_dmarc(&dmarc("example.org", 86_400, &number.to_string())) {
                break error;
            }
        };
        let ReportDbError::Sqlite(error) = full else { panic!("{full}") };
        assert_eq!(error.sqlite_error_code(), Some(ErrorCode::DiskFull));
        assert_eq!(db.check().unwrap(), Vec::<String>::new());
        limit(1_000_000);
        db.add_dmarc(&dmarc("example.org", 86_400, "after")).unwrap();
    }
}
