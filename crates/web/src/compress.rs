//! Smaller answers for clients that can read them.

use std::io::Write as _;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::StatusCode;
use hyper::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue, VARY,
};

use crate::answer::Answer;

/// Bodies below this are sent as they are: compressing saves no packet.
const BYTES_MIN: usize = 1_000;

/// Compresses the body if that helps and the client takes it. Whoever keeps answers is told that they
/// depend on it (RFC 9110 §12.5.5). Returns the size of the body before, if it was compressed.
///
/// What is served holds no secret beside what the requester says, so its size tells nothing.
pub(crate) fn compress(answer: &mut Answer, request: &HeaderMap) -> Option<usize> {
    let is_whole = answer.status == StatusCode::OK;
    if !is_whole || answer.headers.contains_key(CONTENT_ENCODING) || !is_compressible(answer) {
        return None;
    }
    answer.headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
    if answer.body.len() < BYTES_MIN || !accepts_gzip(request) {
        return None;
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let written = encoder.write_all(&answer.body).and_then(|()| encoder.finish());
    // Writing to memory does not fail.
    let compressed = written.ok()?;
    let size = answer.body.len();
    answer.body = Bytes::from(compressed);
    answer.headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    answer.headers.remove(CONTENT_LENGTH);
    Some(size)
}

fn is_compressible(answer: &Answer) -> bool {
    let field = answer.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = field.unwrap_or_default().split(';').next().unwrap_or_default();
    let media_type = media_type.trim().to_ascii_lowercase();
    let (kind, subtype) = media_type.split_once('/').unwrap_or_default();
    let is_text = kind == "text" || subtype.ends_with("+json") || subtype.ends_with("+xml");
    let is_named = match kind {
        "application" => matches!(
            subtype,
            "csv"
                | "javascript"
                | "json"
                | "x-javascript"
                | "xml"
                | "openmetrics-text"
                | "x-apple-aspen-config"
        ),
        "image" => matches!(subtype, "vnd.microsoft.icon" | "x-icon"),
        "font" => matches!(subtype, "ttf" | "eot" | "otf" | "opentype"),
        _ => false,
    };
    is_text || is_named
}

/// Whether gzip is named and not excluded by a weight of 0, or stands behind `*`. RFC 9110 §12.5.3.
pub(crate) fn accepts_gzip(request: &HeaderMap) -> bool {
    let mut any = false;
    for field in request.get_all(ACCEPT_ENCODING) {
        for item in field.to_str().unwrap_or_default().split(',') {
            let (coding, weight) = item.split_once(';').unwrap_or((item, ""));
            let is_taken = !is_zero_weight(weight);
            match coding.trim() {
                coding if coding.eq_ignore_ascii_case("gzip") => return is_taken,
                coding if coding.eq_ignore_ascii_case("x-gzip") => return is_taken,
                "*" => any = is_taken,
                _ => {}
            }
        }
    }
    any
}

/// `;q=0` in any of its forms. RFC 9110 §12.4.2.
fn is_zero_weight(weight: &str) -> bool {
    let weight = weight.trim().strip_prefix(['q', 'Q']).unwrap_or_default().trim_start();
    let value = weight.strip_prefix('=').unwrap_or_default().trim();
    value.starts_with('0') && value.bytes().all(|byte| matches!(byte, b'0' | b'.'))
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[track_caller]
    fn check_accepts(fields: &[&str], want: bool) {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(ACCEPT_ENCODING, field.parse().unwrap());
        }
        assert_eq!(accepts_gzip(&headers), want, "{fields:?}");
    }

    /// RFC 9110 §12.5.3.
    #[test]
    fn the_client_says_whether_it_takes_gzip() {
        check_accepts(&["gzip"], true);
        check_accepts(&["deflate, GZIP;q=0.5"], true);
        check_accepts(&["br", "x-gzip"], true);
        check_accepts(&["gzip; q=0.001"], true);
        check_accepts(&["*"], true);
        check_accepts(&["gzip;q=0"], false);
        check_accepts(&["gzip ; Q = 0.000, *"], false);
        check_accepts(&["*;q=0"], false);
        check_accepts(&["br, deflate"], false);
        check_accepts(&["gzipped"], false);
        check_accepts(&[], false);
    }

    #[track_caller]
    fn check(media_type: &'static str, size: usize, accept: &'static str, want: (bool, bool)) {
        let body = "metric 1\n".repeat(size / 9 + 1);
        let mut answer = Answer::ok(media_type, body.clone());
        let mut request = HeaderMap::new();
        request.insert(ACCEPT_ENCODING, HeaderValue::from_static(accept));
        let before = compress(&mut answer, &request);
        let found = (before.is_some(), answer.headers.contains_key(VARY));
        assert_eq!(found, want, "{media_type} {size} {accept}");
        assert_eq!(answer.headers.contains_key(CONTENT_ENCODING), want.0);
        let mut text = String::new();
        match before {
            Some(before) => {
                assert_eq!(before, body.len());
                assert!(answer.body.len() < before / 2);
                flate2::read::GzDecoder::new(&answer.body[..]).read_to_string(&mut text).unwrap();
            }
            None => text.push_str(std::str::from_utf8(&answer.body).unwrap()),
        }
        assert_eq!(text, body);
    }

    #[test]
    fn large_texts_are_compressed_for_those_who_want_it() {
        check("text/plain; charset=utf-8", 5_000, "gzip", (true, true));
        check("application/xml", 5_000, "gzip", (true, true));
        check("image/svg+XML", 5_000, "gzip", (true, true));
        check("font/otf", 1_000, "gzip", (true, true));
        check("text/plain", 900, "gzip", (false, true));
        check("text/plain", 5_000, "br", (false, true));
        check("image/png", 5_000, "gzip", (false, false));
        check("application/octet-stream", 5_000, "gzip", (false, false));
        let mut failure = Answer { body: "x".repeat(9_999).into(), ..Answer::not_found() };
        let mut request = HeaderMap::new();
        request.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        assert_eq!(compress(&mut failure, &request), None);
        let mut done = Answer::ok("text/plain", "x".repeat(9_999)).with(CONTENT_ENCODING, "br");
        assert_eq!(compress(&mut done, &request), None);
    }
}
