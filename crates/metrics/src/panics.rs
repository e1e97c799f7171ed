//! Faults of ours that ended a task.

use crate::family::Counters;
use crate::registry::Metric;

static PANICS: Counters<1> = Counters::known(
    "mox_panic_total",
    "Panics that were caught: each is a fault of the program, by the package it came from",
    ["pkg"],
    // All there are: what has not happened must be there to be seen rising.
    &[
        ["config"],
        ["http"],
        ["imapserver"],
        ["library"],
        ["login"],
        ["message"],
        ["mox"],
        ["net"],
        ["other"],
        ["smtpserver"],
        ["store"],
    ],
);

pub(crate) static ALL: &[&dyn Metric] = &[&PANICS];

/// A panic was caught. `package` is as in the log.
pub fn panicked(package: &str) {
    PANICS.inc([package.to_owned().into()]);
}
