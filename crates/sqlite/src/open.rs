//! Opening a database, and the steps from each version of its tables to the next.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

/// How long a statement waits for a lock. We never do; a backup program might hold one.
pub const LOCK_WAIT: Duration = Duration::from_secs(10);

/// What is on disk when a commit returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Everything: each commit syncs the log. The log is emptied into the database only when the
    /// owner asks for it, so that no commit pays for others.
    Commit,
    /// What was there at the last checkpoint: a power failure may cost the last commits, never
    /// the file.
    Checkpoint,
}

/// What differs between our databases.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// What a commit promises.
    pub durability: Durability,
    /// Memory for pages.
    pub page_cache_kib: u32,
    /// Prepared statements that are kept.
    pub statements_max: usize,
}

/// Why a database could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The file system cannot have a write-ahead log.
    #[error("no write-ahead log on this file system")]
    NoLog,
    /// The file was made by a newer version.
    #[error("database has version {found}, this program knows up to {known}")]
    TooNew {
        /// The version found.
        found: u32,
        /// The newest this program reads.
        known: u32,
    },
    /// The file could not be made.
    #[error("database file")]
    Io(#[from] std::io::Error),
    /// The database failed.
    #[error("database")]
    Sqlite(#[from] rusqlite::Error),
}

/// Step n brings a database from version n to n + 1. A released step is never changed.
pub type Step<E> = fn(&Connection) -> Result<(), E>;

/// Opens a database for writing, making the file if it is missing. Its tables are not looked at:
/// [`upgrade`] comes next.
///
/// # Errors
///
/// If the file cannot be opened, or cannot have a log.
pub fn open(path: &Path, settings: &Settings) -> Result<Connection, OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    db.busy_timeout(LOCK_WAIT)?;
    // Before the first table: it cannot be changed later without rewriting the file.
    db.execute_batch("PRAGMA page_size = 4096; PRAGMA auto_vacuum = INCREMENTAL;")?;
    let mode: String = db.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        return Err(OpenError::NoLog);
    }
    db.execute_batch(match settings.durability {
        Durability::Commit => "PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0;",
        Durability::Checkpoint => "PRAGMA synchronous = NORMAL;",
    })?;
    tune(&db, settings)?;
    Ok(db)
}

/// Opens a database that exists for reading only.
///
/// # Errors
///
/// If the file cannot be opened.
pub fn open_reader(path: &Path, settings: &Settings) -> Result<Connection, OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    db.busy_timeout(LOCK_WAIT)?;
    tune(&db, settings)?;
    Ok(db)
}

/// Opens a database that nobody writes to, for reading only. No log is looked for, no lock is taken
/// and no file is made.
///
/// # Errors
///
/// If the file cannot be opened.
pub fn open_still(path: &Path, settings: &Settings) -> Result<Connection, OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_URI;
    let db = Connection::open_with_flags(still_uri(path), flags)?;
    tune(&db, settings)?;
    Ok(db)
}

/// The path as SQLite reads it in a URI: all but plain characters are quoted.
fn still_uri(path: &Path) -> String {
    let mut uri = "file:".to_owned();
    for byte in path.as_os_str().as_encoded_bytes() {
        if byte.is_ascii_alphanumeric() || b"/-_.".contains(byte) {
            uri.push(char::from(*byte));
        } else {
            uri.push_str(&format!("%{byte:02x}"));
        }
    }
    uri.push_str("?immutable=1");
    uri
}

fn tune(db: &Connection, settings: &Settings) -> Result<(), OpenError> {
    db.set_prepared_statement_cache_capacity(settings.statements_max);
    // Plans do not depend on bound values, so statements are not compiled anew for other values.
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    db.execute_batch(&format!(
        "PRAGMA cache_size = -{}; PRAGMA temp_store = MEMORY; PRAGMA trusted_schema = OFF; \
         PRAGMA cell_size_check = ON; PRAGMA journal_size_limit = 16777216;",
        settings.page_cache_kib
    ))?;
    Ok(())
}

