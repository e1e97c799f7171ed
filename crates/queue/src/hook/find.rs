//! Finding calls, and changing those that wait.

use mox_base::UnixSeconds;
use rusqlite::params_from_iter;

use super::{COLUMNS, Hook, HookId, OutgoingEvent, hook, run};
use crate::error::{Pending, Result};
use crate::filter::{Conditions, LIST_MAX, TimeFilter, limit};
use crate::message::MessageId;
use crate::queue::Queue;

/// What a call is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookEvent {
    /// A message that came in.
    Incoming,
    /// A message that was sent.
    Outgoing(OutgoingEvent),
}

/// Which calls: those for which all that is given holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HookFilter {
    /// One of these, if there are any; at most [`crate::FILTER_IDS_MAX`] are looked at.
    pub ids: Vec<HookId>,
    /// Of this account.
    pub account: Option<String>,
    /// Added then.
    pub submitted: Option<TimeFilter>,
    /// The next attempt is then; of calls that wait.
    pub next_attempt: Option<TimeFilter>,
    /// The last thing happened then.
    pub last_activity: Option<TimeFilter>,
    /// About this.
    pub event: Option<HookEvent>,
    /// At most as many; 0: all.
    pub max: usize,
}

/// What is ordered by; then by number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HookSortField {
    /// The time of the next attempt.
    #[default]
    NextAttempt,
    /// The time it was added.
    Submitted,
    /// The time of the last attempt, or of its end.
    LastActivity,
}

/// The order, and where a page begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HookSort {
    /// By what.
    pub field: HookSortField,
    /// Smallest first.
    pub is_ascending: bool,
    /// The value and number of the last row of the page before.
    pub after: Option<(UnixSeconds, HookId)>,
}

/// What is done to calls that wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookChange {
    /// Another time for the next attempt.
    Schedule {
        /// From now, instead of from when it is scheduled.
        from_now: bool,
        /// May be negative.
        secs: i64,
    },
    /// They are not made any more.
    Cancel,
}

impl Queue {
    /// A page of the calls that wait.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub fn hooks(&self, filter: &HookFilter, sort: &HookSort) -> Result<Vec<Hook>> {
        self.hooks_with(false, filter, sort)
    }

    /// A page of the calls that are over.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub fn hooks_retired(&self, filter: &HookFilter, sort: &HookSort) -> Result<Vec<Hook>> {
        self.hooks_with(true, filter, sort)
    }

    fn hooks_with(
        &self,
        is_retired: bool,
        filter: &HookFilter,
        sort: &HookSort,
    ) -> Result<Vec<Hook>> {
        let mut conditions = filter.conditions(is_retired);
        let column = match sort.field {
            HookSortField::NextAttempt => "q.next_attempt",
            HookSortField::Submitted => "q.submitted",
            HookSortField::LastActivity => "q.last_activity",
        };
        let after = sort.after.map(|(time, id)| (time, MessageId(id.0)));
        conditions.page(column, sort.is_ascending, after);
        let direction = if sort.is_ascending { "ASC" } else { "DESC" };
        let sql = format!(
            "SELECT {COLUMNS} FROM hook AS q {} ORDER BY {column} {direction}, q.id {direction} \
             LIMIT {}",
            conditions.sql(),
            limit(filter.max, LIST_MAX)
        );
        self.read(|db| {
            let mut statement = db.prepare_cached(&sql)?;
            let rows = statement.query_map(params_from_iter(conditions.values), hook)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// Changes all calls that wait and that the filter finds. Returns how many.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub fn change_hooks(
        &self,
        filter: HookFilter,
        change: HookChange,
        now: UnixSeconds,
    ) -> Pending<u64> {
        self.write_at(now, 0, move |tx, state| {
            let conditions = filter.conditions(false);
            let sql = format!(
                "SELECT q.id FROM hook AS q {} ORDER BY q.next_attempt, q.id LIMIT {}",
                conditions.sql(),
                if filter.max == 0 {
                    i64::MAX
                } else {
                    i64::try_from(filter.max).unwrap_or(i64::MAX)
                }
            );
            let ids: Vec<i64> = tx
                .db()
                .prepare(&sql)?
                .query_map(params_from_iter(conditions.values), |row| row.get(0))?
                .collect::<rusqlite::Result<_>>()?;
            for id in &ids {
                match change {
                    HookChange::Cancel => run::retire(tx.db(), *id, None, false, now)?,
                    HookChange::Schedule { from_now, secs } => {
                        let from =
                            if from_now { now.0.to_string() } else { "next_attempt".to_owned() };
                        let sql =
                            format!("UPDATE hook SET next_attempt = {from} + ?2 WHERE id = ?1");
                        tx.db().prepare_cached(&sql)?.execute([*id, secs])?;
                    }
                }
            }
            state.wake_after(tx);
            Ok(ids.len() as u64)
        })
    }
}

impl HookFilter {
    fn conditions(&self, is_retired: bool) -> Conditions {
        let mut conditions = Conditions::default();
        conditions.add(if is_retired { "q.is_retired = 1" } else { "q.is_retired = 0" }, []);
        let ids: Vec<MessageId> = self.ids.iter().map(|id| MessageId(id.0)).collect();
        conditions.ids(&ids);
        conditions.text("q.account = ?", self.account.as_deref());
        conditions.time("q.submitted", self.submitted);
        conditions.time("q.next_attempt", self.next_attempt);
        conditions.time("q.last_activity", self.last_activity);
        match self.event {
            None => {}
            Some(HookEvent::Incoming) => conditions.add("q.event IS NULL", []),
            Some(HookEvent::Outgoing(event)) => {
                conditions.text("q.event = ?", Some(event.as_str()));
            }
        }
        conditions
    }
}
