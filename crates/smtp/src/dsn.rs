//! What a sender asks of delivery reports: the parameters NOTIFY, ORCPT, RET and ENVID.
//!
//! Source: RFC 3461 §4.1 to §4.4, RFC 6533 §3. Reports themselves are made elsewhere.

use std::fmt::{self, Write as _};

use crate::xtext::{decode_xtext, encode_xtext};

/// The longest value of ENVID, in characters as sent. RFC 3461 §4.4.
pub const ENVID_CHARS_MAX: usize = 100;

/// The longest value of ORCPT, in characters as sent. RFC 3461 §4.2.
pub const ORCPT_CHARS_MAX: usize = 500;

/// The address type of an international address. RFC 6533 §3.
const UTF8_TYPE: &str = "utf-8";

/// When the sender is to be told about a recipient. RFC 3461 §4.1.
///
/// Without the parameter it is up to us: failures are reported, and delays once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Notify {
    is_on_success: bool,
    is_on_failure: bool,
    is_on_delay: bool,
}

impl Notify {
    /// In no case.
    pub const NEVER: Self = Self::when(false, false, false);

    /// On these events; with none of them it is [`Self::NEVER`].
    #[must_use]
    pub const fn when(is_on_success: bool, is_on_failure: bool, is_on_delay: bool) -> Self {
        Self { is_on_success, is_on_failure, is_on_delay }
    }

    /// Parses the value of the parameter, in any case.
    ///
    /// `notify-esmtp-value = "NEVER" / notify-list-element *( "," notify-list-element )`, where an
    /// element is `SUCCESS`, `FAILURE` or `DELAY`. One given twice is taken once.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        if value.eq_ignore_ascii_case("NEVER") {
            return Some(Self::NEVER);
        }
        let mut notify = Self::NEVER;
        for element in value.split(',') {
            let flag = match element {
                _ if element.eq_ignore_ascii_case("SUCCESS") => &mut notify.is_on_success,
                _ if element.eq_ignore_ascii_case("FAILURE") => &mut notify.is_on_failure,
                _ if element.eq_ignore_ascii_case("DELAY") => &mut notify.is_on_delay,
                _ => return None,
            };
            *flag = true;
        }
        Some(notify)
    }

    /// Whether a delivery is reported.
    #[must_use]
    pub const fn is_on_success(self) -> bool {
        self.is_on_success
    }

    /// Whether a failure is reported.
    #[must_use]
    pub const fn is_on_failure(self) -> bool {
        self.is_on_failure
    }

    /// Whether a delay is reported.
    #[must_use]
    pub const fn is_on_delay(self) -> bool {
        self.is_on_delay
    }
}

/// The value of the parameter.
impl fmt::Display for Notify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let elements = [
            (self.is_on_success, "SUCCESS"),
            (self.is_on_failure, "FAILURE"),
            (self.is_on_delay, "DELAY"),
        ];
        let mut is_first = true;
        for (_, name) in elements.into_iter().filter(|(is_on, _)| *is_on) {
            let comma = if std::mem::take(&mut is_first) { "" } else { "," };
            write!(f, "{comma}{name}")?;
        }
        if is_first { f.write_str("NEVER") } else { Ok(()) }
    }
}

/// How much of the message goes back with a report of a failure. RFC 3461 §4.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ret {
    /// All of it.
    Full,
    /// Its header.
    Hdrs,
}

impl Ret {
    /// Parses the value of the parameter, in any case: `ret-value = "FULL" / "HDRS"`.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        [Self::Full, Self::Hdrs].into_iter().find(|ret| value.eq_ignore_ascii_case(ret.name()))
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Full => "FULL",
            Self::Hdrs => "HDRS",
        }
    }
}

/// The value of the parameter.
impl fmt::Display for Ret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Parses the value of ENVID, the sender's own name for the transaction, and returns it decoded.
///
/// `envid-parameter = "ENVID=" xtext`, at most [`ENVID_CHARS_MAX`] long. What it decodes to is
/// visible ASCII and spaces, so it can stand in a header field. RFC 3461 §4.4.
#[must_use]
pub fn parse_envid(value: &str) -> Option<String> {
    if value.len() > ENVID_CHARS_MAX {
        return None;
    }
    printable(decode_xtext(value)?).filter(|envid| !envid.is_empty())
}

/// The value of ENVID for a decoded one; `None` if it is none that [`parse_envid`] takes.
#[must_use]
pub fn envid_parameter(envid: &str) -> Option<String> {
    let value = encode_xtext(envid.as_bytes());
    parse_envid(&value).map(|_| value)
}

