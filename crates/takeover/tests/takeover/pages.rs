//! Databases with a damaged page: nothing panics, and all messages that lie elsewhere are taken.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use mox_base::{Flags, MsgId};
use mox_bstore::{Bucket, Database, Held, Table};
use mox_store::{Account as Ours, Columns, Fetched};
use mox_takeover::{Account, Summary, TakeoverError};
use mox_testkit::TestRng;
use proptest::prelude::*;

use crate::fixtures::{Fixture, Patient};

/// A sound database, and where what lies in it.
struct Sound {
    bytes: Vec<u8>,
    page_bytes: usize,
    /// Pages that hold something that is read, so none of indices.
    pages: Vec<u64>,
    /// Messages that are there, with all pages that must be whole for them.
    messages: BTreeMap<i64, BTreeSet<u64>>,
}

impl Sound {
    fn new(path: &Path) -> Self {
        let bytes = fs::read(path).unwrap();
        let database = Database::open(bytes.clone()).unwrap();
        let table = Table::open(&database, "Message").unwrap().unwrap();
        let live = table.records().map(Result::unwrap).filter(|record| !record.bool("Expunged"));
        let live: BTreeSet<i64> = live.map(|record| record.i64("ID")).collect();
        let mut found = Vec::new();
        walk(&database.root(), &[], &BTreeSet::new(), &mut found);
        found.retain(|(place, _)| !place[1].starts_with(b"index."));
        let of = |bucket: &'static [u8]| {
            let is_in = move |place: &[Vec<u8>]| place[0] == b"Message" && place[1] == bucket;
            found.iter().filter(move |(place, _)| is_in(place))
        };
        let types: BTreeSet<u64> = of(b"types").flat_map(|(_, pages)| pages).copied().collect();
        let messages = of(b"records").map(|(place, pages)| {
            let key: [u8; 8] = place[2].as_slice().try_into().unwrap();
            (
                (u64::from_be_bytes(key) ^ 1 << 63).cast_signed(),
                pages.union(&types).copied().collect(),
            )
        });
        let messages = messages.filter(|(id, _)| live.contains(id)).collect();
        let pages: BTreeSet<u64> = found.into_iter().flat_map(|(_, pages)| pages).collect();
        let page_bytes = database.page_bytes();
        Self {
            bytes,
            page_bytes,
            pages: pages.into_iter().filter(|page| *page > 0).collect(),
            messages,
        }
    }

    /// The database with a page damaged.
    fn damaged(&self, page: u64, how: Damage, rng: &TestRng) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        let at = usize::try_from(page).unwrap() * self.page_bytes;
        let target = at..at + self.page_bytes;
        match how {
            Damage::Zeros => bytes[target].fill(0),
            Damage::Ones => bytes[target].fill(0xFF),
            Damage::Half => bytes[target].iter_mut().skip(self.page_bytes / 2).for_each(|b| *b = 0),
            Damage::Noise => {
                bytes[target].iter_mut().for_each(|b| *b = rng.next_u64().to_le_bytes()[0])
            }
            Damage::Header => bytes[at + rng.below(16)] ^= 1 << rng.below(8),
            Damage::Bits => {
                (0..8).for_each(|_| bytes[at + rng.below(self.page_bytes)] ^= 1 << rng.below(8));
            }
            Damage::Other => {
                let other = self.pages[rng.below(self.pages.len())];
                let other = usize::try_from(other).unwrap() * self.page_bytes;
                bytes.copy_within(other..other + self.page_bytes, at);
            }
        }
        bytes
    }
}

/// All values below a bucket by the keys that lead to them, with the pages that must be whole for each.
fn walk(
    bucket: &Bucket<'_, Vec<u8>>,
    above: &[Vec<u8>],
    pages: &BTreeSet<u64>,
    found: &mut Vec<(Vec<Vec<u8>>, BTreeSet<u64>)>,
) {
    let mut elements = bucket.walk();
    while let Some(element) = elements.next() {
        let element = element.unwrap();
        let place = [above, &[element.key]].concat();
        let mut pages = pages.clone();
        pages.extend(elements.branches().flatten().chain(element.pages));
        match element.held {
            Held::Value(_) => found.push((place, pages)),
            Held::Bucket(bucket) => walk(&bucket, &place, &pages, found),
        }
    }
}

