//! Messages that came to tell what became of one that left: matched to it, and written into the
//! history. RFC 3464 §2.
//!
//! A report to the address that was made for one recipient is believed: nobody else knows the
//! address. One that names a message by its ENVID or Message-ID, which all its readers know, must have
//! come to the account that sent it, with the null sender, about its recipient; and puts nobody on the
//! suppression list.

use std::io::{self, Read, Seek};

use mox_base::UnixSeconds;
use mox_config::Config;
use mox_mime::{Message, PartAt};
use mox_queue::{
    Attempt, Failure, HookTarget, LateResult, NewHook, OutgoingEvent, Queue, QueueError, Queued,
    Retired, Told,
};
use mox_reports::dsn::{self, Action, DsnError, ParsedDsn, ParsedRecipient, Status};

use crate::header;

/// How much of a returned header is looked at, in bytes.
const RETURNED_HEADER_BYTES_MAX: u64 = 64 << 10;

/// What a message says of another one.
pub(super) struct Report {
    dsn: Result<ParsedDsn, DsnError>,
    /// Message-ID of the message that was returned, as it is.
    message_id: String,
    has_null_sender: bool,
}

impl Report {
    /// Reads what there is to read; a message that is no report says nothing.
    pub(super) fn read<R: Read + Seek>(
        reader: &mut R,
        message: &Message,
        has_null_sender: bool,
    ) -> Self {
        let message_id = returned_id(reader, message).unwrap_or_default();
        Self { dsn: dsn::parse(reader), message_id, has_null_sender }
    }

    fn is_dsn(&self) -> bool {
        !matches!(self.dsn, Err(DsnError::NotADsn))
    }

    /// The one recipient that it is about.
    fn recipient(&self) -> Option<&ParsedRecipient> {
        match self.dsn.as_ref().ok()?.recipients.as_slice() {
            [only] => Some(only),
            _ => None,
        }
    }

    /// What went wrong, if the message failed for good.
    pub(super) fn failure(&self) -> Option<&str> {
        let rcpt = self.recipient().filter(|rcpt| rcpt.action == Action::Failed)?;
        Some(&rcpt.text)
    }

    /// The message that it is about, by what it names: ENVID, then Message-ID. RFC 3461 §4.4.
    ///
    /// - `account`: whose message it must be.
    pub(super) fn find(&self, queue: &Queue, account: &str) -> Result<Option<Retired>, QueueError> {
        let (Ok(dsn), Some(rcpt)) = (&self.dsn, self.recipient()) else { return Ok(None) };
        if !self.has_null_sender {
            return Ok(None);
        }
        let is_it = |found: &Retired| {
            let reported = rcpt.original_rcpt.as_deref().unwrap_or(&rcpt.final_rcpt);
            found.message.account == account && is_recipient(&found.message, reported)
        };
        if let Some(envid) = &dsn.envid
            && let Some(found) = queue.retired_by_envid(envid)?.into_iter().find(is_it)
        {
            return Ok(Some(found));
        }
        if self.message_id.is_empty() {
            return Ok(None);
        }
        Ok(queue.retired_by_message_id(&self.message_id)?.into_iter().find(is_it))
    }

    /// What is to be written down about a message.
    ///
    /// - `is_secret`: it came to the address that was made for the message.
    pub(super) fn settle(
        &self,
        queue: &Queue,
        config: &Config,
        found: &Retired,
        is_secret: bool,
        now: UnixSeconds,
    ) -> Result<LateResult, QueueError> {
        let message = &found.message;
        let Some(rcpt) = self.recipient() else {
            let event = OutgoingEvent::Unrecognized;
            let told = Told { is_dsn: self.is_dsn(), ..Told::event(event) };
            let hook = hook(config, message, &told, now);
            return Ok(LateResult {
                id: message.id,
                result: None,
                is_success: None,
                suppress: None,
                hook,
            });
        };
        let (code, enhanced) = codes(rcpt);
        let has_failed = rcpt.action == Action::Failed;
        let suppresses =
            has_failed && is_secret && queue.would_suppress_late(message, code, enhanced)?;
        let told = Told {
            event: event(rcpt.action),
            is_dsn: true,
            is_suppressing: suppresses,
            code,
            enhanced,
            error: if is_success(rcpt.action) == Some(true) { "" } else { &rcpt.text },
        };
        let failure = Failure { code, enhanced, text: rcpt.text.clone(), ..Failure::default() };
        let result = Attempt {
            start: now.0,
            is_success: is_success(rcpt.action) == Some(true),
            code,
            enhanced,
            text: format!("report, {}: {}", rcpt.action.as_str(), rcpt.text),
            remote_mta: rcpt.remote_mta.clone(),
            ..Attempt::default()
        };
        Ok(LateResult {
            id: message.id,
            result: Some(result),
            is_success: is_success(rcpt.action),
            suppress: suppresses.then_some(failure),
            hook: hook(config, message, &told, now),
        })
    }
}

