//! What is kept besides messages that wait: the history, hold rules, suppressed addresses.

use mox_base::Domain;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{
    ROW_BYTES, drop_taken_from_id, insert_message, is_taken, kept_results, lost_from_id,
    raise_sequence,
};
use crate::error::{Pending, QueueError, Result};
use crate::hold::{HOLD_RULES_MAX, HoldRule, HoldRuleId};
use crate::message::{MessageId, Queued};
use crate::queue::Queue;
use crate::retired::Retired;
use crate::row;
use crate::suppression::{self, Suppression};

impl Queue {
    /// Takes over messages that are out of the queue, all in one transaction. No message gets one of
    /// their numbers later.
    ///
    /// Returns those whose FromID was taken, also at an earlier time: they are there without it.
    ///
    /// # Errors
    ///
    /// [`QueueError::IdTaken`], or what the disk says. Nothing is taken over then.
    pub fn keep_retired(&self, messages: Vec<Retired>) -> Pending<Vec<MessageId>> {
        self.write(messages.len() * ROW_BYTES, move |tx, _| {
            let db = tx.db();
            let mut without = Vec::new();
            for mut one in messages {
                if is_retired(db, &one.message)? {
                    without.extend(lost_from_id(db, "retired", &one.message)?);
                    continue;
                }
                let id = one.message.id;
                if is_taken(db, id)? {
                    return Err(QueueError::IdTaken { id: id.0 });
                }
                without.extend(drop_taken_from_id(db, &mut one.message)?);
                insert_retired(db, &one)?;
                raise_sequence(db, "queued", id.0)?;
            }
            Ok(without)
        })
    }

    /// Whether a message is in the history: of this number, account, recipient, time and Message-ID.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub fn has_retired(&self, message: &Queued) -> Result<bool> {
        self.read(|db| is_retired(db, message))
    }

    /// Takes over hold rules. What is queued stays as it is: held, or not.
    ///
    /// # Errors
    ///
    /// [`QueueError::IdTaken`] by another rule, [`QueueError::TooMany`] above [`HOLD_RULES_MAX`], or what
    /// the disk says. None is taken over then.
    pub fn keep_hold_rules(&self, rules: Vec<(HoldRuleId, HoldRule)>) -> Pending<()> {
        self.write(0, move |tx, _| {
            let db = tx.db();
            for (id, rule) in rules {
                if is_rule(db, id, &rule)? {
                    continue;
                }
                insert_rule(db, id, &rule)?;
            }
            let count: i64 =
                db.query_row("SELECT count(*) FROM hold_rule", [], |row| row.get(0))?;
            match usize::try_from(count) {
                Ok(count) if count <= HOLD_RULES_MAX => Ok(()),
                _ => Err(QueueError::TooMany { what: "hold rules" }),
            }
        })
    }

    /// Takes over suppressed addresses, with the base addresses that they name. One that its account has
    /// already stays as it is.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub fn keep_suppressions(&self, suppressions: Vec<Suppression>) -> Pending<()> {
        self.write(suppressions.len() * ROW_BYTES, move |tx, _| {
            for one in &suppressions {
                suppression::insert(tx.db(), one)?;
            }
            Ok(())
        })
    }
}

fn is_retired(db: &Connection, message: &Queued) -> Result<bool> {
    const SQL: &str = "SELECT EXISTS(SELECT 1 FROM retired AS q JOIN message AS m \
        ON m.id = q.message WHERE q.id = ?1 AND q.account = ?2 AND q.rcpt_to = ?3 \
        AND q.queued = ?4 AND m.message_id = ?5)";
    let rcpt_to = row::mailbox_text(&message.rcpt_to);
    let bound =
        params![message.id.0, message.account, rcpt_to, message.queued.0, message.message_id];
    Ok(db.prepare_cached(SQL)?.query_row(bound, |row| row.get(0))?)
}

fn insert_retired(db: &Connection, retired: &Retired) -> Result<()> {
    const SQL: &str = "INSERT INTO retired VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, \
        ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21)";
    let message = &retired.message;
    let shared = insert_message(db, message, (0, 1))?;
    db.prepare_cached(SQL)?.execute(params![
        message.id.0,
        shared,
        message.base_id.map_or(0, |base| base.0),
        message.queued.0,
        message.account,
        row::path_text(&message.mail_from),
        row::mailbox_text(&message.rcpt_to),
        message.from_id,
        message.notify.map(|notify| notify.to_string()),
        message.orcpt,
        message.priority,
        message.require_tls,
        message.transport,
        message.attempts,
        message.next_attempt.0,
        message.last_attempt.map(|at| at.0),
        row::to_json(&kept_results(&message.results))?,
        row::to_json(&message.dialed_ips)?,
        retired.is_success,
        retired.last_activity.0,
        retired.keep_until.0,
    ])?;
    Ok(())
}

/// Whether the rule is there; an error if another has its number.
fn is_rule(db: &Connection, id: HoldRuleId, rule: &HoldRule) -> Result<bool> {
    const SQL: &str = "SELECT account IS ?2 AND sender_domain IS ?3 AND rcpt_domain IS ?4 \
        FROM hold_rule WHERE id = ?1";
    let (sender, rcpt) = domains(rule);
    let bound = params![id.0, rule.account, sender, rcpt];
    match db.prepare_cached(SQL)?.query_row(bound, |row| row.get(0)).optional()? {
        Some(false) => Err(QueueError::IdTaken { id: id.0 }),
        found => Ok(found.is_some()),
    }
}

fn insert_rule(db: &Connection, id: HoldRuleId, rule: &HoldRule) -> Result<()> {
    const SQL: &str = "INSERT INTO hold_rule VALUES(?1, ?2, ?3, ?4)";
    let (sender, rcpt) = domains(rule);
    db.prepare_cached(SQL)?.execute(params![id.0, rule.account, sender, rcpt])?;
    Ok(())
}

fn domains(rule: &HoldRule) -> (Option<&str>, Option<&str>) {
    let HoldRule { sender_domain, rcpt_domain, .. } = rule;
    (sender_domain.as_ref().map(Domain::ascii), rcpt_domain.as_ref().map(Domain::ascii))
}
