//! Reports of others about our domains, and what is recorded for ours.

use std::sync::Arc;

use mox_base::{Domain, MailboxName, UnixSeconds};
use mox_dns::FakeDns;
use mox_mailauth::dkim::{PrivateKey, Selector, Signing, sign};
use mox_reportdb::{Evaluation, ReportQuery};
use mox_reports::dmarc::{Disposition, DmarcResult, SpfResult};
use mox_smtpd::REPORTS_AT_ONCE_MAX;

use crate::support::{Fixture, Setup, dns};

/// When the fixtures' clock stands.
const NOW: i64 = 1_795_164_932;

fn setup(dns: FakeDns) -> Setup {
    let setup = Setup::default();
    let reports = "\texample.org:\n\t\tDMARC:\n\t\t\tLocalpart: dmarcreports\n\t\t\tAccount: mjl\n\
        \t\t\tMailbox: DMARC\n";
    let host = "HostTLSRPT:\n\tAccount: other\n\tMailbox: TLSRPT\n\tLocalpart: hostreports\n";
    Setup {
        domains_conf: setup.domains_conf.replacen("\texample.org:\n", reports, 1),
        mox_conf: format!("{}{host}", setup.mox_conf),
        resolver: Arc::new(dns),
        ..setup
    }
}

/// DNS of a sender that DMARC vouches for, and that wants reports.
fn reporter() -> FakeDns {
    let mut dns = dns();
    dns.add_txt(
        "_dmarc.client.example",
        "v=DMARC1; p=none; rua=mailto:dmarc@client.example; ri=3600",
    );
    dns
}

fn dmarc_report(about: &str, end: i64) -> String {
    let begin = end - 86_400;
    format!(
        "From: <a@client.example>\r\nSubject: Report\r\nContent-Type: text/xml\r\n\r\n\
         <feedback><report_metadata><org_name>Client</org_name><report_id>r{end}</report_id>\r\n\
         <date_range><begin>{begin}</begin><end>{end}</end></date_range></report_metadata>\r\n\
         <policy_published><domain>{about}</domain><p>none</p></policy_published></feedback>\r\n"
    )
}

fn tls_report(about: &str) -> String {
    format!(
        "From: <a@client.example>\r\nSubject: Report\r\n\
         Content-Type: application/tlsrpt+json\r\n\r\n{{\"organization-name\":\"Client\",\r\n\
         \"date-range\":{{\"start-datetime\":\"2026-11-19T00:00:00Z\",\r\n\
         \"end-datetime\":\"2026-11-19T23:59:59Z\"}},\"report-id\":\"t1\",\"policies\":[\r\n\
         {{\"policy\":{{\"policy-type\":\"sts\",\"policy-domain\":\"{about}\"}}}}]}}\r\n"
    )
}

/// The copy of a message to one recipient, which is accepted, and whether it counts as seen.
async fn delivered(fixture: &Fixture, rcpt: &str, message: &str) -> (String, bool) {
    let mut client = fixture.deliverer().await;
    let reply = client.transact("a@client.example", &[rcpt], message).await;
    assert!(reply.starts_with("250 "), "{reply}");
    let places = [("mjl", "Inbox"), ("mjl", "DMARC"), ("mjl", "TLSRPT"), ("other", "TLSRPT")];
    for (account, mailbox) in places {
        if let Some(message) = fixture.messages(account, mailbox).pop() {
            return (format!("{mailbox}: {message}"), is_seen(fixture, account, mailbox));
        }
    }
    panic!("the message is in no mailbox");
}

fn is_seen(fixture: &Fixture, account: &str, mailbox: &str) -> bool {
    let reader = fixture.store.account(account).unwrap().read().unwrap();
    reader.mailbox(&MailboxName::parse(mailbox).unwrap()).unwrap().counts.unseen == 0
}

/// What is kept of one message: domains of DMARC and TLS reports, and the field that says why not.
async fn check(dns: FakeDns, rcpt: &str, message: &str, kept: &str, place: &str, why: &str) {
    let fixture = Fixture::with(setup(dns));
    let (copy, is_seen) = delivered(&fixture, rcpt, message).await;
    let dmarc = fixture.reports.dmarc_reports(&ReportQuery::all()).unwrap();
    let dmarc =
        dmarc.iter().map(|report| format!("dmarc {} of {}", report.domain, report.from_domain));
    let tls = fixture.reports.tls_reports(&ReportQuery::all()).unwrap();
    let tls = tls.iter().map(|report| {
        let host = if report.is_host { "host" } else { "tls" };
        format!("{host} {} of {}", report.domain, report.from_domain)
    });
    let got: Vec<String> = dmarc.chain(tls).collect();
    assert_eq!(got.join(", "), kept, "{rcpt}");
    assert!(copy.starts_with(&format!("{place}: ")), "{rcpt}: {copy}");
    assert_eq!(is_seen, !kept.is_empty(), "{rcpt}");
    let field =
        copy.lines().find(|line| line.starts_with("X-Mox-") && line.contains("Report-Error"));
    assert_eq!(field.unwrap_or_default(), why, "{rcpt}");
}

