//! Lines of a stream, in pieces if they are long, with a look at what follows.

use std::io::{self, Read};

use memchr::memchr;

/// The memory for lines. A line of more than half of it comes in pieces.
const BUFFER_BYTES: usize = 256 << 10;

/// The most that can be looked at ahead.
pub(crate) const PEEK_BYTES_MAX: usize = 2 << 10;

/// A line, or a piece of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    /// With its line end, if the piece has it.
    pub(crate) bytes: &'a [u8],
    /// Whether the line begins here.
    pub(crate) is_start: bool,
    /// Whether it is known that nothing follows in the stream: always so for a line without an end that
    /// is not a piece of a longer one.
    pub(crate) is_last: bool,
}

impl<'a> Line<'a> {
    /// Without LF or CRLF.
    pub(crate) fn text(&self) -> &'a [u8] {
        let bytes = self.bytes.strip_suffix(b"\n").unwrap_or(self.bytes);
        if self.bytes.len() == bytes.len() {
            return bytes;
        }
        bytes.strip_suffix(b"\r").unwrap_or(bytes)
    }

    /// Whether the line ends here, rather than in a later piece or with the stream.
    pub(crate) fn is_ended(&self) -> bool {
        self.bytes.ends_with(b"\n")
    }
}

/// Reads lines. Each byte is copied once or twice and looked at once.
pub(crate) struct Lines<R> {
    source: R,
    buffer: Vec<u8>,
    /// What is read and not given out: `start..end`.
    start: usize,
    end: usize,
    is_over: bool,
    at_start: bool,
    consumed: u64,
}

impl<R: Read> Lines<R> {
    pub(crate) fn new(source: R) -> Self {
        let buffer = vec![0; BUFFER_BYTES];
        Self { source, buffer, start: 0, end: 0, is_over: false, at_start: true, consumed: 0 }
    }

    /// Bytes given out.
    pub(crate) fn consumed(&self) -> u64 {
        self.consumed
    }

