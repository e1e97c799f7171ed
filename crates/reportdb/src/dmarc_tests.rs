use super::*;
use crate::fixture::{Fixture, dmarc, domain as named};
use crate::query::usage;
use crate::{EVALUATION_KEEP_SECS, REPORT_KEEP_SECS, REPORTS_PER_SENDER_MAX, Removed};
use crate::{ReportDbError, SENDER_SECS};

const DAY: i64 = 86_400;

fn ids(db: &ReportDb, query: &ReportQuery<'_>) -> Vec<String> {
    db.dmarc_reports(query).unwrap().into_iter().map(|report| report.report_id).collect()
}

#[test]
fn reports_are_kept_and_listed_by_their_time() {
    let fixture = Fixture::new();
    let db = &fixture.db;
    for (about, end, id) in [
        ("example.org", 3 * DAY, "c"),
        ("example.org", DAY, "a"),
        ("other.example", 2 * DAY, "o"),
        ("example.org", 2 * DAY, "b1"),
        ("example.org", 2 * DAY, "b2"),
    ] {
        assert!(matches!(db.add_dmarc(&dmarc(about, end, id)).unwrap(), Added::New(_)));
    }
    let about = named("example.org");
    assert_eq!(ids(db, &ReportQuery::of(&about)), ["a", "b1", "b2", "c"]);
    assert_eq!(ids(db, &ReportQuery::all()), ["a", "o", "b1", "b2", "c"]);
    let between = ReportQuery {
        start: UnixSeconds(2 * DAY),
        end: UnixSeconds(3 * DAY),
        ..ReportQuery::of(&about)
    };
    assert_eq!(ids(db, &between), ["b1", "b2"]);
    // In pages of two.
    let first = ReportQuery { limit: 2, ..ReportQuery::of(&about) };
    let page = db.dmarc_reports(&first).unwrap();
    let last = page.last().unwrap();
    let next = ReportQuery { after: Some((last.end, last.id)), ..first.clone() };
    assert_eq!(ids(db, &next), ["b2", "c"]);
    // A cursor from before the span does not widen it.
    let cursor = Some((UnixSeconds(0), ReportId(0)));
    assert_eq!(ids(db, &ReportQuery { after: cursor, ..between.clone() }), ["b1", "b2"]);
    assert_eq!(ids(db, &ReportQuery { limit: 0, ..between }), Vec::<String>::new());
}

#[test]
fn what_a_report_says_is_kept() {
    let fixture = Fixture::new();
    let mut report = dmarc("xn--bcher-kva.example", DAY, "a");
    report.feedback.records = vec![mox_reports::dmarc::Record::default(); 3];
    let Added::New(id) = fixture.db.add_dmarc(&report).unwrap() else { panic!("it is new") };
    let again = ReportDb::open(&fixture.path).unwrap();
    assert_eq!(again.dmarc_feedback(id).unwrap(), Some(report.feedback));
    assert_eq!(again.dmarc_feedback(ReportId(id.0 + 1)).unwrap(), None);
    let [row] = &again.dmarc_reports(&ReportQuery::all()).unwrap()[..] else { panic!("one") };
    assert_eq!(row.domain.unicode(), "b\u{fc}cher.example");
    assert_eq!((row.begin.0, row.end.0, row.received.0), (0, DAY, DAY + 3_600));
    assert_eq!(row.org_name, "Reporter");
}

/// RFC 9990 §3.5: reports may come twice. Only the same sender can send the same report.
#[test]
fn a_report_that_is_there_is_not_added() {
    let fixture = Fixture::new();
    let report = dmarc("example.org", DAY, "a");
    assert!(matches!(fixture.db.add_dmarc(&report).unwrap(), Added::New(_)));
    assert_eq!(fixture.db.add_dmarc(&report).unwrap(), Added::Known);
    let others = NewDmarcReport { from_domain: named("evil.example"), ..report };
    assert!(matches!(fixture.db.add_dmarc(&others).unwrap(), Added::New(_)));
    assert_eq!(fixture.db.read(|db| usage(db, "dmarc")).unwrap().0, 2);
}

/// One sender cannot fill the disk: neither in a day, nor with others.
#[test]
fn room_is_limited() {
    let fixture = Fixture::new();
    let db = &fixture.db;
    for number in 0..REPORTS_PER_SENDER_MAX {
        db.add_dmarc(&dmarc("example.org", DAY, &number.to_string())).unwrap();
    }
    let more = dmarc("example.org", DAY, "more");
    assert!(matches!(db.add_dmarc(&more), Err(ReportDbError::TooManyFromSender)));
    let others = NewDmarcReport { from_domain: named("other.example"), ..more.clone() };
    db.add_dmarc(&others).unwrap();
    let later = NewDmarcReport { received: more.received.plus_secs(SENDER_SECS), ..more };
    db.add_dmarc(&later).unwrap();
    let full = "UPDATE usage SET bytes = bytes + (1 << 30)";
    db.write(|db| Ok(db.execute_batch(full)?)).unwrap();
    let next = dmarc("example.org", 9 * DAY, "next");
    assert!(matches!(db.add_dmarc(&next), Err(ReportDbError::Full { .. })));
}

#[test]
fn old_rows_are_removed_and_usage_is_true() {
    let fixture = Fixture::new();
    let db = &fixture.db;
    for number in 0..1_000 {
        let mut report = dmarc("example.org", DAY, &number.to_string());
        report.received = UnixSeconds(number * 10);
        db.add_dmarc(&report).unwrap();
    }
    let used = db.read(|db| usage(db, "dmarc")).unwrap();
    let sum = "SELECT count(*), sum(length(feedback)) FROM dmarc";
    let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, u64>(0)?, row.get::<_, u64>(1)?));
    assert_eq!(db.read(|db| Ok(db.query_row(sum, [], read)?)).unwrap(), used);
    let now = UnixSeconds(9_000 + REPORT_KEEP_SECS);
    let removed = Removed { dmarc: 900, ..Removed::default() };
    assert_eq!(db.remove_old(now).unwrap(), removed);
    assert_eq!(db.remove_old(now).unwrap(), Removed::default());
    assert_eq!(db.read(|db| Ok(db.query_row(sum, [], read)?)).unwrap().0, 100);
    let used = db.read(|db| usage(db, "dmarc")).unwrap();
    assert_eq!(db.read(|db| Ok(db.query_row(sum, [], read)?)).unwrap(), used);
    const { assert!(EVALUATION_KEEP_SECS < REPORT_KEEP_SECS) };
}

/// Lists cost what they show, however many reports there are.
#[test]
fn lists_walk_an_index() {
    let fixture = Fixture::new();
    let sql = |domain: &str| {
        format!(
            "SELECT {COLUMNS} FROM dmarc WHERE {domain} AND (ends, id) > (?2, ?3) AND ends < ?4 \
             ORDER BY ends, id LIMIT ?5"
        )
    };
    let plan = fixture.plan(&sql("domain = ?1"), params!["example.org", 0, 0, 1, 10]);
    assert!(plan.contains("USING INDEX dmarc_domain") && !plan.contains("B-TREE"), "{plan}");
    let plan = fixture.plan(&sql("?1 IS NULL"), params![None::<&str>, 0, 0, 1, 10]);
    assert!(plan.contains("USING INDEX dmarc_ends") && !plan.contains("B-TREE"), "{plan}");
}
