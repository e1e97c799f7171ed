//! What becomes of a message whose data is complete: one of a user goes into the queue; one from
//! outside is decided upon, and put into the accounts of its recipients.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use mox_base::UnixSeconds;
use mox_config::Config;
use mox_mime::{HEADER_BYTES_MAX, Limits};
use mox_net::blocking;
use mox_smtp::server::{DataRefusal, Envelope, Service};
use mox_smtp::simulate::Stage;
use mox_smtp::submission::SubmissionError;
use mox_smtp::{DataReport, ForwardPath, ReversePath};

use crate::answers::{nobody_exists, simulate};
use crate::connection::{Connection, End, in_time};
use crate::decision::{Case, Judgement, judge};
use crate::facts::{Circumstances, Facts, Sender, Subject, gather};
use crate::post::{Judged, Postmark, keep_refused, store_copies};
use crate::reports::Reports;
use crate::routing::{Author, Routes, Rules, Standing, routes};
use crate::spool::Spool;
use crate::submit::{Submission, submit};
use crate::{evaluations, header, hooks, measure, notices};

/// The account that gets everything on a server for developers.
pub const LOCALSERVE_ACCOUNT: &str = "mox";

/// The result for one recipient.
pub(crate) type Outcome = Result<(), DataRefusal>;

/// A message that was looked into.
pub(crate) struct Message {
    pub(crate) spool: Spool,
    pub(crate) header: Vec<u8>,
    /// Whether it needs SMTPUTF8. RFC 6531 §3.
    pub(crate) needs_utf8: bool,
}

/// Delivers the message in the spool. Returns the result for each recipient; what is said to be
/// delivered is on disk.
pub(crate) async fn deliver(
    connection: &mut Connection,
    envelope: &Envelope,
    report: &DataReport,
) -> Result<Vec<Outcome>, End> {
    let all = |refusal: DataRefusal| Ok(vec![Err(refusal); envelope.rcpts.len()]);
    let simulated = simulated_codes(connection, envelope).await?;
    let Some(spool) = connection.spool.take() else { return all(DataRefusal::Unavailable) };
    let config = connection.smtpd.services.config.snapshot();
    if nobody_exists(connection, &config, &envelope.rcpts).await? {
        return all(DataRefusal::UnknownAddress);
    }
    let now = connection.smtpd.services.clock.now();
    let message = match examine(connection, spool, envelope, report).await {
        Ok(message) => message,
        Err(refusal) => return all(refusal),
    };
    if connection.port.kind == Service::Submission {
        let simulated = simulated.into_iter().flatten().next();
        let submission = Submission { config: &config, envelope, report, simulated, now };
        let submitted = Box::pin(submit(connection, submission, message)).await;
        measure::submission(&submitted);
        return Ok(vec![submitted; envelope.rcpts.len()]);
    }
    let stopping = connection.stopping.clone();
    let found = Box::pin(authenticate(connection, envelope, message, report, now));
    // What is forged must not come in because the server goes down.
    let found = in_time(&stopping, found).await.unwrap_or(Err(DataRefusal::Unavailable));
    let (Message { spool, header, needs_utf8 }, facts) = match found {
        Ok(found) => found,
        Err(refusal) => return all(refusal),
    };
    let hostname = &connection.port.hostname;
    let routes = find_routes(connection, &config, envelope, &facts, simulated);
    // Once for all copies: most are told the same.
    let results = facts.fields(hostname, now, &[], needs_utf8);
    let size_bytes = report.size_bytes.saturating_add(results.len() as u64);
    let case = Case { facts: &facts, envelope, header: &header, size_bytes, now };
    let judging = Box::pin(judge(connection, &config, case, &routes.copies, spool));
    let (spool, mut judgements, reports) = judging.await;
    let granted = grant(connection, &routes, &mut judgements).await?;
    let (connection, facts) = (&*connection, &facts);
    let message_id = header::message_id(&header);
    let post = Postmark { connection, envelope, facts, results, message_id, needs_utf8, now };
    let copies: Vec<_> = routes.copies.iter().zip(judgements).collect();
    let (spool, stored) = store_copies(&post, &copies, &granted, spool).await;
    let spool = hooks::follow_up(&post, &config, &copies, &stored, &header, spool).await;
    let outcomes: Vec<Outcome> = stored.into_iter().map(|stored| stored.map(|_| ())).collect();
    measure::copies(&copies, &outcomes);
    keep_refused(&post, &config, &copies, &granted, spool).await;
    follow_up(&post, &config, &copies, (&granted, &outcomes), reports).await;
    let results = routes.results(&outcomes);
    notices::tell(&post, &config, &header, &results).await;
    Ok(results)
}

