//! Private keys of the host and for DKIM, and the files that hold them.
//!
//! Source: RFC 6376 and RFC 8463 for DKIM; RFC 6698 and RFC 7671 §5.1 for keys of a host, which live
//! longer than its certificates do, so that TLSA records stay true.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::{AsBigEndian, AsDer, Curve25519SeedBin, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaKeyPair,
};
use mox_base::{DateTime, Domain, UnixSeconds};
use mox_mailauth::dkim::{self, PEM_BYTES_MAX, PrivateKey, PrivateKeyError, parse_pem, print_pem};

/// The directory for keys of DKIM, in that of the configuration.
pub const DKIM_DIR: &str = "dkim";

/// The directory for keys of the host, in that of the configuration.
pub const HOST_KEYS_DIR: &str = "hostkeys";

/// The directory for keys that are not used any more, in that where they were.
pub const OLD_DIR: &str = "old";

/// The mode of a file with a key of DKIM: the group may be one of operators.
const DKIM_MODE: u32 = 0o660;

/// The mode of a file with a key of the host.
const HOST_MODE: u32 = 0o600;

/// The mode of a directory for keys that is made.
const DIR_MODE: u32 = 0o750;

/// The label of PKCS #8. RFC 7468 §10.
const PKCS8: &str = "PRIVATE KEY";

/// Why a key cannot be made, read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The crypto library could not make or print it.
    #[error("key cannot be made")]
    Unusable,
    /// A DKIM key could not be made or printed.
    #[error("DKIM key")]
    Dkim(#[source] PrivateKeyError),
    /// The file holds no key of a host: PKCS #8, RSA of 2048 bits or ECDSA P-256.
    #[error("{}: no RSA key of 2048 bits or ECDSA P-256 key in PKCS #8", .0.display())]
    NotHostKey(PathBuf),
    /// The file cannot be read.
    #[error("read {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file cannot be written, or is there already.
    #[error("write {}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// The kind of a key for DKIM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DkimKind {
    /// RSA of 2048 bits. RFC 8301 §3.2.
    Rsa,
    /// Ed25519, which not all receivers know. RFC 8463.
    Ed25519,
}

impl DkimKind {
    fn file_word(self) -> &'static str {
        match self {
            Self::Rsa => "rsa2048",
            Self::Ed25519 => "ed25519",
        }
    }

    /// Makes a key. RSA takes up to a second.
    ///
    /// # Errors
    ///
    /// If there is no randomness.
    pub fn generate(self) -> Result<PrivateKey, KeyError> {
        match self {
            Self::Rsa => PrivateKey::generate_rsa(),
            Self::Ed25519 => PrivateKey::generate_ed25519(),
        }
        .map_err(KeyError::Dkim)
    }
}

/// The kind of a key of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostKeyKind {
    /// ECDSA over P-256. Before RSA, since that is the order in which records are shown.
    EcdsaP256,
    /// RSA of 2048 bits.
    Rsa,
}

impl HostKeyKind {
    /// All kinds, in the order of their records.
    pub const ALL: [Self; 2] = [Self::EcdsaP256, Self::Rsa];

    fn file_word(self) -> &'static str {
        match self {
            Self::EcdsaP256 => "ecdsap256",
            Self::Rsa => "rsa2048",
        }
    }

    fn noun(self) -> &'static str {
        match self {
            Self::EcdsaP256 => "ECDSA P-256",
            Self::Rsa => "RSA 2048",
        }
    }
}

impl fmt::Display for HostKeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.noun())
    }
}

/// A key of the host. Printing it with `{:?}` shows only its kind.
pub struct HostKey(Pair);

enum Pair {
    EcdsaP256(EcdsaKeyPair),
    Rsa(RsaKeyPair),
}

impl fmt::Debug for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HostKey").field(&self.kind()).finish()
    }
}

