//! Paths: decoded, and without detours.

/// The path of a target as it is compared: decoded once, then without `.`, `..` and empty segments.
/// A slash at the end is kept. `None` if it is not absolute, or has broken escapes.
///
/// Decoding comes first, so that `%2e%2e` is a detour as well. Cost: linear. RFC 3986 §5.2.4.
#[must_use]
pub fn cleaned(path: &str) -> Option<String> {
    let decoded = decoded(path)?;
    if !decoded.starts_with('/') {
        return None;
    }
    let mut segments: Vec<&str> = Vec::new();
    let mut ends_in_slash = false;
    for segment in decoded.split('/').skip(1) {
        ends_in_slash = matches!(segment, "" | "." | "..");
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            segment => segments.push(segment),
        }
    }
    let mut clean = String::with_capacity(decoded.len());
    for segment in &segments {
        clean.push('/');
        clean.push_str(segment);
    }
    if segments.is_empty() || ends_in_slash {
        clean.push('/');
    }
    Some(clean)
}

/// The text behind percent signs. `None` for escapes that are cut off, and for what is not UTF-8.
/// RFC 3986 §2.1.
pub(crate) fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => hex(rest.next()?)? << 4 | hex(rest.next()?)?,
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, want: Option<&str>) {
        assert_eq!(cleaned(path).as_deref(), want, "{path:?}");
        if let Some(want) = want.filter(|want| !want.contains('%')) {
            assert_eq!(cleaned(want).as_deref(), Some(want), "cleaning twice");
        }
    }

    /// RFC 3986 §5.2.4.
    #[test]
    fn detours_are_removed_after_decoding() {
        check("/", Some("/"));
        check("/metrics", Some("/metrics"));
        check("/a/b/", Some("/a/b/"));
        check("/%6detrics", Some("/metrics"));
        check("/b%C3%BCcher", Some("/bücher"));
        check("//a///b", Some("/a/b"));
        check("/a/./b/../c", Some("/a/c"));
        check("/a/..", Some("/"));
        check("/a/b/.", Some("/a/b/"));
        check("/a/b/..", Some("/a/"));
        // Attacks: out at the top, and hidden.
        check("/../../etc/passwd", Some("/etc/passwd"));
        check("/%2e%2e/%2E%2E/x", Some("/x"));
        check("/a%2f..%2fb", Some("/b"));
        // Decoded once only.
        check("/%252e", Some("/%2e"));
        check("/a%00b", Some("/a\0b"));
        // Never valid.
        check("", None);
        check("*", None);
        check("metrics", None);
        check("/%", None);
        check("/%4", None);
        check("/%zz", None);
        check("/%ff", None);
    }

    proptest::proptest! {
        #[test]
        fn what_is_cleaned_has_no_detours(path in "(/|[.%a2eEfF]){0,30}") {
            if let Some(clean) = cleaned(&path) {
                assert!(clean.starts_with('/'), "{clean}");
                let inner = clean.trim_end_matches('/').split('/').skip(1);
                for segment in inner {
                    assert!(!matches!(segment, "" | "." | ".."), "{path} {clean}");
                }
            }
        }
    }
}
