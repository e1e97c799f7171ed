//! Sets of UIDs as ranges.

use mox_base::Uid;

/// A set of UIDs: sorted ranges that neither touch nor overlap.
///
/// Dense sets are small whatever their size: all messages of a mailbox are one range.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UidSet(Vec<(u32, u32)>);

impl UidSet {
    /// All UIDs.
    #[must_use]
    pub fn all() -> Self {
        Self(vec![(1, u32::MAX)])
    }

    /// One UID.
    #[must_use]
    pub fn one(uid: Uid) -> Self {
        Self(vec![(uid.get(), uid.get())])
    }

    /// Makes a set of ranges in any order and direction, ends included. Zeroes are dropped.
    /// Costs n log n in the number of ranges.
    #[must_use]
    pub fn from_ranges(ranges: impl IntoIterator<Item = (u32, u32)>) -> Self {
        let mut ranges: Vec<_> = ranges
            .into_iter()
            .map(|(from, to)| (from.min(to).max(1), from.max(to)))
            .filter(|(from, to)| from <= to)
            .collect();
        ranges.sort_unstable();
        let mut merged: Vec<(u32, u32)> = Vec::with_capacity(ranges.len());
        for (from, to) in ranges {
            match merged.last_mut() {
                Some(last) if from <= last.1.saturating_add(1) => last.1 = last.1.max(to),
                _ => merged.push((from, to)),
            }
        }
        Self(merged)
    }

    /// The ranges, ascending, ends included.
    #[must_use]
    pub fn ranges(&self) -> &[(u32, u32)] {
        &self.0
    }

    /// Whether the UID is in the set. Costs log n in the number of ranges.
    #[must_use]
    pub fn contains(&self, uid: Uid) -> bool {
        let uid = uid.get();
        let place = self.0.partition_point(|(_, to)| *to < uid);
        self.0.get(place).is_some_and(|(from, _)| *from <= uid)
    }

    /// Whether the set has no UID.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Collects UIDs in any order; ascending ones cost nothing more.
impl FromIterator<Uid> for UidSet {
    fn from_iter<I: IntoIterator<Item = Uid>>(uids: I) -> Self {
        let mut ranges: Vec<(u32, u32)> = Vec::new();
        for uid in uids {
            match ranges.last_mut() {
                Some(last) if last.1.checked_add(1) == Some(uid.get()) => last.1 = uid.get(),
                _ => ranges.push((uid.get(), uid.get())),
            }
        }
        if ranges.is_sorted_by(|a, b| a.1 < b.0) { Self(ranges) } else { Self::from_ranges(ranges) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ranges_are_merged() {
        let set = UidSet::from_ranges([(5, 3), (7, 7), (6, 6), (10, 12), (0, 0), (u32::MAX, 20)]);
        assert_eq!(set.ranges(), [(1, 1), (3, 7), (10, 12), (20, u32::MAX)].get(1..).unwrap());
    }

    proptest! {
        #[test]
        fn a_set_holds_what_was_put_in(uids in prop::collection::vec(1_u32..60, 0..40)) {
            let set: UidSet = uids.iter().copied().filter_map(Uid::new).collect();
            for uid in (1..64).filter_map(Uid::new) {
                prop_assert_eq!(set.contains(uid), uids.contains(&uid.get()));
            }
            prop_assert!(set.ranges().is_sorted_by(|a, b| a.1 + 1 < b.0));
        }
    }
}
