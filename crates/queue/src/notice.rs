//! The outbox of notices: reports to local accounts about messages they sent, written in the commit
//! that settles the message, and removed when they are in the account.

use mox_base::UnixSeconds;
use rusqlite::{Connection, params};

use crate::error::{Pending, Result};
use crate::queue::Queue;

/// The most notices of one request.
pub const NOTICES_MAX: usize = 1_000;

/// A notice, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NoticeId(pub i64);

/// A report to deliver to a local account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewNotice {
    /// Whose.
    pub account: String,
    /// Where to.
    pub mailbox: String,
    /// It is there as seen already.
    pub is_seen: bool,
    /// With angle brackets.
    pub message_id: String,
    /// The message.
    pub body: Vec<u8>,
}

/// A report that is not known to be in its account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Which.
    pub id: NoticeId,
    /// What and where to.
    pub notice: NewNotice,
    /// When it was written.
    pub created: UnixSeconds,
    /// It was written by an earlier process, which may have delivered it.
    pub is_from_before: bool,
}

impl Queue {
    /// The notices that are still to be delivered, oldest first.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub fn pending_notices(&self, max: usize) -> Result<Vec<Notice>> {
        self.pending_notices_after(NoticeId(0), max)
    }

    /// As [`Queue::pending_notices`], those behind one: what cannot be delivered is passed over.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub fn pending_notices_after(&self, after: NoticeId, max: usize) -> Result<Vec<Notice>> {
        const SQL: &str = "SELECT id, account, mailbox, is_seen, message_id, body, created \
            FROM notice WHERE id > ?2 ORDER BY id LIMIT ?1";
        let before = self.state().notice_before;
        self.read(|db| {
            let mut statement = db.prepare_cached(SQL)?;
            let rows = statement.query_map(params![max.min(NOTICES_MAX), after.0], |row| {
                let id: i64 = row.get(0)?;
                Ok(Notice {
                    id: NoticeId(id),
                    notice: NewNotice {
                        account: row.get(1)?,
                        mailbox: row.get(2)?,
                        is_seen: row.get(3)?,
                        message_id: row.get(4)?,
                        body: row.get(5)?,
                    },
                    created: UnixSeconds(row.get(6)?),
                    is_from_before: id <= before,
                })
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// Removes a notice that was delivered; one that is gone is no error.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub fn notice_done(&self, id: NoticeId) -> Pending<()> {
        self.write(0, move |tx, _| {
            tx.db().prepare_cached("DELETE FROM notice WHERE id = ?1")?.execute([id.0])?;
            Ok(())
        })
    }
}

pub(crate) fn insert(db: &Connection, notice: &NewNotice, now: UnixSeconds) -> Result<()> {
    db.prepare_cached("INSERT INTO notice VALUES(NULL, ?1, ?2, ?3, ?4, ?5, ?6)")?.execute(
        params![
            notice.account,
            notice.mailbox,
            notice.is_seen,
            notice.message_id,
            now.0,
            notice.body,
        ],
    )?;
    Ok(())
}
