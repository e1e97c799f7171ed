//! Where the bytes of a section or a part are. RFC 9051 §6.4.5.1.

use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;

use crate::bytes::as_u64;
use crate::structure::{Message, Part};
use crate::transfer::{DecodingReader, Encoding};

/// A range of the message, or of the decoded body of a part in it that is an encoded message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// What must be decoded to reach the bytes, outermost first; nearly always nothing.
    pub layers: Vec<Layer>,
    /// The bytes, counted in what the last layer decodes to, or in the message.
    pub range: Range<u64>,
}

/// The body of a part that is decoded to find offsets in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// The body as sent, counted in what the layer before decodes to.
    pub range: Range<u64>,
    /// How it is encoded.
    pub encoding: Encoding,
}

impl Span {
    /// Size in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.range.end.saturating_sub(self.range.start)
    }

    /// Opens the bytes in `reader`, which must be the message from its start.
    pub fn open<'r, R: Read + Seek>(&self, reader: &'r mut R) -> io::Result<SpanReader<'r, R>> {
        let Some((first, others)) = self.layers.split_first() else {
            return Ok(SpanReader(Source::Plain(open_range(reader, &self.range)?)));
        };
        let plain = open_range(reader, &first.range)?;
        let mut decoded: Box<dyn Read + 'r> =
            Box::new(DecodingReader::new(plain, first.encoding, false));
        for layer in others {
            skip(&mut decoded, layer.range.start)?;
            let body = decoded.take(layer.range.end.saturating_sub(layer.range.start));
            decoded = Box::new(DecodingReader::new(body, layer.encoding, false));
        }
        skip(&mut decoded, self.range.start)?;
        Ok(SpanReader(Source::Decoded(decoded.take(self.size()))))
    }
}

fn open_range<'r, R: Read + Seek>(
    reader: &'r mut R,
    range: &Range<u64>,
) -> io::Result<io::Take<&'r mut R>> {
    reader.seek(SeekFrom::Start(range.start))?;
    Ok(reader.take(range.end.saturating_sub(range.start)))
}

fn skip(reader: &mut impl Read, bytes: u64) -> io::Result<()> {
    io::copy(&mut reader.take(bytes), &mut io::sink()).map(|_| ())
}

/// Reads the bytes of a [`Span`].
pub struct SpanReader<'r, R>(Source<'r, R>);

enum Source<'r, R> {
    Plain(io::Take<&'r mut R>),
    Decoded(io::Take<Box<dyn Read + 'r>>),
}

impl<R> std::fmt::Debug for SpanReader<'_, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.0 {
            Source::Plain(_) => "SpanReader(plain)",
            Source::Decoded(_) => "SpanReader(decoded)",
        })
    }
}

impl<R: Read> Read for SpanReader<'_, R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match &mut self.0 {
            Source::Plain(reader) => reader.read(out),
            Source::Decoded(reader) => reader.read(out),
        }
    }
}

/// A part, and what its offsets count in.
#[derive(Clone, Debug)]
pub struct PartAt<'a> {
    /// The part.
    pub part: &'a Part,
    /// See [`Span::layers`].
    pub layers: Vec<Layer>,
}

impl<'a> PartAt<'a> {
    /// The root of a message.
    #[must_use]
    pub fn root(message: &'a Message) -> Self {
        Self { part: &message.root, layers: Vec::new() }
    }

    /// A child of a multipart.
    #[must_use]
    pub fn child(&self, part: &'a Part) -> Self {
        Self { part, layers: self.layers.clone() }
    }

    /// The root of the message in this part.
    #[must_use]
    pub fn message(&self) -> Option<Self> {
        let message = self.part.message.as_deref()?;
        let mut layers = self.layers.clone();
        if message.is_decoded {
            layers.push(Layer { range: self.part.body_range(), encoding: self.part.encoding });
        }
        Some(Self { part: &message.root, layers })
    }

    /// The header section with its empty line.
    #[must_use]
    pub fn header(&self) -> Span {
        Span { layers: self.layers.clone(), range: self.part.header_range() }
    }

    /// The body as sent.
    #[must_use]
    pub fn body(&self) -> Span {
        Span { layers: self.layers.clone(), range: self.part.body_range() }
    }
}

/// What of a part is asked for. RFC 9051 §6.4.5.1, `section-text` of §9.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SectionKind {
    /// `BODY[]` or `BODY[1.2]`: the message, or the body of the part.
    Whole,
    /// `HEADER`, and the source of `HEADER.FIELDS` (see [`select_fields`](crate::select_fields)):
    /// of the message, or of the message in the part.
    Header,
    /// `TEXT`: the body of the same.
    Text,
    /// `MIME`: the header section of the part.
    Mime,
}

