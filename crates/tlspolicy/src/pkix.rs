//! Whether a certificate is vouched for by an authority that one trusts, and made out to a name.
//!
//! Source: RFC 5280 §6, RFC 6125.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use mox_base::{Domain, UnixSeconds};
use rustls_pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, ExtendedKeyUsageValidator, KeyUsage};
use x509_parser::prelude::{FromDer, X509Certificate};

/// Certificates of a chain that are looked at: the server's own and nine above it. Ours; real
/// chains have two to four.
pub const CHAIN_MAX: usize = 10;

/// What is wrong with a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CertFault {
    /// The server showed none.
    Missing,
    /// It is no X.509 certificate of version 3, or not one that can be used.
    Malformed,
    /// Its time is over, or that of one above it.
    Expired,
    /// Its time has not come, or that of one above it.
    NotYetValid,
    /// It is made out to other names.
    OtherName,
    /// No path leads to an authority that is trusted.
    UnknownIssuer,
    /// No authority is trusted at all.
    NoRoots,
    /// A signature is wrong, or of a kind too weak or unknown.
    BadSignature,
    /// It may not be used for this: by its usages, its constraints, or because it is an
    /// authority's own.
    NotForServers,
}

impl CertFault {
    /// A short word for a report (`failure-reason-code` of RFC 8460 §4.4). Empty where the kind of
    /// the result says all.
    #[must_use]
    pub fn token(self) -> &'static str {
        match self {
            Self::Expired | Self::OtherName | Self::UnknownIssuer => "",
            Self::Missing => "certificate-missing",
            Self::Malformed => "certificate-malformed",
            Self::NotYetValid => "certificate-not-yet-valid",
            Self::NoRoots => "no-system-roots",
            Self::BadSignature => "certificate-bad-signature",
            Self::NotForServers => "certificate-not-for-servers",
        }
    }
}

impl fmt::Display for CertFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "no certificate",
            Self::Malformed => "malformed certificate",
            Self::Expired => "certificate has expired",
            Self::NotYetValid => "certificate is not valid yet",
            Self::OtherName => "certificate is for other names",
            Self::UnknownIssuer => "certificate is of an unknown authority",
            Self::NoRoots => "no authorities are trusted",
            Self::BadSignature => "a signature of the certificate cannot be verified",
            Self::NotForServers => "certificate may not be used for this",
        })
    }
}

impl std::error::Error for CertFault {}

/// The authorities that are trusted.
#[derive(Clone, Debug, Default)]
pub struct Roots {
    anchors: Vec<TrustAnchor<'static>>,
}

impl Roots {
    /// Trusts the holder of this certificate.
    ///
    /// # Errors
    ///
    /// If it is no certificate.
    pub fn add(&mut self, cert: &CertificateDer<'_>) -> Result<(), CertFault> {
        let anchor = webpki::anchor_from_trusted_cert(cert).map_err(|_| CertFault::Malformed)?;
        self.anchors.push(anchor.to_owned());
        Ok(())
    }

    /// Trusts authorities that are known by their names and keys only.
    pub fn extend(&mut self, anchors: impl IntoIterator<Item = TrustAnchor<'static>>) {
        self.anchors.extend(anchors);
    }

    pub(crate) fn anchors(&self) -> &[TrustAnchor<'static>] {
        &self.anchors
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.anchors.len()
    }

    /// Whether nobody is trusted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.anchors.is_empty()
    }
}

/// Whom a certificate must be made out to: any one of these.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a> {
    /// By name.
    pub domains: &'a [Domain],
    /// Or by address.
    pub ip: Option<IpAddr>,
}

impl<'a> From<&'a [Domain]> for Names<'a> {
    fn from(domains: &'a [Domain]) -> Self {
        Self { domains, ip: None }
    }
}

