//! What went wrong with TLS, in the words of reports.
//!
//! Source: RFC 8460 §4.3.

use std::fmt;

use mox_reports::tls::ResultType;

use crate::dane::DaneError;
use crate::pkix::CertFault;

/// Why a connection with TLS did not come about, or not as it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TlsFailure {
    /// The server does not offer STARTTLS.
    NotOffered,
    /// The server refused STARTTLS with this code of a reply. RFC 3207 §4.
    Refused(u16),
    /// Its certificate is not good for its names by way of authorities.
    Certificate(CertFault),
    /// Its certificate is not what its zone says.
    Dane(DaneError),
    /// It ended the handshake, or the session right after, with this alert. RFC 8446 §6.
    RemoteAlert(u8),
    /// We ended the handshake with this alert.
    LocalAlert(u8),
    /// What it sent is not TLS.
    NotTls,
    /// The handshake took too long.
    TimedOut,
    /// The connection ended during the handshake.
    Closed,
    /// The socket failed during the handshake.
    Io,
}

impl TlsFailure {
    /// Its kind. RFC 8460 §4.3.
    #[must_use]
    pub fn result_type(self) -> ResultType {
        match self {
            Self::NotOffered | Self::Refused(_) => ResultType::StarttlsNotSupported,
            Self::Certificate(CertFault::Expired) => ResultType::CertificateExpired,
            Self::Certificate(CertFault::OtherName) => ResultType::CertificateHostMismatch,
            Self::Certificate(_) => ResultType::CertificateNotTrusted,
            Self::Dane(DaneError::Unusable) => ResultType::TlsaInvalid,
            _ => ResultType::ValidationFailure,
        }
    }

    /// What it was exactly (`failure-reason-code` of RFC 8460 §4.4). Empty where the kind says all.
    #[must_use]
    pub fn reason(self) -> String {
        match self {
            Self::NotOffered => String::new(),
            Self::Refused(code) => format!("smtp-starttls-reply-code-{code}"),
            Self::Certificate(fault) => fault.token().to_owned(),
            Self::Dane(DaneError::Unusable) => "all-unusable-records+ignored".to_owned(),
            Self::Dane(DaneError::NoMatch) => "dane-no-match".to_owned(),
            Self::Dane(DaneError::Fault(_)) => "dane-no-match+errors".to_owned(),
            Self::RemoteAlert(number) => alert_code("remote", number),
            Self::LocalAlert(number) => alert_code("local", number),
            Self::NotTls => "tls-record-header-error".to_owned(),
            Self::TimedOut => "io-timeout-during-handshake".to_owned(),
            Self::Closed => "connection-closed-during-handshake".to_owned(),
            Self::Io => "io-error-during-handshake".to_owned(),
        }
    }
}

impl fmt::Display for TlsFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOffered => f.write_str("STARTTLS is not offered"),
            Self::Refused(code) => write!(f, "STARTTLS was refused with {code}"),
            Self::Certificate(fault) => fault.fmt(f),
            Self::Dane(error) => error.fmt(f),
            Self::RemoteAlert(number) => {
                write!(f, "server sent TLS alert {number} ({})", alert_name(*number))
            }
            Self::LocalAlert(number) => {
                write!(f, "TLS handshake ended with alert {number} ({})", alert_name(*number))
            }
            Self::NotTls => f.write_str("server does not speak TLS"),
            Self::TimedOut => f.write_str("TLS handshake took too long"),
            Self::Closed => f.write_str("connection closed during TLS handshake"),
            Self::Io => f.write_str("connection failed during TLS handshake"),
        }
    }
}

impl std::error::Error for TlsFailure {}

fn alert_code(side: &str, number: u8) -> String {
    format!("tls-{side}-alert-{number}-{}", alert_name(number))
}

/// The name of an alert, with hyphens. RFC 8446 §6, RFC 5246 §7.2; the rest by the registry of
/// "TLS Alerts".
#[must_use]
pub fn alert_name(number: u8) -> &'static str {
    match number {
        0 => "close-notify",
        10 => "unexpected-message",
        20 => "bad-record-mac",
        21 => "decryption-failed",
        22 => "record-overflow",
        30 => "decompression-failure",
        40 => "handshake-failure",
        41 => "no-certificate",
        42 => "bad-certificate",
        43 => "unsupported-certificate",
        44 => "certificate-revoked",
        45 => "certificate-expired",
        46 => "certificate-unknown",
        47 => "illegal-parameter",
        48 => "unknown-ca",
        49 => "access-denied",
        50 => "decode-error",
        51 => "decrypt-error",
        60 => "export-restriction",
        70 => "protocol-version",
        71 => "insufficient-security",
        80 => "internal-error",
        86 => "inappropriate-fallback",
        90 => "user-canceled",
        100 => "no-renegotiation",
        109 => "missing-extension",
        110 => "unsupported-extension",
        111 => "certificate-unobtainable",
        112 => "unrecognized-name",
        113 => "bad-certificate-status-response",
        114 => "bad-certificate-hash-value",
        115 => "unknown-psk-identity",
        116 => "certificate-required",
        120 => "no-application-protocol",
        121 => "ech-required",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(failure: TlsFailure, want: &ResultType, reason: &str) {
        assert_eq!(&failure.result_type(), want, "{failure:?}");
        assert_eq!(failure.reason(), reason, "{failure:?}");
        assert!(!failure.to_string().is_empty());
    }

    /// RFC 8460 §4.3.
    #[test]
    fn failures_have_a_kind_and_a_reason() {
        use ResultType::*;
        check(TlsFailure::NotOffered, &StarttlsNotSupported, "");
        check(TlsFailure::Refused(454), &StarttlsNotSupported, "smtp-starttls-reply-code-454");
        let cert = TlsFailure::Certificate;
        check(cert(CertFault::Expired), &CertificateExpired, "");
        check(cert(CertFault::OtherName), &CertificateHostMismatch, "");
        check(cert(CertFault::UnknownIssuer), &CertificateNotTrusted, "");
        check(cert(CertFault::NoRoots), &CertificateNotTrusted, "no-system-roots");
        check(cert(CertFault::Malformed), &CertificateNotTrusted, "certificate-malformed");
        let dane = TlsFailure::Dane;
        check(dane(DaneError::Unusable), &TlsaInvalid, "all-unusable-records+ignored");
        check(dane(DaneError::NoMatch), &ValidationFailure, "dane-no-match");
        let expired = DaneError::Fault(CertFault::Expired);
        check(dane(expired), &ValidationFailure, "dane-no-match+errors");
        let alert = TlsFailure::RemoteAlert(40);
        check(alert, &ValidationFailure, "tls-remote-alert-40-handshake-failure");
        let alert = TlsFailure::LocalAlert(70);
        check(alert, &ValidationFailure, "tls-local-alert-70-protocol-version");
        let alert = TlsFailure::RemoteAlert(255);
        check(alert, &ValidationFailure, "tls-remote-alert-255-unknown");
        check(TlsFailure::NotTls, &ValidationFailure, "tls-record-header-error");
        check(TlsFailure::TimedOut, &ValidationFailure, "io-timeout-during-handshake");
        check(TlsFailure::Closed, &ValidationFailure, "connection-closed-during-handshake");
    }
}
