//! Content-Transfer-Encoding: what the bytes of a part mean. RFC 2045 §6.

use std::io::{self, Read};

use crate::bytes::{as_u64, low_byte, sub, tail};

/// How the body of a part is encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// `7bit`, `8bit`, `binary`, or no field: the bytes are the content (RFC 2045 §6.2).
    #[default]
    Identity,
    /// `base64` (RFC 2045 §6.8).
    Base64,
    /// `quoted-printable` (RFC 2045 §6.7).
    QuotedPrintable,
    /// Anything else; the bytes are given as they are, and the content is opaque (RFC 2045 §6.4).
    Unknown,
}

impl Encoding {
    /// Reads the value of a Content-Transfer-Encoding field, in any case. RFC 2045 §6.1.
    #[must_use]
    pub fn from_field(value: &[u8]) -> Self {
        const NAMES: [(&str, Encoding); 5] = [
            ("7bit", Encoding::Identity),
            ("8bit", Encoding::Identity),
            ("binary", Encoding::Identity),
            ("base64", Encoding::Base64),
            ("quoted-printable", Encoding::QuotedPrintable),
        ];
        if value.is_empty() {
            return Self::Identity;
        }
        let known = NAMES.iter().find(|(name, _)| name.as_bytes().eq_ignore_ascii_case(value));
        known.map_or(Self::Unknown, |(_, encoding)| *encoding)
    }
}

/// Decodes a body that comes in pieces. Tolerates junk: nothing fails.
#[derive(Clone, Debug)]
pub struct TransferDecoder {
    state: State,
    /// Whether bare LF becomes CRLF, as in text (RFC 2045 §6.8, RFC 2046 §4.1.1).
    is_text: bool,
    last: u8,
}

#[derive(Clone, Debug)]
enum State {
    Identity,
    Base64(Base64),
    QuotedPrintable(QuotedPrintable),
}

impl TransferDecoder {
    /// A decoder for `encoding`; with `is_text`, bare line feeds in the result get their CR.
    #[must_use]
    pub fn new(encoding: Encoding, is_text: bool) -> Self {
        let state = match encoding {
            Encoding::Identity | Encoding::Unknown => State::Identity,
            Encoding::Base64 => State::Base64(Base64::default()),
            Encoding::QuotedPrintable => State::QuotedPrintable(QuotedPrintable::default()),
        };
        Self { state, is_text, last: 0 }
    }

    /// Adds what `input` decodes to, to `out`.
    pub fn decode(&mut self, input: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        match &mut self.state {
            State::Identity => out.extend_from_slice(input),
            State::Base64(base64) => base64.decode(input, out),
            State::QuotedPrintable(quoted) => quoted.decode(input, out),
        }
        self.add_crs(start, out);
    }

    /// Adds what was held back when the input ends.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        let start = out.len();
        match &mut self.state {
            State::Identity => {}
            State::Base64(base64) => base64.flush(out),
            State::QuotedPrintable(quoted) => quoted.finish(out),
        }
        self.add_crs(start, out);
    }

    fn add_crs(&mut self, start: usize, out: &mut Vec<u8>) {
        let added = tail(out, start);
        if !self.is_text || added.is_empty() {
            return;
        }
        let before = self.last;
        self.last = added.last().copied().unwrap_or_default();
        let is_bare = |at: &usize| {
            let previous = at.checked_sub(1).map_or(Some(before), |i| added.get(i).copied());
            previous != Some(b'\r')
        };
        let bare: Vec<usize> = memchr::memchr_iter(b'\n', added).filter(is_bare).collect();
        if bare.is_empty() {
            return;
        }
        let added = out.split_off(start);
        let mut from = 0;
        for at in bare {
            out.extend_from_slice(sub(&added, from, at));
            out.push(b'\r');
            from = at;
        }
        out.extend_from_slice(tail(&added, from));
    }
}

const PAD: u8 = 0xFE;
const JUNK: u8 = 0xFF;

/// The value of each base64 digit, [`PAD`] or [`JUNK`]. RFC 2045 §6.8 table 1.
const DIGITS: [u8; 256] = {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut table = [JUNK; 256];
    let mut value = 0_u8;
    let mut rest: &[u8] = alphabet;
    while let [digit, others @ ..] = rest {
        let (_, after) = table.split_at_mut(*digit as usize);
        if let [entry, ..] = after {
            *entry = value;
        }
        value += 1;
        rest = others;
    }
    let (_, after) = table.split_at_mut(b'=' as usize);
    if let [entry, ..] = after {
        *entry = PAD;
    }
    table
};

