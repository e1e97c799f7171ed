//! Texts with macros in them.
//!
//! Source: RFC 7208 §7.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::net::IpAddr;

use mox_base::UnixSeconds;
use mox_dns::{NAME_BYTES_MAX, Name};

use super::TermError;

/// Bytes of an expansion that are held at once. Of a name only the end counts, of an explanation
/// only the beginning, so nothing is lost that would be used.
const EXPANSION_BYTES_MAX: usize = 4_096;

/// The largest number of labels that a transformer can ask for; larger ones mean the same, since
/// no value has so many parts. RFC 7208 §7.3 wants 127 at least.
const KEEP_MAX: u16 = 1_024;

/// What stands for a value. RFC 7208 §7.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Letter {
    /// `s`: the whole sender.
    Sender,
    /// `l`: the local part of the sender.
    LocalPart,
    /// `o`: the domain of the sender.
    SenderDomain,
    /// `d`: the domain whose record is being evaluated.
    Domain,
    /// `i`: the address of the client, IPv6 as nibbles.
    Ip,
    /// `p`: a name of the client that leads back to it.
    ValidatedName,
    /// `v`: `in-addr` or `ip6`.
    Version,
    /// `h`: what the client calls itself.
    Helo,
    /// `c`: the address of the client as people write it; in explanations only.
    ClientIp,
    /// `r`: the name of the host that checks; in explanations only.
    Receiver,
    /// `t`: the time in seconds since 1970; in explanations only.
    Time,
}

/// Each letter with its character.
const LETTERS: [(Letter, char); 11] = [
    (Letter::Sender, 's'),
    (Letter::LocalPart, 'l'),
    (Letter::SenderDomain, 'o'),
    (Letter::Domain, 'd'),
    (Letter::Ip, 'i'),
    (Letter::ValidatedName, 'p'),
    (Letter::Version, 'v'),
    (Letter::Helo, 'h'),
    (Letter::ClientIp, 'c'),
    (Letter::Receiver, 'r'),
    (Letter::Time, 't'),
];

/// `%{…}` with its transformers. RFC 7208 §7.1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Macro {
    letter: Letter,
    /// Whether the value is escaped as in an URL.
    is_escaped: bool,
    /// How many parts are kept, from the right.
    keep: Option<u16>,
    is_reversed: bool,
    /// Where the value is cut; at dots if empty.
    delimiters: Box<str>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(Box<str>),
    /// `%%`.
    Percent,
    /// `%_`.
    Space,
    /// `%-`.
    UrlSpace,
    Macro(Macro),
}

/// Where a text stands, and with that which macros it may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In a record, where a name is made of it.
    Name,
    /// In an explanation, which may also hold spaces.
    Explanation,
}

/// A text with macros.
///
/// `macro-string = *( macro-expand / macro-literal )`, RFC 7208 §7.1.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MacroString(Vec<Part>);

/// What the macros of one evaluation stand for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Values<'a> {
    pub(super) local: &'a str,
    pub(super) sender_domain: &'a str,
    pub(super) domain: &'a str,
    pub(super) ip: IpAddr,
    pub(super) helo: &'a str,
    pub(super) receiver: &'a str,
    pub(super) now: UnixSeconds,
    /// `unknown` if there is none. RFC 7208 §7.3.
    pub(super) validated_name: &'a str,
}

impl MacroString {
    pub(super) fn parse(text: &str, place: Place) -> Result<Self, TermError> {
        let mut parts = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let end = rest.find('%').unwrap_or(rest.len());
            let (literal, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
            if !literal.is_empty() {
                let space = place == Place::Explanation;
                let known = |byte: u8| byte.is_ascii_graphic() || (space && byte == b' ');
                if !literal.bytes().all(known) {
                    return Err(TermError::BadCharacter);
                }
                parts.push(Part::Literal(literal.into()));
            }
            rest = after;
            if !after.is_empty() {
                let (part, after) = macro_expand(after, place)?;
                parts.push(part);
                rest = after;
            }
        }
        Ok(Self(parts))
    }

    /// Whether a macro with this letter is in it.
    pub(super) fn uses(&self, letter: Letter) -> bool {
        self.0.iter().any(|part| matches!(part, Part::Macro(one) if one.letter == letter))
    }

