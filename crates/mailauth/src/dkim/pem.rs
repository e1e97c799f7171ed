//! Keys as text. RFC 7468.

use super::tags::{decode_base64, encode_base64};

/// The largest file that is read, in bytes.
pub const PEM_BYTES_MAX: usize = 64 * 1024;

/// How many characters of base64 stand in a line. RFC 7468 §3.
const LINE_BYTES: usize = 64;

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";

/// The first block of a text: its label and its bytes.
///
/// Text around it and headers in it (RFC 1421 §4.6; other software writes notes there) are passed
/// over.
#[must_use]
pub fn parse_pem(text: &str) -> Option<(&str, Vec<u8>)> {
    let (_, rest) = text.get(text.find(BEGIN)?..)?.split_at_checked(BEGIN.len())?;
    let (label, rest) = rest.split_once(DASHES)?;
    let (content, rest) = rest.split_once(END)?;
    if rest.split_once(DASHES)?.0 != label || label.contains('\n') {
        return None;
    }
    let mut lines = content.trim().lines();
    let first = lines.clone().next()?;
    if first.contains(':') {
        // Headers end with an empty line.
        lines.find(|line| line.trim().is_empty())?;
    }
    let base64: String = lines.map(str::trim).collect();
    Some((label, decode_base64(&base64)?))
}

/// Writes a block.
///
/// - `notes`: headers, by name and text.
#[must_use]
pub fn print_pem(label: &str, notes: &[(&str, &str)], bytes: &[u8]) -> String {
    let mut text = format!("{BEGIN}{label}{DASHES}\n");
    for (name, note) in notes {
        text.push_str(&format!("{name}: {}\n", note.replace(['\r', '\n'], " ")));
    }
    if !notes.is_empty() {
        text.push('\n');
    }
    for (place, c) in encode_base64(bytes).chars().enumerate() {
        if place > 0 && place % LINE_BYTES == 0 {
            text.push('\n');
        }
        text.push(c);
    }
    text.push_str(&format!("\n{END}{label}{DASHES}\n"));
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, want: Option<(&str, &[u8])>) {
        let got = parse_pem(text);
        assert_eq!(got.as_ref().map(|(label, bytes)| (*label, bytes.as_slice())), want, "{text}");
    }

    /// RFC 7468 §2, §3.
    #[test]
    fn blocks_are_found() {
        let good = Some(("A KEY", &[1, 2, 3][..]));
        check("-----BEGIN A KEY-----\nAQID\n-----END A KEY-----\n", good);
        check("text\r\n-----BEGIN A KEY-----\r\n AQ\r\nID \r\n-----END A KEY-----", good);
        check("-----BEGIN A KEY-----\nNote: x\nB: y\n\nAQID\n-----END A KEY-----\n", good);
        check("-----BEGIN A KEY-----\nNote: x\nAQID\n-----END A KEY-----\n", None);
        check("-----BEGIN A KEY-----\nAQID\n-----END B KEY-----\n", None);
        check("-----BEGIN A KEY-----\nAQ?D\n-----END A KEY-----\n", None);
        check("-----BEGIN A KEY-----\n-----END A KEY-----\n", None);
        check("-----BEGIN A KEY-----\nAQID\n", None);
        check("-----BEGIN A\nKEY-----\nAQID\n-----END A\nKEY-----\n", None);
        check("AQID", None);
        check("", None);
    }

    proptest! {
        #[test]
        fn what_is_printed_is_found(
            bytes in proptest::collection::vec(any::<u8>(), 1..200),
            note in proptest::option::of("\\PC{0,20}"),
        ) {
            let notes: Vec<_> = note.iter().map(|note| ("Note", note.as_str())).collect();
            let text = print_pem("KEY", &notes, &bytes);
            prop_assert!(note.is_some() || text.lines().all(|line| line.len() <= LINE_BYTES));
            prop_assert_eq!(parse_pem(&text), Some(("KEY", bytes)));
        }
    }
}
