//! The process itself, with the names that Prometheus has for them everywhere.

use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;

use parking_lot::Mutex;
use prometheus_client::metrics::{counter, gauge};
use prometheus_client::registry::Registry;

use crate::family::base_name;
use crate::registry::{Description, Kind, Metric};

static CPU: Seconds = Seconds {
    name: "process_cpu_seconds_total",
    help: "Time that the processors worked for the program",
    made: OnceLock::new(),
    sampled: Mutex::new(0.0),
};

static START: Number = Number::new(
    "process_start_time_seconds",
    "When the program was started, in seconds since 1970",
);
static RESIDENT: Number =
    Number::new("process_resident_memory_bytes", "Memory that the program occupies");
static VIRTUAL: Number =
    Number::new("process_virtual_memory_bytes", "Addresses that the program has reserved");
static OPEN_FDS: Number = Number::new("process_open_fds", "Open files and sockets");
static MAX_FDS: Number = Number::new("process_max_fds", "How many files and sockets may be open");
static THREADS: Number = Number::new("process_threads", "Threads of the program");

pub(crate) static ALL: &[&dyn Metric] =
    &[&CPU, &START, &RESIDENT, &VIRTUAL, &OPEN_FDS, &MAX_FDS, &THREADS];

/// What the operating system says of the process. What is not known is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sample {
    /// Since the start, in seconds of one processor.
    pub cpu_secs: f64,
    /// Since 1970.
    pub start_secs: f64,
    /// Resident memory.
    pub resident_bytes: u64,
    /// Reserved addresses.
    pub virtual_bytes: u64,
    /// Open file descriptors.
    pub open_fds: u64,
    /// The limit of them.
    pub max_fds: u64,
    /// Threads.
    pub threads: u64,
}

/// Tells what the operating system says now; to be called before [`crate::text`].
pub fn sampled(sample: &Sample) {
    CPU.set(sample.cpu_secs);
    START.set(sample.start_secs);
    for (metric, value) in [
        (&RESIDENT, sample.resident_bytes),
        (&VIRTUAL, sample.virtual_bytes),
        (&OPEN_FDS, sample.open_fds),
        (&MAX_FDS, sample.max_fds),
        (&THREADS, sample.threads),
    ] {
        metric.set(rounded(value));
    }
}

/// Exact below 2^53, which no count of bytes here reaches.
fn rounded(value: u64) -> f64 {
    let (high, low) = (value >> 32, value & u64::from(u32::MAX));
    let part = |value: u64| f64::from(u32::try_from(value).unwrap_or(u32::MAX));
    part(high) * 4_294_967_296.0 + part(low)
}

/// Seconds that only grow.
#[derive(Debug)]
struct Seconds {
    name: &'static str,
    help: &'static str,
    made: OnceLock<counter::Counter<f64, AtomicU64>>,
    sampled: Mutex<f64>,
}

impl Seconds {
    fn set(&self, total: f64) {
        let mut sampled = self.sampled.lock();
        if total > *sampled {
            self.made.get_or_init(counter::Counter::default).inc_by(total - *sampled);
            *sampled = total;
        }
    }
}

impl Metric for Seconds {
    fn describe(&self) -> Description {
        Description { name: self.name, kind: Kind::Counter, labels: Vec::new(), help: self.help }
    }

    fn register(&self, registry: &mut Registry) {
        let made = self.made.get_or_init(counter::Counter::default).clone();
        registry.register(base_name(self.name), self.help, made);
    }
}

/// A number that need not be whole.
#[derive(Debug)]
struct Number {
    name: &'static str,
    help: &'static str,
    made: OnceLock<gauge::Gauge<f64, AtomicU64>>,
}

impl Number {
    const fn new(name: &'static str, help: &'static str) -> Self {
        Self { name, help, made: OnceLock::new() }
    }

    fn set(&self, value: f64) {
        self.made.get_or_init(gauge::Gauge::default).set(value);
    }
}

impl Metric for Number {
    fn describe(&self) -> Description {
        Description { name: self.name, kind: Kind::Gauge, labels: Vec::new(), help: self.help }
    }

    fn register(&self, registry: &mut Registry) {
        let made = self.made.get_or_init(gauge::Gauge::default).clone();
        registry.register(self.name, self.help, made);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_shown_and_time_never_goes_back() {
        let first = Sample { cpu_secs: 1.5, resident_bytes: 5 << 32, ..Sample::default() };
        sampled(&first);
        sampled(&Sample { cpu_secs: 1.0, open_fds: 7, threads: 3, ..first });
        let text = crate::text();
        for line in [
            "process_cpu_seconds_total 1.5",
            "process_resident_memory_bytes 21474836480.0",
            "process_open_fds 7.0",
            "process_threads 3.0",
            "process_max_fds 0.0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
        sampled(&Sample { cpu_secs: 2.0, ..first });
        assert!(crate::text().contains("process_cpu_seconds_total 2.0\n"));
    }
}
