//! IMAP URLs of messages and their parts, as CATENATE and URLAUTH use them.
//!
//! Source: RFC 5092 §11, RFC 4469 §3, RFC 4467 §9. URLs of servers, mailboxes and searches are not
//! read: no command takes them.

use std::fmt;

use mox_base::{DateTime, Uid, UidValidity, UnixSeconds};

use super::{Partial, Section};
use crate::{parser, print};

/// The longest URL, in bytes. Ours; RFC 5092 sets no bound.
pub const URL_BYTES_MAX: usize = 8 * 1_024;

/// The longest verifier, in hexadecimal digits. Ours; RFC 5092 §11 asks for 32 at least.
pub const TOKEN_DIGITS_MAX: usize = 256;

/// The fewest digits of a verifier. RFC 5092 §11 (`enc-urlauth`).
const TOKEN_DIGITS_MIN: usize = 32;

/// A URL of a message or of a part of it. RFC 5092 §5.
///
/// `imessagepart = imailbox-ref iuid [isection] [ipartial]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImapUrl {
    /// Whose and where; `None` for a reference relative to the session. RFC 5092 §7.
    pub server: Option<UrlServer>,
    /// The mailbox; `None` for the selected one.
    pub mailbox: Option<String>,
    /// The UID validity that the UID is of.
    pub uidvalidity: Option<UidValidity>,
    /// The message.
    pub uid: Uid,
    /// Which section of it.
    pub section: Section,
    /// Which bytes of that.
    pub partial: Option<UrlPartial>,
    /// Who may use it.
    pub auth: Option<UrlAuth>,
}

/// `iserver = [iuserinfo "@"] host [":" port]`. RFC 5092 §3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlServer {
    /// The owner of what the URL names.
    pub user: Option<String>,
    /// `;AUTH=`: how to log in, `*` for any way.
    pub mechanism: Option<String>,
    /// Name or address, in lower case; IPv6 addresses in brackets.
    pub host: String,
    /// Its port, if not 143.
    pub port: Option<u16>,
}

/// `partial-range = number ["." nz-number]`. RFC 5092 §11.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UrlPartial {
    /// First byte wanted.
    pub offset: u64,
    /// Bytes wanted at most, not zero; `None` for all to the end.
    pub count: Option<u64>,
}

impl UrlPartial {
    /// The same for FETCH.
    #[must_use]
    pub fn to_partial(self) -> Partial {
        Partial { offset: self.offset, count: self.count.unwrap_or(u64::MAX) }
    }
}

/// `iurlauth = iurlauth-rump [iua-verifier]`. RFC 4467 §3, RFC 5092 §6.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlAuth {
    /// From when on it is not valid any more.
    pub expire: Option<UnixSeconds>,
    /// Who may use it.
    pub access: UrlAccess,
    /// What proves that the owner allowed it; a rump has none.
    pub verifier: Option<UrlVerifier>,
}

/// `access`. RFC 4467 §3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UrlAccess {
    /// `submit+`: a server that submits mail for this user.
    Submit(String),
    /// `user+`: this user.
    User(String),
    /// `authuser`: whoever is logged in, but not as anonymous.
    AuthUser,
    /// `anonymous`: anybody.
    Anonymous,
}

/// `iua-verifier = ":" uauth-mechanism ":" enc-urlauth`. RFC 5092 §6.1.1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlVerifier {
    /// The mechanism in upper case.
    pub mechanism: String,
    /// The token, decoded.
    pub token: Vec<u8>,
}

/// Why a text is no URL of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UrlError {
    /// Longer than [`URL_BYTES_MAX`].
    TooLong,
    /// A character that must be encoded, or a bad encoding.
    BadCharacter,
    /// Not of the scheme `imap`, or of no form of reference that is known.
    BadReference,
    /// The user or the host.
    BadServer,
    /// The mailbox or its UID validity.
    BadMailbox,
    /// No message, but a mailbox or a search.
    NoMessage,
    /// The section.
    BadSection,
    /// The range of bytes.
    BadPartial,
    /// What it says of who may use it.
    BadAuth,
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "url too long",
            Self::BadCharacter => "bad character in url",
            Self::BadReference => "not an imap url",
            Self::BadServer => "bad server in url",
            Self::BadMailbox => "bad mailbox in url",
            Self::NoMessage => "no message in url",
            Self::BadSection => "bad section in url",
            Self::BadPartial => "bad partial in url",
            Self::BadAuth => "bad urlauth in url",
        })
    }
}

