//! All metrics of the program.

use std::sync::LazyLock;

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

use crate::{
    auth, connections, dns, http, imap, log, mailauth, panics, process, queue, reports, selfcheck,
    smtp, smtpclient, subjectpass, tls, tlspolicy, updates, webhook,
};

/// The media type of [`text`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows while the program runs.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Durations counted by size, with their sum in seconds.
    Histogram,
}

impl Kind {
    /// The name that Prometheus has for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// What is known of a metric whether or not anything happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// As it is shown: counters with `_total`.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// The names of its labels.
    pub labels: Vec<&'static str>,
    /// One sentence without its stop.
    pub help: &'static str,
}

/// What each kind of metric can do.
pub(crate) trait Metric: Sync {
    fn describe(&self) -> Description;
    fn register(&self, registry: &mut Registry);
}

/// The metrics of each file, in the order of the documentation.
static ALL: &[&[&dyn Metric]] = &[
    panics::ALL,
    auth::ALL,
    connections::ALL,
    log::ALL,
    http::ALL,
    smtp::ALL,
    imap::ALL,
    queue::ALL,
    webhook::ALL,
    smtpclient::ALL,
    dns::ALL,
    mailauth::ALL,
    tlspolicy::ALL,
    reports::ALL,
    subjectpass::ALL,
    updates::ALL,
    selfcheck::ALL,
    tls::ALL,
    process::ALL,
];

static REGISTRY: LazyLock<Registry> = LazyLock::new(|| {
    let mut registry = Registry::default();
    for metric in ALL.iter().copied().flatten() {
        metric.register(&mut registry);
    }
    registry
});

/// All metrics now, in the text format of OpenMetrics, which Prometheus asks for. Families of which
/// nothing happened yet are left out. Costs time and memory with the number of time series.
#[must_use]
pub fn text() -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _infallible = encode(&mut text, &REGISTRY);
    text
}

/// All metrics there are, in the order of the documentation.
pub fn descriptions() -> impl Iterator<Item = Description> {
    ALL.iter().copied().flatten().map(|metric| metric.describe())
}
