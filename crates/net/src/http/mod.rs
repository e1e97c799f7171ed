//! HTTP towards others: policies of MTA-STS, webhook calls. HTTP/1.1, one connection for each request.
//!
//! Everything is bounded: the time for all of a request, the header and the body of the response, the
//! number of redirects. A name is looked up with our own resolver, and addresses of the inside can be
//! excluded, so that nobody outside makes this server talk to what only it can reach.

mod exchange;
mod raw;
mod reach;
mod url;

use std::sync::Arc;
use std::time::Duration;

use mox_dns::{DnsError, Resolver};
use tokio::time::{Instant, timeout};

use crate::dial::DialError;
use crate::tls::client::{Connector, TlsError};

pub use exchange::{RESPONSE_HEADER_BYTES_MAX, RESPONSE_HEADERS_MAX};
pub use raw::RawRequest;
pub use reach::is_public;
pub use url::{URL_BYTES_MAX, Url};

/// Redirects that are followed, if any are.
pub const REDIRECTS_MAX: usize = 5;

/// A request.
#[derive(Clone, Debug)]
pub struct Request {
    /// What is asked for.
    pub url: Url,
    /// The body of a POST; without one it is a GET.
    pub post: Option<Vec<u8>>,
    /// Fields besides `Host` and `Content-Length`. Redirects to another server do not get
    /// `Authorization`.
    pub headers: Vec<(String, String)>,
    /// For the whole request, redirects too.
    pub limit: Duration,
    /// The most bytes of the body of the response that are returned.
    pub body_bytes_max: usize,
    /// Whether redirects are followed, up to [`REDIRECTS_MAX`].
    pub follows_redirects: bool,
    /// Which addresses the server of `url` may have.
    pub reach: Reach,
}

/// Which addresses may be connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Any: the URL is one that an administrator chose. Redirects lead to public addresses only,
    /// unless they stay with the same host and port.
    Any,
    /// Those of the internet, see [`is_public`].
    Public,
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// 200 to 599.
    pub status: u16,
    /// Content-Type, as it is.
    pub content_type: Option<String>,
    /// The body, or its start.
    pub body: Vec<u8>,
    /// Whether there is more of the body than was asked for.
    pub is_cut: bool,
}

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// It took too long.
    #[error("no response within {0:?}")]
    TimedOut(Duration),
    /// A redirect to what is no URL of HTTP.
    #[error("redirect to an invalid url")]
    BadRedirect,
    /// More than [`REDIRECTS_MAX`].
    #[error("too many redirects")]
    TooManyRedirects,
    /// A redirect from a protected connection to an open one.
    #[error("redirect from https to http")]
    Downgrade,
    /// The host has no address, or it could not be found out.
    #[error("look up {host}: {source}")]
    Dns {
        /// The host.
        host: String,
        /// Why.
        #[source]
        source: DnsError,
    },
    /// The host has only addresses that may not be connected to.
    #[error("addresses of {0} are not public")]
    NotPublic(String),
    /// No connection.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// No TLS, or not with a certificate that is valid for the host.
    #[error("tls: {0}")]
    Tls(#[from] TlsError),
    /// What came is no response of HTTP, or it is too large, or the connection broke.
    #[error("http: {0}")]
    Http(#[from] hyper::Error),
    /// The body of the response is larger than this many bytes.
    #[error("response of more than {0} bytes")]
    TooLarge(usize),
    /// A header field of the request that cannot be sent.
    #[error("invalid header field {0:?}")]
    BadHeader(String),
}

/// Makes requests.
#[derive(Clone)]
pub struct Client {
    connector: Connector,
    resolver: Arc<dyn Resolver>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

/// What metrics call who asks: all go by way of one client.
const PACKAGE: &str = "httpclient";

impl Client {
    /// Trusts the roots of `connector`.
    #[must_use]
    pub fn new(connector: Connector, resolver: Arc<dyn Resolver>) -> Self {
        Self { connector, resolver }
    }

    /// Makes a request and waits for the response.
    ///
    /// Any status is a response. To drop the future is to give up.
    ///
    /// # Errors
    ///
    /// If there is no response, or not in time.
    pub async fn request(&self, request: Request) -> Result<Response, HttpError> {
        let limit = request.limit;
        let method = if request.post.is_some() { "post" } else { "get" };
        let since = Instant::now();
        let all = Box::pin(self.follow(request));
        let response = timeout(limit, all).await.unwrap_or(Err(HttpError::TimedOut(limit)));
        let (code, result) = match &response {
            Ok(response) => (response.status, "ok"),
            Err(HttpError::TimedOut(_)) => (0, "timeout"),
            Err(_) => (0, "error"),
        };
        mox_metrics::http::asked(PACKAGE, method, code, result, since.elapsed());
        response
    }

    async fn follow(&self, mut request: Request) -> Result<Response, HttpError> {
        for _ in 0..=REDIRECTS_MAX {
            let (response, location) = self.once(&request).await?;
            let is_redirect = matches!(response.status, 301 | 302 | 303 | 307 | 308);
            let Some(location) = location.filter(|_| is_redirect && request.follows_redirects)
            else {
                return Ok(response);
            };
            let url = request.url.join(&location).ok_or(HttpError::BadRedirect)?;
            if request.url.is_https() && !url.is_https() {
                return Err(HttpError::Downgrade);
            }
            // RFC 9110 §15.4: 307 and 308 keep the method; what clients do with the others is GET.
            if !matches!(response.status, 307 | 308) {
                request.post = None;
                request.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("content-type"));
            }
            if !url.is_same_server(&request.url) {
                request.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("authorization"));
                request.reach = Reach::Public;
            }
            request.url = url;
        }
        Err(HttpError::TooManyRedirects)
    }
}

#[cfg(test)]
mod tests;
