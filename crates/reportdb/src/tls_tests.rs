use mox_reports::tls::{Policy, PolicyType, Summary};

use super::*;
use crate::fixture::{Fixture, domain as named};

fn result(about: &str, failures: u64) -> PolicyResult {
    let policy = Policy {
        policy_type: PolicyType::Sts,
        policy_domain: about.to_owned(),
        ..Policy::default()
    };
    let summary = Summary { total_failure_session_count: failures, ..Summary::default() };
    PolicyResult { policy, summary, failure_details: Vec::new() }
}

fn new(about: &[&str]) -> NewTlsReport {
    let failures = [1, 2, 4, 8];
    let policies = about.iter().zip(failures).map(|(about, failures)| result(about, failures));
    let mut report = Report {
        organization_name: "Reporter".to_owned(),
        report_id: "r1".to_owned(),
        policies: policies.collect(),
        ..Report::default()
    };
    report.date_range.end = UnixSeconds(86_400);
    NewTlsReport {
        from_domain: named("reporter.example"),
        mail_from: "tls@reporter.example".to_owned(),
        is_host: false,
        received: UnixSeconds(90_000),
        report,
    }
}

fn is_ours(domain: &Domain) -> bool {
    domain.is_within(&named("example.org"))
}

/// What is kept: domains, and the failures of their policies.
#[track_caller]
fn check(about: &[&str], want: &str) {
    let fixture = Fixture::new();
    let got = match fixture.db.add_tls(&new(about), is_ours) {
        Ok(added) => {
            let rows = fixture.db.tls_reports(&ReportQuery::all()).unwrap();
            assert_eq!(added.len(), rows.len());
            let text = rows.iter().map(|row| {
                let report = fixture.db.tls_report(row.id).unwrap().unwrap();
                assert_eq!((report.report_id.as_str(), row.report_id.as_str()), ("r1", "r1"));
                let failures = report.policies.iter();
                let failures = failures.map(|result| result.summary.total_failure_session_count);
                format!("{} {:?}", row.domain, failures.collect::<Vec<_>>())
            });
            text.collect::<Vec<_>>().join(", ")
        }
        Err(error) => error.to_string(),
    };
    assert_eq!(got, want, "{about:?}");
}

#[test]
fn each_of_our_domains_gets_its_policies() {
    check(&["example.org"], "example.org [1]");
    check(&["a.example.org", "b.example.org"], "a.example.org [1], b.example.org [2]");
    check(&["example.org", "other.example", "EXAMPLE.org."], "example.org [1, 4]");
    check(&["other.example", "no domain", ""], "no policy of a known domain");
    check(&[], "no policy of a known domain");
}

#[test]
fn rows_say_where_they_came_from() {
    let fixture = Fixture::new();
    let host = NewTlsReport { is_host: true, ..new(&["example.org"]) };
    fixture.db.add_tls(&host, is_ours).unwrap();
    let again = fixture.db.add_tls(&host, is_ours).unwrap();
    assert_eq!(again, [(named("example.org"), Added::Known)]);
    let about = named("example.org");
    let rows = fixture.db.tls_reports(&ReportQuery::of(&about)).unwrap();
    let [row] = rows.as_slice() else { panic!("one row") };
    assert!(row.is_host);
    assert_eq!(row.from_domain, named("reporter.example"));
    assert_eq!(row.mail_from, "tls@reporter.example");
    assert_eq!((row.begin.0, row.end.0, row.received.0), (0, 86_400, 90_000));
    assert_eq!(row.org_name, "Reporter");
    assert_eq!(fixture.db.tls_report(ReportId(99)).unwrap(), None);
}

/// A report with too many domains is kept in whole or not at all.
#[test]
fn a_report_over_a_limit_leaves_nothing() {
    let fixture = Fixture::new();
    let mut many = new(&[]);
    let max = crate::REPORTS_PER_SENDER_MAX + 1;
    many.report.policies = (0..max).map(|n| result(&format!("d{n}.example.org"), 1)).collect();
    let outcome = fixture.db.add_tls(&many, is_ours);
    assert!(matches!(outcome, Err(ReportDbError::TooManyFromSender)));
    assert_eq!(fixture.db.tls_reports(&ReportQuery::all()).unwrap(), []);
    many.report.policies.pop();
    fixture.db.add_tls(&many, is_ours).unwrap();
}
