//! A compact form of [`Message`] for a database row.
//!
//! ```text
//! blob      = %x01 flags size envelope part     ; version 1
//! flags     = 1 byte                            ; 1: needs SMTPUTF8
//! envelope  = length *byte                      ; so that it can be skipped
//!             ; inside: date subject in-reply-to message-id, then six lists
//! list      = count *address                    ; from sender reply-to to cc bcc
//! address   = name mailbox host
//! part      = length *byte
//!             ; inside: bits boundary header body end lines decoded type subtype params
//!             ; the optional fields, [envelope-and-part of a message], count *part
//! optional  = number [*byte]                    ; 0 is absent, else length + 1
//! string    = number *byte
//! number    = 1*10byte                          ; LEB128, least significant group first
//! length    = 4 bytes, least significant first
//! ```
//!
//! `boundary`, `body` and `end` are distances from the offset before them in the order boundary,
//! header, body, end.

use crate::bytes::{as_u64, low_byte};
use crate::content::Param;
use crate::envelope::Envelope;
use crate::stored::MessageRef;
use crate::structure::{Message, Part};
use crate::transfer::Encoding;

/// The first byte of a blob this code writes and reads.
pub const BLOB_VERSION: u8 = 1;

/// Why stored bytes are no message structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlobError {
    /// Another version; the message must be parsed again.
    Version,
    /// The bytes end too early.
    Truncated,
    /// A field has a value that is never written.
    Malformed,
    /// Parts are nested too deep.
    TooDeep,
}

impl std::fmt::Display for BlobError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Version => "stored structure has another version",
            Self::Truncated => "stored structure is truncated",
            Self::Malformed => "stored structure is malformed",
            Self::TooDeep => "stored structure is nested too deep",
        })
    }
}

impl std::error::Error for BlobError {}

pub(crate) const FLAG_SMTPUTF8: u64 = 1;
pub(crate) const PART_HAS_TYPE: u64 = 1;
pub(crate) const PART_HAS_MESSAGE: u64 = 2;
pub(crate) const PART_IS_DECODED: u64 = 4;
pub(crate) const PART_HAS_BOUNDARY: u64 = 8;
pub(crate) const PART_HAS_FIELDS: u64 = 16;
pub(crate) const PART_ENCODING_SHIFT: u32 = 5;

impl Message {
    /// Writes the message for storing; read by [`MessageRef::new`] and [`Message::from_blob`].
    #[must_use]
    pub fn to_blob(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(512);
        out.push(BLOB_VERSION);
        put_number(&mut out, if self.needs_smtputf8 { FLAG_SMTPUTF8 } else { 0 });
        put_number(&mut out, self.size);
        put_sized(&mut out, |out| put_envelope(out, &self.envelope));
        put_sized(&mut out, |out| put_part(out, &self.root));
        out
    }

    /// Reads a whole stored message.
    pub fn from_blob(blob: &[u8]) -> Result<Self, BlobError> {
        let message = MessageRef::new(blob)?;
        Ok(Self {
            size: message.size(),
            needs_smtputf8: message.needs_smtputf8(),
            envelope: message.envelope()?.to_envelope()?,
            root: message.root()?.to_part()?,
        })
    }
}

fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(low_byte(u32::try_from(number & 0x7F).unwrap_or_default()) | 0x80);
        number >>= 7;
    }
    out.push(low_byte(u32::try_from(number).unwrap_or_default()));
}

/// Writes what `put` writes, with its length before it.
fn put_sized(out: &mut Vec<u8>, put: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    put(out);
    // Far below 4 GiB: everything kept is bounded by the limits of parsing.
    let length = u32::try_from(out.len() - at - 4).unwrap_or(u32::MAX).to_le_bytes();
    if let Some(place) = out.get_mut(at..at + 4) {
        place.copy_from_slice(&length);
    }
}

fn put_string(out: &mut Vec<u8>, text: &[u8]) {
    put_number(out, as_u64(text.len()));
    out.extend_from_slice(text);
}

fn put_optional(out: &mut Vec<u8>, text: Option<&[u8]>) {
    match text {
        None => put_number(out, 0),
        Some(text) => {
            put_number(out, as_u64(text.len()) + 1);
            out.extend_from_slice(text);
        }
    }
}

fn put_envelope(out: &mut Vec<u8>, envelope: &Envelope) {
    put_optional(out, envelope.date.as_deref());
    put_optional(out, envelope.subject.as_deref());
    put_optional(out, envelope.in_reply_to.as_deref());
    put_optional(out, envelope.message_id.as_deref());
    let Envelope { from, sender, reply_to, to, cc, bcc, .. } = envelope;
    for list in [from, sender, reply_to, to, cc, bcc] {
        put_number(out, as_u64(list.len()));
        for address in list {
            put_optional(out, address.name.as_deref());
            put_optional(out, address.mailbox.as_deref());
            put_optional(out, address.host.as_deref());
        }
    }
}

fn put_params(out: &mut Vec<u8>, params: &[Param]) {
    put_number(out, as_u64(params.len()));
    for Param { name, value } in params {
        put_string(out, name.as_bytes());
        put_string(out, value.as_bytes());
    }
}

/// The fields few parts have, in the order they are written.
fn rare_fields(part: &Part) -> [Option<&[u8]>; 6] {
    [
        part.transfer_encoding.as_deref(),
        part.content_id.as_deref(),
        part.content_description.as_deref(),
        part.content_md5.as_deref(),
        part.content_language.as_deref(),
        part.content_location.as_deref(),
    ]
}

