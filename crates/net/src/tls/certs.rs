//! The server's certificates and the choice among them.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use mox_base::{UnixSeconds, pem_without_fields};
use parking_lot::Mutex;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{SignatureAlgorithm, SignatureScheme};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::binding::end_point_hash;

/// The size of a certificate or key file that is read.
pub const PEM_BYTES_MAX: u64 = 1 << 20;

/// Stands for the path in faults of what was no file.
const MEMORY: &str = "(memory)";

/// Where a certificate chain and its private key lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyCertFiles {
    /// The chain in PEM, the server's own certificate first.
    pub cert: PathBuf,
    /// The private key in PEM: PKCS #8, PKCS #1 or SEC 1.
    pub key: PathBuf,
}

/// A certificate chain and its private key as PEM text.
#[derive(Clone)]
pub struct KeyCertPem {
    /// As in [`KeyCertFiles::cert`].
    pub cert: Vec<u8>,
    /// As in [`KeyCertFiles::key`].
    pub key: Vec<u8>,
}

/// A certificate that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertError {
    /// A file could not be read, or is larger than [`PEM_BYTES_MAX`].
    #[error("read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The file is not PEM of the kind wanted.
    #[error("{path}: not a {what} in PEM")]
    Pem {
        /// The file.
        path: PathBuf,
        /// `certificate` or `private key`.
        what: &'static str,
        /// What the reader found.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// The file with the chain has no certificate in it.
    #[error("{path}: no certificate")]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The certificate is not X.509.
    #[error("{path}: malformed certificate")]
    Malformed {
        /// The file.
        path: PathBuf,
    },
    /// The key is of an unknown kind or does not belong to the certificate.
    #[error("{path}: private key does not fit the certificate")]
    Key {
        /// The file with the key.
        path: PathBuf,
        /// What rustls says.
        #[source]
        source: rustls::Error,
    },
    /// No certificate at all was given.
    #[error("no certificates configured")]
    None,
}

/// A certificate that can be served.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) key: Arc<CertifiedKey>,
    /// For the channel binding `tls-server-end-point`.
    pub(crate) end_point: Option<Vec<u8>>,
    names: Vec<String>,
    not_after: UnixSeconds,
}

/// How the certificate for a name was found.
#[derive(Debug)]
pub(crate) enum Choice {
    /// It is made out to the name, or the client named none.
    Named(Arc<Served>),
    /// The name is not ours: the certificate of the server's own name.
    Fallback(Arc<Served>),
}

#[derive(Debug, Default)]
struct Table {
    all: Vec<Arc<Served>>,
    exact: HashMap<String, Vec<usize>>,
    /// By the name without its `*.`.
    wildcard: HashMap<String, Vec<usize>>,
}

/// What a client asked for that [`Certs`] does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted<'a> {
    /// The client named no server, and gets the certificate of the server's own name.
    NoName,
    /// There is no certificate for the name that the client can check.
    Name {
        /// The name in lower case, as the client sent it: it need not be one of ours.
        name: &'a str,
        /// Whether the client can check ECDSA with P-256; if not, RSA is what it wants.
        takes_ecdsa: bool,
    },
}

/// Is told what is wanted, within handshakes: it must not block.
pub type OnWanted = Arc<dyn Fn(Wanted<'_>) + Send + Sync>;

/// What all views of the certificates share.
struct Shared {
    table: ArcSwap<Table>,
    /// Held while the table is replaced, so that no change is lost.
    changing: Mutex<()>,
    /// By name: certificates that prove control of it. RFC 8737 §3.
    challenges: Mutex<HashMap<String, Arc<CertifiedKey>>>,
    on_wanted: Option<OnWanted>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("table", &self.table).finish_non_exhaustive()
    }
}

/// The certificates of the server. Clones share them, and see them change.
#[derive(Clone, Debug)]
pub struct Certs {
    files: Arc<[KeyCertFiles]>,
    hostname: Arc<str>,
    provider: Arc<CryptoProvider>,
    shared: Arc<Shared>,
}

