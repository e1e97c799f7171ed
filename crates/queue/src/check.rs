//! Whether what is in the queue agrees with itself. Tests each line marked `Invariant:` of
//! `docs/store-format.md`.

use std::fs;
use std::path::Path;

use rusqlite::Connection;

use crate::body::bodies_dir;
use crate::error::Result;
use crate::queue::{Queue, database};
use crate::row;
use crate::schema::SETTINGS;

/// Faults that are told at most.
const FAULTS_MAX: usize = 100;

/// Statements that find nothing if all is well; the first column names the row.
const NOTHING: &[(&str, &str)] = &[
    (
        "lane that is not that of its messages",
        "SELECT domain || ' ' || priority FROM lane AS l WHERE next_attempt IS NOT \
         (SELECT min(next_attempt) FROM queued WHERE rcpt_domain = l.domain \
         AND priority = l.priority AND is_held = 0 AND leased IS NULL)",
    ),
    (
        "waiting message without a lane",
        "SELECT CAST(id AS TEXT) FROM queued WHERE is_held = 0 AND leased IS NULL \
         AND NOT EXISTS(SELECT 1 FROM lane WHERE domain = rcpt_domain \
         AND lane.priority = queued.priority)",
    ),
    (
        "message with a wrong number of rows",
        "SELECT CAST(id AS TEXT) FROM message AS m WHERE queued_rows + retired_rows <= 0 \
         OR queued_rows <> (SELECT count(*) FROM queued WHERE message = m.id) \
         OR retired_rows <> (SELECT count(*) FROM retired WHERE message = m.id)",
    ),
    (
        "row without a message",
        "SELECT CAST(id AS TEXT) FROM queued WHERE message NOT IN (SELECT id FROM message) \
         UNION ALL SELECT CAST(id AS TEXT) FROM retired WHERE message NOT IN (SELECT id FROM message)",
    ),
    (
        "message without a body",
        "SELECT CAST(id AS TEXT) FROM message AS m WHERE (queued_rows > 0) <> \
         EXISTS(SELECT 1 FROM body WHERE message = m.id AND is_utf8 = 0)",
    ),
    (
        "body without a message",
        "SELECT CAST(message AS TEXT) FROM body WHERE message NOT IN (SELECT id FROM message)",
    ),
    (
        "body of the wrong size",
        "SELECT CAST(message AS TEXT) FROM body WHERE data IS NOT NULL AND length(data) <> size",
    ),
    (
        "wrong usage by webhook calls of account",
        "SELECT u.account FROM hook_usage AS u LEFT JOIN \
         (SELECT account, count(*) AS calls, sum(length(payload)) AS size FROM hook \
         GROUP BY account) AS h ON h.account = u.account \
         WHERE u.count <> coalesce(h.calls, 0) OR u.bytes <> coalesce(h.size, 0) \
         UNION ALL SELECT account FROM hook WHERE account NOT IN (SELECT account FROM hook_usage)",
    ),
    (
        "message that is queued and retired",
        "SELECT CAST(id AS TEXT) FROM queued WHERE id IN (SELECT id FROM retired)",
    ),
];

impl Queue {
    /// Reads everything, and says what is wrong; nothing if all is well.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub fn check(&self) -> Result<Vec<String>> {
        self.read(|db| faults(db, &self.state().dir))
    }
}

/// [`Queue::check`] of a queue that nobody has open, such as a copy. Leases that a crash left stay as
/// they are.
///
/// # Errors
///
/// If the database cannot be opened or fails.
pub fn check(dir: &Path) -> Result<Vec<String>> {
    let db = mox_sqlite::open(&database(dir), &SETTINGS)?;
    let version: u32 = db.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    // A crash came before the tables.
    if version == 0 { Ok(Vec::new()) } else { faults(&db, dir) }
}

/// [`Queue::check`] of a copy that nobody writes to and in which no file is to be made.
///
/// # Errors
///
/// If the database cannot be opened or fails.
pub fn check_still(dir: &Path) -> Result<Vec<String>> {
    faults(&mox_sqlite::open_still(&database(dir), &SETTINGS)?, dir)
}

fn faults(db: &Connection, dir: &Path) -> Result<Vec<String>> {
    let sql = format!("PRAGMA integrity_check({FAULTS_MAX})");
    let mut faults = texts(db, &sql)?;
    faults.retain(|fault| fault != "ok");
    for (what, sql) in NOTHING {
        faults.extend(texts(db, sql)?.iter().map(|row| format!("{what}: {row}")));
    }
    for select in [row::SELECT_QUEUED, row::SELECT_RETIRED] {
        faults.extend(unreadable(db, select)?);
    }
    faults.extend(file_faults(db, &bodies_dir(dir))?);
    faults.truncate(FAULTS_MAX);
    Ok(faults)
}

/// Body files that are missing or of another size.
fn file_faults(db: &Connection, dir: &Path) -> Result<Vec<String>> {
    let mut statement = db.prepare("SELECT file, size FROM body WHERE file IS NOT NULL")?;
    let mut rows = statement.query([])?;
    let mut faults = Vec::new();
    while let Some(row) = rows.next()? {
        let (name, size): (String, i64) = (row.get(0)?, row.get(1)?);
        let found = fs::metadata(dir.join(&name)).map(|meta| meta.len());
        if !found.is_ok_and(|found| found == size.cast_unsigned()) {
            faults.push(format!("body file missing or of another size: {name}"));
        }
    }
    Ok(faults)
}

/// The first column, as text.
fn texts(db: &Connection, sql: &str) -> Result<Vec<String>> {
    let mut statement = db.prepare(sql)?;
    let rows = statement.query_map([], |row| row.get::<_, String>(0))?;
    Ok(rows.take(FAULTS_MAX).collect::<rusqlite::Result<_>>()?)
}

fn unreadable(db: &Connection, select: &str) -> Result<Vec<String>> {
    let mut statement = db.prepare(select)?;
    let mut rows = statement.query([])?;
    let mut faults = Vec::new();
    while let Some(row) = rows.next()? {
        if let Err(error) = row::queued(row) {
            faults.push(format!("message {} cannot be read: {error}", row.get::<_, i64>(0)?));
        }
    }
    Ok(faults)
}
