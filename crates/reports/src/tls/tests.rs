use std::io::{Cursor, Write as _};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::super::{FAILURES_MAX, POLICIES_MAX, PolicyType, ResultType};
use super::*;

const REPORT: &str = r#"{
  "organization-name": "Reporter Ltd.",
  "date-range": {
    "start-datetime": "2026-11-20T00:00:00Z",
    "end-datetime": "2026-11-20T23:59:59Z"
  },
  "contact-info": "tls@reporter.example",
  "report-id": "5065427c-23d3",
  "policies": [{
    "policy": {
      "policy-type": "sts",
      "policy-string": ["version: STSv1", "mode: testing", "mx: *.mail.example.org", "max_age: 86400"],
      "policy-domain": "example.org",
      "mx-host": ["*.mail.example.org"]
    },
    "summary": {
      "total-successful-session-count": 5326,
      "total-failure-session-count": 303
    },
    "failure-details": [{
      "result-type": "certificate-expired",
      "sending-mta-ip": "2001:db8:abcd:12::1",
      "receiving-mx-hostname": "mx1.mail.example.org",
      "failed-session-count": 100
    }, {
      "result-type": "something-new",
      "receiving-ip": "203.0.113.56",
      "failed-session-count": 203,
      "failure-reason-code": "X509_V_ERR"
    }]
  }]
}"#;

fn gzip(content: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(content.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// RFC 8460 §4.4, appendix B.
#[test]
fn reports_are_read_and_written() {
    let report = parse(REPORT.as_bytes()).unwrap();
    assert_eq!(report.organization_name, "Reporter Ltd.");
    assert_eq!(report.date_range.start.0, 1_795_132_800);
    let [result] = report.policies.as_slice() else { panic!("one policy") };
    assert_eq!(result.policy.policy_type, PolicyType::Sts);
    assert_eq!(result.policy.domain().unwrap().ascii(), "example.org");
    assert_eq!(result.policy.policy_string.len(), 4);
    assert_eq!(result.summary.total_successful_session_count, 5_326);
    let [first, second] = result.failure_details.as_slice() else { panic!("two details") };
    assert_eq!(first.result_type, ResultType::CertificateExpired);
    assert_eq!(first.sending_mta_ip.unwrap().to_string(), "2001:db8:abcd:12::1");
    assert_eq!(second.result_type, ResultType::Other("something-new".into()));
    assert_eq!(second.failure_reason_code.as_deref(), Some("X509_V_ERR"));
    // What is written is what was read, up to blanks.
    let written: serde_json::Value = serde_json::to_value(&report).unwrap();
    assert_eq!(written, serde_json::from_str::<serde_json::Value>(REPORT).unwrap());
}

#[track_caller]
fn check(text: &str, want: Result<(), ReportError>) {
    for got in [parse(text.as_bytes()), parse(gzip(text).as_slice())] {
        let got = got.map(|_| ()).map_err(|error| match error {
            // The column is a matter of the parser of JSON.
            ReportError::BadJson { line, .. } => ReportError::BadJson { line, column: 0 },
            other => other,
        });
        assert_eq!(got, want, "{text:.300}");
    }
}

fn with_policies(policies: &str) -> String {
    format!(
        r#"{{"date-range":{{"start-datetime":"2026-11-20T00:00:00","end-datetime":"2026-11-21T00:00:00Z"}},"policies":{policies}}}"#
    )
}

#[test]
fn what_a_report_must_say_is_required() {
    let bad = |line| Err(ReportError::BadJson { line, column: 0 });
    // Valid.
    check(REPORT, Ok(()));
    check(&with_policies("[]"), Ok(()));
    check(&with_policies("null"), Ok(()));
    // As it is seen.
    let odd = r#"[{"policy":{"policy-type":"tlsa","policy-string":"3 1 1 00","mx-host":"mx.example"},
        "failure-details":null,"extra":[{}]}]"#;
    check(&with_policies(odd), Ok(()));
    // Just past.
    let reversed = REPORT.replace("2026-11-20T23", "2026-11-19T23");
    check(&reversed, Err(ReportError::BadValue("date-range")));
    let negative = REPORT.replace("5326", "-1");
    check(&negative, bad(17));
    // Never.
    check("", bad(1));
    check("{}", bad(1));
    check("[]", bad(1));
    check(&format!("{REPORT}x"), bad(32));
    check(REPORT.trim_end_matches("\n}"), bad(31));
    check(&with_policies("{}"), bad(1));
    check(&with_policies("[{}]"), bad(1));
    check(&"[".repeat(1_000_000), bad(1));
}

