//! What is stored of a password.

use std::fmt;
use std::num::NonZeroU32;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::{Password, ScramHash, ScramShape};

/// The length of a salt, in bytes. RFC 5802 sets none; 16 is what NIST SP 800-132 asks for.
pub const SALT_BYTES: usize = 16;

/// The most bytes of a salt that is taken from a store: other servers have other lengths.
pub const SALT_BYTES_MAX: usize = 64;

/// The iteration count of new verifiers. RFC 7677 §4 asks for 4,096 at least and 15,000 for
/// machines that can.
pub const ITERATIONS: u32 = 15_000;

/// The smallest iteration count that is taken from a store. RFC 7677 §4.
pub const ITERATIONS_MIN: u32 = 4_096;

/// The largest iteration count that is taken from a store or from a server, which could otherwise
/// keep us busy for hours.
pub const ITERATIONS_MAX: u32 = 1_000_000;

/// The secret a server keeps for one SCRAM mechanism: `StoredKey` and `ServerKey` of RFC 5802 §3.
///
/// Whoever reads it can guess passwords, at [`ITERATIONS`] a guess, and can play the server to
/// that user; they cannot log in with it.
#[derive(Clone, PartialEq, Eq)]
pub struct ScramVerifier {
    pub(crate) hash: ScramHash,
    pub(crate) salt: Box<[u8]>,
    pub(crate) iterations: NonZeroU32,
    /// As long as the output of `hash`.
    pub(crate) stored_key: Box<[u8]>,
    /// As long as the output of `hash`.
    pub(crate) server_key: Box<[u8]>,
}

/// Text that is not a verifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VerifierError {
    /// The name before the first `$` is no mechanism known here.
    UnknownScheme,
    /// Not of the form below, bad base64, or a part of the wrong length.
    Malformed,
    /// Outside [`ITERATIONS_MIN`] to [`ITERATIONS_MAX`].
    BadIterations,
}

impl fmt::Display for VerifierError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownScheme => "unknown scheme of stored password",
            Self::Malformed => "malformed stored password",
            Self::BadIterations => "iteration count of stored password out of range",
        })
    }
}

impl std::error::Error for VerifierError {}

impl ScramVerifier {
    /// Makes the verifier of a password with [`ITERATIONS`]. Costs milliseconds.
    #[must_use]
    pub fn derive(hash: ScramHash, password: &Password, salt: [u8; SALT_BYTES]) -> Self {
        Self::derive_with(hash, password, salt, iterations_of_new())
    }

    /// `SaltedPassword`, `ClientKey`, `StoredKey`, `ServerKey` of RFC 5802 §3.
    pub(crate) fn derive_with(
        hash: ScramHash,
        password: &Password,
        salt: [u8; SALT_BYTES],
        iterations: NonZeroU32,
    ) -> Self {
        let salted = hash.hi(password.bytes(), &salt, iterations);
        Self::of_salted(hash, &salted, salt.into(), iterations)
    }

    fn of_salted(hash: ScramHash, salted: &[u8], salt: Box<[u8]>, iterations: NonZeroU32) -> Self {
        let client_key = hash.hmac(salted, b"Client Key");
        let stored_key = hash.hash(&client_key).into_boxed_slice();
        let server_key = hash.hmac(salted, b"Server Key").into_boxed_slice();
        Self { hash, salt, iterations, stored_key, server_key }
    }

    /// The verifier that follows from a `SaltedPassword` (RFC 5802 §3), as other servers keep it.
    ///
    /// # Errors
    ///
    /// If a length or the number of iterations is not one that [`ScramVerifier::parse`] takes.
    pub fn from_salted_password(
        hash: ScramHash,
        salted: &[u8],
        salt: &[u8],
        iterations: u32,
    ) -> Result<Self, VerifierError> {
        if salted.len() != hash.bytes() || !(1..=SALT_BYTES_MAX).contains(&salt.len()) {
            return Err(VerifierError::Malformed);
        }
        let iterations = NonZeroU32::new(iterations).ok_or(VerifierError::BadIterations)?;
        if !(ITERATIONS_MIN..=ITERATIONS_MAX).contains(&iterations.get()) {
            return Err(VerifierError::BadIterations);
        }
        Ok(Self::of_salted(hash, salted, salt.into(), iterations))
    }

