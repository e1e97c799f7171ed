//! Any bytes as a stored message structure.
#![no_main]

#[path = "../../crates/mime/tests/mime/invariants.rs"]
#[expect(dead_code, reason = "each target uses its own check")]
mod invariants;

libfuzzer_sys::fuzz_target!(|data: &[u8]| invariants::check_blob(data));
