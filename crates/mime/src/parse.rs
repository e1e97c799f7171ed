//! Makes the part tree in one pass over the message. RFC 2046 §5.

use std::io::{self, Cursor, Read};

use crate::bytes::head;
use crate::content::{ContentType, Disposition, first_token, param};
use crate::envelope::{Envelope, set};
use crate::header::fields;
use crate::limits::{BOUNDARY_BYTES_MAX, DEPTH_MAX, Limits};
use crate::scan::{Mark, Scanner, Stop, StopKind};
use crate::structure::{EmbeddedMessage, Message, Part};
use crate::transfer::{Encoding, SizeCounter, TransferDecoder};

/// Reads a message from where `reader` stands to its end, and takes it apart.
///
/// No content makes it fail; errors are those of the reader. Reads each byte once, keeps no body in
/// memory but those of embedded messages that are encoded (at most `limits.embedded_bytes` in
/// all), and takes time linear in the size of the message.
///
/// Lenient where the wild is: line ends may be bare LF; a multipart without its closing delimiter
/// keeps its parts; a header may end at a delimiter or at the end; a field that cannot be read
/// counts as absent.
pub fn parse(reader: impl Read, limits: &Limits) -> io::Result<Message> {
    parse_with_header(reader, limits).map(|(message, _)| message)
}

/// Takes a message in memory apart; see [`parse`].
#[must_use]
pub fn parse_bytes(message: &[u8], limits: &Limits) -> Message {
    // Reading from memory cannot fail.
    parse(Cursor::new(message), limits).unwrap_or_default()
}

/// As [`parse`], with the interpreted part of the message's own header section.
pub(crate) fn parse_with_header(
    reader: impl Read,
    limits: &Limits,
) -> io::Result<(Message, Vec<u8>)> {
    let mut budget = Budget {
        parts: limits.parts,
        header_bytes: limits.headers_total_bytes,
        addresses: limits.addresses,
        embedded_bytes: limits.embedded_bytes,
    };
    let depth_max = limits.depth.min(DEPTH_MAX);
    let mut parser = Parser {
        scanner: Scanner::new(reader),
        limits: *limits,
        depth_max,
        budget: &mut budget,
        needs_smtputf8: false,
        top_header: None,
    };
    let (envelope, root) = parser.message(0)?;
    let message = Message {
        size: parser.scanner.here().offset,
        needs_smtputf8: parser.needs_smtputf8,
        envelope,
        root,
    };
    Ok((message, parser.top_header.unwrap_or_default()))
}

/// What may still be spent on this message.
struct Budget {
    parts: usize,
    header_bytes: usize,
    addresses: usize,
    embedded_bytes: usize,
}

struct Parser<'b, R> {
    scanner: Scanner<R>,
    limits: Limits,
    depth_max: usize,
    budget: &'b mut Budget,
    needs_smtputf8: bool,
    /// Set by the first header section read.
    top_header: Option<Vec<u8>>,
}

/// Where a part stands.
#[derive(Clone, Copy)]
struct Place {
    boundary_offset: Option<u64>,
    depth: usize,
    /// Whether it is in an embedded message.
    is_embedded: bool,
    /// Whether its default type is `message/rfc822` (RFC 2046 §5.1.5).
    is_in_digest: bool,
}

