//! A request of any method, with all of the response: for protocols on top of HTTP.

use std::time::Duration;

use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::Method;
use hyper::body::{Bytes, Incoming};
use hyper::header::{HOST, HeaderMap, HeaderValue};
use tokio::time::timeout;

use super::exchange::run;
use super::{Client, HttpError, Reach, Url};

/// A request that is made as it is: redirects are not followed.
#[derive(Clone, Debug)]
pub struct RawRequest {
    /// What is asked for. The server may have any address: an administrator chose it.
    pub url: Url,
    /// The method.
    pub method: Method,
    /// Fields besides `Host` and `Content-Length`.
    pub headers: HeaderMap,
    /// The body; empty for none.
    pub body: Bytes,
    /// For all of it.
    pub limit: Duration,
    /// The most bytes of the body of the response. More is an error.
    pub body_bytes_max: usize,
}

impl Client {
    /// Makes a request and waits for the response with its header fields and its whole body.
    ///
    /// Any status is a response. To drop the future is to give up.
    ///
    /// # Errors
    ///
    /// If there is no response, or not in time, or it is too large.
    pub async fn send(&self, request: RawRequest) -> Result<hyper::Response<Bytes>, HttpError> {
        let limit = request.limit;
        let all = Box::pin(self.send_unbounded(request));
        timeout(limit, all).await.unwrap_or(Err(HttpError::TimedOut(limit)))
    }

    async fn send_unbounded(
        &self,
        request: RawRequest,
    ) -> Result<hyper::Response<Bytes>, HttpError> {
        let RawRequest { url, method, headers, body, limit, body_bytes_max } = request;
        let bad = |name: &str| HttpError::BadHeader(name.to_owned());
        let mut message = hyper::Request::new(Full::new(body));
        *message.method_mut() = method;
        *message.uri_mut() = url.target().parse().map_err(|_| bad("target"))?;
        let host = HeaderValue::from_str(&url.host_field()).map_err(|_| bad("Host"))?;
        *message.headers_mut() = headers;
        message.headers_mut().insert(HOST, host);
        let conn = self.connect(&url, Reach::Any, limit).await?;
        run(conn, message, |received| whole(received, body_bytes_max)).await
    }
}

async fn whole(
    received: hyper::Response<Incoming>,
    bytes_max: usize,
) -> Result<hyper::Response<Bytes>, HttpError> {
    let (head, incoming) = received.into_parts();
    let body = Limited::new(incoming, bytes_max).collect().await;
    let body = body.map_err(|error| match error.downcast::<hyper::Error>() {
        Ok(error) => HttpError::Http(*error),
        Err(other) => {
            debug_assert!(other.is::<LengthLimitError>(), "{other}");
            HttpError::TooLarge(bytes_max)
        }
    })?;
    Ok(hyper::Response::from_parts(head, body.to_bytes()))
}
