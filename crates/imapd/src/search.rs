//! SEARCH, SORT and THREAD in the terms of the store.

use mox_base::{MailboxId, Uid, UnixSeconds};
use mox_imap::session::{Found, FoundIn, MultiSearchOp, Outcome, SearchOp, ThreadOp};
use mox_imap::types::{
    DateOrder, ResolvedKey, SearchKey, SortBy, SortKey, ThreadAlgorithm, ThreadEntry, UidMap,
    Wanted,
};
use mox_store::{KeepGoing, Needed, Progress, Query, Reader, StoreError};

use crate::connection::{Connection, End, no_account};
use crate::progress::watched;
use crate::refusal;
use crate::select::uid_map;

/// Performs a search on the messages that the session knows.
pub(crate) async fn search(connection: &mut Connection, op: SearchOp) -> Result<Outcome, End> {
    let (cid, now) = (connection.cid, connection.imapd.services.clock.now());
    let Some(account) = connection.account() else {
        return Ok(no_account());
    };
    let tag = op.tag.clone();
    let searched = watched(connection, Some(&tag), move |keep_going| {
        find(&account.read()?, op, now, keep_going)
    });
    Ok(match searched.await? {
        Ok(found) => {
            connection.reads(found.highest_modseq.unwrap_or_default());
            Outcome::Found(found)
        }
        Err(StoreError::NoMailbox) => Outcome::Found(Found::default()),
        Err(error) => Outcome::Refused(refusal::store(cid, &error)),
    })
}

fn find(
    reader: &Reader,
    op: SearchOp,
    now: UnixSeconds,
    keep_going: KeepGoing<'_>,
) -> Result<Found, StoreError> {
    let (mailbox, known) = (op.mailbox, numbers(&op.known));
    let query = query(op.key, now);
    let found = reader.search(mailbox, &known, query, needed(op.wanted), keep_going)?;
    let order = sorted(reader, mailbox, &op.sort, &found)?;
    Ok(Found {
        highest_modseq: (!found.uids.is_empty()).then_some(found.modseq),
        uids: found.uids.into_iter().collect(),
        order,
        at: now,
        relevancy: found.relevancy,
    })
}

/// Performs a search over several mailboxes, in one transaction.
pub(crate) async fn multi_search(
    connection: &mut Connection,
    op: Box<MultiSearchOp>,
) -> Result<Outcome, End> {
    let (cid, now) = (connection.cid, connection.imapd.services.clock.now());
    let Some(account) = connection.account() else {
        return Ok(no_account());
    };
    let tag = op.tag.clone();
    let searched = watched(connection, Some(&tag), move |keep_going| {
        find_in(&account.read()?, &op, now, keep_going)
    });
    Ok(match searched.await? {
        Ok(found) => {
            let read = found.iter().filter_map(|found| found.found.highest_modseq).max();
            connection.reads(read.unwrap_or_default());
            Outcome::FoundIn(found)
        }
        Err(error) => Outcome::Refused(refusal::store(cid, &error)),
    })
}

fn find_in(
    reader: &Reader,
    op: &MultiSearchOp,
    now: UnixSeconds,
    keep_going: KeepGoing<'_>,
) -> Result<Vec<FoundIn>, StoreError> {
    let size = |messages: u32| usize::try_from(messages).unwrap_or(usize::MAX);
    let total = op.mailboxes.iter().map(|(_, messages)| size(*messages)).sum();
    let (mut before, mut goes_on) = (0, true);
    let mut all = Vec::new();
    for (mailbox, messages) in &op.mailboxes {
        let selected = op.selected.as_ref().filter(|(selected, _)| selected == mailbox);
        let known = match selected {
            Some((_, known)) => UidMap::clone(known),
            None => uid_map(reader, *mailbox)?,
        };
        let mut go_on = |progress: Progress| {
            let done = before + progress.done.min(size(*messages));
            goes_on = goes_on && keep_going(Progress { done, total });
            goes_on
        };
        let (key, needed) = (query(op.key_in(&known), now), needed(op.wanted));
        let found = reader.search(*mailbox, &numbers(&known), key, needed, &mut go_on)?;
        before += size(*messages);
        if !found.uids.is_empty() {
            let found = Found {
                highest_modseq: Some(found.modseq),
                uids: found.uids.into_iter().collect(),
                order: Vec::new(),
                at: now,
                relevancy: found.relevancy,
            };
            all.push(FoundIn { mailbox: *mailbox, found });
        }
        if !goes_on {
            break;
        }
    }
    Ok(all)
}

/// The messages that were found, as sorted; nothing if there is nothing to sort by.
fn sorted(
    reader: &Reader,
    mailbox: MailboxId,
    keys: &[SortKey],
    found: &mox_store::Found,
) -> Result<Vec<u32>, StoreError> {
    let Some(first) = keys.first() else { return Ok(Vec::new()) };
    let uids: Vec<u32> = found.uids.iter().map(|uid| uid.get()).collect();
    let keys: Vec<_> = keys.iter().filter_map(|key| store_key(*key)).collect();
    let mut order: Vec<u32> =
        reader.sort(mailbox, &uids, &keys)?.into_iter().map(Uid::get).collect();
    if first.by == SortBy::Relevancy {
        let score = |uid: &u32| {
            let place = uids.binary_search(uid).ok();
            place.and_then(|place| found.relevancy.get(place)).copied().unwrap_or_default()
        };
        // The best first (RFC 6203 §5); what is equal stays as sorted by the rest.
        order.sort_by_key(|uid| if first.is_reverse { score(uid) } else { u8::MAX - score(uid) });
    }
    Ok(order)
}

