//! The data of a message, as it comes in with BDAT. RFC 3030 §2, §3.

use crate::data::HeaderScan;
use crate::{DataFault, DataReport};

/// Reads the chunks of one message, in pieces of any size.
///
/// Lines of text are handled as [`DataReader`](crate::DataReader) does: a bare LF becomes CRLF, and
/// a bare CR is a fault. Of a message in BINARYMIME that holds for its header alone, and the rest is
/// taken as it is. A text that does not end a line gets a CRLF, so that it can be sent with DATA.
/// Costs a scan and a copy; holds a few bytes.
#[derive(Clone, Debug)]
pub struct ChunkReader {
    is_binary: bool,
    size_bytes_max: u64,
    /// Bytes of the chunk that have not come yet.
    left_bytes: u64,
    /// A CR that is not written yet, maybe of the chunk before.
    has_cr: bool,
    ends_line: bool,
    header: HeaderScan,
    report: DataReport,
}

impl ChunkReader {
    /// Starts a message. `is_binary`: it is in BINARYMIME.
    #[must_use]
    pub fn new(size_bytes_max: u64, is_binary: bool) -> Self {
        Self {
            is_binary,
            size_bytes_max,
            left_bytes: 0,
            has_cr: false,
            ends_line: true,
            header: HeaderScan::default(),
            report: DataReport::default(),
        }
    }

    /// Starts a chunk of as many bytes.
    pub fn begin_chunk(&mut self, chunk_bytes: u64) {
        self.left_bytes = chunk_bytes;
        // What is too big is known before it comes, and need not be kept until then.
        if self.report.size_bytes.saturating_add(chunk_bytes) > self.size_bytes_max {
            self.report.fault.get_or_insert(DataFault::TooBig);
        }
    }

    /// Bytes of the chunk that are still to come; 0 once it has ended.
    #[must_use]
    pub fn left_bytes(&self) -> u64 {
        self.left_bytes
    }

    /// Takes what of a piece belongs to the chunk, and returns how many bytes that is. Appends what
    /// it adds to the message to `out`: at most twice as many bytes and one.
    pub fn push(&mut self, piece: &[u8], out: &mut Vec<u8>) -> usize {
        let room = usize::try_from(self.left_bytes).unwrap_or(usize::MAX);
        let piece = piece.get(..room).unwrap_or(piece);
        self.left_bytes -= piece.len() as u64;
        let mut rest = piece;
        while !rest.is_empty() {
            if self.is_binary && self.header.is_done && !self.has_cr {
                self.write(rest, out);
                break;
            }
            rest = self.lines(rest, out);
        }
        piece.len()
    }

