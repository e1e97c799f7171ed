//! Our data directory while it is being filled. Nobody must serve from it before all is there.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::report::Report;

/// The file that is there from before the first until after the last thing is taken over.
const UNFINISHED: &str = "takeover.unfinished";

/// The file with the report, in JSON.
pub const REPORT: &str = "takeover.json";

/// What a file is called while it is written.
const WRITTEN: &str = "takeover.new";

/// Where a database of the original has its magic number, and which.
const MAGIC: (u64, [u8; 4]) = (16, 0xed0c_daed_u32.to_le_bytes());

/// Accounts that are looked at to tell whose directory it is.
const LOOKED_AT_MAX: usize = 1_000;

/// Why a directory cannot be filled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// There is mail in it.
    #[error(
        "{} is in use: it holds {found}, and what is taken over needs a data directory of its own; \
         name one that is missing or empty as DataDir in mox.conf", .dir.display()
    )]
    Used {
        /// The directory.
        dir: PathBuf,
        /// Something that is there.
        found: String,
    },
    /// Another host was begun to be taken over into it.
    #[error(
        "{} was begun to be filled from {}: go on with that, or remove it and begin anew",
        .dir.display(), .source_dir.display()
    )]
    OtherSource {
        /// The directory.
        dir: PathBuf,
        /// What it was begun with.
        source_dir: PathBuf,
    },
    /// The original was started after the first run, and may have other mail now.
    #[error(
        "the original was started again after {} was begun to be filled from it: remove that \
         directory and begin anew", .0.display()
    )]
    Changed(PathBuf),
    /// Everything was taken over before.
    #[error(
        "{} holds what was taken over before, see {REPORT} there: nothing is left to do", .0.display()
    )]
    Finished(PathBuf),
    /// A file cannot be read or written.
    #[error("{}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Whether something that was begun to be taken over into a data directory is not all there.
#[must_use]
pub fn is_unfinished(dir: &Path) -> bool {
    fs::symlink_metadata(dir.join(UNFINISHED)).is_ok()
}

/// Whether everything was taken over into a data directory once.
#[must_use]
pub fn is_finished(dir: &Path) -> bool {
    !is_unfinished(dir) && dir.join(REPORT).is_file()
}

/// Whether a data directory is the original's: its databases have other contents than ours of the
/// same names.
#[must_use]
pub fn is_original(dir: &Path) -> bool {
    let is_its = |path: PathBuf| {
        let mut found = [0; 4];
        let read = File::open(path).and_then(|file| file.read_exact_at(&mut found, MAGIC.0));
        read.is_ok() && found == MAGIC.1
    };
    let accounts = fs::read_dir(dir.join("accounts")).into_iter().flatten().flatten();
    is_its(dir.join("auth.db"))
        || is_its(dir.join("queue/index.db"))
        || accounts.take(LOOKED_AT_MAX).any(|account| is_its(account.path().join("index.db")))
}

/// What a directory was begun to be filled from.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Begun {
    source: PathBuf,
    stamp: String,
}

/// A data directory of ours that is being filled.
#[derive(Debug)]
pub struct Target(PathBuf);

impl Target {
    /// Marks a directory as being filled, before anything is written to it: one that is missing, that is
    /// empty, or that an earlier run left unfinished.
    ///
    /// - `source`: what it is filled from, and its [`stamp`](crate::Original::stamp).
    /// - `own`: names of files that whoever calls this has made there.
    ///
    /// # Errors
    ///
    /// If it holds anything else, or cannot be written to.
    pub fn begin(dir: &Path, source: (&Path, &str), own: &[&str]) -> Result<Self, TargetError> {
        let marker = dir.join(UNFINISHED);
        let begun = Begun { source: source.0.to_owned(), stamp: source.1.to_owned() };
        let text = match fs::read(&marker) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                check_unused(dir, own)?;
                Vec::new()
            }
            Err(source) => return Err(TargetError::Io { path: marker, source }),
        };
        match serde_json::from_slice::<Begun>(&text) {
            Ok(found) if found == begun => {}
            Ok(found) if found.source == begun.source => {
                return Err(TargetError::Changed(dir.to_owned()));
            }
            Ok(found) => {
                return Err(TargetError::OtherSource {
                    dir: dir.to_owned(),
                    source_dir: found.source,
                });
            }
            // New, or cut off before anything else was written.
            Err(_) => {
                let text = serde_json::to_vec(&begun).map_err(io::Error::from);
                let text = text.map_err(|source| TargetError::Io { path: marker, source })?;
                write_synced(dir, UNFINISHED, &text)?;
            }
        }
        Ok(Self(dir.to_owned()))
    }

    /// Writes the report.
    ///
    /// # Errors
    ///
    /// If the disk fails.
    pub fn keep_report(&self, report: &Report) -> Result<(), TargetError> {
        let text = serde_json::to_vec_pretty(report)
            .map_err(|error| TargetError::Io { path: self.0.join(REPORT), source: error.into() })?;
        write_synced(&self.0, REPORT, &text)
    }
}