impl Message {
    /// Finds a part by its IMAP number; an empty path is the message itself.
    ///
    /// A message that is no multipart has a part 1 all the same, which is its body. Numbers after a part with a message count in that message. RFC 9051 §6.4.5.1.
    #[must_use]
    pub fn part_at(&self, path: &[u32]) -> Option<PartAt<'_>> {
        let mut at = PartAt::root(self);
        // Whether `at` is a message, which is numbered from inside, or a numbered part.
        let mut is_message = true;
        for number in path {
            if !is_message && let Some(inner) = at.message() {
                at = inner;
                is_message = true;
            }
            let index = usize::try_from(number.checked_sub(1)?).ok()?;
            if at.part.is_multipart() {
                at = at.child(at.part.parts.get(index)?);
            } else if !is_message || index != 0 {
                return None;
            }
            is_message = false;
        }
        Some(at)
    }

    /// Finds the bytes of a section, or `None` if there is no such part or it is not a message
    /// (`HEADER`, `TEXT`) as RFC 9051 §6.4.5.1 wants. The whole of a message ends with it.
    ///
    /// `MIME` is the whole header section of the part with its empty line, as the RFC has it, not
    /// only its `Content-` fields.
    #[must_use]
    pub fn section(&self, path: &[u32], kind: SectionKind) -> Option<Span> {
        let at = self.part_at(path)?;
        if path.is_empty() {
            return match kind {
                SectionKind::Whole => Some(Span { layers: Vec::new(), range: 0..self.size }),
                SectionKind::Header => Some(at.header()),
                SectionKind::Text => {
                    Some(Span { layers: Vec::new(), range: self.root.body_offset..self.size })
                }
                SectionKind::Mime => None,
            };
        }
        match kind {
            SectionKind::Whole => Some(at.body()),
            SectionKind::Mime => Some(at.header()),
            SectionKind::Header => at.message().map(|inner| inner.header()),
            SectionKind::Text => at.message().map(|inner| inner.body()),
        }
    }
}

/// The bytes of `range` that `<origin.count>` asks for. RFC 9051 §6.4.5: past the end it is empty.
#[must_use]
pub fn partial(range: &Range<u64>, origin: u64, count: u64) -> Range<u64> {
    let start = range.start.saturating_add(origin).min(range.end);
    start..start.saturating_add(count).min(range.end)
}

