//! Names that are looked up.

use std::fmt;
use std::net::IpAddr;

use mox_base::{DOMAIN_BYTES_MAX, Domain, LABEL_BYTES_MAX};

/// The longest name, in bytes without the last dot. RFC 1035 §2.3.4.
pub const NAME_BYTES_MAX: usize = DOMAIN_BYTES_MAX;

/// An absolute name of ASCII labels in lower case, without the last dot; the root is empty.
///
/// Wider than [`Domain`]: labels may hold any printable character but a dot, and spaces, since names
/// are also made of what others send (SPF macros, RFC 7208 §7) or stand in records of others.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Box<str>);

/// Why a name was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameError {
    /// A label has no character.
    EmptyLabel,
    /// A label is over 63 bytes or the name over [`NAME_BYTES_MAX`].
    TooLong,
    /// A character that is neither printable ASCII nor a space.
    BadCharacter,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EmptyLabel => "empty label in a DNS name",
            Self::TooLong => "DNS name or label too long",
            Self::BadCharacter => {
                "character in a DNS name that is neither printable ASCII nor a space"
            }
        })
    }
}

impl std::error::Error for NameError {}

impl Name {
    /// Reads a name; a dot at the end is ignored, and `.` is the root.
    ///
    /// # Errors
    ///
    /// If a label is empty, something is too long, or a character is neither printable ASCII nor a
    /// space.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let text = text.strip_suffix('.').unwrap_or(text);
        if text.is_empty() {
            return Ok(Self::root());
        }
        if text.len() > NAME_BYTES_MAX {
            return Err(NameError::TooLong);
        }
        for label in text.split('.') {
            match label.len() {
                0 => return Err(NameError::EmptyLabel),
                1..=LABEL_BYTES_MAX => {}
                _ => return Err(NameError::TooLong),
            }
            if !label.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
                return Err(NameError::BadCharacter);
            }
        }
        Ok(Self(text.to_ascii_lowercase().into()))
    }

    /// The name above all others. As the target of an MX record it means that there is no mail
    /// (RFC 7505 §3).
    #[must_use]
    pub fn root() -> Self {
        Self("".into())
    }

    /// Whether this is [`Name::root`].
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The name below `parent` with these labels in front, such as `_dmarc` or `s1._domainkey`.
    ///
    /// # Errors
    ///
    /// As [`Name::parse`].
    pub fn below(labels: &str, parent: &Domain) -> Result<Self, NameError> {
        Self::parse(&format!("{labels}.{}", parent.ascii()))
    }

    /// Where the names of an address are: RFC 1035 §3.5, RFC 3596 §2.5.
    #[must_use]
    pub fn reverse(ip: IpAddr) -> Self {
        let zone = if ip.is_ipv4() { "in-addr.arpa" } else { "ip6.arpa" };
        Self(format!("{}.{zone}", reversed(ip)).into())
    }

    /// Where a list of addresses at `zone` says something of one: RFC 5782 §2.1, §2.4.
    ///
    /// # Errors
    ///
    /// If that is too long.
    pub fn listed(ip: IpAddr, zone: &Domain) -> Result<Self, NameError> {
        Self::below(&reversed(ip), zone)
    }

    /// The text without the last dot; empty for the root.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The labels from the first on; none for the root.
    pub fn labels(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('.').filter(|label| !label.is_empty())
    }

    /// The name without its first label; that above the root is the root.
    #[must_use]
    pub fn parent(&self) -> Self {
        Self(self.0.split_once('.').map_or("", |(_, rest)| rest).into())
    }

    /// Whether this is `other` or below it.
    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        other.is_root()
            || match self.0.strip_suffix(&*other.0) {
                Some(rest) => rest.is_empty() || rest.ends_with('.'),
                None => false,
            }
    }

    /// As a domain, if it is one.
    #[must_use]
    pub fn to_domain(&self) -> Option<Domain> {
        Domain::parse(&self.0).ok()
    }
}

