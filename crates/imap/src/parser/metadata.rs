//! GETMETADATA and SETMETADATA.

use super::lexer::{Lexer, Parsed};
use super::{Expected, ParseError};
use crate::types::{
    Command, GetMetadata, METADATA_ENTRIES_MAX, MetadataDepth, MetadataValue, SetMetadata,
    check_entry_name,
};

/// `getmetadata = "GETMETADATA" [SP getmetadata-options] SP mailbox SP entries`. RFC 5464 §5.
///
/// The examples of RFC 5464 §4.2 have the options after the mailbox, and so do clients: they are
/// taken in both places.
pub(super) fn getmetadata(lexer: &mut Lexer<'_>) -> Parsed<Command> {
    let mut get = GetMetadata { mailbox: None, entries: Vec::new(), depth: None, max_size: None };
    if options(lexer, &mut get)? {
        lexer.sp()?;
    }
    get.mailbox = Some(lexer.mailbox()?).filter(|mailbox| !mailbox.0.is_empty());
    lexer.sp()?;
    if options(lexer, &mut get)? {
        lexer.sp()?;
    }
    get.entries = entries(lexer)?;
    Ok(Command::GetMetadata(get))
}

/// `entries = entry / "(" entry *(SP entry) ")"`. RFC 5464 §5.
pub(super) fn entries(lexer: &mut Lexer<'_>) -> Parsed<Vec<String>> {
    if lexer.peek() != Some(b'(') {
        return Ok(vec![entry(lexer)?]);
    }
    let entries = lexer.list(METADATA_ENTRIES_MAX, entry)?;
    if entries.is_empty() { lexer.fail(Expected::EntryName) } else { Ok(entries) }
}

/// `entry = astring`, slash-separated. RFC 5464 §3.2.
fn entry(lexer: &mut Lexer<'_>) -> Parsed<String> {
    let at = lexer.at();
    let name = lexer.utf8_astring()?;
    match check_entry_name(&name) {
        Ok(()) => Ok(name.to_ascii_lowercase()),
        Err(_) => Err(ParseError { at, expected: Expected::EntryName }),
    }
}

/// `getmetadata-options = "(" getmetadata-option *(SP getmetadata-option) ")"`, if they are there.
/// RFC 5464 §5.
fn options(lexer: &mut Lexer<'_>, get: &mut GetMetadata) -> Parsed<bool> {
    let mut ahead = lexer.clone();
    if !(ahead.take(b'(') && (ahead.word("MAXSIZE") || ahead.word("DEPTH"))) {
        return Ok(false);
    }
    lexer.list(2, |lexer| {
        let is_first = if lexer.word("MAXSIZE") {
            lexer.sp()?;
            get.max_size.replace(lexer.number64()?).is_none()
        } else if lexer.word("DEPTH") {
            lexer.sp()?;
            get.depth.replace(depth(lexer)?).is_none()
        } else {
            return lexer.fail(Expected::Modifier);
        };
        if is_first { Ok(()) } else { lexer.fail(Expected::NoDuplicate) }
    })?;
    Ok(true)
}

/// `scope-option = "DEPTH" SP ("0" / "1" / "infinity")`. RFC 5464 §5.
fn depth(lexer: &mut Lexer<'_>) -> Parsed<MetadataDepth> {
    match () {
        () if lexer.word("0") => Ok(MetadataDepth::Zero),
        () if lexer.word("1") => Ok(MetadataDepth::One),
        () if lexer.word("infinity") => Ok(MetadataDepth::Infinity),
        () => lexer.fail(Expected::Modifier),
    }
}

/// `setmetadata = "SETMETADATA" SP mailbox SP entry-values`
/// `entry-values = "(" entry-value *(SP entry-value) ")"`, `entry-value = entry SP value`. RFC 5464 §5.
pub(super) fn setmetadata(lexer: &mut Lexer<'_>) -> Parsed<Command> {
    let mailbox = Some(lexer.mailbox()?).filter(|mailbox| !mailbox.0.is_empty());
    lexer.sp()?;
    let entries = lexer.list(METADATA_ENTRIES_MAX, |lexer| {
        let name = entry(lexer)?;
        lexer.sp()?;
        Ok((name, value(lexer)?))
    })?;
    if entries.is_empty() {
        return lexer.fail(Expected::EntryName);
    }
    Ok(Command::SetMetadata(SetMetadata { mailbox, entries }))
}