fn put_part(out: &mut Vec<u8>, part: &Part) {
    let rare = rare_fields(part);
    let has_fields = part.disposition.is_some() || rare.iter().any(Option::is_some);
    let encoding: u64 = match part.encoding {
        Encoding::Identity => 0,
        Encoding::Base64 => 1,
        Encoding::QuotedPrintable => 2,
        Encoding::Unknown => 3,
    };
    let bit = |is_set: bool, bit: u64| if is_set { bit } else { 0 };
    let bits = bit(part.has_content_type, PART_HAS_TYPE)
        | bit(part.message.is_some(), PART_HAS_MESSAGE)
        | bit(part.message.as_ref().is_some_and(|m| m.is_decoded), PART_IS_DECODED)
        | bit(part.boundary_offset.is_some(), PART_HAS_BOUNDARY)
        | bit(has_fields, PART_HAS_FIELDS)
        | encoding << PART_ENCODING_SHIFT;
    put_number(out, bits);
    if let Some(offset) = part.boundary_offset {
        put_number(out, part.header_offset.saturating_sub(offset));
    }
    put_number(out, part.header_offset);
    put_number(out, part.body_offset.saturating_sub(part.header_offset));
    put_number(out, part.body_size());
    put_number(out, part.lines);
    put_number(out, part.decoded_size);
    put_string(out, part.media_type.as_bytes());
    put_string(out, part.media_subtype.as_bytes());
    put_params(out, &part.params);
    if has_fields {
        for field in rare {
            put_optional(out, field);
        }
        put_optional(out, part.disposition.as_ref().map(|d| d.kind.as_bytes()));
        if let Some(disposition) = &part.disposition {
            put_params(out, &disposition.params);
        }
    }
    if let Some(message) = &part.message {
        put_sized(out, |out| put_envelope(out, &message.envelope));
        put_sized(out, |out| put_part(out, &message.root));
    }
    put_number(out, as_u64(part.parts.len()));
    for child in &part.parts {
        put_sized(out, |out| put_part(out, child));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BlobError, Limits, parse_bytes};

    fn blob() -> Vec<u8> {
        parse_bytes(
            b"From: A <a@b>\r\nTo: g: c@d;\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n\
              --x\r\nContent-ID: <i>\r\nContent-Disposition: inline; filename=f\r\n\r\nt\r\n\
              --x\r\nContent-Type: message/rfc822\r\n\r\nSubject: s\r\n\r\nu\r\n--x--\r\n",
            &Limits::default(),
        )
        .to_blob()
    }

    #[test]
    fn a_stored_message_is_read_in_place() {
        let blob = blob();
        let message = MessageRef::new(&blob).unwrap();
        let envelope = message.envelope().unwrap();
        let hosts = |list: crate::AddressesRef<'_>| -> Vec<String> {
            list.map(|a| String::from_utf8_lossy(a.host.unwrap_or(b"-")).into_owned()).collect()
        };
        // RFC 9051 §7.5.2: Sender and Reply-To default to From, and groups have markers.
        assert_eq!(hosts(envelope.from()), ["b"]);
        assert_eq!(hosts(envelope.sender()), ["b"]);
        assert_eq!(hosts(envelope.reply_to()), ["b"]);
        assert_eq!(hosts(envelope.to()), ["-", "d", "-"]);
        assert!(envelope.cc().is_empty() && envelope.bcc().is_empty());
        assert_eq!((envelope.date, envelope.subject), (None, None));

        let root = message.root().unwrap();
        let parts: Vec<_> = root.parts().map(Result::unwrap).collect();
        assert_eq!(parts.len(), 2);
        assert_eq!(parts[0].content_id, Some(&b"<i>"[..]));
        let (kind, params) = parts[0].disposition.unwrap();
        assert_eq!((kind, params.collect::<Vec<_>>()), ("inline", vec![("filename", "f")]));
        let (envelope, inner, is_decoded) = parts[1].message().unwrap().unwrap();
        assert_eq!((envelope.subject, inner.media_type), (Some(&b"s"[..]), "TEXT"));
        assert!(!is_decoded && parts[1].has_message() && !parts[1].is_multipart());
    }

    #[test]
    fn what_was_not_written_is_refused() {
        let good = blob();
        let check = |blob: &[u8], want| assert_eq!(Message::from_blob(blob).err(), want);
        check(&good, None);
        check(&[], Some(BlobError::Truncated));
        check(&[BLOB_VERSION + 1], Some(BlobError::Version));
        check(&good[..good.len() - 1], Some(BlobError::Truncated));
        check(&[&good[..], b"x"].concat(), Some(BlobError::Malformed));
        // A number that does not end, and one over 64 bits.
        check(&[BLOB_VERSION, 0xFF, 0xFF, 0xFF], Some(BlobError::Truncated));
        let huge = [&[BLOB_VERSION][..], &[0xFF; 9], &[0x7F]].concat();
        check(&huge, Some(BlobError::Malformed));
        // A flag of a later version.
        check(&[&[BLOB_VERSION, 2][..], &good[2..]].concat(), Some(BlobError::Malformed));
    }

    #[test]
    fn nesting_in_a_hostile_blob_is_bounded() {
        let mut part = Part { media_type: "A".to_owned(), ..Part::default() };
        for _ in 0..1_000 {
            part = Part { media_type: "A".to_owned(), parts: vec![part], ..Part::default() };
        }
        let blob = Message { root: part, ..Message::default() }.to_blob();
        assert_eq!(Message::from_blob(&blob), Err(BlobError::TooDeep));
    }
}
