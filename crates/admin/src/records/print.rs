//! Records as lines of a zone file.

use std::fmt;

use mox_mailauth::dkim::TXT_CHUNK_BYTES;

use super::{Group, Record, RecordData};

/// How long others are to keep the records, in seconds: short, while things are being set up.
pub const TTL_SECS: u32 = 300;

/// The longest text of a record in one string; longer ones are split. A string may have 255 bytes (RFC
/// 1035 §3.3), but forms of DNS providers do not take such lines.
pub const TXT_BYTES_MAX: usize = TXT_CHUNK_BYTES;

/// Starts a comment.
const COMMENT: &str = "; ";

/// Starts a record that is for later.
const FOR_LATER: &str = ";; ";

/// Records as lines of a zone file, with what they are for as comments.
#[must_use]
pub fn zone_file(groups: &[Group]) -> Vec<String> {
    let mut lines = vec![
        "; Others keep a record this many seconds: few until all works, more once it does."
            .to_owned(),
        format!("$TTL {TTL_SECS}"),
    ];
    for group in groups {
        lines.push(String::new());
        lines.extend(group.comment.iter().map(|line| format!("{COMMENT}{line}")));
        if group.records.iter().any(is_split) {
            for line in [
                "NOTE: The key is too long for one string, and is split over lines in parentheses.",
                "Where your provider wants one text, join what is between the quotes, without blanks.",
            ] {
                lines.push(format!("{COMMENT}{line}"));
            }
        }
        for record in &group.records {
            let before = if record.is_for_later { FOR_LATER } else { "" };
            lines.extend(record.to_string().lines().map(|line| format!("{before}{line}")));
        }
    }
    lines
}

fn is_split(record: &Record) -> bool {
    matches!(&record.data, RecordData::Txt(text) if text.len() > TXT_BYTES_MAX)
}

impl fmt::Display for Record {
    /// As in a zone file, over several lines where the text is long. RFC 1035 §5.1.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}. {}", self.name.as_str(), self.data)
    }
}

impl fmt::Display for RecordData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Caa { tag, value } => write!(f, "CAA 0 {tag} {}", quoted(value)),
            Self::Cname(target) => write!(f, "CNAME {}.", target.as_str()),
            Self::Mx { preference, exchange } => {
                write!(f, "MX {preference} {}.", exchange.as_str())
            }
            Self::Srv { priority, weight, port, target } => {
                write!(f, "SRV {priority} {weight} {port} {}.", target.as_str())
            }
            Self::Tlsa(tlsa) => {
                write!(f, "TLSA {} {} {} ", tlsa.usage, tlsa.selector, tlsa.matching)?;
                tlsa.data.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
            Self::Txt(text) if text.len() <= TXT_BYTES_MAX => write!(f, "TXT {}", quoted(text)),
            Self::Txt(text) => {
                f.write_str("TXT (")?;
                chunks(text).try_for_each(|chunk| write!(f, "\n\t{}", quoted(chunk)))?;
                f.write_str("\n)")
            }
        }
    }
}

/// Pieces of at most [`TXT_BYTES_MAX`] bytes, between characters.
fn chunks(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let mut end = rest.len().min(TXT_BYTES_MAX);
        while !rest.is_char_boundary(end) {
            end -= 1;
        }
        let (chunk, after) = rest.split_at_checked(end)?;
        rest = after;
        Some(chunk).filter(|chunk| !chunk.is_empty())
    })
}

/// A character string. RFC 1035 §5.1.
fn quoted(text: &str) -> String {
    let mut quoted = "\"".to_owned();
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => quoted.extend(['\\', byte.into()]),
            b' '..=b'~' => quoted.push(byte.into()),
            byte => quoted.push_str(&format!("\\{byte:03}")),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use mox_dns::Name;
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, want: &str) {
        let record = Record::txt(Name::parse("a.example").unwrap(), text);
        assert_eq!(record.to_string(), want);
    }

    /// RFC 1035 §5.1.
    #[test]
    fn texts_are_quoted_and_split() {
        check("v=spf1 -all", "a.example. TXT \"v=spf1 -all\"");
        check("a;\"b\\", "a.example. TXT \"a;\\\"b\\\\\"");
        check("\té", "a.example. TXT \"\\009\\195\\169\"");
        check("", "a.example. TXT \"\"");
        let edge = "x".repeat(TXT_BYTES_MAX);
        check(&edge, &format!("a.example. TXT \"{edge}\""));
        check(&format!("{edge}y"), &format!("a.example. TXT (\n\t\"{edge}\"\n\t\"y\"\n)"));
    }

    proptest! {
        #[test]
        fn pieces_are_short_and_lose_nothing(text in "\\PC{0,400}") {
            prop_assert!(chunks(&text).all(|chunk| !chunk.is_empty() && chunk.len() <= TXT_BYTES_MAX));
            prop_assert_eq!(chunks(&text).collect::<String>(), text);
        }
    }
}
