//! Domain names and the hosts that an address can name.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;

/// The longest domain name, in bytes of its A-label form. RFC 1035 §2.3.4.
pub const DOMAIN_BYTES_MAX: usize = 253;

/// The longest label, in bytes of its A-label form. RFC 1035 §2.3.4.
pub const LABEL_BYTES_MAX: usize = 63;

/// A domain name, absolute, lower case, without the last dot.
///
/// Holds both its A-label and U-label form (RFC 5890 §2.3.2.1), made once. Two domains are equal
/// if their A-labels are. Underscores are accepted, since names such as `_dmarc.example.org` are
/// looked up; [`Domain::parse_host`] refuses them.
#[derive(Clone)]
pub struct Domain {
    ascii: Box<str>,
    /// Absent when equal to `ascii`, which is nearly always.
    unicode: Option<Box<str>>,
}

/// Why a domain name was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DomainError {
    /// The name, or a label in it, is empty.
    Empty,
    /// A label is over [`LABEL_BYTES_MAX`] or the name over [`DOMAIN_BYTES_MAX`].
    TooLong,
    /// A character that no label may contain, or a label that starts or ends with a hyphen.
    BadLabel,
    /// Not valid internationalised text (UTS #46).
    BadIdna,
    /// The last label is all digits, so the name would be taken for an IPv4 address.
    LooksLikeIp,
}

impl fmt::Display for DomainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "empty domain or label",
            Self::TooLong => "domain or label too long",
            Self::BadLabel => "invalid character in domain label",
            Self::BadIdna => "invalid internationalised domain",
            Self::LooksLikeIp => "domain looks like an ip address",
        })
    }
}

impl std::error::Error for DomainError {}

impl Domain {
    /// Parses a domain name in A-label or U-label form; one last dot is dropped.
    ///
    /// Letters are lower-cased and Unicode is mapped as UTS #46 says (non-transitional).
    pub fn parse(text: &str) -> Result<Self, DomainError> {
        let text = text.strip_suffix('.').unwrap_or(text);
        let ascii: Box<str> = if is_plain_ascii(text) {
            text.to_ascii_lowercase().into_boxed_str()
        } else {
            idna::domain_to_ascii(text).map_err(|_| DomainError::BadIdna)?.into_boxed_str()
        };
        check_labels(&ascii)?;
        if !ascii.contains("xn--") {
            return Ok(Self { ascii, unicode: None });
        }
        let (unicode, result) = idna::domain_to_unicode(&ascii);
        result.map_err(|_| DomainError::BadIdna)?;
        let unicode = (unicode.as_str() != &*ascii).then(|| unicode.into_boxed_str());
        Ok(Self { ascii, unicode })
    }

    /// Parses the name of a host: like [`Domain::parse`], without underscores. RFC 5321 §4.1.2.
    pub fn parse_host(text: &str) -> Result<Self, DomainError> {
        let domain = Self::parse(text)?;
        if domain.ascii.contains('_') { Err(DomainError::BadLabel) } else { Ok(domain) }
    }

    /// The A-label form, for DNS and for peers without SMTPUTF8.
    #[must_use]
    pub fn ascii(&self) -> &str {
        &self.ascii
    }

    /// The U-label form, for people. Equal to [`Domain::ascii`] for a plain ASCII name.
    #[must_use]
    pub fn unicode(&self) -> &str {
        self.unicode.as_deref().unwrap_or(&self.ascii)
    }

    /// Whether this is `parent` itself or a name below it.
    #[must_use]
    pub fn is_within(&self, parent: &Self) -> bool {
        self.ascii
            .strip_suffix(&*parent.ascii)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    }
}

/// Letters, digits, hyphens, underscores and dots only, and no A-label: nothing to map.
fn is_plain_ascii(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        && !text.to_ascii_lowercase().contains("xn--")
}

fn check_labels(ascii: &str) -> Result<(), DomainError> {
    if ascii.len() > DOMAIN_BYTES_MAX {
        return Err(DomainError::TooLong);
    }
    let mut last = "";
    for label in ascii.split('.') {
        if label.is_empty() {
            return Err(DomainError::Empty);
        }
        if label.len() > LABEL_BYTES_MAX {
            return Err(DomainError::TooLong);
        }
        let known = label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
        if !known || label.starts_with('-') || label.ends_with('-') {
            return Err(DomainError::BadLabel);
        }
        last = label;
    }
    if last.bytes().all(|b| b.is_ascii_digit()) {
        return Err(DomainError::LooksLikeIp);
    }
    Ok(())
}

