//! The answer to a queued write: awaited by a driver, or waited for by a thread.
//!
//! It needs no runtime: it is a plain [`Future`], and [`Pending::wait`] blocks.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::{Condvar, Mutex};

use crate::{Result, StoreError};

/// The outcome of a write that is queued. It is there when the write is on disk, or has failed.
///
/// Dropping it does not cancel the write.
#[must_use = "a write is only known to be durable when its outcome is"]
#[derive(Debug)]
pub struct Pending<T>(Arc<Slot<T>>);

/// The other end: fills in the outcome.
#[derive(Debug)]
pub(crate) struct Answer<T>(Option<Arc<Slot<T>>>);

#[derive(Debug)]
struct Slot<T> {
    state: Mutex<State<T>>,
    filled: Condvar,
}

#[derive(Debug)]
struct State<T> {
    outcome: Option<Result<T>>,
    waker: Option<Waker>,
}

/// Makes a pair that belongs together.
pub(crate) fn pending<T>() -> (Answer<T>, Pending<T>) {
    let state = Mutex::new(State { outcome: None, waker: None });
    let slot = Arc::new(Slot { state, filled: Condvar::new() });
    (Answer(Some(Arc::clone(&slot))), Pending(slot))
}

impl<T> Answer<T> {
    /// Gives the outcome to whoever waits.
    pub(crate) fn fill(mut self, outcome: Result<T>) {
        if let Some(slot) = self.0.take() {
            fill(&slot, outcome);
        }
    }
}

/// An operation that is dropped without an answer (a panic in the writer) must not leave its
/// caller waiting for ever.
impl<T> Drop for Answer<T> {
    fn drop(&mut self) {
        if let Some(slot) = self.0.take() {
            fill(&slot, Err(StoreError::Poisoned));
        }
    }
}

fn fill<T>(slot: &Slot<T>, outcome: Result<T>) {
    let waker = {
        let mut state = slot.state.lock();
        state.outcome = Some(outcome);
        slot.filled.notify_all();
        state.waker.take()
    };
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl<T> Pending<T> {
    /// An outcome that is already known.
    pub(crate) fn ready(outcome: Result<T>) -> Self {
        let (answer, pending) = pending();
        answer.fill(outcome);
        pending
    }

    /// Blocks until the outcome is there.
    ///
    /// # Errors
    ///
    /// What the operation failed with.
    pub fn wait(self) -> Result<T> {
        let mut state = self.0.state.lock();
        loop {
            if let Some(outcome) = state.outcome.take() {
                return outcome;
            }
            self.0.filled.wait(&mut state);
        }
    }
}

impl<T> Future for Pending<T> {
    type Output = Result<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.0.state.lock();
        match state.outcome.take() {
            Some(outcome) => Poll::Ready(outcome),
            None => {
                state.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_reaches_a_waiting_thread() {
        let (answer, pending) = pending::<u32>();
        let waiter = std::thread::spawn(move || pending.wait());
        answer.fill(Ok(7));
        assert_eq!(waiter.join().unwrap().unwrap(), 7);
    }

    #[test]
    fn a_dropped_answer_is_an_error_and_not_a_hang() {
        let (answer, pending) = pending::<u32>();
        drop(answer);
        assert!(matches!(pending.wait(), Err(StoreError::Poisoned)));
    }

    #[test]
    fn a_poll_before_the_outcome_is_woken_by_it() {
        let (answer, mut pending) = pending::<u32>();
        let mut context = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut pending).poll(&mut context).is_pending());
        answer.fill(Ok(1));
        assert!(matches!(Pin::new(&mut pending).poll(&mut context), Poll::Ready(Ok(1))));
    }
}
