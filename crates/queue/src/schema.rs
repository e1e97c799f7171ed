//! The tables, opening the database, and the steps from each version to the next.
//!
//! `docs/store-format.md` explains every column; change both together.

use std::path::Path;

use mox_sqlite::{Durability, Settings, Step};
use rusqlite::Connection;

use crate::error::{QueueError, Result};
use crate::{hint, hook, outgoing};

/// The version that this program writes; `user_version` in the file.
pub const SCHEMA_VERSION: u32 = 1;

pub(crate) const SETTINGS: Settings =
    Settings { durability: Durability::Commit, page_cache_kib: 8_192, statements_max: 96 };

/// A row is waiting if it is neither held nor leased: the partial indexes say it in these words,
/// and so must the queries that are to use them.
const TABLES: &str = "
CREATE TABLE message(
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    queued_rows INTEGER NOT NULL,
    retired_rows INTEGER NOT NULL,
    account TEXT NOT NULL,
    kind INTEGER NOT NULL,
    size INTEGER NOT NULL,
    message_id TEXT NOT NULL,
    subject TEXT NOT NULL,
    traits INTEGER NOT NULL,
    ret TEXT,
    envid TEXT,
    release_at INTEGER,
    release_request TEXT,
    extra TEXT NOT NULL,
    attempts_max INTEGER
);
CREATE INDEX message_by_message_id ON message(message_id);
CREATE INDEX message_by_envid ON message(envid) WHERE envid IS NOT NULL;
CREATE TABLE body(
    message INTEGER NOT NULL,
    is_utf8 INTEGER NOT NULL,
    size INTEGER NOT NULL,
    data BLOB,
    file TEXT,
    PRIMARY KEY(message, is_utf8)
);
CREATE INDEX body_file ON body(file) WHERE file IS NOT NULL;
CREATE TABLE queued(
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    message INTEGER NOT NULL,
    base INTEGER NOT NULL,
    queued INTEGER NOT NULL,
    mail_from TEXT NOT NULL,
    rcpt_to TEXT NOT NULL,
    rcpt_domain TEXT NOT NULL,
    from_id TEXT,
    notify TEXT,
    orcpt TEXT,
    priority INTEGER NOT NULL,
    require_tls INTEGER,
    transport TEXT,
    is_held INTEGER NOT NULL,
    leased INTEGER,
    attempts INTEGER NOT NULL,
    next_attempt INTEGER NOT NULL,
    set_at INTEGER NOT NULL,
    last_attempt INTEGER,
    results TEXT NOT NULL,
    dialed_ips TEXT NOT NULL
);
CREATE INDEX queued_due ON queued(rcpt_domain, priority, next_attempt)
    WHERE is_held = 0 AND leased IS NULL;
CREATE INDEX queued_base ON queued(base, rcpt_domain, attempts, next_attempt)
    WHERE base <> 0 AND is_held = 0 AND leased IS NULL;
CREATE INDEX queued_leased ON queued(leased) WHERE leased IS NOT NULL;
CREATE INDEX queued_next ON queued(next_attempt);
CREATE INDEX queued_time ON queued(queued);
CREATE INDEX queued_message ON queued(message);
CREATE UNIQUE INDEX queued_from_id ON queued(from_id) WHERE from_id IS NOT NULL;
CREATE TABLE lane(
    domain TEXT NOT NULL,
    priority INTEGER NOT NULL,
    next_attempt INTEGER NOT NULL,
    PRIMARY KEY(domain, priority)
) WITHOUT ROWID;
CREATE INDEX lane_due ON lane(priority, next_attempt);
CREATE INDEX lane_next ON lane(next_attempt);
CREATE TABLE retired(
    id INTEGER PRIMARY KEY,
    message INTEGER NOT NULL,
    base INTEGER NOT NULL,
    queued INTEGER NOT NULL,
    account TEXT NOT NULL,
    mail_from TEXT NOT NULL,
    rcpt_to TEXT NOT NULL,
    from_id TEXT,
    notify TEXT,
    orcpt TEXT,
    priority INTEGER NOT NULL,
    require_tls INTEGER,
    transport TEXT,
    attempts INTEGER NOT NULL,
    next_attempt INTEGER NOT NULL,
    last_attempt INTEGER,
    results TEXT NOT NULL,
    dialed_ips TEXT NOT NULL,
    is_success INTEGER NOT NULL,
    last_activity INTEGER NOT NULL,
    keep_until INTEGER NOT NULL
);
CREATE UNIQUE INDEX retired_from_id ON retired(from_id) WHERE from_id IS NOT NULL;
CREATE INDEX retired_rcpt ON retired(account, rcpt_to, last_activity);
CREATE INDEX retired_activity ON retired(last_activity);
CREATE INDEX retired_time ON retired(queued);
CREATE INDEX retired_keep ON retired(keep_until);
CREATE INDEX retired_message ON retired(message);
CREATE TABLE hold_rule(
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    account TEXT,
    sender_domain TEXT,
    rcpt_domain TEXT
);
CREATE TABLE suppression(
    account TEXT NOT NULL,
    base_address TEXT NOT NULL,
    address TEXT NOT NULL,
    is_manual INTEGER NOT NULL,
    reason TEXT NOT NULL,
    created INTEGER NOT NULL,
    PRIMARY KEY(account, base_address)
) WITHOUT ROWID;
CREATE TABLE notice(
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    account TEXT NOT NULL,
    mailbox TEXT NOT NULL,
    is_seen INTEGER NOT NULL,
    message_id TEXT NOT NULL,
    created INTEGER NOT NULL,
    body BLOB NOT NULL
);
CREATE TABLE clock(latest INTEGER NOT NULL);
INSERT INTO clock VALUES(0);
";

/// Step n brings a database from version n to n + 1, in one transaction with the new version.
///
/// A released step is never changed: `tests/fixtures` keeps a database of every released version.
const STEPS: &[Step<QueueError>] = &[create_tables];

fn create_tables(db: &Connection) -> Result<()> {
    db.execute_batch(TABLES)?;
    db.execute_batch(hook::TABLES)?;
    db.execute_batch(hint::TABLES)?;
    Ok(db.execute_batch(outgoing::TABLES)?)
}

/// Opens the database, making and upgrading its tables as needed. What an earlier process left in
/// the log becomes durable first, so that no later commit builds on pages that only memory holds.
pub(crate) fn open(path: &Path) -> Result<Connection> {
    let db = mox_sqlite::open(path, &SETTINGS)?;
    let busy: i64 = db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    if busy != 0 {
        return Err(QueueError::Busy);
    }
    mox_sqlite::upgrade(&db, STEPS)?;
    Ok(db)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_step_to_every_version() {
        assert_eq!(STEPS.len(), SCHEMA_VERSION as usize);
    }
}
