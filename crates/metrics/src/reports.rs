//! Reports of others about our domains, and ours about theirs.

use std::time::Duration;

use crate::family::{BUCKETS, Counter, Counters, Durations};
use crate::registry::Metric;

static POLICY_EVALUATED: Counters<4> = Counters::new(
    "mox_dmarcdb_policy_evaluated_total",
    "Messages from our domains that DMARC reports of others tell of",
    ["domain", "disposition", "dkim", "spf"],
);

static DKIM_RESULTS: Counters<1> = Counters::new(
    "mox_dmarcdb_dkim_result_total",
    "Results of DKIM that DMARC reports of others tell of",
    ["result"],
);

static SPF_RESULTS: Counters<1> = Counters::new(
    "mox_dmarcdb_spf_result_total",
    "Results of SPF that DMARC reports of others tell of",
    ["result"],
);

static DMARC_QUEUED: Counter =
    Counter::new("mox_dmarcdb_report_queued_total", "DMARC reports of ours that were queued");

static DMARC_ERRORS: Counter = Counter::new(
    "mox_dmarcdb_report_error_total",
    "DMARC reports of ours that could not be made or queued",
);

static TLS_SESSIONS: Counters<1> = Counters::new(
    "mox_tlsrptdb_session_total",
    "Sessions to our servers that TLS reports of others tell of",
    ["type"],
);

static TLS_QUEUED: Counter =
    Counter::new("mox_tlsrptsend_report_queued_total", "TLS reports of ours that were queued");

static TLS_ERRORS: Counter = Counter::new(
    "mox_tlsrptsend_report_error_total",
    "TLS reports of ours that could not be made or queued",
);

static TLSRPT_LOOKUPS: Durations<1> = Durations::new(
    "mox_tlsrpt_lookup_duration_seconds",
    "Time of looking up where other domains want TLS reports",
    ["result"],
    BUCKETS,
);

pub(crate) static ALL: &[&dyn Metric] = &[
    &POLICY_EVALUATED,
    &DKIM_RESULTS,
    &SPF_RESULTS,
    &DMARC_QUEUED,
    &DMARC_ERRORS,
    &TLS_SESSIONS,
    &TLS_QUEUED,
    &TLS_ERRORS,
    &TLSRPT_LOOKUPS,
];

/// A DMARC report tells of so many messages from `domain`, one of ours.
pub fn dmarc_policy_evaluated(
    domain: &str,
    disposition: &'static str,
    dkim: &'static str,
    spf: &'static str,
    messages: u64,
) {
    let domain = domain.to_owned().into();
    POLICY_EVALUATED.add([domain, disposition.into(), dkim.into(), spf.into()], messages);
}

/// A DMARC report tells of a result of DKIM, for so many messages.
pub fn dmarc_dkim_result(result: &'static str, messages: u64) {
    DKIM_RESULTS.add([result.into()], messages);
}

/// A DMARC report tells of a result of SPF, for so many messages.
pub fn dmarc_spf_result(result: &'static str, messages: u64) {
    SPF_RESULTS.add([result.into()], messages);
}

/// A DMARC report of ours was queued.
pub fn dmarc_report_queued() {
    DMARC_QUEUED.inc();
}

/// A DMARC report of ours could not be made or queued.
pub fn dmarc_report_failed() {
    DMARC_ERRORS.inc();
}

/// A TLS report tells of so many sessions: `success`, or the type of a failure of RFC 8460 §4.3.
pub fn tls_sessions(kind: &'static str, sessions: u64) {
    TLS_SESSIONS.add([kind.into()], sessions);
}

/// A TLS report of ours was queued.
pub fn tls_report_queued() {
    TLS_QUEUED.inc();
}

/// A TLS report of ours could not be made or queued.
pub fn tls_report_failed() {
    TLS_ERRORS.inc();
}

/// It was looked up where a domain wants TLS reports. RFC 8460 §3.
pub fn tlsrpt_looked_up(result: &'static str, took: Duration) {
    TLSRPT_LOOKUPS.observe([result.into()], took);
}
