//! How far long work is, on the terminal of whoever waits for it.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use super::say;

/// How often the line is written anew.
const INTERVAL: Duration = Duration::from_millis(200);

/// The width of the bar.
const BAR_WIDTH: u64 = 30;

/// A line that is written over and over on standard error; nothing if that is no terminal.
#[derive(Debug)]
pub(super) struct Progress {
    /// In the unit of `done`; `None` if nobody knows.
    total: Option<u64>,
    started: Instant,
    shown: Option<Instant>,
    is_on: bool,
    /// Characters on the line.
    width: usize,
}

impl Progress {
    pub(super) fn new(total: Option<u64>) -> Self {
        let is_on = std::io::stderr().is_terminal();
        Self { total, started: Instant::now(), shown: None, is_on, width: 0 }
    }

    /// Shows how far it is, unless that was just done.
    ///
    /// - `done`: of the total.
    /// - `messages`, `bytes`: what was done.
    pub(super) fn show(&mut self, done: u64, messages: u64, bytes: u64) {
        let is_due = self.shown.is_none_or(|shown| shown.elapsed() >= INTERVAL);
        if !self.is_on || !is_due {
            return;
        }
        self.shown = Some(Instant::now());
        let line = line(done, self.total, (messages, bytes), self.started.elapsed());
        self.write(&line);
    }

    /// Shows how far a part of the work is, unless that was just done.
    pub(super) fn show_part(&mut self, part: &str, done: u64) {
        let is_due = self.shown.is_none_or(|shown| shown.elapsed() >= INTERVAL);
        if self.is_on && is_due {
            self.shown = Some(Instant::now());
            let line = part_line(part, done, self.total, self.started.elapsed());
            self.write(&line);
        }
    }

    /// There is so much to do.
    pub(super) fn set_total(&mut self, total: u64) {
        self.total = Some(total);
    }

    /// Takes the line away, before something else is written.
    pub(super) fn clear(&mut self) {
        if self.is_on && self.width > 0 {
            self.write("");
            say("\r");
            self.shown = None;
        }
    }

    fn write(&mut self, line: &str) {
        let width = line.chars().count();
        say(&format!("\r{line}{}", " ".repeat(self.width.saturating_sub(width))));
        self.width = width;
    }
}

/// How long it took, and how fast it was.
pub(super) fn rate_text(messages: u64, elapsed: Duration) -> String {
    let seconds = elapsed.as_secs_f64().max(0.001);
    format!("{:.1} s, {:.0} messages/s", seconds, messages as f64 / seconds)
}

/// A size for people.
pub(super) fn bytes_text(bytes: u64) -> String {
    let mut size = bytes as f64;
    for unit in ["bytes", "KB", "MB"] {
        if size < 1_000.0 {
            return if unit == "bytes" {
                format!("{bytes} bytes")
            } else {
                format!("{size:.1} {unit}")
            };
        }
        size /= 1_000.0;
    }
    format!("{size:.1} GB")
}

fn line(done: u64, total: Option<u64>, counts: (u64, u64), elapsed: Duration) -> String {
    let (messages, bytes) = counts;
    let rate = messages as f64 / elapsed.as_secs_f64().max(0.001);
    let text = format!("{messages} messages, {}, {rate:.0}/s", bytes_text(bytes));
    with_bar(text, done, total, elapsed)
}

fn part_line(part: &str, done: u64, total: Option<u64>, elapsed: Duration) -> String {
    let rate = done as f64 / elapsed.as_secs_f64().max(0.001);
    with_bar(format!("{part}: {done}, {rate:.0}/s"), done, total, elapsed)
}

/// Adds a bar and the time that is left, if it is known how much there is to do.
fn with_bar(mut text: String, done: u64, total: Option<u64>, elapsed: Duration) -> String {
    if let Some(total) = total.filter(|total| *total > 0) {
        let part = (done.min(total) as f64) / (total as f64);
        let filled = (part * BAR_WIDTH as f64) as u64;
        let bar: String = (0..BAR_WIDTH).map(|at| if at < filled { '#' } else { '.' }).collect();
        text = format!("{:3.0}% [{bar}] {text}", part * 100.0);
        if part > 0.01 {
            let left = elapsed.as_secs_f64() * (1.0 - part) / part;
            text.push_str(&format!(", {:.0}:{:02.0} left", (left / 60.0).floor(), left % 60.0));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_part_rate_and_time_left() {
        let second = Duration::from_secs(1);
        let text = line(50, Some(200), (500, 2_000_000), second * 10);
        let bar = format!("[{}{}]", "#".repeat(7), ".".repeat(23));
        assert_eq!(text, format!(" 25% {bar} 500 messages, 2.0 MB, 50/s, 0:30 left"));
        assert_eq!(line(5, None, (1, 999), second), "1 messages, 999 bytes, 1/s");
        let text = part_line("account a", 50, Some(200), second * 10);
        assert_eq!(text, format!(" 25% {bar} account a: 50, 5/s, 0:30 left"));
        // At the edge: nothing to do, and more done than there was to do.
        assert_eq!(line(0, Some(0), (0, 0), second), "0 messages, 0 bytes, 0/s");
        assert!(line(9, Some(3), (1, 1), second).starts_with("100% "));
        assert!(line(0, Some(3), (0, 0), Duration::ZERO).starts_with("  0% "));
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!(bytes_text(999), "999 bytes");
        assert_eq!(bytes_text(1_000), "1.0 KB");
        assert_eq!(bytes_text(1_500_000_000), "1.5 GB");
        assert_eq!(rate_text(500, Duration::from_secs(10)), "10.0 s, 50 messages/s");
    }
}
