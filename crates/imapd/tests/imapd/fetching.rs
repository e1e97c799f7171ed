//! FETCH and SEARCH with contents of all sizes.

use crate::support::server;

const MULTIPART: &[u8] = b"From: a@example.org\r\nSubject: parts\r\nMIME-Version: 1.0\r\n\
    Content-Type: multipart/mixed; boundary=b\r\n\r\n\
    --b\r\nContent-Type: text/plain\r\n\r\nfirst\r\n\
    --b\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n\
    AAEC/w==\r\n--b\r\nContent-Transfer-Encoding: x-odd\r\n\r\nodd\r\n--b--\r\n";

#[tokio::test]
async fn sections_are_those_of_the_message() {
    let server = server();
    server.deliver(MULTIPART);
    let mut client = server.inbox().await;
    let lines = client.ok("FETCH 1 (BODY.PEEK[1] BODY.PEEK[2.MIME] BODY.PEEK[1]<1.3>)").await;
    let want = "* 1 FETCH (UID 1 BODY[1] {5}\r\nfirst BODY[2.MIME] {75}\r\n\
        Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n \
        BODY[1]<1> {3}\r\nirs)";
    assert_eq!(lines, [want.replace("{75}", "{77}")]);
    let lines = client.ok("FETCH 1 (BODY.PEEK[HEADER.FIELDS (subject)] RFC822.SIZE)").await;
    let size = MULTIPART.len();
    let want = format!(
        "* 1 FETCH (UID 1 BODY[HEADER.FIELDS (SUBJECT)] {{18}}\r\nSubject: parts\r\n\r\n \
         RFC822.SIZE {size})"
    );
    assert_eq!(lines[0].to_uppercase(), want.to_uppercase());
    let lines = client.ok("FETCH 1 (BINARY.SIZE[2])").await;
    assert_eq!(lines, ["* 1 FETCH (UID 1 BINARY.SIZE[2] 4)"]);
    client.fails("FETCH 1 (BINARY.PEEK[3])", "NO [UNKNOWN-CTE]").await;
    client.fails("FETCH 1 (BODY.PEEK[9])", "NO").await;
}

#[tokio::test]
async fn reading_a_message_marks_it_seen() {
    let server = server();
    server.deliver(MULTIPART);
    let mut client = server.inbox().await;
    let lines = client.ok("FETCH 1 (BODY[1])").await;
    assert_eq!(lines, ["* 1 FETCH (UID 1 BODY[1] {5}\r\nfirst FLAGS (\\Seen))"]);
    assert_eq!(client.ok("NOOP").await, ["* 1 FETCH (UID 1 FLAGS (\\Seen))"]);
    client.ok("EXAMINE Inbox").await;
    assert_eq!(client.ok("SEARCH SEEN").await, ["* SEARCH 1"]);
}

#[tokio::test]
async fn large_messages_are_streamed_whole_and_in_part() {
    let server = server();
    let mut message = b"Subject: large\r\nContent-Transfer-Encoding: base64\r\n\r\n".to_vec();
    let rng = mox_testkit::TestRng::new(5);
    while message.len() < 3_000_000 {
        let line: String = (0..9).map(|_| format!("{:08x}", rng.next_u64() as u32)).collect();
        message.extend_from_slice(line.as_bytes());
        message.extend_from_slice(b"\r\n");
    }
    server.deliver(&message);
    server.deliver(MULTIPART);
    let mut client = server.inbox().await;
    let lines = client.ok("FETCH 1:2 (BODY.PEEK[] RFC822.SIZE)").await;
    assert_eq!(lines.len(), 2);
    let size = message.len();
    let whole = String::from_utf8(message.clone()).unwrap();
    assert!(
        lines[0] == format!("* 1 FETCH (UID 1 BODY[] {{{size}}}\r\n{whole} RFC822.SIZE {size})")
    );
    let lines = client.ok("FETCH 1 (BODY.PEEK[]<2500000.300000>)").await;
    let part = &whole[2_500_000..2_800_000];
    assert!(lines[0] == format!("* 1 FETCH (UID 1 BODY[]<2500000> {{300000}}\r\n{part})"));
    let lines = client.ok("FETCH 1 (BINARY.SIZE[1] BODY.PEEK[1]<0.5>)").await;
    let size: usize = lines[0].split(' ').nth(6).unwrap().parse().unwrap();
    assert!(size > 2_000_000, "{size}");
    let lines = client.ok("FETCH 1 (BINARY.PEEK[1]<1900000.6> BINARY.PEEK[1])").await;
    assert!(lines[0].starts_with("* 1 FETCH (UID 1 BINARY[1]<1900000> ~{6}\r\n"));
}

