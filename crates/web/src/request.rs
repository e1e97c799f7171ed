//! A request as handlers see it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use hyper::Method;
use hyper::body::Incoming;
use mox_config::Config;
use tokio::time::timeout;

use crate::host::Host;

/// The largest body of a request.
pub const BODY_BYTES_MAX: usize = 64 << 10;

/// How long the body of a request may take.
pub const BODY_WAIT: Duration = Duration::from_secs(30);

/// A request, after its host and path were understood.
#[derive(Debug)]
pub(crate) struct Request {
    /// Its number, for the log.
    pub(crate) cid: u64,
    /// The configuration from its start to its end.
    pub(crate) config: Arc<Config>,
    pub(crate) method: Method,
    /// Cleaned.
    pub(crate) path: String,
    /// As it was sent, empty if there is none.
    pub(crate) query: String,
    pub(crate) host: Host,
    /// What the host was called, with its port.
    pub(crate) authority: String,
    /// Whether the client speaks HTTPS, with us or with our proxy.
    pub(crate) is_https: bool,
    pub(crate) body: Incoming,
}

/// Why there is no body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadBody {
    /// Over [`BODY_BYTES_MAX`].
    TooLarge,
    /// Over [`BODY_WAIT`].
    TooSlow,
    /// The client went away, or broke the protocol.
    Broken,
}

impl Request {
    /// Whether only what is there is asked for. RFC 9110 §9.3.1, §9.3.2.
    pub(crate) fn is_get(&self) -> bool {
        self.method == Method::GET || self.method == Method::HEAD
    }

    /// Reads the body.
    pub(crate) async fn read_body(&mut self) -> Result<Bytes, BadBody> {
        let body = Limited::new(&mut self.body, BODY_BYTES_MAX);
        match timeout(BODY_WAIT, body.collect()).await {
            Err(_) => Err(BadBody::TooSlow),
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
                Err(BadBody::TooLarge)
            }
            Ok(Err(_)) => Err(BadBody::Broken),
        }
    }
}
