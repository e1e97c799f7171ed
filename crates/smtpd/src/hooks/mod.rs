//! What else is done with mail that came in from outside, once it is stored: calls to the programs of
//! its account, and notes in the history of messages that left.
//!
//! All of it is on disk before the sender is told that its message was taken, but after the message is:
//! a crash between the two loses a call, and never mail. That something of this fails is no business
//! of the sender either.

mod incoming;
mod late;

use std::collections::HashSet;
use std::io;
use std::sync::Arc;

use mox_base::{Host, UnixSeconds};
use mox_config::{Account, Config};
use mox_mailauth::{dkim, spf};
use mox_mime::{Limits, Message, first_field};
use mox_net::blocking;
use mox_queue::{Kind, MessageId, NewHook, Queue, QueueError, Retired};
use mox_reportdb::{ReportDb, ReportDbError};
use mox_smtp::ReversePath;
use mox_smtp::submission::chosen_from_id;

use crate::decision::mail_from_text;
use crate::facts::Facts;
use crate::post::{Judged, Postmark, Stored};
use crate::routing::Copy;
use crate::spool::Spool;
pub use incoming::HOOK_TEXT_BYTES_MAX;
use incoming::{Content, Meta, Payload, is_automated, time};
use late::Report;

/// Bytes of calls that are added at a time: each copy has its own.
const BATCH_BYTES: usize = 4 << 20;

