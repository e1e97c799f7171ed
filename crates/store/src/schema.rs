//! The tables of an account, opening its database, and the steps from each version to the next.
//!
//! `docs/store-format.md` explains every column; change both together.

use std::path::Path;

use mox_sqlite::{Durability, Settings, Step};
use rusqlite::Connection;

use crate::{Result, StoreError};

/// The version that this program writes; `user_version` in the file.
pub const SCHEMA_VERSION: u32 = 5;

/// Every commit syncs the log: acknowledged mail must outlive a power failure. The memory for pages
/// was measured equal to 8 MB for scans of 100,000 messages.
pub(crate) const SETTINGS: Settings =
    Settings { durability: Durability::Commit, page_cache_kib: 1_024, statements_max: 96 };

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

/// What version 5 adds: the zone of INTERNALDATE, which of older messages is UTC, as it was shown; and
/// how messages were protected on their way here, which of older ones nobody knows.
const TABLES_5: &str = "
ALTER TABLE msg ADD COLUMN zone INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tomb ADD COLUMN zone INTEGER NOT NULL DEFAULT 0;
ALTER TABLE meta ADD COLUMN tls_version INTEGER NOT NULL DEFAULT 0;
ALTER TABLE meta ADD COLUMN tls_cipher INTEGER NOT NULL DEFAULT 0;
ALTER TABLE meta ADD COLUMN tls_required INTEGER NOT NULL DEFAULT 0;
";

/// Step n brings a database from version n to n + 1, in one transaction with the new version.
///
/// A released step is never changed: `tests/fixtures` keeps a database of every released version.
const STEPS: &[Step<StoreError>] =
    &[create_tables, to_version_2, to_version_3, to_version_4, to_version_5];

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

fn to_version_4(db: &Connection) -> Result<()> {
    Ok(db.execute_batch(crate::hash::TABLES)?)
}

fn to_version_5(db: &Connection) -> Result<()> {
    Ok(db.execute_batch(TABLES_5)?)
}

/// Opens the connection that writes, creating and upgrading the tables as needed.
pub(crate) fn open_writer(path: &Path) -> Result<Connection> {
    let db = open_durable(path)?;
    mox_sqlite::upgrade(&db, STEPS)?;
    Ok(db)
}

/// Opens a database of which every commit is on disk when it returns, making it if missing.
pub(crate) fn open_durable(path: &Path) -> Result<Connection> {
    let db = mox_sqlite::open(path, &SETTINGS)?;
    let foreign_keys = if cfg!(test) { "ON" } else { "OFF" };
    db.execute_batch(&format!("PRAGMA foreign_keys = {foreign_keys}"))?;
    Ok(db)
}

/// Opens a connection that only reads.
pub(crate) fn open_reader(path: &Path) -> Result<Connection> {
    Ok(mox_sqlite::open_reader(path, &SETTINGS)?)
}

/// Opens a connection that only reads a database that nobody writes to.
pub(crate) fn open_still(path: &Path) -> Result<Connection> {
    Ok(mox_sqlite::open_still(path, &SETTINGS)?)
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
