//! `AUTH`: the client logs in. RFC 4954 §4.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{CommandError, Syntax};
use crate::lex::Cursor;

/// The longest mechanism name. RFC 4422 §3.1.
pub const MECHANISM_BYTES_MAX: usize = 20;

/// What came with the command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InitialResponse {
    /// Nothing: the server starts with a challenge.
    Absent,
    /// A response, which may be empty (`=`).
    Present(Vec<u8>),
}

impl InitialResponse {
    /// The bytes, if there are any.
    #[must_use]
    pub fn as_deref(&self) -> Option<&[u8]> {
        match self {
            Self::Absent => None,
            Self::Present(bytes) => Some(bytes),
        }
    }
}

/// `"AUTH" SP sasl-mech [SP initial-response] *(CRLF [base64]) [CRLF cancel-response] CRLF`.
#[derive(Clone, PartialEq, Eq)]
pub struct AuthCommand {
    /// The name as sent; may be of a mechanism that we do not know.
    pub mechanism: String,
    /// The initial response, decoded.
    pub initial: InitialResponse,
}

/// Hides the response, which may be a password.
impl std::fmt::Debug for AuthCommand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuthCommand").field("mechanism", &self.mechanism).finish_non_exhaustive()
    }
}

pub(super) fn auth(argument: &str, syntax: Syntax) -> Result<AuthCommand, CommandError> {
    let mut cursor = Cursor::new(argument);
    if !cursor.eat(" ") {
        return Err(cursor.error());
    }
    // Upper case only: RFC 4422 §3.1. What is in lower case is not a name.
    let mechanism = cursor
        .take_while(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || matches!(c, '-' | '_'));
    if mechanism.is_empty() || mechanism.len() > MECHANISM_BYTES_MAX {
        return Err(cursor.error());
    }
    let mechanism = mechanism.to_owned();
    if cursor.rest().is_empty() {
        return Ok(AuthCommand { mechanism, initial: InitialResponse::Absent });
    }
    if !cursor.eat(" ") {
        return Err(cursor.error());
    }
    // A mail program in use sends two.
    if !syntax.is_pedantic {
        cursor.take_while(|c| c == ' ');
    }
    let initial = match cursor.rest() {
        "" => return Err(cursor.error()),
        "=" => Vec::new(),
        text => decode_response(text.as_bytes()).ok_or_else(|| cursor.error())?,
    };
    Ok(AuthCommand { mechanism, initial: InitialResponse::Present(initial) })
}

/// Decodes the base64 of a response line, with its padding and nothing else. RFC 4954 §4.
pub(crate) fn decode_response(line: &[u8]) -> Option<Vec<u8>> {
    STANDARD.decode(line).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::tests::SUBMISSION;

    #[track_caller]
    fn check(argument: &str, want: Option<(&str, Option<&[u8]>)>) {
        let got = auth(argument, SUBMISSION).ok();
        let got = got.as_ref().map(|auth| (auth.mechanism.as_str(), auth.initial.as_deref()));
        assert_eq!(got, want, "AUTH{argument}");
    }

    /// RFC 4954 §4; RFC 4422 §3.1.
    #[test]
    fn auth_commands_are_parsed_or_refused() {
        // Valid.
        check(" PLAIN", Some(("PLAIN", None)));
        check(" PLAIN AHRlc3Q=", Some(("PLAIN", Some(b"\0test"))));
        check(" EXTERNAL =", Some(("EXTERNAL", Some(b""))));
        check(" X_Y-2", Some(("X_Y-2", None)));
        // At the edge of valid.
        check(" PLAIN  AHRlc3Q=", Some(("PLAIN", Some(b"\0test"))));
        check(" ABCDEFGHIJKLMNOPQRST", Some(("ABCDEFGHIJKLMNOPQRST", None)));
        // Just past the edge.
        check(" ABCDEFGHIJKLMNOPQRSTU", None);
        check(" PLAIN ", None);
        check(" PLAIN AHRlc3Q", None);
        check(" PLAIN AHRlc3Q= ", None);
        // Never valid.
        check(" plain", None);
        check("", None);
        check(" ", None);
        check(" PLAIN !", None);
        let pedantic = Syntax { is_pedantic: true, is_submission: true };
        assert!(auth(" PLAIN  AHRlc3Q=", pedantic).is_err());
    }

    #[test]
    fn debug_output_hides_the_response() {
        let command = auth(" PLAIN AHRlc3Q=", SUBMISSION).unwrap();
        assert!(!format!("{command:?}").contains("116"));
    }
}
