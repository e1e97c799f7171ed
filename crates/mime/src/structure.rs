//! The part tree of a message, with offsets.

use std::ops::Range;

use crate::content::{Disposition, Param, param};
use crate::encoded_word::decode_header;
use crate::envelope::Envelope;
use crate::transfer::Encoding;

/// A parsed message: the root of its part tree, and its envelope.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Size in bytes.
    pub size: u64,
    /// Whether the header of a part has bytes above 0x7F, so that the message needs SMTPUTF8
    /// (RFC 6531 §3.1) or a conversion. Headers of embedded messages do not count.
    pub needs_smtputf8: bool,
    /// Envelope of the message itself.
    pub envelope: Envelope,
    /// The part that is the message.
    pub root: Part,
}

/// A part: its place in the stream, what its header says of it, and what is inside.
///
/// Invariants: `boundary_offset <= header_offset <= body_offset <= end_offset`; children lie within
/// the body, in order; a `MULTIPART` has at least one child, and `MESSAGE/RFC822` and
/// `MESSAGE/GLOBAL` have [`Part::message`]. What could not be taken apart (no boundary, nested too
/// deep) is an `APPLICATION/OCTET-STREAM`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// Start of the delimiter line; `None` for the part that is a message.
    pub boundary_offset: Option<u64>,
    /// Start of the header section.
    pub header_offset: u64,
    /// Start of the body, after the empty line.
    pub body_offset: u64,
    /// End of the body, before the line end that belongs to the next delimiter.
    pub end_offset: u64,
    /// Lines of the body as sent; a last one without line end counts.
    pub lines: u64,
    /// Size of the body after transfer decoding, for text with bare LF counted as CRLF. For a part
    /// with children the size as sent.
    pub decoded_size: u64,
    /// Whether the part has a Content-Type field; if not, the type is the default.
    pub has_content_type: bool,
    /// Upper case, such as `TEXT`.
    pub media_type: String,
    /// Upper case, such as `PLAIN`.
    pub media_subtype: String,
    /// Parameters of Content-Type, decoded.
    pub params: Vec<Param>,
    /// The meaning of [`Part::transfer_encoding`].
    pub encoding: Encoding,
    /// Content-Transfer-Encoding in upper case, if there is one.
    pub transfer_encoding: Option<Box<[u8]>>,
    /// Content-Disposition, decoded, if there is one that can be read.
    pub disposition: Option<Disposition>,
    /// Content-ID, raw, with its `<>`.
    pub content_id: Option<Box<[u8]>>,
    /// Content-Description, raw.
    pub content_description: Option<Box<[u8]>>,
    /// Content-MD5, raw.
    pub content_md5: Option<Box<[u8]>>,
    /// Content-Language, raw.
    pub content_language: Option<Box<[u8]>>,
    /// Content-Location, raw.
    pub content_location: Option<Box<[u8]>>,
    /// Children of a multipart.
    pub parts: Vec<Self>,
    /// The message inside a `MESSAGE/RFC822` or `MESSAGE/GLOBAL`.
    pub message: Option<Box<EmbeddedMessage>>,
}

/// A message inside a part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EmbeddedMessage {
    /// Its envelope.
    pub envelope: Envelope,
    /// Its root.
    pub root: Part,
    /// Whether the offsets in `root` count from the start of the decoded body of the part around
    /// it, because that is encoded; otherwise they count as those of the part around it.
    pub is_decoded: bool,
}

impl Part {
    /// Whether the part is of this type, given in upper case; any subtype if that is empty.
    #[must_use]
    pub fn is(&self, media_type: &str, media_subtype: &str) -> bool {
        self.media_type == media_type
            && (media_subtype.is_empty() || self.media_subtype == media_subtype)
    }

    /// Whether it is a multipart, which has children.
    #[must_use]
    pub fn is_multipart(&self) -> bool {
        !self.parts.is_empty()
    }

    /// Whether it is text of any kind.
    #[must_use]
    pub fn is_text(&self) -> bool {
        self.is("TEXT", "")
    }

