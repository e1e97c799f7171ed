//! See `crates/web/tests/hostile/checks.rs`.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/web/tests/hostile/checks.rs"]
#[expect(dead_code, reason = "the other target uses the rest")]
mod checks;

fuzz_target!(|data: &[u8]| checks::check_target(data));
