//! What the account has learnt about junk from how its user marks messages.
//!
//! A message marked `$Junk` or `$NotJunk`, and not both, is to be learnt; what the table says was
//! learnt of it may lag behind. Whatever changes its marks puts it into a queue in the same commit,
//! and maintenance learns and unlearns what is queued, some messages in each commit. So marking ten
//! thousand messages is quick, and a crash neither loses anything nor counts it twice.
//!
//! Invariant: a message whose marks say something else than what was learnt of it is in the queue.
//! Invariant: the counts of words are those of the messages recorded as learnt, and of no others.

mod check;
mod train;

use mox_base::{Flags, MsgId};
use mox_junk::{Class, Count, Score, Totals, Words, classify};
use rusqlite::{Connection, OptionalExtension, params};

use crate::policy::JunkFilter;
use crate::read::Reader;
use crate::tx::Tx;
use crate::{Result, StoreError};

pub(crate) use check::check;
pub(crate) use train::step;

/// What version 3 adds for the junk filter.
pub(crate) const TABLES: &str = "
CREATE TABLE junk_state(
    id INTEGER PRIMARY KEY CHECK(id = 1),
    kinds INTEGER NOT NULL,
    ham INTEGER NOT NULL,
    spam INTEGER NOT NULL
);
INSERT INTO junk_state VALUES (1, 0, 0, 0);
CREATE TABLE junk_word(hash INTEGER PRIMARY KEY, ham INTEGER NOT NULL, spam INTEGER NOT NULL);
CREATE TABLE junk_trained(id INTEGER PRIMARY KEY, class INTEGER NOT NULL, body INTEGER NOT NULL);
CREATE TABLE junk_queue(id INTEGER PRIMARY KEY);
";

/// `junk_trained.class` of ham and spam.
const CLASSES: [(Class, i64); 2] = [(Class::Ham, 1), (Class::Spam, 2)];

/// How far learning is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JunkProgress {
    /// Messages learnt.
    pub totals: Totals,
    /// Words known from them.
    pub words: u64,
    /// Messages to be learnt or unlearnt, or to be looked at.
    pub waiting: u64,
}

/// The row `junk_state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct JunkState {
    /// By which rules words were made, as [`mox_junk::Kinds::signature`]; 0 if what was learnt no longer
    /// follows the marks.
    kinds: u32,
    totals: Totals,
}

impl JunkState {
    fn load(db: &Connection) -> Result<Self> {
        let sql = "SELECT kinds, ham, spam FROM junk_state";
        let read = |row: &rusqlite::Row<'_>| {
            let totals = Totals { ham: row.get(1)?, spam: row.get(2)? };
            Ok(Self { kinds: row.get(0)?, totals })
        };
        let found = db.prepare_cached(sql)?.query_row([], read).optional()?;
        found.ok_or(StoreError::Damaged { what: "junk state" })
    }

    fn save(self, db: &Connection) -> Result<()> {
        let sql = "UPDATE junk_state SET kinds = ?1, ham = ?2, spam = ?3";
        let Self { kinds, totals } = self;
        db.prepare_cached(sql)?.execute(params![kinds, totals.ham, totals.spam])?;
        Ok(())
    }
}

/// What a message with these flags is to be learnt as.
fn class_of(flags: Flags) -> Option<Class> {
    match (flags.contains(Flags::JUNK), flags.contains(Flags::NOT_JUNK)) {
        (true, false) => Some(Class::Spam),
        (false, true) => Some(Class::Ham),
        _ => None,
    }
}

/// Notes in this transaction that the flags of a message become others; `Flags::NONE` before it is
/// there and when it is gone.
pub(crate) fn flags_change(tx: &Tx<'_>, id: MsgId, before: Flags, after: Flags) -> Result<()> {
    if class_of(before) == class_of(after) {
        return Ok(());
    }
    let sql = if tx.shared.policy().is_ok_and(|policy| policy.junk_filter.is_some()) {
        "INSERT OR IGNORE INTO junk_queue VALUES (?1)"
    } else {
        // Nothing is learnt. If there is a filter again, it begins anew.
        "UPDATE junk_state SET kinds = 0 WHERE kinds != 0 AND ?1 = ?1"
    };
    tx.db().prepare_cached(sql)?.execute([id.0])?;
    tx.shared.junk_is_behind();
    Ok(())
}

