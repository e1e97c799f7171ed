//! The threads that drain the accounts' write queues.
//!
//! More threads than cores: they sit in fsync most of the time.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

/// The most threads that drain at the same time.
pub(crate) const THREADS_MAX: usize = 16;

/// How long a thread without work stays around.
const IDLE_THREAD_SECS: u64 = 10;

type Task = Box<dyn FnOnce() + Send>;

/// A pool that starts threads as they are needed and lets them go when idle.
#[derive(Clone, Default)]
pub(crate) struct Pool(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    work: Condvar,
}

#[derive(Default)]
struct State {
    tasks: VecDeque<Task>,
    threads: usize,
    idle: usize,
}

impl Pool {
    /// Runs the task on a thread of the pool, soon. Never blocks.
    ///
    /// The number of waiting tasks is bounded by the number of open accounts: an account has at
    /// most one task at a time.
    pub(crate) fn run(&self, task: impl FnOnce() + Send + 'static) {
        let mut state = self.0.state.lock();
        state.tasks.push_back(Box::new(task));
        if state.idle >= state.tasks.len() || state.threads == THREADS_MAX {
            self.0.work.notify_one();
            return;
        }
        state.threads += 1;
        drop(state);
        let shared = Arc::clone(&self.0);
        let thread = std::thread::Builder::new().name("store-writer".to_owned());
        if let Err(error) = thread.spawn(move || work(&shared)) {
            let mut state = self.0.state.lock();
            state.threads -= 1;
            tracing::error!(%error, threads = state.threads, "starting a store thread");
        }
    }
}

fn work(shared: &Shared) {
    let mut state = shared.state.lock();
    loop {
        if let Some(task) = state.tasks.pop_front() {
            drop(state);
            // A panic ends this task only; its callers are answered by the drop of their ends.
            if catch_unwind(AssertUnwindSafe(task)).is_err() {
                tracing::error!("panic in a store writer");
            }
            state = shared.state.lock();
            continue;
        }
        state.idle += 1;
        let patience = std::time::Duration::from_secs(IDLE_THREAD_SECS);
        let timed_out = shared.work.wait_for(&mut state, patience).timed_out();
        state.idle -= 1;
        if timed_out && state.tasks.is_empty() {
            state.threads -= 1;
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn tasks_run_and_a_panic_harms_no_other() {
        let pool = Pool::default();
        let (sender, receiver) = mpsc::channel();
        for number in 0..50 {
            let sender = sender.clone();
            pool.run(move || {
                assert!(number != 7, "one of them fails");
                sender.send(number).unwrap();
            });
        }
        drop(sender);
        assert_eq!(receiver.iter().sum::<i32>(), (0..50).sum::<i32>() - 7);
        assert!(pool.0.state.lock().threads <= THREADS_MAX);
    }
}