/// Brings the tables up to date, each step in one transaction with its version.
///
/// # Errors
///
/// If the database is of a newer version than there are steps to, or a step fails: the database
/// is then as the step before left it.
pub fn upgrade<E>(db: &Connection, steps: &[Step<E>]) -> Result<(), E>
where
    E: From<OpenError> + From<rusqlite::Error>,
{
    let found: u32 = db.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let known = u32::try_from(steps.len()).unwrap_or(u32::MAX);
    if found > known {
        return Err(OpenError::TooNew { found, known }.into());
    }
    for (from, step) in steps.iter().enumerate().skip(found as usize) {
        db.execute_batch("BEGIN IMMEDIATE")?;
        let outcome = step(db)
            .and_then(|()| Ok(db.pragma_update(None, "user_version", from + 1)?))
            .and_then(|()| Ok(db.execute_batch("COMMIT")?));
        if let Err(error) = outcome {
            let _ignored = db.execute_batch("ROLLBACK");
            return Err(error);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: Settings =
        Settings { durability: Durability::Commit, page_cache_kib: 256, statements_max: 8 };

    fn first(db: &Connection) -> Result<(), OpenError> {
        Ok(db.execute_batch("CREATE TABLE one(x)")?)
    }

    fn second(db: &Connection) -> Result<(), OpenError> {
        Ok(db.execute_batch("CREATE TABLE two(x); INSERT INTO two SELECT x FROM one;")?)
    }

    fn broken(db: &Connection) -> Result<(), OpenError> {
        Ok(db.execute_batch("CREATE TABLE three(x); SELECT nothing FROM nowhere;")?)
    }

    fn tables(db: &Connection) -> u32 {
        db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn steps_are_done_once_each() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.db");
        let db = open(&path, &SETTINGS).unwrap();
        upgrade(&db, &[first]).unwrap();
        db.execute_batch("INSERT INTO one VALUES(7)").unwrap();
        upgrade(&db, &[first, second]).unwrap();
        upgrade(&db, &[first, second]).unwrap();
        let kept: u32 = db.query_row("SELECT x FROM two", [], |row| row.get(0)).unwrap();
        assert_eq!((tables(&db), kept), (2, 7));
    }

    #[test]
    fn a_database_of_the_future_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let db = open(&dir.path().join("a.db"), &SETTINGS).unwrap();
        upgrade(&db, &[first, second]).unwrap();
        let refused = upgrade::<OpenError>(&db, &[first]);
        assert!(matches!(refused, Err(OpenError::TooNew { found: 2, known: 1 })));
    }

    #[test]
    fn a_failed_step_leaves_the_old_version() {
        let dir = tempfile::tempdir().unwrap();
        let db = open(&dir.path().join("a.db"), &SETTINGS).unwrap();
        assert!(upgrade(&db, &[first, broken]).is_err());
        assert_eq!(tables(&db), 1);
        upgrade(&db, &[first, second]).unwrap();
        assert_eq!(tables(&db), 2);
    }

    #[test]
    fn a_still_database_is_read_without_leaving_a_trace() {
        let dir = tempfile::tempdir().unwrap();
        // A leading double slash would name a host; the rest would end the path.
        let odd = dir.path().join("a b?c#d%41&\u{e4}");
        std::fs::create_dir(&odd).unwrap();
        let path = odd.join("a.db");
        let db = open(&path, &SETTINGS).unwrap();
        upgrade(&db, &[first]).unwrap();
        drop(db);
        let still = open_still(&path, &SETTINGS).unwrap();
        assert_eq!(tables(&still), 1);
        assert!(still.execute_batch("INSERT INTO one VALUES(1)").is_err());
        assert_eq!(std::fs::read_dir(&odd).unwrap().count(), 1);
        drop(still);
        assert_eq!(std::fs::read_dir(&odd).unwrap().count(), 1);
        assert!(open_still(&odd.join("missing.db"), &SETTINGS).is_err());
    }

    #[test]
    fn a_reader_sees_what_was_committed_and_writes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.db");
        let db = open(&path, &SETTINGS).unwrap();
        upgrade(&db, &[first]).unwrap();
        let reader = open_reader(&path, &SETTINGS).unwrap();
        assert_eq!(tables(&reader), 1);
        assert!(reader.execute_batch("INSERT INTO one VALUES(1)").is_err());
    }
}
