//! Leases: messages taken from the queue for an attempt.
//!
//! Invariant: an attempt is on disk before it begins, with the time of the next one: a crash in
//! the middle costs an attempt, never a message, and is known afterwards.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use mox_base::{Rng, UnixSeconds};
use mox_sqlite::Tx;
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::error::{Pending, Result};
use crate::filter::Filter;
use crate::lane::Touched;
use crate::message::{Attempt, MessageId, Queued};
use crate::queue::{Queue, State};
use crate::{retry, row, settle, suppression};

/// The most leases of one request.
pub const LEASES_MAX: usize = 1_000;

/// Messages of one domain that are looked at for one request, at most: others of a base of which
/// one is taken are passed over.
const PASSED_MAX: usize = 2_000;

/// Above all priorities.
const PRIORITY_END: i8 = 10;

/// A message that an attempt is made for.
#[derive(Clone, Debug)]
pub struct Lease {
    /// Which.
    pub id: MessageId,
    /// See [`Queued::base_id`].
    pub base_id: Option<MessageId>,
    /// Everything else; the attempt counts in it.
    pub message: Arc<Queued>,
    /// 1 is the first.
    pub attempt: u32,
    /// When the next attempt is made if nobody settles this one; on disk already.
    pub next_attempt: UnixSeconds,
    /// The recipient is on the account's suppression list: nothing may be sent.
    pub is_suppressed: bool,
}

/// What to take.
#[derive(Clone, Debug, Default)]
pub struct LeaseRequest {
    /// How many at most; never more than [`LEASES_MAX`].
    pub max: usize,
    /// How many of one domain at most; 0 is taken for 1.
    pub per_domain_max: usize,
    /// Domains that may get no more now, as [`mox_base::Host::ascii`] has them.
    pub busy_domains: Vec<String>,
    /// Only this one, for a connection that can take one more.
    pub only_domain: Option<String>,
}

