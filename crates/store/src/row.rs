//! Rows of the hot table: what every listing of messages needs.

use mox_base::{Flags, Keyword, ModSeq, MsgId, ThreadId, Uid, UnixSeconds, ZonedTime};
use rusqlite::Row;

use crate::feed::MessageState;
use crate::mailbox::parse_keywords;
use crate::{Result, StoreError};

/// A message as a listing sees it: all but its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageRow {
    /// Its id, which it keeps when moved.
    pub id: MsgId,
    /// Its UID in the mailbox.
    pub uid: Uid,
    /// Of its last change.
    pub modseq: ModSeq,
    /// Its flags.
    pub flags: Flags,
    /// Its keywords, sorted.
    pub keywords: Vec<Keyword>,
    /// Its size in bytes, with the headers added at delivery.
    pub size: u64,
    /// When it was received: INTERNALDATE.
    pub received: ZonedTime,
    /// When it came to this mailbox: SAVEDATE (RFC 8514).
    pub saved: UnixSeconds,
    /// Its thread.
    pub thread: ThreadId,
    /// The time of its Date header, if it has one that can be read.
    pub sent: Option<UnixSeconds>,
    /// The day of that header as written, whatever the zone; days since 1970-01-01.
    pub sent_day: Option<i64>,
    /// The row of its body.
    pub(crate) body: i64,
}

impl MessageRow {
    /// The columns that [`MessageRow::from_row`] reads, of `msg` and of `tomb`.
    pub(crate) const COLUMNS: &'static str = "id, uid, modseq, flags, size, received, saved, thread, body, keywords, sent, sent_day, zone";

    pub(crate) fn from_row(row: &Row<'_>) -> Result<Self> {
        let damaged = |what| StoreError::Damaged { what };
        let keywords = row.get_ref(9)?.as_str_or_null().map_err(|_| damaged("keywords"))?;
        Ok(Self {
            id: MsgId(row.get(0)?),
            uid: Uid::new(row.get(1)?).ok_or_else(|| damaged("uid"))?,
            modseq: ModSeq::new(row.get(2)?).ok_or_else(|| damaged("modseq"))?,
            flags: Flags::from_bits(row.get(3)?),
            size: row.get(4)?,
            received: received(row, 5, 12)?,
            saved: UnixSeconds(row.get(6)?),
            thread: ThreadId(row.get(7)?),
            body: row.get(8)?,
            sent: row.get::<_, Option<i64>>(10)?.map(UnixSeconds),
            sent_day: row.get(11)?,
            keywords: keywords.map(parse_keywords).unwrap_or_default(),
        })
    }

    pub(crate) fn state(&self) -> MessageState {
        MessageState { uid: self.uid, flags: self.flags, keywords: self.keywords.clone() }
    }
}

/// INTERNALDATE, of the columns with its seconds and its zone.
///
/// A zone that cannot be is UTC: no message is withheld for it.
pub(crate) fn received(row: &Row<'_>, seconds: usize, zone: usize) -> Result<ZonedTime> {
    let (time, zone) = (UnixSeconds(row.get(seconds)?), row.get::<_, i64>(zone)?);
    let zoned = i16::try_from(zone).ok().and_then(|zone| ZonedTime::new(time, zone));
    Ok(zoned.unwrap_or_else(|| time.into()))
}

/// The stored form of a message's keywords: nothing where there are none.
pub(crate) fn keywords_column(keywords: &[Keyword]) -> Option<String> {
    (!keywords.is_empty()).then(|| crate::mailbox::print_keywords(keywords))
}
