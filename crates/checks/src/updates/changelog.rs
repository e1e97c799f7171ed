//! The list of changes, each signed. RFC 8032 (Ed25519).

use std::fmt;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::Version;

/// The size of a list.
pub const CHANGELOG_BYTES_MAX: usize = 1 << 20;

/// The changes of all releases.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changelog {
    /// The newest first.
    #[serde(rename = "Changes")]
    pub changes: Vec<Change>,
}

/// The changes of a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Change {
    /// The public key that the text is signed with, in base64.
    pub pub_key: String,
    /// The signature of the text, in base64.
    pub sig: String,
    /// What changed.
    pub text: String,
}

/// What is wrong with a list of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// It is larger than [`CHANGELOG_BYTES_MAX`].
    #[error("list of changes larger than {CHANGELOG_BYTES_MAX} bytes")]
    TooLarge,
    /// It is not JSON of the right form.
    #[error("not a list of changes")]
    Malformed,
    /// What should be base64 is not, or is not as long as it should be.
    #[error("not base64 of the right length")]
    Base64,
    /// A change is signed with another key.
    #[error("a change is signed with another key")]
    OtherKey,
    /// The crypto library makes no key of it.
    #[error("not a key")]
    Key,
    /// A signature is wrong.
    #[error("a signature is wrong")]
    Signature,
}

impl Changelog {
    /// Reads a list.
    ///
    /// # Errors
    ///
    /// If it is too large or malformed.
    pub fn parse(json: &[u8]) -> Result<Self, ChangeError> {
        if json.len() > CHANGELOG_BYTES_MAX {
            return Err(ChangeError::TooLarge);
        }
        serde_json::from_slice(json).map_err(|_| ChangeError::Malformed)
    }

    /// The list as text.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Texts only: there is nothing in it that JSON could not hold.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// Without the changes that begin with this version or an older one. Those that begin with none
    /// stay.
    #[must_use]
    pub fn newer_than(&self, known: Version) -> Self {
        let version = |change: &Change| {
            let first = change.text.split_whitespace().next()?;
            Version::parse(first.trim_end_matches(':')).ok()
        };
        let is_newer = |change: &&Change| version(change).is_none_or(|version| version > known);
        Self { changes: self.changes.iter().filter(is_newer).cloned().collect() }
    }

    /// The texts, if `key` has signed all of them.
    ///
    /// # Errors
    ///
    /// At the first that it has not.
    pub fn texts(&self, key: &[u8; 32]) -> Result<Vec<String>, ChangeError> {
        let text = |change: &Change| {
            if decode_key(&change.pub_key)? != *key {
                return Err(ChangeError::OtherKey);
            }
            let sig = STANDARD.decode(&change.sig).map_err(|_| ChangeError::Base64)?;
            UnparsedPublicKey::new(&ED25519, key)
                .verify(change.text.as_bytes(), &sig)
                .map_err(|_| ChangeError::Signature)?;
            Ok(change.text.clone())
        };
        self.changes.iter().map(text).collect()
    }
}

/// Reads 32 bytes of a key in base64.
///
/// # Errors
///
/// If it is not that.
pub fn decode_key(text: &str) -> Result<[u8; 32], ChangeError> {
    let bytes = STANDARD.decode(text.trim()).map_err(|_| ChangeError::Base64)?;
    bytes.try_into().map_err(|_| ChangeError::Base64)
}

/// Writes a key in base64.
#[must_use]
pub fn encode_key(key: &[u8; 32]) -> String {
    STANDARD.encode(key)
}

/// The key that signs releases.
pub struct SigningKey {
    seed: [u8; 32],
    public: [u8; 32],
    pair: Ed25519KeyPair,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey")
    }
}

impl SigningKey {
    /// The key of 32 random bytes. RFC 8032 §5.1.5.
    ///
    /// # Errors
    ///
    /// If the crypto library cannot make it.
    pub fn from_seed(seed: [u8; 32]) -> Result<Self, ChangeError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| ChangeError::Key)?;
        let public = pair.public_key().as_ref().try_into().map_err(|_| ChangeError::Key)?;
        Ok(Self { seed, public, pair })
    }

    /// Reads what [`Self::to_base64`] wrote.
    ///
    /// # Errors
    ///
    /// If it is something else.
    pub fn from_base64(text: &str) -> Result<Self, ChangeError> {
        decode_key(text).and_then(Self::from_seed)
    }

    /// The private key, to be kept secret.
    #[must_use]
    pub fn to_base64(&self) -> String {
        STANDARD.encode(self.seed)
    }

    /// The public key.
    #[must_use]
    pub fn public(&self) -> [u8; 32] {
        self.public
    }

    /// Signs what changed.
    #[must_use]
    pub fn sign(&self, text: &str) -> Change {
        let sig = self.pair.sign(text.as_bytes());
        let (pub_key, sig) = (STANDARD.encode(self.public), STANDARD.encode(sig));
        Change { pub_key, sig, text: text.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8032 §7.1, test 2.
    #[test]
    fn keys_and_signatures_are_those_of_the_rfc() {
        let seed = "TM0Imyj/ltqdtsNG7BFOD1uKMZ81q6Yk2oz27U+4pvs=";
        let key = SigningKey::from_base64(seed).unwrap();
        assert_eq!(key.to_base64(), seed);
        assert_eq!(STANDARD.encode(key.public()), "PUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw=");
        // The message is one byte, 72 hexadecimal.
        let want = "kqAJqfDUyrhyDoILX2QlQKKye1QWUD+Ps3YiI+vbadoIWsHkPhWZbkWPNhPQ8R2MOHsurrQwKu6wDSkWErsMAA==";
        assert_eq!(key.sign("r").sig, want);
        assert_eq!(Changelog { changes: vec![key.sign("r")] }.texts(&key.public()).unwrap(), ["r"]);
    }

    #[test]
    fn keys_of_another_length_are_none() {
        assert_eq!(decode_key(&STANDARD.encode([1; 31])), Err(ChangeError::Base64));
        assert_eq!(decode_key(&STANDARD.encode([1; 33])), Err(ChangeError::Base64));
        assert_eq!(decode_key("no base64!"), Err(ChangeError::Base64));
        assert_eq!(decode_key(&format!("{}\n", STANDARD.encode([1; 32]))), Ok([1; 32]));
    }
}
