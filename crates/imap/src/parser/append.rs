//! APPEND and REPLACE, read in stretches because the messages do not pass through here.
//!
//! A stretch goes from the front of the command, or from behind the data of a literal, to the next
//! literal whose data is not an argument, or to the end.

use std::num::NonZeroU32;

use super::lexer::{Lexer, Options, Parsed};
use super::messages::{date_time, flag_list};
use super::{Expected, ParseError, head};
use crate::types::{AppendMessage, MailboxArg, Name, SeqNum};

/// The front of APPEND or REPLACE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppendHead {
    /// The message that REPLACE is about, by number or UID.
    pub replaces: Option<SeqNum>,
    /// The target.
    pub mailbox: MailboxArg,
}

/// Where a stretch of text begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendPlace {
    /// Behind the data of a message; `utf8`: which was inside `UTF8 (`, whose `)` comes first.
    Message {
        /// See above.
        utf8: bool,
    },
    /// Behind the data of a part of a message, likewise.
    Part {
        /// See above.
        utf8: bool,
    },
    /// At the literal of a URL, which is in the text.
    Url,
}

/// What a stretch says, in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AppendStep {
    /// A message begins that is put together from parts. RFC 4469 §3.
    Begin(AppendMessage),
    /// The next part is what this URL names.
    Url(Vec<u8>),
    /// That was its last part.
    End,
}

/// How a stretch ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AppendEnd {
    /// With the command.
    Command,
    /// The literal is a message.
    Message(AppendMessage),
    /// The literal is a part of a message.
    Part {
        /// It is inside `UTF8 (…)`. RFC 6855 §4.
        utf8: bool,
    },
    /// The literal is a URL.
    Url,
}

/// A stretch of the text of APPEND or REPLACE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppendStretch {
    /// What it says.
    pub steps: Vec<AppendStep>,
    /// What comes then.
    pub end: AppendEnd,
}

/// The command up to its end, or up to and with the `{n}` of a literal whose data has not been read.
/// `None` if that is the mailbox name, an argument like any other.
///
/// `append = "APPEND" SP mailbox 1*append-message`. RFC 9051 §6.3.12, RFC 3502 §6.3.11.
/// `replace = "REPLACE" SP seq-number SP mailbox append-message`. RFC 8508 §5.
pub fn append_head(
    input: &[u8],
    options: Options,
) -> Result<Option<(AppendHead, AppendStretch)>, ParseError> {
    let head = head(input).map_err(|(_, error)| error)?;
    let mut lexer = Lexer::new(input, head.args_at, options);
    lexer.sp_of_command()?;
    let mut replaces = None;
    if matches!(head.name, Some(Name::Replace | Name::UidReplace)) {
        replaces = Some(seq_number(&mut lexer)?);
        lexer.sp()?;
    }
    if is_announced(&lexer) {
        return Ok(None);
    }
    let mailbox = lexer.mailbox()?;
    let mut stretch = AppendStretch { steps: Vec::new(), end: AppendEnd::Command };
    if append_message(&mut lexer, &mut stretch)? {
        messages(&mut lexer, &mut stretch)?;
    }
    Ok(Some((AppendHead { replaces, mailbox }, stretch)))
}

/// `seq-number = nz-number / "*"`
fn seq_number(lexer: &mut Lexer<'_>) -> Parsed<SeqNum> {
    if lexer.take(b'*') {
        return Ok(SeqNum::Last);
    }
    let number = NonZeroU32::new(lexer.nz_number()?);
    number.map_or_else(|| lexer.fail(Expected::NonZeroNumber), |number| Ok(SeqNum::Number(number)))
}

