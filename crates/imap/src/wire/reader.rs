//! Finds where a command ends: lines and the literals in them.
//!
//! Source: RFC 9051 §2.2.1, RFC 9051 §4.3, RFC 7888 §4.

use memchr::memchr;

/// The longest command without the data of its literals, in bytes.
pub const LINE_BYTES_MAX: usize = 16 * 1024;

/// The longest literal that is an argument, in bytes.
pub const LITERAL_BYTES_MAX: u64 = 100 * 1024;

/// All argument literals of one command together, in bytes.
pub const LITERALS_BYTES_MAX: u64 = 10 * LITERAL_BYTES_MAX;

/// The most argument literals in one command.
pub const LITERALS_MAX: u32 = 1_000;

/// What an idle reader keeps allocated, in bytes.
const KEEP_BYTES_MAX: usize = 1_024;

/// A literal announced at the end of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Literal {
    /// How many bytes follow.
    pub size: u64,
    /// Whether the client waits for `+ ` before it sends them.
    pub is_sync: bool,
    /// Whether it is a `literal8` (`~{…}`), which may hold NUL. RFC 3516 §4.4.
    pub is_binary: bool,
}

/// What a reader is in the middle of: each part has its own time-out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Nothing of a line has come yet.
    Nothing,
    /// A part of a command's line.
    Line,
    /// An argument literal was announced, and has not come whole: which one of the command.
    Literal(u32),
}

/// What the bytes so far amount to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// All input was taken, more is needed.
    NeedMore,
    /// A literal was announced: [`CommandReader::command`] holds all before it. To be answered by
    /// [`CommandReader::accept`], or by reading its bytes elsewhere and then
    /// [`CommandReader::skip_literal`].
    Literal(Literal),
    /// A command is complete in [`CommandReader::command`].
    Complete,
    /// A line is longer than [`LINE_BYTES_MAX`]: nothing after it can be made sense of.
    TooLong,
}

/// An argument literal beyond the limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooBig;

/// Collects one command at a time: its lines without line ends, its literals in place.
///
/// In [`CommandReader::command`] a literal is `{n}` CR LF and its n bytes, whatever the client's
/// line end was. The bytes of a message are never taken in here.
#[derive(Debug, Default)]
pub struct CommandReader {
    buffer: Vec<u8>,
    /// Where the current line starts in the buffer.
    line_start: usize,
    /// Bytes of lines so far.
    line_bytes: usize,
    literal_bytes: u64,
    literals: u32,
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Line,
    /// Announced, not yet accepted.
    Announced(Literal),
    /// Bytes of an argument literal still to come.
    Data(u64),
    /// Handed out: the next read starts afresh.
    Complete,
    Dead,
}

impl CommandReader {
    /// Takes bytes from the front of `input` until something is to be done.
    ///
    /// With `literals` off a line is just a line: for AUTHENTICATE's and IDLE's continuations.
    pub fn read(&mut self, input: &mut &[u8], literals: bool) -> Event {
        loop {
            match self.state {
                State::Complete => self.reset(),
                State::Dead => return Event::TooLong,
                State::Announced(literal) => return Event::Literal(literal),
                State::Data(left) => {
                    if !self.read_data(input, left) {
                        return Event::NeedMore;
                    }
                }
                State::Line => match self.read_line(input, literals) {
                    Some(event) => return event,
                    None => return Event::NeedMore,
                },
            }
        }
    }

    /// Takes literal data; whether it is complete.
    fn read_data(&mut self, input: &mut &[u8], left: u64) -> bool {
        let take = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
        let (data, rest) = input.split_at_checked(take).unwrap_or((input, &[]));
        self.buffer.extend_from_slice(data);
        *input = rest;
        let left = left - take as u64;
        self.line_start = self.buffer.len();
        self.state = if left == 0 { State::Line } else { State::Data(left) };
        left == 0
    }

