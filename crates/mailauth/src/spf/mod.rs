//! Whether a client may use the domain of a sender: SPF.
//!
//! Source: RFC 7208; RFC 8616 §4 for senders that are not ASCII.
//!
//! ```
//! use futures_util::FutureExt as _;
//! use mox_base::{Address, Domain, Host, UnixSeconds};
//! use mox_mailauth::spf::{Args, Status, check};
//!
//! let mut dns = mox_dns::FakeDns::new();
//! dns.add_txt("example.org", "v=spf1 ip4:192.0.2.0/24 -all");
//! let args = Args {
//!     ip: "192.0.2.9".parse().unwrap(),
//!     mail_from: Some(&Address::parse("a@example.org").unwrap()),
//!     helo: &Host::Domain(Domain::parse("mail.example.org").unwrap()),
//!     receiver: &Domain::parse("mx.example").unwrap(),
//!     now: UnixSeconds(0),
//! };
//! let received = check(&dns, &args).now_or_never().unwrap();
//! assert_eq!(received.status, Status::Pass);
//! assert_eq!(received.mechanism.as_deref(), Some("ip4:192.0.2.0/24"));
//! ```

mod eval;
mod macros;
mod record;

use std::fmt;
use std::net::IpAddr;

use mox_base::{Address, Domain, Host, UnixSeconds};
use mox_dns::{DnsError, Lookups as _, Name, Resolver, Security};

pub use macros::{DomainSpec, Letter, Macro, MacroString};
pub use record::{
    Directive, Mechanism, Prefixes, Qualifier, RECORD_BYTES_MAX, Record, RecordError, TermError,
    is_record,
};

/// Terms of one check that may ask DNS something. RFC 7208 §4.6.4.
pub const TERMS_MAX: u32 = 10;

/// Terms of one check whose questions may find nothing. RFC 7208 §4.6.4.
pub const VOIDS_MAX: u32 = 2;

/// Hosts of one `mx` term. RFC 7208 §4.6.4.
pub const MX_HOSTS_MAX: usize = 10;

/// Names of the client that are looked at. RFC 7208 §4.6.4.
pub const PTR_NAMES_MAX: usize = 10;

/// Questions that one check may ask at most: each term has one and one for each of its hosts or
/// names, the first record and the explanation one each, and the explanation may want the names of
/// the client.
pub const QUESTIONS_MAX: usize = 10 * (1 + MX_HOSTS_MAX) + 2 + (1 + PTR_NAMES_MAX);

/// The longest explanation, in bytes; a longer one is cut. Ours.
pub const EXPLANATION_BYTES_MAX: usize = 800;

/// What is known of a client and its message. RFC 7208 §4.1.
#[derive(Clone, Copy, Debug)]
pub struct Args<'a> {
    /// Where the client connects from.
    pub ip: IpAddr,
    /// The sender. None for the null path, and for one with an address literal, which has no
    /// domain that could be asked: then what the client calls itself is checked.
    pub mail_from: Option<&'a Address>,
    /// What the client calls itself.
    pub helo: &'a Host,
    /// The host that checks; for explanations.
    pub receiver: &'a Domain,
    /// For explanations.
    pub now: UnixSeconds,
}

impl<'a> Args<'a> {
    /// The same client, with what it calls itself to be checked. RFC 7208 §2.3.
    #[must_use]
    pub fn of_helo(self) -> Self {
        Self { mail_from: None, ..self }
    }

    /// Which identity is checked. RFC 7208 §2.4.
    #[must_use]
    pub fn identity(&self) -> Identity {
        if self.mail_from.is_some() { Identity::MailFrom } else { Identity::Helo }
    }

    /// The domain that is asked.
    #[must_use]
    pub fn domain(&self) -> Option<&'a Domain> {
        self.mail_from.map_or_else(|| self.helo.domain(), |address| Some(&address.domain))
    }

    /// The local part that counts as that of the sender. RFC 7208 §4.3.
    fn local(&self) -> &'a str {
        self.mail_from.map_or("postmaster", |address| address.localpart.as_str())
    }
}

/// What of a client is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// The domain of the sender. RFC 7208 §2.4.
    MailFrom,
    /// What the client calls itself. RFC 7208 §2.3.
    Helo,
}

/// The outcome. RFC 7208 §2.6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// There is no domain or no record.
    None,
    /// The domain says nothing of the client.
    Neutral,
    /// The client may use the domain.
    Pass,
    /// It may not.
    Fail,
    /// It probably may not.
    SoftFail,
    /// DNS failed; later it may be otherwise.
    TempError,
    /// The record is faulty or asks for too much.
    PermError,
}

