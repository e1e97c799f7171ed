//! What becomes of a message whose data is complete: checked, decided upon, and put into the
//! accounts of its recipients.

use std::io;
use std::sync::Arc;

use mox_base::{Address, DateTime, Flags, MailboxName, UnixSeconds};
use mox_config::{Config, LookupError};
use mox_mime::{HEADER_BYTES_MAX, Limits};
use mox_net::blocking;
use mox_smtp::server::{DataRefusal, Envelope, Service};
use mox_smtp::simulate::Stage;
use mox_smtp::submission::{SubmissionError, check_header, missing_fields};
use mox_smtp::trace::{Received, delivered_to_field, return_path_field};
use mox_smtp::{DataReport, ForwardPath, ReversePath};
use mox_store::{Added, NewMessage, Pending, Store, StoreError};

use crate::answers::simulate;
use crate::connection::{Connection, End};
use crate::facts::{Circumstances, Facts, Sender, Subject, gather};
use crate::routing::{Author, Copy, Routes, Rules, Standing, routes};
use crate::spool::Spool;
use crate::{header, refusal};

/// Copies of one message that are prepared and stored at the same time: what one transaction may
/// hold in memory, and the share that it may take of the disk.
pub const COPIES_AT_ONCE_MAX: usize = 16;

/// The account that gets everything on a server for developers.
pub const LOCALSERVE_ACCOUNT: &str = "mox";

/// The result for one recipient.
type Outcome = Result<(), DataRefusal>;

/// A message that was looked into.
struct Message {
    spool: Spool,
    header: Vec<u8>,
    /// The author, if there is exactly one.
    from: Option<Address>,
    /// Who sent it; of what came in by submission that is known.
    facts: Option<Facts>,
    /// Whether it needs SMTPUTF8. RFC 6531 §3.
    needs_utf8: bool,
}

/// What was decided for one copy by itself.
struct Judgement {
    /// Where it goes, or would go.
    mailbox: MailboxName,
    /// `None`: it is taken.
    refusal: Option<DataRefusal>,
}

/// Decides for one copy.
///
/// The one place for judging a message: what DNS, SPF, DKIM and DMARC say, rules of the account,
/// its history with the sender, the junk filter. Now all is accepted, and goes to the mailbox of its
/// destination.
fn decide(copy: &Copy) -> Judgement {
    Judgement { mailbox: copy.destination.mailbox(), refusal: None }
}

/// Delivers the message in the spool. Returns the result for each recipient; what is said to be
/// delivered is on disk.
pub(crate) async fn deliver(
    connection: &mut Connection,
    envelope: &Envelope,
    report: &DataReport,
) -> Result<Vec<Outcome>, End> {
    let all = |refusal: DataRefusal| Ok(vec![Err(refusal); envelope.rcpts.len()]);
    let mut simulated = Vec::with_capacity(envelope.rcpts.len());
    for rcpt in &envelope.rcpts {
        simulated.push(simulate(connection, rcpt.localpart(), Stage::Data).await?);
    }
    let Some(spool) = connection.spool.take() else { return all(DataRefusal::Unavailable) };
    let config = connection.smtpd.services.config.snapshot();
    let now = connection.smtpd.services.clock.now();
    let message = match examine(connection, spool, envelope, report).await {
        Ok(message) => message,
        Err(refusal) => return all(refusal),
    };
    let examined = match connection.port.kind {
        Service::Submission => complete(connection, &config, message, report, now).await,
        Service::Delivery => {
            Box::pin(authenticate(connection, envelope, message, report, now)).await
        }
    };
    let message = match examined {
        Ok(message) => message,
        Err(refusal) => return all(refusal),
    };
    let hostname = &connection.port.hostname;
    // Of a submission it was checked that From is the user's; a localserve has nobody to prove it.
    let is_localserve = connection.smtpd.services.is_localserve;
    let facts = message.facts.as_ref().filter(|_| !is_localserve);
    let standing = facts.map_or(Standing::Proven, Facts::standing);
    let author = Author { address: message.from.as_ref(), standing };
    let mut routes = routes(&config, hostname, &envelope.rcpts, author, Rules::of(connection));
    for (member, refusal) in &routes.left_out {
        tracing::info!(cid = connection.cid, %member, ?refusal, "member of alias left out");
    }
    for (rcpt, code) in routes.rcpts.iter_mut().zip(simulated) {
        if let Some(code) = code {
            *rcpt = Err(DataRefusal::Simulated(code));
        }
    }
    let outcomes = store_copies(connection, envelope, message, &routes, now).await;
    Ok(routes.results(&outcomes))
}

