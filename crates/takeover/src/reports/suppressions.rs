//! Addresses that get no reports of ours for a while.

use mox_bstore::Record;
use mox_reportdb::{ReportDbError, ReportId, ReportSuppression};

use super::{BATCH_ROWS_MAX, Work};
use crate::file::{DatabaseFile, TakeoverError};
use crate::known::{Field, Kind, fields};
use crate::summary::Summary;

const FIELDS: &[Field] = fields!("Inserted", "ReportingAddress", "Until", "Comment");

const WHAT: &str = "addresses that get no reports";

/// For reports of DMARC.
const DMARC: Kind = Kind { table: "SuppressAddress", what: WHAT, fields: FIELDS };

/// For those of TLS.
const TLS: Kind = Kind { table: "TLSRPTSuppressAddress", what: WHAT, fields: FIELDS };

impl Work<'_> {
    /// Ours has one list, for reports of both kinds.
    pub(super) fn suppressions(
        &mut self,
        dmarc: Option<&DatabaseFile>,
        tls: Option<&DatabaseFile>,
    ) -> Result<(), TakeoverError> {
        for (file, kind) in [(dmarc, &DMARC), (tls, &TLS)] {
            if let Some(file) = file {
                self.suppressions_of(file, kind)?;
            }
        }
        Ok(())
    }

    fn suppressions_of(&mut self, file: &DatabaseFile, kind: &Kind) -> Result<(), TakeoverError> {
        let (mut batch, mut told) = (Vec::new(), Summary::default());
        file.each(kind, &mut told, |record, told| {
            if self.is_stopped {
                return Ok(false);
            }
            let one = suppression(record);
            if one.until <= self.now {
                told.skip("addresses that get reports again", one.address);
                return Ok(true);
            }
            told.differs("addresses that get no reports of either kind", one.address.clone());
            batch.push(one);
            if batch.len() >= BATCH_ROWS_MAX {
                self.keep_suppressions(&mut batch)?;
            }
            Ok(true)
        })?;
        self.summary.add(told);
        self.keep_suppressions(&mut batch)
    }

    fn keep_suppressions(
        &mut self,
        batch: &mut Vec<ReportSuppression>,
    ) -> Result<(), TakeoverError> {
        let batch = std::mem::take(batch);
        let count = batch.len() as u64;
        match self.into.map(|into| into.keep_report_suppressions(&batch)).transpose() {
            Ok(_) => self.summary.took(WHAT, count),
            Err(ReportDbError::Full { .. }) => {
                for one in batch {
                    self.summary.skip("addresses beyond our limit", one.address);
                }
            }
            Err(error) => return Err(error.into()),
        }
        self.is_stopped |= !self.watch.progress(self.done, self.total);
        Ok(())
    }
}

fn suppression(record: &Record) -> ReportSuppression {
    let time = |field: &str| record.time(field).map_or(0, |time| time.unix_secs);
    ReportSuppression {
        // Nothing refers to it.
        id: ReportId(0),
        address: record.text("ReportingAddress").to_ascii_lowercase(),
        inserted: mox_base::UnixSeconds(time("Inserted")),
        until: mox_base::UnixSeconds(time("Until")),
        comment: record.text("Comment").to_owned(),
    }
}
