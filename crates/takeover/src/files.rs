//! Files of the original's data directory that are no databases: the key of ids in Received fields,
//! accounts and certificates of ACME (RFC 8555); and what lies there that nobody knows.

use std::fs::{self, DirEntry, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use mox_base::{Domain, pem_without_fields};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;

use crate::file::{TakeoverError, open_own};
use crate::stray;
use crate::summary::Summary;

/// The length of the key of ids in Received fields: a key of AES-128, and a salt.
pub const RECEIVED_ID_KEY_BYTES: u64 = 24;

/// The largest file of ACME that is taken, in bytes: ours reads no larger ones.
pub const ACME_FILE_BYTES_MAX: u64 = 1 << 20;

/// Files of ACME that are taken: a provider with certificates of two kinds for thousands of hosts.
pub const ACME_FILES_MAX: usize = 20_000;

/// The longest name of a provider, in bytes: ours takes no longer ones.
const PROVIDER_BYTES_MAX: usize = 100;

/// What follows the host in the name of a file with an RSA certificate.
const RSA_SUFFIX: &str = "+rsa";

/// What follows the host in the names of files with answers to checks that were going on.
const ANSWER_SUFFIXES: &[&str] = &["+token", "+http-01"];

const KEYS_OF_IDS: &str = "keys of ids in Received fields";
const ACME_ACCOUNTS: &str = "ACME accounts";
const CERTIFICATES: &str = "certificates";
const UNKNOWN: &str = "files that are not known";

/// What is known in a data directory, and taken elsewhere or of no use any more.
const KNOWN: &[&str] = &[
    "accounts",
    "acme",
    "auth.db",
    "ctl",
    "dmarceval.db",
    "dmarcrpt.db",
    "lastknownversion",
    "moved",
    "moxversion",
    "mtasts.db",
    "queue",
    "receivedid.key",
    "tlsrpt.db",
    "tlsrptresult.db",
    "tmp",
];

/// Looks at all files, writes nothing, and says what would become of them. Blocks.
///
/// Files of messages that no record has are told too; for this, the databases of all accounts and of the
/// queue are read.
///
/// # Errors
///
/// If the directory cannot be read, or a database is in use.
pub fn check(data_dir: &Path) -> Result<Summary, TakeoverError> {
    run(data_dir, None)
}

/// Copies the files that ours uses too, whole and synced, with their modes; those that are there stay as
/// they are. Blocks.
///
/// - `into_dir`: our data directory.
///
/// # Errors
///
/// If the directory cannot be read, a database is in use, or a file cannot be written.
pub fn copy(data_dir: &Path, into_dir: &Path) -> Result<Summary, TakeoverError> {
    run(data_dir, Some(into_dir))
}

fn run(data_dir: &Path, into: Option<&Path>) -> Result<Summary, TakeoverError> {
    let mut summary = Summary::default();
    let mut copying = Copying { from: data_dir, into, summary: &mut summary };
    let done = copying.key_of_ids();
    noted(done, copying.summary)?;
    let done = copying.acme();
    noted(done, copying.summary)?;
    // Ours has versions of its own: with a higher one of the original it would tell of none for long.
    if data_dir.join("lastknownversion").exists() {
        summary.leave("notes of the last release that was told of", 1);
    }
    let done = unknown(data_dir, &mut summary);
    noted(done, &mut summary)?;
    let done = stray::find(data_dir, &mut summary);
    noted(done, &mut summary)?;
    Ok(summary)
}

/// What cannot be read is told, and the rest is looked at.
fn noted(done: Result<(), TakeoverError>, summary: &mut Summary) -> Result<(), TakeoverError> {
    match done {
        Err(error) if error.is_damage() => {
            summary.damage("files", error.in_full());
            Ok(())
        }
        done => done,
    }
}

/// Files on their way.
struct Copying<'a> {
    from: &'a Path,
    into: Option<&'a Path>,
    summary: &'a mut Summary,
}

