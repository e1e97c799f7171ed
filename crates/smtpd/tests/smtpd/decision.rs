//! Whether mail is wanted: what the history of an account, its rules and what is known of a sender
//! lead to, for the sender and for the account.

use std::sync::Arc;
use std::time::Duration;

use mox_base::{Domain, Flags};
use mox_dns::FakeDns;
use mox_net::MEMORY_PEER;
use mox_policy::Reason;
use mox_smtpd::{Port, Service};
use mox_store::{Decision, DecisionFilter, Outcome};
use tokio::time::Instant;

use crate::support::{FIRST_TIME_DELAY, Fixture, Setup, addressed, dns};

const DOMAINS_CONF: &str = "Domains:
\texample.org:
\t\tLocalpartCatchallSeparator: +
\t\tAliases:
\t\t\tteam:
\t\t\t\tAddresses:
\t\t\t\t\t- mjl@example.org
\t\t\t\t\t- other@example.org
\t\t\t\tPostPublic: true
Accounts:
\tmjl:
\t\tDomain: example.org
\t\tRejectsMailbox: Rejects
\t\tSubjectPass:
\t\t\tPeriod: 12h
\t\tJunkFilter:
\t\t\tThreshold: 0.95
\t\t\tOnegrams: true
\t\t\tMaxPower: 0.01
\t\t\tTopWords: 10
\t\t\tIgnoreWords: 0.1
\t\tDestinations:
\t\t\tmjl@example.org:
\t\t\t\tRulesets:
\t\t\t\t\t-
\t\t\t\t\t\tVerifiedDomain: list.example
\t\t\t\t\t\tListAllowDomain: list.example
\t\t\t\t\t\tMailbox: List
\t\t\t\t\t-
\t\t\t\t\t\tSMTPMailFromRegexp: ^forwarded@forwarder\\.example$
\t\t\t\t\t\tVerifiedDomain: forwarder.example
\t\t\t\t\t\tIsForward: true
\t\t\t\t\t\tMailbox: Inbox
\t\t\t\t\t-
\t\t\t\t\t\tHeadersRegexp:
\t\t\t\t\t\t\t^x-keep$: yes
\t\t\t\t\t\tMsgFromRegexp: @client\\.example$
\t\t\t\t\t\tAcceptRejectsToMailbox: Doubtful
\t\t\t\t\t\tMailbox: Inbox
\t\t\tproven@example.org:
\t\t\t\tMessageAuthRequiredSMTPError: prove who you are
\tother:
\t\tDomain: example.org
\t\tIntrobox: Introbox
\t\tNoFirstTimeSenderDelay: true
\t\tDestinations:
\t\t\tother@example.org: nil
";

fn setup(dns: FakeDns) -> Fixture {
    let domains_conf = DOMAINS_CONF.to_owned();
    Fixture::with(Setup { domains_conf, resolver: Arc::new(dns), ..Setup::default() })
}

/// DNS in which the tests' client may send for all these domains.
fn dns_of(domains: &[&str]) -> FakeDns {
    let mut dns = dns();
    for domain in domains {
        dns.add_ips(domain, &["192.0.2.7"]);
        dns.add_txt(domain, &format!("v=spf1 ip4:{MEMORY_PEER} -all"));
    }
    dns
}

fn text(from: &str, subject: &str) -> String {
    format!(
        "From: <{from}>\r\nTo: <mjl@example.org>, <other@example.org>\r\nSubject: {subject}\r\n\
         Message-Id: <{subject}@client.example>\r\n\r\nText of {subject}.\r\n"
    )
}

/// Sends a message in a connection of its own: a refusal makes one slow.
async fn send(fixture: &Fixture, from: &str, rcpts: &[&str], message: &str) -> String {
    fixture.clock.advance(Duration::from_secs(1));
    let mut client = fixture.deliverer().await;
    client.transact(from, rcpts, message).await
}

