//! The part of an address before the `@`.

use std::fmt;

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

/// The longest localpart we take, in bytes of its decoded form.
///
/// Deviation: RFC 5321 §4.5.3.1.1 says 64; longer ones are in use (tagged list bounces), so twice
/// that is taken unless pedantic.
pub const LOCALPART_BYTES_MAX: usize = 128;

/// A localpart in decoded form: without quotes and escapes, Unicode in NFC.
///
/// May be empty (`""@example.org` is a legal address) and is compared case-sensitively; what case
/// means is the business of the domain that owns it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Localpart(Box<str>);

/// Why a localpart was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalpartError {
    /// Over [`LOCALPART_BYTES_MAX`].
    TooLong,
    /// A character that is not allowed there, an unquoted empty localpart, or a stray dot.
    BadCharacter,
    /// A quoted string that does not end, or text after its end.
    BadQuoting,
}

impl fmt::Display for LocalpartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "localpart too long",
            Self::BadCharacter => "invalid character in localpart",
            Self::BadQuoting => "bad quoted localpart",
        })
    }
}

impl std::error::Error for LocalpartError {}

impl Localpart {
    /// Parses `Local-part = Dot-string / Quoted-string` (RFC 5321 §4.1.2), with the UTF-8 of
    /// RFC 6531 §3.3.
    pub fn parse(text: &str) -> Result<Self, LocalpartError> {
        let decoded = match text.strip_prefix('"') {
            Some(rest) => unquote(rest)?,
            None => {
                if text.split('.').any(|atom| atom.is_empty() || !atom.chars().all(is_atext)) {
                    return Err(LocalpartError::BadCharacter);
                }
                text.to_owned()
            }
        };
        Self::from_decoded(&decoded)
    }

    /// Takes a localpart that has no quoting, as in a configuration file or a database.
    pub fn from_decoded(text: &str) -> Result<Self, LocalpartError> {
        if text.chars().any(char::is_control) {
            return Err(LocalpartError::BadCharacter);
        }
        let text = match is_nfc_quick(text.chars()) {
            IsNormalized::Yes => text.to_owned(),
            _ => text.nfc().collect(),
        };
        if text.len() > LOCALPART_BYTES_MAX {
            return Err(LocalpartError::TooLong);
        }
        Ok(Self(text.into_boxed_str()))
    }

    /// The decoded form, without quotes.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether an address with this localpart needs SMTPUTF8 (RFC 6531).
    #[must_use]
    pub fn is_international(&self) -> bool {
        !self.0.is_ascii()
    }
}

/// `atext` of RFC 5322 §3.2.3, extended by RFC 6532 §3.2.
fn is_atext(c: char) -> bool {
    c.is_ascii_alphanumeric()
        || "!#$%&'*+-/=?^_`{|}~".contains(c)
        || (!c.is_ascii() && !c.is_control())
}

/// Reads what follows the opening quote: `*QcontentSMTP DQUOTE`, and nothing after.
fn unquote(rest: &str) -> Result<String, LocalpartError> {
    let mut decoded = String::new();
    let mut chars = rest.chars();
    loop {
        match chars.next() {
            None => return Err(LocalpartError::BadQuoting),
            Some('"') => break,
            Some('\\') => match chars.next() {
                Some(c @ ' '..='~') => decoded.push(c),
                _ => return Err(LocalpartError::BadQuoting),
            },
            Some(c) if c.is_control() => return Err(LocalpartError::BadCharacter),
            Some(c) => decoded.push(c),
        }
    }
    if chars.next().is_some() { Err(LocalpartError::BadQuoting) } else { Ok(decoded) }
}

/// The form for the wire: as it is where it is a dot-string, else quoted.
impl fmt::Display for Localpart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atext)) {
            return f.write_str(&self.0);
        }
        f.write_str("\"")?;
        for c in self.0.chars() {
            if matches!(c, '"' | '\\') {
                f.write_str("\\")?;
            }
            write!(f, "{c}")?;
        }
        f.write_str("\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(input: &str, want: Result<&str, LocalpartError>) {
        let got = Localpart::parse(input);
        assert_eq!(got.as_ref().map(Localpart::as_str).map_err(|e| *e), want, "{input}");
    }

    #[test]
    fn localparts_are_decoded_or_refused() {
        let (long, too_long) = ("a".repeat(128), "a".repeat(129));
        // Valid.
        check("mjl", Ok("mjl"));
        check("first.last+tag", Ok("first.last+tag"));
        check("\"joe \\\"x\\\" smith\"", Ok("joe \"x\" smith"));
        check("jos\u{65}\u{301}", Ok("jos\u{e9}"));
        // At the edge of valid.
        check("\"\"", Ok(""));
        check(&long, Ok(&long));
        // Just past the edge.
        check(&too_long, Err(LocalpartError::TooLong));
        check("a.", Err(LocalpartError::BadCharacter));
        check(".a", Err(LocalpartError::BadCharacter));
        // Never valid.
        check("", Err(LocalpartError::BadCharacter));
        check("a b", Err(LocalpartError::BadCharacter));
        check("a@b", Err(LocalpartError::BadCharacter));
        check("\"a", Err(LocalpartError::BadQuoting));
        check("\"a\"b", Err(LocalpartError::BadQuoting));
        check("\"a\\", Err(LocalpartError::BadQuoting));
        check("\"a\nb\"", Err(LocalpartError::BadCharacter));
    }

    proptest! {
        #[test]
        fn what_is_printed_parses_to_the_same(text in "\\PC{0,40}") {
            if let Ok(localpart) = Localpart::from_decoded(&text) {
                prop_assert_eq!(Localpart::parse(&localpart.to_string()), Ok(localpart));
            }
        }
    }
}
