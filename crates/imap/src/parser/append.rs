//! APPEND, read in pieces because the messages do not pass through here.

use super::lexer::{Lexer, Options, Parsed};
use super::messages::{date_time, flag_list};
use super::{Expected, ParseError, head};
use crate::types::{AppendMessage, MailboxArg};

/// What the text of an APPEND up to an announced literal amounts to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AppendPrefix {
    /// The literal is the mailbox name, an argument like any other.
    MailboxLiteral,
    /// The literal is the first message.
    Message(MailboxArg, AppendMessage),
}

/// The command up to and with the `{n}` at its end, whose data has not been read.
///
/// `append = "APPEND" SP mailbox 1*append-message`. RFC 9051 §6.3.12, RFC 3502 §6.3.11.
pub fn append_prefix(input: &[u8], options: Options) -> Result<AppendPrefix, ParseError> {
    let head = head(input).map_err(|(_, error)| error)?;
    let mut lexer = Lexer::new(input, head.args_at, options);
    lexer.sp()?;
    if lexer.peek() == Some(b'{') && !lexer.rest().contains(&b'\n') {
        return Ok(AppendPrefix::MailboxLiteral);
    }
    let mailbox = lexer.mailbox()?;
    let message = append_message(&mut lexer)?;
    Ok(AppendPrefix::Message(mailbox, message))
}

/// The text after a message: `None` at the end of the command, else what the next message says
/// before its data.
///
/// `after_utf8`: the message before was inside `UTF8 (`, whose `)` comes first.
pub fn append_next(
    input: &[u8],
    after_utf8: bool,
    options: Options,
) -> Result<Option<AppendMessage>, ParseError> {
    let mut lexer = Lexer::new(input, 0, options);
    if after_utf8 {
        lexer.close()?;
    }
    if lexer.rest().is_empty() {
        return Ok(None);
    }
    append_message(&mut lexer).map(Some)
}

/// `append-message = [SP flag-list] [SP date-time] SP append-data`
/// `append-data = literal / literal8 / "UTF8" SP "(" literal8 ")"`. RFC 6855 §4.
fn append_message(lexer: &mut Lexer<'_>) -> Parsed<AppendMessage> {
    let mut message = AppendMessage { flags: Default::default(), date: None, utf8: false };
    lexer.sp()?;
    if lexer.peek() == Some(b'(') {
        message.flags = flag_list(lexer)?;
        lexer.sp()?;
    }
    if lexer.peek() == Some(b'"') {
        message.date = Some(date_time(lexer)?);
        lexer.sp()?;
    }
    if lexer.word("UTF8") {
        lexer.sp()?;
        lexer.open()?;
        message.utf8 = true;
    }
    lexer.take(b'~');
    lexer.byte(b'{', Expected::Message)?;
    lexer.number64()?;
    lexer.take(b'+');
    lexer.byte(b'}', Expected::Message)?;
    lexer.end()?;
    Ok(message)
}

#[cfg(test)]
mod tests {
    use mox_base::{Flags, UnixSeconds};

    use super::*;

    fn prefix(text: &str) -> Result<AppendPrefix, Expected> {
        append_prefix(text.as_bytes(), Options::default()).map_err(|error| error.expected)
    }

    fn message(flags: Flags, date: Option<i64>, utf8: bool) -> AppendMessage {
        let flags = crate::types::FlagList::system(flags);
        AppendMessage { flags, date: date.map(UnixSeconds), utf8 }
    }

    /// RFC 9051 §6.3.12.
    #[test]
    fn the_message_literal_is_told_from_the_name() {
        let inbox = || MailboxArg("INBOX".to_owned());
        let none = Flags::NONE;
        let ok = |message| Ok(AppendPrefix::Message(inbox(), message));
        assert_eq!(prefix("a APPEND {5}"), Ok(AppendPrefix::MailboxLiteral));
        assert_eq!(prefix("a APPEND {5}\r\nINBOX {9+}"), ok(message(none, None, false)));
        assert_eq!(prefix("a APPEND INBOX ~{9}"), ok(message(none, None, false)));
        assert_eq!(
            prefix("a append INBOX (\\Seen) \" 1-Jan-1970 00:00:01 +0000\" {9}"),
            ok(message(Flags::SEEN, Some(1), false))
        );
        assert_eq!(prefix("a APPEND INBOX UTF8 (~{9}"), ok(message(none, None, true)));
        assert_eq!(prefix("a APPEND INBOX (\\Bogus) {9}"), Err(Expected::Flag));
        assert_eq!(prefix("a APPEND INBOX \"bogus\" {9}"), Err(Expected::DateTime));
        assert_eq!(prefix("a APPEND INBOX x {9}"), Err(Expected::Message));
        assert_eq!(prefix("a APPEND INBOX () () {9}"), Err(Expected::Message));
    }

    /// RFC 3502 §6.3.11.
    #[test]
    fn more_messages_may_follow() {
        let next = |text: &str, utf8| {
            append_next(text.as_bytes(), utf8, Options::default()).map_err(|error| error.expected)
        };
        assert_eq!(next("", false), Ok(None));
        assert_eq!(next(")", true), Ok(None));
        assert_eq!(next(" {3}", false), Ok(Some(message(Flags::NONE, None, false))));
        assert_eq!(next("", true), Err(Expected::Close));
        assert_eq!(next(" ", false), Err(Expected::Message));
        assert_eq!(next("x", false), Err(Expected::Space));
    }
}