/// The address as labels, the last part first.
fn reversed(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, d] = ip.octets();
            format!("{d}.{c}.{b}.{a}")
        }
        IpAddr::V6(ip) => {
            let mut text = String::with_capacity(4 * 16);
            for byte in ip.octets().into_iter().rev() {
                for nibble in [byte & 15, byte >> 4] {
                    text.extend(char::from_digit(nibble.into(), 16));
                    text.push('.');
                }
            }
            text.pop();
            text
        }
    }
}

impl From<&Domain> for Name {
    fn from(domain: &Domain) -> Self {
        Self(domain.ascii().into())
    }
}

impl fmt::Display for Name {
    /// With the last dot.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.", self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, want: Result<&str, NameError>) {
        assert_eq!(Name::parse(text).as_ref().map(Name::as_str).map_err(|e| *e), want, "{text}");
    }

    /// RFC 1035 §2.3.4.
    #[test]
    fn names_are_parsed_or_refused() {
        let label = "a".repeat(LABEL_BYTES_MAX);
        let longest = [&*label, &*label, &*label, &*"a".repeat(61)].join(".");
        check("example.org", Ok("example.org"));
        check("Example.ORG.", Ok("example.org"));
        check("_dmarc.x=y+z.org", Ok("_dmarc.x=y+z.org"));
        check(".", Ok(""));
        check("", Ok(""));
        check(&longest, Ok(&longest));
        check(&format!("{longest}a"), Err(NameError::TooLong));
        check(&format!("{label}a.org"), Err(NameError::TooLong));
        check("a..b", Err(NameError::EmptyLabel));
        check(".a", Err(NameError::EmptyLabel));
        check("..", Err(NameError::EmptyLabel));
        check("a b.org", Ok("a b.org"));
        check("a\tb", Err(NameError::BadCharacter));
        check("\u{e4}.org", Err(NameError::BadCharacter));
        check("a\0", Err(NameError::BadCharacter));
    }

    /// RFC 1035 §3.5, RFC 3596 §2.5, RFC 5782 §2.1.
    #[test]
    fn addresses_are_reversed() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let zone = Domain::parse("bl.example").unwrap();
        assert_eq!(Name::reverse(ip("192.0.2.1")).as_str(), "1.2.0.192.in-addr.arpa");
        let name = Name::reverse(ip("2001:db8::567:89ab"));
        let want = "b.a.9.8.7.6.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa";
        assert_eq!(name.as_str(), want);
        let name = Name::listed(ip("192.0.2.1"), &zone).unwrap();
        assert_eq!(name.as_str(), "1.2.0.192.bl.example");
    }

    #[test]
    fn names_have_relations() {
        let name = |text: &str| Name::parse(text).unwrap();
        assert_eq!(name("a.b.c").parent(), name("b.c"));
        assert_eq!(name("c").parent(), Name::root());
        assert_eq!(Name::root().parent(), Name::root());
        assert!(name("a.b.c").is_within(&name("b.c")));
        assert!(name("b.c").is_within(&name("b.c")));
        assert!(name("b.c").is_within(&Name::root()));
        assert!(!name("ab.c").is_within(&name("b.c")));
        assert!(!name("c").is_within(&name("b.c")));
        assert_eq!(name("a.b").labels().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(Name::root().labels().count(), 0);
        assert_eq!(name("a.b").to_string(), "a.b.");
        assert_eq!(Name::root().to_string(), ".");
        assert_eq!(name("_dmarc.example.org").to_domain().unwrap().ascii(), "_dmarc.example.org");
        assert_eq!(name("a=b.org").to_domain(), None);
    }

    proptest! {
        #[test]
        fn what_is_printed_is_the_same_name(text in "[ -~]{0,80}") {
            if let Ok(name) = Name::parse(&text) {
                prop_assert_eq!(Name::parse(&name.to_string()), Ok(name));
            }
        }
    }
}
