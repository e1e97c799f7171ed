//! Lists of tags, `name=value;`, of which signatures and key records are made. RFC 6376 §3.2.

use std::fmt;
use std::ops::Range;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// The longest list that is read, in bytes. Ours: signatures with copied fields (`z=`) are a few
/// KiB.
pub const TAG_LIST_BYTES_MAX: usize = 32 * 1024;

/// The largest number of tags in a list. Ours: the RFCs define 14 for a signature.
pub const TAGS_MAX: usize = 64;

/// Base64 as found: with or without padding, as line folding and zone files have left it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Why a list of tags was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TagError {
    /// Over [`TAG_LIST_BYTES_MAX`], or over [`TAGS_MAX`] tags.
    TooLong,
    /// Not UTF-8, or a control character.
    BadCharacter,
    /// No `=`, a bad name, or nothing between two semicolons.
    Malformed,
    /// A tag is there twice. RFC 6376 §3.2: the whole list is invalid.
    Duplicate,
    /// A tag that must be there is not.
    Missing(&'static str),
    /// The value of a tag is not what it must be.
    BadValue(&'static str),
}

impl fmt::Display for TagError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => f.write_str("too long or too many tags"),
            Self::BadCharacter => f.write_str("character that is not allowed"),
            Self::Malformed => f.write_str("not a list of tags"),
            Self::Duplicate => f.write_str("the same tag twice"),
            Self::Missing(name) => write!(f, "missing tag {name}="),
            Self::BadValue(name) => write!(f, "bad value of tag {name}="),
        }
    }
}

impl std::error::Error for TagError {}

/// The tags of a list, in their order; no name is there twice.
#[derive(Clone, Debug)]
pub(crate) struct Tags<'a>(Vec<Tag<'a>>);

#[derive(Clone, Debug)]
struct Tag<'a> {
    name: &'a str,
    /// Without white space around it.
    value: &'a str,
    /// Where everything between `=` and `;` stands in the list.
    span: Range<usize>,
}

impl<'a> Tags<'a> {
    /// Reads a whole list:
    ///
    /// ```abnf
    /// tag-list  = tag-spec *( ";" tag-spec ) [ ";" ]
    /// tag-spec  = [FWS] tag-name [FWS] "=" [FWS] tag-value [FWS]
    /// tag-name  = ALPHA *ALNUMPUNC
    /// ```
    ///
    /// RFC 6376 §3.2; values may hold UTF-8 (RFC 8616 §5). Takes linear time.
    pub(crate) fn parse(list: &'a [u8]) -> Result<Self, TagError> {
        if list.len() > TAG_LIST_BYTES_MAX {
            return Err(TagError::TooLong);
        }
        let list = std::str::from_utf8(list).map_err(|_| TagError::BadCharacter)?;
        if list.chars().any(|c| c.is_control() && !is_fws(c)) {
            return Err(TagError::BadCharacter);
        }
        let trimmed = list.trim_end_matches(is_fws);
        let unended = trimmed.strip_suffix(';').is_none();
        let trimmed = trimmed.strip_suffix(';').unwrap_or(trimmed);
        let mut tags = Self(Vec::new());
        let mut start = 0;
        for spec in trimmed.split(';') {
            if tags.0.len() == TAGS_MAX {
                return Err(TagError::TooLong);
            }
            let (name, value) = spec.split_once('=').ok_or(TagError::Malformed)?;
            let span = start + name.len() + 1..start + spec.len();
            start += spec.len() + 1;
            let name = name.trim_matches(is_fws);
            if !is_tag_name(name) {
                return Err(TagError::Malformed);
            }
            if tags.get(name).is_some() {
                return Err(TagError::Duplicate);
            }
            tags.0.push(Tag { name, value: value.trim_matches(is_fws), span });
        }
        // White space after the last value belongs to it. RFC 6376 §3.5, `b=`.
        if let Some(last) = tags.0.last_mut().filter(|_| unended) {
            last.span.end = list.len();
        }
        Ok(tags)
    }

