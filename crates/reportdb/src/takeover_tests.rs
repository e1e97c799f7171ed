use mox_reports::tls::{DateRange, Policy, PolicyResult, PolicyType, Report};

use super::*;
use crate::evaluation::Evaluation;
use crate::fixture::{Fixture, dmarc, domain};
use crate::query::ReportQuery;
use crate::tls_result::{NewTlsResult, Reported};

fn evaluation(id: i64, evaluated: i64) -> StoredEvaluation {
    let evaluation = Evaluation {
        policy_domain: domain("sender.example"),
        evaluated: UnixSeconds(evaluated),
        is_optional: true,
        interval_hours: 24,
        addresses: vec!["mailto:a@sender.example".to_owned(); ADDRESSES_MAX + 1],
        policy: mox_reports::dmarc::PolicyPublished::default(),
        record: mox_reports::dmarc::Record::default(),
    };
    StoredEvaluation { id: ReportId(id), evaluation }
}

fn tls_result(id: i64, day: i64) -> StoredTlsResult {
    let result = NewTlsResult {
        policy_domain: domain("mx.example"),
        day,
        recipient_domain: domain("b.example"),
        is_host: true,
        sends_report: true,
        results: vec![PolicyResult::default()],
    };
    let reported = Reported { to_domain: true, to_host: false };
    StoredTlsResult { id: ReportId(id), result, reported }
}

fn tls(report_id: &str) -> NewTlsReport {
    let policy = Policy { policy_type: PolicyType::Sts, ..Policy::default() };
    let report = Report {
        organization_name: "Reporter".to_owned(),
        date_range: DateRange { start: UnixSeconds(0), end: UnixSeconds(86_399) },
        contact_info: String::new(),
        report_id: report_id.to_owned(),
        policies: vec![PolicyResult { policy, ..PolicyResult::default() }],
    };
    NewTlsReport {
        from_domain: domain("reporter.example"),
        mail_from: "tls@reporter.example".to_owned(),
        is_host: true,
        received: UnixSeconds(90_000),
        report,
    }
}

fn policy(name: &str, updated: i64, used: i64) -> StsEntry {
    StsEntry {
        domain: domain(name),
        inserted: UnixSeconds(1),
        valid_end: UnixSeconds(updated + 1_000),
        updated: UnixSeconds(updated),
        used: UnixSeconds(used),
        record_id: format!("id{updated}"),
        policy: Some("version: STSv1\n".to_owned()),
    }
}

#[test]
fn rows_keep_their_numbers_and_may_be_kept_again() {
    let Fixture { db, .. } = &Fixture::new();
    let report = dmarc("example.org", 86_400, "a");
    let rows = || {
        [
            KeptRow::dmarc(ReportId(7), &report).unwrap(),
            KeptRow::tls(ReportId(9), &domain("example.org"), &tls("t")).unwrap(),
            KeptRow::evaluation(&evaluation(3, 100)).unwrap(),
            KeptRow::evaluation(&evaluation(4, 100)).unwrap(),
            KeptRow::tls_result(&tls_result(5, 20_000)).unwrap(),
        ]
    };
    for _ in 0..2 {
        assert_eq!(db.keep(&rows()).unwrap(), [Keeping::Kept; 5]);
    }
    let found = db.dmarc_reports(&ReportQuery::all()).unwrap();
    assert_eq!(found.iter().map(|one| one.id.0).collect::<Vec<_>>(), [7]);
    assert_eq!(db.dmarc_feedback(ReportId(7)).unwrap(), Some(report.feedback.clone()));
    let found = db.tls_reports(&ReportQuery::all()).unwrap();
    assert_eq!((found[0].id.0, found[0].is_host), (9, true));
    assert_eq!(db.tls_report(ReportId(9)).unwrap(), Some(tls("t").report));
    let found = db.evaluations(&domain("sender.example"), UnixSeconds(200), None).unwrap();
    assert_eq!(found.iter().map(|one| one.id.0).collect::<Vec<_>>(), [3, 4]);
    assert_eq!(found[0].evaluation.addresses.len(), ADDRESSES_MAX);
    assert_eq!(db.tls_result(ReportId(5)).unwrap(), Some(tls_result(5, 20_000)));
    assert_eq!(db.check().unwrap(), Vec::<String>::new());
    assert_ne!(rows()[2].key(), rows()[3].key());
}

