//! Mail from strangers and friends, as a server on the internet takes it and a user meets it by IMAP.

use mox::service::Service;
use mox_dns::FakeDns;

use crate::client::Client;
use crate::server::{TestServer, dns};

const DOMAINS_CONF: &str = "Domains:
\tlocalhost:
\t\tLocalpartCatchallSeparator: +
\t\tAliases:
\t\t\tteam:
\t\t\t\tAddresses:
\t\t\t\t\t- mox@localhost
\t\t\t\t\t- ann@localhost
\t\t\tnews:
\t\t\t\tAddresses:
\t\t\t\t\t- mox@localhost
\t\t\t\t\t- ann@localhost
\t\t\t\tPostPublic: true
Accounts:
\tmox:
\t\tDomain: localhost
\t\tDestinations:
\t\t\tmox@localhost: nil
\t\tRejectsMailbox: Rejects
\t\tAutomaticJunkFlags:
\t\t\tEnabled: true
\t\t\tJunkMailboxRegexp: ^(junk|spam)
\t\tJunkFilter:
\t\t\tThreshold: 0.95
\t\t\tOnegrams: true
\t\t\tMaxPower: 0.01
\t\t\tTopWords: 10
\t\t\tIgnoreWords: 0.1
\t\t\tRareWords: 2
\t\tNoFirstTimeSenderDelay: true
\tann:
\t\tDomain: localhost
\t\tDestinations:
\t\t\tann@localhost: nil
\t\tNoFirstTimeSenderDelay: true
";

/// What clients are in DNS: an honest one, and a bank that wants forgeries refused.
fn internet() -> FakeDns {
    let mut dns = dns();
    dns.add_txt("bank.example", "v=spf1 -all").add_mx("bank.example", 10, "client.example");
    dns.add_txt("_dmarc.bank.example", "v=DMARC1; p=reject");
    dns
}

async fn server() -> TestServer {
    TestServer::serving(DOMAINS_CONF, internet()).await
}

/// Delivers a message in a connection of its own, and returns the code of the reply to its data. After
/// a refusal a connection goes at a byte a second: nothing else is waited for.
async fn deliver(server: &TestServer, mail_from: &str, rcpt: &str, message: &str) -> String {
    let mut smtp = server.smtp(Service::Smtp).await;
    smtp.reply(&format!("MAIL FROM:<{mail_from}>"), "250").await;
    smtp.reply(&format!("RCPT TO:<{rcpt}>"), "250").await;
    smtp.reply("DATA", "354").await;
    smtp.send(&format!("{message}\r\n.")).await;
    smtp.code().await
}

fn message(from: &str, number: u32) -> String {
    format!(
        "From: <{from}>\r\nTo: <mox@localhost>\r\nSubject: offer {number}\r\n\
         Message-ID: <{number}@client.example>\r\n\r\nAnother offer."
    )
}

async fn count(imap: &mut Client, mailbox: &str) -> usize {
    let status = imap.ask(&format!("c1 STATUS {mailbox} (MESSAGES)")).await;
    let count = status.iter().find_map(|line| line.split_once("MESSAGES ")?.1.strip_suffix(')'));
    count.expect("a count").parse().unwrap()
}

#[tokio::test]
async fn a_user_decides_by_moving_and_marking_whose_mail_is_wanted() {
    let server = server().await;
    let sender = "shop@client.example";
    for number in 1..=2 {
        let reply = deliver(&server, sender, "mox@localhost", &message(sender, number)).await;
        assert_eq!(reply, "250");
    }
    let mut imap = server.inbox().await;
    imap.ask("a1 MOVE 1:* Junk").await;
    let reply = deliver(&server, sender, "mox+tag@localhost", &message(sender, 3)).await;
    assert_eq!(reply, "451", "the sender learns nothing");
    assert_eq!(count(&mut imap, "Inbox").await, 0);
    // The user finds it, and why.
    imap.ask("a2 SELECT Rejects").await;
    let header = imap.ask("a3 FETCH 1 BODY.PEEK[HEADER]").await.join("\n");
    assert!(header.contains("X-Mox-Reason: msgfromfull;"), "{header}");
    assert!(header.contains("Delivered-To: mox+tag@localhost"), "{header}");
    assert!(header.contains("spf=pass"), "{header}");
    // It was wanted, and so were the others.
    imap.ask("a4 MOVE 1 Inbox").await;
    for (tag, mailbox) in [("b1", "Inbox"), ("b2", "Junk")] {
        imap.ask(&format!("{tag} SELECT {mailbox}")).await;
        imap.ask(&format!("{tag} STORE 1:* -FLAGS.SILENT ($Junk)")).await;
        imap.ask(&format!("{tag} STORE 1:* +FLAGS.SILENT ($NotJunk)")).await;
    }
    let reply = deliver(&server, sender, "mox@localhost", &message(sender, 4)).await;
    assert_eq!(reply, "250");
    assert_eq!(count(&mut imap, "Inbox").await, 2);
    assert_eq!(count(&mut imap, "Rejects").await, 0);

    let mut control = server.control().await;
    let refused = control.text("decisions", &["mox", "refused", "", "20"]).await.unwrap();
    assert_eq!(refused.lines().count(), 1, "{refused}");
    assert!(refused.contains("msgfromfull") && refused.contains("offer 3"), "{refused}");
    let accepted = control.text("decisions", &["", "accepted", sender, "20"]).await.unwrap();
    assert_eq!(accepted.lines().count(), 3, "{accepted}");
    drop((imap, control));
    server.stop().await;
}

#[tokio::test]
async fn a_forgery_is_refused_by_the_policy_of_whom_it_names() {
    // RFC 7489 §6.3, RFC 7372 §3.3.
    let server = server().await;
    let forged = message("service@bank.example", 1);
    let reply = deliver(&server, "shop@client.example", "mox@localhost", &forged).await;
    assert_eq!(reply, "550");
    let mut imap = server.inbox().await;
    assert_eq!(count(&mut imap, "Inbox").await, 0);
    assert_eq!(count(&mut imap, "Rejects").await, 1);
    imap.ask("a1 SELECT Rejects").await;
    let header = imap.ask("a2 FETCH 1 BODY.PEEK[HEADER]").await.join("\n");
    assert!(header.contains("X-Mox-Reason: dmarc-policy;"), "{header}");
    drop(imap);
    server.stop().await;
}

#[tokio::test]
async fn members_of_an_alias_read_what_came_to_it() {
    let server = server().await;
    let mut control = server.control().await;
    control.run("setaccountpassword", &["ann", "annannann"]).await.unwrap();
    let sender = "shop@client.example";
    let reply = deliver(&server, sender, "news@localhost", &message(sender, 1)).await;
    assert_eq!(reply, "250");
    // For members alone; a name in From is no member.
    for from in [sender, "ann@localhost"] {
        let reply = deliver(&server, sender, "team@localhost", &message(from, 2)).await;
        assert_eq!(reply, "550", "{from}");
    }
    let mut ann = server.imap().await;
    ann.ask("l1 LOGIN ann@localhost annannann").await;
    let mut mox = server.inbox().await;
    assert_eq!(count(&mut mox, "Inbox").await, 1);
    assert_eq!(count(&mut ann, "Inbox").await, 1);
    drop((control, ann, mox));
    server.stop().await;
}
