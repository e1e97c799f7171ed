use std::time::Duration;

use mox_base::UnixSeconds;
use mox_dns::{DnsError, FakeDns, RecordType, Trouble};
use mox_net::Supervisor;
use mox_queue::Kind;
use mox_reportdb::Evaluation;
use mox_reports::dmarc::{self, Disposition, Feedback, Record};
use mox_smtp::ReversePath;

use super::super::{Outcome, note_failure};
use super::support::{Fixture, NOW, Setup, domain};
use crate::deliver::Fault;

/// The midnight before [`NOW`], and the one before that.
const END: i64 = NOW.0 - 30;
const BEGIN: i64 = END - 86_400;

fn evaluation(about: &str, evaluated: i64, ip: [u8; 4], is_optional: bool) -> Evaluation {
    let mut record = Record::default();
    record.row.count = 1;
    record.row.source_ip = Some(ip.into());
    record.row.policy_evaluated.disposition = Some(Disposition::None);
    about.clone_into(&mut record.identifiers.header_from);
    let policy = dmarc::PolicyPublished {
        domain: about.to_owned(),
        p: Some(Disposition::Reject),
        pct: Some(100),
        ..dmarc::PolicyPublished::default()
    };
    Evaluation {
        policy_domain: domain(about),
        evaluated: UnixSeconds(evaluated),
        is_optional,
        interval_hours: 24,
        addresses: Vec::new(),
        policy,
        record,
    }
}

/// One evaluation of `b.example`, whose record is this.
fn fixture(record: &str) -> Fixture {
    let mut dns = FakeDns::new();
    dns.add_txt("_dmarc.b.example", record);
    fixture_with(dns)
}

fn fixture_with(dns: FakeDns) -> Fixture {
    let fixture = Fixture::new(dns);
    fixture.db.add_evaluation(&evaluation("b.example", END - 1, [192, 0, 2, 1], false)).unwrap();
    fixture
}

fn left(fixture: &Fixture) -> usize {
    fixture.db.evaluations(&domain("b.example"), UnixSeconds(i64::MAX), None).unwrap().len()
}

async fn report(fixture: &Fixture) -> Outcome {
    fixture.reporter.dmarc_report(&domain("b.example"), UnixSeconds(END)).await.unwrap()
}

/// Wants: what becomes of it, to whom it goes, and how many evaluations are left.
#[track_caller]
fn assert_is(fixture: &Fixture, got: Outcome, want: (Outcome, &[&str], usize)) {
    assert_eq!((got, left(fixture)), (want.0, want.2));
    assert_eq!(fixture.rcpts(), want.1);
}

fn feedback(fixture: &Fixture) -> Feedback {
    let sent = fixture.sent();
    dmarc::from_message(&mut sent[0].message()).unwrap()
}

