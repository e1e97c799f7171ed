//! Reading an aggregate report.

use std::io::{Read, Seek};

use mox_base::UnixSeconds;

use super::{
    Alignment, AuthResults, DateRange, DiscoveryMethod, Disposition, DkimAuthResult, DkimResult,
    DmarcResult, Feedback, Identifiers, Metadata, Override, OverrideReason, PolicyEvaluated,
    PolicyPublished, Record, Row, SpfAuthResult, SpfResult, SpfScope,
};
use crate::error::ReportError;
use crate::message::{self, Suspect};
use crate::unpack::{REPORT_BYTES_MAX, unpack};
use crate::xml::Document;

/// Records of one report. A report of the largest size has fewer, unless they say nothing.
pub const RECORDS_MAX: usize = 50_000;
/// Signatures in one record, and results of SPF. RFC 9990 §3.1 has at most 100.
pub const SIGNATURES_MAX: usize = 100;
/// Reasons in one record.
pub const REASONS_MAX: usize = 20;
/// Errors in one report; more are left out.
pub const ERRORS_MAX: usize = 20;

/// Reads the report in a message, wherever it is attached. RFC 9990 §3.5, RFC 7489 §7.2.1.1.
///
/// `message` is the message from its start. Parts of the types that reports come in are tried in
/// their order, and the first that is a report counts; messages inside the message are not looked
/// into, since what vouches for the message does not vouch for them. All parts together may unpack
/// to [`REPORT_BYTES_MAX`].
///
/// # Errors
///
/// If there is none: the error of the first part that could have been one.
pub fn from_message<R: Read + Seek>(message: &mut R) -> Result<Feedback, ReportError> {
    message::first_report(message, suspect, |source, left| read(source, left))
}

/// Reads a report as it is in a file: XML, in gzip or zip or neither, as its bytes show.
///
/// Takes time linear in its size, and memory for what it says, at most [`REPORT_BYTES_MAX`].
///
/// # Errors
///
/// If it is not XML that says who reports when about which domain, or is over a bound.
pub fn parse(source: impl Read) -> Result<Feedback, ReportError> {
    read(source, &mut { REPORT_BYTES_MAX })
}

/// Whether parts of a type may be reports. RFC 9990 §3.5, RFC 6713, and what else is seen.
fn suspect(media_type: &str, subtype: &str) -> Suspect {
    match (media_type, subtype) {
        ("TEXT" | "APPLICATION", "XML")
        | (
            "APPLICATION",
            "GZIP" | "X-GZIP" | "GZIP-COMPRESSED" | "X-GZIP-COMPRESSED" | "ZIP" | "X-ZIP"
            | "X-ZIP-COMPRESSED",
        ) => Suspect::Yes,
        ("APPLICATION", "OCTET-STREAM") => Suspect::IfItLooksSo,
        _ => Suspect::No,
    }
}

fn read(source: impl Read, left: &mut u64) -> Result<Feedback, ReportError> {
    let mut document = Document::open(unpack(source, left)?, "feedback")?;
    let (mut feedback, mut has_range, mut has_policy) = (Feedback::default(), false, false);
    document.children(|document, name| {
        match name {
            "version" => feedback.version = document.text()?,
            // Two of them could be read in two ways.
            "report_metadata" if has_range => return Err(ReportError::TooMany("report_metadata")),
            "report_metadata" => {
                (feedback.report_metadata, has_range) = metadata(document)?;
            }
            "policy_published" if has_policy => {
                return Err(ReportError::TooMany("policy_published"));
            }
            "policy_published" => {
                feedback.policy_published = policy_published(document)?;
                has_policy = true;
            }
            "record" => {
                let record = record(document)?;
                push(&mut feedback.records, record, RECORDS_MAX, "records")?;
            }
            _ => document.skip()?,
        }
        Ok(())
    })?;
    document.finish()?;
    match (has_range, has_policy) {
        (true, true) => Ok(feedback),
        (false, _) => Err(ReportError::Missing("date_range")),
        (_, false) => Err(ReportError::Missing("policy_published")),
    }
}

