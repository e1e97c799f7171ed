//! Copying and moving messages between mailboxes.

use mox_base::{Flags, MailboxId, MailboxName, ModSeq, Uid, UidValidity};
use rusqlite::params;

use crate::feed::{ChangeKind, MessageState};
use crate::flag::rows_of;
use crate::history::{self, Judging, Passage};
use crate::junk;
use crate::mailbox::{self, Mailbox};
use crate::message::next_uid;
use crate::remove::{Content, bury, removed};
use crate::row::{MessageRow, keywords_column};
use crate::tx::Tx;
use crate::{Result, StoreError};
use mox_base::NumSet;

/// What was copied or moved, in ascending order of the source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyOutcome {
    /// Of the target mailbox.
    pub uidvalidity: UidValidity,
    /// Each UID in the source with the one it got in the target.
    pub uids: Vec<(Uid, Uid)>,
    /// Of the operation.
    pub modseq: ModSeq,
}

/// Copies messages; they keep their thread, date and flags and share the body.
pub(crate) fn copy(
    tx: &mut Tx<'_>,
    source: MailboxId,
    uids: &NumSet,
    target: &MailboxName,
) -> Result<CopyOutcome> {
    let policy = tx.shared.policy()?;
    let source = mailbox::by_id(tx, source)?;
    let mut target = mailbox::by_name(tx, target)?.ok_or(StoreError::NoMailbox)?;
    if target.id == source.id {
        return Err(StoreError::SameMailbox);
    }
    let rows = rows_of(tx, source.id, uids)?;
    let mut arrived = Vec::with_capacity(rows.len());
    let mut judging = Judging::default();
    for row in &rows {
        tx.use_bytes(row.size, policy.quota_bytes)?;
        let (id, uid, modseq) = (tx.new_message_id(), next_uid(&mut target)?, tx.modseq()?);
        let mut insert = tx.db().prepare_cached(
            "INSERT INTO meta SELECT ?2, original_mailbox, received, message_id, subject, \
             thread_bits, thread_parents, is_dsn, mail_from, rcpt_to, remote_ip, ehlo, prefix, \
             structure, preview, tls_version, tls_cipher, tls_required FROM meta WHERE id = ?1",
        )?;
        insert.execute([row.id.0, id.0])?;
        history::copied(tx, row.id, id)?;
        let flags = policy.junk_flags.apply(row.flags, &target.name, target.special_use);
        let (source, before) = (&source, None);
        let passage = Passage { id, source, target: &target, before, flags };
        let flags = history::arrived(tx.db(), &policy, &passage, &mut judging)?;
        let mut insert = tx.db().prepare_cached(
            "INSERT INTO msg VALUES \
             (?1, ?2, ?3, ?4, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
        )?;
        insert.execute(params![
            id.0,
            target.id.0,
            uid.get(),
            modseq.get(),
            flags.bits(),
            keywords_column(&row.keywords),
            row.size,
            row.received.time().0,
            tx.now.0,
            row.thread.0,
            row.body,
            row.sent.map(|sent| sent.0),
            row.sent_day,
            row.received.zone_minutes(),
        ])?;
        let mut share = tx.db().prepare_cached("UPDATE body SET refs = refs + 1 WHERE id = ?1")?;
        share.execute([row.body])?;
        junk::flags_change(tx, id, Flags::NONE, flags)?;
        arrive(&mut target, row, uid, flags, &mut arrived)?;
    }
    judging.apply(tx.db())?;
    finish(tx, target, &rows, arrived)
}

/// Moves messages; they keep their ids and get new UIDs.
pub(crate) fn move_messages(
    tx: &mut Tx<'_>,
    source: MailboxId,
    uids: &NumSet,
    target: &MailboxName,
) -> Result<CopyOutcome> {
    let source = mailbox::by_id(tx, source)?;
    let target = mailbox::by_name(tx, target)?.ok_or(StoreError::NoMailbox)?;
    if target.id == source.id {
        return Err(StoreError::SameMailbox);
    }
    let rows = rows_of(tx, source.id, uids)?;
    move_rows(tx, source, target, &rows)
}

/// Moves all messages of a mailbox.
pub(crate) fn move_everything(tx: &mut Tx<'_>, source: Mailbox, target: Mailbox) -> Result<()> {
    let rows = rows_of(tx, source.id, &NumSet::all())?;
    move_rows(tx, source, target, &rows).map(drop)
}

fn move_rows(
    tx: &mut Tx<'_>,
    mut source: Mailbox,
    mut target: Mailbox,
    rows: &[MessageRow],
) -> Result<CopyOutcome> {
    let policy = tx.shared.policy()?;
    let mut arrived = Vec::with_capacity(rows.len());
    let mut judging = Judging::default();
    let mut update = tx.db().prepare_cached(
        "UPDATE msg SET mailbox = ?2, uid = ?3, modseq = ?4, createseq = ?4, flags = ?5, \
         saved = ?6 WHERE id = ?1",
    )?;
    for row in rows {
        bury(tx, &mut source, row, Content::Keep)?;
        let (uid, modseq) = (next_uid(&mut target)?, tx.modseq()?);
        let flags = policy.junk_flags.apply(row.flags, &target.name, target.special_use);
        let (id, source, before) = (row.id, &source, Some(row.flags));
        let passage = Passage { id, source, target: &target, before, flags };
        let flags = history::arrived(tx.db(), &policy, &passage, &mut judging)?;
        update.execute(params![
            row.id.0,
            target.id.0,
            uid.get(),
            modseq.get(),
            flags.bits(),
            tx.now.0,
        ])?;
        junk::flags_change(tx, row.id, row.flags, flags)?;
        arrive(&mut target, row, uid, flags, &mut arrived)?;
    }
    if !rows.is_empty() {
        removed(tx, &mut source, rows)?;
    }
    judging.apply(tx.db())?;
    finish(tx, target, rows, arrived)
}

fn arrive(
    target: &mut Mailbox,
    row: &MessageRow,
    uid: Uid,
    flags: Flags,
    arrived: &mut Vec<MessageState>,
) -> Result<()> {
    target.learn_keywords(&row.keywords)?;
    target.counts.add(flags, row.size);
    arrived.push(MessageState { uid, flags, keywords: row.keywords.clone() });
    Ok(())
}

fn finish(
    tx: &mut Tx<'_>,
    mut target: Mailbox,
    rows: &[MessageRow],
    arrived: Vec<MessageState>,
) -> Result<CopyOutcome> {
    let uids = rows.iter().map(|row| row.uid).zip(arrived.iter().map(|state| state.uid)).collect();
    let uidvalidity = target.uidvalidity;
    if arrived.is_empty() {
        return Ok(CopyOutcome { uidvalidity, uids, modseq: target.modseq });
    }
    let modseq = tx.modseq()?;
    target.modseq = modseq;
    mailbox::save(tx, &target)?;
    tx.publish(ChangeKind::Added { mailbox: target.id, messages: arrived });
    let keywords = target.keywords;
    if !keywords.is_empty() {
        tx.publish(ChangeKind::Keywords { mailbox: target.id, keywords });
    }
    Ok(CopyOutcome { uidvalidity, uids, modseq })
}
