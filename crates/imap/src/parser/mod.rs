//! Commands from their text, one file per command or family.
//!
//! Every parser takes all of its input or fails, never panics, and is linear in its input. It is
//! named after its ABNF rule, with the production in its documentation. Source: RFC 9051 §9.

mod append;
mod auth;
mod compress;
mod context;
mod fetch;
mod filter;
mod lexer;
mod list;
mod mailbox;
mod messages;
mod metadata;
mod multisearch;
mod named_search;
mod notify;
mod quota;
mod search;
mod select;
mod url_auth;

use std::fmt;

pub use append::{
    AppendEnd, AppendHead, AppendPlace, AppendStep, AppendStretch, append_head, append_next,
};
pub(crate) use fetch::section_spec;
pub use lexer::Options;
use lexer::{Lexer, Parsed};
pub(crate) use named_search::{filter_value, is_filter_name};

use crate::types::{Command, Name, is_atom_char};

/// The longest tag. Ours: it comes back in every reply.
pub const TAG_BYTES_MAX: usize = 200;

/// Why a command was not understood, and where in its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// The byte offset into the command.
    pub at: usize,
    /// What should have been there.
    pub expected: Expected,
}

/// What a parser wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the texts below are the documentation")]
pub enum Expected {
    Tag,
    Command,
    Space,
    End,
    Open,
    Close,
    Atom,
    String,
    QuoteEnd,
    LiteralEnd,
    NoNul,
    Utf8,
    Number,
    NonZeroNumber,
    SequenceSet,
    SetWithoutLast,
    MailboxFilter,
    MailboxName,
    NotifyAction,
    Flag,
    Date,
    DateTime,
    FetchItem,
    Section,
    Modifier,
    SearchKey,
    FilterName,
    SortKey,
    ThreadAlgorithm,
    PartialRange,
    ObjectId,
    EntryName,
    ReturnOption,
    ListOption,
    StatusItem,
    SelectParameter,
    StoreAction,
    NoDuplicate,
    FewerItems,
    LessNesting,
    /// Not a fault of syntax: answered with NO \[BADCHARSET\]. RFC 9051 §6.4.4.
    Charset,
    /// The same in a search that was to be saved. RFC 9051 §6.4.4.1.
    CharsetToSave,
    Message,
    CatenatePart,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.expected {
            Expected::Tag => "bad tag",
            Expected::Command => "unknown command",
            Expected::Space => "expected space",
            Expected::End => "expected end of command",
            Expected::Open => "expected (",
            Expected::Close => "expected )",
            Expected::Atom => "expected atom",
            Expected::String => "expected string",
            Expected::QuoteEnd => "bad quoted string",
            Expected::LiteralEnd => "bad literal",
            Expected::NoNul => "string with nul",
            Expected::Utf8 => "string is not utf-8",
            Expected::Number => "expected number",
            Expected::NonZeroNumber => "expected number that is not zero",
            Expected::SequenceSet => "expected sequence set",
            Expected::SetWithoutLast => "expected numbers without * or $",
            Expected::MailboxFilter => "unknown filter of mailboxes",
            Expected::NotifyAction => "expected SET or NONE",
            Expected::MailboxName => "bad encoding of mailbox name",
            Expected::Flag => "unknown flag",
            Expected::Date => "expected date",
            Expected::DateTime => "expected date and time",
            Expected::FetchItem => "unknown fetch item",
            Expected::Section => "bad section",
            Expected::Modifier => "unknown modifier",
            Expected::SearchKey => "unknown search key",
            Expected::FilterName => "bad name of a filter",
            Expected::SortKey => "unknown sort key",
            Expected::ThreadAlgorithm => "unknown threading algorithm",
            Expected::PartialRange => "expected range of results",
            Expected::EntryName => "bad name of an entry",
            Expected::ObjectId => "bad object id",
            Expected::ReturnOption => "unknown return option",
            Expected::ListOption => "unknown list option",
            Expected::StatusItem => "unknown status item",
            Expected::SelectParameter => "unknown parameter",
            Expected::StoreAction => "expected FLAGS",
            Expected::NoDuplicate => "given twice",
            Expected::FewerItems => "too many items",
            Expected::LessNesting => "nested too deeply",
            Expected::Charset | Expected::CharsetToSave => "only charsets us-ascii and utf-8",
            Expected::Message => "expected message literal",
            Expected::CatenatePart => "expected TEXT, URL or UTF8",
        };
        write!(f, "{text} at byte {}", self.at)
    }
}

