//! Responses of a server that is not trusted: bounded, and the bodies of messages passed on as they come.
//!
//! RFC 9051 §7. Bytes go in; out come stretches of a body, and responses in which each body stands as an
//! empty string. No more than [`RESPONSE_BYTES_MAX`] of a response are held.

use std::fmt;

use memchr::memchr;

use super::reader::{Response, literal_size};

/// The most of a response that is held, bodies not counted. Ours; the RFC sets no bound.
pub const RESPONSE_BYTES_MAX: usize = 1 << 20;

/// Names of FETCH items whose values are whole messages, in upper case. RFC 9051 §7.5.2, RFC 3501 §7.4.2.
const BODIES: [&[u8]; 3] = [b"BODY[]", b"BINARY[]", b"RFC822"];

/// Words that begin a response whose text follows no grammar. RFC 9051 §7.1.
const TEXTS: [&[u8]; 5] = [b"OK", b"NO", b"BAD", b"BYE", b"PREAUTH"];

/// A response is larger than [`RESPONSE_BYTES_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge;

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("response too large")
    }
}

impl std::error::Error for TooLarge {}

/// What some bytes gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// Nothing yet: more bytes are needed.
    More,
    /// The body of a message begins, of this many bytes.
    Begin(u64),
    /// Some of that body.
    Body(&'a [u8]),
    /// A response is whole: see [`StreamReader::response`].
    Response,
}

/// Finds responses and bodies in bytes.
#[derive(Debug, Default)]
pub struct StreamReader {
    text: Vec<u8>,
    /// Where the last line of the text begins.
    line: usize,
    /// Bytes of a literal that are to come, and whether they are a body.
    left: u64,
    is_body: bool,
    /// The text was handed out.
    is_whole: bool,
}

impl StreamReader {
    /// Takes bytes from the front of `input`, which is shortened by them, up to the next event.
    ///
    /// # Errors
    ///
    /// If a response is too large. The connection is of no more use then.
    pub fn next<'a>(&mut self, input: &mut &'a [u8]) -> Result<Event<'a>, TooLarge> {
        if self.is_whole {
            self.text.clear();
            (self.line, self.is_whole) = (0, false);
        }
        loop {
            if self.left > 0 {
                let count = usize::try_from(self.left).unwrap_or(usize::MAX).min(input.len());
                let (bytes, rest) = input.split_at_checked(count).unwrap_or_default();
                if bytes.is_empty() {
                    return Ok(Event::More);
                }
                *input = rest;
                self.left -= bytes.len() as u64;
                if self.is_body {
                    return Ok(Event::Body(bytes));
                }
                self.keep(bytes)?;
                self.line = self.text.len();
                continue;
            }
            let Some(at) = memchr(b'\n', input) else {
                let bytes = std::mem::take(input);
                self.keep(bytes)?;
                return Ok(Event::More);
            };
            let (bytes, rest) = input.split_at_checked(at + 1).unwrap_or_default();
            *input = rest;
            self.keep(bytes)?;
            if let Some(event) = self.line_ends()? {
                return Ok(event);
            }
        }
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<(), TooLarge> {
        if bytes.len() > RESPONSE_BYTES_MAX - self.text.len().min(RESPONSE_BYTES_MAX) {
            return Err(TooLarge);
        }
        self.text.extend_from_slice(bytes);
        Ok(())
    }

    /// What the end of a line means; nothing if a literal follows.
    fn line_ends(&mut self) -> Result<Option<Event<'static>>, TooLarge> {
        let line = self.text.get(self.line..).unwrap_or_default();
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let size = literal_size(line).filter(|_| !is_text(&self.text));
        let Some(size) = size else {
            let end = self.line + line.len();
            self.text.truncate(end);
            self.is_whole = true;
            return Ok(Some(Event::Response));
        };
        let open = memchr::memrchr(b'{', line).unwrap_or_default();
        let before = line.get(..open).unwrap_or_default();
        let before = before.strip_suffix(b"~").unwrap_or(before);
        let end = self.line + before.len();
        self.is_body = is_body_item(before);
        self.left = size as u64;
        if self.is_body {
            self.text.truncate(end);
            self.text.extend_from_slice(b"\"\"");
            self.line = self.text.len();
            return Ok(Some(Event::Begin(self.left)));
        }
        if size > RESPONSE_BYTES_MAX {
            return Err(TooLarge);
        }
        self.line = self.text.len();
        Ok(None)
    }

    /// The response, after [`Event::Response`] and until more bytes are taken.
    #[must_use]
    pub fn response(&self) -> Response<'_> {
        Response::new(&self.text)
    }
}

