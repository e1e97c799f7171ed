//! Connections: which protocol, under which limits, until when.

use std::convert::Infallible;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use mox_base::{Clock, Domain, UnixSeconds};
use mox_config::{Config, HttpPort, Live};
use mox_net::{CLASSES, ConnectionLimits, Incoming, OpenPermit, RateLimiter, Supervisor};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::activity::Activity;
use crate::exchange::{Connection, REQUEST_WINDOWS};
use crate::paced::Paced;
use crate::router::Router;

/// The name of HTTP/1.1 in ALPN. RFC 7301 §6.
pub const ALPN_HTTP1: &[u8] = b"http/1.1";

/// The name of HTTP/2 in ALPN. RFC 9113 §3.2.
pub const ALPN_HTTP2: &[u8] = b"h2";

/// The largest header of a request, with its first line. RFC 9110 §4.1 wants 8,000 bytes for the
/// target alone.
pub const HEADER_BYTES_MAX: usize = 32 << 10;

/// The most fields in the header of a request by HTTP/1.1.
pub const HEADERS_MAX: usize = 100;

/// Requests at the same time on one connection by HTTP/2.
pub const STREAMS_MAX: u32 = 100;

/// Open connections of an address and its networks. A browser has six at most, but many people may
/// share an address.
pub const OPEN_CONNECTIONS: [u32; CLASSES] = [100, 300, 900];

/// What a client may send in HTTP/2 before we have read it, for one request and for all together.
const WINDOW_BYTES: u32 = 64 << 10;

/// What waits to be sent in HTTP/2 for one request.
const SEND_BUFFER_BYTES: usize = 64 << 10;

/// Requests that a client took back before they were looked at. Attack: CVE-2023-44487, requests that
/// are taken back at once count as none and cost all the same.
const PENDING_RESETS_MAX: usize = 20;

/// How many of its own faults a client may make us take requests back for. Attack: frames that are
/// wrong in a small way, so that each costs a reset.
const LOCAL_RESETS_MAX: usize = 100;

/// How often a silent client of HTTP/2 is asked whether it is there, and how long it has to answer.
const PING_WAIT: Duration = Duration::from_secs(20);

/// How long a connection that is to end has for it when no request is under way.
const GOODBYE_WAIT: Duration = Duration::from_secs(2);

/// Gives the answer to a challenge by HTTP: for a name and a token, what only we can know. RFC 8555
/// §8.3.
pub type Http01 = Arc<dyn Fn(&Domain, &str) -> Option<String> + Send + Sync>;

/// What the server needs of others.
#[derive(Clone)]
pub struct Services {
    /// The configuration.
    pub config: Arc<Live>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// All tasks.
    pub supervisor: Supervisor,
    /// See [`Http01`].
    pub http01: Http01,
    /// Whether addresses are held to [`REQUEST_WINDOWS`] and [`OPEN_CONNECTIONS`].
    pub is_limited: bool,
}

/// What a port serves.
#[derive(Clone, Debug)]
pub struct Port {
    pub(crate) http: HttpPort,
    pub(crate) router: Router,
}

impl Port {
    /// As the configuration says.
    #[must_use]
    pub fn new(http: HttpPort) -> Self {
        let router = Router::new(&http.services);
        Self { http, router }
    }
}

/// Serves HTTP. Clones share limits.
#[derive(Clone)]
pub struct Server(Arc<Inner>);

struct Inner {
    services: Services,
    requests: Mutex<RateLimiter>,
    connections: ConnectionLimits,
    started: UnixSeconds,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").finish_non_exhaustive()
    }
}

impl Server {
    /// A server that has no connections yet.
    #[must_use]
    pub fn new(services: Services) -> Self {
        let (windows, connections) = match services.is_limited {
            true => (&REQUEST_WINDOWS[..], ConnectionLimits::with(&[], OPEN_CONNECTIONS)),
            false => (&[][..], ConnectionLimits::unlimited()),
        };
        let started = services.clock.now();
        let requests = Mutex::new(RateLimiter::new(windows));
        Self(Arc::new(Inner { services, requests, connections, started }))
    }

    pub(crate) fn config(&self) -> Arc<Config> {
        self.0.services.config.snapshot()
    }

    pub(crate) fn next_cid(&self) -> u64 {
        self.0.services.supervisor.next_cid()
    }

    pub(crate) fn http01(&self, host: &Domain, token: &str) -> Option<String> {
        (self.0.services.http01)(host, token)
    }

    /// When the server was made.
    pub(crate) fn started(&self) -> UnixSeconds {
        self.0.started
    }

    /// Counts a request; false if there were too many.
    pub(crate) fn may_ask(&self, ip: IpAddr) -> bool {
        let now = self.0.services.clock.now();
        self.0.requests.lock().try_add(ip, now, 1)
    }

