//! Reports of others and what ours will tell: `dmarcrpt.db`, `dmarceval.db`, `tlsrpt.db`,
//! `tlsrptresult.db`; and policies of MTA-STS that were fetched, `mtasts.db`.

mod dmarc;
mod limits;
mod policies;
mod reading;
mod suppressions;
mod tls;

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::Path;

use mox_base::UnixSeconds;
use mox_bstore::Record;
use mox_reportdb::{
    EVALUATIONS_MAX, Keeping, KeptRow, Numbered, REPORTS_BYTES_MAX, ReportDb,
    TLS_RESULTS_BYTES_MAX, TLS_RESULTS_MAX,
};

use self::limits::{Room, Senders};
use self::policies::Newest;
use self::reading::{NUMBER_MAX, Reading};
use crate::account::Watch;
use crate::file::{DatabaseFile, TakeoverError};
use crate::known::Kind;
use crate::summary::Summary;

/// Rows of one commit.
pub const BATCH_ROWS_MAX: usize = 256;

/// Bytes of rows that are prepared for one commit; one row may be larger.
pub const BATCH_ROW_BYTES_MAX: u64 = 4 << 20;

/// Rows of which a check knows again that they came more than once. Later ones are only found by a copy.
const KNOWN_AGAIN_MAX: usize = 1_000_000;

/// A database of reports of the original.
#[derive(Debug)]
enum Opened {
    Missing,
    Sound(DatabaseFile),
    /// As a whole: the others are not concerned.
    Damaged(TakeoverError),
}

impl Opened {
    fn open(path: &Path) -> Result<Self, TakeoverError> {
        match DatabaseFile::open_if_there(path) {
            Ok(Some(file)) => Ok(Self::Sound(file)),
            Ok(None) => Ok(Self::Missing),
            Err(error @ TakeoverError::Open { .. }) => Ok(Self::Damaged(error)),
            Err(error) => Err(error),
        }
    }

    /// The file, after telling what is wrong with it or not known of it.
    fn begin(&self, known: &[&str], summary: &mut Summary) -> Option<&DatabaseFile> {
        match self {
            Self::Missing => None,
            Self::Sound(file) => {
                file.note_unknown(known, summary);
                Some(file)
            }
            Self::Damaged(error) => {
                let source = std::error::Error::source(error);
                let why = source.map(ToString::to_string).unwrap_or_default();
                summary.damage("databases", format!("{error}: {why}"));
                None
            }
        }
    }
}

/// The databases of reports of the original.
#[derive(Debug)]
pub struct Reports {
    dmarc: Opened,
    evaluations: Opened,
    tls: Opened,
    tls_results: Opened,
    policies: Opened,
}

/// The databases that were looked at.
struct Files<'a> {
    dmarc: Option<&'a DatabaseFile>,
    evaluations: Option<&'a DatabaseFile>,
    tls: Option<&'a DatabaseFile>,
    tls_results: Option<&'a DatabaseFile>,
    policies: Option<&'a DatabaseFile>,
}

impl Reports {
    /// Opens the databases in the original's data directory, and locks them for reading. `None` if there
    /// are none. Blocks.
    ///
    /// # Errors
    ///
    /// If one is in use, or cannot be read.
    pub fn open(data_dir: &Path) -> Result<Option<Self>, TakeoverError> {
        let open = |name: &str| Opened::open(&data_dir.join(name));
        let reports = Self {
            dmarc: open("dmarcrpt.db")?,
            evaluations: open("dmarceval.db")?,
            tls: open("tlsrpt.db")?,
            tls_results: open("tlsrptresult.db")?,
            policies: open("mtasts.db")?,
        };
        let Self { dmarc, evaluations, tls, tls_results, policies } = &reports;
        let all = [dmarc, evaluations, tls, tls_results, policies];
        let is_any = all.iter().any(|one| !matches!(one, Opened::Missing));
        Ok(is_any.then_some(reports))
    }

    /// Reads all that [`Reports::copy`] would, and says what would become of it. Blocks.
    ///
    /// # Errors
    ///
    /// If a file cannot be read.
    pub fn check(&self, now: UnixSeconds, watch: &mut dyn Watch) -> Result<Summary, TakeoverError> {
        self.run(None, now, watch)
    }

