//! What checks need of the world.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Bytes;
use hyper::header::DATE;
use hyper::{HeaderMap, Method};
use mox_base::Clock;
use mox_dns::{DnsError, Resolver, Trouble};
use mox_net::http::{Client, HttpError, RawRequest, Request, Response, Url};
use mox_net::tls::client::Connector;
use mox_net::{Conn, DialError, LocalIps, dial};
use tokio::time::timeout;

/// A connection that is on its way.
pub type Connecting<'a> = Pin<Box<dyn Future<Output = Result<Conn, DialError>> + Send + 'a>>;

/// A response of HTTP that is on its way.
pub type Fetching<'a> = Pin<Box<dyn Future<Output = Result<Response, HttpError>> + Send + 'a>>;

/// A date that is on its way.
pub type Dating<'a> = Pin<Box<dyn Future<Output = Result<String, HttpError>> + Send + 'a>>;

/// Who is asked for the time: one whom set-up asks anyway, by a connection that is protected.
const DATE_URL: &str = "https://data.iana.org/";

/// How long that takes at most, and how much is read.
const DATE_WAIT: Duration = Duration::from_secs(8);
const DATE_BYTES_MAX: usize = 1 << 20;

/// Connections to others.
pub trait Network: Send + Sync {
    /// Connects by TCP, within `limit`.
    fn dial(&self, address: SocketAddr, limit: Duration) -> Connecting<'_>;

    /// Makes a request of HTTP, within its own limit.
    fn fetch(&self, request: Request) -> Fetching<'_>;

    /// Asks a well-known server for the time, as the `Date` field of a response. RFC 9110 §6.6.1.
    fn date(&self) -> Dating<'_>;
}

/// The internet, as this machine reaches it.
#[derive(Debug)]
pub struct Internet {
    client: Client,
}

impl Internet {
    /// Reaches others, and asks by HTTP with `client`.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client }
    }
}

impl Network for Internet {
    fn dial(&self, address: SocketAddr, limit: Duration) -> Connecting<'_> {
        Box::pin(async move { dial(&[address], limit, LocalIps::default()).await })
    }

    fn fetch(&self, request: Request) -> Fetching<'_> {
        Box::pin(self.client.request(request))
    }

    fn date(&self) -> Dating<'_> {
        Box::pin(async {
            let url = Url::parse(DATE_URL).ok_or(HttpError::BadRedirect)?;
            let response = self.client.send(RawRequest {
                url,
                method: Method::HEAD,
                headers: HeaderMap::new(),
                body: Bytes::new(),
                limit: DATE_WAIT,
                body_bytes_max: DATE_BYTES_MAX,
            });
            let response = response.await?;
            let date = response.headers().get(DATE).and_then(|date| date.to_str().ok());
            Ok(date.unwrap_or_default().to_owned())
        })
    }
}

/// What checks ask through. Cheap to clone.
#[derive(Clone)]
pub struct Services {
    /// DNS, best without a cache: what was just changed should be seen.
    pub resolver: Arc<dyn Resolver>,
    /// Connections.
    pub network: Arc<dyn Network>,
    /// TLS, with the authorities that the world trusts.
    pub connector: Connector,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Services {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Services").finish_non_exhaustive()
    }
}

/// Waits for an answer of DNS at most as long as told.
pub(crate) async fn within<T>(
    limit: Duration,
    asking: impl Future<Output = Result<T, DnsError>>,
) -> Result<T, DnsError> {
    timeout(limit, asking).await.unwrap_or(Err(DnsError::Temporary(Trouble::Timeout)))
}