impl std::error::Error for ParseError {}

/// Tag and name of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head<'a> {
    /// The tag.
    pub tag: &'a str,
    /// The command as the client spelled it, `UID` included.
    pub spelling: &'a str,
    /// Which command it is, `None` if unknown.
    pub name: Option<Name>,
    /// Where the arguments start, before their space.
    args_at: usize,
}

/// `command = tag SP (command-any / command-auth / command-nonauth / command-select) CRLF`
///
/// The error carries the tag if there is one.
pub fn head(input: &[u8]) -> Result<Head<'_>, (Option<&str>, ParseError)> {
    let mut lexer = Lexer::new(input, 0, Options::default());
    let tag = tag(&mut lexer).map_err(|error| (None, error))?;
    let spelling = lexer.sp().and_then(|()| command_name(&mut lexer, input));
    let spelling = spelling.map_err(|error| (Some(tag), error))?;
    let name = Name::from_bytes(spelling.as_bytes());
    Ok(Head { tag, spelling, name, args_at: lexer.at() })
}

/// `tag = 1*<any ASTRING-CHAR except "+">`
fn tag<'a>(lexer: &mut Lexer<'a>) -> Parsed<&'a str> {
    let tag = lexer.run(|byte| byte != b'+' && (is_atom_char(byte) || byte == b']'));
    match std::str::from_utf8(tag) {
        Ok(tag) if !tag.is_empty() && tag.len() <= TAG_BYTES_MAX => Ok(tag),
        _ => lexer.fail(Expected::Tag),
    }
}

/// The command's name; `uid = "UID" SP (copy / move / fetch / search / store / expunge)`.
fn command_name<'a>(lexer: &mut Lexer<'a>, input: &'a [u8]) -> Parsed<&'a str> {
    let start = lexer.at();
    let letters = |byte: u8| byte.is_ascii_alphabetic();
    if lexer.run(letters).eq_ignore_ascii_case(b"UID") {
        lexer.sp()?;
        lexer.run(letters);
    }
    let spelling = input.get(start..lexer.at()).unwrap_or_default();
    match std::str::from_utf8(spelling) {
        Ok(text) if !text.is_empty() && text.len() <= TAG_BYTES_MAX => Ok(text),
        _ => lexer.fail(Expected::Command),
    }
}

