//! DMARC: reports of others, and evaluations that are to be reported. RFC 7489 §7.2, RFC 9990.

use mox_base::UnixSeconds;
use mox_bstore::Value;
use mox_reportdb::{
    ADDRESSES_MAX, EVALUATION_KEEP_SECS, Evaluation, KeptRow, NewDmarcReport, REPORT_KEEP_SECS,
    ReportId, StoredEvaluation,
};
use mox_reports::dmarc::{
    Alignment, AuthResults, DateRange, Disposition, DkimAuthResult, DkimResult, DmarcResult,
    ERRORS_MAX, Feedback, Identifiers, Metadata, Override, OverrideReason, PolicyEvaluated,
    PolicyPublished, REASONS_MAX, RECORDS_MAX, Record, Row, SIGNATURES_MAX, SpfAuthResult,
    SpfResult, SpfScope,
};

use super::reading::{Reading, is_date, word};
use crate::known::{Field, Kind, fields};

const POLICY: &[Field] = fields!(
    "Domain",
    "ADKIM",
    "ASPF",
    "Policy",
    "SubdomainPolicy",
    "Percentage",
    "ReportingOptions",
);
const REASONS: &[Field] = fields!("Type", "Comment");
const DKIM: &[Field] = fields!("Domain", "Selector", "Result", "HumanResult");
const SPF: &[Field] = fields!("Domain", "Scope", "Result");

pub(super) const REPORTS: Kind = Kind {
    table: "DomainFeedback",
    what: "received DMARC reports",
    fields: fields!(
        "Domain",
        "FromDomain",
        "XMLName": fields!("Space", "Local"),
        "Version",
        "ReportMetadata": fields!(
            "OrgName",
            "Email",
            "ExtraContactInfo",
            "ReportID",
            "DateRange": fields!("Begin", "End"),
            "Errors",
        ),
        "PolicyPublished": POLICY,
        "Records": fields!(
            "Row": fields!(
                "SourceIP",
                "Count",
                "PolicyEvaluated": fields!("Disposition", "DKIM", "SPF", "Reasons": REASONS),
            ),
            "Identifiers": fields!("EnvelopeTo", "EnvelopeFrom", "HeaderFrom"),
            "AuthResults": fields!("DKIM": DKIM, "SPF": SPF),
        ),
    ),
};

pub(super) const EVALUATIONS: Kind = Kind {
    table: "Evaluation",
    what: "evaluations of DMARC to be reported",
    fields: fields!(
        "PolicyDomain",
        "Evaluated",
        "Optional",
        "IntervalHours",
        "Addresses",
        "PolicyPublished": POLICY,
        "SourceIP",
        "Disposition",
        "AlignedDKIMPass",
        "AlignedSPFPass",
        "OverrideReasons": REASONS,
        "EnvelopeTo",
        "EnvelopeFrom",
        "HeaderFrom",
        "DKIMResults": DKIM,
        "SPFResults": SPF,
    ),
};

/// A report of another, as if it was read today. When it came is not told: it is the end of the time that
/// it is about, and not later than `now`.
pub(super) fn report(reading: &mut Reading<'_>, now: UnixSeconds) -> Option<KeptRow> {
    let record = reading.record;
    let id = ReportId(reading.id(REPORTS.what)?);
    let domain = reading.domain("Domain")?;
    let from_domain = reading.domain("FromDomain")?;
    let metadata = metadata(reading, record.get("ReportMetadata"));
    let DateRange { begin, end } = metadata.date_range;
    if !is_date(begin) || !is_date(end) || end < begin {
        reading.skip("reports about times that cannot be");
        return None;
    }
    let received = end.min(now);
    if received < now.plus_secs(-REPORT_KEEP_SECS) {
        reading.skip("reports older than ours are kept");
        return None;
    }
    let mut policy_published = policy(reading, record.get("PolicyPublished"));
    // Zero is also what stands there if the report does not say it.
    policy_published.pct = policy_published.pct.filter(|percent| *percent > 0);
    let records = reading.list(record.get("Records"), RECORDS_MAX);
    let feedback = Feedback {
        version: reading.text(record.get("Version")),
        report_metadata: metadata,
        policy_published,
        records: records.iter().map(|record| of_report(reading, record)).collect(),
    };
    let report = NewDmarcReport { domain, from_domain, received, feedback };
    let row = KeptRow::dmarc(id, &report);
    if row.is_err() {
        reading.skip(super::REPORTS_BEYOND);
    }
    row.ok()
}

fn metadata(reading: &mut Reading<'_>, value: &Value) -> Metadata {
    let range = value.field("DateRange");
    Metadata {
        org_name: reading.text(value.field("OrgName")),
        email: reading.text(value.field("Email")),
        extra_contact_info: reading.given(value.field("ExtraContactInfo")),
        report_id: reading.text(value.field("ReportID")),
        date_range: DateRange {
            begin: UnixSeconds(range.field("Begin").i64()),
            end: UnixSeconds(range.field("End").i64()),
        },
        errors: reading.texts(value.field("Errors"), ERRORS_MAX),
        generator: None,
    }
}

