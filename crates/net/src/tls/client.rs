//! TLS to servers: our own verification on every handshake, and what was settled.
//!
//! What must be verified is said per connection: by the records of DANE, by authorities, or not at
//! all. What authorities would say is always found out, for reports (RFC 8460 §4.3).

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use mox_base::{Clock, Domain};
use mox_dns::Tlsa;
use mox_tlspolicy::dane::{DaneError, Match};
use mox_tlspolicy::failure::TlsFailure;
use mox_tlspolicy::pkix::{CertFault, Roots};
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, InvalidMessage, PeerIncompatible};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::accept::{
    HANDSHAKE_WAIT, TlsInfo, TlsVersion, cipher_number_of, cipher_suite_of, version_of,
};
use super::binding;
use super::client_verify::Verifier;
use crate::Conn;
use crate::transport::Prefixed;

/// What a server must show.
///
/// The default demands nothing: any certificate will do, and none is vouched for. RFC 7435.
#[derive(Clone, Debug, Default)]
pub struct Verify {
    /// Whether authorities must vouch for the certificate.
    pub pkix: bool,
    /// Records of DANE, if there are some. Where all are unusable nothing is verified by them
    /// (RFC 7672 §2.2); otherwise one must fit.
    pub dane: Option<Arc<[Tlsa]>>,
    /// Whether records of all usages count. RFC 7672 §3.1.3 excludes 0 and 1 for SMTP.
    pub all_usages: bool,
    /// Names that the certificate may be made out to. The first is asked for by SNI.
    pub names: Vec<Domain>,
    /// Or the address that it may be made out to.
    pub ip: Option<IpAddr>,
    /// Goes on whatever is wrong with the certificate, and says what. RFC 8689 §5 (`TLS-Required:
    /// No`).
    pub ignore_errors: bool,
    /// Application protocols offered by ALPN, the best first. Empty: not used.
    pub alpn: Vec<Vec<u8>>,
}

/// What the certificate of a server was found to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsOutcome {
    /// What authorities say, whether or not that was decisive.
    pub pkix: Result<(), CertFault>,
    /// What the records of DANE say, if there were some.
    pub dane: Option<Result<Match, DaneError>>,
    /// The chain, the server's own certificate first.
    pub chain: Vec<CertificateDer<'static>>,
}

/// Why there is no TLS to a server.
#[derive(Debug, thiserror::Error)]
#[error("{failure}")]
pub struct TlsError {
    /// What went wrong.
    pub failure: TlsFailure,
    /// What its certificate was found to be, if it came to that.
    pub outcome: Option<Box<TlsOutcome>>,
    /// What the library or the socket says.
    #[source]
    pub source: Option<io::Error>,
}

impl TlsError {
    /// A second handshake on one connection: a bug of the caller, not of the server.
    pub(crate) fn already_tls() -> Self {
        debug_assert!(false, "TLS is on already");
        Self { failure: TlsFailure::Io, outcome: None, source: None }
    }
}

/// Performs handshakes with servers. Clones share the roots. Sessions are not resumed: each
/// handshake shows a certificate, and each is verified.
#[derive(Clone)]
pub struct Connector {
    roots: Arc<Roots>,
    clock: Arc<dyn Clock>,
    provider: Arc<CryptoProvider>,
    min: TlsVersion,
    max: TlsVersion,
    client: Option<Arc<ClientCert>>,
}

/// Who we are, to servers that ask.
struct ClientCert {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").field("roots", &self.roots.len()).finish_non_exhaustive()
    }
}

impl Connector {
    /// Trusts `roots`; `clock` tells whether certificates have expired. Speaks TLS 1.2 and 1.3.
    #[must_use]
    pub fn new(roots: Roots, clock: Arc<dyn Clock>) -> Self {
        Self {
            roots: Arc::new(roots),
            clock,
            provider: Arc::new(rustls::crypto::aws_lc_rs::default_provider()),
            min: TlsVersion::V12,
            max: TlsVersion::V13,
            client: None,
        }
    }

