//! A message takes the place of another: IMAP's REPLACE (RFC 8508 §3.4).

use mox_base::{MailboxId, NumSet, Uid};

use crate::message::{self, Added, Destination, NewMessage};
use crate::remove::{self, Expunge};
use crate::tx::Tx;
use crate::{Result, StoreError};

/// Adds the message and removes the other, with one modseq.
///
/// The new message is added first: what the old one takes does not make room for it.
pub(crate) fn replace(
    tx: &mut Tx<'_>,
    destination: &Destination,
    message: NewMessage,
    source: MailboxId,
    uid: Uid,
) -> Result<Added> {
    let added = message::add(tx, destination, vec![message])?;
    let which = Expunge { uids: NumSet::range(uid.get(), uid.get()), only_deleted: false };
    let removed = remove::expunge(tx, source, &which)?;
    // What was added is undone with the operation.
    if removed.uids.is_empty() { Err(StoreError::NoMessage) } else { Ok(added) }
}
