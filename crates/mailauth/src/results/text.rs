//! The words of structured header fields, safe whatever they are made of.
//!
//! Source: RFC 5322 §2.1.1, §3.2; RFC 2045 §5.1 (`value`).

/// The longest line, in columns. RFC 5322 §2.1.1.
pub(super) const LINE_COLUMNS_MAX: usize = 78;

/// The longest value or comment, in bytes before quoting; a longer one is cut. Ours: a line may
/// have 998 bytes (RFC 5322 §2.1.1), and each of these can become two.
const TEXT_BYTES_MAX: usize = 450;

/// Without control characters, which could begin another field; without what is not ASCII unless
/// the message may have that; and not too long.
fn cleaned(text: &str, is_utf8: bool) -> String {
    let mut out = String::with_capacity(text.len().min(TEXT_BYTES_MAX));
    for character in text.chars() {
        if out.len() + character.len_utf8() > TEXT_BYTES_MAX {
            break;
        }
        let is_good = !character.is_control() && (is_utf8 || character.is_ascii());
        out.push(if is_good { character } else { '?' });
    }
    out
}

/// Quotes and backslashes get a backslash.
fn escaped(text: &str, special: &[char]) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    for character in text.chars() {
        if special.contains(&character) {
            out.push('\\');
        }
        out.push(character);
    }
    out
}

/// `quoted-string`, RFC 5322 §3.2.4.
pub(super) fn quoted(text: &str, is_utf8: bool) -> String {
    format!("\"{}\"", escaped(&cleaned(text, is_utf8), &['"', '\\']))
}

/// `value = token / quoted-string`, and an address as it is: `pvalue`, RFC 8601 §2.2.
pub(super) fn value(text: &str, is_utf8: bool) -> String {
    let text = cleaned(text, is_utf8);
    let special = |character: char| character <= ' ' || "()<>,;:\\\"/[]?=".contains(character);
    let is_plain = !text.is_empty() && !text.contains(special);
    if is_plain && (!text.contains('@') || is_address(&text)) { text } else { quoted(&text, true) }
}

/// `[ [ local-part ] "@" ] domain-name`, where nothing needs quoting.
fn is_address(text: &str) -> bool {
    let is_atom = |part: &str| part.split('.').all(|word| !word.is_empty());
    match text.split_once('@') {
        Some((local, domain)) => {
            (local.is_empty() || is_atom(local)) && is_atom(domain) && !domain.contains('@')
        }
        None => false,
    }
}

/// As it is if it is a `dot-atom`, RFC 5322 §3.2.3, and quoted if not.
pub(super) fn dot_atom(text: &str, is_utf8: bool) -> String {
    let is_atext = |character: char| {
        character.is_ascii_alphanumeric()
            || "!#$%&'*+-/=?^_`{|}~.".contains(character)
            || (is_utf8 && !character.is_ascii() && !character.is_control())
    };
    let is_atom = text.len() <= TEXT_BYTES_MAX
        && text.chars().all(is_atext)
        && text.split('.').all(|word| !word.is_empty());
    if is_atom { text.to_owned() } else { quoted(text, is_utf8) }
}

/// `comment`, RFC 5322 §3.2.2.
pub(super) fn comment(text: &str, is_utf8: bool) -> String {
    format!("({})", escaped(&cleaned(text, is_utf8), &['(', ')', '\\']))
}

/// Words that are put into folded lines.
pub(super) struct Lines {
    text: String,
    columns: usize,
}

/// What a tab is worth. Readers differ; eight is the most.
const TAB_COLUMNS: usize = 8;

impl Lines {
    /// Begins a line of a field that goes on.
    pub(super) fn begin() -> Self {
        Self { text: "\t".to_owned(), columns: TAB_COLUMNS }
    }

    /// Begins with the name of a field and the colon.
    pub(super) fn field(name: &str) -> Self {
        Self { text: name.to_owned(), columns: name.len() }
    }

    /// Adds a word, on a new line if this one would be too long.
    pub(super) fn word(&mut self, word: &str) {
        let columns = word.chars().count();
        if self.text.ends_with('\t') {
        } else if self.columns + 1 + columns > LINE_COLUMNS_MAX {
            self.text.push_str("\r\n\t");
            self.columns = TAB_COLUMNS;
        } else {
            self.text.push(' ');
            self.columns += 1;
        }
        self.text.push_str(word);
        self.columns += columns;
    }

    /// Without a line end.
    pub(super) fn finish(self) -> String {
        self.text
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// RFC 2045 §5.1, RFC 8601 §2.2.
    #[test]
    fn values_are_quoted_where_they_must() {
        assert_eq!(value("pass", false), "pass");
        assert_eq!(value("a.b-c_d+e", false), "a.b-c_d+e");
        assert_eq!(value("a@b.example", false), "a@b.example");
        assert_eq!(value("@b.example", false), "@b.example");
        assert_eq!(value("", false), "\"\"");
        assert_eq!(value("a b", false), "\"a b\"");
        assert_eq!(value("a\"b\\c", false), "\"a\\\"b\\\\c\"");
        assert_eq!(value("2001:db8::1", false), "\"2001:db8::1\"");
        assert_eq!(value("a/b=", false), "\"a/b=\"");
        assert_eq!(value("a@b@c", false), "\"a@b@c\"");
        assert_eq!(value("a@", false), "\"a@\"");
        assert_eq!(value("b\u{fc}cher", false), "\"b?cher\"");
        assert_eq!(value("b\u{fc}cher", true), "b\u{fc}cher");
    }

    /// RFC 5322 §2.2, §3.2.
    #[test]
    fn nothing_can_begin_a_field() {
        assert_eq!(value("a\r\nX: y", false), "\"a??X: y\"");
        assert_eq!(comment("a) (b\\\r\n", false), "(a\\) \\(b\\\\??)");
        assert_eq!(quoted("\u{0}\u{7f}\u{85}", true), "\"???\"");
        assert_eq!(value(&"x".repeat(5_000), false).len(), TEXT_BYTES_MAX);
        assert_eq!(dot_atom("a.b", false), "a.b");
        assert_eq!(dot_atom("a..b", false), "\"a..b\"");
        assert_eq!(dot_atom("a@b", false), "\"a@b\"");
        assert_eq!(dot_atom("", false), "\"\"");
    }

    /// RFC 5322 §2.1.1.
    #[test]
    fn long_lines_are_folded() {
        let mut lines = Lines::field("Name:");
        for _ in 0..3 {
            lines.word(&"x".repeat(36));
        }
        let x = "x".repeat(36);
        // Five, and twice a space and 36, are 79.
        assert_eq!(lines.finish(), format!("Name: {x}\r\n\t{x}\r\n\t{x}"));
        let mut lines = Lines::begin();
        lines.word(&"x".repeat(500));
        lines.word("y");
        assert_eq!(lines.finish(), format!("\t{}\r\n\ty", "x".repeat(500)));
    }

    proptest! {
        #[test]
        fn any_text_is_one_line(text in "\\PC{0,40}[\\r\\n\\t\\x00]?\\PC{0,40}", is_utf8: bool) {
            for out in [value(&text, is_utf8), quoted(&text, is_utf8), comment(&text, is_utf8), dot_atom(&text, is_utf8)] {
                prop_assert!(!out.chars().any(char::is_control));
                prop_assert!(is_utf8 || out.is_ascii());
            }
        }
    }
}