fn policy(reading: &mut Reading<'_>, value: &Value) -> PolicyPublished {
    PolicyPublished {
        domain: reading.text(value.field("Domain")),
        discovery_method: None,
        adkim: word(value.field("ADKIM"), Alignment::from_word),
        aspf: word(value.field("ASPF"), Alignment::from_word),
        p: word(value.field("Policy"), Disposition::from_word),
        sp: word(value.field("SubdomainPolicy"), Disposition::from_word),
        np: None,
        pct: u8::try_from(value.field("Percentage").i64()).ok().filter(|percent| *percent <= 100),
        fo: reading.given(value.field("ReportingOptions")),
        testing: None,
    }
}

fn of_report(reading: &mut Reading<'_>, value: &Value) -> Record {
    let (row, evaluated) = (value.field("Row"), value.field("Row").field("PolicyEvaluated"));
    let (identifiers, results) = (value.field("Identifiers"), value.field("AuthResults"));
    Record {
        row: Row {
            source_ip: row.field("SourceIP").text().parse().ok(),
            count: row.field("Count").u64(),
            policy_evaluated: PolicyEvaluated {
                disposition: word(evaluated.field("Disposition"), Disposition::from_word),
                dkim: word(evaluated.field("DKIM"), DmarcResult::from_word),
                spf: word(evaluated.field("SPF"), DmarcResult::from_word),
                reasons: reasons(reading, evaluated.field("Reasons")),
            },
        },
        // An empty one may be the null sender, or not be told.
        identifiers: Identifiers {
            envelope_to: reading.given(identifiers.field("EnvelopeTo")),
            envelope_from: reading.given(identifiers.field("EnvelopeFrom")),
            header_from: reading.text(identifiers.field("HeaderFrom")),
        },
        auth_results: AuthResults {
            dkim: dkim(reading, results.field("DKIM")),
            spf: spf(reading, results.field("SPF")),
        },
    }
}

fn reasons(reading: &mut Reading<'_>, value: &Value) -> Vec<OverrideReason> {
    let reason = |value: &Value, reading: &mut Reading<'_>| OverrideReason {
        kind: word(value.field("Type"), Override::from_word).unwrap_or(Override::Unlisted),
        comment: reading.given(value.field("Comment")),
    };
    reading.list(value, REASONS_MAX).iter().map(|value| reason(value, reading)).collect()
}

fn dkim(reading: &mut Reading<'_>, value: &Value) -> Vec<DkimAuthResult> {
    let result = |value: &Value, reading: &mut Reading<'_>| DkimAuthResult {
        domain: reading.text(value.field("Domain")),
        selector: reading.given(value.field("Selector")),
        result: word(value.field("Result"), DkimResult::from_word),
        human_result: reading.given(value.field("HumanResult")),
    };
    reading.list(value, SIGNATURES_MAX).iter().map(|value| result(value, reading)).collect()
}

fn spf(reading: &mut Reading<'_>, value: &Value) -> Vec<SpfAuthResult> {
    let result = |value: &Value, reading: &mut Reading<'_>| SpfAuthResult {
        domain: reading.text(value.field("Domain")),
        scope: word(value.field("Scope"), SpfScope::from_word),
        result: word(value.field("Result"), SpfResult::from_word),
        human_result: None,
    };
    reading.list(value, SIGNATURES_MAX).iter().map(|value| result(value, reading)).collect()
}

/// An evaluation, for the report of its interval.
pub(super) fn evaluation(reading: &mut Reading<'_>, now: UnixSeconds) -> Option<KeptRow> {
    let record = reading.record;
    let id = ReportId(reading.id(EVALUATIONS.what)?);
    let evaluated = reading.time(record.get("Evaluated"));
    if evaluated < now.plus_secs(-EVALUATION_KEEP_SECS) {
        reading.skip("evaluations too old to be reported");
        return None;
    }
    // They would stay until then.
    if evaluated > now.plus_secs(EVALUATION_KEEP_SECS) {
        reading.skip("evaluations of times to come");
        return None;
    }
    let policy_domain = reading.domain("PolicyDomain")?;
    let interval_secs = record.u64("IntervalHours").saturating_mul(3_600);
    let interval_secs = u32::try_from(interval_secs).unwrap_or(u32::MAX);
    let result = |is_aligned| if is_aligned { DmarcResult::Pass } else { DmarcResult::Fail };
    let evaluation = Evaluation {
        policy_domain,
        evaluated,
        is_optional: record.bool("Optional"),
        interval_hours: Evaluation::interval_hours(interval_secs),
        addresses: reading.texts(record.get("Addresses"), ADDRESSES_MAX),
        policy: policy(reading, record.get("PolicyPublished")),
        record: Record {
            row: Row {
                source_ip: record.text("SourceIP").parse().ok(),
                count: 1,
                policy_evaluated: PolicyEvaluated {
                    disposition: word(record.get("Disposition"), Disposition::from_word),
                    dkim: Some(result(record.bool("AlignedDKIMPass"))),
                    spf: Some(result(record.bool("AlignedSPFPass"))),
                    reasons: reasons(reading, record.get("OverrideReasons")),
                },
            },
            identifiers: Identifiers {
                envelope_to: Some(reading.text(record.get("EnvelopeTo"))),
                // Empty for the null sender.
                envelope_from: Some(reading.text(record.get("EnvelopeFrom"))),
                header_from: reading.text(record.get("HeaderFrom")),
            },
            auth_results: AuthResults {
                dkim: dkim(reading, record.get("DKIMResults")),
                spf: spf(reading, record.get("SPFResults")),
            },
        },
    };
    KeptRow::evaluation(&StoredEvaluation { id, evaluation }).ok()
}
