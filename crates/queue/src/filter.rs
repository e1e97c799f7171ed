//! Finding messages: filters, orders, pages, and changes of what is found.

use std::sync::Arc;

use mox_base::UnixSeconds;
use mox_sqlite::Tx;
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use crate::error::{Pending, Result};
use crate::message::{MessageId, Queued};
use crate::queue::{Queue, State};
use crate::{lane, lease, row, settle};

/// The most rows of a page.
pub const LIST_MAX: usize = 10_000;

/// The most numbers that a filter may name.
pub const FILTER_IDS_MAX: usize = 10_000;

/// A time that is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeFilter {
    /// Earlier than this.
    Before(UnixSeconds),
    /// Later than this.
    After(UnixSeconds),
}

/// Which messages: those for which all that is given holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// One of these, if there are any; at most [`FILTER_IDS_MAX`] are looked at.
    pub ids: Vec<MessageId>,
    /// Of this account.
    pub account: Option<String>,
    /// The sender has this in it: an address, a part of one, or `@` and a domain.
    pub from: Option<String>,
    /// The recipient has this in it.
    pub to: Option<String>,
    /// Held, or not.
    pub hold: Option<bool>,
    /// Added then.
    pub submitted: Option<TimeFilter>,
    /// The next attempt is then.
    pub next_attempt: Option<TimeFilter>,
    /// With this transport; empty: with none of its own.
    pub transport: Option<String>,
    /// At most as many, those whose next attempt is earliest; 0: all.
    pub max: usize,
}

/// What is ordered by; then by number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SortField {
    /// The time of the next attempt.
    #[default]
    NextAttempt,
    /// The time it was added.
    Queued,
}

/// The order, and where a page begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sort {
    /// By what.
    pub field: SortField,
    /// Smallest first.
    pub is_ascending: bool,
    /// The value and number of the last row of the page before.
    pub after: Option<(UnixSeconds, MessageId)>,
}

/// What is done to messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Held, or let go.
    Hold(bool),
    /// Another time for the next attempt.
    Schedule {
        /// From now, instead of from when it is scheduled.
        from_now: bool,
        /// May be negative.
        secs: i64,
    },
    /// Another transport, or by the routes.
    Transport(Option<String>),
    /// See [`Queued::require_tls`].
    RequireTls(Option<bool>),
    /// Removed, though an attempt is being made, without a trace.
    Drop,
}

impl Queue {
    /// A page of what the filter finds, at most [`LIST_MAX`] and [`Filter::max`].
    ///
    /// Without conditions the cost is that of the page; with them, up to that of reading the whole
    /// queue.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub fn list(&self, filter: &Filter, sort: &Sort) -> Result<Vec<Queued>> {
        let (sql, values) = page(filter, sort);
        self.read(|db| {
            let mut statement = db.prepare_cached(&sql)?;
            let rows = statement.query_map(params_from_iter(values), row::queued)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// How many the filter finds, whatever [`Filter::max`].
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub fn count(&self, filter: &Filter) -> Result<u64> {
        let conditions = filter.conditions();
        let sql = format!("SELECT count(*) FROM {FROM}{}", conditions.sql());
        self.read(|db| {
            let mut statement = db.prepare_cached(&sql)?;
            let bound = params_from_iter(conditions.values);
            Ok(statement.query_row(bound, |row| row.get::<_, i64>(0))?.cast_unsigned())
        })
    }

    /// One message.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub fn get(&self, id: MessageId) -> Result<Option<Queued>> {
        let filter = Filter { ids: vec![id], ..Filter::default() };
        Ok(self.list(&filter, &Sort::default())?.pop())
    }

    /// Changes all that the filter finds, in one commit. Returns how many.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub fn change(&self, filter: Filter, change: Change, now: UnixSeconds) -> Pending<u64> {
        self.write_at(now, 0, move |tx, state| {
            let ids = filter.ids(tx.db(), filter.max, "")?;
            let changed = ids.len() as u64;
            for id in ids {
                apply(tx, state, id, &change, now)?;
            }
            lane::rebuild(tx.db())?;
            state.wake_after(tx);
            Ok(changed)
        })
    }
}

/// The statement for a page, with the values bound in it.
fn page(filter: &Filter, sort: &Sort) -> (String, Vec<Value>) {
    let mut conditions = filter.conditions();
    let column = match sort.field {
        SortField::NextAttempt => "q.next_attempt",
        SortField::Queued => "q.queued",
    };
    conditions.page(column, sort.is_ascending, sort.after);
    let direction = if sort.is_ascending { "ASC" } else { "DESC" };
    let limit = limit(filter.max, LIST_MAX);
    let sql = format!(
        "{}{} ORDER BY {column} {direction}, q.id {direction} LIMIT {limit}",
        row::SELECT_QUEUED,
        conditions.sql()
    );
    (sql, conditions.values)
}

fn apply(
    tx: &mut Tx<'_>,
    state: &Arc<State>,
    id: i64,
    change: &Change,
    now: UnixSeconds,
) -> Result<()> {
    let set = |sql: &str, value: Value| -> Result<()> {
        let sql = format!("UPDATE queued SET {sql} WHERE id = ?1");
        tx.db().prepare_cached(&sql)?.execute(rusqlite::params![id, value])?;
        Ok(())
    };
    match change {
        Change::Hold(is_held) => set("is_held = ?2", (*is_held).into()),
        Change::Schedule { from_now: true, secs } => {
            set("next_attempt = ?2", now.plus_secs(*secs).0.into())
        }
        Change::Schedule { from_now: false, secs } => {
            set("next_attempt = next_attempt + ?2", (*secs).into())
        }
        Change::Transport(transport) => set("transport = ?2", transport.clone().into()),
        Change::RequireTls(require_tls) => {
            set("require_tls = ?2", require_tls.map_or(Value::Null, Value::from))
        }
        Change::Drop => {
            let sql = format!("{}WHERE q.id = ?1", row::SELECT_QUEUED);
            let message = tx.db().prepare_cached(&sql)?.query_row([id], row::queued)?;
            lease::forget(tx, state, message.id);
            settle::remove(tx, state, &message, false)
        }
    }
}

