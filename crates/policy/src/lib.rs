//! The decision on an incoming message: facts in, verdict with its reason out.
//!
//! A decision is made for each recipient alone, by the recipient's own history and rules. [`decide`]
//! takes what is known of the message ([`Facts`]), asks the account ([`History`]) and the message
//! ([`Content`]) no more than it needs, and gives a [`Verdict`], or waits for block lists
//! ([`Pending`]), which are asked last and only about messages that would else be accepted.
//!
//! Every verdict has a [`Reason`] from one list, and lines that explain to the owner of the account
//! how it came about. What the sender is told tells junk's senders nothing.
//!
//! Not here: DNS, databases, the junk filter itself, and storing messages.
//!
//! ```
//! use mox_policy::{NetworkClass, Reason, rate_limits};
//!
//! assert_eq!(Reason::NoBadSignals.token(), "no-bad-signals");
//! assert_eq!(rate_limits(NetworkClass::Host)[0].messages_max, 500);
//! ```

mod content;
mod decide;
mod evaluation;
mod facts;
mod history;
mod network;
mod origin;
mod reason;
mod rejects;
mod report;
mod reputation;
mod ruleset;
mod steps;
mod subjectpass;
mod verdict;

#[cfg(test)]
mod fixture;

pub use content::{
    Content, ContentError, DmarcReport, MODERATE_MARGIN, Score, THRESHOLD_JITTER, THRESHOLD_STRICT,
    TlsReport, WORDS_SHOWN_MAX,
};
pub use decide::{Listing, Pending, Step, decide};
pub use evaluation::{Evaluation, evaluation};
pub use facts::{
    Author, DKIM_DOMAINS_MAX, Dmarc, DmarcStatus, Facts, Message, PassSettings, Proven, Recipient,
    ReportsTo, Signature, TO_AND_CC_MAX,
};
pub use history::{Addressee, History, HistoryError, Identity, IsValidated, Past};
pub use network::{Network, NetworkClass, RateLimit, Traffic, rate_limits};
pub use origin::Origin;
pub use reason::Reason;
pub use rejects::{REJECT_KEEP_SECS, REJECTS_MAX, RejectsState, keeps_reject};
pub use report::{DMARC_REPORT_ERROR, REPORT_FUTURE_SECS_MAX, Report, TLS_REPORT_ERROR};
pub use reputation::{Method, Reputation, reputation};
pub use ruleset::{RULE_FIELDS_MAX, RULE_VALUE_BYTES_MAX, Ruleset};
pub use subjectpass::{PASS_KEY_CHARS, PASSES_TRIED_MAX, PassKey};
pub use verdict::{
    DmarcOverride, EXPLANATION_LINE_BYTES_MAX, EXPLANATION_LINES_MAX, Marks, Refusal, Verdict,
};
