//! Mail from domains whose DNS is signed, not signed, wrong, or not there: asked over sockets.

use std::sync::Arc;

use mox::service::Service;
use mox_dns::{Data, Name};
use mox_net::dns::lab::{Lab, Served, Signing};
use mox_net::dns::{Checks, SystemResolver};
use mox_net::{SystemClock, SystemRng};

use crate::server::TestServer;

/// Zones of senders. Each has a host on this machine that sends and takes its mail.
async fn zones() -> Served {
    let mut lab = Lab::new();
    let name = |text: &str| Name::parse(text).unwrap();
    let ptr = Name::reverse([127, 0, 0, 1].into());
    lab.zone("arpa", Signing::Good).record(ptr.as_str(), Data::Ptr(name("mx.good.example")));
    lab.zone("example", Signing::Hashed { opt_out: true, iterations: 0 });
    for (origin, signing) in [
        ("good.example", Signing::Good),
        ("plain.example", Signing::None),
        ("expired.example", Signing::Expired),
        ("stripped.example", Signing::Stripped),
    ] {
        let host = format!("mx.{origin}");
        lab.zone(origin, signing);
        lab.record(origin, Data::Mx { preference: 10, exchange: name(&host) });
        lab.record(origin, Data::Txt(b"v=spf1 mx -all".to_vec()));
        lab.record(&host, Data::A([127, 0, 0, 1].into()));
    }
    lab.record("nomail.good.example", Data::Mx { preference: 0, exchange: Name::root() });
    lab.open().await
}

async fn server(lab: &Served, checks: Checks) -> TestServer {
    let (clock, rng) = (Arc::new(SystemClock::new()), Arc::new(SystemRng));
    let resolver = SystemResolver::new(lab.options(checks), clock, rng);
    TestServer::start_with_dns(Arc::new(resolver)).await
}

fn message(domain: &str) -> String {
    format!(
        "From: <a@{domain}>\r\nTo: <mox@localhost>\r\nSubject: hello\r\n\
         Date: Sat, 21 Nov 2026 10:00:00 +0000\r\nMessage-ID: <one@{domain}>\r\n\r\nhello"
    )
}

/// Sends from a domain; the copy that arrives says `want` of SPF.
async fn check_accepted(server: &TestServer, domain: &str, want: &str) {
    let mut smtp = server.smtp(Service::Smtp).await;
    smtp.send_message(&format!("a@{domain}"), &["mox@localhost"], &message(domain)).await;
    let mut imap = server.inbox().await;
    let search = imap.ask(&format!("s1 SEARCH FROM {domain}")).await;
    let number = search.iter().find_map(|line| line.strip_prefix("* SEARCH ")).unwrap();
    let header = imap.ask(&format!("f1 FETCH {number} BODY.PEEK[HEADER]")).await.join(" ");
    let want = format!("spf={want}");
    assert!(header.contains(&want), "{domain}: {want} missing in\n{header}");
}

async fn check_refused(server: &TestServer, domain: &str, code: &str) {
    let mut smtp = server.smtp(Service::Smtp).await;
    smtp.reply(&format!("MAIL FROM:<a@{domain}>"), code).await;
}

/// RFC 8601 §2.7.2; wrong signatures are trouble that may pass: RFC 4035 §5.5.
#[tokio::test]
async fn mail_is_judged_by_dns_whose_signatures_are_checked_here() {
    let lab = zones().await;
    let server = server(&lab, Checks::Automatic).await;
    check_accepted(&server, "good.example", "pass (with dnssec)").await;
    check_accepted(&server, "plain.example", "pass (without dnssec)").await;
    check_refused(&server, "expired.example", "451").await;
    check_refused(&server, "stripped.example", "451").await;
    check_refused(&server, "nomail.good.example", "550").await;
    check_refused(&server, "nowhere.example", "550").await;
    let asked = lab.asked();
    check_refused(&server, "nowhere.example", "550").await;
    assert_eq!(lab.asked(), asked, "what is not there is remembered");
    server.stop().await;
}

/// Where nobody checks, there is mail as without DNSSEC.
#[tokio::test]
async fn mail_is_taken_where_nobody_checks_signatures() {
    let lab = zones().await;
    let server = server(&lab, Checks::Servers).await;
    check_accepted(&server, "good.example", "pass (without dnssec)").await;
    check_accepted(&server, "expired.example", "pass (without dnssec)").await;
    check_refused(&server, "nowhere.example", "550").await;
    server.stop().await;
}
