//! The database of reports, `reports.db`: what others reported about our domains (DMARC, RFC 9990 and
//! RFC 7489; TLS, RFC 8460), and the evaluations of incoming mail that our own reports will tell.
//!
//! Not here: reading reports from messages, deciding whom to believe, and sending reports.
//!
//! Calls block for a short time. Everything that comes from outside is bounded in number and size,
//! for each sender and in all, so that nobody can fill the disk or push out what others sent.
//!
//! ```
//! use mox_base::{Domain, UnixSeconds};
//! use mox_reportdb::{Added, NewDmarcReport, ReportDb, ReportQuery};
//!
//! let dir = tempfile::tempdir().unwrap();
//! let db = ReportDb::open(&dir.path().join("reports.db"))?;
//! let domain = Domain::parse("example.org").unwrap();
//! let report = NewDmarcReport {
//!     domain: domain.clone(),
//!     from_domain: Domain::parse("reporter.example").unwrap(),
//!     received: UnixSeconds(1_795_219_300),
//!     feedback: mox_reports::dmarc::Feedback::default(),
//! };
//! assert!(matches!(db.add_dmarc(&report)?, Added::New(_)));
//! assert_eq!(db.add_dmarc(&report)?, Added::Known);
//! assert_eq!(db.dmarc_reports(&ReportQuery::of(&domain))?.len(), 1);
//! # Ok::<(), mox_reportdb::ReportDbError>(())
//! ```

mod check;
mod db;
mod dmarc;
mod error;
mod evaluation;
#[cfg(test)]
mod fixture;
mod json;
mod query;
mod schema;
mod tls;

pub use db::{EVALUATION_KEEP_SECS, REPORT_KEEP_SECS, Removed, ReportDb};
pub use dmarc::{DmarcReport, NewDmarcReport};
pub use error::{ReportDbError, Result};
pub use evaluation::{
    ADDRESSES_MAX, EVALUATIONS_MAX, Evaluation, EvaluationStats, StoredEvaluation,
};
pub use query::{
    Added, LIST_MAX, REPORTS_BYTES_MAX, REPORTS_PER_SENDER_MAX, ReportId, ReportQuery, SENDER_SECS,
};
pub use schema::SCHEMA_VERSION;
pub use tls::{NewTlsReport, TlsReport};
