//! DMARC aggregate reports. RFC 9990, RFC 7489 §7.2.

use std::collections::HashSet;
use std::sync::Arc;

use mox_base::{Address, DateTime, Domain, UnixSeconds};
use mox_config::Config;
use mox_dns::DnsError;
use mox_mailauth::dmarc::{Method, Record, ReportTarget, ReportUri, discover, report_target};
use mox_mime::{BodyPart, Transport, random_boundary};
use mox_queue::Kind;
use mox_reportdb::ReportDb;
use mox_reports::dmarc::{DateRange, Feedback, Grouped, Metadata, PolicyPublished};
use mox_reports::{dmarc, gzip};

use super::draft::{Draft, Written};
use super::{Outcome, Reporter, ReportsError, Services, postmaster, schedule};

/// Recipients of one report. More are left out; a record has no more places than that itself, but the
/// domains of others may name some in their stead.
pub const DMARC_RCPTS_MAX: usize = 40;

/// Evaluations of one interval, as a report has them.
struct Collected {
    records: Grouped,
    /// When the first was made.
    first: UnixSeconds,
    /// What the last one found.
    policy: PolicyPublished,
    /// Whether one of them makes a report be sent.
    is_wanted: bool,
}

/// Where a report goes.
#[derive(Default)]
struct Targets {
    /// With the largest message that each takes, in bytes.
    addresses: Vec<(Address, Option<u64>)>,
    /// Places that get none although the record names them, for the report.
    errors: Vec<String>,
}

impl Reporter {
    /// The domains with evaluations of intervals that are over, and the ends of those.
    pub(super) async fn dmarc_due(
        &self,
        now: UnixSeconds,
    ) -> Result<Vec<(Domain, UnixSeconds)>, ReportsError> {
        if self.services.config.snapshot().statics.no_outgoing_dmarc_reports {
            return Ok(Vec::new());
        }
        self.blocking(move |services| {
            let db = &services.reports;
            let mut due = Vec::new();
            let mut after = None;
            loop {
                let page = db.evaluated_domains(after.as_ref())?;
                let Some(last) = page.last() else { return Ok(due) };
                after = Some(last.policy_domain.clone());
                for found in page {
                    let end = schedule::interval_end(now, found.interval_hours);
                    if !db.evaluations(&found.policy_domain, end, None)?.is_empty() {
                        due.push((found.policy_domain, end));
                    }
                }
            }
        })
        .await
    }

    /// Sends what there is to report of the time before `end` to those that the record of the domain
    /// names now, if they agree.
    ///
    /// # Errors
    ///
    /// If a database fails or the report cannot be signed. Evaluations are then still there, unless it
    /// is the queue that failed.
    pub async fn dmarc_report(
        &self,
        domain: &Domain,
        end: UnixSeconds,
    ) -> Result<Outcome, ReportsError> {
        let about = domain.clone();
        let collected =
            self.blocking(move |services| collect(&services.reports, &about, end)).await?;
        let Some(collected) = collected.filter(|collected| collected.is_wanted) else {
            return self.dmarc_not_needed(domain, end).await;
        };
        let record = match self.dmarc_record(domain).await {
            Ok(Some(record)) => record,
            Ok(None) => return self.dmarc_not_needed(domain, end).await,
            Err(error) => return Ok(waits(domain, &error)),
        };
        let targets = match self.dmarc_targets(domain, &record).await {
            Ok(targets) => targets,
            Err(error) => return Ok(waits(domain, &error)),
        };
        let addresses = self.not_suppressed(targets.addresses).await?;
        if addresses.is_empty() {
            return self.dmarc_not_needed(domain, end).await;
        }
        let targets = Targets { addresses, errors: targets.errors };
        let hours = mox_reportdb::Evaluation::interval_hours(record.interval_secs);
        let (about, config) = (domain.clone(), self.services.config.snapshot());
        self.blocking(move |services| {
            let report =
                Report::new(services, &config, about, collected, &targets.errors, end, hours)?;
            report.send(services, &config, targets.addresses, end)
        })
        .await
    }

    /// Removes evaluations that nobody is told of.
    async fn dmarc_not_needed(
        &self,
        domain: &Domain,
        end: UnixSeconds,
    ) -> Result<Outcome, ReportsError> {
        let domain = domain.clone();
        self.blocking(move |services| services.reports.remove_evaluations(&domain, end)).await?;
        Ok(Outcome::NotNeeded)
    }

    /// The record that the domain has now, if it asks for reports.
    async fn dmarc_record(&self, domain: &Domain) -> Result<Option<Record>, DnsError> {
        let found = match discover(&*self.services.resolver, domain, Method::TreeWalk).await {
            Ok(discovery) => discovery.found,
            Err(error) if error.is_temporary() => return Err(error),
            Err(_) => None,
        };
        let own = found.filter(|found| found.domain == *domain);
        let record = own.and_then(|found| found.record.ok());
        Ok(record.filter(|record| !record.aggregate.is_empty()))
    }

