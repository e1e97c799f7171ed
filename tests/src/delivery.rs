//! From SMTP to IMAP.

use mox::service::Service;
use mox::services::Mode;

use crate::client::Client;
use crate::server::TestServer;

const MESSAGE: &str = "From: <a@client.example>\r\n\
    To: <mox@localhost>\r\n\
    Subject: hello\r\n\
    Date: Fri, 20 Nov 2026 10:00:00 +0000\r\n\
    Message-ID: <one@client.example>\r\n\
    \r\n\
    first line\r\n\
    ..second begins with a dot";

/// The lines of an answer in one text.
async fn fetch(client: &mut Client, what: &str) -> String {
    client.ask(&format!("f1 FETCH 1 {what}")).await.join("\n")
}

#[tokio::test]
async fn what_smtp_accepts_is_there_by_imap() {
    let server = TestServer::start().await;
    let mut smtp = server.smtp(Service::Smtp).await;
    smtp.send_message("a@client.example", &["mox@localhost"], MESSAGE).await;
    smtp.reply("QUIT", "221").await;
    smtp.expect_closed().await;

    let mut imap = server.imap().await;
    imap.log_in("moxmoxmox").await;
    let selected = imap.ask("s1 SELECT Inbox").await;
    assert!(selected.contains(&"* 1 EXISTS".to_owned()), "{selected:?}");
    let text = fetch(&mut imap, "BODY.PEEK[TEXT]").await;
    assert!(text.contains("first line\n.second begins with a dot"), "{text}");
    let header = fetch(&mut imap, "BODY.PEEK[HEADER]").await;
    for field in ["Return-Path: <a@client.example>", "Received: from ", "Subject: hello"] {
        assert!(header.contains(field), "{field} missing in\n{header}");
    }
    let flags = fetch(&mut imap, "(FLAGS)").await;
    assert!(!flags.contains("\\Seen"), "{flags}");
    imap.ask("o1 LOGOUT").await;
    imap.expect_closed().await;
    drop((smtp, imap));
    server.stop().await;
}

/// RFC 3030 §3; RFC 3516 §4.3: what came byte by byte is fetched byte by byte. Where IMAP has no way to
/// say NUL, another byte stands for it, RFC 9051 §4.3.
#[tokio::test]
async fn what_comes_in_binary_is_fetched_in_binary() {
    const BODY: &[u8] = b"\0\r\n\n\r.\r\n.\r\n\xff\0 no line end";
    let server = TestServer::start().await;
    let mut smtp = server.smtp(Service::Smtp).await;
    smtp.reply("MAIL FROM:<a@client.example> BODY=BINARYMIME", "250").await;
    smtp.reply("RCPT TO:<mox@localhost>", "250").await;
    let header =
        b"Subject: bytes\r\nMIME-Version: 1.0\r\nContent-Type: application/octet-stream\r\n\
        Content-Transfer-Encoding: binary\r\n\r\n";
    smtp.send(&format!("BDAT {}", header.len())).await;
    smtp.send_raw(header).await;
    smtp.expect("250 2.0.0").await;
    smtp.send(&format!("BDAT {} LAST", BODY.len())).await;
    smtp.send_raw(BODY).await;
    smtp.expect("250 2.2.0").await;

    let mut imap = server.inbox().await;
    imap.send("f1 FETCH 1 BINARY.PEEK[1]").await;
    imap.expect(&format!("* 1 FETCH (UID 1 BINARY[1] ~{{{}}}", BODY.len())).await;
    assert_eq!(imap.bytes(BODY.len()).await, BODY);
    imap.expect(")").await;
    imap.until_ok("f1").await;
    imap.send("f2 FETCH 1 BODY.PEEK[TEXT]").await;
    imap.expect(&format!("* 1 FETCH (UID 1 BODY[TEXT] {{{}}}", BODY.len())).await;
    let shown: Vec<u8> = BODY.iter().map(|byte| if *byte == 0 { 0x80 } else { *byte }).collect();
    assert_eq!(imap.bytes(BODY.len()).await, shown);
    imap.expect(")").await;
    imap.until_ok("f2").await;
    drop((smtp, imap));
    server.stop().await;
}

#[tokio::test]
async fn a_session_in_idle_hears_of_a_delivery() {
    let server = TestServer::start().await;
    let mut imap = server.inbox().await;
    imap.send("i1 IDLE").await;
    imap.expect("+ ").await;
    let mut smtp = server.smtp(Service::Smtp).await;
    for number in 1..=3 {
        smtp.send_message("a@client.example", &["mox@localhost"], MESSAGE).await;
        // The flags of the message before may be told in between.
        while imap.expect("* ").await != format!("* {number} EXISTS") {}
    }
    imap.send("DONE").await;
    imap.until_ok("i1").await;
    drop((imap, smtp));
    server.stop().await;
}

