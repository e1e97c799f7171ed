//! A certificate chain with its key, and what must be known of it.

use mox_base::{Domain, UnixSeconds};
use mox_net::tls::KeyCertPem;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use crate::keys::{HostKey, KeyKind};

/// Certificates that a chain may have.
pub(crate) const CHAIN_MAX: usize = 10;

/// What is wrong with a pair of key and chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PairError {
    /// No private key that certificates are asked for with.
    #[error("no usable private key")]
    Key,
    /// No chain of certificates in PEM.
    #[error("no chain of certificates")]
    Chain,
    /// The certificate is not for the key.
    #[error("the certificate is not for the key")]
    OtherKey,
    /// The certificate is not for the host.
    #[error("the certificate is not for the host")]
    OtherHost,
}

/// A certificate of a host.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    pub(crate) kind: KeyKind,
    /// The file: the key, then the chain.
    pub(crate) text: String,
    pub(crate) not_before: UnixSeconds,
    pub(crate) not_after: UnixSeconds,
    /// The public key, SubjectPublicKeyInfo.
    pub(crate) public: Vec<u8>,
    pub(crate) leaf: CertificateDer<'static>,
}

impl Pair {
    /// Reads the text of a file: the key in PEM, then the chain. Both are checked to belong to each
    /// other and to the host, but not who vouches for them.
    pub(crate) fn parse(text: &str, host: &Domain) -> Result<Self, PairError> {
        let key = HostKey::from_pem(text).map_err(|_| PairError::Key)?;
        let chain: Vec<_> = CertificateDer::pem_slice_iter(text.as_bytes())
            .take(CHAIN_MAX + 1)
            .collect::<Result<_, _>>()
            .map_err(|_| PairError::Chain)?;
        let leaf = chain.first().filter(|_| chain.len() <= CHAIN_MAX).ok_or(PairError::Chain)?;
        let (_, cert) = X509Certificate::from_der(leaf).map_err(|_| PairError::Chain)?;
        if cert.public_key().raw != key.public() {
            return Err(PairError::OtherKey);
        }
        let names = cert.subject_alternative_name().ok().flatten();
        let mut names = names.iter().flat_map(|names| &names.value.general_names);
        let is_host = |name: &GeneralName<'_>| matches!(name, GeneralName::DNSName(name) if name.eq_ignore_ascii_case(host.ascii()));
        if !names.any(is_host) {
            return Err(PairError::OtherHost);
        }
        Ok(Self {
            kind: key.kind(),
            text: text.to_owned(),
            not_before: UnixSeconds(cert.validity().not_before.timestamp()),
            not_after: UnixSeconds(cert.validity().not_after.timestamp()),
            public: key.public(),
            leaf: leaf.clone().into_owned(),
        })
    }

    /// Puts a key and the chain that was issued for it together.
    pub(crate) fn join(key: &HostKey, chain: &str, host: &Domain) -> Result<Self, PairError> {
        Self::parse(&format!("{}{chain}", key.pem()), host)
    }

    /// For a listener.
    pub(crate) fn served(&self) -> KeyCertPem {
        let text = self.text.clone().into_bytes();
        KeyCertPem { cert: text.clone(), key: text }
    }

    /// A number that goes with this certificate, 0 to 999: for waits that are different for each
    /// and the same after a restart.
    pub(crate) fn permille(&self) -> u32 {
        // The end of a signature is as good as random.
        let seed =
            self.leaf.iter().rev().take(4).fold(0_u32, |seed, byte| seed << 8 | u32::from(*byte));
        seed % 1000
    }
}
