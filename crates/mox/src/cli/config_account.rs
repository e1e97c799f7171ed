//! `mox config account`.

use anyhow::Result;
use clap::{Args, Subcommand};
use mox_base::Address;

use super::lookups::address;
use super::{Global, print};

/// Accounts of the configuration.
///
/// The server must be running: it rewrites domains.conf, keeping comments and order.
#[derive(Debug, Subcommand)]
#[command(subcommand_required = true)]
pub(super) enum ConfigAccount {
    List(List),
    Addresses(Addresses),
    Add(Add),
    Rm(Rm),
    Disable(Disable),
    Enable(Enable),
}

/// List the accounts, one on a line.
///
/// Those whose logins are switched off are marked.
#[derive(Debug, Args)]
pub(super) struct List {}

/// List the addresses of an account, one on a line.
///
/// An address that begins with @ stands for all mail to its domain that nobody else gets.
#[derive(Debug, Args)]
pub(super) struct Addresses {
    /// Name of the account.
    account: String,
}

/// Add an account with one address.
#[derive(Debug, Args)]
pub(super) struct Add {
    /// Name of the account: it is that of a directory too.
    account: String,
    /// Its first address.
    #[arg(value_parser = address)]
    address: Address,
}

/// Remove an account with all its mail.
///
/// Its sessions are ended. What it has cannot be brought back but from a backup.
#[derive(Debug, Args)]
pub(super) struct Rm {
    /// Name of the account.
    account: String,
}

/// Switch the logins of an account off, and end its sessions.
///
/// Mail still arrives.
#[derive(Debug, Args)]
pub(super) struct Disable {
    /// Name of the account.
    account: String,
    /// Message that whoever tries to log in gets to read, in ASCII.
    message: String,
}

/// Switch the logins of an account on again.
#[derive(Debug, Args)]
pub(super) struct Enable {
    /// Name of the account.
    account: String,
}

impl ConfigAccount {
    pub(super) fn run(self, global: &Global) -> Result<()> {
        let run = |command: &str, parameters: &[&str]| {
            global.control(async |mut client| Ok(client.run(command, parameters).await?))
        };
        let text = |command: &str, parameters: &[&str]| {
            global.control(async |mut client| Ok(client.text(command, parameters).await?))
        };
        match self {
            Self::List(List {}) => print(&text("accountlist", &[])?),
            Self::Addresses(Addresses { account }) => {
                print(&text("accountaddresses", &[&account])?)
            }
            Self::Add(Add { account, address }) => {
                run("accountadd", &[&account, &address.to_string()])?;
                print(&format!(
                    "account added, set a password with \"mox setaccountpassword {account}\"\n"
                ))
            }
            Self::Rm(Rm { account }) => {
                run("accountrm", &[&account])?;
                print("account removed\n")
            }
            Self::Disable(Disable { account, message }) => {
                run("accountdisabled", &[&account, &message])?;
                print("account disabled\n")
            }
            Self::Enable(Enable { account }) => {
                run("accountenable", &[&account])?;
                print("account enabled\n")
            }
        }
    }
}
