//! TLS: reports of others, and results of our own sessions that are to be reported. RFC 8460.

use std::net::IpAddr;

use mox_base::{DateTime, Domain, UnixSeconds};
use mox_bstore::Value;
use mox_reportdb::{
    KeptRow, NewTlsReport, NewTlsResult, REPORT_KEEP_SECS, ReportId, Reported, StoredTlsResult,
    TLS_RESULT_KEEP_DAYS,
};
use mox_reports::tls::{
    DateRange, FAILURES_MAX, Failure, MX_HOSTS_MAX, POLICIES_MAX, POLICY_LINES_MAX, Policy,
    PolicyResult, PolicyType, Report, ResultType, Summary,
};
use mox_tlspolicy::tally::Tally;

use super::reading::{Reading, is_date, word};
use crate::known::{Field, Kind, fields};

const RESULT: &[Field] = fields!(
    "Policy": fields!("Type", "String", "Domain", "MXHost"),
    "Summary": fields!("TotalSuccessfulSessionCount", "TotalFailureSessionCount"),
    "FailureDetails": fields!(
        "ResultType",
        "SendingMTAIP",
        "ReceivingMXHostname",
        "ReceivingMXHelo",
        "ReceivingIP",
        "FailedSessionCount",
        "AdditionalInformation",
        "FailureReasonCode",
    ),
);

pub(super) const REPORTS: Kind = Kind {
    table: "Record",
    what: "received TLS reports",
    fields: fields!(
        "Domain",
        "FromDomain",
        "MailFrom",
        "HostReport",
        "Report": fields!(
            "OrganizationName",
            "DateRange": fields!("Start", "End"),
            "ContactInfo",
            "ReportID",
            "Policies": RESULT,
        ),
    ),
};

pub(super) const RESULTS: Kind = Kind {
    table: "TLSResult",
    what: "results of TLS to be reported",
    fields: fields!(
        "PolicyDomain",
        "DayUTC",
        "RecipientDomain",
        "Created",
        "Updated",
        "IsHost",
        "SendReport",
        "SentToRecipientDomain",
        "RecipientDomainReportingAddresses",
        "SentToPolicyDomain",
        "Results": RESULT,
    ),
};

/// What a report says about one of our domains. When it came is not told: it is the end of the time that it
/// is about, and not later than `now`.
pub(super) fn report(reading: &mut Reading<'_>, now: UnixSeconds) -> Option<KeptRow> {
    let record = reading.record;
    let id = ReportId(reading.id(REPORTS.what)?);
    let domain = reading.domain("Domain")?;
    let from_domain = reading.domain("FromDomain")?;
    let value = record.get("Report");
    let range = value.field("DateRange");
    let date_range = DateRange {
        start: reading.time(range.field("Start")),
        end: reading.time(range.field("End")),
    };
    // What could not be written and read again (RFC 3339 §5.6).
    let DateRange { start, end } = date_range;
    if !is_date(start) || !is_date(end) || end < start {
        reading.skip("reports about times that cannot be");
        return None;
    }
    let received = date_range.end.min(now);
    if received < now.plus_secs(-REPORT_KEEP_SECS) {
        reading.skip("reports older than ours are kept");
        return None;
    }
    let policies = reading.list(value.field("Policies"), POLICIES_MAX);
    let report = Report {
        organization_name: reading.text(value.field("OrganizationName")),
        date_range,
        contact_info: reading.text(value.field("ContactInfo")),
        report_id: reading.text(value.field("ReportID")),
        policies: policies.iter().map(|value| policy_result(reading, value)).collect(),
    };
    let new = NewTlsReport {
        from_domain,
        mail_from: reading.text(record.get("MailFrom")),
        is_host: record.bool("HostReport"),
        received,
        report: Report { policies: of_domain(report.policies, &domain), ..report },
    };
    let row = KeptRow::tls(id, &domain, &new);
    if row.is_err() {
        reading.skip(super::REPORTS_BEYOND);
    }
    row.ok()
}

/// The policies of one domain. There the report is kept whole with each; those of others of our domains have
/// their own.
fn of_domain(mut policies: Vec<PolicyResult>, domain: &Domain) -> Vec<PolicyResult> {
    let is_of = |result: &PolicyResult| result.policy.domain().as_ref() == Some(domain);
    if policies.iter().any(is_of) {
        policies.retain(is_of);
    }
    policies
}

