//! The client's side of a connection, without the connection.
//!
//! A driver connects, calls [`Session::start`], feeds replies to [`Session::reply`], and does what
//! the [`Action`]s say. Once [`Action::Ready`] is reached, it sends messages with
//! [`Session::deliver`], one after the other, and ends with [`Session::quit`].

mod extensions;
mod session;
mod transaction;

use mox_base::Secret;

pub use extensions::{EXTENSIONS_MAX, Extensions};
pub use session::Session;
pub use transaction::Transaction;

use crate::Reply;

/// Whether to use STARTTLS. RFC 3207.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsUse {
    /// Not, for instance because TLS is on from the start.
    Never,
    /// If the server offers it. RFC 7435.
    IfOffered,
    /// Or fail.
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
    /// Or the server is on this machine.
    pub is_private: bool,
}

/// User name and password.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// Mostly an address.
    pub username: String,
    /// Not shown in traces.
    pub password: Secret,
}

/// What the driver must do.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Write these bytes, then read a reply. `is_secret`: not for traces.
    Send {
        /// One command or, if the server has PIPELINING, several.
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
    /// A transaction ended; for each recipient, in order, what the server said. The session is
    /// ready for the next.
    Done(Vec<Result<(), Reply>>),
    /// The connection is of no more use; close it.
    Failed(ClientError),
    /// The server said good-bye; close the connection.
    Quit,
}

/// Why there is no session.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientError {
    /// The server refused the greeting, EHLO and HELO, STARTTLS or AUTH with this reply.
    Refused(Reply),
    /// TLS is required and not offered.
    NoTls,
    /// No mechanism that both sides have and that may be used here.
    NoMechanism,
    /// The login went wrong on our side: the server is not to be trusted.
    Sasl(mox_sasl::ClientError),
    /// A reply of a kind that has no place here.
    UnexpectedReply(Reply),
}