#[tokio::test]
async fn many_messages_come_in_order_and_complete() {
    let server = server();
    for number in 0..1_300 {
        server.deliver(format!("Subject: {number}\r\n\r\nbody {number}\r\n").as_bytes());
    }
    let mut client = server.inbox().await;
    let lines = client.ok("FETCH 1:* (ENVELOPE BODYSTRUCTURE BODY.PEEK[HEADER] FLAGS)").await;
    assert_eq!(lines.len(), 1_300);
    for (number, line) in lines.iter().enumerate() {
        let want = format!("* {0} FETCH (UID {0} ENVELOPE (NIL \"{number}\" NIL", number + 1);
        assert!(line.starts_with(&want), "{line}");
    }
    let lines = client.ok("UID FETCH 5,7,1200:1201 (UID)").await;
    assert_eq!(lines.len(), 4);
    assert_eq!(client.ok("SEARCH BODY \"body 77\" SUBJECT 777").await, ["* SEARCH 778"]);
    let lines = client.ok("UID SEARCH RETURN (MIN MAX COUNT) SUBJECT 12").await;
    assert!(lines[0].starts_with("* ESEARCH (TAG \"") && lines[0].contains(" MIN 13 MAX "));
}

/// A message whose file is lost used to end the connection, and with it every later attempt to
/// read the others.
#[tokio::test]
async fn a_damaged_message_spoils_no_other() {
    let server = server();
    let mut large = b"Subject: large\r\n\r\n".to_vec();
    let rng = mox_testkit::TestRng::new(6);
    while large.len() < 3_000_000 {
        large.extend_from_slice(format!("{:016x}\r\n", rng.next_u64()).as_bytes());
    }
    server.deliver(MULTIPART);
    server.deliver(&large);
    server.deliver(MULTIPART);
    let file = server.body_files().remove(0);
    let mut client = server.inbox().await;
    std::fs::remove_file(find(server.dir.path(), &file)).unwrap();
    let (lines, reply) = client.command("FETCH 1:3 (BODY[])").await;
    assert!(reply.starts_with("NO [SERVERBUG]"), "{reply}");
    assert!(lines.len() == 1 && lines[0].starts_with("* 1 FETCH (UID 1 BODY[] {"), "{lines:?}");
    // What was read is told as seen, though the command failed.
    assert_eq!(client.ok("NOOP").await, ["* 1 FETCH (UID 1 FLAGS (\\Seen))"]);
    assert_eq!(client.ok("FETCH 2:3 (RFC822.SIZE ENVELOPE)").await.len(), 2);
    assert_eq!(client.ok("FETCH 3 (BODY.PEEK[1])").await.len(), 1);
}

/// RFC 5465 §5.2: nor does it keep those that came with it from a client that listens.
#[tokio::test]
async fn a_damaged_message_spoils_no_other_that_is_new() {
    let server = server();
    let mut client = server.inbox().await;
    client.ok("NOTIFY SET (SELECTED (MessageNew (BODY.PEEK[2]) MessageExpunge))").await;
    // In the middle of a command it is told nothing.
    client.send("x NO").await;
    let mut large = b"Subject: large\r\n\r\n".to_vec();
    let rng = mox_testkit::TestRng::new(7);
    while large.len() < 3_000_000 {
        large.extend_from_slice(format!("{:016x}\r\n", rng.next_u64()).as_bytes());
    }
    server.deliver(&large);
    server.deliver(MULTIPART);
    let file = server.body_files().remove(0);
    std::fs::remove_file(find(server.dir.path(), &file)).unwrap();
    client.send("OP\r\n").await;
    let (lines, reply) = client.finish("x").await;
    assert_eq!(reply, "OK NOOP done");
    assert_eq!(lines.len(), 4, "{lines:?}");
    let told = ["* 2 EXISTS", "* NO generating notify fetch response: ", "* 1 FETCH (UID 1)"];
    assert!(lines.iter().zip(told).all(|(line, want)| line.starts_with(want)), "{lines:?}");
    assert!(lines[3].starts_with("* 2 FETCH (UID 2 BODY[2] {"), "{lines:?}");
}

fn find(folder: &std::path::Path, name: &str) -> std::path::PathBuf {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    for path in entries {
        if path.is_dir() {
            let found = find(&path, name);
            if found.exists() {
                return found;
            }
        } else if path.ends_with(name) {
            return path;
        }
    }
    std::path::PathBuf::new()
}

