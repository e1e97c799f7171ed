//! TLS on every port.

use mox::service::Service;
use mox_testkit::certificates::Certified;

use crate::client::Client;
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

/// RFC 7301: mail by the port of HTTPS, for clients that say so. Nothing of a client's key there.
#[tokio::test]
async fn the_port_of_https_takes_mail_programs() {
    let on_https = |conf: String, service: &str| {
        let (front, back) = conf.split_once(&format!("\t\t{service}:\n")).unwrap();
        format!("{front}\t\t{service}:\n\t\t\tEnabledOnHTTPS: true\n{back}")
    };
    let server = TestServer::start_with(|conf| on_https(on_https(conf, "Submissions"), "IMAPS"));
    let server = server.await;
    let address = server.server().address(Service::Https).unwrap();
    let own = Certified::new(&["laptop"]);
    let connect = async |protocols: &[&[u8]]| {
        let client = Client::connect(address).await;
        client.start_tls_for(&server.certificate(), Some(&own), protocols).await
    };
    let mut imap = connect(&[b"imap"]).await;
    let greeting = imap.expect("* OK [CAPABILITY IMAP4rev2 ").await;
    assert!(greeting.contains("-PLUS") && !greeting.contains("AUTH=EXTERNAL"), "{greeting}");
    assert!(!greeting.contains("STARTTLS"), "{greeting}");
    imap.log_in("moxmoxmox").await;
    imap.ask("s1 SELECT Inbox").await;
    let mut smtp = connect(&[b"smtp"]).await;
    smtp.expect("220 localhost ").await;
    let offered = smtp.ehlo().await;
    assert!(offered.iter().any(|line| line.contains("AUTH ")), "{offered:?}");
    let mut neither = connect(&[]).await;
    neither.expect_closed().await;
    drop(imap);
    server.stop().await;
    // Of two services one is offered there.
    let server = TestServer::start_with(|conf| on_https(conf, "IMAPS")).await;
    let address = server.server().address(Service::Https).unwrap();
    let imap = Client::connect(address).await;
    let protocols: &[&[u8]] = &[b"smtp", b"imap"];
    let mut imap = imap.start_tls_for(&server.certificate(), None, protocols).await;
    imap.expect("* OK ").await;
    drop(imap);
    server.stop().await;
    let server = TestServer::start().await;
    assert_eq!(server.server().address(Service::Https), None);
    server.stop().await;
}
