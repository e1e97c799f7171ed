//! Whether a message matches, as far as SQLite has not decided it.

use std::sync::Arc;

use mox_base::{EmailId, Flags, ModSeq, ThreadId, Uid, UnixSeconds, ZonedTime};
use rusqlite::Row;

use super::text::{Scope, TextTest};
use super::{Pace, Query};
use crate::content::Content;
use crate::read::Reader;
use crate::row::received;
use crate::{Result, StoreError};

/// The score of a message that matches exactly. RFC 6203 §4.
pub(super) const SCORE_MAX: u8 = 100;

/// The most conditions on texts that must all hold for which the index is asked.
const EXPRESSIONS_MAX: usize = 4;

/// The longest expression for the index. A query with more alternatives is not narrowed.
const EXPRESSION_BYTES_MAX: usize = 64 << 10;

/// The deepest expression for the index: it has a limit of its own. What is nested deeper narrows
/// nothing.
const EXPRESSION_LEVELS_MAX: usize = 16;

/// The columns of a message that tests need.
pub(super) struct TestRow<'r> {
    pub(super) uid: Uid,
    pub(super) id: i64,
    pub(super) body: i64,
    modseq: ModSeq,
    flags: Flags,
    keywords: &'r str,
    size: u64,
    received: ZonedTime,
    saved: UnixSeconds,
    sent_day: Option<i64>,
    thread: ThreadId,
}

impl<'r> TestRow<'r> {
    pub(super) const COLUMNS: &'static str =
        "uid, modseq, id, body, flags, keywords, size, received, saved, sent_day, thread, zone";

    pub(super) fn from_row(row: &'r Row<'_>) -> Result<Self> {
        let damaged = |what| StoreError::Damaged { what };
        let keywords = row.get_ref(5)?.as_str_or_null().map_err(|_| damaged("keywords"))?;
        Ok(Self {
            uid: Uid::new(row.get(0)?).ok_or_else(|| damaged("uid"))?,
            modseq: ModSeq::new(row.get(1)?).ok_or_else(|| damaged("modseq"))?,
            id: row.get(2)?,
            body: row.get(3)?,
            flags: Flags::from_bits(row.get(4)?),
            keywords: keywords.unwrap_or_default(),
            size: row.get(6)?,
            received: received(row, 7, 11)?,
            saved: UnixSeconds(row.get(8)?),
            sent_day: row.get(9)?,
            thread: ThreadId(row.get(10)?),
        })
    }

    /// Whether the row is what the query describes; for queries about rows.
    fn is(&self, query: &Query) -> bool {
        match query {
            Query::Uids(uids) => uids.contains(self.uid),
            Query::Flags(flags) => self.flags.contains(*flags),
            Query::Keyword(keyword) => self.keywords.split(' ').any(|k| k == keyword.as_str()),
            Query::Larger(size) => self.size > *size,
            Query::Smaller(size) => self.size < *size,
            Query::ReceivedBefore(day) => self.received.day() < *day,
            Query::ReceivedOn(day) => self.received.day() == *day,
            Query::ReceivedSince(day) => self.received.day() >= *day,
            Query::Older(time) => self.received.time() <= *time,
            Query::Younger(time) => self.received.time() >= *time,
            Query::SavedBefore(day) => self.saved.day() < *day,
            Query::SavedOn(day) => self.saved.day() == *day,
            Query::SavedSince(day) => self.saved.day() >= *day,
            Query::SentBefore(day) => self.sent_day.is_some_and(|sent| sent < *day),
            Query::SentOn(day) => self.sent_day == Some(*day),
            Query::SentSince(day) => self.sent_day.is_some_and(|sent| sent >= *day),
            Query::ModSeq(modseq) => self.modseq >= *modseq,
            Query::EmailId(id) => EmailId(self.body) == *id,
            Query::ThreadId(id) => self.thread == *id,
            // Every message; and what is no leaf, or about text, is a test of its own.
            _ => true,
        }
    }
}

/// A message under test, read as far as was needed: several texts are looked for in what was read
/// once.
pub(super) struct Candidate<'r> {
    pub(super) reader: &'r Reader,
    pub(super) row: TestRow<'r>,
    head: Option<Vec<u8>>,
    content: Option<Arc<Content>>,
}

impl<'r> Candidate<'r> {
    pub(super) fn new(reader: &'r Reader, row: TestRow<'r>) -> Self {
        Self { reader, row, head: None, content: None }
    }

    /// The header section.
    pub(super) fn head(&mut self) -> Result<&[u8]> {
        let head = match self.head.take() {
            Some(head) => head,
            None => self.reader.head_of(self.row.id, self.row.body)?,
        };
        Ok(self.head.insert(head))
    }

