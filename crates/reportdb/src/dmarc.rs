//! DMARC aggregate reports of others.

use mox_base::{Domain, UnixSeconds};
use mox_reports::dmarc::Feedback;
use rusqlite::{OptionalExtension as _, params};

use crate::db::ReportDb;
use crate::error::Result;
use crate::json;
use crate::query::{Added, ReportId, ReportQuery, added, check_room, domain};

/// A report to be added.
#[derive(Clone, Debug)]
pub struct NewDmarcReport {
    /// Our domain that it is about.
    pub domain: Domain,
    /// The domain in From of the message it came in, which DMARC proved.
    pub from_domain: Domain,
    /// When the message came.
    pub received: UnixSeconds,
    /// What it says.
    pub feedback: Feedback,
}

/// A report in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DmarcReport {
    /// Its row.
    pub id: ReportId,
    /// Our domain that it is about.
    pub domain: Domain,
    /// The domain in From of the message it came in.
    pub from_domain: Domain,
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

const COLUMNS: &str = "id, domain, from_domain, received, begins, ends, org_name, report_id";

impl ReportDb {
    /// Adds a report, unless the sender sent it before. RFC 7489 §7.2, RFC 9990 §3.5.
    ///
    /// Deviation: the original keeps it as often as it comes, and counts it so.
    ///
    /// # Errors
    ///
    /// If there is no room, or the sender sent too many.
    pub fn add_dmarc(&self, report: &NewDmarcReport) -> Result<Added> {
        const SQL: &str = "INSERT INTO dmarc(domain, from_domain, received, begins, ends, org_name, \
            report_id, size, feedback) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) \
            ON CONFLICT DO NOTHING";
        let (packed, size) = json::pack(&report.feedback)?;
        let metadata = &report.feedback.report_metadata;
        self.write(|db| {
            check_room(db, "dmarc", &report.from_domain, report.received)?;
            let inserted = db.prepare_cached(SQL)?.execute(params![
                report.domain.ascii(),
                report.from_domain.ascii(),
                report.received.0,
                metadata.date_range.begin.0,
                metadata.date_range.end.0,
                metadata.org_name,
                metadata.report_id,
                size,
                packed,
            ])?;
            Ok(added(db, inserted))
        })
    }

    /// Lists reports, without what they say.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub fn dmarc_reports(&self, query: &ReportQuery<'_>) -> Result<Vec<DmarcReport>> {
        self.read(|db| {
            query.rows(db, ("dmarc", COLUMNS), |row| {
                Ok(DmarcReport {
                    id: ReportId(row.get(0)?),
                    domain: domain(row.get_ref(1)?.as_str()?)?,
                    from_domain: domain(row.get_ref(2)?.as_str()?)?,
                    received: UnixSeconds(row.get(3)?),
                    begin: UnixSeconds(row.get(4)?),
                    end: UnixSeconds(row.get(5)?),
                    org_name: row.get(6)?,
                    report_id: row.get(7)?,
                })
            })
        })
    }

    /// What a report says; `None` if it is not there.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub fn dmarc_feedback(&self, id: ReportId) -> Result<Option<Feedback>> {
        let sql = "SELECT size, feedback FROM dmarc WHERE id = ?1";
        let found: Option<(u64, Vec<u8>)> = self.read(|db| {
            let mut statement = db.prepare_cached(sql)?;
            Ok(statement.query_row([id.0], |row| Ok((row.get(0)?, row.get(1)?))).optional()?)
        })?;
        found.map(|(size, packed)| json::unpack(&packed, size)).transpose()
    }
}

#[cfg(test)]
#[path = "dmarc_tests.rs"]
mod tests;
