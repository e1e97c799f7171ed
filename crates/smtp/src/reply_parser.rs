//! Reads a server's replies. RFC 5321 §4.2.1.

use crate::reply::{Enhanced, REPLY_LINE_BYTES_TAKEN_MAX, REPLY_LINES_MAX, Reply};

/// What is wrong with a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyError {
    /// Not three digits of 200 to 599, followed by a space, a hyphen or the end of the line.
    BadCode,
    /// A line with another code than the one before it.
    CodesDiffer,
    /// A line over [`REPLY_LINE_BYTES_TAKEN_MAX`].
    LineTooLong,
    /// More than [`REPLY_LINES_MAX`] lines.
    TooManyLines,
}

impl std::fmt::Display for ReplyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::BadCode => "bad smtp reply code",
            Self::CodesDiffer => "codes differ in one smtp reply",
            Self::LineTooLong => "smtp reply line too long",
            Self::TooManyLines => "too many lines in smtp reply",
        })
    }
}

impl std::error::Error for ReplyError {}

/// Collects lines until a reply is whole.
#[derive(Clone, Debug, Default)]
pub struct ReplyParser {
    code: Option<u16>,
    enhanced: Option<Enhanced>,
    lines: Vec<String>,
}

impl ReplyParser {
    /// Takes bytes from the front of `buffer` and returns how many, and the reply if they complete
    /// one. Bytes after the reply are left for the next call. Nothing taken and no reply: read
    /// more.
    pub fn push(&mut self, buffer: &[u8]) -> Result<(usize, Option<Reply>), ReplyError> {
        let mut taken = 0;
        loop {
            let rest = buffer.get(taken..).unwrap_or_default();
            let window = rest.get(..REPLY_LINE_BYTES_TAKEN_MAX).unwrap_or(rest);
            let Some(end) = memchr::memchr(b'\n', window) else {
                return if window.len() == REPLY_LINE_BYTES_TAKEN_MAX {
                    Err(ReplyError::LineTooLong)
                } else {
                    Ok((taken, None))
                };
            };
            taken += end + 1;
            if self.line(window.get(..end).unwrap_or_default())? {
                return Ok((taken, Some(self.finish())));
            }
        }
    }

    /// `Reply-line = *( Reply-code "-" [ textstring ] CRLF ) Reply-code [ SP textstring ] CRLF`.
    /// Returns whether it is the last.
    fn line(&mut self, line: &[u8]) -> Result<bool, ReplyError> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let line = String::from_utf8_lossy(line);
        let (code, rest) = line.split_at_checked(3).ok_or(ReplyError::BadCode)?;
        let is_number = code.bytes().all(|b| b.is_ascii_digit());
        let code = code.parse().ok().filter(|code| is_number && (200..600).contains(code));
        let code = code.ok_or(ReplyError::BadCode)?;
        let (is_last, text) = match (rest.strip_prefix(' '), rest.strip_prefix('-')) {
            (Some(text), _) => (true, text),
            (None, Some(text)) => (false, text),
            (None, None) if rest.is_empty() => (true, ""),
            (None, None) => return Err(ReplyError::BadCode),
        };
        if self.code.is_some_and(|first| first != code) {
            return Err(ReplyError::CodesDiffer);
        }
        if self.lines.len() == REPLY_LINES_MAX {
            return Err(ReplyError::TooManyLines);
        }
        let (enhanced, text) = split_enhanced(code, text);
        if self.code.is_none() {
            self.enhanced = enhanced;
        }
        self.code = Some(code);
        // A control character would be trouble wherever this text ends up.
        self.lines.push(
            text.chars().map(|c| if c.is_control() && c != '\t' { '?' } else { c }).collect(),
        );
        Ok(is_last)
    }

    fn finish(&mut self) -> Reply {
        let code = self.code.take().unwrap_or_default();
        let enhanced = self.enhanced.take();
        let text = std::mem::take(&mut self.lines).join("\n");
        Reply { code, enhanced, text }
    }
}

