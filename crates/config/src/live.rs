//! The configuration of a running server: loaded, followed, rewritten.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::UNIX_EPOCH;

use arc_swap::ArcSwap;
use mox_base::UnixSeconds;
use mox_sconf::{Described, Docs, Document, EncodeError, to_value};

use crate::finding::{Finding, Report};
use crate::snapshot::{Config, DYNAMIC_FILE, NamedFiles, PassedFiles, STATIC_FILE, dir_of};
use crate::snapshot::{read_dynamic, read_static};
use crate::{DestinationKey, Dynamic, Static, Text, files};

/// How far a file's time of change may be off: a file changed twice within this time may keep its
/// time, so that its text has to be compared.
const MTIME_GRAIN_SECS: i64 = 2;

/// The configuration of a running server.
///
/// Whoever starts a unit of work takes a [`Live::snapshot`] and uses it to the end.
#[derive(Debug)]
pub struct Live {
    current: ArcSwap<Config>,
    named_files: NamedFiles,
    passed: PassedFiles,
    path: PathBuf,
    /// Held while `domains.conf` is read or written, so that changes come one after the other.
    source: Mutex<Source>,
}

/// `domains.conf` as it was last read.
#[derive(Debug)]
struct Source {
    text: String,
    document: Document,
    stamp: Option<Stamp>,
    checked: UnixSeconds,
    /// What could not be used at the last look, so that it is reported once.
    refused: Option<Result<String, io::ErrorKind>>,
}

/// What a file system says of a file without opening it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    mtime_nanos: u128,
    size_bytes: u64,
    inode: u64,
}

impl Stamp {
    fn of(path: &Path) -> io::Result<Self> {
        let meta = std::fs::metadata(path)?;
        let mtime = meta.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        let mtime_nanos = mtime.as_nanos();
        #[cfg(unix)]
        let inode = std::os::unix::fs::MetadataExt::ino(&meta);
        #[cfg(not(unix))]
        let inode = 0;
        Ok(Self { mtime_nanos, size_bytes: meta.len(), inode })
    }

    /// Whether the file was last changed well before `now`.
    fn is_settled(&self, now: UnixSeconds) -> bool {
        let mtime_secs = i64::try_from(self.mtime_nanos / 1_000_000_000).unwrap_or(i64::MAX);
        mtime_secs < now.0.saturating_sub(MTIME_GRAIN_SECS)
    }
}