/// Performs a THREAD on the messages that the session knows.
pub(crate) async fn thread(connection: &mut Connection, op: ThreadOp) -> Result<Outcome, End> {
    let (cid, now) = (connection.cid, connection.imapd.services.clock.now());
    let Some(account) = connection.account() else {
        return Ok(no_account());
    };
    let tag = op.tag.clone();
    let threaded = watched(connection, Some(&tag), move |keep_going| {
        let reader = account.read()?;
        let (mailbox, known) = (op.mailbox, numbers(&op.known));
        let found = reader.search(mailbox, &known, query(op.key, now), Needed::All, keep_going)?;
        let uids: Vec<u32> = found.uids.into_iter().map(Uid::get).collect();
        let algorithm = match op.algorithm {
            ThreadAlgorithm::OrderedSubject => mox_store::ThreadAlgorithm::OrderedSubject,
            ThreadAlgorithm::References => mox_store::ThreadAlgorithm::References,
        };
        reader.thread(mailbox, &uids, algorithm)
    });
    let entry = |entry: mox_store::ThreadEntry| ThreadEntry {
        depth: entry.depth,
        uid: entry.uid.map(Uid::get),
    };
    Ok(match threaded.await? {
        Ok(threads) => Outcome::Threads(threads.into_iter().map(entry).collect()),
        Err(StoreError::NoMailbox) => Outcome::Threads(Vec::new()),
        Err(error) => Outcome::Refused(refusal::store(cid, &error)),
    })
}

pub(crate) fn numbers(known: &UidMap) -> Vec<u32> {
    known.ranges().flat_map(|(first, last)| first..=last).collect()
}

fn needed(wanted: Wanted) -> Needed {
    match wanted {
        Wanted::All => Needed::All,
        Wanted::First => Needed::First,
        Wanted::Last => Needed::Last,
        Wanted::Ends => Needed::FirstAndLast,
    }
}

/// A key in the terms of the store, which does not know of relevancy.
pub(crate) fn store_key(key: SortKey) -> Option<mox_store::SortKey> {
    let by = match key.by {
        SortBy::Arrival => mox_store::SortBy::Arrival,
        SortBy::Cc => mox_store::SortBy::Cc,
        SortBy::Date => mox_store::SortBy::Date,
        SortBy::From => mox_store::SortBy::From,
        SortBy::Size => mox_store::SortBy::Size,
        SortBy::Subject => mox_store::SortBy::Subject,
        SortBy::To => mox_store::SortBy::To,
        SortBy::DisplayFrom => mox_store::SortBy::DisplayFrom,
        SortBy::DisplayTo => mox_store::SortBy::DisplayTo,
        SortBy::Relevancy => return None,
    };
    Some(mox_store::SortKey { by, is_reverse: key.is_reverse })
}

/// The depth of the recursion is bounded by the parser.
pub(crate) fn query(key: ResolvedKey, now: UnixSeconds) -> Query {
    match key {
        SearchKey::All => Query::All,
        // Filters are replaced by what they stand for before anything is asked.
        SearchKey::Never | SearchKey::Filter(_) => Query::Not(Box::new(Query::All)),
        SearchKey::And(keys) => Query::And(keys.into_iter().map(|key| query(key, now)).collect()),
        SearchKey::Or(one, two) => {
            Query::Or(Box::new(query(*one, now)), Box::new(query(*two, now)))
        }
        SearchKey::Not(key) => Query::Not(Box::new(query(*key, now))),
        SearchKey::Fuzzy(key) => Query::Fuzzy(Box::new(query(*key, now))),
        SearchKey::Seqs(uids) | SearchKey::Uids(uids) => Query::Uids(uids),
        SearchKey::Flag(flags) => Query::Flags(flags),
        SearchKey::Keyword(keyword) => Query::Keyword(keyword),
        SearchKey::Header { field, text } => Query::Header { name: field, text },
        SearchKey::Body(text) => Query::Body(text),
        SearchKey::Text(text) => Query::Text(text),
        SearchKey::Internal(DateOrder::Before, day) => Query::ReceivedBefore(day.0),
        SearchKey::Internal(DateOrder::On, day) => Query::ReceivedOn(day.0),
        SearchKey::Internal(DateOrder::Since, day) => Query::ReceivedSince(day.0),
        SearchKey::Sent(DateOrder::Before, day) => Query::SentBefore(day.0),
        SearchKey::Sent(DateOrder::On, day) => Query::SentOn(day.0),
        SearchKey::Sent(DateOrder::Since, day) => Query::SentSince(day.0),
        SearchKey::Larger(size) => Query::Larger(size),
        SearchKey::Smaller(size) => Query::Smaller(size),
        SearchKey::ModSeq(modseq) => Query::ModSeq(modseq),
        SearchKey::Older(secs) => Query::Older(now.plus_secs(-i64::from(secs))),
        SearchKey::Younger(secs) => Query::Younger(now.plus_secs(-i64::from(secs))),
        SearchKey::Saved(DateOrder::Before, day) => Query::SavedBefore(day.0),
        SearchKey::Saved(DateOrder::On, day) => Query::SavedOn(day.0),
        SearchKey::Saved(DateOrder::Since, day) => Query::SavedSince(day.0),
        SearchKey::EmailId(id) => Query::EmailId(id),
        SearchKey::ThreadId(id) => Query::ThreadId(id),
    }
}
