//! Certificates by ACME, and names that clients ask for in TLS.

use crate::family::Counter;
use crate::registry::Metric;

static MISSING_NAME: Counter = Counter::new(
    "mox_autotls_missing_servername_total",
    "TLS handshakes that name no server, so that the name of the listener was taken",
);

static UNKNOWN_NAME: Counter = Counter::new(
    "mox_autotls_unknown_servername_total",
    "TLS handshakes that name a server that is not ours",
);

static REQUEST_ERRORS: Counter =
    Counter::new("mox_autotls_cert_request_errors_total", "Requests for certificates that failed");

static PUT: Counter =
    Counter::new("mox_autotls_certput_total", "Certificates that were received and kept");

pub(crate) static ALL: &[&dyn Metric] = &[&MISSING_NAME, &UNKNOWN_NAME, &REQUEST_ERRORS, &PUT];

/// A client named no server.
pub fn server_name_missing() {
    MISSING_NAME.inc();
}

/// A client named a server that is not ours.
pub fn server_name_unknown() {
    UNKNOWN_NAME.inc();
}

/// A certificate could not be had.
pub fn certificate_request_failed() {
    REQUEST_ERRORS.inc();
}

/// A certificate was received and kept.
pub fn certificate_put() {
    PUT.inc();
}