fn push<T>(list: &mut Vec<T>, item: T, max: usize, what: &'static str) -> Result<(), ReportError> {
    if list.len() >= max {
        return Err(ReportError::TooMany(what));
    }
    list.push(item);
    Ok(())
}

/// The metadata, and whether they say about when the report is.
fn metadata(document: &mut Document<impl Read>) -> Result<(Metadata, bool), ReportError> {
    let (mut metadata, mut has_range) = (Metadata::default(), false);
    document.children(|document, name| {
        match name {
            "org_name" => metadata.org_name = document.text()?,
            "email" => metadata.email = document.text()?,
            "extra_contact_info" => metadata.extra_contact_info = given(document.text()?),
            "report_id" => metadata.report_id = document.text()?,
            "date_range" => {
                metadata.date_range = date_range(document)?;
                has_range = true;
            }
            "error" if metadata.errors.len() < ERRORS_MAX => {
                metadata.errors.push(document.text()?);
            }
            "generator" => metadata.generator = given(document.text()?),
            _ => document.skip()?,
        }
        Ok(())
    })?;
    Ok((metadata, has_range))
}

fn date_range(document: &mut Document<impl Read>) -> Result<DateRange, ReportError> {
    let (mut begin, mut end) = (None, None);
    document.children(|document, name| {
        match name {
            "begin" => begin = Some(seconds(&document.text()?, "begin")?),
            "end" => end = Some(seconds(&document.text()?, "end")?),
            _ => document.skip()?,
        }
        Ok(())
    })?;
    let begin = begin.ok_or(ReportError::Missing("begin"))?;
    let end = end.ok_or(ReportError::Missing("end"))?;
    if end < begin {
        Err(ReportError::BadValue("date_range"))
    } else {
        Ok(DateRange { begin, end })
    }
}

/// The last second of the year 9999: later ones are no time that a calendar has.
const SECONDS_MAX: i64 = 253_402_300_799;

fn seconds(text: &str, what: &'static str) -> Result<UnixSeconds, ReportError> {
    // Some reporters write a fraction.
    let whole = text.split('.').next().unwrap_or_default();
    let seconds = whole.parse().ok().filter(|seconds| (0..=SECONDS_MAX).contains(seconds));
    seconds.map(UnixSeconds).ok_or(ReportError::BadValue(what))
}

fn policy_published(document: &mut Document<impl Read>) -> Result<PolicyPublished, ReportError> {
    let mut policy = PolicyPublished::default();
    document.children(|document, name| {
        match name {
            "domain" => policy.domain = document.text()?,
            "discovery_method" => {
                policy.discovery_method = word(document, DiscoveryMethod::from_word)?;
            }
            "adkim" => policy.adkim = word(document, Alignment::from_word)?,
            "aspf" => policy.aspf = word(document, Alignment::from_word)?,
            "p" => policy.p = word(document, Disposition::from_word)?,
            "sp" => policy.sp = word(document, Disposition::from_word)?,
            "np" => policy.np = word(document, Disposition::from_word)?,
            "pct" => policy.pct = document.text()?.parse().ok().filter(|percent| *percent <= 100),
            "fo" => policy.fo = given(document.text()?),
            "testing" => policy.testing = testing(&document.text()?),
            _ => document.skip()?,
        }
        Ok(())
    })?;
    Ok(policy)
}

/// RFC 9990 appendix A (`TestingType`).
fn testing(text: &str) -> Option<bool> {
    match text {
        "y" | "Y" => Some(true),
        "n" | "N" => Some(false),
        _ => None,
    }
}

fn record(document: &mut Document<impl Read>) -> Result<Record, ReportError> {
    let mut found = Record::default();
    document.children(|document, name| {
        match name {
            "row" => found.row = row(document)?,
            // The first is what an early draft of the format had.
            "identities" | "identifiers" => found.identifiers = identifiers(document)?,
            "auth_results" => found.auth_results = auth_results(document)?,
            _ => document.skip()?,
        }
        Ok(())
    })?;
    Ok(found)
}

