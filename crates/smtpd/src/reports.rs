//! Reports that others send about our domains: found in a message when a decision asks, and kept when
//! the message was taken.
//!
//! Whether a message may hold a report, and whether its sender is proven, is decided by
//! [`mox_policy`]. That a report cannot be read or kept never refuses the message: it is mail like
//! other mail then, with a field that says why.

use std::sync::Arc;
use std::time::Duration;

use mox_base::{Domain, UnixSeconds};
use mox_config::Config;
use mox_net::{Wait, blocking};
use mox_policy::{DmarcReport, Report, TlsReport};
use mox_reportdb::{NewDmarcReport, NewTlsReport, ReportDb, ReportDbError};
use mox_reports::{ReportError, dmarc, tls};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::decision::mail_from_text;
use crate::delivery::Outcome;
use crate::measure;
use crate::post::{Judged, Postmark};
use crate::routing::Copy;
use crate::spool::Spool;

/// Messages that reports are looked for in at the same time, and large reports that are held; others
/// wait. A report of the largest size takes some 80 MB.
pub const REPORTS_AT_ONCE_MAX: usize = 2;

/// How long a message waits for others to be looked through.
pub const REPORTS_WAIT: Wait = Wait::new("looking for reports", Duration::from_secs(60));

/// Records, or policies with their lines and failures, of a report that others need not wait for: some
/// 2 MB.
const SMALL_REPORT_ENTRIES: usize = 1_000;

/// The reports in a message, each looked for once, and only if somebody asks.
pub(crate) struct Reports {
    config: Arc<Config>,
    dmarc: Option<Option<FoundDmarc>>,
    tls: Option<Option<FoundTls>>,
    /// To look for reports, and to hold large ones.
    permit: Option<OwnedSemaphorePermit>,
}

struct FoundDmarc {
    feedback: dmarc::Feedback,
    policy_domain: Option<Domain>,
    is_ours: bool,
}

struct FoundTls {
    report: tls::Report,
    is_ours: bool,
}

impl Reports {
    /// Of a message that nobody looks for reports in.
    pub(crate) fn unexpected(config: Arc<Config>) -> Self {
        Self { config, dmarc: None, tls: None, permit: None }
    }

    /// Waits until reports may be looked for, if a copy goes to an address for some. If that takes
    /// longer than [`REPORTS_WAIT`] there are none, and the client must come again: it would not wait
    /// for its reply, and a report that nobody reads is lost.
    ///
    /// - `config`: which domains are ours.
    pub(crate) async fn of(
        copies: &[Copy],
        config: Arc<Config>,
        permits: Arc<Semaphore>,
    ) -> Option<Self> {
        let expects = |copy: &Copy| copy.reports != mox_config::Reports::default();
        if !copies.iter().any(expects) {
            return Some(Self::unexpected(config));
        }
        let Some(permit) = permission(permits).await else {
            tracing::error!("too many reports at once: a message must come again");
            return None;
        };
        Some(Self { permit: Some(permit), ..Self::unexpected(config) })
    }

