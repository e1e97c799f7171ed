//! Databases as the original writes them.

use std::collections::BTreeMap;
use std::path::Path;

use super::page::{Loader, Pages};
use super::schema::Schema;
use super::value::{self, Row};

/// How large pages are on most machines.
const PAGE_BYTES: usize = 4096;

/// A database that is written from its first table to its last, in memory that does not grow with it.
///
/// ```
/// use mox_testkit::original::{Schema, Writer, fields, row, time};
///
/// let dir = std::env::temp_dir().join(format!("mox-testkit-{}", std::process::id()));
/// std::fs::create_dir_all(&dir)?;
/// let mut queue = Writer::create(&dir.join("index.db"));
/// let rule = row(1)
///     .with("Account", "alice")
///     .with("SenderDomain", fields([("ASCII", "a.example".into())]));
/// queue.table(&Schema::of("queue", "HoldRule"), [rule]);
/// // All other types, empty.
/// queue.finish_as("queue");
/// # std::fs::remove_dir_all(dir)?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Writer {
    pages: Pages,
    types: BTreeMap<String, Vec<u8>>,
}

impl Writer {
    /// Begins a file.
    ///
    /// # Panics
    ///
    /// All methods panic if the disk fails, or if what they are given is no such table.
    #[must_use]
    pub fn create(path: &Path) -> Self {
        Self::with_page_bytes(path, PAGE_BYTES)
    }

    /// Begins a file with pages of another size, a power of two of at least 1024.
    ///
    /// # Panics
    ///
    /// As [`Writer::create`].
    #[must_use]
    pub fn with_page_bytes(path: &Path, page_bytes: usize) -> Self {
        let pages = Pages::create(path, page_bytes).expect("create a database");
        Self { pages, types: BTreeMap::new() }
    }

    /// Writes all records of a type, which come in the order of their keys. The sequence is the highest
    /// integer among the keys.
    ///
    /// # Panics
    ///
    /// If a key does not come after the one before, or a value does not fit its field.
    pub fn table(&mut self, schema: &Schema, rows: impl IntoIterator<Item = Row>) {
        self.table_after(schema, 0, rows);
    }

    /// As [`Writer::table`], with a sequence that is at least as given: records after these were removed.
    ///
    /// # Panics
    ///
    /// As [`Writer::table`].
    pub fn table_after(
        &mut self,
        schema: &Schema,
        mut sequence: u64,
        rows: impl IntoIterator<Item = Row>,
    ) {
        let pages = &mut self.pages;
        let key_kind = &schema.fields()[0].r#type.kind;
        let mut records = Loader::default();
        for row in rows {
            let (newest, _) = schema.newest();
            let number = row.version.unwrap_or(newest);
            let version = &schema.versions[&number];
            sequence = sequence.max(value::number(&row.key));
            let record = value::record(number, version, &row);
            let key = value::key(key_kind, &row.key);
            records.value(pages, key, record).expect("write a record");
        }
        let records = records.finish(pages).expect("write records").into_value(sequence);
        let mut versions = Loader::default();
        for (number, version) in &schema.versions {
            let json = version.json.to_string().into_bytes();
            versions.value(pages, number.to_be_bytes().to_vec(), json).expect("write a schema");
        }
        let last = schema.newest().0;
        let versions = versions.finish(pages).expect("write schemas").into_value(last.into());
        let mut of = Loader::default();
        of.bucket(pages, b"records", records).expect("write a table");
        of.bucket(pages, b"types", versions).expect("write a table");
        let of = of.finish(pages).expect("write a table").into_value(0);
        assert!(self.types.insert(schema.name.clone(), of).is_none(), "{} twice", schema.name);
    }

    /// Ends the file.
    ///
    /// # Panics
    ///
    /// If the disk fails.
    pub fn finish(mut self) {
        let mut root = Loader::default();
        for (name, value) in self.types {
            root.bucket(&mut self.pages, name.as_bytes(), value).expect("write a database");
        }
        let root = root.finish_as_page(&mut self.pages).expect("write a database");
        self.pages.finish(root).expect("end a database");
    }

    /// Adds those types of a database of the original that were not written, without records, and ends
    /// the file. See [`Schema::of`] for the names of databases.
    ///
    /// # Panics
    ///
    /// If the disk fails, or there is no such database.
    pub fn finish_as(mut self, database: &str) {
        for schema in Schema::all_of(database) {
            if !self.types.contains_key(&schema.name) {
                self.table(&schema, []);
            }
        }
        self.finish();
    }
}

/// Writes a whole database of the original: see [`Schema::of`] for its name. Types that are not given
/// are there without records; records may come in any order.
///
/// # Panics
///
/// If the disk fails, or the database has no such types.
pub fn write_database<'a>(
    path: &Path,
    database: &str,
    tables: impl IntoIterator<Item = (&'a str, Vec<Row>)>,
) {
    let mut writer = Writer::create(path);
    for (name, mut rows) in tables {
        let schema = Schema::of(database, name);
        let kind = &schema.fields()[0].r#type.kind;
        rows.sort_by_cached_key(|row| value::key(kind, &row.key));
        writer.table(&schema, rows);
    }
    writer.finish_as(database);
}
