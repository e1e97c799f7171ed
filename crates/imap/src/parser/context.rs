//! CANCELUPDATE.

use super::Expected;
use super::lexer::{Lexer, Parsed};
use crate::types::{CANCELLED_TAGS_MAX, Command};

/// `cancelupdate = "CANCELUPDATE" 1*(SP quoted)`. RFC 5267 §5.
pub(super) fn cancelupdate(lexer: &mut Lexer<'_>) -> Parsed<Command> {
    let mut tags = Vec::new();
    loop {
        if tags.len() == CANCELLED_TAGS_MAX {
            return lexer.fail(Expected::FewerItems);
        }
        // Tags without quotes are understood as well.
        tags.push(lexer.utf8_astring()?);
        if !lexer.take(b' ') {
            return Ok(Command::CancelUpdate(tags));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parser::testing::{check_bad, parse};

    #[track_caller]
    fn check(line: &str, want: &[&str]) {
        let want = want.iter().map(|tag| (*tag).to_owned()).collect();
        assert_eq!(parse(line), Ok(Command::CancelUpdate(want)), "{line}");
    }

    /// RFC 5267 §5.
    #[test]
    fn updates_are_cancelled_by_tag() {
        check("CANCELUPDATE \"a1\"", &["a1"]);
        check("cancelupdate \"a1\" \"b]\" c", &["a1", "b]", "c"]);
        let many = |count| format!("CANCELUPDATE{}", " \"a\"".repeat(count));
        check(&many(CANCELLED_TAGS_MAX), &["a"; CANCELLED_TAGS_MAX]);
        check_bad(&[
            (&many(CANCELLED_TAGS_MAX + 1), Expected::FewerItems),
            ("CANCELUPDATE", Expected::Space),
            ("CANCELUPDATE ", Expected::String),
            ("CANCELUPDATE \"a\" ", Expected::String),
            ("CANCELUPDATE (\"a\")", Expected::String),
        ]);
    }
}
