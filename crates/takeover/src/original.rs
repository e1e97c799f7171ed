//! A host of the original as a whole.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use mox_base::{MailboxName, UnixSeconds};
use mox_queue::Queue;
use mox_reportdb::ReportDb;
use mox_store::{ClientKeys, Store};

use crate::account::{Account, Watch};
use crate::auth::Auth;
use crate::file::{DatabaseFile, FileSource, TakeoverError};
use crate::files;
use crate::queue::{QueueAccount, QueueFiles};
use crate::report::Report;
use crate::reports::Reports;
use crate::summary::Summary;

/// The databases that the original has open as long as it runs.
const ALWAYS_OPEN: &[&str] = &["auth.db", "queue/index.db"];

/// Directories of accounts that are looked at.
const ACCOUNTS_MAX: usize = 1_000_000;

/// An account of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its name.
    pub name: String,
    /// The mailbox of its setting `Introbox`.
    pub introbox: Option<MailboxName>,
    /// What matters to the queue.
    pub queue: QueueAccount,
}

/// Where everything goes.
#[derive(Clone, Copy)]
pub struct Targets<'a> {
    /// Our data directory.
    pub dir: &'a Path,
    /// Accounts.
    pub store: &'a Store,
    /// What is on its way out.
    pub queue: &'a Queue,
    /// Reports and policies.
    pub reports: &'a ReportDb,
    /// Keys to log in with.
    pub client_keys: &'a ClientKeys,
}

/// The data directory of an original that does not run.
#[derive(Debug)]
pub struct Original {
    dir: PathBuf,
    /// Keep it from being started.
    _locked: Vec<FileSource>,
    stamp: String,
}

impl Original {
    /// Opens a data directory, and keeps the original from being started on it. Blocks.
    ///
    /// # Errors
    ///
    /// [`TakeoverError::InUse`] if it runs, [`TakeoverError::NotOriginal`] if it is no such directory.
    pub fn open(dir: &Path) -> Result<Self, TakeoverError> {
        if !crate::is_original(dir) {
            return Err(TakeoverError::NotOriginal(dir.to_owned()));
        }
        let (mut locked, mut stamps) = (Vec::new(), Vec::new());
        for name in ALWAYS_OPEN {
            let path = dir.join(name);
            if !path.exists() {
                continue;
            }
            locked.push(FileSource::open(&path)?);
            stamps.push(match DatabaseFile::open(path) {
                Ok(file) => file.database.transaction().to_string(),
                // Told by the part that reads it.
                Err(error) if error.is_damage() => "damaged".to_owned(),
                Err(error) => return Err(error),
            });
        }
        Ok(Self { dir: dir.to_owned(), _locked: locked, stamp: stamps.join(" ") })
    }

    /// What changes whenever the original is started: it commits to these databases then. One copy cannot
    /// be begun before that and ended after it.
    #[must_use]
    pub fn stamp(&self) -> String {
        self.stamp.clone()
    }

    /// Reads everything that [`Original::copy`] would, and tells what that would give. Writes nothing.
    /// Blocks, for long.
    ///
    /// - `now`: what is out of date then is not taken.
    ///
    /// # Errors
    ///
    /// [`TakeoverError::InUse`], [`TakeoverError::Stopped`]. What is damaged is in the report.
    pub fn check(
        &self,
        accounts: &[Wanted],
        now: UnixSeconds,
        watch: &mut dyn Watch,
    ) -> Result<Report, TakeoverError> {
        Run { original: self, accounts, into: None, now }.run(watch)
    }

    /// Copies everything that ours has a place for. Ended at any moment and done again, it goes on and
    /// gives the same. Blocks, for long.
    ///
    /// # Errors
    ///
    /// As [`Original::check`], and if a target holds other things or cannot be written to.
    pub fn copy(
        &self,
        accounts: &[Wanted],
        into: &Targets<'_>,
        now: UnixSeconds,
        watch: &mut dyn Watch,
    ) -> Result<Report, TakeoverError> {
        Run { original: self, accounts, into: Some(into), now }.run(watch)
    }
}

/// A look at everything, or a copy of it.
struct Run<'a> {
    original: &'a Original,
    accounts: &'a [Wanted],
    into: Option<&'a Targets<'a>>,
    now: UnixSeconds,
}

