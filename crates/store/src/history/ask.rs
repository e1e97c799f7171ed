//! The questions of a decision, answered from the tables.

use mox_base::{MailboxName, UnixSeconds};
use mox_policy::{Addressee, History, HistoryError, Identity, Network, Past, Traffic};
use rusqlite::params;

use super::{keys, origin, traffic};
use crate::read::Reader;
use crate::{Result, StoreError};

/// One descent into `reputation`, then `limit` rows at most.
const NEWEST: &str = "SELECT is_junk, localpart FROM reputation \
     WHERE mailbox = (SELECT id FROM mailbox WHERE name = ?1) AND kind = ?2 AND key = ?3 \
     AND received >= ?4 ORDER BY received DESC, id DESC LIMIT ?5";

/// One descent into `recipient`.
const HAS_SENT_TO: &str =
    "SELECT EXISTS(SELECT 1 FROM recipient WHERE kind = ?1 AND key = ?2 AND sent >= ?3)";

impl Reader {
    fn newest_of(
        &self,
        mailbox: &MailboxName,
        identity: Identity<'_>,
        since: UnixSeconds,
        limit: u32,
    ) -> Result<Vec<Past>> {
        let key = keys::of_identity(identity);
        let mut statement = self.db()?.prepare_cached(NEWEST)?;
        let with = params![mailbox.as_str(), key.kind as u8, key.text, since.0, limit];
        let past = statement.query_map(with, |row| {
            Ok(Past { is_junk: row.get(0)?, from_localpart: origin::localpart(row.get(1)?) })
        })?;
        Ok(past.collect::<rusqlite::Result<_>>()?)
    }

    fn sent_to(&self, addressee: Addressee<'_>, since: UnixSeconds) -> Result<bool> {
        let key = keys::of_addressee(addressee);
        let mut statement = self.db()?.prepare_cached(HAS_SENT_TO)?;
        Ok(statement.query_row(params![key.kind as u8, key.text, since.0], |row| row.get(0))?)
    }

    fn told<T>(&self, answer: Result<T>) -> std::result::Result<T, HistoryError> {
        answer.map_err(|error: StoreError| {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::error!(account = %self.account_name(), %error, cause, "reading the history");
            HistoryError
        })
    }
}

/// What the account remembers at the moment of the reader.
impl History for Reader {
    fn newest(
        &self,
        mailbox: &MailboxName,
        identity: Identity<'_>,
        since: UnixSeconds,
        limit: u32,
    ) -> std::result::Result<Vec<Past>, HistoryError> {
        self.told(self.newest_of(mailbox, identity, since, limit))
    }

    fn has_sent_to(
        &self,
        addressee: Addressee<'_>,
        since: UnixSeconds,
    ) -> std::result::Result<bool, HistoryError> {
        self.told(self.sent_to(addressee, since))
    }

    fn traffic(
        &self,
        network: Network,
        since: UnixSeconds,
    ) -> std::result::Result<Traffic, HistoryError> {
        self.told(self.db().and_then(|db| traffic::since(db, network, since)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema;

    /// The plan must be a search of the clustered table that gives the order too: with many messages
    /// anything else would cost seconds.
    #[track_caller]
    fn check(sql: &str, want: &str) {
        let dir = tempfile::tempdir().unwrap();
        let db = schema::open_writer(&dir.path().join("index.db")).unwrap();
        let mut statement = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        // Unbound parameters are NULL.
        let mut rows = statement.raw_query();
        let mut plan = Vec::new();
        while let Some(row) = rows.next().unwrap() {
            plan.push(row.get::<_, String>(3).unwrap());
        }
        assert!(plan.iter().any(|line| line.contains(want)), "{plan:?}");
        let is_slow = |line: &String| line.contains("SCAN ") && !line.contains("CONSTANT ROW");
        assert!(!plan.iter().any(|line| is_slow(line) || line.contains("TEMP B-TREE")), "{plan:?}");
    }

    #[test]
    fn questions_walk_the_clustered_tables() {
        check(
            NEWEST,
            "SEARCH reputation USING PRIMARY KEY (mailbox=? AND kind=? AND key=? AND received>?)",
        );
        check(HAS_SENT_TO, "SEARCH recipient USING PRIMARY KEY (kind=? AND key=? AND sent>?)");
        check(
            traffic::BETWEEN,
            "SEARCH traffic USING PRIMARY KEY (kind=? AND key=? AND width=? AND start>? AND start<?)",
        );
    }
}
