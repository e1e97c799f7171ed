//! `mox queue`.

mod change;
mod dump;
mod end;
mod filter;
mod holdrules;
mod list;
mod retired;
mod suppress;
mod webhook;

use anyhow::Result;
use clap::Subcommand;

use super::{Global, print};

/// See and change what is on its way to other servers.
///
/// The server must be running.
#[derive(Debug, Subcommand)]
#[command(subcommand_required = true)]
pub(super) enum Queue {
    List(list::List),
    Hold(change::Hold),
    Unhold(change::Unhold),
    Schedule(change::Schedule),
    Transport(change::Transport),
    Requiretls(change::RequireTls),
    Fail(end::Fail),
    Drop(end::Drop),
    Dump(dump::Dump),
    #[command(subcommand)]
    Holdrules(holdrules::HoldRules),
    #[command(subcommand)]
    Retired(retired::Retired),
    #[command(subcommand)]
    Suppress(suppress::Suppress),
    #[command(subcommand)]
    Webhook(webhook::Webhook),
}

impl Queue {
    pub(super) fn run(self, global: &Global) -> Result<()> {
        match self {
            Self::List(command) => command.run(global),
            Self::Hold(command) => command.run(global),
            Self::Unhold(command) => command.run(global),
            Self::Schedule(command) => command.run(global),
            Self::Transport(command) => command.run(global),
            Self::Requiretls(command) => command.run(global),
            Self::Fail(command) => command.run(global),
            Self::Drop(command) => command.run(global),
            Self::Dump(command) => command.run(global),
            Self::Holdrules(command) => command.run(global),
            Self::Retired(command) => command.run(global),
            Self::Suppress(command) => command.run(global),
            Self::Webhook(command) => command.run(global),
        }
    }
}

/// Prints what the server answers to a command.
fn show(global: &Global, command: &str, parameters: &[&str]) -> Result<()> {
    let text = global.control(async |mut client| Ok(client.text(command, parameters).await?))?;
    print(&text)
}
