//! `mox config tlspubkey`.

use std::io::{self, Read as _};

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use mox_mailauth::dkim::print_pem;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::tlspubkey_gen::Gen;
use super::{Global, print};

/// The most that is read of a PEM file, in bytes.
const PEM_BYTES_MAX: u64 = 1 << 20;

/// TLS client keys, by which mail programs log in without password.
///
/// The server must be running, but to make a key.
#[derive(Debug, Subcommand)]
#[command(subcommand_required = true)]
pub(super) enum TlsPubkey {
    List(List),
    Get(Get),
    Add(Add),
    Rm(Rm),
    Gen(Gen),
}

/// List the keys of an account, or of all.
#[derive(Debug, Args)]
pub(super) struct List {
    /// Name of the account.
    account: Option<String>,
}

/// Print a key with its certificate.
#[derive(Debug, Args)]
pub(super) struct Get {
    /// Fingerprint of the key, as listed.
    fingerprint: String,
}

/// Register the key of the certificate in PEM on standard input.
///
/// Only the key counts: it may be shown with another certificate later.
#[derive(Debug, Args)]
pub(super) struct Add {
    /// IMAP does not begin logged in with this key: the mail program has to use SASL EXTERNAL.
    #[arg(long)]
    no_imap_preauth: bool,
    /// Address that the key logs in as.
    address: String,
    /// Name for the key. Default: the common name in the certificate.
    name: Option<String>,
}

/// Remove a key.
#[derive(Debug, Args)]
pub(super) struct Rm {
    /// Fingerprint of the key, as listed.
    fingerprint: String,
}

impl TlsPubkey {
    pub(super) fn run(self, global: &Global) -> Result<()> {
        match self {
            Self::List(command) => command.run(global),
            Self::Get(command) => command.run(global),
            Self::Add(command) => command.run(global),
            Self::Rm(command) => command.run(global),
            Self::Gen(command) => command.run(),
        }
    }
}

impl List {
    fn run(self, global: &Global) -> Result<()> {
        let account = self.account.unwrap_or_default();
        let list = global
            .control(async |mut client| Ok(client.text("tlspubkeylist", &[&account]).await?))?;
        print(&list)
    }
}

impl Get {
    fn run(self, global: &Global) -> Result<()> {
        let Self { fingerprint } = self;
        let text = global.control(async |mut client| {
            client.run("tlspubkeyget", &[&fingerprint]).await?;
            let mut text = String::new();
            for label in ["type", "name", "account", "address", "no imap preauth"] {
                let value = client.line().await?;
                text.push_str(&format!("{label}: {value}\n"));
            }
            text.push('\n');
            text.push_str(&print_pem("CERTIFICATE", &[], &client.data().await?));
            Ok(text)
        })?;
        print(&text)
    }
}

impl Add {
    fn run(self, global: &Global) -> Result<()> {
        let mut text = Vec::new();
        let input = io::stdin().lock().take(PEM_BYTES_MAX).read_to_end(&mut text);
        input.context("read standard input")?;
        let certificate = CertificateDer::from_pem_slice(&text)
            .context("standard input has no certificate in PEM")?;
        let name = self.name.unwrap_or_default();
        if name.chars().any(char::is_control) {
            bail!("the name must not have control characters");
        }
        let no_imap_preauth = self.no_imap_preauth.to_string();
        let parameters = [self.address.as_str(), &name, &no_imap_preauth];
        global.control(async |mut client| {
            client.send("tlspubkeyadd", &parameters).await?;
            Ok(client.send_data(&*certificate).await?)
        })
    }
}

impl Rm {
    fn run(self, global: &Global) -> Result<()> {
        let Self { fingerprint } = self;
        global.control(async |mut client| Ok(client.run("tlspubkeyrm", &[&fingerprint]).await?))
    }
}
