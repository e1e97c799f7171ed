//! Paths: the addresses of an envelope.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use mox_base::{Address, Domain, Host, Localpart};

use crate::command::{CommandError, Syntax};
use crate::lex::Cursor;

/// The longest path, in bytes with its angle brackets. RFC 5321 §4.5.3.1.3.
pub const PATH_BYTES_MAX: usize = 256;

/// The longest localpart in pedantic mode, in bytes. RFC 5321 §4.5.3.1.1.
pub const PEDANTIC_LOCALPART_BYTES_MAX: usize = 64;

/// `Mailbox = Local-part "@" ( Domain / address-literal )`. RFC 5321 §4.1.2.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Mailbox {
    /// Decoded.
    pub localpart: Localpart,
    /// Where it is.
    pub host: Host,
}

impl Mailbox {
    /// The address, unless it is at an address literal.
    #[must_use]
    pub fn address(&self) -> Option<Address> {
        let domain = self.host.domain()?.clone();
        Some(Address { localpart: self.localpart.clone(), domain })
    }

    /// The form for peers and headers without UTF-8 in domains: with A-labels.
    #[must_use]
    pub fn to_ascii_domain(&self) -> String {
        format!("{}@{}", self.localpart, self.host.ascii())
    }
}

impl From<Address> for Mailbox {
    fn from(address: Address) -> Self {
        Self { localpart: address.localpart, host: Host::Domain(address.domain) }
    }
}

/// With the U-label form of the domain.
impl fmt::Display for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.localpart, self.host)
    }
}

/// `Reverse-path = Path / "<>"`: where errors are reported to. RFC 5321 §4.1.2.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum ReversePath {
    /// `<>`: the message is itself a report, of which none may be sent. RFC 5321 §4.5.5.
    #[default]
    Null,
    /// A mailbox.
    Mailbox(Mailbox),
}

impl ReversePath {
    /// The mailbox, if there is one.
    #[must_use]
    pub fn mailbox(&self) -> Option<&Mailbox> {
        match self {
            Self::Null => None,
            Self::Mailbox(mailbox) => Some(mailbox),
        }
    }
}

/// With angle brackets and the A-label form of the domain, as `Return-Path` has it.
impl fmt::Display for ReversePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("<>"),
            Self::Mailbox(mailbox) => write!(f, "<{}>", mailbox.to_ascii_domain()),
        }
    }
}

/// A recipient. RFC 5321 §4.1.1.3.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ForwardPath {
    /// `<Postmaster>` without a domain, in any case: the postmaster of this server.
    Postmaster,
    /// A mailbox.
    Mailbox(Mailbox),
}

impl ForwardPath {
    /// The mailbox, if it has a host.
    #[must_use]
    pub fn mailbox(&self) -> Option<&Mailbox> {
        match self {
            Self::Postmaster => None,
            Self::Mailbox(mailbox) => Some(mailbox),
        }
    }

    /// The localpart, as text.
    #[must_use]
    pub fn localpart(&self) -> &str {
        match self {
            Self::Postmaster => "postmaster",
            Self::Mailbox(mailbox) => mailbox.localpart.as_str(),
        }
    }
}

/// With angle brackets and the A-label form of the domain.
impl fmt::Display for ForwardPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Postmaster => f.write_str("<postmaster>"),
            Self::Mailbox(mailbox) => write!(f, "<{}>", mailbox.to_ascii_domain()),
        }
    }
}

/// Takes `"<" … ">"` and returns what is between, unparsed: MAIL must know of the SMTPUTF8
/// parameter, which comes later, before its path can be judged. A `>` in quotes does not end it.
pub(crate) fn take_path<'a>(cursor: &mut Cursor<'a>) -> Result<&'a str, CommandError> {
    let before = *cursor;
    if !cursor.eat("<") {
        return Err(before.error());
    }
    let (mut is_quoted, mut is_escaped) = (false, false);
    for (index, c) in cursor.rest().char_indices() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            '>' if !is_quoted => {
                if index + 2 > PATH_BYTES_MAX {
                    return Err(before.error());
                }
                let inner = cursor.take(index);
                cursor.eat(">");
                return Ok(inner);
            }
            _ => {}
        }
    }
    Err(before.error())
}

/// Parses what is between the brackets of `Path = "<" [ A-d-l ":" ] Mailbox ">"`.
///
/// The source route is checked and dropped: RFC 5321 §4.1.1.3 and appendix C.
pub(crate) fn mailbox(text: &str, is_utf8: bool, syntax: Syntax) -> Result<Mailbox, CommandError> {
    let mut cursor = Cursor::new(text);
    if text.starts_with('@') {
        let route = cursor.take_while(|c| c != ':');
        let is_route = route.split(',').all(|hop| {
            hop.strip_prefix('@').is_some_and(|domain| domain_name(domain, is_utf8).is_some())
        });
        if !is_route || !cursor.eat(":") {
            return Err(Cursor::new(text).error());
        }
    }
    // A quoted localpart may hold "@", a domain or literal may not.
    let (localpart, host) = cursor.rest().rsplit_once('@').ok_or_else(|| cursor.error())?;
    if !is_utf8 && !localpart.is_ascii() {
        return Err(CommandError::LocalpartNeedsUtf8);
    }
    let host = host_name(host, is_utf8).ok_or_else(|| cursor.error())?;
    let localpart = Localpart::parse(localpart).map_err(|_| cursor.error())?;
    if syntax.is_pedantic && localpart.as_str().len() > PEDANTIC_LOCALPART_BYTES_MAX {
        return Err(cursor.error());
    }
    Ok(Mailbox { localpart, host })
}

