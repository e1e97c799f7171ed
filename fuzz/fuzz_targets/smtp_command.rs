//! Any bytes as a command line.
#![no_main]

#[path = "../../crates/smtp/tests/driver/mod.rs"]
#[expect(dead_code, reason = "each target uses its own check")]
mod driver;
#[path = "../../crates/smtp/tests/invariants/mod.rs"]
#[expect(dead_code, reason = "each target uses its own check")]
mod invariants;

libfuzzer_sys::fuzz_target!(|line: &[u8]| invariants::check_command(line));
