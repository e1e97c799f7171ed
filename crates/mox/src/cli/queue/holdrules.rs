//! `mox queue holdrules`.

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};

use super::{Global, print, show};

/// Rules by which new messages are held.
#[derive(Debug, Subcommand)]
#[command(subcommand_required = true)]
pub(in crate::cli) enum HoldRules {
    List(List),
    Add(Add),
    Remove(Remove),
}

/// List the rules.
#[derive(Debug, Args)]
pub(in crate::cli) struct List {}

/// Add a rule: messages for which all that is given holds are held.
///
/// It holds for messages that are on their way already, too. Without flags, all messages are held.
#[derive(Debug, Args)]
pub(in crate::cli) struct Add {
    /// Account whose message it is.
    #[arg(long, value_name = "ACCOUNT", default_value = "", hide_default_value = true)]
    account: String,
    /// Domain of the sender.
    #[arg(long, value_name = "DOMAIN", default_value = "", hide_default_value = true)]
    senderdom: String,
    /// Domain of the recipient.
    #[arg(long, value_name = "DOMAIN", default_value = "", hide_default_value = true)]
    recipientdom: String,
}

/// Remove a rule. What is held stays held.
#[derive(Debug, Args)]
pub(in crate::cli) struct Remove {
    /// Number of the rule, as listed.
    id: i64,
}

impl HoldRules {
    pub(super) fn run(self, global: &Global) -> Result<()> {
        match self {
            Self::List(List {}) => show(global, "queueholdruleslist", &[]),
            Self::Add(command) => command.run(global),
            Self::Remove(command) => command.run(global),
        }
    }
}

impl Add {
    fn run(self, global: &Global) -> Result<()> {
        let Self { account, senderdom, recipientdom } = self;
        let answer = global.control(async |mut client| {
            let parameters = [&*account, &*senderdom, &*recipientdom];
            Ok(client.text("queueholdrulesadd", &parameters).await?)
        })?;
        let (id, held) = answer.split_once(' ').context("answer of the server")?;
        print(&format!("hold rule {id} added, {held} messages held\n"))
    }
}

impl Remove {
    fn run(self, global: &Global) -> Result<()> {
        let id = self.id.to_string();
        global.control(async |mut client| Ok(client.run("queueholdrulesremove", &[&id]).await?))
    }
}
