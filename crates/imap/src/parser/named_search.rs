//! Searches that are kept under a name.

use super::lexer::{Lexer, Parsed};
use super::{Expected, Options, ParseError, search};
use crate::types::ParsedKey;

/// `filter-name = 1*<any ATOM-CHAR except "/">`, in lower case as names of annotations are.
/// RFC 5466 §4.
pub(super) fn filter_name(lexer: &mut Lexer<'_>) -> Parsed<String> {
    let at = lexer.at();
    let name = std::str::from_utf8(lexer.atom()?).ok().filter(|name| is_filter_name(name));
    name.map(str::to_ascii_lowercase).ok_or(ParseError { at, expected: Expected::FilterName })
}

/// Whether a filter can have this name.
pub(crate) fn is_filter_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| crate::types::is_atom_char(byte) && byte != b'/')
}

/// The value of a filter, which is a whole search program. RFC 5466 §3.2.
///
/// The charset may be named with CHARSET as in SEARCH, or without as in SORT; strings may be
/// literals.
pub(crate) fn filter_value(value: &[u8]) -> Result<ParsedKey, ParseError> {
    let mut lexer = Lexer::new(value, 0, Options { utf8: true, ..Options::default() });
    if lexer.word("UTF-8") || lexer.word("US-ASCII") {
        lexer.sp()?;
    }
    let key = search::program_with_charset(&mut lexer)?;
    lexer.end()?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use mox_base::Flags;

    use super::*;
    use crate::parser::testing::{check_bad, parse};
    use crate::types::{Command, SearchKey};

    #[track_caller]
    fn check(line: &str, want: &str) {
        match parse(line) {
            Ok(Command::Search(search)) => {
                assert_eq!(search.key, SearchKey::Filter(want.to_owned()), "{line}");
            }
            other => panic!("{line}: {other:?}"),
        }
    }

    /// RFC 5466 §3.1, RFC 5466 §4.
    #[test]
    fn filters_have_names() {
        check("SEARCH FILTER boss", "boss");
        check("SORT (DATE) UTF-8 filter On-The-Road", "on-the-road");
        check("SEARCH (FILTER 1)", "1");
        check_bad(&[
            ("SEARCH FILTER", Expected::Space),
            ("SEARCH FILTER ", Expected::Atom),
            ("SEARCH FILTER a/b", Expected::FilterName),
            ("SEARCH FILTER \"a\"", Expected::Atom),
            ("SEARCH FILTER a]", Expected::End),
        ]);
    }

    /// RFC 5466 §3.2.
    #[test]
    fn values_are_programs() {
        let value = |text: &str| filter_value(text.as_bytes()).map_err(|error| error.expected);
        let seen = || SearchKey::Flag(Flags::SEEN);
        assert_eq!(value("SEEN"), Ok(seen()));
        assert_eq!(value("UTF-8 SEEN"), Ok(seen()));
        assert_eq!(value("CHARSET UTF-8 SEEN"), Ok(seen()));
        assert_eq!(value("BODY {3}\r\na b"), Ok(SearchKey::Body("a b".to_owned())));
        assert_eq!(
            value("SEEN FILTER x"),
            Ok(SearchKey::And(vec![seen(), SearchKey::Filter("x".to_owned())]))
        );
        assert_eq!(value(""), Err(Expected::SearchKey));
        assert_eq!(value("bogus"), Err(Expected::SearchKey));
        assert_eq!(value("SEEN "), Err(Expected::SearchKey));
        assert_eq!(value("SEEN\r\n"), Err(Expected::End));
        assert_eq!(value("CHARSET koi8-r SEEN"), Err(Expected::Charset));
    }
}
