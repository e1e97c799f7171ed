//! Any bytes from a client to a whole connection: session, driver and an account on disk.
//!
//! The first byte of the input chooses the state the connection starts in, the second how the
//! bytes are cut. What earlier inputs left in the account stays for a while, so that mailboxes
//! fill and change; a finding that needs it is found again by running the corpus in order.
#![no_main]

#[path = "../../crates/imapd/tests/imapd/support.rs"]
#[expect(dead_code, reason = "each test uses its own part")]
mod support;

use std::cell::RefCell;
use std::time::Duration;

use mox_net::AuthFailures;
use support::{PASSWORD, Server, Setup, server_with};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

/// Connections to one account before it is checked and another begun.
const CONNECTIONS: u32 = 400;

/// Failed logins are answered late, which takes real time: not more tries than these.
const LOGINS_MAX: usize = 2;

/// A connection that takes longer hangs: it was told that nothing more comes.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a server may say, for each byte it was sent; a page of messages for each command.
const OUTPUT_MAX: usize = 256 << 20;

const MESSAGE: &[u8] = b"From: a@x\r\nTo: b@y\r\nSubject: =?utf-8?q?=C3=84pfel?=\r\nMessage-ID: <1@x>\r\n\
    Date: Fri, 20 Nov 2026 08:55:32 +0000\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\ntext\r\n--b\r\n\
    Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\nU3ViamVjdDogaW5uZXINCg0KaGkNCg==\r\n--b--\r\n";

struct Target {
    runtime: Runtime,
    server: Server,
    connections: u32,
}

thread_local! {
    static TARGET: RefCell<Option<Target>> = const { RefCell::new(None) };
}

impl Target {
    fn new() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let failures = AuthFailures::with(&[]);
        let server = server_with(Setup { failures, ..Setup::default() });
        for _ in 0..3 {
            server.deliver(MESSAGE);
        }
        Self { runtime, server, connections: 0 }
    }
}

/// What is sent before the input.
fn start(state: u8) -> String {
    let mut start = String::new();
    if state % 16 == 0 {
        return start;
    }
    start.push_str(&format!("l LOGIN mjl@example.org \"{PASSWORD}\"\r\n"));
    for (bit, line) in [
        (16, "x ENABLE IMAP4rev2\r\n"),
        (32, "x ENABLE QRESYNC\r\n"),
        (64, "x SELECT Inbox\r\n"),
        (
            128,
            "x NOTIFY SET (SELECTED (MessageNew (UID) MessageExpunge)) (PERSONAL (MailboxName))\r\n",
        ),
    ] {
        if state & bit != 0 {
            start.push_str(line);
        }
    }
    if state % 16 == 1 {
        start.push_str("x ENABLE UIDONLY\r\n");
    }
    start
}

fn tries_to_log_in(input: &[u8]) -> usize {
    let count = |word: &[u8]| {
        input.windows(word.len()).filter(|window| window.eq_ignore_ascii_case(word)).count()
    };
    count(b"login") + count(b"authenticate")
}

async fn play(server: &Server, state: u8, cut: u8, input: &[u8]) {
    let client = server.dial(1 + usize::from(cut) * 64);
    let (mut read, mut write) = tokio::io::split(client.stream.into_inner());
    let reading = async move {
        let (mut sink, mut total) = (vec![0; 16 << 10], 0);
        while let Ok(count @ 1..) = read.read(&mut sink).await {
            total += count;
            assert!(total <= OUTPUT_MAX, "the server does not stop talking");
        }
    };
    let writing = async move {
        let start = start(state);
        let piece = usize::from(cut) + 1;
        for bytes in std::iter::once(start.as_bytes()).chain(input.chunks(piece)) {
            if write.write_all(bytes).await.is_err() {
                return;
            }
        }
        let _gone = write.shutdown().await;
    };
    let ended = timeout(PATIENCE, async {
        tokio::join!(reading, writing);
        client.task.await
    });
    ended.await.expect("the connection hangs").expect("the connection panicked");
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let [state, cut, input @ ..] = input else { return };
    if tries_to_log_in(input) > LOGINS_MAX {
        return;
    }
    TARGET.with_borrow_mut(|slot| {
        let target = slot.get_or_insert_with(Target::new);
        target.runtime.block_on(play(&target.server, *state, *cut, input));
        target.connections += 1;
        if target.connections == CONNECTIONS {
            target.server.check();
            *slot = None;
        }
    });
});
