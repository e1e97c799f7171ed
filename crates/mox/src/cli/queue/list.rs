//! `mox queue list`.

use anyhow::Result;
use clap::Args;

use super::filter::{Filter, Sort};
use super::{Global, show};

/// List messages that are on their way.
///
/// Each line has the number of the message, when it was added, sender and recipient, the time until
/// the next attempt and since the last, and what went wrong then. At most 10000 are listed.
#[derive(Debug, Args)]
pub(in crate::cli) struct List {
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    sort: Sort,
}

impl List {
    pub(super) fn run(self, global: &Global) -> Result<()> {
        show(global, "queuelist", &[&self.filter.json()?, &self.sort.json()?])
    }
}
