//! Sockets, TLS, time-outs and limits: what every driver needs around a protocol session.
//!
//! A driver gets a [`Conn`] from [`listen`], turns it into TLS with a [`tls::TlsAcceptor`], and moves
//! bytes between it and a session. This crate knows no protocol: it neither parses lines nor
//! writes replies, and it reads no configuration; whoever wires the server maps the one to the
//! other.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! use mox_net::{Conn, Wait, trace::Kind};
//! use std::time::Duration;
//! use tokio::io::AsyncWriteExt;
//!
//! const COMMAND: Wait = Wait::new("command", Duration::from_secs(30));
//!
//! let (mut client, server) = tokio::io::duplex(1024);
//! let mut conn = Conn::memory(server);
//! client.write_all(b"NOOP\r\n").await.unwrap();
//! conn.fill(COMMAND).await.unwrap();
//! assert_eq!(conn.buffered(), b"NOOP\r\n");
//! conn.consume(Kind::Protocol, 6);
//! # });
//! ```

mod admission;
mod alpn;
mod blocking;
mod clock;
mod conn;
mod deflate;
mod dial;
pub mod dns;
pub mod http;
mod limits;
mod listen;
pub mod socks;
mod supervisor;
pub mod tls;
pub mod trace;
mod transport;

pub use admission::NotAdmitted;
pub use alpn::AlpnPort;
pub use blocking::{BLOCKING_THREADS_MAX, blocking};
pub use clock::{SystemClock, SystemRng};
pub use conn::{
    CLOSE_WAIT, COMPRESSOR_KEEP, Conn, ConnError, Deadline, READ_BUFFER_BYTES_MAX, SLOW_PAUSE,
    SLOW_RUSH, WRITE_BUFFER_BYTES, Wait,
};
pub use dial::{DIAL_ADDRESSES_MAX, DialError, LocalIps, dial};
pub use limits::{
    AuthFailures, CLASSES, ConnectionLimits, ENTRIES_MAX, OpenConnections, OpenPermit, RateLimiter,
    Window, ip_classes,
};
pub use listen::{
    AcceptBackoff, BACKLOG, BindError, CONNECTIONS_MAX, Incoming, KEEPALIVE, Listener,
    ListenerOptions, MEMORY_PEER,
};
pub use supervisor::{ShutdownReport, Supervisor};
pub use transport::ByteStream;
