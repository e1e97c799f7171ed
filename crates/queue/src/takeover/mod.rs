//! Taking over the queue of another server: what waits there, with its numbers, times and history.
//!
//! Nothing follows from it: no notice is written, no webhook call is made, nothing is held or retired.
//! All of it can be done again: what is there already stays as it is. So a takeover that was cut off goes
//! on, and none doubles a message.

mod history;
mod hook;
mod sending;

use mox_base::UnixSeconds;
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::body::Body;
use crate::error::{Pending, QueueError, Result};
use crate::lane::Touched;
use crate::message::{Attempt, MessageId, Queued, RESULTS_MAX};
use crate::queue::Queue;
use crate::{row, settle};

pub use sending::{KeptRcpt, KeptSent};

/// What a row takes in memory while it waits for the writer, about.
const ROW_BYTES: usize = 1_024;

/// A queued message to take over.
#[derive(Debug)]
pub struct KeptQueued {
    /// With the number that it keeps. `body_id`, `size`, `has_utf8_body` and `is_leased` follow from the
    /// rest and are not looked at.
    pub message: Queued,
    /// What is sent.
    pub body: KeptBody,
}

/// The body of a message to take over.
#[derive(Debug)]
pub enum KeptBody {
    /// Its own.
    Own {
        /// What goes on the wire.
        body: Body,
        /// A form for peers with SMTPUTF8.
        utf8: Option<Body>,
    },
    /// That of a message taken over before, or before it in the same request; of which it also has
    /// everything else that is the same for all recipients.
    Of(MessageId),
}

/// How much there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeptCounts {
    /// Messages that wait.
    pub queued: u64,
    /// Messages of the history.
    pub retired: u64,
    /// Webhook calls, made or not.
    pub hooks: u64,
    /// Rules.
    pub hold_rules: u64,
    /// The largest numbers ever given.
    pub last: KeptSequences,
}

/// The last numbers that were given; 0 if there was none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeptSequences {
    /// To messages.
    pub messages: i64,
    /// To webhook calls.
    pub hooks: i64,
    /// To hold rules.
    pub hold_rules: i64,
}

impl KeptSequences {
    fn tables(self) -> [(&'static str, i64); 3] {
        [("queued", self.messages), ("hook", self.hooks), ("hold_rule", self.hold_rules)]
    }
}

impl Queue {
    /// Takes over messages, all in one transaction: when the outcome is there, they are on disk. They are
    /// due when they say, with the attempts that were made.
    ///
    /// Returns those whose FromID was taken, also at an earlier time: they are there without it.
    ///
    /// # Errors
    ///
    /// [`QueueError::IdTaken`]; [`QueueError::NoMessage`] for a body of a message that is not there; or
    /// what the disk says. Nothing is taken over then.
    pub fn keep_queued(
        &self,
        messages: Vec<KeptQueued>,
        now: UnixSeconds,
    ) -> Pending<Vec<MessageId>> {
        let bytes = messages.iter().map(|one| ROW_BYTES + one.body.memory_bytes()).sum();
        self.write_at(now, bytes, move |tx, state| {
            let (mut touched, mut bodies, mut without) =
                (Touched::default(), Vec::new(), Vec::new());
            for KeptQueued { mut message, body } in messages {
                if is_queued(tx.db(), &message)? {
                    without.extend(lost_from_id(tx.db(), "queued", &message)?);
                    continue;
                }
                if is_taken(tx.db(), message.id)? {
                    return Err(QueueError::IdTaken { id: message.id.0 });
                }
                without.extend(drop_taken_from_id(tx.db(), &mut message)?);
                let shared = shared_row(tx.db(), &message, &body)?;
                insert_queued(tx.db(), &message, shared, now)?;
                touched.add(&message.rcpt_to.host.ascii(), message.priority);
                if let KeptBody::Own { body, utf8 } = body {
                    bodies.push((shared, body, utf8));
                }
            }
            touched.refresh(tx.db())?;
            for (shared, body, utf8) in bodies {
                body.insert(tx.db(), shared, false)?;
                if let Some(utf8) = utf8 {
                    utf8.insert(tx.db(), shared, true)?;
                }
            }
            state.wake_after(tx);
            Ok(without)
        })
    }

