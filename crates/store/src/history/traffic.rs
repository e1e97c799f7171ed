//! The table `traffic`: how much came from each network lately, by the second.
//!
//! What is removed still counts: it came, and cost what it cost.

use mox_base::UnixSeconds;
use mox_policy::{Network, Traffic};
use rusqlite::{Connection, params};

use super::keys;
use crate::Result;

/// How long traffic is remembered, in seconds: an hour more than the longest window that is asked for.
pub(super) const TRAFFIC_KEEP_SECS: i64 = 25 * 3600;

/// Rows that are forgotten with each message. More than a message adds, so that none stay for ever.
const FORGET_ROWS: usize = 30;

/// Counts a message, and forgets some of what is too old.
pub(super) fn record(
    db: &Connection,
    networks: &[Network; 3],
    received: UnixSeconds,
    size_bytes: u64,
) -> Result<()> {
    let sql = "INSERT INTO traffic VALUES (?1, ?2, ?3, 1, ?4) \
         ON CONFLICT DO UPDATE SET messages = messages + 1, bytes = bytes + ?4";
    let mut count = db.prepare_cached(sql)?;
    for key in networks.map(keys::of_network) {
        count.execute(params![key.kind as u8, key.text, received.0, size_bytes])?;
    }
    let sql = "DELETE FROM traffic WHERE (kind, key, second) IN \
         (SELECT kind, key, second FROM traffic WHERE second < ?1 LIMIT ?2)";
    let before = received.plus_secs(-TRAFFIC_KEEP_SECS);
    db.prepare_cached(sql)?.execute(params![before.0, FORGET_ROWS])?;
    Ok(())
}

pub(super) const SINCE: &str = "SELECT coalesce(sum(messages), 0), coalesce(sum(bytes), 0) \
     FROM traffic WHERE kind = ?1 AND key = ?2 AND second >= ?3";

/// What came from a network since then.
pub(super) fn since(db: &Connection, network: Network, since: UnixSeconds) -> Result<Traffic> {
    let key = keys::of_network(network);
    let read = |row: &rusqlite::Row<'_>| Ok(Traffic { messages: row.get(0)?, bytes: row.get(1)? });
    Ok(db.prepare_cached(SINCE)?.query_row(params![key.kind as u8, key.text, since.0], read)?)
}
