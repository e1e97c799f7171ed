//! An account that is only looked at: beside a server that uses it, or in a copy.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mox_base::{Clock, UnixSeconds};
use mox_sqlite::RealDisk;

use crate::account::{Access, Shared};
use crate::policy::Policy;
use crate::pool::Pool;
use crate::read::Reader;
use crate::{Result, SCHEMA_VERSION, StoreError, check, schema};

/// The database in the folder of an account.
pub const ACCOUNT_DATABASE: &str = "index.db";

/// The folder with large bodies in the folder of an account.
pub const BODIES: &str = "blob";

/// The body files that messages of a copy have, as they are named below [`BODIES`]. Nobody may be
/// writing to the copy; its tables may be of any version up to ours.
///
/// # Errors
///
/// If the database cannot be opened or read.
pub fn body_files(dir: &Path) -> Result<Vec<String>> {
    let db = schema::open_still(&dir.join(ACCOUNT_DATABASE))?;
    let mut statement = db.prepare("SELECT file FROM body WHERE file IS NOT NULL ORDER BY file")?;
    Ok(statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?)
}

/// Brings the tables of an account that nobody uses up to date, and makes what is in its log part of
/// the database. Makes none.
///
/// # Errors
///
/// If the database cannot be opened, is of a newer version, or cannot be written.
pub fn upgrade(dir: &Path) -> Result<()> {
    let path = dir.join(ACCOUNT_DATABASE);
    if !path.is_file() {
        return Err(StoreError::NoAccount);
    }
    schema::open_writer(&path).map(drop)
}

/// The folder of an account, opened for reading only. Nothing in it is changed, made or removed.
///
/// Cheap to clone. It knows nothing of the configuration.
#[derive(Clone)]
pub struct ReadOnly(Arc<Shared>);

/// Nothing that is read depends on the time.
struct NoClock;

impl Clock for NoClock {
    fn now(&self) -> UnixSeconds {
        UnixSeconds(0)
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

impl ReadOnly {
    /// Opens the folder of an account, which a server may be using at the same time.
    ///
    /// # Errors
    ///
    /// [`StoreError::TooOld`] and [`StoreError::TooNew`] if its tables are of another version, or
    /// what keeps the database from being opened.
    pub fn open(dir: &Path) -> Result<Self> {
        Self::with(dir, Access::Shared)
    }

    /// Opens the folder of an account that nobody writes to: no log is looked for, no lock is
    /// taken and no file is made, not even for a moment.
    ///
    /// # Errors
    ///
    /// As [`ReadOnly::open`].
    pub fn open_still(dir: &Path) -> Result<Self> {
        Self::with(dir, Access::Still)
    }

    fn with(dir: &Path, access: Access) -> Result<Self> {
        let name = dir.file_name().map(|name| name.to_string_lossy().into_owned());
        let mut shared = Shared::new(
            name.unwrap_or_default(),
            dir.to_owned(),
            Arc::new(NoClock),
            Arc::new(Policy::default()),
            Arc::new(RealDisk),
            Pool::default(),
            false,
        );
        shared.access = access;
        let db = shared.take_reader()?;
        let found: u32 = db.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        shared.return_reader(db);
        match found {
            SCHEMA_VERSION => Ok(Self(Arc::new(shared))),
            found if found < SCHEMA_VERSION => Err(StoreError::TooOld { found }),
            found => Err(StoreError::TooNew { found, known: SCHEMA_VERSION }),
        }
    }

    /// The name of the folder.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Begins reading: all reads on the returned value see the account at one moment. While a server
    /// uses it too, its log cannot be emptied before the value is dropped.
    ///
    /// # Errors
    ///
    /// If the database cannot be opened or read.
    pub fn read(&self) -> Result<Reader> {
        Reader::begin(Arc::clone(&self.0))
    }

    /// Looks for contradictions, as [`crate::Account::check`] does.
    ///
    /// # Errors
    ///
    /// If something cannot be read.
    pub fn check(&self) -> Result<Vec<String>> {
        check::check(&self.0)
    }

    /// The same without reading messages.
    ///
    /// # Errors
    ///
    /// If the database cannot be read.
    pub fn check_structure(&self) -> Result<Vec<String>> {
        check::structure(&self.read()?, true)
    }

    /// The files below `blob` that no message has, as they are named there, sorted. A crash leaves such, and
    /// a delivery that is not committed yet.
    ///
    /// # Errors
    ///
    /// If the database or a folder cannot be read.
    pub fn stray_files(&self) -> Result<Vec<String>> {
        check::stray_files(&self.0, &self.read()?)
    }
}
