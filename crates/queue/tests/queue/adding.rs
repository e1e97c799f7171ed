//! Adding messages, and reading them back.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

use mox_base::UnixSeconds;
use mox_queue::{
    INLINE_BYTES_MAX, Kind, NewMessage, QueueError, RCPTS_MAX, Release, SendingLimits,
};
use mox_smtp::dsn::{Notify, Ret};

use crate::support::{Fixture, NOW, delivered, recipient};

/// The body files that there are.
fn files(dir: &Path) -> usize {
    let bodies = dir.join("queue/bodies");
    let Ok(folders) = std::fs::read_dir(bodies) else { return 0 };
    folders.map(|folder| std::fs::read_dir(folder.unwrap().path()).unwrap().count()).sum()
}

fn full_message(fixture: &Fixture) -> NewMessage {
    let mut message = fixture.message(&[]);
    message.utf8_body = Some(fixture.queue.stage(&mut &b"Subject: \xc3\xa9\r\n\r\n"[..]).unwrap());
    message.has_8bit = true;
    message.needs_utf8 = true;
    message.message_id = "<1@local.example>".to_owned();
    message.subject = "té\"st".to_owned();
    message.ret = Some(Ret::Hdrs);
    message.envid = Some("QQ 314+159".to_owned());
    message.priority = 3;
    message.require_tls = Some(false);
    message.release = Some(Release { at: NOW.plus_secs(3_600), request: "for;3600".to_owned() });
    message.extra.insert("key".to_owned(), "välue".to_owned());
    message.kind = Kind::DmarcReport;
    message.attempts_max = Some(5);
    message.transport = Some("relay".to_owned());
    let mut rcpt = recipient("me+token1@local.example", "you@bücher.example");
    rcpt.from_id = Some("token1".to_owned());
    rcpt.notify = Some(Notify::when(true, true, false));
    rcpt.orcpt = Some("rfc822;you@elsewhere.example".to_owned());
    message.recipients.push(rcpt);
    message
}

#[test]
fn everything_comes_back() {
    let fixture = Fixture::new();
    let [id] = fixture.add_at(NOW, full_message(&fixture))[..] else { panic!("one") };
    let fixture = fixture.reopened();
    let [message] = &fixture.all()[..] else { panic!("one") };
    assert_eq!((message.id, message.base_id, message.queued), (id, None, NOW));
    assert_eq!(message.mail_from.to_string(), "<me+token1@local.example>");
    assert_eq!(message.rcpt_to.to_string(), "you@bücher.example");
    assert_eq!(message.from_id.as_deref(), Some("token1"));
    assert_eq!(message.notify, Some(Notify::when(true, true, false)));
    assert_eq!(message.orcpt.as_deref(), Some("rfc822;you@elsewhere.example"));
    assert_eq!((message.priority, message.require_tls), (3, Some(false)));
    assert_eq!((message.transport.as_deref(), message.kind), (Some("relay"), Kind::DmarcReport));
    assert_eq!((message.attempts, message.attempts_allowed()), (0, 5));
    assert_eq!((message.is_held, message.is_leased), (false, false));
    assert_eq!(message.message_id, "<1@local.example>");
    assert_eq!((message.subject.as_str(), message.size), ("té\"st", 23));
    let traits = (message.has_8bit, message.is_binary, message.needs_utf8, message.has_utf8_body);
    assert_eq!(traits, (true, false, true, true));
    assert_eq!((message.ret, message.envid.as_deref()), (Some(Ret::Hdrs), Some("QQ 314+159")));
    let release = message.release.as_ref().unwrap();
    assert_eq!((release.at, release.request.as_str()), (NOW.plus_secs(3_600), "for;3600"));
    assert_eq!(message.extra["key"], "välue");
    let mut text = String::new();
    fixture.queue.body_utf8(id).unwrap().unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "Subject: é\r\n\r\n");
}

#[test]
fn a_message_leaves_when_its_sender_wants_and_not_before() {
    // RFC 4865 §4.
    let fixture = Fixture::new();
    fixture.add_at(NOW, full_message(&fixture));
    assert_eq!(fixture.next_due(NOW), Some(NOW.plus_secs(3_600)));
    assert!(fixture.lease(NOW.plus_secs(3_599)).is_empty());
    assert_eq!(fixture.lease(NOW.plus_secs(3_600)).len(), 1);
}

