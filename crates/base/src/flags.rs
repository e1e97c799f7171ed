//! Message flags and keywords, as every protocol and the store see them.

use std::fmt;
use std::ops::{BitAnd, BitAndAssign, BitOr, BitOrAssign, Not};

/// The system flags of RFC 9051 §2.3.2 and the well-known keywords, as a set.
///
/// `\Recent` does not exist here: it is never set (RFC 9051 removed it).
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Flags(u16);

impl Flags {
    /// No flag.
    pub const NONE: Self = Self(0);
    /// `\Seen`
    pub const SEEN: Self = Self(1);
    /// `\Answered`
    pub const ANSWERED: Self = Self(1 << 1);
    /// `\Flagged`
    pub const FLAGGED: Self = Self(1 << 2);
    /// `\Deleted`
    pub const DELETED: Self = Self(1 << 3);
    /// `\Draft`
    pub const DRAFT: Self = Self(1 << 4);
    /// `$Forwarded`
    pub const FORWARDED: Self = Self(1 << 5);
    /// `$Junk`
    pub const JUNK: Self = Self(1 << 6);
    /// `$NotJunk`
    pub const NOT_JUNK: Self = Self(1 << 7);
    /// `$Phishing`
    pub const PHISHING: Self = Self(1 << 8);
    /// `$MDNSent`
    pub const MDN_SENT: Self = Self(1 << 9);
    /// Every flag.
    pub const ALL: Self = Self((1 << 10) - 1);

    /// Every flag with its name on the wire, in the order in which they are shown.
    pub const NAMES: [(Self, &'static str); 10] = [
        (Self::SEEN, "\\Seen"),
        (Self::ANSWERED, "\\Answered"),
        (Self::FLAGGED, "\\Flagged"),
        (Self::DELETED, "\\Deleted"),
        (Self::DRAFT, "\\Draft"),
        (Self::FORWARDED, "$Forwarded"),
        (Self::JUNK, "$Junk"),
        (Self::NOT_JUNK, "$NotJunk"),
        (Self::PHISHING, "$Phishing"),
        (Self::MDN_SENT, "$MDNSent"),
    ];

    /// Takes the bits of a stored set; bits without a meaning are dropped.
    #[must_use]
    pub fn from_bits(bits: u16) -> Self {
        Self(bits & Self::ALL.0)
    }

    /// The bits, for storing. Their meaning never changes.
    #[must_use]
    pub fn bits(self) -> u16 {
        self.0
    }

    /// The flag of this name, in any case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::NAMES
            .iter()
            .find(|(_, known)| known.eq_ignore_ascii_case(name))
            .map(|(flag, _)| *flag)
    }

    /// Whether all of `other` are set.
    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether no flag is set.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// This set with `other` set or cleared.
    #[must_use]
    pub fn with(self, other: Self, on: bool) -> Self {
        if on { self | other } else { self & !other }
    }

    /// The names of the flags that are set, in their order.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.iter().filter(move |(flag, _)| self.contains(*flag)).map(|(_, name)| *name)
    }
}

impl BitOr for Flags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Flags {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl BitAnd for Flags {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl BitAndAssign for Flags {
    fn bitand_assign(&mut self, other: Self) {
        self.0 &= other.0;
    }
}

impl Not for Flags {
    type Output = Self;

    fn not(self) -> Self {
        Self(!self.0 & Self::ALL.0)
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

/// A keyword other than the well-known ones: lower case, kept sorted where there are several.
///
/// RFC 9051 §9 (`flag-keyword = atom`); compared without case, so stored in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Keyword(Box<str>);

/// The longest keyword, in bytes. Ours; the RFC sets no bound.
pub const KEYWORD_BYTES_MAX: usize = 128;

/// Why a keyword was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeywordError {
    /// Empty, or longer than [`KEYWORD_BYTES_MAX`].
    BadLength,
    /// A character that no atom may have.
    BadCharacter,
    /// The name of a system flag or a well-known keyword, which is a [`Flags`] bit.
    IsFlag,
}

impl fmt::Display for KeywordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BadLength => "keyword empty or too long",
            Self::BadCharacter => "invalid character in keyword",
            Self::IsFlag => "keyword is the name of a flag",
        })
    }
}

impl std::error::Error for KeywordError {}

impl Keyword {
    /// Parses a keyword and makes it lower case.
    pub fn parse(text: &str) -> Result<Self, KeywordError> {
        if text.is_empty() || text.len() > KEYWORD_BYTES_MAX {
            return Err(KeywordError::BadLength);
        }
        let is_atom = |b: u8| matches!(b, 0x21..=0x7e) && !b"(){%*\"\\]".contains(&b);
        if !text.bytes().all(is_atom) {
            return Err(KeywordError::BadCharacter);
        }
        if Flags::from_name(text).is_some() {
            return Err(KeywordError::IsFlag);
        }
        Ok(Self(text.to_ascii_lowercase().into_boxed_str()))
    }

    /// The keyword, in lower case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Keyword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_bits_belong_together() {
        let flags = Flags::SEEN | Flags::MDN_SENT;
        assert_eq!(flags.names().collect::<Vec<_>>(), ["\\Seen", "$MDNSent"]);
        assert_eq!(Flags::from_name("\\sEEN"), Some(Flags::SEEN));
        assert_eq!(Flags::from_name("\\Recent"), None);
        assert_eq!(Flags::from_bits(u16::MAX), Flags::ALL);
        assert_eq!(!Flags::NONE, Flags::ALL);
        assert_eq!(flags.with(Flags::SEEN, false), Flags::MDN_SENT);
    }

    #[track_caller]
    fn check(input: &str, want: Result<&str, KeywordError>) {
        let got = Keyword::parse(input);
        assert_eq!(got.as_ref().map(Keyword::as_str).map_err(|e| *e), want, "{input}");
    }

    #[test]
    fn keywords_are_atoms_in_lower_case() {
        let (long, too_long) = ("k".repeat(128), "k".repeat(129));
        check("Label1", Ok("label1"));
        check("$Important", Ok("$important"));
        check(&long, Ok(&long));
        check(&too_long, Err(KeywordError::BadLength));
        check("", Err(KeywordError::BadLength));
        check("a b", Err(KeywordError::BadCharacter));
        check("a]", Err(KeywordError::BadCharacter));
        check("é", Err(KeywordError::BadCharacter));
        check("$junk", Err(KeywordError::IsFlag));
    }
}
