//! A mail address with a domain.

use std::fmt;

use crate::{Domain, DomainError, Localpart, LocalpartError};

/// `localpart@domain`. RFC 5321 §4.1.2 (`Mailbox`), without address literals.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    /// The part before the last `@`, decoded.
    pub localpart: Localpart,
    /// The part after it.
    pub domain: Domain,
}

/// Why an address was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressError {
    /// No `@`.
    NoAt,
    /// The localpart is bad.
    Localpart(LocalpartError),
    /// The domain is bad.
    Domain(DomainError),
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAt => f.write_str("address has no @"),
            Self::Localpart(error) => error.fmt(f),
            Self::Domain(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for AddressError {}

impl Address {
    /// Parses a whole address; a localpart that needs quotes must have them.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        // A quoted localpart may contain "@", a domain may not.
        let (localpart, domain) = text.rsplit_once('@').ok_or(AddressError::NoAt)?;
        Ok(Self {
            localpart: Localpart::parse(localpart).map_err(AddressError::Localpart)?,
            domain: Domain::parse(domain).map_err(AddressError::Domain)?,
        })
    }

    /// The form for peers without SMTPUTF8, or `None` if the localpart has no such form.
    #[must_use]
    pub fn ascii(&self) -> Option<String> {
        (!self.localpart.is_international())
            .then(|| format!("{}@{}", self.localpart, self.domain.ascii()))
    }
}

/// With the U-label form of the domain.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.localpart, self.domain)
    }
}

impl std::str::FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(input: &str, want: Result<&str, AddressError>) {
        let got = Address::parse(input).map(|a| a.to_string());
        assert_eq!(got.as_deref().map_err(|e| *e), want, "{input}");
    }

    #[test]
    fn addresses_are_split_at_the_last_at() {
        check("mjl@Example.org", Ok("mjl@example.org"));
        check("\"a@b\"@example.org", Ok("\"a@b\"@example.org"));
        check("\"\"@example.org", Ok("\"\"@example.org"));
        check("☕@xn--bcher-kva.example", Ok("☕@bücher.example"));
        check("mjl", Err(AddressError::NoAt));
        check("@example.org", Err(AddressError::Localpart(LocalpartError::BadCharacter)));
        check("mjl@", Err(AddressError::Domain(DomainError::Empty)));
        check("mjl@[127.0.0.1]", Err(AddressError::Domain(DomainError::BadLabel)));
    }

    #[test]
    fn the_ascii_form_exists_only_for_an_ascii_localpart() {
        let ascii = |text| Address::parse(text).unwrap().ascii();
        assert_eq!(ascii("a@bücher.example").as_deref(), Some("a@xn--bcher-kva.example"));
        assert_eq!(ascii("☕@bücher.example"), None);
    }
}
