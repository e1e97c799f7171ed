//! Making calls: which are due, and what came of them.

use std::collections::HashSet;
use std::sync::Arc;

use mox_base::{Rng, UnixSeconds};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{
    COLUMNS, HOOK_BYTES_PER_ACCOUNT_MAX, HOOKS_PER_ACCOUNT_MAX, Hook, HookAttempt, HookId, hook,
};
use crate::error::{Pending, Result};
use crate::message::{MessageId, truncated};
use crate::queue::Queue;
use crate::retry::chance;
use crate::row::{from_json, to_json};

/// Attempts after which a call has failed.
pub const HOOK_ATTEMPTS_MAX: u32 = 12;

/// The most bytes kept of a response.
pub const RESPONSE_BYTES_MAX: usize = 512;

/// Different URLs that are looked at for one lease. Each is of an account's configuration.
const URLS_MAX: usize = 10_000;

/// The waits after the first attempts, in seconds.
const WAITS_SECS: [i64; 11] = [60, 120, 240, 450, 900, 1_800, 3_600, 7_200, 14_400, 28_800, 57_600];

/// Waits are spread by up to a hundredth to each side.
const SPREAD_PARTS: i64 = 100;

/// A call that is waiting may not be further off than this.
const WAIT_SECS_MAX: i64 = 57_600 + 57_600 / SPREAD_PARTS;

/// The wait after an attempt, when `attempts` were made before it: 1, 2, 4, 7.5, 15, 30 minutes, 1, 2,
/// 4, 8, 16 hours, each a hundredth more or less. `chance` is any number.
#[must_use]
pub fn hook_wait_secs(attempts: u32, chance: u64) -> i64 {
    let index = usize::try_from(attempts).unwrap_or(usize::MAX).min(WAITS_SECS.len() - 1);
    let wait = WAITS_SECS.get(index).copied().unwrap_or(WAIT_SECS_MAX);
    let spread = wait / SPREAD_PARTS;
    let chance = (chance >> 1).cast_signed() % (2 * spread + 1);
    wait - spread + chance
}

/// What came of an attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HookOutcome {
    /// The HTTP status; 0 if there was no response. Only 200 is a success.
    pub code: u16,
    /// What went wrong; empty if nothing did.
    pub error: String,
    /// The response; [`RESPONSE_BYTES_MAX`] of it are kept.
    pub response: String,
    /// When the attempt began.
    pub start: UnixSeconds,
    /// How long it took.
    pub duration_ms: u64,
}

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookSettled {
    /// It was made.
    Done,
    /// It is tried again.
    Again,
    /// It was given up, or another took its place.
    Over,
}

impl Queue {
    /// When the next call becomes due that is not being made; may be past.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub fn hook_next_due(&self, now: UnixSeconds) -> Result<Option<UnixSeconds>> {
        self.check_clock(now)?;
        const SQL: &str = "SELECT next_attempt FROM hook INDEXED BY hook_next \
            WHERE is_retired = 0 AND is_leased = 0 ORDER BY next_attempt LIMIT 1";
        self.read(|db| {
            let due = db.prepare_cached(SQL)?.query_row([], |row| row.get(0)).optional()?;
            Ok(due.map(UnixSeconds))
        })
    }

    /// Takes calls that are due for an attempt, one for each URL that is not busy, at most `max`.
    /// The attempt and the time of the next one are on disk before this is answered.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub fn lease_hooks(
        &self,
        max: usize,
        busy_urls: Vec<String>,
        now: UnixSeconds,
    ) -> Pending<Vec<Hook>> {
        self.write_at(now, 0, move |tx, state| {
            let mut leased = Vec::new();
            for id in due(tx.db(), &busy_urls, max, now)? {
                leased.push(lease(tx.db(), id, &*state.rng, now)?);
            }
            let ids: Vec<i64> = leased.iter().map(|hook| hook.id.0).collect();
            let state = Arc::clone(state);
            tx.after_commit(move || state.live_hooks.lock().extend(ids));
            Ok(leased)
        })
    }

    /// Writes down what came of an attempt. A call whose place another took gets the result too.
    ///
    /// # Errors
    ///
    /// If the database fails: the call is still leased then. Settle again, or it is made again after a
    /// restart.
    pub fn settle_hook(
        &self,
        id: HookId,
        outcome: HookOutcome,
        now: UnixSeconds,
    ) -> Pending<HookSettled> {
        self.write_at(now, 0, move |tx, state| {
            let settled = settle(tx.db(), id, &outcome, now)?;
            let made = Arc::clone(state);
            tx.after_commit(move || {
                made.live_hooks.lock().remove(&id.0);
            });
            state.wake_after(tx);
            Ok(settled)
        })
    }
}