impl Certs {
    /// Reads all files. `hostname` is the server's own name in A-label form: its certificate is
    /// served to clients that give no name. Blocks on files.
    pub fn load(files: Vec<KeyCertFiles>, hostname: &str) -> Result<Self, CertError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let served = read_all(&files, &provider)?;
        Self::new(files.into(), served, hostname, provider)
    }

    /// Takes certificates from memory; [`Self::reload`] then changes nothing.
    pub fn from_pem(pairs: &[KeyCertPem], hostname: &str) -> Result<Self, CertError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let memory = Path::new(MEMORY);
        let served = pairs
            .iter()
            .map(|pair| parse(&pair.cert, memory, &pair.key, memory, &provider))
            .collect::<Result<_, _>>()?;
        Self::new(Arc::new([]), served, hostname, provider)
    }

    /// Certificates that come and go by [`Self::put`] and [`Self::remove`]; there are none yet.
    ///
    /// - `hostname`: as for [`Self::load`].
    /// - `on_wanted`: told of each handshake for which there was none.
    #[must_use]
    pub fn dynamic(hostname: &str, on_wanted: OnWanted) -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let shared = Shared::new(Table::default(), Some(on_wanted));
        let hostname = hostname.to_ascii_lowercase().into();
        Self { files: Arc::new([]), hostname, provider, shared: Arc::new(shared) }
    }

    fn new(
        files: Arc<[KeyCertFiles]>,
        served: Vec<Served>,
        hostname: &str,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, CertError> {
        let table = Table::new(served.into_iter().map(Arc::new).collect());
        let shared = Arc::new(Shared::new(table.filled()?, None));
        Ok(Self { files, hostname: hostname.to_ascii_lowercase().into(), provider, shared })
    }

    /// The same certificates for a listener with another name of its own.
    #[must_use]
    pub fn for_hostname(&self, hostname: &str) -> Self {
        Self { hostname: hostname.to_ascii_lowercase().into(), ..self.clone() }
    }

    /// Reads the files again. On any fault the old certificates stay. Sessions that run are not
    /// touched, and tickets of certificates that did not change stay valid. Blocks on files.
    pub fn reload(&self) -> Result<(), CertError> {
        if self.files.is_empty() {
            return Ok(());
        }
        let _changing = self.shared.changing.lock();
        let old = self.shared.table.load();
        let served = read_all(&self.files, &self.provider)?
            .into_iter()
            .map(|new| {
                let same = old.all.iter().find(|old| old.key.cert == new.key.cert);
                same.map_or_else(|| Arc::new(new), Arc::clone)
            })
            .collect();
        self.shared.table.store(Arc::new(Table::new(served).filled()?));
        Ok(())
    }

    /// Serves a certificate from now on, instead of the one with the same names and the same kind
    /// of key. Of two kinds for a name, ECDSA is preferred.
    ///
    /// # Errors
    ///
    /// If the pair is malformed; nothing changes then.
    pub fn put(&self, pair: &KeyCertPem) -> Result<(), CertError> {
        let memory = Path::new(MEMORY);
        let new = parse(&pair.cert, memory, &pair.key, memory, &self.provider)?;
        self.change(|all| {
            all.retain(|old| old.names != new.names || old.algorithm() != new.algorithm());
            all.push(Arc::new(new));
            all.sort_by_key(|served| served.algorithm() != SignatureAlgorithm::ECDSA);
        });
        Ok(())
    }

    /// Serves no certificate any more that is made out to this name alone.
    pub fn remove(&self, name: &str) {
        self.change(|all| all.retain(|served| served.names != [name]));
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Arc<Served>>)) {
        let _changing = self.shared.changing.lock();
        let mut all = self.shared.table.load().all.clone();
        change(&mut all);
        self.shared.table.store(Arc::new(Table::new(all)));
    }

    /// Shows a certificate to who checks control of a name by `acme-tls/1`, until
    /// [`Self::end_challenge`]. RFC 8737 §3.
    ///
    /// # Errors
    ///
    /// If the pair is malformed.
    pub fn begin_challenge(&self, name: &str, pair: &KeyCertPem) -> Result<(), CertError> {
        let memory = Path::new(MEMORY);
        let (chain, key) = decode(&pair.cert, memory, &pair.key, memory)?;
        // No check that they belong together: it refuses the extension that is the proof, which is
        // critical and known to few.
        let key = self.provider.key_provider.load_private_key(key);
        let key = key.map_err(|source| CertError::Key { path: memory.to_owned(), source })?;
        let proof = Arc::new(CertifiedKey::new(chain, key));
        self.shared.challenges.lock().insert(name.to_ascii_lowercase(), proof);
        Ok(())
    }

    /// Ends what [`Self::begin_challenge`] began.
    pub fn end_challenge(&self, name: &str) {
        self.shared.challenges.lock().remove(&name.to_ascii_lowercase());
    }

    /// The proof of control of a name, if one is shown now.
    pub(crate) fn challenge(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        self.shared.challenges.lock().get(name.trim_end_matches('.')).cloned()
    }

    /// Whether there is no certificate at all, so that no handshake can succeed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.shared.table.load().all.is_empty()
    }

    /// When the certificate that ends first ends, so that somebody can be told in time.
    #[must_use]
    pub fn first_expiry(&self) -> Option<UnixSeconds> {
        self.shared.table.load().all.iter().map(|served| served.not_after).min()
    }

    /// The names that all certificates together are made out to, sorted.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let table = self.shared.table.load();
        let mut names: Vec<_> =
            table.all.iter().flat_map(|served| served.names.iter().cloned()).collect();
        names.sort();
        names.dedup();
        names
    }

    pub(crate) fn provider(&self) -> &Arc<CryptoProvider> {
        &self.provider
    }

    /// Chooses by name, then by the signatures that the client can check.
    ///
    /// An exact name goes before a wildcard, which stands for one label (RFC 9525 §6.3).
    pub(crate) fn choose(&self, name: Option<&str>, schemes: &[SignatureScheme]) -> Option<Choice> {
        let table = self.shared.table.load();
        let Some(name) = name else {
            self.tell(Wanted::NoName);
            return self.fallback(&table, schemes).map(Choice::Named);
        };
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        match table.find(&name, schemes) {
            Some(served) => Some(Choice::Named(served)),
            None => {
                self.tell_name(&name, schemes);
                self.fallback(&table, schemes).map(Choice::Fallback)
            }
        }
    }

    /// What is shown when no name fits: the certificate of the server's own name, else any.
    fn fallback(&self, table: &Table, schemes: &[SignatureScheme]) -> Option<Arc<Served>> {
        let own = table.find(&self.hostname, schemes);
        if own.is_none() {
            self.tell_name(&self.hostname, schemes);
        }
        own.or_else(|| table.all.iter().find(|served| served.fits(schemes)).cloned())
    }

    fn tell_name(&self, name: &str, schemes: &[SignatureScheme]) {
        let takes_ecdsa = schemes.contains(&SignatureScheme::ECDSA_NISTP256_SHA256);
        self.tell(Wanted::Name { name, takes_ecdsa });
    }

    fn tell(&self, wanted: Wanted<'_>) {
        if let Some(on_wanted) = &self.shared.on_wanted {
            on_wanted(wanted);
        }
    }

    /// Whether the certificate is still among those served.
    pub(crate) fn serves(&self, served: &Arc<Served>) -> bool {
        self.shared.table.load().all.iter().any(|one| Arc::ptr_eq(one, served))
    }
}

