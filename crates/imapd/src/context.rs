//! Which messages that changed are in the results that a session keeps up to date, and where.
//!
//! Where a program has ages, the messages that have just come of one are looked at as well; whoever
//! waits in IDLE hears of them with the next change.
//!
//! What a message is sorted by never changes, so the order of a result stays right and a new
//! message is put in its place by looking at a few others: the cost grows with the logarithm of the
//! result.
//!
//! Source: RFC 5267 §4.3, RFC 5032 §2.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashSet};

use mox_base::{MailboxId, Uid, UnixSeconds};
use mox_imap::session::{Outcome, UpdateOf, UpdateOp, Updated};
use mox_imap::types::{ResolvedKey, SearchKey};
use mox_store::{KeepGoing, Needed, Query, Reader, SortKey, StoreError};

use crate::connection::{Connection, End, no_account};
use crate::progress::watched;
use crate::refusal;
use crate::search::{numbers, query, store_key};

/// How many messages of a result are looked at in one step to find a place in it.
const PIVOTS: usize = 64;

/// New messages fewer than one in so many are put in their places one by one; else all is sorted.
const PLACED_PART: usize = 256;

/// How long ages are left alone after they were looked at, in seconds. A look costs a scan of the
/// mailbox's rows.
pub const AGES_PAUSE_SECS: i64 = 10;

/// Looks at the messages that changed.
pub(crate) async fn update(connection: &mut Connection, op: UpdateOp) -> Result<Outcome, End> {
    let (cid, now) = (connection.cid, connection.imapd.services.clock.now());
    let Some(account) = connection.account() else {
        return Ok(no_account());
    };
    if op.changed.is_empty() && !op.contexts.iter().any(|context| is_due(context, now)) {
        return Ok(Outcome::Updated(vec![Updated::default(); op.contexts.len()]));
    }
    let looked =
        watched(connection, None, move |keep_going| look(&account.read()?, &op, now, keep_going));
    Ok(refusal::outcome(cid, looked.await?, Outcome::Updated))
}

fn look(
    reader: &Reader,
    op: &UpdateOp,
    now: UnixSeconds,
    keep_going: KeepGoing<'_>,
) -> Result<Vec<Updated>, StoreError> {
    let mut all = Vec::with_capacity(op.contexts.len());
    for context in &op.contexts {
        let (mut looked, mut looked_at) = (op.changed.clone(), None);
        if let Some(since) = context.looked_at.filter(|_| is_due(context, now)) {
            let known = numbers(&op.known);
            let aged = aged(&context.key, since, now);
            let aged = reader.search(op.mailbox, &known, aged, Needed::All, keep_going)?;
            looked = looked.union(&aged.uids.into_iter().map(Uid::get).collect());
            looked_at = Some(now);
        }
        let asked: Vec<u32> = looked.iter().collect();
        let key = query((*context.key).clone(), now);
        let found = reader.search(op.mailbox, &asked, key, Needed::All, keep_going)?;
        let uids: Vec<u32> = found.uids.into_iter().map(Uid::get).collect();
        let places = match context.sort.is_empty() {
            true => Vec::new(),
            false => places(reader, op.mailbox, context, &uids)?,
        };
        all.push(Updated { looked, uids: uids.into_iter().collect(), places, looked_at });
    }
    Ok(all)
}

/// Whether ages are to be looked at again.
fn is_due(context: &UpdateOf, now: UnixSeconds) -> bool {
    // A clock that was set back has changed ages too.
    context.looked_at.is_some_and(|at| now.0.abs_diff(at.0) >= AGES_PAUSE_SECS.unsigned_abs())
}

