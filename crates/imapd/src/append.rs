//! APPEND: messages stream from the client into a spool, are prepared for the store one by one,
//! and added together.

use std::io::{Seek, Write};

use mox_base::MailboxName;
use mox_imap::session::{AppendOp, Appended, Op, Outcome, Refusal};
use mox_mime::LineEndings;
use mox_net::trace::Kind;
use mox_net::{Deadline, blocking};
use mox_store::{Account, Destination, INLINE_BYTES_MAX, NewMessage, StoreError};
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
            let memory: u64 =
                connection.staged.iter().map(|m| memory_bytes(m.content.size())).sum();
            if memory + memory_bytes(size) > STAGED_BYTES_MAX {
                return Outcome::Refused(Refusal::Limit("too much in one command"));
            }
            let staged: u64 = connection.staged.iter().map(|m| m.content.size()).sum();
            let size = size.saturating_add(staged);
            let may = blocking(move || may_append(&account, &mailbox, size)).await;
            refusal::outcome(cid, may, |()| Outcome::Done)
        }
        Op::AppendFinish { mailbox } => {
            let messages = std::mem::take(&mut connection.staged);
            let destination = Destination { mailbox, create: false };
            let added = account.add(destination, messages).await;
            refusal::outcome(cid, added, |added| {
                Outcome::Appended(Appended {
                    mailbox: added.mailbox,
                    uidvalidity: added.uidvalidity,
                    uids: added.uids.iter().map(|uid| uid.get()).collect(),
                    modseq: added.modseq,
                })
            })
        }
        _ => {
            connection.staged = Vec::new();
            Outcome::Done
        }
    }
}

/// The most that a staged message takes of memory.
fn memory_bytes(size: u64) -> u64 {
    size.min(2 * INLINE_BYTES_MAX as u64)
}

/// Tells early what adding would fail with, so that the client need not send the message.
fn may_append(account: &Account, mailbox: &MailboxName, size: u64) -> Result<(), StoreError> {
    let reader = account.read()?;
    reader.mailbox(mailbox)?;
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
    let cid = connection.cid;
    connection.conn.set_read_deadline(Some(Deadline::after(message_wait(size))));
    let spooled = spool(connection, size, discard).await;
    connection.conn.set_read_deadline(None);
    let (Some(account), Some(mut spool)) = (connection.account(), spooled?) else {
        return Ok(if discard { Outcome::Done } else { Outcome::Refused(Refusal::Unavailable) });
    };
    let staged = blocking(move || account.stage(Vec::new(), &mut spool)).await;
    Ok(refusal::outcome(cid, staged, |content| {
        let message = NewMessage {
            content,
            flags: flags.system,
            keywords: flags.keywords,
            received: date,
            envelope: None,
        };
        connection.staged.push(message);
        Outcome::Done
    }))
}

/// Reads exactly `size` bytes from the client. `None` if they were thrown away, or could not be
/// kept: the protocol needs them read in any case.
async fn spool(
    connection: &mut Connection,
    size: u64,
    discard: bool,
) -> Result<Option<SpooledTempFile>, End> {
    let cid = connection.cid;
    let dir = connection.account().map(|account| account.dir().to_owned()).unwrap_or_default();
    let mut spool = (!discard)
        .then(|| LineEndings::new(tempfile::spooled_tempfile_in(SPOOL_MEMORY_BYTES, dir)));
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
            Some(writer) if size > SPOOL_MEMORY_BYTES as u64 => {
                let chunk = chunk.to_vec();
                blocking(move || keep(cid, writer, &chunk)).await
            }
            Some(writer) => keep(cid, writer, chunk),
            None => None,
        };
        connection.conn.consume(Kind::Data, count);
    }
    let Some(spool) = spool else { return Ok(None) };
    let mut spool = spool.into_inner();
    Ok(spool.rewind().is_ok().then_some(spool))
}

fn keep(
    cid: u64,
    mut spool: LineEndings<SpooledTempFile>,
    chunk: &[u8],
) -> Option<LineEndings<SpooledTempFile>> {
    match spool.write_all(chunk) {
        Ok(()) => Some(spool),
        Err(error) => {
            tracing::error!(cid, %error, "spooling a message");
            None
        }
    }
}
