//! Rows of another server that ours takes the place of, with their numbers.
//!
//! Keeping is repeatable: what is there already stays, so that it may end at any instant and be done
//! again. Nobody else uses the database meanwhile.

use mox_base::{Domain, UnixSeconds};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, params_from_iter};

use crate::db::ReportDb;
use crate::dmarc::NewDmarcReport;
use crate::error::{ReportDbError, Result};
use crate::evaluation::{ADDRESSES_MAX, StoredEvaluation};
use crate::json;
use crate::mtasts::{self, StsEntry};
use crate::query::{ReportId, usage};
use crate::suppression::{REPORT_SUPPRESSIONS_MAX, ReportSuppression};
use crate::tls::NewTlsReport;
use crate::tls_result::{StoredTlsResult, TLS_RESULT_BYTES_MAX};

/// What rows of a table are made of.
struct Table {
    name: &'static str,
    /// All, the id first.
    columns: &'static [&'static str],
    /// Which of them tell rows apart, beside the id.
    key: &'static [&'static str],
}

const DMARC: Table = Table {
    name: "dmarc",
    columns: &[
        "id",
        "domain",
        "from_domain",
        "received",
        "begins",
        "ends",
        "org_name",
        "report_id",
        "size",
        "feedback",
    ],
    key: &["from_domain", "domain", "report_id", "begins", "ends"],
};

const TLS: Table = Table {
    name: "tls",
    columns: &[
        "id",
        "domain",
        "is_host",
        "from_domain",
        "mail_from",
        "received",
        "begins",
        "ends",
        "org_name",
        "report_id",
        "size",
        "report",
    ],
    key: &["from_domain", "domain", "report_id", "begins", "ends"],
};

const EVALUATION: Table = Table {
    name: "evaluation",
    columns: &[
        "id",
        "policy_domain",
        "evaluated",
        "is_optional",
        "interval_hours",
        "addresses",
        "policy",
        "record",
    ],
    key: &["policy_domain", "evaluated", "record"],
};

const TLS_RESULT: Table = Table {
    name: "tls_result",
    columns: &[
        "id",
        "policy_domain",
        "day",
        "recipient_domain",
        "is_host",
        "sends_report",
        "reported",
        "size",
        "results",
    ],
    key: &["policy_domain", "recipient_domain", "day"],
};

/// A row of another server, ready to be kept.
pub struct KeptRow {
    table: &'static Table,
    id: ReportId,
    values: Vec<Value>,
    sender: Option<(Domain, UnixSeconds)>,
    stored_bytes: u64,
}

/// What became of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeping {
    /// It is there, now or from before.
    Kept,
    /// Another row says the same, and it is not there itself.
    Same,
}

/// The tables with numbers that go on after those of another server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbered {
    /// DMARC reports of others.
    Dmarc,
    /// TLS reports of others.
    Tls,
    /// Evaluations of DMARC.
    Evaluations,
    /// What came of TLS in our own sessions.
    TlsResults,
}

impl Numbered {
    fn table(self) -> &'static Table {
        match self {
            Self::Dmarc => &DMARC,
            Self::Tls => &TLS,
            Self::Evaluations => &EVALUATION,
            Self::TlsResults => &TLS_RESULT,
        }
    }
}

impl std::fmt::Debug for KeptRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeptRow({} {})", self.table.name, self.id.0)
    }
}

impl KeptRow {
    /// A DMARC report of another.
    ///
    /// # Errors
    ///
    /// [`ReportDbError::Full`] if it is larger than what is kept of one.
    pub fn dmarc(id: ReportId, report: &NewDmarcReport) -> Result<Self> {
        let (packed, size) = json::pack(&report.feedback)?;
        let metadata = &report.feedback.report_metadata;
        let stored_bytes = bytes(packed.len());
        let values = vec![
            id.0.into(),
            text(&report.domain),
            text(&report.from_domain),
            report.received.0.into(),
            metadata.date_range.begin.0.into(),
            metadata.date_range.end.0.into(),
            metadata.org_name.clone().into(),
            metadata.report_id.clone().into(),
            number(size),
            packed.into(),
        ];
        let sender = Some((report.from_domain.clone(), report.received));
        Ok(Self { table: &DMARC, id, values, sender, stored_bytes })
    }

