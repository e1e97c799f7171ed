//! Any text as a configuration document: read, printed, edited.
#![no_main]

#[path = "../../crates/sconf/tests/sconf/invariants.rs"]
mod invariants;

libfuzzer_sys::fuzz_target!(|text: &str| invariants::check(text));
