//! Making a backup.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use mox_base::UnixSeconds;
use mox_queue::{BODIES as QUEUE_BODIES, DATABASE as QUEUE_DATABASE};
use mox_store::{ACCOUNT_DATABASE, BODIES};

use crate::error::{At as _, BackupError, Result, text};
use crate::file;
use crate::layout::{ACCOUNTS, CONFIG, DATA, Place, QUEUE, is_log_of, place};
use crate::manifest::{Entry, FORMAT, Hashed, Header, Kind, Manifest, is_safe};

/// What is copied.
#[derive(Clone, Debug)]
pub struct Source {
    /// The folder with the configuration.
    pub config: PathBuf,
    /// The data directory. No body file may go from it meanwhile: either nobody uses it, or its server
    /// holds that off.
    pub data: PathBuf,
}

/// How.
#[derive(Clone, Debug)]
pub struct Options {
    /// An earlier backup: bodies that it has are linked to instead of copied.
    pub earlier: Option<PathBuf>,
    /// The time now.
    pub now: UnixSeconds,
    /// The version of the program, for the manifest.
    pub program: String,
}

/// How far it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Files that are done.
    pub files: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// What is being copied, below the backup.
    pub path: String,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Files in the backup.
    pub files: u64,
    /// Their sizes.
    pub bytes: u64,
    /// Of these, files that are links to the earlier backup.
    pub linked_earlier: u64,
    /// Of these, files that are links to the data directory.
    pub linked_data: u64,
    /// What is worth knowing.
    pub warnings: Vec<String>,
    /// What could not be copied. Also in the manifest.
    pub faults: Vec<String>,
}

/// Copies the configuration and the data directory into `dest`, which must be missing or empty.
///
/// Databases are each copied as of one moment, then the body files that the copy names. A file that
/// cannot be copied is told and keeps no other from being copied. `watch` is called about once for each
/// megabyte and may take its time, so that others get at the disk.
///
/// # Errors
///
/// If there is nothing to be copied, or the destination cannot be written: then it has no manifest.
pub fn backup(
    source: &Source,
    dest: &Path,
    options: &Options,
    watch: &mut dyn FnMut(&Progress),
) -> Result<Outcome> {
    let data = fs::canonicalize(&source.data).at("open", &source.data)?;
    let config = fs::canonicalize(&source.config).at("open", &source.config)?;
    prepare(dest, &data, &config)?;
    let dest = fs::canonicalize(dest).at("open", dest)?;
    let earlier = options.earlier.as_deref().map(Earlier::read).transpose()?;
    let owner = fs::metadata(&data).at("look at", &data)?.uid();
    let mut run = Run {
        dest,
        owner,
        earlier,
        entries: Vec::new(),
        outcome: Outcome::default(),
        progress: Progress::default(),
        watch,
    };
    run.config(&config, &data)?;
    run.data(&data, &config)?;
    run.finish(options)
}

/// Makes the destination; refuses one with files, and one that would be copied into itself.
fn prepare(dest: &Path, data: &Path, config: &Path) -> Result<()> {
    file::make_dir(dest)?;
    let whole = fs::canonicalize(dest).at("open", dest)?;
    if whole.starts_with(data) || whole.starts_with(config) {
        // Made in vain; one with files stays.
        let _removed = fs::remove_dir(dest);
        return Err(BackupError::Inside(dest.to_owned()));
    }
    if file::names(dest)?.is_empty() { Ok(()) } else { Err(BackupError::NotEmpty(dest.to_owned())) }
}

/// A backup that is linked to.
struct Earlier {
    dir: PathBuf,
    bodies: HashMap<String, Entry>,
}

impl Earlier {
    fn read(dir: &Path) -> Result<Self> {
        let entries = Manifest::read(dir)?.entries;
        let bodies = entries.into_iter().filter(|entry| entry.kind == Kind::Body);
        let bodies = bodies.map(|entry| (entry.path.clone(), entry)).collect();
        Ok(Self { dir: dir.to_owned(), bodies })
    }
}

struct Run<'a> {
    dest: PathBuf,
    /// Who the data directory belongs to.
    owner: u32,
    earlier: Option<Earlier>,
    entries: Vec<Entry>,
    outcome: Outcome,
    progress: Progress,
    watch: &'a mut dyn FnMut(&Progress),
}