    /// Whether this is the verifier of that password. Costs what making it costs, whether it is or
    /// not; [`PasswordCache`](crate::PasswordCache) saves most of it. Compares in constant time.
    #[must_use]
    pub fn is_password(&self, password: &Password) -> bool {
        let salted = self.hash.hi(password.bytes(), &self.salt, self.iterations);
        let stored_key = self.hash.hash(&self.hash.hmac(&salted, b"Client Key"));
        verify_slices_are_equal(&stored_key, &self.stored_key).is_ok()
    }

    /// Parses the stored form, see [`ScramVerifier::to_stored`].
    pub fn parse(text: &str) -> Result<Self, VerifierError> {
        let (scheme, rest) = text.split_once('$').ok_or(VerifierError::UnknownScheme)?;
        let hash = match scheme {
            "SCRAM-SHA-1" => ScramHash::Sha1,
            "SCRAM-SHA-256" => ScramHash::Sha256,
            _ => return Err(VerifierError::UnknownScheme),
        };
        let (info, value) = rest.split_once('$').ok_or(VerifierError::Malformed)?;
        let (iterations, salt) = info.split_once(':').ok_or(VerifierError::Malformed)?;
        let (stored_key, server_key) = value.split_once(':').ok_or(VerifierError::Malformed)?;
        let salt = decode(salt)?.into_boxed_slice();
        let (stored_key, server_key) = (decode(stored_key)?, decode(server_key)?);
        let is_salt = (1..=SALT_BYTES_MAX).contains(&salt.len());
        if !is_salt || stored_key.len() != hash.bytes() || server_key.len() != hash.bytes() {
            return Err(VerifierError::Malformed);
        }
        let iterations = parse_iterations(iterations).ok_or(VerifierError::BadIterations)?;
        if !(ITERATIONS_MIN..=ITERATIONS_MAX).contains(&iterations.get()) {
            return Err(VerifierError::BadIterations);
        }
        Ok(Self {
            hash,
            salt,
            iterations,
            stored_key: stored_key.into_boxed_slice(),
            server_key: server_key.into_boxed_slice(),
        })
    }

    /// The form for a store, `SCRAM-SHA-256$15000:salt$StoredKey:ServerKey` with base64. RFC 5803
    /// §3. A secret: not for logs, hence no `Display`.
    #[must_use]
    pub fn to_stored(&self) -> String {
        let scheme = match self.hash {
            ScramHash::Sha1 => "SCRAM-SHA-1",
            ScramHash::Sha256 => "SCRAM-SHA-256",
        };
        let salt = STANDARD.encode(&self.salt);
        let (stored, server) =
            (STANDARD.encode(&self.stored_key), STANDARD.encode(&self.server_key));
        format!("{scheme}${}:{salt}${stored}:{server}", self.iterations)
    }

    /// The hash function it is for.
    #[must_use]
    pub fn hash(&self) -> ScramHash {
        self.hash
    }

    /// What shows of it.
    #[must_use]
    pub fn shape(&self) -> ScramShape {
        // Every way in holds to `SALT_BYTES_MAX`.
        let salt_bytes = u8::try_from(self.salt.len()).unwrap_or(u8::MAX);
        ScramShape { iterations: self.iterations, salt_bytes }
    }

    /// Its salt if that is of the length of ours.
    fn salt(&self) -> Option<[u8; SALT_BYTES]> {
        self.salt.as_ref().try_into().ok()
    }
}

/// Shows no secret.
impl fmt::Debug for ScramVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScramVerifier").field("hash", &self.hash).finish_non_exhaustive()
    }
}

/// [`ITERATIONS`] in the type of the field.
pub(crate) fn iterations_of_new() -> NonZeroU32 {
    const { NonZeroU32::new(ITERATIONS).expect("15,000 is not zero") }
}

