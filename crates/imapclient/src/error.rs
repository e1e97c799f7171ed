//! Why a server cannot be read.

use mox_imap::client::TooLarge;
use mox_net::ConnError;

/// Why the client gives up. What the server said goes with it: it is for whoever asked for the import.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The connection failed or was too slow.
    #[error("connection")]
    Conn(#[from] ConnError),
    /// The server closed the connection, perhaps with a word.
    #[error("the server closed the connection: {0}")]
    Closed(String),
    /// TLS failed.
    #[error("tls")]
    Tls(#[source] Box<mox_net::tls::client::TlsError>),
    /// The server offers no TLS, and one is wanted.
    #[error("the server does not offer STARTTLS")]
    NoTls,
    /// The server has no way to log in that is safe on this connection.
    #[error("the server offers no way to log in that is safe on this connection")]
    NoMechanism,
    /// The password was refused.
    #[error("login refused: {0}")]
    LoginRefused(String),
    /// The server did not show that it knows the password.
    #[error("login refused")]
    Sasl(#[from] mox_sasl::ClientError),
    /// The server refused a command.
    #[error("{command}: {text}")]
    Refused {
        /// Its word.
        command: &'static str,
        /// What the server said.
        text: String,
    },
    /// A response is larger than any should be.
    #[error("the server sends too much")]
    TooMuch,
    /// Something came that is not IMAP.
    #[error("the server sent what is not understood: {0:?}")]
    NotUnderstood(String),
    /// A message could not be kept while it came.
    #[error("temporary file")]
    Io(#[from] std::io::Error),
}

impl From<TooLarge> for ClientError {
    fn from(_: TooLarge) -> Self {
        Self::TooMuch
    }
}
