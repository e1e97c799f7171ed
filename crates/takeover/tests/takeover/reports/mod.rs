//! Reports, results that are to be reported, and policies of MTA-STS.

mod made;
mod theirs;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use mox_base::{Domain, UnixSeconds};
use mox_bstore::{Database, Record, Table};
use mox_reportdb::{NewDmarcReport, NewTlsReport, Numbered, ReportDb, ReportDbError, ReportId};
use mox_reports::dmarc::Feedback;
use mox_reports::tls::{Policy, PolicyResult, Report};
use mox_takeover::{Auth, FileSource, Reports, Summary, TakeoverError, Watch};
use mox_testkit::TestRng;
use tempfile::TempDir;

use crate::fixtures::{Fixture, PAGE, Patient, damage};

/// 2026-11-20 at noon: two hours after the fixtures were made.
const NOW: UnixSeconds = UnixSeconds(1_795_176_000);

/// Files and types, with what ours calls the records.
const TABLES: &[(&str, &str, &str)] = &[
    ("dmarcrpt.db", "DomainFeedback", "received DMARC reports"),
    ("dmarceval.db", "Evaluation", "evaluations of DMARC to be reported"),
    ("dmarceval.db", "SuppressAddress", "addresses that get no reports"),
    ("tlsrpt.db", "Record", "received TLS reports"),
    ("tlsrptresult.db", "TLSResult", "results of TLS to be reported"),
    ("tlsrptresult.db", "TLSRPTSuppressAddress", "addresses that get no reports"),
    ("mtasts.db", "PolicyRecord", "MTA-STS policies"),
];

/// A database of ours.
struct Ours {
    db: ReportDb,
    _dir: TempDir,
}

impl Ours {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { db: ReportDb::open(&dir.path().join("reports.db")).unwrap(), _dir: dir }
    }

    /// All that is in it, by type.
    fn all(&self) -> BTreeMap<&'static str, Vec<serde_json::Value>> {
        let days = [NOW.day() - 2, NOW.day() - 1, NOW.day()];
        let of = |table: &'static str| (table, theirs::records(&self.db, table, &days));
        TABLES.iter().map(|(_, table, _)| of(table)).collect()
    }
}

/// Copies, after a check that must say the same.
fn copy(data: &Path, into: &ReportDb) -> Summary {
    let theirs = Reports::open(data).unwrap().unwrap();
    let checked = theirs.check(NOW, &mut Patient).unwrap();
    let copied = theirs.copy(into, NOW, &mut Patient).unwrap();
    assert_eq!(checked, copied);
    assert_eq!(into.check().unwrap(), Vec::<String>::new());
    copied
}

/// - `again`: records that say the same as others.
#[track_caller]
fn check(name: &str, again: usize) {
    let fixture = Fixture::new(name);
    let ours = Ours::new();
    let summary = copy(&fixture.host.data, &ours.db);
    assert!(summary.is_whole(), "{summary:?}");
    let mut all = ours.all();
    let (mut count, raw) = (0, &fixture.expected["raw"]);
    for (file, table, what) in TABLES {
        let want = raw[*file][*table]["records"].as_array().unwrap();
        let mut want: Vec<_> = want.iter().map(|one| theirs::comparable(table, one)).collect();
        if *table == "Record" {
            want.truncate(want.len() - again);
        }
        assert!(want.is_empty() || summary.taken[*what] > 0, "{what}");
        count += want.len();
        if table.ends_with("SuppressAddress") {
            // In one list.
            let found = all.get_mut(*table).unwrap();
            found.retain(|one| {
                want.iter().any(|want| want["ReportingAddress"] == one["ReportingAddress"])
            });
        }
        assert_eq!(all[*table], want, "{table}");
    }
    // Each type of each file is among the tables.
    for file in ["dmarcrpt.db", "dmarceval.db", "tlsrpt.db", "tlsrptresult.db", "mtasts.db"] {
        for table in raw[file].as_object().unwrap().keys() {
            assert!(TABLES.iter().any(|one| (one.0, one.1) == (file, table.as_str())), "{table}");
        }
    }
    assert_eq!(summary.taken.values().sum::<u64>(), count as u64);
    let same = summary.skipped.get("reports that came more than once");
    assert_eq!(same.map_or(0, |notes| notes.count), again as u64);
    // Once more, nothing changes.
    let all = ours.all();
    assert_eq!(copy(&fixture.host.data, &ours.db), summary);
    assert_eq!(ours.all(), all);
}

