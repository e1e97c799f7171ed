//! How often something is synced.

use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mox_sqlite::Disk;

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
    fn create_synced(&self, path: &Path, content: &mut dyn Read) -> io::Result<u64> {
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
