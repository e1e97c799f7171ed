//! Where the data of the original lies that is taken over, and where ours goes.
//!
//! With the same configuration both have the same place. Ours is made beside it then, and the two change
//! names in one step when everything is there: until then the original can be started as if nothing had
//! been, and at no moment is there nothing, or half of something, under the name.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use mox_config::Config;
use mox_takeover::{REPORT, finish, is_finished, is_original, is_unfinished};
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

/// What is added to the name of the data directory for ours while it is filled.
const FILLED: &str = ".new";

/// What is added to the name of the data directory for the original's, when ours has its place.
const KEPT: &str = ".original";

/// The places of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Places {
    /// The original's data directory.
    pub(crate) source: PathBuf,
    /// Ours.
    pub(crate) target: PathBuf,
    /// If the two change names in the end.
    pub(crate) swap: Option<Swap>,
}

/// What changes names in the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Swap {
    /// The data directory of the configuration.
    live: PathBuf,
    /// What was filled.
    filled: PathBuf,
    /// The name that the original's gets.
    pub(crate) kept: PathBuf,
}

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Found {
    /// All of it.
    Nothing(Places),
    /// A crash came between two steps of the last moment: only names are left to change.
    AllButNames(Swap),
}

impl Places {
    /// Finds out where things are and will be. Changes nothing.
    ///
    /// - `data`: the original's data directory, if it is not that of the configuration.
    ///
    /// # Errors
    ///
    /// If it cannot be done like this; the text says what can.
    pub(crate) fn find(config: &Config, data: Option<&Path>) -> Result<Found> {
        let live = real(&config.data_dir())?;
        let source = data.map_or_else(|| Ok(live.clone()), real)?;
        if source != live {
            if live.starts_with(&source) || source.starts_with(&live) {
                bail!(
                    "{} and {}, the data directory of the configuration, lie in one another: move \
                     one of them",
                    source.display(),
                    live.display()
                );
            }
            return Ok(Found::Nothing(Self { source, target: live, swap: None }));
        }
        let swap =
            Swap { filled: with_suffix(&live, FILLED)?, kept: with_suffix(&live, KEPT)?, live };
        if !is_original(&swap.live) {
            // The report comes before names are changed. Without it, this is half of what is taken over
            // with --data from where somebody moved the original's.
            let is_filled = is_unfinished(&swap.live) && swap.live.join(REPORT).is_file();
            if is_filled && (is_original(&swap.filled) || is_original(&swap.kept)) {
                return Ok(Found::AllButNames(swap));
            }
            if is_finished(&swap.live) {
                bail!(
                    "everything was taken over before: {} is ours, see {REPORT} there",
                    swap.live.display()
                );
            }
            bail!(
                "{} holds no data of the original mox; name its data directory with --data",
                swap.live.display()
            );
        }
        swap.check(&real(config.dir())?)?;
        let (source, target) = (swap.live.clone(), swap.filled.clone());
        Ok(Found::Nothing(Self { source, target, swap: Some(swap) }))
    }
}

impl Swap {
    fn check(&self, config_dir: &Path) -> Result<()> {
        let advice = format!(
            "stop it, move {} away yourself, and name where it is then with --data",
            self.live.display()
        );
        if config_dir.starts_with(&self.live) {
            bail!(
                "the configuration lies in the data directory, which is to change its name: write \
                 one with another DataDir, and name this one with --data"
            );
        }
        let parent = self.live.parent().context("a data directory cannot be /")?;
        let dev = |path: &Path| fs::metadata(path).map(|meta| meta.dev());
        if dev(&self.live).context("look at the data directory")? != dev(parent)? {
            bail!("{} is a file system of its own: {advice}", self.live.display());
        }
        if self.kept.exists() {
            bail!(
                "{} exists, which is the name for the original's data directory: move it away",
                self.kept.display()
            );
        }
        Ok(())
    }

    /// Finds out whether the names can be changed in one step here, so that this does not come to light
    /// when all else is done.
    ///
    /// # Errors
    ///
    /// If not, or the directory cannot be written to.
    pub(crate) fn try_out(&self) -> Result<()> {
        let dir = tempfile::Builder::new().prefix(".mox").tempdir_in(&self.filled);
        let dir = dir.with_context(|| format!("write to {}", self.filled.display()))?;
        let (one, other) = (dir.path().join("one"), dir.path().join("other"));
        fs::create_dir(&one).and_then(|()| fs::create_dir(&other)).context("make directories")?;
        exchange(&one, &other).with_context(|| {
            format!(
                "this file system cannot exchange two directories: stop the original, move {} away \
                 yourself, and name where it is then with --data",
                self.live.display()
            )
        })
    }

    /// Gives ours the name of the original's, which gets another.
    ///
    /// # Errors
    ///
    /// If a name cannot be changed. To be done again: [`Places::find`] knows how far it came.
    pub(crate) fn change_names(&self) -> Result<()> {
        exchange(&self.live, &self.filled).with_context(|| {
            format!("exchange {} and {}", self.live.display(), self.filled.display())
        })?;
        self.sync()?;
        self.complete()
    }

    /// What comes after ours has its name; until then it is said not to be filled.
    ///
    /// # Errors
    ///
    /// As [`Swap::change_names`].
    pub(crate) fn complete(&self) -> Result<()> {
        if self.filled.exists() {
            let (from, to) = (&self.filled, &self.kept);
            // Never over another: there might be mail in it.
            let renamed = renameat2(AT_FDCWD, from, AT_FDCWD, to, RenameFlags::RENAME_NOREPLACE);
            renamed.with_context(|| format!("rename {} to {}", from.display(), to.display()))?;
            self.sync()?;
        }
        Ok(finish(&self.live)?)
    }

    fn sync(&self) -> Result<()> {
        let parent = self.live.parent().unwrap_or_else(|| Path::new("/"));
        let synced = File::open(parent).and_then(|parent| parent.sync_all());
        synced.with_context(|| format!("sync {}", parent.display()))
    }
}

fn exchange(one: &Path, other: &Path) -> nix::Result<()> {
    renameat2(AT_FDCWD, one, AT_FDCWD, other, RenameFlags::RENAME_EXCHANGE)
}

/// The path without symbolic links, so that two names of one directory are seen to be one. What is
/// missing is taken as it is.
fn real(path: &Path) -> Result<PathBuf> {
    let path = std::path::absolute(path).with_context(|| format!("{}", path.display()))?;
    match fs::canonicalize(&path) {
        Ok(real) => Ok(real),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            match (path.parent(), path.file_name()) {
                (Some(parent), Some(name)) => Ok(real(parent)?.join(name)),
                _ => Ok(path),
            }
        }
        Err(error) => Err(error).with_context(|| format!("{}", path.display())),
    }
}

fn with_suffix(path: &Path, suffix: &str) -> Result<PathBuf> {
    let mut name = path.file_name().context("a data directory needs a name")?.to_owned();
    name.push(suffix);
    Ok(path.with_file_name(name))
}