/// Finds out who gets a copy.
fn find_routes(
    connection: &Connection,
    config: &Config,
    envelope: &Envelope,
    facts: &Facts,
    simulated: Vec<Option<u16>>,
) -> Routes {
    // A localserve has nobody to prove who wrote it.
    let is_localserve = connection.smtpd.services.is_localserve;
    let standing = if is_localserve { Standing::Proven } else { facts.standing() };
    let author = Author { address: facts.author.as_ref().ok(), standing };
    let hostname = &connection.port.hostname;
    let mut routes = routes(config, hostname, &paths(envelope), author, Rules::of(connection));
    for (member, refusal) in &routes.left_out {
        tracing::info!(cid = connection.cid, %member, ?refusal, "member of alias left out");
    }
    for (rcpt, code) in routes.rcpts.iter_mut().zip(simulated) {
        if let Some(code) = code {
            *rcpt = Err(DataRefusal::Simulated(code));
        }
    }
    routes
}

/// The errors that recipients ask for on a server for developers.
async fn simulated_codes(
    connection: &mut Connection,
    envelope: &Envelope,
) -> Result<Vec<Option<u16>>, End> {
    let mut codes = Vec::with_capacity(envelope.rcpts.len());
    for rcpt in &envelope.rcpts {
        let localpart = rcpt.forward_path.localpart();
        codes.push(simulate(connection, localpart, Stage::Data).await?);
    }
    Ok(codes)
}

fn paths(envelope: &Envelope) -> Vec<ForwardPath> {
    envelope.rcpts.iter().map(|rcpt| rcpt.forward_path.clone()).collect()
}

/// Says which copies are stored, and waits as long as it takes until they may be.
async fn grant(
    connection: &mut Connection,
    routes: &Routes,
    judgements: &mut [Judgement],
) -> Result<Vec<bool>, End> {
    connection.is_doubtful |= judgements.iter().any(Judgement::slows_connection);
    let granted = routes.granted(|place| judgements[place].refusal.is_none());
    let mut wait = Duration::ZERO;
    for (judgement, _) in judgements.iter_mut().zip(&granted).filter(|(_, granted)| **granted) {
        judgement.grant();
        wait = wait.max(judgement.wait());
    }
    if !wait.is_zero() {
        tracing::info!(cid = connection.cid, ?wait, "first message of a sender waits");
        connection.pause(wait).await?;
    }
    Ok(granted)
}

/// What others reported with the message, and what our own reports will tell of it.
async fn follow_up(
    post: &Postmark<'_>,
    config: &Config,
    copies: &[Judged<'_>],
    fates: (&[bool], &[Outcome]),
    reports: Reports,
) {
    reports.keep_accepted(post, copies, fates.1).await;
    evaluations::record(post, config, copies, fates).await;
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
    let may_be_cut = !is_submission && !header.starts_with(b"\r\n");
    if may_be_cut && report.header_bytes.unwrap_or(report.size_bytes) > HEADER_BYTES_MAX as u64 {
        // Attack: results in our name, or another author, behind what is looked at.
        return Err(DataRefusal::HeaderTooLarge);
    }
    let may_utf8 = envelope.mail.is_utf8 || is_submission;
    let needs_utf8 = may_utf8 && (has_utf8 || envelope.needs_utf8());
    if is_pedantic && has_utf8 && !envelope.mail.is_utf8 {
        return Err(DataRefusal::Submission(SubmissionError::NeedsUtf8));
    }
    Ok(Message { spool, header, needs_utf8 })
}

/// Finds out who sent the message.
async fn authenticate(
    connection: &mut Connection,
    envelope: &Envelope,
    message: Message,
    report: &DataReport,
    now: UnixSeconds,
) -> Result<(Message, Facts), DataRefusal> {
    let Message { spool, header, needs_utf8 } = message;
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
    let subject = Subject { spool, header, size_bytes: report.size_bytes };
    let failed = |error: io::Error| unreadable(connection.cid, &error);
    let gathered = gather(sender, subject, circumstances).await;
    let (mut spool, mut header, facts) = gathered.map_err(failed)?;
    facts.log(connection.cid);
    // Signatures are those of the message as it came; only now may its header change.
    if let Some(shorter) = header::without_forged_results(&header, hostname) {
        let old_bytes = header.len() as u64;
        let dir = services.spool_dir.clone();
        let replaced =
            blocking(move || spool.with_head(old_bytes, &shorter, &dir).map(|s| (s, shorter)));
        (spool, header) = replaced.await.map_err(failed)?;
    }
    Ok((Message { spool, header, needs_utf8 }, facts))
}

fn unreadable(cid: u64, error: &io::Error) -> DataRefusal {
    tracing::error!(cid, %error, "reading a spooled message");
    DataRefusal::Unavailable
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
                    let rcpt = &rcpt.forward_path;
                    tracing::info!(cid, %mail_from, %rcpt, ?refusal, "recipient refused");
                }
            }
        }
    }
}
