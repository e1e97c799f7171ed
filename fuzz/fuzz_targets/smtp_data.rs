//! Any bytes after DATA or BDAT, whole and in pieces.
#![no_main]

#[path = "../../crates/smtp/tests/driver/mod.rs"]
#[expect(dead_code, reason = "each target uses its own check")]
mod driver;
#[path = "../../crates/smtp/tests/invariants/mod.rs"]
#[expect(dead_code, reason = "each target uses its own check")]
mod invariants;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    if let Some((step, data)) = input.split_first() {
        invariants::check_data(data, usize::from(*step));
        invariants::check_chunks(data, usize::from(step / 2), step % 2 == 0);
    }
});