impl std::error::Error for UrlError {}

impl ImapUrl {
    /// Parses a whole URL, absolute or relative. Keywords are read in any case.
    ///
    /// `imapurl = "imap://" iserver ipath-query`, `inetwork-path = "//" iserver [ipath-query]`,
    /// `iabsolute-path = "/" [icommand]`, and of `irelative-path` what begins with `;UID=`, which is
    /// of the selected mailbox.
    ///
    /// Deviation: RFC 5092 §7.2 wants no relative paths, and by RFC 4469 §3 such a URL would lose the
    /// name of the selected mailbox. What begins with `;UID=` is taken all the same: there is one
    /// thing that it can mean.
    ///
    /// # Errors
    ///
    /// See [`UrlError`].
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        if text.len() > URL_BYTES_MAX {
            return Err(UrlError::TooLong);
        }
        let mut rest = Cursor(text);
        if rest.word("imap://") || rest.word("//") {
            let (server, path) = rest.0.split_once('/').ok_or(UrlError::NoMessage)?;
            let server = UrlServer::parse(server)?;
            return Self::parse_path(Cursor(path), Some(server));
        }
        if rest.word("/") {
            return Self::parse_path(rest, None);
        }
        if rest.word(";UID=") {
            return Self::parse_message(rest, None, None, None);
        }
        Err(UrlError::BadReference)
    }

    /// `imailbox-ref iuid …`: `imailbox-ref = enc-mailbox [";UIDVALIDITY=" nz-number]`
    fn parse_path(mut rest: Cursor<'_>, server: Option<UrlServer>) -> Result<Self, UrlError> {
        // A mailbox has no `;` of its own, and the `/` before `;UID=` is not of its name.
        let name = rest.until(|byte| byte == b';');
        let mut uidvalidity = None;
        let name = if rest.word(";UIDVALIDITY=") {
            let number = rest.number32().and_then(UidValidity::new).ok_or(UrlError::BadMailbox)?;
            uidvalidity = Some(number);
            if !rest.word("/") {
                return Err(UrlError::NoMessage);
            }
            name
        } else {
            name.strip_suffix('/').ok_or(UrlError::NoMessage)?
        };
        let mailbox = decode(name, is_bchar)?;
        if mailbox.is_empty() {
            return Err(UrlError::BadMailbox);
        }
        if !rest.word(";UID=") {
            return Err(UrlError::NoMessage);
        }
        Self::parse_message(rest, server, Some(mailbox), uidvalidity)
    }

    /// What comes after `;UID=`.
    fn parse_message(
        mut rest: Cursor<'_>,
        server: Option<UrlServer>,
        mailbox: Option<String>,
        uidvalidity: Option<UidValidity>,
    ) -> Result<Self, UrlError> {
        let uid = rest.number32().and_then(Uid::new).ok_or(UrlError::NoMessage)?;
        let mut section = Section::default();
        let has_section = rest.word("/;SECTION=");
        if has_section {
            let text = rest.until(|byte| byte == b';');
            // The `/` before `;PARTIAL=` is not of the section.
            let text = match rest.is_at(";PARTIAL=") {
                true => text.strip_suffix('/').ok_or(UrlError::BadSection)?,
                false => text,
            };
            let text = decode(text, is_bchar)?;
            section = parser::section_spec(text.as_bytes()).ok_or(UrlError::BadSection)?;
        }
        let partial_word = if has_section { ";PARTIAL=" } else { "/;PARTIAL=" };
        let partial = match rest.word(partial_word) {
            true => Some(UrlPartial::parse(&mut rest)?),
            false => None,
        };
        let auth = UrlAuth::parse(&mut rest)?;
        if !rest.0.is_empty() {
            return Err(UrlError::BadCharacter);
        }
        Ok(Self { server, mailbox, uidvalidity, uid, section, partial, auth })
    }
}