    /// Where a record wants reports, as far as those places agree. RFC 9990 §4, RFC 7489 §7.1.
    async fn dmarc_targets(&self, domain: &Domain, record: &Record) -> Result<Targets, DnsError> {
        let mut targets = Targets::default();
        let mut known = HashSet::new();
        for uri in &record.aggregate {
            let found =
                report_target(&*self.services.resolver, domain, uri, Method::TreeWalk).await;
            match found {
                Ok((ReportTarget::Allowed(address), _)) => {
                    targets.add(&mut known, address, uri.size_bytes_max);
                }
                Ok((ReportTarget::Replaced(others), _)) => {
                    let others = others.iter().filter_map(|other: &ReportUri| {
                        Some((other.address()?, other.size_bytes_max))
                    });
                    others.for_each(|(address, size)| targets.add(&mut known, address, size));
                }
                Ok((ReportTarget::Denied, _)) => {
                    targets
                        .errors
                        .push(format!("{} does not accept reports about {domain}", uri.uri));
                }
                Ok((ReportTarget::NotMail, _)) => {
                    targets.errors.push(format!("{} is no mail address", uri.uri));
                }
                Err(error) if error.is_temporary() => return Err(error),
                Err(error) => targets.errors.push(format!("{}: {error}", uri.uri)),
            }
        }
        targets.errors.truncate(dmarc::ERRORS_MAX);
        Ok(targets)
    }
}

fn waits(domain: &Domain, error: &DnsError) -> Outcome {
    tracing::info!(%domain, %error, "DMARC report waits for DNS");
    Outcome::Waits
}

impl Targets {
    /// Adds an address once. Those that ASCII cannot express are left out: reports are not written for
    /// SMTPUTF8.
    fn add(&mut self, known: &mut HashSet<Address>, address: Address, size_max: Option<u64>) {
        let has_room = self.addresses.len() < DMARC_RCPTS_MAX;
        if has_room && address.ascii().is_some() && known.insert(address.clone()) {
            self.addresses.push((address, size_max));
        }
    }
}

/// Groups the evaluations of a domain made before `end`; `None` if there are none.
fn collect(
    db: &ReportDb,
    domain: &Domain,
    end: UnixSeconds,
) -> Result<Option<Collected>, ReportsError> {
    let mut collected: Option<Collected> = None;
    let mut after = None;
    loop {
        let page = db.evaluations(domain, end, after)?;
        let Some(last) = page.last() else { return Ok(collected) };
        after = Some((last.evaluation.evaluated, last.id));
        for stored in page {
            let evaluation = stored.evaluation;
            let into = collected.get_or_insert_with(|| Collected {
                records: Grouped::default(),
                first: evaluation.evaluated,
                policy: PolicyPublished::default(),
                is_wanted: false,
            });
            into.is_wanted |= !evaluation.is_optional;
            into.policy = evaluation.policy;
            into.records.add(evaluation.record);
        }
    }
}

/// A report, packed, with what is said about it.
struct Report {
    domain: Domain,
    host: Domain,
    from: Address,
    /// Unique, without angle brackets. RFC 9990 §3.5.1.
    id: String,
    file_name: String,
    packed: Vec<u8>,
}

impl Report {
    fn new(
        services: &Services,
        config: &Config,
        domain: Domain,
        collected: Collected,
        errors: &[String],
        end: UnixSeconds,
        interval_hours: u8,
    ) -> Result<Self, ReportsError> {
        let host = config.hostname().clone();
        let from = postmaster(&host)?;
        let begin = schedule::interval_begin(collected.first, end, interval_hours);
        let range = DateRange { begin, end: end.plus_secs(-1) };
        let id = report_id(services, &host, end);
        let mut errors = errors.to_vec();
        let left_out = collected.records.left_out();
        if left_out > 0 {
            errors
                .insert(0, format!("{left_out} messages are not in this report: it is too large"));
        }
        let mut policy = collected.policy;
        // What holds for all messages need not be said, and RFC 9990 has no element for it.
        policy.pct = policy.pct.filter(|percent| *percent < 100);
        let feedback = Feedback {
            version: "1.0".to_owned(),
            report_metadata: Metadata {
                org_name: host.ascii().to_owned(),
                email: from.to_string(),
                extra_contact_info: None,
                report_id: id.clone(),
                date_range: range,
                errors,
                generator: Some("mox".to_owned()),
            },
            policy_published: policy,
            records: collected.records.into_records(),
        };
        // RFC 9990 §3.5.2.
        let (begin, end) = (range.begin.0, range.end.0);
        let file_name = format!("{}!{}!{begin}!{end}.xml.gz", host.ascii(), domain.ascii());
        let packed = gzip(dmarc::to_xml(&feedback).as_bytes());
        Ok(Self { domain, host, from, id, file_name, packed })
    }

