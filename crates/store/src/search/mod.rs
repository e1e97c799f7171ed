//! Finding messages: SEARCH in the terms of the store.
//!
//! Conditions on the hot row are left to SQLite as far as they go, an index of trigrams names the
//! messages that a text can be in, and the message itself decides: headers and text are read for
//! what the rest has not ruled out.

mod condition;
mod test;
mod text;

use std::sync::Arc;

use mox_base::{EmailId, Flags, Keyword, MailboxId, ModSeq, NumSet, ThreadId, Uid, UnixSeconds};

use crate::index::Candidates;
use crate::read::Reader;
use crate::scan::Scan;
use crate::{Result, StoreError};
use condition::Condition;
use test::{Candidate, Test, TestRow};

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
    /// INTERNALDATE is at this time or earlier: OLDER, reckoned from now. RFC 5032 §3.
    Older(UnixSeconds),
    /// INTERNALDATE is at this time or later: YOUNGER, reckoned from now. RFC 5032 §3.
    Younger(UnixSeconds),
    /// It came to the mailbox on a day before this. RFC 8514 §4.3.
    SavedBefore(i64),
    /// It came to the mailbox on this day. RFC 8514 §4.3.
    SavedOn(i64),
    /// It came to the mailbox on this day or later. RFC 8514 §4.3.
    SavedSince(i64),
    /// The Date header is on a day before this, in its own zone.
    SentBefore(i64),
    /// The Date header is on this day, in its own zone.
    SentOn(i64),
    /// The Date header is on this day or later, in its own zone.
    SentSince(i64),
    /// The modseq is at least this. RFC 7162 §3.1.5.
    ModSeq(ModSeq),
    /// It is a copy with this content. RFC 8474 §6.
    EmailId(EmailId),
    /// It is in this thread. RFC 8474 §6.
    ThreadId(ThreadId),
    /// A header field of this name contains this text, decoded and by `i;unicode-casemap`; an
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
    /// Texts in here match less exactly: all their words must occur where they are looked for, in
    /// any order, diacritics ignored. Everything else is as exact as ever. RFC 6203 §3.
    Fuzzy(Box<Self>),
}

/// How much of the result is needed. RFC 4731 §3.1: MIN and MAX need not look at everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Needed {
    /// Every message that matches.
    #[default]
    All,
    /// The one with the lowest UID.
    First,
    /// The one with the highest UID.
    Last,
    /// Both.
    FirstAndLast,
}

/// How far a search has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Messages done with.
    pub done: usize,
    /// Messages in all.
    pub total: usize,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The UIDs, ascending; only those that were needed.
    pub uids: Vec<Uid>,
    /// The highest modseq of them.
    pub modseq: ModSeq,
    /// How well each matches, 1 to 100, in the order of `uids`; empty unless the query has a
    /// [`Query::Fuzzy`]. RFC 6203 §4.
    pub relevancy: Vec<u8>,
    /// False if the search was abandoned before it was done.
    pub is_complete: bool,
}

/// What takes the progress of a search, and may end it by returning false.
pub type KeepGoing<'k> = &'k mut dyn FnMut(Progress) -> bool;

impl Query {
    fn depth(&self) -> usize {
        1 + match self {
            Self::And(queries) => queries.iter().map(Self::depth).max().unwrap_or_default(),
            Self::Or(one, two) => one.depth().max(two.depth()),
            Self::Not(query) | Self::Fuzzy(query) => query.depth(),
            _ => 0,
        }
    }

    fn has_fuzzy(&self) -> bool {
        match self {
            Self::Fuzzy(_) => true,
            Self::And(queries) => queries.iter().any(Self::has_fuzzy),
            Self::Or(one, two) => one.has_fuzzy() || two.has_fuzzy(),
            Self::Not(query) => query.has_fuzzy(),
            _ => false,
        }
    }
}

/// A message that matches.
#[derive(Clone, Copy)]
struct Hit {
    uid: Uid,
    modseq: ModSeq,
    score: u8,
}

