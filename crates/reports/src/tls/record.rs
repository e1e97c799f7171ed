//! Where a domain wants TLS reports.
//!
//! Source: RFC 8460 §3.

use std::fmt;

use mox_base::Address;

/// The longest record, in bytes. Ours.
pub const RECORD_BYTES_MAX: usize = 8_192;

/// Places that one record can want reports at; more are left aside. Ours.
pub const URIS_MAX: usize = 20;

/// The longest name of an extension. RFC 8460 §3 (`tlsrpt-ext-name`).
const NAME_BYTES_MAX: usize = 32;

/// Where a domain wants reports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// `rua`: lists of URIs, each of a field; together at most [`URIS_MAX`].
    pub rua: Vec<String>,
    /// What is not known, in order.
    pub extensions: Vec<(String, String)>,
}

/// Why there is no record to go by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RecordError {
    /// There is none.
    Missing,
    /// There is more than one.
    Multiple,
    /// It does not start as such a record does.
    OtherRecord,
    /// It is one, and is malformed.
    Malformed,
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "no TLSRPT record",
            Self::Multiple => "more than one TLSRPT record",
            Self::OtherRecord => "not a TLSRPT record",
            Self::Malformed => "malformed TLSRPT record",
        })
    }
}

impl std::error::Error for RecordError {}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("v=TLSRPTv1")?;
        if !self.rua.is_empty() {
            write!(f, "; rua={}", self.rua.join(","))?;
        }
        self.extensions.iter().try_for_each(|(name, value)| write!(f, "; {name}={value}"))
    }
}

/// The one record among the texts of a name. RFC 8460 §3: others are left out, and several are as
/// good as none.
///
/// # Errors
///
/// If there is not exactly one, or it is malformed.
pub fn find_record<T: AsRef<[u8]>>(texts: &[T]) -> Result<Record, RecordError> {
    let mut found = Err(RecordError::Missing);
    for text in texts {
        match parse_record(text.as_ref()) {
            Err(RecordError::OtherRecord) => {}
            _ if found != Err(RecordError::Missing) => return Err(RecordError::Multiple),
            result => found = result,
        }
    }
    found
}

/// Parses a record.
///
/// `tlsrpt-record = tlsrpt-version 1*(field-delim tlsrpt-field) [field-delim]`,
/// `tlsrpt-version = %s"v=TLSRPTv1"`, `field-delim = *WSP ";" *WSP`,
/// `tlsrpt-rua = %s"rua=" tlsrpt-uri *(*WSP "," *WSP tlsrpt-uri)`. RFC 8460 §3.
///
/// # Errors
///
/// If it is no such record, is longer than [`RECORD_BYTES_MAX`], has no `rua`, or is not as the
/// grammar says.
pub fn parse_record(text: &[u8]) -> Result<Record, RecordError> {
    let rest = text.strip_prefix(b"v=TLSRPTv1").ok_or(RecordError::OtherRecord)?;
    let rest = trim(rest).strip_prefix(b";").ok_or(RecordError::OtherRecord)?;
    let is_short = text.len() <= RECORD_BYTES_MAX;
    let rest = Some(trim(rest)).filter(|_| is_short).ok_or(RecordError::Malformed)?;
    let mut record = Record::default();
    // The last delimiter may be there or not.
    let rest = rest.strip_suffix(b";").unwrap_or(rest);
    for field in rest.split(|byte| *byte == b';') {
        let field = std::str::from_utf8(trim(field)).map_err(|_| RecordError::Malformed)?;
        let (name, value) = field.split_once('=').ok_or(RecordError::Malformed)?;
        match name {
            "rua" => parse_uris(value, &mut record.rua)?,
            _ if is_extension(name, value) => {
                record.extensions.push((name.to_owned(), value.to_owned()));
            }
            _ => return Err(RecordError::Malformed),
        }
    }
    if record.rua.is_empty() { Err(RecordError::Malformed) } else { Ok(record) }
}

fn parse_uris(list: &str, uris: &mut Vec<String>) -> Result<(), RecordError> {
    for uri in list.split(',') {
        let uri = uri.trim_matches([' ', '\t']);
        if !is_uri(uri) {
            return Err(RecordError::Malformed);
        }
        if uris.len() < URIS_MAX {
            uris.push(uri.to_owned());
        }
    }
    Ok(())
}

/// RFC 3986 §3, with a scheme, and without the characters that RFC 8460 §3 wants escaped.
fn is_uri(uri: &str) -> bool {
    let Some((scheme, rest)) = uri.split_once(':') else { return false };
    let in_scheme = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    let in_rest = |byte: u8| byte.is_ascii_graphic() && !b"!\"<>\\^`{|}".contains(&byte);
    scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(in_scheme)
        && !rest.is_empty()
        && rest.bytes().all(in_rest)
}

/// `tlsrpt-extension`. RFC 8460 §3.
fn is_extension(name: &str, value: &str) -> bool {
    let in_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    let in_value = |byte: u8| byte.is_ascii_graphic() && byte != b'=';
    name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.len() <= NAME_BYTES_MAX
        && name.bytes().all(in_name)
        && !value.is_empty()
        && value.bytes().all(in_value)
}

fn trim(text: &[u8]) -> &[u8] {
    text.trim_ascii()
}

