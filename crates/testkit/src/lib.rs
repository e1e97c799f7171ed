//! Test doubles and fixtures: a clock moved by hand, a seeded random source, transcripts, mail and junk,
//! certificates, memory.
//!
//! Only ever a dev-dependency, so it may panic: a panic here is a failed test. It knows nothing of
//! any protocol; a transcript is bytes from the client, bytes from the server, and questions and
//! answers in words that the crate under test chooses.
//!
//! ```
//! use mox_base::{Clock, UnixSeconds};
//! use mox_testkit::ManualClock;
//! use std::time::Duration;
//!
//! let clock = ManualClock::at(UnixSeconds(1_000));
//! clock.advance(Duration::from_secs(30));
//! assert_eq!(clock.now(), UnixSeconds(1_030));
//! ```

#[cfg(feature = "certificates")]
pub mod certificates;
mod clock;
mod counting;
pub mod junk;
pub mod mail;
pub mod memory;
pub mod original;
mod rng;
pub mod transcript;

pub use clock::ManualClock;
pub use counting::{CountingReader, ReadCounts};
pub use rng::TestRng;
pub use transcript::{Case, Input, Output};
