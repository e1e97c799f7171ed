//! A queue in a folder of its own, and messages for it.

use std::sync::Arc;

use mox_base::{Address, UnixSeconds};
use mox_queue::{
    Failure, Filter, How, Lease, LeaseRequest, MessageId, NewMessage, NewRecipient, Outcome, Queue,
    Queued, Settlement, SmtpReply, Sort,
};
use mox_smtp::{Mailbox, ReversePath};
use mox_testkit::TestRng;

/// When all tests begin.
pub(crate) const NOW: UnixSeconds = UnixSeconds(1_800_000_000);

pub(crate) struct Fixture {
    pub(crate) queue: Queue,
    pub(crate) dir: Arc<tempfile::TempDir>,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let dir = Arc::new(tempfile::tempdir().unwrap());
        Self { queue: open(dir.path()), dir }
    }

    /// Closes the queue and opens it again.
    pub(crate) fn reopened(self) -> Self {
        let dir = Arc::clone(&self.dir);
        drop(self);
        Self { queue: open(dir.path()), dir }
    }

    pub(crate) fn message(&self, rcpts: &[&str]) -> NewMessage {
        self.message_of("account", "me@local.example", rcpts)
    }

    pub(crate) fn message_of(&self, account: &str, from: &str, rcpts: &[&str]) -> NewMessage {
        let body = self.queue.stage(&mut &b"Subject: test\r\n\r\ntext\r\n"[..]).unwrap();
        let mut message = NewMessage::new(account, body);
        message.recipients = rcpts.iter().map(|rcpt| recipient(from, rcpt)).collect();
        message
    }

    /// Adds a plain message.
    pub(crate) fn add(&self, rcpts: &[&str]) -> Vec<MessageId> {
        self.add_at(NOW, self.message(rcpts))
    }

    pub(crate) fn add_at(&self, now: UnixSeconds, message: NewMessage) -> Vec<MessageId> {
        self.queue.add(message, now).wait().unwrap()
    }

    /// Takes up to ten messages that are due, of one domain as many as there are.
    pub(crate) fn lease(&self, now: UnixSeconds) -> Vec<Lease> {
        let request = LeaseRequest { max: 10, per_domain_max: 10, ..LeaseRequest::default() };
        self.queue.lease(request, now).wait().unwrap()
    }

    pub(crate) fn lease_one(&self, now: UnixSeconds) -> Lease {
        let request = LeaseRequest { max: 1, ..LeaseRequest::default() };
        let mut leases = self.queue.lease(request, now).wait().unwrap();
        assert_eq!(leases.len(), 1);
        leases.pop().unwrap()
    }

    pub(crate) fn settle(&self, lease: &Lease, now: UnixSeconds, outcome: Outcome) {
        let settlement = Settlement::new(lease.id, now, outcome);
        let settled = self.queue.settle(vec![settlement], now).wait().unwrap();
        assert_eq!(settled.len(), 1);
    }

    /// All messages, in the order in which they were added.
    pub(crate) fn all(&self) -> Vec<Queued> {
        let mut all = self.queue.list(&Filter::default(), &Sort::default()).unwrap();
        all.sort_by_key(|message| message.id);
        all
    }

    pub(crate) fn next_due(&self, now: UnixSeconds) -> Option<UnixSeconds> {
        self.queue.next_due(now).unwrap()
    }
}

/// Every test ends with the check of the whole queue.
impl Drop for Fixture {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(self.queue.check().unwrap(), Vec::<String>::new());
        }
    }
}

pub(crate) fn open(dir: &std::path::Path) -> Queue {
    Queue::open(&dir.join("queue"), Arc::new(TestRng::new(1))).unwrap()
}

pub(crate) fn mailbox(address: &str) -> Mailbox {
    Mailbox::from(Address::parse(address).unwrap())
}

/// An empty sender is the null one.
pub(crate) fn recipient(from: &str, rcpt: &str) -> NewRecipient {
    let mail_from = match from {
        "" => ReversePath::Null,
        from => ReversePath::Mailbox(mailbox(from)),
    };
    NewRecipient::new(mail_from, mailbox(rcpt))
}

pub(crate) fn delivered() -> Outcome {
    let reply =
        SmtpReply { code: 250, enhanced: Some((2, 0, 0)), lines: vec!["queued".to_owned()] };
    Outcome::Delivered { reply, how: How::default() }
}

pub(crate) fn failure(code: u16, text: &str) -> Failure {
    Failure { code: Some(code), text: text.to_owned(), ..Failure::default() }
}

pub(crate) fn delayed() -> Outcome {
    Outcome::Delayed { error: failure(451, "try later") }
}

pub(crate) fn failed(suppress: bool) -> Outcome {
    Outcome::Failed { error: failure(550, "no such user"), suppress }
}

pub(crate) fn ids(leases: &[Lease]) -> Vec<MessageId> {
    leases.iter().map(|lease| lease.id).collect()
}
