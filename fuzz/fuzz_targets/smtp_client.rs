//! Any bytes from a server, for clients of every kind.
#![no_main]

#[path = "../../crates/smtp/tests/client/mod.rs"]
mod client;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    if let Some((bits, bytes)) = input.split_first() {
        client::check(*bits, bytes);
    }
});
