//! Finding messages: SEARCH in the terms of the store.
//!
//! The hot row answers flags, sizes, dates and modseqs; headers and text are read only for
//! messages that the rest has not ruled out.

use std::ops::ControlFlow;
use std::sync::Arc;

use mox_base::{Flags, Keyword, MailboxId, ModSeq, Uid};
use mox_mime::{SearchText, decode_header, fields, text_for_search, unfold};

use crate::read::{Columns, Fetched, Reader};
use crate::{Result, StoreError};
use mox_base::NumSet;

/// The deepest nesting of a query.
pub const QUERY_DEPTH_MAX: usize = 50;

/// What to look for. RFC 9051 §6.4.4.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// Every message.
    All,
    /// All of these hold.
    And(Vec<Self>),
    /// One of these holds.
    Or(Box<Self>, Box<Self>),
    /// This does not hold.
    Not(Box<Self>),
    /// The UID is one of these.
    Uids(NumSet),
    /// All of these flags are set.
    Flags(Flags),
    /// The keyword is set.
    Keyword(Keyword),
    /// The size is larger than this many bytes.
    Larger(u64),
    /// The size is smaller than this many bytes.
    Smaller(u64),
    /// INTERNALDATE is on a day before this; days since 1970-01-01.
    ReceivedBefore(i64),
    /// INTERNALDATE is on this day.
    ReceivedOn(i64),
    /// INTERNALDATE is on this day or later.
    ReceivedSince(i64),
    /// The Date header is on a day before this, in its own zone.
    SentBefore(i64),
    /// The Date header is on this day, in its own zone.
    SentOn(i64),
    /// The Date header is on this day or later, in its own zone.
    SentSince(i64),
    /// The modseq is at least this. RFC 7162 §3.1.5.
    ModSeq(ModSeq),
    /// A header field of this name contains this text, decoded and without regard to case; an
    /// empty text is in every such field.
    Header {
        /// The field name.
        name: String,
        /// The text.
        text: String,
    },
    /// The text of the message contains this.
    Body(String),
    /// The header or text of the message contains this.
    Text(String),
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The UIDs, ascending.
    pub uids: Vec<Uid>,
    /// The highest modseq of them.
    pub modseq: ModSeq,
}

/// How much of a message a query must read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Cost {
    Row,
    Head,
    Text,
}

impl Query {
    fn cost(&self) -> Cost {
        match self {
            Self::And(queries) => queries.iter().map(Self::cost).max().unwrap_or(Cost::Row),
            Self::Or(one, two) => one.cost().max(two.cost()),
            Self::Not(query) => query.cost(),
            Self::Header { .. } => Cost::Head,
            Self::Body(_) | Self::Text(_) => Cost::Text,
            _ => Cost::Row,
        }
    }

    fn depth(&self) -> usize {
        1 + match self {
            Self::And(queries) => queries.iter().map(Self::depth).max().unwrap_or_default(),
            Self::Or(one, two) => one.depth().max(two.depth()),
            Self::Not(query) => query.depth(),
            _ => 0,
        }
    }

    /// The query with texts in the form in which they are compared, cheap conditions first.
    fn prepared(self) -> Self {
        match self {
            Self::And(queries) => {
                let mut queries: Vec<_> = queries.into_iter().map(Self::prepared).collect();
                queries.sort_by_key(Self::cost);
                Self::And(queries)
            }
            Self::Or(one, two) => {
                let (one, two) = (one.prepared(), two.prepared());
                let (one, two) = if one.cost() <= two.cost() { (one, two) } else { (two, one) };
                Self::Or(Box::new(one), Box::new(two))
            }
            Self::Not(query) => Self::Not(Box::new(query.prepared())),
            Self::Header { name, text } => Self::Header { name, text: text.to_lowercase() },
            Self::Body(text) => Self::Body(text.to_lowercase()),
            Self::Text(text) => Self::Text(text.to_lowercase()),
            query => query,
        }
    }
}

/// A message under a query, read as far as was needed.
struct Candidate<'a> {
    reader: &'a Reader,
    mailbox: MailboxId,
    row: &'a Fetched<'a>,
}

