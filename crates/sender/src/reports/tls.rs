//! TLS reports. RFC 8460.
//!
//! Each recipient domain gets a report about all sessions for its mail. Hosts that want reports of
//! their own get them about all domains whose mail they take, but for those that were told at the same
//! places already.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use mox_base::{Address, DateTime, Domain, UnixSeconds};
use mox_config::Config;
use mox_dns::{DnsError, Lookups as _, Name};
use mox_metrics::reports::tlsrpt_looked_up;
use mox_mime::{BodyPart, Param, Transport, random_boundary};
use mox_queue::Kind;
use mox_reportdb::{ReportId, Reported, TlsResultKey};
use mox_reports::gzip;
use mox_reports::tls::{self, DateRange, PolicyResult, find_record, mailto};
use mox_signing::DomainKeys;
use tokio::time::Instant;

use super::draft::Draft;
use super::{Outcome, Reporter, ReportsError, Services, postmaster};

/// Recipients of one report. A record has no more places.
pub const TLS_RCPTS_MAX: usize = tls::URIS_MAX;

/// Results of one report, in bytes of JSON without blanks. More are left out: only hosts that take
/// mail for very many domains come near.
pub const TLS_REPORT_BYTES_MAX: usize = 8 * 1024 * 1024;

const DAY_SECS: i64 = 24 * 3600;

/// What a report is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum About {
    /// A domain of recipients, with the rows of its mail.
    Domain(Domain, Vec<TlsResultKey>),
    /// A host, with its rows.
    Host(Domain, Vec<TlsResultKey>),
}

impl About {
    pub(super) fn name(&self) -> &Domain {
        let (Self::Domain(name, _) | Self::Host(name, _)) = self;
        name
    }

    fn rows(&self) -> &[TlsResultKey] {
        let (Self::Domain(_, rows) | Self::Host(_, rows)) = self;
        rows
    }

    fn is_host(&self) -> bool {
        matches!(self, Self::Host(..))
    }

    fn reported(&self) -> Reported {
        Reported { to_domain: !self.is_host(), to_host: self.is_host() }
    }
}

/// The reports about one day, sent one after the other, those to domains first.
pub(super) struct Round {
    day: i64,
    /// Where reports to recipient domains went.
    told: HashMap<Domain, Vec<String>>,
}

impl Round {
    pub(super) fn new(day: i64) -> Self {
        Self { day, told: HashMap::new() }
    }
}

/// Results with the recipient domain that they are from.
type Results = Vec<(Domain, Vec<PolicyResult>)>;

impl Reporter {
    /// What is to be reported about a day, domains first. Nothing if there are to be no reports, or
    /// the domain that would send them cannot: reports must be signed (RFC 8460 §3).
    pub(super) async fn tls_due(&self, day: i64) -> Result<Vec<About>, ReportsError> {
        let config = self.services.config.snapshot();
        if config.statics.no_outgoing_tls_reports {
            return Ok(Vec::new());
        }
        self.blocking(move |services| {
            if sender(services, &config)?.is_none() {
                return Ok(Vec::new());
            }
            let (mut domains, mut hosts) = (BTreeMap::new(), BTreeMap::new());
            each_key(services, day, |key| {
                if key.is_host && !key.reported.to_host {
                    let rows: &mut Vec<_> = hosts.entry(key.policy_domain.clone()).or_default();
                    rows.push(key.clone());
                }
                if !key.reported.to_domain {
                    let rows: &mut Vec<_> =
                        domains.entry(key.recipient_domain.clone()).or_default();
                    rows.push(key);
                }
            })?;
            let domains = domains.into_iter().map(|(name, rows)| About::Domain(name, rows));
            let hosts = hosts.into_iter().map(|(name, rows)| About::Host(name, rows));
            Ok(domains.chain(hosts).collect())
        })
        .await
    }

