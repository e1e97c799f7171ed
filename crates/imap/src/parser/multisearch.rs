//! ESEARCH, the search over several mailboxes.

use super::Expected;
use super::filter::filter_mailboxes;
use super::lexer::{Lexer, Parsed};
use super::search;
use crate::types::{Command, MailboxFilter, MultiSearch, ReturnOptions, SEARCH_SOURCES_MAX};

/// `esearch = "ESEARCH" [SP esearch-source-opts] [SP search-return-opts] SP search-program`
/// `esearch-source-opts = "IN" SP "(" source-mbox [SP "(" scope-options ")"] ")"`
/// `source-mbox = filter-mailboxes *(SP filter-mailboxes)`. RFC 7377 §4.
///
/// No scope option is defined, so there is none that could be understood.
pub(super) fn esearch(lexer: &mut Lexer<'_>) -> Parsed<Command> {
    let mut sources = vec![MailboxFilter::Selected];
    if lexer.word("IN") {
        lexer.sp()?;
        sources = lexer.list(SEARCH_SOURCES_MAX, source)?;
        if sources.is_empty() {
            return lexer.fail(Expected::MailboxFilter);
        }
        lexer.sp()?;
    }
    let all = ReturnOptions { all: true, ..ReturnOptions::default() };
    let options = search::return_part(lexer)?.unwrap_or(all);
    let key = search::program_with_charset(lexer)
        .map_err(|error| search::of_search(error, Some(&options)))?;
    Ok(Command::MultiSearch(MultiSearch { sources, options, key }))
}

/// RFC 7377 §2.2: SELECTED-DELAYED says when something is told, and is not for searching.
fn source(lexer: &mut Lexer<'_>) -> Parsed<MailboxFilter> {
    let start = lexer.clone();
    match filter_mailboxes(lexer)? {
        MailboxFilter::SelectedDelayed => start.fail(Expected::MailboxFilter),
        filter => Ok(filter),
    }
}

#[cfg(test)]
mod tests {
    use mox_base::MailboxName;

    use super::*;
    use crate::parser::testing::{check_bad, parse};
    use crate::types::SearchKey;

    #[track_caller]
    fn check(line: &str, sources: &[MailboxFilter], options: ReturnOptions) {
        let want = MultiSearch { sources: sources.to_vec(), options, key: SearchKey::All };
        assert_eq!(parse(line), Ok(Command::MultiSearch(want)), "{line}");
    }

    /// RFC 7377 §4.
    #[test]
    fn a_search_names_where_to_look() {
        use MailboxFilter::{Inboxes, Mailboxes, Personal, Selected, Subscribed, SubtreeOne};
        let all = ReturnOptions { all: true, ..ReturnOptions::default() };
        let count = ReturnOptions { count: true, ..ReturnOptions::default() };
        let name = |text: &str| MailboxName::parse(text).unwrap();
        // Valid.
        check("ESEARCH ALL", &[Selected], all);
        check("ESEARCH IN (personal) ALL", &[Personal], all);
        check("esearch in (Inboxes subscribed) return () all", &[Inboxes, Subscribed], all);
        check("ESEARCH RETURN (COUNT) CHARSET UTF-8 ALL", &[Selected], count);
        check(
            "ESEARCH IN (subtree-one a mailboxes (b c) selected) RETURN (COUNT) ALL",
            &[SubtreeOne(vec![name("a")]), Mailboxes(vec![name("b"), name("c")]), Selected],
            count,
        );
        // At the edge of valid, and just past it.
        let many = |count| format!("ESEARCH IN ({}) ALL", vec!["personal"; count].join(" "));
        check(&many(SEARCH_SOURCES_MAX), &vec![Personal; SEARCH_SOURCES_MAX], all);
        check_bad(&[(&many(SEARCH_SOURCES_MAX + 1), Expected::FewerItems)]);
        // Never valid.
        check_bad(&[
            ("ESEARCH", Expected::Space),
            ("ESEARCH IN personal ALL", Expected::Open),
            ("ESEARCH IN () ALL", Expected::MailboxFilter),
            ("ESEARCH IN (selected-delayed) ALL", Expected::MailboxFilter),
            ("ESEARCH IN (bogus) ALL", Expected::MailboxFilter),
            ("ESEARCH IN (personal (x)) ALL", Expected::Atom),
            ("ESEARCH IN (mailboxes ()) ALL", Expected::MailboxName),
            ("ESEARCH IN (personal)", Expected::Space),
            ("ESEARCH RETURN (x) ALL", Expected::ReturnOption),
            ("ESEARCH IN (personal) x", Expected::SearchKey),
        ]);
    }
}