impl Queue {
    /// When the next message becomes due that is neither held nor leased; may be past.
    ///
    /// Blocks for longer only if the clock went back since it was last seen, see `now`.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub fn next_due(&self, now: UnixSeconds) -> Result<Option<UnixSeconds>> {
        self.check_clock(now)?;
        self.read(|db| {
            let mut statement = db.prepare_cached("SELECT min(next_attempt) FROM lane")?;
            Ok(statement.query_row([], |row| row.get::<_, Option<i64>>(0))?.map(UnixSeconds))
        })
    }

    /// As [`Queue::next_due`], without the domains that may get no more now: what waits for one of
    /// these has its turn when a connection to it ends. Costs time for each of them.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub fn next_due_except(
        &self,
        busy_domains: &[String],
        now: UnixSeconds,
    ) -> Result<Option<UnixSeconds>> {
        self.check_clock(now)?;
        let busy: HashSet<&str> = busy_domains.iter().map(String::as_str).collect();
        self.read(|db| {
            let mut lanes =
                db.prepare_cached("SELECT domain, next_attempt FROM lane ORDER BY next_attempt")?;
            let mut rows = lanes.query([])?;
            while let Some(row) = rows.next()? {
                if !busy.contains(row.get_ref(0)?.as_str().unwrap_or_default()) {
                    return Ok(Some(UnixSeconds(row.get(1)?)));
                }
            }
            Ok(None)
        })
    }

    /// Takes messages that are due: higher priorities first (RFC 6710 §4.1), of one priority the
    /// domains that wait longest, of one domain the messages that do. Of messages with the same
    /// base and domain only one, see [`Queue::siblings`].
    ///
    /// Costs time for what is taken and for each busy domain, not for what waits there.
    ///
    /// # Errors
    ///
    /// If the database fails: nothing is leased then.
    pub fn lease(&self, request: LeaseRequest, now: UnixSeconds) -> Pending<Vec<Lease>> {
        self.write_at(now, 0, move |tx, state| {
            let ids = choose(tx.db(), &request, now)?;
            take(tx, state, &ids, now)
        })
    }

    /// Like [`Queue::lease`], and takes with each message, behind it, those that can share a
    /// transaction with it, see [`Queue::siblings`]: nobody takes them in between.
    ///
    /// # Errors
    ///
    /// If the database fails: nothing is leased then.
    pub fn lease_groups(
        &self,
        request: LeaseRequest,
        siblings_max: usize,
        now: UnixSeconds,
    ) -> Pending<Vec<Vec<Lease>>> {
        self.write_at(now, 0, move |tx, state| {
            let ids = choose(tx.db(), &request, now)?;
            let mut groups = Vec::with_capacity(ids.len());
            for first in take(tx, state, &ids, now)? {
                let mut group = vec![first];
                if let Some((first, base)) = group.first().and_then(|one| Some((one, one.base_id?)))
                {
                    let max = siblings_max.min(LEASES_MAX);
                    let ids = siblings(tx.db(), base, &first.message, max, now)?;
                    group.extend(take(tx, state, &ids, now)?);
                }
                groups.push(group);
            }
            Ok(groups)
        })
    }

    /// Takes messages that can share a transaction with a leased one: of the same base and domain,
    /// due, with the same number of attempts and the same wishes.
    ///
    /// # Errors
    ///
    /// If the database fails: nothing is leased then.
    pub fn siblings(&self, of: &Lease, max: usize, now: UnixSeconds) -> Pending<Vec<Lease>> {
        let Some(base) = of.base_id else {
            return Pending::ready(Ok(Vec::new()));
        };
        let message = Arc::clone(&of.message);
        let max = max.min(LEASES_MAX);
        self.write_at(now, 0, move |tx, state| {
            let ids = siblings(tx.db(), base, &message, max, now)?;
            take(tx, state, &ids, now)
        })
    }

    /// Takes all messages that the filter finds and that are not leased, due or not, held or not,
    /// up to [`LEASES_MAX`]: for settling them without an attempt. Their attempts stay as they
    /// are.
    ///
    /// # Errors
    ///
    /// If the database fails: nothing is leased then.
    pub fn lease_found(&self, filter: Filter, now: UnixSeconds) -> Pending<Vec<Lease>> {
        self.write_at(now, 0, move |tx, state| {
            let ids = filter.unleased(tx.db(), LEASES_MAX)?;
            let mut leases = Vec::with_capacity(ids.len());
            let mut touched = Touched::default();
            for id in ids {
                tx.db()
                    .prepare_cached("UPDATE queued SET leased = next_attempt WHERE id = ?1")?
                    .execute([id])?;
                leases.extend(read(tx.db(), id, &mut touched)?);
            }
            touched.refresh(tx.db())?;
            remember(tx, state, &leases, false);
            Ok(leases)
        })
    }

    /// Undoes leases of which nothing came, as when the server stops before a connection stands:
    /// the attempt does not count, and the message is due when it was.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub fn give_back(&self, ids: Vec<MessageId>, now: UnixSeconds) -> Pending<()> {
        self.write_at(now, 0, move |tx, state| {
            let mut touched = Touched::default();
            for id in ids {
                let attempts = i64::from(state.live.lock().get(&id.0) == Some(&true));
                let mut update = tx.db().prepare_cached(
                    "UPDATE queued SET attempts = max(attempts - ?2, 0), next_attempt = leased, \
                     leased = NULL WHERE id = ?1 AND leased IS NOT NULL \
                     RETURNING rcpt_domain, priority",
                )?;
                let mut rows = update.query(params![id.0, attempts])?;
                while let Some(row) = rows.next()? {
                    touched.add(row.get_ref(0)?.as_str().unwrap_or_default(), row.get(1)?);
                }
                drop(rows);
                drop(update);
                forget(tx, state, id);
            }
            touched.refresh(tx.db())?;
            state.wake_after(tx);
            Ok(())
        })
    }
}

