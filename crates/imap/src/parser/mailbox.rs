//! CREATE, RENAME and STATUS.

use super::Expected;
use super::lexer::{Lexer, Parsed};
use crate::types::{Command, Create, StatusItem};

/// The most attributes one CREATE may give.
const SPECIAL_USES_MAX: usize = 20;

/// The most items one STATUS may ask for.
const STATUS_ITEMS_MAX: usize = 50;

/// `create = "CREATE" SP mailbox [SP "(" create-param *(SP create-param) ")"]`
/// `create-param =/ "USE" SP "(" [use-attr *(SP use-attr)] ")"`. RFC 6154 §6, RFC 4466 §2.2.
pub(super) fn create(lexer: &mut Lexer<'_>) -> Parsed<Command> {
    let mut create = Create { mailbox: lexer.mailbox()?, special_use: Vec::new() };
    if lexer.take(b' ') {
        lexer.list(SPECIAL_USES_MAX, |lexer| {
            if !lexer.word("USE") {
                return lexer.fail(Expected::SelectParameter);
            }
            lexer.sp()?;
            let uses = lexer.list(SPECIAL_USES_MAX, use_attr)?;
            create.special_use.extend(uses);
            Ok(())
        })?;
    }
    Ok(Command::Create(create))
}

/// `use-attr = "\All" / "\Archive" / … / use-attr-ext`, `use-attr-ext = "\" atom`. RFC 6154 §6.
fn use_attr(lexer: &mut Lexer<'_>) -> Parsed<Vec<u8>> {
    lexer.byte(b'\\', Expected::Flag)?;
    let name = lexer.atom()?;
    Ok([b"\\", name].concat())
}

/// `rename = "RENAME" SP mailbox SP mailbox`. RFC 9051 §6.3.6.
pub(super) fn rename(lexer: &mut Lexer<'_>) -> Parsed<Command> {
    let from = lexer.mailbox()?;
    lexer.sp()?;
    Ok(Command::Rename { from, to: lexer.mailbox()? })
}

/// `status = "STATUS" SP mailbox SP "(" status-att *(SP status-att) ")"`. RFC 9051 §6.3.11.
pub(super) fn status(lexer: &mut Lexer<'_>) -> Parsed<Command> {
    let mailbox = lexer.mailbox()?;
    lexer.sp()?;
    Ok(Command::Status { mailbox, items: status_items(lexer)? })
}

/// `"(" status-att *(SP status-att) ")"`, at least one.
pub(super) fn status_items(lexer: &mut Lexer<'_>) -> Parsed<Vec<StatusItem>> {
    let items =
        lexer.list(STATUS_ITEMS_MAX, |lexer| match StatusItem::from_name(lexer.atom()?) {
            Some(item) => Ok(item),
            None => lexer.fail(Expected::StatusItem),
        })?;
    if items.is_empty() { lexer.fail(Expected::StatusItem) } else { Ok(items) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parser::Options;
    use crate::parser::testing::{check_bad, parse, parse_with};
    use crate::types::MailboxArg;

    fn mailbox(name: &str) -> MailboxArg {
        MailboxArg(name.to_owned())
    }

    /// RFC 6154 §3.
    #[test]
    fn create_may_ask_for_special_uses() {
        let want = |uses: &[&str]| {
            let special_use = uses.iter().map(|name| name.as_bytes().to_vec()).collect();
            Ok(Command::Create(Create { mailbox: mailbox("x"), special_use }))
        };
        assert_eq!(parse("CREATE x"), want(&[]));
        assert_eq!(parse("CREATE x (USE (\\Sent \\Junk))"), want(&["\\Sent", "\\Junk"]));
        assert_eq!(parse("CREATE x (USE (\\Sent) USE (\\All))"), want(&["\\Sent", "\\All"]));
        check_bad(&[
            ("CREATE", Expected::Space),
            ("CREATE x (USE (Sent))", Expected::Flag),
            ("CREATE x (BOGUS)", Expected::SelectParameter),
            ("CREATE x y", Expected::Open),
        ]);
    }

    /// RFC 9051 §6.3.6 and §5.1: names by the encoding in force.
    #[test]
    fn names_are_decoded() {
        let rename = |from, to| Ok(Command::Rename { from: mailbox(from), to: mailbox(to) });
        assert_eq!(parse("RENAME &Jjo- \"b c\""), rename("☺", "b c"));
        assert_eq!(parse("RENAME {1}\r\na {1+}\r\nb"), rename("a", "b"));
        let utf8 = Options { utf8: true, ..Options::default() };
        assert_eq!(parse_with("RENAME & \"☺\"", utf8), rename("&", "☺"));
        check_bad(&[
            ("RENAME & b", Expected::MailboxName),
            ("RENAME \"☺\" b", Expected::MailboxName),
            ("RENAME a", Expected::Space),
            ("DELETE", Expected::Space),
        ]);
    }

    /// RFC 9051 §6.3.11.
    #[test]
    fn status_needs_an_item() {
        let items = vec![StatusItem::Messages, StatusItem::UidNext, StatusItem::Size];
        assert_eq!(
            parse("STATUS x (messages UIDNEXT Size)"),
            Ok(Command::Status { mailbox: mailbox("x"), items })
        );
        check_bad(&[
            ("STATUS x ()", Expected::StatusItem),
            ("STATUS x (BOGUS)", Expected::StatusItem),
            ("STATUS x MESSAGES", Expected::Open),
            ("STATUS x (MESSAGES) ", Expected::End),
            ("STATUS x (MESSAGES  UIDNEXT)", Expected::Atom),
        ]);
    }
}
