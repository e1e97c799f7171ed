//! The files of the fixtures.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Cursor, Read as _};
use std::path::Path;

use flate2::read::GzDecoder;
use serde_json::Value as Json;

fn open(name: &str) -> GzDecoder<Cursor<Vec<u8>>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    GzDecoder::new(Cursor::new(fs::read(path).unwrap()))
}

/// All files of an archive, by their path.
pub(crate) fn files(archive: &str) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut archive = tar::Archive::new(open(archive));
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().display().to_string();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        files.insert(path.trim_start_matches("./").to_owned(), bytes);
    }
    files
}

/// What the original's library says of them.
pub(crate) fn expected(name: &str) -> Json {
    serde_json::from_reader(open(name)).unwrap()
}
