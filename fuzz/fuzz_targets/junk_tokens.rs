//! Any bytes as a message: its words, learnt and unlearnt.
#![no_main]

#[path = "../../crates/junk/tests/junk/invariants.rs"]
mod invariants;

libfuzzer_sys::fuzz_target!(|data: &[u8]| invariants::check_words(data));
