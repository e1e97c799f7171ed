//! Secrets of an account: password verifiers and keys, opaque to the store.

use crate::Result;
use crate::tx::Tx;

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
