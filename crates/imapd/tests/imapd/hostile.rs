//! Random and broken commands, cut anywhere, to a connection with a store behind it.

use mox_net::AuthFailures;
use mox_testkit::TestRng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Duration, timeout};

use crate::support::{PASSWORD, Server, Setup, server_with};

/// Whole connections, each with other pieces.
const ROUNDS: usize = 120;

/// Pieces of one connection.
const PIECES_MAX: u64 = 40;

const PIECES: &[&str] = &[
    "NOOP",
    "CAPABILITY",
    "CHECK",
    "CLOSE",
    "UNSELECT",
    "EXPUNGE",
    "IDLE\r\nDONE",
    "IDLE\r\nx",
    "LOGOUT",
    "STARTTLS",
    "NAMESPACE",
    "ID (\"name\" \"x\" \"y\" NIL)",
    "ENABLE QRESYNC IMAP4rev2 CONDSTORE",
    "LOGIN a b",
    "AUTHENTICATE PLAIN\r\n*",
    "AUTHENTICATE SCRAM-SHA-256 biwsbj1hLHI9eA==\r\n=",
    "SELECT Inbox",
    "EXAMINE Inbox (CONDSTORE)",
    "SELECT Inbox (QRESYNC (1 1 1:9 (1:2 1:2)))",
    "SELECT work/a",
    "CREATE work/{1+}\r\na",
    "CREATE x{3}\r\nabc (USE (\\Sent))",
    "DELETE work/a",
    "RENAME work other",
    "RENAME Inbox old",
    "SUBSCRIBE ghost",
    "UNSUBSCRIBE ghost",
    "LIST (SUBSCRIBED RECURSIVEMATCH) \"\" (* %) RETURN (CHILDREN STATUS (MESSAGES HIGHESTMODSEQ))",
    "LSUB \"\" %/%",
    "STATUS Inbox (MESSAGES UIDNEXT UIDVALIDITY UNSEEN DELETED SIZE HIGHESTMODSEQ)",
    "APPEND Inbox (\\Seen x) {20+}\r\nSubject: a\r\n\r\nbody\r\n",
    "APPEND Inbox {10+}\r\nA: b\r\n\r\nxx (\\Draft) {6+}\r\nC: d\r\n",
    "APPEND nowhere {3+}\r\nabc",
    "APPEND Inbox {3}\r\nabc",
    "APPEND Inbox {99999999}\r\n",
    "APPEND Inbox CATENATE (URL \"/Inbox/;UID=1/;SECTION=HEADER\" TEXT {3+}\r\nabc URL {6+}\r\n;UID=1)",
    "APPEND work/a CATENATE (URL ;UID=2) {8+}\r\nA: b\r\n\r\n CATENATE (UTF8 (~{1+}\r\nx))",
    "REPLACE 1 Inbox {3+}\r\nabc",
    "UID REPLACE * Archive (\\Seen) CATENATE (URL /Inbox/;UID=1/;PARTIAL=3.9)",
    "GENURLAUTH imap://mjl@mail.example.org/Inbox/;UID=1;URLAUTH=authuser INTERNAL",
    "URLFETCH (\"imap://mjl@mail.example.org/Inbox/;UID=1;URLAUTH=authuser:INTERNAL:\
     00112233445566778899aabbccddeeff\" BINARY BODYPARTSTRUCTURE) x",
    "RESETKEY Inbox INTERNAL",
    "SEARCH OR TEXT a NOT (BODY b UID 1:3)",
    "UID SEARCH RETURN (SAVE MIN MAX ALL COUNT) MODSEQ 3",
    "SEARCH CHARSET UTF-8 SUBJECT {2+}\r\n\u{e9}",
    "FETCH 1:* (FLAGS UID ENVELOPE BODYSTRUCTURE MODSEQ)",
    "FETCH $ FULL",
    "FETCH 1 (BODY[1] BODY[HEADER.FIELDS (a b)]<0.10> BINARY.SIZE[1] RFC822)",
    "UID FETCH 1:* (BODY.PEEK[]<5.100>) (CHANGEDSINCE 1 VANISHED)",
    "STORE 1:* +FLAGS (\\Deleted x)",
    "STORE 1 (UNCHANGEDSINCE 1) FLAGS.SILENT ()",
    "UID STORE $ -FLAGS (x)",
    "COPY 1:* Archive",
    "UID MOVE 1:3 Archive",
    "MOVE * work/a",
    "UID EXPUNGE 1:*",
    "(((((((((((((((((((((((",
    "FETCH 4294967295:* ((((",
    "\"\\\"\\",
    "{5}\r\nabcde",
    "{4294967296+}\r\n",
];