#[test]
fn every_field_of_every_record_is_there() {
    check("basic", 0);
    // The same TLS report came twice.
    check("rich", 1);
    check("live", 0);
}

#[test]
fn numbers_go_on_after_theirs() {
    let fixture = Fixture::new("rich");
    let ours = Ours::new();
    copy(&fixture.host.data, &ours.db);
    let report = NewDmarcReport {
        domain: Domain::parse("takeover.example").unwrap(),
        from_domain: Domain::parse("other.example").unwrap(),
        received: NOW,
        feedback: Feedback::default(),
    };
    let mox_reportdb::Added::New(id) = ours.db.add_dmarc(&report).unwrap() else { panic!() };
    assert_eq!(id.0, 2);
}

#[test]
fn what_is_out_of_date_stays_behind() {
    let fixture = Fixture::new("rich");
    let ours = Ours::new();
    let theirs = Reports::open(&fixture.host.data).unwrap().unwrap();
    let later = UnixSeconds(NOW.0 + 5 * 366 * 86_400);
    let summary = theirs.copy(&ours.db, later, &mut Patient).unwrap();
    assert_eq!(theirs.check(later, &mut Patient).unwrap(), summary);
    assert_eq!(summary.taken, BTreeMap::new());
    let skipped: BTreeMap<_, _> =
        summary.skipped.iter().map(|(what, notes)| (*what, notes.count)).collect();
    let want = [
        ("MTA-STS policies that are out of date", 1),
        ("addresses that get reports again", 2),
        ("evaluations too old to be reported", 120),
        ("reports older than ours are kept", 3),
        ("results of TLS too old to be reported", 8),
    ];
    assert_eq!(skipped, want.into());
    assert!(ours.all().values().all(Vec::is_empty));
}

/// Ends the copying at each commit.
struct Impatient(bool);

impl Watch for Impatient {
    fn progress(&mut self, done: u64, total: u64) -> bool {
        assert!(done <= total);
        // Only the first commit that is new is waited for.
        std::mem::replace(&mut self.0, false)
    }
}

#[test]
fn copying_goes_on_where_it_ended() {
    let fixture = Fixture::new("rich");
    let (ours, whole) = (Ours::new(), Ours::new());
    let summary = copy(&fixture.host.data, &whole.db);
    let theirs = Reports::open(&fixture.host.data).unwrap().unwrap();
    for waits in [false, true] {
        let part = theirs.copy(&ours.db, NOW, &mut Impatient(waits)).unwrap();
        let taken = |summary: &Summary| summary.taken.values().sum::<u64>();
        assert!(taken(&part) > 0 && taken(&part) < taken(&summary));
        assert_ne!(ours.all(), whole.all());
    }
    assert_eq!(copy(&fixture.host.data, &ours.db), summary);
    assert_eq!(ours.all(), whole.all());
}

#[test]
fn a_database_with_reports_of_its_own_is_refused() {
    let fixture = Fixture::new("rich");
    let ours = Ours::new();
    // In the last row of a table that is not the first: nothing of the others is written.
    ours.db.keep_sequence(Numbered::Tls, 1).unwrap();
    let domain = Domain::parse("takeover.example").unwrap();
    let policy = Policy { policy_domain: domain.to_string(), ..Policy::default() };
    let report = NewTlsReport {
        from_domain: Domain::parse("other.example").unwrap(),
        mail_from: String::new(),
        is_host: false,
        received: NOW,
        report: Report {
            policies: vec![PolicyResult { policy, ..PolicyResult::default() }],
            ..Report::default()
        },
    };
    ours.db.add_tls(&report, |_| true).unwrap();
    let before = ours.all();
    let theirs = Reports::open(&fixture.host.data).unwrap().unwrap();
    let refused = theirs.copy(&ours.db, NOW, &mut Patient);
    let is_told = matches!(
        refused,
        Err(TakeoverError::Reports(ReportDbError::OtherRow { table: "tls", id: ReportId(2) }))
    );
    assert!(is_told, "{refused:?}");
    assert_eq!(ours.all(), before);
}

#[test]
fn a_directory_without_reports_has_none() {
    let dir = tempfile::tempdir().unwrap();
    assert!(Reports::open(dir.path()).unwrap().is_none());
    fs::write(dir.path().join("mtasts.db"), "x").unwrap();
    let file = fs::File::open(dir.path().join("mtasts.db")).unwrap();
    file.try_lock().unwrap();
    assert!(matches!(Reports::open(dir.path()), Err(TakeoverError::InUse(_))));
    // What is no database costs nothing of the others.
    file.unlock().unwrap();
    let summary = copy(dir.path(), &Ours::new().db);
    assert_eq!(summary.damaged["databases"].count, 1);
}

