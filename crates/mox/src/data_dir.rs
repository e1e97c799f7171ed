//! The data directory: who may use it, and the secrets kept there.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};
use mox_base::Rng;

/// The file that a running server holds a lock on.
pub(crate) const LOCK: &str = "lock";

/// The file with the secret behind made-up verifiers.
pub(crate) const DECOY_SECRET: &str = "decoy.key";

/// The file with the key, 16 bytes, and the salt, 8 bytes, of the ids in Received fields.
pub(crate) const RECEIVED_ID_SECRET: &str = "receivedid.key";

/// The database of reports.
pub(crate) const REPORTS_DB: &str = "reports.db";

/// The directory of the queue.
pub(crate) const QUEUE: &str = "queue";

/// The directory of what is known of providers of certificates.
pub(crate) const ACME: &str = "acme";

/// The directory for what is not kept.
pub(crate) const TEMPORARY: &str = "tmp";

/// How long a server that ends may still hold the directory when the next one starts.
const FREE_WAIT: Duration = Duration::from_secs(3);

/// How old temporary files are that are removed at start.
const TEMPORARY_AGE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// How many temporary files are looked at.
const TEMPORARY_MAX: usize = 1_000_000;

/// How deep directories of temporary files are looked into.
const TEMPORARY_DEPTH_MAX: usize = 8;

/// A data directory that nobody else uses while this value lives.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    /// The lock goes with the process, however that ends.
    lock: File,
}

impl Drop for DataDir {
    /// Closing the file would not be enough: a process that is being started has it too until it is another
    /// program.
    fn drop(&mut self) {
        drop(self.lock.unlock());
    }
}

impl DataDir {
    /// Takes the directory, making it if it is missing.
    ///
    /// # Errors
    ///
    /// If it cannot be made, a server uses it already (two would give the same UIDs twice), or it is
    /// the original's or not filled yet.
    pub(crate) fn take(path: &Path) -> Result<Self> {
        Self::refuse_unready(path)?;
        Self::take_unfinished(path)
    }

    /// Nobody must make a beginning of his own where the mail of years is still to come.
    ///
    /// # Errors
    ///
    /// If what is there is of the original mox, or is not all there yet.
    pub(crate) fn refuse_unready(path: &Path) -> Result<()> {
        if mox_takeover::is_unfinished(path) {
            bail!(
                "{} is not filled yet: run \"mox import moxdata\" again, which goes on where it ended",
                path.display()
            );
        }
        if mox_takeover::is_original(path) {
            bail!(
                "{} holds the data of the original mox: run \"mox import moxdata\" to take it over",
                path.display()
            );
        }
        Ok(())
    }