    fn read_line(&mut self, input: &mut &[u8], literals: bool) -> Option<Event> {
        let (line, rest, ended) = match memchr(b'\n', input) {
            Some(at) => {
                let (line, rest) = input.split_at_checked(at).unwrap_or((input, &[]));
                (line, rest.get(1..).unwrap_or_default(), true)
            }
            None => (*input, &[][..], false),
        };
        *input = rest;
        self.line_bytes += line.len();
        if self.line_bytes > LINE_BYTES_MAX {
            self.state = State::Dead;
            self.buffer = Vec::new();
            return Some(Event::TooLong);
        }
        self.buffer.extend_from_slice(line);
        if !ended {
            return None;
        }
        if self.buffer.len() > self.line_start && self.buffer.last() == Some(&b'\r') {
            self.buffer.pop();
        }
        let line = self.buffer.get(self.line_start..).unwrap_or_default();
        match literal_at_end(line).filter(|_| literals) {
            Some(literal) => {
                self.state = State::Announced(literal);
                Some(Event::Literal(literal))
            }
            None => {
                self.state = State::Complete;
                Some(Event::Complete)
            }
        }
    }

    /// What has come of the next line.
    #[must_use]
    pub fn reading(&self) -> Reading {
        match self.state {
            State::Complete | State::Dead => Reading::Nothing,
            State::Line if self.buffer.is_empty() => Reading::Nothing,
            State::Line => Reading::Line,
            State::Announced(_) | State::Data(_) => Reading::Literal(self.literals),
        }
    }

    /// The command so far, or the whole of it after [`Event::Complete`].
    #[must_use]
    pub fn command(&self) -> &[u8] {
        &self.buffer
    }

    /// Takes the announced literal as an argument, if it is within the limits.
    pub fn accept(&mut self) -> Result<(), TooBig> {
        let State::Announced(literal) = self.state else { return Ok(()) };
        self.literals += 1;
        self.literal_bytes = self.literal_bytes.saturating_add(literal.size);
        if literal.size > LITERAL_BYTES_MAX
            || self.literal_bytes > LITERALS_BYTES_MAX
            || self.literals > LITERALS_MAX
        {
            return Err(TooBig);
        }
        self.buffer.extend_from_slice(b"\r\n");
        self.line_start = self.buffer.len();
        self.state = if literal.size == 0 { State::Line } else { State::Data(literal.size) };
        Ok(())
    }

    /// The announced literal is read by someone else; what follows it starts in an empty buffer.
    pub fn skip_literal(&mut self) {
        self.reset();
    }

    /// The announced literal is an argument, and all before it has been dealt with: takes it as
    /// [`CommandReader::accept`] does, at the front of an empty buffer.
    pub fn begin_at(&mut self, literal: Literal) -> Result<(), TooBig> {
        self.reset();
        self.buffer.extend_from_slice(format!("{{{}}}", literal.size).as_bytes());
        self.state = State::Announced(literal);
        self.accept()
    }

    /// Forgets the command so far: its announced literal will not come.
    pub fn reset(&mut self) {
        self.buffer.clear();
        // A session that once sent a long command must not hold on to the memory while idle.
        self.buffer.shrink_to(KEEP_BYTES_MAX);
        *self = Self { buffer: std::mem::take(&mut self.buffer), ..Self::default() };
    }
}