/// Forgets everything, and has all marked messages learnt anew if there is a filter.
pub(crate) fn retrain(tx: &mut Tx<'_>) -> Result<()> {
    let policy = tx.shared.policy()?;
    start_anew(tx.db(), policy.junk_filter.as_ref())?;
    tx.shared.junk_is_behind();
    Ok(())
}

fn start_anew(db: &Connection, filter: Option<&JunkFilter>) -> Result<()> {
    db.execute_batch("DELETE FROM junk_word; DELETE FROM junk_trained; DELETE FROM junk_queue;")?;
    let kinds = filter.map_or(0, |filter| filter.kinds.signature());
    JunkState { kinds, totals: Totals::default() }.save(db)?;
    if filter.is_some() {
        let both = Flags::JUNK | Flags::NOT_JUNK;
        let sql = "INSERT INTO junk_queue SELECT id FROM msg WHERE flags & ?1 IN (?2, ?3)";
        let [both, junk, not_junk] = [both, Flags::JUNK, Flags::NOT_JUNK].map(Flags::bits);
        db.prepare_cached(sql)?.execute(params![both, junk, not_junk])?;
    }
    Ok(())
}

impl Reader {
    /// Weighs the words of a message by what this account has learnt.
    ///
    /// The words must be of the kinds that the policy of the account says. Costs one look-up per
    /// word, in the order of their hashes.
    ///
    /// # Errors
    ///
    /// If the database cannot be read.
    pub fn classify(&self, words: &Words, params: &mox_junk::Params) -> Result<Score> {
        let db = self.db()?;
        let state = JunkState::load(db)?;
        if state.kinds == 0 {
            return Ok(classify([], Totals::default(), params));
        }
        let mut find = db.prepare_cached("SELECT ham, spam FROM junk_word WHERE hash = ?1")?;
        let mut words = words.sorted();
        words.sort_unstable_by_key(|word| word.hash.cast_signed());
        let mut counted = Vec::with_capacity(words.len());
        for word in &words {
            let read = |row: &rusqlite::Row<'_>| Ok(Count { ham: row.get(0)?, spam: row.get(1)? });
            let count = find.query_row([word.hash.cast_signed()], read).optional()?;
            counted.extend(count.map(|count| (word.text, count)));
        }
        Ok(classify(counted, state.totals, params))
    }

    /// Whether anything was learnt. If not, no words say anything, and need not be read.
    ///
    /// # Errors
    ///
    /// If the database cannot be read.
    pub fn has_learnt(&self) -> Result<bool> {
        let state = JunkState::load(self.db()?)?;
        Ok(state.kinds != 0 && state.totals != Totals::default())
    }

    /// How far learning is. Counts words and what waits: for people, not for every message.
    ///
    /// # Errors
    ///
    /// If the database cannot be read.
    pub fn junk_progress(&self) -> Result<JunkProgress> {
        let db = self.db()?;
        let count = |table: &str| -> Result<u64> {
            let sql = format!("SELECT count(*) FROM {table}");
            Ok(db.query_row(&sql, [], |row| row.get(0))?)
        };
        let totals = JunkState::load(db)?.totals;
        Ok(JunkProgress { totals, words: count("junk_word")?, waiting: count("junk_queue")? })
    }

    /// Whether something waits to be learnt.
    pub(crate) fn junk_is_behind(&self, filter: Option<&JunkFilter>) -> Result<bool> {
        let db = self.db()?;
        let kinds = filter.map_or(0, |filter| filter.kinds.signature());
        let sql = if filter.is_some() {
            "SELECT EXISTS(SELECT 1 FROM junk_queue)"
        } else {
            "SELECT EXISTS(SELECT 1 FROM junk_trained)"
        };
        let waits: bool = db.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
        Ok(waits || JunkState::load(db)?.kinds != kinds)
    }
}
