//! Logins.

use crate::family::Counters;
use crate::registry::Metric;

static ATTEMPTS: Counters<3> = Counters::new(
    "mox_authentication_total",
    "Attempts to log in: kind is the protocol, variant the mechanism",
    ["kind", "variant", "result"],
);

static RATELIMITED: Counters<1> = Counters::known(
    "mox_authentication_ratelimited_total",
    "Attempts to log in that were refused since too many had failed",
    ["kind"],
    &[["submission"], ["imap"]],
);

pub(crate) static ALL: &[&dyn Metric] = &[&ATTEMPTS, &RATELIMITED];

/// Somebody tried to log in.
///
/// - `kind`: `submission`, `imap`, ….
/// - `variant`: the mechanism, in lower case: `plain`, `scram-sha-256-plus`, `tlsclientauth`, ….
/// - `result`: `ok`, `badcreds`, `badprotocol`, `logindisabled`, `error`, `aborted`, ….
pub fn attempt(kind: &'static str, variant: &'static str, result: &'static str) {
    ATTEMPTS.inc([kind.into(), variant.into(), result.into()]);
}

/// Somebody could not even try, since too many logins had failed.
pub fn ratelimited(kind: &'static str) {
    RATELIMITED.inc([kind.into()]);
}
