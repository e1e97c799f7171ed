//! `mox config printservice`.

use anyhow::{Context, Result};
use clap::Args;

use super::print;
use crate::unit;

/// Print a service unit for systemd, for this program in the current directory.
#[derive(Debug, Args)]
pub(super) struct Printservice {}

impl Printservice {
    pub(super) fn run(self) -> Result<()> {
        let program = std::env::current_exe().context("find this program")?;
        let dir = std::env::current_dir().context("find the current directory")?;
        print(&unit::service(&program, &dir))
    }
}