impl HostKey {
    /// Makes a key. RSA takes up to a second.
    ///
    /// # Errors
    ///
    /// If there is no randomness.
    pub fn generate(kind: HostKeyKind) -> Result<Self, KeyError> {
        let pair = match kind {
            HostKeyKind::EcdsaP256 => {
                EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).map(Pair::EcdsaP256)
            }
            HostKeyKind::Rsa => RsaKeyPair::generate(KeySize::Rsa2048).map(Pair::Rsa),
        };
        pair.map(Self).map_err(|_| KeyError::Unusable)
    }

    /// Reads PKCS #8 in DER; `None` for keys of other kinds.
    #[must_use]
    pub fn from_pkcs8(der: &[u8]) -> Option<Self> {
        if let Ok(pair) = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, der) {
            return Some(Self(Pair::EcdsaP256(pair)));
        }
        let pair = RsaKeyPair::from_pkcs8(der).ok()?;
        (pair.public_modulus_len() == 256).then_some(Self(Pair::Rsa(pair)))
    }

    /// Reads a file in PEM.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or holds no key of the kinds known.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let read = || {
            let mut text = String::new();
            File::open(path)?.take(PEM_BYTES_MAX as u64).read_to_string(&mut text)?;
            Ok(text)
        };
        let text = read().map_err(|source| KeyError::Read { path: path.to_owned(), source })?;
        let key = match parse_pem(&text) {
            Some((PKCS8, der)) => Self::from_pkcs8(&der),
            _ => None,
        };
        key.ok_or_else(|| KeyError::NotHostKey(path.to_owned()))
    }

    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> HostKeyKind {
        match self.0 {
            Pair::EcdsaP256(_) => HostKeyKind::EcdsaP256,
            Pair::Rsa(_) => HostKeyKind::Rsa,
        }
    }

    /// PKCS #8 in DER.
    ///
    /// # Errors
    ///
    /// If the crypto library cannot print it.
    pub fn to_pkcs8(&self) -> Result<Vec<u8>, KeyError> {
        match &self.0 {
            Pair::EcdsaP256(pair) => pair.to_pkcs8v1().map(|der| der.as_ref().to_vec()),
            Pair::Rsa(pair) => {
                AsDer::<Pkcs8V1Der<'_>>::as_der(pair).map(|der| der.as_ref().to_vec())
            }
        }
        .map_err(|_| KeyError::Unusable)
    }

    /// SHA-256 of the SubjectPublicKeyInfo: the data of a TLSA record `3 1 1`. RFC 6698 §2.1.
    ///
    /// # Errors
    ///
    /// If the crypto library cannot print the public key.
    pub fn spki_sha256(&self) -> Result<Vec<u8>, KeyError> {
        let der: PublicKeyX509Der<'_> = match &self.0 {
            Pair::EcdsaP256(pair) => pair.public_key().as_der(),
            Pair::Rsa(pair) => pair.public_key().as_der(),
        }
        .map_err(|_| KeyError::Unusable)?;
        Ok(digest(&SHA256, der.as_ref()).as_ref().to_vec())
    }
}

/// An Ed25519 key for a mail program to log in with. Printing it with `{:?}` shows nothing of it.
pub struct ClientKeyPair {
    pkcs8: Vec<u8>,
    seed: Vec<u8>,
}

impl fmt::Debug for ClientKeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientKeyPair").finish_non_exhaustive()
    }
}

impl ClientKeyPair {
    /// Makes a key, with the randomness of the crypto library.
    ///
    /// # Errors
    ///
    /// If there is no randomness.
    pub fn generate() -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::generate().map_err(|_| KeyError::Unusable)?;
        let pkcs8 = AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).map_err(|_| KeyError::Unusable)?;
        let seed = pair.seed().map_err(|_| KeyError::Unusable)?;
        let seed: Curve25519SeedBin<'_> = seed.as_be_bytes().map_err(|_| KeyError::Unusable)?;
        Ok(Self { pkcs8: pkcs8.as_ref().to_vec(), seed: seed.as_ref().to_vec() })
    }

    /// PKCS #8 in DER. RFC 8410 §7. Secret.
    #[must_use]
    pub fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    /// The 32 bytes that the key is made from. RFC 8032 §5.1.5. Secret.
    #[must_use]
    pub fn seed(&self) -> &[u8] {
        &self.seed
    }
}

/// A file with a private key, to be written. Printing it with `{:?}` shows only its name.
#[derive(Clone)]
pub struct KeyFile {
    /// Its name, below the directory of the configuration: what settings have.
    pub name: String,
    pem: String,
    mode: u32,
}

impl fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyFile").field("name", &self.name).finish_non_exhaustive()
    }
}