impl Shared {
    fn new(table: Table, on_wanted: Option<OnWanted>) -> Self {
        let table = ArcSwap::from_pointee(table);
        Self { table, changing: Mutex::default(), challenges: Mutex::default(), on_wanted }
    }
}

impl Served {
    fn fits(&self, schemes: &[SignatureScheme]) -> bool {
        self.key.key.choose_scheme(schemes).is_some()
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.key.key.algorithm()
    }
}

impl Table {
    fn new(all: Vec<Arc<Served>>) -> Self {
        let mut exact: HashMap<String, Vec<usize>> = HashMap::new();
        let mut wildcard: HashMap<String, Vec<usize>> = HashMap::new();
        for (index, served) in all.iter().enumerate() {
            for name in &served.names {
                match name.strip_prefix("*.") {
                    Some(parent) => wildcard.entry(parent.to_owned()).or_default().push(index),
                    None => exact.entry(name.clone()).or_default().push(index),
                }
            }
        }
        Self { all, exact, wildcard }
    }

    fn filled(self) -> Result<Self, CertError> {
        if self.all.is_empty() { Err(CertError::None) } else { Ok(self) }
    }

    /// The first certificate for a name that the client can check.
    fn find(&self, name: &str, schemes: &[SignatureScheme]) -> Option<Arc<Served>> {
        let exact = self.exact.get(name);
        let wildcard = name.split_once('.').and_then(|(_, parent)| self.wildcard.get(parent));
        let indexes = exact.into_iter().chain(wildcard).flatten();
        indexes
            .filter_map(|index| self.all.get(*index))
            .find(|served| served.fits(schemes))
            .cloned()
    }
}

