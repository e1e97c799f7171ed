//! The bytes of sections: found, read into a page, or streamed where they are too large for one.

use std::io::{Cursor, Read, Seek, SeekFrom};
use std::ops::Range;
use std::sync::Arc;

use mox_base::{MailboxId, Uid};
use mox_imap::print::{FetchLine, NUL_SHOWN};
use mox_imap::session::Refusal;
use mox_imap::types::{Partial, Section, SectionText};
use mox_mime::{
    EMBEDDED_BYTES_MAX, Encoding, HEADER_BYTES_MAX, Message, SectionKind, TransferDecoder,
    read_span, select_fields,
};
use mox_net::blocking;
use mox_net::trace::Kind;
use mox_store::{Content, ContentSeeker, Reader, StoreError};

use crate::connection::{Connection, End};
use crate::fetch::is_known;

/// A message up to this size is read whole when a section of it is asked for.
const WHOLE_BYTES_MAX: u64 = 1 << 20;

/// A section above this size is streamed.
const STREAM_BYTES_MIN: u64 = 256 << 10;

/// How much of a streamed section is held at a time.
const CHUNK_BYTES: usize = 128 << 10;

/// What became of an item.
pub(crate) enum Piece {
    Written,
    /// The rest follows, before the next item.
    Streamed(Rest),
    Refused(Refusal),
}

/// The bytes of a section.
pub(crate) enum Bytes {
    Memory(Vec<u8>),
    /// A range of the message as stored.
    Stored(Range<u64>),
    /// A body that is to be decoded, and the range of what it decodes to.
    Decoded {
        raw: Range<u64>,
        encoding: Encoding,
        is_text: bool,
        cut: Range<u64>,
    },
}

impl Bytes {
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::Stored(range) | Self::Decoded { cut: range, .. } => range.end - range.start,
        }
    }

    /// Only the bytes that a partial asks for. RFC 9051 §6.4.5: none beyond the end.
    pub(crate) fn cut(self, partial: Option<Partial>) -> Self {
        let Some(partial) = partial else { return self };
        let (start, end) = partial.clamp(self.len());
        match self {
            Self::Memory(mut bytes) => {
                bytes.truncate(usize::try_from(end).unwrap_or(usize::MAX));
                bytes.drain(..usize::try_from(start).unwrap_or(usize::MAX).min(bytes.len()));
                Self::Memory(bytes)
            }
            Self::Stored(range) => Self::Stored(range.start + start..range.start + end),
            Self::Decoded { raw, encoding, is_text, .. } => {
                Self::Decoded { raw, encoding, is_text, cut: start..end }
            }
        }
    }
}

/// The content of the message that is being written, read when it is first needed.
pub(crate) struct Body<'a> {
    reader: &'a Reader,
    mailbox: MailboxId,
    uid: Uid,
    loaded: Option<Loaded>,
}

/// A content with its structure; small ones whole in memory.
struct Loaded {
    content: Arc<Content>,
    message: Message,
    whole: Option<Vec<u8>>,
}

impl<'a> Body<'a> {
    pub(crate) fn new(reader: &'a Reader, mailbox: MailboxId, uid: Uid) -> Self {
        Self { reader, mailbox, uid, loaded: None }
    }

    fn load(&mut self) -> Result<&Loaded, StoreError> {
        if self.loaded.is_none() {
            let content = Arc::new(self.reader.content(self.mailbox, self.uid)?);
            let message = content.message()?;
            let is_small = content.size() <= WHOLE_BYTES_MAX;
            let whole = if is_small { Some(content.to_vec()?) } else { None };
            self.loaded = Some(Loaded { content, message, whole });
        }
        self.loaded.as_ref().ok_or(StoreError::NoMessage)
    }

    /// The bytes of `BODY[section]`, or why there are none.
    pub(crate) fn section(
        &mut self,
        section: &Section,
    ) -> Result<Result<Bytes, Refusal>, StoreError> {
        let loaded = self.load()?;
        let kind = match &section.text {
            None => SectionKind::Whole,
            Some(SectionText::Text) => SectionKind::Text,
            Some(SectionText::Mime) => SectionKind::Mime,
            Some(_) => SectionKind::Header,
        };
        let Some(span) = loaded.message.section(&section.part, kind) else {
            return Ok(Err(Refusal::NoSuchPart));
        };
        let fields = match &section.text {
            Some(SectionText::HeaderFields(names)) => Some((names, false)),
            Some(SectionText::HeaderFieldsNot(names)) => Some((names, true)),
            _ => None,
        };
        if let Some((names, except)) = fields {
            let header = loaded.read(|mut bytes| read_span(&mut bytes, &span, HEADER_BYTES_MAX))?;
            return Ok(Ok(Bytes::Memory(select_fields(&header, names, except))));
        }
        if span.layers.is_empty() {
            return Ok(Ok(Bytes::Stored(span.range)));
        }
        // Inside a message that was sent encoded, which the parser opens only if it is small.
        let bytes = loaded.read(|mut bytes| read_span(&mut bytes, &span, EMBEDDED_BYTES_MAX))?;
        Ok(Ok(Bytes::Memory(bytes)))
    }

