use mox_reports::dmarc::Disposition;

use super::*;
use crate::fixture::{Fixture, domain as named};
use crate::{EVALUATION_KEEP_SECS, Removed};

fn evaluation(about: &str, evaluated: i64, is_optional: bool) -> Evaluation {
    let mut record = Record::default();
    record.row.count = 1;
    record.row.source_ip = Some([192, 0, 2, 1].into());
    record.identifiers.header_from = about.to_owned();
    let policy = PolicyPublished { p: Some(Disposition::Reject), ..PolicyPublished::default() };
    Evaluation {
        policy_domain: named(about),
        evaluated: UnixSeconds(evaluated),
        is_optional,
        interval_hours: 24,
        addresses: vec![format!("mailto:dmarc@{about}")],
        policy,
        record,
    }
}

#[test]
fn evaluations_are_kept_listed_and_removed() {
    let fixture = Fixture::new();
    let db = &fixture.db;
    let added = [
        evaluation("example.org", 20, false),
        evaluation("example.org", 10, true),
        evaluation("other.example", 10, true),
    ];
    for evaluation in &added {
        db.add_evaluation(evaluation).unwrap();
    }
    let about = named("example.org");
    let all = db.evaluations(&about, UnixSeconds(100), None).unwrap();
    let times: Vec<_> = all.iter().map(|stored| stored.evaluation.evaluated.0).collect();
    assert_eq!(times, [10, 20]);
    assert_eq!(all[1].evaluation, added[0]);
    assert_eq!(db.evaluations(&about, UnixSeconds(20), None).unwrap(), all[..1]);
    let after = Some((UnixSeconds(10), all[0].id));
    assert_eq!(db.evaluations(&about, UnixSeconds(100), after).unwrap(), all[1..]);
    let stats = |domain: &str, count, sends_report| EvaluationStats {
        policy_domain: named(domain),
        count,
        sends_report,
    };
    let want = [stats("example.org", 2, true), stats("other.example", 1, false)];
    assert_eq!(db.evaluation_stats(None).unwrap(), want);
    assert_eq!(db.evaluation_stats(Some(&about)).unwrap(), want[1..]);
    assert_eq!(db.remove_evaluations(&about, UnixSeconds(20)).unwrap(), 1);
    assert_eq!(db.evaluations(&about, UnixSeconds(100), None).unwrap(), all[1..]);
    let removed = Removed { evaluations: 1, ..Removed::default() };
    assert_eq!(db.remove_old(UnixSeconds(11 + EVALUATION_KEEP_SECS)).unwrap(), removed);
    assert_eq!(db.evaluation_stats(None).unwrap(), [stats("example.org", 1, true)]);
}

#[test]
fn numbers_are_bounded() {
    let fixture = Fixture::new();
    let db = &fixture.db;
    let mut many = evaluation("example.org", 1, false);
    many.addresses = vec!["mailto:a@example.org".to_owned(); ADDRESSES_MAX + 1];
    db.add_evaluation(&many).unwrap();
    let stored = db.evaluations(&named("example.org"), UnixSeconds(2), None).unwrap();
    assert_eq!(stored[0].evaluation.addresses.len(), ADDRESSES_MAX);
    let full = format!("UPDATE usage SET count = {EVALUATIONS_MAX}");
    db.write(|db| Ok(db.execute_batch(&full)?)).unwrap();
    assert!(matches!(db.add_evaluation(&many), Err(ReportDbError::Full { .. })));
}

#[track_caller]
fn check(interval_secs: u32, want: u8) {
    assert_eq!(Evaluation::interval_hours(interval_secs), want, "{interval_secs}");
}

/// RFC 7489 §6.3 (`ri`): reports at least daily, hourly if wanted.
#[test]
fn intervals_divide_the_day() {
    check(86_400, 24);
    check(43_200, 12);
    check(3_600, 1);
    // Rounded up to hours, then down to a divisor.
    check(3_601, 2);
    check(7 * 3_600, 6);
    check(23 * 3_600, 12);
    check(82_801, 24);
    // Beyond.
    check(0, 1);
    check(1, 1);
    check(u32::MAX, 24);
}

#[test]
fn lists_walk_an_index() {
    let fixture = Fixture::new();
    let sql = "SELECT id FROM evaluation WHERE policy_domain = ?1 AND (evaluated, id) > (?2, ?3) \
        AND evaluated < ?4 ORDER BY evaluated, id LIMIT ?5";
    let plan = fixture.plan(sql, params!["example.org", 0, 0, 1, 10]);
    assert!(plan.contains("INDEX evaluation_domain") && !plan.contains("B-TREE"), "{plan}");
}

#[test]
fn domains_are_listed_without_their_evaluations() {
    let fixture = Fixture::new();
    let db = &fixture.db;
    assert_eq!(db.evaluated_domains(None).unwrap(), []);
    for (name, evaluated, interval_hours) in
        [("b.example", 20, 1), ("b.example", 10, 24), ("a.example", 10, 12), ("c.example", 5, 6)]
    {
        let evaluation = evaluation(name, evaluated, true);
        db.add_evaluation(&Evaluation { interval_hours, ..evaluation }).unwrap();
    }
    let all = db.evaluated_domains(None).unwrap();
    let found: Vec<_> =
        all.iter().map(|found| (found.policy_domain.ascii(), found.interval_hours)).collect();
    // The interval is that of the latest.
    assert_eq!(found, [("a.example", 12), ("b.example", 1), ("c.example", 6)]);
    assert_eq!(db.evaluated_domains(Some(&named("a.example"))).unwrap(), all[1..]);
    let sql = "SELECT min(policy_domain) FROM evaluation WHERE policy_domain > ?1";
    let plan = fixture.plan(sql, params!["a"]);
    assert!(plan.contains("SEARCH") && plan.contains("COVERING INDEX"), "{plan}");
}
