//! Certificates that people register to log in with.

use mox_net::tls::spki_fingerprint;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::public_key::PublicKey;

/// The largest certificate that can be registered, in bytes of DER.
pub(crate) const CERTIFICATE_BYTES_MAX: u64 = 64 << 10;

/// The shortest RSA key that can be registered.
const RSA_BITS_MIN: usize = 2_048;

/// The named curves of RFC 5480 §2.1.1.1 that TLS 1.3 signs with (RFC 8446 §4.2.3).
const CURVES: &[(&str, &str)] = &[
    ("1.2.840.10045.3.1.7", "ecdsa-p256"),
    ("1.3.132.0.34", "ecdsa-p384"),
    ("1.3.132.0.35", "ecdsa-p521"),
];

/// RFC 8410 §3.
const ED25519: &str = "1.3.101.112";

/// Why a certificate cannot be registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CertificateError {
    #[error("not an X.509 certificate")]
    Malformed,
    #[error("RSA keys must have 2048 bits or more")]
    WeakRsa,
    #[error("the key must be RSA, ECDSA (P-256, P-384, P-521) or Ed25519")]
    UnknownKind,
}

/// What is kept of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Certificate {
    /// See [`spki_fingerprint`].
    pub(crate) fingerprint: String,
    /// Such as `ed25519`.
    pub(crate) kind: String,
    /// Its common name, else its serial number.
    pub(crate) default_name: String,
}

impl Certificate {
    /// Reads a whole certificate in DER.
    pub(crate) fn parse(der: &[u8]) -> Result<Self, CertificateError> {
        let fingerprint = spki_fingerprint(der).ok_or(CertificateError::Malformed)?;
        let (_, certificate) =
            X509Certificate::from_der(der).map_err(|_| CertificateError::Malformed)?;
        let subject = certificate.subject();
        let common_name = subject.iter_common_name().next().and_then(|name| name.as_str().ok());
        let default_name = match common_name.filter(|name| !name.is_empty()) {
            // Tabs and line ends would break the list of keys.
            Some(name) => name.replace(char::is_control, " "),
            None => format!("serial {:x}", certificate.serial),
        };
        Ok(Self { fingerprint, kind: kind(&certificate)?, default_name })
    }
}

fn kind(certificate: &X509Certificate<'_>) -> Result<String, CertificateError> {
    let info = certificate.public_key();
    if info.algorithm.algorithm.to_id_string() == ED25519 {
        return Ok("ed25519".to_owned());
    }
    match info.parsed().map_err(|_| CertificateError::Malformed)? {
        PublicKey::RSA(rsa) if rsa.key_size() < RSA_BITS_MIN => Err(CertificateError::WeakRsa),
        PublicKey::RSA(rsa) => Ok(format!("rsa-{}", rsa.key_size())),
        PublicKey::EC(_) => {
            let curve = info.algorithm.parameters.as_ref().and_then(|curve| curve.as_oid().ok());
            let curve = curve.map(|curve| curve.to_id_string()).unwrap_or_default();
            let known = CURVES.iter().find(|(id, _)| *id == curve);
            known.map(|(_, kind)| (*kind).to_owned()).ok_or(CertificateError::UnknownKind)
        }
        _ => Err(CertificateError::UnknownKind),
    }
}

#[cfg(test)]
mod tests {
    use mox_testkit::certificates::{Certified, params};
    use rcgen::{DnType, KeyPair, SignatureAlgorithm};

    use super::*;

    fn certificate(algorithm: &'static SignatureAlgorithm, name: &str) -> Vec<u8> {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let mut params = params(&[]);
        params.distinguished_name = rcgen::DistinguishedName::new();
        if !name.is_empty() {
            params.distinguished_name.push(DnType::CommonName, name);
        }
        Certified::self_signed(&params, key).der().to_vec()
    }

    #[track_caller]
    fn check(der: &[u8], want: Result<(&str, &str), CertificateError>) {
        let found = Certificate::parse(der);
        let found = found.map(|found| (found.kind, found.default_name));
        assert_eq!(found, want.map(|(kind, name)| (kind.to_owned(), name.to_owned())));
    }

    #[test]
    fn keys_are_told_apart() {
        check(&certificate(&rcgen::PKCS_ED25519, "laptop"), Ok(("ed25519", "laptop")));
        check(&certificate(&rcgen::PKCS_ECDSA_P256_SHA256, "é"), Ok(("ecdsa-p256", "é")));
        check(&certificate(&rcgen::PKCS_ECDSA_P384_SHA384, "a\tb"), Ok(("ecdsa-p384", "a b")));
        let unnamed = Certificate::parse(&certificate(&rcgen::PKCS_ED25519, "")).unwrap();
        assert!(unnamed.default_name.starts_with("serial "), "{}", unnamed.default_name);
        check(b"", Err(CertificateError::Malformed));
        check(b"\x30\x00", Err(CertificateError::Malformed));
        let mut long = certificate(&rcgen::PKCS_ED25519, "x");
        long.push(0);
        check(&long, Err(CertificateError::Malformed));
    }
}