/// The text from a later place on.
pub fn append_next(
    input: &[u8],
    place: AppendPlace,
    options: Options,
) -> Result<AppendStretch, ParseError> {
    let mut lexer = Lexer::new(input, 0, options);
    let mut stretch = AppendStretch { steps: Vec::new(), end: AppendEnd::Command };
    match place {
        AppendPlace::Message { utf8 } => {
            if utf8 {
                lexer.close()?;
            }
            messages(&mut lexer, &mut stretch)?;
        }
        AppendPlace::Part { utf8 } => {
            if utf8 {
                lexer.close()?;
            }
            rest_of_message(&mut lexer, &mut stretch)?;
        }
        AppendPlace::Url => {
            stretch.steps.push(AppendStep::Url(lexer.astring()?.into_owned()));
            rest_of_message(&mut lexer, &mut stretch)?;
        }
    }
    Ok(stretch)
}

fn rest_of_message(lexer: &mut Lexer<'_>, stretch: &mut AppendStretch) -> Parsed<()> {
    if more_parts(lexer, stretch)? { messages(lexer, stretch) } else { Ok(()) }
}

/// Messages, as many as follow.
fn messages(lexer: &mut Lexer<'_>, stretch: &mut AppendStretch) -> Parsed<()> {
    while !lexer.rest().is_empty() {
        if !append_message(lexer, stretch)? {
            break;
        }
    }
    Ok(())
}

/// `append-message = [SP flag-list] [SP date-time] SP append-data`
/// `append-data = literal / literal8 / "UTF8" SP "(" literal8 ")" / "CATENATE" SP "(" cat-part
/// *(SP cat-part) ")"`. RFC 6855 §4, RFC 4469 §5.
///
/// Whether more text may follow; if not, a literal is to come.
fn append_message(lexer: &mut Lexer<'_>, stretch: &mut AppendStretch) -> Parsed<bool> {
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
    if lexer.word("CATENATE") {
        lexer.sp()?;
        lexer.open()?;
        stretch.steps.push(AppendStep::Begin(message));
        return Ok(cat_part(lexer, stretch)? && more_parts(lexer, stretch)?);
    }
    if lexer.word("UTF8") {
        lexer.sp()?;
        lexer.open()?;
        message.utf8 = true;
    }
    announced(lexer)?;
    stretch.end = AppendEnd::Message(message);
    Ok(false)
}

/// The parts that follow one, and the end of the message; likewise.
fn more_parts(lexer: &mut Lexer<'_>, stretch: &mut AppendStretch) -> Parsed<bool> {
    while !lexer.take(b')') {
        lexer.sp()?;
        if !cat_part(lexer, stretch)? {
            return Ok(false);
        }
    }
    stretch.steps.push(AppendStep::End);
    Ok(true)
}

/// `cat-part = "TEXT" SP literal / "URL" SP astring / "UTF8" SP "(" literal8 ")"`. RFC 4469 §5,
/// RFC 6855 §4. Likewise.
fn cat_part(lexer: &mut Lexer<'_>, stretch: &mut AppendStretch) -> Parsed<bool> {
    if lexer.word("URL") {
        lexer.sp()?;
        if is_announced(lexer) {
            announced(lexer)?;
            stretch.end = AppendEnd::Url;
            return Ok(false);
        }
        stretch.steps.push(AppendStep::Url(lexer.astring()?.into_owned()));
        return Ok(true);
    }
    let utf8 = lexer.word("UTF8");
    if !utf8 && !lexer.word("TEXT") {
        return lexer.fail(Expected::CatenatePart);
    }
    lexer.sp()?;
    if utf8 {
        lexer.open()?;
    }
    announced(lexer)?;
    stretch.end = AppendEnd::Part { utf8 };
    Ok(false)
}

/// Whether the text ends with the announcement of a literal that is next: `"{" number64 ["+"] "}"`.
/// What only begins like one is no announcement, and the reader has taken the line for whole.
fn is_announced(lexer: &Lexer<'_>) -> bool {
    let Some(inside) = lexer.rest().strip_prefix(b"{").and_then(|rest| rest.strip_suffix(b"}"))
    else {
        return false;
    };
    let digits = inside.strip_suffix(b"+").unwrap_or(inside);
    !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
}

/// `"{" number64 ["+"] "}"` or the same of a `literal8`, at the end of the text.
fn announced(lexer: &mut Lexer<'_>) -> Parsed<()> {
    lexer.take(b'~');
    lexer.byte(b'{', Expected::Message)?;
    lexer.number64()?;
    lexer.take(b'+');
    lexer.byte(b'}', Expected::Message)?;
    lexer.end()
}

