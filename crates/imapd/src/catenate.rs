//! Messages that are put together on the server, from text of the client and from what is in the
//! user's mailboxes. RFC 4469 §3.
//!
//! The parts go into one spool, a chunk at a time: neither a part nor the whole is held in memory.

use std::io::{self, Write};

use mox_imap::session::{Op, Outcome, Refusal, UrlPart};
use mox_net::blocking;
use mox_store::{Account, Columns, StoreError};

use crate::append::{self, Spool};
use crate::connection::{Connection, End, no_account};
use crate::refusal;
use crate::stream::{Body, Bytes, Rest};

/// The most that one command puts together, in bytes. RFC 4469 §4.2 has TOOBIG for more than 4 GB; a
/// short command must not fill a disk, and no mail system takes a message as large as this.
pub const CATENATED_BYTES_MAX: u64 = 1 << 30;

/// Performs a step of putting a message together.
pub(crate) async fn perform(connection: &mut Connection, op: Op) -> Result<Outcome, End> {
    match op {
        Op::CatenateText { size, discard } => text(connection, size, discard).await,
        Op::CatenateUrl(part) => Ok(url(connection, *part).await),
        Op::CatenateEnd { flags, date } => {
            let Some(spool) = connection.parts.take().filter(|spool| spool.size() > 0) else {
                return Ok(Outcome::Refused(Refusal::EmptyMessage));
            };
            if let Err(refusal) = append::has_room(connection, spool.size()) {
                return Ok(Outcome::Refused(refusal));
            }
            Ok(append::stage(connection, *spool, flags, date).await)
        }
        _ => Ok(Outcome::Refused(Refusal::Failed)),
    }
}

/// Reads a part from the client.
async fn text(connection: &mut Connection, size: u64, discard: bool) -> Result<Outcome, End> {
    // The client waits for the continuation before it sends.
    connection.send().await?;
    let before = spool_of(connection);
    let is_too_big = before.size().saturating_add(size) > CATENATED_BYTES_MAX;
    let spool = (!discard && !is_too_big).then_some(before);
    connection.parts = append::read(connection, size, spool).await?.map(Box::new);
    Ok(match connection.parts {
        Some(_) => Outcome::Done,
        None if discard => Outcome::Done,
        None if is_too_big => Outcome::Refused(Refusal::MessageTooBig),
        None => Outcome::Refused(Refusal::Unavailable),
    })
}

fn spool_of(connection: &mut Connection) -> Spool {
    match connection.parts.take() {
        Some(spool) => *spool,
        None => append::new_spool(connection),
    }
}

/// Copies a part from one of the user's own mailboxes.
async fn url(connection: &mut Connection, part: UrlPart) -> Outcome {
    let cid = connection.cid;
    let Some(account) = connection.account() else { return no_account() };
    if !part.url.server.as_ref().is_none_or(|server| connection.is_own(server)) {
        return Outcome::Refused(Refusal::BadUrl(part.text));
    }
    let mut spool = spool_of(connection);
    let staged = append::staged_bytes(connection);
    let (spool, copied) = blocking(move || {
        let copied = copy(&account, &part, &mut spool, staged);
        (spool, copied)
    })
    .await;
    connection.parts = Some(Box::new(spool));
    match copied {
        Ok(None) => Outcome::Done,
        Ok(Some(refusal)) => Outcome::Refused(refusal),
        Err(error) => Outcome::Refused(refusal::store(cid, &error)),
    }
}

/// Appends what a URL names to the spool; or says why it cannot be had. Blocks.
///
/// `staged`: bytes of the other messages of the command.
fn copy(
    account: &Account,
    part: &UrlPart,
    spool: &mut Spool,
    staged: u64,
) -> Result<Option<Refusal>, StoreError> {
    let Some((bytes, mut rest)) = open(account, part)? else {
        return Ok(Some(Refusal::BadUrl(part.text.clone())));
    };
    let size = spool.size().saturating_add(bytes.len()).saturating_add(staged);
    if size > CATENATED_BYTES_MAX {
        return Ok(Some(Refusal::MessageTooBig));
    }
    append::within_quota(account, &account.read()?, size)?;
    match &bytes {
        Bytes::Memory(bytes) => spool.write_all(bytes)?,
        _ => rest.copy_to(spool)?,
    }
    Ok(None)
}

/// What a URL of this account names, and the way to it. `None` if there is no such thing, or is no
/// longer. No transaction is open when it returns.
fn open(account: &Account, part: &UrlPart) -> Result<Option<(Bytes, Rest)>, StoreError> {
    let reader = account.read()?;
    let url = &part.url;
    let mailbox = match &url.mailbox {
        Some(name) => match mox_base::MailboxName::parse(name) {
            Ok(name) => reader.mailbox(&name),
            Err(_) => return Ok(None),
        },
        None => match part.selected {
            Some(id) => reader.mailbox_by_id(id),
            None => return Ok(None),
        },
    };
    let mailbox = match mailbox {
        Ok(mailbox) => mailbox,
        Err(StoreError::NoMailbox) => return Ok(None),
        Err(error) => return Err(error),
    };
    // RFC 5092 §5: the UID means nothing under another validity.
    if url.uidvalidity.is_some_and(|wanted| wanted != mailbox.uidvalidity) {
        return Ok(None);
    }
    let mut is_there = false;
    let _all = reader.fetch(mailbox.id, &[url.uid.get()], Columns::default(), &mut |row| {
        is_there = !row.is_expunged;
        std::ops::ControlFlow::Break(())
    })?;
    if !is_there {
        return Ok(None);
    }
    let mut body = Body::new(&reader, mailbox.id, url.uid);
    let Ok(bytes) = body.section(&url.section)? else { return Ok(None) };
    let bytes = bytes.cut(url.partial.map(mox_imap::types::url::UrlPartial::to_partial));
    let rest = body.open(&bytes)?;
    Ok(Some((bytes, rest)))
}

impl Rest {
    /// Writes all of it, a chunk at a time. Blocks.
    pub(crate) fn copy_to(&mut self, out: &mut impl Write) -> Result<(), StoreError> {
        while let Some(chunk) = self.next_chunk()? {
            out.write_all(&chunk)?;
        }
        match self.is_complete() {
            true => Ok(()),
            false => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
        }
    }
}