fn decode(text: &str) -> Result<Vec<u8>, VerifierError> {
    STANDARD.decode(text).map_err(|_| VerifierError::Malformed)
}

/// `posit-number = %x31-39 *DIGIT` of RFC 5802 §7; `None` also when over 32 bits.
pub(crate) fn parse_iterations(text: &str) -> Option<NonZeroU32> {
    let is_number = !text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit());
    if is_number { text.parse().ok() } else { None }
}

/// All that is stored of a password: one verifier for each hash function, nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verifiers {
    /// For SCRAM-SHA-1.
    pub sha1: ScramVerifier,
    /// For SCRAM-SHA-256, and for mechanisms that send the password.
    pub sha256: ScramVerifier,
}

impl Verifiers {
    /// Makes the verifiers of a password; the salts must be fresh random bytes. Costs twice what
    /// one verifier costs.
    #[must_use]
    pub fn derive(
        password: &Password,
        sha1_salt: [u8; SALT_BYTES],
        sha256_salt: [u8; SALT_BYTES],
    ) -> Self {
        Self {
            sha1: ScramVerifier::derive(ScramHash::Sha1, password, sha1_salt),
            sha256: ScramVerifier::derive(ScramHash::Sha256, password, sha256_salt),
        }
    }

    /// [`Verifiers::derive`] with salts from `rng`.
    #[must_use]
    pub fn derive_salted(password: &Password, rng: &dyn mox_base::Rng) -> Self {
        let mut salts = [[0; SALT_BYTES]; 2];
        salts.iter_mut().for_each(|salt| rng.fill(salt));
        let [sha1_salt, sha256_salt] = salts;
        Self::derive(password, sha1_salt, sha256_salt)
    }

    /// Makes the verifiers of a password with the salts of these, or fresh ones where these have salts
    /// of another length than ours.
    ///
    /// For a password that stays and is to be stored better: with other salts everybody who asks
    /// for them before and after would see that there is an account, since a [`Decoy`](crate::Decoy)
    /// keeps its salts.
    #[must_use]
    pub fn derive_again(&self, password: &Password, rng: &dyn mox_base::Rng) -> Self {
        let salt = |verifier: &ScramVerifier| {
            verifier.salt().unwrap_or_else(|| {
                let mut salt = [0; SALT_BYTES];
                rng.fill(&mut salt);
                salt
            })
        };
        Self::derive(password, salt(&self.sha1), salt(&self.sha256))
    }