fn digit(byte: u8) -> u8 {
    DIGITS.get(usize::from(byte)).copied().unwrap_or(JUNK)
}

/// base64 that skips whatever is not of the alphabet, as RFC 2045 §6.8 tells decoders to. Padding ends a quantum and data may follow it, as
/// in bodies glued together from several encoded pieces.
#[derive(Clone, Debug, Default)]
struct Base64 {
    bits: u32,
    /// Digits in `bits`, 0 to 3.
    digits: u8,
}

impl Base64 {
    fn decode(&mut self, input: &[u8], out: &mut Vec<u8>) {
        let mut rest = input;
        while let [a, b, c, d, others @ ..] = rest {
            let (w, x, y, z) = (digit(*a), digit(*b), digit(*c), digit(*d));
            if self.digits == 0 && (w | x | y | z) < 64 {
                let bits =
                    u32::from(w) << 18 | u32::from(x) << 12 | u32::from(y) << 6 | u32::from(z);
                let [_, bytes @ ..] = bits.to_be_bytes();
                out.extend_from_slice(&bytes);
                rest = others;
            } else {
                self.push(*a, out);
                rest = tail(rest, 1);
            }
        }
        for byte in rest {
            self.push(*byte, out);
        }
    }

    fn push(&mut self, byte: u8, out: &mut Vec<u8>) {
        match digit(byte) {
            JUNK => {}
            PAD => self.flush(out),
            value => {
                self.bits = self.bits << 6 | u32::from(value);
                self.digits += 1;
                if self.digits == 4 {
                    let [_, bytes @ ..] = self.bits.to_be_bytes();
                    out.extend_from_slice(&bytes);
                    (self.bits, self.digits) = (0, 0);
                }
            }
        }
    }

    /// Ends a quantum of fewer than four digits; a single digit is no byte and is lost.
    fn flush(&mut self, out: &mut Vec<u8>) {
        match self.digits {
            2 => out.push(low_byte(self.bits >> 4)),
            3 => out.extend_from_slice(&[low_byte(self.bits >> 10), low_byte(self.bits >> 2)]),
            _ => {}
        }
        (self.bits, self.digits) = (0, 0);
    }
}

/// Blanks held back because they may end a line; more in a row are taken as meant.
const BLANKS_MAX: usize = 1_000;

/// quoted-printable that takes a stray `=` as itself (RFC 2045 §6.7, note on robustness).
#[derive(Clone, Debug, Default)]
struct QuotedPrintable {
    /// Blanks that count only if the line goes on (RFC 2045 §6.7 rule 3).
    blanks: Vec<u8>,
    /// What followed an `=`: at most `=`, a hexadecimal digit, or blanks and a CR.
    escape: Vec<u8>,
}

impl QuotedPrintable {
    fn decode(&mut self, input: &[u8], out: &mut Vec<u8>) {
        let mut rest = input;
        while let Some(byte) = rest.first() {
            if !self.escape.is_empty() {
                self.push_escaped(*byte, out);
                rest = tail(rest, 1);
                continue;
            }
            let plain = rest.iter().position(|b| matches!(b, b'=' | b' ' | b'\t' | b'\r' | b'\n'));
            let plain = plain.unwrap_or(rest.len());
            if plain > 0 {
                out.append(&mut self.blanks);
                out.extend_from_slice(sub(rest, 0, plain));
                rest = tail(rest, plain);
            } else {
                self.push_special(*byte, out);
                rest = tail(rest, 1);
            }
        }
    }

    fn push_special(&mut self, byte: u8, out: &mut Vec<u8>) {
        match byte {
            b'=' => {
                out.append(&mut self.blanks);
                self.escape.push(b'=');
            }
            b' ' | b'\t' => {
                if self.blanks.len() == BLANKS_MAX {
                    out.append(&mut self.blanks);
                }
                self.blanks.push(byte);
            }
            _ => {
                self.blanks.clear();
                out.push(byte);
            }
        }
    }

    fn push_escaped(&mut self, byte: u8, out: &mut Vec<u8>) {
        match (self.escape.as_slice(), byte) {
            ([b'='], _) if byte.is_ascii_hexdigit() => self.escape.push(byte),
            ([b'=', high], _) if high.is_ascii_hexdigit() => {
                if let (Some(high), Some(low)) = (hex(*high), hex(byte)) {
                    self.escape.clear();
                    out.push(high << 4 | low);
                } else {
                    self.give_up(byte, out);
                }
            }
            // A soft line break, with the blanks that transport may have added.
            (_, b'\n') => self.escape.clear(),
            ([.., b'\r'], _) => self.give_up(byte, out),
            (_, b' ' | b'\t' | b'\r') if self.escape.len() < BLANKS_MAX => self.escape.push(byte),
            _ => self.give_up(byte, out),
        }
    }