    /// Whether it ends as a domain must.
    ///
    /// `domain-end = ( "." toplabel [ "." ] ) / macro-expand`, RFC 7208 §7.1.
    fn ends_as_domain(&self) -> bool {
        match self.0.last() {
            None => false,
            Some(Part::Literal(literal)) => {
                let literal = literal.strip_suffix('.').unwrap_or(literal);
                literal.rsplit_once('.').is_some_and(|(_, label)| is_toplabel(label))
            }
            Some(_) => true,
        }
    }

    /// The name it stands for; none if that cannot be a name in DNS. Names that are too long lose
    /// labels on their left (RFC 7208 §7.3), non-ASCII ones are none (RFC 8616 §4).
    pub(super) fn name(&self, values: &Values<'_>) -> Option<Name> {
        let mut text = String::new();
        for part in &self.0 {
            let start = text.len();
            part.expand(values, &mut text);
            if !text.get(start..)?.is_ascii() {
                return None;
            }
            // One byte more than a name can have is enough to know that something is missing.
            if let Some(surplus) = text.len().checked_sub(EXPANSION_BYTES_MAX) {
                let _cut = text.drain(..surplus);
            }
        }
        let mut name = text.strip_suffix('.').unwrap_or(&text);
        if name.len() > NAME_BYTES_MAX {
            let surplus = name.len() - NAME_BYTES_MAX;
            // The cut must fall behind a dot that is at or after the byte before the last that
            // may stay.
            let (_, kept) = name.split_at_checked(surplus - 1)?;
            name = kept.split_once('.')?.1;
        }
        // What stands for nothing is not the root.
        Name::parse(name).ok().filter(|name| !name.is_root())
    }

    /// The text it stands for, of at most `bytes_max` and a last part.
    pub(super) fn text(&self, values: &Values<'_>, bytes_max: usize) -> String {
        let mut text = String::new();
        for part in &self.0 {
            part.expand(values, &mut text);
            if text.len() >= bytes_max {
                break;
            }
        }
        text
    }
}

impl fmt::Display for MacroString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|part| match part {
            Part::Literal(text) => f.write_str(text),
            Part::Percent => f.write_str("%%"),
            Part::Space => f.write_str("%_"),
            Part::UrlSpace => f.write_str("%-"),
            Part::Macro(one) => one.fmt(f),
        })
    }
}

/// A text with macros that a domain is made of.
///
/// `domain-spec = macro-string domain-end`, RFC 7208 §7.1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainSpec(MacroString);

impl DomainSpec {
    pub(super) fn parse(text: &str) -> Result<Self, TermError> {
        if text.is_empty() {
            return Err(TermError::EmptyDomain);
        }
        let spec = MacroString::parse(text, Place::Name)?;
        if spec.ends_as_domain() { Ok(Self(spec)) } else { Err(TermError::BadDomain) }
    }

    pub(super) fn macros(&self) -> &MacroString {
        &self.0
    }
}

impl fmt::Display for DomainSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// `toplabel = ( *alphanum ALPHA *alphanum ) / ( 1*alphanum "-" *( alphanum / "-" ) alphanum )`.
fn is_toplabel(label: &str) -> bool {
    !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && label.bytes().any(|byte| !byte.is_ascii_digit())
}

/// Reads what begins with `%`.
///
/// `macro-expand = ( "%{" macro-letter transformers *delimiter "}" ) / "%%" / "%_" / "%-"`.
fn macro_expand(text: &str, place: Place) -> Result<(Part, &str), TermError> {
    let text = text.strip_prefix('%').ok_or(TermError::BadMacro)?;
    let simple = [('%', Part::Percent), ('_', Part::Space), ('-', Part::UrlSpace)];
    for (character, part) in simple {
        if let Some(rest) = text.strip_prefix(character) {
            return Ok((part, rest));
        }
    }
    let inside = text.strip_prefix('{').and_then(|text| text.split_once('}'));
    let (inside, rest) = inside.ok_or(TermError::BadMacro)?;
    Ok((Part::Macro(Macro::parse(inside, place)?), rest))
}

