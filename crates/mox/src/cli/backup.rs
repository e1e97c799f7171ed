//! `mox backup`.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use mox_backup::{Options, Outcome, Source};
use mox_base::Clock as _;
use mox_checks::doctor::BACKUP_STAMP;
use mox_net::SystemClock;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::watching::{Watching, amount};
use super::{Global, print, say};
use crate::ctl::{Client, DONE, MORE};
use crate::data_dir::DataDir;

/// How often the server is told that the backup goes on.
const INTERVAL: Duration = Duration::from_secs(20);

/// Copy the configuration and all data, while the server runs or not.
///
/// DEST gets the folders config and data, and, when all is done, manifest.jsonl with a checksum of every
/// file: without it the backup was not finished. DEST must be missing or empty. Each database is copied as
/// of one moment, deliveries go on meanwhile. Files with bodies of messages are never changed; they
/// become hard links where DEST is on the same disk, so a backup against a broken disk belongs on
/// another one. What could not be copied is told, and the exit code is 1; the rest is good.
///
/// Check it with "mox verifydata DEST", and put it back with "mox restore".
#[derive(Debug, Args)]
pub(super) struct Backup {
    /// Tell each file.
    #[arg(long)]
    verbose: bool,
    /// An earlier backup on the same disk as DEST: what has not changed is linked to instead of copied.
    /// It may be removed later.
    #[arg(long, value_name = "EARLIER")]
    incremental_from: Option<PathBuf>,
    /// Where to.
    dest: PathBuf,
}

impl Backup {
    pub(super) fn run(self, global: &Global) -> Result<ExitCode> {
        let data = global.config()?.snapshot().data_dir();
        let (file, _) = global.config_path();
        let config = file.parent().filter(|dir| !dir.as_os_str().is_empty());
        let source = Source { config: config.unwrap_or_else(|| Path::new(".")).to_owned(), data };
        let data = source.data.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let outcome = runtime.context("start runtime")?.block_on(self.copy(source))?;
        for warning in &outcome.warnings {
            say(&format!("warning: {warning}\n"));
        }
        for fault in &outcome.faults {
            say(&format!("error: {fault}\n"));
        }
        let linked = outcome.linked_earlier + outcome.linked_data;
        let Outcome { files, bytes, .. } = outcome;
        let faults = outcome.faults.len();
        if faults > 0 {
            say(&format!("{faults} could not be copied; the rest is in {}\n", self.dest.display()));
            return Ok(ExitCode::FAILURE);
        }
        if let Err(error) = stamp(&data, &self.dest) {
            say(&format!("warning: \"mox doctor\" will not know of this backup: {error}\n"));
        }
        print(&format!("{files} files, {}, {linked} of them links\n", amount(bytes)))?;
        Ok(ExitCode::SUCCESS)
    }

    async fn copy(&self, source: Source) -> Result<Outcome> {
        let (dest, data) = (self.dest.clone(), source.data.clone());
        let options = Options {
            earlier: self.incremental_from.clone(),
            now: SystemClock::new().now(),
            program: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let is_verbose = self.verbose;
        let work = move |is_shared| {
            let mut watching = Watching::new(is_verbose, is_shared);
            mox_backup::backup(&source, &dest, &options, &mut |progress| watching.show(progress))
        };
        match Client::connect(&data).await {
            Ok(mut client) => {
                client.run("backup", &[]).await?;
                let running = tokio::task::spawn_blocking(move || work(true));
                Ok(beside(client, running).await??)
            }
            Err(refused) => {
                // A disk that is not mounted: an empty directory would be made, and copied.
                if !data.is_dir() {
                    return Err(refused);
                }
                // No server may start meanwhile.
                let Ok(_lock) = DataDir::take(&data) else { return Err(refused) };
                Ok(tokio::task::spawn_blocking(move || work(false)).await??)
            }
        }
    }
}

/// Leaves word in the data directory that a backup was finished, for `mox doctor`.
///
/// Attack: the directory is the service user's, and this may run as root. A link that was put there is
/// removed and never followed, and only a file that is made here changes its owner.
fn stamp(data: &Path, dest: &Path) -> io::Result<()> {
    let path = data.join(BACKUP_STAMP);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o640).open(&path)?;
    writeln!(file, "{}", dest.display())?;
    let owner = fs::metadata(data)?;
    fchown(&file, Some(owner.uid()), Some(owner.gid()))
}

/// Waits for the work, and tells the server that it goes on.
async fn beside<T>(mut client: Client, mut running: JoinHandle<T>) -> Result<T> {
    let mut is_lost = false;
    let done = loop {
        if let Ok(done) = timeout(INTERVAL, &mut running).await {
            break done?;
        }
        is_lost |= client.send(MORE, &[]).await.is_err();
    };
    if is_lost || client.run(DONE, &[]).await.is_err() {
        // Nothing bad came of it unless it is told: bodies that were removed are missed.
        say("warning: the server ended before the backup\n");
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_backup_leaves_word_and_follows_no_link() {
        let dir = tempfile::tempdir().unwrap();
        let (data, other) = (dir.path().join("data"), dir.path().join("other"));
        fs::create_dir(&data).unwrap();
        fs::write(&other, "precious").unwrap();
        symlink(&other, data.join(BACKUP_STAMP)).unwrap();
        for dest in ["/backup/1", "/backup/2"] {
            stamp(&data, Path::new(dest)).unwrap();
            let text = fs::read_to_string(data.join(BACKUP_STAMP)).unwrap();
            assert_eq!(text, format!("{dest}\n"));
        }
        assert_eq!(fs::read_to_string(other).unwrap(), "precious");
        stamp(&dir.path().join("none"), Path::new("/backup/3")).unwrap_err();
    }
}
