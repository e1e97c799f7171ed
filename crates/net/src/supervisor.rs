//! One task per connection, each of which ends alone.

use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use mox_base::{Clock, UnixSeconds};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Starts tasks, counts those that panic, and ends them all at shutdown. Clones share everything.
#[derive(Clone)]
pub struct Supervisor {
    inner: Arc<Inner>,
}

struct Inner {
    tasks: TaskTracker,
    /// Ends listeners.
    accept_no_more: CancellationToken,
    /// Asks tasks to end.
    stop: CancellationToken,
    /// Ends them where they stand.
    kill: CancellationToken,
    panics: AtomicU64,
    killed: AtomicUsize,
    next_cid: AtomicU64,
    /// Tasks that were spawned and have not run yet.
    not_begun: AtomicUsize,
}

/// How a shutdown went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShutdownReport {
    /// Tasks that had not ended by the deadline and were dropped.
    pub killed: usize,
}

impl fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Supervisor")
            .field("tasks", &self.inner.tasks.len())
            .field("panics", &self.panics())
            .finish_non_exhaustive()
    }
}

impl Supervisor {
    /// Connection numbers start at the Unix time in milliseconds, so that they differ between runs.
    #[must_use]
    pub fn new(clock: &dyn Clock) -> Self {
        let UnixSeconds(now) = clock.now();
        let first_cid = u64::try_from(now).unwrap_or(0).saturating_mul(1_000);
        let inner = Inner {
            tasks: TaskTracker::new(),
            accept_no_more: CancellationToken::new(),
            stop: CancellationToken::new(),
            kill: CancellationToken::new(),
            panics: AtomicU64::new(0),
            killed: AtomicUsize::new(0),
            next_cid: AtomicU64::new(first_cid),
            not_begun: AtomicUsize::new(0),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Cancelled when the server shuts down: sessions say goodbye and end.
    #[must_use]
    pub fn stopping(&self) -> CancellationToken {
        self.inner.stop.clone()
    }

    /// Has listeners accept no more connections, while those that are open go on: what comes now
    /// waits for whoever has the sockets next.
    pub fn stop_accepting(&self) {
        self.inner.accept_no_more.cancel();
    }

    /// Cancelled when no more connections are to be accepted.
    #[must_use]
    pub fn accepts_no_more(&self) -> CancellationToken {
        self.inner.accept_no_more.clone()
    }

    /// The number of the next connection.
    #[must_use]
    pub fn next_cid(&self) -> u64 {
        self.inner.next_cid.fetch_add(1, Ordering::Relaxed)
    }

    /// Runs a task. `name` and `cid` say in the log which one panicked.
    pub fn spawn<F>(&self, name: &'static str, cid: u64, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let inner = Arc::clone(&self.inner);
        // One allocation and one tokio task per connection; a panic is caught in its poll.
        let mut task = Box::pin(task);
        inner.not_begun.fetch_add(1, Ordering::SeqCst);
        self.inner.tasks.spawn(async move {
            let mut is_new = true;
            let guarded = poll_fn(|context| {
                let polled = catch_unwind(AssertUnwindSafe(|| task.as_mut().poll(context)));
                if std::mem::take(&mut is_new) {
                    inner.not_begun.fetch_sub(1, Ordering::SeqCst);
                }
                polled.map_or(Poll::Ready(Err(())), |poll| poll.map(Ok))
            });
            match inner.kill.run_until_cancelled(guarded).await {
                Some(Ok(())) => {}
                Some(Err(())) => {
                    inner.panics.fetch_add(1, Ordering::Relaxed);
                    tracing::error!(name, cid, "task panicked; its connection is closed");
                }
                None => {
                    inner.killed.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }

    /// Tasks that panicked so far.
    #[must_use]
    pub fn panics(&self) -> u64 {
        self.inner.panics.load(Ordering::Relaxed)
    }

    /// Whether every task that was spawned has run at least once.
    #[must_use]
    pub fn have_all_begun(&self) -> bool {
        self.inner.not_begun.load(Ordering::SeqCst) == 0
    }

    /// Tasks that run now.
    #[must_use]
    pub fn tasks(&self) -> usize {
        self.inner.tasks.len()
    }

    /// Asks all tasks to end, waits for them until `deadline` has passed, and drops the rest.
    ///
    /// Listeners started with this supervisor stop accepting at once.
    pub async fn shutdown(&self, deadline: Duration) -> ShutdownReport {
        self.inner.accept_no_more.cancel();
        self.inner.stop.cancel();
        self.inner.tasks.close();
        if tokio::time::timeout(deadline, self.inner.tasks.wait()).await.is_err() {
            self.inner.kill.cancel();
            self.inner.tasks.wait().await;
        }
        let killed = self.inner.killed.load(Ordering::Relaxed);
        if killed > 0 {
            tracing::warn!(killed, "tasks did not end in time and were dropped");
        }
        ShutdownReport { killed }
    }
}

#[cfg(test)]
mod tests {
    use mox_testkit::ManualClock;

    use super::*;

    fn supervisor() -> Supervisor {
        Supervisor::new(&ManualClock::at(UnixSeconds(1_000)))
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_ends_its_own_task_only() {
        let supervisor = supervisor();
        let (sender, receiver) = tokio::sync::oneshot::channel();
        supervisor.spawn("bad", 1, async { panic!("on purpose") });
        supervisor.spawn("good", 2, async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            sender.send(5).unwrap();
        });
        assert_eq!(receiver.await, Ok(5));
        assert_eq!(supervisor.panics(), 1);
        assert_eq!(supervisor.shutdown(Duration::ZERO).await, ShutdownReport { killed: 0 });
    }

    #[tokio::test(start_paused = true)]
    async fn shutdown_waits_for_those_that_listen_and_drops_the_others() {
        let supervisor = supervisor();
        let stopping = supervisor.stopping();
        supervisor.spawn("polite", 1, async move {
            stopping.cancelled().await;
            tokio::time::sleep(Duration::from_secs(2)).await;
        });
        let started = tokio::time::Instant::now();
        assert_eq!(supervisor.shutdown(Duration::from_secs(10)).await.killed, 0);
        assert_eq!(started.elapsed(), Duration::from_secs(2));

        let supervisor = self::supervisor();
        supervisor.spawn("deaf", 1, std::future::pending());
        let started = tokio::time::Instant::now();
        assert_eq!(supervisor.shutdown(Duration::from_secs(10)).await.killed, 1);
        assert_eq!(started.elapsed(), Duration::from_secs(10));
        assert_eq!(supervisor.tasks(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn tasks_go_on_when_nothing_is_accepted_any_more() {
        let supervisor = supervisor();
        supervisor.stop_accepting();
        assert!(supervisor.accepts_no_more().is_cancelled());
        assert!(!supervisor.stopping().is_cancelled());
        let other = self::supervisor();
        other.shutdown(Duration::ZERO).await;
        assert!(other.accepts_no_more().is_cancelled() && other.stopping().is_cancelled());
    }

    #[test]
    fn connection_numbers_start_at_the_time_in_milliseconds() {
        let supervisor = supervisor();
        assert_eq!((supervisor.next_cid(), supervisor.next_cid()), (1_000_000, 1_000_001));
    }
}