/// RFC 7489 §7.2.
#[tokio::test(start_paused = true)]
async fn dmarc_reports_are_kept_where_they_are_expected() {
    let report = dmarc_report("example.org", NOW - 10);
    let kept = "dmarc example.org of client.example";
    for rcpt in
        ["dmarcreports@example.org", "DMARCReports@example.org", "dmarcreports+x@example.org"]
    {
        check(reporter(), rcpt, &report, kept, "DMARC", "").await;
    }
    // Clocks differ by a minute at most.
    let early = dmarc_report("EXAMPLE.org.", NOW + 60);
    check(reporter(), "dmarcreports@example.org", &early, kept, "DMARC", "").await;
    // Mail like other mail.
    check(reporter(), "mjl@example.org", &report, "", "Inbox", "").await;
}

#[tokio::test(start_paused = true)]
async fn what_is_no_good_dmarc_report_says_why() {
    let to = "dmarcreports@example.org";
    let good = dmarc_report("example.org", NOW);
    let why = |why: &str| format!("X-Mox-DMARCReport-Error: {why}");
    let faulty = [
        (dmarc_report("other.example", NOW), "published policy domain unrecognized"),
        (dmarc_report("not a domain", NOW), "could not parse domain in published policy"),
        (dmarc_report("example.org", NOW + 61), "report has end date in the future"),
        (good.replace("</feedback>", ""), "could not parse report"),
        (good.replace("<feedback>", "<!DOCTYPE a><feedback>"), "could not parse report"),
        ("From: <a@client.example>\r\n\r\nhello\r\n".to_owned(), "could not parse report"),
    ];
    for (message, reason) in faulty {
        check(reporter(), to, &message, "", "DMARC", &why(reason)).await;
    }
    check(dns(), to, &good, "", "DMARC", &why("no DMARC pass")).await;
    let tls = tls_report("example.org");
    check(reporter(), to, &tls, "", "DMARC", &why("could not parse report")).await;
}

fn signing_dns(services: &str) -> (FakeDns, Signing) {
    let key = PrivateKey::generate_ed25519().unwrap();
    let mut dns = dns();
    let record = format!("{};{services}", key.record().unwrap());
    dns.add_txt("sel._domainkey.client.example", &record);
    (dns, Signing::new(Selector::parse("sel").unwrap(), Arc::new(key)))
}

fn signed(message: &str, signing: Signing) -> String {
    let domain = Domain::parse("client.example").unwrap();
    let field = sign(message.as_bytes(), &domain, None, &[signing], UnixSeconds(NOW)).unwrap();
    format!("{field}{message}")
}

/// RFC 8460 §3: the signature is what vouches for a report.
#[tokio::test(start_paused = true)]
async fn tls_reports_are_kept_if_they_are_signed() {
    let why = |why: &str| format!("X-Mox-TLSReport-Error: {why}");
    let to = "tls-reports@example.org";
    for (rcpt, about, kept) in [
        (to, "example.org", "tls example.org of client.example"),
        ("TLS-reports+x@example.org", "example.org", "tls example.org of client.example"),
        (to, "mail.example.org", "tls mail.example.org of client.example"),
        (
            "hostreports@mail.example.org",
            "mail.example.org",
            "host mail.example.org of client.example",
        ),
    ] {
        let (dns, signing) = signing_dns("");
        let message = signed(&tls_report(about), signing);
        check(dns, rcpt, &message, kept, "TLSRPT", "").await;
    }
    let report = tls_report("example.org");
    let none = why("no acceptable DKIM signature");
    check(dns(), to, &report, "", "TLSRPT", &none).await;
    // A key that is for other mail only.
    let (dns, signing) = signing_dns("s=email");
    check(dns, to, &signed(&report, signing), "", "TLSRPT", &none).await;
    let (dns, signing) = signing_dns("");
    let message = signed(&tls_report("other.example"), signing);
    check(dns, to, &message, "", "TLSRPT", &why("report for unknown domain")).await;
    let (dns, signing) = signing_dns("");
    let message = signed(&dmarc_report("example.org", NOW), signing);
    check(dns, to, &message, "", "TLSRPT", &why("could not parse TLS report")).await;
}

