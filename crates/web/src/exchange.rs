//! A request from its header to the end of its response.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, REFERER, USER_AGENT};
use hyper::{Method, Response, Version};
use mox_metrics::http::Served;
use mox_net::Window;
use tokio::time::Instant;

use crate::activity::{Activity, InFlight};
use crate::answer::Answer;
use crate::compress::compress;
use crate::forwarded;
use crate::host::Host;
use crate::path;
use crate::request::Request;
use crate::router::Found;
use crate::server::{Port, Server};

/// How many requests an address and its networks may make: 1,000, 3,000, 9,000 in a minute and five
/// times that in an hour.
pub const REQUEST_WINDOWS: [Window; 2] = [
    Window { secs: 60, limits: [1_000, 3_000, 9_000] },
    Window { secs: 3_600, limits: [5_000, 15_000, 45_000] },
];

/// When a client over the limit should try again: the shorter window is over by then.
const RETRY_SECS: u64 = 60;

/// What is known of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    pub(crate) server: Server,
    pub(crate) port: Arc<Port>,
    pub(crate) activity: Activity,
    pub(crate) remote: std::net::SocketAddr,
    /// Version and cipher suite, empty without TLS.
    pub(crate) tls: Arc<str>,
}

/// Who answered, and what.
struct Handled {
    handler: &'static str,
    answer: Answer,
}

impl Connection {
    /// Answers a request.
    pub(crate) async fn respond(self, request: hyper::Request<Incoming>) -> Response<Tracked> {
        let started = Instant::now();
        let in_flight = self.activity.request();
        let cid = self.server.next_cid();
        let is_http1 = request.version() < Version::HTTP_2;
        let is_head = request.method() == Method::HEAD;
        let accepts = accepted(request.headers());
        let mut line = AccessLine::new(&self, &request, cid);
        let Handled { handler, mut answer } = self.handle(request, cid, &line).await;
        let uncompressed = compress(&mut answer, &accepts);
        line.served.handler = handler.into();
        line.served.code = answer.status.as_u16();
        line.uncompressed_size = uncompressed;
        line.size = answer.body.len();
        mox_metrics::http::responded(&line.served, started.elapsed());
        let end = End { line, started, _in_flight: in_flight };
        into_response(answer, is_head, is_http1, end)
    }

    async fn handle(
        &self,
        request: hyper::Request<Incoming>,
        cid: u64,
        line: &AccessLine,
    ) -> Handled {
        let nobody = |answer: Answer| Handled { handler: "(nomatch)", answer: answer.secured() };
        if let Some(ip) = line.limited_ip
            && !self.server.may_ask(ip)
        {
            let answer = Answer::too_many(RETRY_SECS).secured();
            return Handled { handler: RATE_LIMITED, answer };
        }
        let (head, body) = request.into_parts();
        let Ok(host) = Host::of(&head.uri, &head.headers, head.version) else {
            return nobody(Answer::bad_request("invalid host"));
        };
        let Some(path) = path::cleaned(head.uri.path()) else {
            return nobody(Answer::bad_request("invalid path"));
        };
        let config = self.server.config();
        let handler = match self.port.router.find(&path, &host, &config) {
            Found::Handler(handler) => handler,
            Found::AddSlash => {
                let query = head.uri.query().map(|query| format!("?{query}"));
                let location = format!("{path}/{}", query.unwrap_or_default());
                return nobody(Answer::see_other(&location));
            }
            Found::Nothing => return nobody(Answer::not_found()),
        };
        let request = Request {
            cid,
            config,
            method: head.method,
            path,
            query: head.uri.query().unwrap_or_default().to_owned(),
            host,
            authority: line.host.clone(),
            is_https: line.served.proto == "https",
            body,
        };
        let answer = handler.answer(&self.server, request).await;
        Handled { handler: handler.name(), answer: answer.secured() }
    }
}

/// What is put down instead of a handler for requests over the limit.
const RATE_LIMITED: &str = "(ratelimited)";

/// The fields that decide how an answer is sent.
fn accepted(headers: &HeaderMap) -> HeaderMap {
    let name = hyper::header::ACCEPT_ENCODING;
    headers.get_all(&name).iter().map(|value| (name.clone(), value.clone())).collect()
}

