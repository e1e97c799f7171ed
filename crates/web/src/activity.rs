//! What a client does now, so that a connection that does nothing ends.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// How long the header of a request may take, from its first byte; on a new connection from the start.
pub const HEAD_WAIT: Duration = Duration::from_secs(30);

/// How long a connection may be open without a request.
pub const IDLE_WAIT: Duration = Duration::from_secs(65);

/// How long requests may be under way on a connection without a pause: answers are small.
pub const ANSWER_WAIT: Duration = Duration::from_secs(300);

/// The activity on one connection. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Activity(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    changed: Notify,
    /// Whether bytes that come while there is no request are the start of one. In HTTP/2 they need
    /// not be.
    has_heads: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    /// Requests whose responses have not ended.
    requests: usize,
    /// When the first of them began.
    busy_since: Instant,
    /// The client's time is up then, unless there are requests.
    deadline: Instant,
    /// Whether the header of a request has begun.
    in_head: bool,
}

/// A request whose response has not ended.
#[derive(Debug)]
pub(crate) struct InFlight(Activity);

impl Activity {
    /// Begins with waiting for the first request.
    pub(crate) fn new(has_heads: bool) -> Self {
        let now = Instant::now();
        let state =
            State { requests: 0, busy_since: now, deadline: now + HEAD_WAIT, in_head: true };
        Self(Arc::new(Inner { state: Mutex::new(state), changed: Notify::new(), has_heads }))
    }

    /// Bytes came in.
    pub(crate) fn received(&self) {
        if !self.0.has_heads {
            return;
        }
        let mut state = self.0.state.lock();
        if state.requests == 0 && !state.in_head {
            state.in_head = true;
            state.deadline = Instant::now() + HEAD_WAIT;
            self.0.changed.notify_one();
        }
    }

    /// A request is complete; it lasts until what is returned is dropped.
    pub(crate) fn request(&self) -> InFlight {
        let mut state = self.0.state.lock();
        if state.requests == 0 {
            state.busy_since = Instant::now();
        }
        state.requests += 1;
        self.0.changed.notify_one();
        InFlight(self.clone())
    }

    /// Waits until the client has done nothing for too long.
    pub(crate) async fn expired(&self) {
        loop {
            let seen = *self.0.state.lock();
            let changed = self.0.changed.notified();
            let end = match seen.requests {
                0 => seen.deadline,
                // Attack: streams of HTTP/2 without a window, whose answers nobody takes.
                _ => seen.busy_since + ANSWER_WAIT,
            };
            tokio::select! {
                () = changed => {}
                () = sleep_until(end) => {
                    if *self.0.state.lock() == seen {
                        return;
                    }
                }
            }
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let inner = &*self.0.0;
        let mut state = inner.state.lock();
        state.requests = state.requests.saturating_sub(1);
        state.in_head = false;
        state.deadline = Instant::now() + IDLE_WAIT;
        inner.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// How long it takes until the client's time is up.
    async fn wait(activity: &Activity) -> Duration {
        let start = Instant::now();
        activity.expired().await;
        start.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_connection_has_to_ask_soon() {
        for has_heads in [true, false] {
            let activity = Activity::new(has_heads);
            // Attack: a byte now and then.
            sleep(SECOND).await;
            activity.received();
            assert_eq!(wait(&activity).await, HEAD_WAIT - SECOND);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_request_there_is_more_time_until_the_next_begins() {
        let activity = Activity::new(true);
        drop(activity.request());
        assert_eq!(wait(&activity).await, IDLE_WAIT);
        drop(activity.request());
        sleep(SECOND).await;
        activity.received();
        sleep(SECOND).await;
        activity.received();
        assert_eq!(wait(&activity).await, HEAD_WAIT - SECOND);
        // In HTTP/2 a ping is no request.
        let activity = Activity::new(false);
        drop(activity.request());
        activity.received();
        assert_eq!(wait(&activity).await, IDLE_WAIT);
    }

    /// Attack: streams without a window, one after the other, whose answers nobody takes.
    #[tokio::test(start_paused = true)]
    async fn requests_do_not_go_on_for_ever() {
        let activity = Activity::new(false);
        let first = activity.request();
        sleep(SECOND).await;
        let second = activity.request();
        drop(first);
        assert_eq!(wait(&activity).await, ANSWER_WAIT - SECOND);
        // A pause between them begins anew.
        drop(second);
        let third = activity.request();
        assert_eq!(wait(&activity).await, ANSWER_WAIT);
        drop(third);
        assert_eq!(wait(&activity).await, IDLE_WAIT);
    }

    #[tokio::test(start_paused = true)]
    async fn no_time_runs_while_there_are_requests() {
        let activity = Activity::new(false);
        let (first, second) = (activity.request(), activity.request());
        let waiting = tokio::spawn({
            let activity = activity.clone();
            async move { wait(&activity).await }
        });
        sleep(IDLE_WAIT * 2).await;
        drop(first);
        sleep(IDLE_WAIT * 2).await;
        assert!(!waiting.is_finished());
        drop(second);
        assert_eq!(waiting.await.unwrap(), IDLE_WAIT * 5);
    }
}
