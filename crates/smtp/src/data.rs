//! The data of a message, as it comes in after DATA. RFC 5321 §4.1.1.4, §4.5.2.

/// How much a client may send on past the size limit before it is cut off, in bytes.
///
/// Reading on lets it see the reply at the end (RFC 1870 §6.3); not for ever, though.
pub const OVERFLOW_BYTES_MAX: u64 = 100 * 1024 * 1024;

/// Why data that ended well cannot be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataFault {
    /// A bare CR, or something that another program could take for the end of the data. Messages
    /// with it are how mail is smuggled past a server: `LF.CRLF` is data for one and the end for
    /// the next, and what follows it is then a message with any sender at all.
    Smuggling,
    /// Over the size limit.
    TooBig,
}

/// What is known of the data once it has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DataReport {
    /// Bytes of the message, without dots that were stuffed.
    pub size_bytes: u64,
    /// Bytes of its header, with the empty line; `None` if there is no such line.
    pub header_bytes: Option<u64>,
    /// `Received` fields in the header: the servers it came by.
    pub received_count: u32,
    /// Whether there is a byte above 127.
    pub has_8bit: bool,
    /// Why it cannot be taken, if so. What was written is then not the whole message.
    pub fault: Option<DataFault>,
}

/// Where the reader is after some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataProgress {
    /// All bytes were taken; more must come.
    More,
    /// The data ended; bytes after `taken_bytes` are the next command.
    End {
        /// Bytes of the last piece that belong to the data.
        taken_bytes: usize,
    },
    /// The client sent [`OVERFLOW_BYTES_MAX`] more than it may. Close the connection.
    Overrun,
}

/// Reads data in pieces of any size: finds its end, which is CRLF `.` CRLF and nothing else,
/// removes stuffed dots, and makes a bare LF a CRLF.
///
/// Costs a scan and a copy; holds a few bytes. What is at fault is read to its end, so that the
/// connection stays in step, but no longer written.
#[derive(Clone, Debug)]
pub struct DataReader {
    state: State,
    size_bytes_max: u64,
    /// All bytes seen.
    seen_bytes: u64,
    header: HeaderScan,
    report: DataReport,
}

/// What was before the next byte. A CR or a dot in the name is not written yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// CRLF, or the start.
    Line,
    /// CRLF `.`
    LineDot,
    /// CRLF `.` CR
    LineDotCr,
    /// A bare LF.
    BareLine,
    /// A bare LF and `.`
    BareDot,
    /// A bare LF and `.` CR
    BareDotCr,
    /// Other bytes of a line.
    Text,
    /// A CR after other bytes, or an empty line's.
    Cr,
}

impl DataReader {
    /// Starts at the first byte after the 354 reply.
    #[must_use]
    pub fn new(size_bytes_max: u64) -> Self {
        Self {
            state: State::Line,
            size_bytes_max,
            seen_bytes: 0,
            header: HeaderScan::default(),
            report: DataReport::default(),
        }
    }

    /// Takes a piece and appends what it adds to the message to `out`: at most twice as many bytes
    /// and three (each bare LF becomes two).
    pub fn push(&mut self, piece: &[u8], out: &mut Vec<u8>) -> DataProgress {
        let before = out.len();
        let mut rest = piece;
        let mut has_ended = false;
        while !rest.is_empty() && !has_ended {
            if self.state == State::Text {
                rest = self.text(rest, out);
            } else if let Some((byte, tail)) = rest.split_first() {
                // A byte that does not belong to what came before is looked at again.
                if self.edge(*byte, out, &mut has_ended) {
                    rest = tail;
                }
            }
        }
        self.account(piece.len() - rest.len(), before, out);
        if has_ended {
            DataProgress::End { taken_bytes: piece.len() - rest.len() }
        } else if self.seen_bytes > self.size_bytes_max.saturating_add(OVERFLOW_BYTES_MAX) {
            DataProgress::Overrun
        } else {
            DataProgress::More
        }
    }

    /// What is known; complete after [`DataProgress::End`].
    #[must_use]
    pub fn report(&self) -> DataReport {
        self.report
    }

