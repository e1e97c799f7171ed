//! Whether what is in the database agrees with itself.

use mox_reports::{dmarc, tls};
use rusqlite::Connection;

use crate::db::ReportDb;
use crate::error::Result;
use crate::json;
use crate::query::usage;

/// Faults that are told at most.
const FAULTS_MAX: usize = 100;

impl ReportDb {
    /// Reads everything, and says what is wrong; nothing if all is well.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub fn check(&self) -> Result<Vec<String>> {
        let mut faults = self.read(|db| {
            let sql = format!("PRAGMA integrity_check({FAULTS_MAX})");
            let mut statement = db.prepare(&sql)?;
            let rows = statement.query_map([], |row| row.get::<_, String>(0))?;
            let mut faults = rows.collect::<rusqlite::Result<Vec<_>>>()?;
            faults.retain(|fault| fault != "ok");
            for (kind, bytes) in [
                ("dmarc", "feedback"),
                ("tls", "report"),
                ("evaluation", "record"),
                ("mtasts", "policy"),
                ("tls_result", "results"),
                ("report_suppression", "address"),
            ] {
                faults.extend(usage_fault(db, kind, bytes)?);
            }
            Ok(faults)
        })?;
        let unread = |id: &i64, what: &str| format!("{what} {id} cannot be read");
        for id in &self.ids("dmarc")? {
            let found: Result<dmarc::Feedback> = self.unpacked("dmarc", "feedback", *id);
            faults.extend(found.is_err().then(|| unread(id, "dmarc report")));
        }
        for id in &self.ids("tls")? {
            let found: Result<tls::Report> = self.unpacked("tls", "report", *id);
            faults.extend(found.is_err().then(|| unread(id, "tls report")));
        }
        for id in &self.ids("tls_result")? {
            let found: Result<Vec<tls::PolicyResult>> = self.unpacked("tls_result", "results", *id);
            faults.extend(found.is_err().then(|| unread(id, "tls result")));
        }
        faults.truncate(FAULTS_MAX);
        Ok(faults)
    }

    fn ids(&self, table: &str) -> Result<Vec<i64>> {
        self.read(|db| {
            let mut statement = db.prepare(&format!("SELECT id FROM {table}"))?;
            let rows = statement.query_map([], |row| row.get(0))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    fn unpacked<T: serde::de::DeserializeOwned>(
        &self,
        table: &str,
        column: &str,
        id: i64,
    ) -> Result<T> {
        let sql = format!("SELECT size, {column} FROM {table} WHERE id = ?1");
        let (size, packed): (u64, Vec<u8>) = self.read(|db| {
            Ok(db.prepare_cached(&sql)?.query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))?)
        })?;
        json::unpack(&packed, size)
    }
}

/// `usage` is what the limits go by.
fn usage_fault(db: &Connection, kind: &str, bytes: &str) -> Result<Option<String>> {
    let sql = format!("SELECT count(*), coalesce(sum(length({bytes})), 0) FROM {kind}");
    let real: (u64, u64) = db.query_row(&sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let known = usage(db, kind)?;
    Ok((real != known).then(|| format!("usage of {kind} is {known:?}, and there are {real:?}")))
}

#[cfg(test)]
mod tests {
    use crate::fixture::{Fixture, dmarc};

    #[test]
    fn damage_is_found() {
        let fixture = Fixture::new();
        fixture.db.add_dmarc(&dmarc("example.org", 86_400, "a")).unwrap();
        fixture.db.add_dmarc(&dmarc("example.org", 86_400, "b")).unwrap();
        assert_eq!(fixture.db.check().unwrap(), Vec::<String>::new());
        let change = |sql: &str| fixture.db.write(|db| Ok(db.execute_batch(sql)?)).unwrap();
        change("UPDATE dmarc SET size = size - 1 WHERE id = 2");
        assert_eq!(fixture.db.check().unwrap(), ["dmarc report 2 cannot be read"]);
        change(
            "DELETE FROM dmarc WHERE id = 2; UPDATE usage SET count = 7, bytes = 0 WHERE kind = 'tls'",
        );
        let want = "usage of tls is (7, 0), and there are (0, 0)";
        assert_eq!(fixture.db.check().unwrap(), [want]);
    }
}
