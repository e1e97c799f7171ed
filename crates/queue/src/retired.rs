//! The history: messages that are out of the queue, kept for as long as their account wants.

use mox_base::UnixSeconds;
use mox_sqlite::Tx;
use rusqlite::{Connection, OptionalExtension as _, Row, params, params_from_iter};

use crate::error::{Pending, QueueError, Result};
use crate::filter::{Conditions, LIST_MAX, TimeFilter, limit};
use crate::message::{Attempt, MessageId, Queued};
use crate::queue::Queue;
use crate::{hint, row, settle};

/// Rows removed in one commit, so that others need not wait long.
const REMOVED_AT_ONCE_MAX: usize = 500;

/// Messages that one key finds at most: a Message-ID may be used again.
const FOUND_MAX: usize = 100;

/// A message that is out of the queue, without its body.
#[derive(Clone, Debug, PartialEq)]
pub struct Retired {
    /// As it was when it left the queue.
    pub message: Queued,
    /// It was delivered, as far as is known.
    pub is_success: bool,
    /// When it left the queue, or was heard of last.
    pub last_activity: UnixSeconds,
    /// It is removed then.
    pub keep_until: UnixSeconds,
}

/// Which retired messages: those for which all that is given holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RetiredFilter {
    /// One of these, if there are any.
    pub ids: Vec<MessageId>,
    /// Of this account.
    pub account: Option<String>,
    /// The sender has this in it.
    pub from: Option<String>,
    /// The recipient has this in it.
    pub to: Option<String>,
    /// Added then.
    pub submitted: Option<TimeFilter>,
    /// Heard of then.
    pub last_activity: Option<TimeFilter>,
    /// With this transport; empty: with none of its own.
    pub transport: Option<String>,
    /// Delivered, or not.
    pub is_success: Option<bool>,
    /// At most as many; 0: [`LIST_MAX`].
    pub max: usize,
}

/// What is ordered by; then by number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RetiredSortField {
    /// When it was heard of last.
    #[default]
    LastActivity,
    /// When it was added.
    Queued,
}

/// The order, and where a page begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetiredSort {
    /// By what.
    pub field: RetiredSortField,
    /// Smallest first.
    pub is_ascending: bool,
    /// The value and number of the last row of the page before.
    pub after: Option<(UnixSeconds, MessageId)>,
}

impl Queue {
    /// A page of the history, at most [`LIST_MAX`].
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub fn retired_list(&self, filter: &RetiredFilter, sort: &RetiredSort) -> Result<Vec<Retired>> {
        let mut conditions = filter.conditions();
        let column = match sort.field {
            RetiredSortField::LastActivity => "q.last_activity",
            RetiredSortField::Queued => "q.queued",
        };
        conditions.page(column, sort.is_ascending, sort.after);
        let direction = if sort.is_ascending { "ASC" } else { "DESC" };
        let sql = format!(
            "{}{} ORDER BY {column} {direction}, q.id {direction} LIMIT {}",
            row::SELECT_RETIRED,
            conditions.sql(),
            limit(filter.max, LIST_MAX)
        );
        self.read(|db| {
            let mut statement = db.prepare_cached(&sql)?;
            let rows = statement.query_map(params_from_iter(conditions.values), retired)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// One retired message.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub fn retired_get(&self, id: MessageId) -> Result<Option<Retired>> {
        self.read(|db| get(db, id))
    }

    /// The message with a FromID.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub fn retired_by_from_id(&self, from_id: &str) -> Result<Option<Retired>> {
        let sql = format!("{}WHERE q.from_id = ?1", row::SELECT_RETIRED);
        self.read(|db| Ok(db.prepare_cached(&sql)?.query_row([from_id], retired).optional()?))
    }

    /// The recipients of messages with an ENVID (RFC 3461 §4.4), newest first, a bounded number.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub fn retired_by_envid(&self, envid: &str) -> Result<Vec<Retired>> {
        self.retired_of_message("m.envid = ?1", envid)
    }

