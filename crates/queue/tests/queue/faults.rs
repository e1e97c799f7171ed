//! Disks that fill up and fail: nothing acknowledged is lost, and work goes on.

use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use mox_queue::{
    Disk, HookOutcome, HookSettled, INLINE_BYTES_MAX, NewHook, NewMessage, Pending, Queue,
    QueueError, RealDisk, Settlement,
};
use mox_testkit::TestRng;

use crate::support::{Fixture, NOW, delivered, recipient};

/// Fails the operations that a test picks. Counted down; below zero: never.
#[derive(Debug)]
struct FaultyDisk {
    fail_commit: AtomicI64,
    fail_write: AtomicI64,
    fail_sync: AtomicI64,
    fail_remove: AtomicI64,
    error: io::ErrorKind,
}

impl FaultyDisk {
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
        self.0.fails(&self.0.fail_remove)?;
        RealDisk.remove(path)
    }

    fn before_commit(&self) -> io::Result<()> {
        self.0.fails(&self.0.fail_commit)
    }
}

fn faulty(error: io::ErrorKind) -> (Fixture, Arc<FaultyDisk>) {
    let never = || AtomicI64::new(-1);
    let disk = Arc::new(FaultyDisk {
        fail_commit: never(),
        fail_write: never(),
        fail_sync: never(),
        fail_remove: never(),
        error,
    });
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let path = dir.path().join("queue");
    let shared = Arc::new(Shared(Arc::clone(&disk)));
    let queue = Queue::open_with(&path, Arc::new(TestRng::new(1)), shared).unwrap();
    (Fixture { queue, dir }, disk)
}

fn large(fixture: &Fixture) -> Result<NewMessage, QueueError> {
    let body = fixture.queue.stage(&mut &vec![b'x'; INLINE_BYTES_MAX + 1][..])?;
    let mut message = NewMessage::new("account", body);
    message.recipients.push(recipient("", "a@x.example"));
    Ok(message)
}

fn add(fixture: &Fixture) -> Pending<Vec<mox_queue::MessageId>> {
    fixture.queue.add(fixture.message(&["a@x.example"]), NOW)
}

#[test]
fn a_full_disk_fails_what_is_being_written_and_nothing_else() {
    let (fixture, disk) = faulty(io::ErrorKind::StorageFull);
    add(&fixture).wait().unwrap();
    disk.fail_commit.store(0, Ordering::SeqCst);
    assert!(matches!(add(&fixture).wait(), Err(QueueError::DiskFull)));
    add(&fixture).wait().unwrap();
    for fault in [&disk.fail_write, &disk.fail_sync] {
        fault.store(0, Ordering::SeqCst);
        let error = large(&fixture).unwrap_err();
        assert!(matches!(error, QueueError::DiskFull) && error.is_temporary());
    }
    fixture.add_at(NOW, large(&fixture).unwrap());
    assert_eq!(fixture.reopened().all().len(), 3);
}

#[test]
fn after_a_failed_sync_the_next_write_opens_the_database_anew() {
    let (fixture, disk) = faulty(io::ErrorKind::Other);
    add(&fixture).wait().unwrap();
    let first = fixture.lease_one(NOW);
    add(&fixture).wait().unwrap();
    disk.fail_commit.store(0, Ordering::SeqCst);
    let failed = fixture.queue.lease(mox_queue::LeaseRequest { max: 1, ..Default::default() }, NOW);
    assert!(matches!(failed.wait(), Err(QueueError::Io(_))));
    // Nobody has the second one, so it can be taken; the first one still is.
    let second = fixture.lease_one(NOW);
    assert_ne!(first.id, second.id);
    assert!(fixture.lease(NOW).is_empty());
    disk.fail_commit.store(0, Ordering::SeqCst);
    let settlement = Settlement::new(first.id, NOW, delivered());
    assert!(fixture.queue.settle(vec![settlement.clone()], NOW).wait().is_err());
    // Settled again, as it was not.
    assert_eq!(fixture.queue.settle(vec![settlement], NOW).wait().unwrap().len(), 1);
    let all = fixture.all();
    assert_eq!((all.len(), all[0].id, all[0].is_leased), (1, second.id, true));
    assert!(all[0].results.is_empty());
    assert_eq!(fixture.reopened().queue.interrupted(), 1);
}

#[test]
fn a_call_that_is_being_made_is_not_made_twice_after_a_failed_sync() {
    let (fixture, disk) = faulty(io::ErrorKind::Other);
    let call = NewHook { url: "https://h.example/".to_owned(), ..NewHook::default() };
    fixture.queue.add_hooks(vec![call], NOW).wait().unwrap();
    let lease = |at| fixture.queue.lease_hooks(5, Vec::new(), at);
    disk.fail_commit.store(0, Ordering::SeqCst);
    assert!(matches!(lease(NOW).wait(), Err(QueueError::Io(_))));
    // Nobody has it.
    let hook = lease(NOW).wait().unwrap().remove(0);
    disk.fail_commit.store(0, Ordering::SeqCst);
    assert!(add(&fixture).wait().is_err());
    add(&fixture).wait().unwrap();
    assert_eq!(lease(NOW.plus_secs(3_600)).wait().unwrap(), []);
    disk.fail_commit.store(0, Ordering::SeqCst);
    let settle = || fixture.queue.settle_hook(hook.id, HookOutcome::default(), NOW).wait();
    assert!(settle().is_err());
    assert_eq!(settle().unwrap(), HookSettled::Again);
    let again = lease(NOW.plus_secs(3_600)).wait().unwrap().remove(0);
    assert_eq!((again.id, again.attempts, again.results.len()), (hook.id, 2, 1));
}

#[test]
fn every_commit_may_fail_once() {
    for error in [io::ErrorKind::StorageFull, io::ErrorKind::Other] {
        for at in 0..5 {
            let (fixture, disk) = faulty(error);
            disk.fail_commit.store(at, Ordering::SeqCst);
            // Each step is done again if it failed, as its caller would.
            let added = add(&fixture).wait().or_else(|_| add(&fixture).wait()).unwrap();
            let request =
                || mox_queue::LeaseRequest { max: 1, ..mox_queue::LeaseRequest::default() };
            let lease = || fixture.queue.lease(request(), NOW).wait();
            let leases = lease().or_else(|_| lease()).unwrap();
            assert_eq!((leases[0].id, leases[0].attempt), (added[0], 1));
            let settle = || {
                let settlement = Settlement::new(added[0], NOW, delivered());
                fixture.queue.settle(vec![settlement], NOW).wait()
            };
            let settled = settle().or_else(|_| settle()).unwrap();
            assert!(settled[0].is_final);
            assert!(fixture.all().is_empty());
            assert_eq!(fixture.reopened().queue.interrupted(), 0);
        }
    }
}

#[test]
fn a_body_file_that_cannot_be_removed_is_swept_later() {
    let (fixture, disk) = faulty(io::ErrorKind::Other);
    fixture.add_at(NOW, large(&fixture).unwrap());
    let lease = fixture.lease_one(NOW);
    disk.fail_remove.store(0, Ordering::SeqCst);
    fixture.settle(&lease, NOW, delivered());
    let bodies = fixture.dir.path().join("queue/bodies");
    let files = || -> usize {
        let folders = std::fs::read_dir(&bodies).unwrap();
        folders.map(|folder| std::fs::read_dir(folder.unwrap().path()).unwrap().count()).sum()
    };
    assert_eq!(files(), 1);
    let _fixture = fixture.reopened();
    assert_eq!(files(), 0);
}
