//! SORT and THREAD. RFC 5256, RFC 5957.

use std::cmp::Ordering;

use mox_base::{MailboxId, Uid};
use mox_mime::{THREAD_REFERENCES_MAX, ThreadMessage, thread_by_references, thread_by_subject};
use rusqlite::Row;

use crate::keys::{SortValues, ThreadKeys, keys_of};
use crate::read::Reader;
use crate::scan::Scan;
use crate::{Result, StoreError};

/// What messages are sorted by. RFC 5256 §3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SortBy {
    /// INTERNALDATE.
    Arrival,
    /// The localpart of the first Cc address.
    Cc,
    /// The sent date: the Date header, or INTERNALDATE if it cannot be read. RFC 5256 §2.2.
    Date,
    /// The localpart of the first From address.
    From,
    /// The size in bytes.
    Size,
    /// The base subject. RFC 5256 §2.1.
    Subject,
    /// The localpart of the first To address.
    To,
    /// The first From address as it is shown. RFC 5957 §4.
    DisplayFrom,
    /// The first To address as it is shown. RFC 5957 §4.
    DisplayTo,
}

/// A criterion, and whether its order is turned round.
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
    /// By base subject and date.
    OrderedSubject,
    /// By the references of messages to one another.
    References,
}

/// A message in its thread, or a parent that is missing. Each comes before those below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThreadEntry {
    /// How many entries are above it; 0 begins a new thread.
    pub depth: u32,
    /// The message; `None` if it is not there.
    pub uid: Option<Uid>,
}

/// The columns of a message that are sorted by.
const COLUMNS: &str = "m.uid, m.received, m.sent, m.size, m.id, m.body";

struct Entry {
    uid: Uid,
    received: i64,
    sent: i64,
    size: u64,
    /// Of the texts that are asked for, the first one first.
    texts: Vec<Box<str>>,
}

impl Entry {
    /// Without its texts; with its id and body.
    fn from_row(row: &Row<'_>) -> Result<(Self, i64, i64)> {
        let received = row.get(1)?;
        let sent: Option<i64> = row.get(2)?;
        let entry = Self {
            uid: Uid::new(row.get(0)?).ok_or(StoreError::Damaged { what: "uid" })?,
            received,
            sent: sent.unwrap_or(received),
            size: row.get(3)?,
            texts: Vec::new(),
        };
        Ok((entry, row.get(4)?, row.get(5)?))
    }
}

impl SortBy {
    fn text(self, values: &SortValues) -> Option<&String> {
        match self {
            Self::Arrival | Self::Date | Self::Size => None,
            Self::Cc => Some(&values.cc),
            Self::From => Some(&values.from),
            Self::Subject => Some(&values.subject),
            Self::To => Some(&values.to),
            Self::DisplayFrom => Some(&values.display_from),
            Self::DisplayTo => Some(&values.display_to),
        }
    }

    /// Its column in `sort_key`, to be added to others.
    fn column(self) -> &'static str {
        match self {
            Self::Arrival | Self::Date | Self::Size => "",
            Self::Cc => ", k.cc",
            Self::From => ", k.\"from\"",
            Self::Subject => ", k.subject",
            Self::To => ", k.\"to\"",
            Self::DisplayFrom => ", k.display_from",
            Self::DisplayTo => ", k.display_to",
        }
    }

    fn is_text(self) -> bool {
        !matches!(self, Self::Arrival | Self::Date | Self::Size)
    }
}

impl Reader {
    /// Sorts the messages among `uids` (ascending) by the first key, where that is equal by the
    /// next, and in the end by UID, which is the order of sequence numbers. RFC 5256 §3.
    ///
    /// Texts compare by `i;unicode-casemap`. Costs a scan of the hot rows, and of the values to
    /// sort by.
    ///
    /// # Errors
    ///
    /// If something cannot be read.
    pub fn sort(&self, mailbox: MailboxId, uids: &[u32], keys: &[SortKey]) -> Result<Vec<Uid>> {
        let texts: Vec<SortBy> = keys.iter().map(|key| key.by).filter(|by| by.is_text()).collect();
        let mut entries = Vec::with_capacity(uids.len());
        let mut columns = COLUMNS.to_owned();
        let mut join = "";
        if !texts.is_empty() {
            columns.push_str(", k.body");
            texts.iter().for_each(|by| columns.push_str(by.column()));
            join = "LEFT JOIN sort_key k ON k.body = m.body";
        }
        self.scan_keys(mailbox, uids, (&columns, join), &mut |row| {
            let (mut entry, id, body) = Entry::from_row(row)?;
            let is_indexed = !texts.is_empty() && row.get::<_, Option<i64>>(6)?.is_some();
            if is_indexed {
                let texts =
                    (7..).take(texts.len()).map(|column| Ok(row.get::<_, Box<str>>(column)?));
                entry.texts = texts.collect::<Result<_>>()?;
            } else if !texts.is_empty() {
                let values = self.read_keys(id, body)?.0;
                let texts = texts.iter().filter_map(|by| by.text(&values));
                entry.texts = texts.map(|text| text.as_str().into()).collect();
            }
            entries.push(entry);
            Ok(true)
        })?;
        entries.sort_by(|one, two| compare(keys, one, two).then_with(|| one.uid.cmp(&two.uid)));
        Ok(entries.into_iter().map(|entry| entry.uid).collect())
    }

