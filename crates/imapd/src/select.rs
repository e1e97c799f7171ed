//! Looking at a whole mailbox: SELECT, EXAMINE, and catching up after lost changes.

use mox_base::{MailboxId, ModSeq, Uid};
use mox_imap::session::{Outcome, QresyncData, Resync, SelectOp, Snapshot, client_state};
use mox_imap::types::{NumSet, UidMap};
use mox_net::blocking;
use mox_store::{Account, Mailbox, Reader, StoreError};

use crate::connection::{Connection, no_account};
use crate::messages::state;
use crate::refusal;

/// SELECT and EXAMINE.
pub(crate) async fn select(connection: &mut Connection, op: SelectOp) -> Outcome {
    let cid = connection.cid;
    let Some(account) = connection.account() else {
        return no_account();
    };
    let read = blocking(move || snapshot(&account, &op)).await;
    match read {
        Ok((snapshot, modseq)) => {
            if let Some(user) = &mut connection.user {
                user.feed.has_read(modseq);
            }
            Outcome::Selected(Box::new(snapshot))
        }
        Err(error) => Outcome::Refused(refusal::store(cid, &error)),
    }
}

fn snapshot(account: &Account, op: &SelectOp) -> Result<(Snapshot, ModSeq), StoreError> {
    let reader = account.read()?;
    let mailbox = reader.mailbox(&op.name)?;
    let uids = uid_map(&reader, mailbox.id)?;
    let first_unseen = match mailbox.counts.unseen {
        0 => None,
        _ => reader.first_unseen(mailbox.id)?,
    };
    let qresync = op.qresync.as_ref().filter(|qresync| qresync.uidvalidity == mailbox.uidvalidity);
    let qresync = match qresync {
        Some(qresync) => Some(catch_up(&reader, &mailbox, qresync, &uids)?),
        None => None,
    };
    let Mailbox { id, uidvalidity, uidnext, modseq, keywords, .. } = mailbox;
    let snapshot = Snapshot {
        mailbox: id,
        uidvalidity,
        uidnext,
        highest_modseq: modseq,
        keywords,
        uids,
        first_unseen,
        qresync,
    };
    Ok((snapshot, reader.modseq()))
}

pub(crate) fn uid_map(reader: &Reader, mailbox: MailboxId) -> Result<UidMap, StoreError> {
    let uids: NumSet = reader.uids(mailbox)?.into_iter().collect();
    Ok(uids.into())
}

/// RFC 7162 §3.2.5. The store forgets no removal, so no history is ever lost.
fn catch_up(
    reader: &Reader,
    mailbox: &Mailbox,
    qresync: &mox_imap::types::Qresync,
    uids: &UidMap,
) -> Result<QresyncData, StoreError> {
    let mut failed = None;
    let mut removed_at = |uid| {
        let found = Uid::new(uid).map(|uid| reader.gone_at(mailbox.id, uid)).transpose();
        found.unwrap_or_else(|error| {
            failed = Some(error);
            None
        })
    };
    let state_of_client = client_state(qresync, uids, |uid| removed_at(uid).flatten());
    if let Some(error) = failed {
        return Err(error);
    }
    let changed = reader.changed_since(mailbox.id, state_of_client.since, &NumSet::all())?;
    Ok(QresyncData {
        state: state_of_client,
        changed: changed.rows.into_iter().map(state).collect(),
        vanished: changed.vanished.iter().map(|uid| uid.get()).collect(),
        history_lost: false,
    })
}

/// The session lost track: what is there now, and what changed.
pub(crate) async fn resync(
    connection: &mut Connection,
    mailbox: MailboxId,
    since: ModSeq,
) -> Outcome {
    let cid = connection.cid;
    let Some(account) = connection.account() else {
        return no_account();
    };
    let read = blocking(move || {
        let reader = account.read()?;
        let highest_modseq = reader.mailbox_by_id(mailbox)?.modseq;
        let uids = uid_map(&reader, mailbox)?;
        let changed = reader.changed_since(mailbox, since, &NumSet::all())?;
        let changed = changed.rows.into_iter().map(state).collect();
        Ok((Resync { uids, changed, highest_modseq }, reader.modseq()))
    })
    .await;
    match read {
        Ok((resync, modseq)) => {
            if let Some(user) = &mut connection.user {
                user.feed.has_read(modseq);
            }
            Outcome::Resynced(Box::new(resync))
        }
        Err(error) => Outcome::Refused(refusal::in_selected(refusal::store(cid, &error))),
    }
}
