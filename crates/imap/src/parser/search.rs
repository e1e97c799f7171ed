//! SEARCH, SORT and THREAD.

use mox_base::{DateTime, Flags, Keyword, ModSeq};

use super::lexer::{Lexer, Parsed};
use super::messages::mod_sequence_valzer;
use super::named_search::filter_name;
use super::{Expected, ParseError};
use crate::types::{
    Command, DateOrder, NumSet, ParsedKey, PartialRange, ReturnOptions, SEARCH_DEPTH_MAX,
    SEARCH_KEYS_MAX, SORT_KEYS_MAX, Search, SearchDate, SearchKey, SequenceSet, SetArg, SortBy,
    SortKey, Thread, ThreadAlgorithm, object_id,
};

/// `search = "SEARCH" [search-return-opts] SP search-program`. RFC 9051 §6.4.4.
pub(super) fn search(lexer: &mut Lexer<'_>) -> Parsed<Command> {
    let options = return_part(lexer)?;
    let key = program_with_charset(lexer).map_err(|error| of_search(error, options.as_ref()))?;
    Ok(Command::Search(Search { options, key, sort: Vec::new() }))
}

/// RFC 9051 §6.4.4.1: a search with SAVE that is refused with NO leaves an empty result.
pub(super) fn of_search(error: ParseError, options: Option<&ReturnOptions>) -> ParseError {
    match error.expected {
        Expected::Charset if options.is_some_and(|options| options.save) => {
            ParseError { expected: Expected::CharsetToSave, ..error }
        }
        _ => error,
    }
}

/// `search-program = ["CHARSET" SP charset SP] search-key *(SP search-key)`
pub(super) fn program_with_charset(lexer: &mut Lexer<'_>) -> Parsed<ParsedKey> {
    if lexer.word("CHARSET") {
        lexer.sp()?;
        charset(lexer)?;
        lexer.sp()?;
    }
    search_program(lexer)
}

/// `sort = "SORT" [search-return-opts] SP sort-criteria SP search-criteria`
/// `sort-criteria = "(" sort-criterion *(SP sort-criterion) ")"`
/// `sort-criterion = ["REVERSE" SP] sort-key`. RFC 5256 §5, RFC 5267 §5.
pub(super) fn sort(lexer: &mut Lexer<'_>) -> Parsed<Command> {
    let options = return_part(lexer)?;
    let sort = lexer.list(SORT_KEYS_MAX, |lexer| {
        let is_reverse = lexer.word("REVERSE");
        if is_reverse {
            lexer.sp()?;
        }
        match SortBy::from_name(lexer.atom()?) {
            Some(by) => Ok(SortKey { by, is_reverse }),
            None => lexer.fail(Expected::SortKey),
        }
    })?;
    if sort.is_empty() {
        return lexer.fail(Expected::SortKey);
    }
    lexer.sp()?;
    let key = search_criteria(lexer).map_err(|error| of_search(error, options.as_ref()))?;
    Ok(Command::Search(Search { options, key, sort }))
}

/// `thread = "THREAD" SP thread-alg SP search-criteria`. RFC 5256 §5.
pub(super) fn thread(lexer: &mut Lexer<'_>) -> Parsed<Command> {
    let Some(algorithm) = ThreadAlgorithm::from_name(lexer.atom()?) else {
        return lexer.fail(Expected::ThreadAlgorithm);
    };
    lexer.sp()?;
    Ok(Command::Thread(Thread { algorithm, key: search_criteria(lexer)? }))
}

/// `search-criteria = charset 1*(SP search-key)`: here the charset must be there. RFC 5256 §5.
fn search_criteria(lexer: &mut Lexer<'_>) -> Parsed<ParsedKey> {
    charset(lexer)?;
    lexer.sp()?;
    search_program(lexer)
}

pub(super) fn return_part(lexer: &mut Lexer<'_>) -> Parsed<Option<ReturnOptions>> {
    if !lexer.word("RETURN") {
        return Ok(None);
    }
    lexer.sp()?;
    let options = return_options(lexer)?;
    lexer.sp()?;
    Ok(Some(options))
}

