//! Address lists. RFC 5322 §3.4, §4.4.

use mox_base::{Address, Domain, Localpart};

use crate::bytes::head;
use crate::encoded_word::decode_header;
use crate::lex::{Lexer, is_wsp};
use crate::limits::FIELD_BYTES_MAX;

/// One item of an address list as IMAP's ENVELOPE has it. RFC 9051 §7.5.2.
///
/// Everything is raw: encoded-words are not decoded, only quoting, comments and folding are gone.
/// The source route (`adl`) is obsolete and always NIL, so it is not kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EnvelopeAddress {
    /// `display-name`, or the comment that older software puts after the address.
    pub name: Option<Box<[u8]>>,
    /// The localpart without quoting; the name of the group at its start, `None` at its end.
    pub mailbox: Option<Box<[u8]>>,
    /// The domain; `None` marks the start or end of a group. Empty where it is missing.
    pub host: Option<Box<[u8]>>,
}

impl EnvelopeAddress {
    /// Whether this is no address but the start or end of a group.
    #[must_use]
    pub fn is_group_marker(&self) -> bool {
        self.host.is_none()
    }

    /// The address, if it is a valid one.
    #[must_use]
    pub fn address(&self) -> Option<Address> {
        let text = |bytes: Option<&[u8]>| std::str::from_utf8(bytes?).ok().map(str::to_owned);
        let localpart = Localpart::from_decoded(&text(self.mailbox.as_deref())?).ok()?;
        let domain = Domain::parse(&text(self.host.as_deref())?).ok()?;
        Some(Address { localpart, domain })
    }
}

/// An address of a header, decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamedAddress {
    /// The display name, decoded; empty if there is none.
    pub name: String,
    /// The address, if it is one to which mail could be sent.
    pub address: Option<Address>,
}

/// Parses an `address-list` leniently; at most `max` items.
///
/// Never fails: what is no address becomes one without host, stray separators are skipped. Takes
/// time linear in the value.
#[must_use]
pub fn parse_address_list(value: &[u8], max: usize) -> Vec<EnvelopeAddress> {
    parse_list(value, max).items
}

fn parse_list(value: &[u8], max: usize) -> List {
    let mut list = List { items: Vec::new(), max, in_group: false, is_whole: true };
    let mut lexer = Lexer::new(value);
    while lexer.peek().is_some() && list.items.len() < max {
        parse_item(&mut lexer, &mut list);
    }
    list.is_whole &= lexer.peek().is_none();
    if list.in_group {
        list.push(None, None, None);
    }
    list
}

struct List {
    items: Vec<EnvelopeAddress>,
    max: usize,
    in_group: bool,
    /// Whether nothing was dropped that another reader could take for an address.
    is_whole: bool,
}

impl List {
    fn push(&mut self, name: Option<&[u8]>, mailbox: Option<&[u8]>, host: Option<&[u8]>) {
        if self.items.len() < self.max {
            let boxed = |text: Option<&[u8]>| text.map(|text| head(text, FIELD_BYTES_MAX).into());
            let name = name.filter(|name| !name.is_empty());
            let (name, mailbox, host) = (boxed(name), boxed(mailbox), boxed(host));
            self.items.push(EnvelopeAddress { name, mailbox, host });
        } else {
            self.is_whole = false;
        }
    }

    /// Whether the last item is this address.
    fn ends_with(&self, mailbox: &[u8], host: &[u8]) -> bool {
        let is_same = |last: &EnvelopeAddress| {
            last.mailbox.as_deref() == Some(mailbox)
                && last.host.as_deref().is_some_and(|known| known.eq_ignore_ascii_case(host))
        };
        self.items.last().is_some_and(is_same)
    }
}

/// Words before an address or a separator: a `phrase` whose last words may be a localpart.
#[derive(Default)]
struct Words {
    phrase: Vec<u8>,
    /// Where in `phrase` the words start.
    starts: Vec<usize>,
    /// Whether the next word stands right behind the last one.
    is_glued: bool,
}

impl Words {
    fn start_word(&mut self) {
        if !self.is_glued {
            if !self.phrase.is_empty() {
                self.phrase.push(b' ');
            }
            self.starts.push(self.phrase.len());
        }
        self.is_glued = true;
    }

