//! The flags of a message, or those a command names.
//!
//! Source: RFC 9051 §2.3.2.

use mox_base::{Flags, Keyword};

/// The flags of a message, or those named by a command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlagList {
    /// System flags and well-known keywords.
    pub system: Flags,
    /// Other keywords, ascending, without duplicates.
    pub keywords: Vec<Keyword>,
}

impl FlagList {
    /// A list of system flags only.
    #[must_use]
    pub const fn system(system: Flags) -> Self {
        Self { system, keywords: Vec::new() }
    }

    /// Adds a keyword at its place.
    pub fn insert(&mut self, keyword: Keyword) {
        if let Err(at) = self.keywords.binary_search(&keyword) {
            self.keywords.insert(at, keyword);
        }
    }

    /// Adds a flag by its name, in any case; `false` for a name that is no flag.
    ///
    /// RFC 9051 §2.3.2: a name with a backslash must be a system flag that is known. `\Recent`
    /// cannot be set by clients (RFC 3501 §2.3.2).
    pub fn insert_name(&mut self, name: &str) -> bool {
        if let Some(flag) = Flags::from_name(name) {
            self.system |= flag;
            return true;
        }
        match Keyword::parse(name) {
            Ok(keyword) => self.insert(keyword),
            Err(_) => return false,
        }
        true
    }
}

/// `ATOM-CHAR = <any CHAR except atom-specials>`. RFC 9051 §9.
#[must_use]
pub const fn is_atom_char(byte: u8) -> bool {
    matches!(byte, 0x21..=0x7e)
        && !matches!(byte, b'(' | b')' | b'{' | b'%' | b'*' | b'"' | b'\\' | b']')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9051 §2.3.2.
    #[test]
    fn names_become_flags_or_sorted_keywords() {
        let mut list = FlagList::default();
        for name in ["\\seen", "$JUNK", "b", "A", "b"] {
            assert!(list.insert_name(name), "{name}");
        }
        assert_eq!(list.system, Flags::SEEN | Flags::JUNK);
        let keywords: Vec<&str> = list.keywords.iter().map(Keyword::as_str).collect();
        assert_eq!(keywords, ["a", "b"]);
        for name in ["\\Recent", "\\Bogus", "", "a b", "a]"] {
            assert!(!list.insert_name(name), "{name}");
        }
    }
}
