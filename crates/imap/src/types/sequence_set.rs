//! IMAP sequence sets as clients write them: `1,3:5,10:*` and `$`.
//!
//! Source: RFC 9051 §9 (`sequence-set`, `seq-range`, `seq-number`, `seq-last-command`).

use std::fmt;
use std::num::NonZeroU32;

use super::NumSet;

/// The largest number of ranges one set may name. Ours; a command line of 16 KiB holds no more.
pub const RANGES_MAX: usize = 8_192;

/// A message number, a UID, or `*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeqNum {
    /// A number.
    Number(NonZeroU32),
    /// `*`: the largest number in use.
    Last,
}

/// A parsed `sequence-set` that is not `$`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SequenceSet(Vec<(SeqNum, SeqNum)>);

/// The messages a command names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetArg {
    /// Numbers.
    Set(SequenceSet),
    /// `$`: the result of the last SEARCH with SAVE. RFC 9051 §6.4.4.1.
    Saved,
}

/// Why a sequence set was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SequenceSetError {
    /// A number is zero, empty, too large or has leading zeros.
    BadNumber,
    /// More than [`RANGES_MAX`] ranges.
    TooManyRanges,
    /// A message number beyond the last message, or `*` in an empty mailbox.
    OutOfRange,
}

impl SequenceSet {
    /// Parses a whole `sequence-set`; trailing bytes are an error.
    pub fn parse(input: &[u8]) -> Result<Self, SequenceSetError> {
        let mut ranges = Vec::new();
        for item in input.split(|byte| *byte == b',') {
            if ranges.len() == RANGES_MAX {
                return Err(SequenceSetError::TooManyRanges);
            }
            let mut ends = item.splitn(2, |byte| *byte == b':');
            let from = seq_number(ends.next().unwrap_or_default())?;
            ranges.push(match ends.next() {
                Some(to) => (from, seq_number(to)?),
                None => (from, from),
            });
        }
        Ok(Self(ranges))
    }

    /// Whether the set contains `*`.
    #[must_use]
    pub fn has_last(&self) -> bool {
        self.0.iter().any(|(from, to)| *from == SeqNum::Last || *to == SeqNum::Last)
    }

    /// The numbers themselves, `None` if the set contains `*`.
    #[must_use]
    pub fn numbers(&self) -> Option<NumSet> {
        (!self.has_last()).then(|| self.with_last(u32::MAX))
    }

    /// The numbers in the order written, `None` unless they are strictly increasing and without `*`.
    ///
    /// RFC 7162 §3.2.5.2 pairs two such sets number by number. Fails as well if there are more than
    /// `numbers_max`: a pairing is walked one by one.
    #[must_use]
    pub fn increasing(&self, numbers_max: u64) -> Option<NumSet> {
        let mut last = 0;
        for (from, to) in &self.0 {
            let (SeqNum::Number(from), SeqNum::Number(to)) = (from, to) else { return None };
            if from.get() <= last || to < from {
                return None;
            }
            last = to.get();
        }
        self.numbers().filter(|numbers| numbers.len() <= numbers_max)
    }

    /// As message sequence numbers of a mailbox with `exists` messages.
    ///
    /// RFC 9051 §9: a number beyond the last message is an error, `*` is the last message.
    pub fn resolve_seqs(&self, exists: u32) -> Result<NumSet, SequenceSetError> {
        let set = self.with_last(exists);
        let in_range = exists > 0 && set.last().is_some_and(|last| last <= exists);
        if in_range { Ok(set) } else { Err(SequenceSetError::OutOfRange) }
    }

    /// The same where numbers are not those of a mailbox that the client knows: what is beyond the
    /// last message means none.
    #[must_use]
    pub fn resolve_seqs_leniently(&self, exists: u32) -> NumSet {
        match exists {
            0 => NumSet::new(),
            _ => self.with_last(exists).intersection(&NumSet::range(1, exists)),
        }
    }

    /// As UIDs, where `*` is the highest UID of the mailbox: `3:*` with highest UID 2 has UID 2.
    ///
    /// RFC 9051 §6.4.9: UIDs that do not exist are ignored, so nothing is out of range. In an empty
    /// mailbox nothing matches.
    #[must_use]
    pub fn resolve_uids(&self, highest: Option<u32>) -> NumSet {
        highest.map_or_else(NumSet::new, |highest| self.with_last(highest))
    }

    /// The same for a mailbox that grows: `n:*` has also what is yet to come.
    #[must_use]
    pub fn resolve_uids_openly(&self, highest: Option<u32>) -> NumSet {
        let now = self.resolve_uids(highest);
        if self.has_last() { now.union(&self.with_last(u32::MAX)) } else { now }
    }

    fn with_last(&self, last: u32) -> NumSet {
        let number = |num: SeqNum| match num {
            SeqNum::Number(number) => number.get(),
            SeqNum::Last => last,
        };
        NumSet::from_ranges(self.0.iter().map(|(from, to)| (number(*from), number(*to))))
    }
}