/// What becomes of a page.
#[derive(Clone, Copy, Debug)]
enum Damage {
    Zeros,
    Ones,
    Half,
    Noise,
    Header,
    Bits,
    Other,
}

const KINDS: [Damage; 7] = [
    Damage::Zeros,
    Damage::Bits,
    Damage::Other,
    Damage::Header,
    Damage::Half,
    Damage::Noise,
    Damage::Ones,
];

/// A message as clients know it.
pub(crate) type Known = (u32, u64, Flags, u64);

/// All messages of an account of ours by their ids.
pub(crate) fn messages(ours: &Ours) -> BTreeMap<i64, Known> {
    let reader = ours.read().unwrap();
    let mut found = BTreeMap::new();
    for mailbox in reader.mailboxes().unwrap() {
        let uids = reader.uids(mailbox.id).unwrap();
        let visit = &mut |one: &Fetched<'_>| {
            found.insert(one.id.0, (one.uid.get(), one.modseq.get(), one.flags, one.size));
            ControlFlow::Continue(())
        };
        assert!(reader.fetch(mailbox.id, &uids, Columns::default(), visit).unwrap().is_continue());
    }
    found
}

/// Checks and copies an account into a fresh one of ours of that name. Both must say the same.
#[track_caller]
fn take(fixture: &Fixture, account: &str, into: &str) -> Option<(Summary, Ours)> {
    let theirs = match Account::open(&fixture.theirs(account)) {
        Ok(theirs) => theirs,
        Err(TakeoverError::Open { .. } | TakeoverError::Read { .. }) => return None,
        Err(error) => panic!("{error}"),
    };
    let ours = fixture.store.account(into).unwrap();
    let copied = theirs.copy(&ours, None, &mut Patient);
    match (theirs.check(&mut Patient), copied) {
        (Ok(checked), Ok(copied)) => {
            assert_eq!(checked, copied);
            Some((copied, ours))
        }
        (Err(TakeoverError::Table { .. } | TakeoverError::Missing { .. }), Err(copied)) => {
            assert!(matches!(copied, TakeoverError::Table { .. } | TakeoverError::Missing { .. }));
            None
        }
        (checked, copied) => panic!("checked {checked:?}, copied {copied:?}"),
    }
}

/// Damages each `every`th page, each in another way.
#[track_caller]
fn check(fixture: &str, account: &str, every: usize) {
    let fixture = Fixture::new(fixture);
    let path = fixture.theirs(account).join("index.db");
    let sound = Sound::new(&path);
    let (summary, ours) = take(&fixture, account, "whole").unwrap();
    assert!(summary.is_whole());
    let whole = messages(&ours);
    let before = ours.read().unwrap();
    assert!(whole.keys().eq(sound.messages.keys()));
    let rng = TestRng::new(7);
    let mut hurt = 0;
    for (number, page) in sound.pages.iter().enumerate().step_by(every) {
        let how = KINDS[number / every % KINDS.len()];
        fs::write(&path, sound.damaged(*page, how, &rng)).unwrap();
        let taken = take(&fixture, account, &format!("hurt-{page}"));
        let elsewhere: Vec<_> =
            sound.messages.iter().filter(|(_, on)| !on.contains(page)).collect();
        let Some((summary, ours)) = taken else {
            assert!(elsewhere.is_empty(), "{how:?} of page {page} cost all messages");
            continue;
        };
        let found = messages(&ours);
        for (id, _) in elsewhere {
            assert_eq!(found.get(id), whole.get(id), "{how:?} of page {page}: message {id}");
        }
        // Without checksums, another value in the place of one cannot be told.
        let is_told = whole == found || !summary.is_whole() || matches!(how, Damage::Bits);
        assert!(is_told, "{how:?} of page {page} was not told");
        assert_eq!(summary.taken.get("messages").copied().unwrap_or(0), found.len() as u64);
        if !summary.is_whole() && matches!(how, Damage::Zeros | Damage::Ones | Damage::Noise) {
            // What it may come from, and what to do, is told once.
            let told = summary.damaged.values().flat_map(|notes| &notes.some);
            assert_eq!(told.filter(|text| text.contains("mox backup")).count(), 1, "{summary:?}");
        }
        // Whoever had a message that is lost hears of it.
        let after = ours.read().unwrap();
        for id in whole.keys().filter(|id| !found.contains_key(id)) {
            let was = before.remembered(MsgId(*id)).unwrap().unwrap();
            let is_told = after.mailbox_by_id(was.mailbox).is_err()
                || after.gone_at(was.mailbox, was.uid).unwrap().is_some();
            assert!(is_told || matches!(how, Damage::Bits), "{how:?} of page {page}: message {id}");
        }
        hurt += usize::from(!summary.is_whole());
    }
    assert!(hurt >= sound.pages.len() / every / 2, "{hurt} of {} pages", sound.pages.len());
}

