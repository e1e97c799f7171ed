//! How much accounts send, for limits on it: whoever has got hold of a password must not send junk from
//! here by the thousands.
//!
//! Counted in the transaction that adds a message, so that what is refused is not counted, what is
//! counted is queued, and two messages at the same time do not both get the last place.

use std::collections::HashSet;

use mox_base::UnixSeconds;
use rusqlite::{Connection, params};

use crate::error::{QueueError, Result};
use crate::message::NewRecipient;

/// The time over which messages are counted, in seconds.
pub const SENDING_WINDOW_SECS: i64 = 24 * 60 * 60;

/// Messages are counted by the minute: a question adds up 1,440 rows at most. The first minute counts as
/// a whole, so that up to a minute more than the window is looked at.
pub(crate) const MINUTE_SECS: i64 = 60;

/// How much an account may send within [`SENDING_WINDOW_SECS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendingLimits {
    /// Messages, each recipient being one.
    pub messages_per_day: u32,
    /// Addresses to which it has not sent before.
    pub first_time_rcpts_per_day: u32,
}

pub(crate) const TABLES: &str = "
CREATE TABLE outgoing_count(
    account TEXT NOT NULL,
    minute INTEGER NOT NULL,
    messages INTEGER NOT NULL,
    PRIMARY KEY(account, minute)
) WITHOUT ROWID;
CREATE TABLE outgoing_rcpt(
    account TEXT NOT NULL,
    address TEXT NOT NULL,
    first INTEGER NOT NULL,
    PRIMARY KEY(account, address)
) WITHOUT ROWID;
CREATE INDEX outgoing_rcpt_first ON outgoing_rcpt(account, first);
";

const COUNT: &str = "SELECT coalesce(sum(messages), 0) FROM outgoing_count \
    WHERE account = ?1 AND minute BETWEEN ?2 AND ?3";

const FIRST_TIME: &str = "SELECT count(*) FROM outgoing_rcpt \
    WHERE account = ?1 AND first BETWEEN ?2 AND ?3";

/// Counts the recipients of a message.
///
/// # Errors
///
/// [`QueueError::MessagesPerDay`] or [`QueueError::FirstTimeRcptsPerDay`] if they are too many.
pub(crate) fn record(
    db: &Connection,
    account: &str,
    limits: SendingLimits,
    recipients: &[NewRecipient],
    now: UnixSeconds,
) -> Result<()> {
    let new = u64::try_from(recipients.len()).unwrap_or(u64::MAX);
    // A clock that went back has left rows ahead of now: of a day, they count, and others do not.
    let (since, until) = (now.plus_secs(-SENDING_WINDOW_SECS), now.plus_secs(SENDING_WINDOW_SECS));
    let minute = |time: UnixSeconds| time.0.div_euclid(MINUTE_SECS);
    let window = params![account, minute(since), minute(until)];
    let sent: u64 = db.prepare_cached(COUNT)?.query_row(window, |row| row.get(0))?;
    let sent = sent.saturating_add(new);
    if sent > u64::from(limits.messages_per_day) {
        return Err(QueueError::MessagesPerDay);
    }
    let unknown = unknown(db, account, recipients)?;
    let first_time_max = u64::from(limits.first_time_rcpts_per_day);
    if sent >= first_time_max {
        let window = params![account, since.0, until.0];
        let known: u64 = db.prepare_cached(FIRST_TIME)?.query_row(window, |row| row.get(0))?;
        let unknown = u64::try_from(unknown.len()).unwrap_or(u64::MAX);
        if unknown > 0 && known.saturating_add(unknown) > first_time_max {
            return Err(QueueError::FirstTimeRcptsPerDay);
        }
    }
    let mut insert = db.prepare_cached("INSERT INTO outgoing_rcpt VALUES(?1, ?2, ?3)")?;
    for address in unknown {
        insert.execute(params![account, address, now.0])?;
    }
    db.prepare_cached(
        "INSERT INTO outgoing_count VALUES(?1, ?2, ?3) \
         ON CONFLICT DO UPDATE SET messages = messages + ?3",
    )?
    .execute(params![account, minute(now), new])?;
    let forget = "DELETE FROM outgoing_count WHERE account = ?1 AND minute NOT BETWEEN ?2 AND ?3";
    db.prepare_cached(forget)?.execute(params![account, minute(since), minute(until)])?;
    Ok(())
}

