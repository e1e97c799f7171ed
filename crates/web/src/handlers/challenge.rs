//! Answers to challenges by HTTP. RFC 8555 §8.3.

use crate::answer::Answer;
use crate::request::Request;
use crate::server::Server;

/// What stands before a token.
const PATH: &str = "/.well-known/acme-challenge/";

/// The longest token. RFC 8555 §8.3 wants 128 bits at least, in base64.
const TOKEN_BYTES_MAX: usize = 512;

/// Gives the key authorization for a token that is expected.
pub(super) fn answer(server: &Server, request: &Request) -> Answer {
    let token = request.path.strip_prefix(PATH).unwrap_or_default();
    let Some(host) = request.host.domain().filter(|_| is_token(token)) else {
        return Answer::not_found();
    };
    match server.http01(host, token) {
        Some(authorization) => Answer::ok("application/octet-stream", authorization).uncached(),
        None => {
            tracing::debug!(cid = request.cid, %host, "challenge that is not expected");
            Answer::not_found()
        }
    }
}

/// Letters of base64 for URLs: it is looked up where tokens stand for files.
fn is_token(text: &str) -> bool {
    (1..=TOKEN_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8555 §8.3.
    #[test]
    fn tokens_are_base64_for_urls() {
        let (longest, too_long) = ("a".repeat(TOKEN_BYTES_MAX), "a".repeat(TOKEN_BYTES_MAX + 1));
        for (token, want) in [
            ("LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0", true),
            ("a-_Z9", true),
            (&longest, true),
            (&too_long, false),
            ("", false),
            ("a/b", false),
            ("..", false),
            ("a=", false),
            ("ü", false),
        ] {
            assert_eq!(is_token(token), want, "{token}");
        }
    }
}