    /// The same with a certificate for servers that ask for one, as logins with SASL EXTERNAL need
    /// it. A key that does not fit fails the handshakes.
    #[must_use]
    pub fn with_client_cert(
        self,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Self {
        Self { client: Some(Arc::new(ClientCert { chain, key })), ..self }
    }

    /// The same with only these versions of TLS. If `min` is above `max`, handshakes fail.
    #[must_use]
    pub fn with_versions(self, min: TlsVersion, max: TlsVersion) -> Self {
        Self { min, max, ..self }
    }

    /// The same with only those cipher suites and key exchange groups that `keep_suite` and
    /// `keep_group` take by their IANA names; `None` if none of one kind is left.
    #[must_use]
    pub fn with_ciphers(
        self,
        keep_suite: impl Fn(&str) -> bool,
        keep_group: impl Fn(&str) -> bool,
    ) -> Option<Self> {
        let mut provider = (*self.provider).clone();
        provider.cipher_suites.retain(|suite| {
            suite
                .suite()
                .as_str()
                .is_some_and(|name| keep_suite(&name.replacen("TLS13_", "TLS_", 1)))
        });
        provider.kx_groups.retain(|group| group.name().as_str().is_some_and(&keep_group));
        let some = !provider.cipher_suites.is_empty() && !provider.kx_groups.is_empty();
        some.then(|| Self { provider: Arc::new(provider), ..self })
    }

    /// The authorities that are trusted.
    #[must_use]
    pub fn roots(&self) -> &Roots {
        &self.roots
    }

    /// Performs a handshake over a connection without TLS, at most [`HANDSHAKE_WAIT`] long.
    ///
    /// What was received and not taken before goes into the handshake, which fails on it: nothing
    /// that came in plain text is taken for a reply of the protected session. RFC 3207 §6.
    ///
    /// # Errors
    ///
    /// If the handshake fails, or the certificate is not what `verify` demands.
    pub async fn connect(
        &self,
        conn: Conn,
        verify: &Verify,
    ) -> Result<(Conn, TlsOutcome), TlsError> {
        conn.connect_tls(self, verify).await
    }

    pub(crate) async fn handshake(
        &self,
        io: Prefixed,
        verify: &Verify,
        peer: IpAddr,
    ) -> Result<(TlsStream<Prefixed>, TlsInfo, TlsOutcome), TlsError> {
        let roots = Arc::clone(&self.roots);
        let now = self.clock.now();
        let verifier = Arc::new(Verifier::new(Arc::clone(&self.provider), roots, verify, now));
        let config = self.config(verify, &verifier).map_err(|error| TlsError {
            failure: TlsFailure::LocalAlert(ALERT_INTERNAL_ERROR),
            outcome: None,
            source: Some(io::Error::other(error)),
        })?;
        let (name, sni) = server_name(verify, peer);
        let connector = TlsConnector::from(Arc::new(config));
        let result = timeout(HANDSHAKE_WAIT, connector.connect(name, io)).await;
        let (refused, outcome) = verifier.result();
        let failed = |failure, outcome: Option<TlsOutcome>, source| {
            Err(TlsError { failure, outcome: outcome.map(Box::new), source })
        };
        match result {
            Err(_) => failed(TlsFailure::TimedOut, outcome, None),
            Ok(Err(error)) => {
                let failure = refused.unwrap_or_else(|| failure_of(&error));
                failed(failure, outcome, Some(error))
            }
            Ok(Ok(stream)) => {
                let info = settled(stream.get_ref().1, sni);
                // A handshake that shows no certificate does not happen with the suites we have.
                let Some(outcome) = outcome else {
                    let missing = TlsFailure::Certificate(CertFault::Missing);
                    return failed(missing, None, None);
                };
                Ok((stream, info, outcome))
            }
        }
    }

    fn config(
        &self,
        verify: &Verify,
        verifier: &Arc<Verifier>,
    ) -> Result<ClientConfig, rustls::Error> {
        let mut versions = Vec::with_capacity(2);
        versions.extend((self.max == TlsVersion::V13).then_some(&rustls::version::TLS13));
        versions.extend((self.min == TlsVersion::V12).then_some(&rustls::version::TLS12));
        let verifier = Arc::clone(verifier);
        let builder = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&versions)?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match self.client.as_deref() {
            None => builder.with_no_client_auth(),
            Some(ClientCert { chain, key }) => {
                builder.with_client_auth_cert(chain.clone(), key.clone_key())?
            }
        };
        config.resumption = Resumption::disabled();
        config.alpn_protocols.clone_from(&verify.alpn);
        Ok(config)
    }
}

/// The name for SNI. Without one, or with one that no SNI can hold, there is none: an address is
/// not sent (RFC 6066 §3).
fn server_name(verify: &Verify, peer: IpAddr) -> (ServerName<'static>, Option<String>) {
    let named = verify.names.first().and_then(|domain| {
        let name = ServerName::try_from(domain.ascii().to_owned()).ok()?;
        Some((name, Some(domain.ascii().to_owned())))
    });
    named.unwrap_or_else(|| (ServerName::IpAddress(verify.ip.unwrap_or(peer).into()), None))
}