/// What a request gets.
fn choose(db: &Connection, request: &LeaseRequest, now: UnixSeconds) -> Result<Vec<i64>> {
    let mut chosen = Chosen {
        max: request.max.min(LEASES_MAX),
        per_domain_max: request.per_domain_max.max(1),
        ..Chosen::default()
    };
    let busy: HashSet<&str> = request.busy_domains.iter().map(String::as_str).collect();
    let mut below = PRIORITY_END;
    while chosen.has_room() {
        let mut next = db.prepare_cached("SELECT max(priority) FROM lane WHERE priority < ?1")?;
        let Some(priority) = next.query_row([below], |row| row.get::<_, Option<i8>>(0))? else {
            break;
        };
        below = priority;
        if let Some(domain) = &request.only_domain {
            chosen.take_of(db, domain, priority, now)?;
            continue;
        }
        let mut lanes = db.prepare_cached(
            "SELECT domain FROM lane WHERE priority = ?1 AND next_attempt <= ?2 \
             ORDER BY next_attempt",
        )?;
        let mut rows = lanes.query(params![priority, now.0])?;
        while chosen.has_room()
            && let Some(row) = rows.next()?
        {
            let domain = row.get_ref(0)?.as_str().unwrap_or_default();
            if !busy.contains(domain) {
                chosen.take_of(db, domain, priority, now)?;
            }
        }
    }
    Ok(chosen.ids)
}

#[derive(Default)]
struct Chosen {
    max: usize,
    per_domain_max: usize,
    ids: Vec<i64>,
    by_domain: HashMap<String, usize>,
}

impl Chosen {
    fn has_room(&self) -> bool {
        self.ids.len() < self.max
    }

    fn take_of(
        &mut self,
        db: &Connection,
        domain: &str,
        priority: i8,
        now: UnixSeconds,
    ) -> Result<()> {
        let so_far = self.by_domain.get(domain).copied().unwrap_or(0);
        let mut left = self.per_domain_max.saturating_sub(so_far).min(self.max - self.ids.len());
        if left == 0 {
            return Ok(());
        }
        let before = left;
        let mut due = db.prepare_cached(
            "SELECT id, base FROM queued WHERE rcpt_domain = ?1 AND priority = ?2 \
             AND is_held = 0 AND leased IS NULL AND next_attempt <= ?3 \
             ORDER BY next_attempt, id",
        )?;
        let mut rows = due.query(params![domain, priority, now.0])?;
        // Those of one base can share a transaction, unless they are for different domains.
        let mut bases = HashSet::new();
        let mut passed = 0;
        while left > 0
            && passed < PASSED_MAX
            && let Some(row) = rows.next()?
        {
            let (id, base): (i64, i64) = (row.get(0)?, row.get(1)?);
            if base != 0 && !bases.insert(base) {
                passed += 1;
                continue;
            }
            self.ids.push(id);
            left -= 1;
        }
        self.by_domain.insert(domain.to_owned(), so_far + before - left);
        Ok(())
    }
}

/// Walks those that are due, by the index `queued_base`.
const SIBLINGS: &str = "SELECT id FROM queued WHERE base = ?1 AND rcpt_domain = ?2 \
    AND attempts = ?3 AND base <> 0 AND is_held = 0 AND leased IS NULL \
    AND next_attempt <= ?4 AND require_tls IS ?5 AND transport IS ?6 \
    ORDER BY next_attempt, id LIMIT ?7";

fn siblings(
    db: &Connection,
    base: MessageId,
    of: &Queued,
    max: usize,
    now: UnixSeconds,
) -> Result<Vec<i64>> {
    let bound = params![
        base.0,
        of.rcpt_to.host.ascii(),
        of.attempts.saturating_sub(1),
        now.0,
        of.require_tls,
        of.transport,
        max,
    ];
    let mut statement = db.prepare_cached(SIBLINGS)?;
    let ids = statement.query_map(bound, |row| row.get(0))?;
    Ok(ids.collect::<rusqlite::Result<_>>()?)
}

