//! What DMARC said of incoming mail, recorded for the reports to the owners of authors' domains.
//!
//! Source: RFC 9990 §3.1, RFC 7489 §7.2.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mox_base::{Domain, UnixSeconds};
use mox_config::Config;
use mox_dns::organizational_domain;
use mox_mailauth::dmarc::{FailureOption, Found, OverrideReason, Policy, Record as DnsRecord};
use mox_mailauth::{dkim, spf};
use mox_net::blocking;
use mox_reportdb::{Evaluation, ReportDbError};
use mox_reports::dmarc as report;
use mox_smtp::ForwardPath;

use crate::connection::Connection;
use crate::decision::Decided;
use crate::delivery::Outcome;
use crate::facts::Facts;
use crate::post::{Judged, Postmark};

/// Records an evaluation of each copy for which there is to be one. Failures are logged: they are no
/// business of the sender.
///
/// - `granted`, `outcomes`: of each copy, whether it was to be stored, and whether it was.
pub(crate) async fn record(
    post: &Postmark<'_>,
    config: &Config,
    copies: &[Judged<'_>],
    (granted, outcomes): (&[bool], &[Outcome]),
) {
    let facts = post.facts;
    let Some(reported_to) = reported_to(config, facts) else { return };
    let mut processed = Vec::new();
    for (place, (copy, judgement)) in copies.iter().enumerate() {
        let is_stored = outcomes.get(place).is_some_and(Result::is_ok);
        // What could not be stored will come again.
        let Some(decided) = judgement.decided.as_ref() else { continue };
        if granted.get(place) == Some(&is_stored) {
            processed.push((*copy, &**decided, is_stored));
        }
    }
    let asked = processed
        .iter()
        .map(|(copy, decided, _)| (Arc::clone(&copy.account), Decided::clone(decided)));
    let told = look_back(post.connection, asked.collect()).await;
    let mut evaluations = Vec::new();
    for ((copy, decided, is_stored), told) in processed.into_iter().zip(told) {
        let Some(told) = told else { continue };
        let mut overrides = decided.overrides(facts);
        let mut is_refused = told.is_refused;
        if is_refused && is_stored && !decided.verdict.marks.is_reject {
            // Deviation: the original reports a refusal. Another member of an alias takes it, so
            // that this one gets it too.
            is_refused = false;
            overrides.push(OverrideReason::LocalPolicy);
        }
        let treatment =
            Treatment { rcpt: &copy.rcpt, is_refused, is_optional: told.is_optional, overrides };
        evaluations.push(evaluation(facts, reported_to, treatment, post.now));
    }
    store(post.connection, evaluations).await;
}

/// Asks each account whether an evaluation is to be recorded.
async fn look_back(
    connection: &Connection,
    asked: Vec<(Arc<str>, Decided)>,
) -> Vec<Option<mox_policy::Evaluation>> {
    if asked.is_empty() {
        return Vec::new();
    }
    let (cid, accounts) = (connection.cid, connection.smtpd.services.store.clone());
    blocking(move || {
        let told = asked.iter().map(|(account, decided)| {
            let reader = accounts.account(account).and_then(|account| account.read());
            let failed = |error: &dyn std::fmt::Display| {
                tracing::error!(cid, %account, %error, "reading an account for an evaluation");
            };
            let reader = reader.inspect_err(|error| failed(error)).ok()?;
            decided.evaluation(&reader).inspect_err(|error| failed(error)).ok()?
        });
        told.collect()
    })
    .await
}

async fn store(connection: &Connection, evaluations: Vec<Evaluation>) {
    if evaluations.is_empty() {
        return;
    }
    let (cid, services) = (connection.cid, Arc::clone(&connection.smtpd.services));
    let left_out = Arc::clone(&connection.smtpd.evaluations_left_out);
    blocking(move || {
        for evaluation in &evaluations {
            match services.reports.add_evaluation(evaluation) {
                Ok(_) => {}
                Err(ReportDbError::Full { .. }) => {
                    if let Some(count) = left_out.count(services.clock.monotonic()) {
                        tracing::error!(cid, count, "no room for evaluations of DMARC");
                    }
                }
                Err(error) => tracing::error!(cid, %error, "recording an evaluation of DMARC"),
            }
        }
    })
    .await;
}

/// How often it is said that there is no room for evaluations: they come with each message.
const LEFT_OUT_SAID: Duration = Duration::from_secs(3600);

/// Evaluations that were not recorded, for want of room.
#[derive(Debug, Default)]
pub(crate) struct LeftOut(Mutex<Unsaid>);

#[derive(Debug, Default)]
struct Unsaid {
    count: u64,
    /// When it was said last, by the monotonic clock.
    said: Option<Duration>,
}

impl LeftOut {
    /// Counts one. Returns how many there were since it was said last, if it is time to say it.
    fn count(&self, now: Duration) -> Option<u64> {
        let mut unsaid = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        unsaid.count = unsaid.count.saturating_add(1);
        if unsaid.said.is_some_and(|said| now.saturating_sub(said) < LEFT_OUT_SAID) {
            return None;
        }
        unsaid.said = Some(now);
        Some(std::mem::take(&mut unsaid.count))
    }
}

/// The record to which an evaluation of the message is reported, if reports are sent and it asks for
/// some.
fn reported_to<'a>(config: &Config, facts: &'a Facts) -> Option<(&'a Found, &'a DnsRecord)> {
    if config.statics.no_outgoing_dmarc_reports {
        return None;
    }
    let found = facts.dmarc.found.as_ref()?;
    let record = found.record.as_ref().ok().filter(|record| !record.aggregate.is_empty())?;
    Some((found, record))
}