    /// The bytes of `BINARY[part]`, or why there are none. RFC 3516 §4.2.
    pub(crate) fn binary(&mut self, path: &[u32]) -> Result<Result<Bytes, Refusal>, StoreError> {
        let loaded = self.load()?;
        let Some(at) = loaded.message.part_at(path) else {
            return Ok(Err(Refusal::NoSuchPart));
        };
        // The whole message, a multipart or a message in a part have no encoding of their own
        // to take away: their bytes are as in BODY.
        if path.is_empty() || at.part.is_multipart() || at.part.message.is_some() {
            return self.section(&Section { part: path.to_vec(), text: None });
        }
        if !is_known(at.part.encoding) {
            return Ok(Err(Refusal::UnknownEncoding));
        }
        if at.layers.is_empty() {
            let (raw, encoding) = (at.part.body_range(), at.part.encoding);
            let (is_text, cut) = (at.part.is_text(), 0..at.part.decoded_size);
            return Ok(Ok(Bytes::Decoded { raw, encoding, is_text, cut }));
        }
        let bytes = loaded.read(|mut message| {
            let mut bytes = Vec::new();
            at.open_decoded(&mut message)?.read_to_end(&mut bytes)?;
            Ok(bytes)
        })?;
        Ok(Ok(Bytes::Memory(bytes)))
    }

    /// The same for an ordinary literal, which must not hold NUL.
    pub(crate) fn write_text(
        &mut self,
        line: &mut FetchLine<'_>,
        bytes: &Bytes,
    ) -> Result<Piece, StoreError> {
        let start = line.output().len();
        let piece = self.write(line, bytes)?;
        hide_nul(line.output().get_mut(start..).unwrap_or_default());
        Ok(match piece {
            Piece::Streamed(rest) => Piece::Streamed(rest.without_nul()),
            other => other,
        })
    }

    /// Writes the bytes after the literal that announces them, or hands them out for streaming.
    pub(crate) fn write(
        &mut self,
        line: &mut FetchLine<'_>,
        bytes: &Bytes,
    ) -> Result<Piece, StoreError> {
        if let Bytes::Memory(bytes) = bytes {
            line.data(bytes);
            return Ok(Piece::Written);
        }
        let size = bytes.len();
        let loaded = self.load()?;
        if size > STREAM_BYTES_MIN {
            let mut rest = Rest::new(loaded.content.seekable(), bytes)?;
            // What cannot be read at all is noticed while the client can still be told.
            rest.decode_chunk()?;
            return Ok(Piece::Streamed(rest));
        }
        let out = line.output();
        let before = out.len();
        match &loaded.whole {
            Some(whole) => Rest::new(Cursor::new(whole), bytes)?.read_to(out, size)?,
            None => Rest::new(loaded.content.seekable(), bytes)?.read_to(out, size)?,
        }
        if (out.len() - before) as u64 == size { Ok(Piece::Written) } else { Err(too_short()) }
    }
}

impl Body<'_> {
    /// The way to the bytes, which lives on when the transaction ends.
    pub(crate) fn open(&mut self, bytes: &Bytes) -> Result<Rest, StoreError> {
        let mut rest = Rest::new(self.load()?.content.seekable(), bytes)?;
        // The file is open from here on, whatever becomes of the message.
        if !matches!(bytes, Bytes::Memory(_)) {
            rest.decode_chunk()?;
        }
        Ok(rest)
    }
}

fn too_short() -> StoreError {
    StoreError::Damaged { what: "message shorter than its structure" }
}

/// Puts another octet in the place of each NUL: an ordinary literal holds none (RFC 9051 §9,
/// `CHAR8`), but a message may. Sizes stay as they are, and BINARY still has the octets.
pub(crate) fn hide_nul(text: &mut [u8]) {
    for byte in text {
        if *byte == 0 {
            *byte = NUL_SHOWN;
        }
    }
}

/// A reader of a message, in memory or on disk.
trait ReadSeek: Read + Seek {}

impl<T: Read + Seek> ReadSeek for T {}