impl Copying<'_> {
    fn key_of_ids(&mut self) -> Result<(), TakeoverError> {
        let path = self.from.join("receivedid.key");
        match read(&path, RECEIVED_ID_KEY_BYTES) {
            Ok(key) if key.len() as u64 == RECEIVED_ID_KEY_BYTES => {
                self.put(Path::new("receivedid.key"), &key, 0o600, KEYS_OF_IDS)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error)
                if !matches!(
                    error.kind(),
                    io::ErrorKind::FileTooLarge | io::ErrorKind::InvalidInput
                ) =>
            {
                Err(TakeoverError::Read { path, source: error })
            }
            _ => {
                let why =
                    format!("{}: not a file of {RECEIVED_ID_KEY_BYTES} bytes", path.display());
                self.summary.damage(KEYS_OF_IDS, why);
                Ok(())
            }
        }
    }

    /// The layout is the same with ours: `acme/<provider>.key` and `acme/keycerts/<provider>/<host>`, with
    /// `+rsa` for the other kind of key.
    fn acme(&mut self) -> Result<(), TakeoverError> {
        let mut left = ACME_FILES_MAX;
        let dir = Path::new("acme");
        if !self.is_own(dir) {
            return Ok(());
        }
        for entry in entries(&self.from.join(dir))? {
            let (name, path) = (name(&entry), dir.join(entry.file_name()));
            match name.strip_suffix(".key") {
                Some(provider) if is_file(&entry) && is_provider(provider) => {
                    self.acme_file(&path, Form::Account, &mut left)?;
                }
                _ if name == "keycerts" => {}
                _ => self.summary.skip(UNKNOWN, self.from.join(path).display().to_string()),
            }
        }
        let dir = dir.join("keycerts");
        if !self.is_own(&dir) {
            return Ok(());
        }
        for entry in entries(&self.from.join(&dir))? {
            let (name, path) = (name(&entry), dir.join(entry.file_name()));
            if is_dir(&entry) && is_provider(&name) {
                self.certificates(&path, &mut left)?;
            } else {
                self.summary.skip(UNKNOWN, self.from.join(path).display().to_string());
            }
        }
        Ok(())
    }

    /// Whether nothing but a directory lies there, if anything: who may write there must not have root
    /// read keys of others through a link. What else lies there is told.
    fn is_own(&mut self, dir: &Path) -> bool {
        let path = self.from.join(dir);
        let is_other = fs::symlink_metadata(&path).is_ok_and(|found| !found.is_dir());
        if is_other {
            self.summary.skip(UNKNOWN, path.display().to_string());
        }
        !is_other
    }

    /// - `dir`: that of a provider.
    fn certificates(&mut self, dir: &Path, left: &mut usize) -> Result<(), TakeoverError> {
        for entry in entries(&self.from.join(dir))? {
            let (name, path) = (name(&entry), dir.join(entry.file_name()));
            let shown = || self.from.join(&path).display().to_string();
            if ANSWER_SUFFIXES.iter().any(|suffix| name.ends_with(suffix)) {
                self.summary.skip("answers to checks of ACME that were going on", shown());
                continue;
            }
            let host = name.strip_suffix(RSA_SUFFIX).unwrap_or(&name);
            // The name of the file goes by the name of the host in A-labels, in lower case.
            let is_host = Domain::parse(host).is_ok_and(|domain| domain.ascii() == host);
            if is_file(&entry) && is_host {
                self.acme_file(&path, Form::Certificate, left)?;
            } else {
                self.summary.skip(UNKNOWN, shown());
            }
        }
        Ok(())
    }

    fn acme_file(
        &mut self,
        path: &Path,
        form: Form,
        left: &mut usize,
    ) -> Result<(), TakeoverError> {
        let from = self.from.join(path);
        let Some(rest) = left.checked_sub(1) else {
            self.summary.skip("files of ACME beyond our limit", from.display().to_string());
            return Ok(());
        };
        *left = rest;
        let bytes = match read(&from, ACME_FILE_BYTES_MAX) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => Vec::new(),
            Err(source) => return Err(TakeoverError::Read { path: from, source }),
        };
        let (kind, is_usable, why) = match form {
            // With another key (see docs/deviations.md) our client would ask for nothing, and certificates would
            // end; without one it makes another account.
            Form::Account => (ACME_ACCOUNTS, is_p256(&bytes), "no ECDSA key with P-256"),
            Form::Certificate => (CERTIFICATES, is_key(&bytes), "no private key"),
        };
        if !is_usable {
            let kind = match form {
                Form::Account => {
                    "ACME accounts that are made anew: CAA records may name the old ones"
                }
                Form::Certificate => "certificates that are asked for anew",
            };
            self.summary.skip(kind, format!("{}: {why}", from.display()));
            return Ok(());
        }
        let mode = fs::symlink_metadata(&from).map_or(0o600, |file| file.permissions().mode());
        // Whatever is wrong with the modes of the original: keys are for nobody else.
        self.put(path, &bytes, mode & 0o660, kind)
    }

    /// Writes a file, unless one is there.
    fn put(
        &mut self,
        path: &Path,
        bytes: &[u8],
        mode: u32,
        kind: &'static str,
    ) -> Result<(), TakeoverError> {
        if let Some(into) = self.into {
            let path = into.join(path);
            if is_other(&path, bytes) {
                self.summary.skip("files that ours has otherwise", path.display().to_string());
                return Ok(());
            }
            write(&path, bytes, mode).map_err(|source| TakeoverError::Write { path, source })?;
        }
        self.summary.took(kind, 1);
        Ok(())
    }
}

