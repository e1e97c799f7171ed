//! What the server says about its own work: lines in logfmt, with levels by package.
//!
//! A package is a part of the server as administrators know it, such as `smtpserver`; events name
//! it by the crate they come from. [`Levels`] says how much each may log and can be changed while
//! the server runs; the protocol traces of the drivers hang on it too.
//!
//! Invariant: the subscriber installed by [`install`] is the only global state of the program beside the
//! metrics.

mod layer;
mod levels;
mod line;

use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

pub use layer::{LogLayer, PACKAGES, package_of, package_of_file};
pub use levels::{Levels, LevelsError, PACKAGE_BYTES_MAX, PACKAGES_MAX};
pub use line::{Form, Record, VALUE_BYTES_MAX};

/// The target of events at level `print`: they are logged whatever the levels say.
pub const PRINT: &str = "mox::print";

/// The target of the lines of protocol traces, whose level is decided by the switch of their
/// session.
pub const TRACE: &str = "mox::trace";

/// Logs to the standard error stream from here on, panics too. Only the first call in a process
/// counts.
pub fn install(levels: &Levels, form: Form) {
    let layer = LogLayer::new(levels.clone(), form, std::io::stderr);
    if tracing_subscriber::registry().with(layer).try_init().is_err() {
        tracing::debug!("a log is installed already");
        return;
    }
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        mox_metrics::panics::panicked(package_of_file(&place));
        let reason = panic.payload_as_str().unwrap_or_default();
        tracing::error!(reason, place, "panic: this is a bug, please report it");
    }));
}
