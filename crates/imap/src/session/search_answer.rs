//! What SEARCH and SORT answer, in the old form and as ESEARCH.
//!
//! Source: RFC 9051 §7.3.4, RFC 3501 §7.2.5, RFC 5256 §4, RFC 5267 §3, RFC 9394 §3.1.

use crate::print;
use crate::types::{NumSet, PartialRange, ReturnOptions};

/// Numbers in one line of an old answer.
///
/// Deviation: the original has 100. Clients such as Python's imaplib look at the first line
/// only, so a line is only cut where it would grow beyond a megabyte.
const SEARCH_LINE_NUMBERS_MAX: usize = 100_000;

/// Message numbers or UIDs of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Numbers {
    /// In ascending order.
    Set(NumSet),
    /// As sorted.
    List(Vec<u32>),
}

impl Numbers {
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn len(&self) -> u64 {
        match self {
            Self::Set(set) => set.len(),
            Self::List(list) => list.len() as u64,
        }
    }

    pub(super) fn first(&self) -> Option<u32> {
        match self {
            Self::Set(set) => set.first(),
            Self::List(list) => list.first().copied(),
        }
    }

    pub(super) fn last(&self) -> Option<u32> {
        match self {
            Self::Set(set) => set.last(),
            Self::List(list) => list.last().copied(),
        }
    }

    pub(super) fn to_set(&self) -> NumSet {
        match self {
            Self::Set(set) => set.clone(),
            Self::List(list) => list.iter().copied().collect(),
        }
    }

    pub(super) fn to_vec(&self) -> Vec<u32> {
        match self {
            Self::Set(set) => set.iter().collect(),
            Self::List(list) => list.clone(),
        }
    }

    /// A stretch of them. RFC 9394 §3.1.
    pub(super) fn part(&self, range: PartialRange) -> Self {
        let places = range.of(usize::try_from(self.len()).unwrap_or(usize::MAX));
        match self {
            Self::Set(set) => Self::Set(set.iter().skip(places.start).take(places.len()).collect()),
            Self::List(list) => Self::List(list.get(places).unwrap_or_default().to_vec()),
        }
    }

    /// As a `sequence-set`, which for a sorted result stands in its order. RFC 5267 §3.2.
    pub(super) fn print(&self, out: &mut Vec<u8>) {
        let list = match self {
            Self::Set(set) => return print::set(out, set),
            Self::List(list) => list,
        };
        let follows = |a: &u32, b: &u32| a.checked_add(1) == Some(*b);
        for (index, run) in list.chunk_by(follows).enumerate() {
            if index > 0 {
                out.push(b',');
            }
            let (Some(first), Some(last)) = (run.first(), run.last()) else { continue };
            print::number(out, *first);
            if first != last {
                out.push(b':');
                print::number(out, *last);
            }
        }
    }
}

/// A result that is to be told.
#[derive(Debug)]
pub(super) struct Answer<'a> {
    pub(super) tag: &'a str,
    pub(super) is_uid: bool,
    pub(super) modseq: Option<u64>,
    pub(super) numbers: &'a Numbers,
}

