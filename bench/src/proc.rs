//! What `/proc` tells about processes and the machine.

use std::fs;

use anyhow::{Context, Result};

/// Memory that a process has, in KiB.
pub(crate) fn resident_kib(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    parse_kib(&status, "VmRSS:").with_context(|| format!("no VmRSS in {path}"))
}

/// The most memory that this process had since its program was started, in KiB. What the system tells of
/// resources used counts the process that started it too.
pub(crate) fn peak_kib() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status").context("read /proc/self/status")?;
    parse_kib(&status, "VmHWM:").context("no VmHWM in /proc/self/status")
}

fn parse_kib(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// Time of all processors since the machine was started, in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CpuTicks {
    idle: u64,
    total: u64,
}

impl CpuTicks {
    /// As of now.
    pub(crate) fn now() -> Result<Self> {
        let stat = fs::read_to_string("/proc/stat").context("read /proc/stat")?;
        Self::parse(&stat).context("no cpu line in /proc/stat")
    }

    fn parse(stat: &str) -> Option<Self> {
        let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
        let ticks = line.split_whitespace().map(str::parse).collect::<Result<Vec<u64>, _>>();
        // User, nice, system, idle, waiting for the disk, interrupts (2), stolen; guests are in
        // user time already.
        let ticks = ticks.ok().filter(|ticks| ticks.len() >= 5)?;
        let idle = ticks.iter().skip(3).take(2).sum();
        Some(Self { idle, total: ticks.iter().take(8).sum() })
    }

    /// The part of the time since `earlier` in which processors were idle, from 0 to 1.
    pub(crate) fn idle_since(self, earlier: Self) -> f64 {
        let total = self.total.saturating_sub(earlier.total).max(1);
        self.idle.saturating_sub(earlier.idle) as f64 / total as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_resident(status: &str, want: Option<u64>) {
        assert_eq!(parse_kib(status, "VmRSS:"), want, "{status:?}");
    }

    #[test]
    fn resident_memory_is_found() {
        check_resident(
            "Name:\tmox\nVmHWM:\t  30000 kB\nVmRSS:\t   20480 kB\nX:\t1\n",
            Some(20_480),
        );
        check_resident("VmRSS:\t0 kB", Some(0));
        check_resident("VmRSS:\t20480", None);
        check_resident("VmRSS:\t-1 kB", None);
        check_resident("Name:\tmox\n", None);
        check_resident("", None);
    }

    #[track_caller]
    fn check_ticks(stat: &str, want: Option<(u64, u64)>) {
        let want = want.map(|(idle, total)| CpuTicks { idle, total });
        assert_eq!(CpuTicks::parse(stat), want, "{stat:?}");
    }

    #[test]
    fn processor_time_is_found() {
        check_ticks("cpu  1 2 3 40 5 6 7 8 9 10\ncpu0 9 9 9 9 9\n", Some((45, 72)));
        check_ticks("cpu  1 2 3 40 5", Some((45, 51)));
        check_ticks("cpu  1 2 3 40", None);
        check_ticks("cpu  1 2 3 x 5", None);
        check_ticks("cpu0 1 2 3 40 5", None);
        check_ticks("", None);
    }

    #[test]
    fn the_idle_part_is_that_of_the_time_between() {
        let earlier = CpuTicks { idle: 100, total: 1_000 };
        let now = CpuTicks { idle: 150, total: 1_100 };
        assert!((now.idle_since(earlier) - 0.5).abs() < 1e-9);
        assert!(earlier.idle_since(earlier).abs() < 1e-9);
    }

    #[test]
    fn this_machine_can_be_read() {
        let now = resident_kib(std::process::id()).unwrap();
        assert!(now > 0 && peak_kib().unwrap() > 0);
        assert!(CpuTicks::now().unwrap().total > 0);
    }
}
