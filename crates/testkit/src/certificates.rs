//! Certificates with their keys, made anew for each test, and both sides of TLS with them.
#![expect(clippy::unwrap_used, reason = "what cannot be made should fail the test")]

use std::sync::Arc;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair,
};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme,
    SupportedProtocolVersion,
};

/// Who signs certificates.
pub type Authority = CertifiedIssuer<'static, KeyPair>;

/// What will be signed: a certificate for these names.
pub fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<_> = names.iter().copied().map(str::to_owned).collect();
    CertificateParams::new(names).unwrap()
}

/// What will be signed: the certificate of an authority.
pub fn authority_params(name: &str) -> CertificateParams {
    let mut params = params(&[]);
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

/// The same, good through this year.
pub fn until(mut params: CertificateParams, last_year: i32) -> CertificateParams {
    params.not_after = rcgen::date_time_ymd(last_year, 12, 31);
    params
}

/// An authority that signs its own certificate.
pub fn root(params: CertificateParams) -> Authority {
    Authority::self_signed(params, key()).unwrap()
}

/// An authority whose certificate is signed by another.
pub fn below(above: &Authority, params: CertificateParams) -> Authority {
    Authority::signed_by(params, key(), above).unwrap()
}

/// A key for ECDSA with P-256.
pub fn key() -> KeyPair {
    KeyPair::generate().unwrap()
}

/// A certificate and its key.
#[derive(Debug)]
pub struct Certified {
    cert: Certificate,
    /// The key.
    pub key: KeyPair,
    /// What is shown after the certificate: nothing, unless a test wants it.
    pub above: Vec<CertificateDer<'static>>,
}

impl Certified {
    /// Makes a certificate for these names that signs itself.
    pub fn new(names: &[&str]) -> Self {
        Self::self_signed(&params(names), key())
    }

    /// Makes a certificate that signs itself.
    pub fn self_signed(params: &CertificateParams, key: KeyPair) -> Self {
        Self { cert: params.self_signed(&key).unwrap(), key, above: Vec::new() }
    }

    /// Makes a certificate that the authority signs.
    pub fn signed_by(params: &CertificateParams, authority: &Authority) -> Self {
        let key = key();
        Self { cert: params.signed_by(&key, authority).unwrap(), key, above: Vec::new() }
    }

    /// Returns the certificate.
    pub fn der(&self) -> &CertificateDer<'static> {
        self.cert.der()
    }

    /// Returns the certificate and those above it.
    pub fn chain(&self) -> Vec<CertificateDer<'static>> {
        [std::slice::from_ref(self.der()), &self.above].concat()
    }

    /// Returns the certificate in PEM.
    pub fn cert_pem(&self) -> String {
        self.cert.pem()
    }

    /// Returns the key in PEM, as of PKCS #8.
    pub fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }

    /// Returns the key as rustls has it.
    pub fn key_der(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::try_from(self.key.serialize_der()).unwrap()
    }

    /// Makes the side of a server that shows this certificate and no other.
    pub fn server(&self, versions: &[&'static SupportedProtocolVersion]) -> ServerConfig {
        ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(self.chain(), self.key_der())
            .unwrap()
    }
}

/// Makes the side of a client that has a certificate of its own, or none.
pub fn client(
    verifier: Arc<dyn ServerCertVerifier>,
    versions: &[&'static SupportedProtocolVersion],
    own: Option<&Certified>,
) -> ClientConfig {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    match own {
        None => builder.with_no_client_auth(),
        Some(own) => builder.with_client_auth_cert(own.chain(), own.key_der()).unwrap(),
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// Trusts what the certificate signed, itself in the first place.
pub fn trust_only(cert: CertificateDer<'static>) -> Arc<dyn ServerCertVerifier> {
    let mut roots = RootCertStore::empty();
    roots.add(cert).unwrap();
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build().unwrap()
}

/// Trusts every server that can sign by one of these schemes, and does not look at what it signed.
#[derive(Debug)]
pub struct TrustAll(pub Vec<SignatureScheme>);

impl ServerCertVerifier for TrustAll {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.clone()
    }
}
