//! What must hold for whatever a client sends; also what the fuzz targets check.

use mox_web::{clean_path, query_field, requested_address};

/// No body of a request makes autodiscover fail, and what it finds was there.
pub(crate) fn check_autodiscover(body: &[u8]) {
    let Some(address) = requested_address(body) else { return };
    assert!(address.len() <= body.len(), "nothing grows: {} > {}", address.len(), body.len());
    assert_eq!(address.trim(), address);
    // It stands within the three elements, whose names alone take this much.
    assert!(body.len() >= 60, "{address:?}");
    // The same address again, written as plainly as can be.
    let plain = address.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let plain = plain.replace('\r', "&#13;");
    let again = format!(
        "<Autodiscover><Request><EMailAddress>{plain}</EMailAddress></Request></Autodiscover>"
    );
    assert_eq!(requested_address(again.as_bytes()).as_deref(), Some(&*address));
}

/// No target makes the router fail: paths have no detours, fields are found again.
pub(crate) fn check_target(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (path, query) = text.split_once('?').unwrap_or((text, ""));
    if let Some(clean) = clean_path(path) {
        assert!(clean.starts_with('/') && clean.len() <= path.len() + 1, "{path:?} {clean:?}");
        let mut inner = clean.split('/').skip(1).peekable();
        while let Some(segment) = inner.next() {
            let is_last = inner.peek().is_none();
            assert!(!matches!(segment, "." | ".."), "{path:?} {clean:?}");
            assert!(is_last || !segment.is_empty(), "{path:?} {clean:?}");
        }
    }
    for field in query.split('&').take(50) {
        let Some((name, value)) = field.split_once('=') else { continue };
        let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if is_plain(name) && is_plain(value) && !name.is_empty() {
            let found = query_field(query, name);
            assert!(found.is_some() || query.contains('%'), "{query:?} {name:?}");
        }
    }
    let _found = query_field(query, "addresses");
}
