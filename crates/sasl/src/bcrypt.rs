//! bcrypt hashes, which another server kept of passwords.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine;
use bcrypt::BASE_64;
use bcrypt::bcrypt as bcrypt_raw;

use crate::Password;

/// The smallest cost that is taken: the function is not defined below.
pub const BCRYPT_COST_MIN: u32 = 4;

/// The largest cost that is taken, about a second of work. Each step doubles it.
pub const BCRYPT_COST_MAX: u32 = 14;

/// The longest password that the function looks at, in bytes. A longer one never matches: it could
/// not be set, and cut short it would be one that is known to others.
pub const BCRYPT_PASSWORD_BYTES_MAX: usize = 72;

const SALT_BYTES: usize = 16;
const HASH_BYTES: usize = 23;
/// Of the salt in the base64 of bcrypt, in characters.
const SALT_CHARS: usize = 22;
/// Of the whole text, in characters.
const TEXT_CHARS: usize = 60;

/// A bcrypt hash of a password, as `$2a$10$` and 53 more characters. Proves a password that is sent
/// (PLAIN, LOGIN) and is of no use to SCRAM.
#[derive(Clone, PartialEq, Eq)]
pub struct BcryptHash {
    version: Version,
    cost: u32,
    salt: [u8; SALT_BYTES],
    hash: [u8; HASH_BYTES],
}

/// Two names of one function: `2b` only says that its maker has no fault with long passwords.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    A,
    B,
}

impl Version {
    fn prefix(self) -> &'static str {
        match self {
            Self::A => "$2a$",
            Self::B => "$2b$",
        }
    }
}

/// Text that is not a bcrypt hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BcryptError {
    /// Neither `$2a$` nor `$2b$` at its start.
    UnknownVersion,
    /// Not two digits, or outside [`BCRYPT_COST_MIN`] to [`BCRYPT_COST_MAX`].
    BadCost,
    /// Not of the right length, or not the base64 of bcrypt.
    Malformed,
}

impl fmt::Display for BcryptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownVersion => "unknown version of bcrypt hash",
            Self::BadCost => "cost of bcrypt hash out of range",
            Self::Malformed => "malformed bcrypt hash",
        })
    }
}

impl std::error::Error for BcryptError {}

impl BcryptHash {
    /// Parses the text of a hash.
    ///
    /// # Errors
    ///
    /// See [`BcryptError`].
    pub fn parse(text: &str) -> Result<Self, BcryptError> {
        let versions = [Version::A, Version::B].into_iter();
        let (version, rest) = versions
            .filter_map(|version| Some((version, text.strip_prefix(version.prefix())?)))
            .next()
            .ok_or(BcryptError::UnknownVersion)?;
        if text.len() != TEXT_CHARS {
            return Err(BcryptError::Malformed);
        }
        let (cost, rest) = rest.split_once('$').ok_or(BcryptError::Malformed)?;
        let is_number = cost.len() == 2 && cost.bytes().all(|b| b.is_ascii_digit());
        let cost = cost.parse().ok().filter(|_| is_number).ok_or(BcryptError::BadCost)?;
        if !(BCRYPT_COST_MIN..=BCRYPT_COST_MAX).contains(&cost) {
            return Err(BcryptError::BadCost);
        }
        let (salt, hash) = rest.split_at_checked(SALT_CHARS).ok_or(BcryptError::Malformed)?;
        Ok(Self { version, cost, salt: decode(salt)?, hash: decode(hash)? })
    }

    /// Makes one up, which no password is known to fit.
    pub(crate) fn made_up(cost: u32, salt: [u8; SALT_BYTES], hash: [u8; HASH_BYTES]) -> Self {
        Self { version: Version::A, cost, salt, hash }
    }

    /// The text that was parsed. A secret: not for logs, hence no `Display`.
    #[must_use]
    pub fn to_stored(&self) -> String {
        let (salt, hash) = (BASE_64.encode(self.salt), BASE_64.encode(self.hash));
        format!("{}{:02}${salt}{hash}", self.version.prefix(), self.cost)
    }

    /// How much work a check is, as a power of two.
    #[must_use]
    pub fn cost(&self) -> u32 {
        self.cost
    }

    /// Whether this is the hash of that password. Costs some 60 milliseconds at the usual cost of 10,
    /// whether it is or not. Compares in constant time.
    #[must_use]
    pub fn is_password(&self, password: &Password) -> bool {
        let bytes = password.bytes();
        // With a NUL at its end, as far as there is room for it.
        let mut key: Vec<u8> = bytes.iter().copied().chain([0]).collect();
        key.truncate(BCRYPT_PASSWORD_BYTES_MAX);
        let got = bcrypt_raw(self.cost, self.salt, &key);
        key.fill(0);
        let is_same = got
            .get(..HASH_BYTES)
            .is_some_and(|got| verify_slices_are_equal(got, &self.hash).is_ok());
        is_same && bytes.len() <= BCRYPT_PASSWORD_BYTES_MAX
    }

