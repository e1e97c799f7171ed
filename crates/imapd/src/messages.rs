//! Changing the messages of the selected mailbox.

use mox_base::Uid;
use mox_imap::session::{
    Copied, CopyOp, Expunged, MessageState, Op, Outcome, Refusal, StoreOp, Stored,
};
use mox_imap::types::{FlagList, NumSet, StoreAction};
use mox_net::blocking;
use mox_store::{Account, CopyOutcome, Expunge, FlagChange, FlagOp, MessageRow, StoreError};

use crate::connection::{Connection, no_account};
use crate::refusal;

/// Performs an operation on messages.
pub(crate) async fn perform(connection: &mut Connection, op: Op) -> Outcome {
    let cid = connection.cid;
    let Some(account) = connection.account() else {
        return no_account();
    };
    match op {
        Op::Store(op) => store(cid, &account, op).await,
        Op::Copy(op) => {
            let CopyOp { mailbox, targets, to } = op;
            let copied = account.copy(mailbox, targets.exact(), to.clone()).await;
            copied_outcome(cid, account, mailbox, copied).await
        }
        Op::Move(op) => {
            let CopyOp { mailbox, targets, to } = op;
            let moved = account.move_to(mailbox, targets.exact(), to.clone()).await;
            copied_outcome(cid, account, mailbox, moved).await
        }
        Op::Expunge { mailbox, targets } => {
            let which = Expunge { uids: targets.exact(), only_deleted: true };
            let expunged = account.expunge(mailbox, which).await;
            in_selected(refusal::outcome(cid, expunged, |outcome| {
                Outcome::Expunged(Expunged {
                    uids: outcome.uids.iter().map(|uid| uid.get()).collect(),
                    highest_modseq: outcome.modseq,
                })
            }))
        }
        Op::Unselect { mailbox, expunge } => {
            let Some(targets) = expunge else { return Outcome::Done };
            let which = Expunge { uids: targets.exact(), only_deleted: true };
            match account.expunge(mailbox, which).await {
                // A mailbox that someone else deleted has nothing left to expunge.
                Ok(_) | Err(StoreError::NoMailbox) => Outcome::Done,
                Err(error) => Outcome::Refused(refusal::store(cid, &error)),
            }
        }
        _ => Outcome::Refused(Refusal::Failed),
    }
}

/// A message in the session's terms.
pub(crate) fn state(row: MessageRow) -> MessageState {
    let flags = FlagList { system: row.flags, keywords: row.keywords };
    MessageState { uid: row.uid, modseq: row.modseq, flags }
}

fn in_selected(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Refused(refused) => Outcome::Refused(refusal::in_selected(refused)),
        outcome => outcome,
    }
}

async fn store(cid: u64, account: &Account, op: StoreOp) -> Outcome {
    let change = FlagChange {
        op: match op.action {
            StoreAction::Replace => FlagOp::Replace,
            StoreAction::Add => FlagOp::Add,
            StoreAction::Remove => FlagOp::Remove,
        },
        flags: op.flags.system,
        keywords: op.flags.keywords,
        unchanged_since: op.unchanged_since,
    };
    let changed = account.change_flags(op.mailbox, op.targets.exact(), change).await;
    in_selected(refusal::outcome(cid, changed, |outcome| {
        Outcome::Stored(Stored {
            messages: outcome.messages.into_iter().map(state).collect(),
            modified: outcome.modified.into_iter().map(state).collect(),
        })
    }))
}

/// A mailbox that is missing is the source, deleted by someone else, or the target.
async fn copied_outcome(
    cid: u64,
    account: Account,
    source: mox_base::MailboxId,
    copied: Result<CopyOutcome, StoreError>,
) -> Outcome {
    let is_missing = matches!(copied, Err(StoreError::NoMailbox));
    if is_missing && blocking(move || account.read()?.mailbox_by_id(source)).await.is_err() {
        return Outcome::Refused(Refusal::MailboxGone);
    }
    let set = |uids: &mut dyn Iterator<Item = Uid>| -> NumSet { uids.map(Uid::get).collect() };
    refusal::outcome(cid, copied, |outcome| {
        Outcome::Copied(Copied {
            uidvalidity: outcome.uidvalidity,
            from: set(&mut outcome.uids.iter().map(|(from, _)| *from)),
            to: set(&mut outcome.uids.iter().map(|(_, to)| *to)),
            modseq: outcome.modseq,
        })
    })
}
