//! `mox config domain`.

use anyhow::Result;
use clap::{Args, Subcommand};
use mox_base::{Domain, Localpart};

use super::lookups::domain;
use super::{Global, print};

/// Domains of the configuration.
///
/// The server must be running: it rewrites domains.conf, keeping comments and order.
#[derive(Debug, Subcommand)]
#[command(subcommand_required = true)]
pub(super) enum ConfigDomain {
    Add(Add),
    Rm(Rm),
    Disable(Disable),
    Enable(Enable),
}

/// Add a domain, with new DKIM keys and addresses for reports.
///
/// Takes some seconds. An account that exists gets mail to postmaster of the domain; one that does
/// not is made, with one address.
#[derive(Debug, Args)]
pub(super) struct Add {
    /// The domain takes and sends no mail yet, and gets no certificates.
    #[arg(long)]
    disabled: bool,
    /// The domain.
    #[arg(value_parser = domain)]
    domain: Domain,
    /// Account that gets its reports and mail to postmaster.
    account: String,
    /// Localpart of the address in the domain, if the account is new.
    #[arg(value_parser = localpart)]
    localpart: Option<Localpart>,
}

/// Remove a domain, whose mail is refused from then on.
///
/// Addresses in it must have been removed. The files with its DKIM keys are moved to the directory
/// old beside them.
#[derive(Debug, Args)]
pub(super) struct Rm {
    /// The domain.
    #[arg(value_parser = domain)]
    domain: Domain,
}

/// Switch a domain off: mail to and from it is refused for now, and tried again by others.
///
/// Its addresses still log in.
#[derive(Debug, Args)]
pub(super) struct Disable {
    /// The domain.
    #[arg(value_parser = domain)]
    domain: Domain,
}

/// Switch a domain on again.
#[derive(Debug, Args)]
pub(super) struct Enable {
    /// The domain.
    #[arg(value_parser = domain)]
    domain: Domain,
}

fn localpart(text: &str) -> Result<Localpart, String> {
    Localpart::parse(text).map_err(|error| error.to_string())
}

impl ConfigDomain {
    pub(super) fn run(self, global: &Global) -> Result<()> {
        let run = |command: &str, parameters: &[&str]| {
            global.control(async |mut client| Ok(client.run(command, parameters).await?))
        };
        match self {
            Self::Add(Add { disabled, domain, account, localpart }) => {
                let localpart = localpart.map(|text| text.to_string()).unwrap_or_default();
                let disabled = disabled.to_string();
                run("domainadd", &[&disabled, domain.ascii(), &account, &localpart])?;
                print(&added(&domain))
            }
            Self::Rm(Rm { domain }) => {
                run("domainrm", &[domain.ascii()])?;
                print("domain removed, remove its DNS records too\n")
            }
            Self::Disable(Disable { domain }) => {
                run("domaindisabled", &[domain.ascii(), "true"])?;
                print("domain disabled\n")
            }
            Self::Enable(Enable { domain }) => {
                run("domaindisabled", &[domain.ascii(), "false"])?;
                print("domain enabled\n")
            }
        }
    }
}

/// What is left to do.
fn added(domain: &Domain) -> String {
    let name = domain.ascii();
    format!(
        "domain added, it needs DNS records: print them, add them, and check them with\n\n\
         \tmox config dnsrecords {name}\n\tmox config dnscheck {name}\n"
    )
}
