//! Reports of ours: to the owners of domains what DMARC said of mail in their name (RFC 9990), and to
//! those of recipients' domains how TLS went with their hosts (RFC 8460).
//!
//! What is reported lies in the database of reports; when is in [`schedule`]; the messages go into the
//! queue. A report is taken out of the database, or marked there, before it is queued: a crash in
//! between loses one, and never sends one twice.

mod dmarc;
mod draft;
pub mod schedule;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use mox_base::{Address, Clock, Domain, Rng, UnixSeconds};
use mox_config::{Config, Live};
use mox_dns::Resolver;
use mox_metrics::reports;
use mox_net::{Supervisor, blocking};
use mox_queue::{Kind, Queue, QueueError, Queued};
use mox_reportdb::{ReportDb, ReportDbError};
use mox_signing::{SigningError, SigningKeys};

use crate::deliver::Fault;

pub use dmarc::DMARC_RCPTS_MAX;
pub use tls::{TLS_RCPTS_MAX, TLS_REPORT_BYTES_MAX};

/// Attempts at delivery of a report: there will be another one.
pub const REPORT_ATTEMPTS_MAX: u32 = 5;

/// How long until reports are tried again that had to wait for DNS.
const RETRY_SECS: i64 = 3600;

/// What reports need of the server.
#[derive(Clone)]
pub struct Services {
    /// Whether and from whom reports are sent.
    pub config: Arc<Live>,
    /// Where they go.
    pub queue: Queue,
    /// What they tell.
    pub reports: ReportDb,
    /// Who says where they are wanted.
    pub resolver: Arc<dyn Resolver>,
    /// What they are signed with.
    pub signing: Arc<SigningKeys>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The randomness.
    pub rng: Arc<dyn Rng>,
}

/// Sends reports. Cheap to clone.
#[derive(Clone)]
pub struct Reporter {
    services: Arc<Services>,
}

/// What became of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It is in the queue.
    Queued,
    /// There is nothing to tell, or nobody to tell it to: what it was made of is done with.
    NotNeeded,
    /// It has to wait, since DNS fails for now.
    Waits,
    /// It is too large for everybody: they were told that.
    TooLarge,
}