/// `seq-number = nz-number / "*"`
fn seq_number(text: &[u8]) -> Result<SeqNum, SequenceSetError> {
    if text == b"*" {
        return Ok(SeqNum::Last);
    }
    // `nz-number = digit-nz *DIGIT`: u32::from_str alone would accept "+1" and "01".
    let digits = text.first() != Some(&b'0') && text.iter().all(u8::is_ascii_digit);
    let number = std::str::from_utf8(text).ok().filter(|_| digits).and_then(|t| t.parse().ok());
    number.map(SeqNum::Number).ok_or(SequenceSetError::BadNumber)
}

impl fmt::Display for SequenceSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show = |f: &mut fmt::Formatter<'_>, num: SeqNum| match num {
            SeqNum::Number(number) => write!(f, "{number}"),
            SeqNum::Last => f.write_str("*"),
        };
        for (index, (from, to)) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            show(f, *from)?;
            if from != to {
                f.write_str(":")?;
                show(f, *to)?;
            }
        }
        Ok(())
    }
}

impl From<&NumSet> for SequenceSet {
    fn from(set: &NumSet) -> Self {
        let num = |n: u32| NonZeroU32::new(n).map_or(SeqNum::Last, SeqNum::Number);
        Self(set.ranges().iter().map(|(first, last)| (num(*first), num(*last))).collect())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(input: &str, want: Result<&str, SequenceSetError>) {
        let got = SequenceSet::parse(input.as_bytes()).map(|set| set.to_string());
        assert_eq!(got.as_deref().map_err(|e| *e), want, "{input}");
    }

    /// RFC 9051 §9: `sequence-set`, with the example of its comment.
    #[test]
    fn sets_are_parsed_whole() {
        let many = vec!["1"; RANGES_MAX].join(",");
        // Valid.
        check("2,4:7,9,12:*", Ok("2,4:7,9,12:*"));
        check("*:4,5:7", Ok("*:4,5:7"));
        check("3:3", Ok("3"));
        // At the edge of valid.
        check("4294967295", Ok("4294967295"));
        check(&many, Ok(&many));
        // Just past the edge.
        check("4294967296", Err(SequenceSetError::BadNumber));
        check(&format!("{many},1"), Err(SequenceSetError::TooManyRanges));
        // Never valid.
        for bad in ["", "0", "01", "+1", "1:2:3", "1,", ",1", "1:", ":1", "a", "1 2", "$", "**"] {
            check(bad, Err(SequenceSetError::BadNumber));
        }
    }

    #[track_caller]
    fn check_resolved(input: &str, exists: u32, seqs: Result<&str, SequenceSetError>, uids: &str) {
        let set = SequenceSet::parse(input.as_bytes()).unwrap();
        let got = set.resolve_seqs(exists).map(|set| set.to_string());
        assert_eq!(got.as_deref().map_err(|e| *e), seqs, "{input} as numbers");
        let highest = (exists > 0).then_some(exists);
        assert_eq!(set.resolve_uids(highest).to_string(), uids, "{input} as UIDs");
    }

    /// RFC 9051 §6.4.9 and §9: `*` with and without messages, numbers past the end.
    #[test]
    fn the_last_message_depends_on_the_mailbox() {
        const OUT: Result<&str, SequenceSetError> = Err(SequenceSetError::OutOfRange);
        check_resolved("1:*", 3, Ok("1:3"), "1:3");
        check_resolved("*", 3, Ok("3"), "3");
        check_resolved("3:1,2", 3, Ok("1:3"), "1:3");
        check_resolved("*:2", 3, Ok("2:3"), "2:3");
        check_resolved("4:*", 3, OUT, "3:4");
        check_resolved("4", 3, OUT, "4");
        check_resolved("*", 0, OUT, "");
        check_resolved("1:*", 0, OUT, "");
    }

    #[test]
    fn a_pairing_needs_increasing_numbers() {
        let increasing = |text: &str, max| {
            SequenceSet::parse(text.as_bytes()).unwrap().increasing(max).map(|s| s.to_string())
        };
        assert_eq!(increasing("1,3:5,9", 5).as_deref(), Some("1,3:5,9"));
        assert_eq!(increasing("1,3:5,9", 4), None);
        assert_eq!(increasing("3,2", 9), None);
        assert_eq!(increasing("3,3", 9), None);
        assert_eq!(increasing("5:4", 9), None);
        assert_eq!(increasing("1:*", 9), None);
    }

    proptest! {
        #[test]
        fn a_printed_set_parses_to_itself(
            ranges in proptest::collection::vec((1_u32.., 1_u32..), 1..20)
        ) {
            let set = SequenceSet::from(&NumSet::from_ranges(ranges));
            prop_assert_eq!(SequenceSet::parse(set.to_string().as_bytes()), Ok(set));
        }

        #[test]
        fn any_bytes_are_survived(input in proptest::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(set) = SequenceSet::parse(&input) {
                let _sets = (set.resolve_seqs(5), set.resolve_uids(Some(7)), set.numbers());
            }
        }
    }
}
