//! Finding what is wrong with a backup, or with a data directory that nobody uses.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use mox_reportdb::ReportDb;
use mox_store::{ACCOUNT_DATABASE, CLIENT_KEYS_DATABASE, ClientKeys, ReadOnly, StoreError};

use crate::error::{At as _, BackupError, Result, text};
use crate::file;
use crate::layout::{ACCOUNTS, DATA, QUEUE, REPORTS};
use crate::manifest::{CHUNK_BYTES, Entry, Hashed, Kind, MANIFEST, Manifest};
use crate::run::Progress;

/// What was looked at, and what is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Files whose checksum was compared.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What is wrong, each with the file, or the account and the message.
    pub faults: Vec<String>,
    /// What is worth knowing.
    pub warnings: Vec<String>,
}

/// What a folder is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A backup; the path is that of its manifest's folder.
    Backup(PathBuf),
    /// A data directory.
    Data(PathBuf),
}

impl Target {
    /// Finds out what a folder is. The folder `data` of a backup stands for the backup.
    ///
    /// # Errors
    ///
    /// [`BackupError::NoManifest`] if it looks like a backup that was not finished.
    pub fn of(dir: &Path) -> Result<Self> {
        let dir = fs::canonicalize(dir).at("open", dir)?;
        if dir.join(MANIFEST).is_file() {
            return Ok(Self::Backup(dir));
        }
        if dir.join(DATA).is_dir() && !dir.join(ACCOUNTS).is_dir() {
            return Err(BackupError::NoManifest(dir));
        }
        if let Some(above) = dir.parent()
            && dir.ends_with(DATA)
            && above.join(MANIFEST).is_file()
        {
            return Ok(Self::Backup(above.to_owned()));
        }
        Ok(Self::Data(dir))
    }
}

/// Compares every file of a backup with its checksum, then looks for contradictions in what is in
/// them. Nothing in the backup is changed, made or removed. `watch` is called about once for each
/// megabyte.
///
/// - `reads_bodies`: whether each message is compared with its own checksum too, which says which one is
///   damaged.
///
/// # Errors
///
/// If there is no manifest, or a folder cannot be listed.
pub fn verify_backup(
    dir: &Path,
    reads_bodies: bool,
    watch: &mut dyn FnMut(&Progress),
) -> Result<Verified> {
    let mut verified = verify_files(dir, watch)?;
    let data = dir.join(DATA);
    if data.is_dir() {
        let mut look = Look { verified: &mut verified, is_still: true, reads_bodies };
        look.data(&data)?;
    }
    Ok(verified)
}

/// Compares every file of a backup with its checksum, and no more.
///
/// # Errors
///
/// As [`verify_backup`].
pub fn verify_files(dir: &Path, watch: &mut dyn FnMut(&Progress)) -> Result<Verified> {
    let mut verified = Verified::default();
    let manifest = match Manifest::read(dir) {
        Err(error @ BackupError::BadManifest { .. }) => {
            verified.faults.push(format!("{MANIFEST}: {error}"));
            return Ok(verified);
        }
        manifest => manifest?,
    };
    let told = manifest.faults.iter().map(|fault| format!("not in the backup: {fault}"));
    verified.faults.extend(told);
    let mut progress = Progress::default();
    for entry in &manifest.entries {
        progress.path.clone_from(&entry.path);
        if let Some(what) = fault_of(dir, entry, &mut progress, watch) {
            verified.faults.push(format!("{}: {what}", entry.path));
        }
        progress.files += 1;
    }
    (verified.files, verified.bytes) = (progress.files, progress.bytes);
    let known: HashSet<&str> = manifest.entries.iter().map(|entry| entry.path.as_str()).collect();
    strangers(dir, "", &known, &mut verified)?;
    Ok(verified)
}

/// What is wrong with one file.
fn fault_of(
    dir: &Path,
    entry: &Entry,
    progress: &mut Progress,
    watch: &mut dyn FnMut(&Progress),
) -> Option<String> {
    let path = dir.join(&entry.path);
    let meta = match fs::symlink_metadata(&path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Some("missing".to_owned());
        }
        Err(error) => return Some(error.to_string()),
    };
    match entry.kind {
        Kind::Directory => (!meta.is_dir()).then(|| "is no folder".to_owned()),
        Kind::Symlink => {
            let target = fs::read_link(&path).ok();
            let is_same = target.as_deref() == entry.target.as_deref().map(Path::new);
            (!is_same).then(|| "is no link, or one that leads elsewhere".to_owned())
        }
        _ if !meta.is_file() => Some("is no file".to_owned()),
        _ => {
            let hashed = file::hash(&path, &mut |bytes| {
                progress.bytes += bytes;
                watch(progress);
            });
            match hashed {
                Ok(hashed) => difference(entry, &hashed),
                Err(error) => Some(text(&error)),
            }
        }
    }
}

/// How a file differs from what it was, and where.
pub(crate) fn difference(entry: &Entry, found: &Hashed) -> Option<String> {
    if entry.size != found.size {
        return Some(format!("has {} bytes, was made with {}", found.size, entry.size));
    }
    if entry.sha256 == found.sha256 {
        return None;
    }
    let pairs = entry.chunks.iter().zip(&found.chunks).enumerate();
    let places: Vec<String> = pairs
        .filter(|(_, (was, is))| was != is)
        .map(|(number, _)| {
            let from = number as u64 * CHUNK_BYTES as u64;
            format!("{from}-{}", (from + CHUNK_BYTES as u64).min(entry.size))
        })
        .take(PLACES_MAX)
        .collect();
    let place = match places.is_empty() {
        true => String::new(),
        false => format!(" in bytes {}", places.join(", ")),
    };
    Some(format!("differs from its checksum{place}"))
}