/// RFC 9051 §6.4.4: US-ASCII and UTF-8 must be known; others we refuse with BADCHARSET.
fn charset(lexer: &mut Lexer<'_>) -> Parsed<()> {
    let at = lexer.at();
    let charset = lexer.astring()?.to_ascii_uppercase();
    if charset != b"UTF-8" && charset != b"US-ASCII" {
        return Err(ParseError { at, expected: Expected::Charset });
    }
    Ok(())
}

/// `search-program = search-key *(SP search-key)`
fn search_program(lexer: &mut Lexer<'_>) -> Parsed<ParsedKey> {
    let mut keys = Keys { left: SEARCH_KEYS_MAX };
    let mut all = vec![keys.search_key(lexer, 0)?];
    while lexer.take(b' ') {
        all.push(keys.search_key(lexer, 0)?);
    }
    Ok(all_of(all))
}

fn all_of(mut keys: Vec<ParsedKey>) -> ParsedKey {
    match (keys.pop(), keys.is_empty()) {
        (Some(key), true) => key,
        (Some(key), false) => {
            keys.push(key);
            SearchKey::And(keys)
        }
        (None, _) => SearchKey::All,
    }
}

/// `search-return-opts = SP "RETURN" SP "(" [search-return-opt *(SP search-return-opt)] ")"`
///
/// RFC 9051 §6.4.4: an empty list asks for ALL. RFC 9394 §3.1: PARTIAL stands instead of ALL.
fn return_options(lexer: &mut Lexer<'_>) -> Parsed<ReturnOptions> {
    let mut options = ReturnOptions::default();
    let given = lexer.list(20, |lexer| {
        match &*lexer.atom()?.to_ascii_uppercase() {
            b"MIN" => options.min = true,
            b"MAX" => options.max = true,
            b"ALL" => options.all = true,
            b"COUNT" => options.count = true,
            b"SAVE" => options.save = true,
            b"RELEVANCY" => options.relevancy = true,
            b"UPDATE" => options.update = true,
            // RFC 5267 §4.2: a hint that more of the result will be asked for.
            b"CONTEXT" => {}
            b"PARTIAL" if options.partial.is_some() => return lexer.fail(Expected::NoDuplicate),
            b"PARTIAL" => {
                lexer.sp()?;
                options.partial = Some(partial_range(lexer)?);
            }
            _ => return lexer.fail(Expected::ReturnOption),
        }
        Ok(())
    })?;
    options.all |= given.is_empty();
    if options.all && options.partial.is_some() {
        return lexer.fail(Expected::ReturnOption);
    }
    Ok(options)
}

/// `partial-range = nz-number ":" nz-number / MINUS nz-number ":" MINUS nz-number`. RFC 9394 §4.
pub(super) fn partial_range(lexer: &mut Lexer<'_>) -> Parsed<PartialRange> {
    let from_end = lexer.take(b'-');
    let one = lexer.nz_number()?;
    lexer.byte(b':', Expected::PartialRange)?;
    if from_end {
        lexer.byte(b'-', Expected::PartialRange)?;
    }
    let two = lexer.nz_number()?;
    Ok(PartialRange { from_end, first: one.min(two), last: one.max(two) })
}

/// Counts keys over the whole tree.
struct Keys {
    left: usize,
}

impl Keys {
    /// `search-key = "ALL" / "ANSWERED" / … / sequence-set / "(" search-key *(SP search-key) ")"`
    fn search_key(&mut self, lexer: &mut Lexer<'_>, depth: usize) -> Parsed<ParsedKey> {
        if depth == SEARCH_DEPTH_MAX {
            return lexer.fail(Expected::LessNesting);
        }
        match self.left.checked_sub(1) {
            Some(left) => self.left = left,
            None => return lexer.fail(Expected::FewerItems),
        }
        match lexer.peek() {
            Some(b'(') => {
                let keys = lexer.list(SEARCH_KEYS_MAX, |l| self.search_key(l, depth + 1))?;
                if keys.is_empty() { lexer.fail(Expected::SearchKey) } else { Ok(all_of(keys)) }
            }
            Some(b'0'..=b'9' | b'*' | b'$') => lexer.sequence_set().map(SearchKey::Seqs),
            _ => {
                let start = lexer.clone();
                let word = lexer.run(|byte| byte.is_ascii_alphanumeric()).to_ascii_uppercase();
                if let Some(key) = key_without_argument(&word) {
                    return Ok(key);
                }
                if !KEYS_WITH_ARGUMENT.contains(&&*word) {
                    return start.fail(Expected::SearchKey);
                }
                lexer.sp()?;
                self.key_with_argument(&word, lexer, depth)
            }
        }
    }

