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

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_text(text: &str) -> Message {
        parse_bytes(text.as_bytes(), &Limits::default())
    }

    fn shape(part: &Part) -> String {
        let inside: Vec<String> = part
            .parts
            .iter()
            .chain(part.message.iter().map(|message| &message.root))
            .map(shape)
            .collect();
        let name = part.media_subtype.to_lowercase();
        if inside.is_empty() { name } else { format!("{name}({})", inside.join(" ")) }
    }

    #[track_caller]
    fn check(text: &str, want: &str) {
        assert_eq!(shape(&parse_text(text).root), want, "{text:?}");
        // RFC 5322 §2.1 wants CRLF; bare LF has the same shape.
        assert_eq!(shape(&parse_text(&text.replace("\r\n", "\n")).root), want, "{text:?} with LF");
    }

    const MIXED: &str = "Content-Type: multipart/mixed; boundary=x\r\n\r\n";

    /// RFC 2046 §5.1.1.
    #[test]
    fn delimiters_are_told_from_text() {
        let check = |body: &str, want| check(&format!("{MIXED}{body}"), want);
        // Valid.
        check("--x\r\n\r\na\r\n--x--\r\n", "mixed(plain)");
        check(
            "preamble\r\n--x\r\n\r\na\r\n--x\r\n\r\nb\r\n--x--\r\nepilogue",
            "mixed(plain plain)",
        );
        check("--x \t\r\n\r\na\r\n--x-- \r\n", "mixed(plain)");
        // At the edge: text that only begins like one, an end without line end, parts after the end.
        check("--x\r\n\r\n--xy\r\n --x\r\n-x\r\na--x\r\n--x--", "mixed(plain)");
        check("--x--x\r\n--x\r\n\r\na", "octet-stream");
        check("--x\r\n\r\n--x--\r\n--x\r\n\r\nb", "mixed(plain)");
        // Past it: no end, cut anywhere.
        check("--x\r\n\r\na\r\n", "mixed(plain)");
        check("--x\r\nSubject: a", "mixed(plain)");
        check("--x", "mixed(plain)");
        check("--x\r\n--x\r\n--x", "mixed(plain plain plain)");
        // Never one.
        check("text", "octet-stream");
        check("", "octet-stream");
    }

    /// RFC 2046 §5.1.2: a delimiter of an outer multipart ends the inner ones.
    #[test]
    fn an_outer_delimiter_ends_what_is_open() {
        let inner = "--x\r\nContent-Type: multipart/related; boundary=xy\r\n\r\n--xy\r\n\r\na\r\n";
        check(&format!("{MIXED}{inner}--x\r\n\r\nb\r\n--x--"), "mixed(related(plain) plain)");
        check(&format!("{MIXED}{inner}--xy--\r\n\r\n--x\r\n\r\nb"), "mixed(related(plain) plain)");
        let message = "--x\r\nContent-Type: message/rfc822\r\n\r\nSubject: a\r\n";
        check(&format!("{MIXED}{message}--x\r\n\r\nb"), "mixed(rfc822(plain) plain)");
    }

    /// RFC 2045 §5.2, RFC 2046 §5.1.5.
    #[test]
    fn parts_without_type_have_the_default() {
        let message = parse_text("\r\ntext");
        assert!(!message.root.has_content_type && message.root.is("TEXT", "PLAIN"));
        assert_eq!(message.root.charset(), "us-ascii");
        let digest = "Content-Type: multipart/digest; boundary=x\r\n\r\n--x\r\n\r\n\
            Subject: a\r\n\r\nb\r\n--x\r\nContent-Type: text/plain\r\n\r\nc\r\n--x--\r\n";
        check(digest, "digest(rfc822(plain) plain)");
    }

    #[test]
    fn offsets_lines_and_sizes_are_those_of_the_bytes() {
        let text = format!("{MIXED}--x\r\nA: b\r\n\r\none\ntwo\r\n\r\n--x--\r\n");
        let message = parse_text(&text);
        let part = &message.root.parts[0];
        let at = |needle: &str| u64::try_from(text.find(needle).unwrap()).unwrap();
        assert_eq!(part.boundary_offset, Some(at("--x")));
        assert_eq!(part.header_offset, at("A: b"));
        assert_eq!(part.body_offset, at("one"));
        assert_eq!(part.end_offset, at("\r\n--x--"));
        // The line end before the delimiter is not the part's; the bare LF counts as CRLF.
        assert_eq!((part.body_size(), part.lines, part.decoded_size), (9, 2, 10));
        assert_eq!(message.size, message.root.end_offset);
    }

    #[test]
    fn limits_turn_the_rest_into_leaves() {
        let nest = |depth: usize| -> String {
            let level =
                |i| format!("Content-Type: multipart/mixed; boundary=b{i}\r\n\r\n--b{i}\r\n");
            (0..depth).map(level).collect()
        };
        let depth_of = |mut part: &Part| {
            let mut depth = 0;
            while let Some(child) = part.parts.first() {
                (part, depth) = (child, depth + 1);
            }
            (depth, part.media_subtype.clone())
        };
        let leaf = |depth| depth_of(&parse_text(&format!("{}\r\nx", nest(depth))).root);
        assert_eq!(leaf(DEPTH_MAX), (DEPTH_MAX, "PLAIN".to_owned()));
        assert_eq!(leaf(DEPTH_MAX + 1), (DEPTH_MAX, "OCTET-STREAM".to_owned()));

        let many = format!("{MIXED}{}--x--\r\n", "--x\r\n\r\na\r\n".repeat(2_000));
        let message = parse_text(&many);
        // The root is a part too.
        assert_eq!(message.root.parts.len(), Limits::default().parts - 1);
        assert_eq!(message.root.end_offset, message.size);

        let limits = Limits { header_bytes: 20, ..Limits::default() };
        let long = b"Subject: a\r\nX: y\r\nContent-Type: text/html\r\n\r\nbody";
        let message = parse_bytes(long, &limits);
        assert_eq!(message.envelope.subject.as_deref(), Some(&b"a"[..]));
        assert!(!message.root.has_content_type);
        assert_eq!(message.root.body_size(), 4);

        let limits = Limits { header_fields: 1, addresses: 2, ..Limits::default() };
        let message = parse_bytes(b"To: a@b, c@d, e@f\r\nSubject: x\r\n\r\n", &limits);
        assert_eq!((message.envelope.to.len(), message.envelope.subject), (2, None));
    }

    #[test]
    fn an_encoded_message_is_looked_into_up_to_a_size() {
        let text = "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n\
            U3ViamVjdDogaW4NCg0KYm9keQ==";
        let message = parse_text(text);
        let inner = message.root.message.as_ref().unwrap();
        assert!(inner.is_decoded);
        assert_eq!((inner.root.body_offset, inner.root.end_offset), (15, 19));
        assert_eq!(message.root.decoded_size, 19);
        let limits = Limits { embedded_bytes: 18, ..Limits::default() };
        let leaf = parse_bytes(text.as_bytes(), &limits).root;
        assert!(leaf.message.is_none() && leaf.is("APPLICATION", "OCTET-STREAM"));
        assert_eq!((leaf.encoding, leaf.decoded_size), (Encoding::Base64, 19));
    }

    /// RFC 6531 §3.1; embedded messages are content.
    #[test]
    fn eight_bit_headers_are_noticed() {
        assert!(!parse_text("Subject: a\r\n\r\né").needs_smtputf8);
        assert!(parse_text("Subject: é\r\n\r\n").needs_smtputf8);
        assert!(parse_text(&format!("{MIXED}--x\r\nA: é\r\n\r\n")).needs_smtputf8);
        let inner = "Content-Type: message/rfc822\r\n\r\nSubject: é\r\n\r\n";
        assert!(!parse_text(inner).needs_smtputf8);
    }

    /// RFC 3464 §2.
    #[test]
    fn delivery_reports_are_known() {
        let report = |kind: &str| {
            let head = "Content-Type: multipart/report; boundary=x\r\n\r\n--x\r\n\r\na\r\n--x\r\n";
            parse_text(&format!("{head}Content-Type: {kind}\r\n\r\nb\r\n--x--\r\n")).is_dsn()
        };
        assert!(report("message/delivery-status"));
        assert!(report("message/global-delivery-status"));
        assert!(!report("message/disposition-notification"));
        assert!(!parse_text("Content-Type: message/delivery-status\r\n\r\n").is_dsn());
    }
}
