//! The data of a message, as a client sends it. RFC 5321 §4.5.2.

/// Stuffs dots and ends the data, taking the message in pieces of any size.
///
/// Bare CR and LF become CRLF, so that no server can see an end of the data in the middle of it.
#[derive(Clone, Debug)]
pub struct DataWriter {
    /// The next byte is the first of a line.
    is_at_line: bool,
    /// A CR was sent together with its LF; an LF that follows is part of it.
    was_cr: bool,
}

impl Default for DataWriter {
    fn default() -> Self {
        Self { is_at_line: true, was_cr: false }
    }
}

impl DataWriter {
    /// Appends a piece as it is to be sent: at most twice as many bytes and one.
    pub fn push(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        let mut rest = piece;
        while let Some(first) = rest.first() {
            if std::mem::take(&mut self.was_cr) && *first == b'\n' {
                rest = rest.get(1..).unwrap_or_default();
                continue;
            }
            if std::mem::take(&mut self.is_at_line) && *first == b'.' {
                out.push(b'.');
            }
            let end = memchr::memchr2(b'\r', b'\n', rest);
            let (text, tail) =
                rest.split_at_checked(end.unwrap_or(rest.len())).unwrap_or((rest, &[]));
            out.extend_from_slice(text);
            rest = tail;
            if let Some((byte, tail)) = tail.split_first() {
                out.extend_from_slice(b"\r\n");
                self.was_cr = *byte == b'\r';
                self.is_at_line = true;
                rest = tail;
            }
        }
    }

    /// Appends the end, after ending the last line if it is not.
    pub fn finish(self, out: &mut Vec<u8>) {
        if !self.is_at_line {
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b".\r\n");
    }
}

/// Stuffs a whole message and ends it, see [`DataWriter`].
#[must_use]
pub fn stuff(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() + message.len() / 64 + 8);
    let mut writer = DataWriter::default();
    writer.push(message, &mut out);
    writer.finish(&mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(message: &str, want: &str) {
        assert_eq!(String::from_utf8(stuff(message.as_bytes())).unwrap(), want, "{message:?}");
        let (mut bytewise, mut writer) = (Vec::new(), DataWriter::default());
        message.as_bytes().chunks(1).for_each(|piece| writer.push(piece, &mut bytewise));
        writer.finish(&mut bytewise);
        assert_eq!(String::from_utf8(bytewise).unwrap(), want, "{message:?} bytewise");
    }

    /// RFC 5321 §4.1.1.4, §4.5.2.
    #[test]
    fn dots_are_stuffed_and_lines_end_with_crlf() {
        check("a\r\n", "a\r\n.\r\n");
        check("a", "a\r\n.\r\n");
        check("", ".\r\n");
        check(".", "..\r\n.\r\n");
        check("..\r\n.a\r\n", "...\r\n..a\r\n.\r\n");
        check("a\n.\nb\r.\rc", "a\r\n..\r\nb\r\n..\r\nc\r\n.\r\n");
        check("a\r", "a\r\n.\r\n");
        check("a\r\n\r\n\n\rb", "a\r\n\r\n\r\n\r\nb\r\n.\r\n");
    }
}
