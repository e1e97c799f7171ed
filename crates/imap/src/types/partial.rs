//! A stretch of a result.
//!
//! Source: RFC 9394 §3.1.

use std::fmt;
use std::ops::Range;

/// `partial-range`: results by their place, counted from 1 at the beginning or from -1 at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartialRange {
    /// Counted from the end.
    pub from_end: bool,
    /// The smaller place, at least 1.
    pub first: u32,
    /// The larger place.
    pub last: u32,
}

impl PartialRange {
    /// Which of `count` results it means, in ascending order.
    #[must_use]
    pub fn of(self, count: usize) -> Range<usize> {
        let place = |place: u32| usize::try_from(place).unwrap_or(usize::MAX);
        let (first, last) = (place(self.first) - 1, place(self.last).min(count));
        if first >= last {
            return 0..0;
        }
        if self.from_end { count - last..count - first } else { first..last }
    }
}

/// As the client is answered: RFC 9394 §3.1 has the range come back as it was asked for.
impl fmt::Display for PartialRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.from_end { "-" } else { "" };
        write!(f, "{sign}{}:{sign}{}", self.first, self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(from_end: bool, first: u32, last: u32, count: usize, want: Range<usize>) {
        assert_eq!(PartialRange { from_end, first, last }.of(count), want);
    }

    /// RFC 9394 §3.1.
    #[test]
    fn ranges_count_from_either_end() {
        check(false, 1, 3, 10, 0..3);
        check(true, 1, 3, 10, 7..10);
        check(false, 8, 20, 10, 7..10);
        check(true, 8, 20, 10, 0..3);
        check(false, 10, 10, 10, 9..10);
        check(false, 11, 20, 10, 0..0);
        check(true, 11, u32::MAX, 10, 0..0);
        check(false, 1, u32::MAX, 0, 0..0);
    }

    #[test]
    fn ranges_are_printed_as_they_were_asked_for() {
        let range = |from_end| PartialRange { from_end, first: 1, last: 500 };
        assert_eq!(
            (range(false).to_string(), range(true).to_string()),
            ("1:500".into(), "-1:-500".into())
        );
    }
}