/// Why a change of `domains.conf` was not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EditError {
    /// The file was changed by hand and has faults, which must be mended first.
    #[error("domains.conf has faults, mend them first: {}", joined(.0))]
    Unreadable(Vec<Finding>),
    /// With the change the file would have faults.
    #[error("{}", joined(.0))]
    Invalid(Vec<Finding>),
    /// The settings cannot be written in the syntax of the file.
    #[error("settings cannot be written")]
    Encode(#[source] EncodeError),
    /// Writing the file failed; it is as it was, unless only the last sync failed.
    #[error("write {}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// What is wrong, without places: the lines are those of a file that was not written.
fn joined(faults: &[Finding]) -> String {
    faults.iter().map(|fault| fault.message.as_str()).collect::<Vec<_>>().join("; ")
}

/// The path of `mox.conf`, given it or its directory.
fn static_path(path: &Path) -> PathBuf {
    if path.is_dir() { path.join(STATIC_FILE) } else { path.to_owned() }
}

fn unreadable(path: &Path, error: &io::Error) -> Finding {
    Finding { file: path.to_owned(), line: 0, message: format!("cannot be read: {error}") }
}

/// Reads both files and says all that is wrong with them, without any effect.
///
/// - `path`: of `mox.conf`, or of its directory.
#[must_use]
pub fn test(path: &Path) -> Report {
    test_files(path, NamedFiles::Check)
}

/// As [`test`], with a choice about the files that settings name.
#[must_use]
pub fn test_files(path: &Path, named_files: NamedFiles) -> Report {
    load(path, named_files).1
}

type Loaded = (Config, Document, String);

fn load(path: &Path, named_files: NamedFiles) -> (Option<Loaded>, Report) {
    let path = static_path(path);
    let dynamic_path = dir_of(&path).join(DYNAMIC_FILE);
    let mut report = Report::default();
    let statics = match files::read_text(&path) {
        Ok(text) => {
            let (statics, found) = read_static(&path, &text, named_files);
            report = found;
            statics
        }
        Err(error) => {
            report.faults.push(unreadable(&path, &error));
            None
        }
    };
    let known = statics.is_some();
    let statics = Arc::new(statics.unwrap_or_default());
    let text = match files::read_text(&dynamic_path) {
        Ok(text) => text,
        Err(error) => {
            report.faults.push(unreadable(&dynamic_path, &error));
            return (None, report);
        }
    };
    let (config, found) = read_dynamic(&dynamic_path, &text, &statics, named_files);
    // Without mox.conf only its own faults and the syntax can be judged.
    if known {
        report.faults.extend(found.faults);
    }
    report.notices.extend(found.notices);
    let loaded = config.filter(|_| report.faults.is_empty());
    (loaded.map(|(config, document)| (config, document, text)), report)
}

impl Live {
    /// Loads both files. The error has all faults.
    ///
    /// - `path`: of `mox.conf`, or of its directory.
    ///
    /// Returns the notices too: what works other than may be expected.
    pub fn load(
        path: &Path,
        named_files: NamedFiles,
        now: UnixSeconds,
    ) -> Result<(Self, Vec<Finding>), Vec<Finding>> {
        Self::load_passed(path, named_files, PassedFiles::default(), now)
    }

    /// As [`Live::load`], for a process that some of the named files were passed to.
    pub fn load_passed(
        path: &Path,
        named_files: NamedFiles,
        passed: PassedFiles,
        now: UnixSeconds,
    ) -> Result<(Self, Vec<Finding>), Vec<Finding>> {
        let dynamic_path = dir_of(&static_path(path)).join(DYNAMIC_FILE);
        // Taken before reading: a change in between is seen at the next look.
        let stamp = Stamp::of(&dynamic_path).ok();
        let (loaded, report) = load(path, named_files);
        let (config, document, text) = loaded.ok_or(report.faults)?;
        let source = Source { text, document, stamp, checked: now, refused: None };
        let live = Self {
            current: ArcSwap::from_pointee(config.with_passed(&passed)),
            named_files,
            passed,
            path: dynamic_path,
            source: Mutex::new(source),
        };
        Ok((live, report.notices))
    }

    /// The configuration as it is now. Cost: an atomic increment.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Config> {
        self.current.load_full()
    }

    /// Takes up a change of `domains.conf`, to be called every second or so.
    ///
    /// Returns whether there was one. A file with faults is left aside: the snapshot stays as it
    /// is, and the faults are returned once for each text. Cost: one look at the file's metadata,
    /// or reading it if it changed in the last seconds.
    pub fn reload(&self, now: UnixSeconds) -> Result<bool, Vec<Finding>> {
        self.refresh(&mut self.lock(), now, false)
    }

    fn lock(&self) -> MutexGuard<'_, Source> {
        // A panic while it was held cannot have left it half changed: it is assigned at the end.
        self.source.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// - `for_edit`: look whatever the metadata says, and report faults again.
    fn refresh(
        &self,
        source: &mut Source,
        now: UnixSeconds,
        for_edit: bool,
    ) -> Result<bool, Vec<Finding>> {
        let stamp = Stamp::of(&self.path).ok();
        let settled = stamp.is_some_and(|stamp| stamp.is_settled(source.checked));
        if !for_edit && settled && stamp == source.stamp {
            return Ok(false);
        }
        source.stamp = stamp;
        source.checked = now;
        let text = match files::read_text(&self.path) {
            Ok(text) => text,
            Err(error) => {
                let seen = source.refused.replace(Err(error.kind())) == Some(Err(error.kind()));
                let faults = vec![unreadable(&self.path, &error)];
                return if seen && !for_edit { Ok(false) } else { Err(faults) };
            }
        };
        if text == source.text {
            source.refused = None;
            return Ok(false);
        }
        if !for_edit && source.refused.as_ref().is_some_and(|seen| seen.as_ref() == Ok(&text)) {
            return Ok(false);
        }
        let statics = Arc::clone(&self.snapshot().statics);
        let (config, report) = read_dynamic(&self.path, &text, &statics, self.named_files);
        let Some((config, document)) = config.filter(|_| report.faults.is_empty()) else {
            source.refused = Some(Ok(text));
            return Err(report.faults);
        };
        source.text = text;
        source.document = document;
        source.refused = None;
        self.current.store(Arc::new(config.with_passed(&self.passed)));
        Ok(true)
    }

    /// Changes `domains.conf`: file and snapshot together, or neither.
    ///
    /// Changes made by hand before are taken up first. The file keeps its comments, order and
    /// spelling but for what `change` changed. It is written beside and renamed, so that a crash
    /// leaves the old or the new text.
    ///
    /// # Errors
    ///
    /// That of `change`, which may refuse, or an [`EditError`].
    pub fn edit<T, E: From<EditError>>(
        &self,
        now: UnixSeconds,
        change: impl FnOnce(&mut Dynamic) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut source = self.lock();
        self.refresh(&mut source, now, true).map_err(EditError::Unreadable)?;
        let snapshot = self.snapshot();
        let mut dynamic = (*snapshot.dynamic).clone();
        let result = change(&mut dynamic)?;
        if dynamic == *snapshot.dynamic {
            return Ok(result);
        }
        complete_destinations(&mut dynamic);
        let mut document = source.document.clone();
        let value = to_value(&dynamic).map_err(EditError::Encode)?;
        document.apply(&value, &Dynamic::SHAPE).map_err(EditError::Encode)?;
        let text = document.to_string();
        let statics = &snapshot.statics;
        let (config, report) = read_dynamic(&self.path, &text, statics, self.named_files);
        let Some((config, document)) = config.filter(|_| report.faults.is_empty()) else {
            return Err(EditError::Invalid(report.faults).into());
        };
        files::write_atomically(&self.path, &text)
            .map_err(|source| EditError::Write { path: self.path.clone(), source })?;
        source.text = text;
        source.document = document;
        source.stamp = None;
        self.current.store(Arc::new(config.with_passed(&self.passed)));
        Ok(result)
    }
}

