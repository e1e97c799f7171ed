//! Records with fields that are zero in all fixtures, and at the bounds of ours.

use std::path::Path;

use mox_reports::TEXT_BYTES_MAX;
use mox_testkit::original::{Row, Value, fields, list, row, time, write_database};
use serde_json::json;

use super::{NOW, Ours, copy, theirs};

fn domain(ascii: &str, unicode: &str) -> Value {
    fields([("ASCII", ascii.into()), ("Unicode", unicode.into())])
}

fn policy_until(name: &'static str, valid_end: i64) -> Row {
    row(name)
        .with("Inserted", time(NOW.0 - 900))
        .with("ValidEnd", time(valid_end))
        .with("LastUpdate", time(NOW.0 - 800))
        .with("LastUse", time(NOW.0 - 700))
        .with("RecordID", "20260101")
}

fn policy_record(name: &'static str) -> Row {
    policy_until(name, NOW.0 + 900)
}

fn mode(row: Row, mode: &'static str) -> Row {
    row.with("Version", "STSv1").with("Mode", mode).with("MaxAgeSeconds", 600)
}

/// A policy with so many hosts.
fn policy(name: &'static str, word: &'static str, hosts: usize) -> Row {
    let hosts = (0..hosts).map(|_| fields([("Domain", domain("mx.example", ""))]));
    mode(policy_record(name), word).with("MX", list(hosts))
}

fn copied(dir: &Path) -> (Ours, mox_takeover::Summary) {
    let ours = Ours::new();
    let summary = copy(dir, &ours.db);
    (ours, summary)
}

#[test]
fn policies_are_taken_as_they_counted_until_now() {
    let dir = tempfile::tempdir().unwrap();
    let text = "version: STSv1\r\nmode: enforce\r\nmx: mx.example\r\nmax_age: 600\r\nx: y\r\n";
    let extensions = list([fields([("Key", "x".into()), ("Value", "y".into())])]);
    let rows = vec![
        policy_record("backoff.example").with("Backoff", true),
        policy("bad.example", "other", 1),
        // Of before the text was kept.
        policy("bücher.example", "enforce", 1).with("Extensions", extensions.clone()),
        policy("fetched.example", "enforce", 1)
            .with("PolicyText", text)
            .with("Extensions", extensions),
        policy("many.example", "enforce", 2_000),
        policy("none.example", "none", 0),
        mode(policy_until("old.example", NOW.0), "enforce"),
        // The text says something else than what it was understood as.
        policy("other.example", "testing", 1).with("PolicyText", text),
        policy("under_score.example", "testing", 1),
    ];
    write_database(&dir.path().join("mtasts.db"), "mtasts", [("PolicyRecord", rows)]);
    let (ours, summary) = copied(dir.path());
    let found = theirs::records(&ours.db, "PolicyRecord", &[]);
    let of = |name: &str| found.iter().find(|one| one["Domain"] == name).cloned();
    let made = |mode: &str, mx: &str, more: &str| {
        format!("version: STSv1\nmode: {mode}\n{mx}max_age: 600\n{more}")
    };
    let backoff = of("backoff.example").unwrap();
    assert_eq!((&backoff["Backoff"], &backoff["PolicyText"]), (&json!(true), &json!("")));
    assert_eq!(backoff["RecordID"], "20260101");
    let idna = of("bücher.example").unwrap();
    assert_eq!(idna["PolicyText"], made("enforce", "mx: mx.example\n", "x: y\n"));
    assert_eq!(idna["Extensions"], json!([{ "Key": "x", "Value": "y" }]));
    assert_eq!(idna["Backoff"], false);
    assert_eq!(of("fetched.example").unwrap()["PolicyText"], text);
    assert_eq!(of("none.example").unwrap()["PolicyText"], made("none", "", ""));
    assert_eq!(of("other.example").unwrap()["Mode"], "testing");
    for name in ["bad.example", "many.example", "old.example"] {
        assert_eq!(of(name), None, "{name}");
    }
    assert_eq!(summary.skipped["MTA-STS policies that ours cannot read"].count, 2);
    assert_eq!(summary.skipped["MTA-STS policies that are out of date"].count, 1);
    assert_eq!(summary.differs["MTA-STS policies that were written anew"].count, 4);
}

fn result(policy: &'static str) -> Value {
    fields([
        ("Policy", fields([("Type", "sts".into()), ("Domain", policy.into())])),
        ("Summary", fields([("TotalSuccessfulSessionCount", 5.into())])),
    ])
}

