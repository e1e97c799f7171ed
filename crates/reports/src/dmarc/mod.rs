//! DMARC aggregate reports: what others saw of mail in our name.
//!
//! Source: RFC 7489 §7.2 and appendix C, and RFC 9990, which replaces them. Reports of both kinds are
//! read, and those of senders that follow neither to the letter; [`to_xml`] writes the new kind.

mod group;
mod parse;
mod write;

use std::net::IpAddr;

use mox_base::{Domain, UnixSeconds};
use serde::{Deserialize, Serialize};

use crate::unix;
use crate::words::words;

pub use group::{Grouped, RECORDS_BYTES_MAX};
pub use parse::{ERRORS_MAX, REASONS_MAX, RECORDS_MAX, SIGNATURES_MAX, from_message, parse};
pub use write::to_xml;

/// An aggregate report: element `feedback`. RFC 9990 §3.1.1, RFC 7489 appendix C.
///
/// Texts are as the reporter wrote them: names of domains may be none. As JSON, the names are those
/// of the elements.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Feedback {
    /// Of the format: `1.0`; empty if it is not said.
    pub version: String,
    /// Who reports, and about when.
    pub report_metadata: Metadata,
    /// The policy that was found.
    pub policy_published: PolicyPublished,
    /// What was seen, by source and outcome; at most [`RECORDS_MAX`].
    pub records: Vec<Record>,
}

/// Who reports, and about when. RFC 9990 §3.1.1 (`report_metadata`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// The name of the reporter.
    pub org_name: String,
    /// Its address.
    pub email: String,
    /// More about how to reach it.
    pub extra_contact_info: Option<String>,
    /// Unique among the reports of the reporter. RFC 9990 §3.5.
    pub report_id: String,
    /// The time that is reported about.
    pub date_range: DateRange,
    /// What was wrong with the record of the policy; at most [`ERRORS_MAX`].
    pub errors: Vec<String>,
    /// The program of the reporter.
    pub generator: Option<String>,
}

/// A span of time. RFC 9990 §3.1.1 (`date_range`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DateRange {
    /// Its first second.
    #[serde(with = "unix")]
    pub begin: UnixSeconds,
    /// Its last second, or the one after: reporters differ.
    #[serde(with = "unix")]
    pub end: UnixSeconds,
}

/// The policy that was found for the domain. RFC 9990 §3.1.1 (`policy_published`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyPublished {
    /// The domain whose record it is; empty if it is not said.
    pub domain: String,
    /// How the record was found.
    pub discovery_method: Option<DiscoveryMethod>,
    /// How DKIM must match.
    pub adkim: Option<Alignment>,
    /// How SPF must match.
    pub aspf: Option<Alignment>,
    /// The policy for the domain.
    pub p: Option<Disposition>,
    /// For domains below it.
    pub sp: Option<Disposition>,
    /// For domains below it that do not exist.
    pub np: Option<Disposition>,
    /// To how many messages of a hundred it applies. RFC 7489 §6.3 (`pct`).
    pub pct: Option<u8>,
    /// When failures are to be reported.
    pub fo: Option<String>,
    /// Whether the policy is only tested.
    pub testing: Option<bool>,
}

impl PolicyPublished {
    /// The domain, if it is one.
    #[must_use]
    pub fn policy_domain(&self) -> Option<Domain> {
        Domain::parse(&self.domain).ok()
    }
}

/// Messages from one source with one outcome. RFC 9990 §3.1.1 (`record`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Record {
    /// How many, from where, and what became of them.
    pub row: Row,
    /// The domains that they named.
    pub identifiers: Identifiers,
    /// What SPF and DKIM said.
    pub auth_results: AuthResults,
}

/// How many messages, from where, and what became of them. RFC 9990 §3.1.1 (`row`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Row {
    /// The server that sent them; `None` if it cannot be read.
    pub source_ip: Option<IpAddr>,
    /// How many messages.
    pub count: u64,
    /// What became of them.
    pub policy_evaluated: PolicyEvaluated,
}

/// What became of messages. RFC 9990 §3.1.1 (`policy_evaluated`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PolicyEvaluated {
    /// What was done.
    pub disposition: Option<Disposition>,
    /// Whether a signature of the domain passed.
    pub dkim: Option<DmarcResult>,
    /// Whether SPF passed for the domain.
    pub spf: Option<DmarcResult>,
    /// Why other was done than the policy says; at most [`REASONS_MAX`].
    pub reasons: Vec<OverrideReason>,
}

/// Why other was done than the policy says. RFC 9990 §3.1 (`reason`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct OverrideReason {
    /// The kind of reason.
    #[serde(rename = "type")]
    pub kind: Override,
    /// More about it.
    pub comment: Option<String>,
}