/// `value = nstring / literal8`. RFC 5464 §5.
fn value(lexer: &mut Lexer<'_>) -> Parsed<Option<MetadataValue>> {
    if lexer.peek() == Some(b'~') {
        let bytes = lexer.literal8()?.to_vec();
        return Ok(Some(MetadataValue { bytes, is_binary: true }));
    }
    let text = lexer.nstring()?;
    Ok(text.map(|text| MetadataValue { bytes: text.into_owned(), is_binary: false }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parser::testing::{check_bad, parse};
    use crate::types::MailboxArg;

    #[track_caller]
    fn get(line: &str) -> GetMetadata {
        match parse(line) {
            Ok(Command::GetMetadata(get)) => get,
            other => panic!("{line}: {other:?}"),
        }
    }

    /// RFC 5464 §4.2.
    #[test]
    fn entries_are_asked_for() {
        let want = GetMetadata {
            mailbox: Some(MailboxArg("INBOX".to_owned())),
            entries: vec!["/shared/comment".to_owned()],
            depth: None,
            max_size: None,
        };
        assert_eq!(get("GETMETADATA INBOX /shared/Comment"), want);
        assert_eq!(get("GETMETADATA \"\" (/shared/comment /private/x)").entries.len(), 2);
        assert_eq!(get("GETMETADATA \"\" (/shared/comment)").mailbox, None);
        for line in [
            "GETMETADATA (MAXSIZE 1024 DEPTH infinity) INBOX (/)",
            "GETMETADATA INBOX (DEPTH INFINITY MAXSIZE 1024) /",
        ] {
            let got = get(line);
            assert_eq!((got.depth, got.max_size), (Some(MetadataDepth::Infinity), Some(1024)));
        }
        check_bad(&[
            ("GETMETADATA INBOX", Expected::Space),
            ("GETMETADATA INBOX ()", Expected::EntryName),
            ("GETMETADATA INBOX comment", Expected::EntryName),
            ("GETMETADATA INBOX /a//b", Expected::EntryName),
            ("GETMETADATA INBOX /a/*", Expected::EntryName),
            ("GETMETADATA INBOX \"/a/*\"", Expected::EntryName),
            ("GETMETADATA (DEPTH 2) INBOX /a", Expected::Modifier),
            ("GETMETADATA (DEPTH 1 DEPTH 1) INBOX /a", Expected::NoDuplicate),
            ("GETMETADATA (MAXSIZE x) INBOX /a", Expected::Number),
        ]);
    }

    /// RFC 5464 §4.3.
    #[test]
    fn values_are_set() {
        let set = |line: &str| match parse(line) {
            Ok(Command::SetMetadata(set)) => set,
            other => panic!("{line}: {other:?}"),
        };
        let text = |bytes: &[u8]| Some(MetadataValue { bytes: bytes.to_vec(), is_binary: false });
        let got = set("SETMETADATA INBOX (/private/a \"x y\" /private/b NIL /PRIVATE/c {1}\r\nz)");
        let want = [("/private/a", text(b"x y")), ("/private/b", None), ("/private/c", text(b"z"))];
        assert_eq!(got.entries, want.map(|(name, value)| (name.to_owned(), value)));
        let binary = Some(MetadataValue { bytes: b"\0\x01".to_vec(), is_binary: true });
        let got = set("SETMETADATA \"\" (/shared/a ~{2}\r\n\0\x01)");
        assert_eq!((got.mailbox, got.entries), (None, vec![("/shared/a".to_owned(), binary)]));
        check_bad(&[
            ("SETMETADATA INBOX ()", Expected::EntryName),
            ("SETMETADATA INBOX (/a)", Expected::Space),
            ("SETMETADATA INBOX (/a b)", Expected::String),
            ("SETMETADATA INBOX /a \"b\"", Expected::Open),
            ("SETMETADATA INBOX (/a ~{3}\r\nx)", Expected::LiteralEnd),
        ]);
    }
}
