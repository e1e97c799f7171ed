use mox_base::Domain;
use mox_dns::{DnsError, FakeDns, RecordType, Trouble};
use mox_queue::Kind;
use mox_reportdb::NewTlsResult;
use mox_reports::tls::{self, Report};
use mox_tlspolicy::failure::TlsFailure;
use mox_tlspolicy::tally::{Session, Tally, no_policy};

use super::super::Outcome;
use super::super::tls::{About, Round};
use super::support::{Fixture, NOW, Sent, Setup, domain};

/// The day before [`NOW`].
fn day() -> i64 {
    NOW.day() - 1
}

/// A session for mail to `recipient`, under the policy of that domain or of a host.
fn result(policy: &str, recipient: &str, is_good: bool) -> NewTlsResult {
    let policy_domain = domain(policy);
    let mut tally = Tally::default();
    match is_good {
        true => tally.success(no_policy(&policy_domain)),
        false => tally.failure(no_policy(&policy_domain), &Session::default(), TlsFailure::NotTls),
    }
    NewTlsResult {
        is_host: policy != recipient,
        policy_domain,
        day: day(),
        recipient_domain: domain(recipient),
        sends_report: true,
        results: tally.into_results(),
    }
}

/// DNS with such records.
fn dns(records: &[(&str, &str)]) -> FakeDns {
    let mut dns = FakeDns::new();
    for (name, rua) in records {
        dns.add_txt(&format!("_smtp._tls.{name}"), &format!("v=TLSRPTv1; rua={rua}"));
    }
    dns
}

fn fixture(records: &[(&str, &str)], results: &[NewTlsResult]) -> Fixture {
    fixture_with(dns(records), results, Setup::default())
}

fn fixture_with(dns: FakeDns, results: &[NewTlsResult], setup: Setup) -> Fixture {
    let fixture = Fixture::with(dns, setup);
    assert_eq!(fixture.db.add_tls_results(results).unwrap(), 0);
    fixture
}

/// Sends all reports of the day; what became of each.
async fn send(fixture: &Fixture) -> Vec<(String, Outcome)> {
    let reporter = &fixture.reporter;
    let mut outcomes = Vec::new();
    let mut round = Round::new(day());
    for about in reporter.tls_due(day()).await.unwrap() {
        let outcome = reporter.tls_report(&mut round, &about).await.unwrap();
        let kind = if matches!(about, About::Host(..)) { "host" } else { "domain" };
        outcomes.push((format!("{kind} {}", about.name()), outcome));
    }
    reporter.tls_tidy(day()).await.unwrap();
    outcomes
}

#[track_caller]
fn assert_outcomes(got: &[(String, Outcome)], want: &[(&str, Outcome)]) {
    let got: Vec<_> = got.iter().map(|(name, outcome)| (name.as_str(), *outcome)).collect();
    assert_eq!(got, want);
}

fn left(fixture: &Fixture) -> usize {
    fixture.db.tls_result_keys(day(), None).unwrap().len()
}

fn report(sent: &Sent) -> Report {
    tls::from_message(&mut sent.message()).unwrap()
}

/// The policies of a report: domain, hosts, sessions that failed.
fn policies(sent: &Sent) -> Vec<(String, Vec<String>, u64)> {
    let report = report(sent).policies.into_iter();
    let of = |one: tls::PolicyResult| {
        (one.policy.policy_domain, one.policy.mx_host, one.summary.total_failure_session_count)
    };
    report.map(of).collect()
}

