//! `mox verifydata`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Result, bail};
use clap::Args;
use mox_backup::{Target, Verified, fix, verify_backup, verify_data};
use mox_base::Clock;
use mox_net::SystemClock;

use super::watching::Watching;
use super::{Global, print, say};
use crate::data_dir::DataDir;

/// Check a backup, or a data directory that no server uses.
///
/// Of a backup, every byte is compared with the checksums made with it, and nothing in it is changed; its
/// folder data stands for the backup. Then all accounts, the queue and the reports are read and looked through
/// for contradictions; every message is compared with the checksum made when it came. Of a data directory,
/// tables of older versions are brought up to date. Prints what is wrong, with the file or the account and
/// the message it hits, or that all is well.
#[derive(Debug, Args)]
pub(super) struct VerifyData {
    /// Mend a data directory: files that no message has go to its folder moved, mailboxes are counted
    /// anew, numbers that would be given out twice are raised. Nothing is removed, and a backup is never
    /// changed.
    #[arg(long)]
    fix: bool,
    /// Do not read what messages hold.
    #[arg(long)]
    skip_size_check: bool,
    /// The backup or data directory.
    datadir: PathBuf,
}

impl VerifyData {
    pub(super) fn run(self, _global: &Global) -> Result<ExitCode> {
        if self.fix {
            self.mend()?;
        }
        let Verified { faults, warnings, .. } = verify(&self.datadir, !self.skip_size_check)?;
        for warning in &warnings {
            say(&format!("warning: {warning}\n"));
        }
        for fault in &faults {
            say(&format!("error: {fault}\n"));
        }
        if !faults.is_empty() {
            return Ok(ExitCode::FAILURE);
        }
        print(&format!("{}: OK\n", self.datadir.display()))?;
        Ok(ExitCode::SUCCESS)
    }
}

impl VerifyData {
    fn mend(&self) -> Result<()> {
        let Target::Data(data) = Target::of(&self.datadir)? else {
            bail!("{}: a backup is not changed", self.datadir.display());
        };
        let data = DataDir::take(&data)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        for done in fix(data.path(), &clock)? {
            print(&format!("{done}\n"))?;
        }
        Ok(())
    }
}

fn verify(dir: &Path, reads_bodies: bool) -> Result<Verified> {
    if !dir.is_dir() {
        bail!("{}: no such directory", dir.display());
    }
    match Target::of(dir)? {
        Target::Backup(backup) => {
            let mut watching = Watching::new(false, false);
            Ok(verify_backup(&backup, reads_bodies, &mut |progress| watching.show(progress))?)
        }
        Target::Data(data) => Ok(verify_data(DataDir::take(&data)?.path(), reads_bodies)?),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::data_dir::QUEUE;

    #[test]
    fn a_fresh_directory_is_well_and_a_damaged_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let ls = dir.path().join("ls");
        assert!(verify(&ls, true).is_err());
        crate::localserve::init(&ls, &crate::localserve::InitOptions::default()).unwrap();
        assert_eq!(verify(&ls, true).unwrap().faults, Vec::<String>::new());
        fs::create_dir(ls.join("accounts/broken")).unwrap();
        fs::write(ls.join("accounts/broken/index.db"), vec![b'x'; 10_000]).unwrap();
        let faults = verify(&ls, true).unwrap().faults;
        assert!(faults[0].starts_with("accounts/broken: "), "{faults:?}");
        fs::create_dir_all(ls.join(QUEUE)).unwrap();
        fs::write(ls.join(QUEUE).join("queue.db"), vec![b'x'; 10_000]).unwrap();
        let faults = verify(&ls, true).unwrap().faults;
        assert!(faults[0].starts_with("queue: "), "{faults:?}");
    }

    #[test]
    fn a_directory_in_use_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let _used = DataDir::take(dir.path()).unwrap();
        assert!(verify(dir.path(), true).is_err());
    }
}