/// Why calls were not added.
#[derive(Debug, thiserror::Error)]
enum HookError {
    #[error("read message")]
    Read(#[from] io::Error),
    #[error("queue database")]
    Queue(#[from] QueueError),
    #[error("database of reports")]
    Reports(#[from] ReportDbError),
    #[error("write payload")]
    Payload(#[from] serde_json::Error),
}

/// A copy that was stored.
struct Arrival {
    account: Arc<str>,
    id: i64,
    rcpt_to: String,
    mailbox: String,
    /// What may be the token of a message that left. See [`chosen_from_id`].
    token: Option<String>,
    calls: bool,
}

/// A message that was stored, with what is to be told of it.
struct Work {
    queue: Queue,
    reports: ReportDb,
    config: Arc<Config>,
    header: Vec<u8>,
    arrivals: Vec<Arrival>,
    mail_from: String,
    mail_from_validated: bool,
    msg_from_validated: bool,
    dkim_verified_domains: Vec<String>,
    remote_ip: String,
    now: UnixSeconds,
}

/// How long calls of an account are kept, in seconds.
fn keep_secs(account: &Account) -> i64 {
    i64::try_from(account.keep_retired_webhook_period.0.as_secs()).unwrap_or(i64::MAX)
}

/// Makes calls of a message that was stored, and looks whether it is about one that left.
///
/// - `stored`: what became of each copy.
pub(crate) async fn follow_up(
    post: &Postmark<'_>,
    config: &Arc<Config>,
    copies: &[Judged<'_>],
    stored: &[Stored],
    header: &[u8],
    mut spool: Spool,
) -> Spool {
    let facts = post.facts;
    let may_be_report = may_be_report(header);
    let arrivals = copies.iter().zip(stored).filter_map(|(judged, stored)| {
        let id = stored.as_ref().ok()?.messages.first()?.0;
        let arrival = arrival(config, judged, id)?;
        (arrival.calls || arrival.token.is_some() || may_be_report).then_some(arrival)
    });
    let arrivals: Vec<_> = arrivals.collect();
    if arrivals.is_empty() {
        return spool;
    }
    let cid = post.connection.cid;
    let reverse_path = &post.envelope.mail.reverse_path;
    let work = Work {
        queue: post.connection.smtpd.services.queue.clone(),
        reports: post.connection.smtpd.services.reports.clone(),
        config: Arc::clone(config),
        header: header.to_vec(),
        arrivals,
        mail_from: mail_from_text(reverse_path),
        mail_from_validated: *reverse_path != ReversePath::Null
            && facts.spf.status == spf::Status::Pass,
        msg_from_validated: facts.author_validation().is_validated(),
        dkim_verified_domains: verified_domains(facts),
        remote_ip: post.connection.conn.peer_ip().to_string(),
        now: post.now,
    };
    blocking(move || {
        if let Err(error) = work.run(&mut spool) {
            tracing::error!(cid, %error, source = ?std::error::Error::source(&error), "webhooks");
        }
        spool
    })
    .await
}

/// A copy that somebody may hear of; not one that was put with the rejects.
fn arrival(config: &Config, (copy, judgement): &Judged<'_>, id: i64) -> Option<Arrival> {
    let decided = judgement.decided.as_ref();
    if decided.is_some_and(|decided| decided.verdict.marks.is_reject) {
        return None;
    }
    let account = config.account(&copy.account)?;
    Some(Arrival {
        account: Arc::clone(&copy.account),
        id,
        rcpt_to: copy.rcpt.mailbox().unwrap_or(&copy.address).to_string(),
        mailbox: judgement.mailbox.to_string(),
        token: token(config, copy),
        calls: account.incoming_webhook.is_some(),
    })
}

fn token(config: &Config, copy: &Copy) -> Option<String> {
    let mailbox = copy.rcpt.mailbox()?;
    let Host::Domain(domain) = &mailbox.host else { return None };
    chosen_from_id(&mailbox.localpart, config.separator(domain)?).map(str::to_owned)
}

/// RFC 6522 §3.
fn may_be_report(header: &[u8]) -> bool {
    let kind = first_field(header, "Content-Type").unwrap_or_default().to_ascii_lowercase();
    kind.windows(b"/report".len()).any(|window| window == b"/report")
}

fn verified_domains(facts: &Facts) -> Vec<String> {
    let passed = facts.dkim.iter().flatten().filter(|one| one.status == dkim::Status::Pass);
    let signatures = passed.filter_map(|one| one.signature.as_ref());
    let mut domains: Vec<_> = signatures.map(|one| one.domain.ascii().to_owned()).collect();
    let mut seen = HashSet::new();
    domains.retain(|domain| seen.insert(domain.clone()));
    domains
}

impl Work {
    /// Blocks.
    fn run(&self, spool: &mut Spool) -> Result<(), HookError> {
        let message = mox_mime::parse(spool.reader()?, &Limits::default())?;
        let left = self.tell_of_sent(spool, &message)?;
        if left.is_empty() {
            return Ok(());
        }
        let content = Content::read(spool.reader()?, &message, &self.header)?;
        let has_null_sender = self.mail_from.is_empty();
        let automated = is_automated(has_null_sender, &message.root, &self.header);
        let (mut batch, mut bytes) = (Vec::new(), 0);
        for arrival in left {
            let Some(hook) = self.incoming(arrival, &content, automated)? else { continue };
            bytes += hook.payload.len();
            batch.push(hook);
            if bytes >= BATCH_BYTES {
                self.queue.add_hooks(std::mem::take(&mut batch), self.now).wait()?;
                bytes = 0;
            }
        }
        if !batch.is_empty() {
            self.queue.add_hooks(batch, self.now).wait()?;
        }
        Ok(())
    }

    /// Writes down what the message tells of others that left. Returns the copies of which their
    /// accounts are still to be told.
    fn tell_of_sent(
        &self,
        spool: &mut Spool,
        message: &Message,
    ) -> Result<Vec<&Arrival>, HookError> {
        let report = Report::read(spool.reader()?, message, self.mail_from.is_empty());
        let mut told: HashSet<MessageId> = HashSet::new();
        let mut left = Vec::new();
        for arrival in &self.arrivals {
            let (found, is_secret) = self.find(&report, arrival)?;
            let mut has_hook = false;
            if let Some(found) = found {
                let sender = self.config.account(&found.message.account);
                has_hook = sender.is_some_and(|account| account.outgoing_webhook.is_some());
                if told.insert(found.message.id) {
                    let (queue, now) = (&self.queue, self.now);
                    let late = report.settle(queue, &self.config, &found, is_secret, now)?;
                    queue.settle_late(late, now).wait()?;
                    if let Some(why) = report.failure() {
                        self.suppress(&found, why)?;
                    }
                    tracing::info!(id = %found.message.id, "report about a message that was sent");
                }
            }
            if arrival.calls && !has_hook {
                left.push(arrival);
            }
        }
        Ok(left)
    }

    /// Sends no more reports of ours to where one failed. Only those who got it know its Message-ID.
    fn suppress(&self, found: &Retired, why: &str) -> Result<(), HookError> {
        let message = &found.message;
        if matches!(message.kind, Kind::DmarcReport | Kind::TlsReport) {
            let address = message.rcpt_to.to_string();
            self.reports.suppress_after_failure(&address, why, self.now)?;
        }
        Ok(())
    }

    /// The message that left which this copy is about, and whether only its recipient can have known
    /// where to write.
    fn find(
        &self,
        report: &Report,
        arrival: &Arrival,
    ) -> Result<(Option<Retired>, bool), QueueError> {
        if let Some(token) = &arrival.token
            && let Some(found) = self.queue.retired_by_from_id(token)?
        {
            return Ok((Some(found), true));
        }
        Ok((report.find(&self.queue, &arrival.account)?, false))
    }

    fn incoming(
        &self,
        arrival: &Arrival,
        content: &Content,
        automated: bool,
    ) -> Result<Option<NewHook>, HookError> {
        let Some(account) = self.config.account(&arrival.account) else { return Ok(None) };
        let Some(hook) = &account.incoming_webhook else { return Ok(None) };
        let meta = Meta {
            id: arrival.id,
            mail_from: &self.mail_from,
            mail_from_validated: self.mail_from_validated,
            msg_from_validated: self.msg_from_validated,
            rcpt_to: arrival.rcpt_to.clone(),
            dkim_verified_domains: &self.dkim_verified_domains,
            remote_ip: self.remote_ip.clone(),
            received: time(self.now),
            mailbox_name: &arrival.mailbox,
            automated,
        };
        Ok(Some(NewHook {
            message_id: content.message_id.clone(),
            subject: content.subject.clone(),
            account: arrival.account.to_string(),
            url: hook.url.clone(),
            authorization: hook.authorization.clone(),
            payload: serde_json::to_string(&Payload { content, meta })?,
            keep_secs: keep_secs(account),
            ..NewHook::default()
        }))
    }
}
