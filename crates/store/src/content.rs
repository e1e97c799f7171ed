//! The content of a stored message, read in ranges without holding it whole.
//!
//! A message is three pieces, one after the other: the prefix (headers added at delivery), the
//! head (its own header section) and the text (the rest). Head and text are stored compressed
//! where that saves space; a large text is a file of its own.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use mox_mime::{Message, Part};

use crate::{Result, StoreError};

/// The head is compressed.
pub(crate) const HEAD_ZSTD: u8 = 1;
/// The text is compressed.
pub(crate) const TEXT_ZSTD: u8 = 2;

/// Pieces up to this size are decompressed in one go.
pub(crate) const WHOLE_BYTES_MAX: u64 = 1 << 20;

/// A way ahead that is read rather than jumped.
const SKIP_BYTES_MAX: u64 = 64 << 10;

thread_local! {
    // A fresh context costs more than decompressing a small message.
    static DECOMPRESSOR: RefCell<Option<zstd::bulk::Decompressor<'static>>> =
        const { RefCell::new(None) };
}

/// Decompresses a piece whose size is known and at most [`WHOLE_BYTES_MAX`].
pub(crate) fn decompress(data: &[u8], size: u64) -> Result<Vec<u8>> {
    let damaged = StoreError::Damaged { what: "compressed message" };
    let capacity = usize::try_from(size).map_err(|_| damaged.clone())?;
    let piece = DECOMPRESSOR.with_borrow_mut(|slot| {
        let decompressor = match slot {
            Some(decompressor) => decompressor,
            None => slot.insert(zstd::bulk::Decompressor::new()?),
        };
        decompressor.decompress(data, capacity)
    });
    match piece {
        Ok(piece) if piece.len() == capacity => Ok(piece),
        _ => Err(damaged),
    }
}

/// Where the text of a message is.
#[derive(Clone, Debug)]
pub(crate) enum Text {
    Inline(Vec<u8>),
    File(PathBuf),
}

/// The content of one message. Holds small messages in memory, compressed; of large ones only
/// the way to them.
#[derive(Clone, Debug)]
pub struct Content {
    pub(crate) codec: u8,
    pub(crate) prefix: Vec<u8>,
    pub(crate) head: Vec<u8>,
    pub(crate) head_size: u64,
    pub(crate) text: Text,
    pub(crate) text_size: u64,
    pub(crate) structure: Vec<u8>,
}

