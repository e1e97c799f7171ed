//! Gives out a list of changes by HTTP: what a proxy with TLS puts before the world.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use mox_net::blocking;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::{CHANGELOG_BYTES_MAX, ChangeError, Changelog, Version};

/// Connections that are served at the same time; others wait.
const CONNECTIONS_MAX: usize = 100;

/// All of a connection: it is for one request.
const CONNECTION_WAIT: Duration = Duration::from_secs(30);

/// The header of a request.
const HEADER_WAIT: Duration = Duration::from_secs(10);

/// The size of the header of a request: the least that the library takes.
const HEADER_BYTES_MAX: usize = 8 << 10;

/// Serves `/changelog` until it is dropped: the list in a file, which is read for each request.
///
/// With `?from=v1.2.3` those changes are left out that begin with that version or an older one.
///
/// # Errors
///
/// If the socket fails.
pub async fn serve(socket: TcpListener, changelog: &Path) -> std::io::Result<Infallible> {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let changelog: Arc<PathBuf> = Arc::new(changelog.to_owned());
    loop {
        let (stream, peer) = socket.accept().await?;
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { continue };
        let changelog = Arc::clone(&changelog);
        tokio::spawn(async move {
            let answer = service_fn(move |request| {
                let changelog = Arc::clone(&changelog);
                async move { Ok::<_, Infallible>(answer(request, &changelog, peer).await) }
            });
            let mut builder = Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(HEADER_WAIT);
            builder.keep_alive(false).max_buf_size(HEADER_BYTES_MAX);
            let served = builder.serve_connection(TokioIo::new(stream), answer);
            // A client that goes away, or takes too long, has had its chance.
            let _ended = timeout(CONNECTION_WAIT, served).await;
            drop(place);
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    changelog: &Arc<PathBuf>,
    peer: SocketAddr,
) -> Response<Full<Bytes>> {
    let found = found(&request, changelog).await;
    let (status, kind, body) = match found {
        Ok(json) => (StatusCode::OK, "application/json", json),
        Err(status) => (status, "text/plain", format!("{status}\n")),
    };
    let path = request.uri().path();
    tracing::info!(%peer, method = %request.method(), path, status = status.as_u16(), "request");
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

async fn found(
    request: &Request<Incoming>,
    changelog: &Arc<PathBuf>,
) -> Result<String, StatusCode> {
    if request.uri().path() != "/changelog" {
        return Err(StatusCode::NOT_FOUND);
    }
    if *request.method() != Method::GET {
        return Err(StatusCode::METHOD_NOT_ALLOWED);
    }
    let from = match request.uri().query() {
        None => None,
        Some(query) => {
            let version = query.strip_prefix("from=").and_then(|text| Version::parse(text).ok());
            Some(version.ok_or(StatusCode::BAD_REQUEST)?)
        }
    };
    let path = Arc::clone(changelog);
    let log = blocking(move || read(&path)).await.map_err(|error| {
        tracing::error!(%error, "list of changes");
        StatusCode::INTERNAL_SERVER_ERROR
    })?;
    Ok(from.map_or_else(|| log.clone(), |from| log.newer_than(from)).to_json())
}

fn read(path: &Path) -> std::io::Result<Changelog> {
    use std::io::Read as _;
    let mut json = Vec::new();
    let bytes_max = CHANGELOG_BYTES_MAX as u64 + 1;
    std::fs::File::open(path)?.take(bytes_max).read_to_end(&mut json)?;
    Changelog::parse(&json).map_err(|error: ChangeError| std::io::Error::other(error))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    use super::super::SigningKey;
    use super::*;

    async fn ask(at: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(at).await.unwrap();
        stream
            .write_all(format!("{request} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes())
            .await
            .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    }

    #[tokio::test]
    async fn what_is_newer_is_given_out() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("changelog.json");
        let key = SigningKey::from_seed([5; 32]).unwrap();
        let texts = ["v0.2.0 second", "v0.1.0 first", "of no version"];
        let log = Changelog { changes: texts.map(|text| key.sign(text)).to_vec() };
        std::fs::write(&path, log.to_json()).unwrap();
        let socket = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let at = socket.local_addr().unwrap();
        let served = path.clone();
        let serving = tokio::spawn(async move { serve(socket, &served).await });
        let texts = async |request: &str| {
            let text = ask(at, request).await;
            assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
            let json = text.split_once("\r\n\r\n").unwrap().1;
            Changelog::parse(json.as_bytes()).unwrap().texts(&key.public()).unwrap()
        };
        assert_eq!(texts("GET /changelog").await.len(), 3);
        assert_eq!(texts("GET /changelog?from=v0.1.0").await, ["v0.2.0 second", "of no version"]);
        assert_eq!(texts("GET /changelog?from=v0.2.0").await, ["of no version"]);
        for (request, status) in [
            ("GET /", "404"),
            ("POST /changelog", "405"),
            ("GET /changelog?from=x", "400"),
            ("GET /changelog?since=v0.1.0", "400"),
        ] {
            let text = ask(at, request).await;
            assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {text}");
        }
        std::fs::write(&path, "{").unwrap();
        assert!(ask(at, "GET /changelog").await.starts_with("HTTP/1.1 500 "));
        serving.abort();
    }
}