/// Takes `status-code = ("2"/"4"/"5") "." 1*3DIGIT "." 1*3DIGIT` off the text, if its class is
/// that of the reply. RFC 3463 §2, RFC 2034 §3.
fn split_enhanced(code: u16, text: &str) -> (Option<Enhanced>, &str) {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    let mut parts = word.split('.');
    let class = parts.next().and_then(number);
    let (subject, detail) = (parts.next().and_then(number), parts.next().and_then(number));
    match (class, subject, detail, parts.next()) {
        (Some(class), Some(subject), Some(detail), None)
            if class == code / 100 && matches!(class, 2 | 4 | 5) =>
        {
            (Some(Enhanced { subject, detail }), rest)
        }
        _ => (None, text),
    }
}

fn number(text: &str) -> Option<u16> {
    let is_number = (1..=3).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    if is_number { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(bytes: &str, want: &Result<Option<Reply>, ReplyError>) {
        let got = ReplyParser::default().push(bytes.as_bytes());
        assert_eq!(&got.map(|(_, reply)| reply), want, "{bytes:?}");
    }

    /// RFC 5321 §4.2.1; RFC 2034 §3.
    #[test]
    fn replies_are_parsed_or_refused() {
        let long = format!("250 {}\r\n", "x".repeat(REPLY_LINE_BYTES_TAKEN_MAX));
        let many = "250-x\r\n".repeat(REPLY_LINES_MAX);
        // Valid.
        check("250 2.1.5 ok\r\n", &Ok(Some(Reply::new(250, (1, 5), "ok"))));
        check("220 mail.example ESMTP\r\n", &Ok(Some(Reply::bare(220, "mail.example ESMTP"))));
        check("550-5.7.1 no\r\n550 5.7.1 you\r\n", &Ok(Some(Reply::new(550, (7, 1), "no\nyou"))));
        // At the edge of valid.
        check("250\r\n", &Ok(Some(Reply::bare(250, ""))));
        check("250 ok\n", &Ok(Some(Reply::bare(250, "ok"))));
        check("250 5.1.1 other class\r\n", &Ok(Some(Reply::bare(250, "5.1.1 other class"))));
        check("250 2.1.1234 x\r\n", &Ok(Some(Reply::bare(250, "2.1.1234 x"))));
        check("250-more\r\n250", &Ok(None));
        check("", &Ok(None));
        // Just past the edge.
        check("250-a\r\n251 b\r\n", &Err(ReplyError::CodesDiffer));
        check("600 a\r\n", &Err(ReplyError::BadCode));
        check("199 a\r\n", &Err(ReplyError::BadCode));
        check("2500 a\r\n", &Err(ReplyError::BadCode));
        check(&long, &Err(ReplyError::LineTooLong));
        check(&format!("{many}250 x\r\n"), &Err(ReplyError::TooManyLines));
        // Never valid.
        check("\r\n", &Err(ReplyError::BadCode));
        check("hello\r\n", &Err(ReplyError::BadCode));
        check("+25 x\r\n", &Err(ReplyError::BadCode));
        check("é5 x\r\n", &Err(ReplyError::BadCode));
    }

    #[test]
    fn bytes_after_a_reply_are_left() {
        let mut parser = ReplyParser::default();
        let (taken, reply) = parser.push(b"250 a\r\n550 b\r\n").unwrap();
        assert_eq!((taken, reply), (7, Some(Reply::bare(250, "a"))));
    }

    proptest! {
        #[test]
        fn what_is_sent_is_read_back(
            code in 200_u16..600,
            enhanced in prop::option::of((0_u16..1000, 0_u16..1000)),
            text in "([a-z]{1,8}\n?){1,9}",
            split in 0_usize..40,
        ) {
            let enhanced = enhanced.filter(|_| !(300..400).contains(&code));
            let text = text.trim_end().to_owned();
            let reply = match enhanced {
                Some(enhanced) => Reply::new(code, enhanced, text),
                None => Reply::bare(code, text),
            };
            let bytes = reply.to_bytes();
            let mut parser = ReplyParser::default();
            let (taken, first) = parser.push(&bytes[..split.min(bytes.len())]).unwrap();
            let got = match first {
                Some(reply) => reply,
                None => parser.push(&bytes[taken..]).unwrap().1.unwrap(),
            };
            prop_assert_eq!(got, reply);
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            drop(ReplyParser::default().push(&bytes));
        }
    }
}
