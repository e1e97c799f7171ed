//! Lanes: for each domain and priority the earliest time at which a message is due.
//!
//! They let a lease pass over a domain that may get no more now in one step, however many
//! messages wait for it.
//!
//! Invariant: a lane is there exactly for the domains and priorities of waiting messages, with
//! the earliest `next_attempt` of them.

use std::collections::BTreeSet;

use rusqlite::{Connection, params};

use crate::error::Result;

/// Lanes whose messages an operation has changed, brought up to date at its end.
#[derive(Debug, Default)]
pub(crate) struct Touched(BTreeSet<(String, i8)>);

impl Touched {
    pub(crate) fn add(&mut self, domain: &str, priority: i8) {
        let lane = (domain.to_owned(), priority);
        self.0.insert(lane);
    }

    /// To be called when the messages are as they will be.
    pub(crate) fn refresh(self, db: &Connection) -> Result<()> {
        for (domain, priority) in self.0 {
            refresh(db, &domain, priority)?;
        }
        Ok(())
    }
}

fn refresh(db: &Connection, domain: &str, priority: i8) -> Result<()> {
    const EARLIEST: &str = "SELECT min(next_attempt) FROM queued \
        WHERE rcpt_domain = ?1 AND priority = ?2 AND is_held = 0 AND leased IS NULL";
    let earliest: Option<i64> =
        db.prepare_cached(EARLIEST)?.query_row(params![domain, priority], |row| row.get(0))?;
    match earliest {
        Some(earliest) => db
            .prepare_cached(
                "INSERT INTO lane VALUES(?1, ?2, ?3) ON CONFLICT DO UPDATE \
                 SET next_attempt = excluded.next_attempt \
                 WHERE next_attempt <> excluded.next_attempt",
            )?
            .execute(params![domain, priority, earliest])?,
        None => db
            .prepare_cached("DELETE FROM lane WHERE domain = ?1 AND priority = ?2")?
            .execute(params![domain, priority])?,
    };
    Ok(())
}

/// Makes all lanes anew, after a change of many messages: walks the waiting ones once.
pub(crate) fn rebuild(db: &Connection) -> Result<()> {
    db.execute_batch(
        "DELETE FROM lane; \
         INSERT INTO lane SELECT rcpt_domain, priority, min(next_attempt) FROM queued \
         WHERE is_held = 0 AND leased IS NULL GROUP BY rcpt_domain, priority;",
    )?;
    Ok(())
}
