//! Keys that sign URLs of messages, one for each mailbox.
//!
//! Source: RFC 4467 §2.2. An account has one user, so that its mailbox access key table is that of
//! the user.

use mox_base::{MailboxId, MailboxName};
use rusqlite::{OptionalExtension, params};

use crate::read::Reader;
use crate::tx::Tx;
use crate::{Result, StoreError, mailbox};

/// The bytes of a key.
pub const URL_KEY_BYTES: usize = 32;

/// A key that signs URLs of messages of one mailbox.
pub type UrlKey = [u8; URL_KEY_BYTES];

const READ: &str = "SELECT key FROM url_key WHERE mailbox = ?1";

impl Reader {
    /// The key of a mailbox, `None` if it has none.
    ///
    /// # Errors
    ///
    /// If the database cannot be read, or the key is damaged.
    pub fn url_key(&self, mailbox: MailboxId) -> Result<Option<UrlKey>> {
        let mut statement = self.db()?.prepare_cached(READ)?;
        let key: Option<Vec<u8>> = statement.query_row([mailbox.0], |row| row.get(0)).optional()?;
        key.map(key_of).transpose()
    }
}

fn key_of(bytes: Vec<u8>) -> Result<UrlKey> {
    UrlKey::try_from(bytes).map_err(|_| StoreError::Damaged { what: "key of urls" })
}

/// The key of a mailbox, which becomes `fresh` if it has none.
pub(crate) fn find_or_make(tx: &mut Tx<'_>, name: &MailboxName, fresh: &UrlKey) -> Result<UrlKey> {
    let mailbox = mailbox::by_name(tx, name)?.ok_or(StoreError::NoMailbox)?;
    let mut insert = tx.db().prepare_cached("INSERT OR IGNORE INTO url_key VALUES (?1, ?2)")?;
    insert.execute(params![mailbox.id.0, fresh])?;
    let key = tx.db().prepare_cached(READ)?.query_row([mailbox.id.0], |row| row.get(0))?;
    key_of(key)
}

/// Forgets the key of a mailbox, or all: what they signed is worth nothing any more.
pub(crate) fn reset(tx: &mut Tx<'_>, name: Option<&MailboxName>) -> Result<()> {
    match name {
        None => {
            tx.db().execute("DELETE FROM url_key", [])?;
            Ok(())
        }
        Some(name) => {
            let mailbox = mailbox::by_name(tx, name)?.ok_or(StoreError::NoMailbox)?;
            forget(tx, mailbox.id)
        }
    }
}

/// Forgets the key of a mailbox that is deleted.
pub(crate) fn forget(tx: &Tx<'_>, mailbox: MailboxId) -> Result<()> {
    tx.db().execute("DELETE FROM url_key WHERE mailbox = ?1", [mailbox.0])?;
    Ok(())
}
