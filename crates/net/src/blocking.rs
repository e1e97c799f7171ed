//! The one door from asynchronous code to calls that block on the disk.

use std::panic::resume_unwind;

/// The most threads that block on the disk at the same time. To be set where the runtime is
/// built; further calls wait for one of them.
pub const BLOCKING_THREADS_MAX: usize = 64;

/// Runs a call that blocks, on a thread that may. A panic in it goes on in the caller.
///
/// The call begins at once, not when the returned future is first waited for: what its caller does meanwhile
/// may be what it waits for. It is not given up when the future is dropped.
///
/// # Panics
///
/// Outside a runtime.
pub fn blocking<T, F>(work: F) -> impl Future<Output = T> + Send + use<T, F>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    let begun = tokio::task::spawn_blocking(work);
    async move {
        match begun.await {
            Ok(outcome) => outcome,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => resume_unwind(panic),
                // Only a runtime that is shutting down refuses work: nobody waits for an answer.
                Err(_) => std::future::pending().await,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_outcome_comes_back() {
        assert_eq!(blocking(|| 1 + 1).await, 2);
    }

    #[tokio::test]
    async fn it_begins_before_anyone_waits_for_it() {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let work = blocking(move || sender.send(1));
        assert_eq!(receiver.await, Ok(1));
        work.await.unwrap();
    }

    #[tokio::test]
    async fn a_panic_stays_with_the_caller() {
        let failing = tokio::spawn(blocking(|| assert!(std::hint::black_box(false))));
        assert!(failing.await.unwrap_err().is_panic());
    }
}