const FROM: &str = "queued AS q JOIN message AS m ON m.id = q.message ";

impl Filter {
    /// The numbers of what is found and not leased.
    pub(crate) fn unleased(&self, db: &Connection, max: usize) -> Result<Vec<i64>> {
        self.ids(db, limit(self.max, max), "q.leased IS NULL")
    }

    fn ids(&self, db: &Connection, max: usize, condition: &'static str) -> Result<Vec<i64>> {
        let mut conditions = self.conditions();
        if !condition.is_empty() {
            conditions.add(condition, []);
        }
        let limit = if max == 0 { String::new() } else { format!(" LIMIT {max}") };
        let sql = format!(
            "SELECT q.id FROM {FROM}{} ORDER BY q.next_attempt, q.id{limit}",
            conditions.sql()
        );
        let mut statement = db.prepare(&sql)?;
        let ids = statement.query_map(params_from_iter(conditions.values), |row| row.get(0))?;
        Ok(ids.collect::<rusqlite::Result<_>>()?)
    }

    fn conditions(&self) -> Conditions {
        let mut conditions = Conditions::default();
        conditions.ids(&self.ids);
        conditions.text("m.account = ?", self.account.as_deref());
        conditions.text("instr(lower(q.mail_from), lower(?)) > 0", self.from.as_deref());
        conditions.text("instr(lower(q.rcpt_to), lower(?)) > 0", self.to.as_deref());
        conditions.time("q.queued", self.submitted);
        conditions.time("q.next_attempt", self.next_attempt);
        match self.transport.as_deref() {
            Some("") => conditions.add("q.transport IS NULL", []),
            transport => conditions.text("q.transport = ?", transport),
        }
        if let Some(hold) = self.hold {
            conditions.add("q.is_held = ?", [hold.into()]);
        }
        conditions
    }
}

/// The smaller of the two, where 0 is no limit of the caller.
pub(crate) fn limit(wanted: usize, max: usize) -> usize {
    if wanted == 0 { max } else { wanted.min(max) }
}

/// Parts of a condition with the values bound in them, in order.
#[derive(Default)]
pub(crate) struct Conditions {
    parts: Vec<String>,
    pub(crate) values: Vec<Value>,
}

impl Conditions {
    /// `sql` is ours; each `?` in it has one of the values.
    pub(crate) fn add(&mut self, sql: &str, values: impl IntoIterator<Item = Value>) {
        self.parts.push(sql.to_owned());
        self.values.extend(values);
    }

    pub(crate) fn text(&mut self, sql: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.add(sql, [value.to_owned().into()]);
        }
    }

    pub(crate) fn time(&mut self, column: &str, filter: Option<TimeFilter>) {
        let (sign, time) = match filter {
            Some(TimeFilter::Before(time)) => ('<', time),
            Some(TimeFilter::After(time)) => ('>', time),
            None => return,
        };
        self.add(&format!("{column} {sign} ?"), [time.0.into()]);
    }

    pub(crate) fn ids(&mut self, ids: &[MessageId]) {
        if ids.is_empty() {
            return;
        }
        // Numbers only, so they can stand in the statement.
        let ids: Vec<_> = ids.iter().take(FILTER_IDS_MAX).map(ToString::to_string).collect();
        self.add(&format!("q.id IN ({})", ids.join(",")), []);
    }

    /// What comes after the last row of the page before.
    pub(crate) fn page(
        &mut self,
        column: &str,
        is_ascending: bool,
        after: Option<(UnixSeconds, MessageId)>,
    ) {
        if let Some((time, id)) = after {
            let sign = if is_ascending { '>' } else { '<' };
            self.add(&format!("({column}, q.id) {sign} (?, ?)"), [time.0.into(), id.0.into()]);
        }
    }

    pub(crate) fn sql(&self) -> String {
        if self.parts.is_empty() {
            return String::new();
        }
        format!("WHERE {}", self.parts.join(" AND "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema;

    /// A page costs what is on it: it is read from an index, in its order, without sorting.
    #[track_caller]
    fn check(field: SortField, is_ascending: bool, has_before: bool, index: &str) {
        let dir = tempfile::tempdir().unwrap();
        let db = schema::open(&dir.path().join("queue.db")).unwrap();
        let after = has_before.then_some((UnixSeconds(7), MessageId(7)));
        let (sql, values) = page(&Filter::default(), &Sort { field, is_ascending, after });
        let mut statement = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let rows =
            statement.query_map(params_from_iter(values), |row| row.get::<_, String>(3)).unwrap();
        let plan = rows.collect::<rusqlite::Result<Vec<_>>>().unwrap().join("; ");
        assert!(plan.contains(&format!(" q USING INDEX {index}")), "{plan}");
        assert!(!plan.contains("TEMP B-TREE"), "{plan}");
    }

    #[test]
    fn pages_are_read_from_an_index() {
        for (field, index) in
            [(SortField::NextAttempt, "queued_next"), (SortField::Queued, "queued_time")]
        {
            for is_ascending in [true, false] {
                check(field, is_ascending, false, index);
                check(field, is_ascending, true, index);
            }
        }
    }
}
