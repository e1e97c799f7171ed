//! Encoded-words: text in headers that are ASCII on the wire. RFC 2047.

use memchr::memmem;

use crate::bytes::{sub, tail};
use crate::charset::{charset, decode_charset, decode_unlabelled};
use crate::header::unfold;
use crate::transfer::{Encoding, decode_transfer, hex};

/// The longest encoded-word that is decoded, in bytes. RFC 2047 §2 allows 75; software that puts
/// a whole subject in one word is seen. Bounds the search for the end of a word.
pub const ENCODED_WORD_BYTES_MAX: usize = 1_024;

/// Unfolds a header value and decodes its encoded-words to UTF-8.
///
/// Lenient: blanks inside a word and words next to other text are accepted; adjacent words of one
/// charset are joined before they are decoded, so that a character split over two words is whole.
/// A word whose charset is unknown stays as it is. Other 8-bit text is UTF-8 (RFC 6532 §3) if it
/// is valid so, else Windows-1252. Takes time linear in the value.
#[must_use]
pub fn decode_header(value: &[u8]) -> String {
    let value = unfold(value);
    if memmem::find(&value, b"=?").is_none() {
        return decode_unlabelled(&value).into_owned();
    }
    let mut out = Output::default();
    let mut rest: &[u8] = &value;
    while let Some(at) = memmem::find(rest, b"=?") {
        let (before, from) = rest.split_at(at);
        if let Some((word, after)) = EncodedWord::parse(from) {
            out.text(before);
            out.word(&word);
            rest = after;
        } else {
            out.text(sub(rest, 0, at + 2));
            rest = tail(rest, at + 2);
        }
    }
    out.text(rest);
    out.finish()
}

/// `encoded-word = "=?" charset "?" encoding "?" encoded-text "?="`. RFC 2047 §2.
struct EncodedWord<'a> {
    charset: &'a [u8],
    bytes: Vec<u8>,
}

impl<'a> EncodedWord<'a> {
    /// Reads the word at the start of `data`, and gives what follows it.
    fn parse(data: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let window = sub(data, 0, data.len().min(ENCODED_WORD_BYTES_MAX));
        let body = window.strip_prefix(b"=?")?;
        let mut fields = body.splitn(3, |b| *b == b'?');
        let (label, method, rest) = (fields.next()?, fields.next()?, fields.next()?);
        // RFC 2231 §5 adds a language: `charset*lang`.
        let label = label.split(|b| *b == b'*').next()?;
        let is_known = charset(label).is_some();
        if !is_known || method.len() != 1 {
            return None;
        }
        let end = memmem::find(rest, b"?=")?;
        let text = sub(rest, 0, end);
        let bytes = match method.first()?.to_ascii_lowercase() {
            b'b' => decode_transfer(Encoding::Base64, false, text),
            b'q' => decode_q(text),
            _ => return None,
        };
        let used = label_bytes(body, rest) + end + 2;
        Some((Self { charset: label, bytes }, tail(data, used)))
    }
}

/// The bytes of a word up to its encoded-text, `=?` included.
fn label_bytes(body: &[u8], text: &[u8]) -> usize {
    body.len() - text.len() + 2
}

/// The "Q" encoding. RFC 2047 §4.2.
fn decode_q(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    loop {
        match rest {
            [] => return out,
            [b'=', high, low, others @ ..] => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    out.push(high << 4 | low);
                    rest = others;
                }
                _ => {
                    out.push(b'=');
                    rest = tail(rest, 1);
                }
            },
            [byte, others @ ..] => {
                out.push(if *byte == b'_' { b' ' } else { *byte });
                rest = others;
            }
        }
    }
}

/// Joins words and text.
#[derive(Default)]
struct Output {
    out: String,
    /// Charset and bytes of the words not yet decoded.
    pending: Option<(Vec<u8>, Vec<u8>)>,
    /// Blanks seen since the last word.
    blanks: Vec<u8>,
}