/// Whether `chain`, the server's own certificate first, leads to one of `roots` and is made out to
/// one of `names` at `now`. RFC 5280 §6.1, RFC 6125 §6.
///
/// Of several faults the first of these is told: the time of the server's own certificate, its
/// names, the chain. Revocation is not looked at. Costs a bounded number of signatures.
///
/// # Errors
///
/// What is wrong.
pub fn verify(
    roots: &Roots,
    chain: &[CertificateDer<'_>],
    names: Names<'_>,
    now: UnixSeconds,
) -> Result<(), CertFault> {
    let end = chain.first().ok_or(CertFault::Missing)?;
    check_time(end, now)?;
    let cert = EndEntityCert::try_from(end).map_err(|error| fault(&error))?;
    check_names(&cert, names)?;
    if roots.is_empty() {
        return Err(CertFault::NoRoots);
    }
    verify_path(&cert, chain, &roots.anchors, now, |_, _| true)
}

/// Whether the certificate is made out to one of `names`. RFC 6125 §6.4: only the alternative names
/// count, not the common name.
pub(crate) fn check_names(cert: &EndEntityCert<'_>, names: Names<'_>) -> Result<(), CertFault> {
    let fits = |name: &ServerName<'_>| cert.verify_is_valid_for_subject_name(name).is_ok();
    let by_name = names
        .domains
        .iter()
        .any(|domain| ServerName::try_from(domain.ascii()).is_ok_and(|name| fits(&name)));
    let by_ip = || names.ip.is_some_and(|ip| fits(&ServerName::IpAddress(ip.into())));
    if by_name || by_ip() { Ok(()) } else { Err(CertFault::OtherName) }
}

/// Whether a path leads from `cert` through the rest of `chain` to one of `anchors`, and `accept`
/// takes it, which sees the certificates between and the anchor.
pub(crate) fn verify_path(
    cert: &EndEntityCert<'_>,
    chain: &[CertificateDer<'_>],
    anchors: &[TrustAnchor<'_>],
    now: UnixSeconds,
    accept: impl Fn(&[CertificateDer<'_>], &TrustAnchor<'_>) -> bool,
) -> Result<(), CertFault> {
    let above: Vec<_> = chain.iter().take(CHAIN_MAX).skip(1).cloned().collect();
    let check = |path: &webpki::VerifiedPath<'_>| {
        let between: Vec<_> = path.intermediate_certificates().map(|cert| cert.der()).collect();
        accept(&between, path.anchor()).then_some(()).ok_or(webpki::Error::UnknownIssuer)
    };
    let time = unix_time(now);
    cert.verify_for_usage(
        ALL_VERIFICATION_ALGS,
        anchors,
        &above,
        time,
        server_usage(),
        None,
        Some(&check),
    )
    .map(|_| ())
    .map_err(|error| fault(&error))
}

/// RFC 5280 §4.2.1.12: `id-kp-serverAuth` if there are extended key usages at all.
fn server_usage() -> impl ExtendedKeyUsageValidator {
    KeyUsage::server_auth()
}

fn unix_time(now: UnixSeconds) -> UnixTime {
    let secs = u64::try_from(now.0).unwrap_or_default();
    UnixTime::since_unix_epoch(Duration::from_secs(secs))
}

/// Whether a certificate is valid at `now`. RFC 5280 §4.1.2.5.
pub(crate) fn check_time(cert: &[u8], now: UnixSeconds) -> Result<(), CertFault> {
    let (rest, parsed) = X509Certificate::from_der(cert).map_err(|_| CertFault::Malformed)?;
    if !rest.is_empty() {
        return Err(CertFault::Malformed);
    }
    let validity = parsed.validity();
    if now.0 > validity.not_after.timestamp() {
        return Err(CertFault::Expired);
    }
    if now.0 < validity.not_before.timestamp() {
        return Err(CertFault::NotYetValid);
    }
    Ok(())
}

fn fault(error: &webpki::Error) -> CertFault {
    use webpki::Error;
    match error {
        Error::CertExpired { .. } => CertFault::Expired,
        Error::CertNotValidYet { .. } => CertFault::NotYetValid,
        Error::CertNotValidForName(_) => CertFault::OtherName,
        Error::InvalidSignatureForPublicKey
        | Error::SignatureAlgorithmMismatch
        | Error::UnsupportedSignatureAlgorithmContext(_)
        | Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => CertFault::BadSignature,
        Error::CaUsedAsEndEntity
        | Error::EndEntityUsedAsCa
        | Error::CertDistrusted
        | Error::NameConstraintViolation
        | Error::PathLenConstraintViolated
        | Error::RequiredEkuNotFoundContext(_) => CertFault::NotForServers,
        Error::UnknownIssuer
        | Error::MaximumNameConstraintComparisonsExceeded
        | Error::MaximumPathBuildCallsExceeded
        | Error::MaximumPathDepthExceeded
        | Error::MaximumSignatureChecksExceeded => CertFault::UnknownIssuer,
        _ => CertFault::Malformed,
    }
}

#[cfg(test)]
#[path = "pkix_tests.rs"]
mod tests;
