//! Which thread a new message belongs to.
//!
//! By Message-ID and References (as RFC 5256 §2.2 REFERENCES, but decided once, at delivery, and
//! never across different subjects), else by subject within four weeks.

use mox_base::{MailboxId, MsgId, ThreadId, UnixSeconds};
use rusqlite::{OptionalExtension, Row, params};

use crate::Result;
use crate::stage::Facts;
use crate::takeover::KeptThread;
use crate::tx::Tx;

/// The most ancestors kept per message; a longer line forgets the oldest.
pub const THREAD_PARENTS_MAX: usize = 1_000;

/// A message by subject alone joins a thread whose last message is at most this old.
const SUBJECT_WINDOW_SECS: i64 = 28 * 86_400;

/// Clocks differ: the other message may also be received this much later.
const SUBJECT_SLACK_SECS: i64 = 86_400;

/// The most messages that are looked at for one that came before: whoever sends many with one Message-ID or
/// one subject does not make each of them cost more.
const CANDIDATES_MAX: usize = 100;

const MISSING_LINK: u8 = 1;
const MUTED: u8 = 2;
const COLLAPSED: u8 = 4;

/// The place of a message in the threads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) thread: ThreadId,
    pub(crate) bits: u8,
    /// Ids of the ancestors, nearest first.
    parents: Vec<i64>,
}

impl Place {
    pub(crate) fn is_muted(&self) -> bool {
        self.bits & MUTED != 0
    }

    /// The place that a message had on another server.
    pub(crate) fn kept(thread: &KeptThread) -> Self {
        let bits = [
            (thread.is_incomplete, MISSING_LINK),
            (thread.is_muted, MUTED),
            (thread.is_collapsed, COLLAPSED),
        ];
        let bits = bits.into_iter().filter(|(is_set, _)| *is_set).map(|(_, bit)| bit).sum();
        let parents = thread.parents.iter().take(THREAD_PARENTS_MAX).map(|id| id.0).collect();
        Self { thread: thread.id, bits, parents }
    }

    /// The other way round.
    pub(crate) fn shown(thread: ThreadId, bits: u8, parents: Vec<MsgId>) -> KeptThread {
        KeptThread {
            id: thread,
            parents,
            is_incomplete: bits & MISSING_LINK != 0,
            is_muted: bits & MUTED != 0,
            is_collapsed: bits & COLLAPSED != 0,
        }
    }

    /// The bits, with what the user has said of the thread before.
    pub(crate) fn bits_with(&self, before: u8) -> u8 {
        self.bits | (before & (MUTED | COLLAPSED))
    }

    /// The stored form of the ancestors.
    pub(crate) fn parents_column(&self) -> Option<String> {
        let parents = self.parents.iter().map(ToString::to_string).collect::<Vec<_>>();
        (!parents.is_empty()).then(|| parents.join(","))
    }
}

/// Reads the stored form of ancestors.
pub(crate) fn parse_parents(column: Option<&str>) -> Vec<i64> {
    column.unwrap_or_default().split(',').filter_map(|id| id.parse().ok()).collect()
}

/// Finds the place of a message that is about to be added as `id`, or was: those with higher ids do not
/// count. The cost is bounded, whatever messages there are.
pub(crate) fn find_place(
    tx: &Tx<'_>,
    id: MsgId,
    mailbox: MailboxId,
    received: UnixSeconds,
    facts: &Facts,
) -> Result<Place> {
    let mut missing = false;
    if let Some(own) = &facts.message_id {
        // The same message once more becomes a child of the first.
        let parent = by_message_id(tx, id, own, facts.subject.as_ref())?;
        let parent = match parent {
            Some(parent) => Some(parent),
            None => by_message_id_alone(tx, id, own)?,
        };
        if let Some(parent) = parent {
            return Ok(child_of(parent, id, true));
        }
    }
    for reference in facts.references.iter().rev() {
        if Some(reference) == facts.message_id.as_ref() {
            continue;
        }
        let parent = match facts.is_dsn {
            // A bounce has a subject of its own.
            true => by_message_id_alone(tx, id, reference)?,
            false => by_message_id(tx, id, reference, facts.subject.as_ref())?,
        };
        if let Some(parent) = parent {
            return Ok(child_of(parent, id, missing));
        }
        missing = true;
    }
    if facts.references.is_empty() && facts.is_reply {
        missing = true;
        if let Some(subject) = &facts.subject
            && let Some(parent) = by_subject(tx, (id, mailbox), subject, received)?
        {
            return Ok(child_of(parent, id, missing));
        }
    }
    let bits = if missing { MISSING_LINK } else { 0 };
    Ok(Place { thread: ThreadId(id.0), bits, parents: Vec::new() })
}

fn child_of((parent_id, parent): (i64, Place), id: MsgId, missing: bool) -> Place {
    let mut parents = vec![parent_id];
    if !parent.parents.contains(&id.0) {
        parents.extend(parent.parents.into_iter().take(THREAD_PARENTS_MAX - 1));
    }
    let bits = (parent.bits & (MUTED | COLLAPSED)) | if missing { MISSING_LINK } else { 0 };
    Place { thread: parent.thread, bits, parents }
}

