//! Adding messages.

use std::collections::HashMap;

use mox_base::UnixSeconds;
use rusqlite::{Connection, params};

use crate::error::{Pending, QueueError, Result};
use crate::hold::{self, HoldRule};
use crate::lane::Touched;
use crate::message::{MessageId, NewMessage, NewRecipient, RCPTS_MAX};
use crate::queue::Queue;
use crate::{outgoing, row};

/// What a recipient takes in memory while it waits for the writer, about.
const RCPT_BYTES: usize = 512;

impl Queue {
    /// Adds a message, all recipients in one transaction: when the outcome is there, they are on
    /// disk. Recipients with the same sender share a base, see [`Queue::siblings`]. Held is what a
    /// hold rule says; the others are due at once, or when they are to be released.
    ///
    /// Returns their numbers, in the order of the recipients.
    ///
    /// [`Queue::siblings`]: Queue::siblings
    ///
    /// # Errors
    ///
    /// [`QueueError::FromIdTaken`], [`QueueError::NoRecipients`], [`QueueError::MessagesPerDay`],
    /// [`QueueError::FirstTimeRcptsPerDay`], or what the disk says; nothing
    /// is added then.
    pub fn add(&self, message: NewMessage, now: UnixSeconds) -> Pending<Vec<MessageId>> {
        if message.recipients.is_empty() {
            return Pending::ready(Err(QueueError::NoRecipients));
        }
        if message.recipients.len() > RCPTS_MAX {
            return Pending::ready(Err(QueueError::TooMany { what: "recipients" }));
        }
        let bodies = message.body.memory_bytes()
            + message.utf8_body.as_ref().map_or(0, |body| body.memory_bytes());
        let bytes = bodies + message.recipients.len() * RCPT_BYTES;
        self.write_at(now, bytes, move |tx, state| {
            let ids = add(tx.db(), message, now)?;
            state.wake_after(tx);
            Ok(ids)
        })
    }
}

fn add(db: &Connection, message: NewMessage, now: UnixSeconds) -> Result<Vec<MessageId>> {
    for rcpt in &message.recipients {
        if let Some(from_id) = &rcpt.from_id
            && is_taken(db, from_id)?
        {
            return Err(QueueError::FromIdTaken);
        }
    }
    if let Some(limits) = message.limits {
        outgoing::record(db, &message.account, limits, &message.recipients, now)?;
    }
    let shared = insert_message(db, &message)?;
    let rules = hold::rules(db)?;
    let mut touched = Touched::default();
    let mut bases = Bases::of(&message.recipients);
    let mut ids = Vec::with_capacity(message.recipients.len());
    for rcpt in &message.recipients {
        let is_held = rules.iter().any(|rule| rule.covers(&message.account, rcpt));
        let id = insert_rcpt(db, shared, &message, rcpt, is_held, now)?;
        if let Some(base) = bases.base(rcpt, id) {
            db.prepare_cached("UPDATE queued SET base = ?2 WHERE id = ?1")?
                .execute(params![id, base])?;
        }
        if !is_held {
            touched.add(&rcpt.rcpt_to.host.ascii(), message.priority);
        }
        ids.push(MessageId(id));
    }
    touched.refresh(db)?;
    message.body.insert(db, shared, false)?;
    if let Some(body) = message.utf8_body {
        body.insert(db, shared, true)?;
    }
    Ok(ids)
}

fn is_taken(db: &Connection, from_id: &str) -> Result<bool> {
    const SQL: &str = "SELECT EXISTS(SELECT 1 FROM queued WHERE from_id = ?1) \
        OR EXISTS(SELECT 1 FROM retired WHERE from_id = ?1)";
    Ok(db.prepare_cached(SQL)?.query_row([from_id], |row| row.get(0))?)
}

fn insert_message(db: &Connection, message: &NewMessage) -> Result<i64> {
    let release = message.release.as_ref();
    db.prepare_cached(
        "INSERT INTO message VALUES(NULL, ?1, 0, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, \
         ?13)",
    )?
    .execute(params![
        message.recipients.len(),
        message.account,
        message.kind.number(),
        message.body.size().cast_signed(),
        message.message_id,
        message.subject,
        row::traits(message),
        message.ret.map(|ret| ret.to_string()),
        message.envid,
        release.map(|release| release.at.0),
        release.map(|release| &release.request),
        row::to_json(&message.extra)?,
        message.attempts_max,
    ])?;
    Ok(db.last_insert_rowid())
}

fn insert_rcpt(
    db: &Connection,
    shared: i64,
    message: &NewMessage,
    rcpt: &NewRecipient,
    is_held: bool,
    now: UnixSeconds,
) -> Result<i64> {
    let release = message.release.as_ref();
    // A date stays what it is when the clock is set right; a wait counts from the clock.
    let is_date = release.is_some_and(|release| release.request.starts_with("until"));
    let set_at = if is_date { 0 } else { now.0 };
    let due = release.map_or(now, |release| release.at.max(now));
    let inserted = db
        .prepare_cached(
            "INSERT INTO queued VALUES(NULL, ?1, 0, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, \
             ?12, NULL, 0, ?13, ?14, NULL, '[]', '{}')",
        )?
        .execute(params![
            shared,
            now.0,
            row::path_text(&rcpt.mail_from),
            row::mailbox_text(&rcpt.rcpt_to),
            rcpt.rcpt_to.host.ascii(),
            rcpt.from_id,
            rcpt.notify.map(|notify| notify.to_string()),
            rcpt.orcpt,
            message.priority,
            message.require_tls,
            message.transport,
            is_held,
            due.0,
            set_at,
        ]);
    match inserted {
        // Two recipients of the same message: the one before is in the table already.
        Err(error)
            if error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) =>
        {
            Err(QueueError::FromIdTaken)
        }
        Err(error) => Err(error.into()),
        Ok(_) => Ok(db.last_insert_rowid()),
    }
}

/// The senders that more than one recipient has, each with the first of those once it is known.
struct Bases(HashMap<String, Option<i64>>);

impl Bases {
    fn of(recipients: &[NewRecipient]) -> Self {
        let mut counts: HashMap<String, u32> = HashMap::new();
        for rcpt in recipients {
            *counts.entry(row::path_text(&rcpt.mail_from)).or_default() += 1;
        }
        let shared = counts.into_iter().filter(|(_, count)| *count > 1);
        Self(shared.map(|(sender, _)| (sender, None)).collect())
    }

    fn base(&mut self, rcpt: &NewRecipient, id: i64) -> Option<i64> {
        let first = self.0.get_mut(&row::path_text(&rcpt.mail_from))?;
        Some(*first.get_or_insert(id))
    }
}

impl HoldRule {
    fn covers(&self, account: &str, rcpt: &NewRecipient) -> bool {
        let sender = rcpt.mail_from.mailbox().and_then(|mailbox| mailbox.host.domain());
        self.matches(account, sender, rcpt.rcpt_to.host.domain())
    }
}