/// The first of each URL, those that wait longest first.
fn due(db: &Connection, busy: &[String], max: usize, now: UnixSeconds) -> Result<Vec<i64>> {
    // From one URL to the next by the index: what waits behind the first of each is not read.
    const URLS: &str = "WITH RECURSIVE u(url) AS (
        SELECT min(url) FROM hook WHERE is_retired = 0 AND is_leased = 0
        UNION ALL
        SELECT (SELECT min(url) FROM hook WHERE is_retired = 0 AND is_leased = 0 AND url > u.url)
        FROM u WHERE u.url IS NOT NULL
    ) SELECT url FROM u WHERE url IS NOT NULL LIMIT ?1";
    const FIRST: &str = "SELECT next_attempt, id FROM hook \
        WHERE is_retired = 0 AND is_leased = 0 AND url = ?1 AND next_attempt <= ?2 \
        ORDER BY next_attempt, id LIMIT 1";
    let mut urls = db.prepare_cached(URLS)?;
    let urls = urls.query_map([URLS_MAX], |row| row.get::<_, String>(0))?;
    let mut found: Vec<(i64, i64)> = Vec::new();
    let mut first = db.prepare_cached(FIRST)?;
    for url in urls {
        let url = url?;
        if !busy.contains(&url) {
            let row = first.query_row(params![url, now.0], |row| Ok((row.get(0)?, row.get(1)?)));
            found.extend(row.optional()?);
        }
    }
    found.sort_unstable();
    Ok(found.into_iter().take(max).map(|(_, id)| id).collect())
}

fn lease(db: &Connection, id: i64, rng: &dyn Rng, now: UnixSeconds) -> Result<Hook> {
    let attempts: u32 = db
        .prepare_cached("SELECT attempts FROM hook WHERE id = ?1")?
        .query_row([id], |row| row.get(0))?;
    let next = now.plus_secs(hook_wait_secs(attempts, chance(rng)));
    db.prepare_cached(
        "UPDATE hook SET is_leased = 1, attempts = attempts + 1, next_attempt = ?2, \
         last_activity = ?3 WHERE id = ?1",
    )?
    .execute(params![id, next.0, now.0])?;
    let sql = format!("SELECT {COLUMNS} FROM hook AS q WHERE q.id = ?1");
    Ok(db.prepare_cached(&sql)?.query_row([id], hook)?)
}

fn settle(
    db: &Connection,
    id: HookId,
    outcome: &HookOutcome,
    now: UnixSeconds,
) -> Result<HookSettled> {
    let sql = format!("SELECT {COLUMNS} FROM hook AS q WHERE q.id = ?1");
    let Some(call) = db.prepare_cached(&sql)?.query_row([id.0], hook).optional()? else {
        // Another took its place, and nothing is kept.
        return Ok(HookSettled::Over);
    };
    let is_success = outcome.code == 200;
    let mut results = call.results;
    results.push(HookAttempt {
        start: outcome.start.0,
        duration_ms: outcome.duration_ms,
        url: call.call.url,
        is_success,
        code: outcome.code,
        error: outcome.error.clone(),
        response: truncated(&outcome.response, RESPONSE_BYTES_MAX).to_owned(),
    });
    db.prepare_cached(
        "UPDATE hook SET results = ?2, is_leased = 0, last_activity = ?3 WHERE id = ?1",
    )?
    .execute(params![id.0, to_json(&results)?, now.0])?;
    if call.retired.is_some() {
        return Ok(HookSettled::Over);
    }
    if is_success || call.attempts >= HOOK_ATTEMPTS_MAX {
        retire(db, id.0, None, is_success, now)?;
        return Ok(if is_success { HookSettled::Done } else { HookSettled::Over });
    }
    Ok(HookSettled::Again)
}

