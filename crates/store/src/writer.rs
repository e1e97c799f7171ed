//! The group-committing writer: one queue per account, drained by the pool.
//!
//! Operations that queue up while a commit syncs become the next batch and share one sync; there
//! is no timer. Each operation stands in its own savepoint or transaction, so that one that fails takes no other
//! with it. Waiters are answered after the commit, after the change feed was told.
//!
//! Invariant: at most one thread drains an account at a time, so its writes never meet.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use mox_sqlite::{Answer, pending};
use parking_lot::Mutex;
use rusqlite::Connection;

use crate::account::Shared;
use crate::feed::{Change, SubscriberId};
use crate::tx::{State, Tx};
use crate::{Pending, Result, StoreError, maintain, schema};

/// The most operations in one commit.
pub const BATCH_ITEMS_MAX: usize = 64;

/// The most bytes in one commit; one operation may be larger alone.
pub const BATCH_BYTES_MAX: usize = 8 << 20;

/// The most operations that may wait for one account. More are refused as busy.
pub const QUEUE_ITEMS_MAX: usize = 10_000;

/// The most bytes that may wait for one account.
pub const QUEUE_BYTES_MAX: usize = 64 << 20;

/// Batches after which a busy account gives its thread to others.
const BATCHES_PER_TURN: usize = 16;

/// The queue of one account.
#[derive(Default)]
pub(crate) struct Queue(Mutex<Queued>);

#[derive(Default)]
struct Queued {
    items: VecDeque<Box<dyn Item>>,
    bytes: usize,
    scheduled: bool,
}

/// The connection that writes, with the counters as they are in the database.
pub(crate) struct Writer {
    pub(crate) db: Connection,
    pub(crate) state: State,
}

