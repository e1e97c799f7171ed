//! Domains, accounts and aliases that come and go while the server runs.

use std::path::Path;

use mox::service::Service;
use mox::services::Mode;

use crate::client::Client;
use crate::server::TestServer;

const MESSAGE: &str = "From: <a@client.example>\r\n\
    To: <ann@new.example>\r\n\
    Subject: hello\r\n\
    Date: Fri, 20 Nov 2026 10:00:00 +0000\r\n\
    Message-ID: <one@client.example>\r\n\
    \r\n\
    text";

/// A session of the new account with its Inbox selected.
async fn inbox(server: &TestServer) -> Client {
    let mut imap = server.imap().await;
    imap.ask("a1 LOGIN ann@new.example \"password of ann\"").await;
    imap.ask("s1 SELECT Inbox").await;
    imap
}

/// How many messages a mailbox has.
async fn count(imap: &mut Client, mailbox: &str) -> String {
    let status = imap.ask(&format!("c1 STATUS {mailbox} (MESSAGES)")).await;
    let line = status.iter().find(|line| line.contains("MESSAGES ")).unwrap();
    line.split("MESSAGES ").nth(1).unwrap().trim_end_matches(')').to_owned()
}

/// What of the account is in the directory.
fn left(dir: &Path) -> Vec<&'static str> {
    let mut paths = vec!["accounts/ann", "removed", "removing"];
    paths.retain(|path| dir.join(path).exists());
    paths
}

#[tokio::test]
async fn a_domain_and_an_account_live_until_they_are_removed() {
    let server = TestServer::start_as(Mode::Serve).await;
    let services = server.server().services().clone();
    let mut control = server.control().await;
    control.run("domainadd", &["false", "new.example", "mox", ""]).await.unwrap();
    control.run("accountadd", &["ann", "ann@new.example"]).await.unwrap();
    control.run("setaccountpassword", &["ann", "password of ann"]).await.unwrap();
    let team = r#"{"Addresses":["ann@new.example","mox@localhost"],"PostPublic":true}"#;
    control.run("aliasadd", &["team@new.example", team]).await.unwrap();
    // A test does not wait for what strangers wait for.
    let at_once = |dynamic: &mut mox_config::Dynamic| -> Result<(), mox_config::EditError> {
        dynamic.accounts.get_mut("ann").unwrap().no_first_time_sender_delay = true;
        Ok(())
    };
    services.config.edit(services.clock.now(), at_once).unwrap();

    // Mail arrives, at the address and by the alias.
    let mut imap = inbox(&server).await;
    let mut smtp = server.smtp(Service::Smtp).await;
    smtp.send_message("a@client.example", &["ann@new.example"], MESSAGE).await;
    smtp.send_message("a@client.example", &["team@new.example"], MESSAGE).await;
    assert_eq!(count(&mut imap, "Inbox").await, "2");

    // RFC 5321 §4.2.2, RFC 3463 §3.3: a domain that is switched off takes mail later.
    control.run("domaindisabled", &["new.example", "true"]).await.unwrap();
    smtp.reply("MAIL FROM:<a@client.example>", "250").await;
    smtp.reply("RCPT TO:<ann@new.example>", "450").await;
    assert_eq!(count(&mut imap, "Inbox").await, "2");
    control.run("domaindisabled", &["new.example", "false"]).await.unwrap();
    smtp.reply("RCPT TO:<ann@new.example>", "250").await;
    smtp.reply("RSET", "250").await;

    // An account that is switched off: its sessions end, and none begins.
    control.run("accountdisabled", &["ann", "on leave"]).await.unwrap();
    imap.expect("* BYE ").await;
    imap.expect_closed().await;
    let mut refused = server.imap().await;
    refused.send("a1 LOGIN ann@new.example \"password of ann\"").await;
    assert!(refused.expect("a1 NO ").await.contains("on leave"));
    control.run("accountenable", &["ann"]).await.unwrap();

    // One that is removed leaves nothing behind.
    let mut imap = inbox(&server).await;
    control.run("accountrm", &["ann"]).await.unwrap();
    imap.expect("* BYE ").await;
    imap.expect_closed().await;
    let gone = async {
        while !left(&server.path()).is_empty() {
            services.store.tick();
            tokio::task::yield_now().await;
        }
    };
    let in_time = tokio::time::timeout(std::time::Duration::from_secs(120), gone).await;
    assert!(in_time.is_ok(), "{:?}", left(&server.path()));
    let text = std::fs::read_to_string(server.path().join("domains.conf")).unwrap();
    assert!(!text.contains("ann"), "{text}");
    // By SMTP that would be told after a while: guessing is made slow.
    let gone = server.control().await.run("addressaccount", &["ann@new.example"]).await;
    assert!(gone.unwrap_err().to_string().contains("no such address"));
    smtp.send_message("a@client.example", &["team@new.example"], MESSAGE).await;
    refused.send("a2 LOGIN ann@new.example \"password of ann\"").await;
    refused.expect("a2 NO ").await;
    control.run("aliasrm", &["team@new.example"]).await.unwrap();
    control.run("domainrm", &["new.example"]).await.unwrap();
    smtp.reply("MAIL FROM:<a@client.example>", "250").await;
    smtp.reply("RCPT TO:<team@new.example>", "550").await;
    drop((smtp, imap, refused, services));
    server.stop().await;
}
