//! Addresses that get no reports of ours for a while.

use mox_base::UnixSeconds;
use rusqlite::{OptionalExtension as _, params};

use crate::db::ReportDb;
use crate::error::{ReportDbError, Result};
use crate::query::{LIST_MAX, ReportId, usage};

/// Addresses that are kept. Those whose time is over go by and by.
pub const REPORT_SUPPRESSIONS_MAX: u64 = 100_000;

/// How long an address gets no reports after one to it failed for good.
pub const FAILED_REPORT_SECS: i64 = 31 * 24 * 3600;

/// The longest comment that is kept, in bytes.
const COMMENT_BYTES_MAX: usize = 500;

/// An address that gets no reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportSuppression {
    /// Its row.
    pub id: ReportId,
    /// The address, with ASCII letters in lower case.
    pub address: String,
    /// Since when.
    pub inserted: UnixSeconds,
    /// Until when.
    pub until: UnixSeconds,
    /// Why.
    pub comment: String,
}

impl ReportDb {
    /// Sends no reports to an address until `until`. One that is there already gets the later of
    /// the two times, and this comment.
    ///
    /// # Errors
    ///
    /// If there are [`REPORT_SUPPRESSIONS_MAX`] already, or the database fails.
    pub fn suppress_report_address(
        &self,
        address: &str,
        now: UnixSeconds,
        until: UnixSeconds,
        comment: &str,
    ) -> Result<()> {
        const SQL: &str = "INSERT INTO report_suppression(address, inserted, until, comment) \
            VALUES(?1, ?2, ?3, ?4) ON CONFLICT(address) DO UPDATE \
            SET until = max(until, excluded.until), comment = excluded.comment";
        self.write(|db| {
            if usage(db, "report_suppression")?.0 >= REPORT_SUPPRESSIONS_MAX {
                return Err(ReportDbError::Full { what: "suppressed addresses" });
            }
            let comment = kept_comment(comment);
            let bound = params![address.to_ascii_lowercase(), now.0, until.0, comment];
            db.prepare_cached(SQL)?.execute(bound)?;
            Ok(())
        })
    }

    /// Sends no reports to an address for [`FAILED_REPORT_SECS`], because one to it failed for good:
    /// refused by its server, or reported as failed later.
    ///
    /// # Errors
    ///
    /// As [`ReportDb::suppress_report_address`].
    pub fn suppress_after_failure(&self, address: &str, why: &str, now: UnixSeconds) -> Result<()> {
        let comment = format!("a report failed: {why}");
        self.suppress_report_address(address, now, now.plus_secs(FAILED_REPORT_SECS), &comment)
    }

