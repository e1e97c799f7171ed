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
    /// "Every message has at least one part number": part 1 of a message that is no multipart is
    /// its body. Numbers after a part with a message count in that message. RFC 9051 §6.4.5.1.
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