    /// Takes the last word off the phrase, with those that a dot joins to it: the obsolete
    /// `local-part = word *("." word)` allows blanks between them (RFC 5322 §4.4).
    fn take_localpart(&mut self) -> Vec<u8> {
        let mut words: Vec<Vec<u8>> = Vec::new();
        while let Some(start) = self.starts.pop() {
            let word = self.phrase.split_off(start);
            self.phrase.truncate(start.saturating_sub(1));
            let is_joined = word.starts_with(b".") || self.phrase.ends_with(b".");
            words.push(word);
            if !is_joined {
                break;
            }
        }
        words.reverse();
        words.concat()
    }
}

/// Reads up to and including the next `,` or `;`, or to the end.
fn parse_item(lexer: &mut Lexer<'_>, list: &mut List) {
    let mut words = Words::default();
    let mut comment = None;
    loop {
        let (had_blank, found) = lexer.cfws();
        words.is_glued &= !had_blank;
        comment = found.or(comment);
        let Some(byte) = lexer.peek() else {
            return push_bare(list, &words, comment);
        };
        match byte {
            b',' | b';' => {
                lexer.bump();
                push_bare(list, &words, comment);
                if byte == b';' && list.in_group {
                    list.in_group = false;
                    list.push(None, None, None);
                }
                return;
            }
            b':' => {
                lexer.bump();
                if !list.in_group && !words.phrase.is_empty() {
                    list.in_group = true;
                    list.push(None, Some(&words.phrase), None);
                } else {
                    list.is_whole = false;
                }
                return;
            }
            b'<' => {
                let (mailbox, host) = parse_angle_addr(lexer, &mut list.is_whole);
                list.push(Some(&words.phrase), Some(&mailbox), Some(&host));
                return skip_to_separator(lexer, list);
            }
            b'@' if !words.phrase.is_empty() => {
                let mailbox = words.take_localpart();
                let (host, after) = parse_domain(lexer);
                let name = Some(words.phrase.as_slice()).filter(|name| !name.is_empty());
                let name = name.or(after).or(comment);
                list.push(name, Some(&mailbox), Some(&host));
                return skip_to_separator(lexer, list);
            }
            b'"' => {
                words.start_word();
                lexer.quoted_string(&mut words.phrase);
            }
            b'>' | b'@' => {
                list.is_whole = false;
                lexer.bump();
            }
            _ => {
                words.start_word();
                words.phrase.extend_from_slice(lexer.take_while(is_phrase));
            }
        }
    }
}

/// Bytes of an atom, a dot, or an obsolete phrase; 8-bit as of RFC 6532 §3.2.
fn is_phrase(byte: u8) -> bool {
    !is_wsp(byte) && !matches!(byte, b',' | b';' | b':' | b'<' | b'>' | b'@' | b'"' | b'(')
}

/// Words without an address: a localpart that lacks its domain.
fn push_bare(list: &mut List, words: &Words, comment: Option<&[u8]>) {
    if !words.phrase.is_empty() {
        list.push(comment, Some(&words.phrase), Some(b""));
    }
}

/// Steps over what follows an address, up to and including its separator.
fn skip_to_separator(lexer: &mut Lexer<'_>, list: &mut List) {
    let mut dropped = Vec::new();
    loop {
        lexer.cfws();
        match lexer.peek() {
            None => return,
            Some(b',') => return lexer.bump(),
            Some(b';') => {
                lexer.bump();
                if list.in_group {
                    list.in_group = false;
                    list.push(None, None, None);
                }
                return;
            }
            Some(b'"') => {
                list.is_whole = false;
                dropped.clear();
                lexer.quoted_string(&mut dropped);
            }
            // A missing comma between two angle addresses: the name is lost, the address is not. Or
            // an address for a name, unquoted, as many programs write it: `a@b <a@b>`. If both are
            // the same, every reader finds the same.
            Some(b'<') => {
                let (mailbox, host) = parse_angle_addr(lexer, &mut list.is_whole);
                if !list.ends_with(&mailbox, &host) {
                    list.push(None, Some(&mailbox), Some(&host));
                }
            }
            Some(_) => {
                list.is_whole = false;
                lexer.bump();
            }
        }
    }
}

