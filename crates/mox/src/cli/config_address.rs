//! `mox config address`.

use anyhow::Result;
use clap::{Args, Subcommand};
use mox_base::{Address, Domain};

use super::{Global, print};

/// Addresses of accounts.
///
/// The server must be running: it rewrites domains.conf, keeping comments and order.
#[derive(Debug, Subcommand)]
#[command(subcommand_required = true)]
pub(super) enum ConfigAddress {
    Add(Add),
    Rm(Rm),
    Account(Account),
}

/// Add an address to an account.
#[derive(Debug, Args)]
pub(super) struct Add {
    /// Address, or @ and a domain for all mail to it that nobody else gets.
    #[arg(value_parser = destination)]
    address: String,
    /// Name of the account.
    account: String,
}

/// Remove an address from its account, and from aliases.
///
/// Refused while a TLS public key logs in with it, or a message sent from it is in the queue.
#[derive(Debug, Args)]
pub(super) struct Rm {
    /// Address, or @ and a domain.
    #[arg(value_parser = destination)]
    address: String,
}

/// Print the name of the account that gets mail for an address.
#[derive(Debug, Args)]
pub(super) struct Account {
    /// Address, or @ and a domain.
    #[arg(value_parser = destination)]
    address: String,
}

/// An address, or `@` and a domain, as the server takes it.
fn destination(text: &str) -> Result<String, String> {
    match text.strip_prefix('@') {
        Some(of) => match Domain::parse(of) {
            Ok(domain) => Ok(format!("@{domain}")),
            Err(error) => Err(error.to_string()),
        },
        None => match Address::parse(text) {
            Ok(address) => Ok(address.to_string()),
            Err(error) => Err(error.to_string()),
        },
    }
}

impl ConfigAddress {
    pub(super) fn run(self, global: &Global) -> Result<()> {
        let run = |command: &str, parameters: &[&str]| {
            global.control(async |mut client| Ok(client.run(command, parameters).await?))
        };
        match self {
            Self::Add(Add { address, account }) => {
                run("addressadd", &[&address, &account])?;
                print("address added\n")
            }
            Self::Rm(Rm { address }) => {
                run("addressrm", &[&address])?;
                print("address removed\n")
            }
            Self::Account(Account { address }) => {
                let account = global.control(async |mut client| {
                    client.run("addressaccount", &[&address]).await?;
                    Ok(client.line().await?)
                })?;
                print(&format!("{account}\n"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: Option<&str>) {
        assert_eq!(destination(text).ok().as_deref(), want, "{text:?}");
    }

    #[test]
    fn addresses_are_whole_or_domains() {
        check("a@example.org", Some("a@example.org"));
        check("@EXAMPLE.org", Some("@example.org"));
        check("\"a b\"@example.org", Some("\"a b\"@example.org"));
        check("@", None);
        check("a", None);
        check("", None);
    }
}
