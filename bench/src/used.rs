//! What a process that does one thing used for it, told to the process that started it.

use std::fmt;
use std::time::Instant;

use anyhow::{Context as _, Result};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;

/// Time and memory of a process.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Used {
    /// From the start of its work.
    pub(crate) seconds: f64,
    /// User and system time of all its threads since its start, in microseconds.
    pub(crate) cpu_us: f64,
    /// The most memory that it had, in MiB.
    pub(crate) peak_mib: f64,
}

impl Used {
    /// What this process used.
    pub(crate) fn since(started: Instant) -> Result<Self> {
        let seconds = started.elapsed().as_secs_f64();
        let usage = getrusage(UsageWho::RUSAGE_SELF)?;
        let cpu = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
        Ok(Self { seconds, cpu_us: cpu as f64, peak_mib: usage.max_rss() as f64 / 1024.0 })
    }

    /// Reads what [`fmt::Display`] writes.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let words: Result<Vec<f64>, _> = text.split_whitespace().map(str::parse).collect();
        let words = words.ok().and_then(|words| <[f64; 3]>::try_from(words).ok());
        let [seconds, cpu_us, peak_mib] = words.context("what a process used")?;
        Ok(Self { seconds, cpu_us, peak_mib })
    }

    /// With little more time than the processors gave it, the disk was not what it waited for.
    pub(crate) fn is_cpu_bound(&self) -> bool {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        self.cpu_us > 0.6 * 1e6 * self.seconds * processors as f64
    }
}

impl fmt::Display for Used {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.seconds, self.cpu_us, self.peak_mib)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: Option<(f64, f64, f64)>) {
        let want = want.map(|(seconds, cpu_us, peak_mib)| Used { seconds, cpu_us, peak_mib });
        assert_eq!(Used::parse(text).ok(), want, "{text:?}");
    }

    #[test]
    fn what_was_told_is_read() {
        check("1.5 20000 64.25\n", Some((1.5, 20_000.0, 64.25)));
        check("1.5 20000", None);
        check("1.5 20000 64.25 1", None);
        check("1.5 x 64.25", None);
        check("", None);
        let used = Used::since(Instant::now()).unwrap();
        assert!(used.peak_mib > 1.0);
        assert_eq!(Used::parse(&used.to_string()).unwrap(), used);
    }
}
