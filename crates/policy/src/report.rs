//! Reports about our domains, which are accepted where they are expected and proven.
//!
//! Source: RFC 7489 §7.2, RFC 8460 §3.

use mox_base::UnixSeconds;

use crate::content::Content;
use crate::facts::{Author, DmarcStatus, Facts, Signature};

/// How far the end of a DMARC report may lie in the future, in seconds: clocks differ.
pub const REPORT_FUTURE_SECS_MAX: i64 = 60;

/// A report that is to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// A DMARC aggregate report.
    Dmarc,
    /// A TLS report.
    Tls,
}

/// The field that says why what came to a report address is no good DMARC report.
pub const DMARC_REPORT_ERROR: &str = "X-Mox-DMARCReport-Error";

/// The field that says why what came to a report address is no good TLS report.
pub const TLS_REPORT_ERROR: &str = "X-Mox-TLSReport-Error";

/// What came of looking for reports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) report: Option<Report>,
    /// Fields for the stored message.
    pub(crate) fields: Vec<(&'static str, &'static str)>,
}

/// Looks for a report, if one is expected at this address. The message is read only if its sender is
/// proven.
pub(crate) fn find(facts: &Facts, content: &mut dyn Content) -> Found {
    let expected = facts.recipient.reports;
    let mut found = Found::default();
    if expected.dmarc {
        match dmarc(facts, content) {
            Ok(()) => return Found { report: Some(Report::Dmarc), ..Found::default() },
            Err(why) => found.fields.push((DMARC_REPORT_ERROR, why)),
        }
    }
    if expected.tls {
        match tls(facts, content) {
            Ok(()) => return Found { report: Some(Report::Tls), ..Found::default() },
            Err(why) => found.fields.push((TLS_REPORT_ERROR, why)),
        }
    }
    found
}

/// RFC 7489 §7.2: a report is to be believed only if its sender is proven.
fn dmarc(facts: &Facts, content: &mut dyn Content) -> Result<(), &'static str> {
    if facts.message.dmarc.status != DmarcStatus::Pass {
        return Err("no DMARC pass");
    }
    let report = content.dmarc_report().ok_or("could not parse report")?;
    if report.policy_domain.is_none() {
        return Err("could not parse domain in published policy");
    }
    if !report.is_ours {
        return Err("published policy domain unrecognized");
    }
    let latest: UnixSeconds = facts.now.plus_secs(REPORT_FUTURE_SECS_MAX);
    if report.end > latest {
        return Err("report has end date in the future");
    }
    Ok(())
}

/// RFC 8460 §3: the report must be signed by the domain that it says it is from.
fn tls(facts: &Facts, content: &mut dyn Content) -> Result<(), &'static str> {
    let author = facts.message.author.as_ref().ok_or("no acceptable DKIM signature")?;
    if !facts.message.signatures.iter().any(|signature| is_acceptable(signature, author)) {
        return Err("no acceptable DKIM signature");
    }
    let report = content.tls_report().ok_or("could not parse TLS report")?;
    if report.is_ours { Ok(()) } else { Err("report for unknown domain") }
}

fn is_acceptable(signature: &Signature, author: &Author) -> bool {
    signature.covers_body
        && signature.allows_tls_reports
        && author.address.domain.is_within(&signature.domain)
        && signature.organization == author.organization
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