    /// Whether a message is queued: of this number, account, recipient, time and Message-ID.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub fn has_queued(&self, message: &Queued) -> Result<bool> {
        self.read(|db| is_queued(db, message))
    }

    /// How much there is, and which numbers were given.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub fn kept_counts(&self) -> Result<KeptCounts> {
        self.read(|db| {
            let count = |table: &str| -> Result<u64> {
                let sql = format!("SELECT count(*) FROM {table}");
                Ok(db.query_row(&sql, [], |row| row.get::<_, i64>(0))?.cast_unsigned())
            };
            let last = |table: &str| -> Result<i64> {
                const SQL: &str = "SELECT seq FROM sqlite_sequence WHERE name = ?1";
                let last = db.prepare_cached(SQL)?.query_row([table], |row| row.get(0));
                Ok(last.optional()?.unwrap_or_default())
            };
            Ok(KeptCounts {
                queued: count("queued")?,
                retired: count("retired")?,
                hooks: count("hook")?,
                hold_rules: count("hold_rule")?,
                last: KeptSequences {
                    messages: last("queued")?,
                    hooks: last("hook")?,
                    hold_rules: last("hold_rule")?,
                },
            })
        })
    }

    /// Has new messages, webhook calls and hold rules numbered behind these. Numbers that were given
    /// already stay given.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub fn keep_sequences(&self, last: KeptSequences) -> Pending<()> {
        self.write(0, move |tx, _| {
            for (table, last) in last.tables() {
                raise_sequence(tx.db(), table, last)?;
            }
            Ok(())
        })
    }
}

impl KeptBody {
    fn memory_bytes(&self) -> usize {
        match self {
            Self::Own { body, utf8 } => {
                body.memory_bytes() + utf8.as_ref().map_or(0, |body| body.memory_bytes())
            }
            Self::Of(_) => 0,
        }
    }
}

fn raise_sequence(db: &Connection, table: &str, last: i64) -> Result<()> {
    const UPDATE: &str = "UPDATE sqlite_sequence SET seq = max(seq, ?2) WHERE name = ?1";
    // The table has no key that a conflict could be about.
    const INSERT: &str = "INSERT INTO sqlite_sequence(name, seq) VALUES(?1, ?2)";
    if last > 0 && db.prepare_cached(UPDATE)?.execute(params![table, last])? == 0 {
        db.prepare_cached(INSERT)?.execute(params![table, last])?;
    }
    Ok(())
}

fn is_queued(db: &Connection, message: &Queued) -> Result<bool> {
    const SQL: &str = "SELECT EXISTS(SELECT 1 FROM queued AS q JOIN message AS m ON m.id = q.message \
        WHERE q.id = ?1 AND m.account = ?2 AND q.rcpt_to = ?3 AND q.queued = ?4 \
        AND m.message_id = ?5)";
    let rcpt_to = row::mailbox_text(&message.rcpt_to);
    let bound =
        params![message.id.0, message.account, rcpt_to, message.queued.0, message.message_id];
    Ok(db.prepare_cached(SQL)?.query_row(bound, |row| row.get(0))?)
}

/// Messages of the queue and of the history share their numbers.
fn is_taken(db: &Connection, id: MessageId) -> Result<bool> {
    const SQL: &str = "SELECT EXISTS(SELECT 1 FROM queued WHERE id = ?1) \
        OR EXISTS(SELECT 1 FROM retired WHERE id = ?1)";
    Ok(db.prepare_cached(SQL)?.query_row([id.0], |row| row.get(0))?)
}

/// Only one message can be found by a FromID: which, if it was there before.
fn drop_taken_from_id(db: &Connection, message: &mut Queued) -> Result<Option<MessageId>> {
    const SQL: &str = "SELECT EXISTS(SELECT 1 FROM queued WHERE from_id = ?1) \
        OR EXISTS(SELECT 1 FROM retired WHERE from_id = ?1)";
    let Some(from_id) = &message.from_id else { return Ok(None) };
    let is_taken: bool = db.prepare_cached(SQL)?.query_row([from_id], |row| row.get(0))?;
    if is_taken {
        message.from_id = None;
    }
    Ok(is_taken.then_some(message.id))
}

