//! The database of reports, `reports.db`: what others reported about our domains (DMARC, RFC 9990 and
//! RFC 7489; TLS, RFC 8460), and what our own reports will tell: evaluations of incoming mail, and what
//! came of TLS in outgoing mail. Also the policies of MTA-STS that were fetched (RFC 8461).
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
mod mtasts;
mod query;
mod schema;
mod suppression;
mod takeover;
mod tls;
mod tls_result;

pub use db::{EVALUATION_KEEP_SECS, REPORT_KEEP_SECS, Removed, ReportDb};
pub use dmarc::{DmarcReport, NewDmarcReport};
pub use error::{ReportDbError, Result};
pub use evaluation::{
    ADDRESSES_MAX, EVALUATIONS_MAX, EvaluatedDomain, Evaluation, EvaluationStats, StoredEvaluation,
};
pub use mtasts::{STS_BYTES_MAX, STS_DOMAINS_MAX, STS_USED_SECS, StsEntry};
pub use query::{
    Added, LIST_MAX, REPORTS_BYTES_MAX, REPORTS_PER_SENDER_MAX, ReportId, ReportQuery, SENDER_SECS,
};
pub use schema::SCHEMA_VERSION;
pub use suppression::{FAILED_REPORT_SECS, REPORT_SUPPRESSIONS_MAX, ReportSuppression};
pub use takeover::{Keeping, KeptRow, Numbered};
pub use tls::{NewTlsReport, TlsReport};
pub use tls_result::{
    NewTlsResult, Reported, StoredTlsResult, TLS_RESULT_BYTES_MAX, TLS_RESULT_KEEP_DAYS,
    TLS_RESULTS_BYTES_MAX, TLS_RESULTS_MAX, TlsResultKey,
};