/// What became of one copy.
struct Treatment<'a> {
    rcpt: &'a ForwardPath,
    is_refused: bool,
    /// No report is sent for this alone.
    is_optional: bool,
    /// Why other was done than the record asks for.
    overrides: Vec<OverrideReason>,
}

/// Puts an evaluation together, as the report will have it.
fn evaluation(
    facts: &Facts,
    (found, record): (&Found, &DnsRecord),
    treatment: Treatment<'_>,
    now: UnixSeconds,
) -> Evaluation {
    Evaluation {
        policy_domain: found.domain.clone(),
        evaluated: now,
        is_optional: treatment.is_optional,
        interval_hours: Evaluation::interval_hours(record.interval_secs),
        addresses: record.aggregate.iter().map(ToString::to_string).collect(),
        policy: policy(&found.domain, record),
        record: row(facts, treatment),
    }
}

/// RFC 9990 §3.1.1 (`policy_published`), RFC 7489 appendix C (`pct`).
fn policy(domain: &Domain, record: &DnsRecord) -> report::PolicyPublished {
    let word = |policy: Policy| report::Disposition::from_word(policy.as_str());
    let options = record.failure_options.iter().map(|option| match option {
        FailureOption::All => "0",
        FailureOption::Any => "1",
        FailureOption::Dkim => "d",
        FailureOption::Spf => "s",
    });
    report::PolicyPublished {
        domain: domain.ascii().to_owned(),
        discovery_method: Some(report::DiscoveryMethod::TreeWalk),
        adkim: Some(report::Alignment::from_word(record.dkim_alignment.as_str())),
        aspf: Some(report::Alignment::from_word(record.spf_alignment.as_str())),
        p: Some(word(record.policy)),
        sp: record.subdomain_policy.map(word),
        np: record.nonexistent_policy.map(word),
        pct: Some(record.percent),
        fo: Some(options.collect::<Vec<_>>().join(":")),
        testing: Some(record.is_test),
    }
}

/// RFC 9990 §3.1.1 (`record`).
fn row(facts: &Facts, treatment: Treatment<'_>) -> report::Record {
    let dmarc = &facts.dmarc;
    let result = |is_aligned| {
        if is_aligned { report::DmarcResult::Pass } else { report::DmarcResult::Fail }
    };
    let disposition =
        if treatment.is_refused { report::Disposition::Reject } else { report::Disposition::None };
    let reason = |reason: OverrideReason| report::OverrideReason {
        kind: report::Override::from_word(reason.as_str()),
        comment: None,
    };
    let policy_evaluated = report::PolicyEvaluated {
        disposition: Some(disposition),
        dkim: Some(result(!dmarc.aligned_dkim.is_empty())),
        spf: Some(result(dmarc.has_aligned_spf)),
        reasons: treatment.overrides.into_iter().map(reason).collect(),
    };
    report::Record {
        row: report::Row { source_ip: Some(facts.sender.ip), count: 1, policy_evaluated },
        identifiers: identifiers(facts, treatment.rcpt),
        auth_results: report::AuthResults { dkim: signatures(facts), spf: vec![spf(&facts.spf)] },
    }
}

