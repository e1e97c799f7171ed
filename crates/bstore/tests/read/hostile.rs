//! What holds of any bytes that are taken for a database. Also the check of a fuzz target.

use mox_bstore::{Bucket, Database, Held, Source, Table, Value};

/// The most types that are read of one file: finding one takes a walk through all.
const TYPES_MAX: usize = 20;

/// How deep buckets within buckets are walked. Real files have three.
const DEPTH_MAX: usize = 4;

/// The most buckets that are walked.
const BUCKETS_MAX: usize = 200;

/// Reads all that there is in a file: there is no panic, and no walk gives more than a few times what the
/// file has.
pub(crate) fn check_database(bytes: &[u8]) {
    let Ok(database) = Database::open(bytes.to_vec()) else { return };
    let mut buckets = BUCKETS_MAX;
    check_bucket(&database.root(), bytes.len(), DEPTH_MAX, &mut buckets);
    for name in Table::names(&database).unwrap_or_default().iter().take(TYPES_MAX) {
        match Table::open(&database, name) {
            Ok(Some(table)) => check_table(&table, bytes.len()),
            Ok(None) => {}
            Err(fault) => assert!(!fault.to_string().is_empty()),
        }
    }
}

/// A file with these pages after the two that describe commits, which few random bytes would do right:
/// the first byte says which page is the root, all pages have their own number, and of the last what is
/// missing is zero.
pub(crate) fn file_of_pages(bytes: &[u8]) -> Vec<u8> {
    const PAGE_BYTES: usize = 4096;
    let (root, bytes) = bytes.split_first().unwrap_or((&0, &[]));
    let pages = bytes.len().div_ceil(PAGE_BYTES).max(1);
    let mut file = vec![0; 2 * PAGE_BYTES];
    file.extend(bytes);
    file.resize((2 + pages) * PAGE_BYTES, 0);
    for (number, page) in file.chunks_exact_mut(PAGE_BYTES).enumerate() {
        page[..8].copy_from_slice(&(number as u64).to_le_bytes());
        if number > 1 {
            continue;
        }
        let root = 2 + u64::from(*root) % pages as u64;
        let fields = [root, 0, u64::MAX, 2 + pages as u64, number as u64];
        let mut meta = Vec::new();
        for number in [0xED0C_DAED_u32, 2, 4096, 0] {
            meta.extend(number.to_le_bytes());
        }
        fields.iter().for_each(|field| meta.extend(field.to_le_bytes()));
        let hash = meta.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
        });
        meta.extend(hash.to_le_bytes());
        page[8] = 4;
        page[16..16 + meta.len()].copy_from_slice(&meta);
    }
    file
}

fn check_bucket<S: Source>(
    bucket: &Bucket<'_, S>,
    file_bytes: usize,
    depth: usize,
    buckets: &mut usize,
) {
    let (mut held_bytes, mut within) = (0, Vec::new());
    for element in bucket.walk() {
        match element {
            Ok(element) => {
                held_bytes += element.key.len();
                match element.held {
                    Held::Value(value) => held_bytes += value.len(),
                    Held::Bucket(bucket) => within.push(bucket),
                }
            }
            Err(damage) => assert!(!damage.to_string().is_empty()),
        }
    }
    // Each page once, what pages run over into twice, and all elements twice.
    assert!(held_bytes <= 6 * file_bytes, "{held_bytes} bytes of {file_bytes}");
    for bucket in within {
        if depth == 0 || *buckets == 0 {
            return;
        }
        *buckets -= 1;
        check_bucket(&bucket, file_bytes, depth - 1, buckets);
    }
}

fn check_table<S: Source>(table: &Table<'_, S>, file_bytes: usize) {
    let fields: Vec<&str> = table.fields().collect();
    let mut records = 0;
    for record in table.records() {
        records += 1;
        match record {
            Ok(record) => {
                look_at(record.key());
                let first = fields.first().copied().unwrap_or_default();
                assert_eq!(record.get(first), record.key());
                fields.iter().chain(&["not a field"]).for_each(|name| look_at(record.get(name)));
                record.stored().for_each(|name| assert!(!record.get(name).is_absent()));
            }
            Err(fault) => assert!(!fault.to_string().is_empty()),
        }
    }
    assert!(records <= file_bytes, "{records} records in {file_bytes} bytes");
    let (mut raw, mut as_written) = (table.records(), 0);
    while let Some(record) = raw.next_as_written() {
        as_written += 1;
        drop(record);
    }
    assert_eq!(as_written, records);
}

/// Asks a value for all that it may be.
fn look_at(value: &Value) {
    let _scalars = (value.bool(), value.i64(), value.u64(), value.time());
    assert!(value.text().len() <= value.bytes().len() || value.bytes().is_empty());
    value.list().iter().for_each(look_at);
    value.map().iter().for_each(|(key, value)| {
        look_at(key);
        look_at(value);
    });
}
