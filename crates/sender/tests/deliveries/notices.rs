//! Notices on their way into accounts.

use mox_queue::{Filter, NewMessage, NewNotice, Outcome, Settlement};
use mox_smtp::dsn::Ret;

use crate::rig::{MESSAGE, Rig};

fn notice(account: &str, id: &str) -> NewNotice {
    NewNotice {
        account: account.to_owned(),
        mailbox: "Inbox".to_owned(),
        is_seen: false,
        message_id: format!("<{id}@example.org>"),
        body: format!("Message-Id: <{id}@example.org>\r\n\r\nnews\r\n").into_bytes(),
    }
}

/// The outbox stood still behind a notice of an account that is gone.
#[tokio::test]
async fn a_notice_of_an_account_that_is_gone_is_for_the_postmaster_and_keeps_no_other() {
    let rig = Rig::new();
    rig.add(&["b@one.example"]);
    let lease = rig.queue.lease_found(Filter::default(), rig.now()).wait().unwrap().remove(0);
    // No account has such a name.
    let notices = vec![notice(".gone", "1"), notice("a", "2")];
    let settlement =
        Settlement { notices, ..Settlement::new(lease.id, rig.now(), Outcome::Dropped) };
    rig.queue.settle(vec![settlement], rig.now()).wait().unwrap();
    rig.alone(1).await;
    rig.mail("a", "Inbox")[0].check(&["Message-Id: <2@example.org>"]);
    rig.mail("post", "Postmaster")[0].check(&["Message-Id: <1@example.org>"]);
    assert!(rig.queue.pending_notices(1).unwrap().is_empty());
}

/// More than may wait for the writer at once was never written down: the message would have been sent
/// again after a restart, and its place was never free. RFC 3461 §4.3.
#[tokio::test]
async fn many_notices_with_all_of_a_large_message_are_written_down() {
    const RCPTS: usize = 70;
    let rig = Rig::new();
    let text = format!("{MESSAGE}{}", format!("{}\r\n", "x".repeat(998)).repeat(1_000));
    let rcpts: Vec<String> = (0..RCPTS).map(|number| format!("r{number}@routed.example")).collect();
    let rcpts: Vec<&str> = rcpts.iter().map(String::as_str).collect();
    let message = rig.message("a@example.org", &rcpts);
    rig.queue(NewMessage { body: rig.body(&text), ret: Some(Ret::Full), ..message });
    let mail = rig.alone(RCPTS).await;
    assert_eq!(mail.len(), RCPTS);
    assert!(mail.iter().all(|mail| mail.text.len() > text.len()));
    assert_eq!(rig.queued(), []);
}
