//! A map that forgets what was not used for long.

use std::collections::HashMap;
use std::hash::Hash;
use std::mem;
use std::time::Duration;

/// How large a map may become.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) entries_max: usize,
    pub(super) bytes_max: usize,
}

/// Values that each hold until some time, in two halves: when the young half is full, the old one is
/// forgotten and the young one takes its place. What is used moves to the young one. All costs are
/// constant, and neither bound is passed by more than one entry.
#[derive(Debug)]
pub(super) struct Generations<K, V> {
    bounds: Bounds,
    young: HashMap<K, Kept<V>>,
    young_bytes: usize,
    old: HashMap<K, Kept<V>>,
    old_bytes: usize,
}

/// A value with its times, of the monotonic clock.
#[derive(Clone, Debug)]
pub(super) struct Kept<V> {
    pub(super) value: V,
    pub(super) since: Duration,
    pub(super) until: Duration,
    pub(super) bytes: usize,
}

impl<K: Hash + Eq + Clone, V: Clone> Generations<K, V> {
    pub(super) fn new(bounds: Bounds) -> Self {
        let (young, old) = (HashMap::new(), HashMap::new());
        Self { bounds, young, young_bytes: 0, old, old_bytes: 0 }
    }

    /// The value for `key`, if it still holds.
    pub(super) fn get(&mut self, key: &K, now: Duration) -> Option<Kept<V>> {
        if let Some(kept) = self.young.get(key) {
            if now < kept.until {
                return Some(kept.clone());
            }
            self.remove(key);
            return None;
        }
        let kept = self.old.remove(key)?;
        self.old_bytes -= kept.bytes;
        if now >= kept.until {
            return None;
        }
        self.insert(key.clone(), kept.clone());
        Some(kept)
    }

    /// Keeps a value, instead of another for the same key.
    pub(super) fn insert(&mut self, key: K, kept: Kept<V>) {
        self.remove(&key);
        let entries = self.young.len() + 1;
        let bytes = self.young_bytes + kept.bytes;
        if entries > self.bounds.entries_max / 2 || bytes > self.bounds.bytes_max / 2 {
            self.old = mem::take(&mut self.young);
            self.old_bytes = mem::take(&mut self.young_bytes);
        }
        self.young_bytes += kept.bytes;
        self.young.insert(key, kept);
    }

    /// Forgets a value.
    pub(super) fn remove(&mut self, key: &K) {
        if let Some(kept) = self.young.remove(key) {
            self.young_bytes -= kept.bytes;
        }
        if let Some(kept) = self.old.remove(key) {
            self.old_bytes -= kept.bytes;
        }
    }

    /// How many values there are, with those that do not hold any more.
    pub(super) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BOUNDS: Bounds = Bounds { entries_max: 8, bytes_max: 1000 };

    fn kept(value: u32, until: u64, bytes: usize) -> Kept<u32> {
        Kept { value, since: Duration::ZERO, until: Duration::from_secs(until), bytes }
    }

    #[test]
    fn what_is_used_stays_and_the_rest_goes() {
        let mut map = Generations::new(BOUNDS);
        let now = Duration::ZERO;
        for key in 0..100 {
            map.insert(key, kept(key, 9, 1));
            assert_eq!(map.get(&0, now).map(|kept| kept.value), Some(0), "{key}");
        }
        assert!(map.get(&50, now).is_none());
        assert!(map.get(&99, now).is_some());
    }

    #[test]
    fn values_hold_until_their_time() {
        let mut map = Generations::new(BOUNDS);
        map.insert(1, kept(1, 9, 1));
        assert!(map.get(&1, Duration::from_secs(8)).is_some());
        assert!(map.get(&1, Duration::from_secs(9)).is_none());
        assert_eq!(map.len(), 0);
    }

    proptest! {
        /// However values come and go, both bounds hold and the bytes are counted right.
        #[test]
        fn bounds_hold(steps in prop::collection::vec((0_u32..20, 0_usize..400, 0_u8..3), 0..200)) {
            let mut map = Generations::new(BOUNDS);
            for (key, bytes, what) in steps {
                match what {
                    0 => map.insert(key, kept(key, 9, bytes)),
                    1 => map.remove(&key),
                    _ => drop(map.get(&key, Duration::ZERO)),
                }
                let sum = |half: &HashMap<_, Kept<u32>>| half.values().map(|k| k.bytes).sum::<usize>();
                prop_assert_eq!(sum(&map.young), map.young_bytes);
                prop_assert_eq!(sum(&map.old), map.old_bytes);
                prop_assert!(map.len() <= BOUNDS.entries_max);
                prop_assert!(map.young_bytes + map.old_bytes <= BOUNDS.bytes_max + 400);
                prop_assert!(map.young.keys().all(|key| !map.old.contains_key(key)));
            }
        }
    }
}
