//! Submitted messages: checked, made complete, signed, and put into the queue for all their recipients
//! at once. RFC 6409 §6, §8.
//!
//! Invariant: the answer is 250 only after the queue has committed the message; else nobody gets it.

mod envelope;
mod order;
mod sign;

use std::sync::Arc;

use mox_base::{Address, DateTime, Host, Localpart, UnixSeconds};
use mox_config::{Config, LookupError};
use mox_mailauth::results::{AuthenticationResults, Method, Property};
use mox_mime::HEADER_BYTES_MAX;
use mox_net::blocking;
use mox_queue::{NewRecipient, QueueError, Release, SendingLimits};
use mox_smtp::command::Body;
use mox_smtp::server::{DataRefusal, Envelope, FutureRelease};
use mox_smtp::submission::{HeaderFacts, SubmissionError, check_header, extra, missing_fields};
use mox_smtp::{DataReport, ForwardPath, Mailbox};

use crate::connection::Connection;
use crate::delivery::Message;
use crate::{header, post};
use order::{Order, Prefix, Terms};

/// A submitted message with what it was sent with.
pub(crate) struct Submission<'a> {
    pub(crate) config: &'a Arc<Config>,
    pub(crate) envelope: &'a Envelope,
    pub(crate) report: &'a DataReport,
    /// The error that a recipient asks for, on a server for developers. All have it.
    pub(crate) simulated: Option<u16>,
    pub(crate) now: UnixSeconds,
}

/// Checks a message and queues it for all its recipients, those here too: between accounts of one server
/// mail is judged as between servers.
pub(crate) async fn submit(
    connection: &Connection,
    submission: Submission<'_>,
    message: Message,
) -> Result<(), DataRefusal> {
    if let Some(code) = submission.simulated {
        return Err(DataRefusal::Simulated(code));
    }
    let services = &connection.smtpd.services;
    let order = submission.order(connection, message)?;
    let (queue, keys) = (services.queue.clone(), Arc::clone(&services.signing));
    // One step for all that blocks or computes: a signature by RSA takes a millisecond.
    let queued = blocking(move || order.queue(&queue, &keys)).await;
    let (cid, rcpts) = (connection.cid, submission.envelope.rcpts.len());
    let queued = match queued {
        Ok(pending) => pending.await,
        Err(error) => Err(error),
    };
    match queued {
        Ok(ids) => {
            let first = ids.first().map(ToString::to_string).unwrap_or_default();
            tracing::info!(cid, rcpts, %first, "message queued");
            Ok(())
        }
        Err(error) => Err(refused(cid, &error)),
    }
}

/// What the client is told of a message that was not queued.
fn refused(cid: u64, error: &QueueError) -> DataRefusal {
    let refusal = match error {
        QueueError::FromIdTaken => SubmissionError::FromIdTaken,
        QueueError::MessagesPerDay => SubmissionError::MessagesPerDay,
        QueueError::FirstTimeRcptsPerDay => SubmissionError::FirstTimeRcptsPerDay,
        QueueError::DiskFull => {
            tracing::error!(cid, %error, "queueing a message");
            return DataRefusal::StorageFull;
        }
        error => {
            tracing::error!(cid, %error, "queueing a message");
            return DataRefusal::Unavailable;
        }
    };
    tracing::info!(cid, %error, "message not queued");
    DataRefusal::Submission(refusal)
}

