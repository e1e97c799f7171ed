//! Databases of the tests' own making: any records of any type are read as they were written.

use std::fs;
use std::path::Path;

use mox_bstore::{Database, Table, Time, Value as Read};
use mox_testkit::TestRng;
use mox_testkit::original::{
    Field, Kind, Row, Schema, Type, Value, Writer, fields, list, row, time_at, write_database,
};
use proptest::prelude::*;
use tempfile::TempDir;

/// What is written, and what should be read: zeros are not there.
type Pair = (Value, Read);

fn kind() -> impl Strategy<Value = Kind> {
    let bits = || prop_oneof![Just(None), Just(Some(8)), Just(Some(16)), Just(Some(64))];
    let plain = prop_oneof![
        Just(Kind::Bytes),
        Just(Kind::Bool),
        bits().prop_map(Kind::Int),
        bits().prop_map(Kind::Uint),
        Just(Kind::Float32),
        Just(Kind::Float64),
        Just(Kind::Text),
        Just(Kind::Time),
        Just(Kind::Marshaled),
    ];
    plain.prop_recursive(3, 12, 4, |below| {
        let of = (below.clone(), any::<bool>());
        let of = of.prop_map(|(kind, is_pointer)| Type { kind, is_pointer });
        // The original loses keys that are true or false.
        let key = below
            .prop_filter("a key", |kind| matches!(kind, Kind::Text | Kind::Int(_) | Kind::Uint(_)));
        prop_oneof![
            of.clone().prop_map(|of| Kind::Slice(Box::new(of))),
            (0_usize..12, of.clone()).prop_map(|(len, of)| Kind::Array(len, Box::new(of))),
            (key, of.clone()).prop_map(|(key, of)| Kind::Map(Box::new(key.into()), Box::new(of))),
            prop::collection::vec(of, 0..4).prop_map(|all| Kind::Struct(0, named(all))),
        ]
    })
}

fn named(types: Vec<Type>) -> Vec<Field> {
    let field = |(number, one): (usize, Type)| Field::new(&format!("F{number}"), one);
    types.into_iter().enumerate().map(field).collect()
}

fn bits(kind: &Kind) -> u32 {
    match kind {
        Kind::Int(bits) | Kind::Uint(bits) => bits.unwrap_or(32).into(),
        _ => 64,
    }
}

/// A value of a type; often zero.
fn value(of: &Type, rng: &TestRng) -> Pair {
    if of.is_pointer && rng.below(3) == 0 {
        return (Value::Nil, Read::Absent);
    }
    let (written, read, is_zero) = any_value(&of.kind, rng);
    (written, if is_zero && !of.is_pointer { Read::Absent } else { read })
}