impl Status {
    /// The word for it in header fields.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Neutral => "neutral",
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::SoftFail => "softfail",
            Self::TempError => "temperror",
            Self::PermError => "permerror",
        }
    }
}

impl From<Qualifier> for Status {
    fn from(qualifier: Qualifier) -> Self {
        match qualifier {
            Qualifier::Pass => Self::Pass,
            Qualifier::Fail => Self::Fail,
            Qualifier::SoftFail => Self::SoftFail,
            Qualifier::Neutral => Self::Neutral,
        }
    }
}

/// What stood in the way of an outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// DNS failed.
    Dns(DnsError),
    /// There is no domain, or one without a dot. RFC 7208 §4.3.
    NoDomain,
    /// The record of a domain is faulty. RFC 7208 §4.6.
    Record(Name, RecordError),
    /// A domain has several records. RFC 7208 §4.5.
    SeveralRecords(Name),
    /// An `include` or `redirect` leads to what has no record. RFC 7208 §5.2, §6.1.
    NoRecord(Box<str>),
    /// More than [`TERMS_MAX`].
    TooManyTerms,
    /// More than [`VOIDS_MAX`].
    TooManyVoids,
    /// More than [`MX_HOSTS_MAX`].
    TooManyMxHosts,
}

impl Problem {
    fn status(&self) -> Status {
        match self {
            Self::Dns(_) => Status::TempError,
            Self::NoDomain => Status::None,
            _ => Status::PermError,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(error) => error.fmt(f),
            Self::NoDomain => f.write_str("no domain to ask"),
            Self::Record(name, error) => write!(f, "record of {}: {error}", name.as_str()),
            Self::SeveralRecords(name) => write!(f, "several records at {}", name.as_str()),
            Self::NoRecord(target) => write!(f, "no record at {target}"),
            Self::TooManyTerms => write!(f, "more than {TERMS_MAX} terms with questions"),
            Self::TooManyVoids => write!(f, "more than {VOIDS_MAX} questions without answer"),
            Self::TooManyMxHosts => write!(f, "more than {MX_HOSTS_MAX} mail hosts in one term"),
        }
    }
}

impl std::error::Error for Problem {}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// The outcome.
    pub status: Status,
    /// What was checked.
    pub identity: Identity,
    /// The domain that was asked.
    pub domain: Option<Domain>,
    /// The term that decided, as in the record of `domain` or where it redirects; `default` if
    /// none matched.
    pub mechanism: Option<String>,
    /// Why the domain does not want this, in its own words: printable ASCII, at most
    /// [`EXPLANATION_BYTES_MAX`]. Only with [`Status::Fail`]. RFC 7208 §6.2.
    pub explanation: Option<String>,
    /// Of all answers that were needed.
    pub security: Security,
    /// Why there is no better outcome.
    pub problem: Option<Problem>,
}

/// Checks whether a client may use a domain: `check_host()` of RFC 7208 §4.
///
/// Asks at most [`QUESTIONS_MAX`] questions.
pub async fn check<R: Resolver + ?Sized>(resolver: &R, args: &Args<'_>) -> Received {
    eval::check(resolver, args).await
}

/// Why a domain has no record to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LookupError {
    /// There is none.
    NoRecord(Security),
    /// There is something wrong with it.
    Problem(Problem),
}

/// Looks up the record of a domain, with its text. RFC 7208 §4.4, §4.5.
///
/// # Errors
///
/// If there is none, DNS fails, there are several or it is faulty.
pub async fn lookup<R: Resolver + ?Sized>(
    resolver: &R,
    name: &Name,
) -> Result<(Record, String, Security), LookupError> {
    let problem = |problem| Err(LookupError::Problem(problem));
    let found = match resolver.txt(name).await {
        Ok(found) => found,
        Err(DnsError::NotFound { security, .. }) => return Err(LookupError::NoRecord(security)),
        Err(error) => return problem(Problem::Dns(error)),
    };
    let mut texts = found.records.iter().filter(|text| is_record(text));
    let Some(text) = texts.next() else { return Err(LookupError::NoRecord(found.security)) };
    if texts.next().is_some() {
        return problem(Problem::SeveralRecords(name.clone()));
    }
    match Record::parse(text) {
        Ok(record) => Ok((record, String::from_utf8_lossy(text).into_owned(), found.security)),
        Err(error) => problem(Problem::Record(name.clone(), error)),
    }
}
