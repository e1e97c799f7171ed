//! Reading many hot rows of a mailbox: what SEARCH, SORT and THREAD go by.

use mox_base::MailboxId;
use rusqlite::types::Value;
use rusqlite::{Row, params_from_iter};

use crate::Result;
use crate::read::Reader;

/// UIDs this near to each other are read by one scan rather than one by one.
const GAP_MAX: u32 = 64;

/// Which rows to read, and what of them.
pub(crate) struct Scan<'a> {
    pub(crate) mailbox: MailboxId,
    /// Joined to the row, which is `m`; may be empty.
    pub(crate) join: &'a str,
    /// Of `msg` and `tomb` alike; the UID comes first.
    pub(crate) columns: &'a str,
    /// More conditions; empty, or from ` AND ` on. Its parameters begin at `?4`.
    pub(crate) condition: &'a str,
    pub(crate) params: &'a [Value],
    pub(crate) is_descending: bool,
}

impl Reader {
    /// Visits the rows of messages among `uids`, which ascend: first of those that are there, then
    /// of those that were removed and are not erased. Within both in the order of the UIDs.
    /// Returning false passes over the rest of the rows of its kind.
    ///
    /// Costs one scan per run of near UIDs.
    pub(crate) fn scan(
        &self,
        uids: &[u32],
        scan: &Scan<'_>,
        visit: &mut dyn FnMut(&Row<'_>) -> Result<bool>,
    ) -> Result<()> {
        let near = |a: &u32, b: &u32| b.wrapping_sub(*a) <= GAP_MAX;
        let mut runs: Vec<&[u32]> = uids.chunk_by(near).collect();
        if scan.is_descending {
            runs.reverse();
        }
        for table in ["msg", "tomb"] {
            let order = if scan.is_descending { "DESC" } else { "ASC" };
            let sql = format!(
                "SELECT {} FROM {table} m {} WHERE m.mailbox = ?1 AND m.uid BETWEEN ?2 AND ?3{} \
                 ORDER BY m.uid {order}",
                scan.columns, scan.join, scan.condition
            );
            let mut statement = self.db()?.prepare_cached(&sql)?;
            for run in &runs {
                let (Some(first), Some(last)) = (run.first(), run.last()) else { continue };
                let is_dense = (last - first) as usize + 1 == run.len();
                let fixed = [scan.mailbox.0, i64::from(*first), i64::from(*last)];
                let params =
                    fixed.map(Value::Integer).into_iter().chain(scan.params.iter().cloned());
                let mut rows = statement.query(params_from_iter(params))?;
                let mut go_on = true;
                while let Some(row) = if go_on { rows.next()? } else { None } {
                    if is_dense || run.binary_search(&row.get(0)?).is_ok() {
                        go_on = visit(row)?;
                    }
                }
                if !go_on {
                    break;
                }
            }
        }
        Ok(())
    }
}
