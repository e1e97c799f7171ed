//! Certificates by ACME: obtained when they are missing, kept in files, renewed in time.
//!
//! A [`Manager`] serves one provider. It is told which hosts may have certificates, fills the
//! [`Certs`](mox_net::tls::Certs) that listeners use, and answers the checks of the provider: by
//! `tls-alpn-01` (RFC 8737) on every TLS port, else by `http-01` (RFC 8555 §8.3), whose texts a web
//! server asks for. All that the provider could take amiss is bounded and counted on disk before it
//! is done, so that neither faults nor restarts make us ask too often.
//!
//! This crate opens no port and reads no configuration. Source: RFC 8555, RFC 8737, RFC 9773.

mod account;
mod error;
mod files;
mod http;
mod jobs;
mod keys;
mod ledger;
mod obtain;
mod pair;
mod schedule;
#[cfg(test)]
mod tests;
mod upkeep;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use mox_base::{Clock, Domain, Rng, UnixSeconds};
use mox_dns::Resolver;
use mox_net::Supervisor;

pub use error::AcmeError;
pub use files::{account_uri, key_from_cache};
pub use keys::{HostKey, HostKeyError, KeyKind};
pub use ledger::{ERROR_BYTES_MAX, ISSUED_MAX, ISSUED_WINDOW, ORDERS_MAX, ORDERS_WINDOW};
pub use pair::PairError;
pub use schedule::{RENEW_BEFORE_MAX, RETRY_FIRST, RETRY_MAX};
pub use upkeep::{AT_START_MAX, Manager, ORDER_SPACING};

/// A provider, and what is asked of it.
#[derive(Clone)]
pub struct Settings {
    /// Its name in the configuration: part of file names.
    pub name: String,
    /// The URL of its directory. RFC 8555 §7.1.1.
    pub directory_url: String,
    /// The email address that it may write to.
    pub contact: String,
    /// How long before its end a certificate is renewed; `None` for what suits its lifetime.
    pub renew_before: Option<Duration>,
    /// An account that exists at the provider. RFC 8555 §7.3.4.
    pub binding: Option<Binding>,
    /// Where accounts and certificates of all providers are kept: `acme` in the data directory.
    pub dir: PathBuf,
    /// The server's own name: its certificate is shown to clients that name no server.
    pub hostname: Domain,
    /// Keys that the certificates of some hosts must have, as DANE needs it.
    pub host_keys: BTreeMap<Domain, Vec<Arc<HostKey>>>,
    /// Whether a web server on port 80 has the answers of [`Manager::http01`].
    pub has_http01: bool,
    /// The addresses of this server as others see them; empty if they are not known.
    pub public_ips: BTreeSet<IpAddr>,
    /// What our HTTP requests say we are.
    pub user_agent: String,
    /// How often a provider is asked whether it is done.
    pub poll: Duration,
}

/// Whether a provider is done is asked after this time first, later less often.
pub const POLL: Duration = Duration::from_secs(1);

/// The link to an account that exists outside of ACME. RFC 8555 §7.3.4.
#[derive(Clone)]
pub struct Binding {
    /// The identifier given by the provider.
    pub key_id: String,
    /// The key given by the provider.
    pub key: Vec<u8>,
}

impl Binding {
    /// `text` is the key as providers give it: base64 for URLs, perhaps with a line end.
    ///
    /// Returns `None` if it is not that.
    #[must_use]
    pub fn parse(key_id: &str, text: &str) -> Option<Self> {
        use base64::Engine as _;
        use base64::engine::general_purpose::URL_SAFE_NO_PAD;
        let key = URL_SAFE_NO_PAD.decode(text.trim().trim_end_matches('=')).ok()?;
        (!key.is_empty()).then(|| Self { key_id: key_id.to_owned(), key })
    }
}

/// What a manager needs of the server.
#[derive(Clone)]
pub struct Services {
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Randomness for waits.
    pub rng: Arc<dyn Rng>,
    /// Runs the manager's task.
    pub supervisor: Supervisor,
    /// Reaches the provider, and trusts who vouches for it.
    pub http: mox_net::http::Client,
    /// Says where hosts are.
    pub resolver: Arc<dyn Resolver>,
}

/// How it stands with the certificates of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostStatus {
    /// The host.
    pub host: Domain,
    /// When its certificate ends; `None` if it has none. Of two kinds, the preferred one.
    pub not_after: Option<UnixSeconds>,
    /// When it is to be renewed.
    pub renew_at: Option<UnixSeconds>,
    /// Why the last attempt failed, if it did.
    pub last_error: Option<String>,
    /// Before this no other attempt is made.
    pub retry_at: Option<UnixSeconds>,
}