    /// All of it.
    pub(super) fn content(&mut self) -> Result<Arc<Content>> {
        let content = match self.content.take() {
            Some(content) => content,
            None => Arc::new(self.reader.content_of(self.row.id, self.row.body)?),
        };
        Ok(Arc::clone(self.content.insert(content)))
    }
}

/// A query in the form in which it is tested: texts prepared, cheap tests first.
pub(super) enum Test {
    Row(Query),
    Text(Box<TextTest>),
    All(Vec<Self>),
    Any(Box<(Self, Self)>),
    Not(Box<Self>),
}

impl Test {
    pub(super) fn of(query: Query) -> Self {
        Self::prepare(query, false)
    }

    /// The depth of the recursion is bounded by [`super::QUERY_DEPTH_MAX`], as it is below.
    fn prepare(query: Query, is_fuzzy: bool) -> Self {
        match query {
            Query::And(queries) => {
                let mut tests: Vec<_> =
                    queries.into_iter().map(|query| Self::prepare(query, is_fuzzy)).collect();
                tests.sort_by_key(Self::cost);
                Self::All(tests)
            }
            Query::Or(one, two) => {
                let one = Self::prepare(*one, is_fuzzy);
                let two = Self::prepare(*two, is_fuzzy);
                let pair = if one.cost() <= two.cost() { (one, two) } else { (two, one) };
                Self::Any(Box::new(pair))
            }
            Query::Not(query) => Self::Not(Box::new(Self::prepare(*query, is_fuzzy))),
            Query::Fuzzy(query) => Self::prepare(*query, true),
            Query::Header { name, text } => Self::text(Scope::Field(name), &text, is_fuzzy),
            Query::Body(text) => Self::text(Scope::Body, &text, is_fuzzy),
            Query::Text(text) => Self::text(Scope::Text, &text, is_fuzzy),
            query => Self::Row(query),
        }
    }

    fn text(scope: Scope, text: &str, is_fuzzy: bool) -> Self {
        Self::Text(Box::new(TextTest::new(scope, text, is_fuzzy)))
    }

    /// How much of a message must be read: the row, the header, all.
    pub(super) fn cost(&self) -> u8 {
        match self {
            Self::Row(_) => 0,
            Self::Text(test) => test.cost(),
            Self::All(tests) => tests.iter().map(Self::cost).max().unwrap_or_default(),
            Self::Any(pair) => pair.0.cost().max(pair.1.cost()),
            Self::Not(test) => test.cost(),
        }
    }

    /// What must hold in the index of every message that matches; `None` if that can be anything.
    ///
    /// Nothing follows from a text that must not be there: the index may name a message that does
    /// not have it.
    pub(super) fn expression(&self) -> Option<String> {
        self.expression_within(EXPRESSION_LEVELS_MAX)
    }

    fn expression_within(&self, levels: usize) -> Option<String> {
        let levels = levels.checked_sub(1)?;
        let expression = match self {
            Self::Row(_) | Self::Not(_) => None,
            Self::Text(test) => test.expression(),
            Self::All(tests) => {
                let all = tests.iter().filter_map(|test| test.expression_within(levels));
                let all: Vec<String> = all.take(EXPRESSIONS_MAX).collect();
                (!all.is_empty()).then(|| format!("({})", all.join(" AND ")))
            }
            Self::Any(pair) => {
                let one = pair.0.expression_within(levels)?;
                Some(format!("({one} OR {})", pair.1.expression_within(levels)?))
            }
        };
        expression.filter(|expression| expression.len() <= EXPRESSION_BYTES_MAX)
    }

    /// How well the message matches, 1 to [`SCORE_MAX`], or not at all. Of two conditions that both
    /// must hold the worse counts, else the better.
    ///
    /// Of a search that is abandoned meanwhile the outcome is of no use.
    pub(super) fn score(
        &mut self,
        message: &mut Candidate<'_>,
        pace: &mut Pace<'_>,
    ) -> Result<Option<u8>> {
        match self {
            Self::Row(query) => Ok(message.row.is(query).then_some(SCORE_MAX)),
            Self::Text(test) => test.score(message, pace),
            Self::Not(test) => {
                let score = test.score(message, pace)?;
                Ok(score.is_none().then_some(SCORE_MAX))
            }
            Self::All(tests) => {
                let mut worst = SCORE_MAX;
                for test in tests {
                    match test.score(message, pace)? {
                        Some(score) => worst = worst.min(score),
                        None => return Ok(None),
                    }
                }
                Ok(Some(worst))
            }
            Self::Any(pair) => match pair.0.score(message, pace)? {
                Some(SCORE_MAX) => Ok(Some(SCORE_MAX)),
                score => Ok(score.max(pair.1.score(message, pace)?)),
            },
        }
    }
}