impl Loaded {
    fn read<T>(
        &self,
        work: impl FnOnce(&mut dyn ReadSeek) -> std::io::Result<T>,
    ) -> Result<T, StoreError> {
        Ok(match &self.whole {
            Some(whole) => work(&mut Cursor::new(whole))?,
            None => work(&mut self.content.seekable())?,
        })
    }
}

/// Bytes of a section that are still to be read, at most a chunk at a time.
pub(crate) struct Rest<R = ContentSeeker> {
    message: R,
    raw_left: u64,
    decoder: Option<TransferDecoder>,
    /// Decoded bytes before the wanted ones.
    skip: u64,
    /// Wanted bytes not handed out yet.
    left: u64,
    decoded: Vec<u8>,
    /// See [`Rest::without_nul`].
    hides_nul: bool,
}

impl<R: Read + Seek> Rest<R> {
    fn new(mut message: R, bytes: &Bytes) -> Result<Self, StoreError> {
        let (raw, decoder, skip) = match bytes {
            Bytes::Memory(_) => (0..0, None, 0),
            Bytes::Stored(range) => (range.clone(), None, 0),
            Bytes::Decoded { raw, encoding, is_text, cut } => {
                let decoder = TransferDecoder::new(*encoding, *is_text);
                (raw.clone(), Some(decoder), cut.start)
            }
        };
        message.seek(SeekFrom::Start(raw.start))?;
        let raw_left = raw.end - raw.start;
        Ok(Self {
            message,
            raw_left,
            decoder,
            skip,
            left: bytes.len(),
            decoded: Vec::new(),
            hides_nul: false,
        })
    }

    /// The same bytes, but fit for an ordinary literal. RFC 9051 §9.
    pub(crate) fn without_nul(self) -> Self {
        Self { hides_nul: true, ..self }
    }

    /// Appends up to `count` of the bytes; fewer only at the end.
    fn read_to(&mut self, out: &mut Vec<u8>, count: u64) -> Result<(), StoreError> {
        let end = out.len() as u64 + count.min(self.left);
        while (out.len() as u64) < end && (self.raw_left > 0 || !self.decoded.is_empty()) {
            if self.decoded.is_empty() {
                self.decode_chunk()?;
            }
            let skipped = self.decoded.len().min(usize::try_from(self.skip).unwrap_or(usize::MAX));
            self.skip -= skipped as u64;
            let wanted = usize::try_from(end - out.len() as u64).unwrap_or(usize::MAX);
            let taken = wanted.min(self.decoded.len() - skipped);
            let start = out.len();
            out.extend_from_slice(self.decoded.get(skipped..skipped + taken).unwrap_or_default());
            if self.hides_nul {
                hide_nul(out.get_mut(start..).unwrap_or_default());
            }
            self.left -= taken as u64;
            self.decoded.drain(..skipped + taken);
        }
        Ok(())
    }

    fn decode_chunk(&mut self) -> Result<(), StoreError> {
        let mut raw = Vec::new();
        let count = self.raw_left.min(CHUNK_BYTES as u64);
        let read = self.message.by_ref().take(count).read_to_end(&mut raw)? as u64;
        if read < count {
            return Err(too_short());
        }
        self.raw_left -= read;
        match &mut self.decoder {
            None => self.decoded = raw,
            Some(decoder) => {
                decoder.decode(&raw, &mut self.decoded);
                if self.raw_left == 0 {
                    decoder.finish(&mut self.decoded);
                }
            }
        }
        Ok(())
    }
}

impl Rest {
    /// The next bytes; `None` if there are no more.
    pub(crate) fn next_chunk(&mut self) -> Result<Option<Vec<u8>>, StoreError> {
        let mut chunk = Vec::with_capacity(CHUNK_BYTES);
        self.read_to(&mut chunk, CHUNK_BYTES as u64)?;
        Ok(Some(chunk).filter(|chunk| !chunk.is_empty()))
    }

    /// Whether all was handed out that was announced.
    pub(crate) fn is_complete(&self) -> bool {
        self.left == 0
    }

    /// Sends all of it. While the client is slow, one chunk is held, and no transaction is open.
    pub(crate) async fn send(self, connection: &mut Connection) -> Result<(), End> {
        let mut rest = self;
        while rest.left > 0 {
            let (back, chunk) = blocking(move || {
                let mut chunk = Vec::with_capacity(CHUNK_BYTES);
                let read = rest.read_to(&mut chunk, CHUNK_BYTES as u64);
                (rest, read.map(|()| chunk))
            })
            .await;
            rest = back;
            match chunk {
                Ok(chunk) if !chunk.is_empty() => connection.write(Kind::Data, &chunk).await?,
                // The literal announced more: the client cannot be told otherwise.
                _ => return Err(End::Closed),
            }
        }
        Ok(())
    }
}