pub(crate) fn below(rng: &TestRng, bound: u64) -> u64 {
    rng.next_u64() % bound
}

/// The bytes of one connection.
pub(crate) fn stream(rng: &TestRng) -> Vec<u8> {
    let mut bytes = Vec::new();
    let logs_in = below(rng, 5) > 0;
    // Who fails to log in three times is served slowly: that takes real time.
    let pieces_max = if logs_in { PIECES_MAX } else { 6 };
    if logs_in {
        bytes.extend_from_slice(format!("l LOGIN mjl@example.org \"{PASSWORD}\"\r\n").as_bytes());
    }
    if below(rng, 3) > 0 {
        bytes.extend_from_slice(b"s SELECT Inbox\r\n");
    }
    for number in 0..1 + below(rng, pieces_max) {
        let piece = PIECES[below(rng, PIECES.len() as u64) as usize];
        let mut line = format!("t{number} {piece}\r\n").into_bytes();
        match below(rng, 12) {
            // A byte is another, or is missing, or there is one more, or the line ends early.
            0 => {
                let at = below(rng, line.len() as u64) as usize;
                line[at] = rng.next_u64() as u8;
            }
            1 => {
                line.remove(below(rng, line.len() as u64) as usize);
            }
            2 => {
                let at = below(rng, line.len() as u64) as usize;
                line.insert(at, rng.next_u64() as u8);
            }
            3 => line.truncate(below(rng, line.len() as u64) as usize),
            4 => {
                let again = line.clone();
                line.extend_from_slice(&again[below(rng, again.len() as u64) as usize..]);
            }
            _ => {}
        }
        bytes.extend_from_slice(&line);
    }
    bytes
}

/// Sends it all, however the server takes it, and waits for the end of the connection.
pub(crate) async fn play(server: &Server, rng: &TestRng, bytes: &[u8]) {
    let client = server.dial(1 + below(rng, 4_096) as usize);
    let (mut read, mut write) = tokio::io::split(client.stream.into_inner());
    let reader = tokio::spawn(async move {
        let mut sink = vec![0; 4_096];
        while let Ok(1..) = read.read(&mut sink).await {}
    });
    let mut rest = bytes;
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(1 + below(rng, rest.len() as u64) as usize);
        if write.write_all(piece).await.is_err() {
            break;
        }
        rest = after;
    }
    let _gone = write.shutdown().await;
    // It ends by itself: it was told that nothing more comes.
    let ended = timeout(Duration::from_secs(60), client.task).await;
    ended.unwrap_or_else(|_| panic!("hangs after {:?}", String::from_utf8_lossy(bytes))).unwrap();
    reader.await.unwrap();
}

#[tokio::test]
async fn nothing_a_client_sends_harms_the_server() {
    let failures = AuthFailures::with(&[]);
    let server = server_with(Setup { failures, ..Setup::default() });
    for seed in 0..ROUNDS {
        let rng = TestRng::new(seed as u64);
        play(&server, &rng, &stream(&rng)).await;
        if seed.is_multiple_of(20) {
            server.check();
        }
    }
    server.check();
    // Nothing is left behind of what was broken off, and the server still serves.
    assert_eq!(server.body_files(), Vec::<String>::new());
    server.inbox().await.ok("FETCH 1:* (FLAGS)").await;
}
