//! Algorithms of signatures, and the public keys that check them.

use std::fmt;

use aws_lc_rs::digest::Digest;
use aws_lc_rs::signature::{
    ED25519, ED25519_PUBLIC_KEY_LEN, ParsedPublicKey,
    RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY,
};

/// The shortest RSA key that checks a signature, in bits. RFC 8301 §3.2.
pub const RSA_BITS_MIN: u32 = 1024;

/// The longest RSA key that checks a signature, in bits. RFC 8301 §3.2 wants 4096 at least.
pub const RSA_BITS_MAX: u32 = 8192;

/// RSA keys that are shorter than this, in bits, should not be in use any more. RFC 8301 §3.2.
pub const RSA_BITS_STRONG: u32 = 2048;

/// How a signature is made. RFC 6376 §3.3, RFC 8463 §3.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// Withdrawn: RFC 8301 §3.1.
    RsaSha1,
    /// RSA PKCS #1 v1.5 over SHA-256.
    RsaSha256,
    /// Ed25519 over the bytes of a SHA-256.
    Ed25519Sha256,
    /// Something else, in lower case.
    Other(String),
}

impl Algorithm {
    /// Reads the value of `a=`, in any case.
    ///
    /// ```abnf
    /// sig-a-tag-alg = sig-a-tag-k "-" sig-a-tag-h
    /// ```
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.to_ascii_lowercase();
        let (key, hash) = text.split_once('-')?;
        let is_name = |name: &str| {
            name.starts_with(|c: char| c.is_ascii_alphabetic())
                && name.bytes().all(|b| b.is_ascii_alphanumeric())
        };
        Some(match text.as_str() {
            "rsa-sha1" => Self::RsaSha1,
            "rsa-sha256" => Self::RsaSha256,
            "ed25519-sha256" => Self::Ed25519Sha256,
            _ if is_name(key) && is_name(hash) => Self::Other(text),
            _ => return None,
        })
    }

    /// The name in a signature.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::RsaSha1 => "rsa-sha1",
            Self::RsaSha256 => "rsa-sha256",
            Self::Ed25519Sha256 => "ed25519-sha256",
            Self::Other(name) => name,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a public key was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PublicKeyError {
    /// Not in the form that its kind has.
    Malformed,
    /// RSA below [`RSA_BITS_MIN`].
    TooShort,
    /// RSA over [`RSA_BITS_MAX`].
    TooLong,
}

impl fmt::Display for PublicKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("malformed public key"),
            Self::TooShort => write!(f, "RSA key below {RSA_BITS_MIN} bits"),
            Self::TooLong => write!(f, "RSA key over {RSA_BITS_MAX} bits"),
        }
    }
}

impl std::error::Error for PublicKeyError {}

/// A key that checks signatures.
#[derive(Clone, Debug)]
pub enum PublicKey {
    /// For [`Algorithm::RsaSha256`].
    Rsa {
        /// The length of its modulus, in bits.
        bits: u32,
        /// The key.
        key: ParsedPublicKey,
    },
    /// For [`Algorithm::Ed25519Sha256`].
    Ed25519(ParsedPublicKey),
}

impl PublicKey {
    /// Reads an RSA key: SubjectPublicKeyInfo, which all use, or the RSAPublicKey that RFC 6376
    /// §3.6.1 says (erratum 3017).
    ///
    /// # Errors
    ///
    /// If it is none, or its length is out of bounds.
    pub fn rsa(der: &[u8]) -> Result<Self, PublicKeyError> {
        let bits = rsa_bits(der).ok_or(PublicKeyError::Malformed)?;
        if bits < RSA_BITS_MIN {
            return Err(PublicKeyError::TooShort);
        }
        if bits > RSA_BITS_MAX {
            return Err(PublicKeyError::TooLong);
        }
        let key = ParsedPublicKey::new(&RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, der);
        Ok(Self::Rsa { bits, key: key.map_err(|_| PublicKeyError::Malformed)? })
    }

    /// Reads an Ed25519 key: its 32 bytes. RFC 8463 §4.
    ///
    /// # Errors
    ///
    /// If it is none.
    pub fn ed25519(bytes: &[u8]) -> Result<Self, PublicKeyError> {
        if bytes.len() != ED25519_PUBLIC_KEY_LEN {
            return Err(PublicKeyError::Malformed);
        }
        let key = ParsedPublicKey::new(&ED25519, bytes);
        Ok(Self::Ed25519(key.map_err(|_| PublicKeyError::Malformed)?))
    }

    /// Whether `signature` was made by the owner of this key over data of this hash.
    pub(crate) fn is_signed(&self, data: &Digest, signature: &[u8]) -> bool {
        match self {
            Self::Rsa { key, .. } => key.verify_digest_sig(data, signature).is_ok(),
            // Ed25519 hashes on its own; what it is given is the hash. RFC 8463 §3.
            Self::Ed25519(key) => key.verify_sig(data.as_ref(), signature).is_ok(),
        }
    }
}

