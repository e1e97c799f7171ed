//! What SEARCH can ask for.
//!
//! Source: RFC 9051 §6.4.4, RFC 7162 §3.1.5, and of each key the RFC that stands at it.

use mox_base::{EmailId, Flags, Keyword, ModSeq, ThreadId};

use super::{NumSet, PartialRange, SetArg};

/// How deep keys may nest in parentheses, NOT and OR. Ours; keeps recursion bounded.
pub const SEARCH_DEPTH_MAX: usize = 50;

/// How many keys one search may have. Ours.
pub const SEARCH_KEYS_MAX: usize = 1_000;

/// The most tags of one CANCELUPDATE. Ours: a session has far fewer contexts.
pub const CANCELLED_TAGS_MAX: usize = 100;

/// A search program with `S` for sets of messages: as written ([`SetArg`]) or resolved to UIDs
/// ([`NumSet`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SearchKey<S> {
    /// Every message.
    All,
    /// No message: what a flag that never exists asks for (`NEW`, `RECENT`).
    Never,
    /// All of these.
    And(Vec<Self>),
    /// Either.
    Or(Box<Self>, Box<Self>),
    /// Not this.
    Not(Box<Self>),
    /// Message sequence numbers.
    Seqs(S),
    /// UIDs.
    Uids(S),
    /// All of these flags are set.
    Flag(Flags),
    /// The keyword is set.
    Keyword(Keyword),
    /// A header field, decoded, contains the text in any case; an empty text asks for the field.
    Header {
        /// The field's name.
        field: String,
        /// The text.
        text: String,
    },
    /// The body contains the text.
    Body(String),
    /// Header or body contain the text.
    Text(String),
    /// Received before the day, on it, or on or after it.
    Internal(DateOrder, SearchDate),
    /// The same for the Date header.
    Sent(DateOrder, SearchDate),
    /// Larger than this many octets.
    Larger(u64),
    /// Smaller than this many octets.
    Smaller(u64),
    /// Mod-sequence at least this. RFC 7162 §3.1.5.
    ModSeq(ModSeq),
    /// Received at least this many seconds ago. RFC 5032 §2.
    Older(u32),
    /// Received at most this many seconds ago. RFC 5032 §2.
    Younger(u32),
    /// Came to the mailbox before the day, on it, or on or after it. RFC 8514 §4.3.
    Saved(DateOrder, SearchDate),
    /// Has this content. RFC 8474 §6.
    EmailId(EmailId),
    /// Is in this thread. RFC 8474 §6.
    ThreadId(ThreadId),
    /// What is kept under this name. RFC 5466 §3.1. Not in a program that is performed.
    Filter(String),
    /// Texts in this key need to match only roughly. RFC 6203 §3.
    Fuzzy(Box<Self>),
}

/// A search as the driver gets it: numbers and `$` are UIDs by now.
pub type ResolvedKey = SearchKey<NumSet>;

/// How a date compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DateOrder {
    /// Earlier than the day.
    Before,
    /// That day.
    On,
    /// That day or later.
    Since,
}

impl DateOrder {
    /// Whether `day` stands to `wanted` in this order.
    #[must_use]
    pub fn holds(self, day: SearchDate, wanted: SearchDate) -> bool {
        match self {
            Self::Before => day < wanted,
            Self::On => day == wanted,
            Self::Since => day >= wanted,
        }
    }
}

/// A calendar day without zone, in days since 1970-01-01. RFC 9051 §6.4.4 disregards time and zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SearchDate(pub i64);

/// What a search is to return. RFC 9051 §6.4.4, RFC 4731 §3.1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReturnOptions {
    /// The lowest.
    pub min: bool,
    /// The highest.
    pub max: bool,
    /// All.
    pub all: bool,
    /// How many.
    pub count: bool,
    /// Keep the result for `$`. RFC 9051 §6.4.4.1.
    pub save: bool,
    /// A stretch of the result instead of all. RFC 9394 §3.1.
    pub partial: Option<PartialRange>,
    /// How well each message of the result matches. RFC 6203 §4.
    pub relevancy: bool,
    /// Tell of changes of the result from now on. RFC 5267 §4.3.
    pub update: bool,
}

impl ReturnOptions {
    /// How much of the result is needed, so that a search can end early.
    #[must_use]
    pub const fn wanted(self) -> Wanted {
        let all = self.all || self.count || self.update || self.relevancy || self.partial.is_some();
        match (all, self.min, self.max) {
            (false, true, false) => Wanted::First,
            (false, false, true) => Wanted::Last,
            (false, true, true) => Wanted::Ends,
            _ => Wanted::All,
        }
    }
}