#[tokio::test]
async fn localserve_takes_all_recipients_and_gives_errors_on_demand() {
    let server = TestServer::start().await;
    let mut smtp = server.smtp(Service::Smtp).await;
    smtp.reply("MAIL FROM:<a@client.example>", "250").await;
    smtp.reply("RCPT TO:<rcptto452@elsewhere.example>", "452").await;
    smtp.reply("RCPT TO:<rcpttopermerror@localhost>", "550").await;
    smtp.reply("RCPT TO:<anyone@elsewhere.example>", "250").await;
    smtp.reply("DATA", "354").await;
    smtp.reply(&format!("{MESSAGE}\r\n."), "250").await;
    smtp.reply("MAIL FROM:<mailfromtemperror@client.example>", "451").await;

    let mut imap = server.inbox().await;
    let status = imap.ask("t1 STATUS Inbox (MESSAGES)").await;
    assert!(status.iter().any(|line| line.contains("MESSAGES 1")), "{status:?}");
    drop((smtp, imap));
    server.stop().await;
}

#[tokio::test]
async fn serve_takes_mail_for_its_own_addresses_only() {
    let server = TestServer::start_as(Mode::Serve).await;
    let mut smtp = server.smtp(Service::Smtp).await;
    smtp.reply("MAIL FROM:<a@client.example>", "250").await;
    smtp.reply("RCPT TO:<anyone@elsewhere.example>", "550").await;
    smtp.reply("RCPT TO:<mox+tag@localhost>", "250").await;
    smtp.reply("DATA", "354").await;
    smtp.reply(&format!("{MESSAGE}\r\n."), "250").await;
    drop(smtp);
    server.stop().await;
}

#[tokio::test]
async fn submission_wants_a_login_and_delivers_locally() {
    let server = TestServer::start().await;
    let mut smtp = server.smtp(Service::Submissions).await;
    smtp.reply("MAIL FROM:<mox@localhost>", "530").await;
    // "\0mox@localhost\0moxmoxmox", RFC 4616.
    smtp.reply("AUTH PLAIN AG1veEBsb2NhbGhvc3QAbW94bW94bW94", "235").await;
    let message = MESSAGE.replace("a@client.example", "mox@localhost");
    smtp.send_message("mox@localhost", &["friend@elsewhere.example"], &message).await;
    // By way of the queue, and SMTP again.
    let mut imap = server.inbox().await;
    imap.until_exists(1).await;
    let header = fetch(&mut imap, "BODY.PEEK[HEADER]").await;
    assert!(header.contains("Subject: hello"), "{header}");
    drop((smtp, imap));
    server.stop().await;
}

#[tokio::test]
async fn mail_is_there_after_a_restart() {
    let server = TestServer::start().await;
    let mut smtp = server.smtp(Service::Smtp).await;
    smtp.send_message("a@client.example", &["mox@localhost"], MESSAGE).await;
    drop(smtp);
    let server = server.restart().await;
    let mut imap = server.inbox().await;
    let text = fetch(&mut imap, "BODY.PEEK[TEXT]").await;
    assert!(text.contains("first line"), "{text}");
    drop(imap);
    server.stop().await;
}

#[tokio::test]
async fn many_sessions_deliver_at_once_and_nothing_is_lost() {
    const SESSIONS: usize = 20;
    const MESSAGES: usize = 5;

    let server = TestServer::start().await;
    let mut sessions = Vec::new();
    for _ in 0..SESSIONS {
        let mut smtp = server.smtp(Service::Smtp).await;
        sessions.push(tokio::spawn(async move {
            for _ in 0..MESSAGES {
                smtp.send_message("a@client.example", &["mox@localhost"], MESSAGE).await;
            }
        }));
    }
    for session in sessions {
        session.await.unwrap();
    }
    let mut imap = server.inbox().await;
    let found = imap.ask("u1 UID SEARCH ALL").await.join(" ");
    let want = SESSIONS * MESSAGES;
    let is_whole = found.ends_with(&format!("ALL 1:{want}"))
        || found.split_whitespace().filter(|word| word.parse::<u32>().is_ok()).count() == want;
    assert!(is_whole, "{found}");
    drop(imap);
    server.stop().await;
}

/// RFC 9051 §5.2: what one session does, the others are told.
#[tokio::test]
async fn two_sessions_see_the_same_mailbox() {
    let server = TestServer::start().await;
    let (mut one, mut other) = (server.inbox().await, server.inbox().await);
    let mut smtp = server.smtp(Service::Smtp).await;
    smtp.send_message("a@client.example", &["mox@localhost"], MESSAGE).await;
    for session in [&mut one, &mut other] {
        let told = session.ask("n1 NOOP").await;
        assert!(told.contains(&"* 1 EXISTS".to_owned()), "{told:?}");
    }
    one.ask("f1 STORE 1 +FLAGS (\\Deleted $Label)").await;
    let told = other.ask("n2 NOOP").await.join(" ");
    assert!(told.contains("* 1 FETCH (") && told.contains("\\Deleted"), "{told}");
    assert!(told.contains("$label"), "{told}");
    one.ask("e1 EXPUNGE").await;
    let told = other.ask("n3 NOOP").await;
    assert!(told.iter().any(|line| line == "* 1 EXPUNGE"), "{told:?}");
    drop((one, other, smtp));
    server.stop().await;
}