    /// The value of a tag. Names differ by case.
    pub(crate) fn get(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|tag| tag.name == name).map(|tag| tag.value)
    }

    /// The value of a tag that must be there.
    pub(crate) fn required(&self, name: &'static str) -> Result<&'a str, TagError> {
        self.get(name).ok_or(TagError::Missing(name))
    }

    /// The bytes of a tag that must be there, given in base64.
    pub(crate) fn bytes(&self, name: &'static str) -> Result<Vec<u8>, TagError> {
        decode_base64(self.required(name)?).ok_or(TagError::BadValue(name))
    }

    /// The number that a tag has, if it is there: digits only.
    pub(crate) fn number(&self, name: &'static str) -> Result<Option<u64>, TagError> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let digits = value.bytes().all(|b| b.is_ascii_digit());
        let number = value.parse().ok().filter(|_| digits);
        number.map(Some).ok_or(TagError::BadValue(name))
    }

    /// The name of the first tag, which is where a version must stand.
    pub(crate) fn first_name(&self) -> Option<&'a str> {
        self.0.first().map(|tag| tag.name)
    }

    /// Where the value of a tag stands in the list, with the white space around it.
    pub(crate) fn span(&self, name: &str) -> Option<Range<usize>> {
        self.0.iter().find(|tag| tag.name == name).map(|tag| tag.span.clone())
    }
}

