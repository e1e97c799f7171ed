//! APPEND and REPLACE: messages stream from the client into a spool, are prepared for the store one
//! by one, and added together. Those that are put together from parts: `catenate.rs`.

use std::io::{Seek, Write};

use mox_base::ZonedTime;
use mox_imap::session::{AppendOp, Appended, Op, Outcome, Refusal};
use mox_imap::types::FlagList;
use mox_mime::LineEndings;
use mox_net::trace::Kind;
use mox_net::{Deadline, blocking};
use mox_store::{Account, Added, Destination, INLINE_BYTES_MAX, NewMessage, Reader, StoreError};
use tempfile::SpooledTempFile;

use crate::connection::{Connection, End, no_account};
use crate::pace::{LITERAL_WAIT, message_wait};
use crate::refusal;

/// A message up to this size is spooled in memory.
const SPOOL_MEMORY_BYTES: usize = 1 << 20;

/// The memory that the messages of one APPEND may take until they are added. A large one counts
/// for what is kept of it beside its file.
pub const STAGED_BYTES_MAX: u64 = 64 << 20;

/// Performs the steps of APPEND that read nothing from the client.
pub(crate) async fn perform(connection: &mut Connection, op: Op) -> Outcome {
    let cid = connection.cid;
    let Some(account) = connection.account() else {
        return no_account();
    };
    match op {
        Op::AppendStart { mailbox, size } => {
            if let Err(refusal) = has_room(connection, size) {
                return Outcome::Refused(refusal);
            }
            let size = size.saturating_add(staged_bytes(connection));
            let may = blocking(move || {
                let reader = account.read()?;
                reader.mailbox(&mailbox)?;
                within_quota(&account, &reader, size)
            });
            refusal::outcome(cid, may.await, |()| Outcome::Done)
        }
        Op::AppendFinish { mailbox } => {
            let messages = std::mem::take(&mut connection.staged);
            let destination = Destination { mailbox, create: false };
            let added = account.add(destination, messages).await;
            refusal::outcome(cid, added, |added| appended(&added))
        }
        Op::Replace { mailbox, source, uid } => {
            let Some(message) = std::mem::take(&mut connection.staged).pop() else {
                return Outcome::Refused(Refusal::Failed);
            };
            let destination = Destination { mailbox, create: false };
            let replaced = account.replace(destination, message, source, uid).await;
            // The mailbox that is missing is the source, deleted by someone else, or the target.
            if matches!(replaced, Err(StoreError::NoMailbox))
                && blocking(move || account.read()?.mailbox_by_id(source)).await.is_err()
            {
                return Outcome::Refused(Refusal::MailboxGone);
            }
            if matches!(replaced, Err(StoreError::NoMessage)) {
                return Outcome::Refused(Refusal::MessageGone);
            }
            refusal::outcome(cid, replaced, |added| appended(&added))
        }
        _ => {
            connection.staged = Vec::new();
            connection.parts = None;
            Outcome::Done
        }
    }
}

fn appended(added: &Added) -> Outcome {
    Outcome::Appended(Appended {
        mailbox: added.mailbox,
        uidvalidity: added.uidvalidity,
        uids: added.uids.iter().map(|uid| uid.get()).collect(),
        modseq: added.modseq,
    })
}

/// Whether another message may be staged, as far as memory goes.
pub(crate) fn has_room(connection: &Connection, size: u64) -> Result<(), Refusal> {
    let staged = connection.staged.iter().map(|message| message.content.size());
    let memory: u64 = staged.map(memory_bytes).sum();
    if memory + memory_bytes(size) > STAGED_BYTES_MAX {
        return Err(Refusal::Limit("too much in one command"));
    }
    Ok(())
}

/// The bytes of the messages and parts so far.
pub(crate) fn staged_bytes(connection: &Connection) -> u64 {
    let staged: u64 = connection.staged.iter().map(|message| message.content.size()).sum();
    let parts = connection.parts.as_ref().map_or(0, |parts| parts.size());
    staged.saturating_add(parts)
}

/// The most that a staged message takes of memory.
fn memory_bytes(size: u64) -> u64 {
    size.min(2 * INLINE_BYTES_MAX as u64)
}