/// More reports than may be looked for at once: each waits for its turn, also behind large ones. The
/// clock is the real one: one that is moved on while accounts are at work would end the wait.
#[tokio::test]
async fn many_reports_at_once_are_all_kept() {
    let fixture = Fixture::with(setup(reporter()));
    let record = "<record><row><source_ip>192.0.2.1</source_ip><count>1</count></row></record>\r\n";
    let large = format!("{}</feedback>", record.repeat(1_001));
    let send = async |age: i64| {
        let report = dmarc_report("example.org", NOW - age).replace("</feedback>", &large);
        let mut client = fixture.deliverer().await;
        client.transact("a@client.example", &["dmarcreports@example.org"], &report).await
    };
    const { assert!(REPORTS_AT_ONCE_MAX < 5) };
    let replies = tokio::join!(send(0), send(1), send(2), send(3), send(4));
    for reply in [replies.0, replies.1, replies.2, replies.3, replies.4] {
        assert!(reply.starts_with("250 "), "{reply}");
    }
    let kept = fixture.reports.dmarc_reports(&ReportQuery::all()).unwrap();
    assert_eq!(kept.len(), 5);
}

/// A report that comes again, or cannot be kept, is no reason to refuse its message.
#[tokio::test(start_paused = true)]
async fn a_report_that_is_not_kept_is_still_mail() {
    let fixture = Fixture::with(setup(reporter()));
    let message = dmarc_report("example.org", NOW);
    for _ in 0..2 {
        delivered(&fixture, "dmarcreports@example.org", &message).await;
    }
    assert_eq!(fixture.messages("mjl", "DMARC").len(), 2);
    assert_eq!(fixture.reports.dmarc_reports(&ReportQuery::all()).unwrap().len(), 1);
    let id = fixture.reports.dmarc_reports(&ReportQuery::all()).unwrap()[0].id;
    let feedback = fixture.reports.dmarc_feedback(id).unwrap().unwrap();
    assert_eq!(feedback.report_metadata.org_name, "Client");
}

fn evaluations(fixture: &Fixture) -> Vec<Evaluation> {
    let domain = Domain::parse("client.example").unwrap();
    let stored = fixture.reports.evaluations(&domain, UnixSeconds(i64::MAX), None).unwrap();
    stored.into_iter().map(|stored| stored.evaluation).collect()
}

const MESSAGE: &str = "From: <a@client.example>\r\nSubject: hello\r\n\r\nHi there.\r\n";

/// RFC 9990 §3.1.1.
#[tokio::test(start_paused = true)]
async fn what_dmarc_said_is_recorded_for_each_recipient() {
    let fixture = Fixture::with(setup(reporter()));
    let mut client = fixture.deliverer().await;
    let rcpts = ["mjl@example.org", "other@example.org"];
    let reply = client.transact("a@client.example", &rcpts, MESSAGE).await;
    assert!(reply.starts_with("250 "), "{reply}");
    let found = evaluations(&fixture);
    assert_eq!(found.len(), 2);
    let Evaluation { is_optional, interval_hours, addresses, policy, record, .. } = &found[0];
    assert_eq!((*is_optional, *interval_hours), (false, 1));
    assert_eq!(addresses, &["mailto:dmarc@client.example"]);
    assert_eq!((policy.domain.as_str(), &policy.p), ("client.example", &Some(Disposition::None)));
    let evaluated = &record.row.policy_evaluated;
    assert_eq!(evaluated.disposition, Some(Disposition::None));
    assert_eq!(
        (&evaluated.dkim, &evaluated.spf),
        (&Some(DmarcResult::Fail), &Some(DmarcResult::Pass))
    );
    assert_eq!(record.row.source_ip, Some(mox_net::MEMORY_PEER));
    assert_eq!(record.identifiers.header_from, "client.example");
    assert_eq!(record.identifiers.envelope_from.as_deref(), Some("client.example"));
    assert_eq!(record.identifiers.envelope_to.as_deref(), Some("example.org"));
    assert_eq!(record.auth_results.spf[0].result, Some(SpfResult::Pass));
    assert_eq!(record.auth_results.dkim, []);
}

/// Two servers shall not report on each other's reports for ever.
#[tokio::test(start_paused = true)]
async fn reports_alone_cause_no_reports() {
    let fixture = Fixture::with(setup(reporter()));
    delivered(&fixture, "dmarcreports@example.org", &dmarc_report("example.org", NOW)).await;
    let optional: Vec<bool> = evaluations(&fixture).iter().map(|one| one.is_optional).collect();
    assert_eq!(optional, [true]);
}

