//! `mox queue fail` and `mox queue drop`.

use anyhow::{Context as _, Result};
use clap::Args;

use super::filter::Filter;
use super::{Global, print};

/// Give messages up: their senders are told that they were not delivered.
///
/// Those that are being sent right now are left alone. Without flags, all are given up.
#[derive(Debug, Args)]
pub(in crate::cli) struct Fail {
    #[command(flatten)]
    filter: Filter,
}

/// Remove messages: nobody is told, but by webhook.
///
/// Those that are being sent right now are left alone. Without flags, all are removed.
#[derive(Debug, Args)]
pub(in crate::cli) struct Drop {
    #[command(flatten)]
    filter: Filter,
}

impl Fail {
    pub(super) fn run(self, global: &Global) -> Result<()> {
        end(global, self.filter, "queuefail", "marked as failed")
    }
}

impl Drop {
    pub(super) fn run(self, global: &Global) -> Result<()> {
        end(global, self.filter, "queuedrop", "dropped")
    }
}

fn end(global: &Global, filter: Filter, command: &str, done: &str) -> Result<()> {
    let filter = filter.json()?;
    let count = global.control(async |mut client| Ok(client.text(command, &[&filter]).await?))?;
    let count: u64 = count.parse().context("number of messages")?;
    print(&format!("{count} message(s) {done}\n"))
}
