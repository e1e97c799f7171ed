//! An account in a temporary folder, checked for consistency when the test is done with it.

use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mox_base::{Flags, MailboxId, MailboxName, NumSet, Uid, UnixSeconds};
use mox_store::{
    Account, Added, Change, Destination, Disk, Mailbox, NewMessage, Policy, RealDisk, Store,
    StoreError,
};
use mox_testkit::ManualClock;
use tempfile::TempDir;

pub(crate) const START: UnixSeconds = UnixSeconds(1_795_164_932);

pub(crate) struct Fixture {
    pub(crate) account: Account,
    pub(crate) store: Store,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) dir: TempDir,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let mailboxes = Policy::default_mailboxes();
        Self::with(Policy { initial_mailboxes: mailboxes, ..Policy::default() }, RealDisk)
    }

    pub(crate) fn with(policy: Policy, disk: impl Disk + 'static) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::at(START));
        let store = Store::with_disk(
            dir.path(),
            Arc::<ManualClock>::clone(&clock),
            Arc::new(policy),
            Arc::new(disk),
        );
        let account = store.account("mjl").unwrap();
        Self { account, store, clock, dir }
    }

    pub(crate) fn account_dir(&self) -> PathBuf {
        self.dir.path().join("accounts/mjl")
    }

    pub(crate) fn message(&self, content: &[u8]) -> NewMessage {
        message(&self.account, content)
    }

    /// Adds a message to the Inbox.
    pub(crate) fn deliver(&self, content: &[u8]) -> Uid {
        self.add("Inbox", vec![self.message(content)]).unwrap().uids[0]
    }

    /// Adds messages of a few bytes to the Inbox.
    pub(crate) fn deliver_many(&self, count: usize) -> Vec<Uid> {
        let numbered = |n| self.message(format!("Subject: number {n}\r\n\r\nbody\r\n").as_bytes());
        self.add("Inbox", (0..count).map(numbered).collect()).unwrap().uids
    }

    pub(crate) fn add(
        &self,
        mailbox: &str,
        messages: Vec<NewMessage>,
    ) -> Result<Added, StoreError> {
        self.account.add(Destination { mailbox: name(mailbox), create: false }, messages).wait()
    }

    pub(crate) fn mailbox(&self, mailbox: &str) -> Mailbox {
        self.account.read().unwrap().mailbox(&name(mailbox)).unwrap()
    }

    pub(crate) fn id(&self, mailbox: &str) -> MailboxId {
        self.mailbox(mailbox).id
    }

    pub(crate) fn uids(&self, mailbox: &str) -> Vec<u32> {
        let reader = self.account.read().unwrap();
        let id = reader.mailbox(&name(mailbox)).unwrap().id;
        reader.uids(id).unwrap()
    }

    pub(crate) fn body(&self, mailbox: &str, uid: u32) -> Result<Vec<u8>, StoreError> {
        let reader = self.account.read()?;
        let id = reader.mailbox(&name(mailbox))?.id;
        reader.content(id, Uid::new(uid).unwrap())?.to_vec()
    }

    pub(crate) fn flags(&self, mailbox: &str, uid: u32) -> Flags {
        self.row(mailbox, uid).0
    }

    /// Flags and thread.
    pub(crate) fn row(&self, mailbox: &str, uid: u32) -> (Flags, i64) {
        let reader = self.account.read().unwrap();
        let id = reader.mailbox(&name(mailbox)).unwrap().id;
        let changed =
            reader.changed_since(id, mox_base::ModSeq::default(), &NumSet::all()).unwrap();
        let row = changed.rows.into_iter().find(|row| row.uid.get() == uid).unwrap();
        (row.flags, row.thread.0)
    }

    /// Runs the maintenance that is due, by way of the writer: when its answer is here, whatever
    /// was queued before is done.
    pub(crate) fn settle(&self) {
        for _ in 0..1_000 {
            self.store.tick();
            self.account.subscribe_to(name("Inbox")).wait().unwrap();
            if self.account.is_tidy().unwrap() {
                return;
            }
            std::thread::yield_now();
        }
        panic!("maintenance does not come to an end");
    }

    pub(crate) fn check(&self) {
        assert_eq!(self.account.check().unwrap(), Vec::<String>::new());
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.check();
        }
    }
}

pub(crate) fn message(account: &Account, content: &[u8]) -> NewMessage {
    let content = account.stage(Vec::new(), &mut Cursor::new(content)).unwrap();
    NewMessage { content, flags: Flags::NONE, keywords: Vec::new(), received: None, envelope: None }
}

pub(crate) fn name(text: &str) -> MailboxName {
    MailboxName::parse(text).unwrap()
}

pub(crate) fn set(uids: &[u32]) -> NumSet {
    uids.iter().copied().filter_map(Uid::new).collect()
}

pub(crate) fn uid(number: u32) -> Uid {
    Uid::new(number).unwrap()
}

/// The kinds of the changes, for comparing.
pub(crate) fn kinds(changes: &[Arc<Change>]) -> Vec<mox_store::ChangeKind> {
    changes.iter().map(|change| change.kind.clone()).collect()
}

/// Copies a folder with all in it, as it is at this moment.
pub(crate) fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
