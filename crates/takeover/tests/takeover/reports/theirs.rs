//! What ours holds, in the shape in which the expected files tell it: all fields are compared.

use mox_base::{DateTime, UnixSeconds};
use mox_reportdb::{
    DmarcReport, ReportDb, ReportQuery, ReportSuppression, Reported, StoredEvaluation,
    StoredTlsResult, StsEntry, TlsReport,
};
use mox_reports::dmarc::{self, DmarcResult};
use mox_reports::tls::{Failure, PolicyResult};
use mox_tlspolicy::mtasts::parse_policy;
use serde_json::{Value as Json, json};

use crate::fixtures::unix_secs;

/// Fields that are compared with nothing, and why.
const NOT_COMPARED: &[(&str, &str, &str)] = &[
    ("DomainFeedback", "XMLName", "the name of the element is always the same"),
    ("SuppressAddress", "ID", "nothing refers to it"),
    ("TLSRPTSuppressAddress", "ID", "nothing refers to it"),
    ("TLSResult", "Created", "reports go by the day"),
    ("TLSResult", "Updated", "reports go by the day"),
    ("TLSResult", "RecipientDomainReportingAddresses", "looked up when the report is sent"),
];

/// Fields with times, which ours keeps in seconds.
const TIMES: &[&str] = &["Evaluated", "Inserted", "Until", "ValidEnd", "LastUpdate", "LastUse"];

/// A record as it is compared.
pub(super) fn comparable(table: &str, record: &Json) -> Json {
    let mut record = record.clone();
    let fields = record.as_object_mut().unwrap();
    for (_, field, _) in NOT_COMPARED.iter().filter(|(of, ..)| *of == table) {
        assert!(fields.remove(*field).is_some(), "{table} has no {field}");
    }
    for field in TIMES {
        if let Some(time) = fields.get_mut(*field) {
            *time = unix_secs(time).into();
        }
    }
    record
}

/// Lists are nothing if there is nothing in them.
fn list<T>(items: &[T], item: impl Fn(&T) -> Json) -> Json {
    if items.is_empty() { Json::Null } else { items.iter().map(item).collect() }
}

fn text<T: AsRef<str>>(text: Option<&T>) -> Json {
    text.map_or("", AsRef::as_ref).into()
}

/// What is zero all over is nothing.
fn struct_of(value: Json) -> Json {
    let fields = value.as_object().unwrap();
    let is_zero = |value: &Json| *value == "" || *value == 0 || value.is_null() || *value == false;
    if fields.values().all(is_zero) { Json::Null } else { value }
}

fn shown(word: Option<impl ToString>) -> Json {
    word.map(|word| word.to_string()).unwrap_or_default().into()
}

fn policy(policy: &dmarc::PolicyPublished) -> Json {
    json!({
        "Domain": policy.domain,
        "ADKIM": shown(policy.adkim.as_ref()),
        "ASPF": shown(policy.aspf.as_ref()),
        "Policy": shown(policy.p.as_ref()),
        "SubdomainPolicy": shown(policy.sp.as_ref()),
        "Percentage": policy.pct.unwrap_or_default(),
        "ReportingOptions": text(policy.fo.as_ref()),
    })
}

fn reasons(reasons: &[dmarc::OverrideReason]) -> Json {
    list(
        reasons,
        |reason| json!({ "Type": reason.kind.as_str(), "Comment": text(reason.comment.as_ref()) }),
    )
}

fn dkim(results: &[dmarc::DkimAuthResult]) -> Json {
    list(results, |one| {
        json!({
            "Domain": one.domain,
            "Selector": text(one.selector.as_ref()),
            "Result": shown(one.result.as_ref()),
            "HumanResult": text(one.human_result.as_ref()),
        })
    })
}

fn spf(results: &[dmarc::SpfAuthResult]) -> Json {
    list(results, |one| {
        assert_eq!(one.human_result, None);
        json!({
            "Domain": one.domain,
            "Scope": shown(one.scope.as_ref()),
            "Result": shown(one.result.as_ref()),
        })
    })
}