impl UrlServer {
    fn parse(text: &str) -> Result<Self, UrlError> {
        let (info, place) = match text.rsplit_once('@') {
            Some((info, place)) => (Some(info), place),
            None => (None, text),
        };
        let (mut user, mut mechanism) = (None, None);
        if let Some(info) = info {
            let mut info = Cursor(info);
            let name = decode(info.until(|byte| byte == b';'), is_achar)?;
            user = Some(name).filter(|name| !name.is_empty());
            if info.word(";AUTH=") {
                mechanism = Some(decode(info.0, is_achar)?).filter(|name| !name.is_empty());
            } else if !info.0.is_empty() {
                return Err(UrlError::BadServer);
            }
            // `iuserinfo = enc-user [iauth] / [enc-user] iauth`
            if user.is_none() && mechanism.is_none() {
                return Err(UrlError::BadServer);
            }
        }
        let host_end = match place.strip_prefix('[') {
            Some(inner) => inner.find(']').ok_or(UrlError::BadServer)? + 2,
            None => place.find(':').unwrap_or(place.len()),
        };
        let (host, port) = place.split_at_checked(host_end).ok_or(UrlError::BadServer)?;
        let port = match port.strip_prefix(':') {
            Some("") => None,
            Some(port) => {
                Some(digits(port).and_then(|port| port.parse().ok()).ok_or(UrlError::BadServer)?)
            }
            None if port.is_empty() => None,
            None => return Err(UrlError::BadServer),
        };
        let is_address = host.starts_with('[');
        let may = |byte: u8| match byte {
            b'[' | b']' | b':' => is_address,
            _ => byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'~'),
        };
        if host.is_empty() || !host.bytes().all(may) {
            return Err(UrlError::BadServer);
        }
        Ok(Self { user, mechanism, host: host.to_ascii_lowercase(), port })
    }
}

impl UrlPartial {
    fn parse(rest: &mut Cursor<'_>) -> Result<Self, UrlError> {
        let offset = rest.number64().ok_or(UrlError::BadPartial)?;
        let mut count = None;
        if rest.word(".") {
            let number = rest.number64().filter(|count| *count > 0);
            count = Some(number.ok_or(UrlError::BadPartial)?);
        }
        Ok(Self { offset, count })
    }
}

impl UrlAuth {
    /// `[";EXPIRE=" date-time] ";URLAUTH=" access [iua-verifier]`, or nothing.
    fn parse(rest: &mut Cursor<'_>) -> Result<Option<Self>, UrlError> {
        let mut expire = None;
        if rest.word(";EXPIRE=") {
            let time = date_time(rest.until(|byte| byte == b';'));
            expire = Some(time.ok_or(UrlError::BadAuth)?);
        }
        if !rest.word(";URLAUTH=") {
            // A time without anybody whom it binds says nothing.
            return if expire.is_none() { Ok(None) } else { Err(UrlError::BadAuth) };
        }
        let mut access = Cursor(rest.until(|byte| byte == b':'));
        let user = |text: &str| match decode(text, is_achar) {
            Ok(user) if !user.is_empty() => Ok(user),
            _ => Err(UrlError::BadAuth),
        };
        let access = if access.word("SUBMIT+") {
            UrlAccess::Submit(user(access.0)?)
        } else if access.word("USER+") {
            UrlAccess::User(user(access.0)?)
        } else if access.0.eq_ignore_ascii_case("AUTHUSER") {
            UrlAccess::AuthUser
        } else if access.0.eq_ignore_ascii_case("ANONYMOUS") {
            UrlAccess::Anonymous
        } else {
            return Err(UrlError::BadAuth);
        };
        let verifier = match rest.word(":") {
            true => Some(UrlVerifier::parse(rest)?),
            false => None,
        };
        Ok(Some(Self { expire, access, verifier }))
    }

    /// The URL without its verifier: what the token is made from. RFC 4467 §5.
    ///
    /// `text` is what this was parsed from; its spelling counts.
    #[must_use]
    pub fn rump<'a>(&self, text: &'a str) -> &'a str {
        let Some(verifier) = &self.verifier else { return text };
        let suffix = ":".len() + verifier.mechanism.len() + ":".len() + 2 * verifier.token.len();
        text.len().checked_sub(suffix).and_then(|end| text.get(..end)).unwrap_or_default()
    }
}