/// A message that is there without the FromID that it had.
fn lost_from_id(db: &Connection, table: &str, message: &Queued) -> Result<Option<MessageId>> {
    let sql = format!("SELECT from_id IS NULL FROM {table} WHERE id = ?1");
    let is_without: bool = db.prepare_cached(&sql)?.query_row([message.id.0], |row| row.get(0))?;
    Ok(Some(message.id).filter(|_| is_without && message.from_id.is_some()))
}

/// The row of what all recipients have in common, counting one more.
fn shared_row(db: &Connection, message: &Queued, body: &KeptBody) -> Result<i64> {
    match body {
        KeptBody::Of(other) => {
            const SQL: &str = "UPDATE message SET queued_rows = queued_rows + 1 \
                WHERE id = (SELECT message FROM queued WHERE id = ?1) RETURNING id";
            let found = db.prepare_cached(SQL)?.query_row([other.0], |row| row.get(0));
            found.optional()?.ok_or(QueueError::NoMessage)
        }
        KeptBody::Own { body, utf8 } => {
            let (size, has_utf8_body) = (body.size(), utf8.is_some());
            let message = Queued { size, has_utf8_body, ..message.clone() };
            insert_message(db, &message, (1, 0))
        }
    }
}

/// - `rows`: how many of the queue and of the history belong to it.
fn insert_message(db: &Connection, message: &Queued, rows: (i64, i64)) -> Result<i64> {
    const SQL: &str = "INSERT INTO message VALUES(NULL, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, \
        ?11, ?12, ?13, ?14)";
    let release = message.release.as_ref();
    db.prepare_cached(SQL)?.execute(params![
        rows.0,
        rows.1,
        message.account,
        message.kind.number(),
        message.size.cast_signed(),
        message.message_id,
        message.subject,
        row::traits_of(message),
        message.ret.map(|ret| ret.to_string()),
        message.envid,
        release.map(|release| release.at.0),
        release.map(|release| &release.request),
        row::to_json(&message.extra)?,
        message.attempts_max,
    ])?;
    Ok(db.last_insert_rowid())
}

fn insert_queued(db: &Connection, message: &Queued, shared: i64, now: UnixSeconds) -> Result<()> {
    const SQL: &str = "INSERT INTO queued VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, \
        ?13, ?14, NULL, ?15, ?16, ?17, ?18, ?19, ?20)";
    db.prepare_cached(SQL)?.execute(params![
        message.id.0,
        shared,
        message.base_id.map_or(0, |base| base.0),
        message.queued.0,
        row::path_text(&message.mail_from),
        row::mailbox_text(&message.rcpt_to),
        message.rcpt_to.host.ascii(),
        message.from_id,
        message.notify.map(|notify| notify.to_string()),
        message.orcpt,
        message.priority,
        message.require_tls,
        message.transport,
        message.is_held,
        message.attempts,
        message.next_attempt.0,
        set_at(message, now).0,
        message.last_attempt.map(|at| at.0),
        row::to_json(&kept_results(&message.results))?,
        row::to_json(&message.dialed_ips)?,
    ])?;
    Ok(())
}

/// Since when it waits, see `set_at` in `docs/store-format.md`.
fn set_at(message: &Queued, now: UnixSeconds) -> UnixSeconds {
    let is_date = message.release.as_ref().is_some_and(|one| one.request.starts_with("until"));
    match message.last_attempt {
        None if is_date => UnixSeconds(0),
        last => last.unwrap_or(message.queued).min(now),
    }
}

/// As many results, and as much of their texts, as are ever kept.
fn kept_results(results: &[Attempt]) -> Vec<Attempt> {
    let newest = results.len().saturating_sub(RESULTS_MAX);
    let bounded = |result: &Attempt| Attempt {
        text: settle::kept_text(&result.text),
        remote_mta: result.remote_mta.as_deref().map(settle::kept_text),
        ..result.clone()
    };
    results.iter().skip(newest).map(bounded).collect()
}