/// The call is over: kept as history, without what it logs in with, or removed. History gets half of the
/// room of an account: it must not keep calls from being made.
pub(super) fn retire(
    db: &Connection,
    id: i64,
    superseded_by: Option<i64>,
    is_success: bool,
    now: UnixSeconds,
) -> Result<()> {
    db.prepare_cached(
        "DELETE FROM hook WHERE id = ?1 AND (keep_secs <= 0 OR EXISTS(SELECT 1 FROM hook_usage AS u \
         WHERE u.account = hook.account AND (u.count > ?2 OR u.bytes > ?3)))",
    )?
    .execute([id, HOOKS_PER_ACCOUNT_MAX / 2, HOOK_BYTES_PER_ACCOUNT_MAX / 2])?;
    db.prepare_cached(
        "UPDATE hook SET is_retired = 1, authorization = '', superseded_by = ?2, \
         is_success = ?3, last_activity = ?4, keep_until = ?4 + keep_secs WHERE id = ?1",
    )?
    .execute(params![id, superseded_by, is_success, now.0])?;
    Ok(())
}

/// A newer call about a message makes older ones pointless.
pub(super) fn supersede(
    db: &Connection,
    queued: MessageId,
    by: i64,
    now: UnixSeconds,
) -> Result<()> {
    let mut select =
        db.prepare_cached("SELECT id FROM hook WHERE queued = ?1 AND is_retired = 0 AND id <> ?2")?;
    let older = select.query_map([queued.0, by], |row| row.get(0))?;
    for id in older.collect::<rusqlite::Result<Vec<i64>>>()? {
        retire(db, id, Some(by), false, now)?;
    }
    Ok(())
}

/// Gives back the leases that nobody has: of an earlier process, or of a commit that failed though it is on
/// disk. What the requests led to is not known: they are made again when they are due, as after a failure.
pub(crate) fn recover(db: &Connection, live: &HashSet<i64>) -> Result<()> {
    const INTERRUPTED: &str = "interrupted: the server was stopped";
    let mut leased: Vec<(i64, String)> = db
        .prepare("SELECT id, results FROM hook WHERE is_leased = 1")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    leased.retain(|(id, _)| !live.contains(id));
    for (id, results) in leased {
        let mut results: Vec<HookAttempt> = from_json(&results).unwrap_or_default();
        results.push(HookAttempt { error: INTERRUPTED.to_owned(), ..HookAttempt::default() });
        db.prepare_cached("UPDATE hook SET is_leased = 0, results = ?2 WHERE id = ?1")?
            .execute(params![id, to_json(&results)?])?;
    }
    Ok(())
}

/// Nothing waits longer than the longest wait.
pub(crate) fn clock_went_back(db: &Connection, now: UnixSeconds) -> Result<()> {
    db.execute(
        "UPDATE hook SET next_attempt = ?1 WHERE is_retired = 0 AND next_attempt > ?2",
        [now.0, now.plus_secs(WAIT_SECS_MAX).0],
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hook::{NewHook, insert};

    #[track_caller]
    fn check(attempts: u32, want: std::ops::RangeInclusive<i64>) {
        let waits = (0..5_000).map(|chance| hook_wait_secs(attempts, chance * 7_919));
        let (low, high) = waits.fold((i64::MAX, 0), |(low, high), w| (w.min(low), w.max(high)));
        assert!(want.contains(&low) && want.contains(&high), "{attempts}: {low} to {high}");
    }

    /// A commit that failed may be on disk: calls that it leased were never made again before a restart.
    #[test]
    fn leases_that_nobody_has_are_given_back() {
        let dir = tempfile::tempdir().unwrap();
        let db = crate::schema::open(&dir.path().join("queue.db")).unwrap();
        for url in ["a", "b"] {
            let hook = NewHook { url: url.to_owned(), ..NewHook::default() };
            insert(&db, &hook, UnixSeconds(0)).unwrap();
        }
        let ids = due(&db, &[], 2, UnixSeconds(0)).unwrap();
        for id in &ids {
            lease(&db, *id, &mox_testkit::TestRng::new(1), UnixSeconds(0)).unwrap();
        }
        let later = UnixSeconds(1_000_000);
        assert!(due(&db, &[], 2, later).unwrap().is_empty());
        recover(&db, &HashSet::from([ids[0]])).unwrap();
        assert_eq!(due(&db, &[], 2, later).unwrap(), [ids[1]]);
    }

    #[test]
    fn waits_grow_and_are_spread() {
        check(0, 60..=60);
        check(1, 119..=121);
        check(3, 446..=454);
        check(10, 57_024..=58_176);
        check(11, 57_024..=58_176);
        check(u32::MAX, 57_024..=58_176);
        assert_ne!(hook_wait_secs(5, 0), hook_wait_secs(5, 20));
    }
}