/// An operation in the queue.
trait Item: Send {
    fn bytes(&self) -> usize;
    fn origin(&self) -> Option<SubscriberId>;
    /// Does the work in its savepoint.
    fn run(&mut self, tx: &mut Tx<'_>) -> Result<()>;
    /// Tells the caller how it went: by its own outcome if the commit went well.
    fn answer(self: Box<Self>, commit: Result<()>);
}

struct Operation<T, F> {
    bytes: usize,
    origin: Option<SubscriberId>,
    work: Option<F>,
    outcome: Option<Result<T>>,
    answer: Answer<T, StoreError>,
}

impl<T, F> Item for Operation<T, F>
where
    T: Send,
    F: FnOnce(&mut Tx<'_>) -> Result<T> + Send,
{
    fn bytes(&self) -> usize {
        self.bytes
    }

    fn origin(&self) -> Option<SubscriberId> {
        self.origin
    }

    fn run(&mut self, tx: &mut Tx<'_>) -> Result<()> {
        let work = self.work.take().ok_or(StoreError::Poisoned)?;
        let outcome = work(tx);
        let result = outcome.as_ref().map(|_| ()).map_err(StoreError::clone);
        self.outcome = Some(outcome);
        result
    }

    fn answer(self: Box<Self>, commit: Result<()>) {
        let outcome = match (commit, self.outcome) {
            (Err(error), Some(Ok(_)) | None) => Err(error),
            (_, Some(outcome)) => outcome,
            (Ok(()), None) => Err(StoreError::Poisoned),
        };
        self.answer.fill(outcome);
    }
}

impl Shared {
    /// Queues an operation. Its outcome is there once it is durable or has failed.
    pub(crate) fn write<T, F>(
        self: &Arc<Self>,
        origin: Option<SubscriberId>,
        bytes: usize,
        work: F,
    ) -> Pending<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Tx<'_>) -> Result<T> + Send + 'static,
    {
        if self.is_poisoned() {
            return Pending::ready(Err(StoreError::Poisoned));
        }
        let (answer, pending) = pending();
        let item = Operation { bytes, origin, work: Some(work), outcome: None, answer };
        let mut queue = self.queue.0.lock();
        if queue.items.len() >= QUEUE_ITEMS_MAX || queue.bytes + bytes > QUEUE_BYTES_MAX {
            drop(queue);
            item.answer.fill(Err(StoreError::Busy));
            return pending;
        }
        queue.bytes += bytes;
        queue.items.push_back(Box::new(item));
        self.schedule(queue);
        pending
    }

    /// Sees to it that a thread looks at this account, to write or to tidy up.
    pub(crate) fn wake(self: &Arc<Self>) {
        self.schedule(self.queue.0.lock());
    }

    fn schedule(self: &Arc<Self>, mut queue: parking_lot::MutexGuard<'_, Queued>) {
        if !std::mem::replace(&mut queue.scheduled, true) {
            drop(queue);
            let shared = Arc::clone(self);
            self.pool.run(move || shared.drain());
        }
    }

    /// Commits what is queued, batch by batch; when nothing is, does a step of maintenance.
    fn drain(self: Arc<Self>) {
        // If a batch panics, the account must neither hang nor go on with a broken connection.
        let guard = PoisonOnPanic(&self);
        for _ in 0..BATCHES_PER_TURN {
            let batch = self.next_batch();
            if !batch.is_empty() {
                self.commit(batch);
                self.was_busy();
                continue;
            }
            let more = maintain::step(&self);
            let mut queue = self.queue.0.lock();
            if queue.items.is_empty() && !more {
                queue.scheduled = false;
                drop(queue);
                std::mem::forget(guard);
                return;
            }
        }
        // Never idle: the log still must not grow for ever.
        maintain::step(&self);
        std::mem::forget(guard);
        let pool = self.pool.clone();
        pool.run(move || self.drain());
    }

    fn next_batch(&self) -> Vec<Box<dyn Item>> {
        let mut queue = self.queue.0.lock();
        let mut batch = Vec::new();
        let mut bytes = 0;
        while let Some(item) = queue.items.front() {
            bytes += item.bytes();
            if !batch.is_empty() && (batch.len() == BATCH_ITEMS_MAX || bytes > BATCH_BYTES_MAX) {
                break;
            }
            queue.bytes -= item.bytes();
            batch.extend(queue.items.pop_front());
        }
        batch
    }

    fn commit(&self, mut batch: Vec<Box<dyn Item>>) {
        let mut writer = self.writer.lock();
        self.hub.commit_begins();
        let outcome = self.with_writer(&mut writer, |writer| self.transact(writer, &mut batch));
        let mut published = None;
        let commit = match outcome {
            Ok(changes) => {
                if let Some(writer) = &*writer {
                    self.committed(writer.state.modseq);
                    published = Some(writer.state.modseq);
                }
                self.hub.publish(&changes);
                if self.take_lost_track() {
                    self.hub.lose_track();
                }
                Ok(())
            }
            Err(error) => Err(error),
        };
        self.hub.commit_ends(published);
        drop(writer);
        for item in batch {
            item.answer(commit.clone());
        }
    }

    /// Opens the connection if this is the first write, and gives it up if a commit failed.
    pub(crate) fn with_writer<T>(
        &self,
        slot: &mut Option<Writer>,
        work: impl FnOnce(&mut Writer) -> Result<T>,
    ) -> Result<T> {
        if self.is_poisoned() {
            return Err(StoreError::Poisoned);
        }
        let writer = match slot {
            Some(writer) => writer,
            None => slot.insert(Writer::open(self)?),
        };
        let outcome = work(writer);
        if self.is_poisoned() {
            *slot = None;
        }
        outcome
    }

    /// Runs the batch in one transaction. Returns what to tell the subscribers.
    fn transact(
        &self,
        writer: &mut Writer,
        batch: &mut [Box<dyn Item>],
    ) -> Result<Vec<Arc<Change>>> {
        let db = &writer.db;
        db.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        let mut state = writer.state;
        let mut changes = Vec::new();
        let mut succeeded = 0;
        // One alone needs no savepoint: if it fails, so does the transaction. In a savepoint SQLite keeps
        // a copy of every page that is changed, and looks through these at the end of many statements.
        let is_alone = batch.len() == 1;
        for item in batch.iter_mut() {
            if !is_alone {
                db.prepare_cached("SAVEPOINT item")?.execute([])?;
            }
            let mut tx = Tx::new(db, self, state, item.origin());
            match item.run(&mut tx) {
                Ok(()) => {
                    let (after, told) = tx.finish();
                    state = after;
                    changes.extend(told);
                    succeeded += 1;
                }
                // A full disk may have ended the whole transaction: nothing of it is left.
                Err(error) if db.is_autocommit() => return Err(error),
                Err(_) if is_alone => {}
                Err(_) => {
                    db.prepare_cached("ROLLBACK TO item")?.execute([])?;
                }
            }
            if !is_alone {
                db.prepare_cached("RELEASE item")?.execute([])?;
            }
        }
        if succeeded == 0 {
            db.prepare_cached("ROLLBACK")?.execute([])?;
            return Ok(changes);
        }
        self.finish_commit(db, &state, writer.state)?;
        writer.state = state;
        Ok(changes)
    }

    /// Saves the counters and commits: one sync.
    pub(crate) fn finish_commit(
        &self,
        db: &Connection,
        state: &State,
        before: State,
    ) -> Result<()> {
        let prepared = if *state == before { Ok(()) } else { state.save(db) };
        let outcome = prepared
            .and_then(|()| self.disk.before_commit().map_err(StoreError::from))
            .and_then(|()| Ok(db.prepare_cached("COMMIT").and_then(|mut s| s.execute([]))?));
        let Err(error) = outcome else {
            return Ok(());
        };
        let rolled_back = db.is_autocommit() || db.execute_batch("ROLLBACK").is_ok();
        // After a failed sync nobody knows what is on disk. A full disk is found out before.
        if !(rolled_back && matches!(error, StoreError::DiskFull)) {
            self.poison(&error);
        }
        Err(error)
    }

    /// Refuses all further writes: the account must be opened anew.
    pub(crate) fn poison(&self, error: &StoreError) {
        if !self.poisoned.swap(true, Ordering::AcqRel) {
            let cause = std::error::Error::source(error).map(ToString::to_string);
            tracing::error!(
                account = %self.name, %error, cause,
                "commit failed; account takes no writes until it is opened anew"
            );
            self.hub.close();
        }
    }
}

struct PoisonOnPanic<'a>(&'a Arc<Shared>);

impl Drop for PoisonOnPanic<'_> {
    fn drop(&mut self) {
        self.0.poison(&StoreError::Damaged { what: "panic while writing" });
        let items = std::mem::take(&mut self.0.queue.0.lock().items);
        for item in items {
            item.answer(Err(StoreError::Poisoned));
        }
    }
}

impl Writer {
    /// Opens the database for writing; what an earlier process left in the log becomes durable
    /// first, so that no later commit builds on pages that only memory holds.
    pub(crate) fn open(shared: &Shared) -> Result<Self> {
        let db = schema::open_writer(&shared.db_path())?;
        if shared.recover.swap(false, Ordering::AcqRel) {
            let busy: i64 =
                db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
            if busy != 0 {
                shared.recover.store(true, Ordering::Release);
                return Err(StoreError::Busy);
            }
        }
        let state = State::load(&db)?;
        Ok(Self { db, state })
    }
}
