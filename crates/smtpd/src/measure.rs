//! What is counted and measured of connections and messages.

use std::time::Duration;

use mox_base::Domain;
use mox_mailauth::dkim::{Algorithm, Verification};
use mox_mailauth::dmarc::{self, Policy};
use mox_metrics::{mailauth, reports, smtp, subjectpass};
use mox_policy::Reason;
use mox_reports::dmarc::{Disposition, DkimResult, DmarcResult, Feedback, SpfResult};
use mox_reports::tls;
use mox_smtp::Reply;
use mox_smtp::server::{DataRefusal, Service};
use tokio::time::Instant;

use crate::delivery::Outcome;
use crate::post::Judged;

/// Commands that are told apart.
const COMMANDS: &[&str] = &[
    "auth", "bdat", "data", "ehlo", "expn", "helo", "help", "mail", "noop", "quit", "rcpt", "rset",
    "starttls", "vrfy",
];

/// Any other command, or none at all.
const OTHER: &str = "(other)";

/// The time that a command takes, from its line to the reply.
pub(crate) struct Timer {
    command: &'static str,
    since: Instant,
}

impl Timer {
    /// - `line`: the command as it came; `None` if it is a secret, or no line.
    pub(crate) fn start(line: Option<&[u8]>) -> Self {
        let word = line.unwrap_or_default().split(|byte| *byte == b' ' || *byte == b':').next();
        let word = word.unwrap_or_default().trim_ascii();
        let known = COMMANDS.iter().find(|one| word.eq_ignore_ascii_case(one.as_bytes()));
        Self { command: known.copied().unwrap_or(OTHER), since: Instant::now() }
    }

    pub(crate) fn stop(self, kind: Service, reply: &Reply) {
        let enhanced = reply.enhanced.as_ref().map(|enhanced| {
            format!("{}.{}.{}", reply.code / 100, enhanced.subject, enhanced.detail)
        });
        let (enhanced, took) = (enhanced.unwrap_or_default(), self.since.elapsed());
        smtp::command(kind_of(kind), self.command, reply.code, &enhanced, took);
    }
}

/// What metrics call a service.
pub(crate) fn kind_of(kind: Service) -> &'static str {
    match kind {
        Service::Delivery => "deliver",
        Service::Submission => "submit",
    }
}

/// How long something takes.
pub(crate) async fn timed<T>(work: impl Future<Output = T>) -> (T, Duration) {
    let since = Instant::now();
    let done = work.await;
    (done, since.elapsed())
}

/// The results of signatures. They are checked together.
pub(crate) fn signatures(found: &[Verification], took: Duration) {
    for verification in found {
        let algorithm = match verification.signature.as_ref().map(|found| &found.algorithm) {
            Some(Algorithm::RsaSha1) => "rsa-sha1",
            Some(Algorithm::RsaSha256) => "rsa-sha256",
            Some(Algorithm::Ed25519Sha256) => "ed25519-sha256",
            Some(Algorithm::Other(_)) | None => OTHER,
        };
        mailauth::dkim(algorithm, verification.status.name(), took);
    }
}

/// What DMARC says of a message.
pub(crate) fn dmarc(found: &dmarc::Outcome, took: Duration) {
    let is_reject = found.status == dmarc::Status::Fail && found.policy == Policy::Reject;
    // The owner asked for a part of the messages only, or for tests.
    let is_used = found.exemption.is_none();
    mailauth::dmarc(found.status.as_str(), is_reject, is_used, took);
}

/// A report of others about messages that name a domain of ours.
pub(crate) fn dmarc_report(domain: &Domain, report: &Feedback) {
    for record in &report.records {
        let (row, auth) = (&record.row, &record.auth_results);
        let found = &row.policy_evaluated;
        let disposition = found.disposition.as_ref().and_then(Disposition::known);
        let passed = |result: &Option<DmarcResult>| {
            result.as_ref().and_then(DmarcResult::known).unwrap_or(OTHER)
        };
        reports::dmarc_policy_evaluated(
            domain.ascii(),
            disposition.unwrap_or(OTHER),
            passed(&found.dkim),
            passed(&found.spf),
            row.count,
        );
        for dkim in &auth.dkim {
            let result = dkim.result.as_ref().and_then(DkimResult::known);
            reports::dmarc_dkim_result(result.unwrap_or(OTHER), row.count);
        }
        for spf in &auth.spf {
            let result = spf.result.as_ref().and_then(SpfResult::known);
            reports::dmarc_spf_result(result.unwrap_or(OTHER), row.count);
        }
    }
}

/// A report of others about their sessions with our hosts.
pub(crate) fn tls_report(report: &tls::Report) {
    for policy in &report.policies {
        reports::tls_sessions("success", policy.summary.total_successful_session_count);
        for failure in &policy.failure_details {
            let kind = failure.result_type.known();
            reports::tls_sessions(kind.unwrap_or(OTHER), failure.failed_session_count);
        }
    }
}

/// What became of the copies of a message from outside.
pub(crate) fn copies(copies: &[Judged<'_>], outcomes: &[Outcome]) {
    for ((_, judgement), outcome) in copies.iter().zip(outcomes) {
        let decided = judgement.decided.as_ref();
        let reason = decided.map_or("", |decided| decided.verdict.reason.token());
        smtp::delivery(result(outcome, "delivered", "reject"), reason);
        match decided.map(|decided| decided.verdict.reason) {
            Some(Reason::GiveSubjectPass) => subjectpass::generated(),
            Some(Reason::SubjectPass) => subjectpass::verified("ok"),
            _ => {}
        }
    }
}

/// What metrics call an outcome.
fn result(outcome: &Outcome, good: &'static str, bad: &'static str) -> &'static str {
    match outcome {
        Ok(()) => good,
        Err(DataRefusal::OverQuota) => bad,
        Err(refusal) if refusal.is_our_fault() => {
            smtp::failed("store");
            "error"
        }
        Err(_) => bad,
    }
}

/// What became of a message of a user.
pub(crate) fn submission(outcome: &Outcome) {
    smtp::submission(result(outcome, "ok", "refused"));
}
