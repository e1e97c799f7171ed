//! Why there is no certificate, and what follows from that.

use std::path::PathBuf;
use std::time::Duration;

use instant_acme::Problem;

use crate::pair::PairError;

/// Why a certificate could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcmeError {
    /// A name of a provider that cannot be part of a file name.
    #[error(
        "the name {0:?} of the provider cannot be part of a file name: use letters, digits, - _"
    )]
    ProviderName(String),
    /// A file of ours could not be read or written.
    #[error("{what} {path}")]
    File {
        /// What was tried.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// The key of the account is not one that we can use. It is not replaced: records of CAA may name
    /// the account.
    #[error("{0}: not a private key for ECDSA P-256: move it away to have a new account made")]
    AccountKey(PathBuf),
    /// The provider refuses.
    #[error("refused: {0}")]
    Refused(#[source] Problem),
    /// The provider wants fewer requests.
    #[error("too many requests: {problem}")]
    RateLimited {
        /// In its words.
        #[source]
        problem: Problem,
        /// How long it wants us to wait, if it says so.
        retry_after: Option<Duration>,
        /// Whether it was asked for an account: then nothing can be done for any host.
        is_account: bool,
    },
    /// The provider does not know our account.
    #[error("the provider does not know the account: {0}")]
    AccountLost(#[source] Problem),
    /// The provider refuses the account.
    #[error("no account: {0}")]
    AccountRefused(#[source] Problem),
    /// The provider could not check that the host is ours.
    #[error("{challenge}: {why}")]
    NotProven {
        /// The kind of check.
        challenge: &'static str,
        /// In the provider's words.
        why: String,
    },
    /// The provider offers no check that we can answer.
    #[error("the provider offers neither tls-alpn-01 nor, with a web server on port 80, http-01")]
    NoChallenge,
    /// The provider took too long to check or to issue.
    #[error("the provider was not done in time")]
    Slow,
    /// The provider cannot be reached or does not work.
    #[error("provider: {0}")]
    Provider(#[source] instant_acme::Error),
    /// What was issued is not what was asked for.
    #[error("issued: {0}")]
    Issued(#[from] PairError),
    /// A key or a request for a certificate could not be made.
    #[error("make key or request")]
    Make(#[source] rcgen::Error),
    /// The host has no addresses in DNS: nobody is asked before it has.
    #[error("{0} has no addresses in DNS yet")]
    UnknownHost(String),
    /// The server stops.
    #[error("the server stops")]
    Stopping,
}

/// What a failure is the fault of, and so what is to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blame {
    /// This host: others go on.
    Host,
    /// This host, with a wait that the provider asks for.
    HostFor(Duration),
    /// The host is not there yet: it costs nothing to look again.
    NotYet,
    /// The provider, or our account at it.
    Provider,
    /// The provider asks for this wait.
    ProviderFor(Duration),
    /// Nobody.
    Nobody,
}

/// What a provider that gives no time is left alone for.
const RATE_LIMITED_WAIT: Duration = Duration::from_secs(3600);

impl AcmeError {
    /// From what the client says, with the wait that the last response asked for.
    pub(crate) fn from_client(error: instant_acme::Error, retry_after: Option<Duration>) -> Self {
        match error {
            instant_acme::Error::Api(problem) => Self::from_problem(problem, retry_after),
            instant_acme::Error::Timeout(_) => Self::Slow,
            error => Self::Provider(error),
        }
    }

    fn from_problem(problem: Problem, retry_after: Option<Duration>) -> Self {
        match kind_of(&problem) {
            "rateLimited" => Self::RateLimited { problem, retry_after, is_account: false },
            "accountDoesNotExist" => Self::AccountLost(problem),
            "externalAccountRequired"
            | "invalidContact"
            | "unsupportedContact"
            | "userActionRequired"
            | "badPublicKey"
            | "badSignatureAlgorithm" => Self::AccountRefused(problem),
            "serverInternal" | "badNonce" => Self::Provider(instant_acme::Error::Api(problem)),
            _ => Self::Refused(problem),
        }
    }

    /// The same, but of an account: nothing else can be done before that is settled.
    pub(crate) fn of_account(self) -> Self {
        match self {
            Self::Refused(problem) => Self::AccountRefused(problem),
            Self::RateLimited { problem, retry_after, is_account: _ } => {
                Self::RateLimited { problem, retry_after, is_account: true }
            }
            error => error,
        }
    }

    pub(crate) fn blame(&self) -> Blame {
        match self {
            Self::RateLimited { retry_after, is_account, .. } => {
                let wait = retry_after.unwrap_or(RATE_LIMITED_WAIT);
                if *is_account { Blame::ProviderFor(wait) } else { Blame::HostFor(wait) }
            }
            Self::Refused(_)
            | Self::NotProven { .. }
            | Self::NoChallenge
            | Self::Slow
            | Self::Issued(_)
            | Self::Make(_) => Blame::Host,
            Self::UnknownHost(_) => Blame::NotYet,
            Self::Stopping => Blame::Nobody,
            Self::ProviderName(_)
            | Self::File { .. }
            | Self::AccountKey(_)
            | Self::AccountLost(_)
            | Self::AccountRefused(_)
            | Self::Provider(_) => Blame::Provider,
        }
    }
}

/// What a problem is, without what all types of ACME begin with. RFC 8555 §6.7.
pub(crate) fn kind_of(problem: &Problem) -> &str {
    let kind = problem.r#type.as_deref().unwrap_or_default();
    kind.strip_prefix("urn:ietf:params:acme:error:").unwrap_or(kind)
}
