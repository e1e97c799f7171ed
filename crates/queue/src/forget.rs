//! Forgetting an account that is removed.

use rusqlite::params;

use crate::error::Result;
use crate::queue::Queue;
use crate::retired;

/// The most rows of history that one commit removes: others wait for it.
const REMOVED_AT_ONCE_MAX: usize = 1_000;

/// What is kept by account besides messages and their history.
///
/// A webhook call that is being made is left: it ends by itself.
const TABLES: [&str; 7] = [
    "DELETE FROM hook WHERE account = ?1 AND is_leased = 0",
    "DELETE FROM hook_usage WHERE account = ?1 AND count = 0",
    "DELETE FROM hold_rule WHERE account = ?1",
    "DELETE FROM suppression WHERE account = ?1",
    "DELETE FROM notice WHERE account = ?1",
    "DELETE FROM outgoing_count WHERE account = ?1",
    "DELETE FROM outgoing_rcpt WHERE account = ?1",
];

impl Queue {
    /// Removes what is kept of an account: the history of its messages, its webhook calls, hold rules,
    /// suppressed addresses, notices and counts. Messages that are still in the queue stay: whoever
    /// removes an account sees to them before. Blocks.
    ///
    /// # Errors
    ///
    /// If the database fails; what was removed until then stays removed.
    pub fn forget_account(&self, account: &str) -> Result<()> {
        while self.forget_history(account)? == REMOVED_AT_ONCE_MAX {}
        let account = account.to_owned();
        let forget = self.write(0, move |tx, _| {
            for sql in TABLES {
                tx.db().prepare_cached(sql)?.execute([&account])?;
            }
            Ok(())
        });
        forget.wait()
    }

    fn forget_history(&self, account: &str) -> Result<usize> {
        let account = account.to_owned();
        let forget = self.write(0, move |tx, _| {
            let db = tx.db();
            let mut select =
                db.prepare_cached("SELECT id, message FROM retired WHERE account = ?1 LIMIT ?2")?;
            let rows = select
                .query_map(params![account, REMOVED_AT_ONCE_MAX], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })?
                .collect::<rusqlite::Result<Vec<(i64, i64)>>>()?;
            retired::remove(db, &rows)?;
            Ok(rows.len())
        });
        forget.wait()
    }
}
