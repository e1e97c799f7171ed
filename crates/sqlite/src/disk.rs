//! The file operations beside a database, behind one door.
//!
//! Tests put a [`Disk`] there that fails the n-th write or sync; see `docs/store-format.md` for
//! what must hold then.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// File operations beside a database. Each either happens wholly or reports an error.
pub trait Disk: Send + Sync + std::fmt::Debug {
    /// Creates a file that must not exist, writes everything from `content`, and syncs it. Returns
    /// its size in bytes.
    ///
    /// # Errors
    ///
    /// Any error of the file system; the file may then exist in part.
    fn create_synced(&self, path: &Path, content: &mut dyn Read) -> io::Result<u64>;

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
    fn create_synced(&self, path: &Path, content: &mut dyn Read) -> io::Result<u64> {
        let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
        let written = io::copy(content, &mut file)?;
        file.sync_all()?;
        Ok(written)
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

/// Makes the folder and those above it, each name synced.
///
/// # Errors
///
/// Any error of the file system; some of the folders may then exist.
pub fn create_dirs(disk: &dyn Disk, path: &Path) -> io::Result<()> {
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
