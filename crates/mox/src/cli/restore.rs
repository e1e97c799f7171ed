//! `mox restore`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use mox_backup::{Manifest, Target, check_unused, restore, verify_files};

use super::watching::{Watching, amount};
use super::{Global, print, say};
use crate::data_dir::DataDir;

/// Put a backup back.
///
/// First the whole backup is compared with its checksums; a damaged one is not put back. DATADIR must be
/// missing or empty: move a used data directory away, nothing is overwritten. Mail programs that saw
/// newer messages may mix them up with those that come now: see "mox bumpuidvalidity".
#[derive(Debug, Args)]
pub(super) struct Restore {
    /// The backup.
    backup: PathBuf,
    /// The data directory to make.
    datadir: PathBuf,
    /// Put the configuration back too, into this folder, which must be missing or empty.
    #[arg(long, value_name = "DIR")]
    config_dir: Option<PathBuf>,
    /// Only say what would be done.
    #[arg(long)]
    dry_run: bool,
}

impl Restore {
    pub(super) fn run(self, _global: &Global) -> Result<ExitCode> {
        let Target::Backup(backup) = Target::of(&self.backup)? else {
            anyhow::bail!("{}: not a backup", self.backup.display());
        };
        for dir in [Some(&self.datadir), self.config_dir.as_ref()].into_iter().flatten() {
            check_unused(dir)?;
        }
        if !is_well(&backup)? {
            return Ok(ExitCode::FAILURE);
        }
        let manifest = Manifest::read(&backup)?;
        if self.dry_run {
            let bytes = manifest.entries.iter().map(|entry| entry.size).sum();
            let count = manifest.entries.len();
            print(&format!("{count} entries, {}, would be put back\n", amount(bytes)))?;
            return Ok(ExitCode::SUCCESS);
        }
        let data = DataDir::take(&self.datadir)?;
        let mut watching = Watching::new(false, false);
        let restored =
            restore(&backup, data.path(), self.config_dir.as_deref(), &mut |progress| {
                watching.show(progress);
            })?;
        drop(watching);
        print(&format!("{} files, {}, put back\n", restored.files, amount(restored.bytes)))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Compares all files with their checksums, and tells what is wrong.
fn is_well(backup: &std::path::Path) -> Result<bool> {
    let mut watching = Watching::new(false, false);
    let verified = verify_files(backup, &mut |progress| watching.show(progress))?;
    drop(watching);
    for fault in &verified.faults {
        say(&format!("error: {fault}\n"));
    }
    if !verified.faults.is_empty() {
        say("the backup is damaged: nothing was put back\n");
    }
    Ok(verified.faults.is_empty())
}