    /// All that makes it this hash, for the key of a cache.
    pub(crate) fn parts(&self) -> (u32, &[u8], &[u8]) {
        (self.cost, &self.salt, &self.hash)
    }
}

fn decode<const N: usize>(text: &str) -> Result<[u8; N], BcryptError> {
    let bytes = BASE_64.decode(text).map_err(|_| BcryptError::Malformed)?;
    bytes.try_into().map_err(|_| BcryptError::Malformed)
}

/// Shows no secret.
impl fmt::Debug for BcryptHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BcryptHash").field("cost", &self.cost).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: Result<u32, BcryptError>) {
        let got = BcryptHash::parse(text);
        assert_eq!(got.as_ref().map(BcryptHash::cost).map_err(|error| *error), want, "{text}");
        if let Ok(hash) = got {
            assert_eq!(hash.to_stored(), text);
        }
    }

    #[test]
    fn hashes_are_parsed_and_printed_as_they_were() {
        let tail = "DCq7YPn5Rq63x1Lad4cll.TV4S6ytwfsfvkgY8jIucDrjc8deX1s.";
        let with = |head: &str| format!("{head}{tail}");
        // Valid.
        check(&with("$2a$10$"), Ok(10));
        check(&with("$2b$06$"), Ok(6));
        // At the edge of valid.
        check(&with("$2a$04$"), Ok(4));
        check(&with("$2a$14$"), Ok(14));
        // Just past the edge.
        check(&with("$2a$03$"), Err(BcryptError::BadCost));
        check(&with("$2a$15$"), Err(BcryptError::BadCost));
        check(&with("$2a$+9$"), Err(BcryptError::BadCost));
        check(&with("$2a$10$").replace("s.", "s"), Err(BcryptError::Malformed));
        check(&with("$2a$10$").replace("s.", "s.."), Err(BcryptError::Malformed));
        check(&with("$2a$10$").replace("X1s.", "X1s/"), Err(BcryptError::Malformed));
        // Never valid.
        check("", Err(BcryptError::UnknownVersion));
        check(&with("$2x$10$"), Err(BcryptError::UnknownVersion));
        check(&with("$2a$10$").replace("DCq7", "D€7"), Err(BcryptError::Malformed));
        check(&with("$2a$10!"), Err(BcryptError::Malformed));
        check(&format!("$2a$10${}", "€".repeat(17) + "xx"), Err(BcryptError::Malformed));
        check(&format!("$2a${}", "1".repeat(56)), Err(BcryptError::Malformed));
    }

    fn prepared(text: &str) -> Password {
        Password::prepare(text).unwrap()
    }

    fn hash_of(password: &[u8]) -> BcryptHash {
        let parts = bcrypt::hash_with_salt(password, BCRYPT_COST_MIN, [7; SALT_BYTES]).unwrap();
        BcryptHash::parse(&parts.format_for_version(bcrypt::Version::TwoA)).unwrap()
    }

    #[test]
    fn only_the_same_password_fits() {
        let known = "$2a$06$m0CrhHm10qJ3lXRY.5zDGO3rS2KdeeWLuGmsfGlMfOxih58VYVfxe";
        let known = BcryptHash::parse(known).unwrap();
        assert!(known.is_password(&prepared("a")));
        assert!(!known.is_password(&prepared("b")));
        assert!(!known.is_password(&prepared("aa")));
        let composed = hash_of("caf\u{e9} 1234".as_bytes());
        assert!(composed.is_password(&prepared("cafe\u{301}\u{a0}1234")));
        let shown = format!("{composed:?}");
        assert_eq!(shown, "BcryptHash { cost: 4, .. }");
    }

    /// What comes after 72 bytes is not looked at: without the limit, everything that begins with
    /// the password of 72 bytes would be taken for it.
    #[test]
    fn a_password_over_72_bytes_never_fits() {
        let longest = "p".repeat(BCRYPT_PASSWORD_BYTES_MAX);
        let hash = hash_of(longest.as_bytes());
        assert!(hash.is_password(&prepared(&longest)));
        assert!(!hash.is_password(&prepared(longest.strip_prefix("p").unwrap())));
        assert!(!hash.is_password(&prepared(&format!("{longest}p"))));
    }
}