/// Reads what must be known of the message.
async fn examine(
    connection: &Connection,
    mut spool: Spool,
    envelope: &Envelope,
    report: &DataReport,
) -> Result<Message, DataRefusal> {
    let is_submission = connection.port.kind == Service::Submission;
    let is_pedantic = connection.smtpd.services.is_pedantic;
    let header_bytes = report.header_bytes.unwrap_or(report.size_bytes);
    let header_bytes = header_bytes.min(HEADER_BYTES_MAX as u64);
    // Where all bytes are ASCII, so are those of its headers.
    let parses = report.has_8bit && (envelope.mail.is_utf8 || is_submission || is_pedantic);
    let is_quick = spool.is_in_memory() && !parses;
    let read = move || -> io::Result<(Spool, Vec<u8>, bool)> {
        let header = spool.head(header_bytes)?;
        let needs_utf8 =
            parses && mox_mime::parse(spool.reader()?, &Limits::default())?.needs_smtputf8;
        Ok((spool, header, needs_utf8))
    };
    let read = if is_quick { read() } else { blocking(read).await };
    let (spool, header, has_utf8) = read.map_err(|error| unreadable(connection.cid, &error))?;
    let may_utf8 = envelope.mail.is_utf8 || is_submission;
    let needs_utf8 = may_utf8 && (has_utf8 || envelope.needs_utf8());
    if is_pedantic && has_utf8 && !envelope.mail.is_utf8 {
        return Err(DataRefusal::Submission(SubmissionError::NeedsUtf8));
    }
    let from = header::from(&header);
    Ok(Message { spool, header, from, facts: None, needs_utf8 })
}

/// Finds out who sent the message.
async fn authenticate(
    connection: &mut Connection,
    envelope: &Envelope,
    message: Message,
    report: &DataReport,
    now: UnixSeconds,
) -> Result<Message, DataRefusal> {
    let Message { spool, header, needs_utf8, .. } = message;
    let ip = connection.conn.peer_ip();
    let sender = Sender::new(ip, envelope.client_name.as_ref(), &envelope.mail.reverse_path);
    let known = connection.spf.take().filter(|(known, _)| *known == sender);
    let services = &connection.smtpd.services;
    let mut chance = [0; 4];
    services.rng.fill(&mut chance);
    let hostname = &connection.port.hostname;
    let circumstances = Circumstances {
        resolver: Arc::clone(&services.resolver),
        hostname,
        now,
        chance: u32::from_ne_bytes(chance),
        spf: known.map(|(_, received)| received),
    };
    let subject = Subject { spool, header: &header, size_bytes: report.size_bytes };
    let failed = |error: io::Error| unreadable(connection.cid, &error);
    let (mut spool, facts) = gather(sender, subject, circumstances).await.map_err(failed)?;
    facts.log(connection.cid);
    let mut header = header;
    // Signatures are those of the message as it came; only now may its header change.
    if let Some(shorter) = header::without_forged_results(&header, hostname) {
        let old_bytes = header.len() as u64;
        let dir = services.spool_dir.clone();
        let replaced =
            blocking(move || spool.with_head(old_bytes, &shorter, &dir).map(|s| (s, shorter)));
        (spool, header) = replaced.await.map_err(failed)?;
    }
    let from = facts.author.as_ref().ok().cloned();
    Ok(Message { spool, header, from, facts: Some(facts), needs_utf8 })
}

fn unreadable(cid: u64, error: &io::Error) -> DataRefusal {
    tracing::error!(cid, %error, "reading a spooled message");
    DataRefusal::Unavailable
}