impl Run<'_> {
    fn config(&mut self, config: &Path, data: &Path) -> Result<()> {
        if config == data {
            // A localserve has both in one folder; what is there is known by name.
            return Ok(());
        }
        self.directory(config, CONFIG)?;
        self.tree(config, CONFIG, Kind::Config, &|path| path == data)
    }

    fn data(&mut self, data: &Path, config: &Path) -> Result<()> {
        self.directory(data, DATA)?;
        let is_shared = config == data;
        for name in file::names(data)? {
            let from = data.join(&name);
            let Some(name) = name.to_str() else {
                self.fault(format!("{}: the name is not UTF-8", from.display()));
                continue;
            };
            let to = format!("{DATA}/{name}");
            match place(name) {
                Place::Skipped => {}
                Place::Accounts => self.accounts(&from)?,
                Place::Queue => self.queue(&from)?,
                Place::Database => self.database(&from, &to),
                Place::Secret => self.any(&from, &to, Kind::Secret, &|_| false)?,
                Place::Other => self.any(&from, &to, Kind::Other, &|_| false)?,
                Place::Config if is_shared => self.any(&from, &to, Kind::Config, &|_| false)?,
                _ if from == config => {}
                _ if is_shared => self.any(&from, &to, Kind::Other, &|_| false)?,
                _ => {
                    self.warn(format!("{}: not known, copied", from.display()));
                    self.any(&from, &to, Kind::Other, &|path| path == config)?;
                }
            }
        }
        Ok(())
    }

    fn accounts(&mut self, dir: &Path) -> Result<()> {
        let to = format!("{DATA}/{ACCOUNTS}");
        self.directory(dir, &to)?;
        for name in file::names(dir)? {
            let from = dir.join(&name);
            let Some(name) = name.to_str() else {
                self.fault(format!("{}: the name is not UTF-8", from.display()));
                continue;
            };
            let to = format!("{to}/{name}");
            if !from.join(ACCOUNT_DATABASE).is_file() {
                self.warn(format!("{}: not an account, copied", from.display()));
                self.any(&from, &to, Kind::Other, &|_| false)?;
                continue;
            }
            let parts = (ACCOUNT_DATABASE, BODIES);
            self.store(&from, &to, parts, |dir| {
                mox_store::body_files(dir).map_err(|error| text(&error))
            })?;
        }
        Ok(())
    }

    fn queue(&mut self, dir: &Path) -> Result<()> {
        let to = format!("{DATA}/{QUEUE}");
        let parts = (QUEUE_DATABASE, QUEUE_BODIES);
        self.store(dir, &to, parts, |dir| mox_queue::body_files(dir).map_err(|error| text(&error)))
    }

    /// A folder with a database and the bodies that it names: first that, then those of the copy.
    fn store(
        &mut self,
        from: &Path,
        to: &str,
        (database, bodies): (&str, &str),
        named: impl Fn(&Path) -> std::result::Result<Vec<String>, String>,
    ) -> Result<()> {
        self.directory(from, to)?;
        if from.join(database).is_file() {
            self.database(&from.join(database), &format!("{to}/{database}"));
            match named(&self.dest.join(to)) {
                Ok(files) => self.bodies(&from.join(bodies), &format!("{to}/{bodies}"), &files)?,
                Err(error) => self.fault(format!("{to}/{database}: {error}")),
            }
        }
        for name in file::names(from)? {
            let other = from.join(&name);
            match name.to_str() {
                Some(name) if name == bodies || is_log_of(name, database) => {}
                Some(name) => {
                    self.warn(format!("{}: not known, copied", other.display()));
                    self.any(&other, &format!("{to}/{name}"), Kind::Other, &|_| false)?;
                }
                None => self.fault(format!("{}: the name is not UTF-8", other.display())),
            }
        }
        Ok(())
    }

    fn bodies(&mut self, from: &Path, to: &str, files: &[String]) -> Result<()> {
        if files.is_empty() {
            return Ok(());
        }
        let is_folder = |path: &Path| fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir());
        if !is_folder(from) {
            self.fault(format!("{to}: not a folder"));
            return Ok(());
        }
        self.directory(from, to)?;
        let mut made = None;
        for name in files {
            let Some((folder, _)) = name.split_once('/').filter(|_| is_safe(name)) else {
                self.fault(format!("{to}/{name}: not a name of a body"));
                continue;
            };
            if made.as_deref() != Some(folder) {
                if !is_folder(&from.join(folder)) {
                    self.fault(format!("{to}/{folder}: missing"));
                    continue;
                }
                self.directory(&from.join(folder), &format!("{to}/{folder}"))?;
                made = Some(folder.to_owned());
            }
            self.body(&from.join(name), &format!("{to}/{name}"));
        }
        Ok(())
    }

    /// A body is never changed, so that a link is as good as a copy.
    fn body(&mut self, from: &Path, to: &str) {
        // Attack: a link of the service user, which may lead to a file of somebody else.
        let meta = fs::symlink_metadata(from).and_then(|meta| match meta.is_file() {
            true => Ok(meta),
            false => Err(std::io::Error::other("not a file")),
        });
        let meta = match meta {
            Ok(meta) => meta,
            Err(error) => return self.fault(format!("{to}: {error}")),
        };
        if let Some(entry) = self.link_earlier(&meta, to) {
            // Read, so that what has rotted since is not handed on from backup to backup.
            let linked = self.dest.join(to);
            let hashed = self.hash(&linked, to);
            if hashed.is_ok_and(|hashed| crate::verify::difference(&entry, &hashed).is_none()) {
                self.outcome.linked_earlier += 1;
                return self.done(entry);
            }
            self.warn(format!("{to}: damaged in the earlier backup, copied anew"));
            if let Err(error) = fs::remove_file(&linked) {
                return self.fault(format!("{to}: {error}"));
            }
        }
        let target = self.dest.join(to);
        // One of root's that has a second name is left alone when the server starts as root: it could
        // not be read any more.
        let is_linked = meta.uid() == self.owner && fs::hard_link(from, &target).is_ok();
        self.outcome.linked_data += u64::from(is_linked);
        let hashed = if is_linked { self.hash(&target, to) } else { self.copy(from, &target, to) };
        self.add(hashed, to, Kind::Body, meta.mode());
    }

    fn link_earlier(&self, meta: &fs::Metadata, to: &str) -> Option<Entry> {
        let earlier = self.earlier.as_ref()?;
        let entry = earlier.bodies.get(to)?;
        let file = earlier.dir.join(to);
        let theirs = fs::symlink_metadata(&file).ok()?;
        let is_same = entry.size == meta.len()
            && theirs.len() == meta.len()
            && theirs.is_file()
            && theirs.mtime() == meta.mtime();
        (is_same && fs::hard_link(&file, self.dest.join(to)).is_ok()).then(|| entry.clone())
    }

    fn database(&mut self, from: &Path, to: &str) {
        let target = self.dest.join(to);
        let result = self.copy_database(from, &target, to);
        let mode = fs::metadata(from).map_or(0o600, |meta| meta.mode());
        self.add(result, to, Kind::Database, mode);
    }

    fn copy_database(&mut self, from: &Path, target: &Path, to: &str) -> Result<Hashed> {
        let mode = fs::metadata(from).at("look at", from)?.mode() & 0o777;
        self.progress.path = to.to_owned();
        let (progress, watch) = (&mut self.progress, &mut self.watch);
        let mut before = 0;
        let copied = mox_sqlite::copy(from, target, &mut |copied| {
            progress.bytes += copied.pages.saturating_sub(before) * PAGE_BYTES;
            before = copied.pages;
            watch(progress);
        });
        copied.map_err(|source| BackupError::Database { path: from.to_owned(), source })?;
        let file = fs::File::open(target).at("open", target)?;
        file.set_permissions(fs::Permissions::from_mode(mode)).at("set the mode of", target)?;
        file.sync_all().at("sync", target)?;
        self.hash(target, to)
    }

    /// A file, folder or symbolic link, with all in it.
    fn any(
        &mut self,
        from: &Path,
        to: &str,
        kind: Kind,
        is_skipped: &dyn Fn(&Path) -> bool,
    ) -> Result<()> {
        let meta = match fs::symlink_metadata(from) {
            Ok(meta) => meta,
            Err(error) => {
                self.fault(format!("{}: {error}", from.display()));
                return Ok(());
            }
        };
        if is_skipped(from) {
            return Ok(());
        }
        let target = self.dest.join(to);
        if meta.is_dir() {
            self.directory(from, to)?;
            return self.tree(from, to, kind, is_skipped);
        }
        if meta.is_file() {
            let hashed = self.copy(from, &target, to);
            self.add(hashed, to, kind, meta.mode());
        } else if meta.is_symlink() {
            self.link(from, to);
        } else {
            self.warn(format!("{}: neither file nor folder, not copied", from.display()));
        }
        Ok(())
    }

    fn tree(
        &mut self,
        from: &Path,
        to: &str,
        kind: Kind,
        is_skipped: &dyn Fn(&Path) -> bool,
    ) -> Result<()> {
        for name in file::names(from)? {
            let below = from.join(&name);
            match name.to_str() {
                // The depth is that of the folders on disk.
                Some(name) => self.any(&below, &format!("{to}/{name}"), kind, is_skipped)?,
                None => self.fault(format!("{}: the name is not UTF-8", below.display())),
            }
        }
        Ok(())
    }

    fn link(&mut self, from: &Path, to: &str) {
        let made = fs::read_link(from).and_then(|target| {
            symlink(&target, self.dest.join(to))?;
            Ok(target)
        });
        match made.map(|target| target.into_os_string().into_string()) {
            Ok(Ok(target)) => {
                let entry = entry(to, Kind::Symlink, 0o777, Hashed::none());
                self.done(Entry { target: Some(target), ..entry });
            }
            Ok(Err(_)) => self.fault(format!("{to}: link to a name that is not UTF-8")),
            Err(error) => self.fault(format!("{to}: {error}")),
        }
    }

    fn directory(&mut self, from: &Path, to: &str) -> Result<()> {
        let mode = fs::metadata(from).map_or(0o700, |meta| meta.mode());
        file::make_dir(&self.dest.join(to))?;
        self.entries.push(entry(to, Kind::Directory, mode, Hashed::none()));
        Ok(())
    }

    fn copy(&mut self, from: &Path, target: &Path, to: &str) -> Result<Hashed> {
        self.progress.path = to.to_owned();
        let (progress, watch) = (&mut self.progress, &mut self.watch);
        file::copy(from, target, &mut |bytes| {
            progress.bytes += bytes;
            watch(progress);
        })
    }

    fn hash(&mut self, target: &Path, to: &str) -> Result<Hashed> {
        self.progress.path = to.to_owned();
        let (progress, watch) = (&mut self.progress, &mut self.watch);
        file::hash(target, &mut |bytes| {
            progress.bytes += bytes;
            watch(progress);
        })
    }

    fn add(&mut self, hashed: Result<Hashed>, to: &str, kind: Kind, mode: u32) {
        match hashed {
            Ok(hashed) => self.done(entry(to, kind, mode, hashed)),
            Err(error) => {
                // Half a file would be taken for a whole one by people.
                let _removed = fs::remove_file(self.dest.join(to));
                self.fault(format!("{to}: {}", text(&error)));
            }
        }
    }

    fn done(&mut self, entry: Entry) {
        self.outcome.files += 1;
        self.outcome.bytes += entry.size;
        self.progress.files += 1;
        self.entries.push(entry);
    }

    fn warn(&mut self, warning: String) {
        self.outcome.warnings.push(warning);
    }

    fn fault(&mut self, fault: String) {
        self.outcome.faults.push(fault);
    }

    /// Gives the folders their modes, makes all names durable, and writes the manifest.
    fn finish(self, options: &Options) -> Result<Outcome> {
        for entry in self.entries.iter().filter(|entry| entry.kind == Kind::Directory).rev() {
            let dir = self.dest.join(&entry.path);
            // Its owner must be able to read the backup and to remove it.
            let mode = fs::Permissions::from_mode(entry.mode_bits() | 0o700);
            fs::set_permissions(&dir, mode).at("set the mode of", &dir)?;
            file::sync_dir(&dir)?;
        }
        file::sync_dir(&self.dest)?;
        let header =
            Header { mox_backup: FORMAT, made: options.now.0, program: options.program.clone() };
        let faults = self.outcome.faults.clone();
        Manifest { header, entries: self.entries, faults }.write(&self.dest)?;
        Ok(self.outcome)
    }
}

/// Of our databases.
const PAGE_BYTES: u64 = 4_096;

fn entry(path: &str, kind: Kind, mode: u32, hashed: Hashed) -> Entry {
    let Hashed { size, sha256, chunks } = hashed;
    let mode = format!("{:o}", mode & 0o7777);
    Entry { path: path.to_owned(), kind, mode, size, sha256, chunks, target: None }
}
