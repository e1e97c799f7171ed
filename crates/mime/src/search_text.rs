//! All text of a message, for SEARCH and for an index. RFC 9051 §6.4.4.

use std::io::{self, Cursor, Read, Seek};
use std::ops::ControlFlow;

use memchr::memmem;

use crate::bytes::as_u64;
use crate::content::param;
use crate::encoded_word::decode_header;
use crate::header::fields;
use crate::html::HtmlText;
use crate::limits::{EMBEDDED_BYTES_MAX, HEADER_BYTES_MAX, HEADER_FIELDS_MAX};
use crate::section::{PartAt, read_span};
use crate::structure::{Message, Part};

/// Piece of the text of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SearchText<'a> {
    /// A header field, unfolded and decoded; and the name of a file, if it stands in the header in
    /// another form, as a field `filename` or `name`.
    Field {
        /// How many messages and parts the header is inside of: 0 for that of the message itself,
        /// which `BODY` does not search and `TEXT` does.
        depth: usize,
        /// Its name, as written.
        name: &'a str,
        /// Its value.
        value: &'a str,
    },
    /// A piece of the text of a part, in UTF-8; HTML without its tags. Pieces of one part follow
    /// one another without gap, and are cut between any two characters.
    Body(&'a str),
    /// The text of a part ends here; what follows does not continue it.
    PartEnd,
}

/// What takes the pieces, and may stop.
pub type SearchVisitor<'v> = &'v mut dyn FnMut(SearchText<'_>) -> ControlFlow<()>;

/// Gives the headers of all parts and the text of all text parts to `visit`, in the order of the
/// message, going into embedded messages.
///
/// `reader` must be the message from its start. Memory is constant, but that an embedded message in
/// base64 or quoted-printable is held while it is visited (parsing took it apart only if it was
/// below [`EMBEDDED_BYTES_MAX`]). Time is linear. Returns whether `visit` stopped it.
pub fn text_for_search<R: Read + Seek>(
    reader: &mut R,
    message: &Message,
    visit: SearchVisitor<'_>,
) -> io::Result<ControlFlow<()>> {
    visit_part(reader, &PartAt::root(message), 0, visit)
}

fn visit_part<R: Read + Seek>(
    reader: &mut R,
    at: &PartAt<'_>,
    depth: usize,
    visit: SearchVisitor<'_>,
) -> io::Result<ControlFlow<()>> {
    if visit_header(reader, at, depth, visit)?.is_break() {
        return Ok(ControlFlow::Break(()));
    }
    if let Some(embedded) = at.part.message.as_deref() {
        if embedded.is_decoded {
            // Decoded once for all its parts, not once for each.
            let mut body = at.open_decoded(reader)?.take(as_u64(EMBEDDED_BYTES_MAX));
            let mut decoded = Vec::new();
            body.read_to_end(&mut decoded)?;
            let inner = PartAt { part: &embedded.root, layers: Vec::new() };
            return visit_part(&mut Cursor::new(decoded), &inner, depth + 1, visit);
        }
        return visit_part(reader, &at.child(&embedded.root), depth + 1, visit);
    }
    for child in &at.part.parts {
        if visit_part(reader, &at.child(child), depth + 1, visit)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    if at.part.is_text() { visit_text(reader, at, visit) } else { Ok(ControlFlow::Continue(())) }
}

fn visit_header<R: Read + Seek>(
    reader: &mut R,
    at: &PartAt<'_>,
    depth: usize,
    visit: SearchVisitor<'_>,
) -> io::Result<ControlFlow<()>> {
    let header = read_span(reader, &at.header(), HEADER_BYTES_MAX)?;
    for field in fields(&header).take(HEADER_FIELDS_MAX) {
        let value = decode_header(field.value);
        let name = String::from_utf8_lossy(field.name);
        if visit(SearchText::Field { depth, name: &name, value: &value }).is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    visit_file_names(at.part, depth, &header, visit)
}

/// Gives the names of a file that do not stand in the header as people read them: encoded or in
/// segments (RFC 2231 §3, §4).
fn visit_file_names(
    part: &Part,
    depth: usize,
    header: &[u8],
    visit: SearchVisitor<'_>,
) -> io::Result<ControlFlow<()>> {
    let disposition = part.disposition.as_ref().map(|disposition| disposition.params.as_slice());
    let names = [(disposition, "filename"), (Some(part.params.as_slice()), "name")];
    for (params, name) in names {
        let Some(value) = params.and_then(|params| param(params, name)) else { continue };
        let value = decode_header(value.as_bytes());
        if memmem::find(header, value.as_bytes()).is_some() {
            continue;
        }
        if visit(SearchText::Field { depth, name, value: &value }).is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}

fn visit_text<R: Read + Seek>(
    reader: &mut R,
    at: &PartAt<'_>,
    visit: SearchVisitor<'_>,
) -> io::Result<ControlFlow<()>> {
    let mut html = at.part.is("TEXT", "HTML").then(HtmlText::new);
    let mut text = at.open_text(reader)?;
    while let Some(chunk) = text.next_chunk()? {
        let flow = match &mut html {
            None => visit(SearchText::Body(chunk)),
            Some(html) => {
                html.push(chunk);
                visit(SearchText::Body(&html.take()))
            }
        };
        if flow.is_break() {
            return Ok(flow);
        }
    }
    if let Some(html) = html
        && visit(SearchText::Body(&html.finish())).is_break()
    {
        return Ok(ControlFlow::Break(()));
    }
    Ok(visit(SearchText::PartEnd))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Limits, parse_bytes};

    const MESSAGE: &str = "Subject: =?utf-8?q?caf=C3=A9?=\r\n\
        Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\
        Content-Type: text/html; charset=iso-8859-1\r\nContent-Transfer-Encoding: base64\r\n\r\n\
        PGI+Y2Fm6TwvYj4=\r\n--x\r\nContent-Type: image/png; name*=utf-8''%E2%98%95.png\r\n\r\nnot text\r\n--x--\r\n";

    fn pieces(stop_after: usize) -> (Vec<String>, ControlFlow<()>) {
        let message = parse_bytes(MESSAGE.as_bytes(), &Limits::default());
        let mut out = Vec::new();
        let flow = text_for_search(&mut Cursor::new(MESSAGE), &message, &mut |piece| {
            match piece {
                SearchText::Field { depth, name, value } => {
                    out.push(format!("{depth} {name} {value}"));
                }
                SearchText::Body("") => return ControlFlow::Continue(()),
                SearchText::Body(text) => out.push(text.to_owned()),
                SearchText::PartEnd => out.push("end".to_owned()),
            }
            if out.len() == stop_after { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        (out, flow.unwrap())
    }

    /// RFC 9051 §6.4.4: `TEXT` is header and body, `BODY` without depth 0.
    #[test]
    fn all_text_is_given_in_order() {
        let (got, flow) = pieces(usize::MAX);
        assert!(flow.is_continue());
        let want = [
            "0 Subject café",
            "0 Content-Type multipart/mixed; boundary=x",
            "1 Content-Type text/html; charset=iso-8859-1",
            "1 Content-Transfer-Encoding base64",
            "café",
            "\n",
            "end",
            "1 Content-Type image/png; name*=utf-8''%E2%98%95.png",
            "1 name ☕.png",
        ];
        assert_eq!(got, want);
    }

    #[test]
    fn the_visitor_may_stop_anywhere() {
        let all = pieces(usize::MAX).0.len();
        for stop_after in 1..=all {
            let (got, flow) = pieces(stop_after);
            assert_eq!((got.len(), flow), (stop_after, ControlFlow::Break(())));
        }
    }
}
