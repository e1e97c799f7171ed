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

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::{Limits, parse_bytes};

    const MESSAGE: &[u8] = b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\
        Content-Type: text/plain; charset=iso-8859-1\r\n\
        Content-Transfer-Encoding: quoted-printable\r\n\r\ncaf=E9\n=\r\nau lait\r\n--x\r\n\
        Content-Type: application/x\r\nContent-Transfer-Encoding: base64\r\n\r\n6QoK\r\n--x--";

    fn read(mut reader: impl Read) -> Vec<u8> {
        let mut out = Vec::new();
        reader.read_to_end(&mut out).unwrap();
        out
    }

    /// RFC 2045 §6, RFC 2046 §4.1.
    #[test]
    fn parts_are_read_raw_decoded_and_as_text() {
        let message = parse_bytes(MESSAGE, &Limits::default());
        let mut reader = Cursor::new(MESSAGE);
        let text = message.part_at(&[1]).unwrap();
        assert_eq!(read(text.body().open(&mut reader).unwrap()), b"caf=E9\n=\r\nau lait");
        assert_eq!(read(text.open_decoded(&mut reader).unwrap()), b"caf\xe9\r\nau lait");
        assert_eq!(read(text.open_text(&mut reader).unwrap()), "café\r\nau lait".as_bytes());
        let header = read(text.header().open(&mut reader).unwrap());
        assert!(header.starts_with(b"Content-Type: text/plain") && header.ends_with(b"\r\n\r\n"));
        // What is not text keeps its line feeds.
        let bytes = message.part_at(&[2]).unwrap();
        assert_eq!(read(bytes.open_decoded(&mut reader).unwrap()), b"\xe9\n\n");
        assert_eq!(bytes.part.decoded_size, 3);
    }

    #[test]
    fn a_message_shorter_than_its_structure_ends_early() {
        let message = parse_bytes(MESSAGE, &Limits::default());
        let mut cut = Cursor::new(&MESSAGE[..MESSAGE.len() / 2]);
        assert!(read(message.part_at(&[1]).unwrap().open_text(&mut cut).unwrap()).len() < 10);
        assert_eq!(read(message.part_at(&[2]).unwrap().open_decoded(&mut cut).unwrap()), b"");
    }

    #[test]
    fn chunks_are_the_text_in_pieces() {
        let text = "é☕".repeat(CHUNK_BYTES);
        let mut reader = TextReader::new(text.as_bytes(), b"utf-8");
        let mut out = String::new();
        let mut chunks = 0;
        while let Some(chunk) = reader.next_chunk().unwrap() {
            out.push_str(chunk);
            chunks += 1;
        }
        assert_eq!(out, text);
        assert!(chunks > 4);
    }
}
