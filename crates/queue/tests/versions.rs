//! Databases of every released version are opened and brought up to date.
//!
//! A fixture is made once, when its version is released, by `UPDATE=1 cargo test -p mox-queue
//! versions`; then it is never changed.

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::path::{Path, PathBuf};
    use std::sync::Arc;

    use mox_base::{Address, Domain, UnixSeconds};
    use mox_queue::{
        Attempt, Filter, HoldRule, HookFilter, HookSort, How, LeaseRequest, MessageId, NewHook,
        NewMessage, NewNotice, NewRecipient, Outcome, OutgoingEvent, Queue, QueueError, Release,
        SCHEMA_VERSION, SendingLimits, Settlement, SmtpReply, Sort,
    };
    use mox_smtp::dsn::{Notify, Ret};
    use mox_smtp::{Mailbox, ReversePath};
    use mox_testkit::TestRng;

    /// The last version that was released: the next one may still change.
    const RELEASED_VERSION: u32 = 1;

    const NOW: UnixSeconds = UnixSeconds(1_800_000_000);

    fn fixture_file(version: u32) -> PathBuf {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        dir.join(format!("queue-v{version}.db.zst"))
    }

    fn open(dir: &Path) -> Queue {
        Queue::open(dir, Arc::new(TestRng::new(1))).unwrap()
    }

    fn mailbox(address: &str) -> Mailbox {
        Mailbox::from(Address::parse(address).unwrap())
    }

    fn message(queue: &Queue, rcpt: &str, from_id: &str) -> NewMessage {
        let body = queue.stage(&mut &b"Subject: kept\r\n\r\n"[..]).unwrap();
        let mut message = NewMessage::new("account", body);
        message.message_id = format!("<{from_id}@local.example>");
        message.envid = Some(format!("envelope {from_id}"));
        message.ret = Some(Ret::Full);
        message.priority = 2;
        message.require_tls = Some(true);
        message.extra.insert("key".to_owned(), "value".to_owned());
        message.limits = Some(limits(2));
        let from = ReversePath::Mailbox(mailbox(&format!("me+{from_id}@local.example")));
        let mut rcpt = NewRecipient::new(from, mailbox(rcpt));
        rcpt.from_id = Some(from_id.to_owned());
        rcpt.notify = Some(Notify::NEVER);
        rcpt.orcpt = Some("rfc822;a@b.example".to_owned());
        message.recipients.push(rcpt);
        message
    }

    fn limits(messages_per_day: u32) -> SendingLimits {
        SendingLimits { messages_per_day, first_time_rcpts_per_day: 10 }
    }

    fn hook() -> NewHook {
        NewHook {
            account: "account".to_owned(),
            url: "https://hook.example/".to_owned(),
            authorization: "Basic x".to_owned(),
            event: Some(OutgoingEvent::Delivered),
            payload: "{}".to_owned(),
            ..NewHook::default()
        }
    }

    /// A database with a bit of everything: one message is retired, one is being delivered.
    fn fill(dir: &Path) {
        let queue = open(dir);
        queue.add(message(&queue, "a@x.example", "one"), NOW).wait().unwrap();
        let request = || LeaseRequest { max: 1, ..LeaseRequest::default() };
        let lease = queue.lease(request(), NOW).wait().unwrap().remove(0);
        let reply = SmtpReply { code: 250, enhanced: Some((2, 0, 0)), lines: Vec::new() };
        let outcome = Outcome::Delivered { reply, how: How::default() };
        let mut settlement = Settlement::new(lease.id, NOW, outcome);
        settlement.keep_secs = 1_000;
        settlement.notices.push(NewNotice {
            account: "account".to_owned(),
            mailbox: "Inbox".to_owned(),
            is_seen: false,
            message_id: "<n@local.example>".to_owned(),
            body: b"Subject: delivered\r\n\r\n".to_vec(),
        });
        queue.settle(vec![settlement], NOW).wait().unwrap();
        let mut second = message(&queue, "b@y.example", "two");
        second.release = Some(Release { at: NOW, request: "for;0".to_owned() });
        queue.add(second, NOW).wait().unwrap();
        queue.add_hooks(vec![hook()], NOW).wait().unwrap();
        queue.suppress("account", &mailbox("u.ser@z.example"), "asked", NOW).wait().unwrap();
        let rcpt_domain = Domain::parse("held.example").ok();
        let rule = HoldRule { rcpt_domain, ..HoldRule::default() };
        queue.add_hold_rule(rule).wait().unwrap();
        assert_eq!(queue.lease(request(), NOW).wait().unwrap().len(), 1);
    }

    fn compare(queue: &Queue) {
        assert_eq!(queue.check().unwrap(), Vec::<String>::new());
        assert_eq!(queue.interrupted(), 1);
        let [queued] = &queue.list(&Filter::default(), &Sort::default()).unwrap()[..] else {
            panic!("one")
        };
        assert_eq!((queued.id, queued.attempts, queued.priority), (MessageId(2), 1, 2));
        assert_eq!(queued.results[0].text, Attempt::INTERRUPTED);
        assert_eq!((queued.ret, queued.require_tls), (Some(Ret::Full), Some(true)));
        assert_eq!((queued.notify, queued.extra.len()), (Some(Notify::NEVER), 1));
        assert_eq!(queued.release.as_ref().unwrap().request, "for;0");
        let mut body = String::new();
        queue.body(queued.id).unwrap().read_to_string(&mut body).unwrap();
        assert_eq!(body, "Subject: kept\r\n\r\n");
        let retired = queue.retired_by_from_id("one").unwrap().unwrap();
        assert!(retired.is_success);
        assert_eq!(retired.message.results[0].code, Some(250));
        assert_eq!(queue.retired_by_envid("envelope one").unwrap(), [retired]);
        let notices = queue.pending_notices(10).unwrap();
        assert_eq!((notices.len(), notices[0].is_from_before), (1, true));
        assert!(queue.suppressed("account", &mailbox("user@z.example")).unwrap().is_some());
        assert_eq!(queue.hold_rules().unwrap().len(), 1);
        let hooks = queue.hooks(&HookFilter::default(), &HookSort::default()).unwrap();
        assert_eq!((hooks.len(), &hooks[0].call), (1, &hook()));
        // What was sent counts, and FromIDs stay taken.
        let third = queue.add(message(queue, "c@x.example", "three"), NOW).wait();
        assert!(matches!(third, Err(QueueError::MessagesPerDay)));
        let mut taken = message(queue, "c@x.example", "one");
        taken.limits = Some(limits(100));
        assert!(matches!(queue.add(taken, NOW).wait(), Err(QueueError::FromIdTaken)));
    }

    #[test]
    fn databases_of_every_version_are_opened() {
        let dir = tempfile::tempdir().unwrap();
        if std::env::var_os("UPDATE").is_some() {
            let made = dir.path().join("new");
            fill(&made);
            let content = std::fs::read(made.join("queue.db")).unwrap();
            let compressed = zstd::bulk::compress(&content, 19).unwrap();
            std::fs::create_dir_all(fixture_file(1).parent().unwrap()).unwrap();
            std::fs::write(fixture_file(SCHEMA_VERSION), compressed).unwrap();
        }
        for version in 1..=RELEASED_VERSION {
            let compressed = std::fs::read(fixture_file(version)).unwrap();
            let kept = dir.path().join(format!("v{version}"));
            std::fs::create_dir(&kept).unwrap();
            let content = zstd::bulk::decompress(&compressed, 16 << 20).unwrap();
            std::fs::write(kept.join("queue.db"), content).unwrap();
            compare(&open(&kept));
        }
    }
}