    /// The verifier for a hash function.
    #[must_use]
    pub fn for_hash(&self, hash: ScramHash) -> &ScramVerifier {
        match hash {
            ScramHash::Sha1 => &self.sha1,
            ScramHash::Sha256 => &self.sha256,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(text: &str) -> Password {
        Password::prepare(text).unwrap()
    }

    #[test]
    fn only_the_same_password_verifies() {
        for hash in [ScramHash::Sha1, ScramHash::Sha256] {
            let verifier = ScramVerifier::derive(hash, &password("pencil 1"), [7; SALT_BYTES]);
            assert!(verifier.is_password(&password("pencil 1")));
            assert!(verifier.is_password(&password("pencil\u{a0}1")));
            assert!(!verifier.is_password(&password("pencil 2")));
            assert!(!verifier.is_password(&password("Pencil 1")));
            assert_eq!(verifier.stored_key.len(), hash.bytes());
        }
    }

    #[test]
    fn the_stored_form_round_trips_and_debug_shows_no_key() {
        let verifiers = Verifiers::derive(&password("pencil 1"), [1; 16], [2; 16]);
        for hash in [ScramHash::Sha1, ScramHash::Sha256] {
            let verifier = verifiers.for_hash(hash);
            assert_eq!(verifier.hash(), hash);
            assert_eq!(ScramVerifier::parse(&verifier.to_stored()).as_ref(), Ok(verifier));
            let key = format!("{:?}", verifier.stored_key);
            assert!(!format!("{verifier:?}").contains(&key));
        }
        assert!(verifiers.sha256.to_stored().starts_with("SCRAM-SHA-256$15000:AgIC"));
    }

    #[test]
    fn what_another_server_kept_is_as_good() {
        let salt = [7; 12];
        for hash in [ScramHash::Sha1, ScramHash::Sha256] {
            let made = |salted: &[u8], salt: &[u8], iterations| {
                ScramVerifier::from_salted_password(hash, salted, salt, iterations)
            };
            let iterations = NonZeroU32::new(4_096).unwrap();
            let salted = hash.hi(password("pencil 1").bytes(), &salt, iterations);
            let verifier = made(&salted, &salt, 4_096).unwrap();
            assert!(verifier.is_password(&password("pencil 1")));
            assert!(!verifier.is_password(&password("pencil 2")));
            assert_eq!(ScramVerifier::parse(&verifier.to_stored()), Ok(verifier));
            assert_eq!(made(&salted, &[], 4_096), Err(VerifierError::Malformed));
            assert_eq!(made(&salted, &[1; 65], 4_096), Err(VerifierError::Malformed));
            assert_eq!(made(&salted[1..], &salt, 4_096), Err(VerifierError::Malformed));
            assert_eq!(made(&salted, &salt, 4_095), Err(VerifierError::BadIterations));
            assert_eq!(made(&salted, &salt, 0), Err(VerifierError::BadIterations));
        }
    }

    #[test]
    fn verifiers_made_again_keep_their_salts() {
        struct Nines;
        impl mox_base::Rng for Nines {
            fn fill(&self, bytes: &mut [u8]) {
                bytes.fill(9);
            }
        }
        let kept = |hash, salt: &[u8]| {
            ScramVerifier::from_salted_password(hash, &vec![1; hash.bytes()], salt, 4_096).unwrap()
        };
        let old = Verifiers {
            sha1: kept(ScramHash::Sha1, &[1; SALT_BYTES]),
            sha256: kept(ScramHash::Sha256, &[2; 12]),
        };
        let again = old.derive_again(&password("pencil 1"), &Nines);
        assert_eq!(again, Verifiers::derive(&password("pencil 1"), [1; 16], [9; 16]));
    }

    #[track_caller]
    fn check(text: &str, want: Result<(), VerifierError>) {
        assert_eq!(ScramVerifier::parse(text).map(|_| ()), want, "{text}");
    }

    /// RFC 5803 §3.
    #[test]
    fn damaged_stored_forms_are_refused() {
        let salt = "AQEBAQEBAQEBAQEBAQEBAQ==";
        let key = "AgICAgICAgICAgICAgICAgICAgI=";
        let with = |count: &str| format!("SCRAM-SHA-1${count}:{salt}${key}:{key}");
        // Valid.
        check(&with("15000"), Ok(()));
        // At the edge of valid.
        check(&with("4096"), Ok(()));
        check(&with("1000000"), Ok(()));
        check(&with("15000").replace(salt, "AQ=="), Ok(()));
        check(&with("15000").replace(salt, &("AQEB".repeat(21) + "AQ==")), Ok(()));
        // Just past the edge.
        check(&with("4095"), Err(VerifierError::BadIterations));
        check(&with("1000001"), Err(VerifierError::BadIterations));
        check(&with("015000"), Err(VerifierError::BadIterations));
        check(&with("+15000"), Err(VerifierError::BadIterations));
        check(&with("99999999999"), Err(VerifierError::BadIterations));
        check(&with("15000").replace("SHA-1$", "SHA-256$"), Err(VerifierError::Malformed));
        check(&with("15000").replace(salt, ""), Err(VerifierError::Malformed));
        check(&with("15000").replace(salt, &"AQEB".repeat(22)), Err(VerifierError::Malformed));
        // Never valid.
        check("", Err(VerifierError::UnknownScheme));
        check("BCRYPT$x", Err(VerifierError::UnknownScheme));
        check("SCRAM-SHA-1$", Err(VerifierError::Malformed));
        check("SCRAM-SHA-1$15000:!$!:!", Err(VerifierError::Malformed));
    }
}