const FOUND: &str = "SELECT m.id, m.thread, t.thread_bits, t.thread_parents \
     FROM meta t JOIN msg m ON m.id = t.id";

const BY_MESSAGE_ID: &str =
    "WHERE t.message_id = ?1 AND t.subject IS ?2 AND t.id < ?3 ORDER BY t.id LIMIT 1";
const BY_MESSAGE_ID_ALONE: &str = "WHERE t.message_id = ?1 ORDER BY t.subject, t.id";
const BY_SUBJECT: &str = "WHERE t.subject = ?1 AND t.original_mailbox = ?2 AND t.received > ?3 \
     AND t.received < ?4 ORDER BY t.received DESC";

fn found(row: &Row<'_>) -> rusqlite::Result<(i64, Place)> {
    let parents: Option<String> = row.get(3)?;
    let parents = parse_parents(parents.as_deref());
    Ok((row.get(0)?, Place { thread: ThreadId(row.get(1)?), bits: row.get(2)?, parents }))
}

/// The oldest live message with this Message-ID and this base subject. Uses index `meta_message_id`: the
/// cost does not grow with the messages that have them.
fn by_message_id(
    tx: &Tx<'_>,
    before: MsgId,
    message_id: &str,
    subject: Option<&String>,
) -> Result<Option<(i64, Place)>> {
    let sql = format!("{FOUND} {BY_MESSAGE_ID}");
    let with = params![message_id, subject, before.0];
    Ok(tx.db().prepare_cached(&sql)?.query_row(with, found).optional()?)
}

/// The oldest live message with this Message-ID, whatever its subject: of those that come first by their
/// subjects, no more than [`CANDIDATES_MAX`].
fn by_message_id_alone(
    tx: &Tx<'_>,
    before: MsgId,
    message_id: &str,
) -> Result<Option<(i64, Place)>> {
    let sql = format!("{FOUND} {BY_MESSAGE_ID_ALONE}");
    let mut statement = tx.db().prepare_cached(&sql)?;
    let mut rows = statement.query([message_id])?;
    let mut oldest: Option<(i64, Place)> = None;
    for _ in 0..CANDIDATES_MAX {
        let Some(row) = rows.next()? else { break };
        let id: i64 = row.get(0)?;
        if id < before.0 && oldest.as_ref().is_none_or(|(oldest, _)| id < *oldest) {
            oldest = Some(found(row)?);
        }
    }
    Ok(oldest)
}

/// The newest live message with this base subject, delivered to the same mailbox, near in time: one that
/// was received later than this, if the clocks differ, else the last before it.
///
/// Uses index `meta_subject`. When threads are found anew, those behind this message come first in it:
/// no more than [`CANDIDATES_MAX`] are passed over.
fn by_subject(
    tx: &Tx<'_>,
    (before, mailbox): (MsgId, MailboxId),
    subject: &str,
    received: UnixSeconds,
) -> Result<Option<(i64, Place)>> {
    let sql = format!("{FOUND} {BY_SUBJECT}");
    let mut statement = tx.db().prepare_cached(&sql)?;
    let (from, to) =
        (received.plus_secs(-SUBJECT_WINDOW_SECS), received.plus_secs(SUBJECT_SLACK_SECS));
    for (from, to) in [(received, to), (from, received.plus_secs(1))] {
        let mut rows = statement.query(params![subject, mailbox.0, from.0, to.0])?;
        for _ in 0..CANDIDATES_MAX {
            let Some(row) = rows.next()? else { break };
            if row.get::<_, i64>(0)? < before.0 {
                return Ok(Some(found(row)?));
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::open_writer;

    #[track_caller]
    fn check_plan(condition: &str, index: &str) {
        let dir = tempfile::tempdir().unwrap();
        let db = open_writer(&dir.path().join("index.db")).unwrap();
        let mut plan = db.prepare(&format!("EXPLAIN QUERY PLAN {FOUND} {condition}")).unwrap();
        let plan = plan.raw_query().mapped(|row| row.get(3));
        let plan: Vec<String> = plan.collect::<rusqlite::Result<_>>().unwrap();
        // In the order of the index: the first that fits is the one, and nothing is sorted.
        let want = [
            format!("SEARCH t USING INDEX {index}"),
            "SEARCH m USING INTEGER PRIMARY KEY (rowid=?)".to_owned(),
        ];
        assert_eq!(plan, want);
    }

    /// The cost of one message must not grow with those that a stranger sent before.
    #[test]
    fn parents_are_found_by_indexes() {
        check_plan(BY_MESSAGE_ID, "meta_message_id (message_id=? AND subject=? AND rowid<?)");
        check_plan(BY_MESSAGE_ID_ALONE, "meta_message_id (message_id=?)");
        let subject = "(subject=? AND original_mailbox=? AND received>? AND received<?)";
        check_plan(BY_SUBJECT, &format!("meta_subject {subject}"));
    }
}
