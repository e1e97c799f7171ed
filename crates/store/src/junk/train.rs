//! Learning and unlearning what is queued, some messages in each commit.

use std::sync::Arc;

use mox_base::Flags;
use mox_junk::{Class, Kinds, Totals, Words};
use rusqlite::{Connection, OptionalExtension, params};

use super::{CLASSES, JunkState, class_of, start_anew};
use crate::Result;
use crate::account::Shared;
use crate::maintain::write_unseen;
use crate::policy::JunkFilter;
use crate::read::Reader;

/// The most messages in one commit.
const BATCH_MESSAGES: usize = 256;

/// The most words in one commit, each counted once a message; one message may have more. Writes wait
/// no longer than counting them takes.
const BATCH_WORDS: usize = 20_000;

/// A message of the queue.
struct Queued {
    id: i64,
    /// What it is to be learnt as, as it was when it was read.
    wanted: Option<Class>,
    /// What it was learnt as, and the body it had: the words are in that.
    learnt: Option<(Class, i64)>,
    /// Its body; `None` if it is gone.
    body: Option<i64>,
    /// Of its words; none if nothing is to be done.
    hashes: Vec<u64>,
}

/// The change of the counts of one word.
struct Change {
    hash: i64,
    ham: i64,
    spam: i64,
}

/// Learns what waits, as far as one commit goes. Returns whether there may be more.
pub(crate) fn step(shared: &Arc<Shared>) -> Result<bool> {
    if !shared.may_index() || !shared.take_junk_behind() {
        return Ok(false);
    }
    let policy = shared.policy()?;
    let filter = policy.junk_filter.as_ref();
    let reader = Reader::begin(Arc::clone(shared))?;
    if !reader.junk_is_behind(filter)? {
        return Ok(false);
    }
    let kinds = filter.map_or(0, |filter| filter.kinds.signature());
    let batch = match filter {
        // Words made by other rules could not be unlearnt by these.
        Some(filter) if JunkState::load(reader.db()?)?.kinds == kinds => {
            Some(read_batch(&reader, filter.kinds)?)
        }
        _ => None,
    };
    drop(reader);
    write_unseen(shared, |db| write(db, kinds, filter, batch))?;
    shared.junk_is_behind();
    // What was unlearnt can be erased.
    shared.tombs.store(true, std::sync::atomic::Ordering::Release);
    Ok(true)
}

/// Reads what comes next in the queue, and the words of what is to be learnt or unlearnt.
fn read_batch(reader: &Reader, kinds: Kinds) -> Result<Vec<Queued>> {
    let sql = "SELECT q.id, m.flags, m.body, t.class, t.body FROM junk_queue q \
         LEFT JOIN msg m ON m.id = q.id LEFT JOIN junk_trained t ON t.id = q.id \
         ORDER BY q.id LIMIT ?1";
    let mut statement = reader.db()?.prepare_cached(sql)?;
    let mut rows = statement.query([BATCH_MESSAGES])?;
    let mut batch = Vec::new();
    let mut words = 0;
    while let Some(row) = rows.next()? {
        let flags = row.get::<_, Option<u16>>(1)?.map_or(Flags::NONE, Flags::from_bits);
        let learnt = row.get::<_, Option<i64>>(3)?.and_then(class_from);
        let mut queued = Queued {
            id: row.get(0)?,
            wanted: class_of(flags),
            learnt: learnt.zip(row.get(4)?),
            body: row.get(2)?,
            hashes: Vec::new(),
        };
        let learnt_body = queued.learnt.map(|(_, body)| body);
        if let (true, Some(body)) = (queued.is_due(), learnt_body.or(queued.body)) {
            queued.hashes = hashes_of(reader, queued.id, body, kinds);
        }
        words += queued.hashes.len();
        batch.push(queued);
        if words > BATCH_WORDS {
            break;
        }
    }
    Ok(batch)
}

/// The words of a message, without the headers that were added at delivery: a message that is still
/// to be judged does not have them either.
///
/// One that cannot be read has none, so that it does not keep those behind it from being learnt.
pub(super) fn hashes_of(reader: &Reader, id: i64, body: i64, kinds: Kinds) -> Vec<u64> {
    let read = || -> Result<Vec<u64>> {
        let mut content = reader.content_of(id, body)?;
        content.prefix.clear();
        let message = content.message()?;
        let mut whole = Arc::new(content).seekable();
        Ok(Words::of_message(&mut whole, &message, kinds)?.hashes())
    };
    read().unwrap_or_else(|error| {
        tracing::warn!(id, %error, "message cannot be learnt");
        Vec::new()
    })
}

