//! Reading what another server found out.
//!
//! Source: RFC 8601 §2.2, §5.

use std::fmt;

use mox_base::Domain;
use mox_mime::unfold;

use super::{AuthenticationResults, Method, Property};

/// The longest value of a field that is read, in bytes. Ours.
pub const RESULTS_BYTES_MAX: usize = 32_768;

/// Results of one field. Ours; so many signatures a message does not have.
pub const METHODS_MAX: usize = 100;

/// Properties of one result. Ours.
const PROPERTIES_MAX: usize = 50;

/// Why a field was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParseError {
    /// Over [`RESULTS_BYTES_MAX`], [`METHODS_MAX`] or 50 properties of a result.
    TooLong,
    /// It does not say whose results these are.
    NoServer,
    /// Something is wrong with a result, counted from 1.
    BadMethod(usize),
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => f.write_str("too many results"),
            Self::NoServer => f.write_str("no authentication server"),
            Self::BadMethod(number) => write!(f, "invalid result {number}"),
        }
    }
}

impl std::error::Error for ParseError {}

/// Whose results a field says it has, whatever else is in it.
///
/// A server removes those that claim to be its own from what comes in: nobody else may speak in
/// its name (RFC 8601 §5). They are compared with [`is_from`].
///
/// The whole field is read, in time linear in its length: were only its first bytes read, a comment
/// longer than those would hide a name that others find.
#[must_use]
pub fn authserv_id(value: &[u8]) -> Option<String> {
    let text = unfold(value);
    let text = String::from_utf8_lossy(&text);
    let mut cursor = Cursor { rest: &text };
    cursor.cfws();
    cursor.value(";").filter(|id| id.len() <= RESULTS_BYTES_MAX)
}

/// Whether a field claims to have the results of a host. RFC 8601 §5.
///
/// What cannot be told is no claim: nobody would believe it either.
#[must_use]
pub fn is_from(value: &[u8], hostname: &Domain) -> bool {
    let Some(id) = authserv_id(value) else { return false };
    // Both forms of the name, in any case.
    Domain::parse(&id).is_ok_and(|domain| domain == *hostname)
        || id.eq_ignore_ascii_case(hostname.ascii())
}

impl AuthenticationResults {
    /// Reads the value of a field, which may be folded. Comments are dropped.
    ///
    /// Values are taken as they are found in use: more characters may be without quotes than the
    /// grammar has it.
    ///
    /// # Errors
    ///
    /// If it does not say whose results these are, a result is none, or there are too many.
    pub fn parse(value: &[u8]) -> Result<Self, ParseError> {
        if value.len() > RESULTS_BYTES_MAX {
            return Err(ParseError::TooLong);
        }
        let text = unfold(value);
        let text = String::from_utf8_lossy(&text);
        let mut cursor = Cursor { rest: &text };
        cursor.cfws();
        let authserv_id = cursor.value(";").ok_or(ParseError::NoServer)?;
        cursor.cfws();
        // `authres-version = 1*DIGIT [CFWS]`
        cursor.run(|character| character.is_ascii_digit());
        cursor.cfws();
        let mut methods = Vec::new();
        while cursor.eat(';') {
            cursor.cfws();
            if cursor.rest.is_empty() || cursor.rest.starts_with(';') {
                // Found in use: a semicolon at the end.
                continue;
            }
            if methods.len() == METHODS_MAX {
                return Err(ParseError::TooLong);
            }
            let bad = ParseError::BadMethod(methods.len() + 1);
            match cursor.method(bad)? {
                Some(method) => methods.push(method),
                None if methods.is_empty() && cursor.rest.is_empty() => break,
                None => return Err(bad),
            }
        }
        if !cursor.rest.is_empty() {
            return Err(ParseError::BadMethod(methods.len().max(1)));
        }
        Ok(Self { authserv_id, methods })
    }
}

/// The rest of a text that is being read.
struct Cursor<'a> {
    rest: &'a str,
}