impl Content {
    /// The size of the message in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.prefix.len() as u64 + self.head_size + self.text_size
    }

    /// The parts of the message. Offsets count from its first byte, the prefix included.
    ///
    /// # Errors
    ///
    /// If the stored form is damaged.
    pub fn message(&self) -> Result<Message> {
        let mut message = Message::from_blob(&self.structure)
            .map_err(|_| StoreError::Damaged { what: "message structure" })?;
        let by = self.prefix.len() as u64;
        message.size += by;
        shift(&mut message.root, by);
        message.root.header_offset = 0;
        Ok(message)
    }

    /// The header section with the prefix, without the empty line if it is beyond the head.
    ///
    /// # Errors
    ///
    /// If the stored form is damaged.
    pub fn head(&self) -> Result<Vec<u8>> {
        let mut head = self.prefix.clone();
        if self.codec & HEAD_ZSTD == 0 {
            head.extend_from_slice(&self.head);
        } else {
            head.extend_from_slice(&decompress(&self.head, self.head_size)?);
        }
        Ok(head)
    }

    /// The whole message in memory; for messages known to be small.
    ///
    /// # Errors
    ///
    /// If the stored form is damaged or a file cannot be read.
    pub fn to_vec(&self) -> Result<Vec<u8>> {
        let mut whole = self.head()?;
        self.text_reader(0)?.read_to_end(&mut whole)?;
        Ok(whole)
    }

    /// Reads a range of the message; the part of it beyond the end is empty.
    ///
    /// Skipping to a place in a compressed text costs as much as reading up to there.
    ///
    /// # Errors
    ///
    /// If the stored form is damaged or a file cannot be opened.
    pub fn reader(&self, range: Range<u64>) -> Result<ContentReader> {
        let from = range.start.min(self.size());
        let left = range.end.min(self.size()).saturating_sub(from);
        let before_text = self.prefix.len() as u64 + self.head_size;
        if from >= before_text {
            let text = self.text_reader(from - before_text)?;
            return Ok(ContentReader { head: Cursor::default(), text: Some(text), left });
        }
        let mut head = Cursor::new(self.head()?);
        head.set_position(from);
        let needs_text = from + left > before_text;
        let text = if needs_text { Some(self.text_reader(0)?) } else { None };
        Ok(ContentReader { head, text, left })
    }

    /// A reader that can go back and forth. Going back in a large compressed text reads it anew
    /// from its start.
    #[must_use]
    pub fn seekable(self: &Arc<Self>) -> ContentSeeker {
        ContentSeeker { content: Arc::clone(self), position: 0, reader: None }
    }

    fn text_reader(&self, skip: u64) -> Result<Box<dyn Read + Send>> {
        let is_compressed = self.codec & TEXT_ZSTD != 0;
        let mut reader: Box<dyn Read + Send> = match (&self.text, is_compressed) {
            (Text::Inline(data), true) if self.text_size <= WHOLE_BYTES_MAX => {
                let mut text = Cursor::new(decompress(data, self.text_size)?);
                text.set_position(skip);
                return Ok(Box::new(text));
            }
            (Text::Inline(data), false) => {
                let mut text = Cursor::new(data.clone());
                text.set_position(skip);
                return Ok(Box::new(text));
            }
            (Text::File(path), false) => {
                let mut file = File::open(path)?;
                file.seek(SeekFrom::Start(skip))?;
                return Ok(Box::new(file));
            }
            (Text::Inline(data), true) => {
                Box::new(zstd::stream::read::Decoder::new(Cursor::new(data.clone()))?)
            }
            (Text::File(path), true) => {
                Box::new(zstd::stream::read::Decoder::new(File::open(path)?)?)
            }
        };
        let skipped = io::copy(&mut reader.by_ref().take(skip), &mut io::sink())?;
        if skipped < skip {
            return Err(StoreError::Damaged { what: "message text too short" });
        }
        Ok(reader)
    }
}

/// Moves a part and those in it. Embedded messages that were decoded have offsets of their own.
fn shift(part: &mut Part, by: u64) {
    // The depth is bounded by the parser's limit.
    part.boundary_offset = part.boundary_offset.map(|offset| offset + by);
    part.header_offset += by;
    part.body_offset += by;
    part.end_offset += by;
    for child in &mut part.parts {
        shift(child, by);
    }
    if let Some(embedded) = &mut part.message
        && !embedded.is_decoded
    {
        shift(&mut embedded.root, by);
    }
}

/// Reads a range of a message.
pub struct ContentReader {
    head: Cursor<Vec<u8>>,
    text: Option<Box<dyn Read + Send>>,
    left: u64,
}

impl ContentReader {
    /// Bytes not read yet.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.left
    }
}

impl Read for ContentReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let Some(buffer) = buffer.get_mut(..wanted).filter(|buffer| !buffer.is_empty()) else {
            return Ok(0);
        };
        let mut count = self.head.read(buffer)?;
        if count == 0
            && let Some(text) = &mut self.text
        {
            count = text.read(buffer)?;
        }
        if count == 0 {
            let what = "message shorter than recorded";
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, what));
        }
        self.left -= count as u64;
        Ok(count)
    }
}

/// Reads a message from any place.
pub struct ContentSeeker {
    content: Arc<Content>,
    position: u64,
    /// Stands at `position`.
    reader: Option<ContentReader>,
}

impl Read for ContentSeeker {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let reader = match &mut self.reader {
            Some(reader) => reader,
            None => {
                let rest = self.position..u64::MAX;
                self.reader.insert(self.content.reader(rest).map_err(io::Error::other)?)
            }
        };
        let count = reader.read(buffer)?;
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for ContentSeeker {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let size = self.content.size();
        let position = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::End(offset) => size.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        let position = position.ok_or(io::ErrorKind::InvalidInput)?;
        let ahead = position.checked_sub(self.position);
        match (ahead, &mut self.reader) {
            // A short way is read through: the next part is often just behind this one.
            (Some(ahead), Some(reader)) if ahead <= SKIP_BYTES_MAX && ahead <= reader.left() => {
                io::copy(&mut reader.take(ahead), &mut io::sink())?;
            }
            _ => self.reader = None,
        }
        self.position = position;
        Ok(position)
    }
}
