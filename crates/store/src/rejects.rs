//! The Rejects mailbox: copies of refused messages, for the user to find what was refused wrongly.

use mox_base::{Flags, MailboxId, MailboxName, NumSet, Uid};
use mox_policy::{REJECT_KEEP_SECS, REJECTS_MAX, RejectsState, keeps_reject};
use rusqlite::params;

use crate::Result;
use crate::history::same_in;
use crate::mailbox;
use crate::message::{self, Added, Destination, NewMessage};
use crate::remove::{self, Expunge};
use crate::tx::Tx;

/// Keeps a copy of a refused message, unless there is one or there are too many.
pub(crate) fn keep(
    tx: &mut Tx<'_>,
    name: &MailboxName,
    keeps_all: bool,
    mut message: NewMessage,
) -> Result<Option<Added>> {
    let mut incoming = message.envelope.as_mut().and_then(|envelope| envelope.incoming.as_mut());
    if let Some(decision) = incoming.as_mut().and_then(|incoming| incoming.decision.take()) {
        // Told to the user whether there is a copy or not.
        decision.record(tx)?;
    }
    let mut target = mailbox::find_or_create(tx, name)?;
    if !keeps_all && expire(tx, target.id)? {
        target = mailbox::by_id(tx, target.id)?;
    }
    let hash = incoming.as_ref().and_then(|incoming| incoming.content_hash.as_ref());
    let message_id = message.content.facts.message_id.as_deref();
    let (same_id, same_content) = same_in(tx, target.id, message_id, hash)?;
    let state = RejectsState {
        has_message_id: same_id.is_some(),
        has_content: same_content.is_some(),
        messages: target.counts.messages(),
    };
    if !keeps_reject(keeps_all, state) {
        return Ok(None);
    }
    if let Some(incoming) = incoming {
        incoming.marks.is_reject = true;
    }
    // Nobody shall be notified of it.
    message.flags |= Flags::SEEN;
    let destination = Destination { mailbox: name.clone(), create: false };
    message::add(tx, &destination, vec![message]).map(Some)
}

/// Removes what is too old, the first to come first. Returns whether there was any.
fn expire(tx: &mut Tx<'_>, id: MailboxId) -> Result<bool> {
    // UIDs ascend with the time at which messages came here, so that only old ones are looked at.
    let sql = "SELECT uid, saved FROM msg WHERE mailbox = ?1 ORDER BY uid LIMIT ?2";
    let mut statement = tx.db().prepare_cached(sql)?;
    let before = tx.now.plus_secs(-REJECT_KEEP_SECS);
    let mut rows = statement.query(params![id.0, REJECTS_MAX])?;
    let mut old = Vec::new();
    while let Some(row) = rows.next()? {
        let saved: i64 = row.get(1)?;
        if saved >= before.0 {
            break;
        }
        old.extend(Uid::new(row.get(0)?));
    }
    let removed =
        remove::expunge(tx, id, &Expunge { uids: old.into_iter().collect(), only_deleted: false })?;
    Ok(!removed.uids.is_empty())
}

/// A message was accepted: a copy of it that was kept when it was refused is of no use any more.
pub(crate) fn accepted(
    tx: &mut Tx<'_>,
    name: &MailboxName,
    target: MailboxId,
    message_ids: &[String],
) -> Result<()> {
    let Some(rejects) = mailbox::by_name(tx, name)?.filter(|rejects| rejects.id != target) else {
        return Ok(());
    };
    for message_id in message_ids {
        let (same, _) = same_in(tx, rejects.id, Some(message_id), None)?;
        if let Some(uid) = same {
            let uids = NumSet::range(uid, uid);
            remove::expunge(tx, rejects.id, &Expunge { uids, only_deleted: false })?;
        }
    }
    Ok(())
}
