//! One message, attempt by attempt.

use mox_base::Flags;
use mox_queue::{Change, FIRST_WAIT_SECS, Filter, Kind, NewMessage, Release};
use mox_smtp::dsn::{Notify, Ret};

use crate::remote::listen;
use crate::rig::{HELLO, MESSAGE, Rig, TAKES, mailbox, refuses, takes};

#[tokio::test]
async fn a_message_is_delivered_and_retired() {
    let rig = Rig::new();
    rig.add(&["b@one.example"]);
    let heard = rig.attempt(listen(&[&takes()]).await).await;
    assert_eq!(heard[0].data, [format!("{MESSAGE}.\r\n")]);
    assert_eq!(heard[0].lines[2], "RCPT TO:<b@one.example>");
    assert_eq!(rig.queued(), []);
    let [retired] = &rig.retired()[..] else { panic!("{:?}", rig.retired()) };
    let result = retired.message.results.last().unwrap();
    assert!(retired.is_success && result.is_success);
    assert_eq!((result.code, result.enhanced), (Some(250), Some((2, 6, 0))));
    assert_eq!(result.remote_mta.as_deref(), Some("mx.one.example"));
    assert_eq!(result.remote_ip, Some("127.0.0.1".parse().unwrap()));
    assert!(rig.mail("a", "Inbox").is_empty());
}

/// RFC 5321 §4.5.4.1.
#[tokio::test]
async fn what_was_refused_for_now_is_tried_again_when_it_is_due() {
    let rig = Rig::new();
    rig.add(&["b@one.example"]);
    rig.attempt(listen(&[&refuses("451 4.7.1 come back later")]).await).await;
    let [queued] = &rig.queued()[..] else { panic!("{:?}", rig.queued()) };
    assert_eq!((queued.attempts, queued.is_leased), (1, false));
    let wait = queued.next_attempt.secs_since(rig.now());
    assert!((FIRST_WAIT_SECS - 5..=FIRST_WAIT_SECS + 4).contains(&wait), "{wait}");
    let result = &queued.results[0];
    assert_eq!((result.is_success, result.code), (false, Some(451)));
    assert_eq!(queued.dialed_ips["mx.one.example"].len(), 1);

    // Not a second too early: the other message goes alone.
    rig.clock.set(queued.next_attempt.plus_secs(-1));
    rig.add(&["c@two.example"]);
    let heard = rig.attempt(listen(&[&takes()]).await).await;
    assert_eq!(heard[0].lines[2], "RCPT TO:<c@two.example>");
    rig.advance_to_due();
    rig.attempt(listen(&[&takes()]).await).await;
    assert_eq!(rig.queued(), []);
    assert!(rig.retired().iter().all(|retired| retired.is_success));
    assert!(rig.mail("a", "Inbox").is_empty(), "nobody needs to know of one failure");
}

/// RFC 3464, RFC 3461 §6.
#[tokio::test]
async fn a_sender_is_told_of_a_failure_with_all_that_was_said() {
    let rig = Rig::new();
    rig.add(&["b@one.example"]);
    let (addr, played) = listen(&[&refuses("550 5.1.1 nobody of that name")]).await;
    let running = rig.start(addr.port());
    let mail = rig.until_mail(&running, ("a", "Inbox"), 1).await;
    running.stop().await;
    played.await.unwrap();
    mail[0].check(&[
        "Return-Path: <>",
        "Delivered-To: a@example.org",
        "Final-Recipient: rfc822; b@one.example",
        "Action: failed",
        "References: <tale@example.org>",
        "Auto-Submitted: auto-replied",
        "Subject: tale",
    ]);
    for part in
        ["Status: 5.1.1", "Remote-MTA: dns; mx.one.example", "550 5.1.1 nobody of that name"]
    {
        assert!(mail[0].text.contains(part), "{part} is not in\n{}", mail[0].text);
    }
    assert!(!mail[0].text.contains("Once upon a time"), "the header is enough");
    assert!(!mail[0].flags.contains(Flags::SEEN));
    assert_eq!(rig.queued(), []);
    assert!(!rig.retired()[0].is_success);
    assert!(rig.queue.pending_notices(1).unwrap().is_empty());
    let (account, address) = ("a", mailbox("b@one.example"));
    assert!(rig.queue.suppressed(account, &address).unwrap().is_some());
}

