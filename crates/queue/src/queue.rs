//! The open queue: its handle, its connections, and what belongs to its writer.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use mox_base::{Rng, UnixSeconds};
use mox_sqlite::{Disk, Engine, GroupWriter, RealDisk, Tx, create_dirs};
use parking_lot::{Mutex, RwLock};
use rusqlite::Connection;

use crate::body::Held;
use crate::error::{Pending, QueueError, Result};
use crate::{body, hook, lane, lease, schema};

/// The log is emptied into the database above this size.
pub const LOG_BYTES_MAX: u64 = 16 << 20;

/// Free pages are given back above this number, if they are also a quarter of the file.
const FREE_PAGES_MAX: i64 = 4_096;

/// Pages given back in one step.
const VACUUM_PAGES: u32 = 1_024;

/// Connections that are kept for reading.
const READERS_MAX: usize = 4;

/// The database in the folder of a queue.
pub const DATABASE: &str = "queue.db";

/// The clock must go back by more than this before anything is rescheduled for it.
const CLOCK_BACK_SECS: i64 = 60;

/// The queue. Cheap to clone; closed with the last clone, after what is queued for writing is done.
#[derive(Clone)]
pub struct Queue(Arc<Shared>);

struct Shared {
    // Before the state: the writer is done when that goes.
    writer: GroupWriter<QueueEngine>,
    state: Arc<State>,
}

/// A function that is called when something may have become due sooner.
type Wake = Arc<dyn Fn() + Send + Sync>;

/// What operations have beside the database.
pub(crate) struct State {
    pub(crate) dir: PathBuf,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) rng: Arc<dyn Rng>,
    pub(crate) held: Mutex<Held>,
    readers: Mutex<Vec<Connection>>,
    wakes: RwLock<Vec<Wake>>,
    /// The leases that this process has given out; whether each is an attempt.
    pub(crate) live: Mutex<HashMap<i64, bool>>,
    /// The webhook calls that this process is making.
    pub(crate) live_hooks: Mutex<HashSet<i64>>,
    /// The latest time that the database has seen.
    latest: AtomicI64,
    /// Messages whose attempt was cut off by the end of an earlier process.
    interrupted: u64,
    /// Notices with a larger number are of this process.
    pub(crate) notice_before: i64,
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Queue").field(&self.0.state.dir).finish()
    }
}

impl Queue {
    /// Opens the queue in `dir`, making folder and tables as needed. Blocks.
    ///
    /// Leases that are found were cut off by a crash: see [`Queue::interrupted`]. Body files that
    /// no row names are removed. At most one process may have a queue open.
    ///
    /// - `rng`: spreads retries.
    ///
    /// # Errors
    ///
    /// If the folder or the database cannot be opened, or is of a newer version.
    pub fn open(dir: &Path, rng: Arc<dyn Rng>) -> Result<Self> {
        Self::open_with(dir, rng, Arc::new(RealDisk))
    }

    /// Like [`Queue::open`], with another disk under it.
    ///
    /// # Errors
    ///
    /// As [`Queue::open`].
    pub fn open_with(dir: &Path, rng: Arc<dyn Rng>, disk: Arc<dyn Disk>) -> Result<Self> {
        create_dirs(&*disk, dir)?;
        let path = database(dir);
        let db = schema::open(&path)?;
        let number = |sql: &str| -> Result<i64> { Ok(db.query_row(sql, [], |row| row.get(0))?) };
        let latest = number("SELECT latest FROM clock")?;
        let notice_before = number("SELECT coalesce(max(id), 0) FROM notice")?;
        let interrupted = recover(&db, &HashMap::new(), &HashSet::new())?;
        body::sweep(dir, &*disk, &db)?;
        let state = Arc::new(State {
            dir: dir.to_path_buf(),
            disk,
            rng,
            held: Mutex::default(),
            readers: Mutex::default(),
            wakes: RwLock::default(),
            live: Mutex::default(),
            live_hooks: Mutex::default(),
            latest: AtomicI64::new(latest),
            interrupted,
            notice_before,
        });
        let engine = QueueEngine { path, state: Arc::clone(&state) };
        let writer = GroupWriter::start("queue-writer", engine, db)?;
        Ok(Self(Arc::new(Shared { writer, state })))
    }

    /// How many messages were being delivered when an earlier process came to its end without
    /// settling them. They may have been delivered, and will be tried again as after a failure.
    #[must_use]
    pub fn interrupted(&self) -> u64 {
        self.0.state.interrupted
    }

    /// Waits until the writer has done, well or not, what was asked of it before: a writer that
    /// hangs never has. Blocks; writes nothing.
    pub fn wait_for_writer(&self) {
        // Only a failure of the disk can be told, and whoever writes learns of that.
        drop(self.write(0, |_, _| Ok(())).wait());
    }

    /// Has `wake` called after each commit that may have made something due sooner. It must be
    /// quick, and must not wait for the queue.
    pub fn on_change(&self, wake: Arc<dyn Fn() + Send + Sync>) {
        self.0.state.wakes.write().push(wake);
    }

    pub(crate) fn state(&self) -> &Arc<State> {
        &self.0.state
    }