    /// Takes bytes within lines, as many as need no thought, and returns the rest.
    fn text<'a>(&mut self, piece: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
        let mut end = 0;
        loop {
            let rest = piece.get(end..).unwrap_or_default();
            let Some(index) = memchr::memchr2(b'\r', b'\n', rest) else {
                self.write(piece, out);
                return &[];
            };
            // The common case by far: CRLF and a line that does not start with any of `.`, CR, LF.
            match rest.get(index..index + 3) {
                Some([b'\r', b'\n', next]) if !matches!(next, b'.' | b'\r' | b'\n') => {
                    end += index + 2;
                }
                _ => {
                    let (head, tail) = piece.split_at_checked(end + index).unwrap_or((piece, &[]));
                    self.write(head, out);
                    return match tail.split_first() {
                        Some((b'\r', tail)) => {
                            self.state = State::Cr;
                            tail
                        }
                        Some((_, tail)) => {
                            self.write(b"\r\n", out);
                            self.state = State::BareLine;
                            tail
                        }
                        None => &[],
                    };
                }
            }
        }
    }

    /// Takes a byte near a line's end or start. Returns whether it was taken.
    fn edge(&mut self, byte: u8, out: &mut Vec<u8>, has_ended: &mut bool) -> bool {
        let (next, is_taken): (State, bool) = match (self.state, byte) {
            (State::LineDotCr, b'\n') => {
                *has_ended = true;
                (State::Line, true)
            }
            (State::Line, b'.') => (State::LineDot, true),
            (State::BareLine, b'.') => (State::BareDot, true),
            (State::LineDot, b'\r') => (State::LineDotCr, true),
            (State::BareDot, b'\r') => (State::BareDotCr, true),
            (State::Line | State::BareLine, b'\r') => (State::Cr, true),
            (State::Cr, b'\n') => {
                self.write(b"\r\n", out);
                (State::Line, true)
            }
            (State::Line | State::BareLine, b'\n') => {
                self.write(b"\r\n", out);
                (State::BareLine, true)
            }
            // CRLF `.` LF and LF `.` LF.
            (State::LineDot | State::BareDot, b'\n') => (self.smuggling(State::BareLine), true),
            // LF `.` CRLF.
            (State::BareDotCr, b'\n') => (self.smuggling(State::Line), true),
            // A bare CR.
            (State::Cr | State::LineDotCr | State::BareDotCr, _) => {
                (self.smuggling(State::Text), false)
            }
            // The first dot of a line was put there by the client. RFC 5321 §4.5.2.
            (State::LineDot, _) => (State::Text, false),
            // Not a line for a client that ends lines by CRLF, so it has stuffed nothing here.
            (State::BareDot, _) => {
                self.write(b".", out);
                (State::Text, false)
            }
            (State::Line | State::BareLine | State::Text, _) => (State::Text, false),
        };
        self.state = next;
        is_taken
    }

    fn smuggling(&mut self, next: State) -> State {
        self.report.fault = Some(DataFault::Smuggling);
        next
    }

    fn write(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        if self.report.fault.is_some() {
            return;
        }
        let size = self.report.size_bytes.saturating_add(bytes.len() as u64);
        if size > self.size_bytes_max {
            self.report.fault = Some(DataFault::TooBig);
            return;
        }
        self.report.size_bytes = size;
        out.extend_from_slice(bytes);
    }

    /// Brings the report up to date after a piece.
    fn account(&mut self, taken_bytes: usize, before: usize, out: &[u8]) {
        self.seen_bytes = self.seen_bytes.saturating_add(taken_bytes as u64);
        let written = out.get(before..).unwrap_or_default();
        self.report.has_8bit |= !written.is_ascii();
        self.header.push(written);
        self.report.received_count = self.header.received_count;
        self.report.header_bytes = self.header.is_done.then_some(self.header.bytes);
    }
}

/// Finds the end of the header and counts the `Received` fields in it.
#[derive(Clone, Debug, Default)]
pub(crate) struct HeaderScan {
    /// Bytes of the header so far.
    pub(crate) bytes: u64,
    /// The first bytes of the line.
    start: [u8; RECEIVED.len()],
    line_bytes: usize,
    pub(crate) received_count: u32,
    pub(crate) is_done: bool,
}

const RECEIVED: [u8; 9] = *b"received:";