    /// The recipients of messages with a Message-ID, with angle brackets, newest first, a bounded
    /// number.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub fn retired_by_message_id(&self, message_id: &str) -> Result<Vec<Retired>> {
        self.retired_of_message("m.message_id = ?1", message_id)
    }

    /// `condition` is ours.
    fn retired_of_message(&self, condition: &str, key: &str) -> Result<Vec<Retired>> {
        let sql = format!(
            "{}WHERE {condition} ORDER BY m.id DESC, q.id DESC LIMIT {FOUND_MAX}",
            row::SELECT_RETIRED
        );
        self.read(|db| {
            let mut statement = db.prepare_cached(&sql)?;
            let rows = statement.query_map([key], retired)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// Adds to a retired message what a report told later. `is_success` is what is known of it
    /// now, if the report says.
    ///
    /// # Errors
    ///
    /// [`QueueError::NoMessage`].
    pub fn append_result(
        &self,
        id: MessageId,
        result: Attempt,
        is_success: Option<bool>,
        now: UnixSeconds,
    ) -> Pending<()> {
        self.write(0, move |tx, _| {
            let message = get(tx.db(), id)?.ok_or(QueueError::NoMessage)?.message;
            append(tx.db(), &message, result, is_success, now)
        })
    }

    /// Removes what need not be kept any longer, a few at a time. Returns how many. Blocks.
    ///
    /// # Errors
    ///
    /// If the database fails; what was removed until then stays removed.
    pub fn remove_expired(&self, now: UnixSeconds) -> Result<u64> {
        let mut removed = 0;
        loop {
            let some = self.write(0, move |tx, _| expire(tx, now)).wait()?;
            removed += some as u64;
            if some < REMOVED_AT_ONCE_MAX {
                return Ok(removed);
            }
        }
    }
}

impl RetiredFilter {
    fn conditions(&self) -> Conditions {
        let mut conditions = Conditions::default();
        conditions.ids(&self.ids);
        conditions.text("q.account = ?", self.account.as_deref());
        conditions.text("instr(lower(q.mail_from), lower(?)) > 0", self.from.as_deref());
        conditions.text("instr(lower(q.rcpt_to), lower(?)) > 0", self.to.as_deref());
        conditions.time("q.queued", self.submitted);
        conditions.time("q.last_activity", self.last_activity);
        match self.transport.as_deref() {
            Some("") => conditions.add("q.transport IS NULL", []),
            transport => conditions.text("q.transport = ?", transport),
        }
        if let Some(is_success) = self.is_success {
            conditions.add("q.is_success = ?", [is_success.into()]);
        }
        conditions
    }
}

/// Adds a result to a retired message.
pub(crate) fn append(
    db: &Connection,
    message: &Queued,
    mut result: Attempt,
    is_success: Option<bool>,
    now: UnixSeconds,
) -> Result<()> {
    const SQL: &str = "UPDATE retired SET results = ?2, last_activity = ?3, \
        is_success = coalesce(?4, is_success) WHERE id = ?1";
    // What others report may be long.
    result.text = settle::kept_text(&result.text);
    result.remote_mta = result.remote_mta.as_deref().map(settle::kept_text);
    let mut results = message.results.clone();
    settle::push_result(&mut results, result);
    let results = row::to_json(&results)?;
    db.prepare_cached(SQL)?.execute(params![message.id.0, results, now.0, is_success])?;
    Ok(())
}

pub(crate) fn get(db: &Connection, id: MessageId) -> Result<Option<Retired>> {
    let sql = format!("{}WHERE q.id = ?1", row::SELECT_RETIRED);
    Ok(db.prepare_cached(&sql)?.query_row([id.0], retired).optional()?)
}

fn retired(row: &Row<'_>) -> rusqlite::Result<Retired> {
    Ok(Retired {
        message: row::queued(row)?,
        is_success: row.get(31)?,
        last_activity: UnixSeconds(row.get(32)?),
        keep_until: UnixSeconds(row.get(33)?),
    })
}

/// Removes rows by number and message, and the messages of which no row is left.
pub(crate) fn remove(db: &Connection, rows: &[(i64, i64)]) -> Result<()> {
    for (id, message) in rows {
        db.prepare_cached("DELETE FROM retired WHERE id = ?1")?.execute([id])?;
        db.prepare_cached("UPDATE message SET retired_rows = retired_rows - 1 WHERE id = ?1")?
            .execute([message])?;
        db.prepare_cached(
            "DELETE FROM message WHERE id = ?1 AND queued_rows = 0 AND retired_rows = 0",
        )?
        .execute([message])?;
    }
    Ok(())
}

fn expire(tx: &mut Tx<'_>, now: UnixSeconds) -> Result<usize> {
    let db = tx.db();
    let mut select =
        db.prepare_cached("SELECT id, message FROM retired WHERE keep_until <= ?1 LIMIT ?2")?;
    let expired = select
        .query_map(params![now.0, REMOVED_AT_ONCE_MAX], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<Vec<(i64, i64)>>>()?;
    remove(db, &expired)?;
    let hooks = db
        .prepare_cached(
            "DELETE FROM hook WHERE id IN (SELECT id FROM hook WHERE is_retired = 1 \
             AND keep_until <= ?1 ORDER BY keep_until LIMIT ?2)",
        )?
        .execute(params![now.0, REMOVED_AT_ONCE_MAX])?;
    let hints = hint::expire(db, now, REMOVED_AT_ONCE_MAX)?;
    Ok(expired.len().max(hooks).max(hints))
}
