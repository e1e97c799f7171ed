//! The answer to a queued write: awaited by a driver, or waited for by a thread.
//!
//! It needs no runtime: it is a plain [`Future`], and [`Pending::wait`] blocks.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::{Condvar, Mutex};

use crate::WriteError;

/// The outcome of a write that is queued. It is there when the write is on disk, or has failed.
///
/// Dropping it does not cancel the write.
#[must_use = "a write is only known to be durable when its outcome is"]
#[derive(Debug)]
pub struct Pending<T, E>(Arc<Slot<T, E>>);

/// The other end: fills in the outcome. One that is dropped without gives
/// [`WriteError::poisoned`]: a panic in a writer must not leave its caller waiting for ever.
#[derive(Debug)]
pub struct Answer<T, E: WriteError>(Option<Arc<Slot<T, E>>>);

#[derive(Debug)]
struct Slot<T, E> {
    state: Mutex<State<T, E>>,
    filled: Condvar,
}

#[derive(Debug)]
struct State<T, E> {
    outcome: Option<Result<T, E>>,
    waker: Option<Waker>,
}

/// Makes a pair that belongs together.
pub fn pending<T, E: WriteError>() -> (Answer<T, E>, Pending<T, E>) {
    let state = Mutex::new(State { outcome: None, waker: None });
    let slot = Arc::new(Slot { state, filled: Condvar::new() });
    (Answer(Some(Arc::clone(&slot))), Pending(slot))
}

impl<T, E: WriteError> Answer<T, E> {
    /// Gives the outcome to whoever waits.
    pub fn fill(mut self, outcome: Result<T, E>) {
        if let Some(slot) = self.0.take() {
            fill(&slot, outcome);
        }
    }
}

impl<T, E: WriteError> Drop for Answer<T, E> {
    fn drop(&mut self) {
        if let Some(slot) = self.0.take() {
            fill(&slot, Err(E::poisoned()));
        }
    }
}

fn fill<T, E>(slot: &Slot<T, E>, outcome: Result<T, E>) {
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

impl<T, E: WriteError> Pending<T, E> {
    /// An outcome that is already known.
    pub fn ready(outcome: Result<T, E>) -> Self {
        let (answer, pending) = pending();
        answer.fill(outcome);
        pending
    }

    /// Blocks until the outcome is there.
    ///
    /// # Errors
    ///
    /// What the operation failed with.
    pub fn wait(self) -> Result<T, E> {
        let mut state = self.0.state.lock();
        loop {
            if let Some(outcome) = state.outcome.take() {
                return outcome;
            }
            self.0.filled.wait(&mut state);
        }
    }
}

impl<T, E> Future for Pending<T, E> {
    type Output = Result<T, E>;

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
    use crate::writer::fake::Failure;

    #[test]
    fn an_outcome_reaches_a_waiting_thread() {
        let (answer, pending) = pending::<u32, Failure>();
        let waiter = std::thread::spawn(move || pending.wait());
        answer.fill(Ok(7));
        assert_eq!(waiter.join().unwrap().unwrap(), 7);
    }

    #[test]
    fn a_dropped_answer_is_an_error_and_not_a_hang() {
        let (answer, pending) = pending::<u32, Failure>();
        drop(answer);
        assert_eq!(pending.wait(), Err(Failure::Poisoned));
    }

    #[test]
    fn a_poll_before_the_outcome_is_woken_by_it() {
        let (answer, mut pending) = pending::<u32, Failure>();
        let mut context = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut pending).poll(&mut context).is_pending());
        answer.fill(Ok(1));
        assert_eq!(Pin::new(&mut pending).poll(&mut context), Poll::Ready(Ok(1)));
    }
}
