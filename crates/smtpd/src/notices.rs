//! Notices by mail to who sent a message of what became of it. RFC 5321 §6.1, RFC 3461 §5.2.3.
//!
//! A client is told with one reply what became of its message for all recipients. Where some have it and
//! others do not, the reply says that it was taken, and whoever sent it hears of the others by mail.
//!
//! A sender may also ask to hear of what was delivered, by NOTIFY=SUCCESS. RFC 3461 §4.1.
//!
//! Invariant: nobody gets a notice whose address was not proven: with more than one recipient, SPF has
//! passed for the sender, and of what was delivered only those are told for whom it has.

use std::sync::Arc;

use mox_base::{Address, DateTime, Domain, Localpart, UnixSeconds};
use mox_config::Config;
use mox_mime::{ComposeError, random_boundary, random_message_id};
use mox_net::blocking;
use mox_queue::{Body, Kind, NewMessage, NewRecipient, Queue, QueueError};
use mox_reports::dsn::{Action, Dsn, EnvelopeAddress, Form, Original, Recipient, Status, compose};
use mox_signing::SigningKeys;
use mox_smtp::command::RcptCommand;
use mox_smtp::server::{DataRefusal, Service};
use mox_smtp::{ForwardPath, Mailbox, Notify, Reply, ReversePath};

use crate::delivery::Outcome;
use crate::header;
use crate::post::Postmark;

/// Whom notices are from, at the domain of the recipient. RFC 5321 §4.5.1.
const POSTMASTER: &str = "postmaster";

