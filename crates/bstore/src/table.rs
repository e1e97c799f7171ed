//! The records of a type.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::bucket::{Bucket, Element, Held, Walk};
use crate::database::{Database, Source};
use crate::page::Damage;
use crate::record::{self, DecodeError};
use crate::schema::{SCHEMA_VERSIONS_MAX, Schema, SchemaError};
use crate::time::Time;
use crate::value::Value;

/// What is wrong with a table or a record of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// A page.
    #[error(transparent)]
    Page(#[from] Damage),
    /// A record. The others are not concerned.
    #[error("page {page}, record {}: {error}", shown(.key))]
    Record {
        /// The page it is in; 0 if it lies within a value.
        page: u64,
        /// Its key, as far as that can be read.
        key: Value,
        /// What is wrong with it.
        error: DecodeError,
    },
    /// A description of the type.
    #[error("version {version} of the type: {error}")]
    Schema {
        /// Which version.
        version: u32,
        /// What is wrong with it.
        error: SchemaError,
    },
    /// There are records of the type, or could be, and no description of it.
    #[error("the type is not described")]
    NoSchema,
}

fn shown(key: &Value) -> String {
    match key {
        Value::Int(number) => number.to_string(),
        Value::Uint(number) => number.to_string(),
        Value::Text(text) => format!("{text:?}"),
        Value::Bytes(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        other => format!("{other:?}"),
    }
}

/// The records of a type in a database.
#[derive(Debug)]
pub struct Table<'a, S> {
    schemas: BTreeMap<u32, Schema>,
    records: Option<Bucket<'a, S>>,
}

impl<'a, S: Source> Table<'a, S> {
    /// Finds a type by its name. `None` if the database does not have it.
    ///
    /// # Errors
    ///
    /// If what describes the type is damaged or not known.
    pub fn open(database: &'a Database<S>, name: &str) -> Result<Option<Self>, Fault> {
        let Some(bucket) = database.root().bucket(name.as_bytes())? else { return Ok(None) };
        let mut schemas = BTreeMap::new();
        for element in bucket.bucket(b"types")?.ok_or(Fault::NoSchema)?.walk() {
            let Element { key, held: Held::Value(json), .. } = element? else { continue };
            let Ok(version) = key.try_into().map(u32::from_be_bytes) else { continue };
            if schemas.len() == SCHEMA_VERSIONS_MAX {
                return Err(Fault::Schema { version, error: SchemaError::TooMany });
            }
            let schema = Schema::parse(version, &json);
            schemas.insert(version, schema.map_err(|error| Fault::Schema { version, error })?);
        }
        if schemas.is_empty() {
            return Err(Fault::NoSchema);
        }
        Ok(Some(Self { schemas, records: bucket.bucket(b"records")? }))
    }

    /// The names of all types in a database.
    ///
    /// # Errors
    ///
    /// If the list of them is damaged.
    pub fn names(database: &Database<S>) -> Result<Vec<String>, Damage> {
        let name = |element: Result<Element<'_, S>, Damage>| {
            element.map(|element| String::from_utf8_lossy(&element.key).into_owned())
        };
        database.root().walk().map(name).collect()
    }

    /// The names of the fields that the type has now, the key first.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        let newest = self.schemas.values().next_back();
        newest.into_iter().flat_map(|schema| schema.fields(0)).map(|field| &*field.name)
    }

    /// The last number that was given to a record.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.records.as_ref().map(Bucket::sequence).unwrap_or_default()
    }

    /// All records in the order of their keys, and what is damaged.
    #[must_use]
    pub fn records(&self) -> Records<'_, 'a, S> {
        Records { table: self, walk: self.records.as_ref().map(Bucket::walk) }
    }

    fn decode(&self, key: &[u8], value: &[u8]) -> Result<Record, (Value, DecodeError)> {
        let newest = self.schemas.values().next_back();
        let newest = newest.ok_or((Value::Absent, DecodeError::Key))?;
        let key = record::key(newest, key).map_err(|error| (Value::Bytes(key.to_vec()), error))?;
        let fields = || {
            let version = record::version(value)?;
            let schema = u32::try_from(version).ok().and_then(|one| self.schemas.get(&one));
            let schema = schema.ok_or(DecodeError::Version(version))?;
            Ok((schema.version, record::fields(schema, value)?))
        };
        let (version, fields) = fields().map_err(|error| (key.clone(), error))?;
        let key_name = newest.fields(0).first().map(|field| Arc::clone(&field.name));
        Ok(Record { key_name: key_name.unwrap_or_default(), key, version, fields })
    }
}

/// The records of a table, see [`Table::records`].
#[derive(Debug)]
pub struct Records<'t, 'a, S> {
    table: &'t Table<'a, S>,
    walk: Option<Walk<'a, S>>,
}

impl<S: Source> Records<'_, '_, S> {
    /// As [`Iterator::next`], with the fields that a record was written with, also those that were dropped
    /// later.
    pub fn next_as_written(&mut self) -> Option<Result<Record, Fault>> {
        loop {
            let (key, value, page) = match self.walk.as_mut()?.next()? {
                Ok(Element { key, held: Held::Value(value), pages }) => {
                    (key, value, *pages.start())
                }
                // Nothing puts buckets there.
                Ok(Element { held: Held::Bucket(_), .. }) => continue,
                Err(damage) => return Some(Err(damage.into())),
            };
            let record = self.table.decode(&key, &value);
            return Some(record.map_err(|(key, error)| Fault::Record { page, key, error }));
        }
    }
}

impl<S: Source> Iterator for Records<'_, '_, S> {
    type Item = Result<Record, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        let record = self.next_as_written()?;
        Some(record.map(|mut record| {
            let later: Vec<_> = self
                .table
                .schemas
                .range(record.version.saturating_add(1)..)
                .map(|(_, schema)| (schema, schema.fields(0)))
                .collect();
            if !later.is_empty() {
                record::hide(&mut record.fields, &later, 0);
            }
            record
        }))
    }
}

/// A record: its key and the fields that are not zero.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    key_name: Arc<str>,
    key: Value,
    version: u32,
    fields: Vec<(Arc<str>, Value)>,
}

impl Record {
    /// The key.
    #[must_use]
    pub fn key(&self) -> &Value {
        &self.key
    }

    /// A field, also the key, by its name; absent if it is not stored or the type has none of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> &Value {
        const ABSENT: &Value = &Value::Absent;
        if *self.key_name == *name {
            return &self.key;
        }
        self.fields.iter().find(|(one, _)| &**one == name).map_or(ABSENT, |(_, value)| value)
    }

    /// The names of the fields that are stored, without the key.
    pub fn stored(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|(name, _)| &**name)
    }

    /// [`Value::bool`] of a field.
    #[must_use]
    pub fn bool(&self, name: &str) -> bool {
        self.get(name).bool()
    }

    /// [`Value::i64`] of a field.
    #[must_use]
    pub fn i64(&self, name: &str) -> i64 {
        self.get(name).i64()
    }

    /// [`Value::u64`] of a field.
    #[must_use]
    pub fn u64(&self, name: &str) -> u64 {
        self.get(name).u64()
    }

    /// [`Value::text`] of a field.
    #[must_use]
    pub fn text(&self, name: &str) -> &str {
        self.get(name).text()
    }

    /// [`Value::bytes`] of a field.
    #[must_use]
    pub fn bytes(&self, name: &str) -> &[u8] {
        self.get(name).bytes()
    }

    /// [`Value::time`] of a field.
    #[must_use]
    pub fn time(&self, name: &str) -> Option<Time> {
        self.get(name).time()
    }
}