impl UrlVerifier {
    /// `uauth-mechanism = "INTERNAL" / 1*(ALPHA / DIGIT / "-" / ".")`, `enc-urlauth = 32*HEXDIG`
    fn parse(rest: &mut Cursor<'_>) -> Result<Self, UrlError> {
        let mechanism = rest.until(|byte| byte == b':');
        let may = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
        if mechanism.is_empty() || !mechanism.bytes().all(may) || !rest.word(":") {
            return Err(UrlError::BadAuth);
        }
        let text = std::mem::take(&mut rest.0);
        let is_fit = (TOKEN_DIGITS_MIN..=TOKEN_DIGITS_MAX).contains(&text.len());
        if !is_fit || !text.len().is_multiple_of(2) {
            return Err(UrlError::BadAuth);
        }
        let token: Option<Vec<u8>> =
            text.as_bytes().chunks(2).map(|pair| hex_byte(pair.first(), pair.get(1))).collect();
        let token = token.ok_or(UrlError::BadAuth)?;
        Ok(Self { mechanism: mechanism.to_ascii_uppercase(), token })
    }
}

/// The URL in its usual spelling, which parses to the same.
impl fmt::Display for ImapUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(server) = &self.server {
            write!(f, "imap://{server}")?;
        }
        if let Some(mailbox) = &self.mailbox {
            // `//` would begin a host.
            let (slash, rest) = match mailbox.strip_prefix('/') {
                Some(rest) => ("%2F", rest),
                None => ("", mailbox.as_str()),
            };
            write!(f, "/{slash}{}", encoded(rest, is_bchar))?;
            if let Some(uidvalidity) = self.uidvalidity {
                write!(f, ";UIDVALIDITY={uidvalidity}")?;
            }
            f.write_str("/")?;
        }
        write!(f, ";UID={}", self.uid)?;
        if self.section != Section::default() {
            let text = print::section_spec(&self.section);
            write!(f, "/;SECTION={}", encoded_bytes(&text, is_bchar))?;
        }
        if let Some(partial) = self.partial {
            write!(f, "/;PARTIAL={}", partial.offset)?;
            if let Some(count) = partial.count {
                write!(f, ".{count}")?;
            }
        }
        match &self.auth {
            Some(auth) => write!(f, "{auth}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for UrlServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(user) = &self.user {
            f.write_str(&encoded(user, is_achar))?;
        }
        if let Some(mechanism) = &self.mechanism {
            write!(f, ";AUTH={}", encoded(mechanism, is_achar))?;
        }
        if self.user.is_some() || self.mechanism.is_some() {
            f.write_str("@")?;
        }
        f.write_str(&self.host)?;
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for UrlAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(expire) = self.expire {
            write!(f, ";EXPIRE={}", DateTime::from_unix(expire).to_rfc3339())?;
        }
        f.write_str(";URLAUTH=")?;
        match &self.access {
            UrlAccess::Submit(user) => write!(f, "submit+{}", encoded(user, is_achar))?,
            UrlAccess::User(user) => write!(f, "user+{}", encoded(user, is_achar))?,
            UrlAccess::AuthUser => f.write_str("authuser")?,
            UrlAccess::Anonymous => f.write_str("anonymous")?,
        }
        let Some(verifier) = &self.verifier else { return Ok(()) };
        write!(f, ":{}:", verifier.mechanism)?;
        verifier.token.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What is left of a text. All methods look at each byte at most once.
struct Cursor<'a>(&'a str);

impl<'a> Cursor<'a> {
    fn is_at(&self, word: &str) -> bool {
        let start = self.0.as_bytes().get(..word.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(word.as_bytes()))
    }

    /// Takes a word of ASCII, in any case, if it is next.
    fn word(&mut self, word: &str) -> bool {
        let found = self.is_at(word);
        if found {
            self.0 = self.0.get(word.len()..).unwrap_or_default();
        }
        found
    }

    /// Everything before the first byte that satisfies `test`, which must be of ASCII.
    fn until(&mut self, test: impl Fn(u8) -> bool) -> &'a str {
        let at = self.0.bytes().position(test).unwrap_or(self.0.len());
        let (text, rest) = self.0.split_at_checked(at).unwrap_or((self.0, ""));
        self.0 = rest;
        text
    }

    fn number64(&mut self) -> Option<u64> {
        digits(self.until(|byte| !byte.is_ascii_digit())).and_then(|text| text.parse().ok())
    }

    fn number32(&mut self) -> Option<u32> {
        self.number64().and_then(|number| u32::try_from(number).ok())
    }
}

