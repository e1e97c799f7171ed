//! Clients that prove who they are by a key of their own instead of a password.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use x509_parser::prelude::{FromDer, X509Certificate};

/// The name under which a client key is registered: SHA-256 over the certificate's
/// SubjectPublicKeyInfo, in base64url without padding. `None` if it is not X.509.
#[must_use]
pub fn spki_fingerprint(cert_der: &[u8]) -> Option<String> {
    let (rest, cert) = X509Certificate::from_der(cert_der).ok()?;
    rest.is_empty().then(|| URL_SAFE_NO_PAD.encode(digest(&SHA256, cert.public_key().raw)))
}

/// Asks for a certificate and does not insist. Takes any: who issued it and when it ends says
/// nothing, only the key does. That the client holds the key is checked, by its signature.
#[derive(Debug)]
pub(crate) struct AnyClientKey {
    provider: Arc<CryptoProvider>,
}

impl AnyClientKey {
    pub(crate) fn new(provider: Arc<CryptoProvider>) -> Arc<Self> {
        Arc::new(Self { provider })
    }
}

impl ClientCertVerifier for AnyClientKey {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        match spki_fingerprint(end_entity) {
            Some(_) => Ok(ClientCertVerified::assertion()),
            None => Err(Error::InvalidCertificate(CertificateError::BadEncoding)),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use mox_testkit::certificates::{key, params};
    use rcgen::PublicKeyData as _;

    use super::*;

    #[test]
    fn the_fingerprint_names_the_key_and_not_the_certificate() {
        let key = key();
        let cert = |name: &str| params(&[name]).self_signed(&key).unwrap();
        let fingerprint = spki_fingerprint(cert("a.example").der()).unwrap();
        let spki = key.subject_public_key_info();
        assert_eq!(fingerprint, URL_SAFE_NO_PAD.encode(digest(&SHA256, &spki)));
        assert_eq!(fingerprint.len(), 43);
        assert_eq!(spki_fingerprint(cert("b.example").der()), Some(fingerprint));
        assert_eq!(spki_fingerprint(b"no certificate"), None);
        let mut long = cert("a.example").der().to_vec();
        long.push(0);
        assert_eq!(spki_fingerprint(&long), None);
    }
}