    /// Puts the messages among `uids` (ascending) into threads. RFC 5256 §3.
    ///
    /// # Errors
    ///
    /// If something cannot be read.
    pub fn thread(
        &self,
        mailbox: MailboxId,
        uids: &[u32],
        algorithm: ThreadAlgorithm,
    ) -> Result<Vec<ThreadEntry>> {
        let mut entries = Vec::with_capacity(uids.len());
        let mut references = Vec::new();
        let columns = format!("{COLUMNS}, k.body, k.message_id, k.refs, k.subject, k.is_reply");
        let join = "LEFT JOIN thread_key k ON k.body = m.body";
        self.scan_keys(mailbox, uids, (&columns, join), &mut |row| {
            let (entry, id, body) = Entry::from_row(row)?;
            let is_indexed = row.get::<_, Option<i64>>(6)?.is_some();
            let keys = if is_indexed { thread_keys(row)? } else { self.read_keys(id, body)?.1 };
            let all = keys.references.as_slice();
            let kept = match algorithm {
                ThreadAlgorithm::OrderedSubject => &[],
                _ if references.len() + all.len() <= THREAD_REFERENCES_MAX => all,
                _ => all.last_chunk::<1>().map_or(all, |last| last),
            };
            let from = references.len();
            references.extend_from_slice(kept);
            let message = ThreadMessage {
                id: keys.id,
                references: &[],
                subject: keys.subject,
                is_reply: keys.is_reply,
                sent: entry.sent,
            };
            entries.push((entry.uid, from..references.len(), message));
            Ok(true)
        })?;
        // Those removed but still shown come last.
        entries.sort_unstable_by_key(|(uid, _, _)| *uid);
        let messages: Vec<ThreadMessage<'_>> = entries
            .iter()
            .map(|(_, range, message)| {
                let references = references.get(range.clone()).unwrap_or_default();
                ThreadMessage { references, ..*message }
            })
            .collect();
        let nodes = match algorithm {
            ThreadAlgorithm::OrderedSubject => thread_by_subject(&messages),
            ThreadAlgorithm::References => thread_by_references(&messages),
        };
        let uid = |place: u32| entries.get(place as usize).map(|(uid, _, _)| *uid);
        let entry = |node: mox_mime::ThreadNode| ThreadEntry {
            depth: node.depth,
            uid: node.message.and_then(uid),
        };
        Ok(nodes.into_iter().map(entry).collect())
    }

    fn scan_keys(
        &self,
        mailbox: MailboxId,
        uids: &[u32],
        (columns, join): (&str, &str),
        visit: &mut dyn FnMut(&Row<'_>) -> Result<bool>,
    ) -> Result<()> {
        let scan =
            Scan { mailbox, join, columns, condition: "", params: &[], is_descending: false };
        self.scan(uids, &scan, visit)
    }

    /// Of a message that is erased there is nothing to compare.
    fn read_keys(&self, id: i64, body: i64) -> Result<(SortValues, ThreadKeys)> {
        match self.structure_and_head_of(id, body) {
            Err(StoreError::NoMessage) => Ok(Default::default()),
            read => read.and_then(|(structure, head)| keys_of(&structure, &head)),
        }
    }
}

/// From column 7 on.
fn thread_keys(row: &Row<'_>) -> Result<ThreadKeys> {
    let damaged = |_| StoreError::Damaged { what: "thread key" };
    let refs = row.get_ref(8)?.as_blob_or_null().map_err(damaged)?.unwrap_or_default();
    let (refs, _) = refs.as_chunks::<8>();
    Ok(ThreadKeys {
        id: row.get::<_, Option<i64>>(7)?.map(i64::cast_unsigned),
        references: refs.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect(),
        subject: row.get::<_, Option<i64>>(9)?.map(i64::cast_unsigned),
        is_reply: row.get(10)?,
    })
}

fn compare(keys: &[SortKey], one: &Entry, two: &Entry) -> Ordering {
    let mut texts = one.texts.iter().zip(&two.texts);
    for key in keys {
        let order = match key.by {
            SortBy::Arrival => one.received.cmp(&two.received),
            SortBy::Date => one.sent.cmp(&two.sent),
            SortBy::Size => one.size.cmp(&two.size),
            _ => texts.next().map_or(Ordering::Equal, |(one, two)| one.cmp(two)),
        };
        let order = if key.is_reverse { order.reverse() } else { order };
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}