/// The records that can be read from a file, by what tells them apart.
fn readable(data: &Path, (file, table, _): &(&str, &str, &str)) -> BTreeMap<String, Record> {
    let Ok(database) = Database::open(FileSource::open(&data.join(file)).unwrap()) else {
        return BTreeMap::new();
    };
    let Ok(Some(table)) = Table::open(&database, table) else { return BTreeMap::new() };
    let name = |record: &Record| match record.text("ReportingAddress") {
        "" if record.i64("ID") == 0 => record.text("Domain").to_owned(),
        "" => record.i64("ID").to_string(),
        address => address.to_owned(),
    };
    table.records().flatten().map(|record| (name(&record), record)).collect()
}

/// What tells a record of ours apart.
fn name_of(record: &serde_json::Value) -> String {
    match (&record["ReportingAddress"], &record["ID"]) {
        (serde_json::Value::String(address), _) => address.clone(),
        (_, serde_json::Value::Number(id)) => id.to_string(),
        _ => record["Domain"].as_str().unwrap().to_owned(),
    }
}

#[test]
fn each_page_may_be_damaged_and_the_rest_is_taken() {
    let fixture = Fixture::new("rich");
    let data = &fixture.host.data;
    let (ours, mut damaged) = (Ours::new(), 0);
    let summary = copy(data, &ours.db);
    let whole = ours.all();
    let sound: Vec<_> = TABLES.iter().map(|table| readable(data, table)).collect();
    let mut files: Vec<_> = TABLES.iter().map(|(file, ..)| *file).collect();
    files.dedup();
    for file in files {
        let path = data.join(file);
        let bytes = fs::read(&path).unwrap();
        let pages = Database::open(bytes.clone()).unwrap().pages();
        for page in 0..usize::try_from(pages).unwrap() {
            let mut broken = bytes.clone();
            damage(&mut broken, page);
            fs::write(&path, broken).unwrap();
            let theirs = Reports::open(data).unwrap().unwrap();
            if theirs.check(NOW, &mut Patient).unwrap() == summary {
                // The page is in no use any more.
                continue;
            }
            let ours = Ours::new();
            damaged += u64::from(!copy(data, &ours.db).is_whole());
            let found = ours.all();
            for (table, sound) in TABLES.iter().zip(&sound) {
                let left = readable(data, table);
                let is_left =
                    |name: &String| left.get(name).is_some_and(|one| sound.get(name) == Some(one));
                let mut want = whole[table.1].iter().filter(|one| is_left(&name_of(one)));
                let lost = want.find(|one| !found[table.1].contains(one));
                assert_eq!(lost, None, "page {page} of {file}");
            }
        }
        fs::write(&path, bytes).unwrap();
    }
    assert!(damaged >= 10, "{damaged}");
    assert_eq!(copy(data, &Ours::new().db), summary);
}

#[test]
fn changed_bytes_anywhere_do_no_harm() {
    let fixture = Fixture::new("rich");
    let data = &fixture.host.data;
    let rng = TestRng::new(7);
    let mut files: Vec<_> = TABLES.iter().map(|(file, ..)| data.join(file)).collect();
    files.push(data.join("auth.db"));
    let sound: Vec<_> = files.iter().map(|path| fs::read(path).unwrap()).collect();
    for round in 0..40 {
        for (path, sound) in files.iter().zip(&sound) {
            let used = Database::open(sound.clone()).unwrap().pages();
            let mut broken = sound.clone();
            for _ in 0..=round {
                let at = rng.below(usize::try_from(used).unwrap() * PAGE);
                broken[at] = broken[at].wrapping_add(1 + u8::try_from(rng.below(255)).unwrap());
            }
            // And cut, at times: then it is none.
            if round % 8 == 7 {
                broken.truncate(rng.below(broken.len()));
            }
            fs::write(path, broken).unwrap();
        }
        let theirs = Reports::open(data).unwrap().unwrap();
        let checked = theirs.check(NOW, &mut Patient).unwrap();
        // Copying says the same of it, and what is taken is sound with ours.
        if round % 4 == 3 {
            assert_eq!(copy(data, &Ours::new().db), checked);
        }
        if let Ok(Some(theirs)) = Auth::open(data) {
            theirs.check(&|_| true, &mut Patient).unwrap();
            let _removed = theirs.removed_accounts();
        }
    }
}