fn read_all(files: &[KeyCertFiles], provider: &CryptoProvider) -> Result<Vec<Served>, CertError> {
    files
        .iter()
        .map(|files| {
            let (cert, key) = (read(&files.cert)?, read(&files.key)?);
            parse(&cert, &files.cert, &key, &files.key, provider)
        })
        .collect()
}

fn read(path: &Path) -> Result<Vec<u8>, CertError> {
    let read = || {
        let mut bytes = Vec::new();
        fs::File::open(path)?.take(PEM_BYTES_MAX + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > PEM_BYTES_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(bytes)
    };
    read().map_err(|source| CertError::Read { path: path.to_owned(), source })
}

fn parse(
    cert: &[u8],
    cert_path: &Path,
    key: &[u8],
    key_path: &Path,
    provider: &CryptoProvider,
) -> Result<Served, CertError> {
    let (chain, key) = decode(cert, cert_path, key, key_path)?;
    let malformed = || CertError::Malformed { path: cert_path.to_owned() };
    let first = chain.first().ok_or_else(malformed)?;
    let (_, x509) = X509Certificate::from_der(first).map_err(|_| malformed())?;
    let names = names_of(&x509);
    let not_after = UnixSeconds(x509.validity().not_after.timestamp());
    let end_point = end_point_hash(first, &x509);
    let key = CertifiedKey::from_der(chain, key, provider)
        .map_err(|source| CertError::Key { path: key_path.to_owned(), source })?;
    Ok(Served { key: Arc::new(key), end_point, names, not_after })
}

/// Reads the PEM of a chain, which is not empty, and of a key.
fn decode(
    cert: &[u8],
    cert_path: &Path,
    key: &[u8],
    key_path: &Path,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), CertError> {
    let path = || cert_path.to_owned();
    let chain = CertificateDer::pem_slice_iter(cert)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|source| CertError::Pem { path: path(), what: "certificate", source })?;
    if chain.is_empty() {
        return Err(CertError::Empty { path: path() });
    }
    let key = PrivateKeyDer::from_pem_slice(&pem_without_fields(key));
    let key = key.map_err(|source| CertError::Pem {
        path: key_path.to_owned(),
        what: "private key",
        source,
    })?;
    Ok((chain, key))
}

/// The DNS names in lower case. The common name counts only without them (RFC 6125 §6.4.4).
fn names_of(cert: &X509Certificate<'_>) -> Vec<String> {
    let alternatives = cert.subject_alternative_name().ok().flatten();
    let mut names: Vec<String> = alternatives
        .iter()
        .flat_map(|names| &names.value.general_names)
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
            _ => None,
        })
        .collect();
    if alternatives.is_none() {
        let common = cert.subject().iter_common_name().filter_map(|name| name.as_str().ok());
        names.extend(common.map(str::to_ascii_lowercase));
    }
    names
}

#[cfg(test)]
pub(crate) mod tests {
    use mox_testkit::certificates::{Certified, key, params};
    use rcgen::KeyPair;

    use super::*;

    /// A certificate for the names that signs itself.
    pub(crate) fn pem(names: &[&str]) -> KeyCertPem {
        pem_of(&Certified::new(names))
    }

    pub(crate) fn pem_of(made: &Certified) -> KeyCertPem {
        KeyCertPem { cert: made.cert_pem().into(), key: made.key_pem().into() }
    }

    fn pem_with(names: &[&str], key: KeyPair) -> KeyCertPem {
        pem_of(&Certified::self_signed(&params(names), key))
    }

    const P256: &[SignatureScheme] = &[SignatureScheme::ECDSA_NISTP256_SHA256];

