//! What came of TLS in our own sessions with others, by day, kept until it is reported.
//! RFC 8460 §4.

use mox_base::{Domain, UnixSeconds};
use mox_reports::tls::PolicyResult;
use mox_tlspolicy::tally::Tally;
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::db::ReportDb;
use crate::error::{ReportDbError, Result};
use crate::json;
use crate::query::{LIST_MAX, ReportId, domain, usage};

/// Rows of results that are kept. Others are not recorded.
pub const TLS_RESULTS_MAX: u64 = 200_000;

/// Bytes of results that are kept in all, as they are stored.
pub const TLS_RESULTS_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Bytes of the results of one row as JSON. What would make a row larger is not recorded: only a
/// domain that shows ever new policies comes near.
pub const TLS_RESULT_BYTES_MAX: u64 = 512 * 1024;

/// Days that results are kept beyond their own. A day's report is sent soon after the day, or not
/// at all.
pub const TLS_RESULT_KEEP_DAYS: i64 = 2;

/// Results of one attempt at delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTlsResult {
    /// The domain, or the host, whose policy it is.
    pub policy_domain: Domain,
    /// The day, by [`UnixSeconds::day`].
    pub day: i64,
    /// The domain of the recipient.
    pub recipient_domain: Domain,
    /// Whether `policy_domain` is a host.
    pub is_host: bool,
    /// Whether it makes a report be sent.
    pub sends_report: bool,
    /// What happened.
    pub results: Vec<PolicyResult>,
}

/// Results of a day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredTlsResult {
    /// Its row.
    pub id: ReportId,
    /// All of that day, by policy.
    pub result: NewTlsResult,
    /// Which reports with it were begun.
    pub reported: Reported,
}

/// Which reports with a row were begun, or are known to be of no need.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Reported {
    /// That of the recipient domain.
    pub to_domain: bool,
    /// That of the host.
    pub to_host: bool,
}

impl Reported {
    fn from_bits(bits: u8) -> Self {
        Self { to_domain: bits & 1 != 0, to_host: bits & 2 != 0 }
    }

    pub(crate) fn bits(self) -> u8 {
        u8::from(self.to_domain) | u8::from(self.to_host) << 1
    }
}

/// A row without the results.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsResultKey {
    /// Which.
    pub id: ReportId,
    /// See [`NewTlsResult::policy_domain`].
    pub policy_domain: Domain,
    /// See [`NewTlsResult::recipient_domain`].
    pub recipient_domain: Domain,
    /// See [`NewTlsResult::is_host`].
    pub is_host: bool,
    /// See [`NewTlsResult::sends_report`].
    pub sends_report: bool,
    /// Which reports with it were begun.
    pub reported: Reported,
}

const COLUMNS: &str = "id, policy_domain, day, recipient_domain, is_host, sends_report, reported, \
    size, results";

impl ReportDb {
    /// Adds results of sessions, all in one commit: to the row of the same policy domain, day and
    /// recipient domain, if there is one.
    ///
    /// Returns how many were not recorded, because there is no room for them.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub fn add_tls_results(&self, new: &[NewTlsResult]) -> Result<u64> {
        self.write(|db| {
            let mut left_out = 0;
            for one in new {
                left_out += u64::from(!merge(db, one)?);
            }
            Ok(left_out)
        })
    }

    /// The results of one day, at most [`LIST_MAX`], in the order of their rows after `after`.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub fn tls_results_of_day(
        &self,
        day: i64,
        after: Option<ReportId>,
    ) -> Result<Vec<StoredTlsResult>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM tls_result WHERE day = ?1 AND id > ?2 ORDER BY id LIMIT ?3"
        );
        let after = after.map_or(i64::MIN, |id| id.0);
        self.read(|db| {
            let mut statement = db.prepare_cached(&sql)?;
            let mut rows = statement.query(params![day, after, LIST_MAX])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                found.push(stored(row)?);
            }
            Ok(found)
        })
    }

    /// The rows of one day without their results, at most [`LIST_MAX`], in their order after
    /// `after`.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub fn tls_result_keys(&self, day: i64, after: Option<ReportId>) -> Result<Vec<TlsResultKey>> {
        const SQL: &str = "SELECT id, policy_domain, recipient_domain, is_host, sends_report, \
            reported FROM tls_result WHERE day = ?1 AND id > ?2 ORDER BY id LIMIT ?3";
        let after = after.map_or(i64::MIN, |id| id.0);
        self.read(|db| {
            let mut statement = db.prepare_cached(SQL)?;
            let rows = statement.query_map(params![day, after, LIST_MAX], |row| {
                Ok(TlsResultKey {
                    id: ReportId(row.get(0)?),
                    policy_domain: domain(row.get_ref(1)?.as_str()?)?,
                    recipient_domain: domain(row.get_ref(2)?.as_str()?)?,
                    is_host: row.get(3)?,
                    sends_report: row.get(4)?,
                    reported: Reported::from_bits(row.get(5)?),
                })
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// A row, if it is still there.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub fn tls_result(&self, id: ReportId) -> Result<Option<StoredTlsResult>> {
        let sql = format!("SELECT {COLUMNS} FROM tls_result WHERE id = ?1");
        self.read(|db| {
            let mut statement = db.prepare_cached(&sql)?;
            let mut rows = statement.query([id.0])?;
            rows.next()?.map(stored).transpose()
        })
    }

    /// Notes that reports with these rows are about to be sent, so that they are not sent a second
    /// time after a crash. What was noted before stays.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub fn mark_tls_results(&self, rows: &[ReportId], reported: Reported) -> Result<()> {
        const SQL: &str = "UPDATE tls_result SET reported = reported | ?2 WHERE id = ?1";
        self.write(|db| {
            let mut statement = db.prepare_cached(SQL)?;
            for id in rows {
                statement.execute(params![id.0, reported.bits()])?;
            }
            Ok(())
        })
    }

    /// Removes rows.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub fn remove_tls_results(&self, rows: &[ReportId]) -> Result<()> {
        self.write(|db| {
            let mut statement = db.prepare_cached("DELETE FROM tls_result WHERE id = ?1")?;
            for id in rows {
                statement.execute([id.0])?;
            }
            Ok(())
        })
    }

    /// The first day whose results are still kept at `now`.
    pub(crate) fn first_day_kept(now: UnixSeconds) -> i64 {
        now.day().saturating_sub(TLS_RESULT_KEEP_DAYS)
    }
}

