//! `RCPT`: a recipient. RFC 5321 §4.1.1.3.

use super::parameter::take_parameter;
use super::{CommandError, Syntax};
use crate::lex::Cursor;
use crate::path::{ForwardPath, mailbox, take_path};

/// `rcpt = "RCPT TO:" ( "<Postmaster>" / Forward-path ) [SP Rcpt-parameters] CRLF`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RcptCommand {
    /// Who is to get it.
    pub forward_path: ForwardPath,
}

pub(super) fn rcpt(
    argument: &str,
    is_utf8: bool,
    syntax: Syntax,
) -> Result<RcptCommand, CommandError> {
    let mut cursor = Cursor::new(argument);
    if !cursor.eat_ignore_case(" TO:") {
        return Err(cursor.error());
    }
    if !syntax.is_pedantic {
        cursor.eat(" ");
    }
    let path = take_path(&mut cursor)?;
    let forward_path = if path.eq_ignore_ascii_case("postmaster") {
        ForwardPath::Postmaster
    } else {
        ForwardPath::Mailbox(mailbox(path, is_utf8, syntax)?)
    };
    // The place for NOTIFY and ORCPT of RFC 3461, once they are offered.
    match take_parameter(&mut cursor)? {
        Some(_) => Err(CommandError::UnknownParameter),
        None => Ok(RcptCommand { forward_path }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::tests::LOOSE;

    #[track_caller]
    fn check(argument: &str, is_utf8: bool, want: Result<&str, CommandError>) {
        let got = rcpt(argument, is_utf8, LOOSE).map(|command| command.forward_path.to_string());
        assert_eq!(got.as_deref().map_err(|e| *e), want, "RCPT{argument}");
    }

    /// RFC 5321 §4.1.1.3; RFC 6531 §3.3.
    #[test]
    fn rcpt_commands_are_parsed_or_refused() {
        let syntax_error = |left_bytes| Err(CommandError::Syntax { left_bytes });
        // Valid.
        check(" TO:<a@b.example>", false, Ok("<a@b.example>"));
        check(" to:<PostMaster>", false, Ok("<postmaster>"));
        check(" TO:<@x.example:a@b.example>", false, Ok("<a@b.example>"));
        check(" TO:<☕@bücher.example>", true, Ok("<☕@xn--bcher-kva.example>"));
        // At the edge of valid.
        check(" TO: <a@b.example>", false, Ok("<a@b.example>"));
        // Just past the edge.
        check(" TO:<☕@b.example>", false, Err(CommandError::LocalpartNeedsUtf8));
        check(" TO:<a@b.example> NOTIFY=NEVER", false, Err(CommandError::UnknownParameter));
        check(" TO:<hostmaster>", false, syntax_error(10));
        // Never valid.
        check(" TO:<>", false, syntax_error(0));
        check(" TO:a@b.example", false, syntax_error(11));
        check(" FROM:<a@b.example>", false, syntax_error(19));
        check("", false, syntax_error(0));
    }
}