#[test]
fn a_damaged_page_costs_the_messages_on_it() {
    check("basic", "mox", 3);
}

#[test]
fn a_damaged_page_of_a_larger_account_costs_the_messages_on_it() {
    check("rich", "alice", 19);
}

#[test]
fn a_damaged_page_of_a_live_copy_costs_the_messages_on_it() {
    check("live", "bob", 9);
}

/// What happens to an account's directory.
#[derive(Clone, Debug)]
enum Mishap {
    Flip(usize, u8),
    Cut(usize),
    Lose(usize),
    Directory(usize),
    Shorten(usize),
}

fn mishap() -> impl Strategy<Value = Mishap> {
    prop_oneof![
        8 => (0_usize..524_288, 1_u8..).prop_map(|(at, bits)| Mishap::Flip(at, bits)),
        1 => (400_000_usize..524_288).prop_map(Mishap::Cut),
        1 => (0_usize..22).prop_map(Mishap::Lose),
        1 => (0_usize..22).prop_map(Mishap::Directory),
        1 => (0_usize..22).prop_map(Mishap::Shorten),
    ]
}

fn befall(dir: &Path, mishap: &Mishap) {
    let index = dir.join("index.db");
    let file = |number: usize| {
        let files = fs::read_dir(dir.join("msg/a")).unwrap();
        let mut files: Vec<_> = files.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files[number % files.len()].clone()
    };
    let change = |path: &Path, change: &dyn Fn(&mut Vec<u8>)| {
        // A directory by now.
        let Ok(mut bytes) = fs::read(path) else { return };
        change(&mut bytes);
        // Files of copies are linked: only this one is meant.
        fs::remove_file(path).unwrap();
        fs::write(path, bytes).unwrap();
    };
    match mishap {
        Mishap::Flip(at, bits) => {
            change(&index, &|bytes| bytes.iter_mut().skip(*at).take(1).for_each(|b| *b ^= bits));
        }
        Mishap::Cut(at) => change(&index, &|bytes| bytes.truncate(*at)),
        Mishap::Shorten(number) => change(&file(*number), &|bytes| bytes.truncate(100)),
        Mishap::Lose(number) => {
            let _is_directory = fs::remove_file(file(*number));
        }
        Mishap::Directory(number) => {
            let path = file(*number);
            if fs::remove_file(&path).is_ok() {
                fs::create_dir(&path).unwrap();
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]
    #[test]
    fn whatever_is_damaged_a_check_says_what_a_copy_does(
        mishaps in proptest::collection::vec(mishap(), 1..30),
    ) {
        let fixture = Fixture::new("basic");
        for mishap in &mishaps {
            befall(&fixture.theirs("mox"), mishap);
        }
        if let Some((summary, ours)) = take(&fixture, "mox", "mox") {
            let count = messages(&ours).len() as u64;
            prop_assert_eq!(summary.taken.get("messages").copied().unwrap_or(0), count);
        }
    }
}
