//! URLFETCH: what signed URLs name, written as it is read.
//!
//! Source: RFC 4467 §7, RFC 5524. What cannot be had is NIL, whatever the reason.

use std::io::Write as _;

use mox_base::MailboxName;
use mox_imap::print::{UrlFetchLine, literal_start, part_structure};
use mox_imap::session::{Outcome, UrlFetchOp};
use mox_imap::types::UrlData;
use mox_imap::types::url::{ImapUrl, UrlPartial};
use mox_mime::MessageRef;
use mox_net::blocking;
use mox_net::trace::Kind;
use mox_store::{Account, Columns, Reader, StoreError};

use crate::connection::{Connection, End};
use crate::stream::{Body, Bytes, Rest, hide_nul};
use crate::{refusal, url};

/// Data up to this size is read whole; what is larger is streamed, and BINARY of that size comes as a
/// `literal8` whatever is in it.
const WHOLE_BYTES_MAX: u64 = 256 << 10;

/// A response, up to where the data begins that is streamed.
struct Answer {
    out: Vec<u8>,
    rest: Option<Rest>,
    /// The data that follows is in parentheses.
    is_item: bool,
}

/// Writes a response for each URL.
pub(crate) async fn fetch(
    connection: &mut Connection,
    urls: Vec<UrlFetchOp>,
    utf8: bool,
) -> Result<Outcome, End> {
    let cid = connection.cid;
    connection.send().await?;
    for op in urls {
        let granted = match &op.url {
            Some(url) => connection.granted(url, &op.fetch.url).await,
            None => None,
        };
        let answer = match granted {
            Some(account) => blocking(move || answer(&account, &op, utf8)).await,
            None => Ok(nil(&op, utf8)),
        };
        let Answer { mut out, rest, is_item } = match answer {
            Ok(answer) => answer,
            Err(error) => return Ok(Outcome::Refused(refusal::store(cid, &error))),
        };
        if let Some(rest) = rest {
            connection.write(Kind::Data, &out).await?;
            rest.send(connection).await?;
            out.clear();
            let mut line = UrlFetchLine::resume(&mut out);
            if is_item {
                line.close();
            }
            line.finish();
        }
        connection.write(Kind::Data, &out).await?;
    }
    Ok(Outcome::Done)
}

fn nil(op: &UrlFetchOp, utf8: bool) -> Answer {
    let mut out = Vec::new();
    UrlFetchLine::start(&mut out, &op.fetch.url, utf8).finish();
    Answer { out, rest: None, is_item: false }
}

/// The response for a URL of this account. Blocks.
fn answer(account: &Account, op: &UrlFetchOp, utf8: bool) -> Result<Answer, StoreError> {
    let none = || nil(op, utf8);
    let Some(url) = &op.url else { return Ok(none()) };
    let reader = account.read()?;
    let Some(found) = Found::new(&reader, url, &op.fetch.url)? else { return Ok(none()) };
    let mut body = Body::new(&reader, found.mailbox, url.uid);
    // Whether there is such a part shows whatever is asked of it.
    let Ok(section) = body.section(&url.section)? else { return Ok(none()) };
    let mut out = Vec::new();
    let mut line = UrlFetchLine::start(&mut out, &op.fetch.url, utf8);
    if op.fetch.with_structure
        && let Some(structure) = found.structure(url, utf8)?
    {
        line.item("BODYPARTSTRUCTURE").extend_from_slice(&structure);
        line.close();
    }
    let bytes = match op.fetch.data {
        None => {
            line.finish();
            return Ok(Answer { out, rest: None, is_item: false });
        }
        Some(UrlData::Plain | UrlData::Body) => Some(section),
        // RFC 5524 §3.2: NIL for an encoding that is not known. Headers and texts have none.
        Some(UrlData::Binary) if url.section.text.is_some() => Some(section),
        Some(UrlData::Binary) => body.binary(&url.section.part)?.ok(),
    };
    let is_item = op.fetch.data != Some(UrlData::Plain);
    let value = match op.fetch.data {
        Some(UrlData::Body) => line.item("BODY"),
        Some(UrlData::Binary) => line.item("BINARY"),
        _ => line.plain(),
    };
    let is_binary = op.fetch.data == Some(UrlData::Binary);
    let bytes = bytes.map(|bytes| bytes.cut(url.partial.map(UrlPartial::to_partial)));
    let rest = match bytes {
        Some(bytes) => write(value, &mut body, bytes, is_binary)?,
        None => {
            value.extend_from_slice(b"NIL");
            None
        }
    };
    if rest.is_none() {
        if is_item {
            line.close();
        }
        line.finish();
    }
    Ok(Answer { out, rest, is_item })
}