/// Whether a report means the recipient of a message by this: the address with its domain in either form
/// (RFC 5890 §2.3.2.1), or what its sender called it in ORCPT, which servers hand on (RFC 3461 §4.2).
fn is_recipient(message: &Queued, reported: &str) -> bool {
    let orcpt = message.orcpt.as_deref().and_then(|orcpt| orcpt.split_once(';'));
    let is_it = |name: &str| name.eq_ignore_ascii_case(reported);
    is_it(&message.rcpt_to.to_ascii_domain())
        || is_it(&message.rcpt_to.to_string())
        || orcpt.is_some_and(|(_, name)| is_it(name))
}

/// The call about a message of an account, if it wants one.
fn hook(config: &Config, message: &Queued, told: &Told<'_>, now: UnixSeconds) -> Option<NewHook> {
    let account = config.account(&message.account)?;
    let hook = account.outgoing_webhook_for(told.event.as_str())?;
    let target = HookTarget {
        url: hook.url.clone(),
        authorization: hook.authorization.clone(),
        keep_secs: super::keep_secs(account),
    };
    Some(NewHook::outgoing(message, &target, told, now))
}

const fn event(action: Action) -> OutgoingEvent {
    match action {
        Action::Failed => OutgoingEvent::Failed,
        Action::Delayed => OutgoingEvent::Delayed,
        Action::Delivered => OutgoingEvent::Delivered,
        Action::Relayed => OutgoingEvent::Relayed,
        Action::Expanded => OutgoingEvent::Expanded,
    }
}

/// Whether the message was delivered, as far as is known then.
const fn is_success(action: Action) -> Option<bool> {
    match action {
        Action::Failed => Some(false),
        Action::Delayed => None,
        Action::Delivered | Action::Relayed | Action::Expanded => Some(true),
    }
}

/// The codes of `Diagnostic-Code`, else what `Status` says. RFC 3464 §2.3.4, §2.3.6.
fn codes(rcpt: &ParsedRecipient) -> (Option<u16>, Option<(u8, u16, u16)>) {
    let status = rcpt.status;
    let of_class = || match status.class {
        4 => Some(400),
        5 => Some(500),
        _ => None,
    };
    let code = rcpt.code.or_else(of_class);
    let is_same_class = code.is_none_or(|code| code / 100 == u16::from(status.class));
    let enhanced = rcpt.enhanced.or_else(|| is_same_class.then_some(status));
    (code, enhanced.map(|Status { class, subject, detail }| (class, subject, detail)))
}

/// The Message-ID in the third part of a report. RFC 6522 §3.
fn returned_id<R: Read + Seek>(reader: &mut R, message: &Message) -> io::Result<String> {
    if !message.root.is("MULTIPART", "REPORT") {
        return Ok(String::new());
    }
    let Some(part) = message.root.parts.get(2) else { return Ok(String::new()) };
    let mut section = Vec::new();
    let decoded = PartAt::root(message).child(part).open_decoded(reader)?;
    decoded.take(RETURNED_HEADER_BYTES_MAX).read_to_end(&mut section)?;
    reader.rewind()?;
    Ok(header::bracketed_id(&section))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(
        code: Option<u16>,
        enhanced: Option<&str>,
        status: &str,
        want: (Option<u16>, Option<(u8, u16, u16)>),
    ) {
        let rcpt = ParsedRecipient {
            original_rcpt: None,
            final_rcpt: "a@x.example".into(),
            action: Action::Failed,
            status: Status::parse(status).unwrap(),
            code,
            enhanced: enhanced.and_then(Status::parse),
            text: String::new(),
            remote_mta: None,
        };
        assert_eq!(codes(&rcpt), want);
    }

    /// RFC 3464 §2.3.4, §2.3.6.
    #[test]
    fn codes_are_those_of_the_server_or_made_of_the_status() {
        check(Some(550), Some("5.1.1"), "5.0.0", (Some(550), Some((5, 1, 1))));
        check(Some(550), None, "5.1.1", (Some(550), Some((5, 1, 1))));
        check(None, None, "5.2.1", (Some(500), Some((5, 2, 1))));
        check(None, None, "4.4.1", (Some(400), Some((4, 4, 1))));
        check(None, None, "2.0.0", (None, Some((2, 0, 0))));
        // A status of another class says nothing of the reply.
        check(Some(550), None, "4.4.7", (Some(550), None));
    }
}
