//! Bringing `reputation` up to date with many messages at once.

use mox_base::{Flags, MsgId};
use rusqlite::{Connection, params};

use super::is_junk;
use super::origin::{self, Known, ReputationRow};
use crate::Result;

/// Rows that wait before they are written. Each message has about a dozen.
const ROWS_MAX: usize = 20_000;

/// Changes to `reputation`, written in the order of the table: those of many messages lie far apart in
/// it, and in the order of the messages each would cost pages of its own.
#[derive(Default)]
pub(crate) struct Judging {
    /// Rows with whether they are added, or removed.
    rows: Vec<(ReputationRow, bool)>,
}

impl Judging {
    /// Takes note of flags that become others.
    pub(crate) fn note(
        &mut self,
        db: &Connection,
        id: MsgId,
        before: Flags,
        after: Flags,
    ) -> Result<()> {
        let (before, after) = (is_junk(before), is_junk(after));
        if before == after {
            return Ok(());
        }
        let Some(known) = origin::load(db, id)? else { return Ok(()) };
        match after {
            // Takes the place of what was there.
            Some(_) => self.add(&known, after),
            None => self.remove(&known, before),
        }
        if self.rows.len() > ROWS_MAX { self.apply(db) } else { Ok(()) }
    }

    pub(super) fn add(&mut self, known: &Known, is_junk: Option<bool>) {
        self.rows.extend(known.rows(is_junk).into_iter().map(|row| (row, true)));
    }

    pub(super) fn remove(&mut self, known: &Known, is_junk: Option<bool>) {
        self.rows.extend(known.rows(is_junk).into_iter().map(|row| (row, false)));
    }

    /// Writes what was noted.
    pub(crate) fn apply(&mut self, db: &Connection) -> Result<()> {
        let mut rows = std::mem::take(&mut self.rows);
        // Stable: of one row the last change holds.
        rows.sort_by(|(one, _), (two, _)| one.place().cmp(&two.place()));
        let sql = "INSERT OR REPLACE INTO reputation VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        let mut insert = db.prepare_cached(sql)?;
        let sql = "DELETE FROM reputation \
             WHERE mailbox = ?1 AND kind = ?2 AND key = ?3 AND received = ?4 AND id = ?5";
        let mut delete = db.prepare_cached(sql)?;
        for (row, is_added) in rows {
            let ReputationRow { mailbox, kind, key, received, id, is_junk, localpart } = row;
            if is_added {
                insert.execute(params![mailbox, kind, key, received, id, is_junk, localpart])?;
            } else {
                delete.execute(params![mailbox, kind, key, received, id])?;
            }
        }
        Ok(())
    }
}
