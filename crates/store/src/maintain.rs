//! Work put off until the account is quiet: erasing, checkpoints, giving space back.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use mox_base::ModSeq;
use rusqlite::{Connection, params};

use crate::account::Shared;
use crate::hash;
use crate::index::{self, Batch};
use crate::junk;
use crate::read::Reader;
use crate::tx::Tx;
use crate::writer::Writer;
use crate::{Result, StoreError};

/// Messages erased in one commit.
const ERASE_BATCH: usize = 200;

/// The log is emptied into the database above this size.
pub const LOG_BYTES_MAX: u64 = 16 << 20;

/// Free pages are given back above this number, if they are also a quarter of the file.
const FREE_PAGES_MAX: i64 = 4_096;

/// Pages given back in one step.
const VACUUM_PAGES: u32 = 1_024;

/// Does one step of what is due. Returns whether more is.
pub(crate) fn step(shared: &Arc<Shared>) -> bool {
    if shared.is_poisoned() {
        return false;
    }
    let mut slot = shared.writer.lock();
    if slot.is_none() {
        return false;
    }
    let done = shared.with_writer(&mut slot, |writer| due(shared, writer));
    drop(slot);
    let work = |more| Ok(junk::step(shared)? | fill_index(shared)? | hash::step(shared)? | more);
    match done.and_then(work) {
        Ok(more) => more,
        Err(error) => {
            tracing::warn!(account = %shared.name, %error, "account maintenance");
            // The next tick tries again.
            shared.index_is_behind();
            shared.junk_is_behind();
            shared.hashes_are_behind();
            shared.was_busy();
            false
        }
    }
}

/// Writes what no client is told of: the counters stay. All of `write` or nothing.
pub(crate) fn write_unseen(
    shared: &Shared,
    write: impl FnOnce(&Connection) -> Result<()>,
) -> Result<()> {
    let mut slot = shared.writer.lock();
    shared.with_writer(&mut slot, |writer| {
        let db = &writer.db;
        db.execute_batch("BEGIN IMMEDIATE")?;
        if let Err(error) = write(db) {
            if !db.is_autocommit() {
                db.execute_batch("ROLLBACK")?;
            }
            return Err(error);
        }
        shared.finish_commit(db, &writer.state, writer.state)
    })
}

/// Brings a few more messages into the search index. Returns whether there may be more.
fn fill_index(shared: &Arc<Shared>) -> Result<bool> {
    if !shared.may_index() || !shared.take_index_behind() {
        return Ok(false);
    }
    let batch = Batch::read(&Reader::begin(Arc::clone(shared))?)?;
    if batch.is_empty() {
        return Ok(false);
    }
    write_unseen(shared, |db| batch.insert(db))?;
    shared.index_is_behind();
    Ok(true)
}

fn due(shared: &Shared, writer: &mut Writer) -> Result<bool> {
    if shared.tombs.swap(false, Ordering::AcqRel) {
        let more = erase(shared, writer)?;
        if more {
            shared.tombs.store(true, Ordering::Release);
            return Ok(true);
        }
    }
    if checkpoint_is_due(shared) {
        let sql = "PRAGMA wal_checkpoint(PASSIVE)";
        writer.db.query_row(sql, [], |_| Ok(()))?;
        give_back(writer)?;
    }
    Ok(false)
}

fn checkpoint_is_due(shared: &Shared) -> bool {
    let log = shared.dir.join("index.db-wal");
    fs::metadata(log).is_ok_and(|meta| meta.len() > LOG_BYTES_MAX)
}

fn give_back(writer: &Writer) -> Result<()> {
    let number = |pragma: &str| -> Result<i64> {
        Ok(writer.db.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get(0))?)
    };
    let free = number("freelist_count")?;
    if free > FREE_PAGES_MAX && free > number("page_count")? / 4 {
        writer.db.execute_batch(&format!("PRAGMA incremental_vacuum({VACUUM_PAGES})"))?;
    }
    Ok(())
}

struct Tomb {
    mailbox: i64,
    uid: u32,
    id: i64,
    erase: bool,
    body: i64,
}

/// Erases what no session needs any more. Files go after the commit that forgot them: a crash
/// between leaves a file without a row, which the sweep at opening removes.
fn erase(shared: &Shared, writer: &mut Writer) -> Result<bool> {
    let Some(_erasing) = shared.holds.erasing() else {
        // The tick after the hold sees to it.
        shared.tombs.store(true, Ordering::Release);
        return Ok(false);
    };
    let applied = shared.hub.applied_by_all().unwrap_or(ModSeq::MAX);
    let db = &writer.db;
    let tombs = db
        .prepare_cached(
            // What was learnt of a message is unlearnt by its words, so they stay until then.
            "SELECT mailbox, uid, id, erase, body FROM tomb WHERE removed <= ?1 \
             AND NOT (erase AND id IN (SELECT id FROM junk_trained)) LIMIT ?2",
        )?
        .query_map(params![applied.get(), ERASE_BATCH], |row| {
            Ok(Tomb {
                mailbox: row.get(0)?,
                uid: row.get(1)?,
                id: row.get(2)?,
                erase: row.get(3)?,
                body: row.get(4)?,
            })
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    if tombs.is_empty() {
        let left: bool = db.query_row("SELECT EXISTS(SELECT 1 FROM tomb)", [], |row| row.get(0))?;
        // What is left waits for a session; the next tick looks again.
        shared.tombs.store(left, Ordering::Release);
        return Ok(false);
    }
    db.execute_batch("BEGIN IMMEDIATE")?;
    let mut tx = Tx::new(db, shared, writer.state, None);
    let outcome = tombs.iter().map(|tomb| erase_one(&mut tx, tomb)).collect::<Result<Vec<_>>>();
    let files = match outcome {
        Ok(files) => files,
        Err(error) => {
            if !db.is_autocommit() {
                db.execute_batch("ROLLBACK")?;
            }
            return Err(error);
        }
    };
    let (state, _) = tx.finish();
    shared.finish_commit(db, &state, writer.state)?;
    writer.state = state;
    for file in files.into_iter().flatten() {
        shared.disk.remove(&shared.blob_dir().join(file)).map_err(StoreError::from)?;
    }
    Ok(true)
}

/// Returns the file of the body, if it had one and it is no longer used.
fn erase_one(tx: &mut Tx<'_>, tomb: &Tomb) -> Result<Option<String>> {
    let db = tx.db();
    db.prepare_cached("DELETE FROM tomb WHERE mailbox = ?1 AND uid = ?2")?
        .execute(params![tomb.mailbox, tomb.uid])?;
    if !tomb.erase {
        return Ok(None);
    }
    db.prepare_cached("DELETE FROM meta WHERE id = ?1")?.execute([tomb.id])?;
    db.prepare_cached("UPDATE body SET refs = refs - 1 WHERE id = ?1")?.execute([tomb.body])?;
    let mut unused =
        db.prepare_cached("DELETE FROM body WHERE id = ?1 AND refs <= 0 RETURNING file")?;
    let mut rows = unused.query([tomb.body])?;
    let file: Option<Option<String>> = rows.next()?.map(|row| row.get(0)).transpose()?;
    if file.is_some() {
        index::forget(db, tomb.body)?;
        hash::forget(db, tomb.body)?;
    }
    Ok(file.flatten())
}