/// Tells early what adding would fail with, so that nothing is sent or copied for it.
pub(crate) fn within_quota(
    account: &Account,
    reader: &Reader,
    size: u64,
) -> Result<(), StoreError> {
    let used_bytes = reader.used_bytes();
    match account.quota_bytes()? {
        Some(limit_bytes) if used_bytes.saturating_add(size) > limit_bytes => {
            Err(StoreError::OverQuota { used_bytes, limit_bytes })
        }
        _ => Ok(()),
    }
}

/// Reads a message of the announced size and prepares it.
pub(crate) async fn message(connection: &mut Connection, op: AppendOp) -> Result<Outcome, End> {
    // The client waits for the continuation before it sends.
    connection.send().await?;
    let AppendOp { flags, date, size, discard } = op;
    let writer = if discard { None } else { Some(new_spool(connection)) };
    match read(connection, size, writer).await? {
        Some(spool) => Ok(stage(connection, spool, flags, date).await),
        None if discard => Ok(Outcome::Done),
        None => Ok(Outcome::Refused(Refusal::Unavailable)),
    }
}

/// A message that is coming in, on its way to the store.
pub(crate) type Spool = LineEndings<SpooledTempFile>;

pub(crate) fn new_spool(connection: &Connection) -> Spool {
    let dir = connection.account().map(|account| account.dir().to_owned()).unwrap_or_default();
    LineEndings::new(tempfile::spooled_tempfile_in(SPOOL_MEMORY_BYTES, dir))
}

/// Prepares a message for the store.
pub(crate) async fn stage(
    connection: &mut Connection,
    spool: Spool,
    flags: FlagList,
    date: Option<ZonedTime>,
) -> Outcome {
    let cid = connection.cid;
    let Some(account) = connection.account() else { return no_account() };
    let mut spool = spool.into_inner();
    let staged = blocking(move || {
        spool.rewind()?;
        account.stage(Vec::new(), &mut spool)
    });
    refusal::outcome(cid, staged.await, |content| {
        let message = NewMessage {
            content,
            flags: flags.system,
            keywords: flags.keywords,
            received: date,
            envelope: None,
        };
        connection.staged.push(message);
        Outcome::Done
    })
}

/// Reads exactly `size` bytes from the client, behind what is in the spool. `None` if they were
/// thrown away, or could not be kept: the protocol needs them read in any case.
pub(crate) async fn read(
    connection: &mut Connection,
    size: u64,
    spool: Option<Spool>,
) -> Result<Option<Spool>, End> {
    connection.conn.set_read_deadline(Some(Deadline::after(message_wait(size))));
    let spooled = read_to(connection, size, spool).await;
    connection.conn.set_read_deadline(None);
    spooled
}

async fn read_to(
    connection: &mut Connection,
    size: u64,
    mut spool: Option<Spool>,
) -> Result<Option<Spool>, End> {
    let cid = connection.cid;
    let total = spool.as_ref().map_or(0, Spool::size).saturating_add(size);
    let mut left = size;
    while left > 0 {
        if connection.conn.buffered().is_empty() && connection.conn.fill(LITERAL_WAIT).await? == 0 {
            return Err(End::Closed);
        }
        let buffered = connection.conn.buffered();
        let count = buffered.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        left -= count as u64;
        let chunk = buffered.get(..count).unwrap_or_default();
        spool = match spool {
            // Once it is a file, writing blocks.
            Some(writer) if total > SPOOL_MEMORY_BYTES as u64 => {
                let chunk = chunk.to_vec();
                blocking(move || keep(cid, writer, &chunk)).await
            }
            Some(writer) => keep(cid, writer, chunk),
            None => None,
        };
        connection.conn.consume(Kind::Data, count);
    }
    Ok(spool)
}

fn keep(cid: u64, mut spool: Spool, chunk: &[u8]) -> Option<Spool> {
    match spool.write_all(chunk) {
        Ok(()) => Some(spool),
        Err(error) => {
            tracing::error!(cid, %error, "spooling a message");
            None
        }
    }
}
