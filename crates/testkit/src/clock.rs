//! A clock that stands still until it is moved.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use mox_base::{Clock, UnixSeconds};

/// A clock moved by hand. Clones share the same time.
#[derive(Clone, Debug)]
pub struct ManualClock {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// The wall clock when the monotonic clock stood at zero.
    wall_at_zero_secs: AtomicI64,
    monotonic_nanos: AtomicU64,
}

impl ManualClock {
    /// A clock that shows `now`, with its monotonic side at zero.
    #[must_use]
    pub fn at(now: UnixSeconds) -> Self {
        let inner =
            Inner { wall_at_zero_secs: AtomicI64::new(now.0), monotonic_nanos: AtomicU64::new(0) };
        Self { inner: Arc::new(inner) }
    }

    /// Sets the wall clock, as an administrator would: monotonic time does not change.
    pub fn set(&self, now: UnixSeconds) {
        let elapsed = i64::try_from(self.monotonic().as_secs()).unwrap_or(i64::MAX);
        self.inner.wall_at_zero_secs.store(now.0.saturating_sub(elapsed), Ordering::SeqCst);
    }

    /// Lets time pass on both sides.
    pub fn advance(&self, wait: Duration) {
        let nanos = u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX);
        self.inner.monotonic_nanos.fetch_add(nanos, Ordering::SeqCst);
    }
}

impl Default for ManualClock {
    /// Friday 20 November 2026, 08:55:32 UTC.
    fn default() -> Self {
        Self::at(UnixSeconds(1_795_164_932))
    }
}

impl Clock for ManualClock {
    fn now(&self) -> UnixSeconds {
        let elapsed = i64::try_from(self.monotonic().as_secs()).unwrap_or(i64::MAX);
        UnixSeconds(self.inner.wall_at_zero_secs.load(Ordering::SeqCst)).plus_secs(elapsed)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_nanos(self.inner.monotonic_nanos.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn setting_the_wall_clock_leaves_monotonic_time_alone() {
        let clock = ManualClock::at(UnixSeconds(100));
        let other = clock.clone();
        clock.advance(Duration::from_millis(2_500));
        assert_eq!(
            (other.now(), other.monotonic()),
            (UnixSeconds(102), Duration::from_millis(2_500))
        );
        clock.set(UnixSeconds(50));
        assert_eq!(
            (other.now(), other.monotonic()),
            (UnixSeconds(50), Duration::from_millis(2_500))
        );
        clock.advance(Duration::from_millis(500));
        assert_eq!(other.now(), UnixSeconds(51));
    }
}
