//! Who sent a message: names of addresses, SPF, DKIM, DMARC.

use std::time::Duration;

use crate::family::{BUCKETS, Counters, Durations};
use crate::registry::Metric;

static IPREV: Durations<1> = Durations::new(
    "mox_iprev_lookup_total",
    "Time of looking up the names of addresses: a histogram despite its name",
    ["status"],
    BUCKETS,
);

static SPF: Durations<1> =
    Durations::new("mox_spf_verify_duration_seconds", "Time of SPF checks", ["status"], BUCKETS);

static DKIM_SIGNED: Counters<1> = Counters::known(
    "mox_dkim_sign_total",
    "DKIM signatures made, by kind of key",
    ["key"],
    &[["rsa"], ["ed25519"]],
);

static DKIM: Durations<2> = Durations::new(
    "mox_dkim_verify_duration_seconds",
    "Time of checking DKIM signatures",
    ["algorithm", "status"],
    BUCKETS,
);

static DMARC: Durations<3> = Durations::new(
    "mox_dmarc_verify_duration_seconds",
    "Time of DMARC checks: whether to reject, and whether the policy is to be used",
    ["status", "reject", "use"],
    BUCKETS,
);

pub(crate) static ALL: &[&dyn Metric] = &[&IPREV, &SPF, &DKIM_SIGNED, &DKIM, &DMARC];

/// The name of an address was looked up. RFC 8601 §2.7.3.
pub fn iprev(status: &'static str, took: Duration) {
    IPREV.observe([status.into()], took);
}

/// An SPF check ended. RFC 7208 §2.6.
pub fn spf(status: &'static str, took: Duration) {
    SPF.observe([status.into()], took);
}

/// A message was signed. `key` is `rsa` or `ed25519`.
pub fn dkim_signed(key: &'static str) {
    DKIM_SIGNED.inc([key.into()]);
}

/// A signature was checked. RFC 8601 §2.7.1.
pub fn dkim(algorithm: &'static str, status: &'static str, took: Duration) {
    DKIM.observe([algorithm.into(), status.into()], took);
}

/// A DMARC check ended.
///
/// - `is_reject`: the policy would have the message refused.
/// - `is_used`: the policy applies to the message.
pub fn dmarc(status: &'static str, is_reject: bool, is_used: bool, took: Duration) {
    let (reject, used) = (yes_or_no(is_reject), yes_or_no(is_used));
    DMARC.observe([status.into(), reject.into(), used.into()], took);
}

fn yes_or_no(value: bool) -> &'static str {
    if value { "yes" } else { "no" }
}