/// Sends a message from the author's own address to mjl.
async fn send_as(fixture: &Fixture, from: &str, subject: &str) -> String {
    send(fixture, from, &["mjl@example.org"], &text(from, subject)).await
}

pub(crate) fn decisions(fixture: &Fixture, account: &str) -> Vec<Decision> {
    let reader = fixture.account(account).read().unwrap();
    reader.decisions(&DecisionFilter::default(), 100).unwrap()
}

/// The last decision.
#[track_caller]
fn check_last(fixture: &Fixture, outcome: Outcome, reason: Reason, mailbox: &str) {
    let last = decisions(fixture, "mjl").remove(0);
    let got = (last.outcome, last.reason, last.mailbox.as_str());
    assert_eq!(got, (outcome, reason, mailbox), "{:?}", last.explanation);
}

#[track_caller]
fn check_reply(reply: &str, want: &str) {
    assert!(reply.starts_with(want), "{reply}, not {want}");
}

/// What all junk is told.
const VAGUE: &str = "451 4.3.0 error processing the message, try again later";

#[tokio::test(start_paused = true)]
async fn who_sent_wanted_mail_before_is_let_in_and_who_sent_junk_is_not() {
    let fixture = setup(dns());
    check_reply(&send_as(&fixture, "a@client.example", "one").await, "250");
    check_last(&fixture, Outcome::Accepted, Reason::NoBadSignals, "Inbox");
    fixture.mark("mjl", "Inbox", Flags::NOT_JUNK);
    check_reply(&send_as(&fixture, "a@client.example", "two").await, "250");
    check_last(&fixture, Outcome::Accepted, Reason::MsgFromFull, "Inbox");
    let copy = fixture.messages("mjl", "Inbox").pop().unwrap();
    assert!(copy.starts_with("X-Mox-Reason: msgfromfull; "), "{copy}");

    fixture.mark("mjl", "Inbox", Flags::JUNK);
    for times in 1..=2 {
        // A server that tries again, and what is told is told once.
        check_reply(&send_as(&fixture, "a@client.example", "three").await, VAGUE);
        check_last(&fixture, Outcome::Refused, Reason::MsgFromFull, "Inbox");
        assert_eq!(decisions(&fixture, "mjl")[0].times, times);
        assert_eq!(fixture.messages("mjl", "Rejects").len(), 1);
    }
    assert_eq!(fixture.messages("mjl", "Inbox").len(), 2);
    let reject = fixture.messages("mjl", "Rejects").remove(0);
    assert!(reject.starts_with("X-Mox-Reason: msgfromfull; "), "{reject}");
    assert!(addressed(&reject).starts_with("Delivered-To: mjl@example.org\r\n"), "{reject}");

    // The user thinks otherwise: now it comes, and its copy leaves the rejects.
    fixture.mark("mjl", "Inbox", Flags::NOT_JUNK);
    check_reply(&send_as(&fixture, "a@client.example", "three").await, "250");
    assert_eq!(fixture.messages("mjl", "Rejects").len(), 0);
    fixture.check();
}

#[tokio::test(start_paused = true)]
async fn a_rule_takes_what_would_be_refused() {
    let fixture = setup(dns());
    for subject in ["one", "two"] {
        check_reply(&send_as(&fixture, "a@client.example", subject).await, "250");
    }
    fixture.mark("mjl", "Inbox", Flags::JUNK);
    let message = format!("X-Keep:  YES\r\n{}", text("a@client.example", "three"));
    let reply = send(&fixture, "a@client.example", &["mjl@example.org"], &message).await;
    check_reply(&reply, "250");
    check_last(&fixture, Outcome::Accepted, Reason::MsgFromFull, "Doubtful");
    assert_eq!(fixture.messages("mjl", "Doubtful").len(), 1);
    // The header condition is one of the rule.
    check_reply(&send_as(&fixture, "a@client.example", "four").await, VAGUE);
    assert_eq!(fixture.messages("mjl", "Rejects").len(), 1);
    fixture.check();
}

