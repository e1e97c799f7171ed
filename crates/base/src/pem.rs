//! What programs write into PEM beside what belongs there.

/// Text in PEM without header fields, such as notes for people, which strict readers of PEM refuse.
/// RFC 1421 §4.4.
#[must_use]
pub fn pem_without_fields(pem: &[u8]) -> Vec<u8> {
    let is_field = |line: &&[u8]| !line.starts_with(b"-----") && line.contains(&b':');
    let lines = pem.split_inclusive(|byte| *byte == b'\n');
    lines.filter(|line| !is_field(line)).flatten().copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pem: &str, want: &str) {
        assert_eq!(String::from_utf8(pem_without_fields(pem.as_bytes())).unwrap(), want, "{pem:?}");
    }

    /// RFC 1421 §4.4.
    #[test]
    fn fields_are_left_out_and_nothing_else() {
        let bare = "-----BEGIN X-----\nAAAA\n-----END X-----\n";
        check(bare, bare);
        check(
            "-----BEGIN X-----\nNote: a: b\n\nAAAA\n-----END X-----\n",
            &bare.replacen('\n', "\n\n", 1),
        );
        check("-----BEGIN X: Y-----\r\nA", "-----BEGIN X: Y-----\r\nA");
        check("", "");
    }
}
