//! Operations on mailboxes as a whole.

use std::collections::BTreeMap;

use mox_base::{MailboxName, SpecialUse};
use mox_imap::print::MailboxStatus;
use mox_imap::session::{MailboxInfo, Op, Outcome, QuotaUse, Refusal};
use mox_net::blocking;
use mox_store::{Account, Mailbox, StoreError};

use crate::connection::{Connection, no_account};
use crate::{metadata, refusal};

/// Performs an operation on mailboxes.
pub(crate) async fn perform(connection: &mut Connection, op: Op) -> Outcome {
    let cid = connection.cid;
    let Some(account) = connection.account() else {
        return no_account();
    };
    let done = |result| refusal::outcome(cid, result, |()| Outcome::Done);
    match op {
        Op::Create { name, special_use } => {
            let created = account.create_mailbox(name, special_use).await;
            let names = |made: Vec<Mailbox>| {
                made.into_iter().map(|mailbox| (mailbox.id, mailbox.name)).collect()
            };
            refusal::outcome(cid, created, |made| Outcome::Created(names(made)))
        }
        Op::Delete(name) => done(account.delete_mailbox(name).await),
        Op::Rename { from, to } => done(account.rename_mailbox(from, to).await),
        Op::Subscribe(name) => done(account.subscribe_to(name).await),
        Op::Unsubscribe(name) => done(account.unsubscribe_from(name).await),
        Op::List { with_status, with_metadata } => {
            let listed = blocking(move || list(&account, with_status, with_metadata)).await;
            refusal::outcome(cid, listed, Outcome::Mailboxes)
        }
        Op::Status(name) => {
            let found = blocking(move || account.read()?.mailbox(&name)).await;
            refusal::outcome(cid, found, |mailbox| Outcome::Status(status(&mailbox)))
        }
        Op::Check(id) => {
            let found = blocking(move || account.read()?.mailbox_by_id(id)).await;
            match refusal::outcome(cid, found, |_| Outcome::Done) {
                Outcome::Refused(refused) => Outcome::Refused(refusal::in_selected(refused)),
                outcome => outcome,
            }
        }
        Op::GetMetadata(op) => {
            let found = blocking(move || metadata::get(&account, &op)).await;
            refusal::outcome(cid, found, Outcome::Metadata)
        }
        Op::SetMetadata { mailbox, entries } => {
            metadata::outcome(cid, metadata::set(&account, mailbox, entries).await)
        }
        Op::Quota => {
            let found = blocking(move || quota(&account)).await;
            refusal::outcome(cid, found, Outcome::Quota)
        }
        _ => Outcome::Refused(Refusal::Failed),
    }
}

/// RFC 9208 §4.1.
fn quota(account: &Account) -> Result<QuotaUse, StoreError> {
    let limit_bytes = account.quota_bytes()?;
    Ok(QuotaUse { used_bytes: account.read()?.used_bytes(), limit_bytes })
}

/// All mailboxes and all names subscribed to, sorted.
fn list(
    account: &Account,
    with_status: bool,
    with_metadata: bool,
) -> Result<Vec<MailboxInfo>, StoreError> {
    let reader = account.read()?;
    let mut names: BTreeMap<MailboxName, MailboxInfo> = BTreeMap::new();
    for mailbox in reader.mailboxes()? {
        let info = MailboxInfo {
            name: mailbox.name.clone(),
            exists: true,
            is_subscribed: false,
            special_use: mailbox.special_use,
            status: with_status.then(|| status(&mailbox)),
            metadata: if with_metadata {
                metadata::all(&reader, Some(mailbox.id))?
            } else {
                Vec::new()
            },
        };
        names.insert(mailbox.name, info);
    }
    for name in reader.subscriptions()? {
        let info = names.entry(name.clone()).or_insert_with(|| MailboxInfo {
            name,
            exists: false,
            is_subscribed: true,
            special_use: SpecialUse::NONE,
            status: None,
            metadata: Vec::new(),
        });
        info.is_subscribed = true;
    }
    Ok(names.into_values().collect())
}

/// What STATUS tells of a mailbox.
pub(crate) fn status(mailbox: &Mailbox) -> MailboxStatus {
    let count = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
    MailboxStatus {
        id: mailbox.id,
        messages: count(mailbox.counts.messages()),
        uidnext: mailbox.uidnext,
        uidvalidity: mailbox.uidvalidity,
        unseen: count(mailbox.counts.unseen),
        deleted: count(mailbox.counts.deleted),
        size: mailbox.counts.size,
        deleted_size: mailbox.counts.deleted_size,
        highest_modseq: mailbox.modseq,
    }
}