/// Registers the attempts.
fn take(tx: &mut Tx<'_>, state: &Arc<State>, ids: &[i64], now: UnixSeconds) -> Result<Vec<Lease>> {
    const SQL: &str = "UPDATE queued SET leased = next_attempt, attempts = attempts + 1, \
        last_attempt = ?2, next_attempt = ?2 + ?3, set_at = ?2 WHERE id = ?1";
    let mut leases = Vec::with_capacity(ids.len());
    let mut touched = Touched::default();
    for id in ids {
        let wait = next_wait(tx.db(), *id, &*state.rng)?;
        tx.db().prepare_cached(SQL)?.execute(params![id, now.0, wait])?;
        leases.extend(read(tx.db(), *id, &mut touched)?);
    }
    touched.refresh(tx.db())?;
    remember(tx, state, &leases, true);
    Ok(leases)
}

fn next_wait(db: &Connection, id: i64, rng: &dyn Rng) -> Result<i64> {
    let attempts = db
        .prepare_cached("SELECT attempts FROM queued WHERE id = ?1")?
        .query_row([id], |row| row.get(0))?;
    Ok(retry::wait_secs(attempts, retry::chance(rng)))
}

fn read(db: &Connection, id: i64, touched: &mut Touched) -> Result<Option<Lease>> {
    const WHERE: &str = "WHERE q.id = ?1";
    let mut statement = db.prepare_cached(&format!("{}{WHERE}", row::SELECT_QUEUED))?;
    let message = statement.query_row([id], row::queued).optional()?;
    let Some(message) = message else { return Ok(None) };
    touched.add(&message.rcpt_to.host.ascii(), message.priority);
    let base_address = suppression::base_address(&message.rcpt_to);
    let suppression = suppression::find(db, &message.account, &base_address)?;
    Ok(Some(Lease {
        id: message.id,
        base_id: message.base_id,
        attempt: message.attempts,
        next_attempt: message.next_attempt,
        is_suppressed: suppression.is_some(),
        message: Arc::new(message),
    }))
}

fn remember(tx: &mut Tx<'_>, state: &Arc<State>, leases: &[Lease], is_attempt: bool) {
    let ids: Vec<i64> = leases.iter().map(|lease| lease.id.0).collect();
    let state = Arc::clone(state);
    tx.after_commit(move || state.live.lock().extend(ids.into_iter().map(|id| (id, is_attempt))));
}

pub(crate) fn forget(tx: &mut Tx<'_>, state: &Arc<State>, id: MessageId) {
    let state = Arc::clone(state);
    tx.after_commit(move || {
        state.live.lock().remove(&id.0);
    });
}

/// Closes the leases that nobody has: their attempt may have come to an end that nobody knows.
pub(crate) fn close_interrupted(db: &Connection, live: &HashMap<i64, bool>) -> Result<u64> {
    let mut select =
        db.prepare("SELECT id, last_attempt, results FROM queued WHERE leased IS NOT NULL")?;
    let rows = select.query_map([], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, Option<i64>>(1)?, row.get::<_, String>(2)?))
    })?;
    let open = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    let mut closed = 0;
    for (id, last_attempt, results) in open {
        if live.contains_key(&id) {
            continue;
        }
        let result = Attempt {
            start: last_attempt.unwrap_or_default(),
            text: Attempt::INTERRUPTED.to_owned(),
            ..Attempt::default()
        };
        let results = settle::with_result(&results, result)?;
        db.prepare_cached("UPDATE queued SET leased = NULL, results = ?2 WHERE id = ?1")?
            .execute(params![id, results])?;
        closed += 1;
    }
    Ok(closed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema;

    /// However many other recipients wait for their time, they are not looked at.
    #[test]
    fn siblings_are_found_by_their_time() {
        let dir = tempfile::tempdir().unwrap();
        let db = schema::open(&dir.path().join("queue.db")).unwrap();
        let mut statement = db.prepare(&format!("EXPLAIN QUERY PLAN {SIBLINGS}")).unwrap();
        let rows = statement
            .query_map(params![1, "x.example", 0, 7, None::<bool>, None::<&str>, 10], |row| {
                row.get::<_, String>(3)
            })
            .unwrap();
        let plan = rows.collect::<rusqlite::Result<Vec<_>>>().unwrap().join("; ");
        let want = "queued_base (base=? AND rcpt_domain=? AND attempts=? AND next_attempt<?)";
        assert!(plan.contains(want) && !plan.contains("TEMP B-TREE"), "{plan}");
    }
}
