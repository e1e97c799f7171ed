//! Notices to senders of ours: what became of their messages. RFC 3464.

use mox_base::{Address, DateTime, Domain, Host, Localpart, UnixSeconds};
use mox_config::Config;
use mox_queue::{Kind, NewNotice, Queued};
use mox_reports::dsn::{Action, Dsn, EnvelopeAddress, Form, Original, Recipient, Status, compose};
use mox_smtp::{Mailbox, Reply};

use crate::deliver::{Fault, Remote, reply_lines};
use crate::settle::Verdict;

/// What a notice is about.
pub(crate) struct Subject<'a> {
    pub(crate) message: &'a Queued,
    pub(crate) verdict: &'a Verdict,
    pub(crate) action: Action,
    pub(crate) returned: Returned,
}

/// What of the message goes with it.
pub(crate) struct Returned {
    pub(crate) content: Vec<u8>,
    pub(crate) is_whole: bool,
}

/// Makes a notice for the account of the sender, or for the postmaster if that is gone.
///
/// - `id`: its Message-ID, without angle brackets.
/// - `times`: of the attempt, and now.
pub(crate) fn notice(
    config: &Config,
    subject: &Subject<'_>,
    id: &str,
    boundary: String,
    times: (UnixSeconds, UnixSeconds),
) -> Option<NewNotice> {
    let message = subject.message;
    let to = message.mail_from.mailbox()?.clone();
    let needs_utf8 = message.needs_utf8 || to.localpart.is_international();
    let form = if needs_utf8 { Form::Utf8 } else { Form::Ascii };
    let dsn = dsn(config, subject, &to, (id, boundary), times);
    let composed = match compose(&dsn, form) {
        Ok(composed) => composed,
        Err(error) => {
            tracing::error!(id = message.id.0, %error, "a notice cannot be made");
            return None;
        }
    };
    let mut body = format!("Return-Path: <>\r\nDelivered-To: {to}\r\n").into_bytes();
    body.extend_from_slice(&composed);
    let (account, mailbox, is_seen) = destination(config, message);
    Some(NewNotice { account, mailbox, is_seen, message_id: format!("<{id}>"), body })
}

/// Failures of our own reports are for the postmaster, and no news.
fn destination(config: &Config, message: &Queued) -> (String, String, bool) {
    let postmaster = &config.statics.postmaster;
    let below = |name: &str| {
        let mailbox = format!("{}/{name}", postmaster.mailbox.0);
        (postmaster.account.clone(), mailbox, true)
    };
    match message.kind {
        Kind::DmarcReport => below("dmarc"),
        Kind::TlsReport => below("tlsrpt"),
        Kind::Mail | Kind::Notice if config.account(&message.account).is_some() => {
            (message.account.clone(), "Inbox".to_owned(), false)
        }
        Kind::Mail | Kind::Notice => {
            (postmaster.account.clone(), postmaster.mailbox.0.to_string(), false)
        }
    }
}

fn dsn(
    config: &Config,
    subject: &Subject<'_>,
    to: &Mailbox,
    (id, boundary): (&str, String),
    (start, now): (UnixSeconds, UnixSeconds),
) -> Dsn {
    let message = subject.message;
    let original = Original {
        message_id: message.message_id.clone(),
        subject: message.subject.clone(),
        arrived: message.queued,
        envid: message.envid.clone(),
        future_release: message.release.as_ref().map(|release| release.request.clone()),
        content: subject.returned.content.clone(),
        is_whole: subject.returned.is_whole,
    };
    Dsn {
        reporting_mta: config.hostname().clone(),
        from: postmaster(config.hostname()),
        to: envelope_address(to),
        message_id: id.to_owned(),
        date: DateTime::from_unix(now),
        boundary,
        original,
        recipients: vec![recipient(subject, start)],
    }
}

/// The postmaster of a host. RFC 5321 §4.5.1.
pub(crate) fn postmaster(hostname: &Domain) -> Address {
    #[expect(clippy::expect_used, reason = "it is a localpart")]
    let localpart = Localpart::from_decoded("postmaster").expect("postmaster is a localpart");
    Address { localpart, domain: hostname.clone() }
}

fn envelope_address(mailbox: &Mailbox) -> EnvelopeAddress {
    EnvelopeAddress { localpart: mailbox.localpart.clone(), host: mailbox.host.clone() }
}

fn recipient(subject: &Subject<'_>, start: UnixSeconds) -> Recipient {
    let message = subject.message;
    let nothing = Fault::default();
    let (fault, remote, reply, until) = match subject.verdict {
        Verdict::Delivered { reply, remote, .. } => (&nothing, remote, Some(reply), None),
        Verdict::Delayed { fault, until, .. } => (fault, &fault.remote, None, Some(*until)),
        Verdict::Failed(fault) => (fault, &fault.remote, None, None),
        Verdict::Dropped => (&nothing, &nothing.remote, None, None),
    };
    let lines = |reply: &Reply| reply_lines(reply);
    Recipient {
        rcpt: envelope_address(&message.rcpt_to),
        orcpt: message.orcpt.clone(),
        action: subject.action,
        status: status(subject.action, fault.enhanced),
        explanation: fault.text.clone(),
        reply_lines: reply.map_or_else(|| fault.reply_lines.clone(), lines),
        remote_mta: remote_mta(remote, &message.rcpt_to.host),
        last_attempt: Some(start),
        will_retry_until: until,
    }
}

fn remote_mta(remote: &Remote, host: &Host) -> Option<(String, Option<std::net::IpAddr>)> {
    let name = remote.host.clone().or_else(|| remote.ip.map(|_| host.ascii()));
    name.map(|name| (name, remote.ip))
}

/// The class says what became of the message, whatever the last reply said. RFC 3463 §3.1.
fn status(action: Action, enhanced: Option<(u8, u16, u16)>) -> Status {
    let class = match action {
        Action::Failed => 5,
        Action::Delayed => 4,
        Action::Delivered | Action::Relayed | Action::Expanded => 2,
    };
    let (subject, detail) = enhanced.map_or((0, 0), |(_, subject, detail)| (subject, detail));
    Status { class, subject, detail }
}
