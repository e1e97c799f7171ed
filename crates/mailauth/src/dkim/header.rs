//! The header section of a message, as signatures select from it.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;

use aws_lc_rs::digest;
use memchr::memchr;

use super::Canonicalization;
use super::canonical::canonical_field;

/// The largest header section that is looked at, in bytes.
pub const HEADER_BYTES_MAX: usize = 2 * 1024 * 1024;

/// The largest number of fields that a header section may have.
pub const HEADER_FIELDS_MAX: usize = 10_000;

/// Why a header section was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HeaderError {
    /// Over [`HEADER_BYTES_MAX`], or over [`HEADER_FIELDS_MAX`] fields.
    TooLarge,
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge => f.write_str("header section too large"),
        }
    }
}

impl std::error::Error for HeaderError {}

/// One field: what stands before the colon and after it, without the last line end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeaderField<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) value: &'a [u8],
}

impl HeaderField<'_> {
    fn trimmed_name(&self) -> &[u8] {
        self.name.trim_ascii_end()
    }
}

/// The fields of a header section, by place and by name.
///
/// Read once for all signatures of a message. Lines that are no fields are left out.
#[derive(Clone, Debug)]
pub struct Header<'a> {
    fields: Vec<HeaderField<'a>>,
    /// Places in `fields`, sorted by name in lower case, then by place.
    by_name: Vec<usize>,
    /// Where the fields end in what was read.
    end: usize,
    begins_folded: bool,
}

impl<'a> Header<'a> {
    /// Reads a header section, up to its empty line or its end.
    ///
    /// Lines end with CRLF or LF. Takes time n log n in the number of fields.
    ///
    /// # Errors
    ///
    /// If it is too large.
    pub fn parse(section: &'a [u8]) -> Result<Self, HeaderError> {
        let mut fields = Vec::new();
        let mut end = 0;
        for field in mox_mime::fields(section) {
            end = field.lines().end;
            if end > HEADER_BYTES_MAX || fields.len() == HEADER_FIELDS_MAX {
                return Err(HeaderError::TooLarge);
            }
            let lines = section.get(field.lines()).unwrap_or_default();
            let colon = memchr(b':', lines).filter(|_| !field.name.is_empty());
            if let Some(name) = colon.and_then(|colon| lines.get(..colon)) {
                fields.push(HeaderField { name, value: field.value });
            }
        }
        let name = |place: &usize| fields.get(*place).map_or(&b""[..], HeaderField::trimmed_name);
        let mut by_name: Vec<usize> = (0..fields.len()).collect();
        // A stable sort: fields of one name stay in the order of the message.
        by_name.sort_by(|a, b| compare_names(name(a), name(b)));
        let begins_folded = section.starts_with(b" ") || section.starts_with(b"\t");
        Ok(Self { fields, by_name, end, begins_folded })
    }

    /// The body of the message of which this is the header: what follows the empty line.
    #[must_use]
    pub fn body<'m>(&self, message: &'m [u8]) -> &'m [u8] {
        let rest = message.get(self.end..).unwrap_or_default();
        let after = rest.strip_prefix(b"\r\n").or_else(|| rest.strip_prefix(b"\n"));
        after.unwrap_or(rest)
    }

    /// Whether it begins with a blank, so that its first line would become a part of whatever field
    /// is put in front of it.
    pub(crate) fn begins_folded(&self) -> bool {
        self.begins_folded
    }

    /// How many fields have this name, in any case.
    #[must_use]
    pub fn count(&self, name: &str) -> usize {
        self.places(name).len()
    }

    /// The fields of one name with their places, from the top of the message.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = (usize, HeaderField<'a>)> {
        let places = self.places(name).iter();
        places.filter_map(|place| Some((*place, *self.fields.get(*place)?)))
    }

    fn places(&self, name: &str) -> &[usize] {
        let order = |place: &usize| {
            let field = self.fields.get(*place).map_or(&b""[..], HeaderField::trimmed_name);
            compare_names(field, name.as_bytes())
        };
        let start = self.by_name.partition_point(|place| order(place) == Ordering::Less);
        let rest = self.by_name.get(start..).unwrap_or_default();
        rest.get(..rest.partition_point(|place| order(place) == Ordering::Equal))
            .unwrap_or_default()
    }

    /// Adds the fields that a signature names to its hash, each in its canonical form and with a
    /// line end.
    ///
    /// A name takes the last of its fields that was not taken yet; one whose fields are used up
    /// adds nothing, which is how a signature says that there are no more. RFC 6376 §5.4.2, §3.7.
    ///
    /// - `own`: the place of the signature itself, which is no part of what it selects.
    pub(crate) fn hash_selected(
        &self,
        names: &[String],
        form: Canonicalization,
        own: Option<usize>,
        context: &mut digest::Context,
    ) {
        let mut left: BTreeMap<String, &[usize]> = BTreeMap::new();
        let mut buffer = Vec::new();
        for name in names {
            let places =
                left.entry(name.to_ascii_lowercase()).or_insert_with_key(|name| self.places(name));
            while let Some((place, rest)) = places.split_last() {
                *places = rest;
                if own == Some(*place) {
                    continue;
                }
                if let Some(field) = self.fields.get(*place) {
                    buffer.clear();
                    canonical_field(form, field.name, field.value, &mut buffer);
                    buffer.extend_from_slice(b"\r\n");
                    context.update(&buffer);
                }
                break;
            }
        }
    }
}

