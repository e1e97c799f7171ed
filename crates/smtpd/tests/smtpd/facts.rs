//! Who sent a message: what is looked up, and what the recipient is told of it.

use std::future::pending;
use std::sync::Arc;

use mox_base::{Domain, UnixSeconds};
use mox_dns::{DnsError, FakeDns, Name, Pending, RecordType, Resolver, Trouble};
use mox_mailauth::dkim::{PrivateKey, Selector, Signing, sign};
use mox_smtpd::{FACTS_WAIT, SPOOL_MEMORY_BYTES, STOPPING_WAIT};
use tokio::time::Instant;

use crate::support::{Fixture, Setup, addressed, dns};

const MESSAGE: &str = "From: <a@client.example>\r\nSubject: hello\r\n\r\nHi there.\r\n";

/// When the fixtures' clock stands.
const NOW: UnixSeconds = UnixSeconds(1_795_164_932);

fn with(resolver: impl Resolver + 'static) -> Fixture {
    Fixture::with(Setup { resolver: Arc::new(resolver), ..Setup::default() })
}

/// DNS of a domain that also signs, and wants others refused; and the key.
fn signing_dns() -> (FakeDns, Signing) {
    let key = PrivateKey::generate_ed25519().unwrap();
    let mut dns = dns();
    dns.add_txt("sel._domainkey.client.example", &key.record().unwrap().to_string());
    dns.add_txt("_dmarc.client.example", "v=DMARC1; p=reject");
    (dns, Signing::new(Selector::parse("sel").unwrap(), Arc::new(key)))
}

fn signed(message: &str, signing: Signing) -> String {
    let domain = Domain::parse("client.example").unwrap();
    let field = sign(message.as_bytes(), &domain, None, &[signing], NOW).unwrap();
    format!("{field}{message}")
}

/// The results that the recipient of a message reads, each in one line.
fn results(message: &str) -> Vec<String> {
    let unfolded = message.replace("\r\n\t", " ");
    let field = unfolded.lines().find_map(|line| line.strip_prefix("Authentication-Results: "));
    let (host, results) = field.expect("there are results").split_once(';').unwrap();
    assert_eq!(host, "mail.example.org");
    results.split("; ").map(|result| result.trim().to_owned()).collect()
}

/// Delivers a message, which is accepted, and returns the results in its copy.
async fn delivered(fixture: &Fixture, from: &str, message: &str) -> Vec<String> {
    let before = fixture.messages("mjl", "Inbox").len();
    let mut client = fixture.deliverer().await;
    let reply = client.transact(from, &["mjl@example.org"], message).await;
    assert!(reply.starts_with("250 "), "{reply}");
    let messages = fixture.messages("mjl", "Inbox");
    assert_eq!(messages.len(), before + 1);
    results(messages.last().unwrap())
}

/// Checks how each of the results begins.
#[track_caller]
fn check(results: &[String], wants: &[&str]) {
    let is_same = results.iter().zip(wants).all(|(result, want)| result.starts_with(want));
    assert!(is_same && results.len() == wants.len(), "{results:#?}\n{wants:#?}");
}

/// RFC 8601 §2.7.
#[tokio::test(start_paused = true)]
async fn what_was_found_out_is_told() {
    let (dns, signing) = signing_dns();
    let fixture = with(dns);
    let found = delivered(&fixture, "a@client.example", &signed(MESSAGE, signing)).await;
    let wants = [
        "iprev=pass (without dnssec) policy.iprev=127.0.0.10",
        "dkim=pass (without dnssec) header.d=client.example header.s=sel header.a=ed25519-sha256",
        "spf=pass (without dnssec) smtp.mailfrom=client.example",
        "dmarc=pass (without dnssec) header.from=client.example",
    ];
    check(&found, &wants);
    // RFC 7208 §9.1: the field with the details stands above Received.
    let message = fixture.messages("mjl", "Inbox").remove(0).replace("\r\n\t", " ");
    let fields: Vec<&str> =
        addressed(&message).lines().filter_map(|line| line.split_once(':')).map(|f| f.0).collect();
    let wants =
        ["Delivered-To", "Return-Path", "Authentication-Results", "Received-SPF", "Received"];
    assert_eq!(fields[..5], wants);
    let spf = "\nReceived-SPF: pass (domain client.example) client-ip=127.0.0.10; \
        envelope-from=\"a@client.example\"; helo=client.example; mechanism=a; \
        receiver=mail.example.org; identity=mailfrom\r\n";
    assert!(message.contains(spf), "{message}");
}

