//! Commands: one line each, parsed whole.
//!
//! Source: RFC 5321 §4.1, with RFC 1870, RFC 3030, RFC 3207, RFC 3461, RFC 4865, RFC 4954,
//! RFC 6152, RFC 6531, RFC 6710, RFC 8689.

mod auth;
mod bdat;
mod hello;
mod mail;
mod noop;
mod parameter;
mod rcpt;
mod verify;

pub(crate) use auth::decode_response;
pub use auth::{AuthCommand, InitialResponse, MECHANISM_BYTES_MAX};
pub use bdat::{BdatCommand, CHUNK_DIGITS_MAX};
pub use hello::ClientName;
pub use mail::{Body, Hold, MailCommand, PRIORITY_MAX, SIZE_DIGITS_MAX};
pub use rcpt::RcptCommand;

use crate::lex::Cursor;

/// How strictly commands are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Syntax {
    /// Refuses what the RFCs do not allow but the wild sends.
    pub is_pedantic: bool,
    /// Mail programs on submission ports name themselves in EHLO as they like.
    pub is_submission: bool,
}

/// A command that is well-formed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// RFC 5321 §4.1.1.1.
    Helo(ClientName),
    /// RFC 5321 §4.1.1.1.
    Ehlo(ClientName),
    /// RFC 3207 §4.
    StartTls,
    /// RFC 4954 §4.
    Auth(AuthCommand),
    /// RFC 5321 §4.1.1.2.
    Mail(MailCommand),
    /// RFC 5321 §4.1.1.3.
    Rcpt(RcptCommand),
    /// RFC 5321 §4.1.1.4.
    Data,
    /// RFC 3030 §2.
    Bdat(BdatCommand),
    /// RFC 5321 §4.1.1.5.
    Rset,
    /// RFC 5321 §4.1.1.6.
    Vrfy,
    /// RFC 5321 §4.1.1.7.
    Expn,
    /// RFC 5321 §4.1.1.8.
    Help,
    /// RFC 5321 §4.1.1.9.
    Noop,
    /// RFC 5321 §4.1.1.10.
    Quit,
}

/// Why a command was refused by its form alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandError {
    /// No such command.
    UnknownCommand,
    /// Not of the grammar; the number of bytes at the end of the line that were not understood.
    Syntax {
        /// Counted from the end.
        left_bytes: usize,
    },
    /// A parameter of no extension that we have. RFC 5321 §4.1.1.11.
    UnknownParameter,
    /// A parameter given twice. RFC 5321 §4.1.1.11.
    DuplicateParameter,
    /// A value that a known parameter cannot have.
    BadParameterValue,
    /// A `BODY=` of an extension that we do not have. RFC 6152 §2.
    UnknownBody,
    /// A localpart that is not ASCII, without SMTPUTF8. RFC 6531 §3.5.
    LocalpartNeedsUtf8,
}

/// The verbs, so that a session can tell which command it was that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// `HELO`
    Helo,
    /// `EHLO`
    Ehlo,
    /// `STARTTLS`
    StartTls,
    /// `AUTH`
    Auth,
    /// `MAIL`
    Mail,
    /// `RCPT`
    Rcpt,
    /// `DATA`
    Data,
    /// `BDAT`
    Bdat,
    /// `RSET`
    Rset,
    /// `VRFY`
    Vrfy,
    /// `EXPN`
    Expn,
    /// `HELP`
    Help,
    /// `NOOP`
    Noop,
    /// `QUIT`
    Quit,
}

const VERBS: [(&str, Verb); 14] = [
    ("HELO", Verb::Helo),
    ("EHLO", Verb::Ehlo),
    ("STARTTLS", Verb::StartTls),
    ("AUTH", Verb::Auth),
    ("MAIL", Verb::Mail),
    ("RCPT", Verb::Rcpt),
    ("DATA", Verb::Data),
    ("BDAT", Verb::Bdat),
    ("RSET", Verb::Rset),
    ("VRFY", Verb::Vrfy),
    ("EXPN", Verb::Expn),
    ("HELP", Verb::Help),
    ("NOOP", Verb::Noop),
    ("QUIT", Verb::Quit),
];

/// The verb of a line: all before the first space, in any case. RFC 5321 §2.4.
///
/// Returns also the argument, with the space before it; `None` for an unknown verb or a line that
/// is not UTF-8.
#[must_use]
pub fn verb(line: &[u8]) -> Option<(Verb, &str)> {
    let line = str::from_utf8(line).ok()?;
    let mut cursor = Cursor::new(line);
    let name = cursor.take_while(|c| c != ' ');
    let (_, verb) = VERBS.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
    Some((verb, cursor.rest()))
}