impl KeyFile {
    /// A new key for DKIM, for the file `dkim/SELECTOR._domainkey.DOMAIN.TIME.KIND.privatekey.pkcs8.pem`.
    ///
    /// # Errors
    ///
    /// If there is no randomness.
    pub fn dkim(
        kind: DkimKind,
        selector: &dkim::Selector,
        domain: &Domain,
        now: UnixSeconds,
    ) -> Result<Self, KeyError> {
        let word = kind.file_word();
        let key_name = format!("{}._domainkey.{}", selector.as_str(), domain.ascii());
        let note = format!("DKIM key ({word}) for {key_name}, made {}", time(now));
        let pem = kind.generate()?.to_pem(Some(&note)).map_err(KeyError::Dkim)?;
        let name = format!("{DKIM_DIR}/{key_name}.{}.{word}.privatekey.pkcs8.pem", stamp(now));
        Ok(Self { name, pem, mode: DKIM_MODE })
    }

    /// A key of the host, for the file `hostkeys/HOST.TIME.KIND.privatekey.pkcs8.pem`.
    ///
    /// # Errors
    ///
    /// If the crypto library cannot print the key.
    pub fn host(key: &HostKey, host: &Domain, now: UnixSeconds) -> Result<Self, KeyError> {
        let (host, kind) = (host.ascii(), key.kind());
        let note = format!("TLS key ({kind}) of host {host}, made {}", time(now));
        let pem = print_pem(PKCS8, &[("Note", &note)], &key.to_pkcs8()?);
        let (stamp, word) = (stamp(now), kind.file_word());
        let name = format!("{HOST_KEYS_DIR}/{host}.{stamp}.{word}.privatekey.pkcs8.pem");
        Ok(Self { name, pem, mode: HOST_MODE })
    }

    /// The text of the file. Secret.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Writes the file below `dir`, with its directory if that is missing, and syncs it. Never over a
    /// file that is there.
    ///
    /// Returns its path.
    ///
    /// # Errors
    ///
    /// If it exists or cannot be written; then nothing is left of it.
    pub fn write(&self, dir: &Path) -> Result<PathBuf, KeyError> {
        let path = dir.join(&self.name);
        match self.create(&path) {
            Ok(()) => Ok(path),
            Err(source) => Err(KeyError::Write { path, source }),
        }
    }

    fn create(&self, path: &Path) -> io::Result<()> {
        let parent = dir_of(path);
        make_dir(parent)?;
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, HOST_MODE);
        let mut file = options.open(path)?;
        let written = (|| {
            // The umask would take away what the group is to have.
            set_mode(&file, self.mode)?;
            file.write_all(self.pem.as_bytes())?;
            file.sync_all()?;
            sync_dir(parent)
        })();
        if written.is_err() {
            // What counts is the first error.
            let _removed = fs::remove_file(path);
        }
        written
    }
}

/// Moves a file that is not used any more into the directory `old` beside it, where a file of its name
/// stays as it is.
///
/// # Errors
///
/// If it cannot be moved, or there is such a file.
pub fn retire(path: &Path) -> io::Result<()> {
    let parent = dir_of(path);
    let old = parent.join(OLD_DIR);
    make_dir(&old)?;
    let target = old.join(path.file_name().unwrap_or_default());
    // Unlike a rename, a link is never made over a file.
    fs::hard_link(path, &target)?;
    fs::remove_file(path)?;
    sync_dir(&old)?;
    sync_dir(parent)
}

fn make_dir(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, DIR_MODE);
    match builder.create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
        Ok(()) => sync_dir(dir_of(path)),
    }
}

/// The directory of a file, `.` for a bare name.
fn dir_of(path: &Path) -> &Path {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    }
}

#[cfg(unix)]
fn set_mode(file: &File, mode: u32) -> io::Result<()> {
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(mode))
}

#[cfg(not(unix))]
fn set_mode(_file: &File, _mode: u32) -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(not(unix))]
fn sync_dir(_path: &Path) -> io::Result<()> {
    Ok(())
}

/// `20261121T152244`, in UTC: for names of files and policies.
#[must_use]
pub fn stamp(now: UnixSeconds) -> String {
    let DateTime { year, month, day, hour, minute, second, .. } = DateTime::from_unix(now);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}")
}