impl PartialEq for Domain {
    fn eq(&self, other: &Self) -> bool {
        self.ascii == other.ascii
    }
}

impl Eq for Domain {}

impl Hash for Domain {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.ascii.hash(state);
    }
}

impl PartialOrd for Domain {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Domain {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.ascii.cmp(&other.ascii)
    }
}

/// The U-label form.
impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.unicode())
    }
}

impl fmt::Debug for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Domain({})", self.ascii)
    }
}

impl std::str::FromStr for Domain {
    type Err = DomainError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

/// What stands after the `@` of a path, or after EHLO: a domain or an address literal.
///
/// RFC 5321 §4.1.2 (`Domain`) and §4.1.3 (`address-literal`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// A domain name.
    Domain(Domain),
    /// `[192.0.2.1]` or `[IPv6:2001:db8::1]`.
    Ip(IpAddr),
}

impl Host {
    /// The domain, if it is one.
    #[must_use]
    pub fn domain(&self) -> Option<&Domain> {
        match self {
            Self::Domain(domain) => Some(domain),
            Self::Ip(_) => None,
        }
    }

    /// The form for peers without SMTPUTF8: A-labels, or the address literal.
    #[must_use]
    pub fn ascii(&self) -> String {
        match self {
            Self::Domain(domain) => domain.ascii().to_owned(),
            Self::Ip(_) => self.to_string(),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Domain(domain) => domain.fmt(f),
            Self::Ip(IpAddr::V4(ip)) => write!(f, "[{ip}]"),
            Self::Ip(IpAddr::V6(ip)) => write!(f, "[IPv6:{ip}]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(input: &str, want: Result<(&str, &str), DomainError>) {
        let got = Domain::parse(input);
        let got = got.as_ref().map(|d| (d.ascii(), d.unicode())).map_err(|e| *e);
        assert_eq!(got, want, "{input}");
    }

    #[test]
    fn domains_are_canonical_or_refused() {
        let label63 = "a".repeat(63);
        let label64 = "a".repeat(64);
        let name253 = format!("{label63}.{label63}.{label63}.{}", "a".repeat(61));
        let name254 = format!("{name253}a");
        // Valid.
        check("Example.ORG", Ok(("example.org", "example.org")));
        check("bücher.example", Ok(("xn--bcher-kva.example", "bücher.example")));
        check("XN--bcher-kva.example.", Ok(("xn--bcher-kva.example", "bücher.example")));
        check("_dmarc.example.org", Ok(("_dmarc.example.org", "_dmarc.example.org")));
        // At the edge of valid.
        check(&label63, Ok((&label63, &label63)));
        check(&name253, Ok((&name253, &name253)));
        check("1.example", Ok(("1.example", "1.example")));
        check("localhost", Ok(("localhost", "localhost")));
        // Just past the edge.
        check(&label64, Err(DomainError::TooLong));
        check(&name254, Err(DomainError::TooLong));
        check("example.1", Err(DomainError::LooksLikeIp));
        // Never valid.
        check("", Err(DomainError::Empty));
        check(".", Err(DomainError::Empty));
        check("a..b", Err(DomainError::Empty));
        check("-a.example", Err(DomainError::BadLabel));
        check("a-.example", Err(DomainError::BadLabel));
        check("a b.example", Err(DomainError::BadLabel));
        check("xn--\u{fffd}.example", Err(DomainError::BadIdna));
        check("127.0.0.1", Err(DomainError::LooksLikeIp));
    }

    #[test]
    fn a_host_name_has_no_underscore() {
        assert_eq!(Domain::parse_host("a_b.example"), Err(DomainError::BadLabel));
    }

    #[test]
    fn being_within_a_domain_respects_labels() {
        let parent = Domain::parse("example.org").unwrap();
        for (name, want) in [
            ("example.org", true),
            ("a.example.org", true),
            ("badexample.org", false),
            ("org", false),
        ] {
            assert_eq!(Domain::parse(name).unwrap().is_within(&parent), want, "{name}");
        }
    }
}
