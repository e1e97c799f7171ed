//! Reads a stored message in place. The format is described in the module that writes it.

use crate::address::EnvelopeAddress;
use crate::blob::{
    BLOB_VERSION, BlobError, FLAG_SMTPUTF8, PART_ENCODING_SHIFT, PART_HAS_BOUNDARY,
    PART_HAS_FIELDS, PART_HAS_MESSAGE, PART_HAS_TYPE, PART_IS_DECODED,
};
use crate::bytes::{as_usize, sub, tail};
use crate::content::{Disposition, Param};
use crate::envelope::Envelope;
use crate::limits::DEPTH_MAX;
use crate::structure::{EmbeddedMessage, Part};
use crate::transfer::Encoding;

/// Reads the pieces of a blob in order.
#[derive(Clone, Copy, Debug)]
struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    fn number(&mut self) -> Result<u64, BlobError> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.rest.split_first().ok_or(BlobError::Truncated)?;
            self.rest = rest;
            let group = u64::from(byte & 0x7F);
            if group << shift >> shift != group {
                return Err(BlobError::Malformed);
            }
            number |= group << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(BlobError::Malformed)
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], BlobError> {
        let (taken, rest) =
            self.rest.split_at_checked(as_usize(length)).ok_or(BlobError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    fn sized(&mut self) -> Result<Self, BlobError> {
        let (length, rest) = self.rest.split_first_chunk::<4>().ok_or(BlobError::Truncated)?;
        self.rest = rest;
        self.take(u32::from_le_bytes(*length).into()).map(|rest| Input { rest })
    }

    fn string(&mut self) -> Result<&'a str, BlobError> {
        let length = self.number()?;
        std::str::from_utf8(self.take(length)?).map_err(|_| BlobError::Malformed)
    }

    fn optional(&mut self) -> Result<Option<&'a [u8]>, BlobError> {
        match self.number()?.checked_sub(1) {
            None => Ok(None),
            Some(length) => self.take(length).map(Some),
        }
    }

    /// A number of items of at least `bytes` each, which cannot be more than there is room for.
    fn count(&mut self, bytes: usize) -> Result<usize, BlobError> {
        let count = as_usize(self.number()?);
        if count > self.rest.len() / bytes { Err(BlobError::Truncated) } else { Ok(count) }
    }

    /// Steps over parameters, and gives a reader for them.
    fn params(&mut self) -> Result<ParamsRef<'a>, BlobError> {
        let count = self.count(2)?;
        let start = self.rest;
        for _ in 0..count {
            self.string()?;
            self.string()?;
        }
        let used = start.len() - self.rest.len();
        Ok(ParamsRef { input: Input { rest: sub(start, 0, used) }, count })
    }
}

/// A stored message, read in place. Nothing is decoded before it is asked for.
#[derive(Clone, Copy, Debug)]
pub struct MessageRef<'a> {
    flags: u64,
    size: u64,
    envelope: Input<'a>,
    root: Input<'a>,
}

impl<'a> MessageRef<'a> {
    /// Opens a blob of [`Message::to_blob`](crate::Message::to_blob). Looks at the outermost lengths only.
    pub fn new(blob: &'a [u8]) -> Result<Self, BlobError> {
        match blob.first() {
            None => return Err(BlobError::Truncated),
            Some(&BLOB_VERSION) => {}
            Some(_) => return Err(BlobError::Version),
        }
        let mut input = Input { rest: tail(blob, 1) };
        let (flags, size) = (input.number()?, input.number()?);
        let (envelope, root) = (input.sized()?, input.sized()?);
        if !input.rest.is_empty() || flags > FLAG_SMTPUTF8 {
            return Err(BlobError::Malformed);
        }
        Ok(Self { flags, size, envelope, root })
    }

    /// Size of the message in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// See [`Message::needs_smtputf8`](crate::Message::needs_smtputf8).
    #[must_use]
    pub fn needs_smtputf8(&self) -> bool {
        self.flags & FLAG_SMTPUTF8 != 0
    }

    /// The envelope. Does not touch the part tree.
    pub fn envelope(&self) -> Result<EnvelopeRef<'a>, BlobError> {
        EnvelopeRef::read(self.envelope)
    }

    /// The root of the part tree. Does not touch the envelope.
    pub fn root(&self) -> Result<PartRef<'a>, BlobError> {
        PartRef::read(self.root, 0)
    }
}

