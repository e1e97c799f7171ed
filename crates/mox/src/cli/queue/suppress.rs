//! `mox queue suppress`.

use anyhow::Result;
use clap::{Args, Subcommand};

use super::{Global, show};

/// Addresses that accounts no longer send to.
///
/// Addresses of which a server says that they do not exist are added automatically. What follows a +
/// or - in the part before the @ does not count, nor do dots and case.
#[derive(Debug, Subcommand)]
#[command(subcommand_required = true)]
pub(in crate::cli) enum Suppress {
    List(List),
    Add(Add),
    Remove(Remove),
    Lookup(Lookup),
}

/// List the addresses of an account, or of all.
#[derive(Debug, Args)]
pub(in crate::cli) struct List {
    /// Only those of this account.
    #[arg(long, value_name = "ACCOUNT", default_value = "", hide_default_value = true)]
    account: String,
}

/// Add an address to the list of an account.
#[derive(Debug, Args)]
pub(in crate::cli) struct Add {
    /// Name of the account.
    account: String,
    /// The address.
    address: String,
}

/// Remove an address from the list of an account.
#[derive(Debug, Args)]
pub(in crate::cli) struct Remove {
    /// Name of the account.
    account: String,
    /// The address.
    address: String,
}

/// Tell whether an address is on the list of an account, or of any.
#[derive(Debug, Args)]
pub(in crate::cli) struct Lookup {
    /// Only on the list of this account.
    #[arg(long, value_name = "ACCOUNT", default_value = "", hide_default_value = true)]
    account: String,
    /// The address.
    address: String,
}

impl Suppress {
    pub(super) fn run(self, global: &Global) -> Result<()> {
        let run = |command: &str, parameters: &[&str]| {
            global.control(async |mut client| Ok(client.run(command, parameters).await?))
        };
        match self {
            Self::List(List { account }) => show(global, "queuesuppresslist", &[&account]),
            Self::Add(Add { account, address }) => run("queuesuppressadd", &[&account, &address]),
            Self::Remove(Remove { account, address }) => {
                run("queuesuppressremove", &[&account, &address])
            }
            Self::Lookup(Lookup { account, address }) => {
                show(global, "queuesuppresslookup", &[&account, &address])
            }
        }
    }
}
