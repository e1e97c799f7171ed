//! From nothing to mail: a server that `mox quickstart` makes, in a network of its own with signed DNS
//! and an ACME server.

use std::time::Duration;

use anyhow::Result;

use super::Case;
use super::lab::{Space, run_script};

/// For all cases of the script, which are steps on one machine.
const LIMIT: Duration = Duration::from_secs(600);

const SCRIPT: &str = include_str!("setup.py");

pub(super) const CASES: &[Case] =
    &[("quickstart makes a server that sends, receives, and survives a kill", |_| setup())];

fn setup() -> Result<()> {
    run_script(SCRIPT, Space::Machine, LIMIT)
}
