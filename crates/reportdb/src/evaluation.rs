//! Evaluations of DMARC for incoming mail, kept until they are reported. RFC 9990 §3.1.

use mox_base::{Domain, UnixSeconds};
use mox_reports::dmarc::{PolicyPublished, Record};
use rusqlite::params;

use crate::db::ReportDb;
use crate::error::{ReportDbError, Result};
use crate::json;
use crate::query::{LIST_MAX, ReportId, domain, usage};

/// Evaluations that are kept at most. Others are not recorded.
pub const EVALUATIONS_MAX: u64 = 500_000;

/// Addresses for reports of one policy. More are left out.
pub const ADDRESSES_MAX: usize = 20;

/// What became of one message for one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evaluation {
    /// The domain whose record it is.
    pub policy_domain: Domain,
    /// When.
    pub evaluated: UnixSeconds,
    /// No report is sent for such alone.
    pub is_optional: bool,
    /// How often reports are sent: 1, 2, 3, 4, 6, 8, 12 or 24 hours.
    pub interval_hours: u8,
    /// Where reports go, as URIs; at most [`ADDRESSES_MAX`].
    pub addresses: Vec<String>,
    /// The policy as it was found.
    pub policy: PolicyPublished,
    /// The message, as the report will have it, with a count of one.
    pub record: Record,
}

/// An evaluation with its row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvaluation {
    /// Its row.
    pub id: ReportId,
    /// What it is.
    pub evaluation: Evaluation,
}

/// Evaluations of one domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvaluationStats {
    /// The domain whose record it is.
    pub policy_domain: Domain,
    /// How many.
    pub count: u64,
    /// Whether one of them makes a report be sent.
    pub sends_report: bool,
}

/// A domain with evaluations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvaluatedDomain {
    /// The domain whose record it is.
    pub policy_domain: Domain,
    /// How often reports are sent, by the latest evaluation.
    pub interval_hours: u8,
}

impl Evaluation {
    /// The hours between reports for the interval that a record asks for, in seconds: rounded up to
    /// hours, then the largest divisor of a day that is not above. RFC 7489 §6.3 (`ri`).
    #[must_use]
    pub fn interval_hours(interval_secs: u32) -> u8 {
        let hours = interval_secs.div_ceil(3600);
        let divisors = [24_u8, 12, 8, 6, 4, 3, 2];
        divisors.into_iter().find(|divisor| u32::from(*divisor) <= hours).unwrap_or(1)
    }
}

impl ReportDb {
    /// Adds an evaluation.
    ///
    /// # Errors
    ///
    /// If there are [`EVALUATIONS_MAX`] already, or the database fails.
    pub fn add_evaluation(&self, evaluation: &Evaluation) -> Result<ReportId> {
        const SQL: &str = "INSERT INTO evaluation(policy_domain, evaluated, is_optional, \
            interval_hours, addresses, policy, record) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        let kept = evaluation.addresses.len().min(ADDRESSES_MAX);
        let addresses = json::text(&evaluation.addresses.get(..kept))?;
        let policy = json::text(&evaluation.policy)?;
        let record = json::text(&evaluation.record)?;
        self.write(|db| {
            if usage(db, "evaluation")?.0 >= EVALUATIONS_MAX {
                return Err(ReportDbError::Full { what: "evaluations" });
            }
            db.prepare_cached(SQL)?.execute(params![
                evaluation.policy_domain.ascii(),
                evaluation.evaluated.0,
                evaluation.is_optional,
                evaluation.interval_hours,
                addresses,
                policy,
                record,
            ])?;
            Ok(ReportId(db.last_insert_rowid()))
        })
    }