/// `angle-addr`, whose `<` is next, with an obsolete route dropped (RFC 5322 §4.4).
///
/// Words that neither a dot nor an at sign joins are taken as one, which is not the whole truth.
fn parse_angle_addr(lexer: &mut Lexer<'_>, is_whole: &mut bool) -> (Vec<u8>, Vec<u8>) {
    lexer.bump();
    lexer.cfws();
    if lexer.peek() == Some(b'@') {
        lexer.take_while(|b| !matches!(b, b':' | b'>'));
        lexer.eat(b':');
    }
    let (mut text, mut last_at) = (Vec::new(), None);
    loop {
        let (had_blank, _) = lexer.cfws();
        let joins = |byte: Option<&u8>| matches!(byte, None | Some(b'.' | b'@' | b'>'));
        *is_whole &= !had_blank || joins(text.last()) || joins(lexer.peek().as_ref());
        match lexer.peek() {
            None | Some(b',' | b';') => {
                *is_whole = false;
                break;
            }
            Some(b'>') => {
                lexer.bump();
                break;
            }
            Some(b'"') => lexer.quoted_string(&mut text),
            Some(b'@') => {
                last_at = Some(text.len());
                text.push(b'@');
                lexer.bump();
            }
            Some(byte) => {
                text.push(byte);
                lexer.bump();
            }
        }
    }
    match last_at {
        Some(at) => {
            let host = text.split_off(at + 1);
            text.truncate(at);
            (text, host)
        }
        None => (text, Vec::new()),
    }
}

/// `"@" domain`, whose `@` is next, and the comment after it.
fn parse_domain<'a>(lexer: &mut Lexer<'a>) -> (Vec<u8>, Option<&'a [u8]>) {
    lexer.bump();
    let mut host = Vec::new();
    let mut comment = None;
    loop {
        let (had_blank, found) = lexer.cfws();
        comment = found.or(comment);
        match lexer.peek() {
            Some(b'[') => {
                host.extend_from_slice(lexer.take_while(|b| !matches!(b, b']' | b',' | b'>')));
                if lexer.eat(b']') {
                    host.push(b']');
                }
            }
            // `dot-atom` or obsolete `atom *("." atom)`: a blank without a dot ends it.
            Some(byte) if is_phrase(byte) => {
                if had_blank && !host.is_empty() && byte != b'.' && !host.ends_with(b".") {
                    return (host, comment);
                }
                host.extend_from_slice(lexer.take_while(|b| is_phrase(b) && b != b'['));
            }
            _ => return (host, comment),
        }
    }
}

/// Decodes the addresses of a list; members of groups are given as the others, markers are not.
///
/// An address that is not valid has its name only.
#[must_use]
pub fn decode_addresses(list: &[EnvelopeAddress]) -> Vec<NamedAddress> {
    list.iter().filter(|item| !item.is_group_marker()).map(decode_address).collect()
}

fn decode_address(item: &EnvelopeAddress) -> NamedAddress {
    let name = item.name.as_deref().map(decode_header).unwrap_or_default();
    NamedAddress { name, address: item.address() }
}

/// Why the author of a message cannot be told from its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FromError {
    /// No From field (RFC 5322 §3.6 wants one).
    NoField,
    /// More than one: a signature covers the last, people are shown the first.
    ManyFields,
    /// No address in the field.
    NoAddress,
    /// More than one address.
    ManyAddresses,
    /// The one address is not valid.
    BadAddress,
}

impl std::fmt::Display for FromError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NoField => "message has no From header",
            Self::ManyFields => "message has more than one From header",
            Self::NoAddress => "From header has no address",
            Self::ManyAddresses => "From header has more than one address",
            Self::BadAddress => "From header has an invalid address",
        })
    }
}

impl std::error::Error for FromError {}

