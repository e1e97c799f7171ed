//! What must hold of what was learnt; see `docs/store-format.md`.

use std::collections::BTreeMap;

use mox_base::Flags;
use mox_junk::{Class, Count, Kinds, Totals};

use super::train::{class_from, hashes_of};
use super::{JunkState, class_of};
use crate::Result;
use crate::read::Reader;

/// Tells every contradiction to `tell`.
pub(crate) fn check(reader: &Reader, tell: &mut dyn FnMut(String)) -> Result<()> {
    let state = JunkState::load(reader.db()?)?;
    if state.kinds == 0 {
        // Nothing holds of what was learnt, until it is learnt anew.
        return Ok(());
    }
    let Some(kinds) = kinds_of(state.kinds) else {
        // By the rules of another version of the program.
        return Ok(());
    };
    let mut statement = reader.db()?.prepare("SELECT id, class, body FROM junk_trained")?;
    let mut rows = statement.query([])?;
    let mut totals = Totals::default();
    let mut words: BTreeMap<i64, Count> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let id = row.get(0)?;
        let Some(class) = class_from(row.get(1)?) else {
            tell(format!("junk_trained: {id} is learnt as nothing known"));
            continue;
        };
        *totals.of(class) += 1;
        for hash in hashes_of(reader, id, row.get(2)?, kinds) {
            *words.entry(hash.cast_signed()).or_default().of(class) += 1;
        }
    }
    let recorded = state.totals;
    if totals != recorded {
        tell(format!("junk_state: {recorded:?} learnt, should be {totals:?}"));
    }
    check_words(reader, &words, tell)?;
    check_queue(reader, tell)
}

/// The kinds with this signature.
fn kinds_of(signature: u32) -> Option<Kinds> {
    let bit = |bits: u32, at: u32| bits >> at & 1 == 1;
    let all = (0..8).map(|bits| Kinds {
        onegrams: bit(bits, 0),
        twograms: bit(bits, 1),
        threegrams: bit(bits, 2),
    });
    all.into_iter().find(|kinds| kinds.signature() == signature)
}

fn check_words(
    reader: &Reader,
    words: &BTreeMap<i64, Count>,
    tell: &mut dyn FnMut(String),
) -> Result<()> {
    let mut statement = reader.db()?.prepare("SELECT hash, ham, spam FROM junk_word")?;
    let mut rows = statement.query([])?;
    let mut known = 0;
    while let Some(row) = rows.next()? {
        let hash: i64 = row.get(0)?;
        let count = Count { ham: row.get(1)?, spam: row.get(2)? };
        let wanted = words.get(&hash).copied().unwrap_or_default();
        known += 1;
        if count != wanted || count == Count::default() {
            tell(format!("junk_word: {hash:x} counted as {count:?}, should be {wanted:?}"));
        }
    }
    if known != words.len() {
        tell(format!("junk_word: {known} words, should be {}", words.len()));
    }
    Ok(())
}

/// What is not learnt as it is marked is in the queue, whether it is there or gone.
fn check_queue(reader: &Reader, tell: &mut dyn FnMut(String)) -> Result<()> {
    let sql = "SELECT m.id, m.flags, t.class FROM msg m LEFT JOIN junk_trained t ON t.id = m.id \
         WHERE m.id NOT IN (SELECT id FROM junk_queue) \
         UNION ALL SELECT t.id, 0, t.class FROM junk_trained t \
         WHERE t.id NOT IN (SELECT id FROM junk_queue) AND t.id NOT IN (SELECT id FROM msg)";
    let mut statement = reader.db()?.prepare(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(0)?;
        let wanted = class_of(Flags::from_bits(row.get(1)?));
        let learnt: Option<Class> = row.get::<_, Option<i64>>(2)?.and_then(class_from);
        if wanted != learnt {
            tell(format!("junk_queue: message {id} is not in it, learnt as {learnt:?}"));
        }
    }
    Ok(())
}
