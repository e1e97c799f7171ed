//! The data directory: who may use it, and the secrets kept there.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use mox_base::Rng;

/// The file that a running server holds a lock on.
const LOCK: &str = "lock";

/// The file with the secret behind made-up verifiers.
pub(crate) const DECOY_SECRET: &str = "decoy.key";

/// The file with the key, 16 bytes, and the salt, 8 bytes, of the ids in Received fields.
pub(crate) const RECEIVED_ID_SECRET: &str = "receivedid.key";

/// The database of reports.
pub(crate) const REPORTS_DB: &str = "reports.db";

/// The directory of the queue.
pub(crate) const QUEUE: &str = "queue";

/// The directory for what is not kept.
pub(crate) const TEMPORARY: &str = "tmp";

/// A data directory that nobody else uses while this value lives.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    /// The lock goes with the process, however that ends.
    _lock: File,
}

impl DataDir {
    /// Takes the directory, making it if it is missing.
    ///
    /// # Errors
    ///
    /// If it cannot be made, or a server uses it already: two would give the same UIDs twice.
    pub(crate) fn take(path: &Path) -> Result<Self> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o750).create(path);
        made.with_context(|| format!("make data directory {}", path.display()))?;
        let name = path.join(LOCK);
        let lock = OpenOptions::new().create(true).append(true).mode(0o600).open(&name);
        let lock = lock.with_context(|| format!("open {}", name.display()))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => bail!(
                "the data directory {} is in use by another mox: stop that one first, with \
                 \"mox stop\"",
                path.display()
            ),
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("lock {}", name.display()))
            }
        }
    }

    /// Where it is.
    #[must_use]
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A directory for temporary files, made if it is missing.
    ///
    /// # Errors
    ///
    /// If it cannot be made.
    pub(crate) fn temporary(&self) -> Result<PathBuf> {
        let path = self.path.join(TEMPORARY);
        let made = fs::DirBuilder::new().recursive(true).mode(0o750).create(&path);
        made.with_context(|| format!("make directory {}", path.display()))?;
        Ok(path)
    }

    /// A secret of `N` bytes that is the same after a restart. It is made at the first call.
    ///
    /// # Errors
    ///
    /// If the file can be neither read nor made.
    pub(crate) fn secret<const N: usize>(&self, name: &str, rng: &dyn Rng) -> Result<[u8; N]> {
        let path = self.path.join(name);
        let secret = read_secret(&path).and_then(|secret| match secret {
            Some(secret) => Ok(secret),
            None => make_secret(&path, rng),
        });
        secret.with_context(|| format!("secret {}", path.display()))
    }
}

/// `None` if there is no file, or one that a crash left incomplete.
fn read_secret<const N: usize>(path: &Path) -> io::Result<Option<[u8; N]>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut secret = Vec::with_capacity(N);
    file.take(N as u64).read_to_end(&mut secret)?;
    Ok(secret.try_into().ok())
}

fn make_secret<const N: usize>(path: &Path, rng: &dyn Rng) -> io::Result<[u8; N]> {
    let mut secret = [0; N];
    rng.fill(&mut secret);
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(&secret)?;
    file.sync_all()?;
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use mox_testkit::TestRng;

    use super::*;

    #[test]
    fn only_one_server_uses_a_directory() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        let first = DataDir::take(&path).unwrap();
        let error = DataDir::take(&path).unwrap_err().to_string();
        assert!(error.contains("in use by another mox"), "{error}");
        drop(first);
        DataDir::take(&path).unwrap();
    }

    #[test]
    fn the_secret_is_made_once_and_nobody_else_reads_it() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::take(dir.path()).unwrap();
        let rng = TestRng::new(1);
        let secret: [u8; 32] = data.secret(DECOY_SECRET, &rng).unwrap();
        assert_eq!(data.secret(DECOY_SECRET, &rng).unwrap(), secret);
        let path = dir.path().join(DECOY_SECRET);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        // Cut by a crash: it is made anew.
        fs::write(&path, b"short").unwrap();
        let renewed = data.secret(DECOY_SECRET, &rng).unwrap();
        assert_ne!(renewed, secret);
        assert_eq!(data.secret(DECOY_SECRET, &rng).unwrap(), renewed);
    }
}