/// RFC 7489 §6.6.2, RFC 7372 §3.3.
#[tokio::test(start_paused = true)]
async fn the_policy_of_the_authors_domain_is_followed() {
    let mut dns = dns_of(&["list.example", "forwarder.example", "loose.example"]);
    for (domain, policy) in
        [("strict.example", "reject"), ("strange.example", "quarantine"), ("loose.example", "none")]
    {
        dns.add_txt(&format!("_dmarc.{domain}"), &format!("v=DMARC1; p={policy}"));
    }
    let fixture = setup(dns);
    let mjl = &["mjl@example.org"];
    for (author, want) in [
        ("a@strict.example", "550 5.7.26"),
        ("a@sub.strict.example", "550 5.7.26"),
        ("a@strange.example", "550 5.7.26"),
        ("a@loose.example", "250"),
        ("a@elsewhere.example", "250"),
    ] {
        let reply = send(&fixture, "a@client.example", mjl, &text(author, author)).await;
        check_reply(&reply, want);
    }
    assert_eq!(fixture.messages("mjl", "Rejects").len(), 3);
    // What a list or a forwarder passes on fails DMARC by their doing.
    let message = text("a@strict.example", "listed");
    for (sender, mailbox, why) in [
        ("list@list.example", "List", "override mailing_list"),
        ("forwarded@forwarder.example", "Inbox", "override forwarded"),
    ] {
        check_reply(&send(&fixture, sender, mjl, &message).await, "250");
        let copy = fixture.messages("mjl", mailbox).pop().unwrap().replace("\r\n\t", " ");
        assert!(copy.contains(&format!("dmarc=fail (without dnssec, {why})")), "{copy}");
    }
    check_last(&fixture, Outcome::Accepted, Reason::NoBadSignals, "Inbox");
    // Who only says to be the list is nobody.
    let reply = send(&fixture, "a@client.example", mjl, &text("a@list.example", "x")).await;
    check_reply(&reply, "250");
    assert_eq!(fixture.messages("mjl", "List").len(), 1);
    fixture.check();
}

#[tokio::test(start_paused = true)]
async fn junk_that_is_forwarded_is_not_held_against_the_forwarder() {
    let fixture = setup(dns_of(&["forwarder.example"]));
    let mjl = &["mjl@example.org"];
    for n in 0..10 {
        let message = text(&format!("spammer{n}@junk{n}.example"), &format!("junk{n}"));
        let sender = "forwarded@forwarder.example";
        check_reply(&send(&fixture, sender, mjl, &message).await, "250");
    }
    fixture.mark("mjl", "Inbox", Flags::JUNK);
    check_reply(&send_as(&fixture, "friend@forwarder.example", "hello").await, "250");
    check_last(&fixture, Outcome::Accepted, Reason::NoBadSignals, "Inbox");
    fixture.check();
    // Without the rule the same junk speaks against the server that sent it.
    let fixture = setup(dns_of(&["forwarder.example"]));
    for n in 0..10 {
        let message = text(&format!("spammer{n}@junk{n}.example"), &format!("junk{n}"));
        let sender = "other@forwarder.example";
        check_reply(&send(&fixture, sender, mjl, &message).await, "250");
    }
    fixture.mark("mjl", "Inbox", Flags::JUNK);
    check_reply(&send_as(&fixture, "friend@forwarder.example", "hello").await, VAGUE);
    check_last(&fixture, Outcome::Refused, Reason::DkimSpf, "Inbox");
}

