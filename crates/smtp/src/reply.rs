//! Replies: a code, mostly an enhanced code, and text.
//!
//! Source: RFC 5321 §4.2, RFC 2034, RFC 3463.

use std::fmt;

/// The longest line we send, in bytes without its end. RFC 5321 §4.5.3.1.5.
pub const REPLY_LINE_BYTES_MAX: usize = 510;

/// Where a line of text is broken at a space, if it must be.
const BREAK_FROM_BYTES: usize = 400;

/// The most lines of one reply, sent or taken.
pub const REPLY_LINES_MAX: usize = 100;

/// The longest line taken from a server, in bytes with its end. RFC 5321 §4.5.3.1.5 says 512;
/// many servers explain at length.
pub const REPLY_LINE_BYTES_TAKEN_MAX: usize = 4_096;

/// The two lower parts of an enhanced status code; its class is the first digit of the reply
/// code. RFC 3463 §2, RFC 2034 §3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Enhanced {
    /// 0 to 999: what it is about.
    pub subject: u16,
    /// 0 to 999.
    pub detail: u16,
}

/// A reply of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// 200 to 599.
    pub code: u16,
    /// Absent in greetings, in replies to EHLO and in 3yz replies. RFC 2034 §4.
    pub enhanced: Option<Enhanced>,
    /// Text, in lines parted by LF. Whatever else is in it cannot leave its line: see
    /// [`Reply::to_bytes`].
    pub text: String,
}

impl Reply {
    /// A reply with an enhanced code, `(1, 1)` for x.1.1.
    #[must_use]
    pub fn new(code: u16, enhanced: (u16, u16), text: impl Into<String>) -> Self {
        let (subject, detail) = enhanced;
        Self { code, enhanced: Some(Enhanced { subject, detail }), text: text.into() }
    }

    /// A reply without an enhanced code.
    #[must_use]
    pub fn bare(code: u16, text: impl Into<String>) -> Self {
        Self { code, enhanced: None, text: text.into() }
    }

    /// 2yz: the command was carried out. RFC 5321 §4.2.1.
    #[must_use]
    pub fn is_positive(&self) -> bool {
        (200..300).contains(&self.code)
    }

    /// 3yz: the server waits for more. RFC 5321 §4.2.1.
    #[must_use]
    pub fn is_intermediate(&self) -> bool {
        (300..400).contains(&self.code)
    }

    /// 4yz: may go better later. RFC 5321 §4.2.1.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        (400..500).contains(&self.code)
    }

    /// 5yz: will not go better. RFC 5321 §4.2.1.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        (500..600).contains(&self.code)
    }

    /// The enhanced code as text, `5.1.1`.
    #[must_use]
    pub fn enhanced_text(&self) -> Option<String> {
        self.enhanced.map(|e| format!("{}.{}.{}", self.code / 100, e.subject, e.detail))
    }

    /// The reply as it is sent, each line with both codes.
    ///
    /// - Lines are at most [`REPLY_LINE_BYTES_MAX`]; longer text is broken at the last space after
    ///   column 400, or else hard. At most [`REPLY_LINES_MAX`] lines; the rest is cut off.
    /// - Only printable ASCII goes out (RFC 5321 §4.2, `textstring`), everything else as `?`. So
    ///   nothing that a client sent, or that a store or a rule says, can end a line and be taken
    ///   for the reply to the client's next command.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let code = self.code.clamp(200, 599);
        let enhanced = self.enhanced_text().map(|text| format!("{text} ")).unwrap_or_default();
        let room = REPLY_LINE_BYTES_MAX - "250-".len() - enhanced.len();
        let mut lines = Vec::new();
        for line in self.text.split('\n') {
            let line = line.strip_suffix('\r').unwrap_or(line);
            let line: String = line.chars().map(printable).collect();
            break_line(&line, room, &mut lines);
        }
        lines.truncate(REPLY_LINES_MAX);
        let mut bytes = Vec::with_capacity(self.text.len() + 16 * lines.len());
        for (index, line) in lines.iter().enumerate() {
            let separator = if index + 1 < lines.len() { '-' } else { ' ' };
            bytes.extend_from_slice(format!("{code}{separator}{enhanced}{line}\r\n").as_bytes());
        }
        bytes
    }
}