/// The address of a `mailto` URI; `None` for other URIs, and for addresses that are not of ASCII.
/// RFC 6068 §2.
#[must_use]
pub fn mailto(uri: &str) -> Option<Address> {
    let (scheme, rest) = uri.split_once(':')?;
    if !scheme.eq_ignore_ascii_case("mailto") {
        return None;
    }
    let address = rest.split_once('?').map_or(rest, |(address, _)| address);
    Address::parse(&unescaped(address)?).ok()
}

/// RFC 3986 §2.1.
fn unescaped(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut digit = || rest.next()?.to_digit(16);
        let code = digit()? * 16 + digit()?;
        out.push(char::from_u32(code).filter(char::is_ascii)?);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::RecordError::{Malformed, Missing, Multiple, OtherRecord};
    use super::*;

    #[track_caller]
    fn check(text: &str, want: Result<&str, RecordError>) {
        let record = parse_record(text.as_bytes());
        let got = record.as_ref().map(|record| record.rua.join(" "));
        assert_eq!(got.as_deref().map_err(|error| **error), want, "{text:?}");
        if let Ok(record) = record {
            assert_eq!(parse_record(record.to_string().as_bytes()), Ok(record));
        }
    }

    /// RFC 8460 §3.
    #[test]
    fn records_are_read() {
        // Valid: the two of the RFC.
        check("v=TLSRPTv1;rua=mailto:reports@example.com", Ok("mailto:reports@example.com"));
        let https = "https://reporting.example.com/v1/tlsrpt";
        check(&format!("v=TLSRPTv1; rua={https}"), Ok(https));
        // At the edge.
        check("v=TLSRPTv1 ; rua=mailto:a@b.example , x:y ;", Ok("mailto:a@b.example x:y"));
        check("v=TLSRPTv1;rua=a:b;rua=c:d", Ok("a:b c:d"));
        check("v=TLSRPTv1; ext=1; rua=a:b?c=d%21", Ok("a:b?c=d%21"));
        let name = "n".repeat(NAME_BYTES_MAX);
        check(&format!("v=TLSRPTv1;rua=a:b;{name}=v"), Ok("a:b"));
        let many = vec!["a:b"; URIS_MAX].join(",");
        let kept = vec!["a:b"; URIS_MAX].join(" ");
        check(&format!("v=TLSRPTv1;rua={many}"), Ok(&kept));
        // Just past the edge.
        check(&format!("v=TLSRPTv1;rua={many},c:d"), Ok(&kept));
        check(&format!("v=TLSRPTv1;rua=a:b;{name}n=v"), Err(Malformed));
        let long = "x".repeat(RECORD_BYTES_MAX);
        check(&format!("v=TLSRPTv1;rua=a:{long}"), Err(Malformed));
        // Never.
        for text in
            ["", "v=TLSRPTv1", "V=TLSRPTv1;rua=a:b", "v=tlsrptv1;rua=a:b", "v=TLSRPTv10;rua=a:b"]
        {
            check(text, Err(OtherRecord));
        }
        for text in [
            "v=TLSRPTv1;",
            "v=TLSRPTv1;;",
            "v=TLSRPTv1;rua=",
            "v=TLSRPTv1;rua=a@b.example",
            "v=TLSRPTv1;rua=a:b,",
            "v=TLSRPTv1;RUA=a:b",
            "v=TLSRPTv1;x=1",
            "v=TLSRPTv1;rua=a:b;x=",
            "v=TLSRPTv1;rua=a:b;-x=1",
            "v=TLSRPTv1;rua=a:b c",
            "v=TLSRPTv1;rua=a:b!10m",
            "v=TLSRPTv1;rua=1:b",
            "v=TLSRPTv1;rua=a:b;x=1=2",
            "v=TLSRPTv1;rua=a:\u{e4}",
        ] {
            check(text, Err(Malformed));
        }
        assert_eq!(parse_record(b"v=TLSRPTv1;rua=a:\xff"), Err(Malformed));
    }

    /// RFC 8460 §3: with several, there is none.
    #[test]
    fn one_record_counts() {
        let (good, bad, other) = ("v=TLSRPTv1;rua=a:b", "v=TLSRPTv1;", "v=spf1 -all");
        let found = |texts: &[&str]| find_record(texts).map(|record| record.rua.len());
        assert_eq!(found(&[other, good]), Ok(1));
        assert_eq!(found(&[]), Err(Missing));
        assert_eq!(found(&[other]), Err(Missing));
        assert_eq!(found(&[good, other, good]), Err(Multiple));
        assert_eq!(found(&[bad, good]), Err(Multiple));
        assert_eq!(found(&[bad]), Err(Malformed));
    }

    /// RFC 6068 §2.
    #[test]
    fn only_mailto_uris_have_addresses() {
        let address = |uri: &str| mailto(uri).map(|address| address.to_string());
        assert_eq!(address("mailto:a@b.example").as_deref(), Some("a@b.example"));
        assert_eq!(address("MAILTO:a%2Bb@c.example?subject=x").as_deref(), Some("a+b@c.example"));
        for uri in [
            "https://b.example",
            "mailto:a",
            "mailto:%e4@b.example",
            "mailto:a%0d@b.example",
            "mailto:%zz@b.example",
            "mailto:a%4",
        ] {
            assert_eq!(address(uri), None, "{uri}");
        }
    }
}
