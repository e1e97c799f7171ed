//! The check of stored mail at night.

use crate::family::{Counters, Gauge};
use crate::registry::Metric;

static ACCOUNTS: Counters<1> = Counters::known(
    "mox_selfcheck_accounts_total",
    "Accounts of which a part was checked at night, by what came of it",
    ["result"],
    &[["ok"], ["faults"], ["error"]],
);

static FAULTS: Gauge = Gauge::new(
    "mox_selfcheck_faults",
    "Faults that the last check at night found in stored mail: anything but 0 is damage",
);

pub(crate) static ALL: &[&dyn Metric] = &[&ACCOUNTS, &FAULTS];

/// A part of an account was checked: `ok`, `faults` or `error`.
pub fn checked(result: &'static str) {
    ACCOUNTS.inc([result.into()]);
}

/// A night's check is done, with so many faults.
pub fn finished(faults: usize) {
    FAULTS.set(i64::try_from(faults).unwrap_or(i64::MAX));
}