/// `Domain / address-literal`. RFC 5321 §4.1.2, §4.1.3.
pub(crate) fn host_name(text: &str, is_utf8: bool) -> Option<Host> {
    match text.strip_prefix('[') {
        Some(literal) => address_literal(literal.strip_suffix(']')?).map(Host::Ip),
        None => domain_name(text, is_utf8).map(Host::Domain),
    }
}

/// `Domain = sub-domain *("." sub-domain)` (RFC 5321 §4.1.2), with U-labels where SMTPUTF8 allows
/// them (RFC 6531 §3.3). A last dot is not in that grammar.
pub(crate) fn domain_name(text: &str, is_utf8: bool) -> Option<Domain> {
    if (!is_utf8 && !text.is_ascii()) || text.ends_with('.') {
        return None;
    }
    Domain::parse_host(text).ok()
}

/// `IPv4-address-literal / IPv6-address-literal`; no other tag is registered. RFC 5321 §4.1.3.
fn address_literal(text: &str) -> Option<IpAddr> {
    match text.split_at_checked("IPv6:".len()) {
        Some((tag, ip)) if tag.eq_ignore_ascii_case("IPv6:") => {
            ip.parse::<Ipv6Addr>().ok().map(IpAddr::V6)
        }
        _ => text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOSE: Syntax = Syntax { is_pedantic: false, is_submission: false };
    const STRICT: Syntax = Syntax { is_pedantic: true, is_submission: false };

    /// `Err("")` is a syntax error; other errors by name.
    #[track_caller]
    fn check(text: &str, is_utf8: bool, want: Result<&str, &str>) {
        let mut cursor = Cursor::new(text);
        let got = take_path(&mut cursor).and_then(|inner| {
            cursor.end()?;
            mailbox(inner, is_utf8, LOOSE)
        });
        let got = got.map(|mailbox| mailbox.to_string()).map_err(|error| match error {
            CommandError::LocalpartNeedsUtf8 => "utf8",
            _ => "",
        });
        assert_eq!(got.as_deref().map_err(|e| *e), want, "{text}");
    }

    /// RFC 5321 §4.1.2, §4.1.3, §4.5.3.1.3; RFC 6531 §3.3.
    #[test]
    fn paths_are_parsed_or_refused() {
        let domain = format!("{}.{}.{}", "d".repeat(63), "d".repeat(63), "d".repeat(63));
        let longest = format!("<{}@{domain}>", "a".repeat(256 - 3 - domain.len()));
        let too_long = longest.replacen('a', "aa", 1);
        // Valid.
        check("<mjl@Example.org>", false, Ok("mjl@example.org"));
        check("<\"a>\\\"@b\"@example.org>", false, Ok("\"a>\\\"@b\"@example.org"));
        check("<mjl@[192.0.2.1]>", false, Ok("mjl@[192.0.2.1]"));
        check("<mjl@[IPv6:2001:db8::1]>", false, Ok("mjl@[IPv6:2001:db8::1]"));
        check("<☕@bücher.example>", true, Ok("☕@bücher.example"));
        check("<mjl@xn--bcher-kva.example>", false, Ok("mjl@bücher.example"));
        check("<@a.example,@b.example:mjl@example.org>", false, Ok("mjl@example.org"));
        // At the edge of valid.
        check("<\"\"@example.org>", false, Ok("\"\"@example.org"));
        check(&longest, false, Ok(longest.trim_matches(['<', '>'])));
        // Just past the edge.
        check(&too_long, false, Err(""));
        check("<☕@example.org>", false, Err("utf8"));
        check("<mjl@bücher.example>", false, Err(""));
        check("<mjl@example.org.>", false, Err(""));
        check("<mjl@a_b.example>", false, Err(""));
        check("<mjl@[2001:db8::1]>", false, Err(""));
        check("<mjl@[IPv6:192.0.2.1]>", false, Err(""));
        check("<mjl@[TCP:x]>", false, Err(""));
        check("<@a.example,b.example:mjl@example.org>", false, Err(""));
        // Never valid.
        for bad in ["", "<", "<>", "mjl@example.org", "<mjl>", "<mjl@>", "<@example.org>"] {
            check(bad, false, Err(""));
        }
        for bad in ["<a b@x.example>", "<\"a@x.example>", "<a@127.0.0.1>", "<a@x.example>>"] {
            check(bad, false, Err(""));
        }
    }

    /// RFC 5321 §4.5.3.1.1.
    #[test]
    fn a_localpart_is_at_most_64_bytes_when_pedantic() {
        let with = |bytes| format!("{}@example.org", "a".repeat(bytes));
        assert!(mailbox(&with(64), false, STRICT).is_ok());
        assert!(mailbox(&with(65), false, STRICT).is_err());
        assert!(mailbox(&with(128), false, LOOSE).is_ok());
        assert!(mailbox(&with(129), false, LOOSE).is_err());
    }
}
