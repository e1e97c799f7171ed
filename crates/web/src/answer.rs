//! What is sent back.

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderName,
    HeaderValue, LOCATION, REFERRER_POLICY, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};

/// The media type of plain text.
pub(crate) const TEXT: &str = "text/plain; charset=utf-8";

/// A response: small, and complete.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    /// What was asked for.
    ///
    /// - `media_type`: with its charset.
    pub(crate) fn ok(media_type: &'static str, body: impl Into<Bytes>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        Self { status: StatusCode::OK, headers, body: body.into() }
    }

    /// A fixed text that says why not: `404 - not found`.
    pub(crate) fn failure(status: StatusCode, reason: &'static str) -> Self {
        let text = format!("{} - {reason}\n", status.as_u16());
        Self { status, ..Self::ok(TEXT, text) }
    }

    pub(crate) fn not_found() -> Self {
        Self::failure(StatusCode::NOT_FOUND, "not found")
    }

    pub(crate) fn bad_request(reason: &'static str) -> Self {
        Self::failure(StatusCode::BAD_REQUEST, reason)
    }

    /// - `allowed`: the methods there are. RFC 9110 §15.5.6 wants them told.
    pub(crate) fn wrong_method(allowed: &'static str) -> Self {
        let answer = Self::failure(StatusCode::METHOD_NOT_ALLOWED, "method not allowed");
        answer.with(ALLOW, allowed)
    }

    /// RFC 6585 §4.
    pub(crate) fn too_many(retry_secs: u64) -> Self {
        let answer = Self::failure(StatusCode::TOO_MANY_REQUESTS, "too many requests");
        answer.with_value(RETRY_AFTER, HeaderValue::from(retry_secs))
    }

    /// To another path of the same host. RFC 9110 §15.4.4.
    pub(crate) fn see_other(location: &str) -> Self {
        let answer = Self::failure(StatusCode::SEE_OTHER, "see other");
        match HeaderValue::from_str(location) {
            Ok(location) => answer.with_value(LOCATION, location),
            Err(_) => Self::not_found(),
        }
    }

    #[must_use]
    pub(crate) fn with(self, name: HeaderName, value: &'static str) -> Self {
        self.with_value(name, HeaderValue::from_static(value))
    }

    #[must_use]
    pub(crate) fn with_value(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Not to be kept by the client or by anybody between.
    #[must_use]
    pub(crate) fn uncached(self) -> Self {
        self.with(CACHE_CONTROL, "no-cache, max-age=0")
    }

    /// What keeps a browser from doing more with an answer than show it.
    ///
    /// No `Strict-Transport-Security`: it would also bind web sites of the same host that this server
    /// knows nothing of, for as long as browsers remember it.
    #[must_use]
    pub(crate) fn secured(self) -> Self {
        self.with(X_FRAME_OPTIONS, "deny")
            .with(X_CONTENT_TYPE_OPTIONS, "nosniff")
            .with(CONTENT_SECURITY_POLICY, "default-src 'self' 'unsafe-inline' data:")
            .with(REFERRER_POLICY, "same-origin")
    }
}
