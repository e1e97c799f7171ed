//! Strings, numbers and flags.
//!
//! Source: RFC 9051 §4, RFC 9051 §9.

use mox_base::Flags;

use crate::types::{is_atom_char, utf7};

/// A decimal number.
pub fn number(out: &mut Vec<u8>, number: impl Into<u64>) {
    let mut digits = [0_u8; 20];
    let mut rest: u64 = number.into();
    let mut used = 0;
    for slot in digits.iter_mut().rev() {
        // A remainder of ten fits a byte.
        *slot = b'0' + u8::try_from(rest % 10).unwrap_or_default();
        rest /= 10;
        used += 1;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(digits.len() - used..).unwrap_or_default());
}

/// `string`: quoted if it can be, else a literal.
///
/// RFC 9051 §4.3: quoted strings hold no NUL, CR or LF, and 8-bit text only once the client has
/// enabled IMAP4rev2 (`utf8`). Invalid UTF-8 is always a literal.
pub fn string(out: &mut Vec<u8>, text: &[u8], utf8: bool) {
    let mut plain = true;
    let mut eight_bit = false;
    for byte in text {
        match byte {
            0 | b'\r' | b'\n' => return literal(out, text),
            b'"' | b'\\' => plain = false,
            0x80.. => eight_bit = true,
            _ => {}
        }
    }
    if eight_bit && !(utf8 && std::str::from_utf8(text).is_ok()) {
        return literal(out, text);
    }
    out.push(b'"');
    if plain {
        out.extend_from_slice(text);
    } else {
        for byte in text {
            if matches!(byte, b'"' | b'\\') {
                out.push(b'\\');
            }
            out.push(*byte);
        }
    }
    out.push(b'"');
}

/// What stands for NUL in text, here and in the sections of messages.
pub const NUL_SHOWN: u8 = 0x80;

fn literal(out: &mut Vec<u8>, data: &[u8]) {
    literal_start(out, data.len() as u64, false);
    // RFC 9051 §9: an ordinary literal holds no NUL either. A message may.
    out.extend(data.iter().map(|byte| if *byte == 0 { NUL_SHOWN } else { *byte }));
}

/// `{n}` CR LF, or `~{n}` CR LF for data that may hold NUL. RFC 9051 §4.3.
pub fn literal_start(out: &mut Vec<u8>, size: u64, is_binary: bool) {
    out.extend_from_slice(if is_binary { b"~{" } else { b"{" });
    number(out, size);
    out.extend_from_slice(b"}\r\n");
}

/// `nstring`: a string or NIL.
pub fn nstring(out: &mut Vec<u8>, text: Option<&[u8]>, utf8: bool) {
    match text {
        Some(text) => string(out, text, utf8),
        None => out.extend_from_slice(b"NIL"),
    }
}

/// `astring`: an atom if it can be.
pub fn astring(out: &mut Vec<u8>, text: &[u8], utf8: bool) {
    // An atom NIL would be read as no string at all by some.
    let is_atom = !text.is_empty()
        && text.iter().all(|byte| is_atom_char(*byte))
        && !text.eq_ignore_ascii_case(b"NIL");
    if is_atom { out.extend_from_slice(text) } else { string(out, text, utf8) }
}

/// `mailbox`: UTF-8, or modified UTF-7 for IMAP4rev1. RFC 9051 §5.1, RFC 3501 §5.1.3.
pub fn mailbox(out: &mut Vec<u8>, name: &str, utf8: bool) {
    let needs_encoding = !utf8 && name.bytes().any(|byte| byte == b'&' || !is_printable(byte));
    if needs_encoding {
        astring(out, utf7::encode(name).as_bytes(), false);
    } else {
        astring(out, name.as_bytes(), utf8);
    }
}

fn is_printable(byte: u8) -> bool {
    matches!(byte, b' '..=b'~')
}

/// `flag-list`, system flags first.
pub fn flags<'a>(out: &mut Vec<u8>, system: Flags, keywords: impl IntoIterator<Item = &'a str>) {
    out.push(b'(');
    let start = out.len();
    let mut push = |name: &str| {
        if out.len() > start {
            out.push(b' ');
        }
        out.extend_from_slice(name.as_bytes());
    };
    system.names().for_each(&mut push);
    keywords.into_iter().for_each(&mut push);
    out.push(b')');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(print: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        print(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_are_decimal() {
        for value in [0, 9, 10, 4_294_967_295, u64::MAX] {
            assert_eq!(printed(|out| number(out, value)), value.to_string());
        }
    }

    #[track_caller]
    fn check(text: &str, utf8: bool, want_string: &str, want_astring: &str) {
        assert_eq!(printed(|out| string(out, text.as_bytes(), utf8)), want_string);
        assert_eq!(printed(|out| astring(out, text.as_bytes(), utf8)), want_astring);
    }

    /// RFC 9051 §4.3.
    #[test]
    fn strings_take_the_simplest_form() {
        check("abc", false, "\"abc\"", "abc");
        check("", false, "\"\"", "\"\"");
        check("a b", false, "\"a b\"", "\"a b\"");
        check("a\"b\\c", false, "\"a\\\"b\\\\c\"", "\"a\\\"b\\\\c\"");
        check("NIL", false, "\"NIL\"", "\"NIL\"");
        check("a]", false, "\"a]\"", "\"a]\"");
        check("t\u{e9}st", false, "{5}\r\nt\u{e9}st", "{5}\r\nt\u{e9}st");
        check("t\u{e9}st", true, "\"t\u{e9}st\"", "\"t\u{e9}st\"");
        check("a\nb", true, "{3}\r\na\nb", "{3}\r\na\nb");
        let mut out = Vec::new();
        string(&mut out, b"a\0b", true);
        assert_eq!(out, b"{3}\r\na\x80b");
        out.clear();
        string(&mut out, b"\xff", true);
        assert_eq!(out, b"{1}\r\n\xff");
        assert_eq!(printed(|out| nstring(out, None, true)), "NIL");
    }

    /// RFC 9051 §5.1 and RFC 3501 §5.1.3.
    #[test]
    fn mailbox_names_depend_on_what_is_enabled() {
        let name = |name: &str, utf8| printed(|out| mailbox(out, name, utf8));
        assert_eq!(name("Inbox", false), "Inbox");
        assert_eq!(name("☺", false), "&Jjo-");
        assert_eq!(name("☺", true), "\"☺\"");
        assert_eq!(name("a&b", false), "a&-b");
        assert_eq!(name("a&b", true), "a&b");
        assert_eq!(name("a b", false), "\"a b\"");
    }
}
