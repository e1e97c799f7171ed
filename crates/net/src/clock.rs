//! The real clock and the real randomness, for handing down as [`Clock`] and [`Rng`].

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mox_base::{Clock, Rng, UnixSeconds};

/// The clock of the machine.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// A clock whose monotonic side starts at zero now.
    #[must_use]
    pub fn new() -> Self {
        Self { started: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> UnixSeconds {
        let now = SystemTime::now();
        let secs = match now.duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_secs()).map_or(i64::MIN, |s| -s),
        };
        UnixSeconds(secs)
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }
}

/// Randomness from aws-lc's generator, seeded by the system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRng;

impl Rng for SystemRng {
    fn fill(&self, buffer: &mut [u8]) {
        #[expect(
            clippy::expect_used,
            reason = "without randomness no secret may be made; aws-lc itself aborts in this case"
        )]
        aws_lc_rs::rand::fill(buffer).expect("the system gives randomness");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_is_in_this_century_and_goes_on() {
        let clock = SystemClock::new();
        assert!((1_700_000_000..4_102_444_800).contains(&clock.now().0));
        let before = clock.monotonic();
        assert!(clock.monotonic() >= before);
    }

    #[test]
    fn two_draws_differ() {
        let (mut first, mut second) = ([0; 32], [0; 32]);
        SystemRng.fill(&mut first);
        SystemRng.fill(&mut second);
        assert_ne!(first, second);
        assert_ne!(first, [0; 32]);
    }
}
