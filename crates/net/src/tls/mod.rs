//! TLS 1.2 and 1.3 for servers: certificates by name, session tickets by port, client keys.
//!
//! [`Certs`] holds the certificates of the whole server and is read again while it runs; a
//! [`TlsAcceptor`] is one port's way of using them.

mod accept;
mod binding;
mod certs;
mod client_key;
mod tickets;

pub use accept::{
    HANDSHAKE_WAIT, HandshakeError, TlsAcceptor, TlsInfo, TlsOptions, TlsVersion, UnknownName,
};
pub use certs::{CertError, Certs, KeyCertFiles, KeyCertPem, PEM_BYTES_MAX};
pub use client_key::spki_fingerprint;

#[cfg(test)]
pub(crate) mod testing {
    pub(crate) use super::accept::tests::{acceptor, client_config};
}