/// The length of the modulus of an RSA key in either form.
fn rsa_bits(der: &[u8]) -> Option<u32> {
    const SEQUENCE: u8 = 0x30;
    const INTEGER: u8 = 0x02;
    const BIT_STRING: u8 = 0x03;
    let (outer, _) = der_value(der, SEQUENCE)?;
    let modulus = match der_value(outer, INTEGER) {
        Some((modulus, _)) => modulus,
        None => {
            let (_, after_algorithm) = der_value(outer, SEQUENCE)?;
            let (bits, _) = der_value(after_algorithm, BIT_STRING)?;
            let (key, _) = der_value(bits.strip_prefix(&[0])?, SEQUENCE)?;
            der_value(key, INTEGER)?.0
        }
    };
    let start = modulus.iter().position(|byte| *byte != 0)?;
    let bytes = u32::try_from(modulus.len() - start).ok()?;
    Some(bytes.checked_mul(8)? - modulus.get(start)?.leading_zeros())
}

/// The value of the element at the start of `der`, if it has this tag, and what follows it.
fn der_value(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (first, rest) = der.split_first()?;
    let (length, rest) = rest.split_first()?;
    if *first != tag {
        return None;
    }
    let (bytes, rest) = match *length {
        short @ 0..=0x7F => (usize::from(short), rest),
        0x81 => {
            let (length, rest) = rest.split_first_chunk::<1>()?;
            (usize::from(u8::from_be_bytes(*length)), rest)
        }
        0x82 => {
            let (length, rest) = rest.split_first_chunk::<2>()?;
            (usize::from(u16::from_be_bytes(*length)), rest)
        }
        // 0x80 is no length, and no key is longer than 65,535 bytes.
        0x80 | 0x83.. => return None,
    };
    rest.split_at_checked(bytes)
}

#[cfg(test)]
mod tests {
    use super::super::tags::decode_base64;
    use super::*;

    /// The key `test` of RFC 8463 §A.2, 1024 bits.
    const RSA_1024: &str = "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP\
        3idY6Wk08a5qhdR6wy5bdOKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHv\
        qMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB";

    #[track_caller]
    fn check(text: &str, want: Option<Algorithm>) {
        assert_eq!(Algorithm::parse(text), want, "{text:?}");
        if let Some(algorithm) = want {
            assert_eq!(Algorithm::parse(algorithm.name()), Some(algorithm));
        }
    }

    /// RFC 6376 §3.5, `sig-a-tag`.
    #[test]
    fn algorithms_are_named() {
        check("rsa-sha256", Some(Algorithm::RsaSha256));
        check("RSA-SHA256", Some(Algorithm::RsaSha256));
        check("rsa-sha1", Some(Algorithm::RsaSha1));
        check("ed25519-sha256", Some(Algorithm::Ed25519Sha256));
        check("Ecdsa-Sha512", Some(Algorithm::Other("ecdsa-sha512".to_owned())));
        check("rsa", None);
        check("-sha256", None);
        check("rsa-", None);
        check("rsa-sha256-x", None);
        check("", None);
    }

    /// RFC 8301 §3.2, RFC 8463 §4.
    #[test]
    fn keys_are_read_and_measured() {
        let spki = decode_base64(RSA_1024).unwrap();
        assert!(matches!(PublicKey::rsa(&spki), Ok(PublicKey::Rsa { bits: 1024, .. })));
        // The same key without the wrapping.
        assert!(matches!(PublicKey::rsa(&spki[22..]), Ok(PublicKey::Rsa { bits: 1024, .. })));
        // A first byte of 127 instead of 228 makes it one bit shorter.
        let mut short = spki.clone();
        short[29] = 127;
        assert_eq!(PublicKey::rsa(&short).unwrap_err(), PublicKeyError::TooShort);
        assert_eq!(PublicKey::rsa(&spki[..100]).unwrap_err(), PublicKeyError::Malformed);
        assert_eq!(PublicKey::rsa(b"").unwrap_err(), PublicKeyError::Malformed);
        let mut long = vec![0x30, 0x82, 4, 8, 2, 0x82, 4, 1];
        long.extend([1; 1025]);
        long.extend([2, 1, 3]);
        assert_eq!(PublicKey::rsa(&long).unwrap_err(), PublicKeyError::TooLong);
        assert!(PublicKey::ed25519(&[9; 32]).is_ok());
        assert_eq!(PublicKey::ed25519(&[9; 31]).unwrap_err(), PublicKeyError::Malformed);
        assert_eq!(PublicKey::ed25519(&[9; 33]).unwrap_err(), PublicKeyError::Malformed);
    }
}
