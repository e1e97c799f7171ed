//! Changing flags and keywords.

use mox_base::{Flags, Keyword, MailboxId, ModSeq};
use rusqlite::params;

use crate::feed::ChangeKind;
use crate::history::Judging;
use crate::junk;
use crate::mailbox;
use crate::message::MESSAGE_KEYWORDS_MAX;
use crate::row::{MessageRow, keywords_column};
use crate::tx::Tx;
use crate::{Result, StoreError};
use mox_base::NumSet;

/// How flags are changed. RFC 9051 §6.4.6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlagOp {
    /// `+FLAGS`
    Add,
    /// `-FLAGS`
    Remove,
    /// `FLAGS`
    Replace,
}

/// A change of flags and keywords.
#[derive(Clone, Debug)]
pub struct FlagChange {
    /// How.
    pub op: FlagOp,
    /// Which flags.
    pub flags: Flags,
    /// Which keywords, in any order.
    pub keywords: Vec<Keyword>,
    /// Leave messages alone that changed after this. RFC 7162 §3.1.3.
    pub unchanged_since: Option<ModSeq>,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlagOutcome {
    /// The messages as they are now, whether this changed them or not, ascending.
    pub messages: Vec<MessageRow>,
    /// The messages that had changed after `unchanged_since`, as they are, ascending.
    pub modified: Vec<MessageRow>,
    /// Whether anything changed.
    pub changed: bool,
}

/// Reads the rows of a set of UIDs, ascending.
pub(crate) fn rows_of(tx: &Tx<'_>, id: MailboxId, uids: &NumSet) -> Result<Vec<MessageRow>> {
    let sql = format!(
        "SELECT {} FROM msg WHERE mailbox = ?1 AND uid BETWEEN ?2 AND ?3 ORDER BY uid",
        MessageRow::COLUMNS
    );
    let mut statement = tx.db().prepare_cached(&sql)?;
    let mut found = Vec::new();
    for (from, to) in uids.ranges() {
        let mut rows = statement.query(params![id.0, from, to])?;
        while let Some(row) = rows.next()? {
            found.push(MessageRow::from_row(row)?);
        }
    }
    Ok(found)
}

/// Changes flags. All changed messages share one modseq; without a change there is none.
pub(crate) fn change(
    tx: &mut Tx<'_>,
    id: MailboxId,
    uids: &NumSet,
    change: &FlagChange,
) -> Result<FlagOutcome> {
    let mut mailbox = mailbox::by_id(tx, id)?;
    let mut wanted = change.keywords.clone();
    wanted.sort();
    wanted.dedup();
    let learned = change.op != FlagOp::Remove && mailbox.learn_keywords(&wanted)?;
    let mut outcome = FlagOutcome::default();
    let mut states = Vec::new();
    let mut judging = Judging::default();
    let mut update = tx
        .db()
        .prepare_cached("UPDATE msg SET flags = ?2, keywords = ?3, modseq = ?4 WHERE id = ?1")?;
    for mut row in rows_of(tx, id, uids)? {
        if change.unchanged_since.is_some_and(|since| row.modseq > since) {
            outcome.modified.push(row);
            continue;
        }
        let (flags, keywords) = changed(&row, change, &wanted);
        if keywords.len() > MESSAGE_KEYWORDS_MAX {
            return Err(StoreError::TooMany { what: "keywords on a message" });
        }
        if flags != row.flags || keywords != row.keywords {
            let modseq = tx.modseq()?;
            let column = keywords_column(&keywords);
            update.execute(params![row.id.0, flags.bits(), column, modseq.get()])?;
            junk::flags_change(tx, row.id, row.flags, flags)?;
            judging.note(tx.db(), row.id, row.flags, flags)?;
            mailbox.counts.remove(row.flags, row.size);
            mailbox.counts.add(flags, row.size);
            (row.flags, row.keywords, row.modseq) = (flags, keywords, modseq);
            states.push(row.state());
        }
        outcome.messages.push(row);
    }
    judging.apply(tx.db())?;
    outcome.changed = !states.is_empty();
    if outcome.changed || learned {
        mailbox.modseq = tx.modseq()?;
        mailbox::save(tx, &mailbox)?;
    }
    if learned {
        tx.publish(ChangeKind::Keywords { mailbox: id, keywords: mailbox.keywords });
    }
    if outcome.changed {
        tx.publish(ChangeKind::Flags { mailbox: id, messages: states });
    }
    Ok(outcome)
}

fn changed(row: &MessageRow, change: &FlagChange, wanted: &[Keyword]) -> (Flags, Vec<Keyword>) {
    let keeps = |keyword: &&Keyword| wanted.binary_search(keyword).is_err();
    match change.op {
        FlagOp::Replace => (change.flags, wanted.to_vec()),
        FlagOp::Remove => {
            (row.flags & !change.flags, row.keywords.iter().filter(keeps).cloned().collect())
        }
        FlagOp::Add => {
            let mut keywords: Vec<_> = row.keywords.iter().filter(keeps).cloned().collect();
            keywords.extend_from_slice(wanted);
            keywords.sort();
            (row.flags | change.flags, keywords)
        }
    }
}
