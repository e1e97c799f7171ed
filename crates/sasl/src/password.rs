//! Passwords in the form that is hashed.

use std::fmt;

use mox_base::Secret;
use precis_profiles::OpaqueString;
use precis_profiles::precis_core::profile::PrecisFastInvocation;

/// The shortest password that may be set, in bytes of its prepared form.
pub const PASSWORD_BYTES_MIN: usize = 8;

/// The longest password that is looked at, in bytes as given. Bounds the work of preparing it.
pub const PASSWORD_BYTES_MAX: usize = 512;

/// A password prepared by the OpaqueString profile. RFC 8265 §4.2.
///
/// Equal for inputs that differ only in composition of letters or in the kind of a space, so that
/// a password set on one keyboard works from another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Password(Secret);

/// Why a password was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordError {
    /// Under [`PASSWORD_BYTES_MIN`]; only when it is to be stored.
    TooShort,
    /// Over [`PASSWORD_BYTES_MAX`].
    TooLong,
    /// Empty, or a character that OpaqueString forbids, such as a control character.
    Forbidden,
}

impl fmt::Display for PasswordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort => write!(f, "password must be at least {PASSWORD_BYTES_MIN} bytes"),
            Self::TooLong => write!(f, "password must be at most {PASSWORD_BYTES_MAX} bytes"),
            Self::Forbidden => f.write_str("password has characters that are not allowed"),
        }
    }
}

impl std::error::Error for PasswordError {}

impl Password {
    /// Prepares what somebody typed to log in. RFC 8265 §4.2.2.
    pub fn prepare(text: &str) -> Result<Self, PasswordError> {
        if text.len() > PASSWORD_BYTES_MAX {
            return Err(PasswordError::TooLong);
        }
        // Printable ASCII is left as it is by every step of the profile; no need to go there.
        if !text.is_empty() && text.bytes().all(|b| matches!(b, b' '..=b'~')) {
            return Ok(Self(Secret::new(text)));
        }
        let prepared = OpaqueString::enforce(text).map_err(|_| PasswordError::Forbidden)?;
        Ok(Self(Secret::new(prepared)))
    }

    /// Prepares a password that is to be set, which must not be too short.
    pub fn for_storing(text: &str) -> Result<Self, PasswordError> {
        let password = Self::prepare(text)?;
        let is_short = password.bytes().len() < PASSWORD_BYTES_MIN;
        if is_short { Err(PasswordError::TooShort) } else { Ok(password) }
    }

    /// The text that is compared and hashed. Secret.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// The bytes that are hashed.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.0.expose().as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(input: &str, want: Result<&str, PasswordError>) {
        let got = Password::prepare(input);
        assert_eq!(got.as_ref().map(|p| p.0.expose()).map_err(|e| *e), want, "{input:?}");
    }

    /// RFC 8265 §4.3 has most of these examples.
    #[test]
    fn passwords_are_prepared_or_refused() {
        let (longest, too_long) = ("a".repeat(512), "a".repeat(513));
        // Valid.
        check("correct horse battery staple", Ok("correct horse battery staple"));
        check("Correct Horse Battery Staple", Ok("Correct Horse Battery Staple"));
        check("πßå", Ok("πßå"));
        check("Jack of ♦s", Ok("Jack of ♦s"));
        check("foo\u{1680}bar", Ok("foo bar"));
        check("e\u{301}\u{a0}x", Ok("\u{e9} x"));
        // At the edge of valid.
        check(" ", Ok(" "));
        check(&longest, Ok(&longest));
        // Just past the edge.
        check("", Err(PasswordError::Forbidden));
        check(&too_long, Err(PasswordError::TooLong));
        // Never valid.
        check("my cat is a \u{9}by", Err(PasswordError::Forbidden));
        check("a\0b", Err(PasswordError::Forbidden));
        check("a\u{7f}", Err(PasswordError::Forbidden));
    }

    #[test]
    fn a_password_to_be_set_has_eight_bytes() {
        assert!(Password::for_storing("12345678").is_ok());
        assert!(Password::for_storing("ππππ").is_ok());
        assert_eq!(Password::for_storing("1234567"), Err(PasswordError::TooShort));
        assert_eq!(Password::for_storing(""), Err(PasswordError::Forbidden));
    }

    #[test]
    fn debug_output_shows_nothing() {
        let password = Password::prepare("hunter2").unwrap();
        assert!(!format!("{password:?}").contains("hunter2"));
    }
}
