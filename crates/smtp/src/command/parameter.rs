//! Parameters of MAIL and RCPT. RFC 5321 §4.1.2.

use super::CommandError;
use crate::lex::Cursor;

/// `esmtp-param = esmtp-keyword ["=" esmtp-value]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parameter<'a> {
    pub(super) keyword: &'a str,
    pub(super) value: Option<&'a str>,
}

/// Takes `SP esmtp-param`, or `None` at the end.
///
/// `esmtp-keyword = (ALPHA / DIGIT) *(ALPHA / DIGIT / "-")`,
/// `esmtp-value = 1*(%d33-60 / %d62-126)`, with UTF-8 besides by RFC 6531 §3.3.
pub(super) fn take_parameter<'a>(
    cursor: &mut Cursor<'a>,
) -> Result<Option<Parameter<'a>>, CommandError> {
    if cursor.rest().is_empty() {
        return Ok(None);
    }
    let before = *cursor;
    if !cursor.eat(" ") {
        return Err(before.error());
    }
    let keyword = cursor.take_while(|c| c.is_ascii_alphanumeric() || c == '-');
    if keyword.is_empty() || keyword.starts_with('-') {
        return Err(before.error());
    }
    if !cursor.eat("=") {
        return Ok(Some(Parameter { keyword, value: None }));
    }
    let value = cursor.take_while(|c| c > ' ' && c != '=' && !c.is_control());
    if value.is_empty() {
        return Err(before.error());
    }
    Ok(Some(Parameter { keyword, value: Some(value) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: Option<&[(&str, Option<&str>)]>) {
        let mut cursor = Cursor::new(text);
        let mut got = Vec::new();
        let outcome = loop {
            match take_parameter(&mut cursor) {
                Ok(Some(parameter)) => got.push((parameter.keyword, parameter.value)),
                Ok(None) => break Some(got.as_slice()),
                Err(_) => break None,
            }
        };
        assert_eq!(outcome, want, "{text}");
    }

    /// RFC 5321 §4.1.2.
    #[test]
    fn parameters_are_keywords_with_or_without_value() {
        check("", Some(&[]));
        check(" SIZE=12 SMTPUTF8", Some(&[("SIZE", Some("12")), ("SMTPUTF8", None)]));
        check(" 8-X=<>", Some(&[("8-X", Some("<>"))]));
        check(" A=é", Some(&[("A", Some("é"))]));
        check(" A=", None);
        check(" A==", None);
        check(" A=b=c", None);
        check("  A", None);
        check(" -A", None);
        check("A", None);
        check(" A_B", None);
        check(" A=\u{1}", None);
    }
}