/// RFC 8460 §3, §4.4, §5.1, §5.3; RFC 8689 §5.
#[tokio::test]
async fn a_domain_is_told_how_its_day_was() {
    let results = [result("b.example", "b.example", false), result("b.example", "b.example", true)];
    let fixture = fixture(&[("b.example", "mailto:r@b.example")], &results);
    assert_outcomes(&send(&fixture).await, &[("domain b.example", Outcome::Queued)]);
    assert_eq!(left(&fixture), 0);
    let sent = fixture.sent();
    let [sent] = &sent[..] else { panic!("one") };
    let queued = &sent.queued;
    assert_eq!((queued.kind, queued.account.as_str()), (Kind::TlsReport, "u"));
    assert_eq!((queued.attempts_allowed(), queued.require_tls), (5, Some(false)));
    assert_eq!(queued.mail_from.to_string(), "<postmaster@a.example>");
    for (name, want) in [
        ("From", "<postmaster@a.example>"),
        ("To", "<r@b.example>"),
        ("TLS-Report-Domain", "b.example"),
        ("TLS-Report-Submitter", "a.example"),
        ("TLS-Required", "No"),
        (
            "Subject",
            "Report Domain: b.example Submitter: a.example Report-ID: <20261120.b.example@a.example>",
        ),
    ] {
        assert_eq!(sent.field(name).as_deref(), Some(want), "{name}");
    }
    assert!(sent.field("Content-Type").unwrap().contains("report-type=\"tlsrpt\""));
    let (start, end) = (day() * 86_400, day() * 86_400 + 86_399);
    assert!(sent.text.contains(&format!("\"a.example!b.example!{start}!{end}.json.gz\"")));
    let report = report(sent);
    assert_eq!((report.date_range.start.0, report.date_range.end.0), (start, end));
    assert_eq!(report.organization_name, "mx.a.example");
    assert_eq!(report.report_id, "20261120.b.example@a.example");
    let [result] = &report.policies[..] else { panic!("merged") };
    assert_eq!(result.summary.total_successful_session_count, 1);
    assert_eq!(result.failure_details[0].failed_session_count, 1);
    let names = fixture.signed_names(&sent.text).await;
    for name in ["TLS-Report-Domain", "TLS-Report-Submitter", "From"] {
        assert!(names.iter().any(|signed| signed.eq_ignore_ascii_case(name)), "{name}");
    }
}

#[tokio::test]
async fn hosts_are_told_about_the_domains_they_serve() {
    let results = [
        result("b.example", "b.example", false),
        result("mx.c.example", "b.example", false),
        result("mx.c.example", "d.example", false),
    ];
    let records = [("b.example", "mailto:r@b.example"), ("mx.c.example", "mailto:h@c.example")];
    let fixture = fixture(&records, &results);
    let want = [
        ("domain b.example", Outcome::Queued),
        ("domain d.example", Outcome::NotNeeded),
        ("host mx.c.example", Outcome::Queued),
    ];
    assert_outcomes(&send(&fixture).await, &want);
    assert_eq!(
        (left(&fixture), fixture.rcpts()),
        (0, vec!["r@b.example".to_owned(), "h@c.example".to_owned()])
    );
    let sent = fixture.sent();
    let policy = |name: &str, hosts: &[&str]| {
        (name.to_owned(), hosts.iter().map(|host| (*host).to_owned()).collect::<Vec<_>>(), 1)
    };
    assert_eq!(policies(&sent[0]), [policy("b.example", &[]), policy("mx.c.example", &[])]);
    let host: &[&str] = &["mx.c.example"];
    assert_eq!(policies(&sent[1]), [policy("b.example", host), policy("d.example", host)]);
}

/// Who gets the report of the domain need not get that of the host as well.
#[tokio::test]
async fn nobody_is_told_twice() {
    let results =
        [result("mx.c.example", "b.example", false), result("mx.c.example", "d.example", false)];
    let both = "mailto:r@c.example,https://c.example/r,mailto:r%40c.example";
    let other = ("d.example", "mailto:r@c.example");
    let fixture_of =
        |host: &str| fixture(&[("b.example", both), other, ("mx.c.example", host)], &results);
    let fixture = fixture_of(both);
    send(&fixture).await;
    let sent = fixture.sent();
    let names: Vec<_> = sent.iter().map(|sent| sent.field("TLS-Report-Domain").unwrap()).collect();
    let of_b = sent.iter().filter(|sent| sent.field("TLS-Report-Domain").unwrap() == "b.example");
    assert_eq!(of_b.count(), 1, "addresses twice in a record count once: {names:?}");
    let host = sent.last().unwrap();
    assert_eq!(policies(host).len(), 1, "only what the other list was told of is left");
    assert_eq!(policies(host)[0].0, "d.example");
    // With one domain nothing is left for the host.
    let fixture = self::fixture(&[("b.example", both), ("mx.c.example", both)], &results[..1]);
    let want = [("domain b.example", Outcome::Queued), ("host mx.c.example", Outcome::NotNeeded)];
    assert_outcomes(&send(&fixture).await, &want);
}

#[tokio::test]
async fn success_alone_is_reported_only_if_so_configured() {
    let record = [("b.example", "mailto:r@b.example")];
    let results = [result("b.example", "b.example", true)];
    let fixture = fixture(&record, &results);
    assert_outcomes(&send(&fixture).await, &[("domain b.example", Outcome::NotNeeded)]);
    assert_eq!(left(&fixture), 0);
    let statics = "OutgoingTLSReportsForAllSuccess: true\n";
    let fixture = fixture_with(dns(&record), &results, Setup { statics, domain: None });
    assert_outcomes(&send(&fixture).await, &[("domain b.example", Outcome::Queued)]);
}