/// The one address of the one From field of a header section, as DMARC needs it.
///
/// RFC 7489 §6.6.1: messages with several From fields, or with several addresses of several
/// domains, have no author domain; we refuse any but exactly one. Other readers of addresses are
/// lenient in other ways than ours: a field of which something would have to be passed over, or
/// with characters at which some of them stop reading, has none either.
pub fn from_address(section: &[u8]) -> Result<Address, FromError> {
    let mut found = crate::header::fields(section).filter(|field| field.is("From"));
    let field = found.next().ok_or(FromError::NoField)?;
    if found.next().is_some() {
        return Err(FromError::ManyFields);
    }
    // Two markers of a group, an address, and one more to see that there are many.
    let list = parse_list(field.value, 5);
    let mut addresses = list.items.iter().filter(|item| !item.is_group_marker());
    let first = addresses.next().ok_or(FromError::NoAddress)?;
    if addresses.next().is_some() {
        return Err(FromError::ManyAddresses);
    }
    if !list.is_whole || has_bare_control(field.value) {
        return Err(FromError::BadAddress);
    }
    first.address().ok_or(FromError::BadAddress)
}

/// Whether there are control characters that neither fold a line nor indent it.
fn has_bare_control(value: &[u8]) -> bool {
    let mut bytes = value.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        let is_bare = match byte {
            b'\t' | b'\n' => false,
            b'\r' => bytes.peek() != Some(&b'\n'),
            _ => byte.is_ascii_control(),
        };
        if is_bare {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(part: Option<&[u8]>) -> String {
        part.map_or_else(|| "NIL".to_owned(), |b| String::from_utf8_lossy(b).into_owned())
    }

    #[track_caller]
    fn check(value: &str, want: &str) {
        let got: Vec<String> = parse_address_list(value.as_bytes(), 100)
            .iter()
            .map(|a| {
                let (name, host) = (text(a.name.as_deref()), text(a.host.as_deref()));
                format!("{name}|{}|{host}", text(a.mailbox.as_deref()))
            })
            .collect();
        assert_eq!(got.join(" / "), want, "{value:?}");
    }

    /// RFC 5322 §3.4, appendix A.1.
    #[test]
    fn address_lists_are_parsed() {
        // Valid.
        check("jdoe@machine.example", "NIL|jdoe|machine.example");
        check("John Doe <jdoe@machine.example>", "John Doe|jdoe|machine.example");
        check("\"Joe Q. Public\" <john.q.public@e.com>", "Joe Q. Public|john.q.public|e.com");
        check("<boss@nil.test>, \"G \\\"B\\\" S\" <s@x>", "NIL|boss|nil.test / G \"B\" S|s|x");
        check("=?utf-8?q?a?= b <c@d>", "=?utf-8?q?a?= b|c|d");
        check("\"a b\"@c.org", "NIL|a b|c.org");
        check("a@[127.0.0.1]", "NIL|a|[127.0.0.1]");
        check("a@b, ,c@d,", "NIL|a|b / NIL|c|d");
        check(
            "A Group:Ed <joe@w.test>,j@o.test;, x@y",
            "NIL|A Group|NIL / Ed|joe|w.test / NIL|j|o.test / NIL|NIL|NIL / NIL|x|y",
        );
        check("Undisclosed recipients:;", "NIL|Undisclosed recipients|NIL / NIL|NIL|NIL");
    }

    /// RFC 5322 §4.4, appendix A.5 and A.6.
    #[test]
    fn obsolete_and_broken_lists_are_parsed() {
        // At the edge.
        check("joe@x.org (Joe (the) Smith)", "Joe (the) Smith|joe|x.org");
        check("Pete(A nice \\) chap) <pete(his)@silly.test(host)>", "Pete|pete|silly.test");
        check("<@a.test,@b.test:jdoe@c.test>", "NIL|jdoe|c.test");
        check("joe . q @ x . org", "NIL|joe.q|x.org");
        check("First M. Last <a@b>", "First M. Last|a|b");
        check("a@b\r\n (c)", "c|a|b");
        // Past it.
        check("root", "NIL|root|");
        check("Joe <joe>", "Joe|joe|");
        check("Joe joe@x.org", "Joe|joe|x.org");
        check("Joe <a@b@c>", "Joe|a@b|c");
        check("Joe <joe@x.org", "Joe|joe|x.org");
        check("a <b@c> <d@e>", "a|b|c / NIL|d|e");
        check("a@b <a@B>, c@d <e@d>", "NIL|a|b / NIL|c|d / NIL|e|d");
        check("Group: a@b", "NIL|Group|NIL / NIL|a|b / NIL|NIL|NIL");
        check("<>", "NIL||");
        // Never any.
        check("", "");
        check(",;,", "");
        check("(comment", "");
    }

    #[test]
    fn at_most_so_many_are_kept() {
        assert_eq!(parse_address_list(b"a@b,c@d,e@f", 2).len(), 2);
        let long = format!("<{}@b>", "a".repeat(FIELD_BYTES_MAX + 1));
        let list = parse_address_list(long.as_bytes(), 1);
        assert_eq!(list[0].mailbox.as_ref().unwrap().len(), FIELD_BYTES_MAX);
        assert_eq!(decode_addresses(&list)[0].address, None);
    }

    #[test]
    fn names_and_addresses_are_decoded() {
        let list = parse_address_list(
            b"=?iso-8859-2?q?Ma=B3gorzata?= <m@B\xc3\xbccher.example>, x@[1.2.3.4], g:;",
            10,
        );
        let got = decode_addresses(&list);
        assert_eq!(got.len(), 2);
        assert_eq!(got[0].name, "Małgorzata");
        assert_eq!(got[0].address.as_ref().unwrap().to_string(), "m@bücher.example");
        assert_eq!(got[1], NamedAddress::default());
    }

    #[track_caller]
    fn check_from(section: &str, want: Result<&str, FromError>) {
        let got = from_address(section.as_bytes()).map(|a| a.to_string());
        assert_eq!(got.as_deref().map_err(|e| *e), want, "{section:?}");
    }

    #[test]
    fn only_one_author_is_an_author() {
        check_from("From: A <a@b.example>\r\n\r\n", Ok("a@b.example"));
        check_from("FROM: \" \"@host.example\r\n\r\n", Ok("\" \"@host.example"));
        check_from("From: g: a@b.example;\r\n\r\n", Ok("a@b.example"));
        check_from("To: a@b\r\n\r\nFrom: a@b\r\n", Err(FromError::NoField));
        check_from("From: a@b\r\nFrom: a@b\r\n\r\n", Err(FromError::ManyFields));
        check_from("From: g:;\r\n\r\n", Err(FromError::NoAddress));
        check_from("From: a@b.c, d@e.f\r\n\r\n", Err(FromError::ManyAddresses));
        check_from("From: a\r\n\r\n", Err(FromError::BadAddress));
    }

    /// The last of these had an author once, though more addresses followed.
    #[test]
    fn what_is_passed_over_leaves_no_author() {
        let refused = |value: &str| {
            check_from(&format!("From: {value}\r\n\r\n"), Err(FromError::BadAddress));
        };
        check_from("From: A (b) <a . b@c.d . (e) f> (g)\r\n\r\n", Ok("a.b@c.d.f"));
        check_from("From: a@b.c <a@B.c>\r\n\r\n", Ok("a@b.c"));
        check_from("From: a@b.c <A@b.c>\r\n\r\n", Err(FromError::ManyAddresses));
        check_from("From: a@b.c <d@b.c>\r\n\r\n", Err(FromError::ManyAddresses));
        check_from("From: , a@b.c ,\r\n\t\r\n\r\n", Ok("a@b.c"));
        refused("a@b.c@d.e");
        refused("a@b.c d@e.f");
        refused("a@b.c \"d\"");
        refused("<a@b.c> d");
        refused("<a@b.c d.e>");
        refused("<a@b.c");
        refused(":a@b.c");
        refused("g: h: a@b.c;");
        refused("> a@b.c");
        refused("a@b.c\rFrom: d@e.f");
        refused("\0 <a@b.c>");
        refused("\u{7f} <a@b.c>");
        refused("g:;, h:;, a@b.c, d@e.f");
    }

    proptest! {
        #[test]
        fn any_list_is_parsed_and_groups_are_closed(value in "[a@<>:;,\"\\\\() .\\[\\]]{0,40}") {
            let list = parse_address_list(value.as_bytes(), 1_000);
            let starts = list.iter().filter(|a| a.host.is_none() && a.mailbox.is_some()).count();
            let ends = list.iter().filter(|a| a.host.is_none() && a.mailbox.is_none()).count();
            prop_assert_eq!(starts, ends);
        }
    }
}
