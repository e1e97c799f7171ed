//! The fields of a header section, as they are. RFC 5322 §2.2.

use std::borrow::Cow;
use std::ops::Range;

use memchr::memchr;

use crate::bytes::{sub, tail};

/// One field of a header section; nothing is decoded or unfolded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// The name without the colon and without blanks before it; empty for a line that is no field.
    pub name: &'a [u8],
    /// What follows the colon, with folding and the first blank, without the last line end.
    pub value: &'a [u8],
    /// Where the field starts and ends in the section, its last line end included.
    start: usize,
    end: usize,
}

impl Field<'_> {
    /// Whether the field has this name, in any case (RFC 5322 §1.2.2).
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    /// The lines of the field in the section it was read from, line ends included.
    #[must_use]
    pub fn lines(&self) -> Range<usize> {
        self.start..self.end
    }
}

/// Iterates over the fields of a header section, and ends at its empty line.
///
/// A line without a colon, or one that starts with blanks and has no field before it, is given as
/// a field without name. Takes time linear in the section in all.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    section: &'a [u8],
    pos: usize,
}

/// Iterates over the fields of `section`, the bytes from the start of a message or part.
#[must_use]
pub fn fields(section: &[u8]) -> Fields<'_> {
    Fields { section, pos: 0 }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        let start = self.pos;
        let rest = tail(self.section, start);
        if rest.is_empty() || rest.starts_with(b"\n") || rest.starts_with(b"\r\n") {
            return None;
        }
        let mut length = line_bytes(rest);
        while matches!(rest.get(length), Some(b' ' | b'\t')) {
            length += line_bytes(tail(rest, length));
        }
        self.pos = start + length;
        let lines = sub(rest, 0, length);
        let (name, value) = split_field(lines);
        Some(Field { name, value, start, end: self.pos })
    }
}

/// The length of the first line with its line end.
fn line_bytes(data: &[u8]) -> usize {
    memchr(b'\n', data).map_or(data.len(), |at| at + 1)
}

fn split_field(lines: &[u8]) -> (&[u8], &[u8]) {
    let text = lines.strip_suffix(b"\n").unwrap_or(lines);
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    match memchr(b':', text) {
        Some(colon) => {
            let name = sub(text, 0, colon).trim_ascii_end();
            // `ftext` has neither blanks nor controls (RFC 5322 §3.6.8).
            if !name.is_empty() && name.iter().all(|b| (0x21..=0x7E).contains(b)) {
                return (name, tail(text, colon + 1));
            }
            (b"", text)
        }
        None => (b"", text),
    }
}

/// The value of the first field with this name.
#[must_use]
pub fn first_field<'a>(section: &'a [u8], name: &str) -> Option<&'a [u8]> {
    fields(section).find(|field| field.is(name)).map(|field| field.value)
}

/// Copies the fields with one of `names` (or, if `except`, those without), and the empty line.
///
/// For `HEADER.FIELDS` and `HEADER.FIELDS.NOT`, where the empty line after the header stays even if
/// no field does; only a section that has none gets none. RFC 9051 §6.4.5.1. Costs fields × names
/// comparisons; the caller bounds `names`.
#[must_use]
pub fn select_fields(section: &[u8], names: &[impl AsRef<[u8]>], except: bool) -> Vec<u8> {
    let mut out = Vec::new();
    let mut end = 0;
    for field in fields(section) {
        end = field.end;
        // A line that is no field has no name to ask for.
        let named = !field.name.is_empty()
            && names.iter().any(|name| field.name.eq_ignore_ascii_case(name.as_ref()));
        if named != except {
            out.extend_from_slice(section.get(field.lines()).unwrap_or_default());
        }
    }
    if end < section.len() {
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// Removes the line ends of folding and the blanks around the value. RFC 5322 §2.2.3.
#[must_use]
pub fn unfold(value: &[u8]) -> Cow<'_, [u8]> {
    let value = value.trim_ascii();
    if memchr::memchr2(b'\r', b'\n', value).is_none() {
        return Cow::Borrowed(value);
    }
    Cow::Owned(value.iter().copied().filter(|b| !matches!(b, b'\r' | b'\n')).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(section: &str, want: &[(&str, &str)]) {
        let got: Vec<_> = fields(section.as_bytes())
            .map(|f| {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                (text(f.name), text(&unfold(f.value)))
            })
            .collect();
        let got: Vec<_> = got.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        assert_eq!(got, want, "{section:?}");
    }

    /// RFC 5322 §2.2, §2.2.3, §4.5.
    #[test]
    fn a_section_is_split_into_fields() {
        // Valid.
        check("A: b\r\nC:d\r\n\r\nbody: x\r\n", &[("A", "b"), ("C", "d")]);
        check("A: b\r\n c\r\n\td\r\nE: f\r\n", &[("A", "b c\td"), ("E", "f")]);
        check("A:\r\n", &[("A", "")]);
        // At the edge: obsolete blanks before the colon, bare LF, no last line end.
        check("A : b\nC: d", &[("A", "b"), ("C", "d")]);
        check("A: b\r\n \r\n\r\n", &[("A", "b")]);
        // Past it: lines that are no fields.
        check("From me Mon\r\nA: b\r\n", &[("", "From me Mon"), ("A", "b")]);
        check(" x\r\nA: b\r\n", &[("", "x"), ("A", "b")]);
        check(": x\r\nA b: c\r\n", &[("", ": x"), ("", "A b: c")]);
        // Never any.
        check("", &[]);
        check("\r\nA: b\r\n", &[]);
    }

    /// RFC 9051 §6.4.5.1.
    #[test]
    fn fields_are_selected_in_the_order_of_the_message() {
        let section = b"Subject: x\r\nFrom: a@b\r\nTo: c\r\n d\r\nFROM: e\r\njunk\r\n\r\nbody";
        let select = |names: &[&str], except| {
            String::from_utf8(select_fields(section, names, except)).unwrap()
        };
        assert_eq!(select(&["from"], false), "From: a@b\r\nFROM: e\r\n\r\n");
        assert_eq!(select(&["to", "subject"], false), "Subject: x\r\nTo: c\r\n d\r\n\r\n");
        assert_eq!(select(&["from", "TO"], true), "Subject: x\r\njunk\r\n\r\n");
        assert_eq!(select(&["none"], false), "\r\n");
        assert_eq!(select(&[""], false), "\r\n");
        // A message of nothing but header fields has no empty line to give.
        assert_eq!(select_fields(b"A: b\r\nC: d", &["c"], false), b"C: d");
        assert_eq!(select_fields(b"A: b\r\n", &["c"], false), b"");
    }
}
