//! Messages in files and folders, for tools that learn from them or are tried on them.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::Path;

use mox_base::UnixSeconds;
use mox_mime::{HEADER_BYTES_MAX, HEADER_FIELDS_MAX, fields, parse_date};

/// The most bytes of one message that are read; of a larger one, its beginning.
pub const MESSAGE_BYTES_MAX: usize = 4 << 20;

/// How deep folders are gone into.
pub const FOLDER_DEPTH_MAX: usize = 8;

/// What every message in a file of many begins with. RFC 4155 §A.
const SEPARATOR: &[u8] = b"From ";

/// Calls `found` with the name and the bytes of every message at `path`, in the order of names.
///
/// A folder is gone through with those in it, as of a Maildir, without names that begin with a dot
/// and folders named `tmp`. A file is an mbox (RFC 4155) if it begins with `From `, else one message.
/// Lines come with CRLF, however they end in the file. Holds one message in memory.
///
/// # Errors
///
/// Those of the files, with their name, and those of `found`.
pub fn visit_messages(
    path: &Path,
    found: &mut dyn FnMut(&str, &[u8]) -> io::Result<()>,
) -> io::Result<()> {
    visit(path, FOLDER_DEPTH_MAX, found)
}

fn visit(
    path: &Path,
    depth_left: usize,
    found: &mut dyn FnMut(&str, &[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let named =
        |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    if !path.is_dir() {
        let mut reader = BufReader::new(File::open(path).map_err(named)?);
        return visit_file(&mut reader, &path.display().to_string(), found);
    }
    if depth_left == 0 {
        return Err(named(io::Error::other("folders too deep")));
    }
    let names: io::Result<Vec<_>> =
        fs::read_dir(path).map_err(named)?.map(|entry| Ok(entry?.file_name())).collect();
    let mut names = names.map_err(named)?;
    names.sort_unstable();
    for name in names {
        if !name.as_encoded_bytes().starts_with(b".") && name != "tmp" {
            visit(&path.join(name), depth_left - 1, found)?;
        }
    }
    Ok(())
}

/// Finds the messages of one file.
fn visit_file(
    reader: &mut impl BufRead,
    name: &str,
    found: &mut dyn FnMut(&str, &[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let is_mbox = reader.fill_buf()?.starts_with(SEPARATOR);
    let mut message = Vec::new();
    let mut line = Vec::new();
    let mut count = 0_usize;
    let mut is_line_start = true;
    let mut is_after_blank = true;
    loop {
        line.clear();
        // A line without end is taken in pieces.
        let mut piece = reader.by_ref().take(MESSAGE_BYTES_MAX as u64);
        if piece.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        if is_mbox && is_line_start && is_after_blank && line.starts_with(SEPARATOR) {
            if count > 0 {
                end_message(&mut message, &format!("{name}:{count}"), found)?;
            }
            count += 1;
            is_after_blank = false;
            is_line_start = line.ends_with(b"\n");
            continue;
        }
        let bare = line.strip_suffix(b"\n").map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        is_after_blank = is_line_start && bare == Some(b"");
        let is_quoted = is_mbox && is_line_start && is_quoted(&line);
        is_line_start = bare.is_some();
        if message.len() < MESSAGE_BYTES_MAX {
            let text = bare.unwrap_or(&line);
            message.extend_from_slice(text.get(usize::from(is_quoted)..).unwrap_or_default());
            if bare.is_some() {
                message.extend_from_slice(b"\r\n");
            }
        }
    }
    if is_mbox {
        end_message(&mut message, &format!("{name}:{count}"), found)
    } else {
        found(name, &message)
    }
}

fn end_message(
    message: &mut Vec<u8>,
    name: &str,
    found: &mut dyn FnMut(&str, &[u8]) -> io::Result<()>,
) -> io::Result<()> {
    // The empty line before the next one is not of the message.
    if message.ends_with(b"\r\n\r\n") {
        message.truncate(message.len() - 2);
    }
    found(name, message)?;
    message.clear();
    Ok(())
}

/// Whether a line had a `>` put before it, so that it does not look like a separator.
fn is_quoted(line: &[u8]) -> bool {
    let rest = line.iter().position(|byte| *byte != b'>').unwrap_or_default();
    rest > 0 && line.get(rest..).is_some_and(|rest| rest.starts_with(SEPARATOR))
}

/// When a message came: the time its latest Received field tells, else its Date.
///
/// The sender of a message is free in its Date. RFC 5321 §4.4, RFC 5322 §3.6.1.
#[must_use]
pub fn arrival(message: &[u8]) -> Option<UnixSeconds> {
    let header = message.get(..message.len().min(HEADER_BYTES_MAX))?;
    let mut date = None;
    for field in fields(header).take(HEADER_FIELDS_MAX) {
        if field.is("Received")
            && let Some(at) = field.value.iter().rposition(|byte| *byte == b';')
            && let Some(time) = field.value.get(at + 1..).and_then(parse_date)
            && let Ok(time) = time.to_unix()
        {
            return Some(time);
        }
        if field.is("Date") && date.is_none() {
            date = parse_date(field.value).and_then(|date| date.to_unix().ok());
        }
    }
    date
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(file: &str, want: &[&str]) {
        let mut got = Vec::new();
        visit_file(&mut file.as_bytes(), "f", &mut |_, message| {
            got.push(String::from_utf8_lossy(message).into_owned());
            Ok(())
        })
        .unwrap();
        assert_eq!(got, want, "{file:?}");
    }

    /// RFC 4155 §A.
    #[test]
    fn files_hold_one_message_or_many() {
        // Valid.
        check("Subject: a\n\nb\n", &["Subject: a\r\n\r\nb\r\n"]);
        check("Subject: a\r\n\r\nb", &["Subject: a\r\n\r\nb"]);
        let two = "From a@b.example Mon\nA: 1\n\nx\n\nFrom a@b.example Mon\nA: 2\n\ny\n\n";
        check(two, &["A: 1\r\n\r\nx\r\n", "A: 2\r\n\r\ny\r\n"]);
        // At the edge: quoted, and lines that only look like separators.
        check("From x\n\n>From a\n>>From b\n>Fro", &["\r\nFrom a\r\n>From b\r\n>Fro"]);
        check("From x\nA: 1\n\ntext\nFrom here on\n", &["A: 1\r\n\r\ntext\r\nFrom here on\r\n"]);
        check("From x\n", &[""]);
        check("", &[""]);
        // Not of an mbox.
        check("A: 1\n\n>From a\n\nFrom b\n", &["A: 1\r\n\r\n>From a\r\n\r\nFrom b\r\n"]);
    }

    #[test]
    fn of_a_message_without_end_the_beginning_is_taken() {
        for filler in ["x".repeat(3 * MESSAGE_BYTES_MAX), "x\n".repeat(MESSAGE_BYTES_MAX)] {
            let mut lengths = Vec::new();
            visit_file(&mut filler.as_bytes(), "f", &mut |_, message| {
                lengths.push(message.len());
                Ok(())
            })
            .unwrap();
            assert!(matches!(lengths.as_slice(), [len] if *len <= MESSAGE_BYTES_MAX + 2));
        }
    }

    #[test]
    fn folders_are_gone_through_in_order() {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in [("new/2", "b"), ("cur/1", "a"), ("tmp/3", "no"), ("new/.x", "no")] {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let mut texts = Vec::new();
        let mut take = |_: &str, message: &[u8]| {
            texts.push(String::from_utf8_lossy(message).into_owned());
            Ok(())
        };
        visit_messages(dir.path(), &mut take).unwrap();
        visit_messages(&dir.path().join("new/2"), &mut take).unwrap();
        assert_eq!(texts, ["a", "b", "b"]);
        let missing = visit_messages(&dir.path().join("other"), &mut |_, _| Ok(())).unwrap_err();
        assert!(missing.to_string().contains("other"), "{missing}");
    }

    #[test]
    fn folders_too_deep_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let deep = (0..FOLDER_DEPTH_MAX).fold(dir.path().to_owned(), |path, _| path.join("d"));
        fs::create_dir_all(&deep).unwrap();
        assert!(visit_messages(dir.path(), &mut |_, _| Ok(())).is_err());
        assert!(visit_messages(&dir.path().join("d"), &mut |_, _| Ok(())).is_ok());
    }

    /// RFC 5321 §4.4, RFC 5322 §3.6.1.
    #[test]
    fn a_message_came_when_its_latest_received_field_says() {
        let received = "Received: from a by b; Thu, 1 Jan 1970 00:00:10 +0000\r\n";
        let date = "Date: Thu, 1 Jan 1970 00:00:20 +0000\r\n";
        let older = "Received: from a by b; Thu, 1 Jan 1970 00:00:05 +0000\r\n";
        let check = |header: String, want: Option<i64>| {
            assert_eq!(arrival(header.as_bytes()), want.map(UnixSeconds), "{header}");
        };
        check(format!("{date}{received}{older}\r\n"), Some(10));
        check(format!("Received: nonsense\r\n{date}\r\n"), Some(20));
        check(format!("Received: a; b\r\n{received}\r\n"), Some(10));
        check("Subject: none\r\n\r\nDate: Thu, 1 Jan 1970 00:00:20 +0000\r\n".to_owned(), None);
    }
}
