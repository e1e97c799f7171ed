//! `mox config alias`.

use anyhow::Result;
use clap::{Args, Subcommand};
use mox_base::{Address, Domain};

use super::lookups::{address, domain};
use super::{Global, print};
use crate::ctl::{AliasWords, Client};

/// The most bytes of members sent at once: a line of the control socket takes a little more.
const MEMBERS_BYTES_MAX: usize = 3_000;

/// Aliases: addresses that stand for several others.
///
/// The server must be running: it rewrites domains.conf, keeping comments and order.
#[derive(Debug, Subcommand)]
#[command(subcommand_required = true)]
pub(super) enum ConfigAlias {
    List(List),
    Print(Print),
    Add(Add),
    Update(Update),
    Rm(Rm),
    Addaddr(AddAddr),
    Rmaddr(RmAddr),
}

/// List the aliases of a domain, one on a line.
#[derive(Debug, Args)]
pub(super) struct List {
    /// The domain.
    #[arg(value_parser = domain)]
    domain: Domain,
}

/// Print the settings and members of an alias.
#[derive(Debug, Args)]
pub(super) struct Print {
    /// The alias.
    #[arg(value_parser = address)]
    alias: Address,
}

/// Add an alias, that anyone may write to.
#[derive(Debug, Args)]
pub(super) struct Add {
    /// The alias.
    #[arg(value_parser = address)]
    alias: Address,
    /// Addresses of accounts that get what is sent to it.
    #[arg(value_parser = address, required = true)]
    members: Vec<Address>,
}

/// Change who may write to an alias, see its members, and write as it.
///
/// What is not given stays as it is.
#[derive(Debug, Args)]
pub(super) struct Update {
    /// The alias.
    #[arg(value_parser = address)]
    alias: Address,
    /// Whether anyone may write to it, not only members: true or false.
    #[arg(long, value_name = "BOOL")]
    postpublic: Option<bool>,
    /// Whether members may see who the members are: true or false.
    #[arg(long, value_name = "BOOL")]
    listmembers: Option<bool>,
    /// Whether members may write as the alias: true or false.
    #[arg(long, value_name = "BOOL")]
    allowmsgfrom: Option<bool>,
}

/// Remove an alias.
#[derive(Debug, Args)]
pub(super) struct Rm {
    /// The alias.
    #[arg(value_parser = address)]
    alias: Address,
}

/// Add members to an alias.
#[derive(Debug, Args)]
pub(super) struct AddAddr {
    /// The alias.
    #[arg(value_parser = address)]
    alias: Address,
    /// Addresses of accounts.
    #[arg(value_parser = address, required = true)]
    members: Vec<Address>,
}

/// Remove members from an alias.
#[derive(Debug, Args)]
pub(super) struct RmAddr {
    /// The alias.
    #[arg(value_parser = address)]
    alias: Address,
    /// Members to be removed.
    #[arg(value_parser = address, required = true)]
    members: Vec<Address>,
}

impl ConfigAlias {
    pub(super) fn run(self, global: &Global) -> Result<()> {
        let run = |command: &str, parameters: &[&str]| {
            global.control(async |mut client| Ok(client.run(command, parameters).await?))
        };
        let text = |command: &str, parameter: &str| {
            global.control(async |mut client| Ok(client.text(command, &[parameter]).await?))
        };
        match self {
            Self::List(List { domain }) => print(&text("aliaslist", domain.ascii())?),
            Self::Print(Print { alias }) => print(&text("aliasprint", &alias.to_string())?),
            Self::Add(Add { alias, members }) => {
                global.control(async |client| add(client, &alias.to_string(), &members).await)
            }
            Self::Update(Update { alias, postpublic, listmembers, allowmsgfrom }) => {
                let word = |set: Option<bool>| set.map(|set| set.to_string()).unwrap_or_default();
                let words = [word(postpublic), word(listmembers), word(allowmsgfrom)];
                let [post_public, list_members, allow_msg_from] = &words;
                let alias = alias.to_string();
                run("aliasupdate", &[&alias, post_public, list_members, allow_msg_from])
            }
            Self::Rm(Rm { alias }) => run("aliasrm", &[&alias.to_string()]),
            Self::Addaddr(AddAddr { alias, members }) => global.control(async |client| {
                change(client, "aliasaddaddr", &alias.to_string(), pieces(&members)).await
            }),
            Self::Rmaddr(RmAddr { alias, members }) => global.control(async |client| {
                change(client, "aliasrmaddr", &alias.to_string(), pieces(&members)).await
            }),
        }
    }
}

/// Adds an alias with as many members as one line takes, then the others.
async fn add(mut client: Client, alias: &str, members: &[Address]) -> Result<()> {
    let mut pieces = pieces(members).into_iter();
    let addresses = pieces.next().unwrap_or_default();
    let words = AliasWords { addresses, post_public: true, ..AliasWords::default() };
    client.run("aliasadd", &[alias, &serde_json::to_string(&words)?]).await?;
    change(client, "aliasaddaddr", alias, pieces).await
}

async fn change(
    mut client: Client,
    command: &str,
    alias: &str,
    pieces: impl IntoIterator<Item = Vec<String>>,
) -> Result<()> {
    for piece in pieces {
        client.run(command, &[alias, &serde_json::to_string(&piece)?]).await?;
    }
    Ok(())
}

/// Members in groups that each fit on a line.
fn pieces(members: &[Address]) -> Vec<Vec<String>> {
    let mut pieces = vec![Vec::new()];
    let mut bytes = 0;
    for member in members {
        // In JSON with quotes, and in the worst case with a backslash before each character.
        let text = member.to_string();
        let more = 2 * text.len() + 3;
        if bytes + more > MEMBERS_BYTES_MAX && bytes > 0 {
            pieces.push(Vec::new());
            bytes = 0;
        }
        bytes += more;
        if let Some(last) = pieces.last_mut() {
            last.push(text);
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctl::LINE_BYTES_MAX;

    #[test]
    fn many_members_are_sent_in_lines_that_fit() {
        let member = |number: usize| Address::parse(&format!("u{number}@example.org")).unwrap();
        let members: Vec<_> = (0..1_000).map(member).collect();
        let sent = pieces(&members);
        assert!(sent.len() > 1);
        for piece in &sent {
            assert!(serde_json::to_string(piece).unwrap().len() < LINE_BYTES_MAX);
        }
        let all: Vec<String> = members.iter().map(ToString::to_string).collect();
        assert_eq!(sent.concat(), all);
        assert_eq!(pieces(&members[..2]), [["u0@example.org", "u1@example.org"]]);
    }
}
