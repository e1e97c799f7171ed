//! `mox queue retired`.

use anyhow::Result;
use clap::{Args, Subcommand};

use super::filter::{RetiredFilter, RetiredSort};
use super::{Global, show};

/// Messages that were delivered or have failed, as far as accounts keep them.
#[derive(Debug, Subcommand)]
#[command(subcommand_required = true)]
pub(in crate::cli) enum Retired {
    List(List),
    Print(Print),
}

/// List messages that were delivered or have failed.
///
/// They are kept for the KeepRetiredMessagePeriod of their account. At most 10000 are listed.
#[derive(Debug, Args)]
pub(in crate::cli) struct List {
    #[command(flatten)]
    filter: RetiredFilter,
    #[command(flatten)]
    sort: RetiredSort,
}

/// Print all that is kept of a message, as JSON.
#[derive(Debug, Args)]
pub(in crate::cli) struct Print {
    /// Number of the message, as listed.
    id: i64,
}

impl Retired {
    pub(super) fn run(self, global: &Global) -> Result<()> {
        match self {
            Self::List(command) => {
                let parameters = [command.filter.json()?, command.sort.json()?];
                show(global, "queueretiredlist", &parameters.each_ref().map(String::as_str))
            }
            Self::Print(command) => show(global, "queueretiredprint", &[&command.id.to_string()]),
        }
    }
}
