//! Every field of every record of every type.

use mox_bstore::{Database, Table};
use serde_json::Value as Json;

use crate::fixtures::{expected, files};
use crate::json::fields_match;

/// Compares all types of a file, and returns how many fields there were.
#[track_caller]
fn check(what: &str, file: &[u8], want: &Json) -> usize {
    let database = Database::open(file.to_vec()).unwrap();
    assert!(!database.may_be_older(), "{what}");
    let want = want.as_object().unwrap();
    let mut names = Table::names(&database).unwrap();
    names.sort();
    let mut known: Vec<_> = want.keys().cloned().collect();
    known.sort();
    assert_eq!(names, known, "{what}");
    let mut fields = 0;
    for (name, want) in want {
        let what = format!("{what} {name}");
        let table = Table::open(&database, name).unwrap().unwrap();
        let shown: Vec<_> =
            want["fields"].as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect();
        assert_eq!(table.fields().collect::<Vec<_>>(), shown, "{what}");
        let want = want["records"].as_array().unwrap();
        let mut records = table.records();
        for want in want {
            let record = records.next_as_written().unwrap().unwrap();
            let want = want.as_object().unwrap();
            for (field, want) in want {
                assert!(
                    fields_match(&[(field.clone(), want.clone())].into_iter().collect(), |name| {
                        Some(record.get(name))
                    }),
                    "{what} {:?} {field}: {:?}, want {want}",
                    record.key(),
                    record.get(field)
                );
                fields += 1;
            }
            for stored in record.stored() {
                assert!(want.contains_key(stored), "{what} {:?} {stored}", record.key());
            }
        }
        assert!(records.next_as_written().is_none(), "{what}");
        assert_eq!(table.records().map(Result::unwrap).count(), want.len(), "{what}");
    }
    fields
}

#[track_caller]
fn check_data(fixture: &str, data: &str, fields_min: usize) {
    let files = files(&format!("moxdata-{fixture}.tgz"));
    let expected = expected(&format!("expected-{fixture}.json.gz"));
    let mut fields = 0;
    for (path, want) in expected["raw"].as_object().unwrap() {
        fields += check(path, &files[&format!("{data}/{path}")], want);
    }
    for (account, want) in expected["accounts"].as_object().unwrap() {
        let path = format!("{data}/accounts/{account}/index.db");
        fields += check(&path, &files[&path], &want["raw"]);
    }
    assert!(fields >= fields_min, "{fields} fields");
}

#[test]
fn a_localserve() {
    check_data("basic", "mox-localserve", 1_000);
}

#[test]
fn two_accounts() {
    check_data("rich", "data", 20_000);
}

#[test]
fn a_copy_made_while_it_ran() {
    check_data("live", "data", 20_000);
}

#[test]
fn every_kind_of_key_and_value() {
    let files = files("bstore-synthetic.tgz");
    let expected = expected("expected-bstore-synthetic.json.gz");
    check("kinds", &files["bstore-kinds.db"], &expected["bstore-kinds.db"]["raw"]);
}

#[test]
fn words_of_a_junk_filter() {
    let files = files("moxdata-rich.tgz");
    let expected = expected("expected-rich.json.gz");
    let database = Database::open(files["data/accounts/alice/junkfilter.db"].clone()).unwrap();
    let table = Table::open(&database, "wordscore").unwrap().unwrap();
    let want = &expected["accounts"]["alice"]["junk"];
    let mut count = 0;
    for record in table.records() {
        let record = record.unwrap();
        if record.text("Word") == "-" {
            assert_eq!(want["hams"], record.u64("Ham"));
            assert_eq!(want["spams"], record.u64("Spam"));
        }
        count += 1;
    }
    assert!(want["records"] == count || want["records"] == count - 1, "{count}");
}
