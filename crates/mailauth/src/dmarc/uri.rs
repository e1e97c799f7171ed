//! Where reports are wanted.
//!
//! Source: RFC 9989 §4.8 (`dmarc-urilist`), RFC 7489 §6.2, §6.4 (sizes), RFC 6068.

use std::fmt;

use mox_base::Address;

use super::URIS_MAX;

/// A place that reports go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportUri {
    /// As RFC 3986 has it.
    pub uri: Box<str>,
    /// The largest report that it takes, in bytes. RFC 7489 §6.2.
    ///
    /// Deviation: RFC 9989 §4.8 has readers ignore sizes; it is kept, since those who still give
    /// one have a mailbox that refuses more.
    pub size_bytes_max: Option<u64>,
}

impl ReportUri {
    /// Reads `URI [ "!" 1*DIGIT [ "k" / "m" / "g" / "t" ] ]`, RFC 7489 §6.4.
    fn parse(text: &str) -> Option<Self> {
        let (uri, size) = match text.split_once('!') {
            Some((uri, size)) => (uri, Some(parse_size(size)?)),
            None => (text, None),
        };
        let (scheme, rest) = uri.split_once(':')?;
        let starts_well = scheme.starts_with(|first: char| first.is_ascii_alphabetic());
        let is_scheme = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
        if !starts_well || !scheme.bytes().all(is_scheme) || !is_uri_text(rest) {
            return None;
        }
        Some(Self { uri: uri.into(), size_bytes_max: size })
    }

    /// The address of a `mailto` URI with one. RFC 6068 §2.
    #[must_use]
    pub fn address(&self) -> Option<Address> {
        let (scheme, rest) = self.uri.split_once(':')?;
        if !scheme.eq_ignore_ascii_case("mailto") {
            return None;
        }
        let address = rest.split_once('?').map_or(rest, |(address, _)| address);
        Address::parse(&unescaped(address)?).ok()
    }
}

impl fmt::Display for ReportUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.uri)?;
        self.size_bytes_max.map_or(Ok(()), |size| write!(f, "!{size}"))
    }
}

/// Adds the places of a list, at most [`URIS_MAX`]; false if anything was left aside.
///
/// `dmarc-urilist = dmarc-uri *(*WSP "," *WSP dmarc-uri)`, RFC 9989 §4.8.
pub(super) fn parse_list(value: &str, uris: &mut Vec<ReportUri>) -> bool {
    let mut is_whole = true;
    for text in value.split(',') {
        match ReportUri::parse(text.trim_ascii()) {
            Some(uri) if uris.len() < URIS_MAX => uris.push(uri),
            _ => is_whole = false,
        }
    }
    is_whole
}

/// Sizes beyond all bounds are no bound.
fn parse_size(text: &str) -> Option<u64> {
    let units = [('k', 10), ('m', 20), ('g', 30), ('t', 40)];
    let mut shift = 0;
    let mut digits = text;
    for (unit, bits) in units {
        if let Some(rest) = text.strip_suffix([unit, unit.to_ascii_uppercase()]) {
            (digits, shift) = (rest, bits);
        }
    }
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let size = digits.parse::<u64>().unwrap_or(u64::MAX);
    Some(size.saturating_mul(1 << shift))
}

/// The characters of RFC 3986 §2 without `!`, `,` and `;`, which have a meaning around.
fn is_uri_text(text: &str) -> bool {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let is_good = match byte {
            b'%' => {
                let mut is_digit = || bytes.next().is_some_and(|byte| byte.is_ascii_hexdigit());
                is_digit() && is_digit()
            }
            _ => byte.is_ascii_alphanumeric() || b"-._~:/?#[]@$&'()*+=".contains(&byte),
        };
        if !is_good {
            return false;
        }
    }
    true
}

/// RFC 3986 §2.1.
fn unescaped(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        let value = digit()? * 16 + digit()?;
        bytes.push(u8::try_from(value).ok()?);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: Option<(&str, Option<u64>)>) {
        let uri = ReportUri::parse(text);
        assert_eq!(uri.as_ref().map(|uri| (&*uri.uri, uri.size_bytes_max)), want, "{text}");
        if let Some(uri) = uri {
            assert_eq!(ReportUri::parse(&uri.to_string()), Some(uri));
        }
    }

    /// RFC 7489 §6.2, §6.4.
    #[test]
    fn uris_have_a_scheme_and_maybe_a_size() {
        check("mailto:a@b.example", Some(("mailto:a@b.example", None)));
        check("mailto:a@b.example!1", Some(("mailto:a@b.example", Some(1))));
        check("mailto:a@b.example!2k", Some(("mailto:a@b.example", Some(2_048))));
        check("mailto:a@b.example!3M", Some(("mailto:a@b.example", Some(3 << 20))));
        check("mailto:a@b.example!4g", Some(("mailto:a@b.example", Some(4 << 30))));
        check("mailto:a@b.example!5t", Some(("mailto:a@b.example", Some(5 << 40))));
        check("https://a.example/b?c=d#e", Some(("https://a.example/b?c=d#e", None)));
        check("x:", Some(("x:", None)));
        check("mailto:a@b.example!16777215t", Some(("mailto:a@b.example", Some(16_777_215 << 40))));
        check("mailto:a@b.example!16777216t", Some(("mailto:a@b.example", Some(u64::MAX))));
        check(
            "mailto:a@b.example!99999999999999999999",
            Some(("mailto:a@b.example", Some(u64::MAX))),
        );
        for text in
            ["a@b.example", "", ":x", "1:x", "a b:c", "mailto:a b@c", "mailto:%4", "mailto:%zz"]
        {
            check(text, None);
        }
        for text in
            ["mailto:a@b!", "mailto:a@b!k", "mailto:a@b!1x", "mailto:a@b!1!2", "mailto:\u{e4}@b"]
        {
            check(text, None);
        }
    }

    /// RFC 6068 §2.
    #[test]
    fn a_mailto_uri_has_an_address() {
        let address = |text: &str| {
            ReportUri::parse(text).unwrap().address().map(|address| address.to_string())
        };
        assert_eq!(address("mailto:a@b.example").as_deref(), Some("a@b.example"));
        assert_eq!(
            address("MAILTO:a%2Bb%21@c.example?subject=x").as_deref(),
            Some("a+b!@c.example")
        );
        assert_eq!(address("mailto:a"), None);
        assert_eq!(address("mailto:%ff@b.example"), None);
        assert_eq!(address("https:a@b.example"), None);
        assert_eq!(address("mailto:a%0D%0Ab@c.example"), None);
    }
}
