//! The table `traffic`: how much came from each network lately, by the second and by five minutes.
//!
//! A question about a day adds up the spans of five minutes, and the seconds before the first of them:
//! the answer is exact, and costs at most 588 rows, however much came.
//!
//! What is removed still counts: it came, and cost what it cost.

use mox_base::UnixSeconds;
use mox_policy::{Network, Traffic};
use rusqlite::{Connection, params};

use super::keys;
use crate::Result;

/// How long traffic is remembered, in seconds: an hour more than the longest window that is asked for.
pub(super) const TRAFFIC_KEEP_SECS: i64 = 25 * 3600;

/// The wide spans, in seconds: about the square root of a day, at which the fewest rows are added up.
const SPAN_SECS: i64 = 300;

/// Rows that are forgotten with each message. More than a message adds, so that none stay for ever.
const FORGET_ROWS: usize = 30;

/// Counts a message, and forgets some of what is too old.
pub(super) fn record(
    db: &Connection,
    networks: &[Network; 3],
    received: UnixSeconds,
    size_bytes: u64,
) -> Result<()> {
    let sql = "INSERT INTO traffic VALUES (?1, ?2, ?3, ?4, 1, ?5) \
         ON CONFLICT DO UPDATE SET messages = messages + 1, bytes = bytes + ?5";
    let mut count = db.prepare_cached(sql)?;
    let span = received.0.div_euclid(SPAN_SECS).saturating_mul(SPAN_SECS);
    for key in networks.map(keys::of_network) {
        for (width, start) in [(1, received.0), (SPAN_SECS, span)] {
            count.execute(params![key.kind as u8, key.text, width, start, size_bytes])?;
        }
    }
    let sql = "DELETE FROM traffic WHERE (kind, key, width, start) IN \
         (SELECT kind, key, width, start FROM traffic WHERE start < ?1 LIMIT ?2)";
    let before = received.plus_secs(-TRAFFIC_KEEP_SECS);
    db.prepare_cached(sql)?.execute(params![before.0, FORGET_ROWS])?;
    Ok(())
}

/// One descent into the table.
pub(super) const BETWEEN: &str = "SELECT coalesce(sum(messages), 0), coalesce(sum(bytes), 0) \
     FROM traffic WHERE kind = ?1 AND key = ?2 AND width = ?3 AND start >= ?4 AND start < ?5";

/// What came from a network since then.
pub(super) fn since(db: &Connection, network: Network, since: UnixSeconds) -> Result<Traffic> {
    let key = keys::of_network(network);
    let mut statement = db.prepare_cached(BETWEEN)?;
    // The first wide span that begins within the time.
    let ahead = (SPAN_SECS - since.0.rem_euclid(SPAN_SECS)) % SPAN_SECS;
    let span = since.0.saturating_add(ahead);
    let mut sum = Traffic::default();
    for (width, from, to) in [(1, since.0, span), (SPAN_SECS, span, i64::MAX)] {
        let with = params![key.kind as u8, key.text, width, from, to];
        let (messages, bytes): (u64, u64) =
            statement.query_row(with, |row| Ok((row.get(0)?, row.get(1)?)))?;
        sum.messages = sum.messages.saturating_add(messages);
        sum.bytes = sum.bytes.saturating_add(bytes);
    }
    Ok(sum)
}
