//! Whose mail is taken: senders who could be answered, from hosts that exist.

use std::sync::Arc;

use mox_dns::{DnsError, RecordType, SilentDns, Trouble};
use tokio::time::Instant;

use crate::support::{Fixture, Setup, dns};

const MESSAGE: &str = "From: a@client.example\r\n\r\nx\r\n";

fn fixture() -> Fixture {
    let mut dns = dns();
    dns.add_mx("null.example", 0, ".").add_ips("null.example", &["192.0.2.1"]);
    dns.add_mx("dangling.example", 10, "gone.example");
    dns.fail("lame.example", RecordType::Mx, DnsError::Temporary(Trouble::Timeout));
    dns.fail("lame.example", RecordType::A, DnsError::Temporary(Trouble::Timeout));
    dns.add_mx("xn--bcher-kva.example", 10, "client.example");
    Fixture::with(Setup { resolver: Arc::new(dns), ..Setup::default() })
}

#[tokio::test]
async fn a_sender_can_get_mail() {
    // RFC 7505 §4.2, RFC 5321 §5.1.
    let fixture = fixture();
    let mut client = fixture.deliverer().await;
    client
        .dialogue(
            "MAIL FROM:<a@client.example> => 250
             RSET => 250
             MAIL FROM:<> => 250
             RSET => 250
             MAIL FROM:<nobody@example.org> => 250
             RSET => 250
             MAIL FROM:<a@b\u{fc}cher.example> SMTPUTF8 => 250
             RSET => 250
             MAIL FROM:<a@null.example> => 550 5.7.27
             MAIL FROM:<a@dangling.example> => 550 5.7.27
             MAIL FROM:<a@nowhere.example> => 550 5.7.27
             MAIL FROM:<a@lame.example> => 451 4.4.0
             MAIL FROM:<a@[192.0.2.1]> => 550 5.7.0
             RCPT TO:<mjl@example.org> => 503 5.5.1",
        )
        .await;
    // A refused sender is no transaction: the next one is.
    let reply = client.transact("a@client.example", &["mjl@example.org"], MESSAGE).await;
    assert!(reply.starts_with("250"), "{reply}");
}

#[tokio::test]
async fn users_may_send_from_domains_that_get_no_mail_yet() {
    let fixture = fixture();
    fixture.set_password("mjl");
    let mut client = fixture.submitter("mjl@example.org").await;
    client.check("MAIL FROM:<mjl@example.org>", "250").await;
}

#[tokio::test]
async fn a_host_that_says_helo_exists() {
    // RFC 5321 §2.3.5; only HELO, as it always was.
    let fixture = fixture();
    for (host, want) in [
        ("old.example", "250 mail.example.org"),
        ("lame.example", "250 mail.example.org"),
        ("nowhere.example", "550 5.5.0"),
        ("dangling.example", "550 5.5.0"),
    ] {
        let mut client = fixture.deliverer().await;
        client.check(&format!("HELO {host}"), want).await;
        client.check(&format!("EHLO {host}"), "250 SMTPUTF8").await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_dns_is_given_up() {
    let fixture = Fixture::with(Setup { resolver: Arc::new(SilentDns), ..Setup::default() });
    let mut client = fixture.deliverer().await;
    let before = Instant::now();
    client.check("MAIL FROM:<a@client.example>", "451 4.4.0").await;
    assert!(before.elapsed() < 2 * mox_smtpd::NAMES_WAIT.limit, "{:?}", before.elapsed());
    client.check("HELO client.example", "250").await;
}

#[tokio::test]
async fn a_localserve_asks_nobody() {
    let setup = Setup::default();
    let fixture = Fixture::with(Setup {
        resolver: Arc::new(SilentDns),
        is_localserve: true,
        mox_conf: setup.mox_conf.replace("Account: mjl", "Account: mox"),
        domains_conf: "Domains:\n\tlocalhost: nil\nAccounts:\n\tmox:\n\t\tDomain: localhost\n\
            \t\tDestinations:\n\t\t\tmox@localhost: nil\n"
            .to_owned(),
        ..setup
    });
    let mut client = fixture.deliverer().await;
    client.check("HELO nowhere.example", "250").await;
    client.check("MAIL FROM:<a@nowhere.example>", "250").await;
}
