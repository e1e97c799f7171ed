//! GENURLAUTH, RESETKEY and URLFETCH.

use super::Expected;
use super::lexer::{Lexer, Parsed};
use crate::types::{Command, MailboxArg, URLS_MAX, UrlData, UrlFetch};

/// The most mechanisms that RESETKEY names. Ours; there is one.
const MECHANISMS_MAX: usize = 10;

/// `genurlauth = "GENURLAUTH" 1*(SP url-rump SP mechanism)`. RFC 4467 §9.
pub(super) fn genurlauth(lexer: &mut Lexer<'_>) -> Parsed<Command> {
    let urls = urls(lexer, |lexer| {
        let url = lexer.utf8_astring()?;
        lexer.sp()?;
        Ok((url, mechanism(lexer)?))
    })?;
    Ok(Command::GenUrlAuth(urls))
}

/// `urlfetch = "URLFETCH" 1*(SP url-fetch-arg)`. RFC 5524 §5.
pub(super) fn urlfetch(lexer: &mut Lexer<'_>) -> Parsed<Command> {
    urls(lexer, url_fetch_arg).map(Command::UrlFetch)
}

/// `resetkey = "RESETKEY" [SP mailbox *(SP mechanism)]`. RFC 4467 §9.
pub(super) fn resetkey(lexer: &mut Lexer<'_>) -> Parsed<Command> {
    let mut mailbox: Option<MailboxArg> = None;
    let mut mechanisms = Vec::new();
    if lexer.take(b' ') {
        mailbox = Some(lexer.mailbox()?);
    }
    while mailbox.is_some() && lexer.take(b' ') {
        if mechanisms.len() == MECHANISMS_MAX {
            return lexer.fail(Expected::FewerItems);
        }
        mechanisms.push(mechanism(lexer)?);
    }
    Ok(Command::ResetKey { mailbox, mechanisms })
}

