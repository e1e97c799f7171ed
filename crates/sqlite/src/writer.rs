//! A thread that commits in groups: what queues up while a commit syncs becomes the next batch and
//! shares one sync; there is no timer.
//!
//! Each operation stands in its own savepoint, so that one that fails takes no other with it.
//! Callers are answered after the commit. After a failed commit nobody knows what is on disk: the
//! connection is closed, and opened anew for the next write.
//!
//! Invariant: an outcome is given only after the bytes are on disk.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::{Condvar, Mutex};
use rusqlite::Connection;

use crate::pending::{Answer, Pending, pending};

/// The most operations in one commit.
pub const BATCH_ITEMS_MAX: usize = 64;

/// The most bytes in one commit; one operation may be larger alone.
pub const BATCH_BYTES_MAX: usize = 8 << 20;

/// The most operations that may wait. More are refused as busy.
pub const QUEUE_ITEMS_MAX: usize = 10_000;

/// The most bytes that may wait.
pub const QUEUE_BYTES_MAX: usize = 64 << 20;

/// What the writer must know of an error.
pub trait WriteError: Clone + Send + From<rusqlite::Error> + std::fmt::Debug + 'static {
    /// An earlier write failed in a way that makes this one impossible.
    fn poisoned() -> Self;

    /// More is waiting than may.
    fn busy() -> Self;

    /// Whether it is only that there is no room: then nothing is broken.
    fn is_disk_full(&self) -> bool;
}

/// What belongs to one database; called on the thread of its writer.
pub trait Engine: Send + 'static {
    /// The error of all its operations.
    type Error: WriteError;

    /// Opens the database anew, after a failed commit.
    ///
    /// # Errors
    ///
    /// What keeps it from being opened: the writes that wait fail with it, the next try again.
    fn reopen(&mut self) -> Result<Connection, Self::Error>;

    /// Called just before each commit; an error makes it fail. For tests.
    ///
    /// # Errors
    ///
    /// Whatever a test wants to happen.
    fn before_commit(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }

    /// Called between batches, with whether others wait. Returns whether there is more to do when
    /// nobody waits.
    fn tidy(&mut self, db: &Connection, is_busy: bool) -> bool;

    /// Called when a commit failed and the connection was given up.
    fn failed(&mut self, error: &Self::Error);
}

/// What is done after a commit.
type After = Box<dyn FnOnce() + Send>;

/// What an operation has: the transaction it is a part of.
pub struct Tx<'a> {
    db: &'a Connection,
    after: Vec<After>,
}

impl Tx<'_> {
    /// The connection, within the transaction.
    #[must_use]
    pub fn db(&self) -> &Connection {
        self.db
    }

    /// Has something done once the operation is on disk, before its caller is answered. Not done
    /// if the operation or the commit fails.
    pub fn after_commit(&mut self, work: impl FnOnce() + Send + 'static) {
        self.after.push(Box::new(work));
    }
}

/// The thread and its queue. When it is dropped, what is queued is still done.
pub struct GroupWriter<E: Engine> {
    shared: Arc<Shared<E>>,
    thread: Option<JoinHandle<()>>,
}

struct Shared<E: Engine> {
    queue: Mutex<Queued<E::Error>>,
    work: Condvar,
}

struct Queued<E> {
    items: VecDeque<Box<dyn Item<E>>>,
    bytes: usize,
    is_closing: bool,
}

