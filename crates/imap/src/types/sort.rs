//! What SORT and THREAD can be asked for, and what they answer.
//!
//! Source: RFC 5256 §3, RFC 5957 §4.

/// The most criteria of one SORT. Ours: there are ten.
pub const SORT_KEYS_MAX: usize = 20;

/// What messages are sorted by. RFC 5256 §3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SortBy {
    /// INTERNALDATE.
    Arrival,
    /// The first Cc address.
    Cc,
    /// The sent date.
    Date,
    /// The first From address.
    From,
    /// The size in octets.
    Size,
    /// The base subject.
    Subject,
    /// The first To address.
    To,
    /// The first From address as shown. RFC 5957 §4.
    DisplayFrom,
    /// The first To address as shown. RFC 5957 §4.
    DisplayTo,
    /// How well it matches a FUZZY key, the best first. RFC 6203 §5.
    Relevancy,
}

impl SortBy {
    const NAMES: [(Self, &'static str); 10] = [
        (Self::Arrival, "ARRIVAL"),
        (Self::Cc, "CC"),
        (Self::Date, "DATE"),
        (Self::From, "FROM"),
        (Self::Size, "SIZE"),
        (Self::Subject, "SUBJECT"),
        (Self::To, "TO"),
        (Self::DisplayFrom, "DISPLAYFROM"),
        (Self::DisplayTo, "DISPLAYTO"),
        (Self::Relevancy, "RELEVANCY"),
    ];

    /// From its name in any case.
    #[must_use]
    pub fn from_name(name: &[u8]) -> Option<Self> {
        let known = |(_, known): &&(Self, &str)| known.as_bytes().eq_ignore_ascii_case(name);
        Self::NAMES.iter().find(known).map(|(by, _)| *by)
    }
}

/// A criterion, and whether REVERSE stood before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SortKey {
    /// The criterion.
    pub by: SortBy,
    /// From the largest to the smallest.
    pub is_reverse: bool,
}

/// How messages are put into threads. RFC 5256 §3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThreadAlgorithm {
    /// `ORDEREDSUBJECT`.
    OrderedSubject,
    /// `REFERENCES`.
    References,
}

impl ThreadAlgorithm {
    /// From its name in any case.
    #[must_use]
    pub fn from_name(name: &[u8]) -> Option<Self> {
        match () {
            () if name.eq_ignore_ascii_case(b"ORDEREDSUBJECT") => Some(Self::OrderedSubject),
            () if name.eq_ignore_ascii_case(b"REFERENCES") => Some(Self::References),
            () => None,
        }
    }
}

/// A message in its thread, or a parent that is not there. Each comes before those below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThreadEntry {
    /// How many entries are above it; 0 begins a new thread.
    pub depth: u32,
    /// The UID of the message; `None` if it is missing.
    pub uid: Option<u32>,
}
