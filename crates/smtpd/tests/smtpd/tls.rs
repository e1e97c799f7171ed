//! TLS by STARTTLS and from the start, channel bindings and client certificates.

use std::sync::Arc;

use mox_base::{Address, Rng, Secret, UnixSeconds};
use mox_net::tls::{Certs, KeyCertPem, TlsAcceptor, TlsOptions, spki_fingerprint};
use mox_sasl::{ChannelBindings, Mechanism};
use mox_smtpd::{Port, Service};
use mox_store::{ClientKey, ReceivedTls};
use mox_testkit::certificates::{self, Certified, trust_only};
use mox_testkit::{ManualClock, TestRng};
use rustls::ALL_VERSIONS;
use rustls::pki_types::ServerName;
use tokio::io::DuplexStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::{Client, Fixture, PASSWORD, encode, plain};

fn certified() -> Certified {
    Certified::new(&["mail.example.org"])
}

/// A port with a certificate, and a client that trusts it, with a certificate of its own or not.
fn set_up(kind: Service, own: Option<&Certified>) -> (Port, TlsConnector) {
    let made = certified();
    let config = certificates::client(trust_only(made.der().clone()), ALL_VERSIONS, own);
    let pem = KeyCertPem { cert: made.cert_pem().into(), key: made.key_pem().into() };
    let certs = Certs::from_pem(&[pem], "mail.example.org").unwrap();
    let options = TlsOptions { client_keys: true, ..TlsOptions::default() };
    let acceptor = TlsAcceptor::new(certs, options, Arc::new(ManualClock::default()));
    let port = Port { tls: Some(acceptor), requires_tls: true, ..Fixture::port(kind) };
    (port, TlsConnector::from(Arc::new(config)))
}

async fn shake_hands(
    client: Client<DuplexStream>,
    connector: &TlsConnector,
) -> Client<TlsStream<DuplexStream>> {
    let name = ServerName::try_from("mail.example.org").unwrap();
    let stream = connector.connect(name, client.stream).await.unwrap();
    Client { stream, served: client.served }
}

#[tokio::test]
async fn starttls_starts_anew() {
    // RFC 3207 §4.2.
    let fixture = Fixture::new();
    let (port, connector) = set_up(Service::Delivery, None);
    let mut client = fixture.client(port).await;
    client
        .dialogue(
            "MAIL FROM:<a@client.example> => 250
             RCPT TO:<mjl@example.org> => 530 5.7.0
             RCPT TO:<nobody@example.org> => 530 5.7.0
             RCPT TO:<tls-reports@example.org> => 250
             STARTTLS => 220 2.0.0",
        )
        .await;
    let mut client = shake_hands(client, &connector).await;
    client.check("MAIL FROM:<a@client.example>", "503 5.5.1").await;
    client.send(b"EHLO client.example\r\n").await;
    assert!(!client.lines().await.iter().any(|line| line.contains("STARTTLS")));
    client.check("STARTTLS", "503 5.5.1").await;
    let message = "Subject: x\r\n\r\nx\r\n";
    let reply = client.transact("a@client.example", &["mjl@example.org"], message).await;
    assert!(reply.starts_with("250"), "{reply}");
    let stored = fixture.messages("mjl", "Inbox").remove(0).replace("\r\n\t", " ");
    // RFC 3848.
    assert!(stored.contains(" with ESMTPS id "), "{stored}");
    assert!(stored.contains(" (TLS1.3 TLS_AES_"), "{stored}");
}

#[tokio::test]
async fn how_a_message_was_protected_is_kept() {
    let fixture = Fixture::new();
    let mut client = fixture.deliverer().await;
    let message = "Subject: in the open\r\n\r\nx\r\n";
    let reply = client.transact("a@client.example", &["mjl@example.org"], message).await;
    assert!(reply.starts_with("250"), "{reply}");
    let (port, connector) = set_up(Service::Delivery, None);
    let mut client = fixture.client(port).await;
    client.check("STARTTLS", "220").await;
    let mut client = shake_hands(client, &connector).await;
    let suite = client.stream.get_ref().1.negotiated_cipher_suite().unwrap().suite();
    client.send(b"EHLO client.example\r\n").await;
    client.lines().await;
    for parameter in ["", " REQUIRETLS"] {
        client.check(&format!("MAIL FROM:<a@client.example>{parameter}"), "250").await;
        client.check("RCPT TO:<mjl@example.org>", "250").await;
        let reply = client.data(&format!("Subject: hidden{parameter}\r\n\r\nx\r\n")).await;
        assert!(reply.starts_with("250"), "{reply}");
    }
    let tls = |is_required| ReceivedTls { version: 0x0304, cipher: suite.into(), is_required };
    let plain = ReceivedTls { version: ReceivedTls::PLAIN, cipher: 0, is_required: false };
    assert_eq!(fixture.received_tls("mjl"), [plain, tls(false), tls(true)]);
}

#[tokio::test]
async fn commands_behind_starttls_are_not_executed() {
    // RFC 3207 §6: somebody on the path puts them there.
    let fixture = Fixture::new();
    let (port, _) = set_up(Service::Delivery, None);
    let mut client = fixture.client(port).await;
    client.send(b"STARTTLS\r\nMAIL FROM:<evil@client.example>\r\n").await;
    assert!(client.reply().await.starts_with("554 5.5.1"));
    client.closed().await;
}