#[tokio::test(start_paused = true)]
async fn signatures_over_messages_in_files_are_checked() {
    let (dns, signing) = signing_dns();
    let fixture = Fixture::with(Setup { resolver: Arc::new(dns), ..Setup::default() });
    let body = format!("{}\r\n", "x".repeat(998)).repeat(SPOOL_MEMORY_BYTES / 1_000 + 1);
    let message = signed(&format!("{MESSAGE}{body}"), signing);
    let port = mox_smtpd::Port {
        message_bytes_max: 10 << 20,
        ..Fixture::port(mox_smtpd::Service::Delivery)
    };
    let mut client = fixture.client(port).await;
    for message in [message.clone(), message.replacen("xxx\r\n", "xxy\r\n", 1)] {
        let reply = client.transact("a@client.example", &["mjl@example.org"], &message).await;
        assert!(reply.starts_with("250 "), "{reply}");
    }
    let messages = fixture.messages("mjl", "Inbox");
    assert!(results(&messages[0])[1].starts_with("dkim=pass "));
    assert!(results(&messages[1])[1].starts_with("dkim=fail "));
}

#[tokio::test(start_paused = true)]
async fn who_cannot_be_told_has_no_policy() {
    let (dns, _) = signing_dns();
    let fixture = with(dns);
    // RFC 7489 §6.6.1, RFC 5322 §3.6.2: two programs could show two authors.
    for from in [
        "",
        "From: <a@client.example>\r\nFrom: <b@other.example>\r\n",
        "From: a@client.example, b@client.example\r\n",
        "From: undisclosed:;\r\n",
        "From: \0\r\n",
    ] {
        let found = delivered(&fixture, "a@client.example", &format!("{from}X: y\r\n\r\n")).await;
        let dmarc = found.last().unwrap();
        assert!(!dmarc.starts_with("dmarc=pass "), "{from:?}: {dmarc}");
        assert!(!dmarc.contains("header.from"), "{from:?}: {dmarc}");
    }
    // Edge of valid: a group of one, a comment, folding, another case.
    for from in ["FROM: g: a@client.example;", "From: \"x, y\"\r\n\t<a@CLIENT.example> (z)"] {
        let found = delivered(&fixture, "a@client.example", &format!("{from}\r\n\r\n")).await;
        let dmarc = found.last().unwrap();
        assert!(dmarc.starts_with("dmarc=pass "), "{from:?}: {dmarc}");
    }
}

/// RFC 7208 §2.4: a report of failure has no sender, so its client's name is checked.
#[tokio::test(start_paused = true)]
async fn without_a_sender_the_clients_name_is_checked() {
    let fixture = Fixture::new();
    let found = delivered(&fixture, "", MESSAGE).await;
    let wants = ["iprev=pass", "dkim=none", "spf=pass (without dnssec) smtp.helo=client.example"];
    check(&found[..3], &wants);
}

/// RFC 8601 §5.
#[tokio::test(start_paused = true)]
async fn results_in_our_name_are_removed() {
    let (dns, signing) = signing_dns();
    let fixture = with(dns);
    let forged = "Authentication-Results: mail.example.org; spf=pass smtp.mailfrom=bank.example";
    let other = "Authentication-Results: elsewhere.example; spf=pass";
    let message = signed(&format!("{forged}\r\n{other}\r\n{MESSAGE}"), signing);
    let found = delivered(&fixture, "a@client.example", &message).await;
    assert!(found[1].starts_with("dkim=pass "), "{found:?}");
    let copy = fixture.messages("mjl", "Inbox").remove(0);
    assert!(!copy.contains("bank.example"), "{copy}");
    assert!(copy.contains(other) && copy.ends_with(MESSAGE), "{copy}");
}

const FORGED: &str =
    "Authentication-Results: mail.example.org; spf=pass smtp.mailfrom=bank.example\r\n";

/// A header line of a kilobyte.
fn long_line() -> String {
    format!("X: {}\r\n", "x".repeat(1_019))
}

/// What is behind the part of a header that is looked at could be in our name too. RFC 8601 §5.
#[tokio::test(start_paused = true)]
async fn a_header_that_is_too_large_to_be_looked_at_is_refused() {
    let fixture = with(dns());
    for end in ["\r\n", ""] {
        let text = format!("{}{FORGED}{end}", long_line().repeat(256));
        let mut client = fixture.deliverer().await;
        let reply = client.transact("a@client.example", &["mjl@example.org"], &text).await;
        assert!(reply.starts_with("552 5.3.4"), "{reply}");
    }
    assert_eq!(fixture.counts(["mjl"]), [0]);
}

#[tokio::test]
async fn a_large_header_is_looked_at_and_a_text_of_any_size_is_none() {
    let fixture = with(dns());
    let mut client = fixture.deliverer().await;
    for text in [
        format!("{}{FORGED}\r\nbody\r\n", long_line().repeat(255)),
        format!("no header here\r\n{}", "x\r\n".repeat(100_000)),
    ] {
        let reply = client.transact("a@client.example", &["mjl@example.org"], &text).await;
        assert!(reply.starts_with("250"), "{reply}");
    }
    let copies = fixture.messages("mjl", "Inbox");
    assert!(copies.len() == 2 && copies.iter().all(|copy| !copy.contains("bank.example")));
}

