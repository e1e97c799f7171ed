//! The IMAP driver: sockets, `mox_imap`'s session, and the services it asks for.
//!
//! Reads: the client's bytes. Writes: responses; the client's account. Fails: by closing the one
//! connection, with BYE where the protocol allows it.
//!
//! The session decides what is said; this crate moves bytes, performs the session's operations
//! on the store, and carries changes from the store's feed to the session. What a client is told
//! of an error is decided by the session's `Refusal`; causes go to the log.
//!
//! Invariant: while a client is slow to read, no read transaction is open and at most one page
//! of responses is held for it.

mod append;
mod catenate;
mod changes;
mod connection;
mod context;
mod fetch;
mod mailboxes;
mod messages;
mod metadata;
mod notify;
mod pace;
mod progress;
mod record;
mod refusal;
mod search;
mod select;
mod sign_in;
mod stream;
mod url;
mod url_fetch;

use std::sync::Arc;
use std::time::Duration;

use mox_base::{Clock, Rng};
use mox_login::{Login, Logins};
use mox_net::tls::TlsAcceptor;
use mox_net::trace::TraceSwitch;
use mox_net::{ConnectionLimits, Incoming};

pub use append::STAGED_BYTES_MAX;
pub use catenate::CATENATED_BYTES_MAX;
pub use connection::SLOW_AFTER_FAILURES;
pub use context::AGES_PAUSE_SECS;
pub use fetch::{PAGE_BYTES, PAGE_MESSAGES};
pub use notify::NOTIFY_PAUSE;
pub use pace::{
    AUTHENTICATED_WAIT, BYTES_PER_SEC_MIN, CLOSING_WAIT, COMMAND_OUTPUT_WAITS, COMMAND_WAIT,
    FIRST_COMMANDS_WAIT, FLUSH_WAIT, LITERAL_WAIT,
};
pub use progress::PROGRESS_WAIT;
pub use url::UrlSealer;

/// IMAP for all listeners. Cheap to clone.
#[derive(Clone)]
pub struct Imapd {
    pub(crate) services: Arc<Services>,
}

/// What the driver needs of the rest of the server.
pub struct Services {
    /// Who a client is.
    pub logins: Logins,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// How many connections an address may make and have.
    pub limits: ConnectionLimits,
    /// Whether the protocol is written to the log.
    pub trace: TraceSwitch,
    /// Refuse what the RFCs do not allow even where it is harmless.
    pub is_pedantic: bool,
    /// After how long, and then how often, a client is told how far its search is.
    pub progress_wait: Duration,
    /// Random bytes for keys.
    pub rng: Arc<dyn Rng>,
    /// Signs URLs; see [`UrlSealer`].
    pub sealer: UrlSealer,
    /// Shown to logged-in clients by ID.
    pub version: String,
}

/// How one port speaks IMAP.
#[derive(Clone, Default)]
pub struct Port {
    /// For STARTTLS or immediate TLS.
    pub tls: Option<TlsAcceptor>,
    /// TLS begins at once (RFC 8314 §3.2).
    pub is_tls_immediate: bool,
    /// Passwords may be sent without TLS.
    pub plaintext_allowed: bool,
    /// The name of the server on this port, in ASCII: URLs of another server are not ours.
    pub hostname: String,
}

impl Imapd {
    /// Makes the driver.
    #[must_use]
    pub fn new(services: Services) -> Self {
        Self { services: Arc::new(services) }
    }

    /// Serves one connection to its end.
    pub async fn serve(self, incoming: Incoming, port: Port) {
        connection::serve(self, incoming, port, None).await;
    }

    /// Serves one connection whose client is logged in before it begins, without TLS: from a
    /// program on this machine that the operator of the server runs.
    pub async fn serve_as(self, incoming: Incoming, login: Login) {
        let port = Port { plaintext_allowed: true, ..Port::default() };
        connection::serve(self, incoming, port, Some(login)).await;
    }
}