/// Checks a submitted message and makes it complete. RFC 6409 §6, §8.
///
/// The place for limits on sending, and for signing.
async fn complete(
    connection: &Connection,
    config: &Config,
    message: Message,
    report: &DataReport,
    now: UnixSeconds,
) -> Result<Message, DataRefusal> {
    let Message { spool, header, needs_utf8, .. } = message;
    let refused = DataRefusal::Submission;
    if report.header_bytes.is_none_or(|bytes| bytes > HEADER_BYTES_MAX as u64) {
        return Err(refused(SubmissionError::Malformed));
    }
    let facts = header::facts(&header);
    let from = check_header(&facts, connection.smtpd.services.is_pedantic).map_err(refused)?;
    let account = connection.account.as_deref().unwrap_or_default();
    match config.account_may_send_as(account, from) {
        Ok(true) => {}
        Ok(false) => return Err(refused(SubmissionError::FromNotYours)),
        Err(LookupError::DomainDisabled) => {
            return Err(refused(SubmissionError::FromDomainDisabled));
        }
        Err(_) => return Err(DataRefusal::Unavailable),
    }
    let mut random = [0; 16];
    connection.smtpd.services.rng.fill(&mut random);
    let date = DateTime::from_unix(now);
    let added = missing_fields(&facts, &connection.port.hostname, random, date);
    let from = Some(from.clone());
    let shorter = header::without_bcc(&header);
    if added.is_empty() && shorter.is_none() {
        return Ok(Message { spool, header, from, facts: None, needs_utf8 });
    }
    // What is added becomes part of the message, so that threads, ENVELOPE and searches see it.
    let old_bytes = header.len() as u64;
    let head = [added.as_bytes(), shorter.as_deref().unwrap_or(&header)].concat();
    let dir = connection.smtpd.services.spool_dir.clone();
    let replaced =
        blocking(move || spool.with_head(old_bytes, &head, &dir).map(|spool| (spool, head)));
    let (spool, header) = replaced.await.map_err(|error| unreadable(connection.cid, &error))?;
    Ok(Message { spool, header, from, facts: None, needs_utf8 })
}

/// A copy ready for its account.
struct Parcel {
    account: Arc<str>,
    mailbox: MailboxName,
    prefix: String,
    envelope: mox_store::Envelope,
}

/// Stores all copies, some at a time, and returns what became of each.
async fn store_copies(
    connection: &Connection,
    envelope: &Envelope,
    message: Message,
    routes: &Routes,
    now: UnixSeconds,
) -> Vec<Outcome> {
    let judgements: Vec<Judgement> = routes.copies.iter().map(decide).collect();
    let granted = routes.granted(|place| judgements[place].refusal.is_none());
    let wanted: Vec<usize> = (0..granted.len()).filter(|place| granted[*place]).collect();
    let refusal = |judgement: &Judgement| judgement.refusal.clone();
    let mut outcomes: Vec<Outcome> = judgements
        .iter()
        .map(|judgement| Err(refusal(judgement).unwrap_or(DataRefusal::Unavailable)))
        .collect();
    let mut spool = message.spool;
    let mut has_stored = false;
    let (needs_utf8, facts) = (message.needs_utf8, message.facts.as_ref());
    let post = Postmark { connection, envelope, facts, needs_utf8, now };
    for group in wanted.chunks(COPIES_AT_ONCE_MAX) {
        let parcel =
            |place: &usize| post.parcel(&routes.copies[*place], judgements[*place].mailbox.clone());
        let parcels: Vec<Parcel> = group.iter().map(parcel).collect();
        let store = connection.smtpd.services.store.clone();
        let queue = move || queue(&store, spool, parcels, now, has_stored);
        let (back, queued) = blocking(queue).await;
        spool = back;
        match queued {
            Ok(pending) => {
                has_stored = true;
                for (&place, pending) in group.iter().zip(pending) {
                    let outcome = match pending {
                        Ok(pending) => pending.await.map(|_| ()),
                        Err(error) => Err(error),
                    };
                    outcomes[place] = outcome
                        .map_err(|error| not_stored(connection.cid, &routes.copies[place], &error));
                }
            }
            // Nobody has the message, so that everybody's share can be tried again.
            Err(error) => {
                tracing::error!(cid = connection.cid, %error, "preparing a message");
                return vec![Err(refusal::store(&error)); routes.copies.len()];
            }
        }
    }
    outcomes
}

fn not_stored(cid: u64, copy: &Copy, error: &StoreError) -> DataRefusal {
    tracing::error!(cid, account = %copy.account, rcpt = %copy.rcpt, %error, "storing a message");
    refusal::store(error)
}

type Queued = Result<Vec<Result<Pending<Added>, StoreError>>, StoreError>;

