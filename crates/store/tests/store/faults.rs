//! Disks that fill up and fail, and crashes: nothing acknowledged is lost.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use crate::support::{Fixture, START, copy_dir, message, name, set};
use mox_base::{Flags, NumSet};
use mox_store::{
    Destination, Disk, Expunge, FlagChange, FlagOp, NewMessage, Pending, Policy, RealDisk, Store,
    StoreError,
};
use mox_testkit::ManualClock;
use parking_lot::Mutex;

/// Counts commits and fails the operations that a test picks. Counted down; below zero: never.
#[derive(Debug)]
struct FaultyDisk {
    /// Held by a test that wants no commit yet.
    gate: Mutex<()>,
    commits: AtomicUsize,
    fail_commit: AtomicI64,
    fail_write: AtomicI64,
    fail_sync: AtomicI64,
    error: io::ErrorKind,
}

impl FaultyDisk {
    fn new(error: io::ErrorKind) -> Arc<Self> {
        Arc::new(Self {
            gate: Mutex::new(()),
            commits: AtomicUsize::new(0),
            fail_commit: AtomicI64::new(-1),
            fail_write: AtomicI64::new(-1),
            fail_sync: AtomicI64::new(-1),
            error,
        })
    }

    fn fails(&self, counter: &AtomicI64) -> io::Result<()> {
        if counter.fetch_sub(1, Ordering::SeqCst) == 0 { Err(self.error.into()) } else { Ok(()) }
    }
}

#[derive(Clone, Debug)]
struct Shared(Arc<FaultyDisk>);

impl Disk for Shared {
    fn create_synced(&self, path: &Path, content: &mut dyn Read) -> io::Result<u64> {
        if let Err(error) = self.0.fails(&self.0.fail_write) {
            // A part is written before the disk fails.
            RealDisk.create_synced(path, &mut content.take(1_000))?;
            return Err(error);
        }
        RealDisk.create_synced(path, content)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.0.fails(&self.0.fail_sync)?;
        RealDisk.sync_dir(path)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }

    fn before_commit(&self) -> io::Result<()> {
        drop(self.0.gate.lock());
        self.0.commits.fetch_add(1, Ordering::SeqCst);
        self.0.fails(&self.0.fail_commit)
    }
}

fn faulty(error: io::ErrorKind) -> (Fixture, Arc<FaultyDisk>) {
    let disk = FaultyDisk::new(error);
    let mailboxes = Policy::default_mailboxes();
    let policy = Policy { initial_mailboxes: mailboxes, ..Policy::default() };
    (Fixture::with(policy, Shared(Arc::clone(&disk))), disk)
}

fn large() -> Vec<u8> {
    let rng = mox_testkit::TestRng::new(11);
    let noise = std::iter::repeat_with(|| rng.next_u64().to_le_bytes()).take(100_000);
    b"Subject: noise\r\n\r\n".iter().copied().chain(noise.flatten()).collect()
}

#[test]
fn a_failed_commit_is_reported_and_closes_the_account_until_it_is_opened_anew() {
    let (mut fixture, disk) = faulty(io::ErrorKind::Other);
    fixture.deliver(b"Subject: one\r\n\r\n1\r\n");
    disk.fail_commit.store(0, Ordering::SeqCst);
    let lost = fixture.add("Inbox", vec![fixture.message(b"Subject: two\r\n\r\n2\r\n")]);
    assert!(matches!(lost, Err(StoreError::Io(_))));
    let refused = fixture.add("Inbox", vec![fixture.message(b"Subject: three\r\n\r\n3\r\n")]);
    assert!(matches!(refused, Err(StoreError::Poisoned)));
    assert_eq!(fixture.uids("Inbox"), [1], "reading goes on");
    fixture.account = fixture.store.account("mjl").unwrap();
    assert_eq!(fixture.uids("Inbox"), [1]);
    assert_eq!(fixture.deliver(b"Subject: four\r\n\r\n4\r\n").get(), 2);
}

/// RFC 8508 §3.4: both happen or neither.
#[test]
fn a_failed_commit_leaves_the_message_that_was_to_be_replaced() {
    let (mut fixture, disk) = faulty(io::ErrorKind::Other);
    fixture.deliver(b"Subject: one\r\n\r\n1\r\n");
    disk.fail_commit.store(0, Ordering::SeqCst);
    let destination = Destination { mailbox: name("Inbox"), create: false };
    let message = fixture.message(b"Subject: two\r\n\r\n2\r\n");
    let inbox = fixture.id("Inbox");
    let lost = fixture.account.replace(destination, message, inbox, mox_base::Uid::MIN).wait();
    assert!(matches!(lost, Err(StoreError::Io(_))));
    fixture.account = fixture.store.account("mjl").unwrap();
    assert_eq!(fixture.uids("Inbox"), [1]);
    assert_eq!(fixture.body("Inbox", 1).unwrap(), b"Subject: one\r\n\r\n1\r\n");
    fixture.check();
}