/// RFC 7208 §8.4, §8.5: a policy of ours, for strangers.
#[tokio::test(start_paused = true)]
async fn strangers_need_a_name_and_must_not_fail_spf() {
    let mut dns = dns();
    dns.add_ips("foreign.example", &["192.0.2.7"]).add_txt("foreign.example", "v=spf1 -all");
    dns.add_ips("soft.example", &["192.0.2.7"]).add_txt("soft.example", "v=spf1 ~all");
    let fixture = setup(dns);
    for sender in ["a@foreign.example", "a@soft.example"] {
        check_reply(&send_as(&fixture, sender, sender).await, VAGUE);
        check_last(&fixture, Outcome::Refused, Reason::SpfPolicy, "Inbox");
    }
    // No name leads back to the client.
    let mut nameless = FakeDns::new();
    nameless.add_ips("client.example", &["192.0.2.7"]);
    let fixture = setup(nameless);
    check_reply(&send_as(&fixture, "a@client.example", "hello").await, VAGUE);
    check_last(&fixture, Outcome::Refused, Reason::JunkContentStrict, "Inbox");
    assert_eq!(fixture.messages("mjl", "Rejects").len(), 1);
}

/// RFC 7372 §3.3.
#[tokio::test(start_paused = true)]
async fn an_address_may_want_proven_senders() {
    let fixture = setup(dns());
    let proven = &["proven@example.org"];
    let message = text("a@client.example", "x");
    check_reply(&send(&fixture, "a@client.example", proven, &message).await, "250");
    let message = text("a@elsewhere.example", "x");
    let reply = send(&fixture, "a@client.example", proven, &message).await;
    check_reply(&reply, "550 5.7.26 prove who you are");
}

fn listed_port() -> Port {
    Port {
        blocklists: vec![Domain::parse("bl.example").unwrap()],
        ..Fixture::port(Service::Delivery)
    }
}

/// RFC 5782 §2.1.
#[tokio::test(start_paused = true)]
async fn strangers_on_a_block_list_are_given_a_code_if_they_are_proven() {
    let mut dns = dns_of(&["proven.example"]);
    dns.add_ips("2.0.0.127.bl.example", &["127.0.0.2"]);
    dns.add_ips("10.0.0.127.bl.example", &["127.0.0.4"]);
    dns.add_txt("_dmarc.proven.example", "v=DMARC1; p=none");
    let fixture = setup(dns);
    let send = async |from: &str, subject: &str| {
        fixture.clock.advance(Duration::from_secs(1));
        let mut client = fixture.client(listed_port()).await;
        client.transact(from, &["mjl@example.org"], &text(from, subject)).await
    };
    // Not proven by DMARC: no code.
    check_reply(&send("a@client.example", "one").await, VAGUE);
    check_last(&fixture, Outcome::Refused, Reason::DnsBlocklisted, "Inbox");
    let reply = send("a@proven.example", "two").await;
    check_reply(&reply, "550 5.7.1 ");
    check_last(&fixture, Outcome::Refused, Reason::GiveSubjectPass, "Inbox");
    let start = reply.find("(pass:").expect("the reply has a code");
    let end = reply[start..].find(')').unwrap() + start + 1;
    let code = &reply[start..end];
    // The code is for its author.
    check_reply(&send("b@proven.example", &format!("three{code}")).await, "550 5.7.1 ");
    check_reply(&send("a@proven.example", &format!("four{code}")).await, "250");
    check_last(&fixture, Outcome::Accepted, Reason::SubjectPass, "Inbox");
    fixture.check();
}

#[tokio::test(start_paused = true)]
async fn the_first_message_of_a_stranger_waits() {
    const DELAY: Duration = Duration::from_secs(15);
    assert!(FIRST_TIME_DELAY.is_zero());

    let fixture = setup(dns());
    let send = async |rcpt: &str, subject: &str| {
        let port = Port { first_time_delay: DELAY, ..Fixture::port(Service::Delivery) };
        fixture.clock.advance(Duration::from_secs(1));
        let mut client = fixture.client(port).await;
        let started = Instant::now();
        let message = text("a@client.example", subject);
        check_reply(&client.transact("a@client.example", &[rcpt], &message).await, "250");
        started.elapsed()
    };
    assert_eq!(send("mjl@example.org", "one").await, DELAY);
    check_last(&fixture, Outcome::Delayed, Reason::NoBadSignals, "Inbox");
    // The account does not want it.
    assert_eq!(send("other@example.org", "two").await, Duration::ZERO);
    fixture.mark("mjl", "Inbox", Flags::NOT_JUNK);
    assert_eq!(send("mjl@example.org", "three").await, Duration::ZERO);
    check_last(&fixture, Outcome::Accepted, Reason::MsgFromFull, "Inbox");
}

