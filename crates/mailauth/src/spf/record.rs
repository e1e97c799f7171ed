//! The record of a domain.
//!
//! Source: RFC 7208 §4.5, §4.6, §5, §6, §12.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::macros::{DomainSpec, MacroString, Place};

/// The longest record, in bytes. Ours; RFC 7208 §3.4 wants records to fit into one packet of 512,
/// but lists of networks can be longer.
pub const RECORD_BYTES_MAX: usize = 16_384;

/// What a domain says of who may use its name.
///
/// `record = version terms *SP`, RFC 7208 §4.5.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// In their order: the first that matches counts.
    pub directives: Vec<Directive>,
    /// Whose record counts if nothing matches. RFC 7208 §6.1.
    pub redirect: Option<DomainSpec>,
    /// Where the explanation of a failure is. RFC 7208 §6.2.
    pub explanation: Option<DomainSpec>,
    /// Modifiers that are not known. RFC 7208 §6.
    pub others: Vec<(Box<str>, MacroString)>,
}

/// A mechanism and what follows if it matches. RFC 7208 §4.6.1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directive {
    /// What follows.
    pub qualifier: Qualifier,
    /// When.
    pub mechanism: Mechanism,
}

/// What follows if a mechanism matches. RFC 7208 §4.6.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Qualifier {
    /// `+`, or nothing.
    Pass,
    /// `-`.
    Fail,
    /// `~`.
    SoftFail,
    /// `?`.
    Neutral,
}

/// Of which clients something is said. RFC 7208 §5.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// Any. RFC 7208 §5.1.
    All,
    /// Those that pass with the record of another domain. RFC 7208 §5.2.
    Include(DomainSpec),
    /// Those in the networks of the addresses of a domain, by default of this one. RFC 7208 §5.3.
    A(Option<DomainSpec>, Prefixes),
    /// Those in the networks of the mail hosts of a domain. RFC 7208 §5.4.
    Mx(Option<DomainSpec>, Prefixes),
    /// Those with a name in a domain. RFC 7208 §5.5.
    Ptr(Option<DomainSpec>),
    /// Those in an IPv4 network. RFC 7208 §5.6.
    Ip4(Ipv4Addr, u8),
    /// Those in an IPv6 network. RFC 7208 §5.6.
    Ip6(Ipv6Addr, u8),
    /// All, if a name has an IPv4 address. RFC 7208 §5.7.
    Exists(DomainSpec),
}

/// How many bits of an address count, by its kind. RFC 7208 §5.6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefixes {
    /// At most 32.
    pub ip4: u8,
    /// At most 128.
    pub ip6: u8,
}

impl Default for Prefixes {
    fn default() -> Self {
        Self { ip4: 32, ip6: 128 }
    }
}

/// Why a record was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordError {
    /// It does not begin with the version.
    NoVersion,
    /// It is over [`RECORD_BYTES_MAX`].
    TooLong,
    /// Something is wrong with a term.
    Term {
        /// Which one, counted from 1 behind the version.
        number: usize,
        /// What.
        error: TermError,
    },
}

/// What is wrong with a term of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TermError {
    /// A character that is no printable ASCII.
    BadCharacter,
    /// A domain that does not end as one.
    BadDomain,
    /// A `%` without a right macro behind it.
    BadMacro,
    /// An address that is none.
    BadNetwork,
    /// A length of a prefix that is no number or too large.
    BadPrefix,
    /// A modifier without a right name.
    BadModifier,
    /// A modifier that may stand only once.
    Duplicate,
    /// A domain is needed and there is none.
    EmptyDomain,
    /// A mechanism that takes nothing has something.
    Surplus,
    /// A mechanism of that name does not exist.
    UnknownMechanism,
}