fn stored(row: &rusqlite::Row<'_>) -> Result<StoredTlsResult> {
    let (size, packed): (u64, Vec<u8>) = (row.get(7)?, row.get(8)?);
    let result = NewTlsResult {
        policy_domain: domain(row.get_ref(1)?.as_str().map_err(not_text)?)?,
        day: row.get(2)?,
        recipient_domain: domain(row.get_ref(3)?.as_str().map_err(not_text)?)?,
        is_host: row.get(4)?,
        sends_report: row.get(5)?,
        results: json::unpack(&packed, size)?,
    };
    Ok(StoredTlsResult {
        id: ReportId(row.get(0)?),
        result,
        reported: Reported::from_bits(row.get(6)?),
    })
}

fn not_text(_: rusqlite::types::FromSqlError) -> ReportDbError {
    ReportDbError::Damaged { what: "TLS result" }
}

/// Whether the results were recorded.
fn merge(db: &Connection, new: &NewTlsResult) -> Result<bool> {
    const FIND: &str = "SELECT id, size, results FROM tls_result \
        WHERE day = ?1 AND policy_domain = ?2 AND recipient_domain = ?3";
    const UPDATE: &str = "UPDATE tls_result SET sends_report = max(sends_report, ?2), \
        size = ?3, results = ?4 WHERE id = ?1";
    const INSERT: &str = "INSERT INTO tls_result(policy_domain, day, recipient_domain, is_host, \
        sends_report, reported, size, results) VALUES(?1, ?2, ?3, ?4, ?5, 0, ?6, ?7)";
    let key = params![new.day, new.policy_domain.ascii(), new.recipient_domain.ascii()];
    let found: Option<(i64, u64, Vec<u8>)> = db
        .prepare_cached(FIND)?
        .query_row(key, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let (id, mut tally) = match found {
        None => (None, Tally::default()),
        Some((id, size, packed)) => (Some(id), Tally::new(json::unpack(&packed, size)?)),
    };
    new.results.iter().for_each(|result| tally.add(result.clone()));
    let (packed, size) = json::pack(&tally.results())?;
    let (rows, bytes) = usage(db, "tls_result")?;
    let is_full = bytes >= TLS_RESULTS_BYTES_MAX || (id.is_none() && rows >= TLS_RESULTS_MAX);
    if size > TLS_RESULT_BYTES_MAX || is_full {
        return Ok(false);
    }
    match id {
        Some(id) => {
            db.prepare_cached(UPDATE)?.execute(params![id, new.sends_report, size, packed])?;
        }
        None => {
            db.prepare_cached(INSERT)?.execute(params![
                new.policy_domain.ascii(),
                new.day,
                new.recipient_domain.ascii(),
                new.is_host,
                new.sends_report,
                size,
                packed,
            ])?;
        }
    }
    Ok(true)
}

#[cfg(test)]
#[path = "tls_result_tests.rs"]
mod tests;
