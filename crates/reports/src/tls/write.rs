//! Writing a TLS report.

use serde::Serialize as _;
use serde_json::Serializer;
use serde_json::ser::PrettyFormatter;

use super::Report;

/// Writes a report as JSON, indented by tabs for people. RFC 8460 §4.4.
///
/// Takes time linear in the size of the report.
#[must_use]
pub fn to_json(report: &Report) -> Vec<u8> {
    let mut json = Vec::new();
    let formatter = PrettyFormatter::with_indent(b"\t");
    // All keys are texts and memory takes all bytes.
    let written = report.serialize(&mut Serializer::with_formatter(&mut json, formatter));
    debug_assert!(written.is_ok(), "{written:?}");
    json.push(b'\n');
    json
}

#[cfg(test)]
mod tests {
    use mox_base::UnixSeconds;
    use proptest::prelude::*;

    use super::super::{
        DateRange, Failure, Policy, PolicyResult, PolicyType, ResultType, Summary, parse,
    };
    use super::*;

    fn text() -> impl Strategy<Value = String> {
        "[!-~\u{e4}\u{20ac}\u{1f600}]{1,9}( [!-~]{1,5})?"
    }

    fn failure() -> impl Strategy<Value = Failure> {
        let ip = || prop::option::of(any::<std::net::IpAddr>());
        (text(), ip(), ip(), prop::option::of(text()), any::<u64>()).prop_map(
            |(word, sending, receiving, helo, count)| Failure {
                result_type: ResultType::from_word(&word),
                sending_mta_ip: sending,
                receiving_mx_hostname: helo.clone(),
                receiving_mx_helo: helo,
                receiving_ip: receiving,
                failed_session_count: count,
                additional_information: None,
                failure_reason_code: Some(word),
            },
        )
    }

    fn policy() -> impl Strategy<Value = PolicyResult> {
        let texts = || prop::collection::vec(text(), 0..3);
        let failures = prop::collection::vec(failure(), 0..3);
        (texts(), texts(), text(), any::<(u64, u64)>(), failures).prop_map(
            |(policy_string, mx_host, policy_domain, counts, failure_details)| PolicyResult {
                policy: Policy {
                    policy_type: PolicyType::Sts,
                    policy_string,
                    policy_domain,
                    mx_host,
                },
                summary: Summary {
                    total_successful_session_count: counts.0,
                    total_failure_session_count: counts.1,
                },
                failure_details,
            },
        )
    }

    proptest! {
        /// RFC 8460 §4.4.
        #[test]
        fn what_is_written_is_read_as_it_was(
            policies in prop::collection::vec(policy(), 0..3),
            name in text(),
        ) {
            let report = Report {
                organization_name: name.clone(),
                date_range: DateRange { start: UnixSeconds(0), end: UnixSeconds(86_399) },
                contact_info: "postmaster@mx.example".to_owned(),
                report_id: name,
                policies,
            };
            let json = to_json(&report);
            prop_assert_eq!(parse(json.as_slice()), Ok(report));
        }
    }

    #[test]
    fn reports_are_indented_by_tabs() {
        let json = String::from_utf8(to_json(&Report::default())).unwrap();
        assert!(
            json.starts_with("{\n\t\"organization-name\": \"\",\n\t\"date-range\": {\n\t\t\"start")
        );
        assert!(json.ends_with("\t\"policies\": []\n}\n"));
    }
}