    /// Ends the message after its last chunk: what is known of it is then complete.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if self.has_cr {
            self.report.fault = Some(DataFault::Smuggling);
        }
        if !self.is_binary && !self.ends_line {
            self.write(b"\r\n", out);
        }
    }

    /// What is known so far.
    #[must_use]
    pub fn report(&self) -> DataReport {
        self.report
    }

    /// Takes some lines, or one of the header, or less; returns the rest.
    fn lines<'a>(&mut self, piece: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
        if std::mem::take(&mut self.has_cr) {
            if let Some(rest) = piece.strip_prefix(b"\n") {
                self.write(b"\r\n", out);
                return rest;
            }
            self.report.fault = Some(DataFault::Smuggling);
        }
        let split = |at| piece.split_at_checked(at).unwrap_or((piece, &[]));
        let mut end = 0;
        loop {
            let rest = piece.get(end..).unwrap_or_default();
            let Some(index) = memchr::memchr2(b'\r', b'\n', rest) else {
                self.write(piece, out);
                return &[];
            };
            match rest.get(index..) {
                Some([b'\r', b'\n', ..]) if self.header.is_done => end += index + 2,
                Some([b'\r', b'\n', ..]) => {
                    let (head, tail) = split(end + index + 2);
                    self.write(head, out);
                    return tail;
                }
                Some([first, tail @ ..]) => {
                    self.write(split(end + index).0, out);
                    self.has_cr = *first == b'\r';
                    if !self.has_cr {
                        self.write(b"\r\n", out);
                    }
                    return tail;
                }
                Some([]) | None => return &[],
            }
        }
    }

    fn write(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        if self.report.fault.is_some() || bytes.is_empty() {
            return;
        }
        let size = self.report.size_bytes.saturating_add(bytes.len() as u64);
        if size > self.size_bytes_max {
            self.report.fault = Some(DataFault::TooBig);
            return;
        }
        self.report.size_bytes = size;
        self.report.has_8bit |= !bytes.is_ascii();
        self.ends_line = bytes.ends_with(b"\n");
        self.header.push(bytes);
        self.report.received_count = self.header.received_count;
        self.report.header_bytes = self.header.is_done.then_some(self.header.bytes);
        out.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMIT: u64 = 100;

    /// The message of these chunks, read in pieces of `step` bytes.
    fn read(chunks: &[&[u8]], is_binary: bool, step: usize) -> Result<Vec<u8>, DataFault> {
        let (mut reader, mut out) = (ChunkReader::new(LIMIT, is_binary), Vec::new());
        for chunk in chunks {
            reader.begin_chunk(chunk.len() as u64);
            // What follows the chunk is not its own.
            let mut rest: &[u8] = &[chunk, b"QUIT\r\n".as_slice()].concat();
            while reader.left_bytes() > 0 {
                let taken = reader.push(&rest[..step.min(rest.len())], &mut out);
                rest = &rest[taken..];
            }
            assert_eq!(rest, b"QUIT\r\n");
        }
        reader.finish(&mut out);
        let report = reader.report();
        match report.fault {
            Some(fault) => Err(fault),
            None => {
                assert_eq!(report.size_bytes, out.len() as u64);
                assert_eq!(report.has_8bit, !out.is_ascii());
                Ok(out)
            }
        }
    }

    #[track_caller]
    fn check(chunks: &[&str], is_binary: bool, want: Result<&str, DataFault>) {
        let chunks: Vec<_> = chunks.iter().map(|chunk| chunk.as_bytes()).collect();
        for step in [1, 2, 3, 1_000] {
            let got = read(&chunks, is_binary, step);
            let want = want.map(|text| text.as_bytes().to_vec());
            assert_eq!(got, want, "{chunks:?} by {step}");
        }
    }

    /// RFC 3030 §2: dots mean nothing; lines are still lines.
    #[test]
    fn chunks_of_text_are_joined() {
        const SMUGGLING: Result<&str, DataFault> = Err(DataFault::Smuggling);
        // Valid.
        check(&["a: b\r\n\r\n", ".\r\n..c\r\n.\r\n"], false, Ok("a: b\r\n\r\n.\r\n..c\r\n.\r\n"));
        check(&["a: b\r\n\r", "\nc", "d\r\n", ""], false, Ok("a: b\r\n\r\ncd\r\n"));
        // At the edge of valid.
        check(&[""], false, Ok(""));
        check(&["a: b\r\n\r\nc"], false, Ok("a: b\r\n\r\nc\r\n"));
        check(&["a: b\n\nc\n.\n"], false, Ok("a: b\r\n\r\nc\r\n.\r\n"));
        let exact = "x".repeat(98) + "\r\n";
        check(&[&exact], false, Ok(&exact));
        // Just past the edge.
        check(&["a\rb"], false, SMUGGLING);
        check(&["a\r", "b"], false, SMUGGLING);
        check(&["a\r"], false, SMUGGLING);
        check(&["a\r\r\n"], false, SMUGGLING);
        check(&[&exact, "x"], false, Err(DataFault::TooBig));
        check(&[&"x".repeat(99)], false, Err(DataFault::TooBig));
    }

    /// RFC 3030 §3: the body is taken as it is, the header is lines.
    #[test]
    fn chunks_in_binarymime_are_kept() {
        check(&["a: b\r\n\r\nc\rd\ne\r", "f\0\r"], true, Ok("a: b\r\n\r\nc\rd\ne\rf\0\r"));
        check(&["a: b\n\n\n\r"], true, Ok("a: b\r\n\r\n\n\r"));
        // One letter and a LF is no empty line.
        check(&["a\nb\r\n\r\nc"], true, Ok("a\r\nb\r\n\r\nc"));
        check(&["a: b\rc\r\n\r\n"], true, Err(DataFault::Smuggling));
    }

    /// RFC 5321 §6.3.
    #[test]
    fn the_header_is_looked_at() {
        let (mut reader, mut out) = (ChunkReader::new(LIMIT, true), Vec::new());
        for chunk in [b"Received: a\r\nRece".as_slice(), b"ived: b\r\n\r\nReceived: c\r\n"] {
            reader.begin_chunk(chunk.len() as u64);
            assert_eq!(reader.push(chunk, &mut out), chunk.len());
        }
        let report = reader.report();
        assert_eq!((report.received_count, report.header_bytes), (2, Some(28)));
    }

    proptest! {
        #[test]
        fn chunks_and_pieces_do_not_matter(
            text in "[a\r\n]{0,40}(\r\n\r\n)?[a\r\n\0é]{0,20}", cut in 0_usize..40, step in 1_usize..9, is_binary: bool,
        ) {
            let bytes = text.as_bytes();
            let (head, tail) = bytes.split_at(cut.min(bytes.len()));
            let whole = read(&[bytes], is_binary, 1_000);
            prop_assert_eq!(&whole, &read(&[head, tail], is_binary, step));
            if let Ok(message) = whole && !is_binary {
                let crlfs = message.windows(2).filter(|pair| pair == b"\r\n").count();
                let ends = message.iter().filter(|byte| matches!(byte, b'\r' | b'\n')).count();
                prop_assert_eq!(crlfs * 2, ends);
            }
        }
    }
}
