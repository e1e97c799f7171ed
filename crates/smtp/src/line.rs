//! Command lines in a buffer of received bytes.

/// The longest command line, in bytes with its end.
///
/// Deviation: RFC 5321 §4.5.3.1.4 says 512 and RFC 4954 §4 12,288 for AUTH; no command and no
/// mechanism of ours comes near this.
pub const COMMAND_LINE_BYTES_MAX: usize = 2_048;

/// What a buffer starts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandLine<'a> {
    /// A whole line.
    Complete {
        /// Without its end.
        line: &'a [u8],
        /// How many bytes of the buffer it takes up, with its end.
        taken_bytes: usize,
    },
    /// No line end yet; read more.
    Incomplete,
    /// No line end within [`COMMAND_LINE_BYTES_MAX`]: whoever is there, it does not speak SMTP.
    TooLong,
}

/// Finds the first command line, which ends with LF and at most one CR before it.
///
/// Deviation: RFC 5321 §2.3.8 wants CRLF alone. A bare LF is taken as the end of a *command*, since
/// people and old programs type it, and no smuggling is possible by it: the data of a message has
/// its own reader, [`DataReader`](crate::DataReader), that ends at CRLF only.
#[must_use]
pub fn command_line(buffer: &[u8]) -> CommandLine<'_> {
    let window = buffer.get(..COMMAND_LINE_BYTES_MAX).unwrap_or(buffer);
    match memchr::memchr(b'\n', window) {
        Some(end) => {
            let line = window.get(..end).unwrap_or_default();
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            CommandLine::Complete { line, taken_bytes: end + 1 }
        }
        None if window.len() == COMMAND_LINE_BYTES_MAX => CommandLine::TooLong,
        None => CommandLine::Incomplete,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(buffer: &[u8], want: CommandLine<'_>) {
        assert_eq!(command_line(buffer), want, "{}", buffer.escape_ascii());
    }

    /// RFC 5321 §2.3.8, §4.5.3.1.4.
    #[test]
    fn lines_end_at_lf_within_the_limit() {
        let complete = |line, taken_bytes| CommandLine::Complete { line, taken_bytes };
        let mut longest = vec![b'x'; COMMAND_LINE_BYTES_MAX - 1];
        longest.push(b'\n');
        check(b"QUIT\r\nNOOP\r\n", complete(b"QUIT", 6));
        check(b"QUIT\n", complete(b"QUIT", 5));
        check(b"QUIT\r\r\n", complete(b"QUIT\r", 7));
        check(b"\n", complete(b"", 1));
        check(&longest, complete(&longest[..COMMAND_LINE_BYTES_MAX - 1], COMMAND_LINE_BYTES_MAX));
        check(&longest[..COMMAND_LINE_BYTES_MAX - 1], CommandLine::Incomplete);
        check(&[b'x'; COMMAND_LINE_BYTES_MAX], CommandLine::TooLong);
        check(b"QUIT\r", CommandLine::Incomplete);
        check(b"", CommandLine::Incomplete);
    }
}