#[tokio::test(start_paused = true)]
async fn refusals_are_recorded_too_and_signatures_of_the_organisation() {
    let (mut dns, signing) = signing_dns("");
    dns.add_txt("_dmarc.client.example", "v=DMARC1; p=reject; rua=mailto:a@client.example");
    let fixture = Fixture::with(setup(dns));
    let mut client = fixture.deliverer().await;
    let reply = client.transact("b@b.example", &["mjl@example.org"], MESSAGE).await;
    assert!(reply.starts_with("550 5.7.26"), "{reply}");
    let signed = signed(MESSAGE, signing);
    let mut client = fixture.deliverer().await;
    let reply = client.transact("a@client.example", &["mjl@example.org"], &signed).await;
    assert!(reply.starts_with("250 "), "{reply}");
    let found = evaluations(&fixture);
    let rows: Vec<String> = found
        .iter()
        .map(|one| {
            let evaluated = &one.record.row.policy_evaluated;
            let disposition = evaluated.disposition.as_ref().unwrap();
            let signatures = one.record.auth_results.dkim.iter();
            let signatures = signatures
                .map(|found| format!("{} {}", found.domain, found.result.as_ref().unwrap()));
            format!("{disposition} {} {:?}", one.is_optional, signatures.collect::<Vec<_>>())
        })
        .collect();
    assert_eq!(rows, ["reject true []", "none false [\"client.example pass\"]"]);
}

/// What each recipient decides is told; what one gets because others take it, is not told as refused.
#[tokio::test(start_paused = true)]
async fn forwarded_mail_and_copies_for_others_are_not_refused() {
    let mut dns = dns();
    dns.add_txt("_dmarc.author.example", "v=DMARC1; p=reject; rua=mailto:a@author.example");
    let mut setup = setup(dns);
    let rule = "\t\t\tmjl@example.org:\n\t\t\t\tRulesets:\n\t\t\t\t\t-\n\
        \t\t\t\t\t\tSMTPMailFromRegexp: ^a@client.example$\n\
        \t\t\t\t\t\tVerifiedDomain: client.example\n\t\t\t\t\t\tIsForward: true\n\
        \t\t\t\t\t\tMailbox: Inbox\n";
    setup.domains_conf = setup.domains_conf.replacen("\t\t\tmjl@example.org: nil\n", rule, 1);
    let fixture = Fixture::with(setup);
    let message = "From: <x@author.example>\r\nSubject: hello\r\n\r\nHi there.\r\n";
    for (rcpt, want) in [("team@example.org", "250 "), ("other@example.org", "550 5.7.26")] {
        let mut client = fixture.deliverer().await;
        let reply = client.transact("a@client.example", &[rcpt], message).await;
        assert!(reply.starts_with(want), "{rcpt}: {reply}");
    }
    let author = Domain::parse("author.example").unwrap();
    let found = fixture.reports.evaluations(&author, UnixSeconds(i64::MAX), None).unwrap();
    let rows = found.iter().map(|found| {
        let evaluated = &found.evaluation.record.row.policy_evaluated;
        let reasons = evaluated.reasons.iter().map(|reason| reason.kind.as_str());
        let disposition = evaluated.disposition.as_ref().unwrap();
        format!("{disposition} {}", reasons.collect::<Vec<_>>().join(" "))
    });
    assert_eq!(rows.collect::<Vec<_>>(), ["none forwarded", "none local_policy", "reject "]);
}

/// What is refused for another reason is not told: no stranger learns what the junk filter thinks.
#[tokio::test(start_paused = true)]
async fn other_refusals_are_not_recorded() {
    let mut setup = setup(reporter());
    let error = "\t\t\tother@example.org:\n\t\t\t\tMessageAuthRequiredSMTPError: no\n";
    setup.domains_conf = setup.domains_conf.replacen("\t\t\tother@example.org: nil\n", error, 1);
    let fixture = Fixture::with(setup);
    let mut client = fixture.deliverer().await;
    // The record asks for nothing, and this recipient wants authors proven.
    let reply = client.transact("b@b.example", &["other@example.org"], MESSAGE).await;
    assert!(reply.starts_with("550 5.7.26 no"), "{reply}");
    assert_eq!(evaluations(&fixture), []);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_recorded_where_no_report_would_go() {
    let mut silent = dns();
    silent.add_txt("_dmarc.client.example", "v=DMARC1; p=none");
    let no_reports = |setup: Setup| {
        let mox_conf = format!("{}NoOutgoingDMARCReports: true\n", setup.mox_conf);
        Setup { mox_conf, ..setup }
    };
    for setup in [setup(silent), no_reports(setup(reporter()))] {
        let fixture = Fixture::with(setup);
        delivered(&fixture, "mjl@example.org", MESSAGE).await;
        assert_eq!(evaluations(&fixture), []);
    }
}
