//! The SMTP server.

use std::time::Duration;

use crate::family::{BUCKETS_LONG, Counter, Counters, Durations};
use crate::registry::Metric;

static CONNECTIONS: Counters<1> = Counters::known(
    "mox_smtpserver_connection_total",
    "Incoming SMTP connections: kind is deliver or submit",
    ["kind"],
    &[["deliver"], ["submit"]],
);

static COMMANDS: Durations<4> = Durations::new(
    "mox_smtpserver_command_duration_seconds",
    "Time of SMTP commands, with the code and enhanced code of the reply",
    ["kind", "cmd", "code", "ecode"],
    BUCKETS_LONG,
);

static DELIVERIES: Counters<2> = Counters::new(
    "mox_smtpserver_delivery_total",
    "Verdicts on incoming messages, one for each recipient",
    ["result", "reason"],
);

static SUBMISSIONS: Counters<1> = Counters::new(
    "mox_smtpserver_submission_total",
    "Messages submitted by users, one for each message",
    ["result"],
);

static ERRORS: Counters<1> = Counters::known(
    "mox_smtpserver_errors_total",
    "Faults of ours while serving SMTP",
    ["error"],
    &[["store"], ["queue"], ["io"], ["panic"]],
);

static STARTTLS: Counter = Counter::new(
    "mox_smtpserver_delivery_starttls_total",
    "Commands STARTTLS of other mail servers",
);

static STARTTLS_ERRORS: Counters<1> = Counters::new(
    "mox_smtpserver_delivery_starttls_errors_total",
    "Handshakes after STARTTLS of other mail servers that failed",
    ["reason"],
);

pub(crate) static ALL: &[&dyn Metric] =
    &[&CONNECTIONS, &COMMANDS, &DELIVERIES, &SUBMISSIONS, &ERRORS, &STARTTLS, &STARTTLS_ERRORS];

/// A connection came in. `kind` is `deliver` or `submit`.
pub fn connected(kind: &'static str) {
    CONNECTIONS.inc([kind.into()]);
}

/// A command was answered.
///
/// - `command`: in lower case, `(other)` if there is no such command.
/// - `code`: of the reply.
/// - `enhanced`: the enhanced code of RFC 3463, as `5.1.1`; empty if there was none.
pub fn command(
    kind: &'static str,
    command: &'static str,
    code: u16,
    enhanced: &str,
    took: Duration,
) {
    let code = code.to_string().into();
    let enhanced = enhanced.to_owned().into();
    COMMANDS.observe([kind.into(), command.into(), code, enhanced], took);
}

/// A message was accepted for a recipient, or not.
///
/// - `result`: `delivered`, `reject`, `error`, ….
/// - `reason`: of the decision.
pub fn delivery(result: &'static str, reason: &'static str) {
    DELIVERIES.inc([result.into(), reason.into()]);
}

/// A user sent a message, or could not. `result` is `ok`, or ends in `error` if it was our fault.
pub fn submission(result: &'static str) {
    SUBMISSIONS.inc([result.into()]);
}

/// Something of ours failed.
pub fn failed(error: &'static str) {
    ERRORS.inc([error.into()]);
}

/// Another mail server asked for TLS.
pub fn starttls() {
    STARTTLS.inc();
}

/// A handshake with another mail server failed.
pub fn starttls_failed(reason: &'static str) {
    STARTTLS_ERRORS.inc([reason.into()]);
}
