use mox_tlspolicy::failure::TlsFailure;
use mox_tlspolicy::tally::{Session, no_policy};

use super::*;
use crate::fixture::{Fixture, domain as named};

fn result(policy_domain: &str, day: i64, tally: Tally) -> NewTlsResult {
    NewTlsResult {
        policy_domain: named(policy_domain),
        day,
        recipient_domain: named("example.org"),
        is_host: policy_domain.starts_with("mx"),
        sends_report: tally.has_failures(),
        results: tally.into_results(),
    }
}

fn success() -> Tally {
    let mut tally = Tally::default();
    tally.success(no_policy(&named("example.org")));
    tally
}

fn failure() -> Tally {
    let mut tally = Tally::default();
    tally.failure(no_policy(&named("example.org")), &Session::default(), TlsFailure::NotTls);
    tally
}

fn counts(db: &ReportDb, day: i64) -> Vec<(String, bool, u64, u64)> {
    let rows = db.tls_results_of_day(day, None).unwrap();
    let of = |row: &StoredTlsResult| {
        let sum = row.result.results[0].summary;
        (
            row.result.policy_domain.ascii().to_owned(),
            row.result.sends_report,
            sum.total_successful_session_count,
            sum.total_failure_session_count,
        )
    };
    rows.iter().map(of).collect()
}

/// RFC 8460 §4.1, §4.4.
#[test]
fn sessions_of_a_day_are_counted_together() {
    let Fixture { db, .. } = &Fixture::new();
    let day = 20_000;
    let new = [result("example.org", day, success()), result("mx.example.org", day, failure())];
    assert_eq!(db.add_tls_results(&new).unwrap(), 0);
    db.add_tls_results(&[result("example.org", day, failure())]).unwrap();
    db.add_tls_results(&[result("example.org", day, success())]).unwrap();
    db.add_tls_results(&[result("example.org", day + 1, success())]).unwrap();
    let want = [("example.org".to_owned(), true, 2, 1), ("mx.example.org".to_owned(), true, 0, 1)];
    assert_eq!(counts(db, day), want);
    assert_eq!(counts(db, day + 1), [("example.org".to_owned(), false, 1, 0)]);
    let rows = db.tls_results_of_day(day, None).unwrap();
    assert_eq!(rows[1].result, new[1]);
    assert_eq!(db.tls_results_of_day(day, Some(rows[0].id)).unwrap(), rows[1..]);
    assert_eq!(db.check().unwrap(), Vec::<String>::new());
}

#[test]
fn rows_are_marked_before_they_are_sent_and_removed_after() {
    let Fixture { db, path, .. } = &Fixture::new();
    let new = [result("example.org", 7, success()), result("mx.example.org", 7, success())];
    db.add_tls_results(&new).unwrap();
    let rows = db.tls_results_of_day(7, None).unwrap();
    assert!(rows.iter().all(|row| row.reported == Reported::default()));
    let to_domain = Reported { to_domain: true, to_host: false };
    let to_host = Reported { to_domain: false, to_host: true };
    db.mark_tls_results(&[rows[0].id], to_domain).unwrap();
    db.mark_tls_results(&[rows[1].id], to_host).unwrap();
    // As after a crash.
    let db = ReportDb::open(path).unwrap();
    let reported = || -> Vec<Reported> {
        db.tls_result_keys(7, None).unwrap().iter().map(|row| row.reported).collect()
    };
    assert_eq!(reported(), [to_domain, to_host]);
    db.mark_tls_results(&[rows[1].id], to_domain).unwrap();
    let both = Reported { to_domain: true, to_host: true };
    assert_eq!(reported(), [to_domain, both]);
    assert_eq!(db.tls_result(rows[1].id).unwrap().unwrap().reported, both);
    db.remove_tls_results(&[rows[0].id]).unwrap();
    assert_eq!(db.tls_result(rows[0].id).unwrap(), None);
    let keys = db.tls_result_keys(7, Some(rows[0].id)).unwrap();
    let [key] = &keys[..] else { panic!("one") };
    let told = (key.id, key.policy_domain.ascii(), key.is_host, key.sends_report);
    assert_eq!(told, (rows[1].id, "mx.example.org", true, false));
    assert_eq!(counts(&db, 7), [("mx.example.org".to_owned(), false, 1, 0)]);
}

#[test]
fn old_days_go() {
    let Fixture { db, .. } = &Fixture::new();
    for day in 10..15 {
        db.add_tls_results(&[result("example.org", day, success())]).unwrap();
    }
    let removed = db.remove_old(UnixSeconds(14 * 86_400)).unwrap();
    assert_eq!(removed.tls_results, 2);
    let left: Vec<_> = (10..15).filter(|day| !counts(db, *day).is_empty()).collect();
    assert_eq!(left, [12, 13, 14]);
}

#[test]
fn results_are_bounded() {
    let Fixture { db, .. } = &Fixture::new();
    db.add_tls_results(&[result("example.org", 7, success())]).unwrap();
    // A domain with a new policy at each session: the row stays as it was.
    let mut large = no_policy(&named("example.org"));
    large.policy_string = vec!["x".repeat(60_000); 10];
    let mut tally = Tally::default();
    tally.success(large);
    assert_eq!(db.add_tls_results(&[result("example.org", 7, tally)]).unwrap(), 1);
    assert_eq!(counts(db, 7), [("example.org".to_owned(), false, 1, 0)]);
    let fill = |count: u64, bytes: u64| {
        let sql = "UPDATE usage SET count = ?1, bytes = ?2 WHERE kind = 'tls_result'";
        db.write(|db| Ok(db.execute(sql, params![count, bytes])?)).unwrap();
    };
    fill(TLS_RESULTS_MAX, 100);
    let two = [result("other.example", 7, success()), result("example.org", 7, success())];
    assert_eq!(db.add_tls_results(&two).unwrap(), 1, "what is there already goes on");
    assert_eq!(counts(db, 7), [("example.org".to_owned(), false, 2, 0)]);
    fill(1, TLS_RESULTS_BYTES_MAX);
    assert_eq!(db.add_tls_results(&two).unwrap(), 2);
}

#[test]
fn rows_are_found_by_index() {
    let fixture = Fixture::new();
    let sql = "SELECT id FROM tls_result \
        WHERE day = ?1 AND policy_domain = ?2 AND recipient_domain = ?3";
    let plan = fixture.plan(sql, params![1, "a", "b"]);
    assert!(plan.contains("tls_result_same"), "{plan}");
    let sql = "SELECT id FROM tls_result WHERE day = ?1 AND id > ?2 ORDER BY id LIMIT ?3";
    let plan = fixture.plan(sql, params![1, 2, 3]);
    assert!(plan.contains("tls_result_day") && !plan.contains("TEMP B-TREE"), "{plan}");
}
