//! Tokens for the subject, by which a stranger proves to be no program.

use crate::family::{Counter, Counters};
use crate::registry::Metric;

static GENERATED: Counter =
    Counter::new("mox_subjectpass_generate_total", "Tokens given out in refusals");

static VERIFIED: Counters<1> =
    Counters::new("mox_subjectpass_verify_total", "Tokens found in subjects", ["result"]);

pub(crate) static ALL: &[&dyn Metric] = &[&GENERATED, &VERIFIED];

/// A token was given out.
pub fn generated() {
    GENERATED.inc();
}

/// A token was found: `ok` or `fail`.
pub fn verified(result: &'static str) {
    VERIFIED.inc([result.into()]);
}
