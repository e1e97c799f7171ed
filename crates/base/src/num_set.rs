//! Sets of message numbers or UIDs, kept as ranges.

use std::fmt;

use crate::Uid;

/// A set of 32-bit numbers as ascending, disjoint, non-adjacent inclusive ranges.
///
/// A mailbox of 100,000 messages with a few holes costs a few ranges. Membership is O(log ranges),
/// the set operations are one pass over both.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NumSet {
    ranges: Vec<(u32, u32)>,
}

impl NumSet {
    /// The empty set.
    #[must_use]
    pub const fn new() -> Self {
        Self { ranges: Vec::new() }
    }

    /// All numbers but 0: every message there can be.
    #[must_use]
    pub fn all() -> Self {
        Self::range(1, u32::MAX)
    }

    /// All numbers from `first` to `last`; empty if `first > last`.
    #[must_use]
    pub fn range(first: u32, last: u32) -> Self {
        Self { ranges: if first <= last { vec![(first, last)] } else { Vec::new() } }
    }

    /// Builds a set of ranges in any order, reversed, overlapping or adjacent. O(n log n).
    #[must_use]
    pub fn from_ranges(ranges: impl IntoIterator<Item = (u32, u32)>) -> Self {
        let mut sorted: Vec<(u32, u32)> =
            ranges.into_iter().map(|(a, b)| (a.min(b), a.max(b))).collect();
        sorted.sort_unstable();
        let mut set = Self::new();
        for (first, last) in sorted {
            set.push_range(first, last);
        }
        set
    }

    /// Adds a range whose first number is not below the first of the last range.
    fn push_range(&mut self, first: u32, last: u32) {
        match self.ranges.last_mut() {
            Some((_, end)) if first <= end.saturating_add(1) => *end = (*end).max(last),
            _ => self.ranges.push((first, last)),
        }
    }

    /// Adds a number larger than all in the set. O(1).
    ///
    /// A number that is not larger is inserted where it belongs, in O(n).
    pub fn push(&mut self, number: u32) {
        match self.ranges.last() {
            Some((_, end)) if number <= *end => {
                let mut ranges = std::mem::take(&mut self.ranges);
                ranges.push((number, number));
                *self = Self::from_ranges(ranges);
            }
            _ => self.push_range(number, number),
        }
    }

    /// Whether the set has no number.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// How many numbers are in the set.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.ranges.iter().map(|(first, last)| u64::from(last - first) + 1).sum()
    }

    /// Whether `number` is in the set.
    #[must_use]
    pub fn contains(&self, number: impl Into<u32>) -> bool {
        let number = number.into();
        let after = self.ranges.partition_point(|(first, _)| *first <= number);
        after
            .checked_sub(1)
            .and_then(|at| self.ranges.get(at))
            .is_some_and(|(_, last)| number <= *last)
    }

    /// The smallest number.
    #[must_use]
    pub fn first(&self) -> Option<u32> {
        self.ranges.first().map(|(first, _)| *first)
    }

    /// The largest number.
    #[must_use]
    pub fn last(&self) -> Option<u32> {
        self.ranges.last().map(|(_, last)| *last)
    }

    /// The ranges, ascending, both ends inclusive.
    #[must_use]
    pub fn ranges(&self) -> &[(u32, u32)] {
        &self.ranges
    }

    /// Every number, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.ranges.iter().flat_map(|(first, last)| *first..=*last)
    }

    /// The numbers in both sets. One pass.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let mut both = Self::new();
        let (mut mine, mut theirs) =
            (self.ranges.iter().peekable(), other.ranges.iter().peekable());
        while let (Some(a), Some(b)) = (mine.peek(), theirs.peek()) {
            let (first, last) = (a.0.max(b.0), a.1.min(b.1));
            if first <= last {
                both.push_range(first, last);
            }
            if a.1 <= b.1 {
                mine.next();
            } else {
                theirs.next();
            }
        }
        both
    }

    /// The numbers of this set that are not in `other`. One pass.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        let mut rest = Self::new();
        let mut holes = other.ranges.iter().peekable();
        for &(mut first, last) in &self.ranges {
            let mut spent = false;
            while let Some(&&(hole_first, hole_last)) = holes.peek() {
                if hole_first > last {
                    break;
                }
                if hole_first > first {
                    rest.push_range(first, hole_first - 1);
                }
                if hole_last >= last {
                    // The hole may reach into the next range: it is not used up.
                    spent = true;
                    break;
                }
                first = first.max(hole_last + 1);
                holes.next();
            }
            if !spent {
                rest.push_range(first, last);
            }
        }
        rest
    }

    /// The numbers of either set.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self::from_ranges(self.ranges.iter().chain(&other.ranges).copied())
    }
}

impl FromIterator<u32> for NumSet {
    fn from_iter<I: IntoIterator<Item = u32>>(numbers: I) -> Self {
        let mut set = Self::new();
        let mut stray = Vec::new();
        for number in numbers {
            match set.last() {
                Some(last) if number <= last => stray.push((number, number)),
                _ => set.push_range(number, number),
            }
        }
        if stray.is_empty() { set } else { set.union(&Self::from_ranges(stray)) }
    }
}

impl FromIterator<Uid> for NumSet {
    fn from_iter<I: IntoIterator<Item = Uid>>(uids: I) -> Self {
        uids.into_iter().map(Uid::get).collect()
    }
}

/// As a `sequence-set` without `*`. RFC 9051 §9. The empty set has no such form and prints nothing.
impl fmt::Display for NumSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (first, last)) in self.ranges.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            if first == last {
                write!(f, "{first}")?;
            } else {
                write!(f, "{first}:{last}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(ranges: &[(u32, u32)], want: &str) {
        assert_eq!(NumSet::from_ranges(ranges.iter().copied()).to_string(), want);
    }

    #[test]
    fn ranges_are_merged() {
        check(&[(1, 2), (3, 4)], "1:4");
        check(&[(9, 7), (1, 1)], "1,7:9");
        check(&[(1, 9), (2, 3)], "1:9");
        check(&[(u32::MAX, u32::MAX), (1, u32::MAX)], "1:4294967295");
        check(&[], "");
    }

    proptest! {
        #[test]
        fn set_operations_agree_with_a_plain_set(
            a in proptest::collection::vec(0_u32..60, 0..40),
            b in proptest::collection::vec((0_u32..60, 0_u32..60), 0..8),
        ) {
            let left: NumSet = a.iter().copied().collect();
            let right = NumSet::from_ranges(b.iter().copied());
            let plain_left: BTreeSet<u32> = a.into_iter().collect();
            let plain_right: BTreeSet<u32> =
                b.iter().flat_map(|(x, y)| *x.min(y)..=*x.max(y)).collect();
            let list = |set: &NumSet| set.iter().collect::<Vec<_>>();
            prop_assert_eq!(list(&left), plain_left.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(left.len(), plain_left.len() as u64);
            prop_assert_eq!(
                list(&left.intersection(&right)),
                plain_left.intersection(&plain_right).copied().collect::<Vec<_>>()
            );
            prop_assert_eq!(
                list(&left.difference(&right)),
                plain_left.difference(&plain_right).copied().collect::<Vec<_>>()
            );
            prop_assert_eq!(
                list(&left.union(&right)),
                plain_left.union(&plain_right).copied().collect::<Vec<_>>()
            );
            for number in 0..61_u32 {
                prop_assert_eq!(left.contains(number), plain_left.contains(&number));
            }
        }
    }
}