impl fmt::Display for TermError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BadCharacter => "character that is no printable ASCII",
            Self::BadDomain => "invalid end of a domain",
            Self::BadMacro => "invalid macro",
            Self::BadNetwork => "invalid address",
            Self::BadPrefix => "invalid length of a prefix",
            Self::BadModifier => "invalid name of a modifier",
            Self::Duplicate => "modifier given twice",
            Self::EmptyDomain => "missing domain",
            Self::Surplus => "unexpected argument",
            Self::UnknownMechanism => "unknown mechanism",
        })
    }
}

impl std::error::Error for TermError {}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoVersion => f.write_str("no v=spf1 at the beginning"),
            Self::TooLong => f.write_str("record too long"),
            Self::Term { number, error } => write!(f, "term {number}: {error}"),
        }
    }
}

impl std::error::Error for RecordError {}

/// Whether a text says that it is a record of SPF. RFC 7208 §4.5.
#[must_use]
pub fn is_record(text: &[u8]) -> bool {
    terms(text).is_some()
}

/// What follows the version.
///
/// `version = "v=spf1"`, RFC 7208 §4.5.
fn terms(text: &[u8]) -> Option<&[u8]> {
    let (version, rest) = text.split_at_checked(b"v=spf1".len())?;
    let ends = matches!(rest, [] | [b' ', ..]);
    (ends && version.eq_ignore_ascii_case(b"v=spf1")).then_some(rest)
}

impl Record {
    /// Reads a whole record. Any fault anywhere refuses it (RFC 7208 §4.6).
    ///
    /// # Errors
    ///
    /// If it is none, too long or has a faulty term.
    pub fn parse(text: &[u8]) -> Result<Self, RecordError> {
        let terms = terms(text).ok_or(RecordError::NoVersion)?;
        if text.len() > RECORD_BYTES_MAX {
            return Err(RecordError::TooLong);
        }
        let mut record = Self::default();
        let terms = terms.split(|byte| *byte == b' ').filter(|term| !term.is_empty());
        for (index, term) in terms.enumerate() {
            let added = ascii(term).and_then(|term| record.add(term));
            added.map_err(|error| RecordError::Term { number: index + 1, error })?;
        }
        Ok(record)
    }

    /// `term = directive / modifier`, RFC 7208 §4.6.1.
    fn add(&mut self, term: &str) -> Result<(), TermError> {
        // What comes first decides: a name with `=` behind it is a modifier, even if `:` or `/`
        // follow.
        let end = term.find([':', '/', '=']).unwrap_or(term.len());
        let (name, rest) = term.split_at_checked(end).unwrap_or((term, ""));
        if let Some(value) = rest.strip_prefix('=') {
            return self.add_modifier(name, value);
        }
        self.directives.push(directive(name, rest)?);
        Ok(())
    }

    /// `modifier = redirect / explanation / unknown-modifier`, RFC 7208 §6.
    fn add_modifier(&mut self, name: &str, value: &str) -> Result<(), TermError> {
        let known = if name.eq_ignore_ascii_case("redirect") {
            &mut self.redirect
        } else if name.eq_ignore_ascii_case("exp") {
            &mut self.explanation
        } else {
            let rest = name.strip_prefix(|first: char| first.is_ascii_alphabetic());
            let rest = rest.ok_or(TermError::BadModifier)?;
            if !rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) {
                return Err(TermError::BadModifier);
            }
            // Letters for explanations are let through: who knows what the modifier is for.
            let value = MacroString::parse(value, Place::Explanation)?;
            self.others.push((name.into(), value));
            return Ok(());
        };
        if known.is_some() {
            return Err(TermError::Duplicate);
        }
        *known = Some(DomainSpec::parse(value)?);
        Ok(())
    }
}

/// Only printable ASCII. RFC 7208 §3.1.
fn ascii(term: &[u8]) -> Result<&str, TermError> {
    if !term.iter().all(u8::is_ascii_graphic) {
        return Err(TermError::BadCharacter);
    }
    std::str::from_utf8(term).map_err(|_| TermError::BadCharacter)
}