#[test]
fn results_of_tls_say_which_reports_were_sent() {
    let dir = tempfile::tempdir().unwrap();
    let on = |day: &'static str, id: i64, is_host: bool, to_rcpt: bool, to_policy: bool| {
        row(id)
            .with("PolicyDomain", format!("p{id}.example"))
            .with("RecipientDomain", "r.example")
            .with("DayUTC", day)
            .with("IsHost", is_host)
            .with("SentToRecipientDomain", to_rcpt)
            .with("SentToPolicyDomain", to_policy)
            .with("RecipientDomainReportingAddresses", list(["mailto:a@r.example"]))
            .with("Results", list([result("p.example")]))
    };
    let of = |id, is_host, to_rcpt, to_policy| on("20261119", id, is_host, to_rcpt, to_policy);
    let days = [("20261118", 5), ("20261117", 6), ("2026-11-19", 7)];
    let rows = [of(1, true, true, false), of(2, true, false, true), of(3, false, false, true)];
    let rows = rows.into_iter().chain([of(4, false, true, true)]);
    let rows = rows.chain(days.map(|(day, id)| on(day, id, false, false, false)));
    let table = ("TLSResult", rows.collect::<Vec<_>>());
    write_database(&dir.path().join("tlsrptresult.db"), "tlsrptresult", [table]);
    let (ours, summary) = copied(dir.path());
    let all = ours.all();
    let sent = |one: &serde_json::Value| {
        let is_sent = |field: &str| one[field].as_bool().unwrap();
        (
            one["ID"].as_i64().unwrap(),
            is_sent("SentToRecipientDomain"),
            is_sent("SentToPolicyDomain"),
        )
    };
    let found: Vec<_> = all["TLSResult"].iter().map(sent).collect();
    let want =
        [(1, true, false), (2, false, true), (3, true, false), (4, true, false), (5, false, false)];
    assert_eq!(found, want);
    assert_eq!(summary.skipped["results of TLS too old to be reported"].count, 1);
    assert_eq!(summary.damaged["results of TLS to be reported"].count, 1);
    let kind = "results of TLS without the addresses that were told of them";
    assert_eq!(summary.differs[kind].count, 5);
}

#[test]
fn reports_hold_what_ours_would_have_read() {
    let dir = tempfile::tempdir().unwrap();
    let long = "x".repeat(TEXT_BYTES_MAX + 1);
    let range = |begin: i64, end: i64| fields([("Begin", begin.into()), ("End", end.into())]);
    let from = |from: &'static str, version: &str, id: i64, errors: usize, range: Value| {
        let metadata = fields([
            ("OrgName", "Reporter".into()),
            ("ReportID", format!("r{id}").into()),
            ("DateRange", range),
            ("Errors", list((0..errors).map(|_| "error"))),
        ]);
        row(id)
            .with("Domain", "bücher.example")
            .with("FromDomain", from)
            .with("Version", version.to_owned())
            .with("ReportMetadata", metadata)
    };
    let of = |id, errors, range| from("reporter.example", "1.0", id, errors, range);
    let yesterday = || range(NOW.0 - 86_400, NOW.0);
    let ip = |ip: &'static str| fields([("Row", fields([("SourceIP", ip.into())]))]);
    let rows = vec![
        of(1, 20, yesterday()).with("Records", list([ip("2001:db8::1"), ip("none")])),
        from("reporter.example", &long, 2, 21, yesterday()),
        of(3, 0, range(10, 9)),
        of(4, 0, range(-5, 9)),
        of(5, 0, range(0, i64::MAX)),
        of(6, 0, range(0, 86_400)),
        from("no domain", "1.0", 7, 0, yesterday()),
        // Of a sender whose clock is ahead.
        of(8, 0, range(NOW.0, NOW.0 + 999_999)),
    ];
    write_database(&dir.path().join("dmarcrpt.db"), "dmarcrpt", [("DomainFeedback", rows)]);
    let (ours, summary) = copied(dir.path());
    let found = theirs::records(&ours.db, "DomainFeedback", &[]);
    let ids: Vec<_> = found.iter().map(|one| one["ID"].as_i64().unwrap()).collect();
    assert_eq!(ids, [1, 2, 8]);
    assert_eq!(found[0]["Version"], "1.0");
    assert_eq!(found[0]["Domain"], "bücher.example");
    let ips = ["2001:db8::1", ""];
    for (record, want) in found[0]["Records"].as_array().unwrap().iter().zip(ips) {
        assert_eq!(record["Row"]["SourceIP"], want);
    }
    for one in &found[..2] {
        assert_eq!(one["ReportMetadata"]["Errors"].as_array().unwrap().len(), 20);
    }
    assert_eq!(found[1]["Version"].as_str().unwrap().len(), TEXT_BYTES_MAX);
    let rows = ours.db.dmarc_reports(&mox_reportdb::ReportQuery::all()).unwrap();
    assert!(rows.iter().all(|row| row.received <= NOW));
    let skipped = |kind: &str| summary.skipped[kind].count;
    assert_eq!(skipped("reports about times that cannot be"), 3);
    assert_eq!(skipped("reports older than ours are kept"), 1);
    assert_eq!(skipped("records with names that are no domains"), 1);
    assert_eq!(summary.differs["reports with texts that were shortened"].count, 1);
    assert_eq!(summary.differs["reports with lists that were shortened"].count, 1);
}

