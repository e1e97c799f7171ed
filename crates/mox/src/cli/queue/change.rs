//! `mox queue hold`, `unhold`, `schedule`, `transport` and `requiretls`.

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};

use super::filter::{Filter, signed_secs};
use super::{Global, print};
use crate::ctl::queue::words::ChangeWords;

/// Hold messages: no attempts are made until they are let go.
///
/// Without flags, all messages are held. An attempt that is being made goes on.
#[derive(Debug, Args)]
pub(in crate::cli) struct Hold {
    #[command(flatten)]
    filter: Filter,
}

/// Let go of messages that are held.
///
/// They are sent when they are due, which may be at once. Without flags, all are let go.
#[derive(Debug, Args)]
pub(in crate::cli) struct Unhold {
    #[command(flatten)]
    filter: Filter,
}

/// Change when the next attempt is made.
///
/// The duration is added to the time that is scheduled, or to now. Messages that are held stay held.
#[derive(Debug, Args)]
pub(in crate::cli) struct Schedule {
    #[command(flatten)]
    filter: Filter,
    /// Count from now.
    #[arg(long)]
    now: bool,
    /// Such as 1h30m, or -10m for sooner.
    #[arg(allow_hyphen_values = true, value_parser = signed_secs)]
    duration: i64,
}

/// Set the transport of messages, whatever the routes say.
///
/// Without a name, the routes decide again.
#[derive(Debug, Args)]
pub(in crate::cli) struct Transport {
    #[command(flatten)]
    filter: Filter,
    /// Name of a transport in mox.conf.
    name: Option<String>,
}

/// Set whether messages must go over verified TLS connections only.
#[derive(Debug, Args)]
pub(in crate::cli) struct RequireTls {
    #[command(flatten)]
    filter: Filter,
    /// What holds from now on.
    value: Demand,
}

/// What is asked of connections.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Demand {
    /// TLS with verification, all the way to the mailbox.
    Yes,
    /// Without TLS if need be, even against the policy of the recipient's domain.
    No,
    /// By the policy of the recipient's domain.
    Default,
}

impl Hold {
    pub(super) fn run(self, global: &Global) -> Result<()> {
        change(global, self.filter, &ChangeWords::Hold(true), "messages changed")
    }
}

impl Unhold {
    pub(super) fn run(self, global: &Global) -> Result<()> {
        change(global, self.filter, &ChangeWords::Hold(false), "messages changed")
    }
}

impl Schedule {
    pub(super) fn run(self, global: &Global) -> Result<()> {
        let words = ChangeWords::Schedule { from_now: self.now, secs: self.duration };
        change(global, self.filter, &words, "message(s) rescheduled")
    }
}

impl Transport {
    pub(super) fn run(self, global: &Global) -> Result<()> {
        let name = self.name.filter(|name| !name.is_empty());
        change(global, self.filter, &ChangeWords::Transport(name), "message(s) changed")
    }
}

impl RequireTls {
    pub(super) fn run(self, global: &Global) -> Result<()> {
        let require_tls = match self.value {
            Demand::Yes => Some(true),
            Demand::No => Some(false),
            Demand::Default => None,
        };
        change(global, self.filter, &ChangeWords::RequireTls(require_tls), "message(s) changed")
    }
}

fn change(global: &Global, filter: Filter, change: &ChangeWords, done: &str) -> Result<()> {
    let (filter, change) = (filter.json()?, serde_json::to_string(change)?);
    let count = global
        .control(async |mut client| Ok(client.text("queuechange", &[&filter, &change]).await?))?;
    let count: u64 = count.parse().context("number of messages")?;
    print(&format!("{count} {done}\n"))
}
