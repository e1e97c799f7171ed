//! What a damaged page costs: what was on it, and nothing else.

use std::collections::BTreeSet;

use mox_bstore::{Bucket, Database, Element, Held, Source, Table};

use crate::fixtures::files;

/// A record or description: the keys of the buckets above it, and its own.
type Place = Vec<Vec<u8>>;

/// All values of a file that can be read, each with the pages that must be whole for it.
fn values(database: &Database<Vec<u8>>) -> Vec<(Place, BTreeSet<u64>)> {
    fn walk<S: Source>(
        bucket: &Bucket<'_, S>,
        above: &Place,
        pages: &BTreeSet<u64>,
        found: &mut Vec<(Place, BTreeSet<u64>)>,
    ) {
        let mut elements = bucket.walk();
        while let Some(element) = elements.next() {
            let Ok(Element { key, held, pages: own }) = element else { continue };
            let mut place = above.clone();
            place.push(key);
            let mut pages = pages.clone();
            pages.extend(elements.branches().flatten());
            pages.extend(own);
            match held {
                Held::Value(_) => found.push((place, pages)),
                Held::Bucket(bucket) => walk(&bucket, &place, &pages, found),
            }
        }
    }
    let mut found = Vec::new();
    walk(&database.root(), &Place::new(), &BTreeSet::new(), &mut found);
    found
}

/// The ways in which pages are damaged.
const DAMAGES: &[fn(&mut [u8])] = &[
    |page| page.fill(0),
    |page| page.fill(0xFF),
    |page| page[..16].fill(0x55),
    // What it says about its length.
    |page| page[12..16].copy_from_slice(&[0xFF, 0xFF, 0xFF, 0x7F]),
];

#[track_caller]
fn check(file: &[u8], every: usize) {
    let whole = Database::open(file.to_vec()).unwrap();
    let all = values(&whole);
    let page_bytes = whole.page_bytes();
    let pages = usize::try_from(whole.pages()).unwrap();
    for page in (2..pages).step_by(every) {
        for damage in DAMAGES {
            let mut file = file.to_vec();
            damage(&mut file[page * page_bytes..(page + 1) * page_bytes]);
            let damaged = Database::open(file).unwrap();
            let left: BTreeSet<_> = values(&damaged).into_iter().map(|(place, _)| place).collect();
            for (place, needs) in &all {
                let is_hit = needs.contains(&(page as u64));
                assert!(is_hit || left.contains(place), "page {page} cost {place:?}");
            }
        }
    }
}

#[test]
fn a_damaged_page_costs_what_is_on_it() {
    let files = files("moxdata-rich.tgz");
    check(&files["data/accounts/bob/index.db"], 1);
    check(&files["data/auth.db"], 1);
    check(&files["data/accounts/alice/index.db"], 41);
}

#[test]
fn damaged_bytes_give_faults_and_no_panic() {
    let files = files("moxdata-basic.tgz");
    let file = &files["mox-localserve/accounts/mox/index.db"];
    // Each byte of what is in use would take long; this is about one in four hundred, at all offsets of a page.
    for at in (8192..file.len()).step_by(403) {
        let mut file = file.clone();
        file[at] ^= 0xA5;
        let Ok(database) = Database::open(file) else { continue };
        let Ok(names) = Table::names(&database) else { continue };
        for name in names {
            let Ok(Some(table)) = Table::open(&database, &name) else { continue };
            let _read = table.records().filter(Result::is_ok).count();
        }
    }
}