#[test]
fn a_tls_report_of_two_domains_is_kept_once_for_each() {
    let dir = tempfile::tempdir().unwrap();
    let report = || {
        fields([
            ("OrganizationName", "Reporter".into()),
            ("ReportID", "r1".into()),
            ("DateRange", fields([("Start", time(NOW.0 - 9)), ("End", time(NOW.0))])),
            ("Policies", list([result("a.example"), result("b.example"), result("x.example")])),
        ])
    };
    let of = |id: i64, domain: &'static str| {
        row(id)
            .with("Domain", domain)
            .with("FromDomain", "reporter.example")
            .with("HostReport", true)
            .with("Report", report())
    };
    let rows =
        vec![of(1, "a.example"), of(2, "b.example"), of(3, "mail.example"), of(4, "a.example")];
    write_database(&dir.path().join("tlsrpt.db"), "tlsrpt", [("Record", rows)]);
    let (ours, summary) = copied(dir.path());
    let found = theirs::records(&ours.db, "Record", &[]);
    let policies = |one: &serde_json::Value| {
        let policies = one["Report"]["Policies"].as_array().unwrap();
        let names = policies.iter().map(|one| one["Policy"]["Domain"].as_str().unwrap().to_owned());
        names.collect::<Vec<_>>().join(" ")
    };
    let want = ["a.example", "b.example", "a.example b.example x.example"];
    assert_eq!(found.iter().map(policies).collect::<Vec<_>>(), want);
    assert!(found.iter().all(|one| one["HostReport"] == true));
    assert_eq!(summary.skipped["reports that came more than once"].count, 1);
}

#[test]
fn both_lists_of_addresses_become_one() {
    let dir = tempfile::tempdir().unwrap();
    let of = |id: i64, address: &'static str, until: i64, comment: &'static str| {
        row(id)
            .with("Inserted", time(NOW.0 - 9))
            .with("ReportingAddress", address)
            .with("Until", time(until))
            .with("Comment", comment)
    };
    let dmarc = vec![of(1, "a@x.example", NOW.0 + 50, "dmarc"), of(2, "b@x.example", NOW.0, "")];
    let tls = vec![of(1, "A@x.example", NOW.0 + 60, "tls"), of(2, "c@x.example", NOW.0 + 1, "")];
    let path = dir.path().join("dmarceval.db");
    write_database(&path, "dmarceval", [("SuppressAddress", dmarc)]);
    let path = dir.path().join("tlsrptresult.db");
    write_database(&path, "tlsrptresult", [("TLSRPTSuppressAddress", tls)]);
    let (ours, summary) = copied(dir.path());
    let found = ours.db.report_suppressions(None).unwrap();
    let found: Vec<_> = found
        .iter()
        .map(|one| (one.address.as_str(), one.until.0 - NOW.0, one.comment.as_str()))
        .collect();
    assert_eq!(found, [("a@x.example", 60, "tls"), ("c@x.example", 1, "")]);
    assert_eq!(summary.skipped["addresses that get reports again"].count, 1);
}

#[test]
fn fields_and_types_that_are_not_known_are_told() {
    use mox_testkit::original::{Field, Kind, Schema, Writer};
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(&dir.path().join("dmarceval.db"));
    let id = || Field::new("ID", Kind::Int(Some(64)));
    let fields = vec![id(), Field::new("Until", Kind::Time), Field::new("Later", Kind::Text)];
    let rows = [row(1).with("Later", "x"), row(2).with("Later", "y")];
    writer.table(&Schema::new("SuppressAddress", fields), rows);
    writer.table(&Schema::new("Surprise", vec![id()]), [row(1)]);
    writer.finish_as("dmarceval");
    let (_, summary) = copied(dir.path());
    let told = &summary.differs["fields that are not known, with what they hold"];
    assert_eq!(told.count, 1);
    assert!(told.some[0].ends_with("dmarceval.db: SuppressAddress: Later"), "{told:?}");
    let told = &summary.differs["types of records that are not known"];
    assert!(told.count == 1 && told.some[0].ends_with("dmarceval.db: Surprise"), "{told:?}");
}

/// The first and the last time that there can be, and some between.
const TIMES: [i64; 6] = [-62_135_596_800, -1, 0, NOW.0, 253_402_300_800, i64::MAX - 62_135_596_800];

