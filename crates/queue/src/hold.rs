//! Hold rules: which new messages are held until somebody lets them go.

use mox_base::Domain;
use rusqlite::{Connection, params};

use crate::error::{Pending, QueueError, Result};
use crate::queue::Queue;
use crate::{lane, row};

/// The most hold rules.
pub const HOLD_RULES_MAX: usize = 1_000;

/// A hold rule, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HoldRuleId(pub i64);

/// Messages for which all that is given holds are held; without any, all are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HoldRule {
    /// The account whose message it is.
    pub account: Option<String>,
    /// The domain of the sender in the envelope, exactly.
    pub sender_domain: Option<Domain>,
    /// The domain of the recipient, exactly.
    pub rcpt_domain: Option<Domain>,
}

impl HoldRule {
    pub(crate) fn matches(
        &self,
        account: &str,
        sender: Option<&Domain>,
        rcpt: Option<&Domain>,
    ) -> bool {
        self.account.as_deref().is_none_or(|wanted| wanted == account)
            && self.sender_domain.as_ref().is_none_or(|wanted| Some(wanted) == sender)
            && self.rcpt_domain.as_ref().is_none_or(|wanted| Some(wanted) == rcpt)
    }
}

impl Queue {
    /// All hold rules, oldest first.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub fn hold_rules(&self) -> Result<Vec<(HoldRuleId, HoldRule)>> {
        self.read(rules_by_id)
    }

    /// Adds a rule, and holds what it covers in the queue. Returns its number and how many
    /// messages it holds now.
    ///
    /// An attempt that is being made goes on; there is none after it.
    ///
    /// # Errors
    ///
    /// [`QueueError::TooMany`] at [`HOLD_RULES_MAX`].
    pub fn add_hold_rule(&self, rule: HoldRule) -> Pending<(HoldRuleId, u64)> {
        self.write(0, move |tx, _| {
            let db = tx.db();
            let count: i64 =
                db.query_row("SELECT count(*) FROM hold_rule", [], |row| row.get(0))?;
            if usize::try_from(count).is_ok_and(|count| count >= HOLD_RULES_MAX) {
                return Err(QueueError::TooMany { what: "hold rules" });
            }
            db.execute(
                "INSERT INTO hold_rule VALUES(NULL, ?1, ?2, ?3)",
                params![
                    rule.account,
                    rule.sender_domain.as_ref().map(Domain::ascii),
                    rule.rcpt_domain.as_ref().map(Domain::ascii),
                ],
            )?;
            let id = HoldRuleId(db.last_insert_rowid());
            let held = hold_covered(db, &rule)?;
            lane::rebuild(db)?;
            Ok((id, held))
        })
    }

    /// Removes a rule. What is held stays held.
    ///
    /// # Errors
    ///
    /// [`QueueError::NoHoldRule`].
    pub fn remove_hold_rule(&self, id: HoldRuleId) -> Pending<()> {
        self.write(0, move |tx, _| {
            match tx.db().execute("DELETE FROM hold_rule WHERE id = ?1", [id.0])? {
                0 => Err(QueueError::NoHoldRule),
                _ => Ok(()),
            }
        })
    }
}

/// Walks all messages that are not held.
fn hold_covered(db: &Connection, rule: &HoldRule) -> Result<u64> {
    let mut held = 0;
    let mut select = db.prepare(
        "SELECT q.id, m.account, q.mail_from, q.rcpt_to \
         FROM queued AS q JOIN message AS m ON m.id = q.message WHERE q.is_held = 0",
    )?;
    let mut covered = Vec::new();
    let mut rows = select.query([])?;
    while let Some(found) = rows.next()? {
        let account = found.get_ref(1)?.as_str().unwrap_or_default();
        let domain = |index: usize| -> Result<Option<Domain>> {
            let text = found.get_ref(index)?.as_str().unwrap_or_default();
            Ok(row::parse_mailbox(text).and_then(|mailbox| mailbox.host.domain().cloned()))
        };
        if rule.matches(account, domain(2)?.as_ref(), domain(3)?.as_ref()) {
            covered.push(found.get::<_, i64>(0)?);
        }
    }
    let mut hold = db.prepare("UPDATE queued SET is_held = 1 WHERE id = ?1")?;
    for id in covered {
        held += hold.execute([id])? as u64;
    }
    Ok(held)
}

pub(crate) fn rules(db: &Connection) -> Result<Vec<HoldRule>> {
    Ok(rules_by_id(db)?.into_iter().map(|(_, rule)| rule).collect())
}

fn rules_by_id(db: &Connection) -> Result<Vec<(HoldRuleId, HoldRule)>> {
    let mut statement = db.prepare_cached(
        "SELECT id, account, sender_domain, rcpt_domain FROM hold_rule ORDER BY id",
    )?;
    let rows = statement
        .query_map([], |row| Ok((row.get::<_, i64>(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
    rows.map(|row| {
        let (id, account, sender, rcpt) = row?;
        let rule = HoldRule { account, sender_domain: domain(sender)?, rcpt_domain: domain(rcpt)? };
        Ok((HoldRuleId(id), rule))
    })
    .collect()
}

fn domain(text: Option<String>) -> Result<Option<Domain>> {
    let damaged = QueueError::Damaged { what: "domain of a hold rule" };
    text.map(|text| Domain::parse(&text).map_err(|_| damaged)).transpose()
}