#[tokio::test]
async fn what_is_no_handshake_ends_the_connection() {
    let fixture = Fixture::new();
    let (port, _) = set_up(Service::Delivery, None);
    let mut client = fixture.client(port.clone()).await;
    client.check("STARTTLS", "220").await;
    client.send(b"EHLO client.example\r\n").await;
    drop(client.stream);
    client.served.await.unwrap();
    let (stream, served) = fixture.open(Port { is_tls_immediate: true, ..port });
    let mut client = Client { stream, served };
    client.send(b"EHLO client.example\r\n").await;
    drop(client.stream);
    client.served.await.unwrap();
}

#[tokio::test]
async fn a_port_without_certificates_offers_no_tls() {
    let fixture = Fixture::new();
    let mut client = fixture.deliverer().await;
    client.check("STARTTLS", "503 5.5.1").await;
}

/// A client of a port with TLS from the start, greeted over TLS.
async fn immediate(fixture: &Fixture, own: Option<&Certified>) -> Client<TlsStream<DuplexStream>> {
    let (port, connector) = set_up(Service::Submission, own);
    let (stream, served) = fixture.open(Port { is_tls_immediate: true, ..port });
    shake_hands(Client { stream, served }, &connector).await
}

#[tokio::test]
async fn a_login_is_bound_to_its_tls_connection() {
    // RFC 5802 §6, RFC 9266 §2.
    let fixture = Fixture::new();
    fixture.set_password("mjl");
    for is_true in [true, false] {
        let mut client = immediate(&fixture, None).await;
        assert!(client.reply().await.starts_with("220"));
        client.send(b"EHLO client.example\r\n").await;
        let lines = client.lines().await;
        assert!(lines.iter().any(|line| line.contains("AUTH SCRAM-SHA-256-PLUS ")), "{lines:?}");
        let mut exporter = [0; 32];
        let tls = client.stream.get_ref().1;
        tls.export_keying_material(&mut exporter, b"EXPORTER-Channel-Binding", Some(b"")).unwrap();
        exporter[0] ^= u8::from(!is_true);
        let bindings = ChannelBindings { tls_exporter: Some(exporter), tls_server_end_point: None };
        let mut nonce = [0; mox_sasl::NONCE_BYTES];
        TestRng::new(5).fill(&mut nonce);
        let mechanism = Mechanism::ScramSha256Plus;
        let secret = Secret::new(PASSWORD);
        let mut sasl = mox_sasl::Client::new(
            mechanism,
            "mjl@example.org",
            secret,
            &[mechanism],
            &bindings,
            nonce,
        )
        .unwrap();
        let first = encode(&sasl.initial().unwrap());
        let mut reply = client.say(&format!("AUTH SCRAM-SHA-256-PLUS {first}")).await;
        while let Some(challenge) = reply.strip_prefix("334 ") {
            use base64::Engine;
            let challenge = base64::engine::general_purpose::STANDARD.decode(challenge).unwrap();
            let response = sasl.step(&challenge).unwrap_or_default();
            reply = client.say(&encode(&response)).await;
        }
        let want = if is_true { "235 2.7.0" } else { "535 5.7.7" };
        assert!(reply.starts_with(want), "{reply}");
    }
}

fn register(fixture: &Fixture, own: &Certified) {
    let key = ClientKey {
        fingerprint: spki_fingerprint(own.der()).unwrap(),
        created: UnixSeconds(0),
        kind: "ecdsa-p256".to_owned(),
        name: "laptop".to_owned(),
        no_imap_preauth: true,
        certificate: own.der().to_vec(),
        account: "mjl".to_owned(),
        login_address: Address::parse("mjl@example.org").unwrap(),
    };
    fixture.keys.add(&key).unwrap();
}

#[tokio::test]
async fn a_registered_certificate_logs_in() {
    let fixture = Fixture::new();
    fixture.set_password("other");
    fixture.set_password("mjl");
    let own = certified();
    register(&fixture, &own);
    let mut client = immediate(&fixture, Some(&own)).await;
    assert!(client.reply().await.starts_with("220"));
    client.send(b"EHLO client.example\r\n").await;
    assert!(client.lines().await.iter().any(|line| line.contains("EXTERNAL")));
    let message = "From: mjl@example.org\r\n\r\nx\r\n";
    let reply = client.transact("mjl@example.org", &["other@example.org"], message).await;
    assert!(reply.starts_with("250"), "{reply}");
    // It is of its account and no other. RFC 4422 appendix A.
    let other = plain("other@example.org", PASSWORD);
    client.check(&format!("AUTH PLAIN {other}"), "535 5.7.8").await;
    client.check("MAIL FROM:<other@example.org>", "550 5.7.1").await;
    let lists = encode(b"lists@example.org");
    client.check(&format!("AUTH EXTERNAL {lists}"), "235 2.7.0").await;
    client.check("MAIL FROM:<mjl@example.org>", "250").await;
}

#[tokio::test]
async fn an_unknown_certificate_is_refused() {
    let fixture = Fixture::new();
    let mut client = immediate(&fixture, Some(&certified())).await;
    assert!(client.reply().await.starts_with("554 5.7.8"));
    // Other servers may have any: they are not asked.
    let (port, connector) = set_up(Service::Delivery, Some(&certified()));
    let mut client = fixture.client(port).await;
    client.check("STARTTLS", "220").await;
    let mut client = shake_hands(client, &connector).await;
    client.check("EHLO client.example", "250").await;
}
