//! What must hold of the history; see `docs/store-format.md`.

use std::collections::{BTreeMap, BTreeSet};

use mox_base::Flags;

use super::is_junk;
use super::origin::{self, ReputationRow};
use crate::Result;
use crate::read::Reader;

/// Tells every contradiction to `tell`.
pub(crate) fn check(reader: &Reader, tell: &mut dyn FnMut(String)) -> Result<()> {
    references(reader, tell)?;
    let flags = flags(reader)?;
    let db = reader.db()?;
    let mut wanted = BTreeSet::new();
    let mut statement = db.prepare(origin::KNOWN)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let known = origin::known(row)?;
        let flags = flags.get(&known.id().0).copied().unwrap_or(Flags::NONE);
        wanted.extend(known.rows(is_junk(flags)));
    }
    let sql = "SELECT mailbox, kind, key, received, id, is_junk, localpart FROM reputation";
    let mut statement = db.prepare(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let found = ReputationRow {
            mailbox: row.get(0)?,
            kind: row.get(1)?,
            key: row.get(2)?,
            received: row.get(3)?,
            id: row.get(4)?,
            is_junk: row.get(5)?,
            localpart: row.get(6)?,
        };
        if !wanted.remove(&found) {
            tell(format!("reputation: {found:?} is of no message"));
        }
    }
    for row in wanted {
        tell(format!("reputation: {row:?} is missing"));
    }
    Ok(())
}

fn flags(reader: &Reader) -> Result<BTreeMap<i64, Flags>> {
    let mut statement = reader.db()?.prepare("SELECT id, flags FROM msg")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, Flags::from_bits(row.get(1)?))))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn references(reader: &Reader, tell: &mut dyn FnMut(String)) -> Result<()> {
    let rules = [
        ("origin of no message", "SELECT id FROM origin WHERE id NOT IN (SELECT id FROM msg)"),
        (
            "recipient of no message",
            "SELECT id FROM recipient WHERE id NOT IN (SELECT id FROM msg)",
        ),
        ("traffic without messages", "SELECT start FROM traffic WHERE messages <= 0 OR bytes < 0"),
    ];
    for (what, sql) in rules {
        let mut statement = reader.db()?.prepare(sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            tell(format!("{what}: {}", row.get::<_, i64>(0)?));
        }
    }
    Ok(())
}
