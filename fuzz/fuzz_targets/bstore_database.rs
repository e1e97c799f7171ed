//! Any pages as a database of the original: see `crates/bstore/tests/read/hostile.rs`.
#![no_main]

#[path = "../../crates/bstore/tests/read/hostile.rs"]
mod hostile;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    hostile::check_database(data);
    hostile::check_database(&hostile::file_of_pages(data));
});
