//! Messages that APPEND and REPLACE put together from parts: CATENATE.
//!
//! Source: RFC 4469 §3.

use mox_base::MailboxName;

use super::append::Append;
use super::op::{Refusal, UrlPart};
use super::rights::{self, Right, Target};
use super::{Op, Session};
use crate::types::AppendMessage;
use crate::types::url::ImapUrl;

/// The most parts of all messages of one command. Ours; each that is a URL is looked up.
pub const CATENATE_PARTS_MAX: u32 = 1_000;

/// A message begins: is there the mailbox that it goes to?
pub(super) fn begin(append: &mut Append, message: AppendMessage) -> Option<Op> {
    append.together = Some(message);
    let mailbox = append.mailbox.clone().filter(|_| !append.has_failed())?;
    Some(Op::AppendStart { mailbox, size: 0 })
}

/// Counts a part.
pub(super) fn count_part(append: &mut Append) {
    append.parts += 1;
    if append.parts > CATENATE_PARTS_MAX {
        append.refuse(Refusal::Limit("too many parts in one command"));
    }
}

/// A part that is in a mailbox.
///
/// A relative URL is one of the selected mailbox. What the URL names is the driver's
/// to find; a URL that carries URLAUTH is for others than the owner, and for URLFETCH.
pub(super) fn url(session: &Session, append: &mut Append, url: &[u8]) -> Option<Op> {
    count_part(append);
    if append.has_failed() {
        return None;
    }
    let text = String::from_utf8_lossy(url).into_owned();
    match ImapUrl::parse(&text) {
        Ok(url) if url.auth.is_none() && may_read(session, &url) => {
            let selected = session.view().map(|view| view.mailbox);
            Some(Op::CatenateUrl(Box::new(UrlPart { text, url, selected })))
        }
        _ => {
            append.refuse(Refusal::BadUrl(text));
            None
        }
    }
}

fn may_read(session: &Session, url: &ImapUrl) -> bool {
    let Some(name) = &url.mailbox else { return rights::has(&session.state, Right::Read) };
    MailboxName::parse(name)
        .is_ok_and(|name| rights::allows(&session.state, Target::Named(&name), Right::Read))
}

/// The message is complete.
pub(super) fn end(append: &mut Append) -> Option<Op> {
    let AppendMessage { flags, date, .. } = append.together.take()?;
    (!append.has_failed()).then_some(Op::CatenateEnd { flags, date })
}