#[tokio::test(start_paused = true)]
async fn first_messages_go_to_the_introbox_until_one_is_taken_out() {
    let fixture = setup(dns());
    let other = &["other@example.org"];
    for subject in ["one", "two"] {
        let message = text("a@client.example", subject);
        check_reply(&send(&fixture, "a@client.example", other, &message).await, "250");
    }
    assert_eq!(fixture.messages("other", "Introbox").len(), 2);
    assert_eq!(fixture.messages("other", "Inbox").len(), 0);
    fixture.move_all("other", "Introbox", "Inbox");
    let message = text("a@client.example", "three");
    check_reply(&send(&fixture, "a@client.example", other, &message).await, "250");
    assert_eq!(fixture.messages("other", "Inbox").len(), 3);
    assert_eq!(decisions(&fixture, "other")[0].reason, Reason::MsgFromFull);
    fixture.check();
}

#[tokio::test(start_paused = true)]
async fn the_content_of_strangers_is_judged_by_what_was_learnt() {
    let mut dns = dns_of(&["new.example", "sender.example"]);
    dns.add_txt("_dmarc.new.example", "v=DMARC1; p=none");
    let fixture = setup(dns);
    let ham = "meeting agenda minutes project schedule lunch tuesday colleagues";
    let spam = "winner lottery prize claim casino jackpot bonus urgent transfer";
    let mjl = &["mjl@example.org"];
    let mut client = fixture.deliverer().await;
    for n in 0..60 {
        for (mailbox, words) in [("Trash", spam), ("Archive", ham)] {
            let from = format!("a{n}@sender.example");
            let message = format!("{}{words} {n}\r\n", text(&from, &format!("{mailbox}{n}")));
            check_reply(&client.transact(&from, mjl, &message).await, "250");
            fixture.move_all("mjl", "Inbox", mailbox);
        }
    }
    // As much of both: the server that sent it has no reputation.
    fixture.mark("mjl", "Trash", Flags::JUNK);
    fixture.mark("mjl", "Archive", Flags::NOT_JUNK);
    fixture.learn("mjl").await;
    for (words, want) in [(ham, "250"), (spam, "451 4.3.0")] {
        let from = "a@new.example";
        let message = format!("{}{words}\r\n", text(from, "hello"));
        let reply = send(&fixture, from, mjl, &message).await;
        let explanation = decisions(&fixture, "mjl")[0].explanation.join("\n");
        assert!(reply.starts_with(want), "{reply}, not {want}: {explanation}");
    }
    check_last(&fixture, Outcome::Refused, Reason::JunkContentStrict, "Inbox");
    let explanation = decisions(&fixture, "mjl")[0].explanation.join("\n");
    assert!(explanation.contains("casino"), "{explanation}");
    fixture.check();
}

/// What one member of a list takes goes to all; what none takes is refused as one message.
#[tokio::test(start_paused = true)]
async fn members_of_a_list_have_one_decision() {
    let fixture = setup(dns());
    for subject in ["one", "two"] {
        check_reply(&send_as(&fixture, "a@client.example", subject).await, "250");
    }
    fixture.mark("mjl", "Inbox", Flags::JUNK);
    let team = &["team@example.org"];
    let message = text("a@client.example", "three");
    check_reply(&send(&fixture, "a@client.example", team, &message).await, "250");
    assert_eq!(fixture.messages("mjl", "Inbox").len(), 3);
    assert_eq!(fixture.messages("other", "Introbox").len(), 1);
    check_last(&fixture, Outcome::Accepted, Reason::MsgFromFull, "Inbox");

    fixture.move_all("other", "Introbox", "Inbox");
    for account in ["mjl", "other"] {
        fixture.mark(account, "Inbox", Flags::JUNK);
    }
    let message = text("a@client.example", "four");
    check_reply(&send(&fixture, "a@client.example", team, &message).await, VAGUE);
    assert_eq!(fixture.messages("mjl", "Rejects").len(), 1);
    // An account without such a mailbox keeps the reason alone.
    assert_eq!(decisions(&fixture, "other")[0].outcome, Outcome::Refused);
    fixture.check();
}

