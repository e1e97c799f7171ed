//! DNS over sockets: the resolvers behind [`mox_dns::Resolver`].
//!
//! [`StubAd`] asks the servers of [`ResolvConf`] and takes the word of those it trusts that an answer
//! was validated; [`Validating`] checks that itself. [`SystemResolver`] is what a server has: of the settings of the system, with
//! [`Cached`] before it. Types of the library for the wire format stay inside this module.

mod cache;
mod evidence;
mod exchange;
mod flights;
mod generations;
#[cfg(test)]
mod hostile_tests;
#[cfg(any(test, feature = "fake"))]
pub mod lab;
mod reading;
mod redirection;
mod resolv_conf;
#[cfg(any(test, feature = "fake"))]
mod scripted;
mod stub;
#[cfg(test)]
mod stub_tests;
mod system;
mod validating;
#[cfg(test)]
mod validating_tests;
mod wire;

use std::time::Duration;

pub use cache::{
    CACHE_BYTES_MAX, CACHE_ENTRIES_MAX, CacheCounts, Cached, FAILURE_TTL_SECS,
    NEGATIVE_TTL_SECS_MAX, TTL_SECS_MAX, TTL_SECS_MIN,
};
pub use exchange::{QUESTIONS_MAX, STRAYS_MAX};
pub use reading::ALIASES_MAX;
pub use resolv_conf::{ATTEMPTS_MAX, ResolvConf, SERVERS_MAX, TIMEOUT_MAX};
pub use stub::StubAd;
pub use system::{Checks, SETTINGS_WAIT, Servers, SystemOptions, SystemResolver, UNCHECKED_WAIT};
pub use validating::{QUESTIONS_PER_LOOKUP_MAX, TrustAnchor, Validating};

/// How long a lookup takes at most, with all attempts, aliases and proofs. RFC 5321 §4.5.3.2 leaves
/// minutes for what a session does meanwhile.
pub const LOOKUP_WAIT: Duration = Duration::from_secs(30);