/// The text if it is a number: `parse` alone would take a sign.
fn digits(text: &str) -> Option<&str> {
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then_some(text)
}

/// `achar = uchar / "&" / "="`, `uchar = unreserved / sub-delims-sh / pct-encoded`. RFC 5092 §11.
fn is_achar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$'()*+,&=".contains(&byte)
}

/// `bchar = achar / ":" / "@" / "/"`. RFC 5092 §11.
fn is_bchar(byte: u8) -> bool {
    is_achar(byte) || matches!(byte, b':' | b'@' | b'/')
}

/// Takes away `%` encoding; RFC 5092 §8: what is encoded is UTF-8, and not NUL.
fn decode(text: &str, may_stand: fn(u8) -> bool) -> Result<String, UrlError> {
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        let byte = match byte {
            b'%' => hex_byte(bytes.next().as_ref(), bytes.next().as_ref())
                .filter(|byte| *byte != 0)
                .ok_or(UrlError::BadCharacter)?,
            byte if may_stand(byte) => byte,
            _ => return Err(UrlError::BadCharacter),
        };
        out.push(byte);
    }
    String::from_utf8(out).map_err(|_| UrlError::BadCharacter)
}

fn encoded(text: &str, may_stand: fn(u8) -> bool) -> String {
    encoded_bytes(text.as_bytes(), may_stand)
}

