//! What both kinds of reports have in common: limits, and how they are listed.

use mox_base::{Domain, UnixSeconds};
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::error::{ReportDbError, Result};

// Deviation: the original keeps any number; anybody with a domain can send some.

/// Reports that the domain of one sender may add within [`SENDER_SECS`]. A large reporter sends one a
/// day for each of our domains.
pub const REPORTS_PER_SENDER_MAX: u32 = 1_000;

/// The time in which reports of a sender are counted, in seconds.
pub const SENDER_SECS: i64 = 24 * 3600;

/// Bytes of reports of one kind, as they are stored. Typical ones take under a kilobyte.
pub const REPORTS_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// Rows that a list has at most.
pub const LIST_MAX: u32 = 1_000;

/// A row of a report. Never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReportId(pub i64);

/// Whether a report was added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// It was.
    New(ReportId),
    /// It is there already: reports may be sent again. RFC 9990 §3.5.
    Known,
}

/// Which reports are listed: those whose time ends within a span, earliest first.
#[derive(Clone, Debug)]
pub struct ReportQuery<'a> {
    /// About which domain; `None` for all.
    pub domain: Option<&'a Domain>,
    /// Their time ends at this second or later.
    pub start: UnixSeconds,
    /// Their time ends before this second.
    pub end: UnixSeconds,
    /// The last of the list before, to go on after it.
    pub after: Option<(UnixSeconds, ReportId)>,
    /// How many at most; [`LIST_MAX`] is never exceeded.
    pub limit: u32,
}

impl<'a> ReportQuery<'a> {
    /// The earliest of a domain.
    #[must_use]
    pub fn of(domain: &'a Domain) -> Self {
        Self { domain: Some(domain), ..ReportQuery::all() }
    }

    /// The earliest of all.
    #[must_use]
    pub fn all() -> Self {
        let (start, end) = (UnixSeconds(i64::MIN), UnixSeconds(i64::MAX));
        Self { domain: None, start, end, after: None, limit: LIST_MAX }
    }

    /// Reads rows of `table`, which is ours, by its index on domain and end, or on end.
    pub(crate) fn rows<T>(
        &self,
        db: &Connection,
        (table, columns): (&str, &str),
        row: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>> {
        // Without a cursor it stands before the first row that may be listed.
        let (end, id) = match self.after {
            Some((end, ReportId(id))) if end >= self.start => (end.0, id),
            _ => (self.start.0, i64::MIN),
        };
        let domain = if self.domain.is_some() { "domain = ?1 AND" } else { "?1 IS NULL AND" };
        let sql = format!(
            "SELECT {columns} FROM {table} WHERE {domain} (ends, id) > (?2, ?3) AND ends < ?4 \
             ORDER BY ends, id LIMIT ?5"
        );
        let limit = self.limit.min(LIST_MAX);
        let domain = self.domain.map(Domain::ascii);
        let mut statement = db.prepare_cached(&sql)?;
        let rows = statement.query_map(params![domain, end, id, self.end.0, limit], row)?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}

/// Checks the limits on reports of one kind before one of `from_domain` is added.
pub(crate) fn check_room(
    db: &Connection,
    table: &'static str,
    from_domain: &Domain,
    received: UnixSeconds,
) -> Result<()> {
    let (_, bytes) = usage(db, table)?;
    if bytes >= REPORTS_BYTES_MAX {
        return Err(ReportDbError::Full { what: "reports" });
    }
    // Stops counting at the limit.
    let sql = format!(
        "SELECT count(*) FROM \
         (SELECT 1 FROM {table} WHERE from_domain = ?1 AND received > ?2 LIMIT ?3)"
    );
    let since = received.plus_secs(-SENDER_SECS);
    let bound = params![from_domain.ascii(), since.0, REPORTS_PER_SENDER_MAX];
    let count: u32 = db.prepare_cached(&sql)?.query_row(bound, |row| row.get(0))?;
    if count >= REPORTS_PER_SENDER_MAX {
        return Err(ReportDbError::TooManyFromSender);
    }
    Ok(())
}

/// Rows and bytes of a table.
pub(crate) fn usage(db: &Connection, kind: &str) -> Result<(u64, u64)> {
    let sql = "SELECT count, bytes FROM usage WHERE kind = ?1";
    let found = db
        .prepare_cached(sql)?
        .query_row([kind], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    found.ok_or(ReportDbError::Damaged { what: "usage" })
}

/// The id of the row that a statement inserted, if it did.
pub(crate) fn added(db: &Connection, inserted: usize) -> Added {
    if inserted == 0 { Added::Known } else { Added::New(ReportId(db.last_insert_rowid())) }
}

/// A domain as it is stored.
pub(crate) fn domain(text: &str) -> rusqlite::Result<Domain> {
    Domain::parse(text).map_err(|error| {
        let error = Box::new(error);
        rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, error)
    })
}
