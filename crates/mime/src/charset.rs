//! Character sets to UTF-8.

use std::borrow::Cow;

use encoding_rs::{Decoder, Encoding, UTF_8, WINDOWS_1252};

use crate::bytes::{sub, tail};

/// Names seen in mail that the WHATWG list of labels lacks.
const ALIASES: [(&str, &str); 11] = [
    ("cp932", "shift_jis"),
    ("cp936", "gbk"),
    ("cp949", "euc-kr"),
    ("cp950", "big5"),
    ("cp51932", "euc-jp"),
    ("cp50220", "iso-2022-jp"),
    ("cp874", "windows-874"),
    ("cp367", "us-ascii"),
    ("latin-1", "iso-8859-1"),
    ("x-sjis-jp", "shift_jis"),
    ("utf8mb4", "utf-8"),
];

/// Finds a character set by any WHATWG label or a few others; case and blanks do not matter.
///
/// Returns `None` for an unknown name, an empty one, and for those that say "unknown". US-ASCII is
/// given as Windows-1252, as WHATWG has it.
#[must_use]
pub fn charset(label: &[u8]) -> Option<&'static Encoding> {
    let label = label.trim_ascii();
    let found = Encoding::for_label_no_replacement(label);
    if found.is_some() {
        return found;
    }
    let name = ALIASES.iter().find(|(name, _)| name.as_bytes().eq_ignore_ascii_case(label))?.1;
    Encoding::for_label_no_replacement(name.as_bytes())
}

/// Whether the text of such a part is read as UTF-8 first, and only if that fails as Windows-1252.
fn is_guessed(label: &[u8]) -> bool {
    let label = label.trim_ascii();
    label.eq_ignore_ascii_case(b"us-ascii")
        || label.eq_ignore_ascii_case(b"ascii")
        || charset(label).is_none()
}

/// Decodes `bytes` by the named charset; malformed sequences become U+FFFD.
///
/// Without a known charset, or if it is US-ASCII, the bytes are UTF-8 if they are valid so, and
/// Windows-1252 otherwise.
#[must_use]
pub fn decode_charset<'a>(label: &[u8], bytes: &'a [u8]) -> Cow<'a, str> {
    match charset(label) {
        Some(encoding) if !is_guessed(label) => encoding.decode_with_bom_removal(bytes).0,
        _ => decode_unlabelled(bytes),
    }
}

/// Decodes bytes that claim no charset: UTF-8 if valid, else Windows-1252.
#[must_use]
pub fn decode_unlabelled(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => WINDOWS_1252.decode_without_bom_handling(bytes).0,
    }
}

/// A charset decoder that takes its input in pieces.
pub struct CharsetDecoder {
    decoder: Decoder,
    /// Still UTF-8 by guess: the first bad sequence turns the rest into Windows-1252.
    guess: Option<Vec<u8>>,
}

impl std::fmt::Debug for CharsetDecoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CharsetDecoder({})", self.decoder.encoding().name())
    }
}

impl CharsetDecoder {
    /// A decoder for the named charset; see [`decode_charset`] for unknown ones.
    #[must_use]
    pub fn new(label: &[u8]) -> Self {
        match charset(label) {
            Some(encoding) if !is_guessed(label) => {
                Self { decoder: encoding.new_decoder_with_bom_removal(), guess: None }
            }
            _ => Self { decoder: UTF_8.new_decoder(), guess: Some(Vec::new()) },
        }
    }

    /// Adds the text of `bytes` to `out`; `last` says that nothing follows.
    pub fn decode(&mut self, bytes: &[u8], last: bool, out: &mut String) {
        let Some(mut held) = self.guess.take() else {
            self.run(bytes, last, out);
            return;
        };
        // At most three bytes of an unfinished sequence are held back.
        held.extend_from_slice(bytes);
        match std::str::from_utf8(&held) {
            Ok(text) => {
                out.push_str(text);
                self.guess = Some(Vec::new());
            }
            Err(error) => {
                let valid = error.valid_up_to();
                out.push_str(&String::from_utf8_lossy(sub(&held, 0, valid)));
                let rest = tail(&held, valid);
                if error.error_len().is_none() && !last {
                    self.guess = Some(rest.to_vec());
                    return;
                }
                self.decoder = WINDOWS_1252.new_decoder_without_bom_handling();
                self.run(rest, last, out);
            }
        }
    }

    fn run(&mut self, bytes: &[u8], last: bool, out: &mut String) {
        let room = self.decoder.max_utf8_buffer_length(bytes.len());
        out.reserve(room.unwrap_or_default());
        // With that room the whole input is always read.
        let (result, _, _) = self.decoder.decode_to_string(bytes, out, last);
        debug_assert_eq!(result, encoding_rs::CoderResult::InputEmpty);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(label: &str, bytes: &[u8], want: &str) {
        assert_eq!(decode_charset(label.as_bytes(), bytes), want, "{label}");
        let mut decoder = CharsetDecoder::new(label.as_bytes());
        let mut text = String::new();
        for byte in bytes {
            decoder.decode(std::slice::from_ref(byte), false, &mut text);
        }
        decoder.decode(b"", true, &mut text);
        assert_eq!(text, want, "{label} in pieces");
    }

    #[test]
    fn charsets_are_decoded_whole_and_in_pieces() {
        check("utf-8", "naïve ☕".as_bytes(), "naïve ☕");
        check("ISO-8859-2", b"\xb1\xe6", "ąć");
        check("gb2312", b"\xc4\xe3", "你");
        check("Shift_JIS", b"\x93\xfa", "日");
        check("iso-2022-jp", b"\x1b$BF|\x1b(B", "日");
        check("cp932", b"\x93\xfa", "日");
        check("koi8-r", b"\xf0", "П");
        check("", "é".as_bytes(), "é");
        check("us-ascii", b"plain", "plain");
        // Mislabelled, and never right.
        check("us-ascii", b"caf\xe9", "café");
        check("x-unknown", b"caf\xe9 \xe9t\xe9", "café été");
        check("utf-8", b"a\xffb", "a\u{fffd}b");
        check("utf-8", b"a\xe2\x98", "a\u{fffd}");
    }

    proptest! {
        #[test]
        fn pieces_give_what_the_whole_gives(
            text in "[a-zé☕]{0,40}", at in 0usize..40, label in "utf-8|us-ascii|x|utf-16"
        ) {
            let bytes = text.as_bytes();
            let at = at.min(bytes.len());
            let mut decoder = CharsetDecoder::new(label.as_bytes());
            let mut out = String::new();
            decoder.decode(&bytes[..at], false, &mut out);
            decoder.decode(&bytes[at..], true, &mut out);
            prop_assert_eq!(out, decode_charset(label.as_bytes(), bytes));
        }
    }
}