impl<'a> Cursor<'a> {
    fn eat(&mut self, character: char) -> bool {
        match self.rest.strip_prefix(character) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// The longest beginning of such characters.
    fn run(&mut self, accept: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|character| !accept(character)).unwrap_or(self.rest.len());
        let (run, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, ""));
        self.rest = rest;
        run
    }

    /// Skips blanks and comments, which may be in one another to any depth: they are counted.
    fn cfws(&mut self) {
        loop {
            self.rest = self.rest.trim_ascii_start();
            if !self.rest.starts_with('(') {
                return;
            }
            let mut depth = 0_usize;
            let mut is_escaped = false;
            let end = self.rest.char_indices().find_map(|(at, character)| {
                match character {
                    _ if is_escaped => is_escaped = false,
                    '\\' => is_escaped = true,
                    '(' => depth += 1,
                    ')' => depth -= 1,
                    _ => {}
                }
                (depth == 0).then_some(at + 1)
            });
            // One without end takes all.
            self.rest = end.and_then(|end| self.rest.get(end..)).unwrap_or_default();
        }
    }

    /// `value`, with all characters that are not blank, quotes, the beginning of a comment or one
    /// of `stops`.
    fn value(&mut self, stops: &str) -> Option<String> {
        if self.eat('"') {
            return self.quoted_rest();
        }
        let value = self.run(|character| {
            !character.is_ascii_whitespace()
                && !"\"(".contains(character)
                && !stops.contains(character)
        });
        (!value.is_empty()).then(|| value.to_owned())
    }

    /// What is left of a `quoted-string`.
    fn quoted_rest(&mut self) -> Option<String> {
        let mut text = String::new();
        let mut characters = self.rest.chars();
        loop {
            match characters.next()? {
                '"' => break,
                '\\' => text.push(characters.next()?),
                character => text.push(character),
            }
        }
        self.rest = characters.as_str();
        Some(text)
    }

    /// `Keyword`, RFC 5321 §4.1.1.1, with the underscore as in some registered names.
    fn keyword(&mut self) -> Option<String> {
        let word =
            self.run(|character| character.is_ascii_alphanumeric() || "-_".contains(character));
        (!word.is_empty()).then(|| word.to_ascii_lowercase())
    }

    /// `methodspec [ CFWS reasonspec ] [ CFWS 1*propspec ]`; nothing if it is `none`.
    fn method(&mut self, bad: ParseError) -> Result<Option<Method>, ParseError> {
        let name = self.keyword().ok_or(bad)?;
        self.cfws();
        if self.eat('/') {
            self.cfws();
            self.run(|character| character.is_ascii_digit());
            self.cfws();
        }
        if !self.eat('=') {
            return if name == "none" { Ok(None) } else { Err(bad) };
        }
        self.cfws();
        let result = self.keyword().ok_or(bad)?;
        let mut method = Method { name: name.into(), result: result.into(), ..Method::default() };
        loop {
            self.cfws();
            if self.rest.is_empty() || self.rest.starts_with(';') {
                return Ok(Some(method));
            }
            if method.properties.len() == PROPERTIES_MAX {
                return Err(ParseError::TooLong);
            }
            self.property(&mut method).ok_or(bad)?;
        }
    }

    /// `reasonspec = "reason" [CFWS] "=" [CFWS] value`, or
    /// `propspec = ptype [CFWS] "." [CFWS] property [CFWS] "=" pvalue`.
    fn property(&mut self, method: &mut Method) -> Option<()> {
        let ptype = self.keyword()?;
        self.cfws();
        if self.eat('=') {
            self.cfws();
            let value = self.value(";")?;
            // Others without a dot are not known, and are dropped.
            if ptype == "reason" {
                method.reason = Some(value);
            }
            return Some(());
        }
        if !self.eat('.') {
            return None;
        }
        self.cfws();
        let name = self.keyword()?;
        self.cfws();
        if !self.eat('=') {
            return None;
        }
        self.cfws();
        // A quoted local part may stand before the at-sign. An empty value is found in use.
        let is_quoted = self.rest.starts_with('"');
        let mut value = match self.value(";") {
            Some(value) => value,
            None if is_quoted => return None,
            None => String::new(),
        };
        if self.rest.starts_with('@') {
            value.push_str(&self.value(";")?);
        }
        let (ptype, name) = (ptype.into(), name.into());
        method.properties.push(Property { ptype, name, value, unicode: None });
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Server, then each result with its properties, as short texts.
    #[track_caller]
    fn check(value: &str, want: &[&str]) {
        let results = AuthenticationResults::parse(value.as_bytes()).unwrap();
        let mut got = vec![results.authserv_id];
        for method in results.methods {
            let mut text = format!("{}={}", method.name, method.result);
            if let Some(reason) = method.reason {
                text.push_str(&format!(" reason={reason}"));
            }
            for property in method.properties {
                text.push_str(&format!(" {}.{}={}", property.ptype, property.name, property.value));
            }
            got.push(text);
        }
        assert_eq!(got, want, "{value}");
    }

    #[track_caller]
    fn refuse(value: &str, want: ParseError) {
        assert_eq!(AuthenticationResults::parse(value.as_bytes()), Err(want), "{value}");
    }

    /// The examples of RFC 8601 Appendix B.
    #[test]
    fn the_examples_of_the_rfc_are_read() {
        check("example.org 1; none", &["example.org"]);
        check(
            "example.com;\r\n          spf=pass smtp.mailfrom=example.net",
            &["example.com", "spf=pass smtp.mailfrom=example.net"],
        );
        check(
            "example.com;\r\n auth=pass (cram-md5) smtp.auth=sender@example.net;\r\n \
             spf=pass smtp.mailfrom=example.net",
            &[
                "example.com",
                "auth=pass smtp.auth=sender@example.net",
                "spf=pass smtp.mailfrom=example.net",
            ],
        );
        check(
            "example.com;\r\n sender-id=fail header.from=example.com;\r\n dkim=pass (good signature) \
             header.d=example.com",
            &[
                "example.com",
                "sender-id=fail header.from=example.com",
                "dkim=pass header.d=example.com",
            ],
        );
        check(
            "example.com;\r\n dkim=pass reason=\"good signature\"\r\n \
             header.i=@mail-router.example.net;\r\n dkim=fail reason=\"bad signature\"\r\n \
             header.i=@newyork.example.com",
            &[
                "example.com",
                "dkim=pass reason=good signature header.i=@mail-router.example.net",
                "dkim=fail reason=bad signature header.i=@newyork.example.com",
            ],
        );
        check(
            "foo.example.net (foobar) 1 (baz);\r\n dkim (Because I like it) / 1 (One yay) = (wait \
             for it) fail\r\n policy (A dot can go here) . (like that) expired\r\n (this surprised \
             me) = (as I wasn't expecting it) 1362471462",
            &["foo.example.net", "dkim=fail policy.expired=1362471462"],
        );
    }

    /// RFC 8601 §2.2, and what is found in use beside it.
    #[test]
    fn results_are_read_as_they_are_found() {
        check("a; x=y;", &["a", "x=y"]);
        check("a;; x=y ; ;", &["a", "x=y"]);
        check("a", &["a"]);
        check("\"a b\"; x=y", &["a b", "x=y"]);
        check(
            "a;DKIM=Pass header.b=\"a/b=\" header.B=a/b+c=",
            &["a", "dkim=pass header.b=a/b= header.b=a/b+c="],
        );
        check("a; spf=none smtp.mailfrom=<>", &["a", "spf=none smtp.mailfrom=<>"]);
        check("a; spf=none smtp.mailfrom= ; x=y", &["a", "spf=none smtp.mailfrom=", "x=y"]);
        check("a; x=y p.q=\"c d\"@e", &["a", "x=y p.q=c d@e"]);
        check("a; x=y p.q=\"c\\\"d\\\\\"", &["a", "x=y p.q=c\"d\\"]);
        check("a; x=y (((deep) ) \\) ) action=none p.q=1", &["a", "x=y p.q=1"]);
        check("a; x=y (never closed p.q=1", &["a", "x=y"]);
        check("a; none (nothing)", &["a"]);
    }

    #[test]
    fn others_are_refused() {
        refuse("", ParseError::NoServer);
        refuse("; x=y", ParseError::NoServer);
        refuse("(a)", ParseError::NoServer);
        refuse("\"a", ParseError::NoServer);
        refuse("a b; x=y", ParseError::BadMethod(1));
        refuse("a; x", ParseError::BadMethod(1));
        refuse("a; x=y; none", ParseError::BadMethod(2));
        refuse("a; none; x=y", ParseError::BadMethod(1));
        refuse("a; x=y p=", ParseError::BadMethod(1));
        refuse("a; x=y p.=1", ParseError::BadMethod(1));
        refuse("a; x=y p.q", ParseError::BadMethod(1));
        refuse("a; x=y; =z", ParseError::BadMethod(2));
        refuse("a; x=y p.q=\"", ParseError::BadMethod(1));
    }

    #[test]
    fn fields_are_bounded() {
        let many = |count: usize| format!("a{}", "; x=y".repeat(count));
        assert_eq!(
            AuthenticationResults::parse(many(METHODS_MAX).as_bytes()).unwrap().methods.len(),
            METHODS_MAX
        );
        refuse(&many(METHODS_MAX + 1), ParseError::TooLong);
        let wide = |count: usize| format!("a; x=y{}", " p.q=1".repeat(count));
        assert!(AuthenticationResults::parse(wide(PROPERTIES_MAX).as_bytes()).is_ok());
        refuse(&wide(PROPERTIES_MAX + 1), ParseError::TooLong);
        refuse(&"(".repeat(RESULTS_BYTES_MAX + 1), ParseError::TooLong);
        refuse(&"(".repeat(RESULTS_BYTES_MAX), ParseError::NoServer);
    }

    /// RFC 8601 §5.
    #[test]
    fn claims_are_recognised() {
        let hostname = Domain::parse("mx.b\u{fc}cher.example").unwrap();
        let is_ours = |value: &str| is_from(value.as_bytes(), &hostname);
        assert!(is_ours("mx.xn--bcher-kva.example; none"));
        assert!(is_ours("MX.xn--Bcher-kva.example;garbage=;;"));
        assert!(is_ours(" (x) mx.b\u{fc}cher.example 1; none"));
        assert!(is_ours("\r\n \"mx.b\u{fc}cher.example\""));
        assert!(is_ours(&format!("mx.xn--bcher-kva.example; {}", "x=y ;".repeat(10_000))));
        // A comment as long as the bound of a whole field does not hide the name behind it.
        let comment = "x".repeat(RESULTS_BYTES_MAX);
        assert!(is_ours(&format!("({comment}) mx.xn--bcher-kva.example; dmarc=pass")));
        assert!(!is_ours(&format!("({comment}) mx.example; dmarc=pass")));
        assert!(!is_ours(&format!("{comment}x; dmarc=pass")));
        assert!(!is_ours("mx.example; none"));
        assert!(!is_ours("x; mx.xn--bcher-kva.example"));
        assert!(!is_ours(""));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            id in "[a-z.]{1,10}",
            texts in proptest::collection::vec(("[a-z]{1,5}", "[ -~]{0,30}", "[ -~]{0,60}"), 0..4),
        ) {
            let methods: Vec<Method> = texts.into_iter().map(|(word, value, text)| Method {
                name: word.clone().into(),
                result: word.clone().into(),
                comment: Some(text.clone()),
                reason: Some(text),
                properties: vec![Property {
                    ptype: word.clone().into(),
                    name: word.into(),
                    value,
                    unicode: None,
                }],
            }).collect();
            let written = AuthenticationResults { authserv_id: id, methods };
            let mut read = AuthenticationResults::parse(written.payload(false).as_bytes()).unwrap();
            for (method, other) in read.methods.iter_mut().zip(&written.methods) {
                method.comment = other.comment.clone();
            }
            prop_assert_eq!(read, written);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            if let Ok(results) = AuthenticationResults::parse(&bytes) {
                prop_assert!(results.methods.len() <= METHODS_MAX);
                prop_assert!(!results.field(true).trim_end().contains("\r\n\r\n"));
            }
        }
    }
}
