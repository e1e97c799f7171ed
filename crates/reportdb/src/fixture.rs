//! Databases and reports for the tests of this crate.

use std::path::PathBuf;

use mox_base::{Domain, UnixSeconds};
use mox_reports::dmarc::Feedback;

use crate::{NewDmarcReport, ReportDb};

/// A database in a folder that goes away with it.
pub(crate) struct Fixture {
    pub(crate) db: ReportDb,
    pub(crate) path: PathBuf,
    _dir: tempfile::TempDir,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("reports.db");
        Self { db: ReportDb::open(&path).unwrap(), path, _dir: dir }
    }

    /// The plan for the statement last prepared with such a text.
    pub(crate) fn plan(&self, sql: &str, bound: impl rusqlite::Params) -> String {
        let read = |db: &rusqlite::Connection| {
            let mut statement = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
            let rows = statement.query_map(bound, |row| row.get::<_, String>(3))?;
            Ok(rows.collect::<rusqlite::Result<Vec<_>>>()?.join("; "))
        };
        self.db.read(read).unwrap()
    }
}

pub(crate) fn domain(name: &str) -> Domain {
    Domain::parse(name).unwrap()
}

/// A report about `example.org` for the time that ends at `end`.
pub(crate) fn dmarc(about: &str, end: i64, report_id: &str) -> NewDmarcReport {
    let mut feedback = Feedback::default();
    let metadata = &mut feedback.report_metadata;
    metadata.org_name = "Reporter".to_owned();
    metadata.report_id = report_id.to_owned();
    metadata.date_range.begin = UnixSeconds(end - 86_400);
    metadata.date_range.end = UnixSeconds(end);
    feedback.policy_published.domain = about.to_owned();
    NewDmarcReport {
        domain: domain(about),
        from_domain: domain("reporter.example"),
        received: UnixSeconds(end + 3_600),
        feedback,
    }
}