/// The domains that messages named. RFC 9990 §3.1.1 (`identifiers`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Identifiers {
    /// Of the recipient.
    pub envelope_to: Option<String>,
    /// Of MAIL FROM; empty for the null sender. RFC 5321 §4.5.5.
    pub envelope_from: Option<String>,
    /// Of the author.
    pub header_from: String,
}

/// What DKIM and SPF said. RFC 9990 §3.1.1 (`auth_results`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AuthResults {
    /// Of signatures; at most [`SIGNATURES_MAX`].
    pub dkim: Vec<DkimAuthResult>,
    /// Of SPF: one by RFC 9990, more by RFC 7489; at most [`SIGNATURES_MAX`].
    pub spf: Vec<SpfAuthResult>,
}

/// What DKIM said of a signature. RFC 9990 §3.1.1 (`dkim`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DkimAuthResult {
    /// Who signed.
    pub domain: String,
    /// With which key.
    pub selector: Option<String>,
    /// The result.
    pub result: Option<DkimResult>,
    /// More about it.
    pub human_result: Option<String>,
}

/// What SPF said. RFC 9990 §3.1.1 (`spf`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SpfAuthResult {
    /// The domain that was asked.
    pub domain: String,
    /// Where it came from.
    pub scope: Option<SpfScope>,
    /// The result.
    pub result: Option<SpfResult>,
    /// More about it.
    pub human_result: Option<String>,
}

words! {
    /// How the record of a policy was found. RFC 9990 §3.1.1.
    pub enum DiscoveryMethod {
        /// By a list of public suffixes. RFC 7489 §3.2.
        Psl = "psl",
        /// By asking for records of the domains above. RFC 9989 §4.10.
        TreeWalk = "treewalk",
    }
}

words! {
    /// How names must match. RFC 9989 §4.7 (`adkim`, `aspf`).
    pub enum Alignment {
        /// The organisation must be the same.
        Relaxed = "r" | "relaxed",
        /// The domain must be the same.
        Strict = "s" | "strict",
    }
}

words! {
    /// What is to be done with messages, or was. RFC 9990 appendix A (`DispositionType`,
    /// `ActionDispositionType`).
    pub enum Disposition {
        /// Nothing.
        None = "none",
        /// Nothing, because they passed; only of what was done.
        Pass = "pass",
        /// They were put aside.
        Quarantine = "quarantine",
        /// They were refused.
        Reject = "reject",
    }
}

words! {
    /// Whether something vouched for the domain of the author. RFC 9990 appendix A
    /// (`DMARCResultType`).
    pub enum DmarcResult {
        /// It did.
        Pass = "pass",
        /// It did not.
        Fail = "fail",
    }
}

words! {
    /// Why other was done than the policy says. RFC 9990 §3.1, RFC 7489 appendix C
    /// (`PolicyOverrideType`).
    pub enum Override {
        /// They were forwarded, as is known. RFC 7489 only.
        Forwarded = "forwarded",
        /// The reporter knows better.
        LocalPolicy = "local_policy",
        /// They came by a mailing list.
        MailingList = "mailing_list",
        /// Something else, see the comment.
        Unlisted = "other",
        /// The policy is only tested.
        PolicyTestMode = "policy_test_mode",
        /// The policy is for some messages only. RFC 7489 only.
        SampledOut = "sampled_out",
        /// They came by a forwarder that is trusted.
        TrustedForwarder = "trusted_forwarder",
    }
}

words! {
    /// What DKIM said. RFC 8601 §2.7.1, RFC 7489 appendix C (`DKIMResultType`).
    pub enum DkimResult {
        /// There is no signature.
        None = "none",
        /// The signature is right.
        Pass = "pass",
        /// It is wrong.
        Fail = "fail" | "hardfail",
        /// It is right, and not as the reporter wants it.
        Policy = "policy",
        /// It cannot be read.
        Neutral = "neutral",
        /// DNS failed.
        TempError = "temperror",
        /// There is no key that can be used.
        PermError = "permerror",
    }
}

words! {
    /// What SPF said. RFC 8601 §2.7.2, RFC 7489 appendix C (`SPFResultType`), which also gives the
    /// older words for errors.
    pub enum SpfResult {
        /// There is no record.
        None = "none",
        /// The record says neither.
        Neutral = "neutral",
        /// The server may send.
        Pass = "pass",
        /// It may not.
        Fail = "fail" | "hardfail",
        /// It probably may not.
        SoftFail = "softfail",
        /// It may, and not as the reporter wants it.
        Policy = "policy",
        /// DNS failed.
        TempError = "temperror" | "unknown",
        /// The record is broken.
        PermError = "permerror" | "error",
    }
}

words! {
    /// Where the domain came from that SPF was asked about. RFC 7489 appendix C
    /// (`SPFDomainScope`).
    pub enum SpfScope {
        /// From EHLO.
        Helo = "helo",
        /// From MAIL FROM.
        MailFrom = "mfrom",
    }
}