/// Why a notice was not queued.
#[derive(Debug, thiserror::Error)]
enum NoticeError {
    #[error("compose notice: {0}")]
    Compose(ComposeError),
    #[error("queue notice")]
    Queue(#[from] QueueError),
}

/// Queues one notice of all recipients for which the message was refused, if others have it, and of
/// those that have it if the sender wants to know; waits until it is on disk.
///
/// If that fails it is too late to refuse the message, which some have: it is for the log.
pub(crate) async fn tell(
    post: &Postmark<'_>,
    config: &Arc<Config>,
    header: &[u8],
    results: &[Outcome],
) {
    let is_mixed = results.iter().any(Result::is_ok);
    let mut told = if is_mixed { failures(post, results) } else { Vec::new() };
    told.extend(deliveries(post, results));
    let services = &post.connection.smtpd.services;
    // A localserve has nobody to tell.
    if told.is_empty() || services.is_localserve {
        return;
    }
    let cid = post.connection.cid;
    let Some(notice) = notice(post, config, header, told) else { return };
    let (queue, keys) = (services.queue.clone(), Arc::clone(&services.signing));
    let (now, to) = (post.now, notice.to.clone());
    let queued = match blocking(move || notice.queue(&queue, &keys)).await {
        Ok(message) => services.queue.add(message, now).await.map_err(NoticeError::from),
        Err(error) => Err(error),
    };
    match queued {
        Ok(_) => tracing::info!(cid, %to, "sender is told by mail"),
        Err(error) => tracing::error!(cid, %to, %error, "sender not told by mail"),
    }
}

/// What went wrong for those recipients of which the sender wants to hear that. RFC 3461 §4.1.
fn failures(post: &Postmark<'_>, results: &[Outcome]) -> Vec<Recipient> {
    let is_wanted = |rcpt: &RcptCommand| rcpt.notify.is_none_or(Notify::is_on_failure);
    let pairs = post.envelope.rcpts.iter().zip(results);
    let failed = pairs.filter_map(|(rcpt, result)| Some((rcpt, result.as_ref().err()?)));
    let failed = failed.filter(|(rcpt, _)| is_wanted(rcpt));
    failed.map(|(rcpt, refusal)| recipient(post, rcpt, refusal)).collect()
}

/// Those recipients that have the message, of which the sender wants to hear that.
///
/// Deviation: RFC 3461 §4.1 wants the notice for every sender. Who cannot show by SPF that the address is
/// theirs gets none: else anybody could have us write to anybody.
fn deliveries(post: &Postmark<'_>, results: &[Outcome]) -> Vec<Recipient> {
    if !post.facts.has_proven_sender() {
        return Vec::new();
    }
    let is_wanted = |rcpt: &RcptCommand| rcpt.notify.is_some_and(Notify::is_on_success);
    let pairs = post.envelope.rcpts.iter().zip(results);
    let delivered = pairs.filter(|(rcpt, result)| result.is_ok() && is_wanted(rcpt));
    delivered
        .map(|(rcpt, _)| Recipient {
            action: Action::Delivered,
            // RFC 3463 §3.2.
            status: Status { class: 2, subject: 1, detail: 5 },
            explanation: String::new(),
            ..recipient(post, rcpt, &DataRefusal::Unavailable)
        })
        .collect()
}

fn recipient(post: &Postmark<'_>, rcpt: &RcptCommand, refusal: &DataRefusal) -> Recipient {
    let reply = Reply::from(refusal);
    let enhanced = reply.enhanced.map_or((0, 0), |enhanced| (enhanced.subject, enhanced.detail));
    let class = if reply.is_permanent() { 5 } else { 4 };
    Recipient {
        rcpt: address(&rcpt.forward_path, &post.connection.port.hostname),
        orcpt: rcpt.orcpt.clone(),
        action: Action::Failed,
        status: Status { class, subject: enhanced.0, detail: enhanced.1 },
        explanation: reply.text,
        reply_lines: Vec::new(),
        remote_mta: None,
        last_attempt: Some(post.now),
        will_retry_until: None,
    }
}

/// The address of a recipient: `<postmaster>` is at this host. RFC 5321 §4.5.1.
fn address(path: &ForwardPath, hostname: &Domain) -> EnvelopeAddress {
    match path.mailbox() {
        Some(Mailbox { localpart, host }) => {
            EnvelopeAddress { localpart: localpart.clone(), host: host.clone() }
        }
        None => Address { localpart: postmaster(), domain: hostname.clone() }.into(),
    }
}

fn postmaster() -> Localpart {
    Localpart::from_decoded(POSTMASTER).unwrap_or_default()
}

/// A notice to be queued.
struct Notice {
    dsn: Dsn,
    to: Mailbox,
    config: Arc<Config>,
    now: UnixSeconds,
    needs_utf8: bool,
    requires_tls: bool,
}

fn notice(
    post: &Postmark<'_>,
    config: &Arc<Config>,
    header: &[u8],
    recipients: Vec<Recipient>,
) -> Option<Notice> {
    let (connection, mail) = (post.connection, &post.envelope.mail);
    let to = mail.reverse_path.mailbox().filter(|_| connection.port.kind == Service::Delivery)?;
    let hostname = &connection.port.hostname;
    let domain = recipients.first()?.rcpt.host.domain().unwrap_or(hostname).clone();
    let rng = &*connection.smtpd.services.rng;
    let dsn = Dsn {
        reporting_mta: hostname.clone(),
        from: Address { localpart: postmaster(), domain },
        to: EnvelopeAddress { localpart: to.localpart.clone(), host: to.host.clone() },
        message_id: random_message_id(rng, hostname),
        date: DateTime::from_unix(post.now),
        boundary: random_boundary(rng),
        original: Original {
            message_id: header::bracketed_id(header),
            subject: header::subject(header),
            arrived: post.now,
            envid: mail.envid.clone(),
            future_release: None,
            content: header.to_vec(),
            is_whole: false,
        },
        recipients,
    };
    let (to, config, requires_tls) = (to.clone(), Arc::clone(config), mail.requires_tls);
    let (now, needs_utf8) = (post.now, post.needs_utf8);
    Some(Notice { dsn, to, config, now, needs_utf8, requires_tls })
}

impl Notice {
    /// Composes, signs and stages it: in ASCII, and in UTF-8 if the message had that. To an address that
    /// is not ASCII only the latter can go. RFC 6533 §4. Blocks.
    fn queue(self, queue: &Queue, keys: &SigningKeys) -> Result<NewMessage, NoticeError> {
        let stage = |form| -> Result<Body, NoticeError> {
            let message = compose(&self.dsn, form).map_err(NoticeError::Compose)?;
            let signed = [self.signatures(keys, &message).as_bytes(), &message].concat();
            Ok(queue.stage(&mut signed.as_slice())?)
        };
        let needs_utf8 = self.to.localpart.is_international();
        let body = stage(if needs_utf8 { Form::Utf8 } else { Form::Ascii })?;
        let has_other = self.needs_utf8 && !needs_utf8;
        let utf8_body = has_other.then(|| stage(Form::Utf8)).transpose()?;
        let original = &self.dsn.original;
        let account = &self.config.statics.postmaster.account;
        let mut message = NewMessage::new(account, body);
        message.utf8_body = utf8_body;
        (message.has_8bit, message.needs_utf8) = (needs_utf8, needs_utf8);
        message.message_id = format!("<{}>", self.dsn.message_id);
        let has_failed = |one: &Recipient| one.action == Action::Failed;
        let is_bad = self.dsn.recipients.iter().any(has_failed);
        let subject = if is_bad { "notice of failures" } else { "notice of delivery" };
        message.subject = format!("{subject}: {}", original.subject);
        // RFC 8689 §5: a notice may show as much as the message.
        message.require_tls = self.requires_tls.then_some(true);
        message.kind = Kind::Notice;
        message.recipients = vec![NewRecipient::new(ReversePath::Null, self.to)];
        Ok(message)
    }

    /// What fails is for the log: without signatures a notice arrives in most places.
    fn signatures(&self, keys: &SigningKeys, message: &[u8]) -> String {
        let from = &self.dsn.from;
        let signed = keys.nearest(&self.config, &from.domain).and_then(|keys| match keys {
            Some(keys) => keys.sign(&self.config, from, message, self.now),
            None => Ok(String::new()),
        });
        signed.unwrap_or_else(|error| {
            tracing::error!(domain = %from.domain, %error, "notice not signed");
            String::new()
        })
    }
}