impl Macro {
    /// Reads what stands between the braces.
    fn parse(text: &str, place: Place) -> Result<Self, TermError> {
        let mut characters = text.chars();
        let character = characters.next().ok_or(TermError::BadMacro)?;
        let known = LETTERS.iter().find(|(_, one)| *one == character.to_ascii_lowercase());
        let (letter, _) = *known.ok_or(TermError::BadMacro)?;
        // RFC 7208 §7.2.
        let for_people = matches!(letter, Letter::ClientIp | Letter::Receiver | Letter::Time);
        if for_people && place == Place::Name {
            return Err(TermError::BadMacro);
        }
        let rest = characters.as_str();
        let after = rest.trim_start_matches(|character: char| character.is_ascii_digit());
        let digits = rest.strip_suffix(after).unwrap_or_default();
        let keep = match digits {
            "" => None,
            digits if digits.bytes().all(|byte| byte == b'0') => return Err(TermError::BadMacro),
            digits => Some(digits.parse::<u16>().map_or(KEEP_MAX, |keep| keep.min(KEEP_MAX))),
        };
        let delimiters = after.strip_prefix(['r', 'R']);
        let is_reversed = delimiters.is_some();
        let delimiters = delimiters.unwrap_or(after);
        if !delimiters.bytes().all(|byte| b".-+,/_=".contains(&byte)) {
            return Err(TermError::BadMacro);
        }
        let is_escaped = character.is_ascii_uppercase();
        Ok(Self { letter, is_escaped, keep, is_reversed, delimiters: delimiters.into() })
    }

    fn expand(&self, values: &Values<'_>, out: &mut String) {
        let value = value(self.letter, values);
        let transformed: Cow<'_, str> =
            if self.keep.is_none() && !self.is_reversed && self.delimiters.is_empty() {
                value
            } else {
                self.transform(&value).into()
            };
        if self.is_escaped { escape(&transformed, out) } else { out.push_str(&transformed) }
    }

    /// RFC 7208 §7.3.
    fn transform(&self, value: &str) -> String {
        let delimiters = if self.delimiters.is_empty() { "." } else { &self.delimiters };
        let mut parts: Vec<&str> =
            value.split(|character| delimiters.contains(character)).collect();
        if self.is_reversed {
            parts.reverse();
        }
        let drop = self.keep.map_or(0, |keep| parts.len().saturating_sub(usize::from(keep)));
        parts.get(drop..).unwrap_or_default().join(".")
    }
}

impl fmt::Display for Macro {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = LETTERS.iter().find(|(letter, _)| *letter == self.letter);
        let character = known.map_or('s', |(_, character)| *character);
        f.write_str("%{")?;
        f.write_char(if self.is_escaped { character.to_ascii_uppercase() } else { character })?;
        if let Some(keep) = self.keep {
            write!(f, "{keep}")?;
        }
        if self.is_reversed {
            f.write_char('r')?;
        }
        write!(f, "{}}}", self.delimiters)
    }
}

impl Part {
    fn expand(&self, values: &Values<'_>, out: &mut String) {
        match self {
            Self::Literal(text) => out.push_str(text),
            Self::Percent => out.push('%'),
            Self::Space => out.push(' '),
            Self::UrlSpace => out.push_str("%20"),
            Self::Macro(one) => one.expand(values, out),
        }
    }
}

/// RFC 7208 §7.2.
fn value<'a>(letter: Letter, values: &Values<'a>) -> Cow<'a, str> {
    match letter {
        Letter::Sender => format!("{}@{}", values.local, values.sender_domain).into(),
        Letter::LocalPart => values.local.into(),
        Letter::SenderDomain => values.sender_domain.into(),
        Letter::Domain => values.domain.into(),
        Letter::Ip => dotted(values.ip).into(),
        Letter::ValidatedName => values.validated_name.into(),
        Letter::Version => if values.ip.is_ipv4() { "in-addr" } else { "ip6" }.into(),
        Letter::Helo => values.helo.into(),
        Letter::ClientIp => values.ip.to_string().into(),
        Letter::Receiver => values.receiver.into(),
        Letter::Time => values.now.0.to_string().into(),
    }
}

