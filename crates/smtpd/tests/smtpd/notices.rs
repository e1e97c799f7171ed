//! Messages that some recipients get and others do not: the sender hears of it by mail.

use std::io::Cursor;

use mox_mailauth::dkim::Status;
use mox_queue::Kind;
use mox_reports::dsn::{Action, ParsedDsn, parse};
use mox_smtp::ReversePath;

use crate::sending::{signatures, signing};
use crate::support::{Fixture, Sent, Setup};

const SENDER: &str = "a@client.example";

/// To an address that takes it, and to an alias that strangers may not write to.
const RCPTS: [&str; 2] = ["mjl@example.org", "staff@example.org"];

const MESSAGE: &str = "From: <a@client.example>\r\nMessage-ID: <1@client.example>\r\n\
    Subject: lunch\r\n\r\nsecret\r\n";

fn dsn(sent: &Sent) -> ParsedDsn {
    parse(&mut Cursor::new(&sent.text)).unwrap()
}

/// RFC 5321 §6.1, RFC 3464 §2.
#[tokio::test]
async fn the_sender_is_told_of_those_that_failed() {
    let fixture = Fixture::new();
    let mut client = fixture.deliverer().await;
    let rcpts = ["mjl@example.org", "staff@example.org", "other@example.org", "Staff@example.org"];
    let reply = client.transact(SENDER, &rcpts, MESSAGE).await;
    assert!(reply.starts_with("250"), "{reply}");
    assert_eq!(fixture.counts(["mjl", "other"]), [1, 1]);
    let sent = fixture.only_queued();
    assert_eq!((sent.to().as_str(), &sent.row.mail_from), (SENDER, &ReversePath::Null));
    assert_eq!((sent.row.kind, sent.row.account.as_str()), (Kind::Notice, "mjl"));
    assert_eq!((sent.row.require_tls, sent.row.has_utf8_body), (None, false));
    let (header, text) = sent.text.split_once("\r\n\r\n").unwrap();
    assert!(header.contains("From: <postmaster@example.org>"), "{header}");
    assert!(header.contains("References: <1@client.example>"), "{header}");
    assert!(
        text.contains("Subject: lunch") && !text.contains("secret"),
        "only the header goes back"
    );
    let dsn = dsn(&sent);
    let failed: Vec<_> = dsn.recipients.iter().map(|one| (one.action, one.status)).collect();
    assert_eq!(failed.len(), 2);
    for (action, status) in failed {
        assert_eq!((action, status.to_string().as_str()), (Action::Failed, "5.7.2"));
    }
}

/// RFC 3461 §4.1: not everybody wants to hear of it.
#[tokio::test]
async fn who_does_not_want_to_hear_is_not_told() {
    for (notify, want) in
        [("", 1), (" NOTIFY=FAILURE", 1), (" NOTIFY=NEVER", 0), (" NOTIFY=SUCCESS,DELAY", 0)]
    {
        let fixture = Fixture::new();
        let mut client = fixture.deliverer().await;
        client.check("MAIL FROM:<a@client.example> ENVID=e1", "250").await;
        client.check("RCPT TO:<mjl@example.org>", "250").await;
        let orcpt = "ORCPT=rfc822;team@x.example";
        client.check(&format!("RCPT TO:<staff@example.org> {orcpt}{notify}"), "250").await;
        assert!(client.data(MESSAGE).await.starts_with("250"));
        let queued = fixture.queued();
        assert_eq!(queued.len(), want, "{notify}");
        for sent in &queued {
            assert!(sent.text.contains("Original-Envelope-Id: e1\r\n"));
            assert!(sent.text.contains("Original-Recipient: rfc822; team@x.example\r\n"));
        }
    }
}