/// One item or more, separated by spaces.
fn urls<T>(
    lexer: &mut Lexer<'_>,
    mut item: impl FnMut(&mut Lexer<'_>) -> Parsed<T>,
) -> Parsed<Vec<T>> {
    let mut urls = vec![item(lexer)?];
    while lexer.take(b' ') {
        if urls.len() == URLS_MAX {
            return lexer.fail(Expected::FewerItems);
        }
        urls.push(item(lexer)?);
    }
    Ok(urls)
}

/// `mechanism = "INTERNAL" / 1*(ALPHA / DIGIT / "-" / ".")`, in upper case.
fn mechanism(lexer: &mut Lexer<'_>) -> Parsed<String> {
    let may = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    match std::str::from_utf8(lexer.run(may)) {
        Ok(name) if !name.is_empty() => Ok(name.to_ascii_uppercase()),
        _ => lexer.fail(Expected::Atom),
    }
}

/// `url-fetch-arg = url-fetch-simple / url-fetch-ext`, `url-fetch-simple = url-full`,
/// `url-fetch-ext = "(" url-full *(SP url-fetch-param) ")"`,
/// `url-fetch-param = "BODY" / "BINARY" / "BODYPARTSTRUCTURE" / atom`. RFC 5524 §5.
fn url_fetch_arg(lexer: &mut Lexer<'_>) -> Parsed<UrlFetch> {
    if !lexer.take(b'(') {
        let url = lexer.utf8_astring()?;
        return Ok(UrlFetch { url, data: Some(UrlData::Plain), with_structure: false });
    }
    let mut fetch = UrlFetch { url: lexer.utf8_astring()?, data: None, with_structure: false };
    while lexer.take(b' ') {
        let data = if lexer.word("BODYPARTSTRUCTURE") {
            if std::mem::replace(&mut fetch.with_structure, true) {
                return lexer.fail(Expected::NoDuplicate);
            }
            continue;
        } else if lexer.word("BINARY") {
            UrlData::Binary
        } else if lexer.word("BODY") {
            UrlData::Body
        } else {
            return lexer.fail(Expected::Modifier);
        };
        // RFC 5524 §3.1: each once, and not both.
        if fetch.data.replace(data).is_some() {
            return lexer.fail(Expected::NoDuplicate);
        }
    }
    // RFC 5524 §3: without parameters it is what it always was.
    if fetch.data.is_none() && !fetch.with_structure {
        fetch.data = Some(UrlData::Plain);
    }
    lexer.close()?;
    Ok(fetch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parser::testing::{check_bad, parse};

    #[track_caller]
    fn check_fetch(line: &str, want: &[(&str, Option<UrlData>, bool)]) {
        let want = want.iter().map(|(url, data, with_structure)| UrlFetch {
            url: (*url).to_owned(),
            data: *data,
            with_structure: *with_structure,
        });
        assert_eq!(parse(line), Ok(Command::UrlFetch(want.collect())), "{line}");
    }

    /// RFC 4467 §9, RFC 5524 §5.
    #[test]
    fn urls_are_fetched_plain_or_with_parameters() {
        let plain = Some(UrlData::Plain);
        // Valid.
        check_fetch("URLFETCH \"a b\"", &[("a b", plain, false)]);
        check_fetch("URLFETCH a {1}\r\nb", &[("a", plain, false), ("b", plain, false)]);
        check_fetch(
            "urlfetch (\"a\" binary BodyPartStructure) (b BODY) c",
            &[
                ("a", Some(UrlData::Binary), true),
                ("b", Some(UrlData::Body), false),
                ("c", plain, false),
            ],
        );
        check_fetch("URLFETCH (a BODYPARTSTRUCTURE)", &[("a", None, true)]);
        // At the edge of valid.
        check_fetch("URLFETCH (a)", &[("a", plain, false)]);
        let many = " a".repeat(URLS_MAX);
        assert!(parse(&format!("URLFETCH{many}")).is_ok());
        check_bad(&[
            // Just past it.
            (&format!("URLFETCH{many} a"), Expected::FewerItems),
            ("URLFETCH (a BODY BINARY)", Expected::NoDuplicate),
            ("URLFETCH (a BODYPARTSTRUCTURE BODYPARTSTRUCTURE)", Expected::NoDuplicate),
            // Never valid.
            ("URLFETCH", Expected::Space),
            ("URLFETCH ", Expected::String),
            ("URLFETCH ()", Expected::String),
            ("URLFETCH (a ENVELOPE)", Expected::Modifier),
            ("URLFETCH (a BODY", Expected::Close),
        ]);
    }

    /// RFC 4467 §9.
    #[test]
    fn urls_are_signed_and_keys_reset() {
        let internal = || "INTERNAL".to_owned();
        let signed = parse("GENURLAUTH \"a b\" INTERNAL c x-1.a").unwrap();
        let want = vec![("a b".to_owned(), internal()), ("c".to_owned(), "X-1.A".to_owned())];
        assert_eq!(signed, Command::GenUrlAuth(want));
        let reset = |mailbox: Option<&str>, mechanisms: &[String]| {
            let mailbox = mailbox.map(|name| MailboxArg(name.to_owned()));
            Ok(Command::ResetKey { mailbox, mechanisms: mechanisms.to_vec() })
        };
        assert_eq!(parse("RESETKEY"), reset(None, &[]));
        assert_eq!(parse("RESETKEY INBOX"), reset(Some("INBOX"), &[]));
        assert_eq!(parse("RESETKEY x internal"), reset(Some("x"), &[internal()]));
        check_bad(&[
            ("GENURLAUTH a", Expected::Space),
            ("GENURLAUTH a b c", Expected::Space),
            ("GENURLAUTH a \"b\"", Expected::Atom),
            ("RESETKEY ", Expected::String),
            ("RESETKEY x ", Expected::Atom),
            (&format!("RESETKEY x{}", " a".repeat(MECHANISMS_MAX + 1)), Expected::FewerItems),
        ]);
    }
}