/// RFC 9990 §3.1.1 (`identifiers`). The null sender is an empty one (RFC 5321 §4.5.5).
fn identifiers(facts: &Facts, rcpt: &ForwardPath) -> report::Identifiers {
    let text = |domain: &Domain| domain.ascii().to_owned();
    let to = rcpt.mailbox().and_then(|mailbox| mailbox.host.domain());
    let from = facts.sender.mail_from.as_ref().map(|address| text(&address.domain));
    report::Identifiers {
        envelope_to: to.map(text),
        envelope_from: Some(from.unwrap_or_default()),
        header_from: facts.dmarc.author.as_ref().map(text).unwrap_or_default(),
    }
}

/// The signatures of the author's organisation. Those of others are none of its business: they would
/// tell it over whom its users' mail goes.
///
/// Deviation: RFC 9990 §3.1 wants all signatures up to a hundred, those of the domain first.
fn signatures(facts: &Facts) -> Vec<report::DkimAuthResult> {
    let Some(author) = &facts.dmarc.author else { return Vec::new() };
    let organization = organizational_domain(author);
    let found = facts.dkim.iter().flatten().filter_map(|verification| {
        let signature = verification.signature.as_ref()?;
        if organizational_domain(&signature.domain) != organization {
            return None;
        }
        Some(report::DkimAuthResult {
            domain: signature.domain.ascii().to_owned(),
            selector: Some(signature.selector.to_string()),
            result: Some(dkim_result(verification.status)),
            human_result: None,
        })
    });
    found.take(report::SIGNATURES_MAX).collect()
}

/// RFC 8601 §2.7.1.
fn dkim_result(status: dkim::Status) -> report::DkimResult {
    match status {
        dkim::Status::None => report::DkimResult::None,
        dkim::Status::Pass => report::DkimResult::Pass,
        dkim::Status::Fail => report::DkimResult::Fail,
        dkim::Status::Policy => report::DkimResult::Policy,
        dkim::Status::TempError => report::DkimResult::TempError,
        dkim::Status::PermError => report::DkimResult::PermError,
    }
}

/// RFC 8601 §2.7.2, RFC 7489 appendix C (`SPFDomainScope`).
fn spf(received: &spf::Received) -> report::SpfAuthResult {
    let result = match received.status {
        spf::Status::None => report::SpfResult::None,
        spf::Status::Neutral => report::SpfResult::Neutral,
        spf::Status::Pass => report::SpfResult::Pass,
        spf::Status::Fail => report::SpfResult::Fail,
        spf::Status::SoftFail => report::SpfResult::SoftFail,
        spf::Status::TempError => report::SpfResult::TempError,
        spf::Status::PermError => report::SpfResult::PermError,
    };
    let scope = match received.identity {
        spf::Identity::MailFrom => report::SpfScope::MailFrom,
        spf::Identity::Helo => report::SpfScope::Helo,
    };
    let domain = received.domain.as_ref().map(|domain| domain.ascii().to_owned());
    report::SpfAuthResult {
        domain: domain.unwrap_or_default(),
        scope: Some(scope),
        result: Some(result),
        human_result: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table that was full had one line logged for each message that came in.
    #[test]
    fn that_there_is_no_room_is_said_once_an_hour() {
        let left_out = LeftOut::default();
        for (secs, want) in [
            (5, Some(1)),
            (6, None),
            (3_604, None),
            (3_605, Some(3)),
            (3_606, None),
            (9_000, Some(2)),
        ] {
            assert_eq!(left_out.count(Duration::from_secs(secs)), want, "at {secs}");
        }
    }
}
