//! Names of mechanisms.

use std::fmt;

use aws_lc_rs::{digest, hmac, pbkdf2};

/// The mechanisms we speak, strongest first: the order in which they are offered and chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mechanism {
    /// The identity of the TLS client certificate. RFC 4422 appendix A.
    External,
    /// RFC 7677, with channel binding.
    ScramSha256Plus,
    /// RFC 7677.
    ScramSha256,
    /// RFC 5802, with channel binding.
    ScramSha1Plus,
    /// RFC 5802.
    ScramSha1,
    /// User name and password in one message. RFC 4616.
    Plain,
    /// User name and password in two messages; never standardised, still in use.
    Login,
}

/// The name of no mechanism we speak. RFC 4422 §3.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MechanismError;

impl fmt::Display for MechanismError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("unknown sasl mechanism")
    }
}

impl std::error::Error for MechanismError {}

impl Mechanism {
    /// All of them, strongest first.
    pub const ALL: [Self; 7] = [
        Self::External,
        Self::ScramSha256Plus,
        Self::ScramSha256,
        Self::ScramSha1Plus,
        Self::ScramSha1,
        Self::Plain,
        Self::Login,
    ];

    /// Parses `sasl-mech` of RFC 4422 §3.1: upper case only. A protocol whose own grammar ignores
    /// case (IMAP) converts before.
    pub fn parse(name: &str) -> Result<Self, MechanismError> {
        Self::ALL.into_iter().find(|mechanism| mechanism.name() == name).ok_or(MechanismError)
    }

    /// The registered name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::External => "EXTERNAL",
            Self::ScramSha256Plus => "SCRAM-SHA-256-PLUS",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha1Plus => "SCRAM-SHA-1-PLUS",
            Self::ScramSha1 => "SCRAM-SHA-1",
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
        }
    }

    /// Whether the exchange is tied to the TLS connection under it, so that it needs one.
    #[must_use]
    pub fn is_plus(self) -> bool {
        matches!(self, Self::ScramSha256Plus | Self::ScramSha1Plus)
    }

    /// Whether the password itself crosses the wire, so that TLS is wanted. RFC 4616 §6.
    #[must_use]
    pub fn sends_password(self) -> bool {
        matches!(self, Self::Plain | Self::Login)
    }

    /// The hash function of a SCRAM mechanism.
    #[must_use]
    pub fn scram_hash(self) -> Option<ScramHash> {
        match self {
            Self::ScramSha256Plus | Self::ScramSha256 => Some(ScramHash::Sha256),
            Self::ScramSha1Plus | Self::ScramSha1 => Some(ScramHash::Sha1),
            Self::External | Self::Plain | Self::Login => None,
        }
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The hash function under a SCRAM mechanism. RFC 5802 §4, RFC 7677 §3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ScramHash {
    /// 20 bytes. Fine here, since neither HMAC nor PBKDF2 needs collision resistance.
    Sha1,
    /// 32 bytes.
    Sha256,
}

impl ScramHash {
    /// The length of its output, in bytes.
    #[must_use]
    pub fn bytes(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }

    /// `H(str)` of RFC 5802 §2.2.
    pub(crate) fn hash(self, data: &[u8]) -> Vec<u8> {
        let algorithm = match self {
            Self::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &digest::SHA256,
        };
        digest::digest(algorithm, data).as_ref().to_vec()
    }

    /// `HMAC(key, str)` of RFC 5802 §2.2.
    pub(crate) fn hmac(self, key: &[u8], data: &[u8]) -> Vec<u8> {
        let algorithm = match self {
            Self::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => hmac::HMAC_SHA256,
        };
        hmac::sign(&hmac::Key::new(algorithm, key), data).as_ref().to_vec()
    }

    /// `Hi(str, salt, i)` of RFC 5802 §2.2. The one expensive step: milliseconds at 15,000.
    pub(crate) fn hi(self, text: &[u8], salt: &[u8], iterations: std::num::NonZeroU32) -> Vec<u8> {
        let algorithm = match self {
            Self::Sha1 => pbkdf2::PBKDF2_HMAC_SHA1,
            Self::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
        };
        let mut salted = vec![0; self.bytes()];
        pbkdf2::derive(algorithm, iterations, salt, text, &mut salted);
        salted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, want: Result<Mechanism, MechanismError>) {
        assert_eq!(Mechanism::parse(name), want, "{name}");
    }

    /// RFC 4422 §3.1.
    #[test]
    fn names_are_upper_case_and_whole() {
        for mechanism in Mechanism::ALL {
            check(mechanism.name(), Ok(mechanism));
        }
        check("plain", Err(MechanismError));
        check("PLAIN ", Err(MechanismError));
        check("CRAM-MD5", Err(MechanismError));
        check("", Err(MechanismError));
    }

    #[test]
    fn only_plus_needs_a_channel_and_only_plain_text_sends_passwords() {
        let plus = Mechanism::ALL.map(Mechanism::is_plus);
        assert_eq!(plus, [false, true, false, true, false, false, false]);
        let sends = Mechanism::ALL.map(Mechanism::sends_password);
        assert_eq!(sends, [false, false, false, false, false, true, true]);
    }
}
