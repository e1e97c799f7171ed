//! `NOOP`. RFC 5321 §4.1.1.9.

use super::{CommandError, is_atext};
use crate::lex::Cursor;

/// `noop = "NOOP" [ SP String ] CRLF`, `String = Atom / Quoted-string`.
pub(super) fn noop(argument: &str) -> Result<(), CommandError> {
    let mut cursor = Cursor::new(argument);
    if argument.is_empty() {
        return Ok(());
    }
    if !cursor.eat(" ") {
        return Err(cursor.error());
    }
    if !cursor.eat("\"") {
        let atom = cursor.take_while(is_atext);
        return if atom.is_empty() { Err(cursor.error()) } else { cursor.end() };
    }
    loop {
        cursor.take_while(|c| matches!(c, ' '..='~') && c != '"' && c != '\\');
        if cursor.eat("\"") {
            return cursor.end();
        }
        // `quoted-pairSMTP = %d92 %d32-126`.
        if !cursor.eat("\\") || !cursor.rest().starts_with(|c| matches!(c, ' '..='~')) {
            return Err(cursor.error());
        }
        cursor.take(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 5321 §4.1.1.9, §4.1.2.
    #[test]
    fn the_argument_is_an_atom_or_quoted() {
        for good in ["", " x", " a+b", " \"\"", " \"a b \\\" \\\\ c\""] {
            assert_eq!(noop(good), Ok(()), "NOOP{good}");
        }
        for bad in [" ", "x", " a b", " \"", " \"a\\", " \"a\"b", " \"\u{7f}\"", " é", " a@b"] {
            assert!(noop(bad).is_err(), "NOOP{bad}");
        }
    }
}
