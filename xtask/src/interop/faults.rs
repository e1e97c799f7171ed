//! Disks that are full and disks that fail, under the real program.
//!
//! The full disk is a small file system in memory, which needs root to mount; the failing one is
//! made by a C library that is put before the system's.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::Case;
use super::program::run;
use super::python::script_of;
use super::server::Server;

const LIMIT: Duration = Duration::from_secs(120);

/// Every how many syncs one fails.
const FAIL_EVERY: &str = "9";

/// The first ones succeed, so that the server starts.
const FAIL_AFTER: &str = "60";

pub(super) const CASES: &[Case] = &[
    ("a full disk refuses mail until there is room", |_| full_disk()),
    ("syncs that fail", |_| failing_syncs()),
];

const SCRIPT: &str = include_str!("faults.py");

fn numbers(text: &str) -> Vec<u64> {
    text.trim().split(',').filter_map(|number| number.parse().ok()).collect()
}

/// A file system in memory, unmounted when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(folder: &Path, size: &str) -> Result<Self> {
        let options = format!("size={size}");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(folder);
        run(&mut mount, "", LIMIT).context("mount a small disk")?;
        Ok(Self(folder.to_owned()))
    }

    fn grow(&self, size: &str) -> Result<()> {
        let options = format!("remount,size={size}");
        run(Command::new("mount").args(["-o", &options]).arg(&self.0), "", LIMIT).map(|_| ())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(run(Command::new("umount").arg("--lazy").arg(&self.0), "", LIMIT));
    }
}

/// Fills the disk until mail is refused, as temporary; then gives it room.
fn full_disk() -> Result<()> {
    let folder = tempfile::tempdir().context("make folder")?;
    let disk = SmallDisk::mount(folder.path(), "12m")?;
    let server = Server::start_in(folder.path(), &[])?;
    let refused = script_of(&server, SCRIPT, "until_refused", &["60000", "2000"])?;
    let (taken, code) = refused.trim().split_once(' ').context("output of script")?;
    let taken: u64 = taken.parse()?;
    ensure!(taken > 10 && matches!(code, "451" | "452"), "{taken} messages, then {code}");
    let there = numbers(&script_of(&server, SCRIPT, "present", &[])?);
    ensure!((0..taken).all(|number| there.contains(&number)), "{taken} acknowledged: {there:?}");
    disk.grow("64m")?;
    let output = script_of(&server, SCRIPT, "acknowledged", &["10000", "5", "60000"])?;
    ensure!(numbers(output.lines().next().unwrap_or_default()).len() == 5, "with room: {output}");
    let data = server.data();
    server.stop()?;
    verify(&data)?;
    drop(disk);
    Ok(())
}

/// Delivers while syncs fail now and then: what is acknowledged is there after a restart, once.
fn failing_syncs() -> Result<()> {
    let folder = tempfile::tempdir().context("make folder")?;
    let library = folder.path().join("failing_sync.so");
    let mut compile = Command::new("cc");
    compile.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).args(["-x", "c", "-", "-ldl"]);
    run(&mut compile, include_str!("failing_sync.c"), LIMIT).context("compile the failing disk")?;
    let preload = library.to_string_lossy().into_owned();
    let failing =
        [("LD_PRELOAD", preload.as_str()), ("FAIL_EVERY", FAIL_EVERY), ("FAIL_AFTER", FAIL_AFTER)];
    let server = Server::start_in(folder.path(), &failing)?;
    let output = script_of(&server, SCRIPT, "acknowledged", &["0", "300", "2000"])?;
    let mut lines = output.lines();
    let taken = numbers(lines.next().unwrap_or_default());
    let codes = numbers(lines.next().unwrap_or_default());
    ensure!(taken.len() > 100 && taken.len() < 300, "{} of 300 were taken", taken.len());
    ensure!(codes.iter().all(|code| (400..500).contains(code)), "codes {codes:?}");
    let server = server.restart()?;
    let there = numbers(&script_of(&server, SCRIPT, "present", &[])?);
    let unique: BTreeSet<_> = there.iter().collect();
    let lost: Vec<_> = taken.iter().filter(|number| !unique.contains(number)).collect();
    ensure!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    ensure!(unique.len() == there.len(), "delivered twice: {there:?}");
    let data = server.data();
    server.stop()?;
    verify(&data)
}

/// The consistency check of every account.
fn verify(data: &Path) -> Result<()> {
    let mut command = Command::new(super::server::program());
    command.arg("verifydata").arg(data);
    run(&mut command, "", LIMIT).map(|_| ()).context("verifydata")
}
