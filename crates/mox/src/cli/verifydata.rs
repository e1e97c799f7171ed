//! `mox verifydata`.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::Args;
use mox_net::SystemClock;
use mox_reportdb::ReportDb;
use mox_store::{ClientKeys, Policy, Store};

use super::{Global, print, say};
use crate::data_dir::{DataDir, QUEUE, REPORTS_DB};

/// Check all accounts, the queue and the reports in a data directory that no server uses, such as a copy.
///
/// Reads every message. Prints what is wrong, or that all is well.
#[derive(Debug, Args)]
pub(super) struct VerifyData {
    /// The data directory.
    datadir: PathBuf,
}

impl VerifyData {
    pub(super) fn run(self, _global: &Global) -> Result<ExitCode> {
        let faults = verify(&self.datadir)?;
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

/// Everything that is wrong, by account.
fn verify(dir: &Path) -> Result<Vec<String>> {
    if !dir.is_dir() {
        bail!("{}: no such directory", dir.display());
    }
    let data = DataDir::take(dir)?;
    let mut faults = Vec::new();
    if data.path().join("auth.db").exists()
        && let Err(error) = ClientKeys::open(data.path()).and_then(|keys| keys.list(None))
    {
        faults.push(format!("auth.db: {error}"));
    }
    let reports = data.path().join(REPORTS_DB);
    if reports.exists() {
        match ReportDb::open(&reports).and_then(|db| db.check()) {
            Ok(found) => faults.extend(found.iter().map(|fault| format!("reports.db: {fault}"))),
            Err(error) => faults.push(format!("reports.db: {error}")),
        }
    }
    let queue = data.path().join(QUEUE);
    if queue.exists() {
        match mox_queue::check(&queue) {
            Ok(found) => faults.extend(found.iter().map(|fault| format!("{QUEUE}: {fault}"))),
            Err(error) => faults.push(format!("{QUEUE}: {error}")),
        }
    }
    let accounts = data.path().join("accounts");
    if !accounts.is_dir() {
        return Ok(faults);
    }
    let store = Store::new(data.path(), Arc::new(SystemClock::new()), Arc::new(Policy::default()));
    let mut names: Vec<OsString> = fs::read_dir(&accounts)
        .and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect())
        .with_context(|| format!("list {}", accounts.display()))?;
    names.sort();
    for name in names {
        let shown = name.display();
        let Some(account) = name.to_str() else {
            faults.push(format!("accounts/{shown}: the name is not UTF-8"));
            continue;
        };
        match store.account(account).and_then(|account| account.check()) {
            Ok(found) => {
                faults.extend(found.iter().map(|fault| format!("accounts/{shown}: {fault}")));
            }
            Err(error) => faults.push(format!("accounts/{shown}: {error}")),
        }
    }
    Ok(faults)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_directory_is_well_and_a_damaged_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let ls = dir.path().join("ls");
        assert!(verify(&ls).is_err());
        crate::localserve::init(&ls, &crate::localserve::InitOptions::default()).unwrap();
        assert_eq!(verify(&ls).unwrap(), Vec::<String>::new());
        fs::create_dir(ls.join("accounts/broken")).unwrap();
        fs::write(ls.join("accounts/broken/index.db"), vec![b'x'; 10_000]).unwrap();
        let faults = verify(&ls).unwrap();
        assert!(faults[0].starts_with("accounts/broken: "), "{faults:?}");
        fs::create_dir_all(ls.join(QUEUE)).unwrap();
        fs::write(ls.join(QUEUE).join("queue.db"), vec![b'x'; 10_000]).unwrap();
        let faults = verify(&ls).unwrap();
        assert!(faults[0].starts_with("queue: "), "{faults:?}");
    }

    #[test]
    fn a_directory_in_use_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let _used = DataDir::take(dir.path()).unwrap();
        assert!(verify(dir.path()).is_err());
    }
}
