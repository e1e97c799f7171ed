//! What a process that does one thing used for it, told to the process that started it.

use std::ffi::OsStr;
use std::fmt;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;

use crate::proc::{self, CpuTicks};

/// Bytes of a MiB.
pub(crate) const MIB: f64 = 1024.0 * 1024.0;

/// Time and memory of a process.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Used {
    /// From the start of its work.
    pub(crate) seconds: f64,
    /// User and system time of all its threads since its start, in microseconds.
    pub(crate) cpu_us: f64,
    /// The most memory that it had, in MiB.
    pub(crate) peak_mib: f64,
    /// The part of the time in which processors of the machine were idle, from 0 to 1.
    pub(crate) idle: f64,
}

/// Does something in another process: this program with a hidden argument and words. Returns how many it
/// dealt with, of whatever it counts, and what it used.
pub(crate) fn in_process(argument: &str, words: &[&OsStr]) -> Result<(u64, Used)> {
    let ticks = CpuTicks::now()?;
    let mut command = Command::new(std::env::current_exe()?);
    let output = command.arg(argument).args(words).output().context("start the other process")?;
    if !output.status.success() {
        bail!("{argument} failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    let idle = CpuTicks::now()?.idle_since(ticks);
    let text = String::from_utf8(output.stdout)?;
    let (count, used) = text.trim().split_once(' ').context("what the other process tells")?;
    Ok((count.parse()?, Used { idle, ..Used::parse(used)? }))
}

/// Copies a directory with `cp -r`. Returns how many seconds that takes.
pub(crate) fn plain_copy(from: &Path, to: &Path) -> Result<f64> {
    let started = Instant::now();
    let status = Command::new("cp").arg("-r").args([from, to]).status().context("start cp")?;
    ensure!(status.success(), "cp failed");
    Ok(started.elapsed().as_secs_f64())
}

impl Used {
    /// What this process used.
    pub(crate) fn since(started: Instant) -> Result<Self> {
        let seconds = started.elapsed().as_secs_f64();
        let usage = getrusage(UsageWho::RUSAGE_SELF)?;
        let cpu = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
        let peak_mib = proc::peak_kib()? as f64 / 1024.0;
        Ok(Self { seconds, cpu_us: cpu as f64, peak_mib, idle: 1.0 })
    }

    /// Reads what [`fmt::Display`] writes.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let words: Result<Vec<f64>, _> = text.split_whitespace().map(str::parse).collect();
        let words = words.ok().and_then(|words| <[f64; 3]>::try_from(words).ok());
        let [seconds, cpu_us, peak_mib] = words.context("what a process used")?;
        Ok(Self { seconds, cpu_us, peak_mib, idle: 1.0 })
    }

    /// With little more time than the processors gave it, or if these had none left, the disk was not what
    /// it waited for.
    pub(crate) fn is_cpu_bound(&self) -> bool {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        self.idle < 0.1 || self.cpu_us > 0.6 * 1e6 * self.seconds * processors as f64
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
        let used = |(seconds, cpu_us, peak_mib)| Used { seconds, cpu_us, peak_mib, idle: 1.0 };
        let want = want.map(used);
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

    #[test]
    fn processors_that_have_no_time_left_are_the_limit() {
        let used = Used { seconds: 10.0, cpu_us: 1.0, peak_mib: 1.0, idle: 0.5 };
        assert!(!used.is_cpu_bound());
        assert!(Used { idle: 0.05, ..used }.is_cpu_bound());
        let processors = std::thread::available_parallelism().map_or(1, usize::from) as f64;
        assert!(Used { cpu_us: 9e6 * processors, ..used }.is_cpu_bound());
    }
}
