//! Reads a stream once, in order, looking for the lines that delimit parts.

use std::io::{self, Read};

use memchr::{memchr, memchr_iter, memmem};

use crate::bytes::{as_u64, sub, tail};
use crate::limits::BOUNDARY_BYTES_MAX;

/// Bytes that must be in the buffer after a line's start to tell whether it is a delimiter:
/// `--`, the boundary, `--` and the byte after.
const LOOKAHEAD_BYTES: usize = BOUNDARY_BYTES_MAX + 5;
/// The buffer for a short message, and the one a longer message gets.
const BUFFER_BYTES_MIN: usize = 8 * 1024;
const BUFFER_BYTES_MAX: usize = 64 * 1024;

/// A place in the stream with what is needed to count lines between two of them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mark {
    pub(crate) offset: u64,
    /// Line feeds before the place.
    pub(crate) line_feeds: u64,
    /// Of these, the ones without a CR before.
    pub(crate) bare_line_feeds: u64,
    /// Whether the byte before the place is a line feed.
    pub(crate) is_line_start: bool,
}

/// Why a scan ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StopKind {
    Eof,
    /// The scanner stands at the start of a delimiter line of `boundaries[level]`.
    Delimiter {
        level: usize,
        closing: bool,
    },
}

/// Where and why a scan ended; `end` is before the line end that belongs to the delimiter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stop {
    pub(crate) kind: StopKind,
    pub(crate) end: Mark,
}

/// The stream, its buffer, and the boundaries of the multiparts that are open.
pub(crate) struct Scanner<R> {
    reader: R,
    buffer: Vec<u8>,
    /// The unread bytes are `buffer[pos..len]`.
    pos: usize,
    len: usize,
    is_eof: bool,
    here: Mark,
    /// The last byte consumed.
    last: u8,
    /// Outermost first.
    pub(crate) boundaries: Vec<Vec<u8>>,
}

impl<R: Read> Scanner<R> {
    pub(crate) fn new(reader: R) -> Self {
        let here = Mark { is_line_start: true, ..Mark::default() };
        Self {
            reader,
            buffer: vec![0; BUFFER_BYTES_MIN],
            pos: 0,
            len: 0,
            is_eof: false,
            here,
            last: b'\n',
            boundaries: Vec::new(),
        }
    }

    pub(crate) fn here(&self) -> Mark {
        self.here
    }

    fn data(&self) -> &[u8] {
        sub(&self.buffer, self.pos, self.len)
    }

