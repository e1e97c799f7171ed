//! A page: its header and elements.

use std::fmt;
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use crate::bytes::{index, u16_at, u32_at, u64_at};

/// Bytes before the elements: id, flags, count, overflow.
pub(crate) const HEADER_BYTES: usize = 16;

/// Bytes of an element's entry; keys and values follow all of these.
const ENTRY_BYTES: usize = 16;

/// How often all elements of a page together may have its size. They lie side by side; with a damaged
/// length some lie over others. If all did, a page of a megabyte would have gigabytes in it.
const ROOM: usize = 2;

/// How large a page may be with those it runs over into. The largest record is far below.
pub const LOGICAL_PAGE_BYTES_MAX: usize = 64 * 1024 * 1024;

const BRANCH: u16 = 0x01;
const LEAF: u16 = 0x02;

/// Set in the flags of a leaf's element whose value is a bucket.
const IS_BUCKET: u32 = 0x01;

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("page {page}: {reason}")]
pub struct Damage {
    /// The page; 0 for a bucket within a value.
    pub page: u64,
    /// What is wrong with it.
    pub reason: Reason,
}

/// What is wrong with a page.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// It lies outside the part of the file that is in use.
    Outside,
    /// The file cannot be read there.
    Unreadable(String),
    /// The header says that it is another page.
    OtherId(u64),
    /// It is neither a branch nor a leaf.
    Flags(u16),
    /// It is longer than [`LOGICAL_PAGE_BYTES_MAX`], or than the file.
    TooLong,
    /// It is reached a second time.
    Twice,
    /// Branches lie too deep.
    TooDeep,
    /// The number of elements in the header is not that of the elements there are: the latter were read.
    Count {
        /// As the header says.
        said: u16,
        /// As they lie in the page.
        found: usize,
    },
    /// Elements whose key or value lies outside the page, or whose key breaks the order.
    Elements {
        /// How many are lost.
        lost: usize,
        /// The first of them, from 0.
        first: usize,
    },
    /// Its keys do not come after those of the page before: something is missing or old, though each
    /// element can be read.
    Order,
    /// A value that should be a bucket is none.
    NoBucket,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Outside => f.write_str("not in the part of the file that is in use"),
            Self::Unreadable(error) => write!(f, "cannot be read: {error}"),
            Self::OtherId(id) => write!(f, "says that it is page {id}"),
            Self::Flags(flags) => write!(f, "neither branch nor leaf, flags {flags:#06x}"),
            Self::TooLong => f.write_str("runs over into more pages than there may be"),
            Self::Twice => f.write_str("reached a second time"),
            Self::TooDeep => f.write_str("lies too deep"),
            Self::Count { said, found } => {
                write!(f, "says that it has {said} elements and has {found}")
            }
            Self::Elements { lost, first } => {
                write!(f, "{lost} elements cannot be read, the first is number {first}")
            }
            Self::Order => f.write_str("keys come before those of the page before"),
            Self::NoBucket => f.write_str("a value should be a bucket and is none"),
        }
    }
}

/// An element of a branch or leaf.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: Range<usize>,
    pub(crate) what: What,
}

impl Entry {
    /// How long key and value are.
    fn bytes(&self) -> usize {
        let value = match &self.what {
            What::Child(_) => 0,
            What::Value(value, _) => value.len(),
        };
        self.key.len() + value
    }
}

#[derive(Clone, Debug)]
pub(crate) enum What {
    /// Of a branch: a page below.
    Child(u64),
    /// Of a leaf: where its value is, and whether that is a bucket.
    Value(Range<usize>, bool),
}

/// A page whose elements were looked through.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    pub(crate) id: u64,
    /// The pages of the file that it takes.
    pub(crate) pages: RangeInclusive<u64>,
    pub(crate) bytes: Arc<[u8]>,
    pub(crate) entries: Vec<Entry>,
    /// What is wrong with it, though it can be read in parts.
    pub(crate) damages: Vec<Damage>,
}

/// How many pages follow that belong to the one with this header.
pub(crate) fn overflow(header: &[u8]) -> Option<u32> {
    u32_at(header, 12)
}

impl Page {
    /// Reads the elements of a page.
    ///
    /// - `id`: which page this is to be.
    /// - `bytes`: all of it, with what it runs over into.
    ///
    /// # Errors
    ///
    /// If the header is not that of such a page.
    pub(crate) fn parse(id: u64, bytes: Arc<[u8]>) -> Result<Self, Damage> {
        let fault = |reason| Damage { page: id, reason };
        let header = (u64_at(&bytes, 0), u16_at(&bytes, 8), u16_at(&bytes, 10));
        let (Some(said_id), Some(flags), Some(said)) = header else {
            return Err(fault(Reason::TooLong));
        };
        if said_id != id {
            return Err(fault(Reason::OtherId(said_id)));
        }
        if flags != BRANCH && flags != LEAF {
            return Err(fault(Reason::Flags(flags)));
        }
        let mut damages = Vec::new();
        let found = count(&bytes, flags, said);
        if found != usize::from(said) {
            damages.push(fault(Reason::Count { said, found }));
        }
        let mut room = bytes.len().saturating_mul(ROOM);
        let mut all: Vec<_> = (0..found)
            .map(|number| {
                let entry = entry(&bytes, flags, number)?;
                room = room.checked_sub(entry.bytes())?;
                Some(entry)
            })
            .collect();
        let kept = in_order(&all, &bytes);
        let lost = found - kept.len();
        if lost > 0 {
            let first = kept.iter().enumerate().find(|(number, kept)| number != *kept);
            let first = first.map_or(kept.len(), |(number, _)| number);
            damages.push(fault(Reason::Elements { lost, first }));
        }
        let entries = kept.iter().filter_map(|number| all.get_mut(*number)?.take()).collect();
        let last = id.saturating_add(overflow(&bytes).unwrap_or_default().into());
        Ok(Self { id, pages: id..=last, bytes, entries, damages })
    }