/// A search under way.
struct Search<'s> {
    reader: &'s Reader,
    mailbox: MailboxId,
    condition: Condition,
    /// What SQLite cannot decide.
    test: Option<Test>,
    /// Where the texts can be; anywhere if absent.
    candidates: Option<Arc<Candidates>>,
    pace: Pace<'s>,
}

/// How far a search has come, and whether it is to go on.
struct Pace<'k> {
    keep_going: KeepGoing<'k>,
    progress: Progress,
    is_abandoned: bool,
}

impl Pace<'_> {
    /// Asks whether to go on; once the answer was no, it stays no.
    fn go_on(&mut self) -> bool {
        self.is_abandoned = self.is_abandoned || !(self.keep_going)(self.progress);
        !self.is_abandoned
    }
}

impl Reader {
    /// Finds the messages among `uids` (ascending) that the query describes.
    ///
    /// `keep_going` is asked now and then, often enough that its answer takes effect within a few
    /// hundredths of a second; false ends the search, with what it found by then.
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
        needed: Needed,
        keep_going: KeepGoing<'_>,
    ) -> Result<Found> {
        if query.depth() > QUERY_DEPTH_MAX {
            return Err(StoreError::TooMany { what: "levels in the search" });
        }
        let is_fuzzy = query.has_fuzzy();
        let (condition, rest) = Condition::of(query);
        let test = rest.map(Test::of);
        let total = uids.len();
        let candidates = self.index_candidates(uids, test.as_ref())?;
        let narrowed = match &candidates {
            Some(candidates) if candidates.len() <= uids.len() / LOOK_UPS_PART => {
                Some(self.narrow(mailbox, uids, candidates)?)
            }
            _ => None,
        };
        let uids = narrowed.as_deref().unwrap_or(uids);
        let mut search = Search {
            reader: self,
            mailbox,
            condition,
            test,
            candidates,
            pace: Pace {
                keep_going,
                progress: Progress { done: total - uids.len(), total },
                is_abandoned: false,
            },
        };
        let mut hits = match needed {
            Needed::All => search.all(uids)?,
            Needed::First => search.first(uids)?.into_iter().collect(),
            Needed::Last => search.last(uids)?.into_iter().collect(),
            Needed::FirstAndLast => {
                let first = search.first(uids)?;
                // What is below the first was looked at.
                let above = first
                    .map_or(uids.len(), |hit| uids.partition_point(|uid| *uid <= hit.uid.get()));
                let last = search.last(uids.get(above..).unwrap_or_default())?;
                first.into_iter().chain(last).collect()
            }
        };
        hits.sort_unstable_by_key(|hit| hit.uid);
        Ok(Found {
            uids: hits.iter().map(|hit| hit.uid).collect(),
            modseq: hits.iter().map(|hit| hit.modseq).max().unwrap_or_default(),
            relevancy: if is_fuzzy {
                hits.iter().map(|hit| hit.score).collect()
            } else {
                Vec::new()
            },
            is_complete: !search.pace.is_abandoned,
        })
    }
}

impl Reader {
    /// What the index does not rule out; `None` if it has nothing to say.
    ///
    /// A damaged index makes searches slow, but does not keep them from finding.
    fn index_candidates(
        &self,
        uids: &[u32],
        test: Option<&Test>,
    ) -> Result<Option<Arc<Candidates>>> {
        let expression = test.and_then(Test::expression).filter(|_| uids.len() > SCANNED_UIDS_MAX);
        match expression.map(|expression| self.candidates(&expression)).transpose() {
            Err(error @ StoreError::Database(_)) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::error!(
                    cause,
                    "search index cannot be read; rebuild it (mox rebuildsearch)"
                );
                Ok(None)
            }
            candidates => candidates,
        }
    }

    /// Those of the UIDs that have one of the bodies.
    fn narrow(
        &self,
        mailbox: MailboxId,
        uids: &[u32],
        candidates: &Candidates,
    ) -> Result<Vec<u32>> {
        let mut known = uids;
        let mut narrowed = self.uids_of(mailbox, candidates)?;
        narrowed.retain(|uid| {
            known = known.get(known.partition_point(|known| known < uid)..).unwrap_or_default();
            known.first() == Some(uid)
        });
        Ok(narrowed)
    }
}

