//! The files: an account for each provider, a certificate for each host and kind of key.
//!
//! ```text
//! acme/<provider>.key                    the key of the account, PKCS #8 in PEM
//! acme/<provider>.json                   what was done and when, see `ledger`
//! acme/keycerts/<provider>/<host>        ECDSA: the key, then the chain, in PEM
//! acme/keycerts/<provider>/<host>+rsa    RSA, likewise
//! ```
//!
//! A file is whole or not there: it is written beside its place, synced, and renamed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mox_base::Domain;

use crate::AcmeError;
use crate::keys::{HostKey, KeyKind};
use crate::ledger::Ledger;
use crate::pair::{Pair, PairError};

/// The size of a file that is read.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The length of a provider's name.
const NAME_BYTES_MAX: usize = 100;

/// Where the files of one provider are.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    dir: PathBuf,
    name: String,
}

impl Files {
    /// - `dir`: that of all providers.
    pub(crate) fn new(dir: &Path, name: &str) -> Result<Self, AcmeError> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let is_name = !name.is_empty()
            && name.len() <= NAME_BYTES_MAX
            && !name.starts_with('.')
            && name.bytes().all(is_plain);
        if !is_name {
            return Err(AcmeError::ProviderName(name.to_owned()));
        }
        Ok(Self { dir: dir.to_owned(), name: name.to_owned() })
    }

    pub(crate) fn account_key(&self) -> PathBuf {
        self.dir.join(format!("{}.key", self.name))
    }

    fn ledger(&self) -> PathBuf {
        self.dir.join(format!("{}.json", self.name))
    }

    fn pair(&self, host: &Domain, kind: KeyKind) -> PathBuf {
        let file = format!("{}{}", host.ascii(), kind.suffix());
        self.dir.join("keycerts").join(&self.name).join(file)
    }

    /// The text of the account's key; `None` if there is no file.
    pub(crate) fn read_account_key(&self) -> Result<Option<String>, AcmeError> {
        read(&self.account_key())
    }

    /// Keeps the key of an account. A key that was there is set aside as `….key.old`.
    pub(crate) fn write_account_key(&self, pem: &str) -> Result<(), AcmeError> {
        let path = self.account_key();
        if path.exists() {
            let old = self.dir.join(format!("{}.key.old", self.name));
            fs::rename(&path, &old).map_err(|source| fault("rename", &path, source))?;
        }
        write(&path, pem.as_bytes(), 0o660)
    }

    /// A certificate that was kept; `None` if there is none.
    pub(crate) fn read_pair(
        &self,
        host: &Domain,
        kind: KeyKind,
    ) -> Result<Option<Result<Pair, PairError>>, AcmeError> {
        let text = read(&self.pair(host, kind))?;
        let parse = |text: String| {
            let pair = Pair::parse(&text, host)?;
            if pair.kind == kind { Ok(pair) } else { Err(PairError::Key) }
        };
        Ok(text.map(parse))
    }

    pub(crate) fn write_pair(&self, host: &Domain, pair: &Pair) -> Result<(), AcmeError> {
        write(&self.pair(host, pair.kind), pair.text.as_bytes(), 0o600)
    }

    /// What was done; nothing if there is no file, or one that cannot be understood.
    pub(crate) fn read_ledger(&self) -> Result<Ledger, AcmeError> {
        let Some(text) = read(&self.ledger())? else { return Ok(Ledger::default()) };
        Ok(serde_json::from_str(&text).unwrap_or_else(|error| {
            tracing::warn!(path = %self.ledger().display(), %error, "not understood, begun anew");
            Ledger::default()
        }))
    }

    pub(crate) fn write_ledger(&self, ledger: &Ledger) -> Result<(), AcmeError> {
        let path = self.ledger();
        let text = serde_json::to_vec_pretty(ledger)
            .map_err(|error| fault("write", &path, error.into()))?;
        write(&path, &text, 0o600)
    }
}

/// The URL of the account at a provider, if there is one: for CAA records (RFC 8657 §3). Blocks.
///
/// - `dir`: where all providers' files are.
///
/// # Errors
///
/// If a file cannot be read, or the name is none.
pub fn account_uri(dir: &Path, provider: &str) -> Result<Option<String>, AcmeError> {
    let ledger = Files::new(dir, provider)?.read_ledger()?;
    Ok(ledger.account.map(|account| account.url))
}

/// The key of the certificate that a host has now, so that it can become the one that it keeps.
/// Blocks.
///
/// # Errors
///
/// If a file cannot be read, or the name of the provider is none.
pub fn key_from_cache(
    dir: &Path,
    provider: &str,
    host: &Domain,
    kind: KeyKind,
) -> Result<Option<Arc<HostKey>>, AcmeError> {
    let pair = Files::new(dir, provider)?.read_pair(host, kind)?;
    let text = pair.and_then(Result::ok).map(|pair| pair.text);
    Ok(text.and_then(|text| HostKey::from_pem(&text).ok()).map(Arc::new))
}

fn fault(what: &'static str, path: &Path, source: io::Error) -> AcmeError {
    AcmeError::File { what, path: path.to_owned(), source }
}

fn read(path: &Path) -> Result<Option<String>, AcmeError> {
    let read = || -> io::Result<String> {
        let mut text = String::new();
        File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
        if text.len() as u64 > FILE_BYTES_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(text)
    };
    match read() {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(fault("read", path, error)),
    }
}

fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), AcmeError> {
    let write = || -> io::Result<()> {
        let dir = path.parent().unwrap_or_else(|| Path::new("."));
        fs::DirBuilder::new().recursive(true).mode(0o750).create(dir)?;
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".new");
        let new = dir.join(name);
        // What a crash left: it was never in use.
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        File::open(dir)?.sync_all()
    };
    write().map_err(|source| fault("write", path, source))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[track_caller]
    fn check_name(name: &str, want: bool) {
        assert_eq!(Files::new(Path::new("/data/acme"), name).is_ok(), want, "{name:?}");
    }

    #[test]
    fn names_of_providers_stay_within_their_directory() {
        check_name("letsencrypt", true);
        check_name("le-staging_2.test", true);
        check_name(&"x".repeat(NAME_BYTES_MAX), true);
        check_name(&"x".repeat(NAME_BYTES_MAX + 1), false);
        for name in ["", ".", "..", ".x", "a/b", "../x", "a b", "a\0", "\u{e4}"] {
            check_name(name, false);
        }
    }

    #[test]
    fn files_are_written_whole_with_their_modes() {
        let dir = tempfile::tempdir().unwrap();
        let files = Files::new(&dir.path().join("acme"), "x").unwrap();
        assert!(files.read_account_key().unwrap().is_none());
        // Of a crash.
        fs::create_dir(dir.path().join("acme")).unwrap();
        fs::write(dir.path().join("acme/x.key.new"), "half").unwrap();
        files.write_account_key("first").unwrap();
        let mode = fs::metadata(files.account_key()).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode & 0o007, 0);
        files.write_account_key("second").unwrap();
        assert_eq!(files.read_account_key().unwrap().as_deref(), Some("second"));
        assert_eq!(fs::read_to_string(dir.path().join("acme/x.key.old")).unwrap(), "first");
        assert!(!dir.path().join("acme/x.key.new").exists());

        fs::write(dir.path().join("acme/x.json"), "{").unwrap();
        assert_eq!(files.read_ledger().unwrap(), Ledger::default());
        fs::write(dir.path().join("acme/x.key"), vec![b'x'; 1 << 21]).unwrap();
        assert!(files.read_account_key().is_err());
    }
}