/// The arguments of a command other than APPEND, whose text `input` is `head`'s whole command.
pub fn arguments(head: &Head<'_>, input: &[u8], options: Options) -> Result<Command, ParseError> {
    let mut lexer = Lexer::new(input, head.args_at, options);
    let lexer = &mut lexer;
    let Some(name) = head.name else { return lexer.fail(Expected::Command) };
    let plain = matches!(
        name,
        Name::Capability
            | Name::Noop
            | Name::Logout
            | Name::StartTls
            | Name::Namespace
            | Name::Idle
            | Name::Check
            | Name::Close
            | Name::Unselect
            | Name::Unauthenticate
            | Name::Expunge
    );
    // RESETKEY has arguments or none.
    if !plain && name != Name::ResetKey {
        lexer.sp_of_command()?;
    }
    let command = match name {
        Name::Id => auth::id(lexer)?,
        Name::Authenticate => auth::authenticate(lexer)?,
        Name::Login => auth::login(lexer)?,
        Name::Enable => auth::enable(lexer)?,
        Name::Compress => compress::compress(lexer)?,
        Name::Select | Name::Examine => select::select(lexer)?,
        Name::Create => mailbox::create(lexer)?,
        Name::Delete | Name::Subscribe | Name::Unsubscribe | Name::GetQuotaRoot => {
            lexer.mailbox().map(Command::Mailbox)?
        }
        Name::Rename => mailbox::rename(lexer)?,
        Name::GetMetadata => metadata::getmetadata(lexer)?,
        Name::SetMetadata => metadata::setmetadata(lexer)?,
        Name::GetQuota => quota::getquota(lexer)?,
        Name::SetQuota => quota::setquota(lexer)?,
        Name::List => list::list(lexer)?,
        Name::Lsub => list::lsub(lexer)?,
        Name::Status => mailbox::status(lexer)?,
        Name::Notify => notify::notify(lexer)?,
        Name::GenUrlAuth => url_auth::genurlauth(lexer)?,
        Name::ResetKey => url_auth::resetkey(lexer)?,
        Name::UrlFetch => url_auth::urlfetch(lexer)?,
        Name::Append | Name::Replace | Name::UidReplace => return lexer.fail(Expected::Message),
        Name::UidExpunge => lexer.sequence_set().map(Command::UidExpunge)?,
        Name::Search | Name::UidSearch => search::search(lexer)?,
        Name::CancelUpdate => context::cancelupdate(lexer)?,
        Name::Esearch => multisearch::esearch(lexer)?,
        Name::Sort | Name::UidSort => search::sort(lexer)?,
        Name::Thread | Name::UidThread => search::thread(lexer)?,
        Name::Fetch | Name::UidFetch => fetch::fetch(lexer)?,
        Name::Store | Name::UidStore => messages::store(lexer)?,
        Name::Copy | Name::UidCopy | Name::Move | Name::UidMove => messages::copy(lexer)?,
        _ => Command::Plain,
    };
    lexer.end()?;
    Ok(command)
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// Parses a whole command line without tag.
    pub(crate) fn parse(line: &str) -> Result<Command, Expected> {
        parse_with(line, Options::default())
    }

    pub(crate) fn parse_with(line: &str, options: Options) -> Result<Command, Expected> {
        let line = format!("a {line}");
        let head = head(line.as_bytes()).map_err(|(_, error)| error.expected)?;
        arguments(&head, line.as_bytes(), options).map_err(|error| error.expected)
    }

    /// Each line must fail, at what is expected there.
    #[track_caller]
    pub(crate) fn check_bad(cases: &[(&str, Expected)]) {
        for (line, want) in cases {
            assert_eq!(parse(line), Err(*want), "{line}");
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(input: &str, want: Result<(&str, &str, Option<Name>), Expected>) {
        let got = head(input.as_bytes()).map(|h| (h.tag, h.spelling, h.name));
        assert_eq!(got.map_err(|(_, error)| error.expected), want, "{input:?}");
    }

    /// RFC 9051 §2.2.1 and §9 (`tag`, `command`, `uid`).
    #[test]
    fn a_command_has_tag_and_name() {
        let long = "t".repeat(TAG_BYTES_MAX);
        // Valid.
        check("a1 NOOP", Ok(("a1", "NOOP", Some(Name::Noop))));
        check("a1 noOp x", Ok(("a1", "noOp", Some(Name::Noop))));
        check("a uid fetch 1", Ok(("a", "uid fetch", Some(Name::UidFetch))));
        // At the edge of valid.
        check("] noop", Ok(("]", "noop", Some(Name::Noop))));
        check("a bogus", Ok(("a", "bogus", None)));
        check("a UID NOOP", Ok(("a", "UID NOOP", None)));
        check(&format!("{long} NOOP"), Ok((&long, "NOOP", Some(Name::Noop))));
        // Just past it.
        check(&format!("{long}t NOOP"), Err(Expected::Tag));
        check("a+ noop", Err(Expected::Space));
        check("a  noop", Err(Expected::Command));
        check("a UID", Err(Expected::Space));
        // Never valid.
        check("", Err(Expected::Tag));
        check("a", Err(Expected::Space));
        check("* noop", Err(Expected::Tag));
        check("\u{16}\u{3}\u{1}", Err(Expected::Tag));
    }

    #[test]
    fn commands_without_arguments_take_none() {
        for line in ["NOOP", "CAPABILITY", "IDLE", "CLOSE", "EXPUNGE", "NAMESPACE"] {
            assert_eq!(testing::parse(line), Ok(Command::Plain));
            assert_eq!(testing::parse(&format!("{line} ")), Err(Expected::End));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(input in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(head) = head(&input) {
                let _result = arguments(&head, &input, Options { utf8: input.len().is_multiple_of(2), pedantic: true });
            }
        }

        #[test]
        fn any_text_after_a_command_is_survived(
            name in "(UID )?(FETCH|SEARCH|ESEARCH|SORT|THREAD|STORE|LIST|SELECT|STATUS|ID|LOGIN|CREATE|APPEND|NOTIFY|GENURLAUTH|RESETKEY|URLFETCH) ",
            rest in "[ ()\\[\\]<>{}\"\\\\a-zA-Z0-9.:,*$%+-]{0,60}",
        ) {
            let line = format!("a {name}{rest}");
            let _result = testing::parse(&line);
            let _result = append_head(line.as_bytes(), Options::default());
            let place = AppendPlace::Part { utf8: false };
            let _result = append_next(rest.as_bytes(), place, Options::default());
        }
    }
}