fn encoded_bytes(text: &[u8], may_stand: fn(u8) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text {
        if may_stand(*byte) {
            out.push(char::from(*byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Two hexadecimal digits.
fn hex_byte(high: Option<&u8>, low: Option<&u8>) -> Option<u8> {
    let digit = |byte: Option<&u8>| char::from(*byte?).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

/// `date-time` of RFC 3339 §5.6: `2026-11-05T08:15:30.25-05:00`. A fraction is passed over.
fn date_time(text: &str) -> Option<UnixSeconds> {
    let number = |from: usize, to: usize| digits(text.get(from..to)?)?.parse::<u16>().ok();
    let small = |from, to| number(from, to).and_then(|number| u8::try_from(number).ok());
    let is = |at: usize, byte: u8| {
        text.as_bytes().get(at).is_some_and(|b| b.eq_ignore_ascii_case(&byte))
    };
    let separators = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if !separators.iter().all(|(at, byte)| is(*at, *byte)) {
        return None;
    }
    let mut zone = Cursor(text.get(19..)?);
    if zone.word(".") {
        digits(zone.until(|byte| !byte.is_ascii_digit()))?;
    }
    let zone_minutes = if zone.0.eq_ignore_ascii_case("Z") {
        0
    } else {
        let (hours, minutes) = zone.0.get(1..)?.split_once(':')?;
        if hours.len() != 2 || minutes.len() != 2 {
            return None;
        }
        let number = |text| digits(text)?.parse::<i16>().ok();
        let offset = number(hours)? * 60 + number(minutes)?;
        match zone.0.as_bytes().first()? {
            b'+' => offset,
            b'-' => -offset,
            _ => return None,
        }
    };
    let time = DateTime {
        year: number(0, 4)?,
        month: small(5, 7)?,
        day: small(8, 10)?,
        hour: small(11, 13)?,
        minute: small(14, 16)?,
        second: small(17, 19)?,
        zone_minutes,
    };
    time.to_unix().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::types::SectionText;

    /// Parses, and prints to `want`.
    #[track_caller]
    fn check(text: &str, want: Result<&str, UrlError>) {
        let got = ImapUrl::parse(text).map(|url| url.to_string());
        assert_eq!(got.as_deref(), want.as_ref().map(|want| *want), "{text}");
    }

    /// RFC 5092 §5 and §7, with the examples of RFC 4469 §A.
    #[test]
    fn urls_of_messages_are_read() {
        use UrlError::*;
        let same = |text: &'static str| check(text, Ok(text));
        // Valid.
        same("imap://fred@example.com/INBOX;UIDVALIDITY=385759045/;UID=20");
        same("imap://;AUTH=*@example.com:993/a/b/;UID=20/;SECTION=1.2.HEADER");
        same("imap://fred;AUTH=PLAIN@[2001:db8::1]:143/x/;UID=1/;PARTIAL=5");
        same("/Drafts;UIDVALIDITY=385759045/;UID=20/;SECTION=HEADER/;PARTIAL=0.1024");
        same(";UID=20/;SECTION=1.MIME");
        same("/%C3%A9%20&%3B/;UID=1");
        check("/Drafts/;uid=2/;section=text", Ok("/Drafts/;UID=2/;SECTION=TEXT"));
        check("//fred@EXAMPLE.com:/x/;UID=1", Ok("imap://fred@example.com/x/;UID=1"));
        check(
            "/x/;UID=1/;SECTION=HEADER.FIELDS%20(subject%20to)",
            Ok("/x/;UID=1/;SECTION=HEADER.FIELDS%20(Subject%20To)"),
        );
        // At the edge of valid.
        same("/a/b:c@d/;UID=4294967295");
        let name = "x".repeat(URL_BYTES_MAX - "//;UID=1".len());
        check(&format!("/{name}/;UID=1"), Ok(&format!("/{name}/;UID=1")));
        // Just past it.
        check(&format!("/{name}x/;UID=1"), Err(TooLong));
        check("/x/;UID=4294967296", Err(NoMessage));
        check("/x/;UID=0", Err(NoMessage));
        check("/x;UIDVALIDITY=0/;UID=1", Err(BadMailbox));
        check("/x/;UID=1/;PARTIAL=0.0", Err(BadPartial));
        check("/x/;UID=1/;SECTION=1/", Err(BadSection));
        check("/x/;UID=1/;SECTION=MIME", Err(BadSection));
        check("/x/;UID=1/;SECTION=1;PARTIAL=1", Err(BadSection));
        check("/x/;UID=1;PARTIAL=1", Err(BadCharacter));
        check("imap://fred@example.com:65536/x/;UID=1", Err(BadServer));
        // Never valid.
        check("", Err(BadReference));
        check("http://example.com/x/;UID=1", Err(BadReference));
        check("x/;UID=1", Err(BadReference));
        check("imap://example.com", Err(NoMessage));
        check("imap://example.com/x", Err(NoMessage));
        check("imap://example.com/x?ALL", Err(NoMessage));
        check("imap://@example.com/x/;UID=1", Err(BadServer));
        check("imap://[::1/x/;UID=1", Err(BadServer));
        check("imap://fred@/x/;UID=1", Err(BadServer));
        check("//;UID=1", Err(NoMessage));
        check("///;UID=1", Err(BadServer));
        check("imap://fred@example.com//;UID=1", Err(BadMailbox));
        check("/x;UID=1", Err(NoMessage));
        check("/x y/;UID=1", Err(BadCharacter));
        check("/x%/;UID=1", Err(BadCharacter));
        check("/x%00/;UID=1", Err(BadCharacter));
        check("/%ff/;UID=1", Err(BadCharacter));
        check("/x/;UID=+1", Err(NoMessage));
        check("/x/;UID=1 ", Err(BadCharacter));
        check("/x/;UID=1/;SECTION=HEADER]", Err(BadCharacter));
    }

    /// RFC 4467 §3, RFC 5092 §6.1.
    #[test]
    fn urls_say_who_may_use_them() {
        use UrlError::*;
        let base = "imap://fred@example.com/INBOX/;UID=20";
        let token = "0123456789abcdef0123456789abcdef";
        let check = |rest: &str, want: Result<&str, UrlError>| {
            let want = want.map(|want| format!("{base}{want}"));
            check(&format!("{base}{rest}"), want.as_deref().map_err(|error| *error));
        };
        // Valid.
        for same in [";URLAUTH=anonymous", ";URLAUTH=authuser", ";URLAUTH=user+a%40b"] {
            check(same, Ok(same));
        }
        let signed = format!(";EXPIRE=2026-11-05T08:15:30Z;URLAUTH=submit+fred:INTERNAL:{token}");
        check(&signed, Ok(&signed));
        // At the edge of valid.
        let lower = format!(";urlauth=AUTHUSER:internal:{}", token.to_uppercase());
        check(&lower, Ok(&format!(";URLAUTH=authuser:INTERNAL:{token}")));
        check(
            ";EXPIRE=2026-11-05t03:15:30.25-05:00;URLAUTH=anonymous",
            Ok(";EXPIRE=2026-11-05T08:15:30Z;URLAUTH=anonymous"),
        );
        // Just past it.
        check(&format!(";URLAUTH=authuser:INTERNAL:{}", token.get(2..).unwrap()), Err(BadAuth));
        check(&format!(";URLAUTH=authuser:INTERNAL:{token}0"), Err(BadAuth));
        let long = "ab".repeat(TOKEN_DIGITS_MAX / 2 + 1);
        check(&format!(";URLAUTH=authuser:INTERNAL:{long}"), Err(BadAuth));
        // Never valid.
        check(";URLAUTH=", Err(BadAuth));
        check(";URLAUTH=user+", Err(BadAuth));
        check(";URLAUTH=nobody", Err(BadAuth));
        check(";URLAUTH=authuser:", Err(BadAuth));
        check(&format!(";URLAUTH=authuser::{token}"), Err(BadAuth));
        check(&format!(";URLAUTH=authuser:INTERNAL:g{}", token.get(1..).unwrap()), Err(BadAuth));
        check(";EXPIRE=2026-11-05T08:15:30Z", Err(BadAuth));
        check(";EXPIRE=2026-11-05;URLAUTH=anonymous", Err(BadAuth));
        check(";EXPIRE=2026-02-30T08:15:30Z;URLAUTH=anonymous", Err(BadAuth));
        check(";EXPIRE=2026-11-05T08:15:30+1:00;URLAUTH=anonymous", Err(BadAuth));
    }

    /// RFC 4467 §5: the token is made from all before it, as it is spelled.
    #[test]
    fn the_rump_is_the_text_before_the_token() {
        let rump = "imap://Fred@example.com/x/;UID=1;urlauth=anonymous";
        let text = format!("{rump}:internal:0123456789abcdef0123456789abcdef");
        let auth = |text: &str| ImapUrl::parse(text).unwrap().auth.unwrap();
        assert_eq!(auth(&text).rump(&text), rump);
        assert_eq!(auth(rump).rump(rump), rump);
    }

    fn section() -> impl Strategy<Value = Section> {
        let part = proptest::collection::vec(1_u32.., 0..4);
        let text = prop_oneof![
            Just(None),
            Just(Some(SectionText::Header)),
            Just(Some(SectionText::Text)),
            "[A-Z][a-z]{0,5}".prop_map(|name| Some(SectionText::HeaderFields(vec![name.into()]))),
            "[A-Z][a-z]{0,5}"
                .prop_map(|name| Some(SectionText::HeaderFieldsNot(vec![name.into()]))),
        ];
        (part, text).prop_map(|(part, text)| Section { part, text })
    }

    proptest! {
        /// What is printed parses to the same, whatever is in the names.
        #[test]
        fn a_printed_url_is_read_back(
            mailbox in "[^\\x00]{1,20}",
            user in proptest::option::of("[^\\x00]{1,20}"),
            numbers in (proptest::option::of(1_u32..), 1_u32..),
            section in section(),
            partial in proptest::option::of((any::<u64>(), proptest::option::of(1_u64..))),
            token in proptest::option::of(proptest::collection::vec(any::<u8>(), 16..40)),
        ) {
            let server = user.clone().map(|user| UrlServer {
                user: Some(user),
                mechanism: None,
                host: "mail.example.org".to_owned(),
                port: None,
            });
            let auth = user.map(|user| UrlAuth {
                expire: Some(UnixSeconds(1_800_000_000)),
                access: UrlAccess::User(user),
                verifier: token.map(|token| {
                    UrlVerifier { mechanism: "INTERNAL".to_owned(), token }
                }),
            });
            let url = ImapUrl {
                server,
                mailbox: Some(mailbox),
                uidvalidity: numbers.0.and_then(UidValidity::new),
                uid: Uid::new(numbers.1).unwrap(),
                section,
                partial: partial.map(|(offset, count)| UrlPartial { offset, count }),
                auth,
            };
            prop_assert_eq!(ImapUrl::parse(&url.to_string()), Ok(url));
        }

        /// Any text is read or refused, and read the same when it is printed.
        #[test]
        fn any_text_is_read_or_refused(text in "(imap:/)?[/;a-zA-Z0-9=.%:@\\[ ]{0,60}") {
            if let Ok(url) = ImapUrl::parse(&text) {
                prop_assert_eq!(ImapUrl::parse(&url.to_string()), Ok(url));
            }
        }
    }
}