    /// Copies what is not out of date by `now` into a database that nobody uses. What was copied before is
    /// passed over. What would be beyond our limits is told; the newest is kept. Blocks.
    ///
    /// # Errors
    ///
    /// If the database holds reports of its own with the same numbers, or fails.
    pub fn copy(
        &self,
        into: &ReportDb,
        now: UnixSeconds,
        watch: &mut dyn Watch,
    ) -> Result<Summary, TakeoverError> {
        self.run(Some(into), now, watch)
    }

    fn run(
        &self,
        into: Option<&ReportDb>,
        now: UnixSeconds,
        watch: &mut dyn Watch,
    ) -> Result<Summary, TakeoverError> {
        let mut summary = Summary::default();
        let files = Files {
            dmarc: self.dmarc.begin(&["DomainFeedback"], &mut summary),
            evaluations: self.evaluations.begin(&["Evaluation", "SuppressAddress"], &mut summary),
            tls: self.tls.begin(&["Record"], &mut summary),
            tls_results: self
                .tls_results
                .begin(&["TLSResult", "TLSRPTSuppressAddress"], &mut summary),
            policies: self.policies.begin(&["PolicyRecord"], &mut summary),
        };
        let mut tables = Vec::new();
        let mut total = 0;
        for (table, file) in
            [(&DMARC, files.dmarc), (&EVALUATIONS, files.evaluations), (&TLS, files.tls)]
                .into_iter()
                .chain([(&TLS_RESULTS, files.tls_results)])
        {
            let Some(file) = file else { continue };
            let (count, room) = measure(file, table, into, now)?;
            total += count;
            tables.push((file, table, room));
        }
        let newest = files.policies.map(|file| Newest::find(file, now)).transpose()?;
        total += newest.as_ref().map_or(0, |newest| newest.total);
        let mut work =
            Work { into, now, watch, summary: &mut summary, done: 0, total, is_stopped: false };
        for (file, table, room) in tables {
            work.rows(file, table, room)?;
        }
        work.suppressions(files.evaluations, files.tls_results)?;
        if let (Some(file), Some(newest)) = (files.policies, newest) {
            work.policies(file, &newest)?;
        }
        if let Some(into) = into {
            into.sync()?;
        }
        Ok(summary)
    }
}

/// A type of records that become rows.
struct Table {
    kind: Kind,
    of: Numbered,
    /// Rows and bytes that ours keeps.
    limits: (u64, u64),
    /// What is told of those that ours has no room for.
    beyond: &'static str,
    /// The row of a record; `None` if it is not taken, which was told.
    row: fn(&mut Reading<'_>, UnixSeconds) -> Option<KeptRow>,
}

const REPORTS_BEYOND: &str = "reports beyond our limit";

const DMARC: Table = Table {
    kind: dmarc::REPORTS,
    of: Numbered::Dmarc,
    limits: (u64::MAX, REPORTS_BYTES_MAX),
    beyond: REPORTS_BEYOND,
    row: dmarc::report,
};

const EVALUATIONS: Table = Table {
    kind: dmarc::EVALUATIONS,
    of: Numbered::Evaluations,
    limits: (EVALUATIONS_MAX, u64::MAX),
    beyond: "evaluations beyond our limit",
    row: dmarc::evaluation,
};

const TLS: Table = Table {
    kind: tls::REPORTS,
    of: Numbered::Tls,
    limits: (u64::MAX, REPORTS_BYTES_MAX),
    beyond: REPORTS_BEYOND,
    row: tls::report,
};

const TLS_RESULTS: Table = Table {
    kind: tls::RESULTS,
    of: Numbered::TlsResults,
    limits: (TLS_RESULTS_MAX, TLS_RESULTS_BYTES_MAX),
    beyond: "results of TLS beyond our limit",
    row: tls::result,
};

/// How many records there are, and which of the rows ours has room for. An error if ours has others in
/// their place: then nothing was written.
fn measure(
    file: &DatabaseFile,
    table: &Table,
    into: Option<&ReportDb>,
    now: UnixSeconds,
) -> Result<(u64, Room), TakeoverError> {
    let (mut count, mut room) = (0, Room::new(table.limits));
    file.each(&table.kind, &mut Summary::default(), |record, unseen| {
        count += 1;
        let row = (table.row)(&mut Reading::new(record, file, unseen), now);
        if let Some(row) = row {
            room.measure(row.stored_bytes());
            into.map_or(Ok(()), |into| into.check_free(&row))?;
        }
        Ok(true)
    })?;
    Ok((count, room))
}

/// What is under way.
struct Work<'a> {
    into: Option<&'a ReportDb>,
    now: UnixSeconds,
    watch: &'a mut dyn Watch,
    summary: &'a mut Summary,
    done: u64,
    total: u64,
    is_stopped: bool,
}