    /// The header section with its empty line.
    #[must_use]
    pub fn header_range(&self) -> Range<u64> {
        self.header_offset..self.body_offset
    }

    /// The body as sent.
    #[must_use]
    pub fn body_range(&self) -> Range<u64> {
        self.body_offset..self.end_offset
    }

    /// Size of the body as sent, in bytes.
    #[must_use]
    pub fn body_size(&self) -> u64 {
        self.end_offset.saturating_sub(self.body_offset)
    }

    /// The value of a Content-Type parameter, named in lower case.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&str> {
        param(&self.params, name)
    }

    /// The charset the part claims; empty if none.
    #[must_use]
    pub fn charset(&self) -> &str {
        self.param("charset").unwrap_or_default()
    }

    /// Whether it is meant to be shown apart from the message. RFC 2183 §2.2.
    #[must_use]
    pub fn is_attachment(&self) -> bool {
        self.disposition.as_ref().is_some_and(|disposition| disposition.kind == "attachment")
    }

    /// The file name: `filename` of the disposition, else `name` of the type.
    ///
    /// Encoded-words in it are decoded, which RFC 2047 §5 forbids and much software does.
    #[must_use]
    pub fn filename(&self) -> Option<String> {
        let disposition = self.disposition.as_ref();
        let name = disposition
            .and_then(|disposition| param(&disposition.params, "filename"))
            .or_else(|| self.param("name"))?;
        if name.starts_with("=?") || name.ends_with("?=") {
            return Some(decode_header(name.as_bytes()));
        }
        Some(name.to_owned())
    }
}

impl Message {
    /// Whether it is a report on delivery: `multipart/report` whose second part is a
    /// delivery status. RFC 3464 §2, RFC 6533 §6.
    #[must_use]
    pub fn is_dsn(&self) -> bool {
        let is_status = |part: &Part| {
            part.is("MESSAGE", "DELIVERY-STATUS") || part.is("MESSAGE", "GLOBAL-DELIVERY-STATUS")
        };
        self.root.is("MULTIPART", "REPORT") && self.root.parts.get(1).is_some_and(is_status)
    }
}

#[cfg(test)]
mod tests {
    use crate::{Limits, parse_bytes};

    #[track_caller]
    fn check(header: &str, want: Option<&str>) {
        let message = parse_bytes(format!("{header}\r\n\r\n").as_bytes(), &Limits::default());
        assert_eq!(message.root.filename().as_deref(), want, "{header}");
    }

    /// RFC 2183 §2.3, RFC 2231 §4.
    #[test]
    fn file_names_are_found_and_decoded() {
        check("Content-Disposition: attachment; filename=a.pdf", Some("a.pdf"));
        check("Content-Disposition: inline; filename*=utf-8''%C3%A9", Some("é"));
        check("Content-Type: a/b; name=\"b c\"", Some("b c"));
        check("Content-Type: a/b; name=b\r\nContent-Disposition: inline; filename=a", Some("a"));
        check("Content-Type: a/b; name=b\r\nContent-Disposition: attachment", Some("b"));
        // Against RFC 2047 §5, and common.
        check("Content-Type: a/b; name=\"=?utf-8?q?=C3=A9?=\"", Some("é"));
        check("Content-Type: a/b; name=\"x =?utf-8?q?=C3=A9?=\"", Some("x é"));
        // None.
        check("Content-Type: a/b", None);
        check("Content-Disposition: ; filename=a", None);
    }

    /// RFC 2183 §2.2.
    #[test]
    fn attachments_are_known_by_their_disposition() {
        let is_attachment = |value: &str| {
            let text = format!("Content-Disposition: {value}\r\n\r\n");
            parse_bytes(text.as_bytes(), &Limits::default()).root.is_attachment()
        };
        assert!(is_attachment("ATTACHMENT"));
        assert!(is_attachment("(c) attachment; x=y"));
        assert!(!is_attachment("inline"));
        assert!(!is_attachment("attachments"));
    }
}
