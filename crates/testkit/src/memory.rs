//! Measuring the memory of a process, for tests of what something may cost.
#![expect(clippy::unwrap_used, reason = "what cannot be measured should fail the test")]

use std::env;
use std::fs;
use std::process::Command;

/// What of the memory of this process is in use, in bytes, all tests of it together.
///
/// # Panics
///
/// If it cannot be read.
#[must_use]
pub fn resident_bytes() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4_096
}

/// Whether a test runs in a process of its own, where it can measure memory: what other tests take would be
/// measured too. If not, runs it in one to its end.
///
/// # Panics
///
/// If it fails there.
///
/// - `test`: its name, as the test program lists it.
#[must_use]
pub fn is_alone(test: &str) -> bool {
    const ALONE: &str = "MOX_TEST_ALONE";
    if env::var_os(ALONE).is_some() {
        return true;
    }
    let mut child = Command::new(env::current_exe().unwrap());
    let output = child.args(["--exact", test]).env(ALONE, "1").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    false
}
