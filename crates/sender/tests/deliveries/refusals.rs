//! Messages that do not leave.

use mox_base::{Domain, Flags};
use mox_queue::{Change, Filter, HoldRule, NewMessage};

use crate::remote::listen;
use crate::rig::{Rig, mailbox, refuses, takes};

/// Fails without a connection, for good.
#[track_caller]
fn check_failed(rig: &Rig, mail: &[crate::rig::Received], text: &str) {
    let [mail] = mail else { panic!("{mail:?}") };
    assert!(mail.text.contains("Action: failed"), "{}", mail.text);
    assert!(mail.text.contains(text), "{text} is not in\n{}", mail.text);
    assert_eq!(mail.flags, Flags::NONE);
    assert_eq!(rig.queued(), []);
    assert!(!rig.retired()[0].is_success);
}

#[tokio::test]
async fn suppressed_addresses_get_nothing() {
    let rig = Rig::new();
    let now = rig.now();
    rig.queue.suppress("a", &mailbox("b.c@one.example"), "asked for it", now).wait().unwrap();
    rig.add(&["bc+tag@one.example"]);
    let mail = rig.alone(1).await;
    check_failed(&rig, &mail, "suppress");
    assert!(rig.retired()[0].message.dialed_ips.is_empty());
}

/// RFC 7505 §4.1.
#[tokio::test]
async fn domains_without_mail_are_not_tried() {
    let rig = Rig::new();
    rig.add(&["b@null.example"]);
    let mail = rig.alone(1).await;
    check_failed(&rig, &mail, "Status: 5.1.10");
}

/// RFC 5321 §5.1.
#[tokio::test]
async fn domains_that_do_not_exist_are_not_tried() {
    let rig = Rig::new();
    rig.add(&["b@nowhere.example"]);
    let mail = rig.alone(1).await;
    check_failed(&rig, &mail, "Status: 5.1.2");
}

#[tokio::test]
async fn a_route_can_fail_messages() {
    let rig = Rig::new();
    rig.add(&["b@routed.example"]);
    let mail = rig.alone(1).await;
    check_failed(&rig, &mail, "not from here");
}

/// RFC 8689 §4.2.1: no way to prove who the server is.
#[tokio::test]
async fn required_tls_without_proof_fails_at_once() {
    let rig = Rig::new();
    let message = rig.message("a@example.org", &["b@one.example"]);
    rig.queue(NewMessage { require_tls: Some(true), ..message });
    let mail = rig.alone(1).await;
    check_failed(&rig, &mail, "Status: 5.7.30");
}

/// Waits without a connection.
async fn check_delayed(rig: &Rig, text: &str) {
    let running = rig.start(1);
    let is_delayed = |rig: &Rig| {
        let queued = rig.queued();
        queued.iter().all(|message| !message.is_leased && message.attempts == 1)
    };
    rig.until(is_delayed).await;
    running.stop().await;
    let queued = rig.queued();
    let result = queued[0].results.last().unwrap();
    assert!(result.text.contains(text), "{text} is not in {result:?}");
    assert!(rig.mail("a", "Inbox").is_empty());
}

#[tokio::test]
async fn some_failures_end_by_themselves() {
    let rig = Rig::new();
    rig.queue(rig.message("a@off.example", &["b@one.example"]));
    check_delayed(&rig, "disabled").await;

    let rig = Rig::new();
    rig.add(&["b@later.example"]);
    check_delayed(&rig, "transport fail").await;

    let rig = Rig::new();
    let transport = Some("unknown".to_owned());
    rig.queue(NewMessage { transport, ..rig.message("a@example.org", &["b@one.example"]) });
    check_delayed(&rig, "unknown").await;

    // Nobody listens.
    let rig = Rig::new();
    rig.add(&["b@one.example"]);
    check_delayed(&rig, "").await;

    let mut dns = crate::rig::dns();
    let timeout = mox_dns::DnsError::Temporary(mox_dns::Trouble::Timeout);
    dns.fail("mx.one.example", mox_dns::RecordType::A, timeout);
    let rig = Rig::asking(dns);
    rig.add(&["b@one.example"]);
    check_delayed(&rig, "mx.one.example").await;
}

#[tokio::test]
async fn held_messages_stay_until_they_are_let_go() {
    let rig = Rig::new();
    let rcpt_domain = Some(Domain::parse("one.example").unwrap());
    let rule = HoldRule { rcpt_domain, ..HoldRule::default() };
    let (rule, _) = rig.queue.add_hold_rule(rule).wait().unwrap();
    rig.add(&["b@one.example"]);
    rig.add(&["c@two.example"]);
    let heard = rig.attempt(listen(&[&takes()]).await).await;
    assert_eq!(heard[0].lines[2], "RCPT TO:<c@two.example>");
    rig.queue.remove_hold_rule(rule).wait().unwrap();
    assert!(rig.queued()[0].is_held && rig.queued()[0].attempts == 0);

    let (addr, played) = listen(&[&takes()]).await;
    let running = rig.start(addr.port());
    rig.queue.change(Filter::default(), Change::Hold(false), rig.now()).wait().unwrap();
    assert_eq!(played.await.unwrap()[0].lines[2], "RCPT TO:<b@one.example>");
    running.stop().await;
    assert_eq!(rig.queued(), []);
}

#[tokio::test]
async fn an_administrator_can_end_messages() {
    let rig = Rig::new();
    rig.queue.add_hold_rule(HoldRule::default()).wait().unwrap();
    rig.add(&["b@one.example"]);
    let running = rig.start(1);
    assert_eq!(running.sender.fail(Filter::default()).await.unwrap(), 1);
    let mail = rig.until_mail(&running, ("a", "Inbox"), 1).await;
    check_failed(&rig, &mail, "delivery canceled by admin");
    let (account, address) = ("a", mailbox("b@one.example"));
    assert!(rig.queue.suppressed(account, &address).unwrap().is_none());

    rig.add(&["b@one.example"]);
    assert_eq!(running.sender.remove(Filter::default()).await.unwrap(), 1);
    assert_eq!(rig.queued(), []);
    running.stop().await;
    assert_eq!(rig.mail("a", "Inbox").len(), 1, "nobody is told");
}

/// Addresses are suppressed for what says that they do not exist, not for what is said of a message.
#[tokio::test]
async fn not_every_refusal_suppresses() {
    for (reply, want) in [("550 5.1.1 unknown", true), ("554 5.6.0 bad message", false)] {
        let rig = Rig::new();
        rig.add(&["b@one.example"]);
        rig.attempt(listen(&[&refuses(reply)]).await).await;
        let found = rig.queue.suppressed("a", &mailbox("b@one.example")).unwrap();
        assert_eq!(found.is_some(), want, "{reply}");
    }
}

/// A rule with 550 put each recipient on the list, for longer than the rule was there: what we refuse
/// says nothing about an address, however often.
#[tokio::test]
async fn our_own_rules_suppress_nobody() {
    for (rcpt, require_tls) in [("b@routed.example", None), ("b@one.example", Some(true))] {
        let rig = Rig::new();
        for count in 1..=3 {
            let message = rig.message("a@example.org", &[rcpt]);
            rig.queue(NewMessage { require_tls, ..message });
            rig.alone(count).await;
        }
        let retired = rig.retired();
        let codes: Vec<_> = retired.iter().map(|one| one.message.results[0].code).collect();
        assert!(codes.len() == 3 && codes.iter().all(Option::is_some), "{codes:?}");
        assert_eq!(rig.queue.suppressed("a", &mailbox(rcpt)).unwrap(), None);
    }
}