impl<R: Read> Parser<'_, R> {
    /// Reads a whole message that is alone in the stream.
    fn message(&mut self, depth: usize) -> io::Result<(Envelope, Part)> {
        let place =
            Place { boundary_offset: None, depth, is_embedded: depth > 0, is_in_digest: false };
        let mut envelope = Envelope::default();
        let (part, _) = self.part(place, Some(&mut envelope))?;
        Ok((envelope, part))
    }

    /// Reads a part up to the delimiter that ends it; `envelope` is filled if it is a message.
    fn part(&mut self, place: Place, envelope: Option<&mut Envelope>) -> io::Result<(Part, Stop)> {
        self.budget.parts = self.budget.parts.saturating_sub(1);
        let header_offset = self.scanner.here().offset;
        let mut header = Vec::new();
        let header_max = self.limits.header_bytes.min(self.budget.header_bytes);
        let has_8bit = self.scanner.scan_header(&mut header, header_max)?;
        self.budget.header_bytes -= header.len();
        self.needs_smtputf8 |= has_8bit && !place.is_embedded;

        let mut part = Part {
            boundary_offset: place.boundary_offset,
            header_offset,
            body_offset: self.scanner.here().offset,
            ..Part::default()
        };
        self.read_header(&header, &mut part, envelope, place.is_in_digest);
        if self.top_header.is_none() {
            self.top_header = Some(header);
        }
        let start = self.scanner.here();
        let (stop, decoded_size) = self.body(&mut part, place)?;
        set_end(&mut part, start, stop.end);
        part.decoded_size = decoded_size.unwrap_or(part.decoded_size);
        Ok((part, stop))
    }

    fn read_header(
        &mut self,
        header: &[u8],
        part: &mut Part,
        mut envelope: Option<&mut Envelope>,
        is_in_digest: bool,
    ) {
        let mut content_type = None;
        for field in fields(header).take(self.limits.header_fields) {
            if let Some(envelope) = envelope.as_deref_mut() {
                envelope.take(&field, &mut self.budget.addresses);
            }
            if !head(field.name, 8).eq_ignore_ascii_case(b"content-") {
                continue;
            }
            let value = field.value;
            match field.name.len() {
                12 if field.is("Content-Type") => {
                    content_type.get_or_insert_with(|| ContentType::parse(value));
                }
                25 if field.is("Content-Transfer-Encoding") => {
                    let token = first_token(value);
                    part.encoding = Encoding::from_field(token);
                    part.transfer_encoding = Some(token.to_ascii_uppercase().into());
                }
                19 if field.is("Content-Disposition") => {
                    part.disposition =
                        part.disposition.take().or_else(|| Disposition::parse(value));
                }
                10 if field.is("Content-ID") => set(&mut part.content_id, value),
                19 if field.is("Content-Description") => set(&mut part.content_description, value),
                11 if field.is("Content-MD5") => set(&mut part.content_md5, value),
                16 if field.is("Content-Language") => set(&mut part.content_language, value),
                16 if field.is("Content-Location") => set(&mut part.content_location, value),
                _ => {}
            }
        }
        part.has_content_type = content_type.is_some();
        let content_type = content_type.unwrap_or_else(|| {
            if is_in_digest {
                ContentType::simple("MESSAGE", "RFC822")
            } else {
                ContentType::text_plain()
            }
        });
        part.media_type = content_type.media_type;
        part.media_subtype = content_type.media_subtype;
        part.params = content_type.params;
    }

    /// Reads a body. Gives its decoded size if that does not follow from its ends.
    fn body(&mut self, part: &mut Part, place: Place) -> io::Result<(Stop, Option<u64>)> {
        let can_nest = place.depth < self.depth_max && self.budget.parts > 0;
        if part.is("MULTIPART", "") {
            if can_nest && let Some(boundary) = boundary(part) {
                return self.multipart(part, place, boundary).map(|stop| (stop, None));
            }
        } else if part.is("MESSAGE", "RFC822") || part.is("MESSAGE", "GLOBAL") {
            match part.encoding {
                Encoding::Identity if can_nest => {
                    return self.embedded(part, place).map(|stop| (stop, None));
                }
                Encoding::Base64 | Encoding::QuotedPrintable if can_nest => {
                    return self.encoded_message(part, place);
                }
                _ => {}
            }
        } else {
            return self.leaf(part);
        }
        make_opaque(part);
        self.leaf(part)
    }

    fn leaf(&mut self, part: &Part) -> io::Result<(Stop, Option<u64>)> {
        let mut counter = SizeCounter::new(part.encoding, part.is_text());
        let stop = self.scanner.scan_body(|bytes| counter.push(bytes))?;
        Ok((stop, counter.finish()))
    }

    /// Preamble, parts and epilogue. RFC 2046 §5.1.1.
    fn multipart(&mut self, part: &mut Part, place: Place, boundary: Vec<u8>) -> io::Result<Stop> {
        let own_level = self.scanner.boundaries.len();
        self.scanner.boundaries.push(boundary);
        let mut stop = self.scanner.scan_body(|_| ())?;
        while let StopKind::Delimiter { level, closing } = stop.kind {
            if level != own_level {
                break;
            }
            if closing || self.budget.parts == 0 {
                self.scanner.boundaries.truncate(own_level);
                stop = self.scanner.scan_line_and_body()?;
                break;
            }
            let child = Place {
                boundary_offset: Some(self.scanner.here().offset),
                depth: place.depth + 1,
                is_embedded: place.is_embedded,
                is_in_digest: part.is("MULTIPART", "DIGEST"),
            };
            self.scanner.skip_line()?;
            let (child, next) = self.part(child, None)?;
            part.parts.push(child);
            stop = next;
        }
        self.scanner.boundaries.truncate(own_level);
        if part.parts.is_empty() {
            make_opaque(part);
        }
        Ok(stop)
    }

    /// A message whose bytes stand in the stream as they are. RFC 2046 §5.2.1.
    fn embedded(&mut self, part: &mut Part, place: Place) -> io::Result<Stop> {
        let place = Place {
            boundary_offset: None,
            depth: place.depth + 1,
            is_embedded: true,
            is_in_digest: false,
        };
        let mut envelope = Envelope::default();
        let (root, stop) = self.part(place, Some(&mut envelope))?;
        part.message = Some(Box::new(EmbeddedMessage { envelope, root, is_decoded: false }));
        Ok(stop)
    }

    /// A message in base64 or quoted-printable.
    ///
    /// RFC 2046 §5.2.1 forbids that for `message/rfc822`, RFC 6532 §3.5 allows it for
    /// `message/global`; both are seen.
    fn encoded_message(
        &mut self,
        part: &mut Part,
        place: Place,
    ) -> io::Result<(Stop, Option<u64>)> {
        let mut counter = SizeCounter::new(part.encoding, false);
        let mut decoder = TransferDecoder::new(part.encoding, false);
        let (mut decoded, mut fits) = (Vec::new(), true);
        let room = self.budget.embedded_bytes;
        let stop = self.scanner.scan_body(|bytes| {
            counter.push(bytes);
            if fits {
                decoder.decode(bytes, &mut decoded);
                fits = decoded.len() <= room;
            }
        })?;
        decoder.finish(&mut decoded);
        if !fits || decoded.len() > room {
            make_opaque(part);
            return Ok((stop, counter.finish()));
        }
        self.budget.embedded_bytes -= decoded.len();
        let mut inner = Parser {
            scanner: Scanner::new(Cursor::new(decoded)),
            limits: self.limits,
            depth_max: self.depth_max,
            budget: &mut *self.budget,
            needs_smtputf8: false,
            top_header: None,
        };
        let (envelope, root) = inner.message(place.depth + 1)?;
        part.message = Some(Box::new(EmbeddedMessage { envelope, root, is_decoded: true }));
        Ok((stop, counter.finish()))
    }
}

