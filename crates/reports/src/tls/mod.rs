//! TLS reports: how others fared in connecting to our servers.
//!
//! Source: RFC 8460.

mod parse;
mod record;
mod write;

use std::net::IpAddr;

use mox_base::{Domain, UnixSeconds};
use serde::{Deserialize, Serialize};

use crate::words::words;
use crate::{bounded, rfc3339};

pub use parse::{from_message, parse};
pub use record::{
    RECORD_BYTES_MAX, Record, RecordError, URIS_MAX, find_record, mailto, parse_record,
};
pub use write::to_json;

/// Policies of one report.
pub const POLICIES_MAX: usize = 10_000;
/// Details of failures of one policy.
pub const FAILURES_MAX: usize = 10_000;
/// Lines of one policy. RFC 8461 §3.2 bounds policies at 64 KB.
pub const POLICY_LINES_MAX: usize = 1_000;
/// Patterns of hosts of one policy.
pub const MX_HOSTS_MAX: usize = 1_000;

/// A report. RFC 8460 §4.4.
///
/// Texts are as the reporter wrote them: names of domains may be none. As JSON, it is what the RFC
/// says; of reports that are read, more than one value of a field is refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Report {
    /// The name of the reporter.
    #[serde(default, deserialize_with = "bounded::text")]
    pub organization_name: String,
    /// The time that is reported about.
    pub date_range: DateRange,
    /// How to reach the reporter.
    #[serde(default, deserialize_with = "bounded::text")]
    pub contact_info: String,
    /// Unique among the reports of the reporter.
    #[serde(default, deserialize_with = "bounded::text")]
    pub report_id: String,
    /// What happened, by policy; at most [`POLICIES_MAX`].
    #[serde(deserialize_with = "bounded::list::<_, _, POLICIES_MAX>")]
    pub policies: Vec<PolicyResult>,
}

/// A span of time. RFC 8460 §4.4 (`date-range`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct DateRange {
    /// Its start.
    #[serde(rename = "start-datetime", with = "rfc3339")]
    pub start: UnixSeconds,
    /// Its end.
    #[serde(rename = "end-datetime", with = "rfc3339")]
    pub end: UnixSeconds,
}

/// What happened under one policy. RFC 8460 §4.4 (`policies`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PolicyResult {
    /// The policy.
    pub policy: Policy,
    /// How many sessions there were.
    #[serde(default)]
    pub summary: Summary,
    /// Failures by their kind; at most [`FAILURES_MAX`].
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "bounded::list::<_, _, FAILURES_MAX>"
    )]
    pub failure_details: Vec<Failure>,
}

/// A policy as the reporter found it. RFC 8460 §4.4 (`policy`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Policy {
    /// Its kind.
    pub policy_type: PolicyType,
    /// Its lines, or TLSA records; at most [`POLICY_LINES_MAX`].
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "bounded::texts::<_, POLICY_LINES_MAX>"
    )]
    pub policy_string: Vec<String>,
    /// The domain that it is for, or the host.
    #[serde(default, deserialize_with = "bounded::text")]
    pub policy_domain: String,
    /// Patterns of hosts; at most [`MX_HOSTS_MAX`]. One that is not in a list is read too.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "bounded::texts::<_, MX_HOSTS_MAX>"
    )]
    pub mx_host: Vec<String>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            policy_type: PolicyType::NoPolicyFound,
            policy_string: Vec::new(),
            policy_domain: String::new(),
            mx_host: Vec::new(),
        }
    }
}

impl Policy {
    /// The domain, if it is one.
    #[must_use]
    pub fn domain(&self) -> Option<Domain> {
        Domain::parse(&self.policy_domain).ok()
    }
}

/// How many sessions there were. RFC 8460 §4.4 (`summary`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Summary {
    /// With success.
    #[serde(deserialize_with = "bounded::count")]
    pub total_successful_session_count: u64,
    /// Without.
    #[serde(deserialize_with = "bounded::count")]
    pub total_failure_session_count: u64,
}

/// Sessions that failed in one way. RFC 8460 §4.4 (`failure-details`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Failure {
    /// How they failed.
    pub result_type: ResultType,
    /// Who connected.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "bounded::ip")]
    pub sending_mta_ip: Option<IpAddr>,
    /// To whom, by the MX record.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "bounded::given")]
    pub receiving_mx_hostname: Option<String>,
    /// How the other called itself.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "bounded::given")]
    pub receiving_mx_helo: Option<String>,
    /// Its address.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "bounded::ip")]
    pub receiving_ip: Option<IpAddr>,
    /// How many sessions.
    #[serde(default, deserialize_with = "bounded::count")]
    pub failed_session_count: u64,
    /// Where there is more about it.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "bounded::given")]
    pub additional_information: Option<String>,
    /// What went wrong, in the words of the reporter.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "bounded::given")]
    pub failure_reason_code: Option<String>,
}

words! {
    /// The kinds of policies. RFC 8460 §4.4 (`policy-type`).
    pub enum PolicyType {
        /// DANE. RFC 7672.
        Tlsa = "tlsa",
        /// MTA-STS. RFC 8461.
        Sts = "sts",
        /// Neither.
        NoPolicyFound = "no-policy-found",
    }
}

words! {
    /// The kinds of failures. RFC 8460 §4.3, §6.6.
    pub enum ResultType {
        /// STARTTLS was not offered. RFC 8460 §4.3.1.
        StarttlsNotSupported = "starttls-not-supported",
        /// The certificate is for another host. RFC 8460 §4.3.1.
        CertificateHostMismatch = "certificate-host-mismatch",
        /// The certificate's time is over. RFC 8460 §4.3.1.
        CertificateExpired = "certificate-expired",
        /// Nobody trusted vouches for the certificate. RFC 8460 §4.3.1.
        CertificateNotTrusted = "certificate-not-trusted",
        /// Something else. RFC 8460 §4.3.1.
        ValidationFailure = "validation-failure",
        /// The TLSA records are broken, or none fits. RFC 8460 §4.3.2.1.
        TlsaInvalid = "tlsa-invalid",
        /// No signed answer of DNS. RFC 8460 §4.3.2.1.
        DnssecInvalid = "dnssec-invalid",
        /// DANE was needed, and there is none. RFC 8460 §4.3.2.1.
        DaneRequired = "dane-required",
        /// The policy could not be fetched. RFC 8460 §4.3.2.2.
        StsPolicyFetchError = "sts-policy-fetch-error",
        /// The policy could not be read. RFC 8460 §4.3.2.2.
        StsPolicyInvalid = "sts-policy-invalid",
        /// The server of the policy has no good certificate. RFC 8460 §4.3.2.2.
        StsWebpkiInvalid = "sts-webpki-invalid",
    }
}