impl HeaderScan {
    /// Takes a piece of the message, in which all lines end with CRLF.
    pub(crate) fn push(&mut self, mut piece: &[u8]) {
        while !self.is_done && !piece.is_empty() {
            let end = memchr::memchr(b'\n', piece).map(|index| index + 1);
            let (line, rest) =
                piece.split_at_checked(end.unwrap_or(piece.len())).unwrap_or((piece, &[]));
            self.bytes = self.bytes.saturating_add(line.len() as u64);
            if let Some(room) = self.start.get_mut(self.line_bytes..) {
                room.iter_mut().zip(line).for_each(|(to, from)| *to = from.to_ascii_lowercase());
            }
            self.line_bytes = self.line_bytes.saturating_add(line.len());
            if end.is_some() {
                // Only the CRLF that every line has.
                self.is_done = self.line_bytes == 2;
                let is_received = self.line_bytes > RECEIVED.len() && self.start == RECEIVED;
                self.received_count = self.received_count.saturating_add(u32::from(is_received));
                self.line_bytes = 0;
            }
            piece = rest;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_writer::{DataWriter, stuff};
    use proptest::prelude::*;

    const LIMIT: u64 = 10_000;

    /// What is written, the report, and what is left after the end, reading pieces of `step` bytes.
    fn read(bytes: &[u8], step: usize, limit: u64) -> Option<(Vec<u8>, DataReport, Vec<u8>)> {
        let mut reader = DataReader::new(limit);
        let mut out = Vec::new();
        let mut at = 0;
        for piece in bytes.chunks(step) {
            match reader.push(piece, &mut out) {
                DataProgress::More => at += piece.len(),
                DataProgress::End { taken_bytes } => {
                    return Some((out, reader.report(), bytes[at + taken_bytes..].to_vec()));
                }
                DataProgress::Overrun => return None,
            }
        }
        None
    }

    #[track_caller]
    fn check(data: &str, want: Option<(&str, Option<DataFault>)>) {
        for step in [1, 2, 3, 1_000] {
            let got = read(data.as_bytes(), step, LIMIT);
            let got = got.map(|(out, report, rest)| {
                assert_eq!(rest, b"", "{data:?} left over");
                (if report.fault.is_some() { Vec::new() } else { out }, report.fault)
            });
            let want = want.map(|(text, fault)| (text.as_bytes().to_vec(), fault));
            assert_eq!(got, want, "{data:?} by {step}");
        }
    }

    /// RFC 5321 §4.1.1.4, §4.5.2.
    #[test]
    fn only_crlf_dot_crlf_ends_the_data() {
        const SMUGGLING: Option<(&str, Option<DataFault>)> = Some(("", Some(DataFault::Smuggling)));
        // Valid.
        check("a: b\r\n\r\ntext\r\n.\r\n", Some(("a: b\r\n\r\ntext\r\n", None)));
        check("..\r\n...\r\n.x\r\n.\r\n", Some((".\r\n..\r\nx\r\n", None)));
        // At the edge of valid.
        check(".\r\n", Some(("", None)));
        check("\r\n.\r\n", Some(("\r\n", None)));
        check("a\nb\n\nc\r\n.\r\n", Some(("a\r\nb\r\n\r\nc\r\n", None)));
        check("a\n\r\n.\r\n", Some(("a\r\n\r\n", None)));
        check("a\n.b\n..\r\n.\r\n", Some(("a\r\n.b\r\n..\r\n", None)));
        check("\n.b\r\n.\r\n", Some(("\r\n.b\r\n", None)));
        // Not the end.
        check("a\r\n. \r\n", None);
        check("a\r\n..\r\n", None);
        check("a\n.\r\n", None);
        check("a\r\n.\n", None);
        check("a\r\n.\r", None);
        check("a.\r\n", None);
        // What another program may take for the end.
        check(".\n.\r\n.\r\n", SMUGGLING);
        check("a\r\n.\nb\r\n.\r\n", SMUGGLING);
        check("a\n.\nb\r\n.\r\n", SMUGGLING);
        check("a\n.\r\nb\r\n.\r\n", SMUGGLING);
        check("a\r.\rb\r\n.\r\n", SMUGGLING);
        check("a\r\n.\r\r\n.\r\n", SMUGGLING);
        check("a\r\n.\rb\r\n.\r\n", SMUGGLING);
        check("a\n.\rb\r\n.\r\n", SMUGGLING);
        check("a\rb\r\n.\r\n", SMUGGLING);
        check("a\r\r\n.\r\n", SMUGGLING);
        check("\r\r\n.\r\n", SMUGGLING);
        check("a\r.\r\n.\r\n", SMUGGLING);
    }

    /// RFC 1870 §6.3: the reply comes after the data, whatever its size.
    #[test]
    fn data_over_the_limit_is_read_to_its_end() {
        let exact = "12345678\r\n.\r\nQUIT\r\n";
        let (out, report, rest) = read(exact.as_bytes(), 4, 10).unwrap();
        assert_eq!((out.len(), report.fault, rest.as_slice()), (10, None, b"QUIT\r\n".as_slice()));
        let over = "123456789\r\n.\r\nQUIT\r\n";
        let (out, report, rest) = read(over.as_bytes(), 4, 10).unwrap();
        assert!(out.len() <= 10);
        assert_eq!(
            (report.fault, rest.as_slice()),
            (Some(DataFault::TooBig), b"QUIT\r\n".as_slice())
        );
    }

    #[test]
    fn a_client_that_never_ends_is_cut_off() {
        let mut reader = DataReader::new(0);
        let (piece, mut out) = (vec![b'x'; 1 << 20], Vec::new());
        let pieces = (0..200).find(|_| reader.push(&piece, &mut out) == DataProgress::Overrun);
        assert_eq!((pieces, out.len()), (Some(100), 0));
    }

    #[track_caller]
    fn check_header(data: &str, header_bytes: Option<u64>, received_count: u32, has_8bit: bool) {
        for step in [1, 5, 1_000] {
            let (_, report, _) = read(data.as_bytes(), step, LIMIT).unwrap();
            let got = (report.header_bytes, report.received_count, report.has_8bit);
            assert_eq!(got, (header_bytes, received_count, has_8bit), "{data:?} by {step}");
        }
    }

    /// RFC 5322 §2.1; RFC 5321 §6.3.
    #[test]
    fn header_end_and_received_fields_are_found() {
        check_header("Received: x\r\n received: y\r\nRECEIVED:\r\n\r\n.\r\n", Some(40), 2, false);
        check_header("a: b\n\nReceived: c\r\n.\r\n", Some(8), 0, false);
        check_header("\r\nbody\r\n.\r\n", Some(2), 0, false);
        check_header("Receivedx: a\r\nReceived\r\n.\r\n", None, 0, false);
        check_header("a: é\r\n.\r\n", None, 0, true);
        check_header(".\r\n", None, 0, false);
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same(data in "[ab.\r\n]{0,40}", step in 1_usize..9) {
            let data = format!("{data}\r\n.\r\nNOOP\r\n");
            let whole = read(data.as_bytes(), data.len(), 30);
            let split = read(data.as_bytes(), step, 30);
            prop_assert_eq!(whole.is_some(), split.is_some());
            if let (Some((out1, report1, rest1)), Some((out2, report2, rest2))) = (whole, split) {
                prop_assert_eq!(rest1, rest2);
                prop_assert_eq!(report1.fault.is_some(), report2.fault.is_some());
                if report1.fault.is_none() {
                    prop_assert_eq!((out1, report1), (out2, report2));
                }
            }
        }

        #[test]
        fn a_stuffed_message_comes_back(lines in prop::collection::vec("[ab.é]{0,5}", 0..12), step in 1_usize..9) {
            let message: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
            let mut stuffed = Vec::new();
            let mut writer = DataWriter::default();
            for piece in message.as_bytes().chunks(step) {
                writer.push(piece, &mut stuffed).unwrap();
            }
            writer.finish(&mut stuffed).unwrap();
            prop_assert_eq!(&stuffed, &stuff(message.as_bytes()).unwrap());
            let (out, report, rest) = read(&stuffed, step, LIMIT).unwrap();
            prop_assert_eq!(out, message.as_bytes());
            prop_assert_eq!((report.size_bytes, report.fault), (message.len() as u64, None));
            prop_assert!(rest.is_empty());
        }

        #[test]
        fn what_is_written_is_bounded(data: Vec<u8>, limit in 0_u64..64) {
            let mut out = Vec::new();
            DataReader::new(limit).push(&data, &mut out);
            prop_assert!(out.len() as u64 <= limit && out.len() <= 2 * data.len() + 3);
        }
    }
}