/// Whether the text behind the tag follows no grammar, so that `{1}` at its end means nothing.
fn is_text(response: &[u8]) -> bool {
    let mut words = response.split(|byte| *byte == b' ');
    let (tag, word) = (words.next(), words.next().unwrap_or_default());
    let is_status = TEXTS.iter().any(|text| text.eq_ignore_ascii_case(word));
    is_status || tag == Some(b"+")
}

/// Whether the value that follows is that of a whole message.
fn is_body_item(before: &[u8]) -> bool {
    let Some(before) = before.strip_suffix(b" ") else { return false };
    let start = before.iter().rposition(|byte| matches!(byte, b' ' | b'('));
    let name = before.get(start.map_or(0, |at| at + 1)..).unwrap_or_default();
    BODIES.iter().any(|known| known.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a stream gives, in steps of some bytes.
    fn read(stream: &[u8], step: usize) -> Result<Vec<String>, TooLarge> {
        let mut reader = StreamReader::default();
        let (mut seen, mut body) = (Vec::new(), String::new());
        for mut piece in stream.chunks(step) {
            loop {
                match reader.next(&mut piece)? {
                    Event::More => break,
                    Event::Begin(size) => body = format!("{size}:"),
                    Event::Body(bytes) => body.push_str(&String::from_utf8_lossy(bytes)),
                    Event::Response => {
                        let text = reader.response().text();
                        seen.push(if body.is_empty() { text } else { format!("{text} <{body}>") });
                        body.clear();
                    }
                }
            }
        }
        Ok(seen)
    }

    #[track_caller]
    fn check(stream: &str, want: &[&str]) {
        for step in [1, 3, 1_000] {
            assert_eq!(read(stream.as_bytes(), step).unwrap(), want, "{stream:?} by {step}");
        }
    }

    /// RFC 9051 §4.3, §7.5.2.
    #[test]
    fn bodies_are_passed_on_and_the_rest_is_kept() {
        check("* OK hi\r\n", &["* OK hi"]);
        check(
            "* 1 FETCH (UID 7 BODY[] {5}\r\na\r\nb) FLAGS ())\r\na OK done\r\n",
            &["* 1 FETCH (UID 7 BODY[] \"\" FLAGS ()) <5:a\r\nb)>", "a OK done"],
        );
        check("* 1 FETCH (BODY[] ~{2}\r\nxy)\r\n", &["* 1 FETCH (BODY[] \"\") <2:xy>"]);
        check("* 1 FETCH (rfc822 {0}\r\n UID 1)\r\n", &["* 1 FETCH (rfc822 \"\" UID 1) <0:>"]);
        // Other literals are part of the response.
        check("* LIST () \"/\" {3}\r\na\nb\r\n", &["* LIST () \"/\" {3}\r\na\nb"]);
        check(
            "* 1 FETCH (BODY[HEADER] {2}\r\nxy BODY[] {1}\r\nz)\r\n",
            &["* 1 FETCH (BODY[HEADER] {2}\r\nxy BODY[] \"\") <1:z>"],
        );
        // At the edge: a text that ends like a literal, a line end without CR, an empty line.
        check("* OK see {3}\r\na NO {9}\r\n+ {1}\r\n", &["* OK see {3}", "a NO {9}", "+ {1}"]);
        check("* 1 EXISTS\n\r\n", &["* 1 EXISTS", ""]);
    }

    #[test]
    fn what_is_held_is_bounded() {
        let long = vec![b'x'; RESPONSE_BYTES_MAX];
        assert_eq!(read(&[&long[..], b"\n"].concat(), 1_000), Err(TooLarge));
        assert_eq!(read(&[&long[3..], b"\r\n"].concat(), 1_000).unwrap().len(), 1);
        assert_eq!(read(b"* LIST () NIL {99999999999}\r\n", 7), Err(TooLarge));
        let many = format!("* 1 FETCH (X {}\r\n", "{1}\r\na ".repeat(RESPONSE_BYTES_MAX / 5));
        assert_eq!(read(many.as_bytes(), 999), Err(TooLarge));
        // A body may be of any size.
        let mut stream = b"* 1 FETCH (BODY[] {3000000}\r\n".to_vec();
        stream.extend(vec![b'x'; 3_000_000]);
        stream.extend(b")\r\n");
        assert_eq!(read(&stream, 60_000).unwrap().len(), 1);
    }

    proptest! {
        #[test]
        fn any_steps_give_the_same(
            stream in "((\\* 1 FETCH |BODY\\[\\] |X |\\{[0-9]\\}\r\n|~|\\(|\\)|\r\n|OK | |a){0,40})",
            step in 1_usize..20,
        ) {
            prop_assert_eq!(read(stream.as_bytes(), step), read(stream.as_bytes(), 10_000));
        }
    }
}
