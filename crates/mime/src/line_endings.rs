//! Makes every line of incoming data end in CRLF. RFC 5321 §2.3.8.

use std::io::{self, Write};

use memchr::memchr_iter;

use crate::bytes::{as_u64, sub, tail};

/// Writes data through, giving bare line feeds their CR, and notes what a receiver must know.
///
/// State lives across writes: a CR and its LF may come apart. Bare CR is left as it is.
#[derive(Debug)]
pub struct LineEndings<W> {
    writer: W,
    size: u64,
    has_8bit: bool,
    has_separator: bool,
    /// The last two bytes written, older first; starts as after a line end.
    last: [u8; 2],
    /// Whether the line that is being written has no byte yet.
    is_line_empty: bool,
}

impl<W: Write> LineEndings<W> {
    /// Writes to `writer`.
    pub fn new(writer: W) -> Self {
        Self {
            writer,
            size: 0,
            has_8bit: false,
            has_separator: false,
            last: *b"\r\n",
            is_line_empty: true,
        }
    }

    /// Bytes written, added CRs included.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Whether a byte above 0x7F was seen, so that the message needs 8BITMIME (RFC 6152 §1).
    #[must_use]
    pub fn has_8bit(&self) -> bool {
        self.has_8bit
    }

    /// Whether an empty line was seen, which ends the header section (RFC 5322 §2.1); the first
    /// line counts.
    #[must_use]
    pub fn has_separator(&self) -> bool {
        self.has_separator
    }

    /// Whether the data ends in a line end, or is empty.
    #[must_use]
    pub fn ends_in_line_end(&self) -> bool {
        self.last == *b"\r\n"
    }

    /// Gives the writer back.
    pub fn into_inner(self) -> W {
        self.writer
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.writer.write_all(bytes)?;
        self.size += as_u64(bytes.len());
        match bytes {
            [] => {}
            [one] => self.last = [self.last[1], *one],
            [.., a, b] => self.last = [*a, *b],
        }
        Ok(())
    }

    /// Writes a piece without line feeds.
    fn put_text(&mut self, text: &[u8]) -> io::Result<()> {
        // One CR may belong to the line's end, and then the line is still empty.
        let is_line_end = text == b"\r" && self.last[1] != b'\r';
        self.is_line_empty &= text.is_empty() || is_line_end;
        self.put(text)
    }

    fn put_line_feed(&mut self) -> io::Result<()> {
        let is_bare = self.last[1] != b'\r';
        self.has_separator |= self.is_line_empty;
        self.put(if is_bare { b"\r\n" } else { b"\n" })?;
        self.is_line_empty = true;
        self.last = *b"\r\n";
        Ok(())
    }
}

impl<W: Write> Write for LineEndings<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.has_8bit |= !data.is_ascii();
        let mut from = 0;
        for at in memchr_iter(b'\n', data) {
            self.put_text(sub(data, from, at))?;
            self.put_line_feed()?;
            from = at + 1;
        }
        self.put_text(tail(data, from))?;
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run(pieces: &[&[u8]]) -> (Vec<u8>, u64, bool, bool) {
        let mut writer = LineEndings::new(Vec::new());
        for piece in pieces {
            writer.write_all(piece).unwrap();
        }
        let (size, has_8bit) = (writer.size(), writer.has_8bit());
        let has_separator = writer.has_separator();
        (writer.into_inner(), size, has_8bit, has_separator)
    }

    #[track_caller]
    fn check(input: &str, want: &str, has_separator: bool) {
        let (out, size, has_8bit, separator) = run(&[input.as_bytes()]);
        assert_eq!(String::from_utf8_lossy(&out), want, "{input:?}");
        assert_eq!((size, separator), (as_u64(want.len()), has_separator), "{input:?}");
        assert_eq!(has_8bit, !input.is_ascii());
    }

    /// RFC 5321 §2.3.8, RFC 5322 §2.1.
    #[test]
    fn bare_line_feeds_get_their_cr() {
        check("a: b\r\n\r\nc\r\n", "a: b\r\n\r\nc\r\n", true);
        check("a: b\n\nc\n", "a: b\r\n\r\nc\r\n", true);
        check("a: b\r\n\nc", "a: b\r\n\r\nc", true);
        check("\r\nbody", "\r\nbody", true);
        check("\n", "\r\n", true);
        check("a: b\r\nc: d\r\n", "a: b\r\nc: d\r\n", false);
        check("a\rb\r\r\n", "a\rb\r\r\n", false);
        check("a\r\n\r\r\n", "a\r\n\r\r\n", false);
        check("é\n", "é\r\n", false);
        check("", "", false);
    }

    proptest! {
        #[test]
        fn pieces_give_what_the_whole_gives(input in "[a\r\n]{0,20}", at in 0usize..20) {
            let whole = run(&[input.as_bytes()]);
            let (a, b) = input.as_bytes().split_at(at.min(input.len()));
            prop_assert_eq!(&run(&[a, b]), &whole);
            let bytes: Vec<&[u8]> = input.as_bytes().chunks(1).collect();
            prop_assert_eq!(&run(&bytes), &whole);
            let bare = whole.0.iter().enumerate().any(|(i, b)| {
                *b == b'\n' && (i == 0 || whole.0[i - 1] != b'\r')
            });
            prop_assert!(!bare);
            prop_assert_eq!(&run(&[&whole.0]), &whole);
        }
    }
}