    /// Queues the report for those whose limits it keeps. If there is nobody, all are told that.
    fn send(
        self,
        services: &Services,
        config: &Arc<Config>,
        addresses: Vec<(Address, Option<u64>)>,
        end: UnixSeconds,
    ) -> Result<Outcome, ReportsError> {
        let all: Vec<Address> = addresses.iter().map(|(address, _)| address.clone()).collect();
        let mut written = self.write(services, config, self.report(services, all.clone()))?;
        let size = u64::try_from(written.bytes.len()).unwrap_or(u64::MAX);
        let fits = |(_, max): &(Address, Option<u64>)| max.is_none_or(|max| size <= max);
        let fitting: Vec<Address> =
            addresses.into_iter().filter(fits).map(|(address, _)| address).collect();
        let outcome = match fitting.len() {
            0 => {
                written = self.write(services, config, self.apology(services, all, size))?;
                Outcome::TooLarge
            }
            count if count < all.len() => {
                // With fewer addresses it does not grow.
                written = self.write(services, config, self.report(services, fitting))?;
                Outcome::Queued
            }
            _ => Outcome::Queued,
        };
        services.reports.remove_evaluations(&self.domain, end)?;
        written.queue(services, config, services.clock.now())?;
        Ok(outcome)
    }

    /// Signed by the domain of the host, or the nearest above that has keys.
    fn write(
        &self,
        services: &Services,
        config: &Arc<Config>,
        draft: Draft,
    ) -> Result<Written, ReportsError> {
        let keys = services.signing.nearest(config, &self.host)?;
        draft.write(services, config, keys.as_ref(), services.clock.now())
    }

    /// RFC 9990 §3.5, RFC 7489 §7.2.1.1.
    fn report(&self, services: &Services, to: Vec<Address>) -> Draft {
        let Self { domain, host, .. } = self;
        let text = format!(
            "This is a report about mail in the name of {domain} that {host} received.\n\n\
             The domain asks for such reports in its DMARC record. Programs can read the\n\
             attached file: it is XML, packed by gzip.\n"
        );
        let parts = [
            BodyPart::text("plain", &text, Transport::SevenBit),
            BodyPart::bytes("application/gzip", &self.packed)
                .with_disposition("attachment", &self.file_name),
        ];
        let boundary = random_boundary(&*services.rng);
        let (domain, host) = (domain.ascii(), host.ascii());
        self.draft(
            to,
            format!("Report Domain: {domain} Submitter: {host} Report-ID: <{}>", self.id),
            BodyPart::multipart("mixed", &boundary, &[], &parts),
        )
    }

    /// Tells that the report is larger than anybody wants it. RFC 7489 §7.2.2.
    fn apology(&self, services: &Services, to: Vec<Address>, size: u64) -> Draft {
        let Self { domain, host, id, .. } = self;
        let date = DateTime::from_unix(services.clock.now()).to_rfc5322();
        let (domain, host) = (domain.ascii(), host.ascii());
        let mut text = format!(
            "Report-Date: {date}\nReport-Domain: {domain}\nReport-ID: {id}\nReport-Size: {size}\n\
             Submitter: {host}\n"
        );
        for address in &to {
            text.push_str(&format!("Submitting-URI: mailto:{address}\n"));
        }
        let subject = format!("Report too large: {domain} Submitter: {host} Report-ID: <{id}>");
        self.draft(to, subject, BodyPart::text("plain", &text, Transport::SevenBit))
    }

    fn draft(&self, to: Vec<Address>, subject: String, body: BodyPart) -> Draft {
        let (kind, from) = (Kind::DmarcReport, self.from.clone());
        Draft { kind, from, to, subject, fields: Vec::new(), body }
    }
}

/// `yyyymmdd.hh.` by the end of the interval, chance, and the host. RFC 9990 §3.5.1 (`ridfmt`), which
/// also is a `msg-id` as RFC 7489 §7.2.1.1 wants one.
fn report_id(services: &Services, host: &Domain, end: UnixSeconds) -> String {
    let mut chance = [0; 8];
    services.rng.fill(&mut chance);
    let opaque = u64::from_le_bytes(chance);
    let DateTime { year, month, day, hour, .. } = DateTime::from_unix(end);
    format!("{year:04}{month:02}{day:02}.{hour:02}.{opaque:016x}@{}", host.ascii())
}
