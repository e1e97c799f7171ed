//! The tokens of structured header fields. RFC 5322 §3.2.

use crate::bytes::{sub, tail};

/// A reader of tokens that never fails: what does not fit the grammar is skipped by the caller.
#[derive(Clone, Copy)]
pub(crate) struct Lexer<'a> {
    data: &'a [u8],
    pos: usize,
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(data: &'a [u8]) -> Self {
        Self { data, pos: 0 }
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.data.get(self.pos).copied()
    }

    pub(crate) fn bump(&mut self) {
        self.pos += 1;
    }

    /// Steps over `byte` if it is next.
    pub(crate) fn eat(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.pos += usize::from(is_next);
        is_next
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        tail(self.data, self.pos)
    }

    /// Reads bytes while `accept` holds.
    pub(crate) fn take_while(&mut self, accept: impl Fn(u8) -> bool) -> &'a [u8] {
        let rest = self.rest();
        let length = rest.iter().position(|b| !accept(*b)).unwrap_or(rest.len());
        self.pos += length;
        sub(rest, 0, length)
    }

    /// `CFWS`. Returns whether there was any, and the inside of the last comment.
    ///
    /// Comments may nest to any depth; nesting is counted, not recursed.
    pub(crate) fn cfws(&mut self) -> (bool, Option<&'a [u8]>) {
        let start = self.pos;
        let mut comment = None;
        loop {
            self.take_while(is_wsp);
            if self.peek() != Some(b'(') {
                return (self.pos > start, comment);
            }
            comment = Some(self.comment());
        }
    }

    /// `comment`, whose parenthesis is next; one without end takes the rest.
    fn comment(&mut self) -> &'a [u8] {
        self.bump();
        let start = self.pos;
        let mut depth = 1_usize;
        while let Some(byte) = self.peek() {
            match byte {
                b'\\' => self.bump(),
                b'(' => depth += 1,
                b')' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                let inside = sub(self.data, start, self.pos);
                self.bump();
                return inside;
            }
            self.bump();
        }
        self.pos = self.data.len();
        tail(self.data, start)
    }

    /// `quoted-string`, whose quote is next, added to `out` without quotes, escapes and line ends.
    pub(crate) fn quoted_string(&mut self, out: &mut Vec<u8>) {
        self.bump();
        loop {
            let plain = self.take_while(|b| !matches!(b, b'"' | b'\\' | b'\r' | b'\n'));
            out.extend_from_slice(plain);
            match self.peek() {
                None => return,
                Some(b'"') => return self.bump(),
                Some(b'\\') => {
                    self.bump();
                    if let Some(byte) = self.peek() {
                        out.push(byte);
                        self.bump();
                    }
                }
                Some(_) => self.bump(),
            }
        }
    }
}

/// Space, tab, and the line ends of folding (RFC 5322 §2.2.3).
pub(crate) fn is_wsp(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// `token` of RFC 2045 §5.1, without `*'%` excluded as RFC 2231 §7 would.
pub(crate) fn is_token(byte: u8) -> bool {
    matches!(byte, 0x21..=0x7E)
        && !matches!(
            byte,
            b'(' | b')'
                | b'<'
                | b'>'
                | b'@'
                | b','
                | b';'
                | b':'
                | b'\\'
                | b'"'
                | b'/'
                | b'['
                | b']'
                | b'?'
                | b'='
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 5322 §3.2.2.
    #[test]
    fn comments_nest_and_are_escaped() {
        let check = |text: &str, comment: Option<&str>, rest: &str| {
            let mut lexer = Lexer::new(text.as_bytes());
            let (_, got) = lexer.cfws();
            assert_eq!(got, comment.map(str::as_bytes), "{text:?}");
            assert_eq!(lexer.rest(), rest.as_bytes(), "{text:?}");
        };
        check(" \t\r\n x", None, "x");
        check("(a) (b) x", Some("b"), "x");
        check("(a (b) c)x", Some("a (b) c"), "x");
        check("(a \\) b)x", Some("a \\) b"), "x");
        // Never ended, and nested deeper than any stack.
        check("(a (b)", Some("a (b)"), "");
        check("(\\", Some("\\"), "");
        let deep = "(".repeat(1_000_000);
        check(&format!("({deep}"), Some(&deep), "");
    }

    /// RFC 5322 §3.2.4.
    #[test]
    fn quoted_strings_lose_quotes_escapes_and_folding() {
        let check = |text: &str, want: &str, rest: &str| {
            let mut lexer = Lexer::new(text.as_bytes());
            let mut out = Vec::new();
            lexer.quoted_string(&mut out);
            assert_eq!((out.as_slice(), lexer.rest()), (want.as_bytes(), rest.as_bytes()));
        };
        check("\"a b\"c", "a b", "c");
        check("\"a\\\"b\\\\\"", "a\"b\\", "");
        check("\"a\r\n b\"", "a b", "");
        check("\"a", "a", "");
        check("\"a\\", "a", "");
    }
}