    fn key_with_argument(
        &mut self,
        word: &[u8],
        lexer: &mut Lexer<'_>,
        depth: usize,
    ) -> Parsed<ParsedKey> {
        Ok(match word {
            b"NOT" => SearchKey::Not(Box::new(self.search_key(lexer, depth + 1)?)),
            b"OR" => {
                let first = Box::new(self.search_key(lexer, depth + 1)?);
                lexer.sp()?;
                SearchKey::Or(first, Box::new(self.search_key(lexer, depth + 1)?))
            }
            b"FUZZY" => SearchKey::Fuzzy(Box::new(self.search_key(lexer, depth + 1)?)),
            b"FILTER" => SearchKey::Filter(filter_name(lexer)?),
            b"UID" => SearchKey::Uids(lexer.sequence_set()?),
            b"UIDAFTER" => uid_range(lexer.nz_number()?.checked_add(1), Some(u32::MAX)),
            b"UIDBEFORE" => uid_range(Some(1), lexer.nz_number()?.checked_sub(1)),
            b"KEYWORD" => keyword(lexer)?,
            b"UNKEYWORD" => SearchKey::Not(Box::new(keyword(lexer)?)),
            b"BCC" => header("Bcc", lexer)?,
            b"CC" => header("Cc", lexer)?,
            b"FROM" => header("From", lexer)?,
            b"TO" => header("To", lexer)?,
            b"SUBJECT" => header("Subject", lexer)?,
            b"HEADER" => {
                let field = lexer.utf8_astring()?;
                lexer.sp()?;
                SearchKey::Header { field, text: lexer.utf8_astring()? }
            }
            b"BODY" => SearchKey::Body(lexer.utf8_astring()?),
            b"TEXT" => SearchKey::Text(lexer.utf8_astring()?),
            b"BEFORE" => SearchKey::Internal(DateOrder::Before, date(lexer)?),
            b"ON" => SearchKey::Internal(DateOrder::On, date(lexer)?),
            b"SINCE" => SearchKey::Internal(DateOrder::Since, date(lexer)?),
            b"SENTBEFORE" => SearchKey::Sent(DateOrder::Before, date(lexer)?),
            b"SENTON" => SearchKey::Sent(DateOrder::On, date(lexer)?),
            b"SENTSINCE" => SearchKey::Sent(DateOrder::Since, date(lexer)?),
            b"LARGER" => SearchKey::Larger(lexer.number64()?),
            b"SMALLER" => SearchKey::Smaller(lexer.number64()?),
            b"MODSEQ" => SearchKey::ModSeq(search_modsequence(lexer)?),
            // RFC 5032 §3: seconds, not zero.
            b"OLDER" => SearchKey::Older(lexer.nz_number()?),
            b"YOUNGER" => SearchKey::Younger(lexer.nz_number()?),
            b"SAVEDBEFORE" => SearchKey::Saved(DateOrder::Before, date(lexer)?),
            b"SAVEDON" => SearchKey::Saved(DateOrder::On, date(lexer)?),
            b"SAVEDSINCE" => SearchKey::Saved(DateOrder::Since, date(lexer)?),
            b"EMAILID" => object_id::parse_email_id(objectid(lexer)?)
                .map_or(SearchKey::Never, SearchKey::EmailId),
            b"THREADID" => object_id::parse_thread_id(objectid(lexer)?)
                .map_or(SearchKey::Never, SearchKey::ThreadId),
            _ => return lexer.fail(Expected::SearchKey),
        })
    }
}

