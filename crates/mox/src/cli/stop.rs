//! `mox stop`.

use anyhow::Result;
use clap::Args;

use super::{Global, print};

/// Stop the running server, and wait until it has ended.
///
/// Sessions get a few seconds to end what they do.
#[derive(Debug, Args)]
pub(super) struct Stop {}

impl Stop {
    pub(super) fn run(self, global: &Global) -> Result<()> {
        global.control(async |client| Ok(client.stop().await?))?;
        print("mox stopped\n")
    }
}