#[test]
fn a_full_disk_refuses_and_recovers_without_being_opened_anew() {
    let (fixture, disk) = faulty(io::ErrorKind::StorageFull);
    disk.fail_commit.store(0, Ordering::SeqCst);
    let refused = fixture.add("Inbox", vec![fixture.message(b"Subject: one\r\n\r\n1\r\n")]);
    assert!(matches!(refused, Err(StoreError::DiskFull)));
    assert!(StoreError::DiskFull.is_temporary());
    assert_eq!(fixture.deliver(b"Subject: two\r\n\r\n2\r\n").get(), 1);
}

#[test]
fn a_large_body_that_cannot_be_written_or_synced_is_not_added() {
    for (which, count) in [("write", 0), ("sync", 0), ("sync", 1), ("sync", 2)] {
        let (fixture, disk) = faulty(io::ErrorKind::Other);
        let counter = if which == "write" { &disk.fail_write } else { &disk.fail_sync };
        counter.store(count, Ordering::SeqCst);
        let staged = fixture.account.stage(Vec::new(), &mut io::Cursor::new(large()));
        assert!(staged.is_err(), "{which} {count}");
        // Nothing of it is left, and the next one is kept.
        fixture.check();
        fixture.deliver(&large());
    }
}

#[test]
fn concurrent_deliveries_share_commits() {
    let (fixture, disk) = faulty(io::ErrorKind::Other);
    let before = disk.commits.load(Ordering::SeqCst);
    let destination = || Destination { mailbox: name("Inbox"), create: false };
    // All are queued before the first is committed, as 500 sessions would do.
    let gate = disk.gate.lock();
    let pending: Vec<Pending<_>> = (0..500)
        .map(|n| fixture.message(format!("Subject: {n}\r\n\r\nbody\r\n").as_bytes()))
        .collect::<Vec<_>>()
        .into_iter()
        .map(|message| fixture.account.add(destination(), vec![message]))
        .collect();
    drop(gate);
    let mut uids: Vec<_> =
        pending.into_iter().map(|added| added.wait().unwrap().uids[0].get()).collect();
    uids.sort_unstable();
    assert_eq!(uids, (1..=500).collect::<Vec<_>>());
    let commits = disk.commits.load(Ordering::SeqCst) - before;
    assert!(commits <= 500 * 3 / 10, "{commits} commits");
}

#[test]
fn one_failing_operation_takes_no_other_with_it() {
    let fixture = Fixture::new();
    let add = |mailbox: &str, message: NewMessage| {
        fixture.account.add(Destination { mailbox: name(mailbox), create: false }, vec![message])
    };
    let content = b"Subject: x\r\n\r\nx\r\n";
    let pending: Vec<_> = (0..60)
        .map(|n| add(if n % 3 == 0 { "nothere" } else { "Inbox" }, fixture.message(content)))
        .collect();
    let failed = pending.into_iter().map(Pending::wait).filter(Result::is_err);
    assert_eq!(failed.count(), 20);
    assert_eq!(fixture.uids("Inbox").len(), 40);
}

/// Copies the account's folder before every commit, as a crash at that moment would leave it.
#[derive(Debug)]
pub(crate) struct CopyingDisk {
    pub(crate) from: PathBuf,
    pub(crate) to: PathBuf,
    pub(crate) copies: AtomicUsize,
    /// One after the other, and counted when it is whole: who counts them opens them all.
    pub(crate) turn: Mutex<()>,
}

#[derive(Debug)]
pub(crate) struct Copying(pub(crate) Arc<CopyingDisk>);

impl Copying {
    fn copy(&self) {
        let _turn = self.0.turn.lock();
        let number = self.0.copies.load(Ordering::SeqCst);
        let to = self.0.to.join(number.to_string()).join("accounts/mjl");
        copy_dir(&self.0.from, &to);
        // Shared memory is lost in a crash.
        let _missing = std::fs::remove_file(to.join("index.db-shm"));
        self.0.copies.store(number + 1, Ordering::SeqCst);
    }
}

