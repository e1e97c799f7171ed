//! The cache of policies of MTA-STS. RFC 8461 §3.3, §10.2.

use mox_base::{Domain, UnixSeconds};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::db::ReportDb;
use crate::error::Result;
use crate::query::{LIST_MAX, domain, usage};

/// Domains whose policies are kept. For one more, that which was not used for the longest goes.
pub const STS_DOMAINS_MAX: u64 = 20_000;

/// Bytes of policies that are kept in all.
pub const STS_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// How exact [`StsEntry::used`] is, in seconds: not every message for a domain is worth a write.
pub const STS_USED_SECS: i64 = 3_600;

/// A policy that was fetched, or that fetching it failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StsEntry {
    /// The domain that it is for.
    pub domain: Domain,
    /// When the domain was first seen to have one.
    pub inserted: UnixSeconds,
    /// Until when it is good.
    pub valid_end: UnixSeconds,
    /// When it was last fetched, or found not to have changed.
    pub updated: UnixSeconds,
    /// When it was last asked for, see [`STS_USED_SECS`].
    pub used: UnixSeconds,
    /// What the record of the domain called it.
    pub record_id: String,
    /// Its text. `None`: it could not be had, and is not asked for again until `valid_end`.
    pub policy: Option<String>,
}

const COLUMNS: &str = "domain, inserted, valid_end, updated, used, record_id, policy";