    /// Sends one report, if it is wanted.
    pub(super) async fn tls_report(
        &self,
        round: &mut Round,
        about: &About,
    ) -> Result<Outcome, ReportsError> {
        let config = self.services.config.snapshot();
        if !about.rows().iter().any(|row| row.sends_report) {
            return self.tls_done(about).await;
        }
        let rows: Vec<ReportId> = about.rows().iter().map(|row| row.id).collect();
        let mut results = self.blocking(move |services| gather(services, &rows)).await?;
        let sends_success = config.statics.outgoing_tls_reports_for_all_success;
        if !sends_success && !has_failures(&results) {
            return self.tls_done(about).await;
        }
        let places = match self.tls_places(about.name()).await {
            Ok(places) => places,
            Err(error) => {
                tracing::info!(name = %about.name(), %error, "TLS report waits for DNS");
                return Ok(Outcome::Waits);
            }
        };
        if about.is_host() {
            results.retain(|(recipient, _)| round.told.get(recipient) != Some(&places));
        }
        let is_needed = !results.is_empty() && (sends_success || has_failures(&results));
        let addresses = match is_needed {
            true => self.not_suppressed(addresses(&places)).await?,
            false => Vec::new(),
        };
        if addresses.is_empty() {
            return self.tls_done(about).await;
        }
        let to = addresses.into_iter().map(|(address, ())| address).collect();
        let (about, day) = (about.clone(), round.day);
        let name = about.name().clone();
        if !about.is_host() {
            round.told.insert(name, places);
        }
        self.blocking(move |services| send(services, &config, &about, results, to, day)).await
    }

    /// Notes that there is nothing to report about rows.
    async fn tls_done(&self, about: &About) -> Result<Outcome, ReportsError> {
        let about = about.clone();
        self.blocking(move |services| mark(services, &about)).await?;
        Ok(Outcome::NotNeeded)
    }

    /// Removes the rows of a day whose reports were all sent, or are not needed.
    pub(super) async fn tls_tidy(&self, day: i64) -> Result<(), ReportsError> {
        self.blocking(move |services| {
            let mut done = Vec::new();
            each_key(services, day, |key| {
                if key.reported.to_domain && (key.reported.to_host || !key.is_host) {
                    done.push(key.id);
                }
            })?;
            // A few at a time, so that others need not wait long.
            for some in done.chunks(REMOVED_AT_ONCE_MAX) {
                services.reports.remove_tls_results(some)?;
            }
            Ok(())
        })
        .await
    }

    /// Where a domain or host wants reports; nowhere if it has no record that can be read.
    /// RFC 8460 §3.
    async fn tls_places(&self, name: &Domain) -> Result<Vec<String>, DnsError> {
        let Ok(name) = Name::below("_smtp._tls", name) else { return Ok(Vec::new()) };
        let since = Instant::now();
        let found = self.services.resolver.txt(&name).await;
        tlsrpt_looked_up(if found.is_ok() { "ok" } else { "error" }, since.elapsed());
        match found {
            Ok(found) => {
                Ok(find_record(&found.records).map(|record| record.rua).unwrap_or_default())
            }
            Err(error) if error.is_temporary() => Err(error),
            Err(_) => Ok(Vec::new()),
        }
    }
}

/// Rows removed in one transaction.
const REMOVED_AT_ONCE_MAX: usize = 500;

/// The addresses among the places, each once. Others, such as those of HTTPS, get nothing.
fn addresses(places: &[String]) -> Vec<(Address, ())> {
    let mut found = Vec::new();
    for address in places.iter().filter_map(|uri| mailto(uri)) {
        if address.ascii().is_some() && !found.contains(&(address.clone(), ())) {
            found.push((address, ()));
        }
    }
    found.truncate(TLS_RCPTS_MAX);
    found
}

fn has_failures(results: &Results) -> bool {
    let failed = |one: &PolicyResult| {
        one.summary.total_failure_session_count > 0 || !one.failure_details.is_empty()
    };
    results.iter().any(|(_, results)| results.iter().any(failed))
}

fn each_key(
    services: &Services,
    day: i64,
    mut take: impl FnMut(TlsResultKey),
) -> Result<(), ReportsError> {
    let mut after = None;
    loop {
        let page = services.reports.tls_result_keys(day, after)?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.id);
        page.into_iter().for_each(&mut take);
    }
}

/// Who sends reports: the domain of the host, or the nearest above that signs, unless it is disabled.
fn sender(services: &Services, config: &Arc<Config>) -> Result<Option<DomainKeys>, ReportsError> {
    let keys = services.signing.nearest(config, config.hostname())?;
    Ok(keys.filter(|keys| !config.is_disabled_domain(&keys.domain)))
}

