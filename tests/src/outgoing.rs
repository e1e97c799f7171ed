//! From submission through the queue, by SMTP, to IMAP.

use std::sync::Arc;

use mox::service::Service;
use mox_queue::{Change, Filter, HoldRule, Queued, Sort};
use tokio::sync::Notify;

use crate::client::Client;
use crate::server::TestServer;

const MESSAGE: &str = "From: <mox@localhost>\r\n\
    To: <friend@elsewhere.example>\r\n\
    Subject: there and back\r\n\
    Date: Fri, 20 Nov 2026 10:00:00 +0000\r\n\
    Message-ID: <loop@localhost>\r\n\
    \r\n\
    first line\r\n\
    ..a dot\r\n";

async fn submitter(server: &TestServer) -> Client {
    let mut smtp = server.smtp(Service::Submissions).await;
    // "\0mox@localhost\0moxmoxmox", RFC 4616.
    smtp.reply("AUTH PLAIN AG1veEBsb2NhbGhvc3QAbW94bW94bW94", "235").await;
    smtp
}

/// Waits in IDLE until the Inbox has so many messages.
async fn until_exists(imap: &mut Client, count: usize) {
    imap.send("i1 IDLE").await;
    imap.expect("+ ").await;
    // It may have come before.
    while imap.expect("* ").await != format!("* {count} EXISTS") {}
    imap.send("DONE").await;
    imap.until_ok("i1").await;
}

async fn fetch(imap: &mut Client, number: usize, what: &str) -> String {
    imap.ask(&format!("f1 FETCH {number} {what}")).await.join("\n")
}

fn queued(server: &TestServer) -> Vec<Queued> {
    server.server().services().queue.list(&Filter::default(), &Sort::default()).unwrap()
}

/// Waits until something is true of the queue.
async fn until(server: &TestServer, is_true: impl Fn(&[Queued]) -> bool) {
    let changed = Arc::new(Notify::new());
    let notify = Arc::clone(&changed);
    server.server().services().queue.on_change(Arc::new(move || notify.notify_one()));
    while !is_true(&queued(server)) {
        changed.notified().await;
    }
}

/// RFC 5321 §3.3, §4.4: what arrives is what was sent, with a trace field for each hop.
#[tokio::test]
async fn what_is_submitted_comes_back_through_the_queue() {
    let server = TestServer::start().await;
    let mut imap = server.inbox().await;
    let mut smtp = submitter(&server).await;
    smtp.send_message("mox@localhost", &["friend@elsewhere.example"], MESSAGE).await;
    until_exists(&mut imap, 1).await;
    let header = fetch(&mut imap, 1, "BODY.PEEK[HEADER]").await;
    assert_eq!(header.matches("\nReceived: ").count(), 2, "{header}");
    for field in ["Return-Path: <mox@localhost>", "Delivered-To: ", "Subject: there and back"] {
        assert!(header.contains(field), "{field} is missing in\n{header}");
    }
    assert_eq!(header.matches("Message-ID:").count(), 1, "{header}");
    let text = fetch(&mut imap, 1, "BODY.PEEK[TEXT]").await;
    assert!(text.contains("first line\n.a dot"), "{text}");
    drop((smtp, imap));
    // What was begun is ended.
    let server = server.restart().await;
    assert_eq!(queued(&server), []);
    server.stop().await;
}

#[tokio::test]
async fn the_queue_of_a_localserve_fails_on_demand() {
    let server = TestServer::start().await;
    let mut imap = server.inbox().await;
    let mut smtp = submitter(&server).await;
    let rcpts = ["queuepermerror@elsewhere.example", "queue452@elsewhere.example"];
    smtp.send_message("mox@localhost", &rcpts, MESSAGE).await;
    until_exists(&mut imap, 1).await;
    let report = fetch(&mut imap, 1, "BODY.PEEK[]").await;
    for part in [
        "report-type=\"delivery-status\"",
        "Action: failed",
        "queuepermerror@elsewhere.example",
        "References: <loop@localhost>",
    ] {
        assert!(report.contains(part), "{part} is missing in\n{report}");
    }
    until(&server, |queued| queued.iter().all(|one| !one.is_leased)).await;
    let [left] = &queued(&server)[..] else { panic!("{:?}", queued(&server)) };
    assert_eq!((left.attempts, left.results[0].code), (1, Some(452)));
    drop((smtp, imap));
    server.stop().await;
}

#[tokio::test]
async fn what_is_queued_outlives_a_restart() {
    let server = TestServer::start().await;
    let queue = server.server().services().queue.clone();
    let (rule, _) = queue.add_hold_rule(HoldRule::default()).wait().unwrap();
    let mut smtp = submitter(&server).await;
    let rcpts = ["a@elsewhere.example", "b@elsewhere.example", "c@faraway.example"];
    smtp.send_message("mox@localhost", &rcpts, MESSAGE).await;
    assert_eq!(queued(&server).len(), 3);
    drop((smtp, queue));
    let server = server.restart().await;
    assert!(queued(&server).iter().all(|one| one.is_held && one.attempts == 0));

    let mut imap = server.inbox().await;
    let services = server.server().services();
    services.queue.remove_hold_rule(rule).wait().unwrap();
    let now = services.clock.now();
    let changed = services.queue.change(Filter::default(), Change::Hold(false), now).wait();
    assert_eq!(changed.unwrap(), 3);
    until_exists(&mut imap, 3).await;
    drop(imap);
    let server = server.restart().await;
    assert_eq!(queued(&server), []);
    server.stop().await;
}

/// RFC 4865 §4: not before its time.
#[tokio::test]
async fn a_message_for_later_stays() {
    let server = TestServer::start().await;
    let mut imap = server.inbox().await;
    let mut smtp = submitter(&server).await;
    smtp.reply("MAIL FROM:<mox@localhost> HOLDFOR=3600", "250").await;
    smtp.reply("RCPT TO:<friend@elsewhere.example>", "250").await;
    smtp.reply("DATA", "354").await;
    smtp.reply(&format!("{MESSAGE}."), "250").await;
    // One that may go at once does not take it along.
    smtp.send_message("mox@localhost", &["friend@elsewhere.example"], MESSAGE).await;
    until_exists(&mut imap, 1).await;
    drop((smtp, imap));
    let server = server.restart().await;
    let waiting = queued(&server);
    assert_eq!(waiting.len(), 1);
    assert_eq!((waiting[0].attempts, waiting[0].is_held), (0, false));
    assert_eq!(waiting[0].next_attempt.secs_since(waiting[0].queued), 3_600);
    server.stop().await;
}
