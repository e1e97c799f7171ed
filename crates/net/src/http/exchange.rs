//! One request over one connection.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::Builder;
use hyper::header::{CONTENT_TYPE, HOST, HeaderName, HeaderValue, LOCATION};
use hyper::{Method, Response as Received};
use hyper_util::rt::TokioIo;
use mox_dns::{Lookups as _, Name};

use super::url::{Url, UrlHost};
use super::{Client, HttpError, Reach, Request, Response, is_public};
use crate::Conn;
use crate::dial::{LocalIps, dial};
use crate::tls::client::Verify;

/// The largest header of a response, in bytes.
pub const RESPONSE_HEADER_BYTES_MAX: usize = 64 << 10;

/// The most header fields of a response.
pub const RESPONSE_HEADERS_MAX: usize = 100;

/// What HTTP over TLS is called. RFC 7301 §6.
const ALPN: &[u8] = b"http/1.1";

impl Client {
    /// Makes one request, and returns where the response redirects to.
    pub(super) async fn once(
        &self,
        request: &Request,
    ) -> Result<(Response, Option<String>), HttpError> {
        let message = message(request)?;
        let conn = self.connect(&request.url, request.reach, request.limit).await?;
        run(conn, message, |received| read(received, request.body_bytes_max)).await
    }

    pub(super) async fn connect(
        &self,
        url: &Url,
        reach: Reach,
        limit: Duration,
    ) -> Result<Conn, HttpError> {
        let addresses = self.addresses(url, reach).await?;
        let conn = dial(&addresses, limit, LocalIps::default()).await?;
        if !url.is_https() {
            return Ok(conn);
        }
        let (names, ip) = match url.host() {
            UrlHost::Domain(domain) => (vec![domain.clone()], None),
            UrlHost::Local => (mox_base::Domain::parse("localhost").into_iter().collect(), None),
            UrlHost::Ip(ip) => (Vec::new(), Some(*ip)),
        };
        let verify =
            Verify { pkix: true, names, ip, alpn: vec![ALPN.to_vec()], ..Verify::default() };
        Ok(self.connector.connect(conn, &verify).await?.0)
    }

    /// The addresses of a server that may be connected to: the same ones that were looked at are
    /// connected to, so a second answer of DNS cannot lead elsewhere.
    async fn addresses(&self, url: &Url, reach: Reach) -> Result<Vec<SocketAddr>, HttpError> {
        let mut ips: Vec<IpAddr> = match url.host() {
            UrlHost::Ip(ip) => vec![*ip],
            UrlHost::Local => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
            UrlHost::Domain(domain) => {
                let failed = |source| HttpError::Dns { host: domain.ascii().to_owned(), source };
                self.resolver.ips(&Name::from(domain)).await.map_err(failed)?.records
            }
        };
        if reach == Reach::Public {
            ips.retain(|ip| is_public(*ip));
            if ips.is_empty() {
                return Err(HttpError::NotPublic(url.host().to_string()));
            }
        }
        Ok(ips.into_iter().map(|ip| SocketAddr::new(ip, url.port())).collect())
    }
}

/// Sends a request over a connection of its own and has the response read.
pub(super) async fn run<T, F: Future<Output = Result<T, HttpError>>>(
    conn: Conn,
    message: hyper::Request<Full<Bytes>>,
    read: impl FnOnce(Received<Incoming>) -> F,
) -> Result<T, HttpError> {
    let io = TokioIo::new(conn.into_transport());
    let mut builder = Builder::new();
    builder.max_buf_size(RESPONSE_HEADER_BYTES_MAX).max_headers(RESPONSE_HEADERS_MAX);
    let (mut sender, connection) = builder.handshake(io).await?;
    let exchange = pin!(async {
        let received = sender.send_request(message).await?;
        read(received).await
    });
    // The connection moves the bytes while the exchange waits for them. It ends first if the
    // server closes: what it has read by then is still handed out.
    match select(exchange, pin!(connection)).await {
        Either::Left((outcome, _)) => outcome,
        Either::Right((_closed, exchange)) => exchange.await,
    }
}

fn message(request: &Request) -> Result<hyper::Request<Full<Bytes>>, HttpError> {
    let method = if request.post.is_some() { Method::POST } else { Method::GET };
    let body = Full::new(Bytes::from(request.post.clone().unwrap_or_default()));
    let mut message = hyper::Request::new(body);
    *message.method_mut() = method;
    let bad = |name: &str| HttpError::BadHeader(name.to_owned());
    *message.uri_mut() = request.url.target().parse().map_err(|_| bad("target"))?;
    let fields = message.headers_mut();
    let host = HeaderValue::from_str(&request.url.host_field()).map_err(|_| bad("Host"))?;
    fields.insert(HOST, host);
    for (name, value) in &request.headers {
        let value = HeaderValue::from_str(value).map_err(|_| bad(name))?;
        let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad(name))?;
        fields.insert(header, value);
    }
    Ok(message)
}

async fn read(
    received: Received<Incoming>,
    bytes_max: usize,
) -> Result<(Response, Option<String>), HttpError> {
    let (head, mut incoming) = received.into_parts();
    let text = |name| {
        let value = head.headers.get(name)?;
        value.to_str().ok().map(str::to_owned)
    };
    let (content_type, location) = (text(CONTENT_TYPE), text(LOCATION));
    let mut body = Vec::new();
    let mut is_cut = false;
    while let Some(frame) = incoming.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        let room = bytes_max.saturating_sub(body.len());
        is_cut = data.len() > room;
        body.extend(data.into_iter().take(room));
        if is_cut {
            break;
        }
    }
    let status = head.status.as_u16();
    Ok((Response { status, content_type, body, is_cut }, location))
}
