//! The SMTP client.

use std::time::Duration;

use crate::family::{BUCKETS_LONG, Counters, Durations};
use crate::registry::Metric;

static COMMANDS: Durations<3> = Durations::new(
    "mox_smtpclient_command_duration_seconds",
    "Time until other servers answered our SMTP commands, with the code and enhanced code",
    ["cmd", "code", "secode"],
    BUCKETS_LONG,
);

static TLS_NOT_REQUIRED: Counters<1> = Counters::new(
    "mox_smtpclient_tlsrequiredno_ignored_total",
    "Certificates that were not verified since a message says TLS-Required: No",
    ["ignored"],
);

pub(crate) static ALL: &[&dyn Metric] = &[&COMMANDS, &TLS_NOT_REQUIRED];

/// Another server answered.
///
/// - `code`: 0 if the connection broke.
/// - `enhanced`: subject and detail of the enhanced code, as `1.1`; empty if there was none. It is the
///   peer's choice, so values that no registry could have are to be left out.
pub fn command(command: &'static str, code: u16, enhanced: &str, took: Duration) {
    let enhanced = enhanced.to_owned().into();
    COMMANDS.observe([command.into(), code.to_string().into(), enhanced], took);
}

/// A certificate was not verified since the message does not want it. RFC 8689 §5.
pub fn tls_not_required(ignored: &'static str) {
    TLS_NOT_REQUIRED.inc([ignored.into()]);
}