const KEYS_WITH_ARGUMENT: &[&[u8]] = &[
    b"NOT",
    b"OR",
    b"FILTER",
    b"UID",
    b"UIDAFTER",
    b"UIDBEFORE",
    b"KEYWORD",
    b"UNKEYWORD",
    b"BCC",
    b"CC",
    b"FROM",
    b"TO",
    b"SUBJECT",
    b"HEADER",
    b"BODY",
    b"TEXT",
    b"BEFORE",
    b"ON",
    b"SINCE",
    b"SENTBEFORE",
    b"SENTON",
    b"SENTSINCE",
    b"LARGER",
    b"SMALLER",
    b"MODSEQ",
    b"FUZZY",
    b"OLDER",
    b"YOUNGER",
    b"SAVEDBEFORE",
    b"SAVEDON",
    b"SAVEDSINCE",
    b"EMAILID",
    b"THREADID",
];

/// RFC 3501 §6.4.4: `\Recent` never is set here, so NEW and RECENT match nothing, OLD everything.
fn key_without_argument(word: &[u8]) -> Option<ParsedKey> {
    let not = |flag| SearchKey::Not(Box::new(SearchKey::Flag(flag)));
    Some(match word {
        // RFC 8514 §4.3: every message here has a save date.
        b"ALL" | b"OLD" | b"SAVEDATESUPPORTED" => SearchKey::All,
        b"NEW" | b"RECENT" => SearchKey::Never,
        b"ANSWERED" => SearchKey::Flag(Flags::ANSWERED),
        b"DELETED" => SearchKey::Flag(Flags::DELETED),
        b"DRAFT" => SearchKey::Flag(Flags::DRAFT),
        b"FLAGGED" => SearchKey::Flag(Flags::FLAGGED),
        b"SEEN" => SearchKey::Flag(Flags::SEEN),
        b"UNANSWERED" => not(Flags::ANSWERED),
        b"UNDELETED" => not(Flags::DELETED),
        b"UNDRAFT" => not(Flags::DRAFT),
        b"UNFLAGGED" => not(Flags::FLAGGED),
        b"UNSEEN" => not(Flags::SEEN),
        _ => return None,
    })
}

/// `"UIDAFTER" SP uniqueid / "UIDBEFORE" SP uniqueid`: above, or below, and not the UID itself.
/// RFC 9738 §3.2. An end that there is not, or that is beyond the other, leaves nothing.
fn uid_range(first: Option<u32>, last: Option<u32>) -> ParsedKey {
    match (first, last) {
        (Some(first), Some(last)) if 0 < first && first <= last => {
            let set = SequenceSet::from(&NumSet::range(first, last));
            SearchKey::Uids(SetArg::Set(set))
        }
        _ => SearchKey::Never,
    }
}

fn header(field: &str, lexer: &mut Lexer<'_>) -> Parsed<ParsedKey> {
    Ok(SearchKey::Header { field: field.to_owned(), text: lexer.utf8_astring()? })
}

/// `objectid`, of which one that we never gave out matches nothing. RFC 8474 §6.
fn objectid<'a>(lexer: &mut Lexer<'a>) -> Parsed<&'a [u8]> {
    let at = lexer.at();
    match lexer.atom()? {
        id if object_id::is_object_id(id) => Ok(id),
        _ => Err(ParseError { at, expected: Expected::ObjectId }),
    }
}

/// `"KEYWORD" SP flag-keyword`
fn keyword(lexer: &mut Lexer<'_>) -> Parsed<ParsedKey> {
    let text = std::str::from_utf8(lexer.atom()?).unwrap_or_default();
    match (Flags::from_name(text), Keyword::parse(text)) {
        (Some(flag), _) => Ok(SearchKey::Flag(flag)),
        (None, Ok(keyword)) => Ok(SearchKey::Keyword(keyword)),
        (None, Err(_)) => lexer.fail(Expected::Flag),
    }
}