/// RFC 9990 §3.1, §3.5; RFC 7489 §7.2.1.1.
#[tokio::test]
async fn a_report_tells_of_all_evaluations_of_an_interval() {
    let fixture = fixture("v=DMARC1; p=reject; rua=mailto:r@b.example");
    let db = &fixture.db;
    for (evaluated, ip) in [(END - 1, 1), (BEGIN, 1), (END - 5, 2), (END, 3)] {
        db.add_evaluation(&evaluation("b.example", evaluated, [192, 0, 2, ip], true)).unwrap();
    }
    let due = fixture.reporter.dmarc_due(NOW).await.unwrap();
    assert_eq!(due, [(domain("b.example"), UnixSeconds(END))]);
    assert_is(&fixture, report(&fixture).await, (Outcome::Queued, &["r@b.example"], 1));
    let sent = fixture.sent();
    let (queued, field) = (&sent[0].queued, |name: &str| sent[0].field(name).unwrap());
    assert_eq!((queued.kind, queued.account.as_str()), (Kind::DmarcReport, "u"));
    assert_eq!((queued.attempts_allowed(), queued.require_tls), (5, None));
    assert_eq!(queued.mail_from.to_string(), "<postmaster@mx.a.example>");
    assert_eq!(field("From"), "<postmaster@mx.a.example>");
    assert_eq!(field("To"), "<r@b.example>");
    assert_eq!(field("Message-ID"), queued.message_id);
    let read = feedback(&fixture);
    let id = &read.report_metadata.report_id;
    assert!(id.starts_with("20261121.00.") && id.ends_with("@mx.a.example"), "{id}");
    let subject = format!("Report Domain: b.example Submitter: mx.a.example Report-ID: <{id}>");
    assert_eq!((field("Subject"), &queued.subject), (subject.clone(), &subject));
    let file = format!("filename=\"mx.a.example!b.example!{BEGIN}!{}.xml.gz\"", END - 1);
    assert!(sent[0].text.contains(&file), "{file}");
    let range = read.report_metadata.date_range;
    assert_eq!((range.begin.0, range.end.0), (BEGIN, END - 1));
    assert_eq!(read.report_metadata.email, "postmaster@mx.a.example");
    assert_eq!(
        (&read.policy_published.p, read.policy_published.pct),
        (&Some(Disposition::Reject), None)
    );
    let rows: Vec<_> = read.records.iter().map(|record| record.row.count).collect();
    assert_eq!(rows, [3, 1], "what came at the end is not in it");
    // RFC 6376 §5.4: signed by the domain above the host.
    let names = fixture.signed_names(&sent[0].text).await;
    assert!(names.iter().any(|name| name.eq_ignore_ascii_case("subject")));
    // Nothing is left of that interval.
    assert!(fixture.reporter.dmarc_due(NOW).await.unwrap().is_empty());
}

#[tokio::test]
async fn optional_evaluations_alone_are_not_reported() {
    let fixture = Fixture::new(FakeDns::new());
    fixture.db.add_evaluation(&evaluation("b.example", BEGIN, [192, 0, 2, 1], true)).unwrap();
    assert_is(&fixture, report(&fixture).await, (Outcome::NotNeeded, &[], 0));
}

#[tokio::test]
async fn the_record_of_now_counts() {
    let none: &[&str] = &[];
    for record in
        ["v=DMARC1; p=none", "v=DMARC1; p=?; p=?", "v=DMARC1; p=none; rua=https://b.example"]
    {
        let fixture = fixture(record);
        assert_is(&fixture, report(&fixture).await, (Outcome::NotNeeded, none, 0));
    }
    // One of a domain above was not the policy.
    let mut dns = FakeDns::new();
    dns.add_txt("_dmarc.example", "v=DMARC1; p=none; rua=mailto:r@example");
    let fixture = fixture_with(dns);
    assert_is(&fixture, report(&fixture).await, (Outcome::NotNeeded, none, 0));
}

/// RFC 9990 §4: what DNS cannot say now it may say later.
#[tokio::test]
async fn evaluations_wait_for_dns() {
    let timeout = || DnsError::Temporary(Trouble::Timeout);
    let mut dns = FakeDns::new();
    dns.fail("_dmarc.b.example", RecordType::Txt, timeout());
    let fixture = fixture_with(dns);
    assert_is(&fixture, report(&fixture).await, (Outcome::Waits, &[], 1));
    let mut dns = FakeDns::new();
    dns.add_txt("_dmarc.b.example", "v=DMARC1; p=none; rua=mailto:r@b.example,mailto:r@c.example");
    dns.fail("b.example._report._dmarc.c.example", RecordType::Txt, timeout());
    let fixture = fixture_with(dns);
    assert_is(&fixture, report(&fixture).await, (Outcome::Waits, &[], 1));
    // An hour later it is still due.
    let due = fixture.reporter.dmarc_due(NOW.plus_secs(3_600)).await.unwrap();
    assert_eq!(due, [(domain("b.example"), UnixSeconds(END))]);
}

