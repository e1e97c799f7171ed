//! `mox updates`: for those who publish releases.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use mox_base::Rng as _;
use mox_checks::updates::{
    CHANGELOG_BYTES_MAX, Changelog, SigningKey, decode_key, encode_key, serve,
};
use mox_net::SystemRng;
use tokio::net::TcpListener;

use super::print;

/// Sign the changes of releases, so that servers believe in them.
///
/// A server with CheckUpdates asks DNS for the newest version, and the web for what changed. This
/// project publishes neither yet; crates/checks/src/updates/origin.rs tells what a build needs to know
/// of who does.
#[derive(Debug, Subcommand)]
#[command(subcommand_required = true)]
pub(super) enum Updates {
    Addsigned(AddSigned),
    Genkey(GenKey),
    Pubkey(PubKey),
    Serve(Serve),
    Verify(Verify),
}

/// Add the changes of a release to a list, signed.
///
/// Reads the text of the changes from standard input; it should begin with the version, such as v1.2.3,
/// by which "mox updates serve" knows what is newer. The list is made if it is missing.
#[derive(Debug, Args)]
pub(super) struct AddSigned {
    /// File with the private key, from "mox updates genkey".
    key: PathBuf,
    /// File with the list of changes, JSON.
    changelog: PathBuf,
}

/// Make a private key for signing releases, and print it.
///
/// Keep it secret. A build that looks for releases has its public key in it.
#[derive(Debug, Args)]
pub(super) struct GenKey {}

/// Print the public key of a private one.
#[derive(Debug, Args)]
pub(super) struct PubKey {
    /// File with the private key, from "mox updates genkey".
    key: PathBuf,
}

/// Give out a list of changes by HTTP, for a proxy with TLS in front.
///
/// Answers GET /changelog with the list as the file has it at that moment; with ?from=v1.2.3 without
/// the changes whose text begins with that version or an older one.
#[derive(Debug, Args)]
pub(super) struct Serve {
    /// Address and port to listen on.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8596")]
    address: SocketAddr,
    /// File with the list of changes, JSON.
    #[arg(long, value_name = "FILE", default_value = "changelog.json")]
    changelog: PathBuf,
}

/// Check that all changes of a list are signed with a key, and print them.
#[derive(Debug, Args)]
pub(super) struct Verify {
    /// Public key, from "mox updates pubkey".
    key: String,
    /// File with the list of changes, JSON.
    changelog: PathBuf,
}

impl Updates {
    pub(super) fn run(self) -> Result<()> {
        match self {
            Self::Addsigned(command) => command.run(io::stdin().lock()),
            Self::Genkey(GenKey {}) => {
                let mut seed = [0; 32];
                SystemRng.fill(&mut seed);
                print(&format!("{}\n", SigningKey::from_seed(seed)?.to_base64()))
            }
            Self::Pubkey(PubKey { key }) => {
                print(&format!("{}\n", encode_key(&signing_key(&key)?.public())))
            }
            Self::Serve(command) => command.run(),
            Self::Verify(Verify { key, changelog }) => {
                let key = decode_key(&key).context("public key")?;
                let log = read(&changelog)?.context("no such list of changes")?;
                print(&log.texts(&key)?.join("\n----\n\n"))
            }
        }
    }
}

impl AddSigned {
    fn run(self, input: impl io::Read) -> Result<()> {
        let key = signing_key(&self.key)?;
        let mut log = read(&self.changelog)?.unwrap_or_default();
        let mut text = String::new();
        let bytes_max = CHANGELOG_BYTES_MAX as u64;
        input.take(bytes_max).read_to_string(&mut text).context("read changes")?;
        if text.trim().is_empty() {
            bail!("no changes on standard input");
        }
        log.changes.insert(0, key.sign(&text));
        let json = log.to_json();
        if json.len() > CHANGELOG_BYTES_MAX {
            bail!("the list would be larger than {CHANGELOG_BYTES_MAX} bytes, which nobody takes");
        }
        replace(&self.changelog, json.as_bytes())
            .with_context(|| format!("write {}", self.changelog.display()))
    }
}

impl Serve {
    fn run(self) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.context("start runtime")?.block_on(async {
            let socket = TcpListener::bind(self.address).await;
            let socket = socket.with_context(|| format!("listen on {}", self.address))?;
            match serve(socket, &self.changelog).await.context("accept connections")? {}
        })
    }
}

/// Whole or not at all.
fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    let mut file = tempfile::NamedTempFile::new_in(dir.unwrap_or_else(|| Path::new(".")))?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

fn signing_key(path: &Path) -> Result<SigningKey> {
    let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    SigningKey::from_base64(&text).with_context(|| format!("private key {}", path.display()))
}

fn read(path: &Path) -> Result<Option<Changelog>> {
    match fs::read(path) {
        Ok(json) => {
            let log = Changelog::parse(&json);
            log.map(Some).with_context(|| format!("list of changes {}", path.display()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_added_in_front_and_signed() {
        let dir = tempfile::tempdir().unwrap();
        let (key, changelog) = (dir.path().join("key"), dir.path().join("changelog.json"));
        let signing = SigningKey::from_seed([7; 32]).unwrap();
        fs::write(&key, format!("{}\n", signing.to_base64())).unwrap();
        let add = |text: &str| {
            let command = AddSigned { key: key.clone(), changelog: changelog.clone() };
            command.run(text.as_bytes())
        };
        add("first\n").unwrap();
        add("second\n").unwrap();
        assert!(add(" \n").is_err());
        let log = read(&changelog).unwrap().unwrap();
        assert_eq!(log.texts(&signing.public()).unwrap(), ["second\n", "first\n"]);
        assert!(log.texts(&[0; 32]).is_err());
        fs::write(&changelog, "{").unwrap();
        assert!(add("third").is_err());
        fs::write(&key, "no key").unwrap();
        assert!(signing_key(&key).is_err());
    }
}