impl Reader {
    /// Finds the messages among `uids` (ascending) that the query describes. `keep_going` is
    /// asked now and then with the number of messages looked at; false stops the search.
    ///
    /// Costs a scan of the hot rows; a query for headers also reads every header section that
    /// the cheaper conditions leave, a query for text the whole messages.
    ///
    /// # Errors
    ///
    /// If something cannot be read, or the query is nested deeper than [`QUERY_DEPTH_MAX`].
    pub fn search(
        &self,
        mailbox: MailboxId,
        uids: &[u32],
        query: Query,
        keep_going: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Found> {
        if query.depth() > QUERY_DEPTH_MAX {
            return Err(StoreError::TooMany { what: "levels in the search" });
        }
        let query = query.prepared();
        let columns = Columns { head: query.cost() != Cost::Row, ..Columns::default() };
        let mut found = Found::default();
        let mut failed = None;
        let mut looked_at = 0;
        let mut visit = |row: &Fetched<'_>| {
            looked_at += 1;
            if looked_at % 256 == 0 && !keep_going(looked_at) {
                return ControlFlow::Break(());
            }
            let candidate = Candidate { reader: self, mailbox, row };
            match candidate.matches(&query) {
                Ok(true) => {
                    found.uids.push(row.uid);
                    found.modseq = found.modseq.max(row.modseq);
                }
                Ok(false) => {}
                Err(error) => {
                    failed = Some(error);
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        };
        let _stopped = self.fetch(mailbox, uids, columns, &mut visit)?;
        failed.map_or(Ok(found), Err)
    }
}

impl Candidate<'_> {
    /// The depth of the recursion is bounded by [`QUERY_DEPTH_MAX`].
    fn matches(&self, query: &Query) -> Result<bool> {
        let row = self.row;
        Ok(match query {
            Query::All => true,
            Query::And(queries) => {
                for query in queries {
                    if !self.matches(query)? {
                        return Ok(false);
                    }
                }
                true
            }
            Query::Or(one, two) => self.matches(one)? || self.matches(two)?,
            Query::Not(query) => !self.matches(query)?,
            Query::Uids(uids) => uids.contains(row.uid),
            Query::Flags(flags) => row.flags.contains(*flags),
            Query::Keyword(keyword) => row.keywords.split(' ').any(|k| k == keyword.as_str()),
            Query::Larger(size) => row.size > *size,
            Query::Smaller(size) => row.size < *size,
            Query::ReceivedBefore(day) => row.received.day() < *day,
            Query::ReceivedOn(day) => row.received.day() == *day,
            Query::ReceivedSince(day) => row.received.day() >= *day,
            Query::SentBefore(day) => row.sent_day.is_some_and(|sent| sent < *day),
            Query::SentOn(day) => row.sent_day == Some(*day),
            Query::SentSince(day) => row.sent_day.is_some_and(|sent| sent >= *day),
            Query::ModSeq(modseq) => row.modseq >= *modseq,
            Query::Header { name, text } => self.header_contains(name, text),
            Query::Body(text) => self.text_contains(text, false)?,
            Query::Text(text) => self.text_contains(text, true)?,
        })
    }

    fn header_contains(&self, name: &str, text: &str) -> bool {
        fields(self.row.head).filter(|field| field.is(name)).any(|field| {
            let value = unfold(field.value);
            text.is_empty() || decode_header(&value).to_lowercase().contains(text)
        })
    }

    /// Whether the decoded text contains `wanted`, with or without the message's own header.
    fn text_contains(&self, wanted: &str, with_header: bool) -> Result<bool> {
        if wanted.is_empty() {
            return Ok(true);
        }
        let content = Arc::new(self.reader.content(self.mailbox, self.row.uid)?);
        let message = content.message()?;
        let mut window = String::new();
        let mut visit = |piece: SearchText<'_>| {
            let is_found = match piece {
                SearchText::Field { depth: 0, .. } if !with_header => false,
                SearchText::Field { name, value, .. } => {
                    format!("{name}: {value}").to_lowercase().contains(wanted)
                }
                SearchText::Body(piece) => {
                    window.push_str(&piece.to_lowercase());
                    let is_found = window.contains(wanted);
                    keep_tail(&mut window, wanted.len());
                    is_found
                }
                SearchText::PartEnd => {
                    window.clear();
                    false
                }
            };
            if is_found { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let flow = text_for_search(&mut content.seekable(), &message, &mut visit)?;
        Ok(flow.is_break())
    }
}

/// Keeps the last bytes, in which a text that goes on in the next piece could begin.
fn keep_tail(window: &mut String, bytes: usize) {
    let mut from = window.len().saturating_sub(bytes);
    while !window.is_char_boundary(from) {
        from -= 1;
    }
    window.drain(..from);
}
