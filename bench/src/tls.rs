//! TLS for clients that only want the work of a handshake to be done.

use std::sync::Arc;

use anyhow::Result;
use mox_testkit::certificates::TrustAll;
use rustls::SignatureScheme;
use rustls::client::{ClientConfig, Resumption};
use rustls::crypto::aws_lc_rs::{default_provider, kx_group};

/// Each connection makes a full handshake with X25519, and believes any certificate: what the
/// client saves by that, the server has for itself.
pub(crate) fn config() -> Result<Arc<ClientConfig>> {
    let mut provider = default_provider();
    provider.kx_groups = vec![kx_group::X25519];
    let schemes = vec![SignatureScheme::ECDSA_NISTP256_SHA256, SignatureScheme::RSA_PSS_SHA256];
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(TrustAll(schemes)))
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}