/// The addresses to which nothing was sent yet, each once.
fn unknown(db: &Connection, account: &str, recipients: &[NewRecipient]) -> Result<HashSet<String>> {
    let sql = "SELECT EXISTS(SELECT 1 FROM outgoing_rcpt WHERE account = ?1 AND address = ?2)";
    let mut is_known = db.prepare_cached(sql)?;
    let mut unknown = HashSet::new();
    for rcpt in recipients {
        let address = counted_address(&rcpt.rcpt_to.to_string());
        if !is_known.query_row(params![account, address], |row| row.get(0))? {
            unknown.insert(address);
        }
    }
    Ok(unknown)
}

/// An address as it is looked for: people write them in upper and lower case.
pub(crate) fn counted_address(address: &str) -> String {
    address.to_lowercase()
}

#[cfg(test)]
mod tests {
    use mox_base::Address;
    use mox_smtp::{Mailbox, ReversePath};

    use super::*;

    const NOW: UnixSeconds = UnixSeconds(1_795_164_932);

    const LIMITS: SendingLimits =
        SendingLimits { messages_per_day: 4, first_time_rcpts_per_day: 2 };

    fn db() -> Connection {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(TABLES).unwrap();
        db
    }

    #[track_caller]
    fn check(db: &Connection, to: &[&str], hours: i64, want: &str) {
        let rcpt = |to: &&str| {
            let rcpt_to = Mailbox::from(Address::parse(to).unwrap());
            NewRecipient::new(ReversePath::Null, rcpt_to)
        };
        let rcpts: Vec<_> = to.iter().map(rcpt).collect();
        let now = NOW.plus_secs(hours * 3_600);
        let got = match record(db, "mjl", LIMITS, &rcpts, now) {
            Ok(()) => "ok",
            Err(QueueError::MessagesPerDay) => "messages",
            Err(QueueError::FirstTimeRcptsPerDay) => "first time",
            Err(_) => "error",
        };
        assert_eq!(got, want, "{to:?} after {hours} hours");
    }

    #[test]
    fn so_many_messages_a_day_and_so_many_new_recipients() {
        let db = db();
        check(&db, &["a@x.example"], 0, "ok");
        check(&db, &["b@x.example"], 0, "ok");
        check(&db, &["c@x.example"], 0, "first time");
        check(&db, &["A@X.example", "c@x.example"], 0, "first time");
        check(&db, &["A@X.example"], 0, "ok");
        check(&db, &["b@x.example"], 1, "ok");
        check(&db, &["b@x.example"], 1, "messages");
        check(&db, &["b@x.example"], 23, "messages");
        // What is older does not count as traffic, and makes a recipient known.
        check(&db, &["b@x.example", "a@x.example", "c@x.example"], 25, "ok");
        check(&db, &["d@x.example"], 25, "messages");
        check(&db, &["d@x.example", "e@x.example"], 50, "ok");
        check(&db, &["f@x.example"], 51, "first time");
    }

    #[test]
    fn recipients_of_one_message_count_too() {
        let db = db();
        check(&db, &["a@x.example"; 5], 0, "messages");
        check(&db, &["a@x.example", "b@x.example", "c@x.example"], 0, "first time");
        // Of one that is refused nothing is kept.
        check(&db, &["c@x.example"; 4], 0, "ok");
        check(&db, &["a@x.example"], 0, "messages");
    }

    #[test]
    fn a_clock_that_goes_back_does_not_shut_anybody_out_for_long() {
        let db = db();
        check(&db, &["a@x.example"; 4], 24 * 365, "ok");
        check(&db, &["a@x.example"; 4], 0, "ok");
        check(&db, &["a@x.example"], 0, "messages");
        check(&db, &["a@x.example"], -1, "messages");
        let rows: u32 =
            db.query_row("SELECT count(*) FROM outgoing_count", [], |row| row.get(0)).unwrap();
        assert_eq!(rows, 1, "what is far ahead is forgotten");
    }

    #[test]
    fn questions_use_their_indexes() {
        let db = db();
        for (sql, want) in [
            (
                COUNT,
                "SEARCH outgoing_count USING PRIMARY KEY (account=? AND minute>? AND minute<?)",
            ),
            (
                FIRST_TIME,
                "SEARCH outgoing_rcpt USING COVERING INDEX outgoing_rcpt_first \
                 (account=? AND first>? AND first<?)",
            ),
        ] {
            let mut statement = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let plan: String =
                statement.query_row(params!["a", 1, 2], |row| row.get("detail")).unwrap();
            assert_eq!(plan, want);
        }
    }
}