    /// Lists evaluations of one domain made before `before`, earliest first, after the row `after`
    /// of time and id; at most [`LIST_MAX`].
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub fn evaluations(
        &self,
        policy_domain: &Domain,
        before: UnixSeconds,
        after: Option<(UnixSeconds, ReportId)>,
    ) -> Result<Vec<StoredEvaluation>> {
        const SQL: &str = "SELECT id, evaluated, is_optional, interval_hours, addresses, policy, \
            record FROM evaluation WHERE policy_domain = ?1 AND (evaluated, id) > (?2, ?3) \
            AND evaluated < ?4 ORDER BY evaluated, id LIMIT ?5";
        let (time, id) = after.map_or((i64::MIN, i64::MIN), |(time, id)| (time.0, id.0));
        self.read(|db| {
            let mut statement = db.prepare_cached(SQL)?;
            let bound = params![policy_domain.ascii(), time, id, before.0, LIST_MAX];
            let mut rows = statement.query(bound)?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                let evaluation = Evaluation {
                    policy_domain: policy_domain.clone(),
                    evaluated: UnixSeconds(row.get(1)?),
                    is_optional: row.get(2)?,
                    interval_hours: row.get(3)?,
                    addresses: json::from_text(row.get_ref(4)?.as_str().map_err(not_text)?)?,
                    policy: json::from_text(row.get_ref(5)?.as_str().map_err(not_text)?)?,
                    record: json::from_text(row.get_ref(6)?.as_str().map_err(not_text)?)?,
                };
                found.push(StoredEvaluation { id: ReportId(row.get(0)?), evaluation });
            }
            Ok(found)
        })
    }

    /// The domains with evaluations, at most [`LIST_MAX`], in the order of their names after `after`.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub fn evaluation_stats(&self, after: Option<&Domain>) -> Result<Vec<EvaluationStats>> {
        const SQL: &str = "SELECT policy_domain, count(*), min(is_optional) FROM evaluation \
            WHERE policy_domain > ?1 GROUP BY policy_domain ORDER BY policy_domain LIMIT ?2";
        let after = after.map_or("", Domain::ascii);
        self.read(|db| {
            let mut statement = db.prepare_cached(SQL)?;
            let rows = statement.query_map(params![after, LIST_MAX], |row| {
                Ok(EvaluationStats {
                    policy_domain: domain(row.get_ref(0)?.as_str()?)?,
                    count: row.get(1)?,
                    sends_report: !row.get::<_, bool>(2)?,
                })
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// The domains with evaluations, at most [`LIST_MAX`], in the order of their names after `after`.
    ///
    /// Steps from domain to domain in an index: costs nothing for the evaluations themselves.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub fn evaluated_domains(&self, after: Option<&Domain>) -> Result<Vec<EvaluatedDomain>> {
        const SQL: &str = "WITH RECURSIVE next(name) AS ( \
                SELECT (SELECT min(policy_domain) FROM evaluation WHERE policy_domain > ?1) \
                UNION ALL \
                SELECT (SELECT min(policy_domain) FROM evaluation WHERE policy_domain > name) \
                FROM next WHERE name IS NOT NULL LIMIT ?2 \
            ) \
            SELECT name, (SELECT interval_hours FROM evaluation WHERE policy_domain = name \
                ORDER BY evaluated DESC, id DESC LIMIT 1) \
            FROM next WHERE name IS NOT NULL";
        let after = after.map_or("", Domain::ascii);
        self.read(|db| {
            let mut statement = db.prepare_cached(SQL)?;
            let rows = statement.query_map(params![after, LIST_MAX], |row| {
                Ok(EvaluatedDomain {
                    policy_domain: domain(row.get_ref(0)?.as_str()?)?,
                    interval_hours: row.get(1)?,
                })
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// Removes evaluations of one domain made before `before`. Returns how many.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub fn remove_evaluations(&self, policy_domain: &Domain, before: UnixSeconds) -> Result<u64> {
        let sql = "DELETE FROM evaluation WHERE policy_domain = ?1 AND evaluated < ?2";
        self.write(|db| {
            let removed =
                db.prepare_cached(sql)?.execute(params![policy_domain.ascii(), before.0])?;
            Ok(u64::try_from(removed).unwrap_or_default())
        })
    }
}

fn not_text(_: rusqlite::types::FromSqlError) -> ReportDbError {
    ReportDbError::Damaged { what: "evaluation" }
}

#[cfg(test)]
#[path = "evaluation_tests.rs"]
mod tests;
