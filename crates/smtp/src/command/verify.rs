//! `VRFY` and `EXPN`. RFC 5321 §4.1.1.6, §4.1.1.7.

use super::CommandError;
use crate::lex::Cursor;

/// `vrfy = "VRFY" SP String CRLF`, with a last `SMTPUTF8` by RFC 6531 §3.7.4.2.
///
/// Deviation: RFC 5321 has an atom or a quoted string; people send addresses without quotes, and
/// as nothing is ever verified, all that is asked for is that there is something.
pub(super) fn verify(argument: &str) -> Result<(), CommandError> {
    let mut cursor = Cursor::new(argument);
    let is_good = cursor.eat(" ")
        && !cursor.rest().trim_matches(' ').is_empty()
        && !cursor.rest().chars().any(char::is_control);
    if is_good { Ok(()) } else { Err(cursor.error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 5321 §4.1.1.6.
    #[test]
    fn there_must_be_a_name() {
        for good in [" mjl", " \"Some One\"", " <mjl@x.example>", " ☕ SMTPUTF8"] {
            assert_eq!(verify(good), Ok(()), "VRFY{good}");
        }
        for bad in ["", " ", "  ", "x", " a\0b"] {
            assert!(verify(bad).is_err(), "VRFY{bad}");
        }
    }
}
