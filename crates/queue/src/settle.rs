//! Settling leases: what came of the attempts, in one commit with all that follows from it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use mox_base::UnixSeconds;
use mox_sqlite::Tx;
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::error::{Pending, QueueError, Result};
use crate::hint::TlsHint;
use crate::hook::NewHook;
use crate::lane::Touched;
use crate::message::{Attempt, MessageId, Queued, RESULT_TEXT_BYTES_MAX, RESULTS_MAX, truncated};
use crate::notice::{self, NewNotice};
use crate::queue::{Queue, State};
use crate::{body, hint, hook, lease, row, suppression};

/// What a server answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SmtpReply {
    /// 200 to 599.
    pub code: u16,
    /// RFC 3463.
    pub enhanced: Option<(u8, u16, u16)>,
    /// The text, line by line.
    pub lines: Vec<String>,
}

/// How a message went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct How {
    /// The host that took it.
    pub remote_mta: Option<String>,
    /// Its address.
    pub remote_ip: Option<IpAddr>,
}

/// Why a message did not go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failure {
    /// Of the reply, if there was one.
    pub code: Option<u16>,
    /// Of the reply, or what we say of it. RFC 3463.
    pub enhanced: Option<(u8, u16, u16)>,
    /// What went wrong, in a line.
    pub text: String,
    /// All lines of the reply, if there was one.
    pub reply_lines: Vec<String>,
    /// The host.
    pub remote_mta: Option<String>,
    /// Its address.
    pub remote_ip: Option<IpAddr>,
}

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The other server has it.
    Delivered {
        /// To the end of the data.
        reply: SmtpReply,
        /// Where it went.
        how: How,
    },
    /// It is tried again.
    Delayed {
        /// Why.
        error: Failure,
    },
    /// It never arrives.
    Failed {
        /// Why.
        error: Failure,
        /// The address goes to the account's suppression list, see [`Queue::would_suppress`].
        ///
        /// [`Queue::would_suppress`]: Queue::would_suppress
        suppress: bool,
    },
    /// An administrator took it out of the queue: nobody is told.
    Dropped,
}

/// What came of the attempt for one lease.
#[derive(Clone, Debug)]
pub struct Settlement {
    /// Of which.
    pub id: MessageId,
    /// When the attempt began.
    pub start: UnixSeconds,
    /// How long it took.
    pub duration_ms: u64,
    /// The addresses tried in all attempts, in order, by host.
    pub dialed_ips: BTreeMap<String, Vec<IpAddr>>,
    /// What came of it.
    pub outcome: Outcome,
    /// The next attempt of a delayed one, in place of the time that the lease wrote.
    pub retry_at: Option<UnixSeconds>,
    /// How long it is kept when it is retired; 0 or less: not at all.
    pub keep_secs: i64,
    /// Reports to local accounts, written in the same commit.
    pub notices: Vec<NewNotice>,
    /// Webhook calls about it, written in the same commit.
    pub hooks: Vec<NewHook>,
    /// What the server offered, if one was reached anew.
    pub tls_hint: Option<TlsHint>,
}

impl Settlement {
    /// A settlement with nothing special about it.
    #[must_use]
    pub fn new(id: MessageId, start: UnixSeconds, outcome: Outcome) -> Self {
        Self {
            id,
            start,
            duration_ms: 0,
            dialed_ips: BTreeMap::new(),
            outcome,
            retry_at: None,
            keep_secs: 0,
            notices: Vec::new(),
            hooks: Vec::new(),
            tls_hint: None,
        }
    }

    /// What it takes of the memory that may wait for the writer, in bytes: calls and notices.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let notices: usize = self.notices.iter().map(|notice| notice.body.len()).sum();
        notices + self.hooks.iter().map(NewHook::memory_bytes).sum::<usize>()
    }
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    /// Which.
    pub id: MessageId,
    /// It is out of the queue.
    pub is_final: bool,
    /// Its address was put on the suppression list by this.
    pub suppressed: bool,
}

