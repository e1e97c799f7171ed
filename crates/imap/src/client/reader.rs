//! Finds the responses in what a server sends. RFC 9051 §7.

use memchr::memchr;

use super::value::{Value, ValueError, values};

/// Collects bytes and hands out one response after another.
#[derive(Debug, Default)]
pub struct ResponseReader {
    buffer: Vec<u8>,
    /// Where the response being read starts.
    start: usize,
    /// Up to where it has been looked at: the start of a line, or beyond the end for a literal.
    scanned: usize,
}

/// A whole response, literals in place, without its last line end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Response<'a> {
    bytes: &'a [u8],
}

impl ResponseReader {
    /// Adds what was received. The space of responses handed out is used again.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.start > 0 && self.start >= self.buffer.len() / 2 {
            self.buffer.drain(..self.start);
            self.scanned -= self.start;
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next response, if it is complete. Each byte is looked at once.
    pub fn next_response(&mut self) -> Option<Response<'_>> {
        loop {
            let rest = self.buffer.get(self.scanned..)?;
            let line_len = memchr(b'\n', rest)?;
            let line = rest.get(..line_len).unwrap_or_default();
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let (line_end, text_end) = (self.scanned + line_len + 1, self.scanned + line.len());
            if let Some(size) = literal_size(line) {
                self.scanned = line_end.saturating_add(size);
                continue;
            }
            let start = std::mem::replace(&mut self.start, line_end);
            self.scanned = line_end;
            return self.buffer.get(start..text_end).map(|bytes| Response { bytes });
        }
    }
}

/// The size of a literal announced at the end of a line.
pub(super) fn literal_size(line: &[u8]) -> Option<usize> {
    let inner = line.strip_suffix(b"}")?;
    let open = memchr::memrchr(b'{', inner)?;
    let digits = inner.get(open + 1..)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

impl<'a> Response<'a> {
    /// Of the bytes of a whole response.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// All of it.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// All of it, bytes that are not UTF-8 replaced.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(self.bytes).into_owned()
    }

    /// The tag: `*`, `+` or that of a command.
    #[must_use]
    pub fn tag(&self) -> &'a [u8] {
        self.bytes.split(|byte| *byte == b' ').next().unwrap_or_default()
    }

    /// What follows the tag.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.tag().len() + 1..).unwrap_or_default()
    }

    /// Whether it is the tagged OK of a command.
    #[must_use]
    pub fn is_ok(&self, tag: &str) -> bool {
        self.is_reply(tag) && (self.rest().starts_with(b"OK ") || self.rest() == b"OK")
    }

    /// Whether it is the tagged reply to a command.
    #[must_use]
    pub fn is_reply(&self, tag: &str) -> bool {
        self.tag() == tag.as_bytes()
    }

    /// What follows the tag, as a list of values: for data, not for OK, NO, BAD and BYE, whose
    /// texts follow no grammar.
    pub fn values(&self) -> Result<Vec<Value>, ValueError> {
        values(self.rest())
    }

    /// The number and items of an untagged FETCH, names and values alternating.
    #[must_use]
    pub fn fetch(&self) -> Option<(u32, Vec<Value>)> {
        let values = self.values().ok()?;
        match <[Value; 3]>::try_from(values).ok()? {
            [Value::Atom(seq), Value::Atom(name), Value::List(items)] if name == b"FETCH" => {
                Some((std::str::from_utf8(&seq).ok()?.parse().ok()?, items))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STREAM: &[u8] = b"* OK hi\r\n* 1 FETCH (BODY[] {5}\r\na\r\nb) FLAGS ())\r\n+ \r\n\
        * 2 FETCH (X ~{0}\r\n)\r\na1 OK done\r\n";

    fn read(pieces: &[&[u8]]) -> Vec<String> {
        let mut reader = ResponseReader::default();
        let mut seen = Vec::new();
        for piece in pieces {
            reader.feed(piece);
            while let Some(response) = reader.next_response() {
                seen.push(response.text());
            }
        }
        seen
    }

    /// RFC 9051 §4.3: a literal may hold line ends.
    #[test]
    fn responses_end_outside_literals() {
        let seen = read(&[STREAM]);
        assert_eq!(seen.len(), 5);
        assert_eq!(seen[1], "* 1 FETCH (BODY[] {5}\r\na\r\nb) FLAGS ())");
        let response = Response { bytes: seen[1].as_bytes() };
        let (seq, items) = response.fetch().unwrap();
        assert_eq!((seq, items.len()), (1, 4));
        assert_eq!(items[1], Value::String(b"a\r\nb)".to_vec()));
        assert!(Response { bytes: seen[4].as_bytes() }.is_ok("a1"));
        assert!(!Response { bytes: b"a1 NO x" }.is_ok("a1"));
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same(cut in 0..STREAM.len(), other in 0..STREAM.len()) {
            let (a, b) = (cut.min(other), cut.max(other));
            prop_assert_eq!(read(&[&STREAM[..a], &STREAM[a..b], &STREAM[b..]]), read(&[STREAM]));
        }
    }
}
