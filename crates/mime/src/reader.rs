//! Readers over the body of a part: decoded, and as UTF-8 text. Constant memory.

use std::io::{self, Read, Seek};

use crate::bytes::{sub, tail};
use crate::charset::CharsetDecoder;
use crate::section::{PartAt, SpanReader};
use crate::transfer::DecodingReader;

/// Bytes decoded at a time.
const CHUNK_BYTES: usize = 4 * 1024;

impl PartAt<'_> {
    /// Reads the body after transfer decoding; in text, bare LF becomes CRLF. RFC 2045 §6.
    ///
    /// `reader` must be the message from its start. Gives [`Part::decoded_size`] bytes for a leaf.
    ///
    /// [`Part::decoded_size`]: crate::Part::decoded_size
    pub fn open_decoded<'r, R: Read + Seek>(
        &self,
        reader: &'r mut R,
    ) -> io::Result<DecodingReader<SpanReader<'r, R>>> {
        let raw = self.body().open(reader)?;
        Ok(DecodingReader::new(raw, self.part.encoding, self.part.is_text()))
    }

    /// Reads the decoded body as UTF-8, by the charset of the part. RFC 2046 §4.1.2.
    pub fn open_text<'r, R: Read + Seek>(
        &self,
        reader: &'r mut R,
    ) -> io::Result<TextReader<DecodingReader<SpanReader<'r, R>>>> {
        let decoded = self.open_decoded(reader)?;
        Ok(TextReader::new(decoded, self.part.charset().as_bytes()))
    }
}

/// Reads bytes of some charset as UTF-8. What cannot be decoded becomes U+FFFD.
#[derive(Debug)]
pub struct TextReader<R> {
    reader: R,
    decoder: CharsetDecoder,
    raw: Vec<u8>,
    text: String,
    pos: usize,
    is_done: bool,
}

impl<R: Read> TextReader<R> {
    /// Reads `reader` by the charset with this label; see [`decode_charset`](crate::decode_charset).
    pub fn new(reader: R, label: &[u8]) -> Self {
        Self {
            reader,
            decoder: CharsetDecoder::new(label),
            raw: vec![0; CHUNK_BYTES],
            text: String::new(),
            pos: 0,
            is_done: false,
        }
    }

    /// Gives the next piece of text, or `None` at the end. Do not mix with `read`.
    pub fn next_chunk(&mut self) -> io::Result<Option<&str>> {
        self.text.clear();
        self.pos = 0;
        while self.text.is_empty() && !self.is_done {
            match self.reader.read(&mut self.raw) {
                Ok(0) => {
                    self.is_done = true;
                    self.decoder.decode(b"", true, &mut self.text);
                }
                Ok(read) => self.decoder.decode(sub(&self.raw, 0, read), false, &mut self.text),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok((!self.text.is_empty()).then_some(&self.text))
    }
}

impl<R: Read> Read for TextReader<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.pos == self.text.len() {
            self.next_chunk()?;
        }
        let read = tail(self.text.as_bytes(), self.pos).read(out)?;
        self.pos += read;
        Ok(read)
    }
}
