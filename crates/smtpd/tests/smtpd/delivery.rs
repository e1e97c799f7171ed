//! Mail from other servers into accounts.

use crate::support::{Fixture, addressed};

const MESSAGE: &str = "From: a@client.example\r\nSubject: hello\r\n\r\nHi there.\r\n";

#[tokio::test]
async fn a_message_is_stored_with_the_fields_of_its_way() {
    let fixture = Fixture::new();
    let mut client = fixture.deliverer().await;
    let reply = client.transact("a@client.example", &["mjl+x@example.org"], MESSAGE).await;
    assert_eq!(reply, "250 2.2.0 message accepted");
    // RFC 5321 §4.4; RFC 9228 §2.
    let want = format!(
        "X-Mox-Reason: no-bad-signals; Nothing speaks against the message.;\r\n\t\
         no earlier message in Inbox tells anything about this one;\r\n\t\
         there is no junk filter to judge the content;\r\n\
         Delivered-To: mjl+x@example.org\r\n\
         Return-Path: <a@client.example>\r\n\
         Authentication-Results: mail.example.org;\r\n\t\
         iprev=pass (without dnssec) policy.iprev=127.0.0.10;\r\n\t\
         dkim=none reason=\"no dkim signatures\";\r\n\t\
         spf=pass (without dnssec) smtp.mailfrom=client.example;\r\n\t\
         dmarc=none (without dnssec) header.from=client.example\r\n\
         Received-SPF: pass (domain client.example) client-ip=127.0.0.10;\r\n\t\
         envelope-from=\"a@client.example\"; helo=client.example; mechanism=a;\r\n\t\
         receiver=mail.example.org; identity=mailfrom\r\n\
         Received: from client.example ([127.0.0.10]) by mail.example.org\r\n\t\
         ([127.0.0.1]) via tcp with ESMTP id {} for\r\n\t\
         <mjl+x@example.org>; 20 Nov 2026 08:55:32 +0000\r\n{MESSAGE}",
        mox_smtpd::ReceivedIds::new([1; 16], [2; 8]).id(1)
    );
    assert_eq!(fixture.messages("mjl", "Inbox"), [want]);
    client.check("QUIT", "221 2.0.0").await;
    client.closed().await;
    fixture.check();
}

#[tokio::test]
async fn commands_may_come_together_and_so_do_the_replies() {
    // RFC 2920 §3.1.
    let fixture = Fixture::new();
    let mut client = fixture.deliverer().await;
    client
        .send(
            b"MAIL FROM:<>\r\nRCPT TO:<mjl@example.org>\r\nDATA\r\nSubject: x\r\n\r\ny\r\n.\r\n\
              NOOP\r\nMAIL FROM:<a@b.example>\r\nRSET\r\nQUIT\r\n",
        )
        .await;
    for want in ["250 2.1.0", "250 2.1.0", "354", "250 2.2.0", "250", "250 2.1.0", "250", "221"] {
        let got = client.reply().await;
        assert!(got.starts_with(want), "{got}, not {want}");
    }
    client.closed().await;
    let messages = fixture.messages("mjl", "Inbox");
    assert_eq!(messages.len(), 1);
    assert!(messages[0].contains("\r\nReturn-Path: <>\r\n"));
}

#[tokio::test]
async fn every_recipient_gets_a_copy_that_names_only_itself() {
    let fixture = Fixture::new();
    let mut client = fixture.deliverer().await;
    let rcpts = ["mjl@example.org", "other@example.org", "mjl@example.org", "lists@example.org"];
    let reply = client.transact("a@client.example", &rcpts, MESSAGE).await;
    assert!(reply.starts_with("250 2.2.0"), "{reply}");
    // Named twice, and one copy; another address of the account has its own.
    assert_eq!(fixture.counts(["mjl", "other"]), [1, 1]);
    let lists = fixture.messages("mjl", "Lists");
    assert_eq!(lists.len(), 1);
    assert!(addressed(&lists[0]).starts_with("Delivered-To: lists@example.org\r\n"));
    for (account, rcpt) in [("mjl", "<mjl@example.org>"), ("other", "<other@example.org>")] {
        let message = &fixture.messages(account, "Inbox")[0];
        assert!(message.contains(&format!("{rcpt}; ")), "{message}");
        // RFC 5321 §7.2.
        assert_eq!(message.matches("@example.org").count(), 2, "{message}");
    }
    fixture.check();
}

