//! Webhook calls that are taken over.

use rusqlite::{Connection, params};

use super::{ROW_BYTES, raise_sequence};
use crate::error::{Pending, QueueError, Result};
use crate::hook::{Hook, HookAttempt, OutgoingEvent, RESPONSE_BYTES_MAX};
use crate::message::{RESULTS_MAX, truncated};
use crate::queue::Queue;
use crate::{HOOK_ERROR_BYTES_MAX, row};

impl Queue {
    /// Takes over webhook calls, to be made or made, all in one transaction. None takes the place of
    /// another. Those to be made are due when they say.
    ///
    /// How many an account may have is not looked at.
    ///
    /// # Errors
    ///
    /// [`QueueError::IdTaken`], or what the disk says. None is taken over then.
    pub fn keep_hooks(&self, hooks: Vec<Hook>) -> Pending<()> {
        let bytes = hooks.iter().map(|one| ROW_BYTES + one.call.payload.len()).sum();
        self.write(bytes, move |tx, state| {
            for one in hooks {
                if is_kept(tx.db(), &one)? {
                    continue;
                }
                if is_taken(tx.db(), &one)? {
                    return Err(QueueError::IdTaken { id: one.id.0 });
                }
                insert(tx.db(), &one)?;
                raise_sequence(tx.db(), "hook", one.id.0)?;
            }
            state.wake_after(tx);
            Ok(())
        })
    }

    /// Whether a call is there: of this number, account, URL and time, made or not as this.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub fn has_hook(&self, hook: &Hook) -> Result<bool> {
        self.read(|db| is_kept(db, hook))
    }
}

fn is_kept(db: &Connection, hook: &Hook) -> Result<bool> {
    const SQL: &str = "SELECT EXISTS(SELECT 1 FROM hook WHERE id = ?1 AND account = ?2 \
        AND url = ?3 AND submitted = ?4 AND is_retired = ?5)";
    let (call, is_retired) = (&hook.call, hook.retired.is_some());
    let bound = params![hook.id.0, call.account, call.url, hook.submitted.0, is_retired];
    Ok(db.prepare_cached(SQL)?.query_row(bound, |row| row.get(0))?)
}

fn is_taken(db: &Connection, hook: &Hook) -> Result<bool> {
    const SQL: &str = "SELECT EXISTS(SELECT 1 FROM hook WHERE id = ?1)";
    Ok(db.prepare_cached(SQL)?.query_row([hook.id.0], |row| row.get(0))?)
}

fn insert(db: &Connection, hook: &Hook) -> Result<()> {
    const SQL: &str = "INSERT INTO hook VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, \
        ?13, ?14, ?15, ?16, 0, ?17, ?18, ?19, ?20, ?21, ?22)";
    let (call, end) = (&hook.call, hook.retired);
    // Of a call that was made nothing secret is kept.
    let authorization = if end.is_some() { "" } else { call.authorization.as_str() };
    db.prepare_cached(SQL)?.execute(params![
        hook.id.0,
        call.queued.map(|id| id.0),
        call.from_id,
        call.message_id,
        call.subject,
        row::to_json(&call.extra)?,
        call.account,
        call.url,
        authorization,
        hook.has_authorization,
        call.event.map(OutgoingEvent::as_str),
        call.payload,
        call.keep_secs,
        hook.submitted.0,
        hook.attempts,
        hook.next_attempt.0,
        row::to_json(&kept_results(&hook.results))?,
        end.is_some(),
        end.and_then(|end| end.superseded_by).map(|id| id.0),
        end.is_some_and(|end| end.is_success),
        end.map_or_else(|| last_activity(hook), |end| end.last_activity.0),
        end.map_or(0, |end| end.keep_until.0),
    ])?;
    Ok(())
}

fn last_activity(hook: &Hook) -> i64 {
    hook.results.last().map_or(hook.submitted.0, |last| last.start)
}

fn kept_results(results: &[HookAttempt]) -> Vec<HookAttempt> {
    let newest = results.len().saturating_sub(RESULTS_MAX);
    let bounded = |result: &HookAttempt| HookAttempt {
        error: truncated(&result.error, HOOK_ERROR_BYTES_MAX).to_owned(),
        response: truncated(&result.response, RESPONSE_BYTES_MAX).to_owned(),
        ..result.clone()
    };
    results.iter().skip(newest).map(bounded).collect()
}
