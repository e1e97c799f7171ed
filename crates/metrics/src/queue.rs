//! Delivery of queued messages.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::family::{BUCKETS_LONG, Counter, Counters, Durations, Gauge};
use crate::registry::Metric;

static CONNECTIONS: Counters<1> =
    Counters::new("mox_queue_connection_total", "Outgoing connections for the queue", ["result"]);

static DELIVERIES: Durations<4> = Durations::new(
    "mox_queue_delivery_duration_seconds",
    "Time of attempts to deliver queued messages",
    ["attempt", "transport", "tlsmode", "result"],
    BUCKETS_LONG,
);

static HOLD: Gauge = Gauge::new("mox_queue_hold", "Queued messages on hold");

static DESTINATIONS: Counter =
    Counter::new("mox_queue_destinations_total", "Look-ups of where the mail of a domain goes");

static AUTHENTIC: Counter = Counter::new(
    "mox_queue_destinations_authentic_total",
    "Look-ups of where mail goes whose answers DNSSEC vouches for",
);

static DANE_REQUIRED: Counter = Counter::new(
    "mox_queue_destination_dane_required_total",
    "Connections that DANE requires TLS for",
);

static DANE_UNVERIFIED: Counter = Counter::new(
    "mox_queue_destination_dane_starttlsunverified_total",
    "Connections with TLS required by DANE, none of whose TLSA records can be verified",
);

static DANE_ERRORS: Counter = Counter::new(
    "mox_queue_destination_dane_gathertlsa_errors_total",
    "Look-ups of TLSA records that failed, so that the host was not used",
);

static TLS_NOT_REQUIRED: Counters<1> = Counters::new(
    "mox_queue_tlsrequiredno_ignored_total",
    "Policies for TLS that were overridden since a message says TLS-Required: No",
    ["ignored"],
);

static REQUIRETLS: Counters<1> = Counters::new(
    "mox_queue_requiretls_unsupported_total",
    "Messages with REQUIRETLS that a destination cannot take",
    ["reason"],
);

static PLAINTEXT: Counter = Counter::new(
    "mox_queue_plaintext_fallback_total",
    "Deliveries without TLS after TLS had failed",
);

static REPORT_FAILURES: Counter = Counter::new(
    "mox_queue_dmarcreport_failure_total",
    "DMARC reports of ours that could not be delivered",
);

static TRIED: AtomicU64 = AtomicU64::new(0);

pub(crate) static ALL: &[&dyn Metric] = &[
    &CONNECTIONS,
    &DELIVERIES,
    &HOLD,
    &DESTINATIONS,
    &AUTHENTIC,
    &DANE_REQUIRED,
    &DANE_UNVERIFIED,
    &DANE_ERRORS,
    &TLS_NOT_REQUIRED,
    &REQUIRETLS,
    &PLAINTEXT,
    &REPORT_FAILURES,
];

/// A connection to another server was tried: `ok`, `timeout`, `canceled`, `error`.
pub fn connection(result: &'static str) {
    TRIED.fetch_add(1, Ordering::Relaxed);
    CONNECTIONS.inc([result.into()]);
}

/// How many connections to other servers were tried so far, whatever came of them.
#[must_use]
pub fn connections_tried() -> u64 {
    TRIED.load(Ordering::Relaxed)
}

/// An attempt to deliver a message ended.
///
/// - `attempt`: 1 for the first.
/// - `transport`: its name in the configuration, `default` if none was chosen.
/// - `result`: `ok`, `timeout`, `canceled`, `temperror`, `permerror`, `error`.
pub fn delivery(
    attempt: u32,
    transport: &str,
    tls_mode: &'static str,
    result: &'static str,
    took: Duration,
) {
    let transport = transport.to_owned().into();
    DELIVERIES
        .observe([attempt.to_string().into(), transport, tls_mode.into(), result.into()], took);
}

/// This many messages are on hold.
pub fn on_hold(messages: u64) {
    HOLD.set(i64::try_from(messages).unwrap_or(i64::MAX));
}

/// It was looked up where the mail of a domain goes. `is_authentic`: DNSSEC vouches for all of it.
pub fn destination(is_authentic: bool) {
    DESTINATIONS.inc();
    if is_authentic {
        AUTHENTIC.inc();
    }
}

/// DANE requires TLS. `is_verifiable`: one of the records at least can be compared with.
pub fn dane_required(is_verifiable: bool) {
    DANE_REQUIRED.inc();
    if !is_verifiable {
        DANE_UNVERIFIED.inc();
    }
}

/// TLSA records could not be looked up.
pub fn dane_failed() {
    DANE_ERRORS.inc();
}

/// A policy was overridden by `TLS-Required: No`. RFC 8689 §5.
pub fn tls_not_required(ignored: &'static str) {
    TLS_NOT_REQUIRED.inc([ignored.into()]);
}

/// A message with REQUIRETLS could not go on. RFC 8689 §4.2.1.
pub fn requiretls_unsupported(reason: &'static str) {
    REQUIRETLS.inc([reason.into()]);
}

/// A message goes without TLS after TLS had failed.
pub fn plaintext_fallback() {
    PLAINTEXT.inc();
}

/// A DMARC report of ours could not be delivered.
pub fn dmarc_report_failed() {
    REPORT_FAILURES.inc();
}