/// RFC 3461 §4.1: who asks for it hears of what was delivered, if the address is proven theirs.
#[tokio::test]
async fn who_wants_to_hear_of_deliveries_is_told() {
    for (sender, notify, want) in [
        (SENDER, " NOTIFY=SUCCESS ORCPT=rfc822;me@old.example", 1),
        (SENDER, " NOTIFY=FAILURE,DELAY,SUCCESS", 1),
        (SENDER, " NOTIFY=FAILURE", 0),
        (SENDER, "", 0),
        // SPF says nothing of this one.
        ("a@b.example", " NOTIFY=SUCCESS", 0),
        ("", " NOTIFY=SUCCESS", 0),
    ] {
        let fixture = Fixture::new();
        let mut client = fixture.deliverer().await;
        client.check(&format!("MAIL FROM:<{sender}> ENVID=e1"), "250").await;
        client.check(&format!("RCPT TO:<mjl@example.org>{notify}"), "250").await;
        let reply = client.data(MESSAGE).await;
        assert!(reply.starts_with("250"), "{sender}: {reply}");
        let queued = fixture.queued();
        assert_eq!(queued.len(), want, "{sender}{notify}");
        for sent in &queued {
            assert_eq!((sent.to().as_str(), &sent.row.mail_from), (sender, &ReversePath::Null));
            let dsn = dsn(sent);
            let told = dsn.recipients.iter().map(|one| (one.action, one.status.to_string()));
            assert_eq!(told.collect::<Vec<_>>(), [(Action::Delivered, "2.1.5".to_owned())]);
            assert!(!sent.text.contains("secret"), "only the header goes back");
        }
    }
}

/// One notice tells of both.
#[tokio::test]
async fn failures_and_deliveries_are_told_together() {
    let fixture = Fixture::new();
    let mut client = fixture.deliverer().await;
    client.check(&format!("MAIL FROM:<{SENDER}>"), "250").await;
    for rcpt in RCPTS {
        client.check(&format!("RCPT TO:<{rcpt}> NOTIFY=SUCCESS,FAILURE"), "250").await;
    }
    assert!(client.data(MESSAGE).await.starts_with("250"));
    let dsn = dsn(&fixture.only_queued());
    let actions: Vec<_> = dsn.recipients.iter().map(|one| one.action).collect();
    assert_eq!(actions, [Action::Failed, Action::Delivered]);
}

#[tokio::test]
async fn what_is_refused_for_all_or_taken_for_all_needs_no_notice() {
    let fixture = Fixture::new();
    let mut client = fixture.deliverer().await;
    assert!(client.transact(SENDER, &RCPTS[..1], MESSAGE).await.starts_with("250"));
    assert!(client.transact(SENDER, &RCPTS[1..], MESSAGE).await.starts_with("550 5.7.2"));
    assert!(fixture.queued().is_empty());
    // A localserve has nobody to tell.
    let setup = Setup::default();
    let mox_conf = setup.mox_conf.replace("mjl", "mox");
    let domains_conf = setup.domains_conf.replace("mjl", "mox");
    let fixture = Fixture::with(Setup { is_localserve: true, mox_conf, domains_conf, ..setup });
    let mut client = fixture.deliverer().await;
    let reply = client.transact(SENDER, &["mox@example.org", "x550@example.org"], MESSAGE).await;
    assert!(reply.starts_with("250"), "{reply}");
    assert!(fixture.queued().is_empty());
}

/// RFC 6376 §5.
#[tokio::test]
async fn notices_are_signed() {
    let fixture = signing();
    let mut client = fixture.deliverer().await;
    assert!(client.transact(SENDER, &RCPTS, MESSAGE).await.starts_with("250"));
    let signatures = signatures(&fixture.only_queued().text);
    assert!(signatures.len() == 2 && signatures.iter().all(|(_, state)| *state == Status::Pass));
}

/// RFC 6533 §4.
#[tokio::test]
async fn notices_of_international_mail_have_two_forms() {
    for (sender, has_two) in [("a", true), ("é", false)] {
        let fixture = Fixture::new();
        let mut client = fixture.deliverer().await;
        client.check(&format!("MAIL FROM:<{sender}@client.example> SMTPUTF8"), "250").await;
        for rcpt in RCPTS {
            client.check(&format!("RCPT TO:<{rcpt}>"), "250").await;
        }
        let message = MESSAGE.replace("lunch", "déjeuner");
        assert!(client.data(&message).await.starts_with("250"));
        let sent = fixture.only_queued();
        assert_eq!((sent.row.has_utf8_body, sent.row.needs_utf8), (has_two, !has_two));
        let name = "message/global-delivery-status";
        assert_eq!(sent.text.contains(name), !has_two);
        assert_eq!(sent.text.is_ascii(), has_two);
    }
}