/// `literal = "{" number64 ["+"] "}" CRLF`, `literal8 = "~{" number64 "}" CRLF`
///
/// A number that does not fit 63 bits is as good as the largest: both are refused as too big.
fn literal_at_end(line: &[u8]) -> Option<Literal> {
    let inner = line.strip_suffix(b"}")?;
    let open = memchr::memrchr(b'{', inner)?;
    let (before, digits) = (inner.get(..open)?, inner.get(open + 1..)?);
    let (digits, is_sync) = match digits.strip_suffix(b"+") {
        Some(digits) => (digits, false),
        None => (digits, true),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = std::str::from_utf8(digits).ok().and_then(|text| text.parse::<u64>().ok());
    let size = number.unwrap_or(u64::MAX).min(i64::MAX.unsigned_abs());
    Some(Literal { size, is_sync, is_binary: before.last() == Some(&b'~') })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Reads everything, accepting all literals; each outcome as text.
    fn read_all(pieces: &[&[u8]]) -> Vec<String> {
        let mut reader = CommandReader::default();
        let mut seen = Vec::new();
        for piece in pieces {
            let mut input = *piece;
            loop {
                match reader.read(&mut input, true) {
                    Event::NeedMore => break,
                    Event::Complete => {
                        seen.push(String::from_utf8_lossy(reader.command()).into_owned());
                    }
                    Event::Literal(_) => {
                        if reader.accept().is_err() {
                            seen.push("too big".to_owned());
                            return seen;
                        }
                    }
                    Event::TooLong => {
                        seen.push("too long".to_owned());
                        return seen;
                    }
                }
            }
        }
        seen
    }

    #[track_caller]
    fn check(input: &str, want: &[&str]) {
        assert_eq!(read_all(&[input.as_bytes()]), want, "{input:?}");
    }

    /// RFC 9051 §4.3 and RFC 7888 §4.
    #[test]
    fn commands_end_at_a_line_end_outside_literals() {
        check("a noop\r\nb noop\r\n", &["a noop", "b noop"]);
        check("a noop\nb noop\n", &["a noop", "b noop"]);
        check("a login {3}\r\nx\r\n {2+}\r\nyz\r\n", &["a login {3}\r\nx\r\n {2+}\r\nyz"]);
        check("a login {3}\nabc\n", &["a login {3}\r\nabc"]);
        check("a login {0}\r\n\r\n", &["a login {0}\r\n"]);
        check("a x ~{1+}\r\n\0\r\n", &["a x ~{1+}\r\n\0"]);
        check("a x {1-}\r\n", &["a x {1-}"]);
        check("a x {}\r\n", &["a x {}"]);
        check("a x {3} \r\n", &["a x {3} "]);
        check("a x \"{3}\"\r\n", &["a x \"{3}\""]);
        check("a {2}\r\nx\r\r\n", &["a {2}\r\nx\r"]);
        check("a noop", &[]);
    }

    #[test]
    fn the_part_being_read_is_known() {
        let mut reader = CommandReader::default();
        let mut steps = Vec::new();
        for piece in ["a", " {2+}\r\n", "x", "y", " ", "{1}\r\n", "z\r\n", "b"] {
            let mut input = piece.as_bytes();
            while !input.is_empty() {
                if let Event::Literal(_) = reader.read(&mut input, true) {
                    reader.accept().unwrap();
                }
            }
            steps.push(reader.reading());
        }
        use Reading::{Line, Literal, Nothing};
        let want = [Line, Literal(1), Literal(1), Line, Line, Literal(2), Nothing, Line];
        assert_eq!(steps, want);
    }

    #[test]
    fn limits_are_exact() {
        let line = "x".repeat(LINE_BYTES_MAX - 1);
        check(&format!("{line}\r\n"), &[&line]);
        check(&format!("{line}xx\n"), &["too long"]);
        check(&format!("{line}xx"), &["too long"]);
        let data = "y".repeat(102_400);
        assert_eq!(read_all(&[format!("a {{102400+}}\r\n{data}\r\n").as_bytes()]).len(), 1);
        check("a {102401}\r\n", &["too big"]);
        check("a {99999999999999999999999}\r\n", &["too big"]);
        let ten = format!("{{102400+}}\r\n{data}").repeat(10);
        assert_ne!(read_all(&[format!("{ten}\r\n").as_bytes()]), ["too big"]);
        assert_eq!(read_all(&[format!("{ten}{{1+}}\r\nx\r\n").as_bytes()]), ["too big"]);
        let thousand = "{0+}\r\n".repeat(LITERALS_MAX as usize);
        assert_ne!(read_all(&[format!("{thousand}\r\n").as_bytes()]), ["too big"]);
        assert_eq!(read_all(&[format!("{thousand}{{0+}}\r\n\r\n").as_bytes()]), ["too big"]);
    }

    proptest! {
        /// However the bytes are cut, the commands are the same.
        #[test]
        fn any_split_gives_the_same_commands(
            parts in proptest::collection::vec(
                prop_oneof![
                    Just("a noop\r\n".to_owned()),
                    "[ -~]{0,12}\r?\n",
                    "[a-z ]{0,4}\\{[0-9]\\+?\\}\r?\n[ -~\r\n]{9}",
                ],
                0..8,
            ),
            cuts in proptest::collection::vec(0_usize..200, 0..10),
        ) {
            let whole = parts.concat().into_bytes();
            let mut at: Vec<usize> = cuts.into_iter().filter(|at| *at < whole.len()).collect();
            at.extend([0, whole.len()]);
            at.sort_unstable();
            let pieces: Vec<&[u8]> = at.windows(2).map(|w| &whole[w[0]..w[1]]).collect();
            prop_assert_eq!(read_all(&pieces), read_all(&[&whole]));
        }
    }
}