    /// Whether an address gets no reports at `now`. Case of ASCII letters does not matter.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub fn is_report_address_suppressed(&self, address: &str, now: UnixSeconds) -> Result<bool> {
        let sql = "SELECT until FROM report_suppression WHERE address = ?1";
        let until: Option<i64> = self.read(|db| {
            let address = address.to_ascii_lowercase();
            Ok(db.prepare_cached(sql)?.query_row([address], |row| row.get(0)).optional()?)
        })?;
        Ok(until.is_some_and(|until| until > now.0))
    }

    /// The addresses, at most [`LIST_MAX`], in the order of their rows after `after`.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub fn report_suppressions(&self, after: Option<ReportId>) -> Result<Vec<ReportSuppression>> {
        const SQL: &str = "SELECT id, address, inserted, until, comment FROM report_suppression \
            WHERE id > ?1 ORDER BY id LIMIT ?2";
        let after = after.map_or(i64::MIN, |id| id.0);
        self.read(|db| {
            let mut statement = db.prepare_cached(SQL)?;
            let rows = statement.query_map(params![after, LIST_MAX], |row| {
                Ok(ReportSuppression {
                    id: ReportId(row.get(0)?),
                    address: row.get(1)?,
                    inserted: UnixSeconds(row.get(2)?),
                    until: UnixSeconds(row.get(3)?),
                    comment: row.get(4)?,
                })
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// Changes until when an address gets no reports. Returns whether it is there.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub fn extend_report_suppression(&self, id: ReportId, until: UnixSeconds) -> Result<bool> {
        let sql = "UPDATE report_suppression SET until = ?2 WHERE id = ?1";
        self.write(|db| Ok(db.prepare_cached(sql)?.execute(params![id.0, until.0])? > 0))
    }

    /// Sends reports to an address again. Returns whether it was there.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub fn unsuppress_report_address(&self, id: ReportId) -> Result<bool> {
        let sql = "DELETE FROM report_suppression WHERE id = ?1";
        self.write(|db| Ok(db.prepare_cached(sql)?.execute([id.0])? > 0))
    }
}

/// What is kept of a comment.
pub(crate) fn kept_comment(comment: &str) -> &str {
    comment.get(..comment.floor_char_boundary(COMMENT_BYTES_MAX)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Fixture;

    #[test]
    fn addresses_are_suppressed_for_a_time() {
        let Fixture { db, .. } = &Fixture::new();
        let now = UnixSeconds(1_000);
        let suppress = |address: &str, until: i64, comment: &str| {
            db.suppress_report_address(address, now, UnixSeconds(until), comment).unwrap();
        };
        let is_suppressed = |address: &str, now: i64| {
            db.is_report_address_suppressed(address, UnixSeconds(now)).unwrap()
        };
        suppress("Reports@Example.org", 2_000, "first");
        for (address, at, want) in [
            ("reports@example.org", 1_000, true),
            ("REPORTS@example.org", 1_999, true),
            ("reports@example.org", 2_000, false),
            ("report@example.org", 1_000, false),
            ("", 1_000, false),
        ] {
            assert_eq!(is_suppressed(address, at), want, "{address} at {at}");
        }
        suppress("reports@example.org", 1_500, "second");
        let [row] = &db.report_suppressions(None).unwrap()[..] else { panic!("one") };
        let told = (row.until.0, row.comment.as_str(), row.inserted);
        assert_eq!(told, (2_000, "second", now), "the later time stays");
        assert!(db.extend_report_suppression(row.id, UnixSeconds(3_000)).unwrap());
        assert!(is_suppressed("reports@example.org", 2_999));
        assert_eq!(db.report_suppressions(Some(row.id)).unwrap(), []);
        assert!(db.unsuppress_report_address(row.id).unwrap());
        assert!(!db.unsuppress_report_address(row.id).unwrap());
        assert!(!is_suppressed("reports@example.org", 1_000));
        assert_eq!(db.check().unwrap(), Vec::<String>::new());
    }

    #[test]
    fn an_address_that_refused_a_report_gets_none_for_a_while() {
        let Fixture { db, .. } = &Fixture::new();
        let now = UnixSeconds(1_000);
        db.suppress_after_failure("R@example.org", &"\u{e4}".repeat(1_000), now).unwrap();
        let [row] = &db.report_suppressions(None).unwrap()[..] else { panic!("one") };
        assert_eq!(
            (row.address.as_str(), row.until),
            ("r@example.org", now.plus_secs(FAILED_REPORT_SECS))
        );
        assert!(
            row.comment.starts_with("a report failed: ") && row.comment.len() <= COMMENT_BYTES_MAX
        );
    }

    #[test]
    fn those_whose_time_is_over_go_and_their_number_is_bounded() {
        let Fixture { db, .. } = &Fixture::new();
        let add = |address: &str, until: i64| {
            db.suppress_report_address(address, UnixSeconds(0), UnixSeconds(until), "")
        };
        add("a@example.org", 10).unwrap();
        add("b@example.org", 20).unwrap();
        assert_eq!(db.remove_old(UnixSeconds(15)).unwrap().suppressions, 1);
        let [row] = &db.report_suppressions(None).unwrap()[..] else { panic!("one") };
        assert_eq!(row.address, "b@example.org");
        let fill = "UPDATE usage SET count = ?1 WHERE kind = 'report_suppression'";
        db.write(|db| Ok(db.execute(fill, [REPORT_SUPPRESSIONS_MAX])?)).unwrap();
        assert!(matches!(add("c@example.org", 30), Err(ReportDbError::Full { .. })));
    }
}