impl Queue {
    /// Writes down what came of attempts, all in one commit. Those of which the message was
    /// dropped meanwhile are left out of what is returned, and nothing is written for them.
    ///
    /// # Errors
    ///
    /// If the database fails: the messages are still leased then. Settle again, or they are tried
    /// again after a restart.
    pub fn settle(&self, settlements: Vec<Settlement>, now: UnixSeconds) -> Pending<Vec<Settled>> {
        let bytes = settlements.iter().map(Settlement::memory_bytes).sum();
        self.write_at(now, bytes, move |tx, state| {
            let has_hooks = settlements.iter().any(|one| !one.hooks.is_empty());
            let mut settled = Vec::with_capacity(settlements.len());
            let mut touched = Touched::default();
            for settlement in settlements {
                settled.extend(settle(tx, state, &settlement, now, &mut touched)?);
            }
            touched.refresh(tx.db())?;
            if has_hooks || settled.iter().any(|one| !one.is_final) {
                state.wake_after(tx);
            }
            Ok(settled)
        })
    }
}

fn settle(
    tx: &mut Tx<'_>,
    state: &Arc<State>,
    settlement: &Settlement,
    now: UnixSeconds,
    touched: &mut Touched,
) -> Result<Option<Settled>> {
    let id = settlement.id;
    lease::forget(tx, state, id);
    let select = format!("{}WHERE q.id = ?1 AND q.leased IS NOT NULL", row::SELECT_QUEUED);
    let message = tx.db().prepare_cached(&select)?.query_row([id.0], row::queued).optional()?;
    let Some(mut message) = message else {
        return Ok(None);
    };
    for notice in &settlement.notices {
        notice::insert(tx.db(), notice, now)?;
    }
    for hook in &settlement.hooks {
        hook::insert(tx.db(), hook, now)?;
    }
    if let Some(hint) = settlement.tls_hint {
        hint::keep(tx.db(), &message.account, &message.rcpt_to.host.ascii(), hint, now)?;
    }
    push_result(&mut message.results, settlement.result());
    message.dialed_ips.clone_from(&settlement.dialed_ips);
    let (is_final, suppressed) = match &settlement.outcome {
        Outcome::Delayed { .. } => {
            delay(tx.db(), &message, settlement.retry_at, now)?;
            touched.add(&message.rcpt_to.host.ascii(), message.priority);
            (false, false)
        }
        Outcome::Delivered { .. } => {
            retire(tx, state, &message, true, settlement.keep_secs, now)?;
            (true, false)
        }
        Outcome::Dropped => {
            retire(tx, state, &message, false, settlement.keep_secs, now)?;
            (true, false)
        }
        Outcome::Failed { error, suppress } => {
            let suppressed = *suppress && {
                let reason = reason(error);
                suppression::add_automatic(tx.db(), &message, &reason, now)?
            };
            retire(tx, state, &message, false, settlement.keep_secs, now)?;
            (true, suppressed)
        }
    };
    Ok(Some(Settled { id, is_final, suppressed }))
}

impl Settlement {
    fn result(&self) -> Attempt {
        let attempt =
            Attempt { start: self.start.0, duration_ms: self.duration_ms, ..Attempt::default() };
        match &self.outcome {
            Outcome::Delivered { reply, how } => Attempt {
                is_success: true,
                code: Some(reply.code),
                enhanced: reply.enhanced,
                text: kept_text(&reply.lines.join("\n")),
                remote_mta: how.remote_mta.clone(),
                remote_ip: how.remote_ip,
                ..attempt
            },
            Outcome::Delayed { error } | Outcome::Failed { error, .. } => Attempt {
                code: error.code,
                enhanced: error.enhanced,
                text: kept_text(&error.text),
                remote_mta: error.remote_mta.clone(),
                remote_ip: error.remote_ip,
                ..attempt
            },
            Outcome::Dropped => Attempt { text: Attempt::DROPPED.to_owned(), ..attempt },
        }
    }
}

pub(crate) fn kept_text(text: &str) -> String {
    truncated(text, RESULT_TEXT_BYTES_MAX).to_owned()
}