fn settled(connection: &ClientConnection, sni: Option<String>) -> TlsInfo {
    let end = connection.peer_certificates().and_then(<[_]>::first);
    let end_point = end.and_then(|cert| {
        let (_, parsed) = X509Certificate::from_der(cert).ok()?;
        binding::end_point_hash(cert, &parsed)
    });
    TlsInfo {
        version: version_of(connection),
        cipher_suite: cipher_suite_of(connection),
        cipher_number: cipher_number_of(connection),
        sni,
        alpn: connection.alpn_protocol().map(<[u8]>::to_vec),
        resumed: false,
        client_key: None,
        exporter: binding::exporter(connection),
        server_end_point: end_point,
    }
}

/// RFC 8446 §6.2.
const ALERT_UNEXPECTED_MESSAGE: u8 = 10;
const ALERT_BAD_RECORD_MAC: u8 = 20;
const ALERT_RECORD_OVERFLOW: u8 = 22;
const ALERT_HANDSHAKE_FAILURE: u8 = 40;
const ALERT_ILLEGAL_PARAMETER: u8 = 47;
const ALERT_DECODE_ERROR: u8 = 50;
const ALERT_DECRYPT_ERROR: u8 = 51;
const ALERT_PROTOCOL_VERSION: u8 = 70;
const ALERT_INTERNAL_ERROR: u8 = 80;
const ALERT_NO_APPLICATION_PROTOCOL: u8 = 120;

fn failure_of(error: &io::Error) -> TlsFailure {
    use io::ErrorKind;
    if let Some(error) = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>()) {
        return failure_of_tls(error);
    }
    match error.kind() {
        ErrorKind::UnexpectedEof
        | ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted
        | ErrorKind::BrokenPipe => TlsFailure::Closed,
        ErrorKind::TimedOut => TlsFailure::TimedOut,
        _ => TlsFailure::Io,
    }
}

/// The alert that the library ends a handshake with is not told; it follows from the error.
fn failure_of_tls(error: &rustls::Error) -> TlsFailure {
    use rustls::Error;
    match error {
        Error::AlertReceived(alert) => TlsFailure::RemoteAlert((*alert).into()),
        Error::InvalidMessage(
            InvalidMessage::InvalidContentType
            | InvalidMessage::UnknownProtocolVersion
            | InvalidMessage::MessageTooLarge
            | InvalidMessage::InvalidEmptyPayload,
        ) => TlsFailure::NotTls,
        Error::InvalidMessage(_) => TlsFailure::LocalAlert(ALERT_DECODE_ERROR),
        Error::InappropriateMessage { .. } | Error::InappropriateHandshakeMessage { .. } => {
            TlsFailure::LocalAlert(ALERT_UNEXPECTED_MESSAGE)
        }
        Error::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
        ) => TlsFailure::LocalAlert(ALERT_PROTOCOL_VERSION),
        Error::PeerIncompatible(_) => TlsFailure::LocalAlert(ALERT_HANDSHAKE_FAILURE),
        Error::PeerMisbehaved(_) => TlsFailure::LocalAlert(ALERT_ILLEGAL_PARAMETER),
        Error::DecryptError => TlsFailure::LocalAlert(ALERT_BAD_RECORD_MAC),
        Error::PeerSentOversizedRecord => TlsFailure::LocalAlert(ALERT_RECORD_OVERFLOW),
        Error::NoApplicationProtocol => TlsFailure::LocalAlert(ALERT_NO_APPLICATION_PROTOCOL),
        Error::InvalidCertificate(_) => TlsFailure::LocalAlert(ALERT_DECRYPT_ERROR),
        _ => TlsFailure::LocalAlert(ALERT_INTERNAL_ERROR),
    }
}

/// The alert by which a server ended a session, if this error tells of one. RFC 8446 §6.
///
/// With TLS 1.3 the client's side of a handshake is complete before the server has seen all of it,
/// so that its refusal is found by the first read.
#[must_use]
pub fn alert_of(error: &crate::ConnError) -> Option<u8> {
    let (crate::ConnError::Read(error) | crate::ConnError::Write(error)) = error else {
        return None;
    };
    match error.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::AlertReceived(alert) => Some((*alert).into()),
        _ => None,
    }
}

#[cfg(test)]
#[path = "client_tests.rs"]
pub(crate) mod tests;