fn feedback_record(record: &dmarc::Record) -> Json {
    let dmarc::Record { row, identifiers, auth_results } = record;
    let evaluated = &row.policy_evaluated;
    json!({
        "Row": {
            "SourceIP": shown(row.source_ip),
            "Count": row.count,
            "PolicyEvaluated": {
                "Disposition": shown(evaluated.disposition.as_ref()),
                "DKIM": shown(evaluated.dkim.as_ref()),
                "SPF": shown(evaluated.spf.as_ref()),
                "Reasons": reasons(&evaluated.reasons),
            },
        },
        "Identifiers": {
            "EnvelopeTo": text(identifiers.envelope_to.as_ref()),
            "EnvelopeFrom": text(identifiers.envelope_from.as_ref()),
            "HeaderFrom": identifiers.header_from,
        },
        "AuthResults": { "DKIM": dkim(&auth_results.dkim), "SPF": spf(&auth_results.spf) },
    })
}

fn dmarc_report(db: &ReportDb, row: &DmarcReport) -> Json {
    let feedback = db.dmarc_feedback(row.id).unwrap().unwrap();
    let metadata = &feedback.report_metadata;
    assert_eq!(metadata.generator, None);
    assert_eq!((row.begin, row.end), (metadata.date_range.begin, metadata.date_range.end));
    json!({
        "ID": row.id.0,
        "Domain": row.domain.to_string(),
        "FromDomain": row.from_domain.to_string(),
        "Version": feedback.version,
        "ReportMetadata": {
            "OrgName": metadata.org_name,
            "Email": metadata.email,
            "ExtraContactInfo": text(metadata.extra_contact_info.as_ref()),
            "ReportID": metadata.report_id,
            "DateRange": { "Begin": row.begin.0, "End": row.end.0 },
            "Errors": list(&metadata.errors, |error| error.as_str().into()),
        },
        "PolicyPublished": policy(&feedback.policy_published),
        "Records": list(&feedback.records, feedback_record),
    })
}

fn evaluation(stored: &StoredEvaluation) -> Json {
    let one = &stored.evaluation;
    let dmarc::Record { row, identifiers, auth_results } = &one.record;
    assert_eq!(row.count, 1);
    let evaluated = &row.policy_evaluated;
    json!({
        "ID": stored.id.0,
        "PolicyDomain": one.policy_domain.to_string(),
        "Evaluated": one.evaluated.0,
        "Optional": one.is_optional,
        "IntervalHours": one.interval_hours,
        "Addresses": list(&one.addresses, |address| address.as_str().into()),
        "PolicyPublished": policy(&one.policy),
        "SourceIP": shown(row.source_ip),
        "Disposition": shown(evaluated.disposition.as_ref()),
        "AlignedDKIMPass": evaluated.dkim == Some(DmarcResult::Pass),
        "AlignedSPFPass": evaluated.spf == Some(DmarcResult::Pass),
        "OverrideReasons": reasons(&evaluated.reasons),
        "EnvelopeTo": text(identifiers.envelope_to.as_ref()),
        "EnvelopeFrom": text(identifiers.envelope_from.as_ref()),
        "HeaderFrom": identifiers.header_from,
        "DKIMResults": dkim(&auth_results.dkim),
        "SPFResults": spf(&auth_results.spf),
    })
}

fn suppression(one: &ReportSuppression) -> Json {
    json!({
        "Inserted": one.inserted.0,
        "ReportingAddress": one.address,
        "Until": one.until.0,
        "Comment": one.comment,
    })
}

fn failure(one: &Failure) -> Json {
    json!({
        "ResultType": one.result_type.as_str(),
        "SendingMTAIP": shown(one.sending_mta_ip),
        "ReceivingMXHostname": text(one.receiving_mx_hostname.as_ref()),
        "ReceivingMXHelo": text(one.receiving_mx_helo.as_ref()),
        "ReceivingIP": shown(one.receiving_ip),
        "FailedSessionCount": one.failed_session_count,
        "AdditionalInformation": text(one.additional_information.as_ref()),
        "FailureReasonCode": text(one.failure_reason_code.as_ref()),
    })
}

fn policy_result(one: &PolicyResult) -> Json {
    let texts = |texts: &[String]| list(texts, |text| text.as_str().into());
    json!({
        "Policy": {
            "Type": one.policy.policy_type.as_str(),
            "String": texts(&one.policy.policy_string),
            "Domain": one.policy.policy_domain,
            "MXHost": texts(&one.policy.mx_host),
        },
        "Summary": struct_of(json!({
            "TotalSuccessfulSessionCount": one.summary.total_successful_session_count,
            "TotalFailureSessionCount": one.summary.total_failure_session_count,
        })),
        "FailureDetails": list(&one.failure_details, failure),
    })
}

