//! URLs in responses.
//!
//! Source: RFC 4469 §5, RFC 4467 §9.

use super::text::string;

/// `BADURL "url"`. RFC 4469 §4.1, with the quotes of its example.
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

/// `genurlauth-data = "*" SP "GENURLAUTH" 1*(SP url-full)`. RFC 4467 §9.
pub fn gen_url_auth(out: &mut Vec<u8>, urls: &[String], utf8: bool) {
    out.extend_from_slice(b"* GENURLAUTH");
    for url in urls {
        out.push(b' ');
        string(out, url.as_bytes(), utf8);
    }
    out.extend_from_slice(b"\r\n");
}

/// One URLFETCH response, written as its items are found.
///
/// `urlfetch-data = "*" SP "URLFETCH" (urldata-simple / urldata-ext / urldata-error)`. RFC 5524 §5.
#[derive(Debug)]
pub struct UrlFetchLine<'a> {
    out: &'a mut Vec<u8>,
    has_items: bool,
}

impl<'a> UrlFetchLine<'a> {
    /// Begins the response for a URL.
    pub fn start(out: &'a mut Vec<u8>, url: &str, utf8: bool) -> Self {
        out.extend_from_slice(b"* URLFETCH ");
        string(out, url.as_bytes(), utf8);
        Self { out, has_items: false }
    }

    /// Goes on with a response whose literal has been written, and its item closed.
    pub fn resume(out: &'a mut Vec<u8>) -> Self {
        Self { out, has_items: true }
    }

    /// Begins the item `(NAME value)`, whose value is to be appended to what is returned, and which
    /// [`UrlFetchLine::close`] ends.
    pub fn item(&mut self, name: &str) -> &mut Vec<u8> {
        self.has_items = true;
        self.out.extend_from_slice(b" (");
        self.out.extend_from_slice(name.as_bytes());
        self.out.push(b' ');
        self.out
    }

    /// Begins the value that has no name.
    pub fn plain(&mut self) -> &mut Vec<u8> {
        self.has_items = true;
        self.out.push(b' ');
        self.out
    }

    /// Ends an item.
    pub fn close(&mut self) {
        self.out.push(b')');
    }

    /// Ends the response. RFC 4467 §8: NIL if nothing was to be had.
    pub fn finish(self) {
        if !self.has_items {
            self.out.extend_from_slice(b" NIL");
        }
        self.out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4467 §8, RFC 5524 §3.2.
    #[test]
    fn fetched_urls_come_plain_or_with_items() {
        let mut out = Vec::new();
        UrlFetchLine::start(&mut out, "a\"b", false).finish();
        let mut line = UrlFetchLine::start(&mut out, "c", false);
        line.plain().extend_from_slice(b"{1}\r\nx");
        line.finish();
        let mut line = UrlFetchLine::start(&mut out, "d", false);
        line.item("BODYPARTSTRUCTURE").extend_from_slice(b"()");
        line.close();
        line.item("BINARY").extend_from_slice(b"~{1}\r\n");
        out.push(0);
        let mut line = UrlFetchLine::resume(&mut out);
        line.close();
        line.finish();
        gen_url_auth(&mut out, &["e".to_owned(), "f".to_owned()], false);
        let want = "* URLFETCH \"a\\\"b\" NIL\r\n* URLFETCH \"c\" {1}\r\nx\r\n\
            * URLFETCH \"d\" (BODYPARTSTRUCTURE ()) (BINARY ~{1}\r\n\0)\r\n\
            * GENURLAUTH \"e\" \"f\"\r\n";
        assert_eq!(String::from_utf8(out).unwrap(), want);
    }

    #[track_caller]
    fn check(url: &str, want: &str) {
        let mut out = Vec::new();
        bad_url(&mut out, url);
        assert_eq!(String::from_utf8(out).unwrap(), format!("BADURL \"{want}\""));
    }

    /// RFC 4469 §4.1: a URL cannot end the code it is told in.
    #[test]
    fn bad_urls_are_told_in_one_piece() {
        check("/Drafts;UIDVALIDITY=1/;UID=20", "/Drafts;UIDVALIDITY=1/;UID=20");
        check("", "");
        check("a\"]\\ b\r\n* BYE", "a%22%5D%5C%20b%0D%0A*%20BYE");
        check("\u{e9}%00", "%C3%A9%00");
    }
}
