//! The words of the grammar: atoms, strings, numbers, lists.
//!
//! Source: RFC 9051 §4, RFC 9051 §9.

use std::borrow::Cow;

use super::{Expected, ParseError};
use crate::types::{MailboxArg, SequenceSet, SequenceSetError, SetArg, is_atom_char, utf7};

/// How the session wants text to be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Mailbox names are UTF-8 (IMAP4rev2 is enabled), not modified UTF-7. RFC 9051 §5.1.
    pub utf8: bool,
    /// Refuse what the RFC forbids even where it does no harm.
    pub pedantic: bool,
}

/// A position in a command. All methods are total and look at each byte at most once.
#[derive(Clone, Debug)]
pub(crate) struct Lexer<'a> {
    input: &'a [u8],
    at: usize,
    pub(crate) options: Options,
}

pub(crate) type Parsed<T> = Result<T, ParseError>;

impl<'a> Lexer<'a> {
    pub(crate) fn new(input: &'a [u8], at: usize, options: Options) -> Self {
        Self { input, at, options }
    }

    pub(crate) fn at(&self) -> usize {
        self.at
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.input.get(self.at..).unwrap_or_default()
    }

    /// The text since an earlier position of the same command.
    pub(crate) fn since(&self, mark: &Self) -> &'a [u8] {
        self.input.get(mark.at..self.at).unwrap_or_default()
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.input.get(self.at).copied()
    }

    pub(crate) fn fail<T>(&self, expected: Expected) -> Parsed<T> {
        Err(ParseError { at: self.at, expected })
    }

    /// The end of the command.
    pub(crate) fn end(&self) -> Parsed<()> {
        if self.rest().is_empty() { Ok(()) } else { self.fail(Expected::End) }
    }

    /// Takes `byte` if it is next.
    pub(crate) fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// One given byte.
    pub(crate) fn byte(&mut self, byte: u8, expected: Expected) -> Parsed<()> {
        if self.take(byte) { Ok(()) } else { self.fail(expected) }
    }

    /// `SP`
    pub(crate) fn sp(&mut self) -> Parsed<()> {
        self.byte(b' ', Expected::Space)
    }

    /// The space between a command and its arguments.
    ///
    /// Deviation: RFC 9051 §9 has one space; we take more unless pedantic, because there are mail
    /// programs that send two.
    pub(crate) fn sp_of_command(&mut self) -> Parsed<()> {
        self.sp()?;
        while !self.options.pedantic && self.take(b' ') {}
        Ok(())
    }

    /// `"("`
    pub(crate) fn open(&mut self) -> Parsed<()> {
        self.byte(b'(', Expected::Open)
    }

    /// `")"`
    pub(crate) fn close(&mut self) -> Parsed<()> {
        self.byte(b')', Expected::Close)
    }

    /// The longest run of bytes that satisfy `test`, possibly empty.
    pub(crate) fn run(&mut self, test: impl Fn(u8) -> bool) -> &'a [u8] {
        let rest = self.rest();
        let len = rest.iter().position(|byte| !test(*byte)).unwrap_or(rest.len());
        self.at += len;
        rest.get(..len).unwrap_or_default()
    }

    /// A word, in any case, that is not followed by another atom character.
    pub(crate) fn word(&mut self, word: &str) -> bool {
        let rest = self.rest();
        let found = rest.get(..word.len()).is_some_and(|b| b.eq_ignore_ascii_case(word.as_bytes()))
            && !rest.get(word.len()).is_some_and(|byte| is_atom_char(*byte));
        if found {
            self.at += word.len();
        }
        found
    }

    /// `atom = 1*ATOM-CHAR`
    pub(crate) fn atom(&mut self) -> Parsed<&'a [u8]> {
        match self.run(is_atom_char) {
            b"" => self.fail(Expected::Atom),
            atom => Ok(atom),
        }
    }

    /// `astring = 1*ASTRING-CHAR / string`, `ASTRING-CHAR = ATOM-CHAR / resp-specials`
    pub(crate) fn astring(&mut self) -> Parsed<Cow<'a, [u8]>> {
        match self.peek() {
            Some(b'"' | b'{') => self.string(),
            _ => match self.run(|byte| is_atom_char(byte) || byte == b']') {
                b"" => self.fail(Expected::String),
                text => Ok(Cow::Borrowed(text)),
            },
        }
    }

    /// `string = quoted / literal`
    pub(crate) fn string(&mut self) -> Parsed<Cow<'a, [u8]>> {
        match self.peek() {
            Some(b'"') => self.quoted(),
            Some(b'{') => self.literal().map(Cow::Borrowed),
            _ => self.fail(Expected::String),
        }
    }

    /// `nstring = string / nil`
    pub(crate) fn nstring(&mut self) -> Parsed<Option<Cow<'a, [u8]>>> {
        if self.word("NIL") { Ok(None) } else { self.string().map(Some) }
    }

    /// `quoted = DQUOTE *QUOTED-CHAR DQUOTE`
    fn quoted(&mut self) -> Parsed<Cow<'a, [u8]>> {
        self.byte(b'"', Expected::String)?;
        let plain = self.run(|byte| !matches!(byte, b'"' | b'\\' | 0 | b'\r' | b'\n'));
        if self.take(b'"') {
            return Ok(Cow::Borrowed(plain));
        }
        let mut text = plain.to_vec();
        loop {
            if self.take(b'"') {
                return Ok(Cow::Owned(text));
            }
            // Only `\"` and `\\` are escapes. RFC 9051 §9 (`quoted-specials`).
            let at = self.at + usize::from(self.take(b'\\'));
            match self.peek() {
                Some(byte @ (b'"' | b'\\')) if at == self.at => {
                    text.push(byte);
                    self.at += 1;
                }
                _ => return self.fail(Expected::QuoteEnd),
            }
            text.extend(self.run(|byte| !matches!(byte, b'"' | b'\\' | 0 | b'\r' | b'\n')));
        }
    }

    /// `literal = "{" number64 ["+"] "}" CRLF *CHAR8`, as the reader laid it out.
    fn literal(&mut self) -> Parsed<&'a [u8]> {
        let start = self.at;
        let data = self.literal_bytes()?;
        // RFC 9051 §9 (`CHAR8`): NUL only in literal8.
        if data.contains(&0) {
            self.at = start;
            return self.fail(Expected::NoNul);
        }
        Ok(data)
    }

    fn literal_bytes(&mut self) -> Parsed<&'a [u8]> {
        self.byte(b'{', Expected::String)?;
        let size = self.number64()?;
        self.take(b'+');
        self.byte(b'}', Expected::LiteralEnd)?;
        self.byte(b'\r', Expected::LiteralEnd)?;
        self.byte(b'\n', Expected::LiteralEnd)?;
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        match self.rest().get(..size) {
            Some(data) => {
                self.at += size;
                Ok(data)
            }
            None => self.fail(Expected::LiteralEnd),
        }
    }

    /// `literal8 = "~{" number64 "}" CRLF *OCTET`. RFC 9051 §9.
    pub(crate) fn literal8(&mut self) -> Parsed<&'a [u8]> {
        self.byte(b'~', Expected::String)?;
        self.literal_bytes()
    }

    /// `number64 = 1*DIGIT`, at most 63 bits.
    pub(crate) fn number64(&mut self) -> Parsed<u64> {
        let start = self.at;
        let digits = self.run(|byte| byte.is_ascii_digit());
        let number = std::str::from_utf8(digits).ok().and_then(|text| text.parse::<u64>().ok());
        match number {
            Some(number) if number <= i64::MAX.unsigned_abs() => Ok(number),
            _ => {
                self.at = start;
                self.fail(Expected::Number)
            }
        }
    }

    /// `nz-number = digit-nz *DIGIT`, 32 bits.
    pub(crate) fn nz_number(&mut self) -> Parsed<u32> {
        let start = self.at;
        if self.peek() != Some(b'0')
            && let Ok(number) = self.number64()
            && let Ok(number) = u32::try_from(number)
        {
            return Ok(number);
        }
        self.at = start;
        self.fail(Expected::NonZeroNumber)
    }

    /// `sequence-set` without `$`.
    pub(crate) fn plain_set(&mut self) -> Parsed<SequenceSet> {
        let start = self.at;
        let text = self.run(|byte| matches!(byte, b'0'..=b'9' | b'*' | b':' | b','));
        SequenceSet::parse(text).map_err(|error| ParseError {
            at: start,
            expected: match error {
                SequenceSetError::TooManyRanges => Expected::FewerItems,
                _ => Expected::SequenceSet,
            },
        })
    }

    /// `sequence-set = (seq-number / seq-range) ["," sequence-set] / seq-last-command`
    pub(crate) fn sequence_set(&mut self) -> Parsed<SetArg> {
        if self.take(b'$') { Ok(SetArg::Saved) } else { self.plain_set().map(SetArg::Set) }
    }

    /// `mailbox = "INBOX" / astring`, decoded.
    pub(crate) fn mailbox(&mut self) -> Parsed<MailboxArg> {
        let start = self.at;
        let text = self.astring()?;
        self.mailbox_text(&text, start).map(MailboxArg)
    }

    /// Decodes a name or a pattern by the rules in force.
    pub(crate) fn mailbox_text(&self, text: &[u8], at: usize) -> Parsed<String> {
        let decoded = if self.options.utf8 {
            std::str::from_utf8(text).ok().map(str::to_owned)
        } else {
            utf7::decode(text).ok()
        };
        decoded.ok_or(ParseError { at, expected: Expected::MailboxName })
    }

    /// Text that must be UTF-8.
    pub(crate) fn utf8_astring(&mut self) -> Parsed<String> {
        let start = self.at;
        let text = self.astring()?.into_owned();
        String::from_utf8(text).map_err(|_| ParseError { at: start, expected: Expected::Utf8 })
    }

    /// `"(" item *(SP item) ")"`, or `"()"`; at most `max` items.
    pub(crate) fn list<T>(
        &mut self,
        max: usize,
        mut item: impl FnMut(&mut Self) -> Parsed<T>,
    ) -> Parsed<Vec<T>> {
        self.open()?;
        let mut items = Vec::new();
        if self.take(b')') {
            return Ok(items);
        }
        loop {
            if items.len() == max {
                return self.fail(Expected::FewerItems);
            }
            items.push(item(self)?);
            if self.take(b')') {
                return Ok(items);
            }
            self.sp()?;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(input: &str, want: Result<&str, Expected>) {
        let mut lexer = Lexer::new(input.as_bytes(), 0, Options::default());
        let got = lexer.astring().and_then(|text| lexer.end().map(|()| text));
        let got = got.as_deref().map(|text| std::str::from_utf8(text).unwrap());
        assert_eq!(got.map_err(|e| e.expected), want, "{input:?}");
    }

    /// RFC 9051 §4.3 and §9 (`astring`, `quoted`, `literal`).
    #[test]
    fn strings_come_in_three_forms() {
        // Valid.
        check("abc", Ok("abc"));
        check("\"a b\"", Ok("a b"));
        check("\"a\\\\b\\\"c\"", Ok("a\\b\"c"));
        check("{3}\r\na\nb", Ok("a\nb"));
        check("{3+}\r\nabc", Ok("abc"));
        check("\"caf\u{e9}\"", Ok("caf\u{e9}"));
        // At the edge of valid.
        check("a]", Ok("a]"));
        check("\"\"", Ok(""));
        check("{0}\r\n", Ok(""));
        check("\"\\\\\"", Ok("\\"));
        // Just past it.
        check("{4}\r\nabc", Err(Expected::LiteralEnd));
        check("{2}\r\nabc", Err(Expected::End));
        check("\"\\a\"", Err(Expected::QuoteEnd));
        // Never valid.
        check("", Err(Expected::String));
        check("a b", Err(Expected::End));
        check("\"a", Err(Expected::QuoteEnd));
        check("\"a\\\"", Err(Expected::QuoteEnd));
        check("\"a\rb\"", Err(Expected::QuoteEnd));
        check("{1}\r\n\0", Err(Expected::NoNul));
        check("caf\u{e9}", Err(Expected::End));
        check("\u{7f}", Err(Expected::String));
        check("\u{1a}", Err(Expected::String));
    }

    #[test]
    fn numbers_have_bounds() {
        let number = |text: &str| {
            let mut lexer = Lexer::new(text.as_bytes(), 0, Options::default());
            (lexer.number64().ok(), {
                let mut lexer = Lexer::new(text.as_bytes(), 0, Options::default());
                lexer.nz_number().ok()
            })
        };
        assert_eq!(number("1"), (Some(1), Some(1)));
        assert_eq!(number("0"), (Some(0), None));
        assert_eq!(number("4294967295"), (Some(u32::MAX.into()), Some(u32::MAX)));
        assert_eq!(number("4294967296"), (Some(4_294_967_296), None));
        assert_eq!(number("9223372036854775807"), (Some(i64::MAX as u64), None));
        assert_eq!(number("9223372036854775808"), (None, None));
        assert_eq!(number(""), (None, None));
        assert_eq!(number("-1"), (None, None));
    }

    proptest! {
        /// What the printer writes as a string, the lexer reads back.
        #[test]
        fn a_printed_string_is_read_back(
            text in proptest::collection::vec(1_u8.., 0..60), utf8 in any::<bool>()
        ) {
            let mut out = Vec::new();
            crate::print::string(&mut out, &text, utf8);
            let mut lexer = Lexer::new(&out, 0, Options::default());
            prop_assert_eq!(lexer.string().unwrap().into_owned(), text.clone());
            prop_assert!(lexer.end().is_ok());
            out.clear();
            crate::print::astring(&mut out, &text, utf8);
            let mut lexer = Lexer::new(&out, 0, Options::default());
            prop_assert_eq!(lexer.astring().unwrap().into_owned(), text.clone());
            prop_assert!(lexer.end().is_ok());
        }

        /// A mailbox name survives printing and parsing in both encodings.
        #[test]
        fn a_printed_mailbox_is_read_back(name in "\\PC{1,30}", utf8 in any::<bool>()) {
            let mut out = Vec::new();
            crate::print::mailbox(&mut out, &name, utf8);
            let mut lexer = Lexer::new(&out, 0, Options { utf8, ..Options::default() });
            prop_assert_eq!(lexer.mailbox(), Ok(MailboxArg(name)));
        }
    }
}