/// Does the work in a transaction. Without a batch, begins anew.
fn write(
    db: &Connection,
    kinds: u32,
    filter: Option<&JunkFilter>,
    batch: Option<Vec<Queued>>,
) -> Result<()> {
    let Some(batch) = batch else { return start_anew(db, filter) };
    let mut state = JunkState::load(db)?;
    if state.kinds != kinds {
        // Begun anew meanwhile.
        return Ok(());
    }
    let mut changes = Vec::new();
    for queued in batch {
        // What changed since it was read stays in the queue.
        if queued.is_as_read(db)? {
            queued.learn(db, &mut state.totals, &mut changes)?;
        }
    }
    apply(db, changes)?;
    state.save(db)
}

impl Queued {
    fn is_due(&self) -> bool {
        self.wanted != self.learnt.map(|(class, _)| class)
    }

    fn is_as_read(&self, db: &Connection) -> Result<bool> {
        let sql = "SELECT m.flags, t.class FROM junk_queue q LEFT JOIN msg m ON m.id = q.id \
             LEFT JOIN junk_trained t ON t.id = q.id WHERE q.id = ?1";
        let read = |row: &rusqlite::Row<'_>| {
            let flags = row.get::<_, Option<u16>>(0)?.map_or(Flags::NONE, Flags::from_bits);
            Ok((class_of(flags), row.get::<_, Option<i64>>(1)?.and_then(class_from)))
        };
        let now = db.prepare_cached(sql)?.query_row([self.id], read).optional()?;
        Ok(now == Some((self.wanted, self.learnt.map(|(class, _)| class))))
    }

    /// Records what is learnt of it from now on, and collects what that changes.
    fn learn(self, db: &Connection, totals: &mut Totals, changes: &mut Vec<Change>) -> Result<()> {
        db.prepare_cached("DELETE FROM junk_queue WHERE id = ?1")?.execute([self.id])?;
        if !self.is_due() {
            return Ok(());
        }
        let (mut ham, mut spam) = (0, 0);
        let mut count = |class, by: i64| {
            match class {
                Class::Ham => ham += by,
                Class::Spam => spam += by,
            }
            let total = totals.of(class);
            *total = total.saturating_add_signed(if by > 0 { 1 } else { -1 });
        };
        if let Some((class, _)) = self.learnt {
            count(class, -1);
        }
        if let Some(class) = self.wanted {
            count(class, 1);
        }
        let change = |hash: u64| Change { hash: hash.cast_signed(), ham, spam };
        changes.extend(self.hashes.into_iter().map(change));
        let body = self.learnt.map(|(_, body)| body).or(self.body);
        match self.wanted.zip(body) {
            Some((class, body)) => {
                db.prepare_cached("INSERT OR REPLACE INTO junk_trained VALUES (?1, ?2, ?3)")?
                    .execute(params![self.id, class_column(class), body])?;
            }
            None => {
                db.prepare_cached("DELETE FROM junk_trained WHERE id = ?1")?.execute([self.id])?;
            }
        }
        Ok(())
    }
}

/// Changes the counts, each word's once and in the order of the table.
fn apply(db: &Connection, mut changes: Vec<Change>) -> Result<()> {
    changes.sort_unstable_by_key(|change| change.hash);
    let mut add = db.prepare_cached(
        "INSERT INTO junk_word VALUES (?1, max(?2, 0), max(?3, 0)) ON CONFLICT(hash) \
         DO UPDATE SET ham = max(ham + ?2, 0), spam = max(spam + ?3, 0)",
    )?;
    let mut tidy =
        db.prepare_cached("DELETE FROM junk_word WHERE hash = ?1 AND ham = 0 AND spam = 0")?;
    for same in changes.chunk_by(|a, b| a.hash == b.hash) {
        let Some(Change { hash, .. }) = same.first() else { continue };
        let ham: i64 = same.iter().map(|change| change.ham).sum();
        let spam: i64 = same.iter().map(|change| change.spam).sum();
        if (ham, spam) == (0, 0) {
            continue;
        }
        add.execute(params![hash, ham, spam])?;
        if ham < 0 || spam < 0 {
            tidy.execute([hash])?;
        }
    }
    Ok(())
}

pub(super) fn class_from(column: i64) -> Option<Class> {
    CLASSES.iter().find(|(_, number)| *number == column).map(|(class, _)| *class)
}

fn class_column(class: Class) -> Option<i64> {
    CLASSES.iter().find(|(one, _)| *one == class).map(|(_, number)| *number)
}
