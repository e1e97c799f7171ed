//! Webhook calls.

use std::borrow::Cow;
use std::time::Duration;

use crate::family::{BUCKETS, Counters, Durations};
use crate::registry::Metric;

static REQUESTS: Durations<0> = Durations::new(
    "mox_webhook_request_duration_seconds",
    "Time of HTTP requests of webhook calls",
    [],
    BUCKETS,
);

static RESULTS: Counters<1> = Counters::new(
    "mox_webhook_results_total",
    "Results of webhook calls: a status, its class if it is unusual, or error",
    ["code"],
);

pub(crate) static ALL: &[&dyn Metric] = &[&REQUESTS, &RESULTS];

/// A call ended.
///
/// - `status`: of the response, `None` if there was none.
pub fn called(status: Option<u16>, took: Duration) {
    REQUESTS.observe([], took);
    RESULTS.inc([code(status)]);
}

/// Statuses that have a meaning stand for themselves: a stranger's server chooses them.
fn code(status: Option<u16>) -> Cow<'static, str> {
    match status {
        None => "error".into(),
        Some(known @ (100..=103 | 200..=208 | 300..=308 | 400..=431 | 451 | 500..=511)) => {
            known.to_string().into()
        }
        Some(other) => format!("{}xx", other / 100).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_of_bounded_variety() {
        let cases = [
            (Some(200), "200"),
            (Some(511), "511"),
            (Some(512), "5xx"),
            (Some(299), "2xx"),
            (Some(999), "9xx"),
            (None, "error"),
        ];
        for (status, want) in cases {
            assert_eq!(code(status), want, "{status:?}");
        }
    }
}
