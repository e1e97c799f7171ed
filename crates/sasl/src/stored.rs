//! All forms in which a password is stored.

use std::num::NonZeroU32;

use crate::{
    BcryptHash, ITERATIONS, Password, SALT_BYTES, ScramHash, ScramVerifier, VerifierError,
    Verifiers,
};

/// What is stored of a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoredPassword {
    /// One verifier for each hash function: what we store.
    Verifiers(Verifiers),
    /// Taken over from another server that had nothing else. SCRAM is impossible with it.
    Bcrypt(BcryptHash),
}

impl StoredPassword {
    /// Parses the text that an account has: a bcrypt hash, or two verifiers on a line each.
    ///
    /// # Errors
    ///
    /// If it is neither.
    pub fn parse(text: &str) -> Result<Self, VerifierError> {
        if text.starts_with('$') {
            let hash = BcryptHash::parse(text).map_err(|_| VerifierError::Malformed)?;
            return Ok(Self::Bcrypt(hash));
        }
        let mut lines = text.lines();
        let mut next = |hash: ScramHash| {
            let verifier = ScramVerifier::parse(lines.next().unwrap_or_default())?;
            let is_hash = verifier.hash() == hash;
            if is_hash { Ok(verifier) } else { Err(VerifierError::UnknownScheme) }
        };
        let verifiers =
            Verifiers { sha1: next(ScramHash::Sha1)?, sha256: next(ScramHash::Sha256)? };
        Ok(Self::Verifiers(verifiers))
    }

    /// The text for a store. A secret.
    #[must_use]
    pub fn to_stored(&self) -> String {
        match self {
            Self::Verifiers(two) => format!("{}\n{}", two.sha1.to_stored(), two.sha256.to_stored()),
            Self::Bcrypt(hash) => hash.to_stored(),
        }
    }

    /// Whether it is of that password. Costs what its shape says, whether it is or not;
    /// [`PasswordCache`](crate::PasswordCache) saves most of it.
    #[must_use]
    pub fn is_password(&self, password: &Password) -> bool {
        match self {
            Self::Verifiers(two) => two.sha256.is_password(password),
            Self::Bcrypt(hash) => hash.is_password(password),
        }
    }

    /// What shows of it to somebody who does not know the password.
    #[must_use]
    pub fn shape(&self) -> Shape {
        match self {
            Self::Verifiers(two) => {
                Shape::Scram { sha1: two.sha1.shape(), sha256: two.sha256.shape() }
            }
            Self::Bcrypt(hash) => Shape::Bcrypt { cost: hash.cost() },
        }
    }

    /// Whether it should be replaced once the password is known, as it is less than what we store of
    /// a new one.
    #[must_use]
    pub fn is_outdated(&self) -> bool {
        let is_less = |one: ScramShape| {
            one.iterations.get() < ITERATIONS || usize::from(one.salt_bytes) < SALT_BYTES
        };
        match self.shape() {
            Shape::Scram { sha1, sha256 } => is_less(sha1) || is_less(sha256),
            Shape::Bcrypt { .. } => true,
        }
    }
}

/// What shows of a stored password to somebody who does not know it: the numbers in SCRAM's first
/// answer, and how long a check of a password takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shape {
    /// See [`StoredPassword::Verifiers`].
    Scram {
        /// That of the verifier for SCRAM-SHA-1.
        sha1: ScramShape,
        /// That of the verifier for SCRAM-SHA-256.
        sha256: ScramShape,
    },
    /// See [`StoredPassword::Bcrypt`].
    Bcrypt {
        /// How much work, as a power of two.
        cost: u32,
    },
}

impl Shape {
    /// The shape of what we store of a new password.
    pub const OURS: Self = Self::Scram { sha1: ScramShape::OURS, sha256: ScramShape::OURS };
}

/// What shows of a verifier. RFC 5802 §5.1 (`s`, `i`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ScramShape {
    /// The iteration count.
    pub iterations: NonZeroU32,
    /// The length of the salt, at most [`SALT_BYTES_MAX`](crate::SALT_BYTES_MAX).
    pub salt_bytes: u8,
}

impl ScramShape {
    /// The shape of a new verifier.
    #[expect(clippy::cast_possible_truncation, reason = "16 is less than 256")]
    pub(crate) const OURS: Self = Self {
        iterations: const { NonZeroU32::new(ITERATIONS).expect("15,000 is not zero") },
        salt_bytes: SALT_BYTES as u8,
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    const BCRYPT: &str = "$2a$06$m0CrhHm10qJ3lXRY.5zDGO3rS2KdeeWLuGmsfGlMfOxih58VYVfxe";

    #[track_caller]
    fn check(text: &str, want: Result<Shape, VerifierError>) {
        let got = StoredPassword::parse(text);
        assert_eq!(got.as_ref().map(StoredPassword::shape).map_err(|error| *error), want, "{text}");
        if let Ok(stored) = got {
            assert_eq!(StoredPassword::parse(&stored.to_stored()), Ok(stored));
        }
    }

    /// RFC 5803 §3 for each line.
    #[test]
    fn what_an_account_has_is_two_verifiers_or_a_bcrypt_hash() {
        let password = Password::prepare("moxmoxmox").unwrap();
        let two = Verifiers::derive(&password, [1; 16], [2; 16]);
        let (sha1, sha256) = (two.sha1.to_stored(), two.sha256.to_stored());
        // Valid.
        check(&format!("{sha1}\n{sha256}"), Ok(Shape::OURS));
        check(BCRYPT, Ok(Shape::Bcrypt { cost: 6 }));
        // At the edge of valid: what a later version may add.
        check(&format!("{sha1}\n{sha256}\nmore"), Ok(Shape::OURS));
        // Just past the edge.
        check(&format!("{sha256}\n{sha1}"), Err(VerifierError::UnknownScheme));
        check(&sha1, Err(VerifierError::UnknownScheme));
        check(&format!("{BCRYPT}\n"), Err(VerifierError::Malformed));
        // Never valid.
        check("", Err(VerifierError::UnknownScheme));
        check("$1$md5", Err(VerifierError::Malformed));
    }

    #[test]
    fn what_is_less_than_ours_is_outdated() {
        let taken = |hash: ScramHash, iterations, salt: &[u8]| {
            let salted = vec![1; hash.bytes()];
            ScramVerifier::from_salted_password(hash, &salted, salt, iterations).unwrap()
        };
        let is_outdated = |sha1: u32, sha256: u32, salt: &[u8]| {
            let sha1 = taken(ScramHash::Sha1, sha1, salt);
            let sha256 = taken(ScramHash::Sha256, sha256, salt);
            StoredPassword::Verifiers(Verifiers { sha1, sha256 }).is_outdated()
        };
        assert!(!is_outdated(15_000, 15_000, &[1; 16]));
        assert!(!is_outdated(100_000, 15_000, &[1; 20]));
        assert!(is_outdated(14_999, 15_000, &[1; 16]));
        assert!(is_outdated(15_000, 4_096, &[1; 16]));
        assert!(is_outdated(15_000, 15_000, &[1; 15]));
        assert!(StoredPassword::parse(BCRYPT).unwrap().is_outdated());
    }
}