/// How much of a search result is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Every match.
    All,
    /// The lowest match only.
    First,
    /// The highest match only.
    Last,
    /// The lowest and the highest.
    Ends,
}

impl<S> SearchKey<S> {
    /// Replaces all sets by sets of UIDs. Depth is bounded by the parser ([`SEARCH_DEPTH_MAX`]).
    pub fn try_map<T, E>(
        self,
        uids_of: &mut impl FnMut(SetOf<S>) -> Result<T, E>,
    ) -> Result<SearchKey<T>, E> {
        Ok(match self {
            Self::All => SearchKey::All,
            Self::Never => SearchKey::Never,
            Self::And(keys) => SearchKey::And(
                keys.into_iter().map(|key| key.try_map(uids_of)).collect::<Result<_, E>>()?,
            ),
            Self::Or(a, b) => {
                SearchKey::Or(Box::new(a.try_map(uids_of)?), Box::new(b.try_map(uids_of)?))
            }
            Self::Not(key) => SearchKey::Not(Box::new(key.try_map(uids_of)?)),
            Self::Seqs(seqs) => SearchKey::Uids(uids_of(SetOf::Seqs(seqs))?),
            Self::Uids(uids) => SearchKey::Uids(uids_of(SetOf::Uids(uids))?),
            Self::Flag(flags) => SearchKey::Flag(flags),
            Self::Keyword(keyword) => SearchKey::Keyword(keyword),
            Self::Header { field, text } => SearchKey::Header { field, text },
            Self::Body(text) => SearchKey::Body(text),
            Self::Text(text) => SearchKey::Text(text),
            Self::Internal(order, date) => SearchKey::Internal(order, date),
            Self::Sent(order, date) => SearchKey::Sent(order, date),
            Self::Larger(size) => SearchKey::Larger(size),
            Self::Smaller(size) => SearchKey::Smaller(size),
            Self::ModSeq(modseq) => SearchKey::ModSeq(modseq),
            Self::Older(secs) => SearchKey::Older(secs),
            Self::Younger(secs) => SearchKey::Younger(secs),
            Self::Saved(order, date) => SearchKey::Saved(order, date),
            Self::EmailId(id) => SearchKey::EmailId(id),
            Self::ThreadId(id) => SearchKey::ThreadId(id),
            Self::Filter(name) => SearchKey::Filter(name),
            Self::Fuzzy(key) => SearchKey::Fuzzy(Box::new(key.try_map(uids_of)?)),
        })
    }

    /// Whether `test` holds for a key anywhere in the tree.
    pub fn any(&self, test: &impl Fn(&Self) -> bool) -> bool {
        test(self)
            || match self {
                Self::And(keys) => keys.iter().any(|key| key.any(test)),
                Self::Or(a, b) => a.any(test) || b.any(test),
                Self::Not(key) | Self::Fuzzy(key) => key.any(test),
                _ => false,
            }
    }
}

/// A set and what its numbers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetOf<S> {
    /// Message sequence numbers.
    Seqs(S),
    /// UIDs.
    Uids(S),
}

/// A search program as written.
pub type ParsedKey = SearchKey<SetArg>;

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9051 §6.4.4: SINCE is within or later, BEFORE is earlier.
    #[test]
    fn date_orders_include_the_right_day() {
        let holds = |order: DateOrder, day| order.holds(SearchDate(day), SearchDate(5));
        assert_eq!([4, 5, 6].map(|day| holds(DateOrder::Before, day)), [true, false, false]);
        assert_eq!([4, 5, 6].map(|day| holds(DateOrder::On, day)), [false, true, false]);
        assert_eq!([4, 5, 6].map(|day| holds(DateOrder::Since, day)), [false, true, true]);
    }

    #[test]
    fn only_a_search_for_ends_can_stop_early() {
        let wanted = |min, max, all, count| {
            ReturnOptions { min, max, all, count, save: true, ..Default::default() }.wanted()
        };
        assert_eq!(wanted(true, false, false, false), Wanted::First);
        assert_eq!(wanted(false, true, false, false), Wanted::Last);
        assert_eq!(wanted(true, true, false, false), Wanted::Ends);
        assert_eq!(wanted(true, true, false, true), Wanted::All);
        assert_eq!(wanted(true, false, true, false), Wanted::All);
        assert_eq!(wanted(false, false, false, false), Wanted::All);
    }
}