    pub(crate) fn bytes_of(&self, range: &Range<usize>) -> &[u8] {
        self.bytes.get(range.clone()).unwrap_or_default()
    }
}

/// How many elements there are. Keys and values begin where the entries end and lie without gaps, so the
/// first and the second element tell it too; if both say the same, the header is wrong.
fn count(bytes: &[u8], flags: u16, said: u16) -> usize {
    let said = usize::from(said);
    let most = bytes.len().saturating_sub(HEADER_BYTES) / ENTRY_BYTES;
    // An empty page has no first entry, and what lies there says nothing.
    if said == 0 {
        return 0;
    }
    let (first, second) = (data_start(bytes, flags, 0), data_start(bytes, flags, 1));
    let by_first = first.map(|(start, _)| start);
    let by_second = match (first, second) {
        (Some((_, len)), Some((start, _))) => start.checked_sub(len),
        _ => None,
    };
    let entries = by_first.filter(|end| by_second == Some(*end) && end % ENTRY_BYTES == 0);
    match entries.map(|end| end / ENTRY_BYTES) {
        Some(found) if (2..=most).contains(&found) => found,
        _ => said.min(most),
    }
}

/// Where an element's key begins, counted from the first entry, and how long key and value are.
fn data_start(bytes: &[u8], flags: u16, number: usize) -> Option<(usize, usize)> {
    let at = HEADER_BYTES + number * ENTRY_BYTES;
    let field = |number: usize| u32_at(bytes, at + 4 * number).map(index);
    let (pos, len) = match flags {
        BRANCH => (field(0)?, field(1)?),
        _ => (field(1)?, field(2)?.checked_add(field(3)?)?),
    };
    Some((pos.checked_add(number * ENTRY_BYTES)?, len))
}

/// An element, if it lies inside the page.
fn entry(bytes: &[u8], flags: u16, number: usize) -> Option<Entry> {
    let at = number.checked_mul(ENTRY_BYTES)?.checked_add(HEADER_BYTES)?;
    let inside = |start: usize, len: u32| {
        let range = start..start.checked_add(index(len))?;
        bytes.get(range.clone()).map(|_| range)
    };
    if flags == BRANCH {
        let key = inside(at.checked_add(index(u32_at(bytes, at)?))?, u32_at(bytes, at + 4)?)?;
        return Some(Entry { key, what: What::Child(u64_at(bytes, at + 8)?) });
    }
    let is_bucket = u32_at(bytes, at)? & IS_BUCKET != 0;
    let key = inside(at.checked_add(index(u32_at(bytes, at + 4)?))?, u32_at(bytes, at + 8)?)?;
    let value = inside(key.end, u32_at(bytes, at + 12)?)?;
    Some(Entry { key, what: What::Value(value, is_bucket) })
}

