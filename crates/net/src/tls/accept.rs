//! One port's TLS: the handshake as a server, and what it settled.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use mox_base::Clock;
use parking_lot::Mutex;
use rustls::server::{Acceptor, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{
    CommonState, HandshakeKind, PeerIncompatible, ProtocolVersion, ServerConfig, ServerConnection,
};
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::{StartHandshake, TlsStream};

use super::binding;
use super::certs::{Certs, Choice, Served};
use super::client_key::{AnyClientKey, spki_fingerprint};
use super::tickets::TicketKeys;
use crate::transport::Prefixed;

/// The longest a handshake may take.
pub const HANDSHAKE_WAIT: Duration = Duration::from_secs(60);

/// What checks of control of a name are called. RFC 8737 §6.2.
const ALPN_ACME: &[u8] = b"acme-tls/1";

/// A version of TLS that we speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// RFC 5246.
    V12,
    /// RFC 8446.
    V13,
}

impl TlsVersion {
    /// Its number in the protocol. RFC 8446 §4.2.1.
    #[must_use]
    pub fn number(self) -> u16 {
        match self {
            Self::V12 => 0x0303,
            Self::V13 => 0x0304,
        }
    }
}

impl fmt::Display for TlsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V12 => "TLS1.2",
            Self::V13 => "TLS1.3",
        })
    }
}

/// What to do with a client that names a server we are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownName {
    /// Show it the certificate of our own name: senders of mail often give odd names, and do not
    /// check.
    Fallback,
    /// End the handshake with `unrecognized_name`. RFC 6066 §3.
    Refuse,
}

/// How a port uses TLS.
#[derive(Clone, Debug)]
pub struct TlsOptions {
    /// The oldest version that is spoken.
    pub min_version: TlsVersion,
    /// Whether clients are asked for a certificate. They need not have one.
    pub client_keys: bool,
    /// Whether sessions can be resumed.
    pub tickets: bool,
    /// See [`UnknownName`].
    pub unknown_name: UnknownName,
    /// Application protocols offered by ALPN, the best first. Empty: not used.
    pub alpn: Vec<Vec<u8>>,
}

impl Default for TlsOptions {
    fn default() -> Self {
        Self {
            min_version: TlsVersion::V12,
            client_keys: false,
            tickets: true,
            unknown_name: UnknownName::Fallback,
            alpn: Vec::new(),
        }
    }
}

/// What a handshake settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsInfo {
    /// The version spoken.
    pub version: TlsVersion,
    /// The cipher suite by its IANA name, such as `TLS_AES_128_GCM_SHA256`.
    pub cipher_suite: String,
    /// Its number, as IANA has it: 0x1301 for that one. RFC 8446 §B.4.
    pub cipher_number: u16,
    /// The server name that the client asked for, in lower case.
    pub sni: Option<String>,
    /// The application protocol agreed on.
    pub alpn: Option<Vec<u8>>,
    /// Whether an earlier session was resumed.
    pub resumed: bool,
    /// The fingerprint of the client's key, see [`super::spki_fingerprint`]; also of a resumed
    /// session. Nobody has vouched for the key: it must be one that is registered.
    pub client_key: Option<String>,
    /// The channel binding `tls-exporter` (RFC 9266), with TLS 1.3.
    pub exporter: Option<[u8; binding::EXPORTER_BYTES]>,
    /// The channel binding `tls-server-end-point` (RFC 5929 §4).
    pub server_end_point: Option<Vec<u8>>,
}

/// Why a handshake failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// It took longer than [`HANDSHAKE_WAIT`].
    #[error("TLS handshake took too long")]
    TimedOut,
    /// The client went away.
    #[error("connection closed during TLS handshake")]
    Closed,
    /// What came is not TLS; after STARTTLS perhaps a command sent too early.
    #[error("not TLS")]
    NotTls,
    /// What came is SSL 2.
    #[error("SSL 2 is not spoken")]
    Sslv2,
    /// The client speaks no version of TLS that we do.
    #[error("no TLS version in common")]
    Versions,
    /// The client named a server we are not.
    #[error("unknown server name {0:?}")]
    UnknownName(String),
    /// No certificate fits the signatures that the client can check.
    #[error("no certificate the client can check")]
    NoCertificate,
    /// The client refused with an alert.
    #[error("client sent alert {number} ({name})")]
    Alert {
        /// Its number. RFC 8446 §6.
        number: u8,
        /// Its name.
        name: String,
    },
    /// Nothing failed: somebody checked that a name is ours, which ends with the handshake.
    #[error("control of {0:?} was proven")]
    Proven(String),
    /// TLS is on already.
    #[error("TLS is on already")]
    AlreadyTls,
    /// The handshake failed in another way.
    #[error("TLS handshake")]
    Tls(#[source] rustls::Error),
    /// The socket failed.
    #[error("connection failed during TLS handshake")]
    Io(#[source] io::Error),
}

impl HandshakeError {
    /// A short label for counting.
    #[must_use]
    pub fn reason(&self) -> Cow<'static, str> {
        match self {
            Self::TimedOut => "timeout".into(),
            Self::Closed => "eof".into(),
            Self::NotTls => "nottls".into(),
            Self::Sslv2 => "sslv2".into(),
            Self::Versions => "unsupportedversions".into(),
            Self::Proven(_) => "acme".into(),
            Self::Alert { number, name } => format!("alert-{number}-{name}").into(),
            _ => "other".into(),
        }
    }

    fn from_io(error: io::Error) -> Self {
        let error = match error.downcast::<rustls::Error>() {
            Ok(error) => error,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Self::Closed,
            Err(error) => return Self::Io(error),
        };
        match error {
            rustls::Error::InvalidMessage(_) => Self::NotTls,
            rustls::Error::AlertReceived(alert) => {
                Self::Alert { number: alert.into(), name: format!("{alert:?}").to_lowercase() }
            }
            rustls::Error::PeerIncompatible(
                PeerIncompatible::Tls12NotOffered
                | PeerIncompatible::Tls12NotOfferedOrEnabled
                | PeerIncompatible::SupportedVersionsExtensionRequired
                | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
            ) => Self::Versions,
            error => Self::Tls(error),
        }
    }
}

