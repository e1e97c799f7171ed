//! How far the copying of files is, and rest for others who need the disk.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use mox_backup::Progress;

use super::say;

/// How often the line is written anew.
const INTERVAL: Duration = Duration::from_millis(200);

/// The longest rest between two megabytes.
const REST_MAX: Duration = Duration::from_millis(50);

/// After work, one part in so many of its time is rest.
const REST_PART: u32 = 3;

/// A line on standard error, if that is a terminal, or one for each file.
pub(super) struct Watching {
    is_verbose: bool,
    /// A server uses the disk too.
    is_shared: bool,
    is_terminal: bool,
    shown: Option<Instant>,
    worked_from: Instant,
    told: String,
}

impl Watching {
    pub(super) fn new(is_verbose: bool, is_shared: bool) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        let worked_from = Instant::now();
        Self { is_verbose, is_shared, is_terminal, shown: None, worked_from, told: String::new() }
    }

    /// Called about once for each megabyte.
    pub(super) fn show(&mut self, progress: &Progress) {
        if self.is_verbose {
            if self.told != progress.path {
                self.told.clone_from(&progress.path);
                say(&format!("{}\n", progress.path.escape_debug()));
            }
        } else if self.is_terminal && self.shown.is_none_or(|shown| shown.elapsed() >= INTERVAL) {
            self.shown = Some(Instant::now());
            say(&format!("\r{} files, {} read ", progress.files, amount(progress.bytes)));
        }
        if self.is_shared {
            // Nobody wakes this thread: it is a wait.
            let rest = (self.worked_from.elapsed() / REST_PART).min(REST_MAX);
            std::thread::park_timeout(rest);
            self.worked_from = Instant::now();
        }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        if self.shown.is_some() {
            say("\r\u{1b}[K");
        }
    }
}

/// A number of bytes for people.
pub(super) fn amount(bytes: u64) -> String {
    const STEP: u64 = 1_000;
    let (mut whole, mut part, mut unit) = (bytes, 0, "bytes");
    for next in ["KB", "MB", "GB", "TB"] {
        if whole < STEP {
            break;
        }
        (whole, part, unit) = (whole / STEP, whole % STEP / 100, next);
    }
    if unit == "bytes" { format!("{whole} bytes") } else { format!("{whole}.{part} {unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: u64, want: &str) {
        assert_eq!(amount(bytes), want);
    }

    #[test]
    fn amounts_have_the_unit_that_fits() {
        check(0, "0 bytes");
        check(999, "999 bytes");
        check(1_000, "1.0 KB");
        check(1_990_000, "1.9 MB");
        check(u64::MAX, "18446744.0 TB");
    }
}
