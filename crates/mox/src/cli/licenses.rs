//! `mox licenses`.

use anyhow::Result;
use clap::Args;

use super::print;

/// Print the licences of mox and of all that is linked into it.
#[derive(Debug, Args)]
pub(super) struct Licenses {}

impl Licenses {
    pub(super) fn run(self) -> Result<()> {
        // Written by `cargo xtask licenses`.
        print(include_str!("licenses.txt"))
    }
}