    /// A connection that may be open, or `None` if its network has too many.
    fn admit(&self, ip: IpAddr, port: &Port) -> Option<Option<OpenPermit>> {
        // All clients of a proxy come from its address.
        if port.http.is_forwarded || port.http.is_unlimited {
            return Some(None);
        }
        let now = self.0.services.clock.now();
        self.0.connections.admit(ip, now, false, || true).ok().map(Some)
    }

    /// Serves a connection until its end. Within TLS, what was agreed on by ALPN is spoken, HTTP/1.1
    /// without. RFC 9113 §3.
    pub async fn serve(self, incoming: Incoming, port: Arc<Port>) {
        let Incoming { conn, cid, stopping } = incoming;
        let tls = conn.tls().map(|tls| format!("{} {}", tls.version, tls.cipher_suite));
        let peer = Peer {
            cid,
            remote: conn.peer(),
            is_http2: conn.tls().is_some_and(|tls| tls.alpn.as_deref() == Some(ALPN_HTTP2)),
            tls: tls.unwrap_or_default().into(),
        };
        self.serve_stream(conn.into_stream(), peer, stopping, port).await;
    }

    pub(crate) async fn serve_stream(
        self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        peer: Peer,
        stopping: CancellationToken,
        port: Arc<Port>,
    ) {
        let Peer { cid, remote, is_http2, tls } = peer;
        let Some(_permit) = self.admit(remote.ip(), &port) else {
            tracing::debug!(cid, %remote, "too many open connections from network");
            return;
        };
        let activity = Activity::new(!is_http2);
        let server = self.clone();
        let connection = Connection { server, port, activity: activity.clone(), remote, tls };
        let io = TokioIo::new(Paced::new(stream, activity.clone()));
        let service = service_fn(move |request| {
            let connection = connection.clone();
            async move { Ok::<_, Infallible>(connection.respond(request).await) }
        });
        let ended = if is_http2 {
            let tasks = Tasks { supervisor: self.0.services.supervisor.clone(), cid };
            let served = http2_builder(tasks).serve_connection(io, service);
            drive(served, http2::Connection::graceful_shutdown, &activity, &stopping).await
        } else {
            let served = http1_builder().serve_connection(io, service);
            drive(served, http1::Connection::graceful_shutdown, &activity, &stopping).await
        };
        if let Err(error) = ended {
            tracing::debug!(cid, %remote, %error, "http connection");
        }
    }
}

/// Who is at the other end of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) cid: u64,
    pub(crate) remote: SocketAddr,
    pub(crate) is_http2: bool,
    /// Version and cipher suite, empty without TLS.
    pub(crate) tls: Arc<str>,
}

fn http1_builder() -> http1::Builder {
    let mut builder = http1::Builder::new();
    // Waiting is up to `Activity`: this one would count a silent client as one with a slow header.
    builder.timer(TokioTimer::new()).header_read_timeout(None);
    builder
        .max_buf_size(HEADER_BYTES_MAX)
        .max_header_size(HEADER_BYTES_MAX)
        .max_headers(HEADERS_MAX);
    builder
}

fn http2_builder(tasks: Tasks) -> http2::Builder<Tasks> {
    let header_bytes = u32::try_from(HEADER_BYTES_MAX).unwrap_or(u32::MAX);
    let mut builder = http2::Builder::new(tasks);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(header_bytes)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .max_send_buf_size(SEND_BUFFER_BYTES)
        .max_pending_accept_reset_streams(PENDING_RESETS_MAX)
        .max_local_error_reset_streams(LOCAL_RESETS_MAX)
        .keep_alive_interval(PING_WAIT)
        .keep_alive_timeout(PING_WAIT);
    builder
}

/// Serves until the peer is done, has been silent for too long, or the server stops. In the latter
/// cases requests that are under way are answered first.
async fn drive<C>(
    served: C,
    goodbye: fn(Pin<&mut C>),
    activity: &Activity,
    stopping: &CancellationToken,
) -> hyper::Result<()>
where
    C: Future<Output = hyper::Result<()>>,
{
    let mut served = pin!(served);
    tokio::select! {
        ended = served.as_mut() => return ended,
        () = activity.expired() => {}
        () = stopping.cancelled() => {
            goodbye(served.as_mut());
            tokio::select! {
                ended = served.as_mut() => return ended,
                () = activity.expired() => {}
            }
        }
    }
    goodbye(served.as_mut());
    timeout(GOODBYE_WAIT, served).await.unwrap_or(Ok(()))
}

/// Runs the requests of a connection by HTTP/2 under the supervisor, so that a panic is counted and
/// they end with the server.
#[derive(Clone)]
struct Tasks {
    supervisor: Supervisor,
    cid: u64,
}

impl<F> Executor<F> for Tasks
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, task: F) {
        self.supervisor.spawn("http", self.cid, task);
    }
}