    /// As the original's localserve writes it.
    #[test]
    fn a_key_may_have_a_note_for_people() {
        let mut pair = pem(&["x.example"]);
        let key = String::from_utf8(pair.key).unwrap();
        pair.key = key.replacen("-----\n", "-----\nNote: made for localhost.\n\n", 1).into_bytes();
        let certs = Certs::from_pem(&[pair], "x.example").unwrap();
        check(&certs, Some("x.example"), Some((true, "x.example")));
    }

    #[track_caller]
    fn check(certs: &Certs, name: Option<&str>, want: Option<(bool, &str)>) {
        let choice = certs.choose(name, P256);
        let got = choice.as_ref().map(|choice| match choice {
            Choice::Named(served) => (true, served.names[0].as_str()),
            Choice::Fallback(served) => (false, served.names[0].as_str()),
        });
        assert_eq!(got, want, "{name:?}");
    }

    #[test]
    fn a_name_is_found_exactly_then_by_wildcard_then_not() {
        let certs = Certs::from_pem(
            &[
                pem(&["*.example.org"]),
                pem(&["a.example.org", "b.example.net"]),
                pem(&["host.example"]),
            ],
            "Host.Example",
        )
        .unwrap();
        check(&certs, Some("a.example.org"), Some((true, "a.example.org")));
        check(&certs, Some("B.EXAMPLE.NET"), Some((true, "a.example.org")));
        check(&certs, Some("c.example.org"), Some((true, "*.example.org")));
        check(&certs, Some("c.example.org."), Some((true, "*.example.org")));
        check(&certs, None, Some((true, "host.example")));
        // Just past: a wildcard stands for exactly one label.
        check(&certs, Some("d.c.example.org"), Some((false, "host.example")));
        check(&certs, Some("example.org"), Some((false, "host.example")));
        check(&certs, Some(""), Some((false, "host.example")));
        // A client that knows none of our signatures gets nothing.
        assert!(certs.choose(None, &[SignatureScheme::ED25519]).is_none());
        assert_eq!(
            certs.names(),
            ["*.example.org", "a.example.org", "b.example.net", "host.example"]
        );
    }

    #[test]
    fn the_key_is_one_the_client_can_check() {
        let ed25519 = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let pairs = [pem_with(&["x.example"], ed25519), pem(&["x.example"])];
        let certs = Certs::from_pem(&pairs, "x.example").unwrap();
        let served = |schemes| match certs.choose(Some("x.example"), schemes) {
            Some(Choice::Named(served)) => served.key.key.choose_scheme(schemes).unwrap().scheme(),
            other => panic!("{other:?}"),
        };
        assert_eq!(served(P256), SignatureScheme::ECDSA_NISTP256_SHA256);
        assert_eq!(served(&[SignatureScheme::ED25519]), SignatureScheme::ED25519);
    }

    #[track_caller]
    fn check_fault(cert: &[u8], key: &[u8], want: &str) {
        let pair = KeyCertPem { cert: cert.to_vec(), key: key.to_vec() };
        let error = Certs::from_pem(&[pair], "x.example").unwrap_err();
        assert_eq!(error.to_string(), want);
    }

    #[test]
    fn faults_say_what_is_wrong() {
        let (one, other) = (pem(&["x.example"]), pem(&["x.example"]));
        check_fault(b"", &one.key, "(memory): no certificate");
        check_fault(&one.cert, b"", "(memory): not a private key in PEM");
        check_fault(&one.key, &one.key, "(memory): no certificate");
        check_fault(&one.cert, &other.key, "(memory): private key does not fit the certificate");
        let junk = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        check_fault(junk, &one.key, "(memory): malformed certificate");
        assert!(matches!(Certs::from_pem(&[], "x.example"), Err(CertError::None)));
    }

    #[test]
    fn files_are_read_again_and_a_bad_file_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let files = KeyCertFiles { cert: dir.path().join("x.crt"), key: dir.path().join("x.key") };
        let write = |pair: &KeyCertPem| {
            fs::write(&files.cert, &pair.cert).unwrap();
            fs::write(&files.key, &pair.key).unwrap();
        };
        write(&pem(&["old.example"]));
        let certs = Certs::load(vec![files.clone()], "old.example").unwrap();
        let Some(Choice::Named(before)) = certs.choose(None, P256) else { panic!("no choice") };
        certs.reload().unwrap();
        assert!(certs.serves(&before), "the same certificate keeps its tickets");

