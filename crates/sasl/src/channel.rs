//! Channel bindings: what ties an exchange to the TLS connection under it.

/// A channel binding type and its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChannelBinding {
    /// `tls-exporter`: 32 bytes from the TLS exporter with label `EXPORTER-Channel-Binding` and an
    /// empty context. RFC 9266 §2. With TLS 1.2 only where the extended master secret was used.
    TlsExporter([u8; 32]),
    /// `tls-server-end-point`: a hash of the server's certificate. RFC 5929 §4.
    TlsServerEndPoint(Box<[u8]>),
}

impl ChannelBinding {
    /// The registered name, as in `p=tls-exporter`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::TlsExporter(_) => TLS_EXPORTER,
            Self::TlsServerEndPoint(_) => TLS_SERVER_END_POINT,
        }
    }

    /// The data that enters the exchange.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        match self {
            Self::TlsExporter(data) => data,
            Self::TlsServerEndPoint(data) => data,
        }
    }
}

const TLS_EXPORTER: &str = "tls-exporter";
const TLS_SERVER_END_POINT: &str = "tls-server-end-point";

/// The channel bindings that a connection has. None on a connection without TLS.
///
/// Deviation: RFC 5802 §6.1 has `tls-unique` as the default; we leave it out because it does not exist in
/// TLS 1.3, and is broken in TLS 1.2 without the extended master secret (RFC 9266 §1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChannelBindings {
    /// See [`ChannelBinding::TlsExporter`].
    pub tls_exporter: Option<[u8; 32]>,
    /// See [`ChannelBinding::TlsServerEndPoint`].
    pub tls_server_end_point: Option<Box<[u8]>>,
}

impl ChannelBindings {
    /// Whether there are none, so that the -PLUS mechanisms are impossible.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tls_exporter.is_none() && self.tls_server_end_point.is_none()
    }

    /// The one with this registered name (`cb-name` of RFC 5802 §7, compared exactly).
    #[must_use]
    pub fn named(&self, name: &str) -> Option<ChannelBinding> {
        match name {
            TLS_EXPORTER => self.tls_exporter.map(ChannelBinding::TlsExporter),
            TLS_SERVER_END_POINT => {
                self.tls_server_end_point.clone().map(ChannelBinding::TlsServerEndPoint)
            }
            _ => None,
        }
    }

    /// The one a client should use: the exporter, which is bound to the session and not only to
    /// the certificate.
    #[must_use]
    pub fn strongest(&self) -> Option<ChannelBinding> {
        self.named(TLS_EXPORTER).or_else(|| self.named(TLS_SERVER_END_POINT))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9266 §3, RFC 5929 §4.
    #[test]
    fn bindings_are_found_by_exact_name() {
        let both = ChannelBindings {
            tls_exporter: Some([1; 32]),
            tls_server_end_point: Some([2; 32].into()),
        };
        let none = ChannelBindings::default();
        for (bindings, name, want) in [
            (&both, "tls-exporter", Some([1_u8; 32].as_slice())),
            (&both, "tls-server-end-point", Some([2; 32].as_slice())),
            (&both, "TLS-exporter", None),
            (&both, "tls-unique", None),
            (&none, "tls-exporter", None),
        ] {
            let got = bindings.named(name);
            assert_eq!(got.as_ref().map(ChannelBinding::data), want, "{name}");
            assert!(got.is_none_or(|binding| binding.name() == name));
        }
        assert_eq!(both.strongest(), Some(ChannelBinding::TlsExporter([1; 32])));
        assert_eq!(none.strongest(), None);
        assert!(none.is_empty() && !both.is_empty());
    }
}
