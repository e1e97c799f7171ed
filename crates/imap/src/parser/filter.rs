//! Filters of mailboxes, as NOTIFY and the search over several mailboxes have them.

use mox_base::MailboxName;

use super::Expected;
use super::lexer::{Lexer, Parsed};
use crate::types::{FILTER_NAMES_MAX, MailboxFilter};

/// `filter-mailboxes = filter-mailboxes-selected / filter-mailboxes-other`
/// `filter-mailboxes-selected = "selected" / "selected-delayed"`
/// `filter-mailboxes-other = "inboxes" / "personal" / "subscribed" / ("subtree" SP
/// one-or-more-mailbox) / ("mailboxes" SP one-or-more-mailbox)`. RFC 5465 §8; `subtree-one` is from
/// RFC 7377 §4.
pub(super) fn filter_mailboxes(lexer: &mut Lexer<'_>) -> Parsed<MailboxFilter> {
    let start = lexer.clone();
    Ok(match &*lexer.atom()?.to_ascii_uppercase() {
        b"SELECTED" => MailboxFilter::Selected,
        b"SELECTED-DELAYED" => MailboxFilter::SelectedDelayed,
        b"INBOXES" => MailboxFilter::Inboxes,
        b"PERSONAL" => MailboxFilter::Personal,
        b"SUBSCRIBED" => MailboxFilter::Subscribed,
        b"SUBTREE" => MailboxFilter::Subtree(one_or_more_mailbox(lexer)?),
        b"SUBTREE-ONE" => MailboxFilter::SubtreeOne(one_or_more_mailbox(lexer)?),
        b"MAILBOXES" => MailboxFilter::Mailboxes(one_or_more_mailbox(lexer)?),
        _ => return start.fail(Expected::MailboxFilter),
    })
}

/// `one-or-more-mailbox = mailbox / many-mailboxes`
/// `many-mailboxes = "(" mailbox *(SP mailbox) ")"`
fn one_or_more_mailbox(lexer: &mut Lexer<'_>) -> Parsed<Vec<MailboxName>> {
    lexer.sp()?;
    let args = if lexer.peek() == Some(b'(') {
        lexer.list(FILTER_NAMES_MAX, Lexer::mailbox)?
    } else {
        vec![lexer.mailbox()?]
    };
    if args.is_empty() {
        return lexer.fail(Expected::MailboxName);
    }
    // RFC 5465 §3.1: mailboxes that are not there are ignored. These cannot be.
    let names = args.iter().filter_map(|arg| MailboxName::parse(&arg.0).ok());
    Ok(MailboxFilter::names(names.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parser::Options;

    #[track_caller]
    #[expect(clippy::needless_pass_by_value, reason = "the cases are values")]
    fn check(input: &str, want: Result<MailboxFilter, Expected>) {
        let mut lexer = Lexer::new(input.as_bytes(), 0, Options::default());
        let got = filter_mailboxes(&mut lexer).and_then(|got| lexer.end().map(|()| got));
        assert_eq!(got.map_err(|error| error.expected), want, "{input}");
    }

    fn names(texts: &[&str]) -> Vec<MailboxName> {
        MailboxFilter::names(texts.iter().map(|text| MailboxName::parse(text).unwrap()).collect())
    }

    /// RFC 5465 §8, RFC 7377 §4.
    #[test]
    fn filters_are_words_with_names() {
        // Valid.
        check("SELECTED", Ok(MailboxFilter::Selected));
        check("selected-delayed", Ok(MailboxFilter::SelectedDelayed));
        check("Inboxes", Ok(MailboxFilter::Inboxes));
        check("personal", Ok(MailboxFilter::Personal));
        check("subscribed", Ok(MailboxFilter::Subscribed));
        check("subtree INBOX", Ok(MailboxFilter::Subtree(names(&["Inbox"]))));
        check("Subtree-One (b \"a/c\")", Ok(MailboxFilter::SubtreeOne(names(&["a/c", "b"]))));
        check("mailboxes (&Jjo- {1}\r\nx x)", Ok(MailboxFilter::Mailboxes(names(&["x", "☺"]))));
        // At the edge of valid: names that no mailbox can have.
        check("mailboxes (a//b c)", Ok(MailboxFilter::Mailboxes(names(&["c"]))));
        let many = |count| format!("mailboxes ({})", vec!["a"; count].join(" "));
        check(&many(FILTER_NAMES_MAX), Ok(MailboxFilter::Mailboxes(names(&["a"]))));
        // Just past it.
        check(&many(FILTER_NAMES_MAX + 1), Err(Expected::FewerItems));
        // Never valid.
        check("bogus", Err(Expected::MailboxFilter));
        check("\"selected\"", Err(Expected::Atom));
        check("subtree", Err(Expected::Space));
        check("subtree-one ", Err(Expected::String));
        check("mailboxes ()", Err(Expected::MailboxName));
        check("mailboxes (a )", Err(Expected::String));
        check("mailboxes &", Err(Expected::MailboxName));
        check("selected x", Err(Expected::End));
    }
}