fn any_value(kind: &Kind, rng: &TestRng) -> (Value, Read, bool) {
    let random = if rng.below(3) == 0 { 0 } else { rng.next_u64() >> rng.below(64) };
    let shift = 64 - bits(kind);
    let bytes = || (0..random % 40).map(|number| (number * 7) as u8).collect::<Vec<u8>>();
    let text = "aé€😀 \0".repeat(usize::try_from(random % 9).unwrap());
    match kind {
        Kind::Bool => (Value::Bool(random % 2 == 1), Read::Bool(random % 2 == 1), random % 2 == 0),
        Kind::Int(_) => {
            let value = (random << shift).cast_signed() >> shift;
            (Value::Int(value), Read::Int(value), value == 0)
        }
        Kind::Uint(_) => {
            let value = random << shift >> shift;
            (Value::Uint(value), Read::Uint(value), value == 0)
        }
        Kind::Float32 | Kind::Float64 => {
            let value = f64::from(random as u16) / 4.0;
            (Value::Float(value), Read::Float(value), value == 0.0)
        }
        Kind::Text => (Value::Text(text.clone()), Read::Text(text.clone()), text.is_empty()),
        Kind::Bytes | Kind::Marshaled => (Value::Bytes(bytes()), Read::Bytes(bytes()), false),
        Kind::Time => {
            let (unix_secs, nanos) =
                ((random >> 20).cast_signed(), (random % 1_000_000_000) as u32);
            let offset_secs = (random % 80_000) as i32 - 40_000;
            let read = Time { unix_secs, nanos, offset_secs };
            // One minute west stands for UTC.
            let read = if offset_secs / 60 == -1 { Time { offset_secs: 0, ..read } } else { read };
            (time_at(unix_secs, nanos, offset_secs), Read::Time(read), false)
        }
        Kind::Slice(of) => {
            let (written, read) = (0..random % 20).map(|_| value(of, rng)).unzip();
            (Value::List(written), Read::List(read), false)
        }
        Kind::Array(len, of) => {
            let (written, read): (_, Vec<_>) = (0..*len).map(|_| value(of, rng)).unzip();
            let is_zero = read.iter().all(Read::is_absent);
            (Value::List(written), Read::List(read), is_zero)
        }
        Kind::Map(key, of) => {
            let entry = |_| {
                let (key, read_key, _) = any_value(&key.kind, rng);
                let (value, read) = value(of, rng);
                ((key, value), (read_key, read))
            };
            let (written, read) = (0..random % 10).map(entry).unzip();
            (Value::Map(written), Read::Map(read), false)
        }
        Kind::Struct(_, of) => {
            let (mut written, mut read) = (Vec::new(), Vec::new());
            for field in of {
                let (value, stored) = value(&field.r#type, rng);
                written.push((field.name.clone().into(), value));
                if !stored.is_absent() {
                    read.push((field.name.as_str().into(), stored));
                }
            }
            let is_zero = read.is_empty();
            (Value::Struct(written), Read::Struct(read), is_zero)
        }
        Kind::Again(_) => unreachable!("not made here"),
    }
}

fn open(path: &Path) -> Database<Vec<u8>> {
    Database::open(fs::read(path).unwrap()).unwrap()
}

/// Writes so many records of a type with these fields, and reads them.
#[track_caller]
fn check(
    types: Vec<Type>,
    count: i64,
    page_bytes: usize,
    seed: u64,
) -> (TempDir, Database<Vec<u8>>) {
    let rng = TestRng::new(seed);
    let mut all = vec![Field::new("ID", Kind::Int(Some(64)))];
    all.extend(named(types));
    let schema = Schema::new("Thing", all.clone());
    let make = |id: i64| -> (Row, Vec<(String, Read)>) {
        let (mut row, mut read) = (row(id), Vec::new());
        for field in &all[1..] {
            let (value, stored) = value(&field.r#type, &rng);
            row.set(field.name.clone(), value);
            read.push((field.name.clone(), stored));
        }
        (row, read)
    };
    let (rows, want): (Vec<_>, Vec<_>) = (-count / 2..count - count / 2).map(make).unzip();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("things.db");
    let mut writer = Writer::with_page_bytes(&path, page_bytes);
    writer.table(&schema, rows);
    writer.finish();
    let database = open(&path);
    assert!(!database.may_be_older());
    assert_eq!(database.page_bytes(), page_bytes);
    let table = Table::open(&database, "Thing").unwrap().unwrap();
    assert_eq!(table.sequence(), u64::try_from((count - count / 2 - 1).max(0)).unwrap());
    let mut records = table.records();
    for (number, want) in want.iter().enumerate() {
        let record = records.next().unwrap().unwrap();
        assert_eq!(*record.key(), Read::Int(i64::try_from(number).unwrap() - count / 2));
        for (name, want) in want {
            assert_eq!(record.get(name), want, "{name} of {number}");
        }
    }
    assert!(records.next().is_none());
    drop(records);
    drop(table);
    (dir, database)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_records_are_read_as_they_were_written(
        types in prop::collection::vec((kind(), any::<bool>()), 0..20),
        count in 0_i64..60,
        page_bytes in prop_oneof![Just(1024_usize), Just(4096)],
        seed: u64,
    ) {
        let of = |(kind, is_pointer)| Type { kind, is_pointer };
        check(types.into_iter().map(of).collect(), count, page_bytes, seed);
    }
}

#[test]
fn thousands_of_records_lie_below_several_branches() {
    let types = vec![Kind::Text.into(), Kind::Slice(Box::new(Kind::Uint(None).into())).into()];
    let (_dir, database) = check(types, 40_000, 1024, 7);
    let table = database.root().bucket(b"Thing").unwrap().unwrap();
    let mut walk = table.bucket(b"records").unwrap().unwrap().walk();
    let mut branches = 0;
    while walk.next().is_some() {
        branches = branches.max(walk.branches().count());
    }
    assert!(branches >= 3, "{branches}");
}

#[test]
fn large_values_run_over_into_further_pages() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("large.db");
    let schema = Schema::new(
        "Large",
        vec![Field::new("Name", Kind::Text), Field::new("Content", Kind::Bytes)],
    );
    let size = |number: usize| number * number * 100;
    let rows = (1..100).map(|number: usize| {
        row(format!("{number:05}")).with("Content", vec![number as u8; size(number)])
    });
    let mut writer = Writer::create(&path);
    writer.table(&schema, rows);
    writer.finish();
    let database = open(&path);
    let table = Table::open(&database, "Large").unwrap().unwrap();
    for (record, number) in table.records().zip(1..) {
        assert_eq!(record.unwrap().bytes("Content"), vec![number as u8; size(number)]);
    }
    assert_eq!(table.records().count(), 99);
}

#[test]
fn records_of_an_older_version_and_of_the_original() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("versions.db");
    let with = |names: &[&str]| {
        let text = |name: &&str| Field::new(name, Kind::Text);
        [Field::new("ID", Kind::Uint(None))].into_iter().chain(names.iter().map(text)).collect()
    };
    let schema = Schema::new("Thing", with(&["A", "B"])).then(with(&["B"])).then(with(&["B", "A"]));
    let both = |id: i32| row(id).with("A", "a").with("B", "b");
    let mut writer = Writer::create(&path);
    writer.table_after(&schema, 9, [both(1).of_version(1), both(2)]);
    writer.finish();
    let database = open(&path);
    let table = Table::open(&database, "Thing").unwrap().unwrap();
    assert_eq!(table.sequence(), 9);
    let read: Vec<_> = table.records().map(Result::unwrap).collect();
    let shown = |number: usize| (read[number].text("A"), read[number].text("B"));
    // What was dropped in between does not come back.
    assert_eq!([shown(0), shown(1)], [("", "b"), ("a", "b")]);

    let path = dir.path().join("queue.db");
    let domain = |name: &str| fields([("Domain", fields([("ASCII", name.into())]))]);
    let message = |id: i32| {
        row(id)
            .with("RecipientDomain", domain("a.example"))
            .with("RequireTLS", false)
            .with("Results", list([fields([("Code", 450.into()), ("Error", "later".into())])]))
    };
    write_database(&path, "queue", [("Msg", vec![message(5), message(3)])]);
    let database = open(&path);
    assert_eq!(Table::names(&database).unwrap().len(), 6);
    let table = Table::open(&database, "Msg").unwrap().unwrap();
    let ids: Vec<_> = table.records().map(|record| record.unwrap().i64("ID")).collect();
    assert_eq!(ids, [3, 5]);
    let first = table.records().next().unwrap().unwrap();
    assert_eq!(first.get("RecipientDomain").field("Domain").field("ASCII").text(), "a.example");
    assert_eq!(first.get("Results").list()[0].field("Code").i64(), 450);
    assert_eq!(*first.get("RequireTLS"), Read::Bool(false));
}
