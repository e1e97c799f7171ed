//! `MAIL`: a transaction starts. RFC 5321 §4.1.1.2.

use super::parameter::take_parameter;
use super::{CommandError, Syntax};
use crate::lex::Cursor;
use crate::path::{ReversePath, mailbox, take_path};
use crate::xtext::decode_xtext;

/// The most digits of a SIZE value. RFC 1870 §3.
pub const SIZE_DIGITS_MAX: usize = 20;

/// `BODY=`: what the client says of the content. RFC 6152 §2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Body {
    /// All bytes below 128.
    #[default]
    SevenBit,
    /// Any bytes, in lines.
    EightBitMime,
}

/// `mail = "MAIL FROM:" Reverse-path [SP Mail-parameters] CRLF`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MailCommand {
    /// Where errors go.
    pub reverse_path: ReversePath,
    /// Bytes the client means to send; more than a `u64` holds is its largest value. RFC 1870 §6.
    pub size_bytes: Option<u64>,
    /// `BODY=`, if given.
    pub body: Option<Body>,
    /// `SMTPUTF8`: addresses and headers may be UTF-8. RFC 6531 §3.4.
    pub is_utf8: bool,
}

/// The parameters known here; a bit each, for finding those given twice.
const KNOWN: [&str; 4] = ["SIZE", "BODY", "SMTPUTF8", "AUTH"];

pub(super) fn mail(argument: &str, syntax: Syntax) -> Result<MailCommand, CommandError> {
    let mut cursor = Cursor::new(argument);
    if !cursor.eat_ignore_case(" FROM:") {
        return Err(cursor.error());
    }
    // A common mistake, which RFC 5321 §3.3 calls out.
    if !syntax.is_pedantic {
        cursor.eat(" ");
    }
    let path = take_path(&mut cursor)?;
    let mut command = MailCommand::default();
    let mut seen = [false; KNOWN.len()];
    while let Some(parameter) = take_parameter(&mut cursor)? {
        let known = KNOWN.iter().position(|name| name.eq_ignore_ascii_case(parameter.keyword));
        let seen = known.and_then(|index| seen.get_mut(index));
        let seen = seen.ok_or(CommandError::UnknownParameter)?;
        if std::mem::replace(seen, true) {
            return Err(CommandError::DuplicateParameter);
        }
        apply(&mut command, known, parameter.value)?;
    }
    if !path.is_empty() {
        command.reverse_path = ReversePath::Mailbox(mailbox(path, command.is_utf8, syntax)?);
    }
    Ok(command)
}

fn apply(
    command: &mut MailCommand,
    known: Option<usize>,
    value: Option<&str>,
) -> Result<(), CommandError> {
    const BAD: CommandError = CommandError::BadParameterValue;
    match (known, value) {
        // `size-value = 1*20DIGIT`.
        (Some(0), Some(value)) => {
            let is_number =
                value.len() <= SIZE_DIGITS_MAX && value.bytes().all(|b| b.is_ascii_digit());
            if !is_number {
                return Err(BAD);
            }
            // What is too large for the type is too large for us.
            command.size_bytes = Some(value.parse().unwrap_or(u64::MAX));
        }
        (Some(1), Some(value)) if value.eq_ignore_ascii_case("7BIT") => {
            command.body = Some(Body::SevenBit);
        }
        (Some(1), Some(value)) if value.eq_ignore_ascii_case("8BITMIME") => {
            command.body = Some(Body::EightBitMime);
        }
        (Some(1), Some(_)) => return Err(CommandError::UnknownBody),
        (Some(2), None) => command.is_utf8 = true,
        // Who gave the message to the client: read, and not trusted. RFC 4954 §5.
        (Some(3), Some("<>")) => {}
        (Some(3), Some(value)) => {
            decode_xtext(value).ok_or(BAD)?;
        }
        _ => return Err(BAD),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::tests::{LOOSE, SUBMISSION};

    type Fields<'a> = (&'a str, Option<u64>, Option<Body>, bool);

    #[track_caller]
    fn check(argument: &str, want: Result<Fields<'_>, CommandError>) {
        let got = mail(argument, LOOSE).map(|command| {
            let MailCommand { reverse_path, size_bytes, body, is_utf8 } = command;
            (reverse_path.to_string(), size_bytes, body, is_utf8)
        });
        let got = got.as_ref().map(|(path, size, body, utf8)| (path.as_str(), *size, *body, *utf8));
        assert_eq!(got.map_err(|e| *e), want, "MAIL{argument}");
    }

    /// RFC 5321 §4.1.1.2, §4.1.1.11; RFC 1870 §3; RFC 6152 §2; RFC 6531 §3.4; RFC 4954 §5.
    #[test]
    fn mail_commands_are_parsed_or_refused() {
        let syntax_error = |left_bytes| Err(CommandError::Syntax { left_bytes });
        let big = Some(u64::MAX);
        // Valid.
        check(" FROM:<>", Ok(("<>", None, None, false)));
        check(" from:<a@b.example>", Ok(("<a@b.example>", None, None, false)));
        check(
            " FROM:<a@b.example> SIZE=100 BODY=8bitmime AUTH=e+3Dmc2@x.example",
            Ok(("<a@b.example>", Some(100), Some(Body::EightBitMime), false)),
        );
        check(" FROM:<☕@b.example> smtputf8", Ok(("<☕@b.example>", None, None, true)));
        check(" FROM:<> AUTH=<> BODY=7BIT", Ok(("<>", None, Some(Body::SevenBit), false)));
        // At the edge of valid.
        check(" FROM: <a@b.example>", Ok(("<a@b.example>", None, None, false)));
        check(" FROM:<> SIZE=99999999999999999999", Ok(("<>", big, None, false)));
        check(" FROM:<> SIZE=0", Ok(("<>", Some(0), None, false)));
        // Just past the edge.
        check(" FROM:  <a@b.example>", syntax_error(14));
        check(" FROM:<> SIZE=999999999999999999999", Err(CommandError::BadParameterValue));
        check(" FROM:<> SIZE=-1", Err(CommandError::BadParameterValue));
        check(" FROM:<> SIZE", Err(CommandError::BadParameterValue));
        check(" FROM:<> BODY=BINARYMIME", Err(CommandError::UnknownBody));
        check(" FROM:<> SMTPUTF8=1", Err(CommandError::BadParameterValue));
        check(" FROM:<> AUTH=+2b", Err(CommandError::BadParameterValue));
        check(" FROM:<> SIZE=1 size=1", Err(CommandError::DuplicateParameter));
        check(" FROM:<> REQUIRETLS", Err(CommandError::UnknownParameter));
        check(" FROM:<> RET=HDRS", Err(CommandError::UnknownParameter));
        check(" FROM:<☕@b.example>", Err(CommandError::LocalpartNeedsUtf8));
        // Never valid.
        check("", syntax_error(0));
        check(" FROM:", syntax_error(0));
        check(" FROM:a@b.example", syntax_error(11));
        check(" TO:<a@b.example>", syntax_error(17));
        check(" FROM:<postmaster>", syntax_error(10));
        check(" FROM:<a@b.example>SIZE=1", syntax_error(6));
    }

    #[test]
    fn strictness_is_about_spaces() {
        let pedantic = Syntax { is_pedantic: true, is_submission: false };
        assert!(mail(" FROM: <>", pedantic).is_err());
        assert!(mail(" FROM:<> ", SUBMISSION).is_err());
    }
}
