//! Metrics with any number of labels, made when they are first used.

use std::borrow::Cow;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::{counter, gauge, histogram};
use prometheus_client::registry::Registry;

use crate::registry::{Description, Kind, Metric};

/// The number of time series of one metric. Further ones are counted together as [`OTHER`].
///
/// Most values of labels are constants of ours. This bounds the few that are not, such as names of
/// domains, whatever becomes of their number.
pub const SERIES_MAX: usize = 2_000;

/// The value of all labels of what came after [`SERIES_MAX`] time series.
pub const OTHER: &str = "(other)";

/// Bounds of durations in seconds, for what somebody waits for.
pub(crate) const BUCKETS: &[f64] = &[0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 20.0];

/// Bounds of durations in seconds, for what may take minutes.
pub(crate) const BUCKETS_LONG: &[f64] =
    &[0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0];

/// The value of a label: a constant, or a text of bounded variety.
pub(crate) type Value = Cow<'static, str>;

type Labels<const N: usize> = [(&'static str, Value); N];

/// What is the same for all kinds of metrics.
#[derive(Debug)]
struct Info<const N: usize> {
    name: &'static str,
    help: &'static str,
    labels: [&'static str; N],
}

impl<const N: usize> Info<N> {
    fn describe(&self, kind: Kind) -> Description {
        Description { name: self.name, kind, labels: self.labels.to_vec(), help: self.help }
    }

    fn labelled(&self, values: [Value; N]) -> Labels<N> {
        let mut names = self.labels.iter();
        values.map(|value| (names.next().copied().unwrap_or_default(), value))
    }
}

/// The time series of a metric.
#[derive(Debug)]
struct Series<const N: usize, M, C = fn() -> M> {
    family: Family<Labels<N>, M, C>,
    count: AtomicUsize,
}

impl<const N: usize, M: Clone, C: MetricConstructor<M>> Series<N, M, C> {
    fn new(family: Family<Labels<N>, M, C>) -> Self {
        Self { family, count: AtomicUsize::new(0) }
    }

    /// The one with these values, or that of [`OTHER`] if there are too many.
    fn get(&self, info: &Info<N>, values: [Value; N]) -> M {
        let labels = info.labelled(values);
        if let Some(metric) = self.family.get(&labels) {
            return metric.clone();
        }
        // Two threads may make the same one at the same time: then it counts twice.
        if self.count.fetch_add(1, Ordering::Relaxed) < SERIES_MAX {
            return self.family.get_or_create_owned(&labels);
        }
        self.count.fetch_sub(1, Ordering::Relaxed);
        self.family.get_or_create_owned(&info.labelled([(); N].map(|()| Cow::Borrowed(OTHER))))
    }

    fn clear(&self) {
        self.family.clear();
        self.count.store(0, Ordering::Relaxed);
    }
}

/// A number that grows. Adding is one relaxed atomic operation.
#[derive(Debug)]
pub(crate) struct Counter {
    info: Info<0>,
    made: OnceLock<counter::Counter>,
}

impl Counter {
    /// - `name`: ends in `_total`.
    /// - `help`: one sentence without its stop.
    pub(crate) const fn new(name: &'static str, help: &'static str) -> Self {
        Self { info: Info { name, help, labels: [] }, made: OnceLock::new() }
    }

    pub(crate) fn inc(&self) {
        self.made.get_or_init(counter::Counter::default).inc();
    }
}

impl Metric for Counter {
    fn describe(&self) -> Description {
        self.info.describe(Kind::Counter)
    }

    fn register(&self, registry: &mut Registry) {
        let made = self.made.get_or_init(counter::Counter::default).clone();
        registry.register(base_name(self.info.name), self.info.help, made);
    }
}

/// A family of numbers that grow.
#[derive(Debug)]
pub(crate) struct Counters<const N: usize> {
    info: Info<N>,
    known: &'static [[&'static str; N]],
    made: OnceLock<Series<N, counter::Counter>>,
}

impl<const N: usize> Counters<N> {
    /// - `name`: ends in `_total`.
    /// - `help`: one sentence without its stop.
    pub(crate) const fn new(
        name: &'static str,
        help: &'static str,
        labels: [&'static str; N],
    ) -> Self {
        Self::known(name, help, labels, &[])
    }

    /// With time series that are there from the start, at 0. An alert about what rose does not see
    /// a series that begins with 1.
    pub(crate) const fn known(
        name: &'static str,
        help: &'static str,
        labels: [&'static str; N],
        known: &'static [[&'static str; N]],
    ) -> Self {
        Self { info: Info { name, help, labels }, known, made: OnceLock::new() }
    }

    pub(crate) fn inc(&self, values: [Value; N]) {
        self.add(values, 1);
    }

    pub(crate) fn add(&self, values: [Value; N], count: u64) {
        self.series().get(&self.info, values).inc_by(count);
    }

    fn series(&self) -> &Series<N, counter::Counter> {
        self.made.get_or_init(|| {
            let series = Series::new(Family::default());
            for values in self.known {
                let _zero = series.get(&self.info, values.map(Cow::Borrowed));
            }
            series
        })
    }
}

impl<const N: usize> Metric for Counters<N> {
    fn describe(&self) -> Description {
        self.info.describe(Kind::Counter)
    }

    fn register(&self, registry: &mut Registry) {
        registry.register(base_name(self.info.name), self.info.help, self.series().family.clone());
    }
}

/// A number that is set, or goes up and down.
#[derive(Debug)]
pub(crate) struct Gauge {
    info: Info<0>,
    made: OnceLock<gauge::Gauge>,
}

impl Gauge {
    /// - `help`: one sentence without its stop.
    pub(crate) const fn new(name: &'static str, help: &'static str) -> Self {
        Self { info: Info { name, help, labels: [] }, made: OnceLock::new() }
    }

    pub(crate) fn set(&self, value: i64) {
        self.made.get_or_init(gauge::Gauge::default).set(value);
    }
}

impl Metric for Gauge {
    fn describe(&self) -> Description {
        self.info.describe(Kind::Gauge)
    }

    fn register(&self, registry: &mut Registry) {
        let made = self.made.get_or_init(gauge::Gauge::default).clone();
        registry.register(self.info.name, self.info.help, made);
    }
}

/// A family of numbers that are set, or go up and down.
#[derive(Debug)]
pub(crate) struct Gauges<const N: usize> {
    info: Info<N>,
    made: OnceLock<Series<N, gauge::Gauge>>,
}

impl<const N: usize> Gauges<N> {
    /// - `help`: one sentence without its stop.
    pub(crate) const fn new(
        name: &'static str,
        help: &'static str,
        labels: [&'static str; N],
    ) -> Self {
        Self { info: Info { name, help, labels }, made: OnceLock::new() }
    }

    pub(crate) fn with(&self, values: [Value; N]) -> gauge::Gauge {
        self.series().get(&self.info, values)
    }

    /// Forgets all time series.
    pub(crate) fn clear(&self) {
        self.series().clear();
    }

    fn series(&self) -> &Series<N, gauge::Gauge> {
        self.made.get_or_init(|| Series::new(Family::default()))
    }
}

impl<const N: usize> Metric for Gauges<N> {
    fn describe(&self) -> Description {
        self.info.describe(Kind::Gauge)
    }

    fn register(&self, registry: &mut Registry) {
        registry.register(self.info.name, self.info.help, self.series().family.clone());
    }
}

/// Makes histograms with these bounds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds(&'static [f64]);

impl MetricConstructor<histogram::Histogram> for Bounds {
    fn new_metric(&self) -> histogram::Histogram {
        histogram::Histogram::new(self.0.iter().copied())
    }
}

/// A family of durations, counted by how long they were.
#[derive(Debug)]
pub(crate) struct Durations<const N: usize> {
    info: Info<N>,
    bounds: Bounds,
    made: OnceLock<Series<N, histogram::Histogram, Bounds>>,
}

impl<const N: usize> Durations<N> {
    /// - `help`: one sentence without its stop.
    /// - `bounds`: in seconds, ascending.
    pub(crate) const fn new(
        name: &'static str,
        help: &'static str,
        labels: [&'static str; N],
        bounds: &'static [f64],
    ) -> Self {
        Self { info: Info { name, help, labels }, bounds: Bounds(bounds), made: OnceLock::new() }
    }

    pub(crate) fn observe(&self, values: [Value; N], took: Duration) {
        self.series().get(&self.info, values).observe(took.as_secs_f64());
    }

    fn series(&self) -> &Series<N, histogram::Histogram, Bounds> {
        self.made.get_or_init(|| Series::new(Family::new_with_constructor(self.bounds)))
    }
}

impl<const N: usize> Metric for Durations<N> {
    fn describe(&self) -> Description {
        self.info.describe(Kind::Histogram)
    }

    fn register(&self, registry: &mut Registry) {
        registry.register(self.info.name, self.info.help, self.series().family.clone());
    }
}

/// The name as the registry wants it: it writes the ending of counters itself.
pub(crate) fn base_name(name: &'static str) -> &'static str {
    name.strip_suffix("_total").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;

    use super::*;

    fn shown(metric: &dyn Metric) -> String {
        let mut registry = Registry::default();
        metric.register(&mut registry);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        text
    }

    #[test]
    fn each_kind_is_shown_with_its_name_and_help() {
        static COUNTER: Counter = Counter::new("a_total", "Ayes");
        static COUNTERS: Counters<1> = Counters::known("b_total", "Bees", ["to"], &[["hive"]]);
        static GAUGE: Gauge = Gauge::new("c", "Seas");
        static GAUGES: Gauges<2> = Gauges::new("d", "Dees", ["x", "y"]);
        static DURATIONS: Durations<1> = Durations::new("e_total", "Ease", ["of"], &[0.5, 1.0]);
        // Without labels, and known ones: there before anything happened.
        assert!(shown(&COUNTER).contains("# HELP a Ayes.\n# TYPE a counter\na_total 0\n"));
        assert!(shown(&GAUGE).contains("c 0\n"));
        assert!(shown(&COUNTERS).contains("b_total{to=\"hive\"} 0\n"));
        assert!(!shown(&GAUGES).contains("Dees"));
        COUNTER.inc();
        COUNTER.inc();
        COUNTERS.inc(["flo\"wer\n".into()]);
        GAUGE.set(-3);
        GAUGES.with(["1".into(), "2".into()]).set(7);
        DURATIONS.observe(["mind".into()], Duration::from_millis(700));
        assert!(shown(&COUNTER).contains("a_total 2\n"));
        assert!(shown(&COUNTERS).contains("b_total{to=\"flo\\\"wer\\n\"} 1\n"));
        assert!(shown(&GAUGE).contains("c -3\n"));
        assert!(shown(&GAUGES).contains("d{x=\"1\",y=\"2\"} 7\n"));
        let text = shown(&DURATIONS);
        for line in [
            "# TYPE e_total histogram",
            "e_total_sum{of=\"mind\"} 0.7",
            "e_total_bucket{le=\"0.5\",of=\"mind\"} 0",
            "e_total_bucket{le=\"1.0\",of=\"mind\"} 1",
            "e_total_bucket{le=\"+Inf\",of=\"mind\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
        GAUGES.clear();
        assert!(!shown(&GAUGES).contains("Dees"));
    }

    /// Attack: one value for each request would fill the memory, here and where it is collected.
    #[test]
    fn a_family_has_a_bounded_number_of_series() {
        static MANY: Counters<2> = Counters::new("many_total", "Many", ["a", "b"]);
        for value in 0..SERIES_MAX + 10 {
            MANY.inc([value.to_string().into(), "x".into()]);
        }
        // Known ones are told apart for ever.
        MANY.inc(["5".into(), "x".into()]);
        let text = shown(&MANY);
        assert_eq!(text.matches("many_total{").count(), SERIES_MAX + 1);
        assert!(text.contains("many_total{a=\"5\",b=\"x\"} 2\n"));
        assert!(text.contains("many_total{a=\"(other)\",b=\"(other)\"} 10\n"));
    }
}