impl Answer<'_> {
    /// `* SEARCH n n … [(MODSEQ m)]`, or SORT. RFC 3501 §7.2.5, RFC 5256 §4, RFC 7162 §3.1.5.
    pub(super) fn print_old(&self, out: &mut Vec<u8>, name: &str) {
        let start = |out: &mut Vec<u8>| {
            out.extend_from_slice(b"* ");
            out.extend_from_slice(name.as_bytes());
        };
        start(out);
        let mut one = |index: usize, number: u32| {
            if index > 0 && index.is_multiple_of(SEARCH_LINE_NUMBERS_MAX) {
                out.extend_from_slice(b"\r\n");
                start(out);
            }
            out.push(b' ');
            print::number(out, number);
        };
        match self.numbers {
            Numbers::Set(set) => set.iter().enumerate().for_each(|(index, n)| one(index, n)),
            Numbers::List(list) => {
                list.iter().enumerate().for_each(|(index, n)| one(index, *n));
            }
        }
        if let Some(modseq) = self.modseq {
            out.extend_from_slice(b" (MODSEQ ");
            print::number(out, modseq);
            out.push(b')');
        }
        out.extend_from_slice(b"\r\n");
    }

    /// RFC 5182 §2.1: a search that only saves has no answer of its own.
    pub(super) fn says_something(&self, options: ReturnOptions) -> bool {
        let asks = options.min || options.max || options.all || options.count;
        asks || options.partial.is_some() || options.relevancy || !options.save
    }

    /// `* ESEARCH (TAG "t") [UID] …`. RFC 9051 §7.3.4. A sorted result has its MIN first and its MAX
    /// last in its own order: RFC 5267 §3.2.
    pub(super) fn print_extended(
        &self,
        out: &mut Vec<u8>,
        options: ReturnOptions,
        scores: Option<&[u8]>,
    ) {
        start_extended(out, self.tag, self.is_uid);
        self.print_data(out, options, scores);
        out.extend_from_slice(b"\r\n");
    }

    /// What was asked for, each part with a space before it.
    pub(super) fn print_data(
        &self,
        out: &mut Vec<u8>,
        options: ReturnOptions,
        scores: Option<&[u8]>,
    ) {
        let mut item = |name: &str, value: Option<u64>| {
            if let Some(value) = value {
                out.push(b' ');
                out.extend_from_slice(name.as_bytes());
                out.push(b' ');
                print::number(out, value);
            }
        };
        item("MIN", self.numbers.first().filter(|_| options.min).map(u64::from));
        item("MAX", self.numbers.last().filter(|_| options.max).map(u64::from));
        item("COUNT", options.count.then(|| self.numbers.len()));
        if options.all && !self.numbers.is_empty() {
            out.extend_from_slice(b" ALL ");
            self.numbers.print(out);
        }
        if let Some(range) = options.partial {
            out.extend_from_slice(format!(" PARTIAL ({range} ").as_bytes());
            let part = self.numbers.part(range);
            if part.is_empty() {
                out.extend_from_slice(b"NIL")
            } else {
                part.print(out)
            }
            out.push(b')');
        }
        if let Some(scores) = scores.filter(|scores| !scores.is_empty()) {
            out.extend_from_slice(b" RELEVANCY (");
            for (index, score) in scores.iter().enumerate() {
                if index > 0 {
                    out.push(b' ');
                }
                print::number(out, u64::from(*score));
            }
            out.push(b')');
        }
        if let Some(modseq) = self.modseq {
            out.extend_from_slice(b" MODSEQ ");
            print::number(out, modseq);
        }
    }
}

/// `* ESEARCH (TAG "t") [UID]`. RFC 9051 §7.3.4.
pub(super) fn start_extended(out: &mut Vec<u8>, tag: &str, is_uid: bool) {
    out.extend_from_slice(b"* ESEARCH (TAG \"");
    // A tag has no character that would need an escape.
    out.extend_from_slice(tag.as_bytes());
    out.extend_from_slice(b"\")");
    if is_uid {
        out.extend_from_slice(b" UID");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(list: &[u32], want: &str) {
        let mut out = Vec::new();
        Numbers::List(list.to_vec()).print(&mut out);
        assert_eq!(String::from_utf8(out).unwrap(), want);
    }

    /// RFC 5267 §3.2: the order is that of the set, so only ascending runs are ranges.
    #[test]
    fn a_sorted_result_keeps_its_order() {
        check(&[5], "5");
        check(&[5, 6, 7, 2, 1], "5:7,2,1");
        check(&[3, 2, 3], "3,2:3");
        check(&[u32::MAX, 1], "4294967295,1");
        check(&[], "");
    }

    #[test]
    fn parts_are_cut_from_sets_and_lists() {
        let range = |from_end, first, last| PartialRange { from_end, first, last };
        let set = Numbers::Set(NumSet::range(11, 20));
        assert_eq!(set.part(range(false, 2, 3)), Numbers::Set(NumSet::range(12, 13)));
        assert_eq!(set.part(range(true, 1, 1)), Numbers::Set(NumSet::range(20, 20)));
        assert!(set.part(range(false, 11, 12)).is_empty());
        let list = Numbers::List(vec![9, 4, 7]);
        assert_eq!(list.part(range(false, 1, 2)), Numbers::List(vec![9, 4]));
        assert_eq!(list.part(range(true, 1, 2)), Numbers::List(vec![4, 7]));
    }
}
