//! What commands that ask DNS have in common.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use mox_base::{Address, Domain};
use mox_dns::{Resolver, Security};
use mox_net::dns::{SystemOptions, SystemResolver};
use mox_net::{SystemClock, SystemRng};
use tokio::time::timeout;

/// How long a command asks at most, with all its questions.
const COMMAND_WAIT: Duration = Duration::from_secs(60);

/// Does work that asks DNS, as a server of this system would.
pub(super) fn look_up<T>(work: impl AsyncFnOnce(&dyn Resolver) -> T) -> Result<T> {
    let (clock, rng) = (Arc::new(SystemClock::new()), Arc::new(SystemRng));
    let resolver = SystemResolver::new(SystemOptions::default(), clock, rng);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let work = async { timeout(COMMAND_WAIT, work(&resolver)).await };
    runtime.context("start runtime")?.block_on(work).context("DNS takes too long")
}

/// Reads an argument that is a domain.
pub(super) fn domain(text: &str) -> Result<Domain, String> {
    Domain::parse(text).map_err(|error| error.to_string())
}

/// Reads an argument that is an address.
pub(super) fn address(text: &str) -> Result<Address, String> {
    Address::parse(text).map_err(|error| error.to_string())
}

/// Whether DNSSEC vouches for an answer, in words.
pub(super) fn dnssec(security: Security) -> &'static str {
    if security.is_secure() { "with dnssec" } else { "without dnssec" }
}

/// Text of others on one line of a terminal: control characters, which could act on it, are shown
/// as question marks.
pub(super) fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// A line with a name and a value of others; nothing if there is no value.
pub(super) fn line(name: &str, value: Option<impl ToString>) -> String {
    value.map(|value| format!("{name}: {}\n", one_line(&value.to_string()))).unwrap_or_default()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The result of work that a fake answers at once.
    pub(in super::super) fn now<T>(work: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(work)
    }

    #[track_caller]
    fn check(value: Option<&str>, want: &str) {
        assert_eq!(line("record", value), want);
    }

    #[test]
    fn what_others_say_stays_on_its_line() {
        check(Some("v=spf1 -all"), "record: v=spf1 -all\n");
        check(Some("b\u{fc}cher"), "record: b\u{fc}cher\n");
        check(Some(""), "record: \n");
        check(Some("a\r\n\u{1b}[2Jstatus: pass\u{7f}\u{9b}"), "record: a???[2Jstatus: pass??\n");
        check(None, "");
    }

    #[test]
    fn arguments_are_domains_and_addresses() {
        assert_eq!(domain("B\u{fc}cher.example").unwrap().ascii(), "xn--bcher-kva.example");
        assert!(domain("a b").is_err());
        assert_eq!(address("a@example.org").unwrap().to_string(), "a@example.org");
        assert!(address("example.org").is_err());
    }
}
