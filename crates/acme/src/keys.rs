//! Private keys: made fresh, or those that an operator keeps for years.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mox_base::pem_without_fields;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, RsaKeySize, SigningKey as _};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;

/// The kinds of keys that certificates are asked for with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyKind {
    /// ECDSA with P-256.
    Ecdsa,
    /// RSA of 2048 bits.
    Rsa,
}

impl KeyKind {
    /// What follows the host in the name of its file.
    pub(crate) fn suffix(self) -> &'static str {
        match self {
            Self::Ecdsa => "",
            Self::Rsa => "+rsa",
        }
    }
}

/// Why a file is no private key for certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HostKeyError {
    /// Not a private key in PEM.
    #[error("not a private key in PEM")]
    NotPem,
    /// The key itself is malformed, or of a kind that is not known.
    #[error("malformed private key")]
    Malformed,
    /// Neither RSA of 2048 bits nor ECDSA P-256.
    #[error("neither RSA of 2048 bits nor ECDSA P-256")]
    Kind,
}

/// A private key with its text, from which certificates for it are asked for.
#[derive(Debug)]
pub struct HostKey {
    kind: KeyKind,
    pair: KeyPair,
    pem: String,
}

/// The length of an RSA modulus of 2048 bits.
const RSA_SIGNATURE_BYTES: usize = 256;

impl HostKey {
    /// Reads a key: PKCS #8, PKCS #1 or SEC 1 in PEM. Header fields in the PEM, such as notes for
    /// people, are passed over.
    ///
    /// # Errors
    ///
    /// See [`HostKeyError`].
    pub fn from_pem(text: &str) -> Result<Self, HostKeyError> {
        let der = PrivateKeyDer::from_pem_slice(&pem_without_fields(text.as_bytes()));
        let der = der.map_err(|_| HostKeyError::NotPem)?;
        let label = match &der {
            PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
            PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
            _ => "PRIVATE KEY",
        };
        let pem = print_pem(label, der.secret_der());
        let pair = KeyPair::try_from(&der).map_err(|_| HostKeyError::Malformed)?;
        let kind = if pair.algorithm() == &PKCS_ECDSA_P256_SHA256 {
            KeyKind::Ecdsa
        } else if pair.algorithm() == &PKCS_RSA_SHA256 {
            let signature = pair.sign(b"").map_err(|_| HostKeyError::Malformed)?;
            if signature.len() != RSA_SIGNATURE_BYTES {
                return Err(HostKeyError::Kind);
            }
            KeyKind::Rsa
        } else {
            return Err(HostKeyError::Kind);
        };
        Ok(Self { kind, pair, pem })
    }

    /// Makes a key. RSA takes a good part of a second.
    pub(crate) fn generate(kind: KeyKind) -> Result<Self, rcgen::Error> {
        let pair = match kind {
            KeyKind::Ecdsa => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?,
            KeyKind::Rsa => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)?,
        };
        let pem = print_pem("PRIVATE KEY", pair.serialized_der());
        Ok(Self { kind, pair, pem })
    }

    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The key as text.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// The public key as certificates have it (SubjectPublicKeyInfo, RFC 5280 §4.1.2.7).
    #[must_use]
    pub fn public(&self) -> Vec<u8> {
        use rcgen::PublicKeyData as _;
        self.pair.subject_public_key_info()
    }

    pub(crate) fn pair(&self) -> &KeyPair {
        &self.pair
    }
}

/// RFC 7468 §2.
pub(crate) fn print_pem(label: &str, der: &[u8]) -> String {
    const LINE_BYTES: usize = 64;
    let mut text = format!("-----BEGIN {label}-----\n");
    for (count, digit) in STANDARD.encode(der).chars().enumerate() {
        if count > 0 && count % LINE_BYTES == 0 {
            text.push('\n');
        }
        text.push(digit);
    }
    text.push_str(&format!("\n-----END {label}-----\n"));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: Result<KeyKind, HostKeyError>) {
        let key = HostKey::from_pem(text);
        assert_eq!(key.as_ref().map(HostKey::kind).map_err(|error| *error), want);
        if let Ok(key) = key {
            let again = HostKey::from_pem(key.pem()).unwrap();
            assert_eq!(again.public(), key.public());
        }
    }

    #[test]
    fn keys_are_read_in_the_forms_that_files_have() {
        for kind in [KeyKind::Ecdsa, KeyKind::Rsa] {
            let key = HostKey::generate(kind).unwrap();
            check(key.pem(), Ok(kind));
            // With a note for people.
            check(&key.pem().replacen("-----\n", "-----\nNote: kept for DANE\n\n", 1), Ok(kind));
            assert_eq!(HostKey::from_pem(key.pem()).unwrap().pem(), key.pem());
        }
        let other =
            |alg| print_pem("PRIVATE KEY", KeyPair::generate_for(alg).unwrap().serialized_der());
        check(&other(&rcgen::PKCS_ECDSA_P384_SHA384), Err(HostKeyError::Kind));
        check(&other(&rcgen::PKCS_ED25519), Err(HostKeyError::Kind));
        let large = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_3072).unwrap();
        check(&print_pem("PRIVATE KEY", large.serialized_der()), Err(HostKeyError::Kind));
        check(&print_pem("PRIVATE KEY", b"key"), Err(HostKeyError::Malformed));
        check(&print_pem("CERTIFICATE", b"key"), Err(HostKeyError::NotPem));
        check("", Err(HostKeyError::NotPem));
    }
}