/// Each recipient has its own decision; the reply is one. RFC 5321 §4.2.5.
#[tokio::test(start_paused = true)]
async fn recipients_are_decided_upon_one_by_one() {
    let fixture = setup(dns());
    for subject in ["one", "two"] {
        check_reply(&send_as(&fixture, "a@client.example", subject).await, "250");
    }
    fixture.mark("mjl", "Inbox", Flags::JUNK);
    let both = &["mjl@example.org", "other@example.org"];
    let message = text("a@client.example", "three");
    check_reply(&send(&fixture, "a@client.example", both, &message).await, "250");
    assert_eq!(fixture.messages("mjl", "Inbox").len(), 2);
    assert_eq!(fixture.messages("mjl", "Rejects").len(), 1);
    assert_eq!(fixture.messages("other", "Introbox").len(), 1);
}

/// A network may send so much to an account, and no more.
#[tokio::test(start_paused = true)]
async fn a_network_that_sends_too_much_is_told_to_wait() {
    const MESSAGES_MAX: usize = 500;
    const AT_ONCE: usize = 100;

    let fixture = setup(dns());
    let mut client = fixture.deliverer().await;
    let rcpts: Vec<String> = (0..AT_ONCE).map(|n| format!("mjl+{n}@example.org")).collect();
    let rcpts: Vec<&str> = rcpts.iter().map(String::as_str).collect();
    let message = text("a@client.example", "one");
    for _ in 0..MESSAGES_MAX / AT_ONCE {
        check_reply(&client.transact("a@client.example", &rcpts, &message).await, "250");
    }
    check_reply(&send_as(&fixture, "a@client.example", "two").await, "452 4.2.2");
    check_last(&fixture, Outcome::Refused, Reason::HighRate, "Inbox");
    // It is not kept either, and others are not concerned.
    assert_eq!(fixture.messages("mjl", "Rejects").len(), 0);
    let other = &["other@example.org"];
    check_reply(&send(&fixture, "a@client.example", other, &message).await, "250");
}

/// Attack: a header that makes fields of its own out of what is told about it.
#[tokio::test(start_paused = true)]
async fn nothing_of_a_message_gets_into_the_fields_about_it() {
    let fixture = setup(dns());
    let message = "From: =?utf-8?q?a=0d=0aX-Evil:_yes?= <a@client.example>\r\n\
        Subject: =?utf-8?q?x=0d=0aX-Evil:_yes?=\r\n\r\nx\r\n";
    let reply = send(&fixture, "a@client.example", &["mjl@example.org"], message).await;
    check_reply(&reply, "250");
    let copy = fixture.messages("mjl", "Inbox").remove(0);
    assert!(!copy.contains("\nX-Evil"), "{copy}");
    fixture.check();
}

