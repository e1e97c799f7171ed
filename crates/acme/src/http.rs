//! The requests of the ACME client, over our own resolver, sockets and TLS.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::header::{HeaderMap, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::{Request, Response};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use mox_base::{Clock, DateTime, UnixSeconds};
use mox_net::http::{Client, RawRequest, Url};
use parking_lot::Mutex;

/// How long one request may take.
const REQUEST_WAIT: Duration = Duration::from_secs(30);

/// The size of a response: directories, orders and chains are a few thousand bytes.
const RESPONSE_BYTES_MAX: usize = 256 << 10;

/// What cannot be asked for.
#[derive(Debug, thiserror::Error)]
enum UrlError {
    #[error("the provider names an invalid url")]
    Invalid,
    #[error("the provider names a url without https")]
    Open,
}

/// The wait that the last response with an error asked for. RFC 8555 §6.6.
#[derive(Debug, Default)]
pub(crate) struct RetryAfter(Mutex<Option<Duration>>);

impl RetryAfter {
    pub(crate) fn get(&self) -> Option<Duration> {
        *self.0.lock()
    }
}

/// Makes the client's requests.
#[derive(Clone)]
pub(crate) struct Requests {
    pub(crate) http: Client,
    pub(crate) clock: Arc<dyn Clock>,
    /// RFC 8555 §6.1: who we are.
    pub(crate) user_agent: HeaderValue,
    pub(crate) retry_after: Arc<RetryAfter>,
    /// RFC 8555 §6.1: HTTPS is required, unless the operator gave a directory without it.
    pub(crate) is_https_only: bool,
}

impl Requests {
    async fn send(self, request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, Error> {
        let other = |error| Error::Other(error);
        let (head, body) = request.into_parts();
        let url =
            Url::parse(&head.uri.to_string()).ok_or_else(|| other(UrlError::Invalid.into()))?;
        if self.is_https_only && head.uri.scheme_str() != Some("https") {
            return Err(other(UrlError::Open.into()));
        }
        let mut headers = head.headers;
        headers.insert(USER_AGENT, self.user_agent);
        let body = match body.collect().await {
            Ok(body) => body.to_bytes(),
            Err(never) => match never {},
        };
        let raw = RawRequest {
            url,
            method: head.method,
            headers,
            body,
            limit: REQUEST_WAIT,
            body_bytes_max: RESPONSE_BYTES_MAX,
        };
        let response = self.http.send(raw).await.map_err(|error| other(error.into()))?;
        let failed = response.status().is_client_error() || response.status().is_server_error();
        let wait = failed.then(|| retry_after(response.headers(), &*self.clock)).flatten();
        *self.retry_after.0.lock() = wait;
        let (parts, body) = Response::into_parts(response);
        Ok(BytesResponse { parts, body: Box::new(body) })
    }
}

impl HttpClient for Requests {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        Box::pin(self.clone().send(request))
    }
}

/// `Retry-After = HTTP-date / delay-seconds`. RFC 9110 §10.2.3.
fn retry_after(headers: &HeaderMap, clock: &dyn Clock) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(secs) = text.parse() {
        return Some(Duration::from_secs(secs));
    }
    let secs = http_date(text)?.secs_since(clock.now());
    Some(Duration::from_secs(u64::try_from(secs).unwrap_or(0)))
}

/// `IMF-fixdate`, such as `Sun, 06 Nov 1994 08:49:37 GMT`. RFC 9110 §5.6.7: the other forms are
/// obsolete.
fn http_date(text: &str) -> Option<UnixSeconds> {
    let (_weekday, rest) = text.strip_suffix(" GMT")?.split_once(", ")?;
    let fields: Vec<_> = rest.split([' ', ':']).collect();
    let [day, month, year, hour, minute, second] = *fields.as_slice() else { return None };
    let date = DateTime {
        year: year.parse().ok()?,
        month: DateTime::month_from_name(month)?,
        day: day.parse().ok()?,
        hour: hour.parse().ok()?,
        minute: minute.parse().ok()?,
        second: second.parse().ok()?,
        zone_minutes: 0,
    };
    date.to_unix().ok()
}

#[cfg(test)]
mod tests {
    use mox_testkit::ManualClock;

    use super::*;

    #[track_caller]
    fn check(text: &str, want: Option<u64>) {
        let clock = ManualClock::at(UnixSeconds(784_111_777));
        let headers = [(RETRY_AFTER, HeaderValue::from_str(text).unwrap())].into_iter().collect();
        assert_eq!(retry_after(&headers, &clock), want.map(Duration::from_secs), "{text:?}");
    }

    #[test]
    fn both_forms_of_waits_are_read() {
        check("120", Some(120));
        check(" 0 ", Some(0));
        check("Sun, 06 Nov 1994 08:49:47 GMT", Some(10));
        check("Sun, 06 Nov 1994 08:49:27 GMT", Some(0));
        check("18446744073709551616", None);
        check("Sun, 06 Foo 1994 08:49:27 GMT", None);
        check("Sun, 32 Nov 1994 08:49:27 GMT", None);
        check("soon", None);
        check("", None);
        assert_eq!(retry_after(&HeaderMap::new(), &ManualClock::default()), None);
    }
}
