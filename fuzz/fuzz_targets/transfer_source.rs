//! Any bytes as an mbox, an archive or what a client sends of them: see
//! `crates/transfer/tests/transfer/hostile.rs`.
#![no_main]

#[path = "../../crates/transfer/tests/transfer/hostile.rs"]
mod hostile;

libfuzzer_sys::fuzz_target!(|data: &[u8]| hostile::check_source(data));