#[cfg(test)]
mod tests {
    use mox_base::{Flags, UnixSeconds};

    use super::AppendStep::{Begin, End};
    use super::*;

    fn message(flags: Flags, date: Option<i64>, utf8: bool) -> AppendMessage {
        let flags = crate::types::FlagList::system(flags);
        AppendMessage { flags, date: date.map(|date| UnixSeconds(date).into()), utf8 }
    }

    fn plain() -> AppendMessage {
        message(Flags::NONE, None, false)
    }

    fn url(text: &str) -> AppendStep {
        AppendStep::Url(text.as_bytes().to_vec())
    }

    type Said<'a> = Result<Option<(&'a [AppendStep], AppendEnd)>, Expected>;

    fn ok(steps: &[AppendStep], end: AppendEnd) -> Said<'_> {
        Ok(Some((steps, end)))
    }

    /// What APPEND to the inbox says, or where it is wrong; `None` if the name is to come.
    #[track_caller]
    fn check(text: &str, want: Said<'_>) {
        let got = append_head(text.as_bytes(), Options::default()).map_err(|error| error.expected);
        let want = want.map(|want| {
            want.map(|(steps, end)| {
                let mailbox = MailboxArg("INBOX".to_owned());
                let stretch = AppendStretch { steps: steps.to_vec(), end };
                (AppendHead { replaces: None, mailbox }, stretch)
            })
        });
        assert_eq!(got, want, "{text}");
    }

    /// RFC 9051 §6.3.12.
    #[test]
    fn the_message_literal_is_told_from_the_name() {
        let one = |message| ok(&[], AppendEnd::Message(message));
        check("a APPEND {5}", Ok(None));
        check("a APPEND {5+}", Ok(None));
        check("a APPEND {5}\r\nINBOX {9+}", one(plain()));
        check("a APPEND INBOX ~{9}", one(plain()));
        check(
            "a append INBOX (\\Seen) \" 1-Jan-1970 00:00:01 +0000\" {9}",
            one(message(Flags::SEEN, Some(1), false)),
        );
        check("a APPEND INBOX UTF8 (~{9}", one(message(Flags::NONE, None, true)));
        check("a APPEND INBOX (\\Bogus) {9}", Err(Expected::Flag));
        check("a APPEND INBOX \"bogus\" {9}", Err(Expected::DateTime));
        check("a APPEND INBOX x {9}", Err(Expected::Message));
        check("a APPEND INBOX () () {9}", Err(Expected::Message));
        check("a APPEND INBOX", Err(Expected::Space));
        // What begins like a literal and is none.
        check("a APPEND {5", Err(Expected::LiteralEnd));
        check("a APPEND {5x}", Err(Expected::LiteralEnd));
        check("a APPEND {}", Err(Expected::Number));
        check("a APPEND {+}", Err(Expected::Number));
        check("a APPEND {0 x {\u{e9}}", Err(Expected::LiteralEnd));
    }

    /// RFC 4469 §5.
    #[test]
    fn messages_are_put_together() {
        // Valid.
        check(
            "a APPEND INBOX (\\Seen) CATENATE (URL \"/x;UID=1\" TEXT {5+}",
            ok(
                &[Begin(message(Flags::SEEN, None, false)), url("/x;UID=1")],
                AppendEnd::Part { utf8: false },
            ),
        );
        check("a APPEND INBOX catenate (url {9}", ok(&[Begin(plain())], AppendEnd::Url));
        check(
            "a APPEND INBOX CATENATE (UTF8 (~{9}",
            ok(&[Begin(plain())], AppendEnd::Part { utf8: true }),
        );
        // At the edge of valid: no literal, several messages.
        check(
            "a APPEND INBOX CATENATE (URL a URL b) CATENATE (URL c)",
            ok(
                &[Begin(plain()), url("a"), url("b"), End, Begin(plain()), url("c"), End],
                AppendEnd::Command,
            ),
        );
        check(
            "a APPEND INBOX CATENATE (URL a) {3}",
            ok(&[Begin(plain()), url("a"), End], AppendEnd::Message(plain())),
        );
        // Just past it.
        check("a APPEND INBOX CATENATE (URL a", Err(Expected::Space));
        check("a APPEND INBOX CATENATE ()", Err(Expected::CatenatePart));
        check("a APPEND INBOX CATENATE (TEXT \"a\")", Err(Expected::Message));
        check("a APPEND INBOX CATENATE (URL a )", Err(Expected::CatenatePart));
        // Never valid.
        check("a APPEND INBOX CATENATE {3}", Err(Expected::Open));
        check("a APPEND INBOX CATENATE (FILE a)", Err(Expected::CatenatePart));
        check("a APPEND INBOX CATENATE (URL a)x", Err(Expected::Space));
    }

    /// A line of many messages neither recurses nor costs more than its length.
    #[test]
    fn many_messages_fit_a_line() {
        let text = format!("a APPEND INBOX{}", " CATENATE (URL a)".repeat(100_000));
        let (_, stretch) = append_head(text.as_bytes(), Options::default()).unwrap().unwrap();
        assert_eq!(stretch.steps.len(), 300_000);
    }

    /// RFC 3502 §6.3.11, RFC 4469 §5.
    #[test]
    fn more_messages_and_parts_may_follow() {
        let next = |text: &str, place| {
            append_next(text.as_bytes(), place, Options::default())
                .map(|stretch| (stretch.steps, stretch.end))
                .map_err(|error| error.expected)
        };
        let message = |utf8| AppendPlace::Message { utf8 };
        assert_eq!(next("", message(false)), Ok((vec![], AppendEnd::Command)));
        assert_eq!(next(")", message(true)), Ok((vec![], AppendEnd::Command)));
        assert_eq!(next(" {3}", message(false)), Ok((vec![], AppendEnd::Message(plain()))));
        assert_eq!(next("", message(true)), Err(Expected::Close));
        assert_eq!(next(" ", message(false)), Err(Expected::Message));
        assert_eq!(next("x", message(false)), Err(Expected::Space));
        let part = |utf8| AppendPlace::Part { utf8 };
        assert_eq!(next(")", part(false)), Ok((vec![End], AppendEnd::Command)));
        assert_eq!(next("))", part(true)), Ok((vec![End], AppendEnd::Command)));
        assert_eq!(
            next(" URL b TEXT {3}", part(false)),
            Ok((vec![url("b")], AppendEnd::Part { utf8: false }))
        );
        assert_eq!(next("", part(false)), Err(Expected::Space));
        assert_eq!(next(")", part(true)), Err(Expected::Space));
        let end = Ok((vec![url("a b"), End], AppendEnd::Command));
        assert_eq!(next("{3}\r\na b)", AppendPlace::Url), end);
        assert_eq!(next("{3+}\r\na b URL {4}", AppendPlace::Url).unwrap().1, AppendEnd::Url);
    }

    /// RFC 8508 §5.
    #[test]
    fn replace_names_one_message() {
        let replaces = |text: &str| {
            append_head(text.as_bytes(), Options::default())
                .map(|head| head.map(|(head, _)| head.replaces))
                .map_err(|error| error.expected)
        };
        let number = |number| Ok(Some(NonZeroU32::new(number).map(SeqNum::Number)));
        assert_eq!(replaces("a REPLACE 4 x {3}"), number(4));
        assert_eq!(replaces("a uid replace 4294967295 x (\\Seen) {3}"), number(u32::MAX));
        assert_eq!(replaces("a REPLACE * x {3}"), Ok(Some(Some(SeqNum::Last))));
        assert_eq!(replaces("a REPLACE 4 {1}"), Ok(None));
        assert_eq!(replaces("a REPLACE 4:5 x {3}"), Err(Expected::Space));
        assert_eq!(replaces("a REPLACE 0 x {3}"), Err(Expected::NonZeroNumber));
        assert_eq!(replaces("a REPLACE x {3}"), Err(Expected::NonZeroNumber));
    }
}
