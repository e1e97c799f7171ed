//! The data of a message, as a client sends it. RFC 5321 §4.5.2.

use std::fmt;

/// A CR or an LF by itself. RFC 5321 §2.3.8: a client must not send one.
///
/// To make a line end of it would break the signatures of the message; to send it could show the
/// server an end of the data in the middle of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BareLineEnd;

impl fmt::Display for BareLineEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("message has a bare CR or LF")
    }
}

impl std::error::Error for BareLineEnd {}

/// Stuffs dots and ends the data, taking the message in pieces of any size.
#[derive(Clone, Debug)]
pub struct DataWriter {
    /// The next byte is the first of a line.
    is_at_line: bool,
    /// A CR was sent; an LF must follow.
    is_after_cr: bool,
}

impl Default for DataWriter {
    fn default() -> Self {
        Self { is_at_line: true, is_after_cr: false }
    }
}

impl DataWriter {
    /// Appends a piece as it is to be sent: at most twice as many bytes. After an error the
    /// connection can only be closed.
    pub fn push(&mut self, piece: &[u8], out: &mut Vec<u8>) -> Result<(), BareLineEnd> {
        let mut rest = piece;
        while let Some((first, tail)) = rest.split_first() {
            if std::mem::take(&mut self.is_after_cr) {
                if *first != b'\n' {
                    return Err(BareLineEnd);
                }
                out.push(b'\n');
                self.is_at_line = true;
                rest = tail;
                continue;
            }
            if std::mem::take(&mut self.is_at_line) && *first == b'.' {
                out.push(b'.');
            }
            let end = memchr::memchr2(b'\r', b'\n', rest).unwrap_or(rest.len());
            let (text, tail) = rest.split_at_checked(end).unwrap_or((rest, &[]));
            out.extend_from_slice(text);
            rest = tail;
            if let Some((byte, tail)) = tail.split_first() {
                if *byte == b'\n' {
                    return Err(BareLineEnd);
                }
                out.push(b'\r');
                self.is_after_cr = true;
                rest = tail;
            }
        }
        Ok(())
    }

    /// Appends the end, after ending the last line if it is not.
    pub fn finish(self, out: &mut Vec<u8>) -> Result<(), BareLineEnd> {
        if self.is_after_cr {
            return Err(BareLineEnd);
        }
        if !self.is_at_line {
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b".\r\n");
        Ok(())
    }
}

/// Stuffs a whole message and ends it, see [`DataWriter`].
pub fn stuff(message: &[u8]) -> Result<Vec<u8>, BareLineEnd> {
    let mut out = Vec::with_capacity(message.len() + message.len() / 64 + 8);
    let mut writer = DataWriter::default();
    writer.push(message, &mut out)?;
    writer.finish(&mut out)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytewise(message: &[u8]) -> Result<Vec<u8>, BareLineEnd> {
        let (mut out, mut writer) = (Vec::new(), DataWriter::default());
        for piece in message.chunks(1) {
            writer.push(piece, &mut out)?;
        }
        writer.finish(&mut out)?;
        Ok(out)
    }

    #[track_caller]
    fn check(message: &str, want: Result<&str, BareLineEnd>) {
        let want = want.map(|want| want.as_bytes().to_vec());
        assert_eq!(stuff(message.as_bytes()), want, "{message:?}");
        assert_eq!(bytewise(message.as_bytes()), want, "{message:?} bytewise");
    }

    /// RFC 5321 §2.3.8, §4.1.1.4, §4.5.2.
    #[test]
    fn dots_are_stuffed_and_lines_end_with_crlf() {
        // Valid.
        check("a\r\n", Ok("a\r\n.\r\n"));
        check("..\r\n.a\r\n", Ok("...\r\n..a\r\n.\r\n"));
        check("a\r\n\r\n.\r\nb\r\n", Ok("a\r\n\r\n..\r\nb\r\n.\r\n"));
        // At the edge of valid: the last line end is missing.
        check("a", Ok("a\r\n.\r\n"));
        check(".", Ok("..\r\n.\r\n"));
        check("", Ok(".\r\n"));
        // Just past the edge.
        check("a\r", Err(BareLineEnd));
        check("a\n", Err(BareLineEnd));
        check("a\r\r\n", Err(BareLineEnd));
        check("a\r\n\n", Err(BareLineEnd));
        // Never valid: what smuggles.
        check("a\n.\r\nMAIL", Err(BareLineEnd));
        check("a\r.\rb\r\n", Err(BareLineEnd));
        check("\n", Err(BareLineEnd));
    }
}