/// `directive = [ qualifier ] mechanism`, RFC 7208 §4.6.1.
fn directive(name: &str, rest: &str) -> Result<Directive, TermError> {
    let mut name = name;
    let mut qualifier = Qualifier::Pass;
    for (character, one) in QUALIFIERS {
        if let Some(rest) = name.strip_prefix(character) {
            (name, qualifier) = (rest, one);
            break;
        }
    }
    let mechanism = match name.to_ascii_lowercase().as_str() {
        "all" if rest.is_empty() => Mechanism::All,
        "all" => return Err(TermError::Surplus),
        "include" => Mechanism::Include(required(rest)?),
        "a" => {
            let (target, prefixes) = dual(rest)?;
            Mechanism::A(target, prefixes)
        }
        "mx" => {
            let (target, prefixes) = dual(rest)?;
            Mechanism::Mx(target, prefixes)
        }
        "ptr" => Mechanism::Ptr(optional(rest)?),
        "ip4" => {
            let (network, prefix) = network(rest, 32)?;
            Mechanism::Ip4(network, prefix)
        }
        "ip6" => {
            let (network, prefix) = network(rest, 128)?;
            Mechanism::Ip6(network, prefix)
        }
        "exists" => Mechanism::Exists(required(rest)?),
        _ => return Err(TermError::UnknownMechanism),
    };
    Ok(Directive { qualifier, mechanism })
}

const QUALIFIERS: [(char, Qualifier); 4] = [
    ('+', Qualifier::Pass),
    ('-', Qualifier::Fail),
    ('~', Qualifier::SoftFail),
    ('?', Qualifier::Neutral),
];

/// `":" domain-spec`
fn required(rest: &str) -> Result<DomainSpec, TermError> {
    optional(rest)?.ok_or(TermError::EmptyDomain)
}

/// `[ ":" domain-spec ]`
fn optional(rest: &str) -> Result<Option<DomainSpec>, TermError> {
    if rest.is_empty() {
        return Ok(None);
    }
    let domain = rest.strip_prefix(':').ok_or(TermError::Surplus)?;
    DomainSpec::parse(domain).map(Some)
}

/// `[ ":" domain-spec ] [ dual-cidr-length ]`
///
/// `dual-cidr-length = [ ip4-cidr-length ] [ "/" ip6-cidr-length ]`, RFC 7208 §5.3. A domain may
/// hold slashes too, so lengths are looked for at the end.
fn dual(rest: &str) -> Result<(Option<DomainSpec>, Prefixes), TermError> {
    let mut prefixes = Prefixes::default();
    let mut rest = rest;
    if let Some((before, digits)) = ending_digits(rest)
        && let Some(before) = before.strip_suffix('/')
    {
        prefixes.ip6 = prefix(digits, 128)?;
        rest = before;
    }
    if let Some((before, digits)) = ending_digits(rest) {
        prefixes.ip4 = prefix(digits, 32)?;
        rest = before;
    }
    if rest.starts_with('/') {
        return Err(TermError::BadPrefix);
    }
    Ok((optional(rest)?, prefixes))
}

/// What stands before a last slash, and the digits behind it.
fn ending_digits(text: &str) -> Option<(&str, &str)> {
    let (before, digits) = text.rsplit_once('/')?;
    let are_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    are_digits.then_some((before, digits))
}

/// `ip4-cidr-length = "/" ("0" / %x31-39 0*1DIGIT)`; for IPv6 one digit more.
fn prefix(digits: &str, max: u8) -> Result<u8, TermError> {
    let canonical = digits == "0" || !digits.starts_with('0');
    match digits.parse() {
        Ok(prefix) if canonical && prefix <= max => Ok(prefix),
        _ => Err(TermError::BadPrefix),
    }
}