fn time(now: UnixSeconds) -> String {
    DateTime::from_unix(now).to_rfc3339()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const NOW: UnixSeconds = UnixSeconds(1_795_274_564);

    fn domain(text: &str) -> Domain {
        Domain::parse(text).unwrap()
    }

    #[track_caller]
    fn check_host(kind: HostKeyKind, want_name: &str) {
        let dir = tempfile::tempdir().unwrap();
        let key = HostKey::generate(kind).unwrap();
        let file = KeyFile::host(&key, &domain("mx.example.org"), NOW).unwrap();
        assert_eq!(file.name, want_name);
        let path = file.write(dir.path()).unwrap();
        assert_eq!(path, dir.path().join(want_name));
        let again = HostKey::read(&path).unwrap();
        assert_eq!(again.kind(), kind);
        assert_eq!(again.spki_sha256().unwrap(), key.spki_sha256().unwrap());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let text = fs::read_to_string(&path).unwrap();
        let note = format!("\nNote: TLS key ({kind}) of host mx.example.org, made 2026-11-21T");
        assert!(
            text.starts_with("-----BEGIN PRIVATE KEY-----\n") && text.contains(&note),
            "{text}"
        );
        assert!(!format!("{file:?}{key:?}").contains("BEGIN"));
        // Never over a file that is there.
        fs::write(&path, "precious").unwrap();
        let error = file.write(dir.path()).unwrap_err();
        assert!(matches!(error, KeyError::Write { source, .. }
            if source.kind() == io::ErrorKind::AlreadyExists));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
        assert!(matches!(HostKey::read(&path), Err(KeyError::NotHostKey(_))));
        fs::remove_file(&path).unwrap();
        assert!(matches!(HostKey::read(&path), Err(KeyError::Read { .. })));
    }

    #[test]
    fn host_keys_are_written_and_read() {
        check_host(
            HostKeyKind::EcdsaP256,
            "hostkeys/mx.example.org.20261121T152244.ecdsap256.privatekey.pkcs8.pem",
        );
        check_host(
            HostKeyKind::Rsa,
            "hostkeys/mx.example.org.20261121T152244.rsa2048.privatekey.pkcs8.pem",
        );
    }

    /// RFC 6698 §2.1.3; the hash is that of what OpenSSL prints as public key.
    #[test]
    fn hashes_are_of_the_public_key() {
        let pem = include_str!("../../mailauth/testdata/p256.pem");
        let (_, der) = parse_pem(pem).unwrap();
        let key = HostKey::from_pkcs8(&der).unwrap();
        assert_eq!(key.kind(), HostKeyKind::EcdsaP256);
        assert_eq!(key.spki_sha256().unwrap().len(), 32);
        let hash: String =
            key.spki_sha256().unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hash, P256_SPKI_SHA256);
        // Keys of other kinds and sizes are of no use here.
        for pem in [
            include_str!("../../mailauth/testdata/ed25519.pem"),
            include_str!("../../mailauth/testdata/rsa1024.pem"),
        ] {
            assert!(HostKey::from_pkcs8(&parse_pem(pem).unwrap().1).is_none());
        }
    }

    const P256_SPKI_SHA256: &str =
        "7966f3bc9e83335f2541576f0a14369251f524ce1db646c551b43efd8ccd88eb";

    #[test]
    fn dkim_keys_are_written_and_read() {
        let dir = tempfile::tempdir().unwrap();
        let selector = dkim::Selector::parse("2026a").unwrap();
        let file = KeyFile::dkim(DkimKind::Ed25519, &selector, &domain("bücher.example"), NOW);
        let file = file.unwrap();
        let want = "dkim/2026a._domainkey.xn--bcher-kva.example.20261121T152244.ed25519\
                    .privatekey.pkcs8.pem";
        assert_eq!(file.name, want);
        let path = file.write(dir.path()).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        mox_signing::read_key(&path).unwrap();
        let file = KeyFile::dkim(DkimKind::Rsa, &selector, &domain("example.org"), NOW).unwrap();
        assert!(file.name.ends_with(".20261121T152244.rsa2048.privatekey.pkcs8.pem"));
        assert_eq!(PrivateKey::from_pem(file.pem()).unwrap().algorithm().to_string(), "rsa-sha256");
    }

    #[test]
    fn keys_are_put_aside_and_never_lost() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.pem");
        fs::write(&path, "first").unwrap();
        retire(&path).unwrap();
        assert_eq!(fs::read_to_string(dir.path().join("old/a.pem")).unwrap(), "first");
        assert!(!path.exists());
        fs::write(&path, "second").unwrap();
        retire(&path).unwrap_err();
        assert_eq!(fs::read_to_string(&path).unwrap(), "second");
        assert_eq!(fs::read_to_string(dir.path().join("old/a.pem")).unwrap(), "first");
    }
}
