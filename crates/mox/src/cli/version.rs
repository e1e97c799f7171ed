//! `mox version`.

use std::env::consts::{ARCH, OS};

use anyhow::Result;
use clap::Args;

use super::print;
use crate::VERSION;

/// Print the version, and what machine it was built for.
#[derive(Debug, Args)]
pub(super) struct Version {}

impl Version {
    pub(super) fn run(self) -> Result<()> {
        print(&format!("mox {VERSION}\n{OS}/{ARCH}\n"))
    }
}
