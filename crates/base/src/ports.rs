//! What the pure crates need of the world: time and chance, handed in by a driver.

use std::time::Duration;

use crate::UnixSeconds;

/// A source of time.
pub trait Clock: Send + Sync {
    /// The wall clock.
    fn now(&self) -> UnixSeconds;

    /// Time since some fixed moment, never going back. For waits and rates.
    fn monotonic(&self) -> Duration;
}

/// A source of randomness good enough for secrets.
pub trait Rng: Send + Sync {
    /// Fills the buffer.
    fn fill(&self, buffer: &mut [u8]);
}
