//! Which TLS other servers must speak.

use std::time::Duration;

use crate::family::{BUCKETS, Counter, Counters, Durations};
use crate::registry::Metric;

static FETCHED: Durations<1> = Durations::new(
    "mox_mtasts_get_duration_seconds",
    "Time of getting MTA-STS records and policies of other domains",
    ["result"],
    BUCKETS,
);

static CACHE: Counters<1> = Counters::new(
    "mox_mtastsdb_get_total",
    "Look-ups in the cache of MTA-STS policies",
    ["result"],
);

static DANE: Counter =
    Counter::new("mox_dane_verify_total", "Certificates compared with TLSA records");

static DANE_ERRORS: Counter =
    Counter::new("mox_dane_verify_errors_total", "Certificates that no TLSA record matches");

pub(crate) static ALL: &[&dyn Metric] = &[&FETCHED, &CACHE, &DANE, &DANE_ERRORS];

/// The policy of a domain was asked for. RFC 8461 §3.
pub fn mtasts_fetched(result: &'static str, took: Duration) {
    FETCHED.observe([result.into()], took);
}

/// The policy of a domain was looked up in the cache: `hit`, `miss`, `error`, ….
pub fn mtasts_cached(result: &'static str) {
    CACHE.inc([result.into()]);
}

/// A certificate was compared with TLSA records. RFC 7672 §2.
pub fn dane_verified(is_match: bool) {
    DANE.inc();
    if !is_match {
        DANE_ERRORS.inc();
    }
}