/// Replaces the deprecated localparts alone by whole addresses.
fn complete_destinations(dynamic: &mut Dynamic) {
    for account in dynamic.accounts.values_mut() {
        let Some(domain) = account.domain.0.0.clone() else { continue };
        account.destinations = std::mem::take(&mut account.destinations)
            .into_iter()
            .map(|(key, destination)| match key.0 {
                DestinationKey::Localpart(localpart) => {
                    let address = mox_base::Address { localpart, domain: domain.clone() };
                    (Text(DestinationKey::Address(address)), destination)
                }
                key => (Text(key), destination),
            })
            .collect();
    }
}

/// Why settings made in code were not written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// They cannot be written in the syntax of the file.
    #[error("settings cannot be written")]
    Encode(#[from] EncodeError),
    /// The file cannot be written.
    #[error("write configuration file")]
    Io(#[from] io::Error),
}

impl Static {
    /// Writes the settings as a file, with the docs of the keys that are set.
    pub fn write(&self, path: &Path) -> Result<(), WriteError> {
        Ok(files::write_atomically(path, &mox_sconf::to_string(self, Docs::Write)?)?)
    }
}

impl Dynamic {
    /// Writes the settings as a file, with the docs of the keys that are set.
    pub fn write(&self, path: &Path) -> Result<(), WriteError> {
        Ok(files::write_atomically(path, &mox_sconf::to_string(self, Docs::Write)?)?)
    }
}