/// Performs handshakes for one port. Clones share tickets.
#[derive(Clone)]
pub struct TlsAcceptor {
    inner: Arc<Inner>,
}

struct Inner {
    certs: Certs,
    options: TlsOptions,
    clock: Arc<dyn Clock>,
    /// One per certificate in use, made when it is first chosen. Each has its own ticket keys, so
    /// that after a change of certificate nothing is resumed that was bound to the old one.
    configs: Mutex<Vec<(Arc<Served>, Arc<ServerConfig>)>>,
}

impl fmt::Debug for TlsAcceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsAcceptor").field("options", &self.inner.options).finish_non_exhaustive()
    }
}

impl TlsAcceptor {
    /// TLS on one port with the server's certificates. `clock` times the ticket keys.
    #[must_use]
    pub fn new(certs: Certs, options: TlsOptions, clock: Arc<dyn Clock>) -> Self {
        Self { inner: Arc::new(Inner { certs, options, clock, configs: Mutex::default() }) }
    }

    /// How the port uses TLS.
    #[must_use]
    pub fn options(&self) -> &TlsOptions {
        &self.inner.options
    }

    /// Whether there is a certificate to show: without one, STARTTLS is better not offered.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        !self.inner.certs.is_empty()
    }

    pub(crate) async fn accept(
        &self,
        io: Prefixed,
    ) -> Result<(TlsStream<Prefixed>, TlsInfo), HandshakeError> {
        match timeout(HANDSHAKE_WAIT, self.handshake(io)).await {
            Ok(result) => result,
            Err(_) => Err(HandshakeError::TimedOut),
        }
    }

    async fn handshake(
        &self,
        io: Prefixed,
    ) -> Result<(TlsStream<Prefixed>, TlsInfo), HandshakeError> {
        let mut acceptor = LazyConfigAcceptor::new(Acceptor::default(), io);
        let start = match Pin::new(&mut acceptor).await {
            Ok(start) => start,
            Err(error) => {
                let sslv2 = acceptor.take_io().is_some_and(|io| io.looks_like_sslv2());
                return Err(if sslv2 {
                    HandshakeError::Sslv2
                } else {
                    HandshakeError::from_io(error)
                });
            }
        };
        let hello = start.client_hello();
        let sni = hello.server_name().map(str::to_ascii_lowercase);
        if hello.alpn().is_some_and(|mut names| names.any(|name| name == ALPN_ACME)) {
            return Err(self.prove(start, sni.unwrap_or_default()).await);
        }
        let choice = self.inner.certs.choose(sni.as_deref(), hello.signature_schemes());
        let served = match choice {
            Some(Choice::Named(served)) => served,
            Some(Choice::Fallback(served))
                if self.inner.options.unknown_name == UnknownName::Fallback =>
            {
                served
            }
            Some(Choice::Fallback(_)) => {
                send_alert(start, ALERT_UNRECOGNIZED_NAME).await;
                return Err(HandshakeError::UnknownName(sni.unwrap_or_default()));
            }
            None => {
                send_alert(start, ALERT_HANDSHAKE_FAILURE).await;
                return Err(HandshakeError::NoCertificate);
            }
        };
        let config = self.inner.config(&served).map_err(HandshakeError::Tls)?;
        let stream = start.into_stream(config).await.map_err(HandshakeError::from_io)?;
        let info = settled(stream.get_ref().1, sni, &served);
        Ok((stream, info))
    }
}

