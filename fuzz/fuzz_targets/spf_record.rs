//! See `crates/mailauth/tests/policies/checks.rs`.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/mailauth/tests/policies/checks.rs"]
#[expect(dead_code, reason = "the other targets use the rest")]
mod checks;

fuzz_target!(|data: &[u8]| checks::check_spf(data));
