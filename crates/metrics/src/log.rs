//! Lines of the log.

use crate::family::Counter;
use crate::registry::Metric;

static INFO: Counter = Counter::new("mox_logging_level_info_total", "Lines logged at level info");
static WARN: Counter = Counter::new("mox_logging_level_warn_total", "Lines logged at level warn");
static ERROR: Counter =
    Counter::new("mox_logging_level_error_total", "Lines logged at level error");

pub(crate) static ALL: &[&dyn Metric] = &[&INFO, &WARN, &ERROR];

/// A line at level info.
pub fn info() {
    INFO.inc();
}

/// A line at level warn.
pub fn warn() {
    WARN.inc();
}

/// A line at level error.
pub fn error() {
    ERROR.inc();
}