#[tokio::test]
async fn the_fifth_failure_is_told_of_as_a_delay_and_the_eighth_ends_it() {
    let rig = Rig::new();
    rig.add(&["b@one.example"]);
    for attempt in 1..=8 {
        rig.advance_to_due();
        let (addr, played) = listen(&[&refuses("450 4.2.1 still busy")]).await;
        let running = rig.start(addr.port());
        let told = match attempt {
            1..=4 => 0,
            5..=7 => 1,
            _ => 2,
        };
        rig.until_mail(&running, ("a", "Inbox"), told).await;
        played.await.unwrap();
        running.stop().await;
        let mail = rig.mail("a", "Inbox");
        assert_eq!(mail.len(), told, "after attempt {attempt}");
        assert_eq!(rig.queued().len(), usize::from(attempt < 8), "after attempt {attempt}");
        if attempt == 5 {
            mail[0].check(&["Action: delayed"]);
            assert!(mail[0].text.contains("Will-Retry-Until: "), "{}", mail[0].text);
        }
    }
    rig.mail("a", "Inbox")[1].check(&["Action: failed"]);
    assert_eq!(rig.retired()[0].message.results.len(), 8);
}

#[tokio::test]
async fn a_message_may_have_fewer_attempts() {
    let rig = Rig::new();
    let message = rig.message("a@example.org", &["b@one.example"]);
    rig.queue(NewMessage { attempts_max: Some(1), ..message });
    let (addr, played) = listen(&[&refuses("450 4.2.1 busy")]).await;
    let running = rig.start(addr.port());
    rig.until_mail(&running, ("a", "Inbox"), 1).await[0].check(&["Action: failed"]);
    running.stop().await;
    played.await.unwrap();
}

/// RFC 3461 §4.1, §5.2: what the sender wants to be told.
#[tokio::test]
async fn wishes_for_notices_are_heard() {
    let rig = Rig::new();
    let mut message = rig.message("a@example.org", &["b@one.example"]);
    message.recipients[0].notify = Some(Notify::NEVER);
    rig.queue(message);
    rig.attempt(listen(&[&refuses("550 5.1.1 no")]).await).await;
    assert!(rig.mail("a", "Inbox").is_empty() && rig.queued().is_empty());

    // A server that has DSN is told, and is then the one to report.
    let success = Some(Notify::when(true, false, false));
    let mut message = rig.message("a@example.org", &["c@two.example"]);
    message.recipients[0].notify = success;
    message.recipients[0].orcpt = Some("rfc822;c@old.example".to_owned());
    (message.ret, message.envid) = (Some(Ret::Hdrs), Some("tale 1".to_owned()));
    rig.queue(message);
    let heard = rig.attempt(listen(&[&takes()]).await).await;
    assert_eq!(
        heard[0].lines[1..3],
        [
            "MAIL FROM:<a@example.org> RET=HDRS ENVID=tale+201",
            "RCPT TO:<c@two.example> NOTIFY=SUCCESS ORCPT=rfc822;c@old.example"
        ]
    );
    assert!(rig.mail("a", "Inbox").is_empty());

    // For one that does not, we say where the message went.
    let mut message = rig.message("a@example.org", &["d@three.example"]);
    message.recipients[0].notify = success;
    rig.queue(message);
    let (addr, played) = listen(&[&takes().replace("250 DSN", "250 HELP")]).await;
    let running = rig.start(addr.port());
    let mail = rig.until_mail(&running, ("a", "Inbox"), 1).await;
    mail[0].check(&["Action: relayed", "Final-Recipient: rfc822; d@three.example"]);
    running.stop().await;
    assert_eq!(played.await.unwrap()[0].lines[2], "RCPT TO:<d@three.example>");
}

