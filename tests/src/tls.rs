//! TLS on every port.

use mox::service::Service;

use crate::server::TestServer;

#[tokio::test]
async fn every_port_greets() {
    let server = TestServer::start().await;
    for (service, greeting) in [
        (Service::Smtp, "220 localhost "),
        (Service::Submission, "220 localhost "),
        (Service::Submissions, "220 localhost "),
        (Service::Imap, "* OK "),
        (Service::Imaps, "* OK "),
    ] {
        let mut client = server.connect(service).await;
        client.expect(greeting).await;
    }
    server.stop().await;
}

/// RFC 3207 §4.2: nothing said before TLS counts.
#[tokio::test]
async fn smtp_goes_over_to_tls() {
    let server = TestServer::start().await;
    for service in [Service::Smtp, Service::Submission] {
        let mut smtp = server.connect(service).await;
        smtp.expect("220 ").await;
        let offered = smtp.ehlo().await;
        assert!(offered.iter().any(|line| line.ends_with("STARTTLS")), "{service}: {offered:?}");
        smtp.reply("STARTTLS", "220").await;
        let mut smtp = smtp.start_tls(&server.certificate()).await;
        smtp.reply("MAIL FROM:<a@client.example>", "503").await;
        let offered = smtp.ehlo().await;
        assert!(!offered.iter().any(|line| line.ends_with("STARTTLS")), "{service}: {offered:?}");
        smtp.reply("QUIT", "221").await;
    }
    server.stop().await;
}

/// RFC 9051 §6.2.1.
#[tokio::test]
async fn imap_goes_over_to_tls() {
    let server = TestServer::start().await;
    let mut imap = server.imap().await;
    imap.ask("a1 STARTTLS").await;
    let mut imap = imap.start_tls(&server.certificate()).await;
    let capabilities = imap.ask("a2 CAPABILITY").await.join(" ");
    assert!(!capabilities.contains("STARTTLS"), "{capabilities}");
    assert!(capabilities.contains("AUTH=SCRAM-SHA-256-PLUS"), "{capabilities}");
    imap.log_in("moxmoxmox").await;
    drop(imap);
    server.stop().await;
}
