//! TLS reports of others.

use std::collections::BTreeMap;

use mox_base::{Domain, UnixSeconds};
use mox_reports::tls::{PolicyResult, Report};
use rusqlite::{OptionalExtension as _, params};

use crate::db::ReportDb;
use crate::error::{ReportDbError, Result};
use crate::json;
use crate::query::{Added, ReportId, ReportQuery, added, check_room, domain};

/// A report to be added.
#[derive(Clone, Debug)]
pub struct NewTlsReport {
    /// The domain in From of the message it came in, which DKIM proved.
    pub from_domain: Domain,
    /// MAIL FROM of the message.
    pub mail_from: String,
    /// Whether it came to the address for reports about the host.
    pub is_host: bool,
    /// When the message came.
    pub received: UnixSeconds,
    /// What it says.
    pub report: Report,
}

/// What a report says about one domain, in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsReport {
    /// Its row.
    pub id: ReportId,
    /// Our domain that it is about, or our host.
    pub domain: Domain,
    /// Whether it came to the address for reports about the host.
    pub is_host: bool,
    /// The domain in From of the message it came in.
    pub from_domain: Domain,
    /// MAIL FROM of the message.
    pub mail_from: String,
    /// When the message came.
    pub received: UnixSeconds,
    /// The start of the time that it is about.
    pub begin: UnixSeconds,
    /// The end.
    pub end: UnixSeconds,
    /// The name of the reporter.
    pub org_name: String,
    /// As the reporter named it.
    pub report_id: String,
}

const COLUMNS: &str =
    "id, domain, is_host, from_domain, mail_from, received, begins, ends, org_name, report_id";

impl ReportDb {
    /// Adds a report: a row for each domain for which `is_ours`, with the policies of that domain and
    /// no others. Rows that are there already are left as they are. RFC 8460 §4.4.
    ///
    /// Deviation: the original keeps the whole report for each policy, which may be many times its
    /// size.
    ///
    /// Returns what became of each of those domains.
    ///
    /// # Errors
    ///
    /// If no domain is ours, there is no room, or the sender sent too many. Then nothing is added.
    pub fn add_tls(
        &self,
        new: &NewTlsReport,
        is_ours: impl Fn(&Domain) -> bool,
    ) -> Result<Vec<(Domain, Added)>> {
        let by_domain = by_domain(&new.report, is_ours);
        if by_domain.is_empty() {
            return Err(ReportDbError::UnknownDomain);
        }
        let mut rows = Vec::with_capacity(by_domain.len());
        for (domain, policies) in by_domain {
            let of_domain = Report { policies, ..without_policies(&new.report) };
            rows.push((domain, json::pack(&of_domain)?));
        }
        self.write(|db| {
            let mut outcomes = Vec::with_capacity(rows.len());
            for (domain, (packed, size)) in rows {
                check_room(db, "tls", &new.from_domain, new.received)?;
                let row = Row { domain: &domain, packed, size };
                outcomes.push((domain.clone(), insert(db, new, &row)?));
            }
            Ok(outcomes)
        })
    }

    /// Lists what reports say about domains, without what it is.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub fn tls_reports(&self, query: &ReportQuery<'_>) -> Result<Vec<TlsReport>> {
        self.read(|db| {
            query.rows(db, ("tls", COLUMNS), |row| {
                Ok(TlsReport {
                    id: ReportId(row.get(0)?),
                    domain: domain(row.get_ref(1)?.as_str()?)?,
                    is_host: row.get(2)?,
                    from_domain: domain(row.get_ref(3)?.as_str()?)?,
                    mail_from: row.get(4)?,
                    received: UnixSeconds(row.get(5)?),
                    begin: UnixSeconds(row.get(6)?),
                    end: UnixSeconds(row.get(7)?),
                    org_name: row.get(8)?,
                    report_id: row.get(9)?,
                })
            })
        })
    }

    /// What a report says about the domain of the row; `None` if it is not there.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub fn tls_report(&self, id: ReportId) -> Result<Option<Report>> {
        let sql = "SELECT size, report FROM tls WHERE id = ?1";
        let found: Option<(u64, Vec<u8>)> = self.read(|db| {
            let mut statement = db.prepare_cached(sql)?;
            Ok(statement.query_row([id.0], |row| Ok((row.get(0)?, row.get(1)?))).optional()?)
        })?;
        found.map(|(size, packed)| json::unpack(&packed, size)).transpose()
    }
}

/// The policies of each domain that is ours. All in all they are those of the report at most.
fn by_domain(
    report: &Report,
    is_ours: impl Fn(&Domain) -> bool,
) -> BTreeMap<Domain, Vec<PolicyResult>> {
    let mut found: BTreeMap<Domain, Vec<PolicyResult>> = BTreeMap::new();
    for result in &report.policies {
        if let Some(domain) = result.policy.domain().filter(&is_ours) {
            found.entry(domain).or_default().push(result.clone());
        }
    }
    found
}

fn without_policies(report: &Report) -> Report {
    Report {
        organization_name: report.organization_name.clone(),
        date_range: report.date_range,
        contact_info: report.contact_info.clone(),
        report_id: report.report_id.clone(),
        policies: Vec::new(),
    }
}

struct Row<'a> {
    domain: &'a Domain,
    packed: Vec<u8>,
    size: u64,
}

fn insert(db: &rusqlite::Connection, new: &NewTlsReport, row: &Row<'_>) -> Result<Added> {
    const SQL: &str = "INSERT INTO tls(domain, is_host, from_domain, mail_from, received, begins, \
        ends, org_name, report_id, size, report) \
        VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) ON CONFLICT DO NOTHING";
    let inserted = db.prepare_cached(SQL)?.execute(params![
        row.domain.ascii(),
        new.is_host,
        new.from_domain.ascii(),
        new.mail_from,
        new.received.0,
        new.report.date_range.start.0,
        new.report.date_range.end.0,
        new.report.organization_name,
        new.report.report_id,
        row.size,
        row.packed,
    ])?;
    Ok(added(db, inserted))
}

#[cfg(test)]
#[path = "tls_tests.rs"]
mod tests;
