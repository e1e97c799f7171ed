//! Mail between servers: two of ours and a Postfix, in a network of their own with signed DNS.

use std::io::Write as _;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tempfile::{NamedTempFile, TempDir};

use super::Case;
use super::program::run;
use super::server::program;

/// For all cases of the script, which share the servers.
const LIMIT: Duration = Duration::from_secs(420);

const SCRIPT: &str = include_str!("lab.py");

pub(super) const CASES: &[Case] =
    &[("servers exchange mail by STARTTLS, DANE and MTA-STS", |_| lab())];

/// Needs root, for the network and for port 25.
fn lab() -> Result<()> {
    let folder = TempDir::new().context("make folder")?;
    let mut script = NamedTempFile::new().context("make file")?;
    script.write_all(SCRIPT.as_bytes())?;
    // Where the user that the servers run as can read it.
    let mox = folder.path().join("mox");
    std::fs::copy(program(), &mox).with_context(|| format!("copy {}", program().display()))?;
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "--kill-child", "--fork", "/usr/bin/python3", "-P"]);
    command.arg(script.path()).arg(folder.path()).arg(mox);
    let output = run(&mut command, "", LIMIT)?;
    for line in output.lines() {
        println!("      {line}");
    }
    ensure!(output.contains("ok case_"), "no case was run");
    Ok(())
}