/// A stored envelope. RFC 9051 §7.5.2.
#[derive(Clone, Copy, Debug)]
pub struct EnvelopeRef<'a> {
    /// See [`Envelope::date`].
    pub date: Option<&'a [u8]>,
    /// See [`Envelope::subject`].
    pub subject: Option<&'a [u8]>,
    /// See [`Envelope::in_reply_to`].
    pub in_reply_to: Option<&'a [u8]>,
    /// See [`Envelope::message_id`].
    pub message_id: Option<&'a [u8]>,
    /// from, sender, reply-to, to, cc, bcc
    lists: [AddressesRef<'a>; 6],
}

impl<'a> EnvelopeRef<'a> {
    fn read(mut input: Input<'a>) -> Result<Self, BlobError> {
        let (date, subject) = (input.optional()?, input.optional()?);
        let (in_reply_to, message_id) = (input.optional()?, input.optional()?);
        let mut lists = [AddressesRef::default(); 6];
        for list in &mut lists {
            let count = input.count(3)?;
            let start = input.rest;
            for _ in 0..count {
                read_address(&mut input)?;
            }
            let used = start.len() - input.rest.len();
            *list = AddressesRef { input: Input { rest: sub(start, 0, used) }, count };
        }
        if !input.rest.is_empty() {
            return Err(BlobError::Malformed);
        }
        Ok(Self { date, subject, in_reply_to, message_id, lists })
    }

    /// Addresses of From.
    #[must_use]
    pub fn from(&self) -> AddressesRef<'a> {
        self.lists[0]
    }

    /// Addresses of Sender, or of From if there are none, as RFC 9051 §7.5.2 wants.
    #[must_use]
    pub fn sender(&self) -> AddressesRef<'a> {
        if self.lists[1].is_empty() { self.lists[0] } else { self.lists[1] }
    }

    /// Addresses of Reply-To, or of From if there are none, as RFC 9051 §7.5.2 wants.
    #[must_use]
    pub fn reply_to(&self) -> AddressesRef<'a> {
        if self.lists[2].is_empty() { self.lists[0] } else { self.lists[2] }
    }

    /// Addresses of To.
    #[must_use]
    pub fn to(&self) -> AddressesRef<'a> {
        self.lists[3]
    }

    /// Addresses of Cc.
    #[must_use]
    pub fn cc(&self) -> AddressesRef<'a> {
        self.lists[4]
    }

    /// Addresses of Bcc.
    #[must_use]
    pub fn bcc(&self) -> AddressesRef<'a> {
        self.lists[5]
    }

    /// The owned form, with Sender and Reply-To as in the header.
    pub(crate) fn to_envelope(self) -> Result<Envelope, BlobError> {
        let boxed = |text: Option<&[u8]>| text.map(Box::from);
        let [from, sender, reply_to, to, cc, bcc] = self.lists.map(|list| {
            list.map(|a| EnvelopeAddress {
                name: boxed(a.name),
                mailbox: boxed(a.mailbox),
                host: boxed(a.host),
            })
            .collect()
        });
        let (date, subject) = (boxed(self.date), boxed(self.subject));
        let (in_reply_to, message_id) = (boxed(self.in_reply_to), boxed(self.message_id));
        Ok(Envelope { date, subject, from, sender, reply_to, to, cc, bcc, in_reply_to, message_id })
    }
}

fn read_address<'a>(input: &mut Input<'a>) -> Result<AddressRef<'a>, BlobError> {
    Ok(AddressRef { name: input.optional()?, mailbox: input.optional()?, host: input.optional()? })
}

/// A stored address; see [`EnvelopeAddress`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AddressRef<'a> {
    /// See [`EnvelopeAddress::name`].
    pub name: Option<&'a [u8]>,
    /// See [`EnvelopeAddress::mailbox`].
    pub mailbox: Option<&'a [u8]>,
    /// See [`EnvelopeAddress::host`].
    pub host: Option<&'a [u8]>,
}

/// Iterates over a stored address list; empty is NIL in IMAP.
#[derive(Clone, Copy, Debug)]
pub struct AddressesRef<'a> {
    input: Input<'a>,
    count: usize,
}

impl Default for AddressesRef<'_> {
    fn default() -> Self {
        Self { input: Input { rest: &[] }, count: 0 }
    }
}