/// Why a report could not be made or queued. For the log.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportsError {
    /// The database of reports failed.
    #[error("database of reports")]
    Database(#[from] ReportDbError),
    /// The queue failed.
    #[error("queue")]
    Queue(#[from] QueueError),
    /// The report could not be signed.
    #[error("sign report")]
    Signing(#[from] SigningError),
    /// The message could not be written.
    #[error("write report")]
    Compose(#[from] mox_mime::ComposeError),
    /// The name of the host is none that mail can be sent from.
    #[error("no address for the author of reports")]
    Author,
}

impl Reporter {
    /// One that has not begun.
    #[must_use]
    pub fn new(services: Services) -> Self {
        Self { services: Arc::new(services) }
    }

    /// Starts to send reports, until the supervisor stops. The configuration says whether there are
    /// any, and is asked each time.
    pub fn start(&self, supervisor: &Supervisor) {
        let (reporter, stopping) = (self.clone(), supervisor.stopping());
        supervisor.spawn("dmarc reports", supervisor.next_cid(), async move {
            let _stopped = stopping.run_until_cancelled(reporter.dmarc_forever()).await;
        });
        let (reporter, stopping) = (self.clone(), supervisor.stopping());
        supervisor.spawn("tls reports", supervisor.next_cid(), async move {
            let _stopped = stopping.run_until_cancelled(reporter.tls_forever()).await;
        });
    }

    async fn dmarc_forever(&self) {
        loop {
            let now = self.services.clock.now();
            self.sleep_until(schedule::next_dmarc(now, self.chance())).await;
            self.send_dmarc().await;
        }
    }

    /// Sends all DMARC reports that are due, one after the other.
    async fn send_dmarc(&self) {
        let now = self.services.clock.now();
        let due = match self.dmarc_due(now).await {
            Ok(due) => due,
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "listing DMARC reports");
                return;
            }
        };
        let pause = schedule::dmarc_pause(due.len());
        for (domain, end) in due {
            match self.dmarc_report(&domain, end).await {
                Ok(outcome) => {
                    if outcome == Outcome::Queued {
                        reports::dmarc_report_queued();
                    }
                    tracing::info!(%domain, ?outcome, "DMARC report");
                }
                Err(error) => {
                    reports::dmarc_report_failed();
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(%domain, error, "DMARC report");
                }
            }
            tokio::time::sleep(pause).await;
        }
    }

    async fn tls_forever(&self) {
        // Once at the start, for what was not sent while the server was down.
        let mut next = schedule::soon(self.services.clock.now(), self.chance());
        loop {
            self.sleep_until(next).await;
            let waits = self.send_tls().await;
            let now = self.services.clock.now();
            next = schedule::next_tls(now, self.chance());
            if waits {
                next = next.min(now.plus_secs(RETRY_SECS));
            }
        }
    }

    /// Sends all TLS reports that are due, one after the other. Returns whether some have to wait.
    async fn send_tls(&self) -> bool {
        let mut waits = false;
        for day in schedule::tls_days(self.services.clock.now()) {
            let due = match self.tls_due(day).await {
                Ok(due) => due,
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(error, "listing TLS reports");
                    continue;
                }
            };
            let pause = schedule::tls_pause(due.len());
            let mut round = tls::Round::new(day);
            for about in &due {
                let name = about.name();
                match self.tls_report(&mut round, about).await {
                    Ok(outcome) => {
                        if outcome == Outcome::Queued {
                            reports::tls_report_queued();
                        }
                        tracing::info!(%name, ?outcome, "TLS report");
                        waits |= outcome == Outcome::Waits;
                    }
                    Err(error) => {
                        reports::tls_report_failed();
                        let error = &error as &dyn std::error::Error;
                        tracing::error!(%name, error, "TLS report");
                    }
                }
                tokio::time::sleep(pause).await;
            }
            if let Err(error) = self.tls_tidy(day).await {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "removing results of TLS"
                );
            }
        }
        waits
    }

    async fn sleep_until(&self, time: UnixSeconds) {
        // The clock is looked at again and again: it may be set, or stand still while the machine
        // sleeps.
        loop {
            let left = u64::try_from(time.secs_since(self.services.clock.now())).unwrap_or(0);
            if left == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_secs(left.min(SLEEP_SECS_MAX))).await;
        }
    }

    fn chance(&self) -> u32 {
        let mut bytes = [0; 4];
        self.services.rng.fill(&mut bytes);
        u32::from_le_bytes(bytes)
    }

    /// Does what blocks.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Services) -> T + Send + 'static,
    ) -> T {
        let services = Arc::clone(&self.services);
        blocking(move || work(&services)).await
    }

    /// Those of the addresses that may get reports now.
    async fn not_suppressed<T: Send + 'static>(
        &self,
        addresses: Vec<(Address, T)>,
    ) -> Result<Vec<(Address, T)>, ReportsError> {
        self.blocking(move |services| {
            let now = services.clock.now();
            let mut kept = Vec::new();
            for (address, more) in addresses {
                let text = address.to_string();
                if !services.reports.is_report_address_suppressed(&text, now)? {
                    kept.push((address, more));
                }
            }
            Ok(kept)
        })
        .await
    }
}

/// The longest sleep without a look at the clock.
const SLEEP_SECS_MAX: u64 = 600;

/// `postmaster` at a domain.
fn postmaster(domain: &Domain) -> Result<Address, ReportsError> {
    Address::parse(&format!("postmaster@{}", domain.ascii())).map_err(|_| ReportsError::Author)
}

/// Whose account reports are sent from, and get notices about them.
fn sending_account(config: &Config) -> &str {
    &config.statics.postmaster.account
}

/// How long reports stay in the history at least: a report about one that failed must find it.
pub(crate) const KEEP_SECS: i64 = 7 * 24 * 3600;

/// Whether a message is a report of these kinds.
pub(crate) fn is_report(kind: Kind) -> bool {
    matches!(kind, Kind::DmarcReport | Kind::TlsReport)
}

/// Sends no more reports to where a server refused one for good. Blocks.
pub(crate) fn note_failure(reports: &ReportDb, message: &Queued, fault: &Fault, now: UnixSeconds) {
    // Without a reply it is the way to the server that is broken, or closed by us, not the address.
    if !is_report(message.kind) || fault.code.is_none() || fault.is_own_rule {
        return;
    }
    let address = message.rcpt_to.to_string();
    if let Err(error) = reports.suppress_after_failure(&address, &fault.text, now) {
        tracing::error!(%address, %error, "suppressing an address of reports");
    }
}

#[cfg(test)]
mod tests;