    /// Reads until `bytes` are buffered or the stream ends.
    fn ensure(&mut self, bytes: usize) -> io::Result<()> {
        if self.len - self.pos >= bytes || self.is_eof {
            return Ok(());
        }
        self.buffer.copy_within(self.pos..self.len, 0);
        self.len -= self.pos;
        self.pos = 0;
        if self.here.offset > 0 && self.buffer.len() < BUFFER_BYTES_MAX {
            self.buffer.resize(BUFFER_BYTES_MAX, 0);
        }
        while self.len < bytes {
            let room = self.buffer.get_mut(self.len..).unwrap_or_default();
            match self.reader.read(room) {
                Ok(0) => {
                    self.is_eof = true;
                    break;
                }
                Ok(read) => self.len += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Steps over `bytes` of the buffered data, giving them to `sink`.
    fn consume(&mut self, bytes: usize, sink: &mut impl FnMut(&[u8])) {
        let data = sub(&self.buffer, self.pos, self.pos + bytes);
        for at in memchr_iter(b'\n', data) {
            let before = match at.checked_sub(1) {
                Some(before) => data.get(before).copied(),
                None => Some(self.last),
            };
            self.here.line_feeds += 1;
            // At the very start `last` is a line feed, so that a first lone LF counts as bare.
            self.here.bare_line_feeds += u64::from(before != Some(b'\r'));
        }
        if let Some(last) = data.last() {
            self.last = *last;
            self.here.is_line_start = *last == b'\n';
        }
        self.here.offset += as_u64(data.len());
        sink(data);
        self.pos += bytes;
    }

    /// Whether the buffered data at `at` is a delimiter line of an open multipart, and which.
    ///
    /// The longest boundary wins, and of equal ones the innermost: software reuses prefixes.
    fn delimiter_at(&self, at: usize) -> Option<StopKind> {
        let line = tail(self.data(), at).strip_prefix(b"--")?;
        let mut found: Option<(usize, StopKind)> = None;
        for (level, boundary) in self.boundaries.iter().enumerate().rev() {
            let Some(rest) = line.strip_prefix(boundary.as_slice()) else { continue };
            let closing = rest.starts_with(b"--");
            let ends = matches!(rest.first(), None | Some(b' ' | b'\t' | b'\r' | b'\n'));
            if (ends || closing) && found.is_none_or(|(length, _)| boundary.len() > length) {
                found = Some((boundary.len(), StopKind::Delimiter { level, closing }));
            }
        }
        found.map(|(_, kind)| kind)
    }

    /// Reads up to the next delimiter line of an open multipart, or to the end of the stream.
    ///
    /// Must be called at the start of a line. The line end before the delimiter belongs to it and
    /// is not given to `sink` (RFC 2046 §5.1.1).
    pub(crate) fn scan_body(&mut self, sink: impl FnMut(&[u8])) -> io::Result<Stop> {
        self.ensure(LOOKAHEAD_BYTES)?;
        match self.delimiter_at(0) {
            Some(kind) => Ok(Stop { kind, end: self.here }),
            None => self.scan(sink),
        }
    }

    /// As [`Scanner::scan_body`], from a line that is no delimiter (any more).
    ///
    /// Its line end is not stepped over first: it belongs to the delimiter that may follow.
    pub(crate) fn scan_line_and_body(&mut self) -> io::Result<Stop> {
        self.scan(|_| ())
    }

    fn scan(&mut self, mut sink: impl FnMut(&[u8])) -> io::Result<Stop> {
        loop {
            self.ensure(LOOKAHEAD_BYTES + 2)?;
            let ready = self.ready();
            if let Some((at, kind)) = self.find_delimiter(ready) {
                let line_end = sub(self.data(), 0, at);
                let text = line_end.strip_suffix(b"\n").unwrap_or(line_end);
                let text = text.strip_suffix(b"\r").unwrap_or(text).len();
                self.consume(text, &mut sink);
                let end = self.here;
                self.consume(at - text, &mut |_| ());
                return Ok(Stop { kind, end });
            }
            self.consume(ready, &mut sink);
            if self.is_eof && self.pos == self.len {
                return Ok(Stop { kind: StopKind::Eof, end: self.here });
            }
        }
    }

    /// How much of the buffered data can be judged without seeing more of the stream.
    fn ready(&self) -> usize {
        let data = self.data();
        if self.is_eof || self.boundaries.is_empty() {
            return data.len();
        }
        let ready = data.len() - LOOKAHEAD_BYTES;
        // A CR stays with its LF, which may turn out to belong to a delimiter.
        ready - usize::from(data.get(ready.wrapping_sub(1)) == Some(&b'\r'))
    }

    /// The first delimiter line that starts within `ready`, not counting one at 0.
    fn find_delimiter(&self, ready: usize) -> Option<(usize, StopKind)> {
        if self.boundaries.is_empty() {
            return None;
        }
        // A line feed at `ready - 1` has its next line's start in the look-ahead.
        let window = sub(self.data(), 0, self.data().len().min(ready + 2));
        memmem::find_iter(window, b"\n--")
            .map(|at| at + 1)
            .find_map(|at| self.delimiter_at(at).map(|kind| (at, kind)))
    }

    /// Steps over the rest of a line and its LF.
    pub(crate) fn skip_line(&mut self) -> io::Result<()> {
        loop {
            self.ensure(1)?;
            let data = self.data();
            if data.is_empty() {
                return Ok(());
            }
            match memchr(b'\n', data) {
                Some(at) => {
                    self.consume(at + 1, &mut |_| ());
                    return Ok(());
                }
                None => self.consume(data.len(), &mut |_| ()),
            }
        }
    }

    /// Reads a header section with its empty line, keeping its first `bytes_max` bytes.
    ///
    /// Stops before a delimiter that comes instead of the empty line. Returns whether a byte above
    /// 0x7F was seen, also in what is not kept.
    pub(crate) fn scan_header(
        &mut self,
        header: &mut Vec<u8>,
        bytes_max: usize,
    ) -> io::Result<bool> {
        let mut has_8bit = false;
        let mut keep = |bytes: &[u8]| {
            has_8bit |= !bytes.is_ascii();
            let room = bytes_max.saturating_sub(header.len()).min(bytes.len());
            header.extend_from_slice(sub(bytes, 0, room));
        };
        let mut at_line_start = true;
        loop {
            self.ensure(LOOKAHEAD_BYTES)?;
            let data = self.data();
            if data.is_empty() {
                break;
            }
            if at_line_start {
                let empty_line = match data {
                    [b'\n', ..] => 1,
                    [b'\r', b'\n', ..] => 2,
                    _ => 0,
                };
                if empty_line > 0 {
                    self.consume(empty_line, &mut keep);
                    break;
                }
                if self.delimiter_at(0).is_some() {
                    break;
                }
            }
            let line_end = memchr(b'\n', data);
            at_line_start = line_end.is_some();
            let bytes = line_end.map_or(data.len(), |at| at + 1);
            self.consume(bytes, &mut keep);
        }
        Ok(has_8bit)
    }
}