/// Results of a day that are not all reported.
pub(super) fn result(reading: &mut Reading<'_>, now: UnixSeconds) -> Option<KeptRow> {
    let record = reading.record;
    let id = ReportId(reading.id(RESULTS.what)?);
    let Some(day) = day(record.text("DayUTC")) else {
        reading.damage(RESULTS.what, "the day is none");
        return None;
    };
    if day < now.day().saturating_sub(TLS_RESULT_KEEP_DAYS) {
        reading.skip("results of TLS too old to be reported");
        return None;
    }
    // They would stay until then.
    if day > now.day().saturating_add(TLS_RESULT_KEEP_DAYS) {
        reading.skip("results of TLS of days to come");
        return None;
    }
    let is_host = record.bool("IsHost");
    let is_sent = (record.bool("SentToRecipientDomain"), record.bool("SentToPolicyDomain"));
    if !record.get("RecipientDomainReportingAddresses").list().is_empty() {
        // Where to is looked up when the other report is sent.
        reading.differs("results of TLS without the addresses that were told of them");
    }
    let results = reading.list(record.get("Results"), POLICIES_MAX);
    let results: Vec<_> = results.iter().map(|value| policy_result(reading, value)).collect();
    let tally = Tally::new(results.clone()).into_results();
    if tally != results {
        reading.differs("results of TLS that were put together");
    }
    let result = NewTlsResult {
        policy_domain: reading.domain("PolicyDomain")?,
        day,
        recipient_domain: reading.domain("RecipientDomain")?,
        is_host,
        sends_report: record.bool("SendReport"),
        results: tally,
    };
    let reported = Reported {
        // The domain of a policy that is not of a host is that of the recipient.
        to_domain: is_sent.0 || (is_sent.1 && !is_host),
        to_host: is_sent.1 && is_host,
    };
    let row = KeptRow::tls_result(&StoredTlsResult { id, result, reported });
    if row.is_err() {
        reading.skip("results of TLS beyond our limit");
    }
    row.ok()
}

/// The number of a day such as `20261120`.
fn day(text: &str) -> Option<i64> {
    let is_day = text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_digit());
    let number: u32 = text.parse().ok().filter(|_| is_day)?;
    let date = DateTime {
        year: u16::try_from(number / 10_000).ok()?,
        month: u8::try_from(number / 100 % 100).ok()?,
        day: u8::try_from(number % 100).ok()?,
        hour: 0,
        minute: 0,
        second: 0,
        zone_minutes: 0,
    };
    date.to_day().ok()
}

/// RFC 8460 §4.4.
fn policy_result(reading: &mut Reading<'_>, value: &Value) -> PolicyResult {
    let (policy, summary) = (value.field("Policy"), value.field("Summary"));
    let policy_type = word(policy.field("Type"), PolicyType::from_word);
    let failures = reading.list(value.field("FailureDetails"), FAILURES_MAX);
    PolicyResult {
        policy: Policy {
            policy_type: policy_type.unwrap_or(PolicyType::NoPolicyFound),
            policy_string: reading.texts(policy.field("String"), POLICY_LINES_MAX),
            policy_domain: reading.text(policy.field("Domain")),
            mx_host: reading.texts(policy.field("MXHost"), MX_HOSTS_MAX),
        },
        summary: Summary {
            total_successful_session_count: summary.field("TotalSuccessfulSessionCount").u64(),
            total_failure_session_count: summary.field("TotalFailureSessionCount").u64(),
        },
        failure_details: failures.iter().map(|value| failure(reading, value)).collect(),
    }
}

fn failure(reading: &mut Reading<'_>, value: &Value) -> Failure {
    Failure {
        result_type: ResultType::from_word(value.field("ResultType").text()),
        sending_mta_ip: ip(value.field("SendingMTAIP")),
        receiving_mx_hostname: reading.given(value.field("ReceivingMXHostname")),
        receiving_mx_helo: reading.given(value.field("ReceivingMXHelo")),
        receiving_ip: ip(value.field("ReceivingIP")),
        failed_session_count: value.field("FailedSessionCount").u64(),
        additional_information: reading.given(value.field("AdditionalInformation")),
        failure_reason_code: reading.given(value.field("FailureReasonCode")),
    }
}

fn ip(value: &Value) -> Option<IpAddr> {
    value.text().trim_matches(['[', ']']).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: Option<i64>) {
        assert_eq!(day(text), want, "{text:?}");
    }

    #[test]
    fn days_are_numbers() {
        check("19700101", Some(0));
        check("20261120", Some(20_777));
        check("20240229", Some(19_782));
        check("20230229", None);
        check("20261301", None);
        check("2026112", None);
        check("202611200", None);
        check("+2026112", None);
        check("", None);
    }
}
