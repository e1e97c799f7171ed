//! LIST and LSUB.

use super::Expected;
use super::lexer::{Lexer, Parsed};
use super::mailbox::status_items;
use super::metadata::entries;
use crate::types::{Command, List, is_atom_char};

/// The most patterns in one LIST.
const PATTERNS_MAX: usize = 100;

/// The most options in one list of options.
const OPTIONS_MAX: usize = 20;

/// `list = "LIST" [SP list-select-opts] SP mailbox SP mbox-or-pat [SP list-return-opts]`
///
/// RFC 9051 §6.3.9.
pub(super) fn list(lexer: &mut Lexer<'_>) -> Parsed<Command> {
    let mut list = List::default();
    if lexer.peek() == Some(b'(') {
        list.extended = true;
        lexer.list(OPTIONS_MAX, |lexer| list_select_opt(lexer, &mut list))?;
        // RFC 9051 §6.3.9.1: RECURSIVEMATCH says nothing by itself.
        if list.recursive_match && !list.select_subscribed && !list.select_special_use {
            return lexer.fail(Expected::ListOption);
        }
        lexer.sp()?;
    }
    list.reference = reference(lexer)?;
    lexer.sp()?;
    if lexer.peek() == Some(b'(') {
        list.extended = true;
        list.patterns = lexer.list(PATTERNS_MAX, list_mailbox)?;
    } else {
        list.patterns = vec![list_mailbox(lexer)?];
    }
    if lexer.take(b' ') {
        list.extended = true;
        if !lexer.word("RETURN") {
            return lexer.fail(Expected::ListOption);
        }
        lexer.sp()?;
        lexer.list(OPTIONS_MAX, |lexer| return_option(lexer, &mut list))?;
    }
    Ok(Command::List(list))
}

/// `lsub = "LSUB" SP mailbox SP list-mailbox`. RFC 3501 §6.3.9.
pub(super) fn lsub(lexer: &mut Lexer<'_>) -> Parsed<Command> {
    let reference = reference(lexer)?;
    lexer.sp()?;
    Ok(Command::Lsub { reference, pattern: list_mailbox(lexer)? })
}

fn reference(lexer: &mut Lexer<'_>) -> Parsed<String> {
    lexer.mailbox().map(|name| name.0)
}

/// `list-mailbox = 1*list-char / string`, `list-char = ATOM-CHAR / list-wildcards / resp-specials`
fn list_mailbox(lexer: &mut Lexer<'_>) -> Parsed<String> {
    let start = lexer.at();
    if matches!(lexer.peek(), Some(b'"' | b'{')) {
        let text = lexer.string()?;
        return lexer.mailbox_text(&text, start);
    }
    match lexer.run(|byte| is_atom_char(byte) || matches!(byte, b'%' | b'*' | b']')) {
        b"" => lexer.fail(Expected::String),
        text => lexer.mailbox_text(text, start),
    }
}

/// `list-select-opt`: RFC 9051 §6.3.9.1, and `SPECIAL-USE` of RFC 6154 §5.2.
fn list_select_opt(lexer: &mut Lexer<'_>, list: &mut List) -> Parsed<()> {
    let option = lexer.atom()?.to_ascii_uppercase();
    match &*option {
        b"SUBSCRIBED" => list.select_subscribed = true,
        // Nothing here is remote.
        b"REMOTE" => {}
        b"RECURSIVEMATCH" => list.recursive_match = true,
        b"SPECIAL-USE" => list.select_special_use = true,
        _ => return lexer.fail(Expected::ListOption),
    }
    Ok(())
}

/// `return-option`: RFC 9051 §6.3.9.2, RFC 5819 §2, RFC 6154 §5.3.
fn return_option(lexer: &mut Lexer<'_>, list: &mut List) -> Parsed<()> {
    let option = lexer.atom()?.to_ascii_uppercase();
    match &*option {
        b"SUBSCRIBED" => list.return_subscribed = true,
        b"CHILDREN" => list.return_children = true,
        b"SPECIAL-USE" => list.return_special_use = true,
        b"STATUS" => {
            lexer.sp()?;
            list.return_status = status_items(lexer)?;
        }
        // RFC 9590 §4.
        b"METADATA" => {
            lexer.sp()?;
            list.return_metadata = entries(lexer)?;
        }
        _ => return lexer.fail(Expected::ListOption),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parser::testing::{check_bad, parse};
    use crate::types::StatusItem;

    fn list_of(line: &str) -> List {
        match parse(line) {
            Ok(Command::List(list)) => list,
            other => panic!("{line}: {other:?}"),
        }
    }

    fn basic(reference: &str, pattern: &str) -> List {
        let patterns = vec![pattern.to_owned()];
        List { reference: reference.to_owned(), patterns, ..List::default() }
    }

    /// RFC 9051 §6.3.9, with examples of §6.3.9.7 and RFC 5819 §2.
    #[test]
    fn both_forms_are_read() {
        assert_eq!(list_of("LIST \"\" %"), basic("", "%"));
        assert_eq!(list_of("LIST \"\" \"\""), basic("", ""));
        assert_eq!(list_of("LIST a INBOX/*]"), basic("a", "INBOX/*]"));
        assert_eq!(list_of("LIST \"\" \"&Jjo-*\""), basic("", "☺*"));
        let list = list_of("LIST (SUBSCRIBED RECURSIVEMATCH REMOTE) \"\" (\"INBOX\" \"Drafts/%\")");
        assert!(list.extended && list.select_subscribed && list.recursive_match);
        assert_eq!(list.patterns, ["INBOX", "Drafts/%"]);
        let list = list_of("LIST \"\" % RETURN (CHILDREN SUBSCRIBED STATUS (MESSAGES UNSEEN))");
        assert!(list.extended && list.return_children && list.return_subscribed);
        assert_eq!(list.return_status, [StatusItem::Messages, StatusItem::Unseen]);
        assert!(list_of("LIST (SPECIAL-USE) \"\" *").select_special_use);
        assert!(list_of("LIST () \"\" *").extended);
    }

    #[test]
    fn bad_options_are_refused() {
        check_bad(&[
            ("LIST", Expected::Space),
            ("LIST \"\"", Expected::Space),
            ("LIST \"\"  *", Expected::String),
            ("LIST (RECURSIVEMATCH) \"\" *", Expected::ListOption),
            ("LIST (BOGUS) \"\" *", Expected::ListOption),
            ("LIST \"\" * BOGUS", Expected::ListOption),
            ("LIST \"\" * RETURN (BOGUS)", Expected::ListOption),
            ("LIST \"\" * RETURN (STATUS)", Expected::Space),
            ("LIST \"\" * RETURN (STATUS ())", Expected::StatusItem),
            ("LIST \"\" & ", Expected::MailboxName),
            ("LSUB \"\" (a)", Expected::String),
        ]);
    }
}
