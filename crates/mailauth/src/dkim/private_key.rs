//! Keys that sign.

use std::fmt;

use aws_lc_rs::digest::Digest;
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};

use super::Algorithm;
use super::pem::{PEM_BYTES_MAX, parse_pem, print_pem};
use super::record::{KeyRecord, KeyType};

/// Why a private key was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PrivateKeyError {
    /// Over [`PEM_BYTES_MAX`], or no block of PEM in it.
    NotPem,
    /// A block of something else: a public key, an encrypted key, a key for another use.
    NotPrivateKey,
    /// Neither RSA nor Ed25519, or damaged.
    Malformed,
    /// RSA below 2048 bits or over 8192.
    RsaBits,
    /// The key could not be made or used.
    Unusable,
}

impl fmt::Display for PrivateKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotPem => "not PEM",
            Self::NotPrivateKey => "PEM without an unencrypted private key",
            Self::Malformed => "neither an RSA nor an Ed25519 key, or damaged",
            Self::RsaBits => "RSA key of less than 2048 or more than 8192 bits",
            Self::Unusable => "key cannot be made or used",
        })
    }
}

impl std::error::Error for PrivateKeyError {}

/// A key that signs. Printing it with `{:?}` shows only its kind.
pub struct PrivateKey(Kind);

enum Kind {
    Rsa(RsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PrivateKey").field(&self.algorithm()).finish()
    }
}

impl PrivateKey {
    /// Makes an RSA key of 2048 bits, with the randomness of the crypto library. Takes up to a
    /// second. RFC 8301 §3.2; longer keys do not fit into one string of a TXT record, and some
    /// receivers do not take them.
    ///
    /// # Errors
    ///
    /// If there is no randomness.
    pub fn generate_rsa() -> Result<Self, PrivateKeyError> {
        let key = RsaKeyPair::generate(KeySize::Rsa2048).map_err(|_| PrivateKeyError::Unusable)?;
        Ok(Self(Kind::Rsa(key)))
    }

    /// Makes an Ed25519 key, with the randomness of the crypto library. RFC 8463.
    ///
    /// # Errors
    ///
    /// If there is no randomness.
    pub fn generate_ed25519() -> Result<Self, PrivateKeyError> {
        let key = Ed25519KeyPair::generate().map_err(|_| PrivateKeyError::Unusable)?;
        Ok(Self(Kind::Ed25519(key)))
    }

    /// Reads a file: PKCS #8 (RFC 5958), or what OpenSSL wrote before (RFC 8017 §A.1.2).
    ///
    /// # Errors
    ///
    /// If there is no such key in it.
    // Deviation: RFC 8301 §3.2 lets signers use RSA keys from 1024 bits on; we sign from 2048 on,
    // which it says they should: the crypto library makes no signatures with shorter ones.
    pub fn from_pem(text: &str) -> Result<Self, PrivateKeyError> {
        if text.len() > PEM_BYTES_MAX {
            return Err(PrivateKeyError::NotPem);
        }
        let (label, der) = parse_pem(text).ok_or(PrivateKeyError::NotPem)?;
        let rsa = match label {
            "PRIVATE KEY" => {
                if let Ok(key) = Ed25519KeyPair::from_pkcs8(&der) {
                    return Ok(Self(Kind::Ed25519(key)));
                }
                RsaKeyPair::from_pkcs8(&der)
            }
            "RSA PRIVATE KEY" => RsaKeyPair::from_der(&der),
            _ => return Err(PrivateKeyError::NotPrivateKey),
        };
        rsa.map(|key| Self(Kind::Rsa(key))).map_err(|error| match error.to_string().as_str() {
            "TooSmall" | "TooLarge" => PrivateKeyError::RsaBits,
            _ => PrivateKeyError::Malformed,
        })
    }