fn row(document: &mut Document<impl Read>) -> Result<Row, ReportError> {
    let mut row = Row::default();
    document.children(|document, name| {
        match name {
            "source_ip" => row.source_ip = document.text()?.parse().ok(),
            "count" => {
                let count = document.text()?.parse();
                row.count = count.map_err(|_| ReportError::BadValue("count"))?;
            }
            "policy_evaluated" => row.policy_evaluated = policy_evaluated(document)?,
            _ => document.skip()?,
        }
        Ok(())
    })?;
    Ok(row)
}

fn policy_evaluated(document: &mut Document<impl Read>) -> Result<PolicyEvaluated, ReportError> {
    let mut found = PolicyEvaluated::default();
    document.children(|document, name| {
        match name {
            "disposition" => found.disposition = word(document, Disposition::from_word)?,
            "dkim" => found.dkim = word(document, DmarcResult::from_word)?,
            "spf" => found.spf = word(document, DmarcResult::from_word)?,
            "reason" => {
                let reason = reason(document)?;
                push(&mut found.reasons, reason, REASONS_MAX, "reasons")?;
            }
            _ => document.skip()?,
        }
        Ok(())
    })?;
    Ok(found)
}

fn reason(document: &mut Document<impl Read>) -> Result<OverrideReason, ReportError> {
    let mut found = OverrideReason { kind: Override::Unlisted, comment: None };
    document.children(|document, name| {
        match name {
            "type" => {
                if let Some(kind) = word(document, Override::from_word)? {
                    found.kind = kind;
                }
            }
            "comment" => found.comment = given(document.text()?),
            _ => document.skip()?,
        }
        Ok(())
    })?;
    Ok(found)
}

fn identifiers(document: &mut Document<impl Read>) -> Result<Identifiers, ReportError> {
    let mut found = Identifiers::default();
    document.children(|document, name| {
        match name {
            "envelope_to" => found.envelope_to = Some(document.text()?),
            "envelope_from" => found.envelope_from = Some(document.text()?),
            "header_from" => found.header_from = document.text()?,
            _ => document.skip()?,
        }
        Ok(())
    })?;
    Ok(found)
}

fn auth_results(document: &mut Document<impl Read>) -> Result<AuthResults, ReportError> {
    let mut found = AuthResults::default();
    document.children(|document, name| {
        match name {
            "dkim" => {
                let result = dkim(document)?;
                push(&mut found.dkim, result, SIGNATURES_MAX, "signatures")?;
            }
            "spf" => {
                let result = spf(document)?;
                push(&mut found.spf, result, SIGNATURES_MAX, "results of spf")?;
            }
            _ => document.skip()?,
        }
        Ok(())
    })?;
    Ok(found)
}

fn dkim(document: &mut Document<impl Read>) -> Result<DkimAuthResult, ReportError> {
    let mut found = DkimAuthResult::default();
    document.children(|document, name| {
        match name {
            "domain" => found.domain = document.text()?,
            "selector" => found.selector = given(document.text()?),
            "result" => found.result = word(document, DkimResult::from_word)?,
            "human_result" => found.human_result = given(document.text()?),
            _ => document.skip()?,
        }
        Ok(())
    })?;
    Ok(found)
}

fn spf(document: &mut Document<impl Read>) -> Result<SpfAuthResult, ReportError> {
    let mut found = SpfAuthResult::default();
    document.children(|document, name| {
        match name {
            "domain" => found.domain = document.text()?,
            "scope" => found.scope = word(document, SpfScope::from_word)?,
            "result" => found.result = word(document, SpfResult::from_word)?,
            "human_result" => found.human_result = given(document.text()?),
            _ => document.skip()?,
        }
        Ok(())
    })?;
    Ok(found)
}

fn word<R: Read, T>(
    document: &mut Document<R>,
    from_word: impl Fn(&str) -> T,
) -> Result<Option<T>, ReportError> {
    let text = document.text()?;
    Ok((!text.is_empty()).then(|| from_word(&text)))
}

fn given(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
