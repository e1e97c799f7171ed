//! Texts as they are kept: of bounded length, in one line.

/// The longest text that is kept, in bytes; a longer one is cut.
pub const TEXT_BYTES_MAX: usize = 4 * 1024;

/// The text without the blanks around it, at most `bytes_max` of it, with blanks for control
/// characters, which could otherwise pretend to be other lines where it is shown.
///
/// A text that was cleaned stays as it is.
pub(crate) fn clean(text: &str, bytes_max: usize) -> String {
    let is_blank = |c: char| c.is_whitespace() || c.is_control();
    let text = text.trim_matches(is_blank);
    let kept = text.get(..text.floor_char_boundary(bytes_max)).unwrap_or_default();
    // The cut may have been among blanks.
    let kept = kept.trim_end_matches(is_blank);
    kept.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A text of a report as it is kept: of up to [`TEXT_BYTES_MAX`], in one line.
#[must_use]
pub fn kept_text(text: &str) -> String {
    clean(text, TEXT_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, want: &str) {
        assert_eq!(clean(text, 4), want, "{text:?}");
    }

    #[test]
    fn texts_are_one_line_of_bounded_length() {
        check("", "");
        check("abcd", "abcd");
        check(" a\r\nb\t", "a  b");
        check("\u{0}a\u{85}", "a");
        // Cut.
        check("abcde", "abcd");
        check("abc\u{fc}", "abc");
        // A fuzzer found that the blanks before a cut stayed, and were gone when it was read again.
        check("a   b", "a");
        check("a\u{0}\u{0}\u{0}b", "a");
    }

    proptest! {
        #[test]
        fn what_was_cleaned_stays_as_it_is(text in "\\PC{0,9}[ \u{0}-\u{a0}]{0,9}\\PC{0,9}") {
            let once = clean(&text, 12);
            prop_assert!(once.len() <= 12);
            prop_assert_eq!(clean(&once, 12), once);
        }
    }
}
