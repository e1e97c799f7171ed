//! See `crates/tlspolicy/tests/hostile/checks.rs`.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/tlspolicy/tests/hostile/checks.rs"]
#[expect(dead_code, reason = "the other targets use the rest")]
mod checks;

fuzz_target!(|data: &[u8]| checks::check_dane(data));