/// What has come of one of the ages in a program between two times. RFC 5032 §2.
fn aged(key: &ResolvedKey, since: UnixSeconds, now: UnixSeconds) -> Query {
    let ages = RefCell::new(BTreeSet::new());
    key.any(&|key| {
        if let SearchKey::Older(secs) | SearchKey::Younger(secs) = key {
            ages.borrow_mut().insert(*secs);
        }
        false
    });
    let (first, last) = (since.min(now), since.max(now));
    let is_other = |secs: u32| {
        let before = |time: UnixSeconds| time.plus_secs(-i64::from(secs));
        let between = vec![Query::Younger(before(first)), Query::Older(before(last))];
        Query::Not(Box::new(Query::And(between)))
    };
    // Any of them: flat, as there may be many.
    Query::Not(Box::new(Query::And(ages.into_inner().into_iter().map(is_other).collect())))
}

/// Where those of the messages belong that are not in the result.
fn places(
    reader: &Reader,
    mailbox: MailboxId,
    context: &UpdateOf,
    uids: &[u32],
) -> Result<Vec<(u32, Option<u32>)>, StoreError> {
    if uids.is_empty() {
        return Ok(Vec::new());
    }
    let mut new: HashSet<u32> = uids.iter().copied().collect();
    context.order.iter().for_each(|uid| {
        new.remove(uid);
    });
    let new: Vec<u32> = new.into_iter().collect();
    let sorting = Sorting {
        reader,
        mailbox,
        keys: context.sort.iter().filter_map(|key| store_key(*key)).collect(),
    };
    if new.len() > context.order.len() / PLACED_PART {
        return sorting.places_in_all(&context.order, &new);
    }
    let mut places = Vec::with_capacity(new.len());
    for uid in sorting.sorted(new)? {
        let at = sorting.place(&context.order, uid)?;
        let last = at.checked_sub(1).and_then(|at| context.order.get(at)).copied();
        places.push((uid, last));
    }
    Ok(places)
}

/// Sorts messages of a mailbox.
struct Sorting<'r> {
    reader: &'r Reader,
    mailbox: MailboxId,
    keys: Vec<SortKey>,
}

impl Sorting<'_> {
    /// Those that are there, sorted.
    fn sorted(&self, mut uids: Vec<u32>) -> Result<Vec<u32>, StoreError> {
        uids.sort_unstable();
        let sorted = self.reader.sort(self.mailbox, &uids, &self.keys)?;
        Ok(sorted.into_iter().map(Uid::get).collect())
    }

    /// The places of many messages, by sorting all.
    fn places_in_all(
        &self,
        order: &[u32],
        new: &[u32],
    ) -> Result<Vec<(u32, Option<u32>)>, StoreError> {
        let is_new: HashSet<u32> = new.iter().copied().collect();
        let mut last = None;
        let mut places = Vec::with_capacity(new.len());
        for uid in self.sorted(order.iter().chain(new).copied().collect())? {
            if is_new.contains(&uid) {
                places.push((uid, last));
            } else {
                last = Some(uid);
            }
        }
        Ok(places)
    }

    /// How many messages of a sorted result go before this one.
    ///
    /// Messages of the result that are not there any more tell nothing, and are passed over.
    fn place(&self, order: &[u32], uid: u32) -> Result<usize, StoreError> {
        let (mut low, mut high) = (0, order.len());
        while low < high {
            let step = (high - low).div_ceil(PIVOTS);
            let pivots: Vec<(usize, u32)> =
                (low..high).step_by(step).filter_map(|at| Some((at, *order.get(at)?))).collect();
            let asked = pivots.iter().map(|(_, uid)| *uid).chain([uid]).collect();
            let sorted = self.sorted(asked)?;
            let Some(at) = sorted.iter().position(|other| *other == uid) else { return Ok(high) };
            let place = |other: Option<&u32>| {
                let is_other = |pivot: &&(usize, u32)| Some(&pivot.1) == other;
                pivots.iter().find(is_other).map(|(at, _)| *at)
            };
            let before = at.checked_sub(1).and_then(|at| place(sorted.get(at)));
            let after = place(sorted.get(at + 1));
            low = before.map_or(low, |before| before + 1);
            high = after.unwrap_or(high).max(low);
            if step == 1 {
                // All in between are gone.
                return Ok(low);
            }
            if before.is_none() && after.is_none() {
                return Ok(high);
            }
        }
        Ok(low)
    }
}
