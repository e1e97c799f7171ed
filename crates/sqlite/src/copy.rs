//! Copying a database while others use it.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags, ffi};

use crate::open::{LOCK_WAIT, OpenError};

/// Pages copied in one step: 1 MB.
const STEP_PAGES: i32 = 256;

/// How far a copy is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copied {
    /// Pages that are in the copy.
    pub pages: u64,
    /// Pages of the database.
    pub total: u64,
}

/// Copies a database as it is at one moment into a file that must not exist.
///
/// Writers of the source are not held up; its log cannot be emptied meanwhile. `between` is called
/// after every 256 pages, and may take its time. The copy has no log of its own; it is not synced.
///
/// # Errors
///
/// If either file cannot be opened, or the databases fail: what there is of the copy is useless.
pub fn copy(
    source: &Path,
    target: &Path,
    between: &mut dyn FnMut(Copied),
) -> Result<(), OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let from = Connection::open_with_flags(source, flags)?;
    from.busy_timeout(LOCK_WAIT)?;
    // Changes by others would have the copy begin again and again; with this, it is of one moment.
    from.execute_batch("BEGIN")?;
    from.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    // An empty file is an empty database.
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(target)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut into = Connection::open_with_flags(target, flags)?;
    // One that is cut off is thrown away.
    into.query_row("PRAGMA journal_mode = OFF", [], |_| Ok(()))?;
    into.execute_batch("PRAGMA synchronous = OFF")?;
    let backup = Backup::new(&from, &mut into)?;
    loop {
        let step = backup.step(STEP_PAGES)?;
        let progress = backup.progress();
        let [total, left] =
            [progress.pagecount, progress.remaining].map(|n| u64::try_from(n).unwrap_or_default());
        between(Copied { pages: total.saturating_sub(left), total });
        match step {
            StepResult::Done => return Ok(()),
            StepResult::More => {}
            // Readers of a log wait for nobody; with no log there may be a lock for too long.
            _ => {
                let busy = ffi::Error::new(ffi::SQLITE_BUSY);
                return Err(rusqlite::Error::SqliteFailure(busy, None).into());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Durability, Settings, open, open_still};

    const SETTINGS: Settings =
        Settings { durability: Durability::Commit, page_cache_kib: 256, statements_max: 8 };

    fn rows(db: &Connection) -> u32 {
        db.query_row("SELECT count(*) FROM one", [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn a_copy_is_of_one_moment_while_others_write() {
        let dir = tempfile::tempdir().unwrap();
        let (source, target) = (dir.path().join("a.db"), dir.path().join("b.db"));
        let db = open(&source, &SETTINGS).unwrap();
        db.execute_batch(
            "CREATE TABLE one(x); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n \
             WHERE i < 1000) INSERT INTO one SELECT randomblob(3000) FROM n;",
        )
        .unwrap();
        let mut steps = 0;
        copy(&source, &target, &mut |copied| {
            assert!(copied.pages <= copied.total);
            db.execute_batch("INSERT INTO one VALUES(1); DELETE FROM one WHERE rowid = 7").unwrap();
            steps += 1;
        })
        .unwrap();
        assert!(steps > 2, "{steps}");
        let copied = open_still(&target, &SETTINGS).unwrap();
        assert_eq!((rows(&copied), rows(&db)), (1000, 999 + steps));
        let told: String = copied.query_row("PRAGMA integrity_check", [], |r| r.get(0)).unwrap();
        assert_eq!(told, "ok");
        assert!(!dir.path().join("b.db-wal").exists() && !dir.path().join("b.db-journal").exists());
    }

    #[test]
    fn nothing_is_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let (source, target) = (dir.path().join("a.db"), dir.path().join("b.db"));
        open(&source, &SETTINGS).unwrap().execute_batch("CREATE TABLE one(x)").unwrap();
        std::fs::write(&target, b"mine").unwrap();
        assert!(copy(&source, &target, &mut |_| {}).is_err());
        assert_eq!(std::fs::read(&target).unwrap(), b"mine");
        assert!(copy(&dir.path().join("none.db"), &dir.path().join("c.db"), &mut |_| {}).is_err());
    }
}