fn tls_report(db: &ReportDb, row: &TlsReport) -> Json {
    let report = db.tls_report(row.id).unwrap().unwrap();
    assert_eq!((row.begin, row.end), (report.date_range.start, report.date_range.end));
    let time = |time| DateTime::from_unix(time).to_rfc3339();
    json!({
        "ID": row.id.0,
        "Domain": row.domain.to_string(),
        "FromDomain": row.from_domain.to_string(),
        "MailFrom": row.mail_from,
        "HostReport": row.is_host,
        "Report": {
            "OrganizationName": report.organization_name,
            "DateRange": { "Start": time(row.begin), "End": time(row.end) },
            "ContactInfo": report.contact_info,
            "ReportID": report.report_id,
            "Policies": list(&report.policies, policy_result),
        },
    })
}

fn tls_result(stored: &StoredTlsResult) -> Json {
    let one = &stored.result;
    let date = DateTime::from_unix(UnixSeconds(one.day * 86_400));
    let Reported { to_domain, to_host } = stored.reported;
    json!({
        "ID": stored.id.0,
        "PolicyDomain": one.policy_domain.to_string(),
        "DayUTC": format!("{:04}{:02}{:02}", date.year, date.month, date.day),
        "RecipientDomain": one.recipient_domain.to_string(),
        "IsHost": one.is_host,
        "SendReport": one.sends_report,
        "SentToRecipientDomain": to_domain,
        "SentToPolicyDomain": to_host,
        "Results": list(&one.results, policy_result),
    })
}

fn sts_policy(entry: &StsEntry) -> Json {
    let read = entry.policy.as_ref().map(|text| parse_policy(text.as_bytes()).unwrap());
    let patterns = read.as_ref().map_or(&[][..], |policy| &policy.mx);
    let extensions = read.as_ref().map_or(&[][..], |policy| &policy.extensions);
    let domain = |domain: &mox_base::Domain| {
        let (ascii, unicode) = (domain.ascii().to_owned(), domain.to_string());
        let unicode = if unicode == ascii { String::new() } else { unicode };
        json!({ "ASCII": ascii, "Unicode": unicode })
    };
    json!({
        "Domain": entry.domain.to_string(),
        "Inserted": entry.inserted.0,
        "ValidEnd": entry.valid_end.0,
        "LastUpdate": entry.updated.0,
        "LastUse": entry.used.0,
        "Backoff": entry.policy.is_none(),
        "RecordID": entry.record_id,
        "Version": if read.is_some() { "STSv1" } else { "" },
        "Mode": read.as_ref().map_or("", |policy| policy.mode.as_str()),
        "MX": list(patterns, |one| {
            json!({ "Wildcard": one.is_wildcard, "Domain": domain(&one.domain) })
        }),
        "MaxAgeSeconds": read.as_ref().map_or(0, |policy| policy.max_age_secs),
        "Extensions": list(extensions, |(key, value)| json!({ "Key": key, "Value": value })),
        "PolicyText": text(entry.policy.as_ref()),
    })
}

/// All records of a type, by their ids or names. Suppressions are in one table with ours.
pub(super) fn records(db: &ReportDb, table: &str, days: &[i64]) -> Vec<Json> {
    let mut found: Vec<Json> = match table {
        "DomainFeedback" => {
            let rows = db.dmarc_reports(&ReportQuery::all()).unwrap();
            rows.iter().map(|row| dmarc_report(db, row)).collect()
        }
        "Evaluation" => {
            let domains = db.evaluation_stats(None).unwrap();
            let of = |one: &mox_reportdb::EvaluationStats| {
                db.evaluations(&one.policy_domain, UnixSeconds(i64::MAX), None).unwrap()
            };
            domains.iter().flat_map(of).map(|stored| evaluation(&stored)).collect()
        }
        "SuppressAddress" | "TLSRPTSuppressAddress" => {
            db.report_suppressions(None).unwrap().iter().map(suppression).collect()
        }
        "Record" => {
            let rows = db.tls_reports(&ReportQuery::all()).unwrap();
            rows.iter().map(|row| tls_report(db, row)).collect()
        }
        "TLSResult" => {
            let of = |day: &i64| db.tls_results_of_day(*day, None).unwrap();
            days.iter().flat_map(of).map(|stored| tls_result(&stored)).collect()
        }
        "PolicyRecord" => db.sts_list(None).unwrap().iter().map(sts_policy).collect(),
        _ => panic!("{table} is compared with nothing"),
    };
    found.sort_by_key(|record| record["ID"].as_i64());
    found
}