/// Reads the results of rows, as far as a report has room for them.
fn gather(services: &Services, rows: &[ReportId]) -> Result<Results, ReportsError> {
    let (mut results, mut bytes, mut policies) = (Vec::new(), 0, 0);
    for id in rows {
        let Some(row) = services.reports.tls_result(*id)? else { continue };
        let row = row.result;
        bytes += serde_json::to_vec(&row.results).map_or(0, |json| json.len());
        policies += row.results.len();
        if bytes > TLS_REPORT_BYTES_MAX || policies > tls::POLICIES_MAX {
            tracing::warn!(rows = rows.len(), kept = results.len(), "TLS report is too large");
            break;
        }
        results.push((row.recipient_domain, row.results));
    }
    Ok(results)
}

fn mark(services: &Services, about: &About) -> Result<(), ReportsError> {
    let rows: Vec<ReportId> = about.rows().iter().map(|row| row.id).collect();
    Ok(services.reports.mark_tls_results(&rows, about.reported())?)
}

/// The policies as a report has them. That of a host names the recipient domains, and the host beside
/// them. RFC 8460 §4.4 (`policy-domain`, `mx-host`).
fn policies(about: &About, results: Results) -> Vec<PolicyResult> {
    let mut policies = Vec::new();
    for (recipient, mut of_recipient) in results {
        if about.is_host() {
            for result in &mut of_recipient {
                recipient.ascii().clone_into(&mut result.policy.policy_domain);
                result.policy.mx_host = vec![about.name().ascii().to_owned()];
            }
        }
        policies.append(&mut of_recipient);
    }
    policies
}

/// Writes a report, notes that it is sent, and queues it.
fn send(
    services: &Services,
    config: &Arc<Config>,
    about: &About,
    results: Results,
    to: Vec<Address>,
    day: i64,
) -> Result<Outcome, ReportsError> {
    let Some(keys) = sender(services, config)? else { return Ok(Outcome::NotNeeded) };
    let from = postmaster(&keys.domain)?;
    let start = UnixSeconds(day.saturating_mul(DAY_SECS));
    let end = start.plus_secs(DAY_SECS - 1);
    let (submitter, name) = (keys.domain.ascii(), about.name().ascii());
    let DateTime { year, month, day, .. } = DateTime::from_unix(start);
    // RFC 8460 §5.1.
    let id = format!("{year:04}{month:02}{day:02}.{name}@{submitter}");
    let file_name = format!("{submitter}!{name}!{}!{}.json.gz", start.0, end.0);
    let report = tls::Report {
        organization_name: config.hostname().ascii().to_owned(),
        date_range: DateRange { start, end },
        contact_info: from.to_string(),
        report_id: id.clone(),
        policies: policies(about, results),
    };
    let text = format!(
        "This is a report about TLS in SMTP sessions of {submitter} with mail servers of\n\
         {name} on {year:04}-{month:02}-{day:02} (UTC).\n\n\
         The domain asks for such reports in its TLSRPT record. Programs can read the\n\
         attached file: it is JSON, packed by gzip.\n"
    );
    let parts = [
        BodyPart::text("plain", &text, Transport::SevenBit),
        BodyPart::bytes("application/tlsrpt+gzip", &gzip(&tls::to_json(&report)))
            .with_disposition("attachment", &file_name),
    ];
    let kind = Param { name: "report-type".to_owned(), value: "tlsrpt".to_owned() };
    let boundary = random_boundary(&*services.rng);
    // RFC 8460 §5.3, RFC 8689 §5.
    let draft = Draft {
        kind: Kind::TlsReport,
        from,
        to,
        subject: format!("Report Domain: {name} Submitter: {submitter} Report-ID: <{id}>"),
        fields: vec![
            ("TLS-Report-Domain", name.to_owned()),
            ("TLS-Report-Submitter", submitter.to_owned()),
            ("TLS-Required", "No".to_owned()),
        ],
        body: BodyPart::multipart("report", &boundary, &[kind], &parts),
    };
    let now = services.clock.now();
    let written = draft.write(services, config, Some(&keys), now)?;
    mark(services, about)?;
    written.queue(services, config, now)?;
    Ok(Outcome::Queued)
}
