//! Messages and calls that the original had queued go on their way from here.

use std::fs;
use std::path::Path;

use mox_base::Flags;
use mox_queue::{Attempt, HookFilter, HookSort};
use mox_takeover::{QueueAccount, QueueFiles, Watch};
use mox_testkit::original::{Row, Value, fields, list, row, time, write_database};

use crate::remote::{NOW, listen};
use crate::rig::{Rig, WAIT, refuses, takes};
use crate::webhooks::{answer, server};

const PREFIX: &str = "Received: from a by b\r\n";
const FILE: &str = "From: <a@example.org>\r\nSubject: tale\r\n\r\nOnce\r\n";

fn domain(name: &str) -> Value {
    fields([("Domain", fields([("ASCII", name.into())]))])
}

/// What an attempt of the original left behind.
fn attempted(error: &str) -> Value {
    let (start, error) = (time(NOW.0 - 900), error.into());
    fields([("Start", start), ("Code", 451.into()), ("Secode", "4.1".into()), ("Error", error)])
}

/// A message from `a@example.org`, due in a minute, after so many attempts.
fn msg(id: i64, to: &str, attempts: i64) -> Row {
    let results = (0..attempts).map(|_| attempted("busy"));
    row(id)
        .with("Queued", time(NOW.0 - 1_000))
        .with("SenderAccount", "a")
        .with("SenderLocalpart", "a")
        .with("SenderDomain", domain("example.org"))
        .with("RecipientLocalpart", "b")
        .with("RecipientDomain", domain(to))
        .with("Attempts", attempts)
        .with("NextAttempt", time(NOW.0 + 60))
        .with("LastAttempt", time(NOW.0 - 900))
        .with("Results", list(results))
        .with("MsgPrefix", PREFIX.as_bytes())
        .with("Size", (PREFIX.len() + FILE.len()) as u64)
}

struct Patient;

impl Watch for Patient {
    fn progress(&mut self, _done: u64, _total: u64) -> bool {
        true
    }
}

/// Takes over a queue with these records; each message has a file.
fn take_over(rig: &Rig, messages: Vec<Row>, hooks: Vec<Row>) {
    let dir = tempfile::tempdir().unwrap();
    let queue = dir.path().join("queue");
    fs::create_dir_all(queue.join("a")).unwrap();
    for id in 1..=messages.len() {
        fs::write(queue.join("a").join(id.to_string()), FILE).unwrap();
    }
    let tables = [("Msg", messages), ("Hook", hooks)];
    write_database(&queue.join("index.db"), "queue", tables);
    copy(rig, dir.path());
}

fn copy(rig: &Rig, data: &Path) {
    let theirs = QueueFiles::open(data).unwrap().unwrap();
    let accounts = |_: &str| Some(QueueAccount { keep_calls_secs: 3_600 });
    let summary = theirs.copy(&rig.queue, rig.now(), &accounts, &mut Patient).unwrap();
    assert!(summary.is_whole(), "{summary:?}");
}

#[tokio::test]
async fn a_message_is_sent_when_it_is_due_and_a_held_one_is_not() {
    let rig = Rig::new();
    let held = msg(2, "one.example", 0).with("Hold", true);
    take_over(&rig, vec![msg(1, "one.example", 2), held], Vec::new());
    // A message of ours goes at once, and alone.
    rig.add(&["c@two.example"]);
    let heard = rig.attempt(listen(&[&takes()]).await).await;
    assert_eq!(heard[0].lines[2], "RCPT TO:<c@two.example>");
    assert_eq!(rig.queue.next_due(rig.now()).unwrap(), Some(NOW.plus_secs(60)));
    rig.advance_to_due();
    let heard = rig.attempt(listen(&[&takes()]).await).await;
    assert_eq!(heard[0].lines[2], "RCPT TO:<b@one.example>");
    assert_eq!(heard[0].data, [format!("{PREFIX}{FILE}.\r\n")]);
    let retired = rig.retired();
    assert_eq!((retired[0].message.id.0, retired[0].message.attempts), (1, 3));
    let errors: Vec<_> = retired[0].message.results.iter().map(|one| one.text.as_str()).collect();
    assert_eq!(errors[..2], ["busy", "busy"]);
    assert!(retired[0].is_success && retired[0].message.results[2].is_success);
    let queued = rig.queued();
    assert_eq!((queued.len(), queued[0].id.0, queued[0].is_held), (1, 2, true));
    assert_eq!(rig.queue.next_due(rig.now()).unwrap(), None);
}