impl Run<'_> {
    /// In the order in which parts refer to one another: accounts come before what is theirs.
    fn run(&self, watch: &mut dyn Watch) -> Result<Report, TakeoverError> {
        let mut watch = Stoppable { inner: watch, is_stopped: false };
        let mut report = Report::default();
        let dir = &self.original.dir;
        let auth = opened(Auth::open(dir), &mut report.logins)?;
        let removed = match auth.as_ref().map(Auth::removed_accounts).transpose() {
            Err(error) if error.is_damage() => {
                report.logins.damage("removals of accounts", error.in_full());
                Vec::new()
            }
            removed => removed?.unwrap_or_default(),
        };
        let is_gone = |name: &str| removed.iter().any(|gone| gone == name);
        for wanted in self.accounts {
            watch.part(&format!("account {}", wanted.name));
            let summary = match is_gone(&wanted.name) {
                true => gone(&wanted.name),
                false => told(self.account(wanted, &mut watch))?,
            };
            report.accounts.insert(wanted.name.clone(), summary);
            watch.check()?;
        }
        let taken =
            |name: &str| self.accounts.iter().find(|wanted| wanted.name == name && !is_gone(name));
        if let Some(auth) = &auth {
            watch.part("login keys");
            let is_taken = |name: &str| taken(name).is_some();
            report.logins.add(told(match self.into {
                Some(into) => auth.copy(into.client_keys, &is_taken, &mut watch),
                None => auth.check(&is_taken, &mut watch),
            })?);
            watch.check()?;
        }
        // The original makes it whenever it starts.
        let index = dir.join("queue/index.db");
        if !index.exists() {
            report.queue.damage("databases", format!("{}: missing", index.display()));
        }
        if let Some(queue) = opened(QueueFiles::open(dir), &mut report.queue)? {
            watch.part("queue");
            let account = |name: &str| taken(name).map(|wanted| wanted.queue);
            report.queue.add(told(match self.into {
                Some(into) => queue.copy(into.queue, self.now, &account, &mut watch),
                None => queue.check(self.now, &account, &mut watch),
            })?);
            watch.check()?;
        }
        if let Some(reports) = opened(Reports::open(dir), &mut report.reports)? {
            watch.part("reports");
            report.reports.add(told(match self.into {
                Some(into) => reports.copy(into.reports, self.now, &mut watch),
                None => reports.check(self.now, &mut watch),
            })?);
            watch.check()?;
        }
        watch.part("files");
        report.files = told(match self.into {
            Some(into) => files::copy(dir, into.dir),
            None => files::check(dir),
        })?;
        let accounts = dir.join("accounts");
        if !self.accounts.is_empty() && !accounts.is_dir() {
            report.files.damage("files", format!("{}: missing", accounts.display()));
        }
        match self.tell_others(&mut report.files) {
            Err(error) if error.is_damage() => report.files.damage("files", error.in_full()),
            told => told?,
        }
        Ok(report)
    }

    fn account(&self, wanted: &Wanted, watch: &mut dyn Watch) -> Result<Summary, TakeoverError> {
        let dir = self.original.dir.join("accounts").join(&wanted.name);
        // A link to a disk that is not there, say, is no account that was not used yet.
        let is_unused = matches!(
            fs::symlink_metadata(&dir),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound
        );
        let theirs = (!is_unused).then(|| Account::open(&dir)).transpose();
        let Some(into) = self.into else {
            let Some(theirs) = theirs? else { return Ok(unused(&dir)) };
            let mut summary = theirs.check(watch)?;
            summary.add(theirs.check_sending()?);
            return Ok(summary);
        };
        // Made even if nothing can be read: mail to it comes from now on.
        let ours = into.store.account(&wanted.name)?;
        let summary = match theirs? {
            Some(theirs) => {
                let mut summary = theirs.copy(&ours, wanted.introbox.as_ref(), watch)?;
                summary.add(theirs.copy_sending(&wanted.name, into.queue, self.now)?);
                summary
            }
            None => unused(&dir),
        };
        // So that not all accounts of a large host are open at once.
        drop(ours);
        into.store.tick();
        Ok(summary)
    }

    /// Directories of accounts that the configuration does not have any more: the original's, and ours if
    /// an earlier run had filled them.
    fn tell_others(&self, summary: &mut Summary) -> Result<(), TakeoverError> {
        let theirs = "accounts that the configuration does not have";
        self.tell_others_in(&self.original.dir, theirs, summary)?;
        let ours =
            "accounts of an earlier run that the configuration does not have now: remove them";
        self.into.map_or(Ok(()), |into| self.tell_others_in(into.dir, ours, summary))
    }

    fn tell_others_in(
        &self,
        dir: &Path,
        kind: &'static str,
        summary: &mut Summary,
    ) -> Result<(), TakeoverError> {
        let path = dir.join("accounts");
        let unreadable = |source| TakeoverError::Read { path: path.clone(), source };
        let wanted: BTreeSet<_> = self.accounts.iter().map(|one| one.name.as_str()).collect();
        if !path.exists() {
            return Ok(());
        }
        for entry in fs::read_dir(&path).map_err(unreadable)?.take(ACCOUNTS_MAX) {
            let entry = entry.map_err(unreadable)?;
            if !entry.file_name().to_str().is_some_and(|name| wanted.contains(name)) {
                let shown = entry.path().display().to_string();
                summary.skip(kind, shown);
            }
        }
        Ok(())
    }
}

/// An account that the configuration has and that nobody has used.
fn unused(dir: &Path) -> Summary {
    let mut summary = Summary::default();
    summary.differs("accounts that were not used yet", dir.display().to_string());
    summary
}

/// An account whose removal was not ended. The configuration has it if another got its name.
fn gone(name: &str) -> Summary {
    let mut summary = Summary::default();
    summary.skip("accounts whose removal was begun", name);
    summary
}

/// A part that cannot be opened at all is told, and then as if it were not there.
fn opened<T>(
    opened: Result<Option<T>, TakeoverError>,
    summary: &mut Summary,
) -> Result<Option<T>, TakeoverError> {
    match opened {
        Err(error) if error.is_damage() => {
            summary.damage("databases", error.in_full());
            Ok(None)
        }
        opened => opened,
    }
}

/// Damage of a part as a whole does not keep the others from being looked at.
fn told(found: Result<Summary, TakeoverError>) -> Result<Summary, TakeoverError> {
    match found {
        Err(error) if error.is_damage() => {
            let mut summary = Summary::default();
            summary.damage("databases", error.in_full());
            Ok(summary)
        }
        found => found,
    }
}

/// Remembers that whoever watches wants it to end.
struct Stoppable<'a> {
    inner: &'a mut dyn Watch,
    is_stopped: bool,
}

impl Stoppable<'_> {
    fn check(&self) -> Result<(), TakeoverError> {
        if self.is_stopped { Err(TakeoverError::Stopped) } else { Ok(()) }
    }
}

impl Watch for Stoppable<'_> {
    fn part(&mut self, name: &str) {
        self.inner.part(name);
    }

    fn progress(&mut self, done: u64, total: u64) -> bool {
        let goes_on = self.inner.progress(done, total);
        self.is_stopped |= !goes_on;
        goes_on
    }
}