impl TlsAcceptor {
    /// Shows that a name is ours to who checks it, and ends: nothing is said within such a
    /// connection. RFC 8737 §3.
    async fn prove(&self, start: StartHandshake<Prefixed>, name: String) -> HandshakeError {
        let Some(proof) = self.inner.certs.challenge(&name) else {
            send_alert(start, ALERT_UNRECOGNIZED_NAME).await;
            return HandshakeError::UnknownName(name);
        };
        let config = match self.inner.proving(proof) {
            Ok(config) => Arc::new(config),
            Err(error) => return HandshakeError::Tls(error),
        };
        match start.into_stream(config).await {
            Ok(mut stream) => {
                if let Err(error) = stream.shutdown().await {
                    tracing::debug!(%error, "close connection of a challenge");
                }
                HandshakeError::Proven(name)
            }
            Err(error) => HandshakeError::from_io(error),
        }
    }
}

impl Inner {
    fn proving(&self, proof: Arc<CertifiedKey>) -> Result<ServerConfig, rustls::Error> {
        let provider = Arc::clone(self.certs.provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(OneCert(proof)));
        config.alpn_protocols = vec![ALPN_ACME.to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(config)
    }

    fn config(&self, served: &Arc<Served>) -> Result<Arc<ServerConfig>, rustls::Error> {
        let mut configs = self.configs.lock();
        if let Some((_, config)) = configs.iter().find(|(one, _)| Arc::ptr_eq(one, served)) {
            return Ok(Arc::clone(config));
        }
        // Bounded by the number of certificates: those gone since a reload are dropped.
        configs.retain(|(one, _)| self.certs.serves(one));
        let config = Arc::new(self.build(served)?);
        configs.push((Arc::clone(served), Arc::clone(&config)));
        Ok(config)
    }

    fn build(&self, served: &Arc<Served>) -> Result<ServerConfig, rustls::Error> {
        let versions: &[_] = match self.options.min_version {
            TlsVersion::V12 => &[&rustls::version::TLS12, &rustls::version::TLS13],
            TlsVersion::V13 => &[&rustls::version::TLS13],
        };
        let provider = self.certs.provider();
        let builder = ServerConfig::builder_with_provider(Arc::clone(provider))
            .with_protocol_versions(versions)?;
        let builder = if self.options.client_keys {
            builder.with_client_cert_verifier(AnyClientKey::new(Arc::clone(provider)))
        } else {
            builder.with_no_client_auth()
        };
        let mut config = builder.with_cert_resolver(Arc::new(OneCert(Arc::clone(&served.key))));
        config.alpn_protocols.clone_from(&self.options.alpn);
        // Sessions live in tickets only: nothing is remembered per client.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        if self.options.tickets {
            config.ticketer = TicketKeys::new(Arc::clone(&self.clock));
        } else {
            config.send_tls13_tickets = 0;
        }
        Ok(config)
    }
}

/// The certificate that was chosen from the client's hello.
#[derive(Debug)]
struct OneCert(Arc<CertifiedKey>);

impl ResolvesServerCert for OneCert {
    fn resolve(&self, _hello: rustls::server::ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

/// RFC 8446 §6.2.
const ALERT_HANDSHAKE_FAILURE: u8 = 40;
const ALERT_UNRECOGNIZED_NAME: u8 = 112;

/// Refuses a client before anything was agreed on: a fatal alert in a record of its own.
/// RFC 8446 §5.1, §6. Best effort; the connection is closed anyway.
async fn send_alert(start: StartHandshake<Prefixed>, alert: u8) {
    const ALERT: u8 = 21;
    const FATAL: u8 = 2;
    let mut io = start.io;
    let record = [ALERT, 3, 3, 0, 2, FATAL, alert];
    if let Err(error) = io.write_all(&record).await.and(io.flush().await) {
        tracing::debug!(%error, "send TLS alert");
    }
}

/// The version that a connection speaks.
pub(super) fn version_of(connection: &CommonState) -> TlsVersion {
    match connection.protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => TlsVersion::V13,
        _ => TlsVersion::V12,
    }
}

/// The IANA name of the cipher suite of a connection.
pub(super) fn cipher_suite_of(connection: &CommonState) -> String {
    let suite = connection.negotiated_cipher_suite().map(|suite| suite.suite());
    // rustls marks the suites of TLS 1.3 by `TLS13_`, which is not part of the name.
    suite.and_then(|suite| suite.as_str()).unwrap_or_default().replacen("TLS13_", "TLS_", 1)
}

/// The number that IANA has given the cipher suite of a connection.
pub(super) fn cipher_number_of(connection: &CommonState) -> u16 {
    connection.negotiated_cipher_suite().map_or(0, |suite| suite.suite().into())
}

fn settled(connection: &ServerConnection, sni: Option<String>, served: &Served) -> TlsInfo {
    let client = connection.peer_certificates().and_then(|chain| chain.first());
    TlsInfo {
        version: version_of(connection),
        cipher_suite: cipher_suite_of(connection),
        cipher_number: cipher_number_of(connection),
        sni,
        alpn: connection.alpn_protocol().map(<[u8]>::to_vec),
        resumed: connection.handshake_kind() == Some(HandshakeKind::Resumed),
        client_key: client.and_then(|cert| spki_fingerprint(cert)),
        exporter: binding::exporter(connection),
        server_end_point: served.end_point.clone(),
    }
}

#[cfg(test)]
#[path = "accept_tests.rs"]
pub(crate) mod tests;