/// RFC 9990 §4, RFC 7489 §7.1.
#[tokio::test]
async fn others_must_agree_to_get_reports() {
    let mut dns = FakeDns::new();
    dns.add_txt(
        "_dmarc.b.example",
        "v=DMARC1; p=none; rua=mailto:r@yes.example,mailto:r@no.example,mailto:r@other.example,\
         mailto:r@yes.example",
    );
    dns.add_txt("b.example._report._dmarc.yes.example", "v=DMARC1");
    dns.add_txt(
        "b.example._report._dmarc.other.example",
        "v=DMARC1; rua=mailto:x@other.example,mailto:y@elsewhere.example",
    );
    let fixture = fixture_with(dns);
    let want: &[&str] = &["r@yes.example", "x@other.example"];
    assert_is(&fixture, report(&fixture).await, (Outcome::Queued, want, 0));
    let errors = feedback(&fixture).report_metadata.errors;
    assert_eq!(errors, ["mailto:r@no.example does not accept reports about b.example"]);
    let sent = fixture.sent();
    assert_eq!(sent[0].queued.body_id, sent[1].queued.body_id, "one message for both");

    let fixture = self::fixture("v=DMARC1; p=none; rua=mailto:r@no.example");
    assert_is(&fixture, report(&fixture).await, (Outcome::NotNeeded, &[], 0));
}

#[tokio::test]
async fn suppressed_addresses_get_nothing_until_their_time_is_over() {
    let fixture = fixture("v=DMARC1; p=none; rua=mailto:R@b.example,mailto:s@b.example");
    fixture.db.suppress_after_failure("r@B.example", "550 no", NOW).unwrap();
    assert_is(&fixture, report(&fixture).await, (Outcome::Queued, &["s@b.example"], 0));
    assert_eq!(fixture.sent()[0].field("To").unwrap(), "<s@b.example>");
    // The other is refused.
    let mut message = fixture.sent().remove(0).queued;
    let lost = Fault::ours(true, (4, 4), "unreachable");
    let refused = Fault { code: Some(550), text: "550 no".to_owned(), ..lost.clone() };
    let own = Fault { is_own_rule: true, ..refused.clone() };
    note_failure(&fixture.db, &message, &lost, NOW);
    note_failure(&fixture.db, &message, &own, NOW);
    for (kind, count) in [(Kind::Mail, 1), (Kind::Notice, 1), (Kind::DmarcReport, 2)] {
        message.kind = kind;
        note_failure(&fixture.db, &message, &refused, NOW);
        assert_eq!(fixture.db.report_suppressions(None).unwrap().len(), count, "{kind:?}");
    }
    fixture.db.add_evaluation(&evaluation("b.example", END - 1, [192, 0, 2, 1], false)).unwrap();
    assert_is(&fixture, report(&fixture).await, (Outcome::NotNeeded, &["s@b.example"], 0));
    fixture.clock.set(NOW.plus_secs(mox_reportdb::FAILED_REPORT_SECS));
    fixture.db.add_evaluation(&evaluation("b.example", END - 1, [192, 0, 2, 1], false)).unwrap();
    let both: &[&str] = &["s@b.example", "R@b.example", "s@b.example"];
    assert_is(&fixture, report(&fixture).await, (Outcome::Queued, both, 0));
}

/// RFC 7489 §6.2, §7.2.2.
#[tokio::test]
async fn sizes_are_kept_to() {
    let fixture = fixture("v=DMARC1; p=none; rua=mailto:r@b.example!10m,mailto:s@b.example!1k");
    assert_is(&fixture, report(&fixture).await, (Outcome::Queued, &["r@b.example"], 0));
    assert_eq!(fixture.sent()[0].field("To").unwrap(), "<r@b.example>");

    let fixture = self::fixture("v=DMARC1; p=none; rua=mailto:r@b.example!1k,mailto:s@b.example!2");
    let both: &[&str] = &["r@b.example", "s@b.example"];
    assert_is(&fixture, report(&fixture).await, (Outcome::TooLarge, both, 0));
    let sent = fixture.sent();
    assert!(sent[0].field("Subject").unwrap().contains("b.example"));
    assert!(dmarc::from_message(&mut sent[0].message()).is_err());
    for line in [
        "Report-Date: ",
        "Report-Domain: b.example\r\n",
        "Report-ID: 20261121.00.",
        "Report-Size: ",
        "Submitter: mx.a.example\r\n",
        "Submitting-URI: mailto:r@b.example\r\n",
        "Submitting-URI: mailto:s@b.example\r\n",
    ] {
        assert!(sent[0].text.contains(&format!("\r\n{line}")), "{line} in {}", sent[0].text);
    }
}