/// `search-modsequence = "MODSEQ" [search-modseq-ext] SP mod-sequence-valzer`
/// `search-modseq-ext = SP entry-name SP entry-type-req`. RFC 7162 §3.1.5.
///
/// There is one mod-sequence per message, so the entry changes nothing.
fn search_modsequence(lexer: &mut Lexer<'_>) -> Parsed<ModSeq> {
    if lexer.peek() == Some(b'"') {
        let entry = lexer.string()?;
        let known = entry.get(..7).is_some_and(|start| start.eq_ignore_ascii_case(b"/flags/"));
        if !known {
            return lexer.fail(Expected::SearchKey);
        }
        lexer.sp()?;
        if !["priv", "shared", "all"].into_iter().any(|word| lexer.word(word)) {
            return lexer.fail(Expected::SearchKey);
        }
        lexer.sp()?;
    }
    mod_sequence_valzer(lexer)
}

/// `date = date-text / DQUOTE date-text DQUOTE`, `date-text = date-day "-" date-month "-" date-year`
fn date(lexer: &mut Lexer<'_>) -> Parsed<SearchDate> {
    let at = lexer.at();
    let quoted = lexer.take(b'"');
    let text = lexer.run(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if quoted {
        lexer.byte(b'"', Expected::Date)?;
    }
    let date = std::str::from_utf8(text).ok().and_then(date_text);
    date.ok_or(ParseError { at, expected: Expected::Date })
}

fn date_text(text: &str) -> Option<SearchDate> {
    let mut parts = text.splitn(3, '-');
    let (day, month, year) = (parts.next()?, parts.next()?, parts.next()?);
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !matches!(day.len(), 1 | 2) || year.len() != 4 || !digits(day) || !digits(year) {
        return None;
    }
    let date = DateTime {
        year: year.parse().ok()?,
        month: DateTime::month_from_name(month)?,
        day: day.parse().ok()?,
        hour: 0,
        minute: 0,
        second: 0,
        zone_minutes: 0,
    };
    date.to_day().ok().map(SearchDate)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parser::testing::{check_bad, parse};

    #[track_caller]
    #[expect(clippy::needless_pass_by_value, reason = "the cases are values")]
    fn check(line: &str, want: ParsedKey) {
        match parse(&format!("SEARCH {line}")) {
            Ok(Command::Search(search)) => assert_eq!(search.key, want, "{line}"),
            other => panic!("{line}: {other:?}"),
        }
    }

    fn flag(flag: Flags) -> ParsedKey {
        SearchKey::Flag(flag)
    }

    fn not(key: ParsedKey) -> ParsedKey {
        SearchKey::Not(Box::new(key))
    }

    fn set(text: &str) -> SetArg {
        SetArg::Set(SequenceSet::parse(text.as_bytes()).unwrap())
    }

    fn header(field: &str, text: &str) -> ParsedKey {
        SearchKey::Header { field: field.to_owned(), text: text.to_owned() }
    }

    /// RFC 9051 §6.4.4, key by key.
    #[test]
    fn every_key_is_read() {
        use Flags as F;
        check("ALL", SearchKey::All);
        check("old", SearchKey::All);
        check("NEW", SearchKey::Never);
        check("RECENT", SearchKey::Never);
        check("ANSWERED", flag(F::ANSWERED));
        check("UNDRAFT", not(flag(F::DRAFT)));
        check("KEYWORD $Junk", flag(F::JUNK));
        check("KEYWORD Label", SearchKey::Keyword(Keyword::parse("label").unwrap()));
        check("UNKEYWORD $NotJunk", not(flag(F::NOT_JUNK)));
        check("1:3,5", SearchKey::Seqs(set("1:3,5")));
        check("$", SearchKey::Seqs(SetArg::Saved));
        check("UID *", SearchKey::Uids(set("*")));
        check("UIDAFTER 5", SearchKey::Uids(set("6:4294967295")));
        check("UIDAFTER 4294967295", SearchKey::Never);
        check("uidbefore 5", SearchKey::Uids(set("1:4")));
        check("UIDBEFORE 1", SearchKey::Never);
        check("FROM \"a b\"", header("From", "a b"));
        check("HEADER Message-ID \"\"", header("Message-ID", ""));
        check("BODY {3}\r\nxyz", SearchKey::Body("xyz".to_owned()));
        check("TEXT x", SearchKey::Text("x".to_owned()));
        check("SINCE 1-Feb-1970", SearchKey::Internal(DateOrder::Since, SearchDate(31)));
        check("BEFORE \"01-feb-1970\"", SearchKey::Internal(DateOrder::Before, SearchDate(31)));
        check("SENTON 01-Feb-1970", SearchKey::Sent(DateOrder::On, SearchDate(31)));
        check("LARGER 0", SearchKey::Larger(0));
        check("SMALLER 10", SearchKey::Smaller(10));
        check("MODSEQ 620162338", SearchKey::ModSeq(ModSeq::new(620_162_338).unwrap()));
        check("MODSEQ \"/flags/\\\\draft\" all 6", SearchKey::ModSeq(ModSeq::new(6).unwrap()));
        check("NOT NOT SEEN", not(not(flag(F::SEEN))));
        check(
            "OR SEEN (FLAGGED 1)",
            SearchKey::Or(
                Box::new(flag(F::SEEN)),
                Box::new(SearchKey::And(vec![flag(F::FLAGGED), SearchKey::Seqs(set("1"))])),
            ),
        );
        check("CHARSET utf-8 SUBJECT \"é\"", header("Subject", "é"));
        check("OLDER 60", SearchKey::Older(60));
        check("YOUNGER 4294967295", SearchKey::Younger(u32::MAX));
        check("SAVEDSINCE 1-Feb-1970", SearchKey::Saved(DateOrder::Since, SearchDate(31)));
        check("SAVEDATESUPPORTED", SearchKey::All);
        check("EMAILID E7", SearchKey::EmailId(mox_base::EmailId(7)));
        check("THREADID T9", SearchKey::ThreadId(mox_base::ThreadId(9)));
        check("EMAILID M6d99ac3275bb4e", SearchKey::Never);
        check("FUZZY SUBJECT x", SearchKey::Fuzzy(Box::new(header("Subject", "x"))));
    }

    /// RFC 5256 §5, RFC 5957 §4, RFC 6203 §5.
    #[test]
    fn sort_criteria_are_read() {
        let sort = |line: &str| match parse(line) {
            Ok(Command::Search(search)) => (search.sort, search.options.is_some(), search.key),
            other => panic!("{line}: {other:?}"),
        };
        let key = |by, is_reverse| SortKey { by, is_reverse };
        let (keys, has_options, program) = sort("SORT (SUBJECT reverse DATE) UTF-8 SEEN");
        assert_eq!(keys, [key(SortBy::Subject, false), key(SortBy::Date, true)]);
        assert_eq!((has_options, program), (false, flag(Flags::SEEN)));
        let (keys, has_options, _) = sort("UID SORT RETURN (MIN) (DISPLAYFROM) us-ascii ALL 1");
        assert_eq!((keys, has_options), (vec![key(SortBy::DisplayFrom, false)], true));
        check_bad(&[
            ("SORT () UTF-8 ALL", Expected::SortKey),
            ("SORT (BOGUS) UTF-8 ALL", Expected::SortKey),
            ("SORT (REVERSE) UTF-8 ALL", Expected::Space),
            ("SORT DATE UTF-8 ALL", Expected::Open),
            ("SORT (DATE) ALL", Expected::Charset),
            ("SORT (DATE) latin1 ALL", Expected::Charset),
            ("SORT (DATE) UTF-8", Expected::Space),
            (&format!("SORT ({}) UTF-8 ALL", vec!["DATE"; 21].join(" ")), Expected::FewerItems),
        ]);
    }

    #[test]
    fn threads_are_asked_for_by_algorithm() {
        let thread = |line: &str| match parse(line) {
            Ok(Command::Thread(thread)) => thread.algorithm,
            other => panic!("{line}: {other:?}"),
        };
        assert_eq!(thread("THREAD references UTF-8 ALL"), ThreadAlgorithm::References);
        assert_eq!(thread("UID THREAD ORDEREDSUBJECT UTF-8 1:5"), ThreadAlgorithm::OrderedSubject);
        check_bad(&[
            ("THREAD REFS UTF-8 ALL", Expected::ThreadAlgorithm),
            ("THREAD REFERENCES ALL", Expected::Charset),
            ("THREAD REFERENCES", Expected::Space),
        ]);
    }

    /// RFC 4731 §3.1 and RFC 9051 §6.4.4.1.
    #[test]
    fn return_options_are_read() {
        let options = |line: &str| match parse(line) {
            Ok(Command::Search(search)) => search.options,
            other => panic!("{line}: {other:?}"),
        };
        assert_eq!(options("SEARCH ALL"), None);
        let all = ReturnOptions { all: true, ..ReturnOptions::default() };
        assert_eq!(options("SEARCH RETURN () ALL"), Some(all));
        let some = ReturnOptions { min: true, count: true, save: true, ..Default::default() };
        assert_eq!(options("UID SEARCH RETURN (MIN count SAVE) ALL"), Some(some));
        let partial = |line: &str| options(line).unwrap().partial.map(|range| range.to_string());
        assert_eq!(partial("SEARCH RETURN (PARTIAL 500:1) ALL"), Some("1:500".to_owned()));
        assert_eq!(partial("SEARCH RETURN (COUNT PARTIAL -1:-2) ALL"), Some("-1:-2".to_owned()));
        let update = options("SEARCH RETURN (CONTEXT UPDATE COUNT) ALL").unwrap();
        assert!(update.update && update.count && !update.all);
        assert!(options("SEARCH RETURN (RELEVANCY ALL) FUZZY TEXT x").unwrap().relevancy);
    }

    #[test]
    fn bad_programs_are_refused() {
        let nested = |n: usize| format!("SEARCH {}ALL{}", "(".repeat(n), ")".repeat(n));
        assert!(parse(&nested(SEARCH_DEPTH_MAX - 1)).is_ok());
        let keys = |n: usize| format!("SEARCH {}", vec!["ALL"; n].join(" "));
        assert!(parse(&keys(SEARCH_KEYS_MAX)).is_ok());
        check_bad(&[
            (&nested(SEARCH_DEPTH_MAX), Expected::LessNesting),
            (&keys(SEARCH_KEYS_MAX + 1), Expected::FewerItems),
            (&format!("SEARCH {}ALL", "NOT ".repeat(3_000)), Expected::LessNesting),
            ("SEARCH", Expected::Space),
            ("SEARCH ()", Expected::SearchKey),
            ("SEARCH BOGUS", Expected::SearchKey),
            ("SEARCH ALL ", Expected::SearchKey),
            ("SEARCH OR SEEN", Expected::Space),
            ("SEARCH NOT", Expected::Space),
            ("SEARCH ON 32-Jan-2026", Expected::Date),
            ("SEARCH ON 1-Jan-26", Expected::Date),
            ("SEARCH ON 001-Jan-2026", Expected::Date),
            ("SEARCH ON \"1-Jan-2026", Expected::Date),
            ("SEARCH RETURN (BOGUS) ALL", Expected::ReturnOption),
            ("SEARCH RETURN (ALL PARTIAL 1:2) ALL", Expected::ReturnOption),
            ("SEARCH RETURN (PARTIAL 1:2 PARTIAL 1:2) ALL", Expected::NoDuplicate),
            ("SEARCH RETURN (PARTIAL 1:-2) ALL", Expected::NonZeroNumber),
            ("SEARCH RETURN (PARTIAL -1:2) ALL", Expected::PartialRange),
            ("SEARCH RETURN (PARTIAL 0:2) ALL", Expected::NonZeroNumber),
            ("SEARCH OLDER 0", Expected::NonZeroNumber),
            ("SEARCH EMAILID a/b", Expected::ObjectId),
            ("SEARCH FUZZY", Expected::Space),
            ("SEARCH CHARSET latin1 ALL", Expected::Charset),
            ("SEARCH RETURN (SAVE) CHARSET latin1 ALL", Expected::CharsetToSave),
            ("SEARCH RETURN (COUNT) CHARSET latin1 ALL", Expected::Charset),
            ("SEARCH TEXT", Expected::Space),
            ("SEARCH KEYWORD \\Seen", Expected::Atom),
            ("SEARCH MODSEQ \"/x/y\" all 1", Expected::SearchKey),
            ("SEARCH LARGER -1", Expected::Number),
            ("SEARCH UIDAFTER 0", Expected::NonZeroNumber),
            ("SEARCH UIDBEFORE *", Expected::NonZeroNumber),
        ]);
    }
}