/// `":" ip4-network [ ip4-cidr-length ]`, and the same for IPv6.
fn network<T: std::str::FromStr>(rest: &str, max: u8) -> Result<(T, u8), TermError> {
    let text = rest.strip_prefix(':').ok_or(TermError::BadNetwork)?;
    let (network, length) = match text.split_once('/') {
        Some((network, digits)) => {
            if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(TermError::BadPrefix);
            }
            (network, prefix(digits, max)?)
        }
        None => (text, max),
    };
    let network = network.parse().map_err(|_| TermError::BadNetwork)?;
    Ok((network, length))
}

/// Whether two addresses are of the same kind and in the same network.
pub(super) fn same_network(one: IpAddr, other: IpAddr, prefixes: Prefixes) -> bool {
    match (one, other) {
        (IpAddr::V4(one), IpAddr::V4(other)) => {
            let shift = 32 - u32::from(prefixes.ip4.min(32));
            (one.to_bits() ^ other.to_bits()).checked_shr(shift).unwrap_or(0) == 0
        }
        (IpAddr::V6(one), IpAddr::V6(other)) => {
            let shift = 128 - u32::from(prefixes.ip6.min(128));
            (one.to_bits() ^ other.to_bits()).checked_shr(shift).unwrap_or(0) == 0
        }
        _ => false,
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("v=spf1")?;
        for directive in &self.directives {
            write!(f, " {directive}")?;
        }
        if let Some(redirect) = &self.redirect {
            write!(f, " redirect={redirect}")?;
        }
        if let Some(explanation) = &self.explanation {
            write!(f, " exp={explanation}")?;
        }
        self.others.iter().try_for_each(|(name, value)| write!(f, " {name}={value}"))
    }
}

impl fmt::Display for Directive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.qualifier {
            Qualifier::Pass => "",
            Qualifier::Fail => "-",
            Qualifier::SoftFail => "~",
            Qualifier::Neutral => "?",
        };
        write!(f, "{sign}{}", self.mechanism)
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let optional = |f: &mut fmt::Formatter<'_>, target: &Option<DomainSpec>| match target {
            Some(target) => write!(f, ":{target}"),
            None => Ok(()),
        };
        match self {
            Self::All => f.write_str("all"),
            Self::Include(target) => write!(f, "include:{target}"),
            Self::A(target, prefixes) => {
                f.write_str("a")?;
                optional(f, target)?;
                prefixes.fmt(f)
            }
            Self::Mx(target, prefixes) => {
                f.write_str("mx")?;
                optional(f, target)?;
                prefixes.fmt(f)
            }
            Self::Ptr(target) => {
                f.write_str("ptr")?;
                optional(f, target)
            }
            Self::Ip4(network, 32) => write!(f, "ip4:{network}"),
            Self::Ip4(network, prefix) => write!(f, "ip4:{network}/{prefix}"),
            Self::Ip6(network, 128) => write!(f, "ip6:{network}"),
            Self::Ip6(network, prefix) => write!(f, "ip6:{network}/{prefix}"),
            Self::Exists(target) => write!(f, "exists:{target}"),
        }
    }
}

