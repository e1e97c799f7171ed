//! Addresses in fields of notifications: `type; address`.

use std::fmt::Write as _;

use super::{EnvelopeAddress, Form};

/// `original-recipient-field` and `final-recipient-field` of an address. RFC 3464 §2.3.1, §2.3.2.
///
/// ASCII addresses have the type `rfc822`. Others have `utf-8`: with all their characters, or, in
/// ASCII, with `\x{HEX}` for those that ASCII does not have (RFC 6533 §3).
///
/// Deviation: our specification has type `rfc822` also for escaped addresses, which RFC 6533 gives to
/// addresses of RFC 5322 only.
pub(super) fn typed(address: &EnvelopeAddress, form: Form) -> String {
    let is_ascii = address.localpart.as_str().is_ascii();
    match form {
        _ if is_ascii => format!("rfc822; {}@{}", address.localpart, address.host.ascii()),
        Form::Utf8 => format!("utf-8; {}@{}", address.localpart, address.host),
        Form::Ascii => {
            let localpart = escaped(&address.localpart.to_string());
            format!("utf-8; {localpart}@{}", address.host.ascii())
        }
    }
}

/// An ORCPT in a field: its type and address. `None` if its characters do not go into the form.
pub(super) fn orcpt(orcpt: &str, form: Form) -> Option<String> {
    let (kind, address) = orcpt.split_once(';')?;
    let is_clean = !orcpt.chars().any(char::is_control) && kind.is_ascii();
    let address = match form {
        Form::Ascii if kind.eq_ignore_ascii_case("utf-8") => escaped(address),
        _ => address.to_owned(),
    };
    let fits = form == Form::Utf8 || address.is_ascii();
    (is_clean && fits).then(|| format!("{kind}; {address}"))
}

/// `utf-8-addr-xtext`: printable ASCII but `+`, `=` and backslash stay. RFC 6533 §3.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '!'..='~') && !matches!(c, '\\' | '+' | '=') {
            out.push(c);
        } else {
            write!(out, "\\x{{{:02X}}}", u32::from(c)).unwrap_or_default();
        }
    }
    out
}

/// Reads `type; address`, with `\x{HEX}` decoded. A type that is not known gives the address as it is
/// (RFC 3464 §2.1.2); without a type the whole is the address, as some servers have it.
pub(super) fn address_of(value: &str) -> String {
    let (kind, address) = value.split_once(';').unwrap_or(("rfc822", value));
    let (kind, address) = (kind.trim(), address.trim());
    let address = address.strip_prefix('<').and_then(|a| a.strip_suffix('>')).unwrap_or(address);
    let may_be_escaped = ["rfc822", "utf-8"].iter().any(|known| kind.eq_ignore_ascii_case(known));
    if may_be_escaped { unescaped(address) } else { address.to_owned() }
}

/// What is no escape stays as it is.
fn unescaped(text: &str) -> String {
    /// Enough for U+10FFFF.
    const HEX_DIGITS_MAX: usize = 6;
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\\x{") {
        let hex = after.split_once('}').filter(|(hex, _)| hex.len() <= HEX_DIGITS_MAX);
        let decoded = hex.and_then(|(hex, after)| {
            let c = char::from_u32(u32::from_str_radix(hex, 16).ok()?)?;
            (!c.is_control()).then_some((c, after))
        });
        out.push_str(before);
        match decoded {
            Some((c, after)) => {
                out.push(c);
                rest = after;
            }
            None => {
                out.push_str("\\x{");
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use mox_base::Address;

    use super::*;

    #[track_caller]
    fn check(address: &str, ascii: &str, utf8: &str) {
        let address = EnvelopeAddress::from(Address::parse(address).unwrap());
        assert_eq!((typed(&address, Form::Ascii).as_str()), ascii);
        assert_eq!((typed(&address, Form::Utf8).as_str()), utf8);
        let want = format!("{}@{}", address.localpart, address.host);
        assert_eq!(address_of(utf8), if utf8.starts_with('r') { address_of(ascii) } else { want });
    }

    /// RFC 6533 §3.
    #[test]
    fn addresses_have_the_type_of_their_characters() {
        check("a@b.example", "rfc822; a@b.example", "rfc822; a@b.example");
        check("a+b@b.example", "rfc822; a+b@b.example", "rfc822; a+b@b.example");
        check(
            "é+x@münchen.example",
            "utf-8; \\x{E9}\\x{2B}x@xn--mnchen-3ya.example",
            "utf-8; é+x@münchen.example",
        );
    }

    #[track_caller]
    fn check_read(value: &str, want: &str) {
        assert_eq!(address_of(value), want, "{value:?}");
    }

    #[test]
    fn addresses_are_read_with_their_type_or_without() {
        check_read("rfc822; a@b.example", "a@b.example");
        check_read("rfc822;<a@b.example>", "a@b.example");
        check_read("utf-8;\\x{E9}\\x{2B}x@b.example", "é+x@b.example");
        check_read("a@b.example", "a@b.example");
        check_read("x400; /G=a/S=\\x{E9}", "/G=a/S=\\x{E9}");
        check_read("rfc822; \\x{}\\x{D800}\\x{0A}\\x{41", "\\x{}\\x{D800}\\x{0A}\\x{41");
        check_read("", "");
    }

    #[track_caller]
    fn check_orcpt(value: &str, form: Form, want: Option<&str>) {
        assert_eq!(orcpt(value, form).as_deref(), want, "{value:?}");
    }

    /// RFC 3461 §4.2, RFC 3464 §2.3.1.
    #[test]
    fn original_recipients_are_told_as_they_were_given() {
        check_orcpt("rfc822;a@b.example", Form::Ascii, Some("rfc822; a@b.example"));
        check_orcpt("utf-8;é@b.example", Form::Ascii, Some("utf-8; \\x{E9}@b.example"));
        check_orcpt("utf-8;é@b.example", Form::Utf8, Some("utf-8; é@b.example"));
        check_orcpt("x;é", Form::Ascii, None);
        check_orcpt("rfc822;a\r\nX: y", Form::Utf8, None);
        check_orcpt("rfc822", Form::Utf8, None);
    }
}
