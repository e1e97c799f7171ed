//! Any messages to any mechanism: nobody gets in without the password.
#![no_main]

#[path = "../../crates/sasl/tests/invariants/mod.rs"]
mod invariants;

use mox_sasl::Mechanism;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    if let Some((choice, messages)) = input.split_first() {
        let mechanism = Mechanism::ALL[usize::from(*choice) % Mechanism::ALL.len()];
        let messages: Vec<_> = messages.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        invariants::check_server(mechanism, &messages);
    }
});