/// The boundary that ends parts, if there is one that can. RFC 2046 §5.1.1.
fn boundary(part: &Part) -> Option<Vec<u8>> {
    let boundary = param(&part.params, "boundary")?.trim_end_matches(' ');
    let is_usable = !boundary.is_empty()
        && boundary.len() <= BOUNDARY_BYTES_MAX
        && !boundary.bytes().any(|b| b.is_ascii_control());
    is_usable.then(|| boundary.as_bytes().to_vec())
}

/// Turns a multipart or message that cannot be taken apart into a leaf that any reader can take.
fn make_opaque(part: &mut Part) {
    if part.is("MULTIPART", "") && part.encoding != Encoding::Identity {
        // No encoding applies to a multipart (RFC 2045 §6.4).
        part.encoding = Encoding::Identity;
        part.transfer_encoding = None;
    }
    part.media_type = "APPLICATION".to_owned();
    part.media_subtype = "OCTET-STREAM".to_owned();
    part.params.retain(|param| param.name == "name");
}

fn set_end(part: &mut Part, start: Mark, end: Mark) {
    part.end_offset = end.offset;
    let size = part.body_size();
    part.lines = end.line_feeds - start.line_feeds;
    part.lines += u64::from(size > 0 && !end.is_line_start);
    let bare = end.bare_line_feeds - start.bare_line_feeds;
    part.decoded_size = if part.is_text() { size + bare } else { size };
}