#[tokio::test]
async fn there_are_none_without_a_word_or_a_key() {
    let record = [("b.example", "mailto:r@b.example")];
    let results = [result("b.example", "b.example", false)];
    for setup in [
        Setup { statics: "NoOutgoingTLSReports: true\n", domain: None },
        // RFC 8460 §3: reports are signed.
        Setup { statics: "", domain: Some("\t\tDescription: x\n") },
        Setup {
            statics: "",
            domain: Some(
                "\t\tDisabled: true\n\t\tDKIM:\n\t\t\tSelectors:\n\t\t\t\tone:\n\
                 \t\t\t\t\tPrivateKeyFile: one\n\t\t\tSign:\n\t\t\t\t- one\n",
            ),
        },
    ] {
        let fixture = fixture_with(dns(&record), &results, setup);
        assert_outcomes(&send(&fixture).await, &[]);
        assert!(fixture.sent().is_empty());
    }
    // What came of reports themselves makes no report.
    let alone = NewTlsResult { sends_report: false, ..results[0].clone() };
    let fixture = fixture(&record, &[alone]);
    assert_outcomes(&send(&fixture).await, &[("domain b.example", Outcome::NotNeeded)]);
}

/// Deviation from the original, which removes the results then: what DNS cannot say now it may say
/// later.
#[tokio::test]
async fn results_wait_for_dns() {
    let mut failing = dns(&[]);
    let timeout = DnsError::Temporary(Trouble::Timeout);
    failing.fail("_smtp._tls.b.example", RecordType::Txt, timeout);
    let results =
        [result("b.example", "b.example", false), result("c.example", "c.example", false)];
    let fixture = fixture_with(failing, &results, Setup::default());
    let want = [("domain b.example", Outcome::Waits), ("domain c.example", Outcome::NotNeeded)];
    assert_outcomes(&send(&fixture).await, &want);
    let keys = fixture.db.tls_result_keys(day(), None).unwrap();
    let names: Vec<&Domain> = keys.iter().map(|key| &key.policy_domain).collect();
    assert_eq!(names, [&domain("b.example")]);
}

#[tokio::test]
async fn suppressed_addresses_get_nothing() {
    let places = "mailto:r@b.example,mailto:s@b.example,https://b.example";
    let results = [result("b.example", "b.example", false)];
    let fixture = fixture(&[("b.example", places)], &results);
    fixture.db.suppress_after_failure("r@b.example", "550 no", NOW).unwrap();
    assert_outcomes(&send(&fixture).await, &[("domain b.example", Outcome::Queued)]);
    assert_eq!(fixture.rcpts(), ["s@b.example"]);
}

/// A crash after the note and before the queue costs a report, and none is sent twice.
#[tokio::test]
async fn what_was_begun_is_not_sent_again() {
    let results =
        [result("b.example", "b.example", false), result("mx.c.example", "b.example", false)];
    let records = [("b.example", "mailto:r@b.example"), ("mx.c.example", "mailto:h@c.example")];
    let fixture = fixture(&records, &results);
    let reporter = &fixture.reporter;
    let due = reporter.tls_due(day()).await.unwrap();
    reporter.tls_report(&mut Round::new(day()), &due[0]).await.unwrap();
    // As if it had crashed here, and began anew.
    assert_outcomes(&send(&fixture).await, &[("host mx.c.example", Outcome::Queued)]);
    assert_eq!(left(&fixture), 0);
    assert_outcomes(&send(&fixture).await, &[]);
}

/// The time of the task stands still while it works, and moves while it waits.
#[tokio::test(start_paused = true)]
async fn all_that_is_due_is_sent() {
    let mut failing = dns(&[("b.example", "mailto:r@b.example")]);
    let timeout = DnsError::Temporary(Trouble::Timeout);
    failing.fail("_smtp._tls.c.example", RecordType::Txt, timeout);
    let results = [result("b.example", "b.example", false)];
    let fixture = fixture_with(failing, &results, Setup::default());
    assert!(!fixture.reporter.send_tls().await);
    assert_eq!((fixture.rcpts(), left(&fixture)), (vec!["r@b.example".to_owned()], 0));
    fixture.db.add_tls_results(&[result("c.example", "c.example", false)]).unwrap();
    assert!(fixture.reporter.send_tls().await, "one waits");
}