/// An operation in the queue.
trait Item<E>: Send {
    fn bytes(&self) -> usize;
    /// Does the work in its savepoint.
    fn run(&mut self, tx: &mut Tx<'_>) -> Result<(), E>;
    /// Tells the caller how it went: by its own outcome if the commit went well.
    fn answer(self: Box<Self>, commit: Result<(), E>);
}

struct Operation<T, E: WriteError, F> {
    bytes: usize,
    work: Option<F>,
    outcome: Option<Result<T, E>>,
    answer: Answer<T, E>,
}

impl<T, E, F> Item<E> for Operation<T, E, F>
where
    T: Send,
    E: WriteError,
    F: FnOnce(&mut Tx<'_>) -> Result<T, E> + Send,
{
    fn bytes(&self) -> usize {
        self.bytes
    }

    fn run(&mut self, tx: &mut Tx<'_>) -> Result<(), E> {
        let work = self.work.take().ok_or_else(E::poisoned)?;
        let outcome = work(tx);
        let result = outcome.as_ref().map(|_| ()).map_err(E::clone);
        self.outcome = Some(outcome);
        result
    }

    fn answer(self: Box<Self>, commit: Result<(), E>) {
        let outcome = match (commit, self.outcome) {
            (Err(error), Some(Ok(_)) | None) => Err(error),
            (_, Some(outcome)) => outcome,
            (Ok(()), None) => Err(E::poisoned()),
        };
        self.answer.fill(outcome);
    }
}

impl<E: Engine> GroupWriter<E> {
    /// Starts the thread, which has this name and this open connection.
    ///
    /// # Errors
    ///
    /// If the system gives us no thread.
    pub fn start(name: &str, engine: E, db: Connection) -> std::io::Result<Self> {
        let queue = Queued { items: VecDeque::new(), bytes: 0, is_closing: false };
        let shared = Arc::new(Shared { queue: Mutex::new(queue), work: Condvar::new() });
        let mut writer = Writer { shared: Arc::clone(&shared), engine, db: Some(db) };
        let thread =
            std::thread::Builder::new().name(name.to_owned()).spawn(move || writer.work())?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Queues an operation, which takes about `bytes` of memory until it is done. Its outcome is
    /// there once it is durable or has failed. Never blocks.
    pub fn write<T, F>(&self, bytes: usize, work: F) -> Pending<T, E::Error>
    where
        T: Send + 'static,
        F: FnOnce(&mut Tx<'_>) -> Result<T, E::Error> + Send + 'static,
    {
        let (answer, pending) = pending();
        let item = Operation { bytes, work: Some(work), outcome: None, answer };
        let mut queue = self.shared.queue.lock();
        if queue.items.len() >= QUEUE_ITEMS_MAX || queue.bytes + bytes > QUEUE_BYTES_MAX {
            drop(queue);
            item.answer.fill(Err(E::Error::busy()));
            return pending;
        }
        queue.bytes += bytes;
        queue.items.push_back(Box::new(item));
        drop(queue);
        self.shared.work.notify_one();
        pending
    }
}

impl<E: Engine> Drop for GroupWriter<E> {
    fn drop(&mut self) {
        self.shared.queue.lock().is_closing = true;
        self.shared.work.notify_one();
        let is_own = |thread: &JoinHandle<()>| thread.thread().id() == std::thread::current().id();
        if let Some(thread) = self.thread.take_if(|thread| !is_own(thread))
            && thread.join().is_err()
        {
            tracing::error!("panic in the writer of a database");
        }
    }
}

/// What the thread has.
struct Writer<E: Engine> {
    shared: Arc<Shared<E>>,
    engine: E,
    db: Option<Connection>,
}

impl<E: Engine> Writer<E> {
    fn work(&mut self) {
        while let Some(batch) = self.next_batch() {
            // A panic is answered by the drop of the batch; the connection may be in the middle
            // of a transaction.
            if catch_unwind(AssertUnwindSafe(|| self.commit(batch))).is_err() {
                self.give_up(&E::Error::poisoned());
            }
        }
    }

    /// Waits until there is something to do; tidies up until then. `None` at the end.
    fn next_batch(&mut self) -> Option<Vec<Box<dyn Item<E::Error>>>> {
        let mut has_tidied = false;
        loop {
            let mut queue = self.shared.queue.lock();
            if !queue.items.is_empty() {
                let batch = take_batch(&mut queue);
                let is_busy = !queue.items.is_empty();
                drop(queue);
                if is_busy && let Some(db) = &self.db {
                    self.engine.tidy(db, true);
                }
                return Some(batch);
            }
            if queue.is_closing {
                return None;
            }
            if has_tidied || self.db.is_none() {
                self.shared.work.wait(&mut queue);
                has_tidied = false;
                continue;
            }
            drop(queue);
            has_tidied = !self.db.as_ref().is_some_and(|db| self.engine.tidy(db, false));
        }
    }

    fn commit(&mut self, mut batch: Vec<Box<dyn Item<E::Error>>>) {
        let outcome = self.transact(&mut batch);
        if let Ok(after) = outcome {
            for work in after {
                work();
            }
            for item in batch {
                item.answer(Ok(()));
            }
        } else if let Err(error) = outcome {
            for item in batch {
                item.answer(Err(error.clone()));
            }
        }
    }

    /// Runs the batch in one transaction. Returns what is to be done afterwards.
    fn transact(&mut self, batch: &mut [Box<dyn Item<E::Error>>]) -> Result<Vec<After>, E::Error> {
        let db = match self.db.take() {
            Some(db) => self.db.insert(db),
            None => self.db.insert(self.engine.reopen()?),
        };
        let run = run(db, batch);
        let outcome = match run {
            // Nothing succeeded, or the transaction is gone.
            Err(Fault::Nothing) => return Ok(Vec::new()),
            Err(Fault::Lost(error)) => Err(error),
            Ok(after) => self.engine.before_commit().and_then(|()| {
                db.prepare_cached("COMMIT")?.execute([])?;
                Ok(after)
            }),
        };
        let Err(error) = outcome else {
            return outcome;
        };
        let is_rolled_back = db.is_autocommit() || db.execute_batch("ROLLBACK").is_ok();
        // After a failed sync nobody knows what is on disk. A full disk is found out before.
        if !(is_rolled_back && error.is_disk_full()) {
            self.give_up(&error);
        }
        Err(error)
    }

    fn give_up(&mut self, error: &E::Error) {
        self.db = None;
        self.engine.failed(error);
    }
}

enum Fault<E> {
    /// No operation succeeded; the transaction is rolled back.
    Nothing,
    /// The database failed.
    Lost(E),
}

impl<E: WriteError> From<rusqlite::Error> for Fault<E> {
    fn from(error: rusqlite::Error) -> Self {
        Self::Lost(error.into())
    }
}

/// Runs all operations of a transaction that is not committed yet.
fn run<E: WriteError>(
    db: &Connection,
    batch: &mut [Box<dyn Item<E>>],
) -> Result<Vec<After>, Fault<E>> {
    db.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
    let mut after = Vec::new();
    let mut succeeded = 0;
    for item in batch.iter_mut() {
        db.prepare_cached("SAVEPOINT item")?.execute([])?;
        let mut tx = Tx { db, after: Vec::new() };
        match item.run(&mut tx) {
            Ok(()) => {
                after.append(&mut tx.after);
                succeeded += 1;
            }
            // A full disk may have ended the whole transaction: nothing of it is left.
            Err(error) if db.is_autocommit() => return Err(Fault::Lost(error)),
            Err(_) => {
                db.prepare_cached("ROLLBACK TO item")?.execute([])?;
            }
        }
        db.prepare_cached("RELEASE item")?.execute([])?;
    }
    if succeeded == 0 {
        db.prepare_cached("ROLLBACK")?.execute([])?;
        return Err(Fault::Nothing);
    }
    Ok(after)
}

fn take_batch<E>(queue: &mut Queued<E>) -> Vec<Box<dyn Item<E>>> {
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

#[cfg(test)]
pub(crate) mod fake {
    //! An error and an engine for the tests of this crate.

    use std::path::PathBuf;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};

    use super::*;
    use crate::{Durability, Settings};

    #[derive(Clone, Debug, PartialEq)]
    pub(crate) enum Failure {
        Poisoned,
        Busy,
        DiskFull,
        NoSync,
        Refused,
        Sqlite(String),
    }

    impl From<rusqlite::Error> for Failure {
        fn from(error: rusqlite::Error) -> Self {
            Self::Sqlite(error.to_string())
        }
    }

    impl WriteError for Failure {
        fn poisoned() -> Self {
            Self::Poisoned
        }

        fn busy() -> Self {
            Self::Busy
        }

        fn is_disk_full(&self) -> bool {
            *self == Self::DiskFull
        }
    }

    /// What the test decides and sees.
    #[derive(Default)]
    pub(crate) struct Dials {
        /// 1: the next commit finds a full disk; 2: it fails to sync.
        pub(crate) fault: AtomicI32,
        pub(crate) commits: AtomicU32,
        pub(crate) reopened: AtomicU32,
        pub(crate) failed: AtomicU32,
    }

    pub(crate) struct TestEngine {
        pub(crate) path: PathBuf,
        pub(crate) dials: Arc<Dials>,
    }

    pub(crate) fn connect(path: &std::path::Path) -> Connection {
        let settings =
            Settings { durability: Durability::Commit, page_cache_kib: 256, statements_max: 8 };
        crate::open(path, &settings).unwrap()
    }

    impl Engine for TestEngine {
        type Error = Failure;

        fn reopen(&mut self) -> Result<Connection, Failure> {
            self.dials.reopened.fetch_add(1, Ordering::Relaxed);
            Ok(connect(&self.path))
        }

        fn before_commit(&mut self) -> Result<(), Failure> {
            self.dials.commits.fetch_add(1, Ordering::Relaxed);
            match self.dials.fault.swap(0, Ordering::Relaxed) {
                1 => Err(Failure::DiskFull),
                2 => Err(Failure::NoSync),
                _ => Ok(()),
            }
        }

        fn tidy(&mut self, _: &Connection, _: bool) -> bool {
            false
        }

        fn failed(&mut self, _: &Failure) {
            self.dials.failed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc;

    use super::fake::{Dials, Failure, TestEngine, connect};
    use super::*;

    struct Fixture {
        writer: GroupWriter<TestEngine>,
        dials: Arc<Dials>,
        dir: tempfile::TempDir,
    }

    impl Fixture {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("a.db");
            let db = connect(&path);
            db.execute_batch("CREATE TABLE one(x UNIQUE)").unwrap();
            let dials = Arc::new(Dials::default());
            let engine = TestEngine { path, dials: Arc::clone(&dials) };
            Self { writer: GroupWriter::start("test", engine, db).unwrap(), dials, dir }
        }

        fn insert(&self, number: i64) -> Pending<(), Failure> {
            self.writer.write(1, move |tx| {
                tx.db().execute("INSERT INTO one VALUES(?1)", [number])?;
                Ok(())
            })
        }

        /// Holds up the thread until the sender is dropped.
        fn block(&self) -> (mpsc::Sender<()>, Pending<(), Failure>) {
            let (sender, receiver) = mpsc::channel::<()>();
            let (began, begun) = mpsc::channel();
            let pending = self.writer.write(1, move |_| {
                began.send(()).unwrap();
                assert!(receiver.recv().is_err());
                Ok(())
            });
            begun.recv().unwrap();
            (sender, pending)
        }

        fn rows(&self) -> Vec<i64> {
            let db = connect(&self.dir.path().join("a.db"));
            let mut statement = db.prepare("SELECT x FROM one ORDER BY x").unwrap();
            let rows = statement.query_map([], |row| row.get(0)).unwrap();
            rows.collect::<rusqlite::Result<_>>().unwrap()
        }
    }

    #[test]
    fn what_waits_shares_a_commit_and_one_that_fails_takes_no_other_with_it() {
        let fixture = Fixture::new();
        let (release, blocked) = fixture.block();
        let pending: Vec<_> =
            [1, 2, 1, 3].into_iter().map(|number| fixture.insert(number)).collect();
        drop(release);
        blocked.wait().unwrap();
        let succeeded: Vec<_> = pending.into_iter().map(|one| one.wait().is_ok()).collect();
        assert_eq!(succeeded, [true, true, false, true]);
        assert_eq!(fixture.rows(), [1, 2, 3]);
        assert_eq!(fixture.dials.commits.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn what_comes_after_a_commit_is_done_only_then() {
        let fixture = Fixture::new();
        let done = Arc::new(AtomicBool::new(false));
        let run = |fails: bool| {
            let done = Arc::clone(&done);
            fixture.writer.write(1, move |tx| {
                tx.after_commit(move || done.store(true, Ordering::Relaxed));
                if fails { Err(Failure::Refused) } else { Ok(()) }
            })
        };
        assert_eq!(run(true).wait(), Err(Failure::Refused));
        assert!(!done.load(Ordering::Relaxed));
        fixture.dials.fault.store(2, Ordering::Relaxed);
        assert_eq!(run(false).wait(), Err(Failure::NoSync));
        assert!(!done.load(Ordering::Relaxed));
        run(false).wait().unwrap();
        assert!(done.load(Ordering::Relaxed));
    }

    #[test]
    fn a_full_disk_breaks_nothing() {
        let fixture = Fixture::new();
        fixture.dials.fault.store(1, Ordering::Relaxed);
        assert_eq!(fixture.insert(1).wait(), Err(Failure::DiskFull));
        fixture.insert(2).wait().unwrap();
        assert_eq!(fixture.rows(), [2]);
        assert_eq!(fixture.dials.reopened.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn after_a_failed_sync_the_database_is_opened_anew() {
        let fixture = Fixture::new();
        fixture.dials.fault.store(2, Ordering::Relaxed);
        assert_eq!(fixture.insert(1).wait(), Err(Failure::NoSync));
        assert_eq!(fixture.dials.failed.load(Ordering::Relaxed), 1);
        fixture.insert(2).wait().unwrap();
        assert_eq!(fixture.rows(), [2]);
        assert_eq!(fixture.dials.reopened.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_panic_ends_its_batch_only() {
        let fixture = Fixture::new();
        let panics = fixture.writer.write(1, |_| -> Result<(), Failure> { panic!("a bug") });
        assert_eq!(panics.wait(), Err(Failure::Poisoned));
        fixture.insert(2).wait().unwrap();
        assert_eq!(fixture.rows(), [2]);
    }

    #[test]
    fn what_may_wait_is_bounded_and_what_waits_at_the_end_is_done() {
        let fixture = Fixture::new();
        let (release, _blocked) = fixture.block();
        let large = fixture.writer.write(QUEUE_BYTES_MAX, |_| Ok(()));
        assert_eq!(fixture.insert(1).wait(), Err(Failure::Busy));
        drop(release);
        large.wait().unwrap();
        let (release, _blocked) = fixture.block();
        let pending: Vec<_> = (0..200).map(|number| fixture.insert(number)).collect();
        drop(release);
        let Fixture { writer, dir, .. } = fixture;
        drop(writer);
        for one in pending {
            one.wait().unwrap();
        }
        drop(dir);
    }
}
