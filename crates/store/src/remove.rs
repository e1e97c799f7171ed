//! Removing messages: at once out of the mailbox, later off the disk.
//!
//! An expunged message leaves `msg` for `tomb`, where sessions that still count it can read it.
//! Maintenance erases its content once no session needs it. `gone` remembers the UID for ever
//! (RFC 7162 §3.2.6).

use mox_base::{Flags, MailboxId, ModSeq, Uid};
use rusqlite::params;

use crate::Result;
use crate::feed::ChangeKind;
use crate::flag::rows_of;
use crate::history::{self, Judging};
use crate::junk;
use crate::mailbox::{self, Mailbox};
use crate::row::{MessageRow, keywords_column};
use crate::tx::Tx;
use mox_base::NumSet;

/// Which messages to remove.
#[derive(Clone, Debug)]
pub struct Expunge {
    /// Of these.
    pub uids: NumSet,
    /// Only those with `\Deleted` (EXPUNGE), or all (a message that is replaced).
    pub only_deleted: bool,
}

/// What was removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExpungeOutcome {
    /// The UIDs, ascending.
    pub uids: Vec<Uid>,
    /// Of the mailbox afterwards.
    pub modseq: ModSeq,
}

/// Whether the content goes with the row, or lives on in another mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Erase,
    Keep,
}

pub(crate) fn expunge(tx: &mut Tx<'_>, id: MailboxId, which: &Expunge) -> Result<ExpungeOutcome> {
    let mut mailbox = mailbox::by_id(tx, id)?;
    let mut rows = rows_of(tx, id, &which.uids)?;
    if which.only_deleted {
        rows.retain(|row| row.flags.contains(Flags::DELETED));
    }
    let uids = remove_rows(tx, &mut mailbox, &rows)?;
    Ok(ExpungeOutcome { uids, modseq: mailbox.modseq })
}

/// Removes all messages of a mailbox that is itself about to go.
pub(crate) fn remove_everything(tx: &mut Tx<'_>, mut mailbox: Mailbox) -> Result<()> {
    let rows = rows_of(tx, mailbox.id, &NumSet::all())?;
    remove_rows(tx, &mut mailbox, &rows)?;
    Ok(())
}

fn remove_rows(tx: &mut Tx<'_>, mailbox: &mut Mailbox, rows: &[MessageRow]) -> Result<Vec<Uid>> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let mut judging = Judging::default();
    let mut delete = tx.db().prepare_cached("DELETE FROM msg WHERE id = ?1")?;
    for row in rows {
        bury(tx, mailbox, row, Content::Erase)?;
        history::forget(tx.db(), row.id, row.flags, &mut judging)?;
        delete.execute([row.id.0])?;
    }
    judging.apply(tx.db())?;
    removed(tx, mailbox, rows)
}

/// Records that a message left its mailbox. The caller deletes or rewrites the row in `msg`.
pub(crate) fn bury(
    tx: &mut Tx<'_>,
    mailbox: &mut Mailbox,
    row: &MessageRow,
    content: Content,
) -> Result<()> {
    let modseq = tx.modseq()?;
    let mut gone = tx.db().prepare_cached("INSERT INTO gone VALUES (?1, ?2, ?3)")?;
    gone.execute(params![mailbox.id.0, modseq.get(), row.uid.get()])?;
    let mut tomb = tx.db().prepare_cached(
        "INSERT INTO tomb VALUES \
         (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)",
    )?;
    tomb.execute(params![
        mailbox.id.0,
        row.uid.get(),
        row.id.0,
        modseq.get(),
        content == Content::Erase,
        row.modseq.get(),
        row.flags.bits(),
        keywords_column(&row.keywords),
        row.size,
        row.received.time().0,
        row.saved.0,
        row.thread.0,
        row.body,
        row.sent.map(|sent| sent.0),
        row.sent_day,
        row.received.zone_minutes(),
    ])?;
    mailbox.counts.remove(row.flags, row.size);
    if content == Content::Erase {
        // What its owner has removed no longer counts, whoever may still read it.
        tx.free_bytes(row.size);
        junk::flags_change(tx, row.id, row.flags, Flags::NONE)?;
    }
    tx.shared.tombs.store(true, std::sync::atomic::Ordering::Release);
    Ok(())
}

/// Saves the mailbox and tells that the rows are gone from it.
pub(crate) fn removed(
    tx: &mut Tx<'_>,
    mailbox: &mut Mailbox,
    rows: &[MessageRow],
) -> Result<Vec<Uid>> {
    mailbox.modseq = tx.modseq()?;
    mailbox::save(tx, mailbox)?;
    let uids: Vec<Uid> = rows.iter().map(|row| row.uid).collect();
    tx.publish(ChangeKind::Removed { mailbox: mailbox.id, uids: uids.clone() });
    Ok(uids)
}
