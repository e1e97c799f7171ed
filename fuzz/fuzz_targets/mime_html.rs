//! Any text as HTML.
#![no_main]

#[path = "../../crates/mime/tests/mime/invariants.rs"]
#[expect(dead_code, reason = "each target uses its own check")]
mod invariants;

libfuzzer_sys::fuzz_target!(|text: &str| invariants::check_html(text));
