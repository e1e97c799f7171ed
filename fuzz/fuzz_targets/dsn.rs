//! Delivery status notifications of others.
#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _parsed = mox_reports::dsn::parse(&mut Cursor::new(data));
});
