//! Which rows ours has room for.

use std::collections::HashMap;

use mox_base::{Domain, UnixSeconds};
use mox_reportdb::REPORTS_PER_SENDER_MAX;

/// Senders and days that are counted at a time; beyond, counting begins anew.
const COUNTED_MAX: usize = 10_000;

/// The room for rows of a table. All are measured first, and then the newest have it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    rows_max: u64,
    bytes_max: u64,
    /// Of this row and those after it.
    rows: u64,
    bytes: u64,
}

impl Room {
    /// - `limits`: of rows and of bytes.
    pub(super) fn new((rows_max, bytes_max): (u64, u64)) -> Self {
        Self { rows_max, bytes_max, rows: 0, bytes: 0 }
    }

    /// Counts a row, of so many bytes.
    pub(super) fn measure(&mut self, bytes: u64) {
        self.rows = self.rows.saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Whether there is room for the next row and all that come after it. Asked for each that was measured,
    /// in the same order.
    pub(super) fn has(&mut self, bytes: u64) -> bool {
        let has = self.rows <= self.rows_max && self.bytes <= self.bytes_max;
        self.rows = self.rows.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
        has
    }
}

/// Reports by sender and day, so that no sender has more than it could have sent to ours. Of those of one
/// day, which came in any order, the first ones are kept.
#[derive(Debug, Default)]
pub(super) struct Senders(HashMap<(Domain, i64), u32>);

impl Senders {
    /// Whether one more of a sender is kept.
    pub(super) fn may(&mut self, sender: &Domain, received: UnixSeconds) -> bool {
        if self.0.len() >= COUNTED_MAX {
            self.0.clear();
        }
        let count = self.0.entry((sender.clone(), received.day())).or_default();
        *count = count.saturating_add(1);
        *count <= REPORTS_PER_SENDER_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(limits: (u64, u64), bytes: &[u64], want: &[bool]) {
        let mut room = Room::new(limits);
        bytes.iter().for_each(|bytes| room.measure(*bytes));
        let has: Vec<_> = bytes.iter().map(|bytes| room.has(*bytes)).collect();
        assert_eq!(has, want, "{limits:?}");
    }

    #[test]
    fn the_newest_rows_have_the_room() {
        check((3, 60), &[], &[]);
        check((3, 60), &[10, 20, 30], &[true; 3]);
        check((3, 59), &[10, 20, 30], &[false, true, true]);
        check((2, 60), &[10, 20, 30], &[false, true, true]);
        check((3, 29), &[10, 20, 30], &[false; 3]);
        check((0, 60), &[10], &[false]);
        check((u64::MAX, u64::MAX), &[u64::MAX, 1], &[true; 2]);
    }

    #[test]
    fn a_sender_has_no_more_a_day_than_it_may_send() {
        let domain = |name: &str| Domain::parse(name).unwrap();
        let mut senders = Senders::default();
        let mut may = |name: &str, day: i64| senders.may(&domain(name), UnixSeconds(day * 86_400));
        for _ in 0..REPORTS_PER_SENDER_MAX {
            assert!(may("a.example", 1));
        }
        assert!(!may("a.example", 1));
        assert!(may("a.example", 2));
        assert!(may("b.example", 1));
    }
}