/// RFC 9110 §9.3.2: HEAD gets the header that GET would get, and no body.
fn into_response(answer: Answer, is_head: bool, is_http1: bool, end: End) -> Response<Tracked> {
    let Answer { status, mut headers, body } = answer;
    headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    // RFC 9112 §9.6: what is left of the request after a refusal is not read to its end.
    if is_http1 && (status.as_u16() == 413 || status.as_u16() == 408) {
        headers.insert(hyper::header::CONNECTION, HeaderValue::from_static("close"));
    }
    let body = if is_head { Bytes::new() } else { body };
    let mut response = Response::new(Tracked { body: Full::new(body), _end: end });
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// A body that puts down when it ended.
#[derive(Debug)]
pub(crate) struct Tracked {
    body: Full<Bytes>,
    _end: End,
}

impl Body for Tracked {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// What is done when a response ended, sent or not.
#[derive(Debug)]
struct End {
    line: AccessLine,
    started: Instant,
    _in_flight: InFlight,
}

impl Drop for End {
    fn drop(&mut self) {
        let took = self.started.elapsed();
        mox_metrics::http::finished(&self.line.served, took);
        if self.line.served.handler != RATE_LIMITED {
            self.line.log(took);
        }
    }
}

/// The most of a header field that is kept for the access log, in characters.
const FIELD_CHARS_MAX: usize = 1_000;

/// The most of a URL that is kept for it.
const URL_CHARS_MAX: usize = 2_000;

/// A line of the access log.
#[derive(Debug)]
struct AccessLine {
    cid: u64,
    served: Served,
    method: Method,
    url: String,
    host: String,
    protocol: Version,
    remote: std::net::SocketAddr,
    tls: Arc<str>,
    user_agent: String,
    referer: String,
    client_ip: Option<std::net::IpAddr>,
    /// The address whose requests are counted.
    limited_ip: Option<std::net::IpAddr>,
    size: usize,
    uncompressed_size: Option<usize>,
}

impl AccessLine {
    fn new<B>(connection: &Connection, request: &hyper::Request<B>, cid: u64) -> Self {
        let port = &connection.port.http;
        let headers = request.headers();
        let text = |name: HeaderName| {
            let value = headers.get(name).and_then(|value| value.to_str().ok());
            cut(value.unwrap_or_default(), FIELD_CHARS_MAX)
        };
        let client_ip = forwarded::client_ip(headers).filter(|_| port.is_forwarded);
        // Behind a proxy that does not say for whom it asks, all clients would be one.
        let known_ip = if port.is_forwarded { client_ip } else { Some(connection.remote.ip()) };
        let limited_ip = known_ip.filter(|_| !port.is_unlimited);
        let is_https = match port.is_forwarded {
            true => port.is_tls || forwarded::is_https(headers),
            false => port.is_tls,
        };
        let authority = request.uri().authority();
        let authority = authority.map(|name| cut(name.as_str(), FIELD_CHARS_MAX));
        let served = Served {
            handler: "".into(),
            proto: if is_https { "https" } else { "http" },
            method: method_name(request.method()),
            code: 0,
        };
        Self {
            cid,
            served,
            method: request.method().clone(),
            url: cut(&request.uri().to_string(), URL_CHARS_MAX),
            host: authority.unwrap_or_else(|| text(hyper::header::HOST)),
            protocol: request.version(),
            remote: connection.remote,
            tls: Arc::clone(&connection.tls),
            user_agent: text(USER_AGENT),
            referer: text(REFERER),
            client_ip,
            limited_ip,
            size: 0,
            uncompressed_size: None,
        }
    }

    fn log(&self, took: std::time::Duration) {
        tracing::debug!(
            httpaccess = "",
            handler = &*self.served.handler,
            method = %self.method,
            url = self.url,
            host = self.host,
            duration = ?took,
            statuscode = self.served.code,
            proto = ?self.protocol,
            remoteaddr = %self.remote,
            tlsinfo = &*self.tls,
            useragent = self.user_agent,
            referer = self.referer,
            clientip = self.client_ip.map(tracing::field::display),
            size = self.size,
            uncompressedsize = self.uncompressed_size,
            cid = self.cid,
            "http request"
        );
    }
}

fn cut(text: &str, chars_max: usize) -> String {
    text.chars().take(chars_max).collect()
}

/// Methods for counting: a client can invent as many as it likes.
fn method_name(method: &Method) -> &'static str {
    const NAMES: [(Method, &str); 9] = [
        (Method::GET, "get"),
        (Method::HEAD, "head"),
        (Method::POST, "post"),
        (Method::PUT, "put"),
        (Method::DELETE, "delete"),
        (Method::OPTIONS, "options"),
        (Method::PATCH, "patch"),
        (Method::CONNECT, "connect"),
        (Method::TRACE, "trace"),
    ];
    NAMES.iter().find(|(known, _)| known == method).map_or("(other)", |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::TestServer;

    /// Attack: requests as large as they may be, each of which takes that room in the log too.
    #[tokio::test]
    async fn what_the_access_log_keeps_of_a_request_is_cut() {
        let test = TestServer::start();
        let connection = Connection {
            server: test.server.clone(),
            port: Arc::clone(&test.port),
            activity: Activity::new(true),
            remote: ([192, 0, 2, 1], 1_025).into(),
            tls: "".into(),
        };
        let long = "x".repeat(URL_CHARS_MAX + 1);
        let line = |uri: &str| {
            let request = hyper::Request::builder().uri(uri).header("Host", &long);
            let request = request.header("Referer", &long).header("User-Agent", &long).body(());
            AccessLine::new(&connection, &request.unwrap(), 1)
        };
        let cut = line(&format!("/{long}"));
        assert_eq!(cut.url.len(), URL_CHARS_MAX);
        let fields = [cut.host, cut.user_agent, cut.referer];
        assert_eq!(fields.map(|field| field.len()), [FIELD_CHARS_MAX; 3]);
        // Bug: in HTTP/2 the name of the host comes with the URL, and was kept whole.
        assert_eq!(line(&format!("https://{long}/")).host.len(), FIELD_CHARS_MAX);
        assert_eq!(line("https://x.example/a?b").url, "https://x.example/a?b");
    }
}