impl AddressesRef<'_> {
    /// Whether no address is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl<'a> Iterator for AddressesRef<'a> {
    type Item = AddressRef<'a>;

    fn next(&mut self) -> Option<AddressRef<'a>> {
        self.count = self.count.checked_sub(1)?;
        // Read once before, when the envelope was opened, so that it cannot fail.
        read_address(&mut self.input).ok()
    }
}

/// Iterates over stored parameters, as lower-case name and value.
#[derive(Clone, Copy, Debug)]
pub struct ParamsRef<'a> {
    input: Input<'a>,
    count: usize,
}

impl ParamsRef<'_> {
    /// Whether no parameter is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    fn to_params(self) -> Vec<Param> {
        let owned =
            |(name, value): (&str, &str)| Param { name: name.to_owned(), value: value.to_owned() };
        self.map(owned).collect()
    }
}

impl<'a> Iterator for ParamsRef<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        self.count = self.count.checked_sub(1)?;
        // Read once before, when the part was opened, so that it cannot fail.
        Some((self.input.string().ok()?, self.input.string().ok()?))
    }
}

/// A stored part. Its fields are read, its children are not; see [`Part`] for what they mean.
#[derive(Clone, Copy, Debug)]
pub struct PartRef<'a> {
    /// See [`Part::boundary_offset`].
    pub boundary_offset: Option<u64>,
    /// See [`Part::header_offset`].
    pub header_offset: u64,
    /// See [`Part::body_offset`].
    pub body_offset: u64,
    /// See [`Part::end_offset`].
    pub end_offset: u64,
    /// See [`Part::lines`].
    pub lines: u64,
    /// See [`Part::decoded_size`].
    pub decoded_size: u64,
    /// See [`Part::has_content_type`].
    pub has_content_type: bool,
    /// See [`Part::media_type`].
    pub media_type: &'a str,
    /// See [`Part::media_subtype`].
    pub media_subtype: &'a str,
    /// See [`Part::params`].
    pub params: ParamsRef<'a>,
    /// See [`Part::encoding`].
    pub encoding: Encoding,
    /// See [`Part::transfer_encoding`].
    pub transfer_encoding: Option<&'a [u8]>,
    /// See [`Part::content_id`].
    pub content_id: Option<&'a [u8]>,
    /// See [`Part::content_description`].
    pub content_description: Option<&'a [u8]>,
    /// See [`Part::content_md5`].
    pub content_md5: Option<&'a [u8]>,
    /// See [`Part::content_language`].
    pub content_language: Option<&'a [u8]>,
    /// See [`Part::content_location`].
    pub content_location: Option<&'a [u8]>,
    /// Kind in lower case, and parameters.
    pub disposition: Option<(&'a str, ParamsRef<'a>)>,
    message: Option<(Input<'a>, Input<'a>, bool)>,
    children: Input<'a>,
    child_count: usize,
    depth: usize,
}

impl<'a> PartRef<'a> {
    fn read(mut input: Input<'a>, depth: usize) -> Result<Self, BlobError> {
        if depth > DEPTH_MAX {
            return Err(BlobError::TooDeep);
        }
        let bits = input.number()?;
        let encoding = match bits >> PART_ENCODING_SHIFT {
            0 => Encoding::Identity,
            1 => Encoding::Base64,
            2 => Encoding::QuotedPrintable,
            3 => Encoding::Unknown,
            _ => return Err(BlobError::Malformed),
        };
        let add = |a: u64, b: u64| a.checked_add(b).ok_or(BlobError::Malformed);
        let before = if bits & PART_HAS_BOUNDARY == 0 { None } else { Some(input.number()?) };
        let header_offset = input.number()?;
        let boundary_offset = match before {
            None => None,
            Some(before) => Some(header_offset.checked_sub(before).ok_or(BlobError::Malformed)?),
        };
        let body_offset = add(header_offset, input.number()?)?;
        let end_offset = add(body_offset, input.number()?)?;
        let mut part = Self {
            boundary_offset,
            header_offset,
            body_offset,
            end_offset,
            lines: input.number()?,
            decoded_size: input.number()?,
            has_content_type: bits & PART_HAS_TYPE != 0,
            media_type: input.string()?,
            media_subtype: input.string()?,
            params: input.params()?,
            encoding,
            transfer_encoding: None,
            content_id: None,
            content_description: None,
            content_md5: None,
            content_language: None,
            content_location: None,
            disposition: None,
            message: None,
            children: input,
            child_count: 0,
            depth,
        };
        if bits & PART_HAS_FIELDS != 0 {
            part.read_fields(&mut input)?;
        }
        if bits & PART_HAS_MESSAGE != 0 {
            let (envelope, root) = (input.sized()?, input.sized()?);
            part.message = Some((envelope, root, bits & PART_IS_DECODED != 0));
        }
        part.child_count = input.count(4)?;
        part.children = input;
        Ok(part)
    }