#[test]
fn a_body_stays_as_long_as_that_is_held_and_then_goes() {
    let fixture = Fixture::new();
    let mut message = fixture.message(&["a@x.example"]);
    message.body = fixture.queue.stage(&mut &vec![b'x'; INLINE_BYTES_MAX + 1][..]).unwrap();
    fixture.add_at(NOW, message);
    let (first, second) = (fixture.queue.hold_bodies(), fixture.queue.hold_bodies());
    let lease = fixture.lease_one(NOW);
    fixture.settle(&lease, NOW, delivered());
    assert_eq!(files(fixture.dir.path()), 1);
    drop(first);
    assert_eq!(files(fixture.dir.path()), 1);
    drop(second);
    assert_eq!(files(fixture.dir.path()), 0);
}

#[test]
fn one_body_serves_all_recipients_and_goes_with_the_last() {
    let fixture = Fixture::new();
    let mut message = fixture.message(&["a@x.example", "b@x.example", "c@y.example"]);
    let large = vec![b'x'; INLINE_BYTES_MAX + 1];
    message.body = fixture.queue.stage(&mut &large[..]).unwrap();
    assert_eq!(files(fixture.dir.path()), 1);
    let added = fixture.add_at(NOW, message);
    assert_eq!(files(fixture.dir.path()), 1);
    for id in &added {
        let mut body = fixture.queue.body(*id).unwrap();
        assert_eq!(body.len(), large.len() as u64);
        let mut read = Vec::new();
        body.read_to_end(&mut read).unwrap();
        assert!(read == large);
        body.seek(SeekFrom::End(-2)).unwrap();
        assert_eq!(body.read_to_end(&mut read).unwrap(), 2);
    }
    for left in [2, 1, 0] {
        assert_eq!(files(fixture.dir.path()), 1);
        let lease = fixture.lease_one(NOW);
        fixture.settle(&lease, NOW, delivered());
        assert_eq!(fixture.all().len(), left);
    }
    assert_eq!(files(fixture.dir.path()), 0);
    assert!(matches!(fixture.queue.body(added[0]), Err(QueueError::NoMessage)));
}

#[test]
fn a_body_at_the_bound_is_in_the_database() {
    let fixture = Fixture::new();
    let mut message = fixture.message(&["a@x.example"]);
    let large = vec![b'x'; INLINE_BYTES_MAX];
    message.body = fixture.queue.stage(&mut &large[..]).unwrap();
    let added = fixture.add_at(NOW, message);
    assert_eq!(files(fixture.dir.path()), 0);
    let body = fixture.queue.body(added[0]).unwrap();
    assert_eq!(body.in_memory().map(<[u8]>::len), Some(INLINE_BYTES_MAX));
}

#[test]
fn a_staged_body_that_is_not_added_leaves_nothing() {
    let fixture = Fixture::new();
    let large = vec![b'x'; INLINE_BYTES_MAX + 1];
    drop(fixture.queue.stage(&mut &large[..]).unwrap());
    assert_eq!(files(fixture.dir.path()), 0);
    // Nor does one whose message is refused.
    let mut message = fixture.message(&[]);
    message.body = fixture.queue.stage(&mut &large[..]).unwrap();
    let refused = fixture.queue.add(message, NOW).wait();
    assert!(matches!(refused, Err(QueueError::NoRecipients)));
    assert_eq!(files(fixture.dir.path()), 0);
    // One that a crash left is swept.
    std::fs::create_dir_all(fixture.dir.path().join("queue/bodies/ab")).unwrap();
    std::fs::write(fixture.dir.path().join("queue/bodies/ab/abcd"), b"x").unwrap();
    let fixture = fixture.reopened();
    assert_eq!(files(fixture.dir.path()), 0);
}