/// The first line, for logs.
impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.code)?;
        if let Some(enhanced) = self.enhanced_text() {
            write!(f, "{enhanced} ")?;
        }
        self.text
            .lines()
            .next()
            .unwrap_or_default()
            .chars()
            .try_for_each(|c| write!(f, "{}", printable(c)))
    }
}

/// `textstring = 1*(%d09 / %d32-126)`.
fn printable(c: char) -> char {
    if matches!(c, '\t' | ' '..='~') { c } else { '?' }
}

/// Appends the pieces of an ASCII line, each at most `room` bytes.
fn break_line(line: &str, room: usize, lines: &mut Vec<String>) {
    let mut rest = line;
    while lines.len() < REPLY_LINES_MAX {
        let Some((head, tail)) = rest.split_at_checked(room).filter(|(_, tail)| !tail.is_empty())
        else {
            lines.push(rest.to_owned());
            return;
        };
        match head.rfind(' ').filter(|space| *space >= BREAK_FROM_BYTES) {
            Some(space) => {
                let (head, tail) = rest.split_at_checked(space).unwrap_or((rest, ""));
                lines.push(head.to_owned());
                rest = tail.strip_prefix(' ').unwrap_or(tail);
            }
            None => {
                lines.push(head.to_owned());
                rest = tail;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(reply: &Reply, want: &str) {
        assert_eq!(String::from_utf8(reply.to_bytes()).unwrap(), want);
    }

    /// RFC 5321 §4.2, RFC 2034 §4.
    #[test]
    fn each_line_has_both_codes() {
        check(&Reply::new(250, (1, 5), "ok"), "250 2.1.5 ok\r\n");
        check(&Reply::bare(220, "mail.example ESMTP"), "220 mail.example ESMTP\r\n");
        check(&Reply::new(550, (7, 1), "no\nnot you"), "550-5.7.1 no\r\n550 5.7.1 not you\r\n");
        check(&Reply::bare(250, "a\nb\nc"), "250-a\r\n250-b\r\n250 c\r\n");
        check(&Reply::new(250, (0, 0), ""), "250 2.0.0 \r\n");
    }

    /// Smuggling of replies: RFC 5321 §4.2 allows printable ASCII only.
    #[test]
    fn text_cannot_leave_its_line() {
        let text = "no such user a\r\r\n250 ok\0\u{85}é";
        check(
            &Reply::new(550, (1, 1), text),
            "550-5.1.1 no such user a?\r\n550 5.1.1 250 ok???\r\n",
        );
        assert_eq!(Reply::new(550, (1, 1), "a\rb\nc").to_string(), "550 5.1.1 a?b");
    }

    #[test]
    fn long_text_is_broken_at_a_late_space_or_hard() {
        let (a, b) = ("a".repeat(450), "b".repeat(100));
        let reply = Reply::new(550, (1, 1), format!("{a} {b}"));
        check(&reply, &format!("550-5.1.1 {a}\r\n550 5.1.1 {b}\r\n"));
        // A space too early does not count.
        let (a, b) = ("a".repeat(300), "b".repeat(300));
        let first = 510 - "550-5.1.1 ".len() - 301;
        let (b1, b2) = b.split_at(first);
        let reply = Reply::new(550, (1, 1), format!("{a} {b}"));
        check(&reply, &format!("550-5.1.1 {a} {b1}\r\n550 5.1.1 {b2}\r\n"));
        // Exactly as long as a line can be.
        let full = "x".repeat(506);
        check(&Reply::bare(250, full.clone()), &format!("250 {full}\r\n"));
        check(&Reply::bare(250, format!("{full}y")), &format!("250-{full}\r\n250 y\r\n"));
    }

    #[test]
    fn a_reply_has_at_most_so_many_lines() {
        let lines =
            |text: &str| Reply::bare(250, text).to_bytes().split(|b| *b == b'\n').count() - 1;
        assert_eq!(lines(&"x\n".repeat(99)), 100);
        assert_eq!(lines(&"x\n".repeat(5_000)), 100);
        assert_eq!(lines(&"x".repeat(500_000)), 100);
    }
}