/// Attack: so many signatures, and SPF records that lead on and on, that DNS and the processor would be
/// kept busy.
#[tokio::test(start_paused = true)]
async fn a_hostile_sender_costs_few_questions() {
    const SIGNATURES: usize = 1_000;
    /// Of all methods together; RFC 7208 §4.6.4 and RFC 6376 §6.1 bound the costly ones.
    const QUESTIONS_MAX: usize = 120;

    let mut dns = dns_of(&[]);
    dns.add_ips("client.example", &["192.0.2.7"]);
    for n in 0..50 {
        let (this, next) = (format!("s{n}.evil.example"), format!("s{}.evil.example", n + 1));
        dns.add_ips(&this, &["192.0.2.7"]);
        dns.add_txt(&this, &format!("v=spf1 include:{next} include:{this} redirect={this}"));
    }
    let dns = Arc::new(dns);
    let domains_conf = DOMAINS_CONF.to_owned();
    let resolver = Arc::clone(&dns) as Arc<dyn mox_dns::Resolver>;
    let fixture = Fixture::with(Setup { domains_conf, resolver, ..Setup::default() });
    let signatures: String = (0..SIGNATURES)
        .map(|n| {
            format!(
                "DKIM-Signature: v=1; a=rsa-sha256; d=d{n}.evil.example; s=s; h=from:subject;\r\n\t\
                 bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=AAAA\r\n"
            )
        })
        .collect();
    let message = format!("{signatures}{}", text("a@s0.evil.example", "hello"));
    let reply = send(&fixture, "a@s0.evil.example", &["mjl@example.org"], &message).await;
    check_reply(&reply, "250");
    let asked = dns.take_asked().len();
    assert!(asked <= QUESTIONS_MAX, "{asked}");
    let copy = fixture.messages("mjl", "Inbox").remove(0).replace("\r\n\t", " ");
    assert!(copy.contains(" spf=permerror "), "{copy}");
    assert_eq!(copy.matches(" dkim=").count(), mox_mailauth::dkim::SIGNATURES_MAX + 1);
    assert!(copy.contains("dkim=policy reason=\"too many signatures\""), "{copy}");
    fixture.check();
}

/// Whom the account wrote to is let in, whatever others of the domain sent.
#[tokio::test(start_paused = true)]
async fn who_was_written_to_is_let_in() {
    let fixture = setup(dns());
    for local in ["b", "c", "d"] {
        let from = format!("{local}@client.example");
        check_reply(&send_as(&fixture, &from, local).await, "250");
    }
    fixture.mark("mjl", "Inbox", Flags::JUNK);
    check_reply(&send_as(&fixture, "a@client.example", "one").await, VAGUE);
    check_last(&fixture, Outcome::Refused, Reason::MsgFromDomain, "Inbox");
    fixture.write_to("mjl", "a@client.example");
    check_reply(&send_as(&fixture, "a@client.example", "two").await, "250");
    check_last(&fixture, Outcome::Accepted, Reason::MsgToFull, "Inbox");
    fixture.check();
}

/// What one recipient does not want makes the connection slow, though another takes it.
#[tokio::test(start_paused = true)]
async fn a_sender_of_junk_is_served_slowly() {
    const A_WHILE: Duration = Duration::from_secs(5);

    let fixture = setup(dns());
    for subject in ["one", "two"] {
        check_reply(&send_as(&fixture, "a@client.example", subject).await, "250");
    }
    fixture.mark("mjl", "Inbox", Flags::JUNK);
    let mut client = fixture.deliverer().await;
    let started = Instant::now();
    client.check("NOOP", "250").await;
    assert_eq!(started.elapsed(), Duration::ZERO);
    let both = ["mjl@example.org", "other@example.org"];
    let message = text("a@client.example", "three");
    check_reply(&client.transact("a@client.example", &both, &message).await, "250");
    let started = Instant::now();
    client.check("NOOP", "250").await;
    assert!(started.elapsed() > A_WHILE, "{:?}", started.elapsed());
}