    /// Has at least so many bytes ready, unless the stream ends before.
    fn fill(&mut self, wanted: usize) -> io::Result<()> {
        while self.end - self.start < wanted && !self.is_over {
            if self.buffer.len() - self.start < wanted || self.end == self.buffer.len() {
                self.buffer.copy_within(self.start..self.end, 0);
                self.end -= self.start;
                self.start = 0;
            }
            match self.source.read(self.buffer.get_mut(self.end..).unwrap_or_default()) {
                Ok(0) => self.is_over = true,
                Ok(count) => self.end += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn ready(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// What follows: at least [`PEEK_BYTES_MAX`] unless the stream ends before.
    pub(crate) fn peek(&mut self) -> io::Result<&[u8]> {
        self.fill(PEEK_BYTES_MAX)?;
        Ok(self.ready())
    }

    /// The next line or piece; `None` at the end.
    pub(crate) fn next_line(&mut self) -> io::Result<Option<Line<'_>>> {
        self.fill(1)?;
        let size = match memchr(b'\n', self.ready()) {
            Some(at) => at + 1,
            None => {
                let looked_at = self.end - self.start;
                self.fill(BUFFER_BYTES / 2)?;
                let rest = self.ready();
                match memchr(b'\n', rest.get(looked_at..).unwrap_or_default()) {
                    Some(at) => looked_at + at + 1,
                    // One byte stays: the last piece is known to be that, and a CR may have its LF.
                    None if !self.is_over => rest.len().saturating_sub(1),
                    None => rest.len(),
                }
            }
        };
        if size == 0 {
            return Ok(None);
        }
        let from = self.start;
        self.start += size;
        self.consumed += size as u64;
        let is_start = self.at_start;
        let bytes = self.buffer.get(from..from + size).unwrap_or_default();
        self.at_start = bytes.ends_with(b"\n");
        let is_last = self.is_over && self.start == self.end;
        Ok(Some(Line { bytes, is_start, is_last }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Gives few bytes at a time.
    struct Slow<'a>(&'a [u8], usize);

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = buffer.len().min(self.1);
            self.0.read(buffer.get_mut(..count).unwrap())
        }
    }

    fn pieces(data: &[u8], step: usize) -> Vec<(Vec<u8>, bool)> {
        let mut lines = Lines::new(Slow(data, step));
        let mut seen = Vec::new();
        while let Some(line) = lines.next_line().unwrap() {
            seen.push((line.bytes.to_vec(), line.is_start));
        }
        assert_eq!(lines.consumed(), data.len() as u64);
        seen
    }

    #[test]
    fn lines_have_their_ends_and_long_ones_come_in_pieces() {
        let seen = pieces(b"a\r\n\nb", 3);
        assert_eq!(
            seen,
            [(b"a\r\n".to_vec(), true), (b"\n".to_vec(), true), (b"b".to_vec(), true)]
        );
        assert_eq!(pieces(b"", 3), []);
        let mut long = vec![b'x'; BUFFER_BYTES];
        long.extend(b"\r\nend");
        let seen = pieces(&long, 100_000);
        assert!(seen.len() > 2);
        assert!(seen.iter().all(|(piece, _)| !piece.ends_with(b"\r")));
        assert_eq!(seen.iter().filter(|(_, is_start)| *is_start).count(), 2);
        assert_eq!(seen.concat_bytes(), long);
    }

    /// Of a line without an end, however long, the last piece is known to be that.
    #[test]
    fn the_last_piece_is_known_to_be_the_last() {
        for size in [1, BUFFER_BYTES / 2 - 1, BUFFER_BYTES / 2, BUFFER_BYTES, 2 * BUFFER_BYTES] {
            let data = vec![b'x'; size];
            let mut lines = Lines::new(&data[..]);
            let mut pieces = Vec::new();
            while let Some(line) = lines.next_line().unwrap() {
                pieces.push((line.bytes.len(), line.is_last));
            }
            let last = pieces.pop().unwrap();
            assert!(last.0 > 0 && last.1, "{size}: {last:?}");
            assert!(pieces.iter().all(|(_, is_last)| !is_last), "{size}: {pieces:?}");
            assert_eq!(pieces.iter().map(|piece| piece.0).sum::<usize>() + last.0, size);
        }
    }

    trait Concat {
        fn concat_bytes(&self) -> Vec<u8>;
    }

    impl Concat for Vec<(Vec<u8>, bool)> {
        fn concat_bytes(&self) -> Vec<u8> {
            self.iter().flat_map(|(piece, _)| piece.clone()).collect()
        }
    }

    #[test]
    fn text_has_no_line_end() {
        for (bytes, want, is_ended) in [
            ("a\r\n", "a", true),
            ("a\n", "a", true),
            ("\r\r\n", "\r", true),
            ("a\r", "a\r", false),
        ] {
            let line = Line { bytes: bytes.as_bytes(), is_start: true, is_last: false };
            assert_eq!((line.text(), line.is_ended()), (want.as_bytes(), is_ended), "{bytes:?}");
        }
    }

    #[test]
    fn what_follows_can_be_looked_at() {
        let data = [b"first\n".as_slice(), &[b'y'; 2 * PEEK_BYTES_MAX]].concat();
        let mut lines = Lines::new(Slow(&data, 7));
        lines.next_line().unwrap();
        assert!(lines.peek().unwrap().len() >= PEEK_BYTES_MAX);
        assert_eq!(lines.consumed(), 6);
    }

    proptest! {
        #[test]
        fn any_steps_give_the_same(data in "[ab\r\n]{0,60}", step in 1_usize..9) {
            let seen = pieces(data.as_bytes(), step);
            prop_assert_eq!(&seen, &pieces(data.as_bytes(), 1_000));
            prop_assert_eq!(seen.concat_bytes(), data.as_bytes());
        }
    }
}