/// The original made seven attempts: the eighth is the last, and its sender is told.
#[tokio::test]
async fn attempts_count_on() {
    let rig = Rig::new();
    take_over(&rig, vec![msg(1, "one.example", 7)], Vec::new());
    rig.advance_to_due();
    let (addr, played) = listen(&[&refuses("450 4.2.1 still busy")]).await;
    let running = rig.start(addr.port());
    let mail = rig.until_mail(&running, ("a", "Inbox"), 1).await;
    running.stop().await;
    played.await.unwrap();
    mail[0].check(&["Action: failed", "Final-Recipient: rfc822; b@one.example"]);
    assert!(!mail[0].flags.contains(Flags::SEEN));
    assert_eq!(rig.queued(), []);
    assert_eq!(rig.retired()[0].message.results.len(), 8);
}

/// What was being sent when the original came to its end is sent again.
#[tokio::test]
async fn a_message_that_was_being_sent_is_sent_again() {
    let rig = Rig::new();
    let cut_off = msg(1, "one.example", 1).with("Results", list([attempted("delivering...")]));
    take_over(&rig, vec![cut_off], Vec::new());
    assert_eq!(rig.queued()[0].results[0].text, Attempt::INTERRUPTED);
    rig.advance_to_due();
    rig.attempt(listen(&[&takes()]).await).await;
    assert!(rig.retired()[0].is_success);
}

/// Recipients of one submission go in one transaction, as they would have there.
#[tokio::test]
async fn recipients_of_one_submission_are_sent_to_at_once() {
    let rig = Rig::new();
    let of = |id: i64, localpart: &str| {
        msg(id, "one.example", 1).with("BaseID", 1).with("RecipientLocalpart", localpart)
    };
    take_over(&rig, vec![of(1, "b"), of(2, "c")], Vec::new());
    rig.advance_to_due();
    let script = takes().replace(
        "S: 250 2.1.5 ok",
        "S: 250 2.1.5 ok
        C: RCPT TO:
        S: 250 2.1.5 ok",
    );
    let heard = rig.attempt(listen(&[&script]).await).await;
    assert_eq!(heard[0].lines[2..4], ["RCPT TO:<b@one.example>", "RCPT TO:<c@one.example>"]);
    assert_eq!(heard[0].data.len(), 1);
    assert_eq!(rig.retired().len(), 2);
}

#[tokio::test]
async fn a_call_that_waits_is_made() {
    let rig = Rig::new();
    let (url, asked) = server(vec![answer("200 ok", "")]).await;
    let call = row(9)
        .with("Account", "a")
        .with("URL", url.as_str())
        .with("Authorization", "Basic c2VjcmV0")
        .with("OutgoingEvent", "delivered")
        .with("QueueMsgID", 4)
        .with("Payload", "{\"Version\":0}")
        .with("Submitted", time(NOW.0 - 600))
        .with("Attempts", 3)
        .with("NextAttempt", time(NOW.0 + 60));
    take_over(&rig, Vec::new(), vec![call]);
    let due = rig.queue.hook_next_due(rig.now()).unwrap().unwrap();
    assert_eq!(due, NOW.plus_secs(60));
    rig.clock.set(due);
    let running = rig.start(1);
    let over = |rig: &Rig| rig.queue.hooks_retired(&HookFilter::default(), &HookSort::default());
    rig.until(|rig| !over(rig).unwrap().is_empty()).await;
    running.stop().await;
    let request = tokio::time::timeout(WAIT, asked).await.unwrap().unwrap()[0].to_lowercase();
    for line in ["x-mox-webhook-id: 9", "x-mox-webhook-attempt: 4", "authorization: basic c2vjcmv0"]
    {
        assert!(request.lines().any(|one| one == line), "{line} is not in\n{request}");
    }
    let made = over(&rig).unwrap().remove(0);
    assert!(made.retired.unwrap().is_success, "{made:?}");
    assert_eq!(made.retired.unwrap().keep_until, due.plus_secs(3_600), "as its account wants");
}
