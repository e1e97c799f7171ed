//! The tables of an account, opening its database, and the steps from each version to the next.
//!
//! `docs/store-format.md` explains every column; change both together.

use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::{Result, StoreError};

/// The version that this program writes; `user_version` in the file.
pub const SCHEMA_VERSION: u32 = 3;

/// Memory for pages per connection. Measured equal to 8 MB for scans of 100,000 messages.
const PAGE_CACHE_KIB: u32 = 1_024;

/// Prepared statements kept per connection.
const STATEMENTS_MAX: usize = 96;

/// How long a statement waits for a lock. Our own writers never meet; a backup program might.
const LOCK_WAIT: std::time::Duration = std::time::Duration::from_secs(10);

const TABLES: &str = "
CREATE TABLE state(
    id INTEGER PRIMARY KEY CHECK(id = 1),
    modseq INTEGER NOT NULL,
    next_message INTEGER NOT NULL,
    next_mailbox INTEGER NOT NULL,
    next_uidvalidity INTEGER NOT NULL,
    used_bytes INTEGER NOT NULL
);
CREATE TABLE mailbox(
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    uidvalidity INTEGER NOT NULL,
    uidnext INTEGER NOT NULL,
    modseq INTEGER NOT NULL,
    createseq INTEGER NOT NULL,
    special_use INTEGER NOT NULL,
    total INTEGER NOT NULL,
    deleted INTEGER NOT NULL,
    unread INTEGER NOT NULL,
    unseen INTEGER NOT NULL,
    size INTEGER NOT NULL,
    keywords TEXT NOT NULL
);
CREATE TABLE subscription(name TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE msg(
    id INTEGER PRIMARY KEY,
    mailbox INTEGER NOT NULL REFERENCES mailbox(id),
    uid INTEGER NOT NULL,
    modseq INTEGER NOT NULL,
    createseq INTEGER NOT NULL,
    flags INTEGER NOT NULL,
    keywords TEXT,
    size INTEGER NOT NULL,
    received INTEGER NOT NULL,
    saved INTEGER NOT NULL,
    thread INTEGER NOT NULL,
    body INTEGER NOT NULL,
    sent INTEGER,
    sent_day INTEGER
);
CREATE UNIQUE INDEX msg_uid ON msg(mailbox, uid);
CREATE INDEX msg_modseq ON msg(mailbox, modseq);
CREATE INDEX msg_thread ON msg(thread);
CREATE INDEX msg_unseen ON msg(mailbox, uid) WHERE flags & 1 = 0;
CREATE TABLE meta(
    id INTEGER PRIMARY KEY,
    original_mailbox INTEGER NOT NULL,
    received INTEGER NOT NULL,
    message_id TEXT,
    subject TEXT,
    thread_bits INTEGER NOT NULL,
    thread_parents TEXT,
    is_dsn INTEGER NOT NULL,
    mail_from TEXT,
    rcpt_to TEXT,
    remote_ip TEXT,
    ehlo TEXT,
    prefix BLOB NOT NULL,
    structure BLOB NOT NULL,
    preview TEXT NOT NULL
);
CREATE INDEX meta_message_id ON meta(message_id, subject) WHERE message_id IS NOT NULL;
CREATE INDEX meta_subject ON meta(subject, original_mailbox, received)
    WHERE subject IS NOT NULL;
CREATE TABLE body(
    id INTEGER PRIMARY KEY,
    refs INTEGER NOT NULL,
    codec INTEGER NOT NULL,
    head_size INTEGER NOT NULL,
    text_size INTEGER NOT NULL,
    head BLOB NOT NULL,
    text BLOB,
    file TEXT
);
CREATE TABLE gone(
    mailbox INTEGER NOT NULL,
    modseq INTEGER NOT NULL,
    uid INTEGER NOT NULL,
    PRIMARY KEY(mailbox, modseq, uid)
) WITHOUT ROWID;
CREATE TABLE tomb(
    mailbox INTEGER NOT NULL,
    uid INTEGER NOT NULL,
    id INTEGER NOT NULL,
    removed INTEGER NOT NULL,
    erase INTEGER NOT NULL,
    modseq INTEGER NOT NULL,
    flags INTEGER NOT NULL,
    keywords TEXT,
    size INTEGER NOT NULL,
    received INTEGER NOT NULL,
    saved INTEGER NOT NULL,
    thread INTEGER NOT NULL,
    body INTEGER NOT NULL,
    sent INTEGER,
    sent_day INTEGER,
    PRIMARY KEY(mailbox, uid)
) WITHOUT ROWID;
CREATE INDEX tomb_removed ON tomb(removed);
CREATE TABLE secret(kind TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
";

/// What version 2 adds.
const TABLES_2: &str = "
UPDATE state SET used_bytes = coalesce((SELECT sum(size) FROM msg), 0);
ALTER TABLE mailbox ADD COLUMN deleted_size INTEGER NOT NULL DEFAULT 0;
UPDATE mailbox SET deleted_size = coalesce(
    (SELECT sum(size) FROM msg WHERE msg.mailbox = mailbox.id AND flags & 8 != 0), 0);
CREATE TABLE annotation(
    mailbox INTEGER NOT NULL,
    name TEXT NOT NULL,
    value BLOB NOT NULL,
    is_binary INTEGER NOT NULL,
    PRIMARY KEY(mailbox, name)
) WITHOUT ROWID;
CREATE TABLE url_key(mailbox INTEGER PRIMARY KEY, key BLOB NOT NULL);
";

/// Step n brings a database from version n to n + 1, in one transaction with the new version.
///
/// A released step is never changed: `tests/fixtures` keeps a database of every released version.
const STEPS: &[fn(&Connection) -> Result<()>] = &[create_tables, to_version_2, to_version_3];

fn create_tables(db: &Connection) -> Result<()> {
    Ok(db.execute_batch(TABLES)?)
}

fn to_version_2(db: &Connection) -> Result<()> {
    db.execute_batch(TABLES_2)?;
    Ok(db.execute_batch(crate::index::TABLES)?)
}

fn to_version_3(db: &Connection) -> Result<()> {
    db.execute_batch(crate::junk::TABLES)?;
    db.execute_batch(crate::history::TABLES)?;
    db.execute_batch(crate::decision::TABLES)?;
    db.execute_batch(crate::pass_key::TABLES)?;
    crate::history::fill_sent(db)
}

/// Opens the connection that writes, creating and upgrading the tables as needed.
pub(crate) fn open_writer(path: &Path) -> Result<Connection> {
    let db = open_durable(path)?;
    upgrade(&db)?;
    Ok(db)
}

/// Opens a database of which every commit is on disk when it returns, making it if missing.
pub(crate) fn open_durable(path: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    db.busy_timeout(LOCK_WAIT)?;
    // Before the first table: it cannot be changed later without rewriting the file.
    db.execute_batch("PRAGMA page_size = 4096; PRAGMA auto_vacuum = INCREMENTAL;")?;
    let mode: String = db.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        return Err(StoreError::Damaged { what: "no write-ahead log on this file system" });
    }
    // FULL: every commit syncs the log. NORMAL would lose acknowledged mail on a power failure.
    // No automatic checkpoints: they would make one delivery pay for many.
    db.execute_batch("PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0;")?;
    tune(&db)?;
    let foreign_keys = if cfg!(test) { "ON" } else { "OFF" };
    db.execute_batch(&format!("PRAGMA foreign_keys = {foreign_keys}"))?;
    Ok(db)
}

/// Opens a connection that only reads.
pub(crate) fn open_reader(path: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    db.busy_timeout(LOCK_WAIT)?;
    tune(&db)?;
    Ok(db)
}

fn tune(db: &Connection) -> Result<()> {
    db.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    // Plans do not depend on bound values, so statements are not compiled anew for other values.
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    db.execute_batch(&format!(
        "PRAGMA cache_size = -{PAGE_CACHE_KIB}; PRAGMA temp_store = MEMORY; \
         PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; \
         PRAGMA journal_size_limit = 16777216;"
    ))?;
    Ok(())
}

fn upgrade(db: &Connection) -> Result<()> {
    let found: u32 = db.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if found > SCHEMA_VERSION {
        return Err(StoreError::TooNew { found, known: SCHEMA_VERSION });
    }
    for (from, step) in STEPS.iter().enumerate().skip(found as usize) {
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

    #[test]
    fn there_is_a_step_to_every_version() {
        assert_eq!(STEPS.len(), SCHEMA_VERSION as usize);
    }

    #[test]
    fn a_database_of_the_future_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("index.db");
        let db = open_writer(&path).unwrap();
        db.pragma_update(None, "user_version", SCHEMA_VERSION + 1).unwrap();
        drop(db);
        assert!(matches!(open_writer(&path), Err(StoreError::TooNew { .. })));
    }

    #[test]
    fn a_failed_step_leaves_the_old_version() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("index.db");
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE gone(x)").unwrap();
        assert!(open_writer(&path).is_err());
        let db = Connection::open(&path).unwrap();
        let tables: u32 =
            db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).unwrap();
        assert_eq!(tables, 1);
    }
}