/// Reads a whole span into memory, at most `bytes_max` bytes of it.
pub fn read_span<R: Read + Seek>(
    reader: &mut R,
    span: &Span,
    bytes_max: usize,
) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    span.open(reader)?.take(as_u64(bytes_max)).read_to_end(&mut out)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Limits, parse_bytes};

    /// The message of the example in RFC 9051 §6.4.5.1; each body says which it is.
    const EXAMPLE: &str = "Subject: top\r\nContent-Type: multipart/mixed; boundary=a\r\n\r\n\
        --a\r\n\r\none\r\n--a\r\nContent-Type: application/octet-stream\r\n\r\ntwo\r\n--a\r\n\
        Content-Type: message/rfc822\r\n\r\nSubject: 3\r\n\
        Content-Type: multipart/mixed; boundary=b\r\n\r\n\
        --b\r\n\r\n3.1\r\n--b\r\nContent-Type: application/x\r\n\r\n3.2\r\n--b--\r\n--a\r\n\
        Content-Type: multipart/mixed; boundary=c\r\n\r\n\
        --c\r\nContent-Type: image/gif\r\n\r\n4.1\r\n--c\r\nContent-Type: message/rfc822\r\n\r\n\
        Subject: 4.2\r\nContent-Type: multipart/mixed; boundary=d\r\n\r\n\
        --d\r\n\r\n4.2.1\r\n--d\r\nContent-Type: multipart/alternative; boundary=e\r\n\r\n\
        --e\r\n\r\n4.2.2.1\r\n--e\r\nContent-Type: text/richtext\r\n\r\n4.2.2.2\r\n--e--\r\n\
        --d--\r\n--c--\r\n--a--\r\n";

    #[track_caller]
    fn check(message: &str, path: &[u32], kind: SectionKind, want: Option<&str>) {
        let parsed = parse_bytes(message.as_bytes(), &Limits::default());
        let got = parsed.section(path, kind).map(|span| {
            let mut reader = io::Cursor::new(message);
            String::from_utf8(read_span(&mut reader, &span, 10_000).unwrap()).unwrap()
        });
        assert_eq!(got.as_deref(), want, "{path:?} {kind:?}");
    }

    /// RFC 9051 §6.4.5.1.
    #[test]
    fn sections_of_the_example_are_found() {
        use SectionKind::{Header, Mime, Text, Whole};
        let check = |path: &[u32], kind, want| check(EXAMPLE, path, kind, want);
        check(&[], Whole, Some(EXAMPLE));
        let (header, text) = EXAMPLE.split_at(EXAMPLE.find("--a").unwrap());
        check(&[], Header, Some(header));
        check(&[], Text, Some(text));
        check(&[1], Whole, Some("one"));
        check(&[1], Mime, Some("\r\n"));
        check(&[2], Whole, Some("two"));
        check(&[2], Mime, Some("Content-Type: application/octet-stream\r\n\r\n"));
        check(
            &[3],
            Header,
            Some("Subject: 3\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"),
        );
        check(
            &[3],
            Text,
            Some("--b\r\n\r\n3.1\r\n--b\r\nContent-Type: application/x\r\n\r\n3.2\r\n--b--"),
        );
        check(&[3], Mime, Some("Content-Type: message/rfc822\r\n\r\n"));
        check(&[3, 1], Whole, Some("3.1"));
        check(&[3, 2], Whole, Some("3.2"));
        check(&[4, 1], Whole, Some("4.1"));
        check(&[4, 1], Mime, Some("Content-Type: image/gif\r\n\r\n"));
        check(&[4, 2, 1], Whole, Some("4.2.1"));
        check(&[4, 2, 2, 1], Whole, Some("4.2.2.1"));
        check(&[4, 2, 2, 2], Whole, Some("4.2.2.2"));
        // No such part, or not a message.
        check(&[], Mime, None);
        check(&[0], Whole, None);
        check(&[5], Whole, None);
        check(&[u32::MAX], Whole, None);
        check(&[1, 1], Whole, None);
        check(&[1], Header, None);
        check(&[4], Text, None);
        check(&[4, 2, 1], Header, None);
    }

    /// RFC 9051 §6.4.5.1: part 1 of a message that is no multipart is its body.
    #[test]
    fn a_simple_message_has_one_part() {
        use SectionKind::{Header, Mime, Text, Whole};
        let simple = "Subject: x\r\n\r\nbody\r\n";
        check(simple, &[1], Whole, Some("body\r\n"));
        check(simple, &[1], Mime, Some("Subject: x\r\n\r\n"));
        check(simple, &[], Text, Some("body\r\n"));
        check(simple, &[1], Text, None);
        check(simple, &[2], Whole, None);
        check(simple, &[1, 1], Whole, None);
        let forward = "Content-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\nbody";
        check(forward, &[1], Whole, Some("Subject: in\r\n\r\nbody"));
        check(forward, &[1], Header, Some("Subject: in\r\n\r\n"));
        check(forward, &[1], Text, Some("body"));
        check(forward, &[1, 1], Whole, Some("body"));
        check(forward, &[1, 1, 1], Whole, None);
    }

    #[test]
    fn sections_of_an_encoded_message_are_decoded() {
        use SectionKind::{Header, Whole};
        // "Subject: in\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding:
        // quoted-printable\r\n\r\nSubject: =64eep\r\n\r\n=62ody\r\n", in base64.
        let message = "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n\
            U3ViamVjdDogaW4NCkNvbnRlbnQtVHlwZTogbWVzc2FnZS9yZmM4MjINCkNvbnRlbnQtVHJhbnNm\r\n\
            ZXItRW5jb2Rpbmc6IHF1b3RlZC1wcmludGFibGUNCg0KU3ViamVjdDogPTY0ZWVwDQoNCj02Mm9k\r\n\
            eQ0K";
        check(message, &[1, 1], Header, Some("Subject: deep\r\n\r\n"));
        check(message, &[1, 1, 1], Whole, Some("body\r\n"));
        check(message, &[1, 1], Whole, Some("Subject: =64eep\r\n\r\n=62ody\r\n"));
    }

    /// RFC 9051 §6.4.5, `partial`.
    #[test]
    fn partial_ranges_end_with_the_section() {
        assert_eq!(partial(&(10..20), 0, 5), 10..15);
        assert_eq!(partial(&(10..20), 5, 100), 15..20);
        assert_eq!(partial(&(10..20), 10, 1), 20..20);
        assert_eq!(partial(&(10..20), u64::MAX, u64::MAX), 20..20);
    }
}
