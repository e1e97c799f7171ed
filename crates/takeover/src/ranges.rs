//! Sets of numbers that come in almost any order, kept as ranges.

use std::collections::BTreeMap;

/// A set of 32-bit numbers. Numbers that follow one another cost one entry, however many there are, and
/// adding one costs O(log ranges) in whatever order they come: records are sorted by id, not by UID.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ranges(BTreeMap<u32, u32>);

impl Ranges {
    /// Adds a number. `false` if it is there already.
    pub(crate) fn insert(&mut self, number: u32) -> bool {
        let before = self.0.range(..=number).next_back().map(|(first, last)| (*first, *last));
        if before.is_some_and(|(_, last)| last >= number) {
            return false;
        }
        let joined = before.filter(|(_, last)| last.checked_add(1) == Some(number));
        let first = joined.map_or(number, |(first, _)| first);
        let after = number.checked_add(1).and_then(|next| self.0.remove(&next));
        self.0.insert(first, after.unwrap_or(number));
        true
    }

    /// All numbers, ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> {
        self.0.iter().flat_map(|(first, last)| *first..=*last)
    }

    /// The numbers from 1 to below `end` that are not in the set, ascending.
    pub(crate) fn holes(&self, end: u64) -> impl Iterator<Item = u32> {
        let ends = self.0.values().map(|last| u64::from(*last) + 1);
        let starts = self.0.keys().map(|first| u64::from(*first)).chain([end]);
        let gaps = std::iter::once(1).chain(ends).zip(starts);
        gaps.flat_map(move |(from, to)| from..to.min(end)).filter_map(|one| u32::try_from(one).ok())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_set(numbers in proptest::collection::vec(1_u32..40, 0..60), end in 0_u64..50) {
            let (mut ranges, mut plain) = (Ranges::default(), BTreeSet::new());
            for number in numbers {
                prop_assert_eq!(ranges.insert(number), plain.insert(number));
            }
            prop_assert_eq!(ranges.iter().collect::<Vec<_>>(), plain.iter().copied().collect::<Vec<_>>());
            let holes: Vec<_> = (1..50).filter(|one| u64::from(*one) < end && !plain.contains(one)).collect();
            prop_assert_eq!(ranges.holes(end).collect::<Vec<_>>(), holes);
        }
    }

    #[test]
    fn the_largest_number_is_one() {
        let mut ranges = Ranges::default();
        assert!(ranges.insert(u32::MAX - 1) && ranges.insert(u32::MAX) && !ranges.insert(u32::MAX));
        assert_eq!(ranges.iter().collect::<Vec<_>>(), [u32::MAX - 1, u32::MAX]);
        // A million numbers in a row are one entry.
        let mut ranges = Ranges::default();
        (1..=1_000_000).rev().for_each(|number| assert!(ranges.insert(number)));
        assert_eq!(ranges.0.len(), 1);
    }
}