/// Writes a literal, or the announcement of one whose data is returned.
///
/// RFC 5524 §5: BINARY is a `literal8` if it has NUL in it; elsewhere there is none.
fn write(
    out: &mut Vec<u8>,
    body: &mut Body<'_>,
    bytes: Bytes,
    is_binary: bool,
) -> Result<Option<Rest>, StoreError> {
    let size = bytes.len();
    let mut bytes = match bytes {
        Bytes::Memory(bytes) => bytes,
        bytes => {
            let mut rest = body.open(&bytes)?;
            if size > WHOLE_BYTES_MAX {
                literal_start(out, size, is_binary);
                return Ok(Some(if is_binary { rest } else { rest.without_nul() }));
            }
            let mut whole = Vec::new();
            rest.copy_to(&mut whole)?;
            whole
        }
    };
    if !is_binary {
        hide_nul(&mut bytes);
    }
    literal_start(out, size, bytes.contains(&0));
    out.write_all(&bytes)?;
    Ok(None)
}

/// A message that is there, and that the owner of its mailbox lets be had.
struct Found {
    mailbox: mox_base::MailboxId,
    structure: Vec<u8>,
}

impl Found {
    fn new(reader: &Reader, url: &ImapUrl, text: &str) -> Result<Option<Self>, StoreError> {
        let name = url.mailbox.as_deref().and_then(|name| MailboxName::parse(name).ok());
        let verifier = url.auth.as_ref().and_then(|auth| Some((auth, auth.verifier.as_ref()?)));
        let (Some(name), Some((auth, verifier))) = (name, verifier) else { return Ok(None) };
        let mailbox = match reader.mailbox(&name) {
            Ok(mailbox) => mailbox,
            Err(StoreError::NoMailbox) => return Ok(None),
            Err(error) => return Err(error),
        };
        let Some(key) = reader.url_key(mailbox.id)? else { return Ok(None) };
        let is_same = url.uidvalidity.is_none_or(|wanted| wanted == mailbox.uidvalidity);
        if !is_same || !url::is_proven(&verifier.token, &key, auth.rump(text)) {
            return Ok(None);
        }
        let mut found = None;
        let columns = Columns { structure: true, ..Columns::default() };
        let _all = reader.fetch(mailbox.id, &[url.uid.get()], columns, &mut |row| {
            let structure = row.structure.to_vec();
            found = (!row.is_expunged).then_some(Self { mailbox: mailbox.id, structure });
            std::ops::ControlFlow::Break(())
        })?;
        Ok(found)
    }

    /// BODYPARTSTRUCTURE, of parts and whole messages only. RFC 5524 §3.1.
    fn structure(&self, url: &ImapUrl, utf8: bool) -> Result<Option<Vec<u8>>, StoreError> {
        if url.section.text.is_some() {
            return Ok(None);
        }
        let damaged = |_| StoreError::Damaged { what: "message structure" };
        let root = MessageRef::new(&self.structure).and_then(|m| m.root()).map_err(damaged)?;
        let mut out = Vec::new();
        let is_there = part_structure(&mut out, root, &url.section.part, utf8).map_err(damaged)?;
        Ok(is_there.then_some(out))
    }
}
