//! Removing an account with all that it has.
//!
//! An account is removed in steps, so that a crash at any point leaves it whole or gone: its name is put
//! in `removing/`, the configuration loses it, and when nobody uses it any more its directory is moved to
//! `removed/`, from where it is deleted. [`Store::pending_removals`] has, after a start, what a crash cut
//! short: whoever knows the configuration decides with [`Store::keep_account`] or
//! [`Store::finish_removals`].
//!
//! Invariant: an account whose name is in `removing/` is opened by nobody.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mox_sqlite::{Disk, create_dirs};
use parking_lot::Mutex;

use crate::store::is_account_name;
use crate::{Result, Store, StoreError};

/// The directory with the names of accounts that are being removed: empty files.
const REMOVING: &str = "removing";

/// The directory with what is left of removed accounts.
const REMOVED: &str = "removed";

/// The accounts that are being removed.
pub(crate) struct Removals {
    removing: PathBuf,
    removed: PathBuf,
    names: Mutex<BTreeSet<String>>,
    /// Held while files are moved and deleted: one who empties `removed/` must not do so under the
    /// hands of another who moves something there.
    work: Mutex<()>,
}

impl Removals {
    pub(crate) fn new(dir: &Path) -> Self {
        Self {
            removing: dir.join(REMOVING),
            removed: dir.join(REMOVED),
            names: Mutex::default(),
            work: Mutex::default(),
        }
    }

    /// Whether the account may not be opened.
    pub(crate) fn has(&self, account: &str) -> bool {
        self.names.lock().contains(account)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.names.lock().is_empty()
    }

    /// The name is no longer one of an account that is being removed.
    fn forget(&self, disk: &dyn Disk, account: &str) -> io::Result<()> {
        disk.remove(&self.removing.join(account))?;
        disk.sync_dir(&self.removing)?;
        self.names.lock().remove(account);
        // Others may be in it.
        let _removed = fs::remove_dir(&self.removing);
        Ok(())
    }
}

/// Removes a directory with all that is in it; one that is not there is none to remove.
fn remove_all(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}

impl Store {
    /// Whether there are files of an account of this name.
    #[must_use]
    pub fn has_files(&self, account: &str) -> bool {
        is_account_name(account) && self.0.dir.join(account).symlink_metadata().is_ok()
    }

    /// Begins to remove an account: from now on nobody opens it, and its sessions are told to end. What
    /// it has stays until [`Store::finish_removals`]. Durable when it returns. Blocks.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoAccount`] if it cannot be the name of one; else those of the disk.
    pub fn begin_removal(&self, account: &str) -> Result<()> {
        if !is_account_name(account) {
            return Err(StoreError::NoAccount);
        }
        let (removals, disk) = (&self.0.removals, &*self.0.disk);
        create_dirs(disk, &removals.removing)?;
        match disk.create_synced(&removals.removing.join(account), &mut io::empty()) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error.into()),
            _ => {}
        }
        disk.sync_dir(&removals.removing)?;
        removals.names.lock().insert(account.to_owned());
        self.end_sessions(account);
        Ok(())
    }

    /// Takes [`Store::begin_removal`] back: the account is kept. Blocks.
    ///
    /// # Errors
    ///
    /// Those of the disk.
    pub fn keep_account(&self, account: &str) -> Result<()> {
        Ok(self.0.removals.forget(&*self.0.disk, account)?)
    }

    /// The accounts that are being removed, also those that were when the program ended. To be called
    /// before any account is opened. Blocks.
    ///
    /// # Errors
    ///
    /// Those of the disk.
    pub fn pending_removals(&self) -> Result<Vec<String>> {
        let removals = &self.0.removals;
        let entries = match fs::read_dir(&removals.removing) {
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            entries => Some(entries?),
        };
        for entry in entries.into_iter().flatten() {
            let name = entry?.file_name().into_string();
            if let Some(name) = name.ok().filter(|name| is_account_name(name)) {
                removals.names.lock().insert(name);
            }
        }
        Ok(removals.names.lock().iter().cloned().collect())
    }

    /// Removes the files of accounts that are being removed, which nobody uses any more and which the
    /// configuration does not have. Those that are in use stay for the next time, or the next start, and
    /// so do all while erasure is held off: [`Store::tick`] does the same.
    ///
    /// Returns the accounts that are still there. Blocks.
    ///
    /// # Errors
    ///
    /// Those of the disk; the rest is left for the next time.
    pub fn finish_removals(&self) -> Result<Vec<String>> {
        let _work = self.0.removals.work.lock();
        let names: Vec<_> = self.0.removals.names.lock().iter().cloned().collect();
        let Some(_erasing) = self.0.holds.erasing() else { return Ok(names) };
        let mut left = Vec::new();
        for name in names {
            if self.0.policies.policy(&name).is_some() || !self.move_away(&name)? {
                left.push(name);
            }
        }
        // What was moved away before a crash goes too.
        remove_all(&self.0.removals.removed)?;
        Ok(left)
    }

    /// Moves the files of an account out of the way, if nobody uses it. Returns whether that was so.
    fn move_away(&self, account: &str) -> Result<bool> {
        let (removals, disk) = (&self.0.removals, &*self.0.disk);
        let slot = Arc::clone(self.0.open.lock().entry(account.to_owned()).or_default());
        // Who opens the account waits for this lock, and finds that it is being removed.
        let mut open = slot.lock();
        if open.as_ref().is_some_and(|shared| Arc::strong_count(shared) > 1) {
            return Ok(false);
        }
        *open = None;
        let target = removals.removed.join(account);
        remove_all(&target)?;
        create_dirs(disk, &removals.removed)?;
        if self.has_files(account) {
            fs::rename(self.0.dir.join(account), &target)?;
            disk.sync_dir(&removals.removed)?;
            disk.sync_dir(&self.0.dir)?;
        }
        removals.forget(disk, account)?;
        self.0.open.lock().remove(account);
        Ok(true)
    }

    /// Tells all who follow the account to end, such as IMAP sessions; they may come again if they still
    /// may log in. Does nothing if the account is not open.
    pub fn end_sessions(&self, account: &str) {
        let slot = self.0.open.lock().get(account).map(Arc::clone);
        let shared = slot.and_then(|slot| slot.lock().clone());
        if let Some(shared) = shared {
            shared.hub.dismiss();
        }
    }
}
