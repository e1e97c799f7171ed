//! Records with any values as a queue of the original: see `crates/takeover/tests/takeover/hostile.rs`.
#![no_main]

#[path = "../../crates/takeover/tests/takeover/hostile.rs"]
mod hostile;

libfuzzer_sys::fuzz_target!(|data: &[u8]| hostile::check_queue(data));
