//! Lines for protocol traces, without what is secret.

use std::borrow::Cow;

/// A client's line as it may be traced: the response that comes with AUTH is hidden, and all of a
/// line that answers a challenge (`is_response`, see
/// [`Session::is_next_line_secret`](crate::server::Session::is_next_line_secret)), unless it is
/// `*`, which ends the login. RFC 4954 §4.
#[must_use]
pub fn client_line(line: &[u8], is_response: bool) -> Cow<'_, [u8]> {
    if is_response {
        return if line == b"*" { Cow::Borrowed(line) } else { Cow::Borrowed(b"***") };
    }
    let is_auth = line.get(..4).is_some_and(|verb| verb.eq_ignore_ascii_case(b"AUTH"));
    // A line that is not quite AUTH may still be meant as such, and hold a password.
    let mut words = line.splitn(3, |byte| *byte == b' ');
    match (is_auth, words.next(), words.next(), words.next()) {
        (true, Some(verb), Some(mechanism), Some(_)) => {
            Cow::Owned([verb, b" ", mechanism, b" ***"].concat())
        }
        _ => Cow::Borrowed(line),
    }
}

/// A server's line as it may be traced: challenges are hidden.
#[must_use]
pub fn server_line(line: &[u8]) -> Cow<'_, [u8]> {
    if line.starts_with(b"334") { Cow::Borrowed(b"334 ***") } else { Cow::Borrowed(line) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, is_response: bool, want: &str) {
        let got = client_line(line.as_bytes(), is_response);
        assert_eq!(std::str::from_utf8(&got).unwrap(), want, "{line}");
    }

    /// RFC 4954 §4.
    #[test]
    fn responses_are_hidden() {
        check("AUTH PLAIN AHRlc3Q=", false, "AUTH PLAIN ***");
        check("auth PLAIN  AHRlc3Q=", false, "auth PLAIN ***");
        check("AUTH LOGIN", false, "AUTH LOGIN");
        check("AHRlc3Q=", true, "***");
        check("", true, "***");
        check("*", true, "*");
        check("MAIL FROM:<a@b.example> AUTH=<>", false, "MAIL FROM:<a@b.example> AUTH=<>");
        assert_eq!(&*server_line(b"334 c2VjcmV0"), b"334 ***");
        assert_eq!(&*server_line(b"250 2.0.0 ok"), b"250 2.0.0 ok");
    }
}
