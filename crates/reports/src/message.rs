//! Finding a report in a message.

use std::io::{Read, Seek, SeekFrom};

use mox_mime::{Limits, Message, Part, PartAt};

use crate::error::ReportError;
use crate::unpack::{Packing, REPORT_BYTES_MAX};

/// The largest message that a report is looked for in, in bytes.
pub const MESSAGE_BYTES_MAX: u64 = 15 * 1024 * 1024;

/// The most parts of a message that are tried.
pub const PARTS_TRIED_MAX: usize = 20;

/// Bytes that show what a part without a telling type is.
const LOOK_BYTES_MAX: u64 = 512;

/// Whether a part of some type may be a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Suspect {
    Yes,
    /// The type says nothing, its first bytes may.
    IfItLooksSo,
    No,
}

/// Takes a message apart, if it is not too large.
pub(crate) fn take_apart<R: Read + Seek>(reader: &mut R) -> Result<Message, ReportError> {
    let fault = |error: std::io::Error| ReportError::Read(error.kind());
    if reader.seek(SeekFrom::End(0)).map_err(fault)? > MESSAGE_BYTES_MAX {
        return Err(ReportError::MessageTooLarge);
    }
    reader.rewind().map_err(fault)?;
    mox_mime::parse(reader, &Limits::default()).map_err(fault)
}

/// The first part that `read` makes a report of.
pub(crate) fn first_report<R: Read + Seek, T>(
    reader: &mut R,
    suspect: impl Fn(&str, &str) -> Suspect,
    read: impl Fn(&mut dyn Read, &mut u64) -> Result<T, ReportError>,
) -> Result<T, ReportError> {
    let message = take_apart(reader)?;
    first_report_in(reader, &message, suspect, read)
}

/// As [`first_report`], of a message that was taken apart.
pub(crate) fn first_report_in<R: Read + Seek, T>(
    reader: &mut R,
    message: &Message,
    suspect: impl Fn(&str, &str) -> Suspect,
    read: impl Fn(&mut dyn Read, &mut u64) -> Result<T, ReportError>,
) -> Result<T, ReportError> {
    let mut leaves = Vec::new();
    collect(&message.root, &mut leaves);
    let root = PartAt::root(message);
    let (mut first_error, mut tried) = (None, 0);
    let mut left = REPORT_BYTES_MAX;
    for part in leaves {
        let suspicion = if part.has_content_type {
            suspect(&part.media_type, &part.media_subtype)
        } else {
            Suspect::IfItLooksSo
        };
        if suspicion == Suspect::No {
            continue;
        }
        let at = root.child(part);
        if suspicion == Suspect::IfItLooksSo && !looks_packed_or_xml(reader, &at)? {
            continue;
        }
        tried += 1;
        if tried > PARTS_TRIED_MAX {
            break;
        }
        let mut content = open(reader, &at)?;
        match read(&mut content, &mut left) {
            Ok(report) => return Ok(report),
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    Err(first_error.unwrap_or(ReportError::NoReport))
}

/// Parts that are not made of others; not those of messages in the message.
fn collect<'a>(part: &'a Part, leaves: &mut Vec<&'a Part>) {
    // The depth is bounded by the parser of messages.
    for child in &part.parts {
        collect(child, leaves);
    }
    if !part.is_multipart() && part.message.is_none() {
        leaves.push(part);
    }
}

fn open<'r, R: Read + Seek>(
    reader: &'r mut R,
    at: &PartAt<'_>,
) -> Result<impl Read + use<'r, R>, ReportError> {
    at.open_decoded(reader).map_err(|error| ReportError::Read(error.kind()))
}

fn looks_packed_or_xml<R: Read + Seek>(
    reader: &mut R,
    at: &PartAt<'_>,
) -> Result<bool, ReportError> {
    let mut start = Vec::new();
    let taken = open(reader, at)?.take(LOOK_BYTES_MAX).read_to_end(&mut start);
    taken.map_err(|error| ReportError::Read(error.kind()))?;
    let text = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&start).trim_ascii_start();
    let is_xml = text.starts_with(b"<?xml") || text.starts_with(b"<feedback");
    Ok(is_xml || Packing::of(&start) != Packing::Plain)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn suspect(media_type: &str, _: &str) -> Suspect {
        match media_type {
            "TEXT" => Suspect::Yes,
            "APPLICATION" => Suspect::IfItLooksSo,
            _ => Suspect::No,
        }
    }

    fn read(content: &mut dyn Read, left: &mut u64) -> Result<String, ReportError> {
        let mut text = String::new();
        content.read_to_string(&mut text).map_err(|_| ReportError::BadXml)?;
        *left -= text.len() as u64;
        if text.contains("report") { Ok(text) } else { Err(ReportError::BadXml) }
    }

    #[track_caller]
    fn check(message: &str, want: Result<&str, ReportError>) {
        let message = message.replace('\n', "\r\n");
        let got = first_report(&mut Cursor::new(message), suspect, read);
        assert_eq!(got.as_deref(), want.as_ref().map(|text| *text));
    }

    #[test]
    fn the_first_part_that_is_a_report_counts() {
        let multipart = |parts: &[&str]| {
            let parts: Vec<String> = parts.iter().map(|part| format!("--b\n{part}\n")).collect();
            format!("Content-Type: multipart/mixed; boundary=b\n\n{}--b--\n", parts.concat())
        };
        let (good, bad) = ("Content-Type: text/x\n\nreport 1", "Content-Type: text/x\n\nno");
        let image = "Content-Type: image/x\n\nreport of an image";
        let untyped = "\n<?xml?><report/>";
        let nested = format!("Content-Type: multipart/x; boundary=c\n\n--c\n{good}\n--c--");
        let inner = format!("Content-Type: message/rfc822\n\nSubject: x\n{good}");
        check(&format!("{good}\n"), Ok("report 1\r\n"));
        check(&multipart(&[bad, good]), Ok("report 1"));
        check(&multipart(&[image, &nested]), Ok("report 1"));
        check(&multipart(&[image, untyped]), Ok("<?xml?><report/>"));
        check(
            &multipart(&["Content-Type: application/x\n\nreport", untyped]),
            Ok("<?xml?><report/>"),
        );
        check(&multipart(&[bad, image]), Err(ReportError::BadXml));
        check(&multipart(&[image]), Err(ReportError::NoReport));
        check(&multipart(&[&inner]), Err(ReportError::NoReport));
        check("", Err(ReportError::NoReport));
    }

    #[test]
    fn messages_and_parts_are_bounded() {
        let part = "--b\nContent-Type: text/x\n\nno\n";
        let last = "--b\nContent-Type: text/x\n\nreport\n";
        let message = |parts: usize| {
            let head = "Content-Type: multipart/mixed; boundary=b\n\n";
            format!("{head}{}{last}--b--\n", part.repeat(parts))
        };
        check(&message(PARTS_TRIED_MAX - 1), Ok("report"));
        check(&message(PARTS_TRIED_MAX), Err(ReportError::BadXml));
        let mut large = b"Content-Type: text/x\r\n\r\nreport".to_vec();
        large.resize(15 << 20, b'x');
        assert!(first_report(&mut Cursor::new(&large), suspect, read).is_ok());
        large.push(b'x');
        let outcome = first_report(&mut Cursor::new(&large), suspect, read);
        assert_eq!(outcome, Err(ReportError::MessageTooLarge));
    }
}