/// RFC 7489 §7.2: intervals as the record has them.
#[tokio::test]
async fn shorter_intervals_are_due_more_often() {
    let fixture = fixture("v=DMARC1; p=none; ri=3600; rua=mailto:r@b.example");
    let evaluation = evaluation("c.example", END + 10, [192, 0, 2, 1], false);
    for (name, interval_hours) in [("c.example", 1), ("d.example", 24)] {
        let policy_domain = domain(name);
        let evaluation = Evaluation { policy_domain, interval_hours, ..evaluation.clone() };
        fixture.db.add_evaluation(&evaluation).unwrap();
    }
    let due = |secs: i64| fixture.reporter.dmarc_due(UnixSeconds(END + secs));
    let names = |due: Vec<(mox_base::Domain, UnixSeconds)>| -> Vec<(String, i64)> {
        due.into_iter().map(|(name, end)| (name.ascii().to_owned(), end.0 - END)).collect()
    };
    let b = ("b.example".to_owned(), 0);
    let c = ("c.example".to_owned(), 3_600);
    let both = [b, c];
    assert_eq!(names(due(3_599).await.unwrap()), both[..1]);
    assert_eq!(names(due(3_600).await.unwrap()), both);
    let later = names(due(86_400).await.unwrap());
    assert_eq!(later[0].1, 86_400);
    assert_eq!((later.len(), later[2].1), (3, 86_400));
}

#[tokio::test]
async fn there_are_none_if_so_configured() {
    let statics = "NoOutgoingDMARCReports: true\n";
    let fixture = Fixture::with(FakeDns::new(), Setup { statics, domain: None });
    fixture.db.add_evaluation(&evaluation("b.example", BEGIN, [192, 0, 2, 1], false)).unwrap();
    assert!(fixture.reporter.dmarc_due(NOW).await.unwrap().is_empty());
}

/// Without keys they are sent as they are: SPF may vouch for them.
#[tokio::test]
async fn without_keys_reports_are_not_signed() {
    let mut dns = FakeDns::new();
    dns.add_txt("_dmarc.b.example", "v=DMARC1; p=none; rua=mailto:r@b.example");
    let domain = Some("\t\tDescription: x\n");
    let fixture = Fixture::with(dns, Setup { statics: "", domain });
    fixture.db.add_evaluation(&evaluation("b.example", BEGIN, [192, 0, 2, 1], false)).unwrap();
    assert_is(&fixture, report(&fixture).await, (Outcome::Queued, &["r@b.example"], 0));
    let sent = fixture.sent();
    assert!(sent[0].text.starts_with("From: ") && sent[0].queued.mail_from != ReversePath::Null);
}

/// The time of the task stands still while it works, and moves while it waits.
#[tokio::test(start_paused = true)]
async fn all_that_is_due_is_sent() {
    let fixture = fixture("v=DMARC1; p=none; rua=mailto:r@b.example");
    fixture.db.add_evaluation(&evaluation("c.example", BEGIN, [192, 0, 2, 1], false)).unwrap();
    fixture.reporter.send_dmarc().await;
    assert_eq!(fixture.rcpts(), ["r@b.example"]);
    assert!(fixture.reporter.dmarc_due(NOW).await.unwrap().is_empty());
}

/// Nobody asks for it: the tasks look at the clock by themselves, also after it was set.
#[tokio::test(start_paused = true)]
async fn reports_are_sent_when_it_is_time() {
    let fixture = fixture("v=DMARC1; p=none; rua=mailto:r@b.example");
    let supervisor = Supervisor::new(&fixture.clock);
    fixture.reporter.start(&supervisor);
    let a_while = Duration::from_secs(3_600);
    tokio::time::sleep(a_while).await;
    assert!(fixture.sent().is_empty(), "the clock stands still");
    // Just before the first time that it can be, and after the last.
    fixture.clock.set(UnixSeconds(END + 3_600 + 29));
    tokio::time::sleep(a_while).await;
    assert!(fixture.sent().is_empty());
    fixture.clock.set(UnixSeconds(END + 3_600 + 90));
    tokio::time::sleep(a_while).await;
    assert_eq!(fixture.rcpts(), ["r@b.example"]);
    assert_eq!(supervisor.shutdown(a_while).await.killed, 0);
}