        fs::write(&files.cert, "half a file").unwrap();
        assert!(matches!(certs.reload(), Err(CertError::Empty { .. })));
        check(&certs, Some("old.example"), Some((true, "old.example")));

        write(&pem(&["new.example"]));
        certs.reload().unwrap();
        check(&certs, Some("new.example"), Some((true, "new.example")));
        check(&certs, Some("old.example"), Some((false, "new.example")));
        assert!(!certs.serves(&before));

        fs::write(&files.cert, vec![b'x'; 1 << 21]).unwrap();
        assert!(matches!(certs.reload(), Err(CertError::Read { .. })));
        fs::remove_file(&files.cert).unwrap();
        let error = certs.reload().unwrap_err();
        assert!(error.to_string().starts_with("read /"), "{error}");
    }

    #[test]
    fn the_first_expiry_is_told() {
        let mut params = params(&["x.example"]);
        params.not_after = rcgen::date_time_ymd(2030, 1, 2);
        let short = pem_of(&Certified::self_signed(&params, key()));
        let certs = Certs::from_pem(&[pem(&["long.example"]), short], "x.example").unwrap();
        assert_eq!(certs.first_expiry(), Some(UnixSeconds(1_893_542_400)));
    }

    #[track_caller]
    fn check_wanted(certs: &Certs, ask: Option<&str>, schemes: &[SignatureScheme]) -> bool {
        certs.choose(ask, schemes).is_some()
    }

    #[test]
    fn certificates_come_and_go_and_what_is_missing_is_told() {
        const RSA: &[SignatureScheme] = &[SignatureScheme::RSA_PSS_SHA256];
        let told = Arc::new(Mutex::new(Vec::new()));
        let tell = Arc::clone(&told);
        let on_wanted: OnWanted = Arc::new(move |wanted| {
            tell.lock().push(match wanted {
                Wanted::NoName => "-".to_owned(),
                Wanted::Name { name, takes_ecdsa: true } => name.to_owned(),
                Wanted::Name { name, takes_ecdsa: false } => format!("{name}+rsa"),
            });
        });
        let certs = Certs::dynamic("Mail.Example", on_wanted);
        let told = || std::mem::take(&mut *told.lock());
        assert!(certs.is_empty());
        assert!(!check_wanted(&certs, None, P256));
        assert_eq!(told(), ["-", "mail.example"]);
        assert!(!check_wanted(&certs, Some("www.Example."), RSA));
        assert_eq!(told(), ["www.example+rsa", "mail.example+rsa"]);

        certs.put(&pem(&["mail.example"])).unwrap();
        certs.put(&pem(&["www.example"])).unwrap();
        check(&certs, None, Some((true, "mail.example")));
        check(&certs, Some("www.example"), Some((true, "www.example")));
        check(&certs, Some("x.example"), Some((false, "mail.example")));
        assert_eq!(told(), ["-", "x.example"]);
        // Another listener has another name of its own, and the same certificates.
        let other = certs.for_hostname("www.example");
        check(&other, None, Some((true, "www.example")));

        // The next certificate for a name takes the place of the one before, of its kind.
        let Some(Choice::Named(before)) = certs.choose(None, P256) else { panic!("no choice") };
        let rsa = KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048);
        certs.put(&pem_with(&["mail.example"], rsa.unwrap())).unwrap();
        assert!(certs.serves(&before));
        let Some(Choice::Named(served)) = certs.choose(Some("mail.example"), RSA) else {
            panic!("no choice")
        };
        assert_eq!(served.algorithm(), SignatureAlgorithm::RSA);
        certs.put(&pem(&["mail.example"])).unwrap();
        assert!(!certs.serves(&before) && certs.serves(&served));

        let half = KeyCertPem { cert: pem(&["a.example"]).cert, key: Vec::new() };
        assert!(certs.put(&half).is_err());
        certs.remove("mail.example");
        assert_eq!(certs.names(), ["www.example"]);
        assert!(!certs.is_empty() && !certs.serves(&served));
    }
}
