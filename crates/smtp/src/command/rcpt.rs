//! `RCPT`: a recipient. RFC 5321 §4.1.1.3.

use super::parameter::{Parameter, take_parameter};
use super::{CommandError, Syntax};
use crate::dsn::{Notify, parse_orcpt};
use crate::lex::Cursor;
use crate::path::{ForwardPath, mailbox, take_path};

/// `rcpt = "RCPT TO:" ( "<Postmaster>" / Forward-path ) [SP Rcpt-parameters] CRLF`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RcptCommand {
    /// Who is to get it.
    pub forward_path: ForwardPath,
    /// `NOTIFY=`: when the sender is told. RFC 3461 §4.1.
    pub notify: Option<Notify>,
    /// `ORCPT=`, decoded: see [`parse_orcpt`]. RFC 3461 §4.2.
    pub orcpt: Option<String>,
}

impl From<ForwardPath> for RcptCommand {
    fn from(forward_path: ForwardPath) -> Self {
        Self { forward_path, notify: None, orcpt: None }
    }
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
    let mut command = RcptCommand::from(forward_path);
    while let Some(parameter) = take_parameter(&mut cursor)? {
        apply(&mut command, parameter, is_utf8)?;
    }
    Ok(command)
}

fn apply(
    command: &mut RcptCommand,
    parameter: Parameter<'_>,
    is_utf8: bool,
) -> Result<(), CommandError> {
    let Parameter { keyword, value } = parameter;
    // RFC 6533 §3: UTF-8 stands for itself only with SMTPUTF8.
    let value = value.filter(|value| is_utf8 || value.is_ascii());
    let is_new = if keyword.eq_ignore_ascii_case("NOTIFY") {
        let notify = value.and_then(Notify::parse).ok_or(CommandError::BadParameterValue)?;
        command.notify.replace(notify).is_none()
    } else if keyword.eq_ignore_ascii_case("ORCPT") {
        let orcpt = value.and_then(parse_orcpt).ok_or(CommandError::BadParameterValue)?;
        command.orcpt.replace(orcpt).is_none()
    } else {
        return Err(CommandError::UnknownParameter);
    };
    if is_new { Ok(()) } else { Err(CommandError::DuplicateParameter) }
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
        check(" TO:<a@b.example> RRVS=x", false, Err(CommandError::UnknownParameter));
        check(" TO:<hostmaster>", false, syntax_error(10));
        // Never valid.
        check(" TO:<>", false, syntax_error(0));
        check(" TO:a@b.example", false, syntax_error(11));
        check(" FROM:<a@b.example>", false, syntax_error(19));
        check("", false, syntax_error(0));
    }

    #[track_caller]
    fn check_parameters(
        parameters: &str,
        is_utf8: bool,
        want: Result<(Option<Notify>, Option<&str>), CommandError>,
    ) {
        let got = rcpt(&format!(" TO:<a@b.example> {parameters}"), is_utf8, LOOSE);
        let got = got.as_ref().map(|command| (command.notify, command.orcpt.as_deref()));
        assert_eq!(got.map_err(|e| *e), want, "{parameters}");
    }

    /// RFC 3461 §4.1, §4.2; RFC 6533 §3.
    #[test]
    fn reports_are_asked_for() {
        let bad = Err(CommandError::BadParameterValue);
        let orcpt = Some("rfc822;Bob+x@c.example");
        // Valid.
        check_parameters("notify=never", false, Ok((Some(Notify::NEVER), None)));
        check_parameters(
            "NOTIFY=SUCCESS,DELAY ORCPT=rfc822;Bob+2Bx@c.example",
            false,
            Ok((Some(Notify::when(true, false, true)), orcpt)),
        );
        check_parameters("ORCPT=utf-8;☕@c.example", true, Ok((None, Some("utf-8;☕@c.example"))));
        // Just past the edge.
        check_parameters("ORCPT=utf-8;☕@c.example", false, bad);
        check_parameters("ORCPT=Bob@c.example", false, bad);
        check_parameters("NOTIFY=NEVER,SUCCESS", false, bad);
        check_parameters("NOTIFY", false, bad);
        check_parameters("NOTIFY=NEVER NOTIFY=DELAY", false, Err(CommandError::DuplicateParameter));
    }
}
