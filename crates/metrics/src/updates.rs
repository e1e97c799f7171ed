//! Looking for new releases.

use std::time::Duration;

use crate::family::{BUCKETS, Durations};
use crate::registry::Metric;

static LOOKUPS: Durations<1> = Durations::new(
    "mox_updates_lookup_duration_seconds",
    "Time of looking up the newest release",
    ["result"],
    BUCKETS,
);

static CHANGELOGS: Durations<1> = Durations::new(
    "mox_updates_fetchchangelog_duration_seconds",
    "Time of getting the changes of new releases",
    ["result"],
    BUCKETS,
);

pub(crate) static ALL: &[&dyn Metric] = &[&LOOKUPS, &CHANGELOGS];

/// The newest release was looked up: `ok`, `temporary`, `error`, ….
pub fn looked_up(result: &'static str, took: Duration) {
    LOOKUPS.observe([result.into()], took);
}

/// The changes of new releases were asked for.
pub fn changelog_fetched(result: &'static str, took: Duration) {
    CHANGELOGS.observe([result.into()], took);
}
