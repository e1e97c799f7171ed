//! Values of one line with a syntax of their own: domains, addresses, patterns, choices.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use mox_base::{Address, Domain, Localpart, MailboxName};
use mox_sconf::{Described, Scalar, Shape};
use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The most memory a compiled pattern may take, in bytes.
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// A type that has a form of one line in a configuration file.
pub trait Syntax: Sized + fmt::Display {
    /// What it is called in errors.
    const NOUN: &'static str;

    /// Reads the whole text; the error says why it is not one.
    fn read(text: &str) -> Result<Self, String>;

    /// What stands in a value built in code until it is set, or in one read with faults.
    fn placeholder() -> Self;
}

/// A value of another crate's type as a line in a configuration file.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Text<T>(pub T);

impl<T> Deref for Text<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> From<T> for Text<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

impl<T: fmt::Display> fmt::Display for Text<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T: Syntax> Default for Text<T> {
    fn default() -> Self {
        Self(T::placeholder())
    }
}

impl<T: Syntax> FromStr for Text<T> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        T::read(text).map(Self)
    }
}

impl<T: Syntax> Described for Text<T> {
    const SHAPE: Shape = Shape::Scalar(Scalar {
        noun: T::NOUN,
        zero: "",
        canonical: |text| match T::read(text) {
            Ok(value) => Ok(value.to_string()),
            Err(reason) => Err(format!("{text:?}: {reason}")),
        },
    });
}

impl<T: fmt::Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de, T: Syntax> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        T::read(&text).map(Self).map_err(serde::de::Error::custom)
    }
}

impl Syntax for Domain {
    const NOUN: &'static str = "domain";

    fn read(text: &str) -> Result<Self, String> {
        Self::parse(text).map_err(|error| error.to_string())
    }

    fn placeholder() -> Self {
        // RFC 6761 §6.3: a name that always exists and is never anyone else's.
        #[expect(clippy::expect_used, reason = "a literal, read by a test")]
        Self::parse("localhost").expect("localhost is a domain name")
    }
}

/// The domain that is added to addresses of an account that are a localpart alone, if it has one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DefaultDomain(pub Option<Domain>);

impl fmt::Display for DefaultDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_ref().map_or(Ok(()), |domain| domain.fmt(f))
    }
}

/// The original's localserve leaves it empty.
impl Syntax for DefaultDomain {
    const NOUN: &'static str = "domain";

    fn read(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            Ok(Self(None))
        } else {
            Domain::read(text).map(|name| Self(Some(name)))
        }
    }

    fn placeholder() -> Self {
        Self(None)
    }
}

impl Syntax for Localpart {
    const NOUN: &'static str = "localpart";

    /// Takes the decoded form, without quotes.
    fn read(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("empty".into());
        }
        Self::from_decoded(text).map_err(|error| error.to_string())
    }

    fn placeholder() -> Self {
        Self::default()
    }
}

impl Syntax for MailboxName {
    const NOUN: &'static str = "mailbox name";

    fn read(text: &str) -> Result<Self, String> {
        Self::parse(text).map_err(|error| error.to_string())
    }

    fn placeholder() -> Self {
        Self::inbox()
    }
}

/// A domain that must be written with U-labels (RFC 5890 §2.3.2.1), so that it reads as it is said.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UnicodeDomain(pub Domain);

impl fmt::Display for UnicodeDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Syntax for UnicodeDomain {
    const NOUN: &'static str = "domain";

    fn read(text: &str) -> Result<Self, String> {
        let domain = Domain::read(text)?;
        if text.to_ascii_lowercase().contains("xn--") && domain.unicode() != text {
            return Err(format!("write it in Unicode, as {:?}", domain.unicode()));
        }
        Ok(Self(domain))
    }

    fn placeholder() -> Self {
        Self(Domain::placeholder())
    }
}

impl From<Domain> for Text<UnicodeDomain> {
    fn from(domain: Domain) -> Self {
        Self(UnicodeDomain(domain))
    }
}

impl Deref for UnicodeDomain {
    type Target = Domain;

    fn deref(&self) -> &Domain {
        &self.0
    }
}

/// The key of a destination: what mail an account gets.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DestinationKey {
    /// `localpart@domain`.
    Address(Address),
    /// `@domain`: all mail to the domain that has no destination of its own.
    Catchall(Domain),
    /// A localpart alone, at the account's default domain. Deprecated.
    Localpart(Localpart),
}

impl fmt::Display for DestinationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Catchall(domain) => write!(f, "@{domain}"),
            Self::Localpart(localpart) => f.write_str(localpart.as_str()),
        }
    }
}

impl Syntax for DestinationKey {
    const NOUN: &'static str = "address";

    fn read(text: &str) -> Result<Self, String> {
        if let Some(domain) = text.strip_prefix('@') {
            return Domain::read(domain).map(Self::Catchall);
        }
        match text.contains('@') {
            true => Address::read(text).map(Self::Address),
            false => Localpart::read(text).map(Self::Localpart),
        }
    }

    fn placeholder() -> Self {
        Self::Localpart(Localpart::default())
    }
}

impl Syntax for Address {
    const NOUN: &'static str = "address";

