//! Names of keys.

use std::fmt;

use mox_base::{Domain, DomainError};
use mox_dns::{Name, NameError};

/// Which of its keys a domain has signed with: one or more labels, in lower case and as A-labels.
///
/// RFC 6376 §3.1. Unlike a [`Domain`] it may be all digits. Underscores are taken: they are not in
/// the grammar, and are in use.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Selector(Box<str>);

/// A label that stands below, so that a selector can be read by the rules of domains.
const BELOW: &str = ".x";

impl Selector {
    /// Reads a selector; labels may be in Unicode (RFC 8616 §5).
    ///
    /// ```abnf
    /// selector = sub-domain *( "." sub-domain )
    /// ```
    ///
    /// # Errors
    ///
    /// If it is none.
    pub fn parse(text: &str) -> Result<Self, DomainError> {
        let domain = Domain::parse(&format!("{text}{BELOW}"))?;
        let ascii = domain.ascii().strip_suffix(BELOW).ok_or(DomainError::BadLabel)?;
        if ascii.is_empty() { Err(DomainError::Empty) } else { Ok(Self(ascii.into())) }
    }

    /// The text, in ASCII.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where a domain has this key. RFC 6376 §3.6.2.1.
    ///
    /// # Errors
    ///
    /// If that is too long.
    pub fn key_name(&self, domain: &Domain) -> Result<Name, NameError> {
        Name::below(&format!("{}._domainkey", self.0), domain)
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: Result<&str, DomainError>) {
        let got = Selector::parse(text);
        assert_eq!(got.as_ref().map(Selector::as_str).map_err(|e| *e), want, "{text:?}");
    }

    /// RFC 6376 §3.1, RFC 8616 §5.
    #[test]
    fn selectors_are_parsed_or_refused() {
        check("brisbane", Ok("brisbane"));
        check("2024a", Ok("2024a"));
        check("Jan2005.Shipping", Ok("jan2005.shipping"));
        check("20240101", Ok("20240101"));
        check("a_b", Ok("a_b"));
        check("b\u{fc}cher", Ok("xn--bcher-kva"));
        check(&"a".repeat(63), Ok(&"a".repeat(63)));
        check(&"a".repeat(64), Err(DomainError::TooLong));
        check("a..b", Err(DomainError::Empty));
        check("", Err(DomainError::Empty));
        check("a.", Err(DomainError::Empty));
        check("-a", Err(DomainError::BadLabel));
        assert!(Selector::parse("a b").is_err());
        assert!(Selector::parse("a\0").is_err());
    }

    /// RFC 6376 §3.6.2.1.
    #[test]
    fn keys_have_a_place_in_dns() {
        let domain = Domain::parse("Example.ORG").unwrap();
        let name = |text: &str, domain| Selector::parse(text).unwrap().key_name(domain);
        assert_eq!(name("Jan.A", &domain).unwrap().as_str(), "jan.a._domainkey.example.org");
        let long = Domain::parse(&vec!["a"; 120].join(".")).unwrap();
        assert_eq!(name("brisbane", &long), Err(NameError::TooLong));
    }
}