#[derive(Clone, Copy)]
enum Form {
    Account,
    Certificate,
}

/// Tells what lies at the top of the directory and is not known. Where the configuration lies there too,
/// its files are of any name.
fn unknown(data_dir: &Path, summary: &mut Summary) -> Result<(), TakeoverError> {
    if data_dir.join("mox.conf").exists() {
        return Ok(());
    }
    for entry in entries(data_dir)? {
        if !KNOWN.contains(&name(&entry).as_str()) {
            summary.skip(UNKNOWN, entry.path().display().to_string());
        }
    }
    Ok(())
}

/// The entries of a directory by name; none if it is not there. Symbolic links are nothing that is
/// followed: the original makes none.
pub(crate) fn entries(dir: &Path) -> Result<Vec<DirEntry>, TakeoverError> {
    let unreadable = |source| TakeoverError::Read { path: dir.to_owned(), source };
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(error)),
    };
    let mut entries = entries.collect::<io::Result<Vec<_>>>().map_err(unreadable)?;
    entries.sort_by_key(DirEntry::file_name);
    Ok(entries)
}

pub(crate) fn name(entry: &DirEntry) -> String {
    entry.file_name().to_string_lossy().into_owned()
}

pub(crate) fn is_file(entry: &DirEntry) -> bool {
    entry.file_type().is_ok_and(|kind| kind.is_file())
}

pub(crate) fn is_dir(entry: &DirEntry) -> bool {
    entry.file_type().is_ok_and(|kind| kind.is_dir())
}

/// As ours takes them for names of files.
fn is_provider(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    !name.is_empty()
        && name.len() <= PROVIDER_BYTES_MAX
        && !name.starts_with('.')
        && name.bytes().all(is_plain)
}

fn private_key(pem: &[u8]) -> Option<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_slice(&pem_without_fields(pem)).ok()
}

fn is_key(pem: &[u8]) -> bool {
    private_key(pem).is_some()
}

fn is_p256(pem: &[u8]) -> bool {
    private_key(pem).is_some_and(|key| {
        let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
        EcdsaKeyPair::from_private_key_der(algorithm, key.secret_der()).is_ok()
    })
}

/// A file of up to `bytes_max`; a longer one is an error.
fn read(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open_own(path)?.take(bytes_max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(bytes)
}

/// Whether there is a file, and not this one.
fn is_other(path: &Path, bytes: &[u8]) -> bool {
    match read(path, ACME_FILE_BYTES_MAX) {
        Ok(found) => found != bytes,
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    }
}

/// Writes a file beside its place, and then renames it: it is whole or not there.
fn write(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    if fs::symlink_metadata(path).is_ok() {
        return Ok(());
    }
    let dir = path.parent().unwrap_or_else(|| Path::new("."));
    fs::DirBuilder::new().recursive(true).mode(0o750).create(dir)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let making: PathBuf = dir.join(name);
    // What a crash left.
    match fs::remove_file(&making) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&making)?;
    // Whatever the umask would take away of it.
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&making, path)?;
    // The directories above are ours too, and may be as new.
    dir.ancestors().take(SYNCED_DIRS).try_for_each(|dir| File::open(dir)?.sync_all())
}

/// The directory of a file, and those above that may have been made for it: `acme/keycerts/<provider>`,
/// and the data directory.
const SYNCED_DIRS: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_providers_are_those_that_ours_takes() {
        let long = "x".repeat(PROVIDER_BYTES_MAX);
        let table = [
            ("letsencrypt", true),
            ("le-staging_2.test", true),
            (&long, true),
            (&format!("{long}x"), false),
            ("", false),
            (".x", false),
            ("a/b", false),
            ("\u{e4}", false),
        ];
        for (name, want) in table {
            assert_eq!(is_provider(name), want, "{name:?}");
        }
    }
}
