//! What must hold of the search index; see `docs/store-format.md`.

use std::collections::BTreeSet;

use rusqlite::{OptionalExtension, params};

use super::fill::{Prepared, prepare_body};
use super::mark;
use crate::Result;
use crate::read::Reader;

/// Of so many bodies it is checked that the index names them for what they contain.
const BODIES_CHECKED_MAX: usize = 200;

/// Grams of one body that are asked for at once.
const GRAMS_AT_ONCE: usize = 32;

/// Tells every contradiction to `tell`.
pub(crate) fn check(reader: &Reader, tell: &mut dyn FnMut(String)) -> Result<()> {
    let mark = mark(reader.db()?)?;
    let bodies = numbers(reader, "SELECT id FROM body WHERE id <= ?1", mark)?;
    let tables = [
        ("gram", "SELECT id FROM gram_docsize WHERE id != ?1 OR id = ?1"),
        ("sort_key", "SELECT body FROM sort_key WHERE body != ?1 OR body = ?1"),
        ("thread_key", "SELECT body FROM thread_key WHERE body != ?1 OR body = ?1"),
    ];
    for (table, sql) in tables {
        let known = numbers(reader, sql, mark)?;
        for body in bodies.difference(&known) {
            tell(format!("{table}: body {body} is not there"));
        }
        for body in known.difference(&bodies) {
            tell(format!("{table}: body {body} does not exist, or is behind the mark {mark}"));
        }
    }
    let sql = "SELECT body FROM partly_indexed WHERE body != ?1 OR body = ?1";
    for body in numbers(reader, sql, mark)?.difference(&bodies) {
        tell(format!("partly_indexed: body {body} does not exist, or is behind the mark {mark}"));
    }
    let step = bodies.len().div_ceil(BODIES_CHECKED_MAX).max(1);
    for body in bodies.iter().step_by(step) {
        check_body(reader, &prepare_body(reader, *body), tell)?;
    }
    Ok(())
}

fn numbers(reader: &Reader, sql: &str, mark: i64) -> Result<BTreeSet<i64>> {
    let mut statement = reader.db()?.prepare(sql)?;
    let rows = statement.query_map([mark], |row| row.get(0))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Compares what the index holds with what it would be given now.
fn check_body(reader: &Reader, now: &Prepared, tell: &mut dyn FnMut(String)) -> Result<()> {
    let Prepared { body, grams, is_partial, sort, threads } = now;
    let db = reader.db()?;
    let sql = "SELECT EXISTS(SELECT 1 FROM partly_indexed WHERE body = ?1)";
    let recorded: bool = db.prepare_cached(sql)?.query_row([body], |row| row.get(0))?;
    if recorded != *is_partial {
        tell(format!("partly_indexed: body {body} recorded as {recorded}"));
    }
    let sql = "SELECT subject, \"from\", \"to\", cc, display_from, display_to FROM sort_key \
         WHERE body = ?1";
    let values: Option<[String; 6]> = db
        .prepare_cached(sql)?
        .query_row([body], |row| {
            Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?])
        })
        .optional()?;
    let wanted =
        [&sort.subject, &sort.from, &sort.to, &sort.cc, &sort.display_from, &sort.display_to];
    if values.is_some_and(|values| values.iter().ne(wanted)) {
        tell(format!("sort_key: body {body} has other values"));
    }
    let sql = "SELECT message_id, subject, is_reply, refs FROM thread_key WHERE body = ?1";
    type Row = (Option<i64>, Option<i64>, bool, Option<Vec<u8>>);
    let keys: Option<Row> = db
        .prepare_cached(sql)?
        .query_row([body], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
        .optional()?;
    let signed = |id: Option<u64>| id.map(u64::cast_signed);
    let wanted = (signed(threads.id), signed(threads.subject), threads.is_reply, threads.refs());
    if keys.is_some_and(|keys| keys != wanted) {
        tell(format!("thread_key: body {body} has other values"));
    }
    let all: Vec<&str> = grams.split_whitespace().collect();
    let mut has = db.prepare_cached("SELECT 1 FROM gram WHERE rowid = ?1 AND gram MATCH ?2")?;
    for some in all.chunks(GRAMS_AT_ONCE) {
        let quoted: Vec<String> = some.iter().map(|gram| format!("\"{gram}\"")).collect();
        if !has.exists(params![body, quoted.join(" AND ")])? {
            tell(format!("gram: body {body} is not found by {some:?}"));
            break;
        }
    }
    Ok(())
}
