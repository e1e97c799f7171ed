//! Any text as domains.conf: checks and address look-ups.
#![no_main]

#[path = "../../crates/config/tests/config/invariants.rs"]
mod invariants;

libfuzzer_sys::fuzz_target!(|text: &str| invariants::check(text));
