//! Fields of a record, as crates that read reports would have read them: bounded and cleaned.

use mox_base::{Domain, UnixSeconds};
use mox_bstore::{Record, Value};
use mox_reports::kept_text;

use super::shown;
use crate::file::DatabaseFile;
use crate::summary::Summary;

/// No number is larger in sound data: ours counts on behind it, and must have numbers left.
pub(super) const NUMBER_MAX: i64 = i64::MAX >> 1;

/// A record that is read, and what is told of it.
pub(super) struct Reading<'a> {
    pub(super) record: &'a Record,
    file: &'a DatabaseFile,
    summary: &'a mut Summary,
}

impl<'a> Reading<'a> {
    pub(super) fn new(
        record: &'a Record,
        file: &'a DatabaseFile,
        summary: &'a mut Summary,
    ) -> Self {
        Self { record, file, summary }
    }

    pub(super) fn skip(&mut self, kind: &'static str) {
        self.summary.skip(kind, shown(self.file, self.record));
    }

    pub(super) fn damage(&mut self, kind: &'static str, why: &str) {
        self.summary.damage(kind, format!("{}: {why}", shown(self.file, self.record)));
    }

    /// Something that is not as it was, or has no place with ours.
    pub(super) fn differs(&mut self, kind: &'static str) {
        self.summary.differs(kind, shown(self.file, self.record));
    }

    /// Its number; `None` if it cannot be one.
    pub(super) fn id(&mut self, kind: &'static str) -> Option<i64> {
        let id = self.record.i64("ID");
        let is_number = (1..=NUMBER_MAX).contains(&id);
        if !is_number {
            self.damage(kind, "the number cannot be one");
        }
        is_number.then_some(id)
    }

    pub(super) fn text(&mut self, value: &Value) -> String {
        let (full, kept) = match value {
            Value::Bytes(bytes) => (None, kept_text(&String::from_utf8_lossy(bytes))),
            value => (Some(value.text()), kept_text(value.text())),
        };
        if full != Some(&kept) {
            self.differs("reports with texts that were shortened");
        }
        kept
    }

    /// A text that is not empty.
    pub(super) fn given(&mut self, value: &Value) -> Option<String> {
        Some(self.text(value)).filter(|text| !text.is_empty())
    }

    /// The first elements of a list.
    pub(super) fn list<'v>(&mut self, value: &'v Value, max: usize) -> &'v [Value] {
        let list = value.list();
        if list.len() > max {
            self.differs("reports with lists that were shortened");
        }
        list.get(..max).unwrap_or(list)
    }

    pub(super) fn texts(&mut self, value: &Value, max: usize) -> Vec<String> {
        self.list(value, max).iter().map(|value| self.text(value)).collect()
    }

    /// A domain; if it is none with ours, the record is not taken.
    pub(super) fn domain(&mut self, field: &str) -> Option<Domain> {
        let domain = Domain::parse(self.record.text(field)).ok();
        if domain.is_none() {
            self.skip("records with names that are no domains");
        }
        domain
    }

    /// A time, in seconds; the start of 1970 if there is none.
    pub(super) fn time(&self, value: &Value) -> UnixSeconds {
        UnixSeconds(value.time().map_or(0, |time| time.unix_secs))
    }
}

/// The last second of the year 9999: later ones are no time that a calendar has.
const SECONDS_MAX: i64 = 253_402_300_799;

/// Whether it is a time that ours would have read in a report.
pub(super) fn is_date(time: UnixSeconds) -> bool {
    (0..=SECONDS_MAX).contains(&time.0)
}

/// A word that is not empty.
pub(super) fn word<T>(value: &Value, from_word: impl Fn(&str) -> T) -> Option<T> {
    Some(value.text()).filter(|word| !word.is_empty()).map(from_word)
}
