//! The file operations of the store beside the database, behind one door.
//!
//! Tests put a [`Disk`] there that fails the n-th write or sync; see `docs/store-format.md` for
//! what must hold then.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// File operations as the store needs them. Each either happens wholly or reports an error.
pub trait Disk: Send + Sync + std::fmt::Debug {
    /// Creates a file that must not exist, writes everything from `content`, and syncs it.
    ///
    /// # Errors
    ///
    /// Any error of the file system; the file may then exist in part.
    fn create_synced(&self, path: &Path, content: &mut dyn Read) -> io::Result<()>;

    /// Syncs a folder, so that the names in it are durable.
    ///
    /// # Errors
    ///
    /// Any error of the file system.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;

    /// Removes a file; one that does not exist is no error.
    ///
    /// # Errors
    ///
    /// Any other error of the file system.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Called by the writer just before it commits; an error makes the commit fail.
    ///
    /// # Errors
    ///
    /// Whatever a test wants to happen. The real disk has nothing to say here.
    fn before_commit(&self) -> io::Result<()> {
        Ok(())
    }
}

/// The real one.
#[derive(Clone, Copy, Debug)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn create_synced(&self, path: &Path, content: &mut dyn Read) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
        io::copy(content, &mut file)?;
        file.flush()?;
        file.sync_all()
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        match fs::remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            outcome => outcome,
        }
    }
}

/// Another disk, with a count of how often something was synced on it.
#[derive(Debug)]
pub(crate) struct CountingDisk {
    disk: Arc<dyn Disk>,
    syncs: AtomicU64,
}

impl CountingDisk {
    pub(crate) fn new(disk: Arc<dyn Disk>) -> Self {
        Self { disk, syncs: AtomicU64::new(0) }
    }

    pub(crate) fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::Relaxed)
    }

    fn count(&self) {
        self.syncs.fetch_add(1, Ordering::Relaxed);
    }
}

impl Disk for CountingDisk {
    fn create_synced(&self, path: &Path, content: &mut dyn Read) -> io::Result<()> {
        self.count();
        self.disk.create_synced(path, content)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.count();
        self.disk.sync_dir(path)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn before_commit(&self) -> io::Result<()> {
        self.count();
        self.disk.before_commit()
    }
}

/// Makes the folder and those above it, each name synced.
pub(crate) fn create_dirs(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = path.parent().map_or_else(|| PathBuf::from("."), Path::to_path_buf);
    create_dirs(disk, &parent)?;
    match fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    disk.sync_dir(&parent)
}
