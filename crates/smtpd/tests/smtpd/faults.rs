//! Disks that are full or broken.

use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use mox_store::{Disk, RealDisk};
use parking_lot::Mutex;

use crate::support::{Fixture, Setup};

/// A disk that fails in one way while it is told to.
#[derive(Debug, Default)]
struct Faulty {
    commit: Mutex<Option<io::ErrorKind>>,
    write: Mutex<Option<io::ErrorKind>>,
}

#[derive(Debug)]
struct Shared(Arc<Faulty>);

fn fail(kind: &Mutex<Option<io::ErrorKind>>) -> io::Result<()> {
    kind.lock().map_or(Ok(()), |kind| Err(kind.into()))
}

impl Disk for Shared {
    fn create_synced(&self, path: &Path, content: &mut dyn Read) -> io::Result<u64> {
        fail(&self.0.write)?;
        RealDisk.create_synced(path, content)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        RealDisk.sync_dir(path)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }

    fn before_commit(&self) -> io::Result<()> {
        fail(&self.0.commit)
    }
}

fn fixture() -> (Fixture, Arc<Faulty>) {
    let faulty = Arc::new(Faulty::default());
    let disk = Arc::new(Shared(Arc::clone(&faulty)));
    (Fixture::with(Setup { disk, ..Setup::default() }), faulty)
}

const SMALL: &str = "Subject: x\r\n\r\nbody\r\n";
const RCPTS: [&str; 2] = ["mjl@example.org", "other@example.org"];

#[tokio::test]
async fn a_failing_commit_is_told_and_the_server_recovers() {
    for (kind, want) in
        [(io::ErrorKind::StorageFull, "452 4.3.1"), (io::ErrorKind::Other, "451 4.3.0")]
    {
        let (fixture, faulty) = fixture();
        let mut client = fixture.deliverer().await;
        assert!(client.transact("", &RCPTS[..1], SMALL).await.starts_with("250"));
        *faulty.commit.lock() = Some(kind);
        let reply = client.transact("a@client.example", &RCPTS, SMALL).await;
        assert!(reply.starts_with(want), "{reply}");
        *faulty.commit.lock() = None;
        // Our fault: the client is neither slow nor one bad transaction nearer to its end.
        let reply = client.transact("a@client.example", &RCPTS, SMALL).await;
        assert!(reply.starts_with("250"), "{reply}");
        assert_eq!(fixture.counts(["mjl", "other"]), [2, 1]);
        fixture.check();
    }
}

#[tokio::test]
async fn a_body_that_cannot_be_written_fails_for_all_recipients_alike() {
    let (fixture, faulty) = fixture();
    let mut client = fixture.deliverer().await;
    let mut noise = String::from("Subject: x\r\n\r\n");
    let rng = mox_testkit::TestRng::new(3);
    while noise.len() < 900_000 {
        noise.push_str(&format!("{:016x}{:016x}\r\n", rng.next_u64(), rng.next_u64()));
    }
    *faulty.write.lock() = Some(io::ErrorKind::StorageFull);
    let reply = client.transact("a@client.example", &RCPTS, &noise).await;
    assert!(reply.starts_with("452 4.3.1"), "{reply}");
    assert_eq!(fixture.counts(["mjl", "other"]), [0, 0]);
    *faulty.write.lock() = None;
    let reply = client.transact("a@client.example", &RCPTS, &noise).await;
    assert!(reply.starts_with("250"), "{reply}");
    assert_eq!(fixture.counts(["mjl", "other"]), [1, 1]);
    fixture.check();
}

#[tokio::test]
async fn a_message_that_cannot_be_spooled_is_read_and_refused() {
    let fixture = Fixture::with(Setup { has_spool_dir: false, ..Setup::default() });
    let port = mox_smtpd::Port {
        message_bytes_max: 10 << 20,
        ..Fixture::port(mox_smtpd::Service::Delivery)
    };
    let mut client = fixture.client(port).await;
    let large = format!("Subject: x\r\n\r\n{}", "0123456789\r\n".repeat(200_000));
    let reply = client.transact("a@client.example", &RCPTS, &large).await;
    assert!(reply.starts_with("451 4.3.0"), "{reply}");
    // Small ones need no file.
    assert!(client.transact("a@client.example", &RCPTS, SMALL).await.starts_with("250"));
    assert_eq!(fixture.counts(["mjl", "other"]), [1, 1]);
    fixture.check();
}