impl Command {
    /// Parses a line without its end. `is_utf8`: whether the transaction is one with SMTPUTF8,
    /// which matters for RCPT (RFC 6531 §3.3).
    pub fn parse(line: &[u8], is_utf8: bool, syntax: Syntax) -> Result<Self, CommandError> {
        let (verb, argument) = verb(line).ok_or(CommandError::UnknownCommand)?;
        Self::parse_argument(verb, argument, is_utf8, syntax)
    }

    /// Parses the argument of a known verb, see [`verb`].
    pub fn parse_argument(
        verb: Verb,
        argument: &str,
        is_utf8: bool,
        syntax: Syntax,
    ) -> Result<Self, CommandError> {
        // Some delivering servers leave a space at the end; mail programs have no excuse.
        let argument =
            if syntax.is_submission { argument } else { argument.trim_end_matches([' ', '\t']) };
        let bare = |command| Cursor::new(argument).end().map(|()| command);
        match verb {
            Verb::Helo => hello::helo(argument, syntax).map(Self::Helo),
            Verb::Ehlo => hello::ehlo(argument, syntax).map(Self::Ehlo),
            Verb::StartTls => bare(Self::StartTls),
            Verb::Auth => auth::auth(argument, syntax).map(Self::Auth),
            Verb::Mail => mail::mail(argument, syntax).map(Self::Mail),
            Verb::Rcpt => rcpt::rcpt(argument, is_utf8, syntax).map(Self::Rcpt),
            Verb::Data => bare(Self::Data),
            Verb::Bdat => bdat::bdat(argument).map(Self::Bdat),
            Verb::Rset => bare(Self::Rset),
            Verb::Vrfy => verify::verify(argument).map(|()| Self::Vrfy),
            Verb::Expn => verify::verify(argument).map(|()| Self::Expn),
            // "HELP" [ SP String ]: whatever it is about, there is one text.
            Verb::Help => Ok(Self::Help),
            Verb::Noop => noop::noop(argument).map(|()| Self::Noop),
            Verb::Quit => bare(Self::Quit),
        }
    }
}

/// `atext` of RFC 5322 §3.2.3, as RFC 5321 §4.1.2 uses it for `Atom`.
pub(crate) fn is_atext(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) const LOOSE: Syntax = Syntax { is_pedantic: false, is_submission: false };
    pub(crate) const SUBMISSION: Syntax = Syntax { is_pedantic: false, is_submission: true };

    #[track_caller]
    fn check(line: &str, syntax: Syntax, want: &Result<Command, CommandError>) {
        assert_eq!(&Command::parse(line.as_bytes(), false, syntax), want, "{line}");
    }

    /// RFC 5321 §2.4, §4.1.1.
    #[test]
    fn verbs_are_known_in_any_case_and_take_no_more_than_they_should() {
        let syntax_error = |left_bytes| Err(CommandError::Syntax { left_bytes });
        // Valid.
        check("QUIT", LOOSE, &Ok(Command::Quit));
        check("rSeT", LOOSE, &Ok(Command::Rset));
        check("HELP me", LOOSE, &Ok(Command::Help));
        check("StartTLS", SUBMISSION, &Ok(Command::StartTls));
        // At the edge of valid.
        check("DATA \t ", LOOSE, &Ok(Command::Data));
        // Just past the edge.
        check("DATA ", SUBMISSION, &syntax_error(1));
        check("DATA x", LOOSE, &syntax_error(2));
        check("RſET", LOOSE, &Err(CommandError::UnknownCommand));
        // Never valid.
        check("", LOOSE, &Err(CommandError::UnknownCommand));
        check("GET / HTTP/1.1", LOOSE, &Err(CommandError::UnknownCommand));
        check("DATA\tx", LOOSE, &Err(CommandError::UnknownCommand));
        let binary = Command::parse(b"NOOP \xff", false, LOOSE);
        assert_eq!(binary, Err(CommandError::UnknownCommand));
    }

    proptest! {
        #[test]
        fn no_line_panics(
            line in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..60),
                "(MAIL FROM:|RCPT TO:|EHLO |AUTH |NOOP |VRFY )[ -~é\u{301}]{0,40}"
                    .prop_map(String::into_bytes),
                "(MAIL FROM:|RCPT TO:)<[a-z\"@\\[\\]:.]{0,20}>( [A-Z]{1,8}(=[a-zA-Z0-9+<>]{0,9})?){0,3}"
                    .prop_map(String::into_bytes),
            ],
            is_utf8: bool, is_pedantic: bool, is_submission: bool,
        ) {
            let result = Command::parse(&line, is_utf8, Syntax { is_pedantic, is_submission });
            if let Err(CommandError::Syntax { left_bytes }) = result {
                prop_assert!(left_bytes <= line.len());
            }
        }
    }
}
