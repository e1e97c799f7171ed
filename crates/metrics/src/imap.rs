//! The IMAP server.

use std::borrow::Cow;
use std::time::Duration;

use crate::family::{BUCKETS_LONG, Counters, Durations};
use crate::registry::Metric;

static CONNECTIONS: Counters<1> = Counters::known(
    "mox_imap_connection_total",
    "Incoming IMAP connections: service is imap or imaps",
    ["service"],
    &[["imap"], ["imaps"]],
);

static COMMANDS: Durations<2> = Durations::new(
    "mox_imap_command_duration_seconds",
    "Time of IMAP commands",
    ["cmd", "result"],
    BUCKETS_LONG,
);

pub(crate) static ALL: &[&dyn Metric] = &[&CONNECTIONS, &COMMANDS];

/// A connection came in. `service` is `imap` or `imaps`.
pub fn connected(service: &'static str) {
    CONNECTIONS.inc([service.into()]);
}

/// A command was answered.
///
/// - `command`: in lower case, `(other)` if there is no such command.
/// - `result`: `ok`, `no`, `bad`, `error`.
pub fn command(command: Cow<'static, str>, result: &'static str, took: Duration) {
    COMMANDS.observe([command, result.into()], took);
}