#[test]
fn sizes_and_counts_are_bounded() {
    let list = |item: &str, count: usize| format!("[{}]", vec![item; count].join(","));
    let policy = r#"{"policy":{"policy-type":"sts"}}"#;
    check(&with_policies(&list(policy, POLICIES_MAX)), Ok(()));
    assert!(parse(with_policies(&list(policy, POLICIES_MAX + 1)).as_bytes()).is_err());
    let failures = |count: usize| {
        let failures = list(r#"{"result-type":"x"}"#, count);
        with_policies(&format!(
            r#"[{{"policy":{{"policy-type":"sts"}},"failure-details":{failures}}}]"#
        ))
    };
    check(&failures(FAILURES_MAX), Ok(()));
    assert!(parse(failures(FAILURES_MAX + 1).as_bytes()).is_err());
    let deep = format!(r#"{{"extra":{}"#, "[".repeat(1_000_000));
    assert!(matches!(parse(deep.as_bytes()), Err(ReportError::BadJson { .. })));
    // 21 MB in 21 KB.
    let blanks = " ".repeat(21 << 20);
    check(&format!("{REPORT}{blanks}"), Err(ReportError::TooLarge));
    let mut broken = gzip(REPORT);
    let crc = broken.len() - 8;
    broken[crc] ^= 1;
    assert_eq!(parse(broken.as_slice()), Err(ReportError::BadPacking));
}

#[track_caller]
fn check_message(header: &str, body: &[u8], want: Result<(), ReportError>) {
    let mut message = format!("From: a@reporter.example\r\n{header}\r\n\r\n").into_bytes();
    message.extend(body);
    let got = from_message(&mut Cursor::new(message)).map(|_| ());
    assert_eq!(got, want, "{header}");
}

/// RFC 8460 §3, §5.3, §6.4, §6.5.
#[test]
fn reports_are_found_in_messages() {
    let packed = gzip(REPORT);
    check_message("Content-Type: application/tlsrpt+gzip", &packed, Ok(()));
    check_message("Content-Type: application/tlsrpt+json", REPORT.as_bytes(), Ok(()));
    let mut multipart =
        b"--b\r\n\r\nSee there.\r\n--b\r\nContent-Type: application/tlsrpt+gzip\r\n\r\n".to_vec();
    multipart.extend(&packed);
    multipart.extend(b"\r\n--b--\r\n");
    let kind = |kind: &str| format!("Content-Type: multipart/{kind}; boundary=b");
    check_message(&kind("report; report-type=tlsrpt"), &multipart, Ok(()));
    check_message(&kind("report; report-type=\"TLSRPT\""), &multipart, Ok(()));
    check_message(&kind("mixed"), &multipart, Ok(()));
    // Another report, or none.
    let other = Err(ReportError::OtherReportType);
    check_message(&kind("report; report-type=delivery-status"), &multipart, other);
    check_message(&kind("report"), &multipart, other);
    check_message("Content-Type: application/gzip", &packed, Err(ReportError::NoReport));
    check_message("Content-Type: text/plain", REPORT.as_bytes(), Err(ReportError::NoReport));
    check_message("Subject: x", REPORT.as_bytes(), Err(ReportError::NoReport));
    let cut = Err(ReportError::BadPacking);
    check_message("Content-Type: application/tlsrpt+gzip", &packed[..50], cut);
}
