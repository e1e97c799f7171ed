//! Which UID has which message sequence number.

use mox_base::Uid;

use super::NumSet;

/// The UIDs of a mailbox as one session knows them, with their message sequence numbers.
///
/// RFC 9051 §2.3.1.2: sequence numbers run from 1 without holes in the order of UIDs. Kept as runs
/// of consecutive UIDs (8 bytes each), so that a mailbox without many holes costs next to nothing;
/// look-ups are O(log runs), adding at the end O(1), removing any number of messages one pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UidMap {
    /// Ascending; each with the sequence number of its first UID.
    runs: Vec<Run>,
    /// How many UIDs there are.
    exists: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    uid: u32,
    seq: u32,
}

/// A message that left the map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Removed {
    /// Its UID.
    pub uid: u32,
    /// Its sequence number before any of the batch was removed.
    pub seq: u32,
}

impl UidMap {
    /// An empty mailbox.
    #[must_use]
    pub const fn new() -> Self {
        Self { runs: Vec::new(), exists: 0 }
    }

    /// The number of messages.
    #[must_use]
    pub fn exists(&self) -> u32 {
        self.exists
    }

    /// The highest UID.
    #[must_use]
    pub fn highest(&self) -> Option<u32> {
        self.uid_of(self.exists)
    }

    /// The sequence number of a UID.
    #[must_use]
    pub fn seq_of(&self, uid: u32) -> Option<u32> {
        let at = self.runs.partition_point(|run| run.uid <= uid).checked_sub(1)?;
        self.seq_in_run(at, uid)
    }

    fn seq_in_run(&self, at: usize, uid: u32) -> Option<u32> {
        let run = self.runs.get(at)?;
        let seq = run.seq.checked_add(uid.checked_sub(run.uid)?)?;
        (seq < self.end_seq(at)).then_some(seq)
    }

    /// One past the last sequence number of a run.
    fn end_seq(&self, at: usize) -> u32 {
        self.runs.get(at + 1).map_or_else(|| self.exists.saturating_add(1), |next| next.seq)
    }

    /// The UID at a sequence number.
    #[must_use]
    pub fn uid_of(&self, seq: u32) -> Option<u32> {
        if seq == 0 || seq > self.exists {
            return None;
        }
        let at = self.runs.partition_point(|run| run.seq <= seq).checked_sub(1)?;
        self.runs.get(at).map(|run| run.uid + (seq - run.seq))
    }

    /// Adds a message at the end. Returns whether it was added: a UID at or below the highest is
    /// not, as sequence numbers of others would move.
    pub fn push(&mut self, uid: Uid) -> bool {
        let uid = uid.get();
        let highest = self.highest();
        if highest.is_some_and(|highest| uid <= highest) || self.exists == u32::MAX {
            return false;
        }
        self.exists += 1;
        if highest.is_none_or(|highest| uid - 1 != highest) {
            self.runs.push(Run { uid, seq: self.exists });
        }
        true
    }

    /// The UIDs as ranges.
    pub fn ranges(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        self.runs
            .iter()
            .enumerate()
            .map(|(at, run)| (run.uid, run.uid + (self.end_seq(at) - run.seq - 1)))
    }

    /// All UIDs as a set.
    #[must_use]
    pub fn to_set(&self) -> NumSet {
        NumSet::from_ranges(self.ranges())
    }

    /// The UIDs that are in `uids`. One pass.
    #[must_use]
    pub fn intersection(&self, uids: &NumSet) -> NumSet {
        self.to_set().intersection(uids)
    }

    /// Removes UIDs; those not present are ignored. Returns the removed ones in ascending order.
    ///
    /// One pass over the runs and the set, plus the output.
    pub fn remove(&mut self, uids: &NumSet) -> Vec<Removed> {
        let present = self.intersection(uids);
        if present.is_empty() {
            return Vec::new();
        }
        let mut removed = Vec::with_capacity(usize::try_from(present.len()).unwrap_or_default());
        for &(first, last) in present.ranges() {
            // A range of present UIDs lies within one run, so its numbers run on as well.
            let seq = self.seq_of(first).unwrap_or_default();
            removed.extend((first..=last).zip(seq..).map(|(uid, seq)| Removed { uid, seq }));
        }
        *self = self.to_set().difference(&present).into();
        removed
    }

    /// The UID ranges that hold exactly the messages with these sequence numbers and otherwise
    /// only UIDs that are not in the map.
    #[must_use]
    pub fn uids_of_seqs(&self, seqs: &NumSet) -> NumSet {
        let last = |seq: u32| self.uid_of(seq.min(self.exists));
        NumSet::from_ranges(
            seqs.ranges().iter().filter_map(|(a, b)| Some((self.uid_of(*a)?, last(*b)?))),
        )
    }