/// Any question fails, or is never answered; but for those about who can get mail, without which there
/// would be no message.
struct Broken {
    answers: bool,
}

impl Resolver for Broken {
    fn lookup<'a>(&'a self, name: &'a Name, kind: RecordType) -> Pending<'a> {
        let answers = self.answers;
        Box::pin(async move {
            let host = "mx.client.example";
            if kind == RecordType::Mx || name.as_str() == host {
                let mut dns = FakeDns::new();
                dns.add_mx(name.as_str(), 10, host).add_ips(host, &["192.0.2.1"]);
                return dns.lookup(name, kind).await;
            }
            if answers {
                return Err(DnsError::Temporary(Trouble::ServerFailure));
            }
            pending().await
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_of_dns_is_no_refusal() {
    let (_, signing) = signing_dns();
    let fixture = with(Broken { answers: true });
    let found = delivered(&fixture, "a@client.example", &signed(MESSAGE, signing)).await;
    check(&found, &["iprev=temperror", "dkim=temperror", "spf=temperror", "dmarc=temperror"]);
}

#[tokio::test(start_paused = true)]
async fn all_questions_end_at_one_deadline() {
    let (_, signing) = signing_dns();
    let fixture = with(Broken { answers: false });
    let started = Instant::now();
    let found = delivered(&fixture, "a@client.example", &signed(MESSAGE, signing)).await;
    check(&found, &["iprev=temperror", "dkim=temperror", "spf=temperror", "dmarc=temperror"]);
    assert_eq!(started.elapsed(), FACTS_WAIT.limit);
}

/// RFC 5321 §4.5.3.1.10 for the code. A report on those who did not get the message could only go to
/// a proven sender.
#[tokio::test(start_paused = true)]
async fn only_proven_senders_may_name_several_recipients() {
    let fixture = Fixture::new();
    let mut client = fixture.deliverer().await;
    for (from, want) in [("a@client.example", "250 2.1.0"), ("a@elsewhere.example", "452 4.5.3")] {
        client.check(&format!("MAIL FROM:<{from}>"), "250").await;
        client.check("RCPT TO:<mjl@example.org>", "250").await;
        client.check("RCPT TO:<other@example.org>", want).await;
        client.check("RSET", "250").await;
    }
    let fixture = with(Broken { answers: true });
    let mut client = fixture.deliverer().await;
    client.check("MAIL FROM:<a@client.example>", "250").await;
    client.check("RCPT TO:<mjl@example.org>", "250").await;
    client.check("RCPT TO:<other@example.org>", "452 4.5.3").await;
    assert!(client.data(MESSAGE).await.starts_with("250 "), "the first recipient gets it");
}

/// RFC 5321 §3.9: an answer that may be another one later.
#[tokio::test(start_paused = true)]
async fn members_of_a_list_are_proven_or_told_to_try_again() {
    let fixture = with(Broken { answers: true });
    let mut client = fixture.deliverer().await;
    let message = "From: mjl@example.org\r\n\r\nx\r\n";
    let reply = client.transact("mjl@example.org", &["staff@example.org"], message).await;
    assert!(reply.starts_with("451 4.7.2"), "{reply}");
}

/// A header that takes long to hash is hashed elsewhere, with the same result.
#[tokio::test(start_paused = true)]
async fn signatures_over_long_headers_are_checked() {
    let (dns, signing) = signing_dns();
    let fixture = with(dns);
    let long = format!("X-Long: {}\r\n", "y".repeat(900)).repeat(200);
    let found =
        delivered(&fixture, "a@client.example", &signed(&format!("{long}{MESSAGE}"), signing))
            .await;
    assert!(found[1].starts_with("dkim=pass "), "{found:?}");
    let copy = fixture.messages("mjl", "Inbox").remove(0);
    assert!(copy.ends_with(&format!("{long}{MESSAGE}")));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stops_waits_for_dns_only_a_little() {
    let fixture = with(Broken { answers: false });
    let mut client = fixture.deliverer().await;
    client.check("MAIL FROM:<>", "250").await;
    client.check("RCPT TO:<mjl@example.org>", "250").await;
    client.check("DATA", "354").await;
    let started = Instant::now();
    client.send(format!("{MESSAGE}.\r\n").as_bytes()).await;
    let stopping = fixture.stopping.clone();
    tokio::spawn(async move {
        // The message is there, and DNS is being asked.
        tokio::time::sleep(FACTS_WAIT.limit / 2).await;
        stopping.cancel();
    });
    assert!(client.reply().await.starts_with("451 "));
    assert_eq!(started.elapsed(), FACTS_WAIT.limit / 2 + STOPPING_WAIT);
    assert!(client.reply().await.starts_with("421 "));
    client.closed().await;
    assert_eq!(fixture.counts(["mjl"]), [0]);
}