/// The most places of one file that are told.
const PLACES_MAX: usize = 10;

/// Tells files that the manifest does not know.
fn strangers(
    dir: &Path,
    below: &str,
    known: &HashSet<&str>,
    verified: &mut Verified,
) -> Result<()> {
    let folder = dir.join(below);
    for name in file::names(&folder)? {
        let path = folder.join(&name);
        let Some(name) = name.to_str() else {
            verified.warnings.push(format!("{}: not in the manifest", path.display()));
            continue;
        };
        let path_below = if below.is_empty() { name.to_owned() } else { format!("{below}/{name}") };
        let is_folder = fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_dir());
        if !known.contains(path_below.as_str()) && path_below != MANIFEST {
            let log_of = ["-wal", "-journal"].iter().find_map(|log| path_below.strip_suffix(log));
            // A log would change what is read of its database.
            let is_harmful = log_of.is_some_and(|database| known.contains(database));
            let told = format!("{path_below}: not in the manifest");
            if is_harmful { &mut verified.faults } else { &mut verified.warnings }.push(told);
        } else if is_folder {
            strangers(dir, &path_below, known, verified)?;
        }
    }
    Ok(())
}

/// Looks for contradictions in a data directory that nobody uses: the caller has its lock. Tables of
/// older versions are brought up to date.
///
/// - `reads_bodies`: whether each message is compared with its checksum.
///
/// # Errors
///
/// If a folder cannot be listed.
pub fn verify_data(data: &Path, reads_bodies: bool) -> Result<Verified> {
    let mut verified = Verified::default();
    Look { verified: &mut verified, is_still: false, reads_bodies }.data(data)?;
    Ok(verified)
}

struct Look<'a> {
    verified: &'a mut Verified,
    /// Nothing may be written, not even for a moment.
    is_still: bool,
    /// Messages are compared with their checksums.
    reads_bodies: bool,
}

impl Look<'_> {
    fn data(&mut self, data: &Path) -> Result<()> {
        self.tell(CLIENT_KEYS_DATABASE, self.client_keys(data));
        let reports = data.join(REPORTS);
        if reports.is_file() {
            let open = if self.is_still { ReportDb::open_still } else { ReportDb::open };
            let told = open(&reports).and_then(|db| db.check());
            self.tell(REPORTS, told.map_err(|error| text(&error)));
        }
        let queue = data.join(QUEUE);
        if queue.is_dir() {
            let check = if self.is_still { mox_queue::check_still } else { mox_queue::check };
            self.tell(QUEUE, check(&queue).map_err(|error| text(&error)));
        }
        let accounts = data.join(ACCOUNTS);
        if !accounts.is_dir() {
            return Ok(());
        }
        for name in file::names(&accounts)? {
            let shown = format!("{ACCOUNTS}/{}", name.display());
            let dir = accounts.join(&name);
            if name.to_str().is_none() {
                self.verified.faults.push(format!("{shown}: the name is not UTF-8"));
            } else if !dir.join(ACCOUNT_DATABASE).is_file() {
                self.verified.warnings.push(format!("{shown}: not an account"));
            } else {
                let told = self.account(&dir, &shown);
                self.tell(&shown, told.map_err(|error| text(&error)));
            }
        }
        Ok(())
    }

    fn tell(&mut self, place: &str, told: std::result::Result<Vec<String>, String>) {
        let told = told.unwrap_or_else(|error| vec![error]);
        self.verified.faults.extend(told.iter().map(|fault| format!("{place}: {fault}")));
    }

    fn client_keys(&self, data: &Path) -> std::result::Result<Vec<String>, String> {
        if !self.is_still && data.join(CLIENT_KEYS_DATABASE).is_file() {
            // What is in its log becomes part of the database.
            ClientKeys::open(data).map_err(|error| text(&error))?;
        }
        ClientKeys::check_still(data).map_err(|error| text(&error))
    }

    fn account(&mut self, dir: &Path, shown: &str) -> std::result::Result<Vec<String>, StoreError> {
        if !self.is_still {
            mox_store::upgrade(dir)?;
        }
        let account = match ReadOnly::open_still(dir) {
            Err(StoreError::TooOld { .. }) => return check_upgraded(dir),
            account => account?,
        };
        for file in account.stray_files()? {
            self.verified.warnings.push(format!("{shown}: body file {file} of no message"));
        }
        if self.reads_bodies { account.check() } else { account.check_structure() }
    }
}

/// Checks a copy that is brought up to date: the account itself may not be changed.
fn check_upgraded(dir: &Path) -> std::result::Result<Vec<String>, StoreError> {
    let copy = tempfile::tempdir()?;
    fs::copy(dir.join(ACCOUNT_DATABASE), copy.path().join(ACCOUNT_DATABASE))?;
    let bodies = dir.join(mox_store::BODIES);
    if bodies.is_dir() {
        std::os::unix::fs::symlink(bodies, copy.path().join(mox_store::BODIES))?;
    }
    mox_store::upgrade(copy.path())?;
    ReadOnly::open_still(copy.path())?.check()
}
