//! Modified UTF-7, in which IMAP4rev1 writes mailbox names.
//!
//! Source: RFC 3501 §5.1.3, RFC 9051 §A.1.

/// Why a name is not modified UTF-7.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Utf7Error {
    /// A byte outside 0x20 to 0x7e.
    NotPrintable,
    /// `&` without its `-`.
    Unfinished,
    /// A character outside the base64 alphabet, or bits left over that are not zero.
    BadBase64,
    /// An odd number of bytes, or lone, reversed or repeated surrogates.
    BadUtf16,
    /// A character was encoded that stands for itself.
    NeedlessEncoding,
    /// A shift right after another ended: both must be one.
    SuperfluousShift,
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

/// Encodes a name. Printable ASCII stands for itself, `&` is `&-`.
#[must_use]
pub fn encode(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 8);
    let mut units: Vec<u16> = Vec::new();
    for char in name.chars() {
        if is_direct(char) {
            flush(&mut out, &mut units);
            out.push(char);
            if char == '&' {
                out.push('-');
            }
        } else {
            units.extend_from_slice(char.encode_utf16(&mut [0; 2]));
        }
    }
    flush(&mut out, &mut units);
    out
}

fn is_direct(char: char) -> bool {
    matches!(char, ' '..='~')
}

fn flush(out: &mut String, units: &mut Vec<u16>) {
    if units.is_empty() {
        return;
    }
    out.push('&');
    let (mut bits, mut count) = (0_u32, 0);
    for unit in units.drain(..) {
        bits = bits << 16 | u32::from(unit);
        count += 16;
        while count >= 6 {
            count -= 6;
            out.push(sextet(bits >> count));
        }
        bits &= (1 << count) - 1;
    }
    if count > 0 {
        out.push(sextet(bits << (6 - count)));
    }
    out.push('-');
}

fn sextet(bits: u32) -> char {
    let index = usize::try_from(bits & 63).unwrap_or_default();
    ALPHABET.get(index).copied().map_or('A', char::from)
}

/// Decodes a name; what [`encode`] would not write is refused, so that a name has one form.
pub fn decode(text: &[u8]) -> Result<String, Utf7Error> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut after_shift = false;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if !matches!(byte, b' '..=b'~') {
            return Err(Utf7Error::NotPrintable);
        }
        if byte != b'&' {
            out.push(char::from(byte));
            after_shift = false;
            continue;
        }
        let end = rest.iter().position(|b| *b == b'-').ok_or(Utf7Error::Unfinished)?;
        let (encoded, tail) = rest.split_at_checked(end).unwrap_or((rest, &[]));
        rest = tail.get(1..).unwrap_or_default();
        if encoded.is_empty() {
            // `&-` is a plain ampersand, also beside another one or beside a shift.
            out.push('&');
            after_shift = false;
            continue;
        }
        if after_shift {
            return Err(Utf7Error::SuperfluousShift);
        }
        decode_shift(encoded, &mut out)?;
        after_shift = true;
    }
    Ok(out)
}

fn decode_shift(encoded: &[u8], out: &mut String) -> Result<(), Utf7Error> {
    let (mut bits, mut count) = (0_u32, 0);
    let mut units = Vec::with_capacity(encoded.len() / 2);
    for byte in encoded {
        let value = ALPHABET.iter().position(|b| b == byte).ok_or(Utf7Error::BadBase64)?;
        bits = bits << 6 | u32::try_from(value).unwrap_or_default();
        count += 6;
        if count >= 16 {
            count -= 16;
            units.push(u16::try_from(bits >> count & 0xffff).unwrap_or_default());
            bits &= (1 << count) - 1;
        }
    }
    if count >= 8 {
        return Err(Utf7Error::BadUtf16);
    }
    if count >= 6 || bits != 0 {
        return Err(Utf7Error::BadBase64);
    }
    for char in char::decode_utf16(units) {
        match char {
            Ok(char) if is_direct(char) => return Err(Utf7Error::NeedlessEncoding),
            Ok(char) => out.push(char),
            Err(_) => return Err(Utf7Error::BadUtf16),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, want: Result<&str, Utf7Error>) {
        assert_eq!(decode(text.as_bytes()).as_deref().map_err(|e| *e), want, "{text}");
        if let Ok(name) = want {
            assert_eq!(encode(name), text);
        }
    }

    /// RFC 3501 §5.1.3, with its example.
    #[test]
    fn names_have_exactly_one_encoding() {
        use Utf7Error::*;
        // Valid.
        check("~peter/mail/&U,BTFw-/&ZeVnLIqe-", Ok("~peter/mail/台北/日本語"));
        check("&Jjo-", Ok("☺"));
        check("Drafts", Ok("Drafts"));
        check("a&-b", Ok("a&b"));
        // At the edge of valid: two ampersands, an ampersand after a shift, a surrogate pair.
        check("&-&-", Ok("&&"));
        check("&Jjo-&-", Ok("☺&"));
        check("&2D3eAA-", Ok("\u{1f600}"));
        // Just past it: two shifts that must be one, an encoded ASCII letter, lone surrogate.
        check("&Jjo-&Jjo-", Err(SuperfluousShift));
        check("&AGE-", Err(NeedlessEncoding));
        check("&2D0-", Err(BadUtf16));
        check("&3gDYPQ-", Err(BadUtf16));
        // Never valid.
        check("&", Err(Unfinished));
        check("&Jjo", Err(Unfinished));
        check("&Jj-", Err(BadUtf16));
        check("&Jjp-", Err(BadBase64));
        check("&Jjo=-", Err(BadBase64));
        check("&J/o-", Err(BadBase64));
        check("&A-", Err(BadBase64));
        check("caf\u{e9}", Err(NotPrintable));
        check("tab\there", Err(NotPrintable));
    }

    proptest! {
        #[test]
        fn any_name_survives(name in "\\PC*") {
            prop_assert_eq!(decode(encode(&name).as_bytes()), Ok(name));
        }

        #[test]
        fn what_is_accepted_is_written_the_same(text in "[ -~]{0,40}") {
            if let Ok(name) = decode(text.as_bytes()) {
                prop_assert_eq!(encode(&name), text);
            }
        }
    }
}
