//! Whether a message is from whom it says, and what the owner of that domain wants done if not:
//! DMARC.
//!
//! Source: RFC 9989, RFC 9990 §4; RFC 7489, which they replace, where records still follow it.
//!
//! ```
//! use futures_util::FutureExt as _;
//! use mox_base::Domain;
//! use mox_mailauth::dmarc::{Args, Authenticated, Identifier, Method, Status, verify};
//!
//! let mut dns = mox_dns::FakeDns::new();
//! dns.add_txt("_dmarc.example.org", "v=DMARC1; p=reject");
//! let (author, signer) = ("example.org", "mail.example.org");
//! let (author, signer) = (Domain::parse(author).unwrap(), Domain::parse(signer).unwrap());
//! let signature = Identifier { domain: &signer, result: Authenticated::Pass };
//! let args = Args {
//!     author: Ok(&author),
//!     spf: None,
//!     dkim: &[signature],
//!     method: Method::TreeWalk,
//!     chance: 0,
//! };
//! let outcome = verify(&dns, &args).now_or_never().unwrap();
//! assert_eq!(outcome.status, Status::Pass);
//! ```

mod discover;
mod override_reason;
mod record;
mod report;
mod uri;
mod verify;

pub use discover::{Discovery, Found, Method, QUERIES_MAX, discover};
pub use override_reason::OverrideReason;
pub use record::{
    Alignment, FailureOption, Fault, INTERVAL_SECS, Policy, Psd, RECORD_BYTES_MAX, Record,
    RecordError, TAGS_MAX, URIS_MAX, is_record,
};
pub use report::{ReportTarget, report_target};
pub use uri::ReportUri;
pub use verify::{
    Args, Authenticated, Exemption, IDENTIFIERS_MAX, Identifier, Outcome, Problem, Status, verify,
};