    /// Reads within one statement or more. Sees what was committed last.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let state = &self.0.state;
        let idle = state.readers.lock().pop();
        let db = match idle {
            Some(db) => db,
            None => mox_sqlite::open_reader(&database(&state.dir), &schema::SETTINGS)?,
        };
        let outcome = read(&db);
        let mut readers = state.readers.lock();
        if readers.len() < READERS_MAX && outcome.is_ok() {
            readers.push(db);
        }
        outcome
    }

    /// Queues a write that takes about `bytes` of memory.
    pub(crate) fn write<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnOnce(&mut Tx<'_>, &Arc<State>) -> Result<T> + Send + 'static,
    ) -> Pending<T> {
        let state = Arc::clone(&self.0.state);
        self.0.writer.write(bytes, move |tx| work(tx, &state))
    }

    /// As [`Queue::write`], for what depends on the time.
    pub(crate) fn write_at<T: Send + 'static>(
        &self,
        now: UnixSeconds,
        bytes: usize,
        work: impl FnOnce(&mut Tx<'_>, &Arc<State>) -> Result<T> + Send + 'static,
    ) -> Pending<T> {
        self.write(bytes, move |tx, state| {
            state.note_time(tx, now)?;
            work(tx, state)
        })
    }

    /// Makes up for a clock that went back. Blocks, but only if it did.
    pub(crate) fn check_clock(&self, now: UnixSeconds) -> Result<()> {
        if self.0.state.clock_went_back(now) {
            self.write_at(now, 0, |_, _| Ok(())).wait()?;
        }
        Ok(())
    }
}

impl State {
    fn clock_went_back(&self, now: UnixSeconds) -> bool {
        now.0 < self.latest.load(Ordering::Acquire).saturating_sub(CLOCK_BACK_SECS)
    }

    /// Keeps the latest time there was. If the clock went back, all waits that were counted from
    /// later times are counted from now: else a message might wait for years.
    fn note_time(self: &Arc<Self>, tx: &mut Tx<'_>, now: UnixSeconds) -> Result<()> {
        let latest = self.latest.load(Ordering::Acquire);
        let went_back = self.clock_went_back(now);
        if !went_back && now.0 < latest.saturating_add(CLOCK_BACK_SECS) {
            return Ok(());
        }
        if went_back {
            tracing::warn!(latest, now = now.0, "clock went back, waits begin anew");
            tx.db().execute(
                "UPDATE queued SET next_attempt = next_attempt - (set_at - ?1), set_at = ?1 \
                 WHERE set_at > ?1",
                [now.0],
            )?;
            hook::clock_went_back(tx.db(), now)?;
            lane::rebuild(tx.db())?;
            self.wake_after(tx);
        }
        tx.db().prepare_cached("UPDATE clock SET latest = ?1")?.execute([now.0])?;
        let state = Arc::clone(self);
        tx.after_commit(move || state.latest.store(now.0, Ordering::Release));
        Ok(())
    }

    /// Tells those who wait for something to become due, after the commit.
    pub(crate) fn wake_after(self: &Arc<Self>, tx: &mut Tx<'_>) {
        let state = Arc::clone(self);
        tx.after_commit(move || {
            let wakes = state.wakes.read().clone();
            for wake in wakes {
                wake();
            }
        });
    }
}

pub(crate) fn database(dir: &Path) -> PathBuf {
    dir.join(DATABASE)
}

/// Closes the leases that nobody has, of messages and of webhook calls, in a transaction of its own.
/// Returns the number of those of messages.
fn recover(db: &Connection, live: &HashMap<i64, bool>, live_hooks: &HashSet<i64>) -> Result<u64> {
    db.execute_batch("BEGIN IMMEDIATE")?;
    let outcome = lease::close_interrupted(db, live).and_then(|closed| {
        hook::recover(db, live_hooks)?;
        lane::rebuild(db)?;
        db.execute_batch("COMMIT")?;
        Ok(closed)
    });
    if outcome.is_err() && !db.is_autocommit() {
        let _ignored = db.execute_batch("ROLLBACK");
    }
    outcome
}

struct QueueEngine {
    path: PathBuf,
    state: Arc<State>,
}

impl Engine for QueueEngine {
    type Error = QueueError;

    /// A lease of the commit that failed may be on disk, though nobody has it.
    fn reopen(&mut self) -> Result<Connection> {
        self.state.readers.lock().clear();
        let db = schema::open(&self.path)?;
        let closed = recover(&db, &self.state.live.lock(), &self.state.live_hooks.lock())?;
        tracing::info!(closed, "queue database opened anew");
        Ok(db)
    }

    fn before_commit(&mut self) -> Result<()> {
        Ok(self.state.disk.before_commit()?)
    }

    fn tidy(&mut self, db: &Connection, is_busy: bool) -> bool {
        let more = tidy(&self.path, db, is_busy);
        more.unwrap_or_else(|error| {
            tracing::warn!(%error, "maintenance of the queue database");
            false
        })
    }

    fn failed(&mut self, error: &QueueError) {
        let cause = std::error::Error::source(error).map(ToString::to_string);
        tracing::error!(%error, cause, "commit failed; the queue database is opened anew");
    }
}

/// Empties the log if it is large, and gives pages back when nobody waits.
fn tidy(path: &Path, db: &Connection, is_busy: bool) -> Result<bool> {
    let log = path.with_extension("db-wal");
    if std::fs::metadata(log).is_ok_and(|meta| meta.len() > LOG_BYTES_MAX) {
        db.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?;
    }
    if is_busy {
        return Ok(false);
    }
    let number = |pragma: &str| -> Result<i64> {
        Ok(db.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get(0))?)
    };
    let free = number("freelist_count")?;
    if free <= FREE_PAGES_MAX || free <= number("page_count")? / 4 {
        return Ok(false);
    }
    db.execute_batch(&format!("PRAGMA incremental_vacuum({VACUUM_PAGES})"))?;
    Ok(true)
}
