//! GENURLAUTH, RESETKEY and URLFETCH.
//!
//! Source: RFC 4467, RFC 5524. The one mechanism is INTERNAL; keys and tokens are the driver's.
//!
//! Deviation: RFC 4467 §8 has URLMECH in the answer to SELECT as well, and for every session that has
//! a mailbox selected whose key is reset; INTERNAL has no data that a client could need, and that it
//! is there is known from the capability.

use mox_base::MailboxName;

use super::op::{Refusal, UrlFetchOp, UrlRump};
use super::rights::{self, Right, Target};
use super::{Action, Op, Outcome, Pending, Session, Tagged};
use crate::print;
use crate::types::url::{ImapUrl, UrlAccess};
use crate::types::{MailboxArg, UrlFetch};

/// The mechanism there is. RFC 4467 §2.4.1.
const INTERNAL: &str = "INTERNAL";

/// GENURLAUTH. RFC 4467 §7.
pub(super) fn generate(session: &mut Session, cmd: Tagged, urls: Vec<(String, String)>) -> Action {
    let mut rumps = Vec::with_capacity(urls.len());
    for (text, mechanism) in urls {
        // RFC 4467 §7: what cannot be signed is BAD.
        let Some(url) = rump(session, &text) else { return bad_url(session, cmd, &text) };
        if mechanism != INTERNAL {
            return session.no(cmd, None, "only mechanism internal");
        }
        rumps.push(UrlRump { text, url });
    }
    let op = Op::GenUrlAuth { urls: rumps, utf8: session.enabled.utf8() };
    session.perform(cmd, Pending::UrlAuth, op)
}

/// A URL that can be signed: of a user on a server, with who may use it, and not signed yet.
///
/// RFC 4467 §7: only who owns the mailbox lets others read it.
fn rump(session: &Session, text: &str) -> Option<ImapUrl> {
    let url = ImapUrl::parse(text).ok()?;
    let is_owned = url.server.as_ref().is_some_and(|server| server.user.is_some());
    let is_rump = url.auth.as_ref().is_some_and(|auth| auth.verifier.is_none());
    let name = MailboxName::parse(url.mailbox.as_deref()?).ok()?;
    let may = rights::allows(&session.state, Target::Named(&name), Right::Read);
    (is_owned && is_rump && may).then_some(url)
}

fn bad_url(session: &mut Session, cmd: Tagged, url: &str) -> Action {
    let mut code = Vec::new();
    print::bad_url(&mut code, url);
    let text = format!("url cannot be signed: {}", String::from_utf8_lossy(&code));
    session.bad(cmd, None, &text)
}

/// The response was written by the driver: the URLs are as good as passwords, and are kept out of
/// what is traced of the protocol.
pub(super) fn generated(session: &mut Session, cmd: Tagged, outcome: Outcome) -> Action {
    match outcome {
        Outcome::Done => session.done(cmd),
        Outcome::Refused(Refusal::BadUrl(url)) => bad_url(session, cmd, &url),
        Outcome::Refused(refusal) => session.refuse(cmd, &refusal),
        _ => session.driver_fault("an outcome of another kind"),
    }
}

/// RESETKEY. RFC 4467 §7.
pub(super) fn reset(
    session: &mut Session,
    cmd: Tagged,
    mailbox: Option<&MailboxArg>,
    mechanisms: &[String],
) -> Action {
    if mechanisms.iter().any(|mechanism| mechanism != INTERNAL) {
        return session.no(cmd, None, "only mechanism internal");
    }
    let Some(mailbox) = mailbox else {
        return session.perform(cmd, Pending::ResetKey(None), Op::ResetUrlKeys(None));
    };
    let (cmd, name) = match session.mailbox_name(cmd, mailbox) {
        Ok(name) => name,
        Err(action) => return action,
    };
    // Who gives mail away must be the one whose it is.
    let cmd = match rights::permit(session, cmd, Target::Named(&name), Right::Write) {
        Ok(cmd) => cmd,
        Err(action) => return action,
    };
    let op = Op::ResetUrlKeys(Some(name.clone()));
    session.perform(cmd, Pending::ResetKey(Some(name)), op)
}

/// `tag OK [URLMECH INTERNAL]` for one mailbox. RFC 4467 §8: not where others might read along.
pub(super) fn was_reset(
    session: &mut Session,
    cmd: Tagged,
    mailbox: Option<&MailboxName>,
) -> Action {
    match mailbox {
        None => session.ok(cmd, None, "all keys removed"),
        Some(_) if session.settings.is_tls => {
            let code = |out: &mut Vec<u8>| out.extend_from_slice(b"URLMECH INTERNAL");
            session.ok_with(cmd, code, "key removed")
        }
        Some(_) => session.ok(cmd, None, "key removed"),
    }
}

/// URLFETCH. RFC 4467 §7, RFC 5524 §3.
///
/// RFC 4467 §7: what is not to be had is NIL, for whatever reason; nobody learns from it what there
/// is. That the URL is fit at all is found here.
pub(super) fn fetch(session: &mut Session, cmd: Tagged, urls: Vec<UrlFetch>) -> Action {
    let urls = urls.into_iter().map(|fetch| {
        let url = ImapUrl::parse(&fetch.url).ok().filter(is_signed);
        UrlFetchOp { fetch, url: url.map(Box::new) }
    });
    let op = Op::UrlFetch { urls: urls.collect(), utf8: session.enabled.utf8() };
    session.perform(cmd, Pending::Plain, op)
}

/// Whether a URL carries what it takes. RFC 4467 §3: `submit+` is for servers that submit mail, of
/// which none logs in here.
fn is_signed(url: &ImapUrl) -> bool {
    let is_owned = url.server.as_ref().is_some_and(|server| server.user.is_some());
    let is_signed = url.auth.as_ref().is_some_and(|auth| {
        let is_internal =
            auth.verifier.as_ref().is_some_and(|verifier| verifier.mechanism == INTERNAL);
        is_internal && !matches!(auth.access, UrlAccess::Submit(_))
    });
    is_owned && is_signed && url.mailbox.is_some()
}
