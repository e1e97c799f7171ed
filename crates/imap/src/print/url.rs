//! URLs in responses.
//!
//! Source: RFC 4469 §5, RFC 4467 §9.

/// `BADURL "url"`. RFC 4469 §3, with the quotes of its example.
///
/// What would end the quoted string, the code or the line is `%` encoded, as it should have been in
/// the URL: the client can still tell which one is meant.
pub fn bad_url(out: &mut Vec<u8>, url: &str) {
    out.extend_from_slice(b"BADURL \"");
    for byte in url.bytes() {
        match byte {
            b'"' | b'\\' | b']' | ..=b' ' | 0x7f.. => {
                out.extend_from_slice(format!("%{byte:02X}").as_bytes());
            }
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, want: &str) {
        let mut out = Vec::new();
        bad_url(&mut out, url);
        assert_eq!(String::from_utf8(out).unwrap(), format!("BADURL \"{want}\""));
    }

    /// RFC 4469 §3: a URL cannot end the code it is told in.
    #[test]
    fn bad_urls_are_told_in_one_piece() {
        check("/Drafts;UIDVALIDITY=1/;UID=20", "/Drafts;UIDVALIDITY=1/;UID=20");
        check("", "");
        check("a\"]\\ b\r\n* BYE", "a%22%5D%5C%20b%0D%0A*%20BYE");
        check("\u{e9}%00", "%C3%A9%00");
    }
}