impl Disk for Copying {
    fn create_synced(&self, path: &Path, content: &mut dyn Read) -> io::Result<u64> {
        let written = RealDisk.create_synced(path, content)?;
        self.copy();
        Ok(written)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        RealDisk.sync_dir(path)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.copy();
        RealDisk.remove(path)
    }

    fn before_commit(&self) -> io::Result<()> {
        self.copy();
        Ok(())
    }
}

pub(crate) fn reopen(dir: &Path) -> Store {
    let clock = Arc::new(ManualClock::at(START.plus_secs(1)));
    Store::new(dir, clock, Arc::new(Policy::default()))
}

#[test]
fn a_crash_at_any_commit_loses_nothing_acknowledged() {
    let (work, copies) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let disk = Arc::new(CopyingDisk {
        from: work.path().join("accounts/mjl"),
        to: copies.path().to_owned(),
        copies: AtomicUsize::new(0),
        turn: Mutex::default(),
    });
    let clock = Arc::new(ManualClock::at(START));
    let mailboxes = Policy::default_mailboxes();
    let policy = Arc::new(Policy { initial_mailboxes: mailboxes, ..Policy::default() });
    let store = Store::with_disk(work.path(), clock, policy, Arc::new(Copying(Arc::clone(&disk))));
    let account = store.account("mjl").unwrap();
    let inbox = account.read().unwrap().mailbox(&name("Inbox")).unwrap().id;
    // Messages in the Inbox and the Archive before the operation during which a copy was made, and
    // after it. Maintenance may copy again after the operation, so either may be found; what was
    // acknowledged before it must be there in any case.
    let mut expected = Vec::new();
    let mut state = (0, 0);
    let mut note = |after: (u64, u64)| {
        expected.resize(disk.copies.load(Ordering::SeqCst), [state, after]);
        state = after;
    };
    let destination = || Destination { mailbox: name("Inbox"), create: false };
    for number in 0..4_u64 {
        let content = if number == 2 { large() } else { b"Subject: s\r\n\r\nsmall\r\n".to_vec() };
        account.add(destination(), vec![message(&account, &content)]).wait().unwrap();
        note((number + 1, 0));
    }
    let seen = FlagChange {
        op: FlagOp::Add,
        flags: Flags::SEEN,
        keywords: Vec::new(),
        unchanged_since: None,
    };
    account.change_flags(inbox, NumSet::all(), seen).wait().unwrap();
    note((4, 0));
    account.copy(inbox, set(&[1, 3]), name("Archive")).wait().unwrap();
    note((4, 2));
    account.move_to(inbox, set(&[4]), name("Archive")).wait().unwrap();
    note((3, 3));
    let which = Expunge { uids: set(&[1, 2, 3]), only_deleted: false };
    account.expunge(inbox, which).wait().unwrap();
    note((0, 3));
    drop((account, store));
    for (number, expected) in expected.into_iter().enumerate() {
        let store = reopen(&copies.path().join(number.to_string()));
        let account = store.account("mjl").unwrap();
        assert_eq!(account.check().unwrap(), Vec::<String>::new(), "copy {number}");
        let reader = account.read().unwrap();
        let count = |text| reader.mailbox(&name(text)).unwrap().counts.messages();
        let found = (count("Inbox"), count("Archive"));
        assert!(expected.contains(&found), "copy {number}: {found:?}, not {expected:?}");
    }
}

#[test]
fn accounts_are_closed_when_idle_and_opened_again() {
    let mut fixture = Fixture::new();
    fixture.deliver_many(3);
    assert_eq!(fixture.store.open_accounts(), 1);
    let other = fixture.store.account("other").unwrap();
    assert_eq!(other.read().unwrap().mailboxes().unwrap().len(), 6);
    drop(other);
    fixture.store.tick();
    assert_eq!(fixture.store.open_accounts(), 2);
    fixture.clock.advance(std::time::Duration::from_secs(61));
    // A writer thread may still be tidying up there.
    while fixture.store.open_accounts() > 1 {
        fixture.store.tick();
        std::thread::yield_now();
    }
    assert_eq!(fixture.store.open_accounts(), 1, "the other one is in use");
    fixture.account = fixture.store.account("other").unwrap();
    fixture.account = fixture.store.account("mjl").unwrap();
    assert_eq!(fixture.uids("Inbox").len(), 3);
}

#[test]
fn names_that_are_no_folder_names_are_no_accounts() {
    let fixture = Fixture::new();
    for name in ["", ".", "..", "a/b", "../x", ".hidden", "a\0b"] {
        let opened = fixture.store.account(name);
        assert!(matches!(opened, Err(StoreError::NoAccount)), "{name:?}");
    }
}
