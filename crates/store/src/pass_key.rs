//! Keys of the codes by which refused senders get through, one for each address of the account.

use mox_base::Address;
use mox_policy::PassKey;
use rusqlite::{OptionalExtension, params};

use crate::read::Reader;
use crate::tx::Tx;
use crate::{Result, StoreError};

/// Keys that an account has; beyond that the oldest goes. Ours. With a catch-all address there may be
/// as many addresses as senders make up.
pub const PASS_KEYS_MAX: i64 = 1_000;

pub(crate) const TABLES: &str = "
CREATE TABLE pass_key(id INTEGER PRIMARY KEY, address TEXT NOT NULL UNIQUE, key TEXT NOT NULL);
";

const READ: &str = "SELECT key FROM pass_key WHERE address = ?1";

fn column(address: &Address) -> String {
    format!("{}@{}", address.localpart, address.domain.ascii())
}

fn key_of(text: &str) -> Result<PassKey> {
    PassKey::from_stored(text).ok_or(StoreError::Damaged { what: "key of passes" })
}

impl Reader {
    /// The key of a canonical address, `None` if it has none.
    ///
    /// # Errors
    ///
    /// If the database cannot be read, or the key is damaged.
    pub fn pass_key(&self, address: &Address) -> Result<Option<PassKey>> {
        let mut statement = self.db()?.prepare_cached(READ)?;
        let text: Option<String> =
            statement.query_row([column(address)], |row| row.get(0)).optional()?;
        text.as_deref().map(key_of).transpose()
    }
}

/// The key of a canonical address, which becomes `fresh` if it has none.
pub(crate) fn find_or_make(tx: &Tx<'_>, address: &Address, fresh: &PassKey) -> Result<PassKey> {
    let address = column(address);
    let sql = "INSERT OR IGNORE INTO pass_key(address, key) VALUES (?1, ?2)";
    let made = tx.db().prepare_cached(sql)?.execute(params![address, fresh.expose()])?;
    if made > 0 {
        // Ids ascend, and only the oldest are removed.
        let id = tx.db().last_insert_rowid();
        tx.db().execute("DELETE FROM pass_key WHERE id <= ?1", [id - PASS_KEYS_MAX])?;
    }
    let text: String = tx.db().prepare_cached(READ)?.query_row([address], |row| row.get(0))?;
    key_of(&text)
}
