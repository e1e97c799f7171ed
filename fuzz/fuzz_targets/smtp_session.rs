//! Any bytes from a client, whole and in pieces, for both services.
#![no_main]

#[path = "../../crates/smtp/tests/driver/mod.rs"]
#[expect(dead_code, reason = "each target uses its own check")]
mod driver;
#[path = "../../crates/smtp/tests/invariants/mod.rs"]
#[expect(dead_code, reason = "each target uses its own check")]
mod invariants;

use mox_smtp::server::Service;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    if let Some((step, bytes)) = input.split_first() {
        let service = if step % 2 == 0 { Service::Delivery } else { Service::Submission };
        invariants::check_session(service, bytes, usize::from(step / 2));
    }
});