fn pairs() -> impl Iterator<Item = (i64, i64)> {
    TIMES.into_iter().flat_map(|first| TIMES.map(|second| (first, second)))
}

/// A record for each pair of times.
fn rows(of: impl Fn(i64, i64, i64) -> Row) -> Vec<Row> {
    (1..).zip(pairs()).map(|(id, (first, second))| of(id, first, second)).collect()
}

fn write(dir: &Path, database: &'static str, table: &'static str, rows: Vec<Row>) {
    write_database(&dir.join(format!("{database}.db")), database, [(table, rows)]);
}

#[test]
fn times_and_numbers_of_reports_may_be_anything() {
    let dir = tempfile::tempdir().unwrap();
    let names = |row: Row| row.with("Domain", "a.example").with("FromDomain", "b.example");
    let count = |number: i64| fields([("Row", fields([("Count", number.into())]))]);
    let feedback = |id: i64, begin: i64, end: i64| {
        let range = fields([("Begin", begin.into()), ("End", end.into())]);
        let metadata = fields([("ReportID", format!("{id}").into()), ("DateRange", range)]);
        let records = list([count(begin), count(end)]);
        names(row(id)).with("ReportMetadata", metadata).with("Records", records)
    };
    write(dir.path(), "dmarcrpt", "DomainFeedback", rows(feedback));
    let report = |id: i64, start: i64, end: i64| {
        let range = fields([("Start", time(start)), ("End", time(end))]);
        let summary = fields([("TotalFailureSessionCount", end.into())]);
        let policies = list([fields([("Summary", summary)])]);
        let id_text = format!("{id}").into();
        let report = [("ReportID", id_text), ("DateRange", range), ("Policies", policies)];
        names(row(id)).with("Report", fields(report))
    };
    write(dir.path(), "tlsrpt", "Record", rows(report));
    let (ours, summary) = copied(dir.path());
    // Not those that end before they begin, of year 10,000 and more, of before 1970, and of long ago.
    assert_eq!(ours.all()["DomainFeedback"].len(), 2);
    assert_eq!(ours.all()["Record"].len(), 2);
    assert!(summary.is_whole());
}

#[test]
fn times_of_what_is_to_be_reported_may_be_anything() {
    let dir = tempfile::tempdir().unwrap();
    let evaluation = |id: i64, evaluated: i64, hours: i64| {
        let hours = hours.clamp(i32::MIN.into(), i32::MAX.into());
        let row = row(id).with("PolicyDomain", "a.example");
        row.with("Evaluated", time(evaluated)).with("IntervalHours", hours)
    };
    write(dir.path(), "dmarceval", "Evaluation", rows(evaluation));
    let days = ["00000000", "00010101", "20261119", "20261122", "20261123", "99991231"];
    let result = |(id, day): (i64, &'static str)| {
        let row = row(id).with("PolicyDomain", "a.example").with("RecipientDomain", "a.example");
        row.with("DayUTC", day)
    };
    let results = (1..).zip(days).map(result).collect();
    write(dir.path(), "tlsrptresult", "TLSResult", results);
    let (ours, summary) = copied(dir.path());
    assert_eq!(ours.all()["Evaluation"].len(), TIMES.len());
    assert_eq!(summary.skipped["evaluations of times to come"].count, 2 * TIMES.len() as u64);
    assert_eq!(summary.taken["results of TLS to be reported"], 2);
    assert_eq!(summary.skipped["results of TLS of days to come"].count, 2);
    assert_eq!(summary.damaged["results of TLS to be reported"].count, 1);
}

#[test]
fn a_clock_that_was_wrong_keeps_nothing_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let policy = |id: i64, first: i64, second: i64| {
        let row = row(format!("p{:02}.example", id)).with("Backoff", true);
        row.with("ValidEnd", time(first))
            .with("LastUpdate", time(second))
            .with("LastUse", time(second))
    };
    write(dir.path(), "mtasts", "PolicyRecord", rows(policy));
    let suppression = |id: i64, inserted: i64, until: i64| {
        let row = row(id).with("ReportingAddress", format!("{id}@a.example"));
        row.with("Inserted", time(inserted)).with("Until", time(until))
    };
    write(dir.path(), "dmarceval", "SuppressAddress", rows(suppression));
    let (ours, _) = copied(dir.path());
    let entries = ours.db.sts_list(None).unwrap();
    assert_eq!(entries.len(), 2 * TIMES.len());
    let end = NOW.plus_secs(31_557_600);
    let is_bounded = |entry: &mox_reportdb::StsEntry| {
        entry.valid_end <= end && entry.updated <= NOW && entry.used <= NOW
    };
    assert!(entries.iter().all(is_bounded), "{entries:?}");
    assert_eq!(ours.db.report_suppressions(None).unwrap().len(), 2 * TIMES.len());
}
