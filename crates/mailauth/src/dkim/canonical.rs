//! The form in which fields are signed. RFC 6376 §3.4.

use std::fmt;

use memchr::memchr;

/// How much white space may change on the way without breaking a signature. RFC 6376 §3.4.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Canonicalization {
    /// None at all.
    #[default]
    Simple,
    /// Folding, the case of field names, and runs of blanks.
    Relaxed,
}

impl Canonicalization {
    /// Reads `simple` or `relaxed`, in any case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Simple, Self::Relaxed].into_iter().find(|c| c.name().eq_ignore_ascii_case(text))
    }

    /// The name in a signature.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Simple => "simple",
            Self::Relaxed => "relaxed",
        }
    }
}

impl fmt::Display for Canonicalization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Appends a field in its canonical form, without the last line end. RFC 6376 §3.4.1, §3.4.2.
///
/// `name` is what stands before the colon, `value` what stands after it, without the last line end.
/// A lone LF ends a line here as it does where fields are told apart, so that there is one reading
/// of a header section and not two.
pub(crate) fn canonical_field(
    form: Canonicalization,
    name: &[u8],
    value: &[u8],
    out: &mut Vec<u8>,
) {
    match form {
        Canonicalization::Simple => {
            out.extend_from_slice(name);
            out.push(b':');
            simple_value(value, out);
        }
        Canonicalization::Relaxed => {
            out.extend(name.trim_ascii_end().iter().map(u8::to_ascii_lowercase));
            out.push(b':');
            relaxed_value(value, out);
        }
    }
}

fn simple_value(value: &[u8], out: &mut Vec<u8>) {
    let mut rest = value;
    while let Some((line, after)) = memchr(b'\n', rest).and_then(|at| rest.split_at_checked(at)) {
        out.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
        out.extend_from_slice(b"\r\n");
        rest = after.get(1..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
}

fn relaxed_value(value: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    let mut blank = false;
    let mut bytes = value.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b' ' | b'\t' => blank = true,
            b'\n' => {}
            b'\r' if bytes.peek() == Some(&b'\n') => {}
            _ => {
                if blank && out.len() > start {
                    out.push(b' ');
                }
                blank = false;
                out.push(byte);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, value: &str, simple: &str, relaxed: &str) {
        for (form, want) in
            [(Canonicalization::Simple, simple), (Canonicalization::Relaxed, relaxed)]
        {
            let mut out = b"before".to_vec();
            canonical_field(form, name.as_bytes(), value.as_bytes(), &mut out);
            assert_eq!(String::from_utf8_lossy(&out[6..]), want, "{form} {name:?} {value:?}");
        }
    }

    /// RFC 6376 §3.4.1, §3.4.2 and the example in §3.4.5.
    #[test]
    fn fields_have_a_canonical_form() {
        check("A", " X", "A: X", "a:X");
        check("B ", " Y\t\r\n\tZ  ", "B : Y\t\r\n\tZ  ", "b:Y Z");
        check("SUBJect", "AbC", "SUBJect:AbC", "subject:AbC");
        // Nothing there, or blanks only.
        check("A", "", "A:", "a:");
        check("A", " \t\r\n ", "A: \t\r\n ", "a:");
        // A lone LF folds, a lone CR is a character like others, and so is all else.
        check("A", " x\n y", "A: x\r\n y", "a:x y");
        check("A", " x\r y\r", "A: x\r y\r", "a:x\r y\r");
        check("A", " \0 \u{fc}\u{a0}", "A: \0 \u{fc}\u{a0}", "a:\0 \u{fc}\u{a0}");
        // Colons in the value stay as they are.
        check("A", " b : c", "A: b : c", "a:b : c");
    }

    /// RFC 6376 §3.5, `sig-c-tag`: strings of ABNF have no case.
    #[test]
    fn names_are_read() {
        assert_eq!(Canonicalization::parse("simple"), Some(Canonicalization::Simple));
        assert_eq!(Canonicalization::parse("Relaxed"), Some(Canonicalization::Relaxed));
        assert_eq!(Canonicalization::parse("nofws"), None);
        assert_eq!(Canonicalization::parse(""), None);
    }
}
