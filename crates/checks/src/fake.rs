//! A network for tests: connections that are refused, lost or answered by a script, and pages.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use mox_net::http::{HttpError, Request, Response, Url};
use mox_net::{Conn, DialError};
use tokio::io::DuplexStream;

use crate::services::{Connecting, Dating, Fetching, Network};

/// Bytes on the way in a connection.
const CONN_BYTES: usize = 64 << 10;

/// What a server does with a connection. It may hold its end, or start a task.
type Server = Box<dyn Fn(DuplexStream) + Send + Sync>;

/// A network of what was added to it: other addresses refuse connections, other URLs have status 404.
#[derive(Default)]
pub struct FakeNetwork {
    servers: BTreeMap<SocketAddr, Server>,
    silent: Vec<SocketAddr>,
    pages: Vec<(Url, u16, Vec<u8>)>,
    date: Option<String>,
    dialed: Mutex<Vec<SocketAddr>>,
}

impl std::fmt::Debug for FakeNetwork {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FakeNetwork").field("dialed", &self.dialed).finish_non_exhaustive()
    }
}

impl FakeNetwork {
    /// One that nobody is on.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a server.
    pub fn add_server(
        &mut self,
        address: SocketAddr,
        serve: impl Fn(DuplexStream) + Send + Sync + 'static,
    ) -> &mut Self {
        self.servers.insert(address, Box::new(serve));
        self
    }

    /// Adds a port that takes connections and says nothing.
    ///
    /// # Panics
    ///
    /// If `address` is none.
    pub fn add_open(&mut self, address: &str) -> &mut Self {
        let held = Mutex::new(Vec::new());
        self.add_server(parsed(address), move |conn| {
            held.lock().unwrap_or_else(PoisonError::into_inner).push(conn);
        })
    }

    /// Adds an address that nothing comes back from.
    ///
    /// # Panics
    ///
    /// If `address` is none.
    pub fn add_silent(&mut self, address: &str) -> &mut Self {
        self.silent.push(parsed(address));
        self
    }

    /// Adds a page.
    ///
    /// # Panics
    ///
    /// If `url` is none.
    pub fn add_page(&mut self, url: &str, status: u16, body: &str) -> &mut Self {
        let Some(url) = Url::parse(url) else { broken(url) };
        self.pages.push((url, status, body.as_bytes().to_vec()));
        self
    }

    /// Has a server tell this date.
    pub fn set_date(&mut self, date: &str) -> &mut Self {
        self.date = Some(date.to_owned());
        self
    }

    /// The addresses that were connected to since the last call.
    pub fn take_dialed(&self) -> Vec<SocketAddr> {
        std::mem::take(&mut *self.dialed.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn page(&self, request: &Request) -> Response {
        let page = self.pages.iter().find(|(url, _, _)| *url == request.url);
        let (status, body) = page.map_or((404, &[][..]), |(_, status, body)| (*status, body));
        let is_cut = body.len() > request.body_bytes_max;
        let body = body.iter().take(request.body_bytes_max).copied().collect();
        Response { status, content_type: None, body, is_cut }
    }
}

impl Network for FakeNetwork {
    fn dial(&self, address: SocketAddr, limit: Duration) -> Connecting<'_> {
        self.dialed.lock().unwrap_or_else(PoisonError::into_inner).push(address);
        let failed =
            move |kind: io::ErrorKind| Err(DialError::Failed { address, source: kind.into() });
        if self.silent.contains(&address) {
            return Box::pin(async move {
                tokio::time::sleep(limit).await;
                failed(io::ErrorKind::TimedOut)
            });
        }
        let Some(server) = self.servers.get(&address) else {
            return Box::pin(async move { failed(io::ErrorKind::ConnectionRefused) });
        };
        let (ours, theirs) = tokio::io::duplex(CONN_BYTES);
        server(theirs);
        Box::pin(async move { Ok(Conn::memory(ours)) })
    }

    fn fetch(&self, request: Request) -> Fetching<'_> {
        Box::pin(async move { Ok::<_, HttpError>(self.page(&request)) })
    }

    fn date(&self) -> Dating<'_> {
        let date = self.date.clone().ok_or(HttpError::TimedOut(Duration::ZERO));
        Box::pin(std::future::ready(date))
    }
}

fn parsed(address: &str) -> SocketAddr {
    address.parse().unwrap_or_else(|_| broken(address))
}

#[expect(clippy::panic, reason = "a broken table should fail the test that made it")]
fn broken<T>(text: &str) -> T {
    panic!("{text:?} in a fake network")
}