impl Output {
    /// Blanks between two words are not part of the text. RFC 2047 §6.2.
    fn text(&mut self, text: &[u8]) {
        if text.is_empty() {
            return;
        }
        if self.pending.is_some() && text.iter().all(|b| matches!(b, b' ' | b'\t')) {
            self.blanks.extend_from_slice(text);
            return;
        }
        self.flush();
        self.out.push_str(&String::from_utf8_lossy(&std::mem::take(&mut self.blanks)));
        self.out.push_str(&decode_unlabelled(text));
    }

    fn word(&mut self, word: &EncodedWord<'_>) {
        self.blanks.clear();
        match &mut self.pending {
            Some((label, bytes)) if label.eq_ignore_ascii_case(word.charset) => {
                bytes.extend_from_slice(&word.bytes);
            }
            _ => {
                self.flush();
                self.pending = Some((word.charset.to_vec(), word.bytes.clone()));
            }
        }
    }

    fn flush(&mut self) {
        if let Some((label, bytes)) = self.pending.take() {
            self.out.push_str(&decode_charset(&label, &bytes));
        }
    }

    fn finish(mut self) -> String {
        self.flush();
        self.out.push_str(&String::from_utf8_lossy(&self.blanks));
        // An encoded line end must not become one: the text goes into lists and logs.
        if self.out.contains(['\r', '\n']) {
            self.out = self.out.replace("\r\n", " ").replace(['\r', '\n'], " ");
        }
        self.out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: &str, want: &str) {
        assert_eq!(decode_header(value.as_bytes()), want, "{value:?}");
    }

    /// RFC 2047 §8 has most of these.
    #[test]
    fn encoded_words_are_decoded() {
        // Valid.
        check("plain", "plain");
        check("=?US-ASCII?Q?Keith_Moore?= <moore@cs.utk.edu>", "Keith Moore <moore@cs.utk.edu>");
        check("=?ISO-8859-1?Q?Andr=E9?= Pirard", "André Pirard");
        check(
            "=?ISO-8859-1?B?SWYgeW91IGNhbiByZWFkIHRoaXMgeW8=?=\r\n \
             =?ISO-8859-2?B?dSB1bmRlcnN0YW5kIHRoZSBleGFtcGxlLg==?=",
            "If you can read this you understand the example.",
        );
        check("(=?ISO-8859-1?Q?a?= b)", "(a b)");
        check("=?ISO-8859-1?Q?a?=  =?ISO-8859-1?Q?b?=", "ab");
        check("=?ISO-8859-1?Q?a_b?=", "a b");
        check("=?utf-8*en?q?a?=", "a");
        // At the edge: a character split over two words, blanks inside, no blank between.
        check("=?utf-8?b?4pi=?= =?utf-8?b?lQ==?=", "☕");
        check("=?utf-8?q?=E2=98?= =?utf-8?q?=95?=", "☕");
        check("=?utf-8?q?two words?=", "two words");
        check("a=?utf-8?q?b?=c", "abc");
        check("=?utf-8?q??=", "");
        // Past it: unknown charset or method, no end, too long.
        check("=?x-none?q?a?= b", "=?x-none?q?a?= b");
        check("=?utf-8?x?a?=", "=?utf-8?x?a?=");
        check("=?utf-8?q?a", "=?utf-8?q?a");
        check("=?utf-8?q?=Z1=4?=", "=Z1=4");
        let long = format!("=?utf-8?q?{}?=", "a".repeat(ENCODED_WORD_BYTES_MAX));
        check(&long, &long);
        check("=?utf-8?q?a=0D=0ABcc:_x?=", "a Bcc: x");
    }

    #[test]
    fn raw_8bit_text_is_utf_8_or_windows_1252() {
        assert_eq!(decode_header("é ☕".as_bytes()), "é ☕");
        assert_eq!(decode_header(b"caf\xe9"), "café");
        assert_eq!(decode_header(b"caf\xe9 =?utf-8?q?x?="), "café x");
    }
}
