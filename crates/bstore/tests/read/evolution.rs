//! Records that older versions of a type wrote.

use mox_bstore::{Database, Table};
use serde_json::Value as Json;

use crate::fixtures::{expected, files};
use crate::json::fields_match;

/// What a program sees that knows the newest version.
#[track_caller]
fn check(file: &str, table: &str, want: &Json) {
    let files = files("bstore-synthetic.tgz");
    let database = Database::open(files[file].clone()).unwrap();
    let table = Table::open(&database, table).unwrap().unwrap();
    let want = want.as_array().unwrap();
    let records: Vec<_> = table.records().map(Result::unwrap).collect();
    assert_eq!(records.len(), want.len());
    for (record, want) in records.iter().zip(want) {
        let want = want.as_object().unwrap();
        assert!(fields_match(want, |name| Some(record.get(name))), "{record:?}, want {want:?}");
        for stored in record.stored() {
            assert!(want.contains_key(stored), "{stored} of {record:?}");
        }
    }
}

#[test]
fn fields_that_a_later_version_dropped_are_not_seen_even_if_they_came_back() {
    let expected = expected("expected-bstore-synthetic.json.gz");
    check("bstore-kinds.db", "Evolve", &expected["bstore-kinds.db"]["evolve_as_seen_with_v3"]);
}

#[test]
fn schemas_with_numbers_for_kinds() {
    let mut expected = expected("expected-bstore-synthetic.json.gz");
    let records = expected["bstore-v1.db"]["VOne"].as_array_mut().unwrap();
    // Bytes have no mark in this one.
    for record in records.iter_mut() {
        if let Some(bytes) = record["D"].as_str().map(|bytes| format!("b64:{bytes}")) {
            record["D"] = bytes.into();
        }
    }
    check("bstore-v1.db", "VOne", &expected["bstore-v1.db"]["VOne"]);
}
