//! Messages that are read a piece at a time, however large.

use std::io::{self, BufRead, BufReader, Read};

use anyhow::{Context, Result, bail};
use mox_mailauth::dkim::HEADER_BYTES_MAX;

/// How much is read at once, in bytes.
const PIECE_BYTES: usize = 64 * 1024;

/// A message of which the header section is in memory, and the rest still to be read.
pub(super) struct MessageFile<R> {
    header: Vec<u8>,
    rest: BufReader<R>,
}

impl<R: Read> MessageFile<R> {
    /// Reads the header section with the empty line at its end.
    ///
    /// # Errors
    ///
    /// If it cannot be read or is over [`HEADER_BYTES_MAX`].
    pub(super) fn open(source: R) -> Result<Self> {
        let mut rest = BufReader::with_capacity(PIECE_BYTES, source);
        let mut header = Vec::new();
        // One more, so that a section of the largest size is told from a larger one.
        let room = u64::try_from(HEADER_BYTES_MAX + 1).unwrap_or(u64::MAX);
        let mut limited = rest.by_ref().take(room);
        loop {
            let start = header.len();
            let read = limited.read_until(b'\n', &mut header).context("read message")?;
            let line = header.get(start..).unwrap_or_default();
            if read == 0 || line == b"\r\n" || line == b"\n" {
                break;
            }
        }
        if header.len() > HEADER_BYTES_MAX {
            bail!("header section is larger than {HEADER_BYTES_MAX} bytes");
        }
        Ok(Self { header, rest })
    }

    /// The header section with the empty line at its end, if it has one.
    pub(super) fn header(&self) -> &[u8] {
        &self.header
    }

    /// Reads what follows, to its end.
    pub(super) fn read_body(&mut self, mut take: impl FnMut(&[u8])) -> Result<()> {
        loop {
            let piece = match self.rest.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                filled => filled.context("read message")?,
            };
            if piece.is_empty() {
                return Ok(());
            }
            take(piece);
            let read = piece.len();
            self.rest.consume(read);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(message: &[u8], header_bytes: usize) {
        let mut file = MessageFile::open(message).unwrap();
        assert_eq!(file.header().len(), header_bytes);
        let mut body = Vec::new();
        file.read_body(|piece| body.extend_from_slice(piece)).unwrap();
        assert_eq!([file.header(), &body].concat(), message);
    }

    /// RFC 5322 §2.1.
    #[test]
    fn the_empty_line_parts_header_and_body() {
        check(b"A: b\r\n\r\nbody\r\n", 8);
        check(b"A: b\n\nbody", 6);
        check(b"\r\nbody", 2);
        check(b"A: b\r\n", 6);
        check(b"", 0);
        check(&[b"A: b\r\n\r\n".to_vec(), vec![b'x'; 3 * PIECE_BYTES + 1]].concat(), 8);
        let field = |bytes: usize| [b"A:".to_vec(), vec![b'b'; bytes - 4], b"\r\n".to_vec()];
        check(&field(HEADER_BYTES_MAX).concat(), HEADER_BYTES_MAX);
        assert!(MessageFile::open(&*field(HEADER_BYTES_MAX + 1).concat()).is_err());
        assert!(MessageFile::open(&*vec![b'x'; HEADER_BYTES_MAX + 1]).is_err());
    }
}