    fn read(text: &str) -> Result<Self, String> {
        Self::parse(text).map_err(|error| error.to_string())
    }

    fn placeholder() -> Self {
        Self { localpart: Localpart::default(), domain: Domain::placeholder() }
    }
}

/// A regular expression; the empty one stands for none and matches nothing.
///
/// Matching is linear in the text. The syntax is that of the `regex` crate, which has what RE2
/// has: no back references, no look-around.
#[derive(Clone, Default)]
pub struct Pattern(Option<Regex>);

impl Pattern {
    /// Whether there is no pattern.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Whether the pattern matches somewhere in the text.
    #[must_use]
    pub fn is_match(&self, text: &str) -> bool {
        self.0.as_ref().is_some_and(|regex| regex.is_match(text))
    }

    /// The regular expression, if there is one.
    #[must_use]
    pub fn regex(&self) -> Option<&Regex> {
        self.0.as_ref()
    }

    /// The pattern as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_ref().map_or("", Regex::as_str)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Pattern {}

impl PartialOrd for Pattern {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Pattern {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({:?})", self.as_str())
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Syntax for Pattern {
    const NOUN: &'static str = "regular expression";

    fn read(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let regex = RegexBuilder::new(text).size_limit(PATTERN_BYTES_MAX).build();
        // The error of the regex crate is a drawing of several lines; its last one says why.
        regex.map(|regex| Self(Some(regex))).map_err(|error| {
            error.to_string().lines().last().unwrap_or("invalid").trim().to_owned()
        })
    }

    fn placeholder() -> Self {
        Self::default()
    }
}

/// Declares an enum of the words that a key may have.
macro_rules! words {
    (
        $(#[$about:meta])*
        pub enum $name:ident, $noun:literal, {
            $( $(#[$doc:meta])* $word:literal => $variant:ident ),* $(,)?
        }
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $( $(#[$doc])* $variant ),* }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(match self { $( Self::$variant => $word ),* })
            }
        }

        impl $crate::text::Syntax for $name {
            const NOUN: &'static str = $noun;

            fn read(text: &str) -> Result<Self, String> {
                match text {
                    $( $word => Ok(Self::$variant), )*
                    _ => Err(concat!("known are", $( " ", $word ),*).to_owned()),
                }
            }

            fn placeholder() -> Self {
                Self::default()
            }
        }
    };
}

pub(crate) use words;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check<T: Syntax>(input: &str, want: Result<&str, &str>) {
        let got = T::read(input).map(|value| value.to_string());
        match (got.as_deref(), want) {
            (Ok(got), Ok(want)) => assert_eq!(got, want, "{input:?}"),
            (Err(got), Err(want)) => assert!(got.starts_with(want), "{input:?}: {got}"),
            (got, want) => panic!("{input:?}: got {got:?}, want {want:?}"),
        }
    }

    #[test]
    fn destinations_are_addresses_catchalls_or_localparts() {
        check::<DestinationKey>("Mjl@Example.org", Ok("Mjl@example.org"));
        check::<DestinationKey>("@Example.org", Ok("@example.org"));
        check::<DestinationKey>("\"a@b\"@example.org", Ok("\"a@b\"@example.org"));
        check::<DestinationKey>("\"\"@example.org", Ok("\"\"@example.org"));
        check::<DestinationKey>("mjl", Ok("mjl"));
        check::<DestinationKey>("", Err("empty"));
        check::<DestinationKey>("@", Err("empty domain"));
        check::<DestinationKey>("a@", Err("empty domain"));
        check::<DestinationKey>("a b@example.org", Err("invalid character in localpart"));
    }

    #[test]
    fn domains_are_to_be_written_in_unicode() {
        check::<UnicodeDomain>("bücher.example", Ok("bücher.example"));
        check::<UnicodeDomain>("Example.ORG", Ok("example.org"));
        check::<UnicodeDomain>("xn--bcher-kva.example", Err("write it in Unicode, as \"bücher"));
        check::<UnicodeDomain>("XN--bcher-kva.example", Err("write it in Unicode"));
        check::<Domain>("xn--bcher-kva.example", Ok("bücher.example"));
        check::<UnicodeDomain>("127.0.0.1", Err("domain looks like an ip"));
    }

    #[test]
    fn patterns_are_compiled_with_a_limit() {
        check::<Pattern>("^(junk|spam)", Ok("^(junk|spam)"));
        check::<Pattern>("", Ok(""));
        check::<Pattern>("(", Err("error: unclosed group"));
        check::<Pattern>("(\\w{1000}){1000}", Err("Compiled regex exceeds size limit"));
        let junk = Pattern::read("^(junk|spam)").unwrap();
        assert!(junk.is_match("spam/old") && !junk.is_match("no spam"));
        let none = Pattern::default();
        assert!(none.is_empty() && !none.is_match("") && none.regex().is_none());
    }

    #[test]
    fn placeholders_are_valid() {
        check::<Domain>(&Domain::placeholder().to_string(), Ok("localhost"));
        check::<MailboxName>(&MailboxName::placeholder().to_string(), Ok("Inbox"));
    }
}
