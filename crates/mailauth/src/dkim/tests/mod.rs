//! Whole messages: signed by others, and signed here.

mod vectors;

use futures_util::FutureExt as _;
use mox_base::UnixSeconds;
use mox_dns::FakeDns;

use super::{Reason, Verification};

/// A time after all vectors were signed.
const NOW: UnixSeconds = UnixSeconds(1_750_000_000);

fn verify(dns: &FakeDns, message: &str) -> Vec<Verification> {
    let results = super::verify(dns, message.as_bytes(), NOW).now_or_never();
    results.expect("a fake answers at once").expect("a header of good size")
}

/// The results in words: `pass`, or the reason.
fn outcomes(dns: &FakeDns, message: &str) -> Vec<String> {
    let in_words = |result: &Verification| match &result.reason {
        None => result.status.to_string(),
        Some(reason) => {
            if !result.key.as_ref().is_some_and(|key| key.record.is_testing) {
                assert_eq!(result.status, Reason::status(reason));
            }
            format!("{}: {reason}", result.status)
        }
    };
    verify(dns, message).iter().map(in_words).collect()
}
