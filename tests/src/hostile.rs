//! What does not speak the protocol, or speaks too much of it, on every port; and a failing disk.

use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use mox::service::Service;
use mox_store::{Disk, RealDisk};
use mox_testkit::memory::{is_alone, resident_bytes};

use crate::server::TestServer;

const SERVICES: [Service; 5] =
    [Service::Smtp, Service::Submission, Service::Submissions, Service::Imap, Service::Imaps];

/// What all the hostile input may make the process grow by: the buffers of the test's own clients
/// are in it.
const GROWTH_BYTES_MAX: u64 = 96 << 20;

/// Inputs that no protocol here begins with, or that never end.
fn inputs() -> Vec<Vec<u8>> {
    let noise: Vec<u8> =
        (0..100_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    vec![
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
        // The start of a TLS handshake, cut off.
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        noise,
        vec![b'a'; 4 << 20],
        b"a LOGIN {999999999}\r\n".to_vec(),
        b"a LOGIN {99+}\r\nx".repeat(20_000),
        b"NOOP\r\n".repeat(100_000),
        b"\r\n".repeat(500_000),
        vec![0; 1 << 20],
        Vec::new(),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_input_on_every_port_harms_nobody() {
    if !is_alone("hostile::hostile_input_on_every_port_harms_nobody") {
        return;
    }
    let server = TestServer::start().await;
    let mut reader = server.inbox().await;
    let before = resident_bytes();
    for service in SERVICES {
        for input in inputs() {
            // On the ports with TLS, once before and once inside it.
            let mut client = server.connect_plain(service).await;
            client.send_garbage(&input).await;
            if service.is_tls_immediate() {
                server.connect(service).await.send_garbage(&input).await;
            }
            drop(client);
        }
        let message = "Subject: between\r\n\r\nhello\r\n";
        let mut sender = server.smtp(Service::Smtp).await;
        sender.send_message("a@example.net", &["x@localhost"], message).await;
    }
    let growth = resident_bytes().saturating_sub(before);
    assert!(growth < GROWTH_BYTES_MAX, "grew by {growth} bytes");
    reader.ask("n1 NOOP").await;
    let found = reader.ask("n2 SEARCH SUBJECT between").await;
    assert!(found.iter().any(|line| line == "* SEARCH 1 2 3 4 5"), "{found:?}");
    reader.ask("n3 LOGOUT").await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_silent_connections_keep_nobody_out() {
    let server = TestServer::start().await;
    let mut silent = Vec::new();
    for service in SERVICES {
        for _ in 0..40 {
            silent.push(server.connect_plain(service).await);
        }
    }
    let mut sender = server.smtp(Service::Smtp).await;
    sender.send_message("a@example.net", &["x@localhost"], "Subject: x\r\n\r\nx\r\n").await;
    let mut reader = server.inbox().await;
    reader.ask("a FETCH 1 FLAGS").await;
    reader.ask("b LOGOUT").await;
    drop((silent, sender));
    server.stop().await;
}

/// How the disk fails at the next commits.
#[derive(Debug, Default)]
struct Failing(AtomicU8);

const WELL: u8 = 0;
const FULL: u8 = 1;
const BROKEN: u8 = 2;

impl Disk for Failing {
    fn create_synced(&self, path: &Path, content: &mut dyn Read) -> io::Result<u64> {
        RealDisk.create_synced(path, content)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        RealDisk.sync_dir(path)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }

    fn before_commit(&self) -> io::Result<()> {
        match self.0.load(Ordering::SeqCst) {
            FULL => Err(io::ErrorKind::StorageFull.into()),
            BROKEN => Err(io::ErrorKind::Other.into()),
            _ => Ok(()),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_disk_is_told_as_temporary_and_gone_on_from() {
    let disk = Arc::new(Failing::default());
    let server = TestServer::start_on(Arc::<Failing>::clone(&disk)).await;
    let message = "Subject: kept\r\n\r\nx\r\n";
    let mut sender = server.smtp(Service::Smtp).await;
    sender.send_message("a@example.net", &["x@localhost"], message).await;
    let mut reader = server.inbox().await;
    for (how, code) in [(FULL, "452"), (BROKEN, "451")] {
        disk.0.store(how, Ordering::SeqCst);
        sender.reply("MAIL FROM:<a@example.net>", "250").await;
        sender.reply("RCPT TO:<x@localhost>", "250").await;
        sender.reply("DATA", "354").await;
        sender.reply(&format!("{message}."), code).await;
        disk.0.store(WELL, Ordering::SeqCst);
        sender.send_message("a@example.net", &["x@localhost"], message).await;
    }
    // The failed commit closed the account as this session had opened it.
    reader.send("n NOOP").await;
    reader.expect("* BYE [UNAVAILABLE]").await;
    reader.expect_closed().await;
    let mut reader = server.inbox().await;
    let found = reader.ask("s SEARCH SUBJECT kept").await;
    assert!(found.iter().any(|line| line == "* SEARCH 1 2 3"), "{found:?}");
    drop((reader, sender));
    server.stop().await;
}