/// Parses the value of ORCPT, the recipient as the sender knows it, and returns it as
/// `type;address` with the address decoded.
///
/// `original-recipient-address = addr-type ";" xtext`, at most [`ORCPT_CHARS_MAX`] long (RFC 3461
/// §4.2). The address of type `utf-8` is UTF-8 or has `\x{HEX}` in place of characters (RFC 6533
/// §3). There are no control characters in what is returned: it can stand in a header field.
#[must_use]
pub fn parse_orcpt(value: &str) -> Option<String> {
    if value.len() > ORCPT_CHARS_MAX {
        return None;
    }
    let (kind, address) = value.split_once(';')?;
    if kind.is_empty() || !kind.chars().all(crate::command::is_atext) {
        return None;
    }
    let address = if kind.eq_ignore_ascii_case(UTF8_TYPE) {
        decode_embedded(address)?
    } else {
        printable(decode_xtext(address)?)?
    };
    (!address.is_empty()).then(|| format!("{kind};{address}"))
}

/// The value of ORCPT, in ASCII, for a decoded one; `None` if it is none that [`parse_orcpt`]
/// takes, or too long when it is encoded.
#[must_use]
pub fn orcpt_parameter(orcpt: &str) -> Option<String> {
    let (kind, address) = orcpt.split_once(';')?;
    let address = if kind.eq_ignore_ascii_case(UTF8_TYPE) {
        encode_embedded(address)
    } else {
        encode_xtext(address.as_bytes())
    };
    let value = format!("{kind};{address}");
    parse_orcpt(&value).map(|_| value)
}

/// RFC 3461 §4: visible characters and spaces of ASCII.
fn printable(bytes: Vec<u8>) -> Option<String> {
    let text = String::from_utf8(bytes).ok()?;
    text.bytes().all(|byte| matches!(byte, b' '..=b'~')).then_some(text)
}

/// Decodes `utf-8-addr-xtext` and `utf-8-addr-unitext`: `EmbeddedUnicodeChar = %x5C.78 "{" HEXPOINT
/// "}"`. A `+`, `=` or backslash by itself is in neither. RFC 6533 §3.
fn decode_embedded(text: &str) -> Option<String> {
    const HEX_DIGITS_MAX: usize = 6;
    let mut decoded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        rest = rest.get(c.len_utf8()..)?;
        match c {
            '\\' => {
                let (hex, tail) = rest.strip_prefix("x{")?.split_once('}')?;
                let is_hex = (2..=HEX_DIGITS_MAX).contains(&hex.len())
                    && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'A'..=b'F'));
                let point = is_hex.then(|| u32::from_str_radix(hex, 16).ok()).flatten()?;
                decoded.push(char::from_u32(point).filter(|c| !c.is_control())?);
                rest = tail;
            }
            '+' | '=' | ' ' => return None,
            _ if c.is_control() => return None,
            _ => decoded.push(c),
        }
    }
    Some(decoded)
}