#[test]
fn what_another_row_says_too_is_not_kept_twice() {
    let Fixture { db, .. } = &Fixture::new();
    let row = |id| KeptRow::tls(ReportId(id), &domain("example.org"), &tls("t")).unwrap();
    let want = [Keeping::Kept, Keeping::Same];
    assert_eq!(row(1).key(), row(2).key());
    assert_eq!(db.keep(&[row(1), row(2)]).unwrap(), want);
    assert_eq!(db.keep(&[row(1), row(2)]).unwrap(), want);
    assert_eq!(db.tls_reports(&ReportQuery::all()).unwrap().len(), 1);
}

#[test]
fn rows_of_ours_are_not_pushed_aside() {
    let Fixture { db, .. } = &Fixture::new();
    db.add_dmarc(&dmarc("example.org", 86_400, "ours")).unwrap();
    let kept = |id, report_id| {
        KeptRow::dmarc(ReportId(id), &dmarc("example.org", 86_400, report_id)).unwrap()
    };
    let refused = db.keep(&[kept(2, "a"), kept(1, "b")]);
    let Err(ReportDbError::OtherRow { table: "dmarc", id: ReportId(1) }) = refused else {
        panic!("{refused:?}")
    };
    let is_free = |row: &KeptRow| db.check_free(row).is_ok();
    assert!(is_free(&kept(2, "a")) && is_free(&kept(1, "ours")) && !is_free(&kept(1, "b")));
    // All or nothing.
    assert_eq!(db.dmarc_reports(&ReportQuery::all()).unwrap().len(), 1);
}

#[test]
fn numbers_go_on_after_the_last_one_given() {
    let Fixture { db, .. } = &Fixture::new();
    for last in [40, 12, 0] {
        db.keep_sequence(Numbered::Dmarc, last).unwrap();
    }
    let kept = KeptRow::dmarc(ReportId(38), &dmarc("example.org", 86_400, "a")).unwrap();
    db.keep(&[kept]).unwrap();
    let added = db.add_dmarc(&dmarc("example.org", 86_400, "b")).unwrap();
    assert_eq!(added, crate::Added::New(ReportId(41)));
    for of in [Numbered::Tls, Numbered::Evaluations, Numbered::TlsResults] {
        db.keep_sequence(of, u64::MAX).unwrap();
    }
    assert_eq!(db.check().unwrap(), Vec::<String>::new());
}

#[test]
fn the_later_of_two_policies_stays() {
    let Fixture { db, .. } = &Fixture::new();
    db.sts_put(&policy("a.example", 500, 500)).unwrap();
    let kept = [policy("a.example", 400, 900), policy("b.example", 400, 400)];
    for _ in 0..2 {
        db.keep_policies(&kept).unwrap();
        let found = db.sts_list(None).unwrap();
        assert_eq!(found, [policy("a.example", 500, 500), kept[1].clone()]);
    }
    db.keep_policies(&[policy("a.example", 600, 600)]).unwrap();
    let found = db.sts_get(&domain("a.example")).unwrap().unwrap();
    assert_eq!(found.record_id, "id600");
    assert_eq!(db.check().unwrap(), Vec::<String>::new());
}

#[test]
fn the_longer_of_two_suppressions_stays() {
    let Fixture { db, .. } = &Fixture::new();
    let one = |address: &str, inserted, until, comment: &str| ReportSuppression {
        id: ReportId(0),
        address: address.to_owned(),
        inserted: UnixSeconds(inserted),
        until: UnixSeconds(until),
        comment: comment.to_owned(),
    };
    let kept = [
        one("A@b.example", 5, 100, "dmarc"),
        one("a@b.example", 3, 90, "tls"),
        one("c@b.example", 3, 90, &"x".repeat(1_000)),
    ];
    for _ in 0..2 {
        db.keep_report_suppressions(&kept).unwrap();
        let found = db.report_suppressions(None).unwrap();
        let ReportSuppression { address, inserted, until, comment, .. } = &found[0];
        assert_eq!((address.as_str(), inserted.0, until.0), ("a@b.example", 3, 100));
        assert_eq!((comment.as_str(), found.len()), ("dmarc", 2));
        assert!(found[1].comment.len() < 1_000);
    }
    db.sync().unwrap();
    assert_eq!(db.check().unwrap(), Vec::<String>::new());
}