/// What folding consists of. A line end is only ever there as a part of it: the field was read as
/// one.
pub(crate) fn is_fws(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

fn is_tag_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// The parts of a list with colons, without white space around them.
pub(crate) fn colon_list(value: &str) -> impl Iterator<Item = &str> {
    value.split(':').map(|part| part.trim_matches(is_fws))
}

/// Decodes base64 with folding anywhere in it: `base64string` of RFC 6376 §2.4.
pub(crate) fn decode_base64(value: &str) -> Option<Vec<u8>> {
    let compact: String = value.chars().filter(|c| !is_fws(*c)).collect();
    BASE64.decode(compact).ok()
}

/// Encodes as base64 in one piece.
pub(crate) fn encode_base64(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

/// Decodes `dkim-quoted-printable` (RFC 6376 §2.11); white space in it means nothing.
pub(crate) fn decode_quoted(value: &str) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(value.len());
    let mut bytes = value.bytes().filter(|b| !is_fws(char::from(*b)));
    while let Some(byte) = bytes.next() {
        if byte == b'=' {
            let high = hex_digit(bytes.next()?)?;
            decoded.push(high << 4 | hex_digit(bytes.next()?)?);
        } else {
            decoded.push(byte);
        }
    }
    Some(decoded)
}

/// `hex-octet` has upper case; lower case is taken too.
fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

/// Encodes one byte as `dkim-quoted-printable` (RFC 6376 §2.11). UTF-8 stays (RFC 8616 §5).
pub(crate) fn quote_char(c: char, out: &mut String) {
    if c.is_ascii_graphic() && !matches!(c, ';' | '=' | '|') || (!c.is_ascii() && !c.is_control()) {
        out.push(c);
        return;
    }
    let mut utf8 = [0; 4];
    for byte in c.encode_utf8(&mut utf8).bytes() {
        for digit in [byte >> 4, byte & 15] {
            out.extend(char::from_digit(digit.into(), 16).map(|c| c.to_ascii_uppercase()));
        }
        // The sign goes before the two digits.
        out.insert(out.len() - 2, '=');
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(list: &str, want: Result<&[(&str, &str)], TagError>) {
        let tags = Tags::parse(list.as_bytes());
        let got = tags.map(|tags| tags.0.iter().map(|t| (t.name, t.value)).collect::<Vec<_>>());
        assert_eq!(got.as_deref(), want.as_ref().map(|want| *want), "{list:?}");
    }

    /// RFC 6376 §3.2.
    #[test]
    fn lists_are_parsed_or_refused() {
        let many = (0..TAGS_MAX).map(|n| format!("t{n}=")).collect::<Vec<_>>().join(";");
        let long = format!("n={}", "a".repeat(TAG_LIST_BYTES_MAX - 2));
        // Valid.
        check("v=1; a=b", Ok(&[("v", "1"), ("a", "b")]));
        check("v=1;", Ok(&[("v", "1")]));
        check("A=1;a=2", Ok(&[("A", "1"), ("a", "2")]));
        // At the edge: folding everywhere, nothing as value, `=` in it, UTF-8.
        check("\r\n\tv \r\n = 1\r\n 2 ; \r\n ", Ok(&[("v", "1\r\n 2")]));
        check("b=;p= ;n=a=b=", Ok(&[("b", ""), ("p", ""), ("n", "a=b=")]));
        check("i=\u{fc}@b", Ok(&[("i", "\u{fc}@b")]));
        assert_eq!(Tags::parse(many.as_bytes()).unwrap().0.len(), TAGS_MAX);
        assert!(Tags::parse(long.as_bytes()).is_ok());
        // Just past it.
        check(&format!("{many};x="), Err(TagError::TooLong));
        check(&format!("{long}a"), Err(TagError::TooLong));
        check("v=1;;", Err(TagError::Malformed));
        check("v=1;v=1", Err(TagError::Duplicate));
        // Never valid.
        check("", Err(TagError::Malformed));
        check(";", Err(TagError::Malformed));
        check("v", Err(TagError::Malformed));
        check("=1", Err(TagError::Malformed));
        check("1v=1", Err(TagError::Malformed));
        check("a b=1", Err(TagError::Malformed));
        check("a=\0", Err(TagError::BadCharacter));
        assert_eq!(Tags::parse(b"a=\xff").unwrap_err(), TagError::BadCharacter);
    }

    /// RFC 6376 §3.7: what is removed of a signature is everything between `=` and `;`.
    #[test]
    fn spans_hold_the_white_space_too() {
        let list = "a=x; b = AA\r\n BB ; c=y;";
        let tags = Tags::parse(list.as_bytes()).unwrap();
        let at = |name| tags.span(name).and_then(|span| list.get(span));
        assert_eq!(at("b"), Some(" AA\r\n BB "));
        assert_eq!(at("a"), Some("x"));
        assert_eq!(at("c"), Some("y"));
        assert_eq!(at("d"), None);
        let list = "a=x; b = AA \r\n ";
        let span = Tags::parse(list.as_bytes()).unwrap().span("b").unwrap();
        assert_eq!(list.get(span), Some(" AA \r\n "));
    }

    #[test]
    fn values_are_converted() {
        let tags =
            Tags::parse(b"t=12;x=+1;l=99999999999999999999;p=AQ I\r\n D;q=AQID=;e=").unwrap();
        assert_eq!(tags.number("t"), Ok(Some(12)));
        assert_eq!(tags.number("none"), Ok(None));
        assert_eq!(tags.number("x"), Err(TagError::BadValue("x")));
        assert_eq!(tags.number("l"), Err(TagError::BadValue("l")));
        assert_eq!(tags.number("e"), Err(TagError::BadValue("e")));
        assert_eq!(tags.bytes("p"), Ok(vec![1, 2, 3]));
        assert_eq!(tags.bytes("e"), Ok(vec![]));
        assert_eq!(tags.bytes("q"), Err(TagError::BadValue("q")));
        assert_eq!(tags.bytes("none"), Err(TagError::Missing("none")));
        assert_eq!(colon_list(" a :b\r\n : c").collect::<Vec<_>>(), ["a", "b", "c"]);
    }

    #[track_caller]
    fn check_quoted(text: &str, want: Option<&str>) {
        let got = decode_quoted(text).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        assert_eq!(got.as_deref(), want, "{text:?}");
    }

    /// RFC 6376 §2.11.
    #[test]
    fn quoted_printable_is_decoded() {
        check_quoted("a=20b", Some("a b"));
        check_quoted("a=3\r\n Db ", Some("a=b"));
        check_quoted("=c3=bc", Some("\u{fc}"));
        check_quoted("a=", None);
        check_quoted("a=2", None);
        check_quoted("a=2g", None);
    }

    proptest! {
        /// RFC 6376 §2.11.
        #[test]
        fn what_is_quoted_is_decoded(text in "\\PC{0,20}|[ -~\r\n\t]{0,20}") {
            let mut quoted = String::new();
            text.chars().for_each(|c| quote_char(c, &mut quoted));
            prop_assert!(!quoted.contains([';', ' ', '\r', '\n', '|']), "{}", quoted);
            prop_assert_eq!(decode_quoted(&quoted), Some(text.into_bytes()));
        }

        #[test]
        fn bytes_survive_base64(bytes in proptest::collection::vec(any::<u8>(), 0..50)) {
            prop_assert_eq!(decode_base64(&encode_base64(&bytes)), Some(bytes));
        }
    }
}