    /// What a TLS report says about one domain: its policies are those of the domain, and no others.
    ///
    /// # Errors
    ///
    /// As [`KeptRow::dmarc`].
    pub fn tls(id: ReportId, domain: &Domain, new: &NewTlsReport) -> Result<Self> {
        let (packed, size) = json::pack(&new.report)?;
        let stored_bytes = bytes(packed.len());
        let values = vec![
            id.0.into(),
            text(domain),
            new.is_host.into(),
            text(&new.from_domain),
            new.mail_from.clone().into(),
            new.received.0.into(),
            new.report.date_range.start.0.into(),
            new.report.date_range.end.0.into(),
            new.report.organization_name.clone().into(),
            new.report.report_id.clone().into(),
            number(size),
            packed.into(),
        ];
        let sender = Some((new.from_domain.clone(), new.received));
        Ok(Self { table: &TLS, id, values, sender, stored_bytes })
    }

    /// An evaluation that is not reported yet. Of its addresses, up to [`ADDRESSES_MAX`] are kept.
    ///
    /// # Errors
    ///
    /// If it cannot be written as JSON.
    pub fn evaluation(stored: &StoredEvaluation) -> Result<Self> {
        let StoredEvaluation { id, evaluation } = stored;
        let addresses = evaluation.addresses.len().min(ADDRESSES_MAX);
        let record = json::text(&evaluation.record)?;
        let stored_bytes = bytes(record.len());
        let values = vec![
            id.0.into(),
            text(&evaluation.policy_domain),
            evaluation.evaluated.0.into(),
            evaluation.is_optional.into(),
            i64::from(evaluation.interval_hours).into(),
            json::text(&evaluation.addresses.get(..addresses))?.into(),
            json::text(&evaluation.policy)?.into(),
            record.into(),
        ];
        Ok(Self { table: &EVALUATION, id: *id, values, sender: None, stored_bytes })
    }

    /// Results of a day.
    ///
    /// # Errors
    ///
    /// [`ReportDbError::Full`] if they are larger than [`TLS_RESULT_BYTES_MAX`].
    pub fn tls_result(stored: &StoredTlsResult) -> Result<Self> {
        let StoredTlsResult { id, result, reported } = stored;
        let (packed, size) = json::pack(&result.results)?;
        if size > TLS_RESULT_BYTES_MAX {
            return Err(ReportDbError::Full { what: "results" });
        }
        let stored_bytes = bytes(packed.len());
        let values = vec![
            id.0.into(),
            text(&result.policy_domain),
            result.day.into(),
            text(&result.recipient_domain),
            result.is_host.into(),
            result.sends_report.into(),
            i64::from(reported.bits()).into(),
            number(size),
            packed.into(),
        ];
        Ok(Self { table: &TLS_RESULT, id: *id, values, sender: None, stored_bytes })
    }

    /// Its number.
    #[must_use]
    pub fn id(&self) -> ReportId {
        self.id
    }

    /// How many bytes the limits count for it.
    #[must_use]
    pub fn stored_bytes(&self) -> u64 {
        self.stored_bytes
    }

    /// Of reports of others: who sent it and when it came, which [`REPORTS_PER_SENDER_MAX`] goes by.
    ///
    /// [`REPORTS_PER_SENDER_MAX`]: crate::REPORTS_PER_SENDER_MAX
    #[must_use]
    pub fn sender(&self) -> Option<(&Domain, UnixSeconds)> {
        self.sender.as_ref().map(|(domain, received)| (domain, *received))
    }

    /// What no other row of its table has too. For people it is of no use.
    #[must_use]
    pub fn key(&self) -> String {
        let shown = |value: &Value| match value {
            Value::Text(text) => text.clone(),
            Value::Integer(number) => number.to_string(),
            _ => String::new(),
        };
        // An evaluation may be made twice in a second.
        let id =
            if self.table.name == EVALUATION.name { self.id.0.to_string() } else { String::new() };
        self.key_values().map(shown).chain([id]).collect::<Vec<_>>().join("\n")
    }

    /// In the order in which the columns of the table come.
    fn key_values(&self) -> impl Iterator<Item = &Value> {
        let columns = self.table.columns.iter().zip(&self.values);
        columns.filter(|(column, _)| self.table.key.contains(column)).map(|(_, value)| value)
    }

    fn keep(&self, db: &Connection) -> Result<Keeping> {
        let Table { name, columns, .. } = self.table;
        let marks = vec!["?"; columns.len()].join(", ");
        let columns = columns.join(", ");
        let sql = format!("INSERT INTO {name}({columns}) VALUES({marks}) ON CONFLICT DO NOTHING");
        let inserted = db.prepare_cached(&sql)?.execute(params_from_iter(&self.values))?;
        match inserted > 0 || self.is_there(db)? {
            true => Ok(Keeping::Kept),
            false => Ok(Keeping::Same),
        }
    }