    /// The sequence numbers of those `uids` that are in the map.
    #[must_use]
    pub fn seqs_of_uids(&self, uids: &NumSet) -> NumSet {
        let present = self.intersection(uids);
        NumSet::from_ranges(present.ranges().iter().filter_map(|(first, last)| {
            let seq = self.seq_of(*first)?;
            Some((seq, seq.saturating_add(last - first)))
        }))
    }

    /// A reader for look-ups of ascending UIDs in O(1) each.
    #[must_use]
    pub fn cursor(&self) -> SeqCursor<'_> {
        SeqCursor { map: self, at: 0 }
    }
}

impl From<NumSet> for UidMap {
    fn from(uids: NumSet) -> Self {
        let mut map = Self::new();
        map.runs.reserve_exact(uids.ranges().len());
        for &(first, last) in uids.ranges() {
            map.runs.push(Run { uid: first, seq: map.exists + 1 });
            map.exists += last - first + 1;
        }
        map
    }
}

impl FromIterator<Uid> for UidMap {
    fn from_iter<I: IntoIterator<Item = Uid>>(uids: I) -> Self {
        uids.into_iter().map(Uid::get).collect::<NumSet>().into()
    }
}

/// Finds sequence numbers of UIDs asked for in ascending order.
#[derive(Clone, Debug)]
pub struct SeqCursor<'a> {
    map: &'a UidMap,
    at: usize,
}

impl SeqCursor<'_> {
    /// The sequence number of `uid`, which must not be below the one asked for before.
    pub fn seq_of(&mut self, uid: u32) -> Option<u32> {
        while self.map.runs.get(self.at + 1).is_some_and(|next| next.uid <= uid) {
            self.at += 1;
        }
        self.map.seq_in_run(self.at, uid)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn map(uids: &[u32]) -> UidMap {
        uids.iter().filter_map(|uid| Uid::new(*uid)).collect()
    }

    /// RFC 9051 §2.3.1.2: numbers without holes in UID order.
    #[test]
    fn numbers_follow_uid_order() {
        let map = map(&[2, 3, 7, 9, 10]);
        let seqs: Vec<_> = (0..12).map(|uid| map.seq_of(uid)).collect();
        let none = None;
        assert_eq!(
            seqs,
            [none, none, Some(1), Some(2), none, none, none, Some(3), none, Some(4), Some(5), none]
        );
        assert_eq!(map.uid_of(0), None);
        assert_eq!(map.uid_of(4), Some(9));
        assert_eq!(map.uid_of(6), None);
        assert_eq!(map.uids_of_seqs(&NumSet::range(2, 4)).to_string(), "3:9");
        assert_eq!(map.seqs_of_uids(&NumSet::range(3, 9)).to_string(), "2:4");
    }

    #[test]
    fn a_uid_is_only_added_at_the_end() {
        let mut map = map(&[2]);
        assert!(!map.push(Uid::new(2).unwrap()));
        assert!(!map.push(Uid::new(1).unwrap()));
        assert!(map.push(Uid::MAX));
        assert!(!map.push(Uid::MAX));
        assert_eq!(map.exists(), 2);
    }

    proptest! {
        /// The map against a sorted list, under random additions and removals.
        #[test]
        fn the_map_agrees_with_a_sorted_list(
            steps in proptest::collection::vec((1_u32..6, proptest::collection::vec(1_u32..80, 0..10)), 1..30)
        ) {
            let (mut map, mut list) = (UidMap::new(), Vec::<u32>::new());
            for (gap, gone) in steps {
                let uid = list.last().copied().max(map.highest()).unwrap_or(0) + gap;
                prop_assert!(map.push(Uid::new(uid).unwrap()));
                list.push(uid);
                let gone: NumSet = gone.into_iter().collect();
                let want: Vec<_> = list.iter().zip(1..).filter(|(uid, _)| gone.contains(**uid))
                    .map(|(uid, seq)| Removed { uid: *uid, seq }).collect();
                prop_assert_eq!(map.remove(&gone), want);
                list.retain(|uid| !gone.contains(*uid));
                prop_assert_eq!(map.exists() as usize, list.len());
                let mut cursor = map.cursor();
                for uid in 1..100 {
                    let seq = list.iter().zip(1..).find(|(u, _)| **u == uid).map(|(_, seq)| seq);
                    prop_assert_eq!(map.seq_of(uid), seq);
                    prop_assert_eq!(cursor.seq_of(uid), seq);
                }
                for (uid, seq) in list.iter().zip(1..) {
                    prop_assert_eq!(map.uid_of(seq), Some(*uid));
                }
            }
        }
    }
}