impl fmt::Display for Prefixes {
    /// Lengths that cover the whole address are not shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.ip4 != 32 {
            write!(f, "/{}", self.ip4)?;
        }
        if self.ip6 != 128 {
            write!(f, "//{}", self.ip6)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, want: &str) {
        let record = Record::parse(text.as_bytes()).unwrap();
        assert_eq!(record.to_string(), want);
        assert_eq!(Record::parse(want.as_bytes()), Ok(record));
    }

    #[track_caller]
    fn refuse(terms: &str, want: TermError) {
        let text = format!("v=spf1 {terms}");
        match Record::parse(text.as_bytes()) {
            Err(RecordError::Term { error, .. }) => assert_eq!(error, want, "{text}"),
            other => panic!("{text}: {other:?}"),
        }
    }

    /// RFC 7208 §5, §6, Appendix A.
    #[test]
    fn records_are_parsed_and_printed() {
        check("v=spf1", "v=spf1");
        check("V=SPF1  +A  -ALL ", "v=spf1 a -all");
        check("v=spf1 a mx -all", "v=spf1 a mx -all");
        check("v=spf1 a:example.org/24//64 mx//0 ~all", "v=spf1 a:example.org/24//64 mx//0 ~all");
        check("v=spf1 a/32//128 ip4:1.2.3.4/32", "v=spf1 a ip4:1.2.3.4");
        check("v=spf1 a:foo:bar/baz.example.com", "v=spf1 a:foo:bar/baz.example.com");
        check("v=spf1 a:%{d}/24", "v=spf1 a:%{d}/24");
        check("v=spf1 ip6:::1.1.1.1/0 ?all", "v=spf1 ip6:::101:101/0 ?all");
        check("v=spf1 ip6:Cafe:Babe:8000::/33", "v=spf1 ip6:cafe:babe:8000::/33");
        check("v=spf1 exp=e.example redirect=r.example", "v=spf1 redirect=r.example exp=e.example");
        check("v=spf1 x=y=z -all m.o-o_1=man:dog/cat", "v=spf1 -all x=y=z m.o-o_1=man:dog/cat");
        check("v=spf1 n=%{c}", "v=spf1 n=%{c}");
    }

    /// RFC 7208 §4.6.1, §5.1, §5.2, §5.7, §6, §6.1, §6.2.
    #[test]
    fn terms_have_the_right_arguments() {
        refuse("moo", TermError::UnknownMechanism);
        refuse("redirect:a.example", TermError::UnknownMechanism);
        refuse("m.o/o=a", TermError::UnknownMechanism);
        refuse("-", TermError::UnknownMechanism);
        refuse("--all", TermError::UnknownMechanism);
        refuse("-all.", TermError::UnknownMechanism);
        refuse("all:a.example", TermError::Surplus);
        refuse("all/8", TermError::Surplus);
        refuse("ptr/0", TermError::Surplus);
        refuse("include", TermError::EmptyDomain);
        refuse("include:", TermError::EmptyDomain);
        refuse("include:a.example/24", TermError::BadDomain);
        refuse("exists", TermError::EmptyDomain);
        refuse("exists:a.example/24", TermError::BadDomain);
        refuse("a:", TermError::EmptyDomain);
        refuse("mx:", TermError::EmptyDomain);
        refuse("ptr:", TermError::EmptyDomain);
        refuse("a:a.example:80", TermError::BadDomain);
        refuse("a:111.222.33.44", TermError::BadDomain);
        refuse("exp=", TermError::EmptyDomain);
        refuse("exp=-all", TermError::BadDomain);
        refuse("redirect=", TermError::EmptyDomain);
        refuse("redirect=a.example redirect=a.example", TermError::Duplicate);
        refuse("exp=a.example EXP=a.example", TermError::Duplicate);
        refuse("1up=foo", TermError::BadModifier);
        refuse("=all", TermError::BadModifier);
        refuse("-a=b", TermError::BadModifier);
        refuse("a+b=c", TermError::BadModifier);
        refuse("foo=%abc", TermError::BadMacro);
        refuse("exp=%{r}.example", TermError::BadMacro);
        refuse("a:a.example\rptr", TermError::BadCharacter);
        refuse("a:\u{feff}a.example", TermError::BadCharacter);
        refuse("\tall", TermError::BadCharacter);
    }

    /// RFC 7208 §5.6 with its note on leading zeros, §12.
    #[test]
    fn networks_are_exact() {
        refuse("ip4", TermError::BadNetwork);
        refuse("ip4:1.2.3", TermError::BadNetwork);
        refuse("ip4:1.2.3.4:8080", TermError::BadNetwork);
        refuse("ip4:1.2.3.04", TermError::BadNetwork);
        refuse("ip6", TermError::BadNetwork);
        refuse("ip6::CAFE::BABE", TermError::BadNetwork);
        refuse("ip6:1.2.3.4", TermError::BadNetwork);
        refuse("ip4:1.2.3.4/33", TermError::BadPrefix);
        refuse("ip4:1.2.3.4/032", TermError::BadPrefix);
        refuse("ip4:1.2.3.4//32", TermError::BadPrefix);
        refuse("ip4:1.2.3.4/", TermError::BadPrefix);
        refuse("ip4:1.2.3.4/+8", TermError::BadPrefix);
        refuse("ip6:::/129", TermError::BadPrefix);
        refuse("ip6:::1.1.1.1//33", TermError::BadPrefix);
        refuse("a/33", TermError::BadPrefix);
        refuse("a//129", TermError::BadPrefix);
        refuse("a/00", TermError::BadPrefix);
        refuse("a/", TermError::BadPrefix);
        refuse("a//", TermError::BadPrefix);
        refuse("a///8", TermError::BadPrefix);
        refuse("a/24/64", TermError::BadPrefix);
        refuse("a:a.example/24/64", TermError::BadPrefix);
        refuse("a:a.example/24/16", TermError::BadDomain);
    }

    /// RFC 7208 §5.6.
    #[test]
    fn a_prefix_says_how_much_is_compared() {
        let same = |one: &str, other: &str, ip4, ip6| {
            let (one, other) = (one.parse().unwrap(), other.parse().unwrap());
            same_network(one, other, Prefixes { ip4, ip6 })
        };
        assert!(same("192.0.2.1", "192.0.2.1", 32, 128));
        assert!(!same("192.0.2.1", "192.0.2.0", 32, 0));
        assert!(same("192.0.2.1", "192.0.2.0", 31, 0));
        assert!(same("192.0.2.1", "10.0.0.1", 0, 128));
        assert!(!same("192.0.2.1", "10.0.0.1", 1, 128));
        assert!(same("2001:db8::1", "2001:db8::2", 32, 126));
        assert!(!same("2001:db8::1", "2001:db8::2", 0, 127));
        assert!(same("2001:db8::1", "fe80::1", 32, 0));
        assert!(!same("192.0.2.1", "::ffff:192.0.2.1", 0, 0));
    }

    /// RFC 7208 §4.5.
    #[test]
    fn the_version_comes_first() {
        for text in ["", "v=spf", "v=spf10", "v=spf1mx", " v=spf1", "v=spf1\t-all", "v=spf2.0/pra"]
        {
            assert!(!is_record(text.as_bytes()), "{text}");
            assert_eq!(Record::parse(text.as_bytes()), Err(RecordError::NoVersion), "{text}");
        }
        assert!(is_record(b"v=SPF1 \xff"));
        let most = format!("v=spf1 {}", "a ".repeat(RECORD_BYTES_MAX));
        let (longest, _) = most.split_at(RECORD_BYTES_MAX);
        assert_eq!(Record::parse(longest.as_bytes()).unwrap().directives.len(), 8_189);
        let (longer, _) = most.split_at(RECORD_BYTES_MAX + 1);
        assert_eq!(Record::parse(longer.as_bytes()), Err(RecordError::TooLong));
    }

    proptest! {
        #[test]
        fn what_is_printed_is_the_same_record(
            terms in "( ([-+~?]?(a|mx|ptr|include|exists|ip4|ip6|all)[:/]?|exp=|redirect=|x=)(192\\.0\\.2\\.1|2001:db8::1|a\\.b|%\\{d2r\\}|%%|/)?(/[0-9]{1,2})?){0,3}",
        ) {
            if let Ok(record) = Record::parse(format!("v=spf1{terms}").as_bytes()) {
                prop_assert_eq!(Record::parse(record.to_string().as_bytes()), Ok(record));
            }
        }

        #[test]
        fn any_bytes_are_parsed_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let text = [b"v=spf1 ", &bytes[..]].concat();
            if let Ok(record) = Record::parse(&text) {
                prop_assert_eq!(Record::parse(record.to_string().as_bytes()), Ok(record));
            }
        }
    }
}