    /// Whether it is there already.
    fn is_there(&self, db: &Connection) -> Result<bool> {
        let Table { name, columns, key } = self.table;
        let key = columns.iter().filter(|column| key.contains(column));
        let key: Vec<_> = key.map(|column| format!("{column} IS ?")).collect();
        let sql = format!("SELECT {} FROM {name} WHERE id = ?", key.join(" AND "));
        let id = Value::from(self.id.0);
        let bound = params_from_iter(self.key_values().chain([&id]));
        let is_it = db.prepare_cached(&sql)?.query_row(bound, |row| row.get(0)).optional()?;
        match is_it {
            Some(false) => Err(ReportDbError::OtherRow { table: name, id: self.id }),
            is_it => Ok(is_it == Some(true)),
        }
    }
}

impl ReportDb {
    /// Keeps rows of another server with their numbers, all in one commit. Returns what became of each.
    ///
    /// The limits on their number and size are with the caller, who knows which are the newest.
    ///
    /// # Errors
    ///
    /// [`ReportDbError::OtherRow`] if a number belongs to a row of ours that says something else; then none
    /// is kept. And if the database fails.
    pub fn keep(&self, rows: &[KeptRow]) -> Result<Vec<Keeping>> {
        self.write(|db| rows.iter().map(|row| row.keep(db)).collect())
    }

    /// Checks that the number of a row of another server is free, or belongs to it: for a look at all rows
    /// before the first is kept.
    ///
    /// # Errors
    ///
    /// [`ReportDbError::OtherRow`] if it does not. And if the database fails.
    pub fn check_free(&self, row: &KeptRow) -> Result<()> {
        self.read(|db| row.is_there(db)).map(|_| ())
    }

    /// Gives no number up to `last` to rows that come: links to them go on to lead nowhere else.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub fn keep_sequence(&self, of: Numbered, last: u64) -> Result<()> {
        const RAISE: &str = "UPDATE sqlite_sequence SET seq = max(seq, ?2) WHERE name = ?1";
        const BEGIN: &str = "INSERT INTO sqlite_sequence(name, seq) VALUES(?1, ?2)";
        let last = i64::try_from(last).unwrap_or(i64::MAX - 1).min(i64::MAX - 1);
        let name = of.table().name;
        self.write(|db| {
            // There is no row before the first of the table.
            if db.execute(RAISE, (name, last))? == 0 && last > 0 {
                db.execute(BEGIN, (name, last))?;
            }
            Ok(())
        })
    }

    /// Keeps policies of another server, all in one commit. Those of ours stay that were updated later.
    /// Others go if there is no room: those not used for the longest.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub fn keep_policies(&self, entries: &[StsEntry]) -> Result<()> {
        self.write(|db| entries.iter().try_for_each(|entry| mtasts::keep(db, entry)))
    }

    /// Keeps addresses that get no reports, all in one commit. One that is there already keeps the longer
    /// of the two times, with its comment. The numbers are not kept.
    ///
    /// # Errors
    ///
    /// [`ReportDbError::Full`] if there are [`REPORT_SUPPRESSIONS_MAX`] already; then none is kept.
    pub fn keep_report_suppressions(&self, kept: &[ReportSuppression]) -> Result<()> {
        const SQL: &str = "INSERT INTO report_suppression(address, inserted, until, comment) \
            VALUES(?1, ?2, ?3, ?4) ON CONFLICT(address) DO UPDATE SET \
            comment = CASE WHEN until < excluded.until THEN excluded.comment ELSE comment END, \
            until = max(until, excluded.until), inserted = min(inserted, excluded.inserted)";
        self.write(|db| {
            for one in kept {
                let comment = crate::suppression::kept_comment(&one.comment);
                let address = one.address.to_ascii_lowercase();
                let bound = (address, one.inserted.0, one.until.0, comment);
                db.prepare_cached(SQL)?.execute(bound)?;
            }
            if usage(db, "report_suppression")?.0 > REPORT_SUPPRESSIONS_MAX {
                return Err(ReportDbError::Full { what: "suppressed addresses" });
            }
            Ok(())
        })
    }

    /// Writes all that was committed to the disk, whatever a power failure may do. Blocks.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub fn sync(&self) -> Result<()> {
        self.read(|db| Ok(db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?))
    }
}

fn text(domain: &Domain) -> Value {
    domain.ascii().to_owned().into()
}

fn bytes(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

fn number(size: u64) -> Value {
    i64::try_from(size).unwrap_or(i64::MAX).into()
}

#[cfg(test)]
#[path = "takeover_tests.rs"]
mod tests;