#[tokio::test]
async fn more_recipients_than_are_stored_at_once_all_get_the_message() {
    let fixture = Fixture::new();
    let mut client = fixture.deliverer().await;
    let count = 2 * mox_smtpd::COPIES_AT_ONCE_MAX + 3;
    let rcpts: Vec<String> = (0..count).map(|n| format!("x{n}@any.example")).collect();
    let rcpts: Vec<&str> = rcpts.iter().map(String::as_str).collect();
    let reply = client.transact("a@client.example", &rcpts, MESSAGE).await;
    assert!(reply.starts_with("250"), "{reply}");
    assert_eq!(fixture.counts(["other"]), [count]);
    fixture.check();
}

#[tokio::test]
async fn eight_bit_text_and_international_headers_are_kept() {
    // RFC 6152, RFC 6531 §3.7.3.
    let fixture = Fixture::new();
    let mut client = fixture.deliverer().await;
    client.check("MAIL FROM:<é@client.example> BODY=8BITMIME SMTPUTF8", "250").await;
    client.check("RCPT TO:<mjl@example.org>", "250").await;
    let message = "Subject: caf\u{e9}\r\n\r\n\u{2615}\r\n";
    assert!(client.data(message).await.starts_with("250"));
    let stored = &fixture.messages("mjl", "Inbox")[0];
    assert!(stored.ends_with(message), "{stored}");
    assert!(stored.contains(" with UTF8SMTP id "), "{stored}");
    assert!(stored.contains("Return-Path: <é@client.example>"), "{stored}");
    // Without SMTPUTF8 it is taken as it is, and said to be ESMTP.
    let reply = client.transact("a@client.example", &["mjl@example.org"], message).await;
    assert!(reply.starts_with("250"), "{reply}");
    assert!(fixture.messages("mjl", "Inbox")[1].contains(" with ESMTP id "));
    // RFC 6531 §3.5: the address needs it.
    client.check("MAIL FROM:<é@client.example>", "550 5.6.7").await;
}

#[tokio::test]
async fn several_messages_go_over_one_connection() {
    let fixture = Fixture::new();
    let mut client = fixture.deliverer().await;
    for number in 0..5 {
        let message = format!("Subject: {number}\r\n\r\nbody\r\n");
        let reply = client.transact("a@client.example", &["mjl@example.org"], &message).await;
        assert!(reply.starts_with("250"), "{reply}");
        // Durable when it is said: another handle sees it.
        assert_eq!(fixture.counts(["mjl"]), [number + 1]);
    }
    fixture.check();
}

#[tokio::test]
async fn helo_gets_no_extensions() {
    // RFC 5321 §4.1.1.1.
    let fixture = Fixture::new();
    let mut client = fixture.deliverer().await;
    client.send(b"HELO old.example\r\n").await;
    assert_eq!(client.lines().await, ["250 mail.example.org"]);
    let reply = client.transact("a@client.example", &["mjl@example.org"], MESSAGE).await;
    assert!(reply.starts_with("250"), "{reply}");
    let stored = &fixture.messages("mjl", "Inbox")[0];
    assert!(stored.contains("from old.example ") && stored.contains(" with SMTP id "), "{stored}");
}

#[tokio::test]
async fn there_is_no_login_on_the_delivery_port() {
    let fixture = Fixture::new();
    let mut client = fixture.deliverer().await;
    client.check("AUTH PLAIN", "503 5.5.1").await;
    client.send(b"EHLO client.example\r\n").await;
    let lines = client.lines().await;
    assert_eq!(
        lines.iter().map(|line| &line[4..]).collect::<Vec<_>>(),
        [
            "mail.example.org",
            "PIPELINING",
            "SIZE 1000000",
            "ENHANCEDSTATUSCODES",
            "8BITMIME",
            "DSN",
            "CHUNKING",
            "BINARYMIME",
            "MT-PRIORITY",
            "LIMITS RCPTMAX=1000",
            "SMTPUTF8"
        ]
    );
}