/// Attack: all recipients of one transaction are one account.
#[tokio::test(start_paused = true)]
async fn the_copies_of_one_message_count_too() {
    const MESSAGES_MAX: usize = 500;

    let fixture = setup(dns());
    let rcpts: Vec<String> = (0..=MESSAGES_MAX).map(|n| format!("mjl+{n}@example.org")).collect();
    let rcpts: Vec<&str> = rcpts.iter().map(String::as_str).collect();
    let message = text("a@client.example", "one");
    check_reply(&send(&fixture, "a@client.example", &rcpts, &message).await, "250");
    assert_eq!(fixture.messages("mjl", "Inbox").len(), MESSAGES_MAX);
    let refused = DecisionFilter { outcome: Some(Outcome::Refused), ..DecisionFilter::default() };
    let refused = fixture.account("mjl").read().unwrap().decisions(&refused, 10).unwrap();
    let reasons: Vec<_> = refused.iter().map(|decision| decision.reason).collect();
    assert_eq!(reasons, [Reason::HighRate]);
}

/// A copy that is refused is no traffic: the rate told to come again later, and of a message that is
/// refused by itself some copies were told one thing and some the other.
#[tokio::test(start_paused = true)]
async fn copies_that_are_refused_do_not_count() {
    const MESSAGES_MAX: usize = 500;

    let fixture = setup(dns());
    for subject in ["one", "two"] {
        check_reply(&send_as(&fixture, "a@client.example", subject).await, "250");
    }
    fixture.mark("mjl", "Inbox", Flags::JUNK);
    let rcpts: Vec<String> = (0..=MESSAGES_MAX).map(|n| format!("mjl+{n}@example.org")).collect();
    let rcpts: Vec<&str> = rcpts.iter().map(String::as_str).collect();
    let message = text("a@client.example", "three");
    check_reply(&send(&fixture, "a@client.example", &rcpts, &message).await, VAGUE);
    let refused = DecisionFilter { outcome: Some(Outcome::Refused), ..DecisionFilter::default() };
    let refused = fixture.account("mjl").read().unwrap().decisions(&refused, 1_000).unwrap();
    assert!(refused.iter().all(|decision| decision.reason != Reason::HighRate));
}

/// Attack: a large message to many recipients of one account, which none of them wants.
#[tokio::test(start_paused = true)]
async fn an_account_keeps_a_reject_once() {
    let fixture = setup(dns());
    for subject in ["one", "two"] {
        check_reply(&send_as(&fixture, "a@client.example", subject).await, "250");
    }
    fixture.mark("mjl", "Inbox", Flags::JUNK);
    let rcpts = ["mjl+1@example.org", "mjl+2@example.org", "mjl+3@example.org"];
    // Without a Message-ID: it is known by its bytes.
    let message = "From: <a@client.example>\r\nSubject: three\r\n\r\nx\r\n";
    for _ in 0..2 {
        check_reply(&send(&fixture, "a@client.example", &rcpts, message).await, VAGUE);
        assert_eq!(fixture.messages("mjl", "Rejects").len(), 1);
    }
    let of_each = decisions(&fixture, "mjl");
    let of_each = rcpts.map(|rcpt| of_each.iter().filter(|one| one.rcpt_to == rcpt).count());
    assert_eq!(of_each, [2, 2, 2]);
    fixture.check();
}

/// That a refused message cannot be kept is no business of its sender, and the user hears why it was
/// refused.
#[tokio::test(start_paused = true)]
async fn a_reject_that_does_not_fit_is_told_all_the_same() {
    let domains_conf = DOMAINS_CONF.replacen(
        "\t\tRejectsMailbox: Rejects\n",
        "\t\tRejectsMailbox: Rejects\n\t\tQuotaMessageSize: 3000\n",
        1,
    );
    assert_ne!(domains_conf, DOMAINS_CONF);
    let fixture = Fixture::with(Setup { domains_conf, ..Setup::default() });
    for subject in ["one", "two"] {
        check_reply(&send_as(&fixture, "a@client.example", subject).await, "250");
    }
    fixture.mark("mjl", "Inbox", Flags::JUNK);
    check_reply(&send_as(&fixture, "a@client.example", "three").await, VAGUE);
    check_last(&fixture, Outcome::Refused, Reason::MsgFromFull, "Inbox");
    assert_eq!(fixture.messages("mjl", "Rejects").len(), 0);
    fixture.check();
}
