//! Reading all records of a type, and telling what of them is not known.
//!
//! A release newer than those known here may keep something that the one who takes over should know of:
//! types and fields that are not known are told, each once. What is known of the types stands where they
//! are read.

use std::collections::BTreeSet;
use std::path::Path;

use mox_bstore::{Record, Table, Value};

use crate::file::{DatabaseFile, TakeoverError};
use crate::summary::Summary;

/// Under which kind it is told that something is not known.
pub(crate) const UNKNOWN: &str = "fields that are not known, with what they hold";

/// A field that is known, and the fields within it.
#[derive(Debug)]
pub(crate) struct Field(pub(crate) &'static str, pub(crate) &'static [Self]);

/// Fields without others in them.
macro_rules! fields {
    ($($name:literal $(: $within:expr)?),* $(,)?) => {
        &[$($crate::known::Field($name, fields!(@ $($within)?))),*]
    };
    (@) => { &[] };
    (@ $within:expr) => { $within };
}
pub(crate) use fields;

/// A type of records that is known.
#[derive(Debug)]
pub(crate) struct Kind {
    /// Its name in the database.
    pub(crate) table: &'static str,
    /// What its records are, for people.
    pub(crate) what: &'static str,
    /// Its fields, without the key.
    pub(crate) fields: &'static [Field],
}

impl DatabaseFile {
    /// Opens a database; `None` if it is not there.
    pub(crate) fn open_if_there(path: &Path) -> Result<Option<Self>, TakeoverError> {
        match Self::open(path.to_owned()) {
            Err(TakeoverError::Read { source, .. })
                if source.kind() == std::io::ErrorKind::NotFound =>
            {
                Ok(None)
            }
            opened => opened.map(Some),
        }
    }

    /// Tells that the last commit may be missing, and types that are not among the known.
    pub(crate) fn note_unknown(&self, known: &[&str], summary: &mut Summary) {
        let path = self.path.display();
        if self.database.may_be_older() {
            let kind = "databases of which the last commit may be missing";
            summary.differs(kind, path.to_string());
        }
        match Table::names(&self.database) {
            Ok(names) => {
                for name in names.iter().filter(|name| !known.contains(&name.as_str())) {
                    summary
                        .differs("types of records that are not known", format!("{path}: {name}"));
                }
            }
            Err(damage) => summary.damage("databases", format!("{path}: {damage}")),
        }
    }

    /// Calls `each` with all records of a type, in the order of their keys, until it says `false`. Damage
    /// is told, and what is not known. Returns the last number given to a record.
    pub(crate) fn each(
        &self,
        kind: &Kind,
        summary: &mut Summary,
        mut each: impl FnMut(&Record, &mut Summary) -> Result<bool, TakeoverError>,
    ) -> Result<u64, TakeoverError> {
        let place = format!("{}: {}", self.path.display(), kind.table);
        let table = match Table::open(&self.database, kind.table) {
            Ok(Some(table)) => table,
            Ok(None) => return Ok(0),
            Err(fault) => {
                summary.damage(kind.what, format!("{place}: {fault}"));
                return Ok(0);
            }
        };
        let mut unknown = BTreeSet::new();
        for record in table.records() {
            let record = match record {
                Ok(record) => record,
                Err(fault) => {
                    summary.damage(kind.what, format!("{place}: {fault}"));
                    continue;
                }
            };
            let stored = record.stored().map(|name| (name, record.get(name)));
            find_unknown(stored, kind.fields, "", &mut unknown);
            if !each(&record, summary)? {
                break;
            }
        }
        for field in unknown {
            summary.differs(UNKNOWN, format!("{place}: {field}"));
        }
        Ok(table.sequence())
    }
}

/// Finds fields that are stored and not known. Their number is bounded by that of the fields of a schema.
fn find_unknown<'a>(
    stored: impl Iterator<Item = (&'a str, &'a Value)>,
    known: &[Field],
    path: &str,
    unknown: &mut BTreeSet<String>,
) {
    for (name, value) in stored {
        match known.iter().find(|field| field.0 == name) {
            Some(field) => find_within(value, field, path, unknown),
            None => {
                unknown.insert(format!("{path}{name}"));
            }
        }
    }
}

fn find_within(value: &Value, known: &Field, path: &str, unknown: &mut BTreeSet<String>) {
    match value {
        Value::Struct(fields) => {
            let stored = fields.iter().map(|(name, value)| (&**name, value));
            find_unknown(stored, known.1, &format!("{path}{}.", known.0), unknown);
        }
        Value::List(list) => {
            list.iter().for_each(|value| find_within(value, known, path, unknown));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(stored: &[(&str, Value)], want: &[&str]) {
        let known: &[Field] = fields!("Name", "Row": fields!("Count", "Reasons": fields!("Type")));
        let mut unknown = BTreeSet::new();
        let stored = stored.iter().map(|(name, value)| (*name, value));
        find_unknown(stored, known, "", &mut unknown);
        assert_eq!(unknown.iter().map(String::as_str).collect::<Vec<_>>(), want);
    }

    #[test]
    fn fields_that_are_not_known_are_found_at_any_depth() {
        let text = || Value::Text("x".to_owned());
        let within = |name: &str, value| Value::Struct(vec![(name.into(), value)]);
        check(&[], &[]);
        check(&[("Name", text()), ("Row", within("Count", Value::Int(1)))], &[]);
        check(&[("Other", text()), ("Name", text())], &["Other"]);
        check(&[("Row", within("Type", text()))], &["Row.Type"]);
        let reasons = |name| Value::List(vec![within(name, text()), within(name, text())]);
        check(&[("Row", within("Reasons", reasons("Type")))], &[]);
        check(&[("Row", within("Reasons", reasons("More")))], &["Row.Reasons.More"]);
    }
}