/// Says that all is there, in a directory that may have another name by now. What was written before must
/// be on disk.
///
/// # Errors
///
/// If the disk fails. It is as before then.
pub fn finish(dir: &Path) -> Result<(), TargetError> {
    let marker = dir.join(UNFINISHED);
    let removed = match fs::remove_file(&marker) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    };
    removed
        .and_then(|()| File::open(dir)?.sync_all())
        .map_err(|source| TargetError::Io { path: marker, source })
}

fn check_unused(dir: &Path, own: &[&str]) -> Result<(), TargetError> {
    if is_finished(dir) {
        return Err(TargetError::Finished(dir.to_owned()));
    }
    let unreadable = |source| TargetError::Io { path: dir.to_owned(), source };
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(unreadable(source)),
    };
    for entry in entries {
        let name = entry.map_err(unreadable)?.file_name();
        if !own.iter().any(|own| name == *own) && name != "lost+found" && name != WRITTEN {
            let found = name.to_string_lossy().into_owned();
            return Err(TargetError::Used { dir: dir.to_owned(), found });
        }
    }
    Ok(())
}

/// Writes a file of a directory, so that it and its name outlive a power failure.
fn write_synced(dir: &Path, name: &str, content: &[u8]) -> Result<(), TargetError> {
    let path = dir.join(name);
    let write = || -> io::Result<()> {
        fs::create_dir_all(dir)?;
        let mut options = File::options();
        let new = dir.join(WRITTEN);
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        // Attack: whoever may write here puts a link of that name to a file of root's. Neither making a
        // file that must be new nor renaming it follows one.
        let mut file = options.write(true).create_new(true).mode(0o600).open(&new)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&new, &path)?;
        File::open(dir)?.sync_all()?;
        // The directory may be as new.
        match dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            Some(parent) => File::open(parent)?.sync_all(),
            None => Ok(()),
        }
    };
    write().map_err(|source| TargetError::Io { path: path.clone(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_filled_once() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("data");
        let theirs = (Path::new("/srv/theirs"), "7 12");
        let others = (Path::new("/srv/others"), "7 12");
        Target::begin(&dir, theirs, &[]).unwrap();
        assert!(is_unfinished(&dir) && !is_finished(&dir));
        // After a crash.
        let found = Target::begin(&dir, others, &[]).unwrap_err();
        assert!(
            matches!(found, TargetError::OtherSource { source_dir, .. } if source_dir == theirs.0)
        );
        // The original was started in between.
        let found = Target::begin(&dir, (theirs.0, "8 12"), &[]).unwrap_err();
        assert!(matches!(found, TargetError::Changed(_)), "{found}");
        let target = Target::begin(&dir, theirs, &[]).unwrap();
        fs::write(dir.join("auth.db"), "SQLite").unwrap();
        target.keep_report(&Report::default()).unwrap();
        assert!(is_unfinished(&dir) && !is_finished(&dir));
        finish(&dir).unwrap();
        finish(&dir).unwrap();
        assert!(!is_unfinished(&dir) && is_finished(&dir));
        let found = Target::begin(&dir, theirs, &[]).unwrap_err();
        assert!(matches!(found, TargetError::Finished(_)), "{found}");
    }

    #[test]
    fn a_used_directory_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("lock"), "").unwrap();
        let source = (Path::new("/srv/theirs"), "7 12");
        let found = Target::begin(dir.path(), source, &[]).unwrap_err().to_string();
        assert!(found.contains("it holds lock"), "{found}");
        assert!(!is_unfinished(dir.path()));
        Target::begin(dir.path(), source, &["lock"]).unwrap();
        // One that was cut off while it said what it is for.
        fs::write(dir.path().join(UNFINISHED), "").unwrap();
        Target::begin(dir.path(), source, &[]).unwrap();
    }

    #[test]
    fn an_original_is_known_by_its_databases() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!is_original(dir.path()));
        let mut page = [0_u8; 64];
        page[16..20].copy_from_slice(&MAGIC.1);
        for name in ["auth.db", "queue/index.db", "accounts/a/index.db"] {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, b"SQLite format 3\0 and so on").unwrap();
            assert!(!is_original(dir.path()), "{name}");
            fs::write(&path, page).unwrap();
            assert!(is_original(dir.path()), "{name}");
            fs::remove_file(&path).unwrap();
        }
    }

    #[test]
    fn nothing_is_written_through_links() {
        let dir = tempfile::tempdir().unwrap();
        let (data, other) = (dir.path().join("data"), dir.path().join("other"));
        fs::create_dir(&data).unwrap();
        fs::write(&other, "secret").unwrap();
        std::os::unix::fs::symlink(&other, data.join(UNFINISHED)).unwrap();
        Target::begin(&data, (Path::new("/srv/theirs"), "7"), &[]).unwrap();
        assert_eq!(fs::read_to_string(&other).unwrap(), "secret");
        assert!(fs::symlink_metadata(data.join(UNFINISHED)).unwrap().is_file());
    }
}
