//! See `check_answer` in `crates/net/src/dns/lab.rs`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mox_dns::{Name, RecordType};
use mox_net::dns::lab::check_answer;

const KINDS: [RecordType; 5] =
    [RecordType::A, RecordType::Cname, RecordType::Mx, RecordType::Tlsa, RecordType::Txt];

fuzz_target!(|data: &[u8]| {
    let Some((kind, bytes)) = data.split_first() else { return };
    let (Ok(name), kind) = (Name::parse("a.example"), usize::from(*kind) % KINDS.len()) else {
        return;
    };
    check_answer(bytes, &name, KINDS[kind]);
});