    /// No escape after all: the bytes held are text, and `byte` starts anew.
    fn give_up(&mut self, byte: u8, out: &mut Vec<u8>) {
        out.append(&mut self.escape);
        self.decode(&[byte], out);
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        // "=" at the very end is a soft break whose line end went to the delimiter.
        let is_soft = self.escape.iter().skip(1).all(|b| matches!(b, b' ' | b'\t' | b'\r'));
        if !is_soft {
            out.append(&mut self.escape);
        }
        self.escape.clear();
        self.blanks.clear();
    }
}

/// The value of a hexadecimal digit in either case.
pub(crate) fn hex(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// Counts what a body decodes to without keeping it.
pub(crate) struct SizeCounter {
    kind: Counter,
    size: u64,
}

enum Counter {
    /// The caller knows: size and bare line feeds of the raw body.
    Identity,
    /// Only digits count: `digits` since the last padding.
    Base64 {
        digits: u64,
    },
    Decode {
        decoder: TransferDecoder,
        scratch: Vec<u8>,
    },
}

impl SizeCounter {
    pub(crate) fn new(encoding: Encoding, is_text: bool) -> Self {
        let kind = match (encoding, is_text) {
            (Encoding::Identity | Encoding::Unknown, _) => Counter::Identity,
            (Encoding::Base64, false) => Counter::Base64 { digits: 0 },
            _ => Counter::Decode {
                decoder: TransferDecoder::new(encoding, is_text),
                scratch: Vec::new(),
            },
        };
        Self { kind, size: 0 }
    }

    pub(crate) fn push(&mut self, input: &[u8]) {
        match &mut self.kind {
            Counter::Identity => {}
            Counter::Base64 { digits } => {
                for piece in input.split_inclusive(|b| *b == b'=') {
                    let count = piece.iter().filter(|b| digit(**b) < 64).count();
                    *digits += as_u64(count);
                    if piece.ends_with(b"=") {
                        self.size += base64_size(*digits);
                        *digits = 0;
                    }
                }
            }
            Counter::Decode { decoder, scratch } => {
                scratch.clear();
                decoder.decode(input, scratch);
                self.size += as_u64(scratch.len());
            }
        }
    }

    /// The decoded size, or `None` if it is that of the raw body.
    pub(crate) fn finish(mut self) -> Option<u64> {
        match &mut self.kind {
            Counter::Identity => return None,
            Counter::Base64 { digits } => self.size += base64_size(*digits),
            Counter::Decode { decoder, scratch } => {
                scratch.clear();
                decoder.finish(scratch);
                self.size += as_u64(scratch.len());
            }
        }
        Some(self.size)
    }
}

fn base64_size(digits: u64) -> u64 {
    digits / 4 * 3 + (digits % 4).saturating_sub(1)
}

/// Bytes read from the encoded side at a time.
const CHUNK_BYTES: usize = 8 * 1024;

/// Decodes while reading, in constant memory.
#[derive(Debug)]
pub struct DecodingReader<R> {
    reader: R,
    decoder: TransferDecoder,
    raw: Vec<u8>,
    decoded: Vec<u8>,
    pos: usize,
    is_done: bool,
}

impl<R: Read> DecodingReader<R> {
    /// Reads `reader` through a decoder; see [`TransferDecoder::new`].
    pub fn new(reader: R, encoding: Encoding, is_text: bool) -> Self {
        let decoder = TransferDecoder::new(encoding, is_text);
        let raw = vec![0; CHUNK_BYTES];
        Self { reader, decoder, raw, decoded: Vec::new(), pos: 0, is_done: false }
    }

    fn refill(&mut self) -> io::Result<()> {
        self.decoded.clear();
        self.pos = 0;
        while self.decoded.is_empty() && !self.is_done {
            match self.reader.read(&mut self.raw) {
                Ok(0) => {
                    self.is_done = true;
                    self.decoder.finish(&mut self.decoded);
                }
                Ok(read) => self.decoder.decode(sub(&self.raw, 0, read), &mut self.decoded),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl<R: Read> Read for DecodingReader<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.pos == self.decoded.len() {
            self.refill()?;
        }
        let mut ready = tail(&self.decoded, self.pos);
        let read = ready.read(out)?;
        self.pos += read;
        Ok(read)
    }
}

/// Decodes a whole body that is in memory.
#[must_use]
pub fn decode_transfer(encoding: Encoding, is_text: bool, input: &[u8]) -> Vec<u8> {
    let mut decoder = TransferDecoder::new(encoding, is_text);
    let mut out = Vec::with_capacity(input.len());
    decoder.decode(input, &mut out);
    decoder.finish(&mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(encoding: Encoding, input: &str, want: &str) {
        let got = decode_transfer(encoding, false, input.as_bytes());
        assert_eq!(String::from_utf8_lossy(&got), want, "{input:?}");
    }

    /// RFC 2045 §6.8.
    #[test]
    fn base64_is_decoded_and_junk_skipped() {
        let check = |input, want| check(Encoding::Base64, input, want);
        check("aGVsbG8=", "hello");
        check("aGVs\r\nbG8=\r\n", "hello");
        check("", "");
        // At the edge: no padding, blanks, padding in the middle.
        check("aGVsbG8", "hello");
        check("  aG Vs\tbG8 =", "hello");
        check("aA==aQ==", "hi");
        // Past it.
        check("a", "");
        check("a*G-V_s!bG8=", "hello");
        check("====", "");
    }

    /// RFC 2045 §6.7.
    #[test]
    fn quoted_printable_is_decoded_and_stray_signs_kept() {
        let check = |input, want| check(Encoding::QuotedPrintable, input, want);
        check("a=3Db=C3=A9", "a=bé");
        check("soft=\r\nbreak", "softbreak");
        check("lower=c3=a9", "loweré");
        // At the edge: blanks before a line end go, before text stay.
        check("a \t\r\nb c", "a\r\nb c");
        check("soft= \t\r\nbreak", "softbreak");
        check("soft=\nbreak", "softbreak");
        check("end=", "end");
        check("end=\r\n", "end");
        check("end  ", "end");
        // Past it.
        check("a=b", "a=b");
        check("a=4", "a=4");
        check("a=zz=3D", "a=zz=");
        check("==3D", "==");
        check("=\rx", "=\rx");
        check("= x", "= x");
    }

    #[test]
    fn text_gets_the_crs_it_lacks() {
        let text = |encoding, input: &[u8]| decode_transfer(encoding, true, input);
        assert_eq!(text(Encoding::Identity, b"\na\r\nb\n\n"), b"\r\na\r\nb\r\n\r\n");
        assert_eq!(text(Encoding::Base64, b"YQpi"), b"a\r\nb");
        assert_eq!(text(Encoding::QuotedPrintable, b"a=0Ab=0D\n"), b"a\r\nb\r\n");
    }

    #[test]
    fn encodings_are_known_in_any_case() {
        assert_eq!(Encoding::from_field(b"BASE64"), Encoding::Base64);
        assert_eq!(Encoding::from_field(b"Quoted-Printable"), Encoding::QuotedPrintable);
        assert_eq!(Encoding::from_field(b"8bit"), Encoding::Identity);
        assert_eq!(Encoding::from_field(b""), Encoding::Identity);
        assert_eq!(Encoding::from_field(b"x-uuencode"), Encoding::Unknown);
    }

    proptest! {
        #[test]
        fn pieces_decode_as_the_whole_and_are_counted(
            input in "[a-zA-Z0-9+/= \t\r\n=]{0,60}", at in 0usize..60, is_text: bool, kind in 0..3
        ) {
            let encoding = [Encoding::Identity, Encoding::Base64, Encoding::QuotedPrintable]
                [usize::try_from(kind).unwrap()];
            let input = input.as_bytes();
            let whole = decode_transfer(encoding, is_text, input);
            let (a, b) = input.split_at(at.min(input.len()));
            let mut decoder = TransferDecoder::new(encoding, is_text);
            let mut pieces = Vec::new();
            decoder.decode(a, &mut pieces);
            decoder.decode(b, &mut pieces);
            decoder.finish(&mut pieces);
            prop_assert_eq!(&pieces, &whole);
            let mut counter = SizeCounter::new(encoding, is_text);
            counter.push(a);
            counter.push(b);
            if let Some(size) = counter.finish() {
                prop_assert_eq!(size, as_u64(whole.len()));
            }
            let mut read = Vec::new();
            DecodingReader::new(input, encoding, is_text).read_to_end(&mut read).unwrap();
            prop_assert_eq!(read, whole);
        }

        #[test]
        fn what_is_encoded_decodes_to_the_same(input: Vec<u8>) {
            use base64::Engine as _;
            let encoded = base64::engine::general_purpose::STANDARD.encode(&input);
            prop_assert_eq!(decode_transfer(Encoding::Base64, false, encoded.as_bytes()), input);
        }
    }
}