pub(crate) fn push_result(results: &mut Vec<Attempt>, result: Attempt) {
    if results.len() >= RESULTS_MAX {
        results.drain(..=results.len() - RESULTS_MAX);
    }
    results.push(result);
}

/// The JSON of results with one more.
pub(crate) fn with_result(results: &str, result: Attempt) -> Result<String> {
    let damaged = QueueError::Damaged { what: "results of attempts" };
    let mut results: Vec<Attempt> = row::from_json(results).ok_or(damaged)?;
    push_result(&mut results, result);
    row::to_json(&results)
}

/// The reason that the suppression list gives.
pub(crate) fn reason(error: &Failure) -> String {
    let code = error.code.map_or_else(String::new, |code| format!(" {code}"));
    let enhanced = error.enhanced.map_or_else(String::new, |(class, subject, detail)| {
        format!(" {class}.{subject}.{detail}")
    });
    let text = truncated(&error.text, RESULT_TEXT_BYTES_MAX);
    format!("delivery failed:{code}{enhanced} {text}")
}

/// Not leased any more, and due later.
fn delay(
    db: &Connection,
    message: &Queued,
    retry_at: Option<UnixSeconds>,
    now: UnixSeconds,
) -> Result<()> {
    let (at, set_at) = match retry_at {
        Some(at) => (at.0, Some(now.0)),
        None => (message.next_attempt.0, None),
    };
    db.prepare_cached(
        "UPDATE queued SET leased = NULL, next_attempt = ?2, set_at = coalesce(?3, set_at), \
         results = ?4, dialed_ips = ?5 WHERE id = ?1",
    )?
    .execute(params![
        message.id.0,
        at,
        set_at,
        row::to_json(&message.results)?,
        row::to_json(&message.dialed_ips)?,
    ])?;
    Ok(())
}

/// Out of the queue, into the history if it is to be kept.
pub(crate) fn retire(
    tx: &mut Tx<'_>,
    state: &Arc<State>,
    message: &Queued,
    is_success: bool,
    keep_secs: i64,
    now: UnixSeconds,
) -> Result<()> {
    let is_kept = keep_secs > 0;
    if is_kept {
        tx.db()
            .prepare_cached(
                "INSERT INTO retired SELECT id, message, base, queued, ?2, mail_from, rcpt_to, \
                 from_id, notify, orcpt, priority, require_tls, transport, attempts, \
                 next_attempt, last_attempt, ?3, ?4, ?5, ?6, ?7 FROM queued WHERE id = ?1",
            )?
            .execute(params![
                message.id.0,
                message.account,
                row::to_json(&message.results)?,
                row::to_json(&message.dialed_ips)?,
                is_success,
                now.0,
                now.plus_secs(keep_secs).0,
            ])?;
    }
    remove(tx, state, message, is_kept)
}

/// Removes the row, and what no other row uses any more.
pub(crate) fn remove(
    tx: &mut Tx<'_>,
    state: &Arc<State>,
    message: &Queued,
    is_kept: bool,
) -> Result<()> {
    let db = tx.db();
    db.prepare_cached("DELETE FROM queued WHERE id = ?1")?.execute([message.id.0])?;
    let (queued, retired): (i64, i64) = db
        .prepare_cached(
            "UPDATE message SET queued_rows = queued_rows - 1, retired_rows = retired_rows + ?2 \
             WHERE id = ?1 RETURNING queued_rows, retired_rows",
        )?
        .query_row(params![message.body_id, is_kept], |row| Ok((row.get(0)?, row.get(1)?)))?;
    if queued > 0 {
        return Ok(());
    }
    let files = body::remove(db, message.body_id)?;
    if retired == 0 {
        db.prepare_cached("DELETE FROM message WHERE id = ?1")?.execute([message.body_id])?;
    }
    if !files.is_empty() {
        let state = Arc::clone(state);
        tx.after_commit(move || body::remove_files(&state, &files));
    }
    Ok(())
}
