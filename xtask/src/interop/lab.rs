//! Mail between servers: two of ours and a Postfix, in a network of their own with signed DNS.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use super::Case;
use super::program::run;
use super::server::program;

/// For all cases of the script, which share the servers.
const LIMIT: Duration = Duration::from_secs(420);

const SCRIPT: &str = include_str!("lab.py");

/// What the scripts of labs have in common.
const SHARED: &str = include_str!("labnet.py");

/// Hosts of the original.
const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/bstore/tests/fixtures");

pub(super) const CASES: &[Case] =
    &[("servers exchange mail by STARTTLS, DANE and MTA-STS", |_| lab())];

fn lab() -> Result<()> {
    run_script(SCRIPT, Space::Network, LIMIT)
}

/// What a script has of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Space {
    /// The network and the mounts.
    Network,
    /// The name of the machine and the processes too.
    Machine,
}

impl Space {
    fn flags(self) -> &'static [&'static str] {
        match self {
            Self::Network => &["--net", "--mount"],
            Self::Machine => &["--net", "--mount", "--uts", "--pid", "--mount-proc"],
        }
    }
}

/// Runs all cases of a script. Needs root, for the network and for port 25.
pub(super) fn run_script(script: &str, space: Space, limit: Duration) -> Result<()> {
    let folder = TempDir::new().context("make folder")?;
    let scripts = TempDir::new().context("make folder")?;
    let main = scripts.path().join("main.py");
    fs::write(&main, script)?;
    fs::write(scripts.path().join("labnet.py"), SHARED)?;
    // Where the user that the servers run as can read it.
    let mox = folder.path().join("mox");
    fs::copy(program(), &mox).with_context(|| format!("copy {}", program().display()))?;
    let mut command = Command::new("unshare");
    command.args(space.flags()).args(["--kill-child", "--fork", "/usr/bin/python3", "-P"]);
    command.arg(main).arg(folder.path()).arg(mox);
    command.env("FIXTURES", FIXTURES);
    command.env("PYTHONPATH", scripts.path()).env("PYTHONDONTWRITEBYTECODE", "1");
    let output = run(&mut command, "", limit)?;
    for line in output.lines() {
        println!("      {line}");
    }
    ensure!(output.contains("ok case_"), "no case was run");
    Ok(())
}
