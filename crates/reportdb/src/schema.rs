//! The tables, opening the database, and the steps from each version to the next.
//!
//! `docs/store-format.md` explains every column; change both together.

use std::path::Path;

use mox_sqlite::{Durability, Settings, Step};
use rusqlite::Connection;

use crate::error::{ReportDbError, Result};

/// The version that this program writes; `user_version` in the file.
pub const SCHEMA_VERSION: u32 = 2;

/// A power failure may cost the last reports and evaluations. The messages that the reports came in
/// are in an account, and each message from outside would else cost one more sync.
const SETTINGS: Settings =
    Settings { durability: Durability::Checkpoint, page_cache_kib: 1_024, statements_max: 32 };

const TABLES: &str = "
CREATE TABLE dmarc(
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    domain TEXT NOT NULL,
    from_domain TEXT NOT NULL,
    received INTEGER NOT NULL,
    begins INTEGER NOT NULL,
    ends INTEGER NOT NULL,
    org_name TEXT NOT NULL,
    report_id TEXT NOT NULL,
    size INTEGER NOT NULL,
    feedback BLOB NOT NULL
);
CREATE UNIQUE INDEX dmarc_same ON dmarc(from_domain, domain, report_id, begins, ends);
CREATE INDEX dmarc_domain ON dmarc(domain, ends, id);
CREATE INDEX dmarc_ends ON dmarc(ends, id);
CREATE INDEX dmarc_sender ON dmarc(from_domain, received);
CREATE INDEX dmarc_received ON dmarc(received);
CREATE TABLE tls(
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    domain TEXT NOT NULL,
    is_host INTEGER NOT NULL,
    from_domain TEXT NOT NULL,
    mail_from TEXT NOT NULL,
    received INTEGER NOT NULL,
    begins INTEGER NOT NULL,
    ends INTEGER NOT NULL,
    org_name TEXT NOT NULL,
    report_id TEXT NOT NULL,
    size INTEGER NOT NULL,
    report BLOB NOT NULL
);
CREATE UNIQUE INDEX tls_same ON tls(from_domain, domain, report_id, begins, ends);
CREATE INDEX tls_domain ON tls(domain, ends, id);
CREATE INDEX tls_ends ON tls(ends, id);
CREATE INDEX tls_sender ON tls(from_domain, received);
CREATE INDEX tls_received ON tls(received);
CREATE TABLE evaluation(
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    policy_domain TEXT NOT NULL,
    evaluated INTEGER NOT NULL,
    is_optional INTEGER NOT NULL,
    interval_hours INTEGER NOT NULL,
    addresses TEXT NOT NULL,
    policy TEXT NOT NULL,
    record TEXT NOT NULL
);
CREATE INDEX evaluation_domain ON evaluation(policy_domain, evaluated, id);
CREATE INDEX evaluation_evaluated ON evaluation(evaluated);
CREATE TABLE usage(kind TEXT PRIMARY KEY, count INTEGER NOT NULL, bytes INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO usage VALUES('dmarc', 0, 0), ('tls', 0, 0), ('evaluation', 0, 0);
CREATE TRIGGER dmarc_added AFTER INSERT ON dmarc BEGIN
    UPDATE usage SET count = count + 1, bytes = bytes + length(new.feedback) WHERE kind = 'dmarc';
END;
CREATE TRIGGER dmarc_removed AFTER DELETE ON dmarc BEGIN
    UPDATE usage SET count = count - 1, bytes = bytes - length(old.feedback) WHERE kind = 'dmarc';
END;
CREATE TRIGGER tls_added AFTER INSERT ON tls BEGIN
    UPDATE usage SET count = count + 1, bytes = bytes + length(new.report) WHERE kind = 'tls';
END;
CREATE TRIGGER tls_removed AFTER DELETE ON tls BEGIN
    UPDATE usage SET count = count - 1, bytes = bytes - length(old.report) WHERE kind = 'tls';
END;
CREATE TRIGGER evaluation_added AFTER INSERT ON evaluation BEGIN
    UPDATE usage SET count = count + 1, bytes = bytes + length(new.record) WHERE kind = 'evaluation';
END;
CREATE TRIGGER evaluation_removed AFTER DELETE ON evaluation BEGIN
    UPDATE usage SET count = count - 1, bytes = bytes - length(old.record) WHERE kind = 'evaluation';
END;
";

/// What mail that goes out needs: policies of others, what came of TLS, and who wants no reports.
const OUTGOING_TABLES: &str = "
CREATE TABLE mtasts(
    id INTEGER PRIMARY KEY,
    domain TEXT NOT NULL UNIQUE,
    inserted INTEGER NOT NULL,
    valid_end INTEGER NOT NULL,
    updated INTEGER NOT NULL,
    used INTEGER NOT NULL,
    record_id TEXT NOT NULL,
    policy TEXT
);
CREATE INDEX mtasts_used ON mtasts(used);
CREATE TABLE tls_result(
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    policy_domain TEXT NOT NULL,
    day INTEGER NOT NULL,
    recipient_domain TEXT NOT NULL,
    is_host INTEGER NOT NULL,
    sends_report INTEGER NOT NULL,
    reported INTEGER NOT NULL,
    size INTEGER NOT NULL,
    results BLOB NOT NULL
);
CREATE UNIQUE INDEX tls_result_same ON tls_result(policy_domain, recipient_domain, day);
CREATE INDEX tls_result_day ON tls_result(day);
CREATE TABLE report_suppression(
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    address TEXT NOT NULL UNIQUE,
    inserted INTEGER NOT NULL,
    until INTEGER NOT NULL,
    comment TEXT NOT NULL
);
CREATE INDEX report_suppression_until ON report_suppression(until);
INSERT INTO usage VALUES('mtasts', 0, 0), ('tls_result', 0, 0), ('report_suppression', 0, 0);
CREATE TRIGGER mtasts_added AFTER INSERT ON mtasts BEGIN
    UPDATE usage SET count = count + 1, bytes = bytes + coalesce(length(new.policy), 0) WHERE kind = 'mtasts';
END;
CREATE TRIGGER mtasts_changed AFTER UPDATE OF policy ON mtasts BEGIN
    UPDATE usage SET bytes = bytes + coalesce(length(new.policy), 0) - coalesce(length(old.policy), 0) WHERE kind = 'mtasts';
END;
CREATE TRIGGER mtasts_removed AFTER DELETE ON mtasts BEGIN
    UPDATE usage SET count = count - 1, bytes = bytes - coalesce(length(old.policy), 0) WHERE kind = 'mtasts';
END;
CREATE TRIGGER tls_result_added AFTER INSERT ON tls_result BEGIN
    UPDATE usage SET count = count + 1, bytes = bytes + length(new.results) WHERE kind = 'tls_result';
END;
CREATE TRIGGER tls_result_changed AFTER UPDATE OF results ON tls_result BEGIN
    UPDATE usage SET bytes = bytes + length(new.results) - length(old.results) WHERE kind = 'tls_result';
END;
CREATE TRIGGER tls_result_removed AFTER DELETE ON tls_result BEGIN
    UPDATE usage SET count = count - 1, bytes = bytes - length(old.results) WHERE kind = 'tls_result';
END;
CREATE TRIGGER report_suppression_added AFTER INSERT ON report_suppression BEGIN
    UPDATE usage SET count = count + 1, bytes = bytes + length(new.address) WHERE kind = 'report_suppression';
END;
CREATE TRIGGER report_suppression_removed AFTER DELETE ON report_suppression BEGIN
    UPDATE usage SET count = count - 1, bytes = bytes - length(old.address) WHERE kind = 'report_suppression';
END;
";

/// Step n brings a database from version n to n + 1, in one transaction with the new version.
///
/// A released step is never changed: `tests/fixtures` keeps a database of every released version.
const STEPS: &[Step<ReportDbError>] = &[create_tables, add_outgoing];

fn create_tables(db: &Connection) -> Result<()> {
    Ok(db.execute_batch(TABLES)?)
}

fn add_outgoing(db: &Connection) -> Result<()> {
    Ok(db.execute_batch(OUTGOING_TABLES)?)
}

/// Opens the database, making and upgrading its tables as needed.
pub(crate) fn open(path: &Path) -> Result<Connection> {
    let db = mox_sqlite::open(path, &SETTINGS)?;
    mox_sqlite::upgrade(&db, STEPS)?;
    Ok(db)
}

pub(crate) fn open_still(path: &Path) -> Result<Connection> {
    Ok(mox_sqlite::open_still(path, &SETTINGS)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_step_to_every_version() {
        assert_eq!(STEPS.len(), SCHEMA_VERSION as usize);
    }

    #[test]
    fn a_database_of_the_future_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("reports.db");
        let db = open(&path).unwrap();
        db.pragma_update(None, "user_version", SCHEMA_VERSION + 1).unwrap();
        drop(db);
        assert!(matches!(open(&path), Err(ReportDbError::TooNew { .. })));
    }

    #[test]
    fn a_failed_step_leaves_the_old_version() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("reports.db");
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE usage(x)").unwrap();
        assert!(open(&path).is_err());
        let db = Connection::open(&path).unwrap();
        let tables: u32 =
            db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).unwrap();
        assert_eq!(tables, 1);
    }
}
