//! The client's side of a connection, without the connection.
//!
//! A driver connects, calls [`Session::start`], and does what the [`Action`]s say: it feeds replies
//! to [`Session::reply`], and tells of bytes that are no reply ([`Session::garbage`]) and of the
//! connection's end ([`Session::lost`]). Once [`Action::Ready`] is reached it sends messages with
//! [`Session::deliver`], one after the other as long as [`Session::is_usable`], and ends with
//! [`Session::quit`].

mod error;
mod extensions;
mod progress;
mod session;
mod transaction;

use mox_base::Secret;
use mox_sasl::Mechanism;

pub use error::{DeliveryError, ErrorKind, Loss, Step};
pub use extensions::{EXTENSIONS_MAX, Extensions, LIMIT_DIGITS_MAX, Limits};
pub use progress::{CHUNK_BYTES_MAX, CHUNKED_FROM_BYTES, GROUP_BYTES_MAX};
pub use session::Session;
pub use transaction::{RcptParams, Transaction};

use crate::Reply;

/// Whether to use STARTTLS. RFC 3207.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsUse {
    /// Not, for instance because TLS is on from the start.
    Never,
    /// If the server offers it. RFC 7435.
    IfOffered,
    /// Or fail. It is asked for even if it is not offered: somebody may have removed it from the
    /// offer (RFC 3207 §6).
    Required,
}

/// How to begin.
#[derive(Clone, Debug)]
pub struct Config {
    /// What we call ourselves: a domain in A-labels, or an address literal.
    pub name: String,
    /// Whether to use STARTTLS.
    pub tls: TlsUse,
    /// As whom to log in, if at all.
    pub login: Option<Credentials>,
    /// Whether the password may be sent as it is: TLS is on, and the server's name was checked.
    /// Or the server is on this machine. Or whoever runs this one says so.
    pub is_private: bool,
}

/// User name and password.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// Mostly an address.
    pub username: String,
    /// Not shown in traces.
    pub password: Secret,
    /// The mechanisms that may be used, the best first: the first that the server offers is taken.
    /// See [`Credentials::MECHANISMS`].
    pub mechanisms: Vec<Mechanism>,
}

impl Credentials {
    /// The mechanisms to use where nobody says otherwise: those that do not give the password away.
    pub const MECHANISMS: [Mechanism; 4] = [
        Mechanism::ScramSha256Plus,
        Mechanism::ScramSha256,
        Mechanism::ScramSha1Plus,
        Mechanism::ScramSha1,
    ];
}

/// What the driver must do.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Write these bytes, then read a reply. If they cannot be written, read nevertheless: the
    /// server may have said why it closed the connection. `is_secret`: not for traces.
    Send {
        /// One command or, if the server has PIPELINING, several: little more than
        /// [`GROUP_BYTES_MAX`], so that neither side waits for the other to read.
        bytes: Vec<u8>,
        /// Whether a password or the like is in it.
        is_secret: bool,
    },
    /// Read a reply.
    Read,
    /// Start TLS, then call [`Session::tls_established`]. Bytes received after the last reply must
    /// be thrown away with the connection: RFC 3207 §6.
    StartTls,
    /// Nothing to do until the next message.
    Ready,
    /// Send the message through a [`DataWriter`](crate::DataWriter), then call
    /// [`Session::data_sent`].
    SendData,
    /// Send the command and then, as they are, the next so many bytes of the message, and call
    /// [`Session::data_sent`]. RFC 3030 §2.
    SendChunk {
        /// The command with its line end.
        command: Vec<u8>,
        /// How many bytes of the message, at most [`CHUNK_BYTES_MAX`].
        size_bytes: u64,
    },
    /// A transaction ended; for each recipient, in order, what the server said. The session is
    /// ready for the next if it [is usable](Session::is_usable).
    Done(Vec<Result<Reply, DeliveryError>>),
    /// There is no session; say good-bye with [`Session::quit`].
    Failed(DeliveryError),
    /// Close the connection: good-byes were said, or are of no use.
    Quit,
}