impl ReportDb {
    /// What is known of a domain, good or not any more.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub fn sts_get(&self, of: &Domain) -> Result<Option<StsEntry>> {
        let sql = format!("SELECT {COLUMNS} FROM mtasts WHERE domain = ?1");
        self.read(|db| Ok(db.prepare_cached(&sql)?.query_row([of.ascii()], entry).optional()?))
    }

    /// Keeps what is known of a domain, in place of what was kept; only `inserted` stays as it was.
    /// Others go if there is no room: those not used for the longest.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub fn sts_put(&self, entry: &StsEntry) -> Result<()> {
        self.write(|db| put(db, entry))
    }

    /// Notes that the policy of a domain was asked for. Writes only if the last time is
    /// [`STS_USED_SECS`] ago.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub fn sts_touch(&self, of: &Domain, now: UnixSeconds) -> Result<()> {
        let due = "SELECT 1 FROM mtasts WHERE domain = ?1 AND abs(?2 - used) >= ?3";
        let bound = params![of.ascii(), now.0, STS_USED_SECS];
        if !self.read(|db| Ok(db.prepare_cached(due)?.exists(bound)?))? {
            return Ok(());
        }
        let sql = "UPDATE mtasts SET used = ?2 WHERE domain = ?1";
        self.write(|db| {
            db.prepare_cached(sql)?.execute(params![of.ascii(), now.0])?;
            Ok(())
        })
    }

    /// Forgets a domain. Returns whether it was known.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub fn sts_remove(&self, of: &Domain) -> Result<bool> {
        let sql = "DELETE FROM mtasts WHERE domain = ?1";
        self.write(|db| Ok(db.prepare_cached(sql)?.execute([of.ascii()])? > 0))
    }

    /// Forgets domains that nobody has asked for since `before`. Returns how many.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub fn sts_remove_unused(&self, before: UnixSeconds) -> Result<u64> {
        let sql = "DELETE FROM mtasts WHERE used < ?1";
        let removed = self.write(|db| Ok(db.prepare_cached(sql)?.execute([before.0])?))?;
        Ok(u64::try_from(removed).unwrap_or_default())
    }

    /// The domains with a policy that was last updated before `before`, at most [`LIST_MAX`], in the
    /// order of their names after `after`.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub fn sts_stale(&self, before: UnixSeconds, after: Option<&Domain>) -> Result<Vec<Domain>> {
        const SQL: &str = "SELECT domain FROM mtasts WHERE domain > ?1 AND updated < ?2 \
            AND policy IS NOT NULL ORDER BY domain LIMIT ?3";
        let after = after.map_or("", Domain::ascii);
        self.read(|db| {
            let mut statement = db.prepare_cached(SQL)?;
            let bound = params![after, before.0, LIST_MAX];
            let rows = statement.query_map(bound, |row| domain(row.get_ref(0)?.as_str()?))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// What is known of all domains, at most [`LIST_MAX`], in the order of their names after `after`.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub fn sts_list(&self, after: Option<&Domain>) -> Result<Vec<StsEntry>> {
        let sql =
            format!("SELECT {COLUMNS} FROM mtasts WHERE domain > ?1 ORDER BY domain LIMIT ?2");
        let after = after.map_or("", Domain::ascii);
        self.read(|db| {
            let mut statement = db.prepare_cached(&sql)?;
            let rows = statement.query_map(params![after, LIST_MAX], entry)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }
}

fn put(db: &Connection, entry: &StsEntry) -> Result<()> {
    const SQL: &str = "INSERT INTO mtasts(domain, inserted, valid_end, updated, used, \
        record_id, policy) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT(domain) DO UPDATE \
        SET valid_end = excluded.valid_end, updated = excluded.updated, used = excluded.used, \
        record_id = excluded.record_id, policy = excluded.policy";
    db.prepare_cached(SQL)?.execute(params![
        entry.domain.ascii(),
        entry.inserted.0,
        entry.valid_end.0,
        entry.updated.0,
        entry.used.0,
        entry.record_id,
        entry.policy,
    ])?;
    make_room(db, &entry.domain)
}

/// As [`put`], unless what is there was updated at that time or later.
pub(crate) fn keep(db: &Connection, entry: &StsEntry) -> Result<()> {
    let later = "SELECT 1 FROM mtasts WHERE domain = ?1 AND updated >= ?2";
    let bound = params![entry.domain.ascii(), entry.updated.0];
    if db.prepare_cached(later)?.exists(bound)? { Ok(()) } else { put(db, entry) }
}

fn entry(row: &Row<'_>) -> rusqlite::Result<StsEntry> {
    Ok(StsEntry {
        domain: domain(row.get_ref(0)?.as_str()?)?,
        inserted: UnixSeconds(row.get(1)?),
        valid_end: UnixSeconds(row.get(2)?),
        updated: UnixSeconds(row.get(3)?),
        used: UnixSeconds(row.get(4)?),
        record_id: row.get(5)?,
        policy: row.get(6)?,
    })
}

/// Each removal walks the index on `used`, so that a put costs no more than what it pushes out.
fn make_room(db: &Connection, but: &Domain) -> Result<()> {
    const SQL: &str = "DELETE FROM mtasts WHERE id = \
        (SELECT id FROM mtasts WHERE domain <> ?1 ORDER BY used, id LIMIT 1)";
    loop {
        let (count, bytes) = usage(db, "mtasts")?;
        let is_room = count <= STS_DOMAINS_MAX && bytes <= STS_BYTES_MAX;
        if is_room || db.prepare_cached(SQL)?.execute([but.ascii()])? == 0 {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Fixture, domain as named};

    fn entry(name: &str, used: i64, policy: Option<&str>) -> StsEntry {
        StsEntry {
            domain: named(name),
            inserted: UnixSeconds(used),
            valid_end: UnixSeconds(used + 1_000),
            updated: UnixSeconds(used),
            used: UnixSeconds(used),
            record_id: "1".to_owned(),
            policy: policy.map(str::to_owned),
        }
    }

    #[test]
    fn policies_are_kept_changed_and_forgotten() {
        let Fixture { db, .. } = &Fixture::new();
        let first = entry("a.example", 10_000, Some("version: STSv1"));
        assert_eq!(db.sts_get(&first.domain).unwrap(), None);
        db.sts_put(&first).unwrap();
        assert_eq!(db.sts_get(&first.domain).unwrap().as_ref(), Some(&first));
        let second = StsEntry { record_id: "2".to_owned(), ..entry("a.example", 20_000, None) };
        db.sts_put(&second).unwrap();
        let want = StsEntry { inserted: first.inserted, ..second };
        assert_eq!(db.sts_list(None).unwrap(), std::slice::from_ref(&want));
        // It is written once an hour at most; a clock that went back is followed too.
        for (now, want) in [(23_599, 20_000), (23_600, 23_600), (20_001, 23_600), (20_000, 20_000)]
        {
            db.sts_touch(&first.domain, UnixSeconds(now)).unwrap();
            assert_eq!(db.sts_get(&first.domain).unwrap().unwrap().used.0, want, "{now}");
        }
        assert!(db.sts_remove(&first.domain).unwrap());
        assert!(!db.sts_remove(&first.domain).unwrap());
        assert_eq!(db.check().unwrap(), Vec::<String>::new());
    }

    #[test]
    fn stale_and_unused_ones_are_found() {
        let Fixture { db, .. } = &Fixture::new();
        for (name, used) in [("c.example", 30), ("a.example", 10), ("b.example", 20)] {
            db.sts_put(&entry(name, used, Some("x"))).unwrap();
        }
        db.sts_put(&entry("failed.example", 5, None)).unwrap();
        let names = |before, after: Option<&str>| {
            let after = after.map(named);
            let found = db.sts_stale(UnixSeconds(before), after.as_ref()).unwrap();
            found.iter().map(|domain| domain.ascii().to_owned()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(names(30, None), "a.example b.example");
        assert_eq!(names(31, Some("a.example")), "b.example c.example");
        let list = db.sts_list(Some(&named("b.example"))).unwrap();
        assert_eq!(list.len(), 2);
        assert_eq!(db.sts_remove_unused(UnixSeconds(20)).unwrap(), 2);
        assert_eq!(names(99, None), "b.example c.example");
    }

    #[test]
    fn the_least_used_go_when_there_is_no_room() {
        let Fixture { db, .. } = &Fixture::new();
        for number in 0..4 {
            db.sts_put(&entry(&format!("d{number}.example"), 100 - number, Some("x"))).unwrap();
        }
        // As if all the others took nearly all the room.
        let fill = |count: u64, bytes: u64| {
            let sql = "UPDATE usage SET count = ?1, bytes = ?2 WHERE kind = 'mtasts'";
            db.write(|db| Ok(db.execute(sql, params![count, bytes])?)).unwrap();
        };
        fill(STS_DOMAINS_MAX, 4);
        // The one that comes in stays, though it was used before all others.
        db.sts_put(&entry("new.example", 1, Some("x"))).unwrap();
        assert_eq!(db.sts_get(&named("d3.example")).unwrap(), None);
        assert!(db.sts_get(&named("new.example")).unwrap().is_some());
        fill(4, STS_BYTES_MAX - 1);
        db.sts_put(&entry("newer.example", 200, Some("xyz"))).unwrap();
        let left: Vec<_> = db.sts_list(None).unwrap();
        let left: Vec<_> = left.iter().map(|one| one.domain.ascii()).collect();
        assert_eq!(left, ["d0.example", "d1.example", "newer.example"]);
        let plan = Fixture::new()
            .plan("SELECT id FROM mtasts WHERE domain <> ?1 ORDER BY used, id LIMIT 1", ["x"]);
        assert!(plan.contains("mtasts_used"), "{plan}");
    }
}