    fn read_fields(&mut self, input: &mut Input<'a>) -> Result<(), BlobError> {
        self.transfer_encoding = input.optional()?;
        self.content_id = input.optional()?;
        self.content_description = input.optional()?;
        self.content_md5 = input.optional()?;
        self.content_language = input.optional()?;
        self.content_location = input.optional()?;
        if let Some(kind) = input.optional()? {
            let kind = std::str::from_utf8(kind).map_err(|_| BlobError::Malformed)?;
            self.disposition = Some((kind, input.params()?));
        }
        Ok(())
    }

    /// The children of a multipart, in order.
    #[must_use]
    pub fn parts(&self) -> PartsRef<'a> {
        PartsRef { input: self.children, count: self.child_count, depth: self.depth + 1 }
    }

    /// Size of the body as sent, in bytes.
    #[must_use]
    pub fn body_size(&self) -> u64 {
        self.end_offset.saturating_sub(self.body_offset)
    }

    /// Whether it is a multipart, which has children.
    #[must_use]
    pub fn is_multipart(&self) -> bool {
        self.child_count > 0
    }

    /// Whether there is a message inside.
    #[must_use]
    pub fn has_message(&self) -> bool {
        self.message.is_some()
    }

    /// The envelope and root of the message inside, and whether offsets in it count from the start
    /// of the decoded body of this part; see [`EmbeddedMessage`].
    pub fn message(&self) -> Result<Option<(EnvelopeRef<'a>, Self, bool)>, BlobError> {
        let Some((envelope, root, is_decoded)) = self.message else { return Ok(None) };
        let envelope = EnvelopeRef::read(envelope)?;
        Ok(Some((envelope, Self::read(root, self.depth + 1)?, is_decoded)))
    }

    pub(crate) fn to_part(self) -> Result<Part, BlobError> {
        let boxed = |text: Option<&[u8]>| text.map(Box::from);
        let message = match self.message()? {
            None => None,
            Some((envelope, root, is_decoded)) => {
                let (envelope, root) = (envelope.to_envelope()?, root.to_part()?);
                Some(Box::new(EmbeddedMessage { envelope, root, is_decoded }))
            }
        };
        let parts: Result<Vec<Part>, BlobError> =
            self.parts().map(|part| part?.to_part()).collect();
        Ok(Part {
            boundary_offset: self.boundary_offset,
            header_offset: self.header_offset,
            body_offset: self.body_offset,
            end_offset: self.end_offset,
            lines: self.lines,
            decoded_size: self.decoded_size,
            has_content_type: self.has_content_type,
            media_type: self.media_type.to_owned(),
            media_subtype: self.media_subtype.to_owned(),
            params: self.params.to_params(),
            encoding: self.encoding,
            transfer_encoding: boxed(self.transfer_encoding),
            disposition: self.disposition.map(|(kind, params)| Disposition {
                kind: kind.to_owned(),
                params: params.to_params(),
            }),
            content_id: boxed(self.content_id),
            content_description: boxed(self.content_description),
            content_md5: boxed(self.content_md5),
            content_language: boxed(self.content_language),
            content_location: boxed(self.content_location),
            parts: parts?,
            message,
        })
    }
}

/// Iterates over stored children.
#[derive(Clone, Copy, Debug)]
pub struct PartsRef<'a> {
    input: Input<'a>,
    count: usize,
    depth: usize,
}

impl<'a> Iterator for PartsRef<'a> {
    type Item = Result<PartRef<'a>, BlobError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.count = self.count.checked_sub(1)?;
        let child = self.input.sized().and_then(|child| PartRef::read(child, self.depth));
        if child.is_err() {
            self.count = 0;
        }
        Some(child)
    }
}