/// RFC 5321 §4.5.5: nobody is told about reports; and a DMARC report is told of where nobody needs to
/// look.
#[tokio::test]
async fn failures_of_reports_stay_quiet() {
    let rig = Rig::new();
    let notice = rig.message("", &["b@one.example"]);
    rig.queue(NewMessage { kind: Kind::Notice, ..notice });
    rig.attempt(listen(&[&refuses("550 5.1.1 no")]).await).await;
    assert!(rig.queued().is_empty() && rig.mail("a", "Inbox").is_empty());

    let report = rig.message("postmaster@example.org", &["b@two.example"]);
    let account = "post".to_owned();
    rig.queue(NewMessage { kind: Kind::DmarcReport, account, ..report });
    let (addr, played) = listen(&[&refuses("550 5.1.1 no")]).await;
    let running = rig.start(addr.port());
    let mail = rig.until_mail(&running, ("post", "Postmaster/dmarc"), 1).await;
    assert!(mail[0].flags.contains(Flags::SEEN));
    running.stop().await;
    played.await.unwrap();
}

#[tokio::test]
async fn notices_of_an_account_that_is_gone_go_to_the_postmaster() {
    let rig = Rig::new();
    let message = rig.message("old@example.org", &["b@one.example"]);
    rig.queue(NewMessage { account: "gone".to_owned(), ..message });
    let (addr, played) = listen(&[&refuses("550 5.1.1 no")]).await;
    let running = rig.start(addr.port());
    let mail = rig.until_mail(&running, ("post", "Postmaster"), 1).await;
    mail[0].check(&["Action: failed"]);
    running.stop().await;
    played.await.unwrap();
}

/// RFC 1047: the message may be there. It is sent again all the same, and once.
#[tokio::test]
async fn a_server_that_goes_away_after_the_message_gets_it_again() {
    let rig = Rig::new();
    rig.add(&["b@one.example"]);
    let cut = format!("{HELLO}{}", TAKES.replace("S: 250 2.6.0 taken", "CLOSE"));
    rig.attempt(listen(&[&cut]).await).await;
    assert_eq!(rig.queued()[0].attempts, 1);
    rig.advance_to_due();
    rig.attempt(listen(&[&takes()]).await).await;
    assert_eq!(rig.queued(), []);
}

#[tokio::test]
async fn a_sender_that_sleeps_is_woken() {
    let rig = Rig::new();
    let (addr, played) = listen(&[&takes()]).await;
    let running = rig.start(addr.port());
    rig.add(&["b@one.example"]);
    assert_eq!(played.await.unwrap()[0].data.len(), 1);
    running.stop().await;

    let message = rig.message("a@example.org", &["c@two.example"]);
    let at = rig.now().plus_secs(3_600);
    let release = Some(Release { at, request: "for;3600".to_owned() });
    rig.queue(NewMessage { release, ..message });
    let (addr, played) = listen(&[&takes()]).await;
    let running = rig.start(addr.port());
    let change = Change::Schedule { from_now: true, secs: 0 };
    rig.queue.change(Filter::default(), change, rig.now()).wait().unwrap();
    assert_eq!(played.await.unwrap()[0].lines[2], "RCPT TO:<c@two.example>");
    running.stop().await;
    assert_eq!(rig.queued(), []);
}

/// A stop is no failure of the message, as long as no server has heard of it.
#[tokio::test]
async fn a_stop_before_the_message_costs_no_attempt() {
    let mut rig = Rig::new();
    rig.waits.stop = std::time::Duration::ZERO;
    rig.add(&["a@one.example"]);
    let silent = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let running = rig.start(silent.local_addr().unwrap().port());
    let (held, _) = silent.accept().await.unwrap();
    running.stop().await;
    drop(held);
    let [message] = &rig.queued()[..] else { panic!("one") };
    assert_eq!((message.attempts, message.is_leased, message.results.len()), (0, false, 0));
    assert!(message.next_attempt <= rig.now());
}