/// Prepares all parcels, and only then queues the first of them: what keeps one from being
/// prepared, such as a full disk, is found before any account has the message.
///
/// Fails as a whole unless others have it already. Blocks.
fn queue(
    store: &Store,
    mut spool: Spool,
    parcels: Vec<Parcel>,
    now: UnixSeconds,
    has_stored: bool,
) -> (Spool, Queued) {
    let mut staged = Vec::with_capacity(parcels.len());
    for parcel in parcels {
        let content = store.account(&parcel.account).and_then(|account| {
            let content = account.stage(parcel.prefix.into_bytes(), spool.reader()?)?;
            Ok((account, content))
        });
        match content {
            Ok((account, content)) => {
                let envelope = Some(parcel.envelope);
                let (flags, keywords, received) = (Flags::NONE, Vec::new(), Some(now));
                let message = NewMessage { content, flags, keywords, received, envelope };
                staged.push(Ok((account, parcel.mailbox, message)));
            }
            Err(error) if has_stored => staged.push(Err(error)),
            Err(error) => return (spool, Err(error)),
        }
    }
    let queued = staged.into_iter().map(|staged| {
        staged.map(|(account, mailbox, message)| {
            account.add(mox_store::Destination { mailbox, create: true }, vec![message])
        })
    });
    (spool, Ok(queued.collect()))
}

/// What is written on each copy.
struct Postmark<'a> {
    connection: &'a Connection,
    envelope: &'a Envelope,
    facts: Option<&'a Facts>,
    needs_utf8: bool,
    now: UnixSeconds,
}

impl Postmark<'_> {
    fn parcel(&self, copy: &Copy, mailbox: MailboxName) -> Parcel {
        let reverse_path = &self.envelope.mail.reverse_path;
        let hostname = &self.connection.port.hostname;
        let results =
            self.facts.map(|facts| facts.fields(hostname, self.now, &[], self.needs_utf8));
        let prefix = [
            delivered_to_field(&copy.address),
            return_path_field(reverse_path),
            results.unwrap_or_default(),
            self.received(&copy.rcpt),
        ]
        .concat();
        let client = self.envelope.client_name.as_ref();
        let envelope = mox_store::Envelope {
            mail_from: reverse_path.mailbox().map(ToString::to_string).unwrap_or_default(),
            rcpt_to: copy.rcpt.mailbox().unwrap_or(&copy.address).to_string(),
            remote_ip: self.connection.conn.peer_ip().to_string(),
            ehlo: client.map(ToString::to_string).unwrap_or_default(),
            incoming: None,
        };
        Parcel { account: Arc::clone(&copy.account), mailbox, prefix, envelope }
    }

    /// RFC 5321 §4.4. Of a delivery, each copy names its own recipient and no other, §7.2.
    fn received(&self, rcpt: &ForwardPath) -> String {
        let conn = &self.connection.conn;
        let service = self.connection.port.kind;
        let is_shared = service == Service::Submission && self.envelope.rcpts.len() > 1;
        let tls = conn.tls().map(|tls| (tls.version.to_string(), tls.cipher_suite.as_str()));
        let remote_name = self.facts.and_then(Facts::remote_name);
        let received = Received {
            service,
            envelope: self.envelope,
            hostname: &self.connection.port.hostname,
            local_ip: conn.local().ip(),
            remote_ip: conn.peer_ip(),
            remote_name: remote_name.as_ref(),
            is_utf8: self.needs_utf8,
            id: &self.connection.id,
            tls: tls.as_ref().map(|(version, cipher)| (version.as_str(), *cipher)),
            rcpt: (!is_shared).then_some(rcpt),
            time: DateTime::from_unix(self.now),
        };
        received.field()
    }
}

/// Logs what became of a message.
pub(crate) fn log(
    connection: &Connection,
    envelope: &Envelope,
    report: &DataReport,
    results: &[Outcome],
) {
    let (cid, size) = (connection.cid, report.size_bytes);
    let mail_from = match &envelope.mail.reverse_path {
        ReversePath::Null => "<>".to_owned(),
        path => path.to_string(),
    };
    let rcpts = results.len();
    let failed = results.iter().filter(|result| result.is_err()).count();
    let refusal = results.iter().find_map(|result| result.as_ref().err());
    match refusal {
        None => tracing::info!(cid, %mail_from, size, rcpts, "message accepted"),
        Some(refusal) if failed == rcpts => {
            tracing::info!(cid, %mail_from, size, rcpts, ?refusal, "message refused");
        }
        Some(_) => {
            tracing::info!(cid, %mail_from, size, rcpts, failed, "message accepted in part");
            for (rcpt, result) in envelope.rcpts.iter().zip(results) {
                if let Err(refusal) = result {
                    // There is no queue yet that could carry a report.
                    tracing::error!(cid, %mail_from, %rcpt, ?refusal, "sender not told of failure");
                }
            }
        }
    }
}