/// The address in parts with dots between them, the first part first. RFC 7208 §7.3.
fn dotted(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => {
            let nibbles = ip.octets().into_iter().flat_map(|byte| [byte >> 4, byte & 15]);
            let nibbles: Vec<String> = nibbles.map(|nibble| format!("{nibble:x}")).collect();
            nibbles.join(".")
        }
    }
}

/// All but the unreserved characters of RFC 3986 §2.3 as `%` and two digits. RFC 7208 §7.3.
fn escape(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ok = write!(out, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn values(ip: &str) -> Values<'static> {
        Values {
            local: "strong-bad",
            sender_domain: "email.example.com",
            domain: "email.example.com",
            ip: ip.parse().unwrap(),
            helo: "mx.example.org",
            receiver: "receiver.example",
            now: UnixSeconds(1_700_000_000),
            validated_name: "unknown",
        }
    }

    #[track_caller]
    fn check(text: &str, want: &str) {
        let parsed = MacroString::parse(text, Place::Explanation).unwrap();
        assert_eq!(parsed.text(&values("192.0.2.3"), 1_000), want, "{text}");
        assert_eq!(MacroString::parse(&parsed.to_string(), Place::Explanation), Ok(parsed));
    }

    #[track_caller]
    fn check_six(text: &str, want: &str) {
        let parsed = MacroString::parse(text, Place::Explanation).unwrap();
        assert_eq!(parsed.text(&values("2001:db8::cb01"), 1_000), want, "{text}");
    }

    #[track_caller]
    fn refuse(text: &str, place: Place) {
        assert_eq!(MacroString::parse(text, place), Err(TermError::BadMacro), "{text}");
    }

    /// The examples of RFC 7208 §7.4.
    #[test]
    fn macros_stand_for_values() {
        check("%{s}", "strong-bad@email.example.com");
        check("%{o}", "email.example.com");
        check("%{d}", "email.example.com");
        check("%{d4}", "email.example.com");
        check("%{d3}", "email.example.com");
        check("%{d2}", "example.com");
        check("%{d1}", "com");
        check("%{dr}", "com.example.email");
        check("%{d2r}", "example.email");
        check("%{l}", "strong-bad");
        check("%{l-}", "strong.bad");
        check("%{lr}", "strong-bad");
        check("%{lr-}", "bad.strong");
        check("%{l1r-}", "strong");
        check("%{ir}.%{v}._spf.%{d2}", "3.2.0.192.in-addr._spf.example.com");
        check("%{lr-}.lp._spf.%{d2}", "bad.strong.lp._spf.example.com");
        check("%{ir}.%{v}.%{l1r-}.lp._spf.%{d2}", "3.2.0.192.in-addr.strong.lp._spf.example.com");
        check("%{d2}.trusted-domains.example.net", "example.com.trusted-domains.example.net");
        let nibbles = "1.0.b.c.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2";
        check_six("%{ir}.%{v}._spf.%{d2}", &format!("{nibbles}.ip6._spf.example.com"));
    }

    /// RFC 7208 §7.1, §7.2, §7.3.
    #[test]
    fn every_letter_transformer_and_delimiter_has_its_meaning() {
        check(
            "%{h} %{r} %{t} %{c} %{p}",
            "mx.example.org receiver.example 1700000000 192.0.2.3 unknown",
        );
        check_six("%{c}", "2001:db8::cb01");
        check("%%%_%-%{v}", "% %20in-addr");
        check("%{S}", "strong-bad%40email.example.com");
        check("%{D2R}", "example.email");
        check("%{S-}", "strong.bad%40email.example.com");
        check("%{o2.}", "example.com");
        check("%{s-.+,/_=}", "strong.bad@email.example.com");
        check("%{d127}", "email.example.com");
        check("%{d99999999999999999999}", "email.example.com");
        check("", "");
        check("plain text", "plain text");
    }

    /// RFC 7208 §7.1, §7.2, §7.3: a number of parts is not zero.
    #[test]
    fn other_macros_are_refused() {
        for text in
            ["%", "a%", "%a", "%(d)", "%{", "%{d", "%{}", "%{x}", "%{d0}", "%{d00r}", "%{d@}"]
        {
            refuse(text, Place::Explanation);
        }
        for text in ["%{dd}", "%{2d}", "%{dr2}", "%{d-r}", "%{d }", "%{\u{e4}}"] {
            refuse(text, Place::Explanation);
        }
        for text in ["%{c}", "%{r}", "%{t}", "%{T}"] {
            refuse(text, Place::Name);
        }
        let parse = |text| MacroString::parse(text, Place::Name);
        assert_eq!(parse("a b"), Err(TermError::BadCharacter));
        assert_eq!(parse("a\u{e4}"), Err(TermError::BadCharacter));
        assert_eq!(parse("a\0"), Err(TermError::BadCharacter));
    }

    /// RFC 7208 §7.1.
    #[test]
    fn a_domain_ends_with_a_label_or_a_macro() {
        let good = [
            "a.example",
            "a.example.",
            ".com",
            "%{d}",
            "a.%{d}",
            "x%%",
            "a:b/c.xn--p1ai",
            "a.1a",
            "a.1-2",
            "mail.example...com",
        ];
        for text in good {
            assert_eq!(DomainSpec::parse(text).map(|spec| spec.to_string()).as_deref(), Ok(text));
        }
        let bad = ["museum", "museum.", "a.-com", "a.com-", "a.123", "a.b_c", "a.b:80", "a..", "."];
        for text in bad {
            assert_eq!(DomainSpec::parse(text), Err(TermError::BadDomain), "{text}");
        }
        assert_eq!(DomainSpec::parse(""), Err(TermError::EmptyDomain));
    }

    /// RFC 7208 §7.3: labels are removed on the left.
    #[test]
    fn names_that_are_too_long_lose_labels() {
        let name = |text: &str| {
            let parsed = MacroString::parse(text, Place::Name).unwrap();
            parsed.name(&values("192.0.2.3")).map(|name| name.as_str().to_owned())
        };
        let label = "a".repeat(60);
        let four = [label.as_str(); 4].join(".");
        assert_eq!(four.len(), 243);
        assert_eq!(name(&format!("{four}.123456789")), Some(format!("{four}.123456789")));
        assert_eq!(name(&format!("x.{four}.1234567")), Some(format!("x.{four}.1234567")));
        assert_eq!(name(&format!("x.{four}.12345678")), Some(format!("{four}.12345678")));
        assert_eq!(name(&format!("xy.{four}.12345678.")), Some(format!("{four}.12345678")));
        let many = "%{d}.".repeat(3_000);
        let got = name(&format!("{many}end.example")).unwrap();
        assert!(got.ends_with("email.example.com.end.example") && got.len() <= NAME_BYTES_MAX);
        assert!(got.len() + "example.".len() > NAME_BYTES_MAX, "{got}");
        assert_eq!(name(&"a".repeat(5_000)), None);
        assert_eq!(name("a..b"), None);
        assert_eq!(name(""), None);
        assert_eq!(name("."), None);
    }

    /// RFC 8616 §4.
    #[test]
    fn a_name_is_made_of_ascii_only() {
        let parsed = MacroString::parse("%{l}.example", Place::Name).unwrap();
        let mut values = values("192.0.2.3");
        assert_eq!(parsed.name(&values).unwrap().as_str(), "strong-bad.example");
        values.local = "b\u{fc}cher";
        assert_eq!(parsed.name(&values), None);
    }

    proptest! {
        #[test]
        fn what_is_printed_is_the_same(text in "([a-z.]{0,5}|%[%_-]|%\\{[sSlLoOdDiIpPvVhH][0-9]{0,3}r?[-.+,/_=]{0,3}\\}){0,6}") {
            if let Ok(parsed) = MacroString::parse(&text, Place::Name) {
                prop_assert_eq!(MacroString::parse(&parsed.to_string(), Place::Name), Ok(parsed));
            }
        }

        #[test]
        fn any_text_is_parsed_or_refused(text in "\\PC{0,60}") {
            if let Ok(parsed) = MacroString::parse(&text, Place::Explanation) {
                prop_assert_eq!(parsed.to_string(), text);
            }
        }
    }
}