fn compare_names(a: &[u8], b: &[u8]) -> Ordering {
    a.iter().map(u8::to_ascii_lowercase).cmp(b.iter().map(u8::to_ascii_lowercase))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECTION: &str = "Received: one\r\nX : 1\r\nFROM: a\r\nno field\r\nx: 2\r\nReceived: two\r\n\
        Zoe: z\nFrom: b\r\n folded\r\n\r\nFrom: body\r\n";

    #[track_caller]
    fn check(names: &str, own: Option<usize>, want: &str) {
        let header = Header::parse(SECTION.as_bytes()).unwrap();
        let names: Vec<_> = names.split(':').map(str::to_owned).collect();
        let mut context = digest::Context::new(&digest::SHA256);
        header.hash_selected(&names, Canonicalization::Relaxed, own, &mut context);
        let want_digest = digest::digest(&digest::SHA256, want.as_bytes());
        assert_eq!(context.finish().as_ref(), want_digest.as_ref(), "{names:?}");
    }

    /// RFC 6376 §5.4.2.
    #[test]
    fn fields_are_selected_from_the_bottom() {
        check("received", None, "received:two\r\n");
        check("Received:RECEIVED", None, "received:two\r\nreceived:one\r\n");
        check("from:zoe:x", None, "from:b folded\r\nzoe:z\r\nx:2\r\n");
        check("x:from:x", None, "x:2\r\nfrom:b folded\r\nx:1\r\n");
        // Names that are used up, or never were there.
        check("zoe:zoe:none", None, "zoe:z\r\n");
        check("", None, "");
        // The signature itself is passed over: here the field at place 4, the lower Received.
        check("received", Some(4), "received:one\r\n");
        check("received:received", Some(4), "received:one\r\n");
    }

    #[test]
    fn fields_are_counted() {
        let header = Header::parse(SECTION.as_bytes()).unwrap();
        assert_eq!(header.count("From"), 2);
        assert_eq!(header.count("x"), 2);
        assert_eq!(header.count("no field"), 0);
        let places: Vec<_> =
            header.all("fROM").map(|(place, field)| (place, field.value)).collect();
        assert_eq!(places, [(2, &b" a"[..]), (6, b" b\r\n folded")]);
    }

    #[test]
    fn the_size_of_a_section_is_bounded() {
        let many = "A: b\r\n".repeat(HEADER_FIELDS_MAX);
        assert_eq!(Header::parse(many.as_bytes()).unwrap().count("a"), HEADER_FIELDS_MAX);
        let more = format!("{many}A: b\r\n");
        assert_eq!(Header::parse(more.as_bytes()).unwrap_err(), HeaderError::TooLarge);
        let large = format!("A: {}\r\n", "b".repeat(HEADER_BYTES_MAX - 5));
        assert!(Header::parse(large.as_bytes()).is_ok());
        let larger = format!("A: {}\r\n", "b".repeat(HEADER_BYTES_MAX - 4));
        assert_eq!(Header::parse(larger.as_bytes()).unwrap_err(), HeaderError::TooLarge);
        // What follows the header does not count.
        let body = format!("A: b\r\n\r\n{larger}");
        assert!(Header::parse(body.as_bytes()).is_ok());
    }
}
