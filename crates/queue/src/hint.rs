//! What is known of the TLS of recipients' domains, for programs in which a user writes to them.

use mox_base::UnixSeconds;
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::error::Result;
use crate::queue::Queue;

/// How long it is kept that a domain was not written to again, in seconds.
pub const HINT_KEEP_SECS: i64 = 366 * 24 * 3600;

pub(crate) const TABLES: &str = "
CREATE TABLE tls_hint(
    account TEXT NOT NULL,
    domain TEXT NOT NULL,
    updated INTEGER NOT NULL,
    has_starttls INTEGER NOT NULL,
    has_requiretls INTEGER NOT NULL,
    PRIMARY KEY(account, domain)
) WITHOUT ROWID;
CREATE INDEX tls_hint_updated ON tls_hint(updated);
";

/// What a server of a domain offered when it was last written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TlsHint {
    /// RFC 3207.
    pub has_starttls: bool,
    /// RFC 8689.
    pub has_requiretls: bool,
}

impl Queue {
    /// What a domain, as [`mox_base::Host::ascii`] has it, offered when the account last wrote to it.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub fn tls_hint(&self, account: &str, domain: &str) -> Result<Option<TlsHint>> {
        const SQL: &str = "SELECT has_starttls, has_requiretls FROM tls_hint \
            WHERE account = ?1 AND domain = ?2";
        self.read(|db| {
            let hint = db.prepare_cached(SQL)?.query_row([account, domain], |row| {
                Ok(TlsHint { has_starttls: row.get(0)?, has_requiretls: row.get(1)? })
            });
            Ok(hint.optional()?)
        })
    }
}

pub(crate) fn keep(
    db: &Connection,
    account: &str,
    domain: &str,
    hint: TlsHint,
    now: UnixSeconds,
) -> Result<()> {
    // Once a day is enough to keep it from being forgotten.
    const SQL: &str = "INSERT INTO tls_hint VALUES(?1, ?2, ?3, ?4, ?5) \
        ON CONFLICT DO UPDATE SET updated = ?3, has_starttls = ?4, has_requiretls = ?5 \
        WHERE updated < ?3 - 86400 OR has_starttls <> ?4 OR has_requiretls <> ?5";
    let TlsHint { has_starttls, has_requiretls } = hint;
    db.prepare_cached(SQL)?.execute(params![
        account,
        domain,
        now.0,
        has_starttls,
        has_requiretls
    ])?;
    Ok(())
}

/// Removes some that are old. Returns how many.
pub(crate) fn expire(db: &Connection, now: UnixSeconds, max: usize) -> Result<usize> {
    const SQL: &str = "DELETE FROM tls_hint WHERE (account, domain) IN \
        (SELECT account, domain FROM tls_hint WHERE updated < ?1 ORDER BY updated LIMIT ?2)";
    Ok(db.prepare_cached(SQL)?.execute(params![now.plus_secs(-HINT_KEEP_SECS).0, max])?)
}