/// So few messages are looked at without asking the index.
const SCANNED_UIDS_MAX: usize = 4;

/// Up to this part of the messages, candidates are looked up one by one; more are picked out while
/// the other conditions are tested.
const LOOK_UPS_PART: usize = 16;

/// How many messages are looked at between two questions whether to go on.
const CHUNK_UIDS: usize = 8_192;

/// The same where headers or texts are read.
const READ_CHUNK_UIDS: usize = 256;

impl Search<'_> {
    fn chunk_uids(&self) -> usize {
        let reads = self.test.as_ref().is_some_and(|test| test.cost() > 0);
        if reads { READ_CHUNK_UIDS } else { CHUNK_UIDS }
    }

    fn all(&mut self, uids: &[u32]) -> Result<Vec<Hit>> {
        let mut hits = Vec::new();
        for chunk in uids.chunks(self.chunk_uids()) {
            self.chunk(chunk, Needed::All, &mut hits)?;
            if !self.go_on(chunk) {
                break;
            }
        }
        Ok(hits)
    }

    fn first(&mut self, uids: &[u32]) -> Result<Option<Hit>> {
        for chunk in uids.chunks(self.chunk_uids()) {
            let mut hits = Vec::new();
            self.chunk(chunk, Needed::First, &mut hits)?;
            if !hits.is_empty() || !self.go_on(chunk) {
                return Ok(hits.into_iter().min_by_key(|hit| hit.uid));
            }
        }
        Ok(None)
    }

    fn last(&mut self, uids: &[u32]) -> Result<Option<Hit>> {
        for chunk in uids.rchunks(self.chunk_uids()) {
            let mut hits = Vec::new();
            self.chunk(chunk, Needed::Last, &mut hits)?;
            if !hits.is_empty() || !self.go_on(chunk) {
                return Ok(hits.into_iter().max_by_key(|hit| hit.uid));
            }
        }
        Ok(None)
    }

    /// Notes that a chunk is done, and asks whether to go on.
    fn go_on(&mut self, chunk: &[u32]) -> bool {
        self.pace.progress.done += chunk.len();
        self.pace.go_on()
    }

    /// Looks at the messages of a chunk: those that are there, then those that were removed and
    /// can still be read. From each of the two only what is needed.
    fn chunk(&mut self, uids: &[u32], needed: Needed, hits: &mut Vec<Hit>) -> Result<()> {
        let columns = if self.test.is_some() { TestRow::COLUMNS } else { "uid, modseq" };
        let scan = Scan {
            mailbox: self.mailbox,
            join: "",
            columns,
            condition: &self.condition.sql,
            params: &self.condition.params,
            is_descending: needed == Needed::Last,
        };
        let Self { reader, test, candidates, pace, .. } = self;
        reader.scan(uids, &scan, &mut |row| {
            let score = match test {
                None => Some(test::SCORE_MAX),
                Some(test) => {
                    let row = TestRow::from_row(row)?;
                    let is_ruled_out = candidates.as_ref().is_some_and(|c| !c.contains(row.body));
                    if is_ruled_out {
                        None
                    } else {
                        test.score(&mut Candidate::new(reader, row), pace)?
                    }
                }
            };
            if pace.is_abandoned {
                return Ok(false);
            }
            if let Some(score) = score {
                let damaged = |what| StoreError::Damaged { what };
                let uid = Uid::new(row.get(0)?).ok_or_else(|| damaged("uid"))?;
                let modseq = ModSeq::new(row.get(1)?).ok_or_else(|| damaged("modseq"))?;
                hits.push(Hit { uid, modseq, score });
            }
            Ok(score.is_none() || needed == Needed::All)
        })
    }
}