/// All sections of one message in one page used to take 200 times the size of a section.
#[tokio::test]
async fn a_message_asked_for_many_times_comes_in_pages() {
    let server = server();
    let text = "line of text\r\n".repeat(10_000);
    server.deliver(format!("Subject: x\r\n\r\n{text}").as_bytes());
    server.deliver(MULTIPART);
    let mut client = server.inbox().await;
    let items = ["BODY.PEEK[TEXT]"; 50].join(" ");
    let lines = client.ok(&format!("FETCH 1:2 ({items} FLAGS)")).await;
    assert_eq!(lines.len(), 2);
    let (part, size) = (format!(" BODY[TEXT] {{{0}}}\r\n{text}", text.len()), text.len());
    assert!(lines[0] == format!("* 1 FETCH (UID 1{} FLAGS ())", part.repeat(50)), "{size}");
}

/// RFC 8474 §5, RFC 8970 §3, RFC 8514 §4.
#[tokio::test]
async fn copies_have_the_same_content() {
    let server = server();
    server.deliver(b"Subject: x\r\n\r\nsome words\r\n");
    server.deliver(b"Subject: y\r\n\r\n");
    let mut client = server.inbox().await;
    client.ok("COPY 1 Archive").await;
    let lines = client.ok("FETCH 1:2 (EMAILID THREADID PREVIEW)").await;
    assert_eq!(lines[0], "* 1 FETCH (UID 1 EMAILID (E1) THREADID (T1) PREVIEW \"some words\")");
    assert_eq!(lines[1], "* 2 FETCH (UID 2 EMAILID (E2) THREADID (T2) PREVIEW \"\")");
    let lines = client.ok("FETCH 1 (SAVEDATE)").await;
    assert!(lines[0].starts_with("* 1 FETCH (UID 1 SAVEDATE \"20-Nov-2026 "), "{lines:?}");
    let lines = client.ok("UID SEARCH EMAILID E1").await;
    assert_eq!(lines, ["* SEARCH 1"]);
    let lines = client.ok("SELECT Archive").await;
    let id = lines.iter().find(|line| line.contains("MAILBOXID")).unwrap().clone();
    let lines = client.ok("FETCH 1 (EMAILID)").await;
    assert_eq!(lines[0], "* 1 FETCH (UID 1 EMAILID (E1))");
    let lines = client.ok("STATUS Archive (MAILBOXID)").await;
    let shown = lines[0].split_once("MAILBOXID ").unwrap().1.trim_end_matches("))");
    assert!(id.contains(&format!("[MAILBOXID {shown})]")), "{id} {shown}");
    server.check();
}

/// RFC 9051 §9: an ordinary literal never holds NUL, whether the section is sent from memory or
/// streamed; a literal8 (RFC 3516 §4.2) does. They were sent as they are.
#[tokio::test]
async fn nul_in_a_message_is_hidden_in_ordinary_literals() {
    let server = server();
    for size in [10, 300 << 10] {
        server.deliver(format!("Subject: a\0b\r\n\r\n{}", "x\0".repeat(size / 2)).as_bytes());
    }
    let mut client = server.inbox().await;
    for item in ["BODY.PEEK[]", "BODY.PEEK[TEXT]", "BODY.PEEK[HEADER]", "RFC822.HEADER", "ENVELOPE"]
    {
        let lines = client.ok(&format!("FETCH 1:2 {item}")).await;
        assert_eq!(lines.len(), 2, "{item}");
        assert!(lines.iter().all(|line| !line.contains('\0')), "{item}");
    }
    for line in client.ok("FETCH 1:2 BINARY.PEEK[1]").await {
        assert!(line.contains("~{") && line.contains('\0'));
    }
}

/// RFC 7162 §3.1: flags that a FETCH sets used to be told with the mod-sequence of those before.
#[tokio::test]
async fn flags_are_told_with_their_own_mod_sequence() {
    let server = server();
    server.deliver(b"Subject: x\r\n\r\nx\r\n");
    let mut client = server.inbox().await;
    client.ok("ENABLE CONDSTORE").await;
    let before = client.ok("FETCH 1 (FLAGS MODSEQ)").await;
    let lines = client.ok("UID FETCH 1 (MODSEQ BODY[TEXT])").await;
    let modseq = |line: &str| -> u64 {
        let (_, rest) = line.split_once("MODSEQ (").unwrap();
        rest.split_once(')').unwrap().0.parse().unwrap()
    };
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].contains("FLAGS () ") && modseq(&lines[0]) == modseq(&before[0]), "{lines:?}");
    assert!(lines[1].contains("FLAGS (\\Seen) ") && modseq(&lines[1]) > modseq(&before[0]));
}