/// The numbers of the most elements whose keys ascend: the rest have damaged keys. Costs n log n.
fn in_order(entries: &[Option<Entry>], bytes: &[u8]) -> Vec<usize> {
    let key = |number: usize| {
        let entry = entries.get(number).and_then(Option::as_ref);
        entry.and_then(|entry| bytes.get(entry.key.clone())).unwrap_or_default()
    };
    let readable = || (0..entries.len()).filter(|at| entries.get(*at).is_some_and(Option::is_some));
    let numbers: Vec<usize> = readable().collect();
    let ascends = |pair: &[usize]| matches!(pair, [one, next] if key(*one) < key(*next));
    if numbers.windows(2).all(ascends) {
        return numbers;
    }
    // The longest ascending run with gaps, by patience: `ends` has the smallest last key of each length.
    let mut ends: Vec<usize> = Vec::new();
    let mut before: Vec<Option<usize>> = vec![None; entries.len()];
    for number in numbers {
        let length = ends.partition_point(|end| key(*end) < key(number));
        let above = length.checked_sub(1).and_then(|length| ends.get(length).copied());
        if let Some(slot) = before.get_mut(number) {
            *slot = above;
        }
        match ends.get_mut(length) {
            Some(end) => *end = number,
            None => ends.push(number),
        }
    }
    let mut kept = Vec::with_capacity(ends.len());
    let mut at = ends.last().copied();
    while let Some(number) = at {
        kept.push(number);
        at = before.get(number).copied().flatten();
    }
    kept.reverse();
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A leaf as bbolt writes it.
    fn leaf(id: u64, elements: &[(&[u8], &[u8])]) -> Vec<u8> {
        let mut page = id.to_le_bytes().to_vec();
        page.extend(LEAF.to_le_bytes());
        page.extend(u16::try_from(elements.len()).unwrap().to_le_bytes());
        page.extend(0_u32.to_le_bytes());
        let mut data_at = elements.len() * ENTRY_BYTES;
        for (number, (key, value)) in elements.iter().enumerate() {
            let pos = data_at - number * ENTRY_BYTES;
            for value in [0, pos, key.len(), value.len()] {
                page.extend(u32::try_from(value).unwrap().to_le_bytes());
            }
            data_at += key.len() + value.len();
        }
        for (key, value) in elements {
            page.extend(*key);
            page.extend(*value);
        }
        page
    }

    fn keys(page: &Page) -> Vec<&[u8]> {
        page.entries.iter().map(|entry| page.bytes_of(&entry.key)).collect()
    }

    #[track_caller]
    fn check(page: &[u8], want: Result<&[&[u8]], Reason>, damages: &[Reason]) {
        match (Page::parse(7, page.into()), want) {
            (Ok(page), Ok(want)) => {
                assert_eq!(keys(&page), want);
                let found: Vec<_> = page.damages.into_iter().map(|one| one.reason).collect();
                assert_eq!(found, damages);
            }
            (Err(damage), Err(reason)) => assert_eq!(damage.reason, reason),
            (found, want) => panic!("{found:?}, want {want:?}"),
        }
    }

    #[test]
    fn a_leaf_is_read_as_far_as_it_is_whole() {
        let whole = leaf(7, &[(b"a", b"1"), (b"b", b""), (b"c", b"333")]);
        check(&whole, Ok(&[b"a", b"b", b"c"]), &[]);
        check(&leaf(7, &[]), Ok(&[]), &[]);
        // The header counts too few or too many.
        let mut few = whole.clone();
        few[10] = 1;
        check(&few, Ok(&[b"a", b"b", b"c"]), &[Reason::Count { said: 1, found: 3 }]);
        few[10] = 200;
        check(&few, Ok(&[b"a", b"b", b"c"]), &[Reason::Count { said: 200, found: 3 }]);
        // A value that ends outside.
        let mut outside = whole.clone();
        outside[HEADER_BYTES + 2 * ENTRY_BYTES + 12] = 4;
        check(&outside, Ok(&[b"a", b"b"]), &[Reason::Elements { lost: 1, first: 2 }]);
        // A key out of order.
        let order = leaf(7, &[(b"a", b""), (b"z", b""), (b"c", b""), (b"c", b""), (b"d", b"")]);
        check(&order, Ok(&[b"a", b"c", b"d"]), &[Reason::Elements { lost: 2, first: 1 }]);
        check(&leaf(8, &[]), Err(Reason::OtherId(8)), &[]);
        let mut flags = whole;
        flags[8] = 0x10;
        check(&flags, Err(Reason::Flags(0x10)), &[]);
        check(b"short", Err(Reason::TooLong), &[]);
    }

    /// Each of many values is most of the page.
    #[test]
    fn elements_that_lie_over_one_another_are_read_up_to_a_bound() {
        const COUNT: usize = 1_000;
        let keys: Vec<[u8; 4]> = (0..1_000_u32).map(u32::to_be_bytes).collect();
        let elements: Vec<(&[u8], &[u8])> = keys.iter().map(|key| (&key[..], &b""[..])).collect();
        let mut page = leaf(7, &elements);
        for number in 0..COUNT {
            let at = HEADER_BYTES + number * ENTRY_BYTES;
            let key_end = HEADER_BYTES + COUNT * ENTRY_BYTES + (number + 1) * 4;
            let len = u32::try_from(page.len() - key_end).unwrap();
            page[at + 12..at + 16].copy_from_slice(&len.to_le_bytes());
        }
        let page = Page::parse(7, page.into()).unwrap();
        let bytes: usize = page.entries.iter().map(Entry::bytes).sum();
        assert!(bytes <= ROOM * page.bytes.len() && page.entries.len() > 10);
        let lost = COUNT - page.entries.len();
        let first = page.damages.iter().find_map(|damage| match damage.reason {
            Reason::Elements { lost: one, first } if one == lost => Some(first),
            _ => None,
        });
        assert!(first.is_some_and(|first| first < COUNT), "{:?}", page.damages);
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(mut bytes: Vec<u8>, flags in 1_u8..3) {
            bytes.resize(bytes.len().max(HEADER_BYTES), 0);
            bytes[..HEADER_BYTES].copy_from_slice(&[7, 0, 0, 0, 0, 0, 0, 0, flags, 0, 9, 0, 0, 0, 0, 0]);
            let page = Page::parse(7, bytes.into()).unwrap();
            for entry in &page.entries {
                let _key = page.bytes_of(&entry.key);
            }
        }
    }
}