impl Submission<'_> {
    /// All that is to be queued, checked as far as that takes no waiting.
    fn order(&self, connection: &Connection, message: Message) -> Result<Order, DataRefusal> {
        let refused = DataRefusal::Submission;
        let Self { config, report, now, .. } = *self;
        let header_bytes = report.header_bytes.filter(|bytes| *bytes <= HEADER_BYTES_MAX as u64);
        let header_bytes = header_bytes.ok_or_else(|| refused(SubmissionError::Malformed))?;
        let Message { spool, header, needs_utf8, .. } = message;
        let services = &connection.smtpd.services;
        let account = connection.account.as_deref().unwrap_or_default();
        let facts = header::facts(&header);
        let author = check_header(&facts, services.is_pedantic).map_err(refused)?;
        self.check_author(account, author)?;
        let terms = self.terms(connection, account, &facts, needs_utf8)?;
        let mut random = [0; 16];
        services.rng.fill(&mut random);
        let hostname = &connection.port.hostname;
        let added = missing_fields(&facts, hostname, random, DateTime::from_unix(now));
        let rcpt = match self.envelope.rcpts.as_slice() {
            [only] => Some(&only.forward_path),
            _ => None,
        };
        let prefix = Prefix {
            received: post::received(connection, self.envelope, None, needs_utf8, rcpt, now),
            added,
            results: self.results(hostname.ascii(), needs_utf8),
        };
        let header = header::without_bcc(&header).unwrap_or(header);
        let (author, config) = (author.clone(), Arc::clone(config));
        Ok(Order {
            cid: connection.cid,
            spool,
            header_bytes,
            header,
            prefix,
            author,
            config,
            now,
            terms,
        })
    }

    /// Whether the account may write in the name of the author. Aliases are asked too.
    fn check_author(&self, account: &str, author: &Address) -> Result<(), DataRefusal> {
        match self.config.account_may_send_as(account, author) {
            Ok(true) => Ok(()),
            Ok(false) => Err(DataRefusal::Submission(SubmissionError::FromNotYours)),
            Err(LookupError::DomainDisabled) => {
                Err(DataRefusal::Submission(SubmissionError::FromDomainDisabled))
            }
            Err(_) => Err(DataRefusal::Unavailable),
        }
    }

    /// To whom, from whom, and what the sender wants done.
    fn terms(
        &self,
        connection: &Connection,
        account: &str,
        facts: &HeaderFacts,
        needs_utf8: bool,
    ) -> Result<Terms, DataRefusal> {
        let refused = DataRefusal::Submission;
        let (services, config, envelope) = (&connection.smtpd.services, self.config, self.envelope);
        let path = &envelope.mail.reverse_path;
        let username = envelope.username.as_deref();
        let (count, rng) = (envelope.rcpts.len(), &*services.rng);
        let senders = envelope::senders(config, account, username, path, count, rng);
        let senders = senders.map_err(refused)?;
        let recipients = envelope.rcpts.iter().zip(senders).map(|(rcpt, (mail_from, from_id))| {
            let rcpt_to = mailbox(&rcpt.forward_path, config);
            let (notify, orcpt) = (rcpt.notify, rcpt.orcpt.clone());
            NewRecipient { mail_from, rcpt_to, from_id, notify, orcpt }
        });
        // Deviation: the specification limits sending in every mode. What is sent by a localserve goes
        // nowhere, and programs that are tested send much.
        let limits = config.account(account).filter(|_| !services.is_localserve);
        let limits = limits.map(|settings| SendingLimits {
            messages_per_day: settings.outgoing_messages_per_day(),
            first_time_rcpts_per_day: settings.first_time_recipients_per_day(),
        });
        let mail = &envelope.mail;
        let release = envelope.release.clone();
        Ok(Terms {
            account: account.to_owned(),
            recipients: recipients.collect(),
            has_8bit: self.report.has_8bit,
            is_binary: mail.body == Some(Body::BinaryMime),
            needs_utf8,
            // REQUIRETLS undoes TLS-Required. RFC 8689 §4.1.
            require_tls: if mail.requires_tls {
                Some(true)
            } else {
                facts.waives_tls().then_some(false)
            },
            ret: mail.ret,
            envid: mail.envid.clone(),
            priority: envelope.priority,
            release: release.map(|FutureRelease { at, request }| Release { at, request }),
            extra: extra(&facts.extra).map_err(refused)?,
            limits,
        })
    }

    /// That the client was logged in. RFC 8601 §2.7.4.
    fn results(&self, hostname: &str, needs_utf8: bool) -> String {
        let property = |mailbox: &Mailbox| Property {
            ptype: "smtp".into(),
            name: "mailfrom".into(),
            value: mailbox.to_ascii_domain(),
            unicode: None,
        };
        let properties = self.envelope.mail.reverse_path.mailbox().map(property);
        let method = Method {
            name: "auth".into(),
            result: "pass".into(),
            properties: properties.into_iter().collect(),
            ..Method::default()
        };
        let authserv_id = hostname.to_owned();
        AuthenticationResults { authserv_id, methods: vec![method] }.field(needs_utf8)
    }
}

/// The address of a recipient: `<postmaster>` is at this host. RFC 5321 §4.5.1.
fn mailbox(rcpt: &ForwardPath, config: &Config) -> Mailbox {
    rcpt.mailbox().cloned().unwrap_or_else(|| Mailbox {
        localpart: Localpart::from_decoded(rcpt.localpart()).unwrap_or_default(),
        host: Host::Domain(config.hostname().clone()),
    })
}
