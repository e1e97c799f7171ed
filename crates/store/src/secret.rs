//! Secrets of an account: password verifiers and keys, opaque to the store.

use rusqlite::{Connection, OptionalExtension};

use crate::Result;
use crate::tx::Tx;

/// Looks a secret up. Its table is the same in all versions of the schema.
pub(crate) fn find(db: &Connection, kind: &str) -> Result<Option<Vec<u8>>> {
    let mut statement = db.prepare_cached("SELECT value FROM secret WHERE kind = ?1")?;
    Ok(statement.query_row([kind], |row| row.get(0)).optional()?)
}

/// Stores or removes a secret.
pub(crate) fn set(tx: &mut Tx<'_>, kind: &str, value: Option<&[u8]>) -> Result<()> {
    match value {
        Some(value) => {
            let sql = "INSERT OR REPLACE INTO secret VALUES (?1, ?2)";
            tx.db().execute(sql, rusqlite::params![kind, value])?;
        }
        None => {
            tx.db().execute("DELETE FROM secret WHERE kind = ?1", [kind])?;
        }
    }
    Ok(())
}

/// Stores a secret if the one before it is still there.
pub(crate) fn replace(tx: &mut Tx<'_>, kind: &str, old: &[u8], new: &[u8]) -> Result<bool> {
    let sql = "UPDATE secret SET value = ?3 WHERE kind = ?1 AND value = ?2";
    Ok(tx.db().execute(sql, rusqlite::params![kind, old, new])? == 1)
}
