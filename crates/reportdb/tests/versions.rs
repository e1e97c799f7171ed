//! Databases of every released version are opened and brought up to date.
//!
//! A fixture is made once, when its version is released, by `UPDATE=1 cargo test -p mox-reportdb
//! versions`; then it is never changed.

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use mox_base::{Domain, UnixSeconds};
    use mox_reportdb::{
        Added, Evaluation, NewDmarcReport, NewTlsReport, NewTlsResult, ReportDb, ReportQuery,
        SCHEMA_VERSION, StsEntry,
    };
    use mox_reports::{dmarc, tls};

    /// The last version that was released: the next one may still change.
    const RELEASED_VERSION: u32 = 2;

    fn fixture_file(version: u32) -> PathBuf {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        dir.join(format!("reports-v{version}.db.zst"))
    }

    fn domain(name: &str) -> Domain {
        Domain::parse(name).unwrap()
    }

    fn feedback() -> dmarc::Feedback {
        let mut feedback =
            dmarc::Feedback { version: "1.0".to_owned(), ..dmarc::Feedback::default() };
        feedback.report_metadata.report_id = "d1".to_owned();
        feedback.report_metadata.date_range.end = UnixSeconds(86_400);
        let mut record = dmarc::Record::default();
        record.row.policy_evaluated.disposition = Some(dmarc::Disposition::Quarantine);
        feedback.records.push(record);
        feedback
    }

    fn tls_report() -> tls::Report {
        let mut result = tls::PolicyResult::default();
        result.policy.policy_domain = "example.org".to_owned();
        result.summary.total_successful_session_count = 7;
        tls::Report { report_id: "t1".to_owned(), policies: vec![result], ..tls::Report::default() }
    }

    fn evaluation() -> Evaluation {
        Evaluation {
            policy_domain: domain("other.example"),
            evaluated: UnixSeconds(90_000),
            is_optional: true,
            interval_hours: 24,
            addresses: vec!["mailto:dmarc@other.example".to_owned()],
            policy: dmarc::PolicyPublished::default(),
            record: dmarc::Record::default(),
        }
    }

    fn policy() -> StsEntry {
        StsEntry {
            domain: domain("sts.example"),
            inserted: UnixSeconds(1),
            valid_end: UnixSeconds(2),
            updated: UnixSeconds(3),
            used: UnixSeconds(4),
            record_id: "5".to_owned(),
            policy: Some("version: STSv1".to_owned()),
        }
    }

    fn tls_result() -> NewTlsResult {
        NewTlsResult {
            policy_domain: domain("mx.example.org"),
            day: 20_000,
            recipient_domain: domain("example.org"),
            is_host: true,
            sends_report: true,
            results: tls_report().policies,
        }
    }

    /// What came with version 2.
    fn fill_outgoing(db: &ReportDb) {
        db.sts_put(&policy()).unwrap();
        db.add_tls_results(&[tls_result()]).unwrap();
        let (now, until) = (UnixSeconds(1), UnixSeconds(9));
        db.suppress_report_address("a@example.org", now, until, "why").unwrap();
    }

    fn check_outgoing(db: &ReportDb) {
        assert_eq!(db.sts_list(None).unwrap(), [policy()]);
        let [row] = &db.tls_results_of_day(20_000, None).unwrap()[..] else { panic!("one") };
        assert_eq!((&row.result, row.reported.to_domain), (&tls_result(), false));
        let [row] = &db.report_suppressions(None).unwrap()[..] else { panic!("one") };
        assert_eq!((row.address.as_str(), row.comment.as_str()), ("a@example.org", "why"));
    }

    /// A database with a bit of everything.
    fn fill(path: &Path) {
        let db = ReportDb::open(path).unwrap();
        let (from_domain, received) = (domain("reporter.example"), UnixSeconds(90_000));
        let report = NewDmarcReport {
            domain: domain("example.org"),
            from_domain: from_domain.clone(),
            received,
            feedback: feedback(),
        };
        db.add_dmarc(&report).unwrap();
        let report = NewTlsReport {
            from_domain,
            mail_from: "a@reporter.example".to_owned(),
            is_host: false,
            received,
            report: tls_report(),
        };
        db.add_tls(&report, |_| true).unwrap();
        db.add_evaluation(&evaluation()).unwrap();
        fill_outgoing(&db);
    }

    #[test]
    fn databases_of_every_version_are_opened() {
        let dir = tempfile::tempdir().unwrap();
        if std::env::var_os("UPDATE").is_some() {
            let path = dir.path().join("new.db");
            fill(&path);
            let compressed = zstd::bulk::compress(&std::fs::read(&path).unwrap(), 19).unwrap();
            std::fs::write(fixture_file(SCHEMA_VERSION), compressed).unwrap();
        }
        for version in 1..=RELEASED_VERSION {
            let compressed = std::fs::read(fixture_file(version)).unwrap();
            let path = dir.path().join(format!("v{version}.db"));
            std::fs::write(&path, zstd::bulk::decompress(&compressed, 16 << 20).unwrap()).unwrap();
            let db = ReportDb::open(&path).unwrap();
            let [row] = &db.dmarc_reports(&ReportQuery::all()).unwrap()[..] else { panic!("one") };
            assert_eq!(db.dmarc_feedback(row.id).unwrap(), Some(feedback()));
            let [row] = &db.tls_reports(&ReportQuery::all()).unwrap()[..] else { panic!("one") };
            assert_eq!(db.tls_report(row.id).unwrap(), Some(tls_report()));
            let about = domain("other.example");
            let stored = db.evaluations(&about, UnixSeconds(100_000), None).unwrap();
            assert_eq!(stored[0].evaluation, evaluation());
            let again = NewDmarcReport {
                domain: domain("example.org"),
                from_domain: domain("reporter.example"),
                received: UnixSeconds(90_001),
                feedback: feedback(),
            };
            assert_eq!(db.add_dmarc(&again).unwrap(), Added::Known);
            if version < 2 {
                fill_outgoing(&db);
            }
            check_outgoing(&db);
            assert_eq!(db.check().unwrap(), Vec::<String>::new());
        }
    }
}