    /// The DMARC report in the message, `None` if none can be read. Blocks.
    pub(crate) fn dmarc(&mut self, spool: &mut Spool, cid: u64) -> Option<DmarcReport<'_>> {
        let config = &self.config;
        let found = self.dmarc.get_or_insert_with(|| {
            let feedback = read(spool, cid, "DMARC", dmarc::from_message)?;
            let policy_domain = feedback.policy_published.policy_domain();
            // Also one that only has its reports here, or takes no mail now.
            let is_ours =
                policy_domain.as_ref().is_some_and(|domain| config.is_configured_domain(domain));
            Some(FoundDmarc { feedback, policy_domain, is_ours })
        });
        found.as_ref().map(|found| DmarcReport {
            policy_domain: found.policy_domain.as_ref(),
            is_ours: found.is_ours,
            end: found.feedback.report_metadata.date_range.end,
        })
    }

    /// The TLS report in the message, `None` if none can be read. Blocks.
    pub(crate) fn tls(&mut self, spool: &mut Spool, cid: u64) -> Option<TlsReport> {
        let config = &self.config;
        let found = self.tls.get_or_insert_with(|| {
            let report = read(spool, cid, "TLS", tls::from_message)?;
            let domains = report.policies.iter().filter_map(|result| result.policy.domain());
            let is_ours = domains.into_iter().any(|domain| may_report_tls(config, &domain));
            Some(FoundTls { report, is_ours })
        });
        found.as_ref().map(|found| TlsReport { is_ours: found.is_ours })
    }

    /// Lets others look for reports, unless a large one was found: what is still to come for the
    /// message may take a while.
    pub(crate) fn looked(&mut self) {
        let dmarc = self.dmarc.iter().flatten().map(|found| found.feedback.records.len());
        let policies = self.tls.iter().flatten().flat_map(|found| &found.report.policies);
        let tls = policies.map(|result| {
            let policy = &result.policy;
            1 + policy.policy_string.len() + policy.mx_host.len() + result.failure_details.len()
        });
        if dmarc.chain(tls).sum::<usize>() <= SMALL_REPORT_ENTRIES {
            self.permit = None;
        }
    }

    /// Keeps a report that was found. Blocks.
    fn keep(&self, db: &ReportDb, arrival: &Arrival) -> Result<(), ReportDbError> {
        let Arrival { from_domain, mail_from, received, .. } = arrival;
        match arrival.kind {
            Report::Dmarc => {
                let Some(Some(found)) = &self.dmarc else { return Ok(()) };
                let Some(domain) = &found.policy_domain else { return Ok(()) };
                measure::dmarc_report(domain, &found.feedback);
                let report = NewDmarcReport {
                    domain: domain.clone(),
                    from_domain: from_domain.clone(),
                    received: *received,
                    feedback: found.feedback.clone(),
                };
                db.add_dmarc(&report).map(|_| ())
            }
            Report::Tls => {
                let Some(Some(found)) = &self.tls else { return Ok(()) };
                measure::tls_report(&found.report);
                let report = NewTlsReport {
                    from_domain: from_domain.clone(),
                    mail_from: mail_from.clone(),
                    is_host: arrival.is_host,
                    received: *received,
                    report: found.report.clone(),
                };
                db.add_tls(&report, |domain| may_report_tls(&self.config, domain)).map(|_| ())
            }
        }
    }

    /// Keeps the reports that were accepted, now that their message is stored. Failures are logged: the
    /// message is there.
    pub(crate) async fn keep_accepted(
        self,
        post: &Postmark<'_>,
        copies: &[Judged<'_>],
        outcomes: &[Outcome],
    ) {
        let mut arrivals: Vec<Arrival> = Vec::new();
        for ((copy, judgement), outcome) in copies.iter().zip(outcomes) {
            let Some(decided) = judgement.decided.as_ref().filter(|_| outcome.is_ok()) else {
                continue;
            };
            let author = post.facts.author.as_ref().ok();
            let (Some(kind), Some(author)) = (decided.verdict.report, author) else { continue };
            let arrival = Arrival {
                kind,
                from_domain: author.domain.clone(),
                mail_from: mail_from_text(&post.envelope.mail.reverse_path),
                is_host: copy.reports.host_tls,
                received: post.now,
            };
            if !arrivals.contains(&arrival) {
                arrivals.push(arrival);
            }
        }
        if arrivals.is_empty() {
            return;
        }
        let (cid, db) = (post.connection.cid, post.connection.smtpd.services.reports.clone());
        blocking(move || {
            for arrival in &arrivals {
                let (kind, from) = (arrival.kind, &arrival.from_domain);
                match self.keep(&db, arrival) {
                    Ok(()) => tracing::info!(cid, ?kind, %from, "report kept"),
                    Err(error) => tracing::error!(cid, ?kind, %from, %error, "report not kept"),
                }
            }
        })
        .await;
    }
}

/// Waits for a permit, but not for ever. Permits are never closed.
async fn permission(permits: Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    timeout(REPORTS_WAIT.limit, permits.acquire_owned()).await.ok()?.ok()
}

/// How a report that is to be kept came.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Arrival {
    pub(crate) kind: Report,
    /// The domain of the author, which is proven.
    pub(crate) from_domain: Domain,
    pub(crate) mail_from: String,
    /// Whether it came to the address for reports about the host.
    pub(crate) is_host: bool,
    pub(crate) received: UnixSeconds,
}

/// RFC 8460 §4.4: a policy is of a domain, or of a host that takes its mail.
fn may_report_tls(config: &Config, domain: &Domain) -> bool {
    config.hostname() == domain || config.is_configured_domain(domain)
}

fn read<T>(
    spool: &mut Spool,
    cid: u64,
    kind: &str,
    read: impl Fn(&mut tempfile::SpooledTempFile) -> Result<T, ReportError>,
) -> Option<T> {
    let outcome = match spool.reader() {
        Ok(message) => read(message),
        Err(error) => Err(ReportError::Read(error.kind())),
    };
    match outcome {
        Ok(report) => Some(report),
        Err(error) => {
            tracing::info!(cid, kind, %error, "no report in a message to a report address");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    /// Attack: large reports that are sent slowly enough to hold all permits.
    #[tokio::test(start_paused = true)]
    async fn a_message_does_not_wait_for_reports_of_others_for_ever() {
        let permits = Arc::new(Semaphore::new(1));
        let held = permission(Arc::clone(&permits)).await;
        assert!(held.is_some());
        let started = Instant::now();
        assert!(permission(Arc::clone(&permits)).await.is_none());
        assert_eq!(started.elapsed(), REPORTS_WAIT.limit);
        drop(held);
        assert!(permission(permits).await.is_some());
    }
}