    /// As [`DataDir::take`], for who fills it.
    ///
    /// # Errors
    ///
    /// If it cannot be made, or is in use.
    pub(crate) fn take_unfinished(path: &Path) -> Result<Self> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o750).create(path);
        made.with_context(|| format!("make data directory {}", path.display()))?;
        let name = path.join(LOCK);
        let no_link = nix::fcntl::OFlag::O_NOFOLLOW.bits();
        let mut options = OpenOptions::new();
        let lock = options.create(true).append(true).mode(0o600).custom_flags(no_link).open(&name);
        let lock = lock.with_context(|| format!("open {}", name.display()))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), lock }),
            Err(TryLockError::WouldBlock) => bail!(in_use(path)),
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("lock {}", name.display()))
            }
        }
    }

    /// Waits until no server uses the directory, if there is one: a server that was killed takes a
    /// moment to be gone. Blocks for up to [`FREE_WAIT`].
    ///
    /// # Errors
    ///
    /// If one still uses it then.
    pub(crate) fn wait_until_free(path: &Path) -> Result<()> {
        Self::wait_until_free_for(path, FREE_WAIT)
    }

    fn wait_until_free_for(path: &Path, wait: Duration) -> Result<()> {
        let name = path.join(LOCK);
        let lock = match File::open(&name) {
            Ok(lock) => lock,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error).with_context(|| format!("open {}", name.display())),
        };
        // If it is free nothing is waited for, however busy the machine is.
        match lock.try_lock() {
            Ok(()) => return lock.unlock().with_context(|| format!("unlock {}", name.display())),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("lock {}", name.display()));
            }
        }
        let (done, locked) = mpsc::channel();
        // If it never gets the lock it ends with the process, which has nothing else to do.
        std::thread::spawn(move || {
            // Given back before anyone hears of it, who may take it for himself then.
            let locked = lock.lock().and_then(|()| lock.unlock());
            // Nobody listens any more if it took too long.
            drop(done.send(locked));
        });
        match locked.recv_timeout(wait) {
            Ok(locked) => locked.with_context(|| format!("lock {}", name.display())),
            Err(_) => bail!(in_use(path)),
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

fn in_use(path: &Path) -> String {
    format!(
        "the data directory {} is in use by another mox: stop that one first, with \"mox stop\"",
        path.display()
    )
}

/// Removes temporary files that were left over for [`TEMPORARY_AGE`], by a crash say, and logs how
/// many. Looks at up to [`TEMPORARY_MAX`] files. Blocks.
pub(crate) fn remove_old_temporary(dir: &Path, now: SystemTime) {
    let mut removed = 0_u64;
    let mut dirs = vec![(dir.to_owned(), 0)];
    let mut seen = 0;
    while let Some((dir, depth)) = dirs.pop() {
        let Ok(entries) = fs::read_dir(&dir) else { continue };
        for entry in entries.flatten() {
            seen += 1;
            if seen > TEMPORARY_MAX {
                tracing::warn!("too many temporary files: the rest is looked at another time");
                return;
            }
            // That of a symbolic link is its own.
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                if depth < TEMPORARY_DEPTH_MAX {
                    dirs.push((entry.path(), depth + 1));
                }
                continue;
            }
            let age = metadata.modified().ok().and_then(|time| now.duration_since(time).ok());
            if age.is_some_and(|age| age > TEMPORARY_AGE) {
                match fs::remove_file(entry.path()) {
                    Ok(()) => removed += 1,
                    Err(error) => {
                        tracing::warn!(path = %entry.path().display(), %error, "remove temporary file");
                    }
                }
            }
        }
    }
    if removed > 0 {
        tracing::info!(removed, "temporary files of long ago removed");
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
    fn it_is_free_when_its_user_is_gone_even_if_the_file_is_still_open() {
        let dir = tempfile::tempdir().unwrap();
        let first = DataDir::take(dir.path()).unwrap();
        // As in a process that was just started and is not yet another program.
        let _inherited = first.lock.try_clone().unwrap();
        drop(first);
        DataDir::take(dir.path()).unwrap();
    }

    #[test]
    fn what_was_waited_for_can_be_taken_at_once() {
        let dir = tempfile::tempdir().unwrap();
        for _ in 0..500 {
            DataDir::take(dir.path()).unwrap();
            DataDir::wait_until_free(dir.path()).unwrap();
        }
        DataDir::take(dir.path()).unwrap();
    }

    #[test]
    fn one_waits_for_a_server_that_ends_and_not_for_one_that_runs() {
        let dir = tempfile::tempdir().unwrap();
        DataDir::wait_until_free(dir.path()).unwrap();
        let running = DataDir::take(dir.path()).unwrap();
        let waiting = std::thread::spawn({
            let path = dir.path().to_owned();
            move || DataDir::wait_until_free_for(&path, Duration::from_secs(600))
        });
        drop(running);
        waiting.join().unwrap().unwrap();
        let _running = DataDir::take(dir.path()).unwrap();
        let error = DataDir::wait_until_free_for(dir.path(), Duration::from_millis(1))
            .unwrap_err()
            .to_string();
        assert!(error.contains("in use by another mox"), "{error}");
    }

    #[test]
    fn temporary_files_of_long_ago_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        // Whole seconds: not every file system keeps more.
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(since.as_secs());
        fs::create_dir_all(at("cache/deep")).unwrap();
        fs::write(at("kept"), "").unwrap();
        let ages = [
            ("new", 0),
            ("edge", 7 * 86_400),
            ("old", 7 * 86_400 + 1),
            ("cache/deep/old", 1 << 30),
        ];
        for (name, secs) in ages {
            let file = File::create(at(name)).unwrap();
            file.set_modified(now - Duration::from_secs(secs)).unwrap();
        }
        std::os::unix::fs::symlink(at("old"), at("link")).unwrap();
        remove_old_temporary(dir.path(), now);
        let left = ["new", "edge", "kept", "cache/deep"].map(|name| at(name).exists());
        assert_eq!(left, [true; 4]);
        assert!(!at("old").exists() && !at("cache/deep/old").exists());
        assert!(
            fs::symlink_metadata(at("link")).is_ok(),
            "it is new, and what it names is not looked at"
        );
        remove_old_temporary(&at("none"), now);
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
