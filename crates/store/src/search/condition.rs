//! What of a query SQLite decides by itself, row by row.

use mox_base::{Flags, NumSet};
use rusqlite::types::Value;

use super::Query;

/// The most conditions given to SQLite; what is beyond is tested here.
const CONDITIONS_MAX: usize = 32;

/// Seconds of a day.
const DAY_SECS: i64 = 86_400;

/// Seconds on the clock that showed INTERNALDATE.
const LOCAL: &str = "(received + zone * 60)";

/// The day of that clock.
const LOCAL_DAY: &str = "((received + zone * 60) / 86400 - ((received + zone * 60) % 86400 < 0))";

/// A condition on a row of `msg` or `tomb`: never NULL, its values apart from its text.
#[derive(Debug, Default)]
pub(super) struct Condition {
    /// Begins with ` AND `, if there is one.
    pub(super) sql: String,
    /// For the parameters from `?4` on.
    pub(super) params: Vec<Value>,
}

impl Condition {
    /// Splits a query into what SQLite decides and the rest; a message matches if both do.
    pub(super) fn of(query: Query) -> (Self, Option<Query>) {
        let queries = match query {
            Query::And(queries) => queries,
            query => vec![query],
        };
        let mut condition = Self::default();
        let mut rest = Vec::new();
        for query in queries {
            if leaves(&query)
                .is_some_and(|leaves| condition.params.len() + leaves <= CONDITIONS_MAX)
            {
                condition.sql.push_str(" AND ");
                condition.add(&query);
            } else {
                rest.push(query);
            }
        }
        let rest = if rest.len() > 1 { Some(Query::And(rest)) } else { rest.pop() };
        (condition, rest)
    }

    /// Only for queries of which [`leaves`] can tell the number.
    fn add(&mut self, query: &Query) {
        match query {
            Query::And(queries) => {
                self.sql.push('(');
                for query in queries {
                    self.add(query);
                    self.sql.push_str(" AND ");
                }
                self.sql.push_str("1)");
            }
            Query::Or(one, two) => {
                self.sql.push('(');
                self.add(one);
                self.sql.push_str(" OR ");
                self.add(two);
                self.sql.push(')');
            }
            Query::Not(query) => {
                self.sql.push_str("NOT ");
                self.add(query);
            }
            Query::Fuzzy(query) => self.add(query),
            Query::Flags(Flags::NONE) | Query::All => self.sql.push('1'),
            Query::Flags(flags) => {
                self.params.push(Value::Integer(i64::from(flags.bits())));
                let n = self.params.len() + 3;
                self.sql.push_str(&format!("(flags & ?{n} = ?{n})"));
            }
            Query::Keyword(keyword) => {
                self.params.push(Value::Text(format!(" {} ", keyword.as_str())));
                let n = self.params.len() + 3;
                self.sql.push_str(&format!("(instr(' ' || keywords || ' ', ?{n}) > 0 IS TRUE)"));
            }
            query => {
                if let Some((column, operator, value)) = comparison(query) {
                    self.params.push(Value::Integer(value));
                    let n = self.params.len() + 3;
                    self.sql.push_str(&format!("(({column} {operator} ?{n}) IS TRUE)"));
                }
            }
        }
    }
}

/// How many values SQLite needs to decide the query; `None` if it cannot.
fn leaves(query: &Query) -> Option<usize> {
    match query {
        Query::All => Some(0),
        Query::And(queries) => queries.iter().map(leaves).sum(),
        Query::Or(one, two) => Some(leaves(one)? + leaves(two)?),
        Query::Not(query) | Query::Fuzzy(query) => leaves(query),
        Query::Flags(_) | Query::Keyword(_) => Some(1),
        query => comparison(query).map(|_| 1),
    }
}

/// A condition that compares a column with a number.
fn comparison(query: &Query) -> Option<(&'static str, &'static str, i64)> {
    // No size is larger than what the database can hold.
    let size = |size: u64| i64::try_from(size).unwrap_or(i64::MAX);
    let start = |day: i64| day.saturating_mul(DAY_SECS);
    Some(match query {
        Query::Larger(bytes) => ("size", ">", size(*bytes)),
        Query::Smaller(bytes) => ("size", "<", size(*bytes)),
        // By the day that INTERNALDATE shows, whatever its zone. RFC 9051 §6.4.4.
        Query::ReceivedBefore(day) => (LOCAL, "<", start(*day)),
        Query::ReceivedOn(day) => (LOCAL_DAY, "=", *day),
        Query::ReceivedSince(day) => (LOCAL, ">=", start(*day)),
        Query::Older(time) => ("received", "<=", time.0),
        Query::Younger(time) => ("received", ">=", time.0),
        Query::SavedBefore(day) => ("saved", "<", start(*day)),
        Query::SavedOn(day) => ("saved / 86400 - (saved % 86400 < 0)", "=", *day),
        Query::SavedSince(day) => ("saved", ">=", start(*day)),
        Query::SentBefore(day) => ("sent_day", "<", *day),
        Query::SentOn(day) => ("sent_day", "=", *day),
        Query::SentSince(day) => ("sent_day", ">=", *day),
        Query::ModSeq(modseq) => ("modseq", ">=", i64::try_from(modseq.get()).unwrap_or(i64::MAX)),
        Query::EmailId(id) => ("body", "=", id.0),
        Query::ThreadId(id) => ("thread", "=", id.0),
        Query::Uids(uids) => return only_number(uids).map(|uid| ("uid", "=", i64::from(uid))),
        _ => return None,
    })
}

/// The number, if the set has just one.
fn only_number(set: &NumSet) -> Option<u32> {
    match set.ranges() {
        [(first, last)] if first == last => Some(*first),
        _ => None,
    }
}
