//! HTTP, served and asked for.

use std::borrow::Cow;
use std::time::Duration;

use crate::family::{BUCKETS, Counters, Durations};
use crate::registry::Metric;

static REQUESTS: Durations<4> = Durations::new(
    "mox_httpserver_request_duration_seconds",
    "Time from the header of an HTTP request to that of its response",
    ["handler", "proto", "method", "code"],
    BUCKETS,
);

static RESPONSES: Durations<4> = Durations::new(
    "mox_httpserver_response_duration_seconds",
    "Time from the header of an HTTP request to the end of its response",
    ["handler", "proto", "method", "code"],
    BUCKETS,
);

static CLIENT: Durations<4> = Durations::new(
    "mox_httpclient_request_duration_seconds",
    "Time of HTTP requests to others, by the package that asks",
    ["pkg", "method", "code", "result"],
    BUCKETS,
);

static AUTOCONF: Counters<1> = Counters::new(
    "mox_autoconf_request_total",
    "Requests for the settings of mail programs by autoconfig, by domain of ours",
    ["domain"],
);

static AUTODISCOVER: Counters<1> = Counters::new(
    "mox_autodiscover_request_total",
    "Requests for the settings of mail programs by autodiscover, by domain of ours",
    ["domain"],
);

pub(crate) static ALL: &[&dyn Metric] = &[&REQUESTS, &RESPONSES, &CLIENT, &AUTOCONF, &AUTODISCOVER];

/// What a request was, for the labels of its metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// Who answered: a name of ours, or one of the configuration.
    pub handler: Cow<'static, str>,
    /// `http`, `https`, `ws` or `wss`.
    pub proto: &'static str,
    /// In lower case; `(other)` for methods that are none.
    pub method: &'static str,
    /// The status.
    pub code: u16,
}

impl Served {
    fn labels(&self) -> [Cow<'static, str>; 4] {
        let code = self.code.to_string();
        [self.handler.clone(), self.proto.into(), self.method.into(), code.into()]
    }
}

/// The header of a response is ready, `took` after the request came.
pub fn responded(served: &Served, took: Duration) {
    REQUESTS.observe(served.labels(), took);
}

/// A response ended, `took` after the request came.
pub fn finished(served: &Served, took: Duration) {
    RESPONSES.observe(served.labels(), took);
}

/// A request of ours to others ended.
///
/// - `code`: the status, 0 if there was none.
/// - `result`: `ok`, `timeout`, `canceled`, `error`, ….
pub fn asked(
    package: &'static str,
    method: &'static str,
    code: u16,
    result: &'static str,
    took: Duration,
) {
    let code = code.to_string().into();
    CLIENT.observe([package.into(), method.into(), code, result.into()], took);
}

/// A mail program asked for settings by autoconfig. `domain` is one of ours.
pub fn autoconf(domain: &str) {
    AUTOCONF.inc([domain.to_owned().into()]);
}

/// A mail program asked for settings by autodiscover. `domain` is one of ours.
pub fn autodiscover(domain: &str) {
    AUTODISCOVER.inc([domain.to_owned().into()]);
}