#[test]
fn a_fromid_is_taken_once() {
    let fixture = Fixture::new();
    let with = |rcpts: &[(&str, &str)]| {
        let mut message = fixture.message(&[]);
        for (rcpt, from_id) in rcpts {
            let mut rcpt = recipient("me@local.example", rcpt);
            rcpt.from_id = Some((*from_id).to_owned());
            message.recipients.push(rcpt);
        }
        message
    };
    fixture.add_at(NOW, with(&[("a@x.example", "one")]));
    let taken = fixture.queue.add(with(&[("b@x.example", "two"), ("c@x.example", "one")]), NOW);
    assert!(matches!(taken.wait(), Err(QueueError::FromIdTaken)));
    let twice = fixture.queue.add(with(&[("b@x.example", "two"), ("c@x.example", "two")]), NOW);
    assert!(matches!(twice.wait(), Err(QueueError::FromIdTaken)));
    assert_eq!(fixture.all().len(), 1);
    // It is not free again while the message is kept.
    let lease = fixture.lease_one(NOW);
    let mut settlement = mox_queue::Settlement::new(lease.id, NOW, delivered());
    settlement.keep_secs = 100;
    fixture.queue.settle(vec![settlement], NOW).wait().unwrap();
    let kept = fixture.queue.add(with(&[("b@x.example", "one")]), NOW);
    assert!(matches!(kept.wait(), Err(QueueError::FromIdTaken)));
    fixture.queue.remove_expired(NOW.plus_secs(100)).unwrap();
    fixture.add_at(NOW, with(&[("b@x.example", "one")]));
}

#[test]
fn recipients_with_one_sender_have_a_base_in_common() {
    let fixture = Fixture::new();
    let mut message = fixture.message(&["a@x.example", "b@y.example"]);
    message.recipients.push(recipient("", "c@x.example"));
    message.recipients.push(recipient("me@local.example", "d@x.example"));
    let added = fixture.add_at(NOW, message);
    let bases: Vec<_> = fixture.all().iter().map(|message| message.base_id).collect();
    assert_eq!(bases, [Some(added[0]), Some(added[0]), None, Some(added[0])]);
}

#[test]
fn the_number_of_recipients_is_bounded() {
    let fixture = Fixture::new();
    let mut message = fixture.message(&[]);
    message.recipients = vec![recipient("", "a@x.example"); RCPTS_MAX + 1];
    let refused = fixture.queue.add(message, NOW).wait();
    assert!(matches!(refused, Err(QueueError::TooMany { .. })));
}

#[test]
fn a_time_before_all_times_is_a_time() {
    let fixture = Fixture::new();
    fixture.add_at(UnixSeconds(-5), fixture.message(&["a@x.example"]));
    assert_eq!(fixture.next_due(UnixSeconds(-5)), Some(UnixSeconds(-5)));
}

/// Messages that are added at the same time do not both get the last place.
#[test]
fn what_is_over_a_limit_is_not_added() {
    let fixture = Fixture::new();
    let limits = SendingLimits { messages_per_day: 5, first_time_rcpts_per_day: 5 };
    let message = |rcpts: &[&str]| NewMessage { limits: Some(limits), ..fixture.message(rcpts) };
    let pending: Vec<_> =
        (0..4).map(|_| fixture.queue.add(message(&["a@x.example", "b@x.example"]), NOW)).collect();
    let outcomes: Vec<_> = pending.into_iter().map(mox_queue::Pending::wait).collect();
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 2);
    let refused = outcomes.into_iter().filter_map(Result::err);
    assert!(refused.into_iter().all(|error| matches!(error, QueueError::MessagesPerDay)));
    assert_eq!(fixture.all().len(), 4);
    // Across a restart, and each account by itself.
    let fixture = fixture.reopened();
    let message = |rcpts: &[&str]| NewMessage { limits: Some(limits), ..fixture.message(rcpts) };
    let refused = fixture.queue.add(message(&["a@x.example", "b@x.example"]), NOW).wait();
    assert!(matches!(refused, Err(QueueError::MessagesPerDay)));
    let other = NewMessage { account: "other".to_owned(), ..message(&["a@x.example"]) };
    assert!(fixture.queue.add(other, NOW).wait().is_ok());
}

/// The queue, and with it the server, did not start for a file that somebody left there.
#[test]
fn what_is_no_body_keeps_no_queue_closed() {
    let fixture = Fixture::new();
    let bodies = fixture.dir.path().join("queue/bodies");
    std::fs::create_dir_all(bodies.join("ab/cd")).unwrap();
    std::fs::write(bodies.join("README"), b"x").unwrap();
    let fixture = fixture.reopened();
    fixture.add(&["a@x.example"]);
    assert!(bodies.join("README").exists());
}