/// Encodes as `utf-8-addr-xtext`, which may be sent to a server with or without SMTPUTF8.
fn encode_embedded(address: &str) -> String {
    let mut text = String::with_capacity(address.len());
    for c in address.chars() {
        match c {
            '+' | '=' | '\\' => write!(text, "\\x{{{:02X}}}", u32::from(c)).unwrap_or_default(),
            '!'..='~' => text.push(c),
            _ => write!(text, "\\x{{{:02X}}}", u32::from(c)).unwrap_or_default(),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check_notify(value: &str, want: Option<(Notify, &str)>) {
        let got = Notify::parse(value);
        assert_eq!(got, want.map(|(notify, _)| notify), "{value}");
        assert_eq!(got.map(|got| got.to_string()).as_deref(), want.map(|(_, text)| text));
    }

    /// RFC 3461 §4.1.
    #[test]
    fn notify_is_never_or_a_list() {
        let (all, failure) = (Notify::when(true, true, true), Notify::when(false, true, false));
        // Valid.
        check_notify("NEVER", Some((Notify::NEVER, "NEVER")));
        check_notify("FAILURE", Some((failure, "FAILURE")));
        check_notify("SUCCESS,FAILURE,DELAY", Some((all, "SUCCESS,FAILURE,DELAY")));
        // At the edge of valid.
        check_notify("delay,Success,failure", Some((all, "SUCCESS,FAILURE,DELAY")));
        check_notify("FAILURE,FAILURE", Some((failure, "FAILURE")));
        // Just past the edge.
        check_notify("NEVER,FAILURE", None);
        check_notify("FAILURE,", None);
        // Never valid.
        check_notify("", None);
        check_notify("ALWAYS", None);
        check_notify("FAILURE DELAY", None);
    }

    /// RFC 3461 §4.3.
    #[test]
    fn ret_is_full_or_hdrs() {
        for (value, want) in [("FULL", Some(Ret::Full)), ("hdrs", Some(Ret::Hdrs)), ("NONE", None)]
        {
            assert_eq!(Ret::parse(value), want, "{value}");
        }
        assert_eq!((Ret::Full.to_string(), Ret::Hdrs.to_string()), ("FULL".into(), "HDRS".into()));
    }

    #[track_caller]
    fn check_envid(value: &str, want: Option<&str>) {
        assert_eq!(parse_envid(value).as_deref(), want, "{value}");
    }

    /// RFC 3461 §4.4.
    #[test]
    fn envids_are_decoded_or_refused() {
        let long = "x".repeat(ENVID_CHARS_MAX);
        // Valid; the first is the example of RFC 3461 §10.1.
        check_envid("QQ314159", Some("QQ314159"));
        check_envid("a+2Bb+20c", Some("a+b c"));
        // At the edge of valid.
        check_envid(&long, Some(&long));
        // Just past the edge.
        check_envid(&format!("{long}x"), None);
        check_envid("a+0D+0Ab", None);
        check_envid("a+C3+A9", None);
        // Never valid.
        check_envid("", None);
        check_envid("a=b", None);
        assert_eq!(envid_parameter("a+b c").as_deref(), Some("a+2Bb+20c"));
        assert_eq!(envid_parameter("a\r\nb"), None);
        assert_eq!(envid_parameter(&"+".repeat(ENVID_CHARS_MAX)), None);
    }

    #[track_caller]
    fn check_orcpt(value: &str, want: Option<&str>) {
        assert_eq!(parse_orcpt(value).as_deref(), want, "{value}");
    }

    /// RFC 3461 §4.2; RFC 6533 §3.
    #[test]
    fn original_recipients_are_decoded_or_refused() {
        let long = format!("rfc822;{}", "x".repeat(ORCPT_CHARS_MAX - 7));
        // Valid.
        check_orcpt("rfc822;Bob@Example.COM", Some("rfc822;Bob@Example.COM"));
        check_orcpt("rfc822;a+2Bb@x.example", Some("rfc822;a+b@x.example"));
        check_orcpt("utf-8;\\x{2615}@x.example", Some("utf-8;☕@x.example"));
        check_orcpt("UTF-8;☕@x.example", Some("UTF-8;☕@x.example"));
        check_orcpt("utf-8;a\\x{2B}b\\x{5C}c", Some("utf-8;a+b\\c"));
        // At the edge of valid.
        check_orcpt(&long, Some(&long));
        check_orcpt("x400;a;b", Some("x400;a;b"));
        // Just past the edge.
        check_orcpt(&format!("{long}x"), None);
        check_orcpt("rfc822;a+0Ab", None);
        check_orcpt("rfc822;☕@x.example", None);
        check_orcpt("utf-8;\\x{0A}", None);
        check_orcpt("utf-8;\\x{D800}", None);
        check_orcpt("utf-8;\\x{1000000}", None);
        check_orcpt("utf-8;\\x{2615", None);
        check_orcpt("utf-8;a+2Bb", None);
        // Never valid.
        check_orcpt("", None);
        check_orcpt("rfc822", None);
        check_orcpt("rfc822;", None);
        check_orcpt(";a@b.example", None);
        check_orcpt("rfc 822;a@b.example", None);
    }

    proptest! {
        #[test]
        fn what_is_printed_is_parsed_to_the_same(
            envid in "[ -~]{1,33}", local in "[ -~]{1,100}", wide in "[a-z+=\\\\é☕]{1,40}",
            flags: (bool, bool, bool),
        ) {
            let value = envid_parameter(&envid).unwrap();
            prop_assert_eq!(parse_envid(&value), Some(envid));
            for orcpt in [format!("rfc822;{local}"), format!("utf-8;{wide}")] {
                let value = orcpt_parameter(&orcpt).unwrap();
                prop_assert!(value.is_ascii() && !value.contains([' ', '=']));
                prop_assert_eq!(parse_orcpt(&value), Some(orcpt));
            }
            let notify = Notify::when(flags.0, flags.1, flags.2);
            prop_assert_eq!(Notify::parse(&notify.to_string()), Some(notify));
        }

        #[test]
        fn nothing_decoded_can_break_a_header_field(value in "(utf-8|rfc822)?;?[ -~é\u{7f}\\\\x{}+0-9A-F]{0,60}") {
            for text in [parse_envid(&value), parse_orcpt(&value)].into_iter().flatten() {
                prop_assert!(!text.chars().any(char::is_control), "{:?}", text);
            }
        }
    }
}
