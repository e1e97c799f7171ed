//! Annotations of mailboxes and of the server.
//!
//! Source: RFC 5464 §3.2, RFC 5464 §5.

/// The most entries one GETMETADATA may ask for, or one SETMETADATA set.
pub const METADATA_ENTRIES_MAX: usize = 100;

/// The longest name of an entry, in bytes. Ours.
pub const METADATA_NAME_BYTES_MAX: usize = 255;

/// A value of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetadataValue {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Whether it was sent as a literal8, and goes back as one.
    pub is_binary: bool,
}

/// How far below the entries GETMETADATA looks. RFC 5464 §4.2.2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MetadataDepth {
    /// The entries alone.
    #[default]
    Zero,
    /// Also what is directly below.
    One,
    /// Everything below.
    Infinity,
}

impl MetadataDepth {
    /// Whether an entry is what was asked for, or below it as far as wanted. Both in lower case.
    #[must_use]
    pub fn reaches(self, asked: &str, entry: &str) -> bool {
        if asked == entry {
            return true;
        }
        // The empty name and `/` are above all.
        let Some(below) = entry.strip_prefix(asked.trim_end_matches('/')) else { return false };
        let Some(below) = below.strip_prefix('/') else { return false };
        match self {
            Self::Zero => false,
            Self::One => !below.contains('/'),
            Self::Infinity => true,
        }
    }
}

/// Why a name cannot be that of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryNameError {
    /// It is no entry name at all. RFC 5464 §3.2.
    Malformed,
    /// It is neither private nor shared, or a vendor's without the vendor. RFC 5464 §3.2.1.
    Unsettable,
}

/// Checks a name that is asked for. RFC 5464 §3.2: no wildcards, no empty component, ASCII only.
pub fn check_entry_name(name: &str) -> Result<(), EntryNameError> {
    let is_plain = |byte: u8| matches!(byte, 0x20..=0x7e) && !matches!(byte, b'*' | b'%');
    let is_bad = name.len() > METADATA_NAME_BYTES_MAX
        || !name.bytes().all(is_plain)
        || name.contains("//")
        || (name.len() > 1 && name.ends_with('/'))
        || !(name.is_empty() || name.starts_with('/'));
    if is_bad { Err(EntryNameError::Malformed) } else { Ok(()) }
}

/// Checks a name that is to be set. RFC 5464 §3.2.1.1: below `/private/vendor` and `/shared/vendor`
/// come the vendor's token and a name.
pub fn check_settable_name(name: &str) -> Result<(), EntryNameError> {
    check_entry_name(name)?;
    let lower = name.to_ascii_lowercase();
    let parts: Vec<&str> = lower.split('/').skip(1).collect();
    match parts.as_slice() {
        ["private" | "shared", "vendor", rest @ ..] if rest.len() < 2 => {
            Err(EntryNameError::Unsettable)
        }
        ["private" | "shared", _, ..] => Ok(()),
        _ => Err(EntryNameError::Unsettable),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 5464 §3.2.
    #[test]
    fn names_have_a_form() {
        use EntryNameError::*;
        for good in ["/private/comment", "/shared/vendor/x/y", "/PRIVATE/a b", "/shared/a/b/c"] {
            assert_eq!(check_settable_name(good), Ok(()), "{good}");
        }
        for name in ["/", "", "/private", "/shared", "/x/y", "/private/vendor", "/shared/vendor/x"]
        {
            assert_eq!(check_entry_name(name), Ok(()), "{name}");
            assert_eq!(check_settable_name(name), Err(Unsettable), "{name}");
        }
        let long = format!("/private/{}", "x".repeat(METADATA_NAME_BYTES_MAX));
        for bad in
            ["private/x", "/private//x", "/private/x/", "/private/*", "/a%", "/\u{7f}", "/é", &long]
        {
            assert_eq!(check_entry_name(bad), Err(Malformed), "{bad}");
        }
    }

    /// RFC 5464 §4.2.2.
    #[test]
    fn depth_says_how_far_down() {
        use MetadataDepth::*;
        let all = ["/private/a", "/private/a/b", "/private/a/b/c", "/private/ab"];
        let reached = |depth: MetadataDepth, asked| all.map(|entry| depth.reaches(asked, entry));
        assert_eq!(reached(Zero, "/private/a"), [true, false, false, false]);
        assert_eq!(reached(One, "/private/a"), [true, true, false, false]);
        assert_eq!(reached(Infinity, "/private/a"), [true, true, true, false]);
        assert_eq!(reached(Infinity, "/"), [true; 4]);
        assert_eq!(reached(Infinity, ""), [true; 4]);
        assert_eq!(reached(One, "/private"), [true, false, false, true]);
    }
}