impl Work<'_> {
    fn rows(
        &mut self,
        file: &DatabaseFile,
        table: &Table,
        mut room: Room,
    ) -> Result<(), TakeoverError> {
        if self.is_stopped {
            return Ok(());
        }
        let mut senders = Senders::default();
        let mut batch = Batch::new(table, file);
        // What is told of records, apart from what is told of commits.
        let mut told = Summary::default();
        let last = file.each(&table.kind, &mut told, |record, told| {
            self.done += 1;
            let Some(row) = (table.row)(&mut Reading::new(record, file, told), self.now) else {
                return Ok(true);
            };
            if !room.has(row.stored_bytes()) {
                told.skip(table.beyond, shown(file, record));
                return Ok(true);
            }
            if row.sender().is_some_and(|(domain, time)| !senders.may(domain, time)) {
                let kind = "reports of one sender beyond our limit for a day";
                told.skip(kind, shown(file, record));
                return Ok(true);
            }
            batch.push(row);
            if batch.is_full() {
                self.flush(&mut batch)?;
            }
            Ok(!self.is_stopped)
        })?;
        self.summary.add(told);
        if !self.is_stopped {
            self.flush(&mut batch)?;
        }
        if last > NUMBER_MAX.cast_unsigned() {
            let shown = format!("{}: {}: {last}", file.path.display(), table.kind.table);
            self.summary.damage("last numbers", shown);
        } else if let Some(into) = self.into {
            into.keep_sequence(table.of, last)?;
        }
        Ok(())
    }

    fn flush(&mut self, batch: &mut Batch<'_>) -> Result<(), TakeoverError> {
        let rows = std::mem::take(&mut batch.rows);
        batch.bytes = 0;
        let kept = match self.into {
            Some(into) => into.keep(&rows)?,
            None => rows.iter().map(|row| batch.foresee(row)).collect(),
        };
        for (row, keeping) in rows.iter().zip(kept) {
            match keeping {
                Keeping::Kept => self.summary.took(batch.table.kind.what, 1),
                Keeping::Same => {
                    let which = format!("{}: record {}", batch.file.path.display(), row.id().0);
                    self.summary.skip("reports that came more than once", which);
                }
            }
        }
        self.is_stopped |= !self.watch.progress(self.done, self.total);
        Ok(())
    }
}

/// Rows for one commit.
struct Batch<'a> {
    table: &'a Table,
    file: &'a DatabaseFile,
    rows: Vec<KeptRow>,
    bytes: u64,
    /// Hashes of the keys of rows that would be there after a copy.
    seen: HashSet<u64>,
}

impl<'a> Batch<'a> {
    fn new(table: &'a Table, file: &'a DatabaseFile) -> Self {
        Self { table, file, rows: Vec::new(), bytes: 0, seen: HashSet::new() }
    }

    fn push(&mut self, row: KeptRow) {
        self.bytes = self.bytes.saturating_add(row.stored_bytes());
        self.rows.push(row);
    }

    fn is_full(&self) -> bool {
        self.rows.len() >= BATCH_ROWS_MAX || self.bytes >= BATCH_ROW_BYTES_MAX
    }

    /// What a copy would say of a row.
    fn foresee(&mut self, row: &KeptRow) -> Keeping {
        let mut hasher = DefaultHasher::new();
        row.key().hash(&mut hasher);
        let is_room = self.seen.len() < KNOWN_AGAIN_MAX;
        let hash = hasher.finish();
        let is_new = if is_room { self.seen.insert(hash) } else { !self.seen.contains(&hash) };
        if is_new { Keeping::Kept } else { Keeping::Same }
    }
}

fn shown(file: &DatabaseFile, record: &Record) -> String {
    format!("{}: record {}", file.path.display(), record.i64("ID"))
}
