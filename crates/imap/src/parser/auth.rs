//! LOGIN, AUTHENTICATE, ENABLE and ID.

use mox_base::Secret;

use super::Expected;
use super::lexer::{Lexer, Parsed};
use crate::types::{Authenticate, Command, Login};

/// The most pairs in one ID command. RFC 2971 §3.3.
const ID_PAIRS_MAX: usize = 30;

/// The most names in one ENABLE.
const ENABLE_NAMES_MAX: usize = 100;

/// `login = "LOGIN" SP userid SP password`. RFC 9051 §6.2.3.
///
/// Bytes that are not UTF-8 become U+FFFD: they match no user and no password, and the answer is
/// the one to wrong credentials.
pub(super) fn login(lexer: &mut Lexer<'_>) -> Parsed<Command> {
    let username = String::from_utf8_lossy(&lexer.astring()?).into_owned();
    lexer.sp()?;
    let password = lexer.astring()?;
    let password = Secret::new(String::from_utf8_lossy(&password));
    Ok(Command::Login(Login { username, password }))
}

/// `authenticate = "AUTHENTICATE" SP auth-type [SP initial-resp] *(CRLF base64)`
///
/// RFC 9051 §6.2.2. Base64 is checked where it is decoded.
pub(super) fn authenticate(lexer: &mut Lexer<'_>) -> Parsed<Command> {
    let mechanism = lexer.atom()?.to_ascii_uppercase();
    let mechanism = String::from_utf8_lossy(&mechanism).into_owned();
    let mut initial = None;
    if lexer.take(b' ') {
        let text = lexer.run(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte));
        if text.is_empty() {
            return lexer.fail(Expected::Atom);
        }
        initial = Some(Secret::new(String::from_utf8_lossy(text)));
    }
    Ok(Command::Authenticate(Authenticate { mechanism, initial }))
}

/// `enable = "ENABLE" 1*(SP capability)`. RFC 9051 §6.3.1.
pub(super) fn enable(lexer: &mut Lexer<'_>) -> Parsed<Command> {
    let mut names = vec![lexer.atom()?.to_vec()];
    while lexer.take(b' ') {
        if names.len() == ENABLE_NAMES_MAX {
            return lexer.fail(Expected::FewerItems);
        }
        names.push(lexer.atom()?.to_vec());
    }
    Ok(Command::Enable(names))
}

/// `id-params-list = "(" [string SP nstring *(SP string SP nstring)] ")" / nil`. RFC 2971 §4.
pub(super) fn id(lexer: &mut Lexer<'_>) -> Parsed<Command> {
    if lexer.word("NIL") {
        return Ok(Command::Id(Vec::new()));
    }
    let mut pairs: Vec<(Vec<u8>, Option<Vec<u8>>)> = Vec::new();
    lexer.list(ID_PAIRS_MAX, |lexer| {
        let key = lexer.string()?.into_owned();
        if pairs.iter().any(|(known, _)| known.eq_ignore_ascii_case(&key)) {
            return lexer.fail(Expected::NoDuplicate);
        }
        lexer.sp()?;
        let value = lexer.nstring()?.map(std::borrow::Cow::into_owned);
        pairs.push((key, value));
        Ok(())
    })?;
    Ok(Command::Id(pairs))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parser::testing::{check_bad, parse};

    #[track_caller]
    fn check_login(line: &str, username: &str, password: &str) {
        let want = Login { username: username.to_owned(), password: Secret::new(password) };
        assert_eq!(parse(line), Ok(Command::Login(want)));
    }

    /// RFC 9051 §6.2.3.
    #[test]
    fn login_takes_two_strings() {
        check_login("LOGIN mrc@example.org secret", "mrc@example.org", "secret");
        check_login("login \"\\\"\\\"@x\" \"a\\\\b\"", "\"\"@x", "a\\b");
        check_login("LOGIN {1}\r\na {0+}\r\n", "a", "");
        check_bad(&[
            ("LOGIN", Expected::Space),
            ("LOGIN a", Expected::Space),
            ("LOGIN a ", Expected::String),
            ("LOGIN a b c", Expected::End),
        ]);
    }

    #[track_caller]
    fn check_auth(line: &str, mechanism: &str, initial: Option<&str>) {
        let initial = initial.map(Secret::new);
        let want = Authenticate { mechanism: mechanism.to_owned(), initial };
        assert_eq!(parse(line), Ok(Command::Authenticate(want)));
    }

    /// RFC 9051 §6.2.2 and RFC 4959 §3 (`=` is an empty initial response).
    #[test]
    fn authenticate_may_bring_a_first_response() {
        check_auth("AUTHENTICATE plain", "PLAIN", None);
        check_auth("AUTHENTICATE PLAIN AGEAYg==", "PLAIN", Some("AGEAYg=="));
        check_auth("AUTHENTICATE EXTERNAL =", "EXTERNAL", Some("="));
        // Deviation from what some servers take: a space with nothing behind it.
        check_bad(&[
            ("AUTHENTICATE PLAIN ", Expected::Atom),
            ("AUTHENTICATE PLAIN a b", Expected::End),
            ("AUTHENTICATE", Expected::Space),
        ]);
    }

    /// RFC 2971 §3.3: no field twice.
    #[test]
    fn id_takes_pairs() {
        let pair = |key: &str, value: Option<&str>| {
            (key.as_bytes().to_vec(), value.map(|v| v.as_bytes().to_vec()))
        };
        assert_eq!(parse("ID NIL"), Ok(Command::Id(Vec::new())));
        assert_eq!(parse("ID ()"), Ok(Command::Id(Vec::new())));
        assert_eq!(
            parse("id (\"name\" \"x\" \"os\" NIL)"),
            Ok(Command::Id(vec![pair("name", Some("x")), pair("os", None)]))
        );
        let many = |n| (0..n).map(|i| format!("\"{i}\" NIL")).collect::<Vec<_>>().join(" ");
        assert!(parse(&format!("ID ({})", many(ID_PAIRS_MAX))).is_ok());
        check_bad(&[
            (&format!("ID ({})", many(ID_PAIRS_MAX + 1)), Expected::FewerItems),
            ("ID (\"a\" NIL \"A\" NIL)", Expected::NoDuplicate),
            ("ID (\"a\")", Expected::Space),
            ("ID (a NIL)", Expected::String),
            ("ID", Expected::Space),
        ]);
    }

    /// RFC 9051 §6.3.1.
    #[test]
    fn enable_takes_names() {
        let names = vec![b"condstore".to_vec(), b"X".to_vec()];
        assert_eq!(parse("ENABLE condstore X"), Ok(Command::Enable(names)));
        check_bad(&[("ENABLE", Expected::Space), ("ENABLE a ", Expected::Atom)]);
    }
}
