//! TLS 1.2 and 1.3. For servers: certificates by name, session tickets by port, client keys. For
//! clients: [`client`].
//!
//! [`Certs`] holds the certificates of the whole server and is read again while it runs; a
//! [`TlsAcceptor`] is one port's way of using them.

mod accept;
mod binding;
mod certs;
pub mod client;
mod client_key;
mod client_roots;
mod client_verify;
mod tickets;

pub use accept::{
    HANDSHAKE_WAIT, HandshakeError, TlsAcceptor, TlsInfo, TlsOptions, TlsVersion, UnknownName,
};
pub use certs::{CertError, Certs, KeyCertFiles, KeyCertPem, OnWanted, PEM_BYTES_MAX, Wanted};
pub use client_key::spki_fingerprint;
pub use client_roots::{RootsError, load_roots};

#[cfg(test)]
pub(crate) mod testing {
    pub(crate) use super::accept::tests::{acceptor, client_config};
}
