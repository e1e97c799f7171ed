//! The Debian package, installed in a copy of this system.

use std::io::Write as _;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tempfile::NamedTempFile;

use super::Case;
use super::program::run;
use super::server::program;

const LIMIT: Duration = Duration::from_secs(180);

const SCRIPT: &str = include_str!("install.sh");

pub(super) const CASES: &[Case] =
    &[("the package installs, upgrades, and leaves the mail when it goes", |_| install())];

/// Needs root, for mounts and dpkg.
fn install() -> Result<()> {
    let binary = program().display().to_string();
    let made = crate::package::run(&crate::root()?, &["--binary".to_owned(), binary])?;
    let mut script = NamedTempFile::new().context("make file")?;
    script.write_all(SCRIPT.as_bytes())?;
    let package = made.first().context("a package was made")?;
    let mut command = Command::new("unshare");
    command.args(["--mount", "--kill-child", "--fork", "sh"]).arg(script.path()).arg(package);
    let output = run(&mut command, "", LIMIT)?;
    ensure!(output.contains("installed, upgraded, removed"), "not to the end:\n{output}");
    Ok(())
}
