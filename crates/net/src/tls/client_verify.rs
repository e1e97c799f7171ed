//! The verification of a server's certificate, in place of the library's.

use std::sync::Arc;

use mox_base::UnixSeconds;
use mox_tlspolicy::dane::{self, DaneError};
use mox_tlspolicy::failure::TlsFailure;
use mox_tlspolicy::pkix::{self, CHAIN_MAX, CertFault, Names, Roots};
use parking_lot::Mutex;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};
use webpki::RawPublicKeyEntity;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::client::{TlsOutcome, Verify};

/// Verifies one server, once.
#[derive(Debug)]
pub(super) struct Verifier {
    provider: Arc<CryptoProvider>,
    roots: Arc<Roots>,
    verify: Verify,
    now: UnixSeconds,
    found: Mutex<Found>,
}

#[derive(Debug, Default)]
struct Found {
    outcome: Option<TlsOutcome>,
    refused: Option<TlsFailure>,
}

impl Verifier {
    pub(super) fn new(
        provider: Arc<CryptoProvider>,
        roots: Arc<Roots>,
        verify: &Verify,
        now: UnixSeconds,
    ) -> Self {
        Self { provider, roots, verify: verify.clone(), now, found: Mutex::default() }
    }

    /// Why the certificate was refused, and what it was found to be.
    pub(super) fn result(&self) -> (Option<TlsFailure>, Option<TlsOutcome>) {
        let found = std::mem::take(&mut *self.found.lock());
        (found.refused, found.outcome)
    }

    /// What is wrong with the certificate, if that is to be decisive.
    fn refusal(&self, outcome: &TlsOutcome) -> Option<TlsFailure> {
        if self.verify.ignore_errors {
            return None;
        }
        // RFC 8461 §2: a policy of MTA-STS never excuses a failure of DANE.
        match (&outcome.dane, &outcome.pkix) {
            (Some(Err(error)), _) if *error != DaneError::Unusable => {
                Some(TlsFailure::Dane(*error))
            }
            (_, Err(fault)) if self.verify.pkix => Some(TlsFailure::Certificate(*fault)),
            _ => None,
        }
    }

    /// Whether the certificate means anything: if nobody vouches for it, neither does it matter
    /// who has its key.
    fn is_decisive(&self, outcome: &TlsOutcome) -> bool {
        let dane = matches!(outcome.dane, Some(Ok(_)));
        !self.verify.ignore_errors && (self.verify.pkix || dane)
    }

    /// Takes what the check of the server's signature says: an error ends the handshake only if
    /// the certificate is decisive.
    fn signature(
        &self,
        checked: Result<HandshakeSignatureValid, Error>,
    ) -> Result<HandshakeSignatureValid, Error> {
        let Err(error) = checked else { return checked };
        let mut found = self.found.lock();
        let Some(outcome) = &mut found.outcome else { return Err(error) };
        let decisive = self.is_decisive(outcome);
        let bad = CertFault::BadSignature;
        let mut failure = TlsFailure::Certificate(bad);
        if outcome.pkix.is_ok() {
            outcome.pkix = Err(bad);
        }
        if let Some(dane @ Ok(_)) = &mut outcome.dane {
            *dane = Err(DaneError::Fault(bad));
            failure = TlsFailure::Dane(DaneError::Fault(bad));
        }
        if decisive {
            found.refused = Some(failure);
            return Err(error);
        }
        Ok(HandshakeSignatureValid::assertion())
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let above = intermediates.iter().take(CHAIN_MAX - 1);
        let chain: Vec<_> = std::iter::once(end_entity)
            .chain(above)
            .map(|cert| cert.clone().into_owned())
            .collect();
        let Verify { names, ip, all_usages, dane, .. } = &self.verify;
        let wanted = Names { domains: names, ip: *ip };
        let pkix = pkix::verify(&self.roots, &chain, wanted, self.now);
        let dane = dane.as_ref().map(|records| match all_usages {
            false => dane::verify(records, &chain, names, self.now),
            true => dane::verify_any(records, &chain, names, self.now, &self.roots),
        });
        let outcome = TlsOutcome { pkix, dane, chain };
        let refused = self.refusal(&outcome);
        *self.found.lock() = Found { outcome: Some(outcome), refused };
        match refused {
            None => Ok(ServerCertVerified::assertion()),
            Some(failure) => Err(Error::InvalidCertificate(alert_for(failure))),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signature(self.verify_tls12(message, cert, signature))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        self.signature(key_of(cert).and_then(|key| {
            verify_tls13_signature_with_raw_key(message, &key, signature, algorithms)
        }))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl Verifier {
    /// RFC 5246 §7.4.3: one scheme of TLS 1.2 stands for several algorithms, by the kind of key.
    fn verify_tls12(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = key_of(cert)?;
        let entity = RawPublicKeyEntity::try_from(&key)
            .map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))?;
        let mapping = self.provider.signature_verification_algorithms.mapping.iter();
        let fits = mapping
            .filter(|(scheme, _)| *scheme == signature.scheme)
            .flat_map(|(_, algorithms)| *algorithms)
            .any(|one| entity.verify_signature(*one, message, signature.signature()).is_ok());
        match fits {
            true => Ok(HandshakeSignatureValid::assertion()),
            false => Err(Error::InvalidCertificate(CertificateError::BadSignature)),
        }
    }
}

/// The key of a certificate, also of one that is of an old version or otherwise odd: DANE-EE
/// compares no more than that (RFC 7671 §5.1).
fn key_of(cert: &[u8]) -> Result<SubjectPublicKeyInfoDer<'static>, Error> {
    let bad = || Error::InvalidCertificate(CertificateError::BadEncoding);
    let (_, parsed) = X509Certificate::from_der(cert).map_err(|_| bad())?;
    Ok(SubjectPublicKeyInfoDer::from(parsed.public_key().raw.to_vec()))
}

/// What the library makes an alert of.
fn alert_for(failure: TlsFailure) -> CertificateError {
    match failure {
        TlsFailure::Certificate(CertFault::Expired) => CertificateError::Expired,
        TlsFailure::Certificate(CertFault::NotYetValid) => CertificateError::NotValidYet,
        TlsFailure::Certificate(CertFault::OtherName) => CertificateError::NotValidForName,
        TlsFailure::Certificate(CertFault::Malformed) => CertificateError::BadEncoding,
        TlsFailure::Certificate(CertFault::NotForServers) => CertificateError::InvalidPurpose,
        _ => CertificateError::UnknownIssuer,
    }
}