    /// The key as a file: PKCS #8 in PEM, with a note for people.
    ///
    /// # Errors
    ///
    /// If the crypto library cannot write it.
    pub fn to_pem(&self, note: Option<&str>) -> Result<String, PrivateKeyError> {
        let der: Pkcs8V1Der<'_> = match &self.0 {
            Kind::Rsa(key) => key.as_der(),
            Kind::Ed25519(key) => key.as_der(),
        }
        .map_err(|_| PrivateKeyError::Unusable)?;
        let notes: Vec<_> = note.iter().map(|note| ("Note", *note)).collect();
        Ok(print_pem("PRIVATE KEY", &notes, der.as_ref()))
    }

    /// What it signs with.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        match self.0 {
            Kind::Rsa(_) => Algorithm::RsaSha256,
            Kind::Ed25519(_) => Algorithm::Ed25519Sha256,
        }
    }

    /// The record to be published for it. RFC 6376 §3.6.1, RFC 8463 §4.
    ///
    /// # Errors
    ///
    /// If the crypto library cannot write the public key.
    pub fn record(&self) -> Result<KeyRecord, PrivateKeyError> {
        let (key_type, public_key) = match &self.0 {
            Kind::Rsa(key) => {
                let der: PublicKeyX509Der<'_> =
                    key.public_key().as_der().map_err(|_| PrivateKeyError::Unusable)?;
                (KeyType::Rsa, der.as_ref().to_vec())
            }
            Kind::Ed25519(key) => (KeyType::Ed25519, key.public_key().as_ref().to_vec()),
        };
        let hashes = vec!["sha256".to_owned()];
        Ok(KeyRecord { hashes, key_type, public_key, ..KeyRecord::default() })
    }

    /// Signs a hash.
    pub(crate) fn sign(&self, data: &Digest) -> Result<Vec<u8>, PrivateKeyError> {
        match &self.0 {
            Kind::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign_digest(&RSA_PKCS1_SHA256, data, &mut signature)
                    .map_err(|_| PrivateKeyError::Unusable)?;
                Ok(signature)
            }
            // Ed25519 hashes on its own; what it is given is the hash. RFC 8463 §3.
            Kind::Ed25519(key) => {
                let signature = key.try_sign(data.as_ref());
                Ok(signature.map_err(|_| PrivateKeyError::Unusable)?.as_ref().to_vec())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::digest;

    use super::*;

    const RSA: &str = include_str!("../../testdata/rsa2048.pkcs8.pem");
    const ED25519: &str = include_str!("../../testdata/ed25519.pem");

    #[track_caller]
    fn check(text: &str, want: Result<&str, PrivateKeyError>) {
        let got = PrivateKey::from_pem(text);
        let algorithm = got.as_ref().map(|key| key.algorithm().to_string());
        assert_eq!(algorithm.map_err(|e| *e), want.map(str::to_owned), "{text}");
        let Ok(key) = got else { return };
        // Written and read again it is the same key.
        let again = PrivateKey::from_pem(&key.to_pem(Some("a note")).unwrap()).unwrap();
        assert_eq!(again.record(), key.record());
        // What it signs, its record checks.
        let data = digest::digest(&digest::SHA256, b"data");
        let other = digest::digest(&digest::SHA256, b"other");
        let public_key = key.record().unwrap().public_key().unwrap();
        let signature = key.sign(&data).unwrap();
        assert!(public_key.is_signed(&data, &signature));
        assert!(!public_key.is_signed(&other, &signature));
    }

    /// RFC 8301 §3.2, RFC 8463 §3, RFC 7468 §10.
    #[test]
    fn keys_are_read_and_written() {
        check(RSA, Ok("rsa-sha256"));
        check(include_str!("../../testdata/rsa2048.pkcs1.pem"), Ok("rsa-sha256"));
        check(ED25519, Ok("ed25519-sha256"));
        check(include_str!("../../testdata/rsa1024.pem"), Err(PrivateKeyError::RsaBits));
        check(include_str!("../../testdata/p256.pem"), Err(PrivateKeyError::Malformed));
        check(&RSA.replace("PRIVATE", "PUBLIC"), Err(PrivateKeyError::NotPrivateKey));
        let encrypted = ED25519.replace("PRIVATE", "ENCRYPTED PRIVATE");
        check(&encrypted, Err(PrivateKeyError::NotPrivateKey));
        check(&ED25519.replace("MC4", "MC5"), Err(PrivateKeyError::Malformed));
        check(&" ".repeat(PEM_BYTES_MAX + 1), Err(PrivateKeyError::NotPem));
        check("", Err(PrivateKeyError::NotPem));
    }

    /// As OpenSSL prints the public keys.
    #[test]
    fn records_hold_the_public_key() {
        let rsa = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAmjlahQ8JvzvWlsJUYXbGBKZ+qc\
            gRyaU1U46DidR+4yPlURy1d1nYH5MWZuN4NDqGug851rBUbaK2r2VUUEi/94ZIyI8XakDV\
            MpxKvyJt2wcVvh3l8WH/vKOfiGq23wLlPT6x5sdxRbM+yB4Pgw46Cg0LwybnM8Wxc8S0R3\
            oV/Y0l57TudPG2++jm76UTUu651Ce8tdqo+x4scKd/L1BjqUkpi2ubOoKiuHh7VRI/dYqz\
            nhXbFo8LwMPWtjLTHgQ1dIYTTsUW7PlKnCytDlJpajUElB55eC7oxyjtZMSbkeYxStfVOj\
            UuVYZglyEZ0Glk3qZFGRXrkYUbOZJaW5HOTwIDAQAB";
        let record = PrivateKey::from_pem(RSA).unwrap().record().unwrap();
        assert_eq!(record.to_string(), format!("v=DKIM1;h=sha256;p={rsa}"));
        assert_eq!(record.txt_chunks().len(), 5);
        let record = PrivateKey::from_pem(ED25519).unwrap().record().unwrap();
        let want = "v=DKIM1;h=sha256;k=ed25519;p=BxhQ3E1jwtBAAcnxADFjlSn4xoyVFdBMOdEw/WuONMI=";
        assert_eq!(record.to_string(), want);
    }

    #[test]
    fn keys_are_made() {
        let pem = PrivateKey::generate_ed25519().unwrap().to_pem(None).unwrap();
        check(&pem, Ok("ed25519-sha256"));
        assert_ne!(pem, PrivateKey::generate_ed25519().unwrap().to_pem(None).unwrap());
        let rsa = PrivateKey::generate_rsa().unwrap();
        assert_eq!(format!("{rsa:?}"), "PrivateKey(RsaSha256)");
        check(&rsa.to_pem(None).unwrap(), Ok("rsa-sha256"));
    }
}
