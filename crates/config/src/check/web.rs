//! Checks of redirects and web handlers.

use std::collections::BTreeMap;

use mox_sconf::Path as Key;

use super::{split_url, web_url};
use crate::finding::Checker;
use crate::snapshot::Config;
use crate::{WebHandler, WebInternal, WebRedirect, WebStatic};

pub(super) fn web(config: &Config, checker: &mut Checker<'_>) {
    let dynamic = &config.dynamic;
    let mut listeners = config.statics.listeners.values();
    let served = listeners.any(|l| l.webserver_http.enabled || l.webserver_https.enabled);
    let (redirects, handlers) =
        (Key::root().key("WebDomainRedirects"), Key::root().key("WebHandlers"));
    let used = [
        (&redirects, dynamic.web_domain_redirects.is_empty()),
        (&handlers, dynamic.web_handlers.is_empty()),
    ];
    for (key, _) in used.iter().filter(|(_, empty)| !empty && !served) {
        let advice = "enable WebserverHTTP or WebserverHTTPS of one in mox.conf";
        checker.fault(key, format_args!("no listener serves it: {advice}"));
    }
    for (from, to) in dynamic.web_domain_redirects.iter().filter(|(from, to)| from == to) {
        checker.fault(&redirects.key(from), format_args!("redirects to itself, {to}"));
    }
    for (index, handler) in dynamic.web_handlers.iter().enumerate() {
        self::handler(handler, &handlers.index(index), checker);
    }
}

fn handler(handler: &WebHandler, key: &Key, checker: &mut Checker<'_>) {
    if !handler.path_regexp.as_str().starts_with('^') {
        checker.fault(&key.key("PathRegexp"), "must start with ^, or it matches anywhere");
    }
    let kinds = [
        handler.web_static.is_some(),
        handler.web_redirect.is_some(),
        handler.web_forward.is_some(),
        handler.web_internal.is_some(),
    ];
    if kinds.iter().filter(|set| **set).count() != 1 {
        checker.fault(
            key,
            "must have exactly one of WebStatic, WebRedirect, WebForward and WebInternal",
        );
    }
    if let Some(web_static) = &handler.web_static {
        self::web_static(web_static, &key.key("WebStatic"), checker);
    }
    if let Some(redirect) = &handler.web_redirect {
        self::redirect(redirect, &key.key("WebRedirect"), checker);
    }
    if let Some(forward) = &handler.web_forward {
        let key = key.key("WebForward");
        web_url(&forward.url, &key.key("URL"), checker);
        headers(&forward.response_headers, &key, checker);
    }
    if let Some(internal) = &handler.web_internal {
        self::internal(internal, &key.key("WebInternal"), checker);
    }
}

fn web_static(web_static: &WebStatic, key: &Key, checker: &mut Checker<'_>) {
    let prefix = &web_static.strip_prefix;
    if !prefix.is_empty() && !prefix.starts_with('/') {
        checker.fault(&key.key("StripPrefix"), "must start with a slash");
    }
    if web_static.root.is_empty() {
        checker.fault(&key.key("Root"), "is empty: give a directory");
    }
    headers(&web_static.response_headers, key, checker);
}

fn redirect(redirect: &WebRedirect, key: &Key, checker: &mut Checker<'_>) {
    let url = &redirect.base_url;
    match split_url(url) {
        _ if url.is_empty() => {}
        None => web_url(url, &key.key("BaseURL"), checker),
        Some((_, rest)) if rest.starts_with('/') => {
            checker.fault(&key.key("BaseURL"), "must have no path: use ReplacePath for that");
        }
        Some(_) => {}
    }
    if redirect.orig_path_regexp.is_empty() != redirect.replace_path.is_empty() {
        checker.fault(key, "needs both OrigPathRegexp and ReplacePath, or none of them");
    }
    if !matches!(redirect.status_code, 0 | 300..=399) {
        checker.fault(&key.key("StatusCode"), "must be from 300 to 399");
    }
}

fn internal(internal: &WebInternal, key: &Key, checker: &mut Checker<'_>) {
    let path = &internal.base_path;
    if !path.starts_with('/') || !path.ends_with('/') {
        checker.fault(&key.key("BasePath"), "must start and end with a slash");
    }
}

fn headers(headers: &BTreeMap<String, String>, key: &Key, checker: &mut Checker<'_>) {
    for (name, value) in headers {
        // RFC 9110 §5.1 (`field-name = token`).
        let known = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        if name.is_empty() || !name.bytes().all(known) {
            let key = key.key("ResponseHeaders").key(name);
            checker.fault(&key, format_args!("{name:?} is not the name of a header"));
        }
        if value.trim() != value {
            let key = key.key("ResponseHeaders").key(name);
            checker.fault(&key, "the value has spaces at its ends: remove them");
        }
    }
}
