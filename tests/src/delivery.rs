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
    smtp.reply("MAIL FROM:<a@client.example>", "250").await;
    smtp.reply("RCPT TO:<temperror@localhost>", "250").await;
    smtp.reply("DATA", "354").await;
    smtp.reply(&format!("{MESSAGE}\r\n."), "451").await;

    let mut imap = server.inbox().await;
    let status = imap.ask("t1 STATUS Inbox (MESSAGES)").await;
    assert!(status.iter().any(|line| line.contains("MESSAGES 1")), "{status:?}");
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
    let mut imap = server.inbox().await;
    let header = fetch(&mut imap, "BODY.PEEK[HEADER]").await;
    assert!(header.contains("Subject: hello"), "{header}");
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
    server.stop().await;
}
