//! A message in the form of a file format.

use std::io::{self, Read, Write};

use mox_base::{Flags, Keyword, UnixSeconds};

use crate::flag_fields::{self, field_of};
use crate::from_line;
use crate::lines::Lines;
use crate::read::is_quoted_from;

/// Writes a message with LF in place of CRLF.
///
/// # Errors
///
/// Those of reading and of writing.
pub fn write_with_line_feeds(content: impl Read, to: &mut dyn Write) -> io::Result<()> {
    let mut lines = Lines::new(content);
    while let Some(line) = lines.next_line()? {
        to.write_all(line.text())?;
        if line.is_ended() {
            to.write_all(b"\n")?;
        }
    }
    Ok(())
}

/// Writes a message as part of an mbox: the line before it, fields for its flags in front of its own,
/// its lines with LF and quoted where they look like that first one, an empty line.
///
/// RFC 4155; mboxrd. Fields of the message that other programs would take for its flags are left out.
///
/// # Errors
///
/// Those of reading and of writing.
pub fn write_mbox_message(
    content: impl Read,
    sender: &str,
    received: UnixSeconds,
    marks: (Flags, &[Keyword]),
    to: &mut dyn Write,
) -> io::Result<()> {
    to.write_all(from_line::print(sender, received).as_bytes())?;
    to.write_all(flag_fields::print(marks.0, marks.1).as_bytes())?;
    let mut lines = Lines::new(content);
    let mut in_header = true;
    let mut left_out = false;
    while let Some(line) = lines.next_line()? {
        let text = line.text();
        if in_header && line.is_start {
            if text.is_empty() && line.is_ended() {
                in_header = false;
            } else if !text.starts_with(b" ") && !text.starts_with(b"\t") {
                left_out = field_of(text).is_some();
            }
        }
        if in_header && left_out {
            continue;
        }
        if line.is_start && is_quoted_from(text) {
            to.write_all(b">")?;
        }
        to.write_all(text)?;
        if line.is_ended() || line.is_last {
            to.write_all(b"\n")?;
        }
    }
    to.write_all(b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(message: &str, marks: (Flags, &[&str]), want: &str) {
        let keywords: Vec<Keyword> =
            marks.1.iter().map(|word| Keyword::parse(word).unwrap()).collect();
        let mut to = Vec::new();
        let marks = (marks.0, keywords.as_slice());
        write_mbox_message(message.as_bytes(), "a@b.example", UnixSeconds(0), marks, &mut to)
            .unwrap();
        let want = format!("From a@b.example Thu Jan  1 00:00:00 1970\n{want}");
        assert_eq!(String::from_utf8(to).unwrap(), want);
    }

    #[test]
    fn messages_are_quoted_and_flags_stand_in_front() {
        check(
            "A: b\r\n\r\nFrom x\r\n>From y\r\n",
            (Flags::NONE, &[]),
            "A: b\n\n>From x\n>>From y\n\n",
        );
        check(
            "A: b\r\nStatus: x\r\n y\r\nX-Keywords: z\r\nC: d\r\n\r\nStatus: e",
            (Flags::SEEN | Flags::DELETED | Flags::JUNK, &["work"]),
            "Status: R\nX-Status: D\nX-Keywords: $Junk,work\nA: b\nC: d\n\nStatus: e\n\n",
        );
        check("", (Flags::NONE, &[]), "\n");
    }

    #[test]
    fn line_feeds_replace_line_ends() {
        let mut to = Vec::new();
        write_with_line_feeds(&b"a\r\n\r\nb\r\nc"[..], &mut to).unwrap();
        assert_eq!(to, b"a\n\nb\nc");
    }
}
