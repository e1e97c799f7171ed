use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use mox_testkit::ManualClock;
use mox_testkit::certificates::{self, Certified, TrustAll};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, SignatureScheme};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::super::KeyCertPem;
use super::super::certs::tests::{pem, pem_of};
use super::*;
use crate::trace::Kind;
use crate::{Conn, Wait};

const TEST: Wait = Wait::new("test", Duration::from_secs(10));

type Client = tokio_rustls::client::TlsStream<DuplexStream>;

/// A client that trusts every server: what is tested is ours.
pub(crate) fn client_config(version: TlsVersion, own: Option<&Certified>) -> ClientConfig {
    let version = match version {
        TlsVersion::V12 => &rustls::version::TLS12,
        TlsVersion::V13 => &rustls::version::TLS13,
    };
    let schemes = vec![SignatureScheme::ECDSA_NISTP256_SHA256, SignatureScheme::RSA_PSS_SHA256];
    certificates::client(Arc::new(TrustAll(schemes)), &[version], own)
}

pub(crate) fn acceptor(options: TlsOptions) -> TlsAcceptor {
    let certs = Certs::from_pem(&[pem(&["mail.example", "*.example.org"])], "mail.example");
    TlsAcceptor::new(certs.unwrap(), options, Arc::new(ManualClock::default()))
}

/// Runs a handshake of both sides and one exchange, after which tickets have arrived.
async fn connect(
    acceptor: &TlsAcceptor,
    config: &Arc<ClientConfig>,
    name: &'static str,
) -> (io::Result<Client>, Result<Conn, HandshakeError>) {
    let (client_io, server_io) = duplex(64 * 1024);
    let server = async {
        let mut conn = Conn::memory(server_io).start_tls(acceptor).await?;
        conn.send(Kind::Protocol, b"220 hi\r\n");
        conn.flush(TEST).await.unwrap();
        Ok(conn)
    };
    let connector = tokio_rustls::TlsConnector::from(Arc::clone(config));
    let client = async {
        let mut stream = connector.connect(ServerName::try_from(name).unwrap(), client_io).await?;
        let mut greeting = [0; 8];
        stream.read_exact(&mut greeting).await?;
        Ok(stream)
    };
    tokio::join!(client, server)
}

#[tokio::test]
async fn both_versions_are_spoken_and_described() {
    for (version, suite) in
        [(TlsVersion::V12, "TLS_ECDHE_ECDSA_WITH_"), (TlsVersion::V13, "TLS_AES_")]
    {
        let mut config = client_config(version, None);
        config.alpn_protocols = vec![b"imap".to_vec()];
        let options =
            TlsOptions { alpn: vec![b"smtp".to_vec(), b"imap".to_vec()], ..TlsOptions::default() };
        let (client, conn) = connect(&acceptor(options), &Arc::new(config), "Mail.Example").await;
        let (client, conn) = (client.unwrap(), conn.unwrap());
        let info = conn.tls().unwrap();
        assert_eq!(info.version, version);
        assert!(info.cipher_suite.starts_with(suite), "{}", info.cipher_suite);
        // As the client sees it: TLS 1.3 has suites of its own, 0x13 before their number.
        let spoken = client.get_ref().1.negotiated_cipher_suite().unwrap().suite();
        assert_eq!(info.cipher_number, u16::from(spoken));
        let is_13 = version == TlsVersion::V13;
        assert_eq!(version.number(), if is_13 { 0x0304 } else { 0x0303 });
        assert_eq!(info.cipher_number >> 8 == 0x13, is_13, "{:#06x}", info.cipher_number);
        assert_eq!(info.sni.as_deref(), Some("mail.example"));
        assert_eq!(info.alpn.as_deref(), Some(&b"imap"[..]));
        assert_eq!((info.resumed, info.client_key.clone()), (false, None));

        // RFC 5929 §4.1: what the client computes from the certificate it was shown.
        let shown = client.get_ref().1.peer_certificates().unwrap()[0].clone();
        assert_eq!(info.server_end_point.as_deref(), Some(digest(&SHA256, &shown).as_ref()));
        // RFC 9266 §2: what the client exports, and only with TLS 1.3.
        let exported = client
            .get_ref()
            .1
            .export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(b""))
            .unwrap();
        assert_eq!(info.exporter, (version == TlsVersion::V13).then_some(exported));
    }
}

#[tokio::test]
async fn a_version_below_the_minimum_is_refused() {
    let acceptor = acceptor(TlsOptions { min_version: TlsVersion::V13, ..TlsOptions::default() });
    let config = Arc::new(client_config(TlsVersion::V12, None));
    let (client, conn) = connect(&acceptor, &config, "mail.example").await;
    assert_eq!(conn.unwrap_err().reason(), "unsupportedversions");
    assert!(client.is_err());
}

#[tokio::test]
async fn an_unknown_name_is_refused_or_gets_the_certificate_of_the_host() {
    let config = Arc::new(client_config(TlsVersion::V13, None));
    let (client, conn) = connect(&acceptor(TlsOptions::default()), &config, "other.example").await;
    assert_eq!(conn.unwrap().tls().unwrap().sni.as_deref(), Some("other.example"));
    assert!(client.is_ok());

    let refuse = TlsOptions { unknown_name: UnknownName::Refuse, ..TlsOptions::default() };
    let acceptor = acceptor(refuse);
    let (client, conn) = connect(&acceptor, &config, "other.example").await;
    assert!(
        matches!(conn.unwrap_err(), HandshakeError::UnknownName(name) if name == "other.example")
    );
    // RFC 6066 §3.
    let error = client.unwrap_err().downcast::<rustls::Error>().unwrap();
    assert_eq!(error, rustls::Error::AlertReceived(rustls::AlertDescription::UnrecognisedName));
    assert!(connect(&acceptor, &config, "a.example.org").await.1.is_ok());
}

#[tokio::test]
async fn sessions_are_resumed_on_their_own_port_only() {
    for version in [TlsVersion::V12, TlsVersion::V13] {
        let (port, other) = (acceptor(TlsOptions::default()), acceptor(TlsOptions::default()));
        let config = Arc::new(client_config(version, None));
        let mut resumed = Vec::new();
        for acceptor in [&port, &port, &other, &other] {
            let (_client, conn) = connect(acceptor, &config, "mail.example").await;
            resumed.push(conn.unwrap().tls().unwrap().resumed);
        }
        assert_eq!(resumed, [false, true, false, true], "{version}");

        let off = acceptor(TlsOptions { tickets: false, ..TlsOptions::default() });
        let config = Arc::new(client_config(version, None));
        for _ in 0..2 {
            let (_client, conn) = connect(&off, &config, "mail.example").await;
            assert!(!conn.unwrap().tls().unwrap().resumed, "{version}");
        }
    }
}

#[tokio::test]
async fn a_client_key_is_named_also_when_the_session_is_resumed() {
    let acceptor = acceptor(TlsOptions { client_keys: true, ..TlsOptions::default() });
    let own = Certified::new(&["client"]);
    let fingerprint = spki_fingerprint(own.der());
    for version in [TlsVersion::V12, TlsVersion::V13] {
        let config = Arc::new(client_config(version, Some(&own)));
        for want_resumed in [false, true] {
            let (_client, conn) = connect(&acceptor, &config, "mail.example").await;
            let conn = conn.unwrap();
            let info = conn.tls().unwrap();
            assert_eq!((info.resumed, &info.client_key), (want_resumed, &fingerprint));
        }
        // Requested, not required.
        let config = Arc::new(client_config(version, None));
        let (_client, conn) = connect(&acceptor, &config, "mail.example").await;
        assert_eq!(conn.unwrap().tls().unwrap().client_key, None);
    }
}

#[tokio::test]
async fn commands_behind_starttls_are_not_carried_over() {
    // RFC 3207 §6: the client, or somebody between, sends a command together with STARTTLS.
    let (mut client, server) = duplex(1024);
    let mut conn = Conn::memory(server);
    client.write_all(b"STARTTLS\r\nMAIL FROM:<evil@example.org>\r\n").await.unwrap();
    conn.fill(TEST).await.unwrap();
    conn.consume(Kind::Protocol, b"STARTTLS\r\n".len());
    let error = conn.start_tls(&acceptor(TlsOptions::default())).await.unwrap_err();
    assert!(matches!(error, HandshakeError::NotTls), "{error}");
}

#[tokio::test]
async fn a_hello_sent_too_early_is_used_and_nothing_else_is_left() {
    let (client_io, server_io) = duplex(64 * 1024);
    let config = Arc::new(client_config(TlsVersion::V13, None));
    let client = tokio::spawn(async move {
        let connector = tokio_rustls::TlsConnector::from(config);
        let name = ServerName::try_from("mail.example").unwrap();
        let mut stream = connector.connect(name, client_io).await.unwrap();
        stream.write_all(b"EHLO x\r\n").await.unwrap();
        stream
    });
    let mut conn = Conn::memory(server_io);
    // The whole hello is in the plain-text buffer before the handshake starts.
    conn.fill(TEST).await.unwrap();
    let acceptor = acceptor(TlsOptions::default());
    let mut conn = conn.start_tls(&acceptor).await.unwrap();
    assert_eq!(conn.buffered(), b"");
    let _client = client.await.unwrap();
    conn.fill(TEST).await.unwrap();
    assert_eq!(conn.buffered(), b"EHLO x\r\n");
    let error = conn.start_tls(&acceptor).await.unwrap_err();
    assert!(matches!(error, HandshakeError::AlreadyTls));
}

async fn check_failure(hello: &[u8], want: &str) {
    let (mut client, server) = duplex(1024);
    client.write_all(hello).await.unwrap();
    client.shutdown().await.unwrap();
    let error = Conn::memory(server).start_tls(&acceptor(TlsOptions::default())).await.unwrap_err();
    assert_eq!(error.reason(), want, "{hello:?}");
}

#[tokio::test]
async fn failures_are_told_apart() {
    check_failure(b"", "eof").await;
    check_failure(b"\x16\x03\x01", "eof").await;
    check_failure(b"GET / HTTP/1.1\r\n\r\n", "nottls").await;
    check_failure(b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10", "sslv2").await;
    // Handshake records of a hello that no version has.
    check_failure(b"\x16\x03\x01\x00\x04\x01\x00\x00\x00", "nottls").await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_shake_hands_is_dropped_after_a_minute() {
    let (_client, server) = duplex(1024);
    let started = tokio::time::Instant::now();
    let error = Conn::memory(server).start_tls(&acceptor(TlsOptions::default())).await.unwrap_err();
    assert!(matches!(error, HandshakeError::TimedOut));
    assert_eq!(started.elapsed(), HANDSHAKE_WAIT);
}

#[tokio::test]
async fn tickets_do_not_survive_a_change_of_certificate() {
    let dir = tempfile::tempdir().unwrap();
    let files = super::super::KeyCertFiles {
        cert: dir.path().join("x.crt"),
        key: dir.path().join("x.key"),
    };
    let write = |pair: &KeyCertPem| {
        std::fs::write(&files.cert, &pair.cert).unwrap();
        std::fs::write(&files.key, &pair.key).unwrap();
    };
    write(&pem(&["mail.example"]));
    let certs = Certs::load(vec![files.clone()], "mail.example").unwrap();
    let clock = Arc::new(ManualClock::default());
    let acceptor = TlsAcceptor::new(certs.clone(), TlsOptions::default(), clock);
    let config = Arc::new(client_config(TlsVersion::V13, None));
    let mut seen = Vec::new();
    for change in [false, false, true, false] {
        if change {
            write(&pem(&["mail.example"]));
        }
        certs.reload().unwrap();
        let (_client, conn) = connect(&acceptor, &config, "mail.example").await;
        seen.push(conn.unwrap().tls().unwrap().resumed);
    }
    assert_eq!(seen, [false, true, false, true]);
    assert_eq!(acceptor.inner.configs.lock().len(), 1, "the old one is gone");
}

/// With the critical extension that such proofs have.
fn proof(name: &str) -> Certified {
    let mut params = certificates::params(&[name]);
    params.custom_extensions = vec![rcgen::CustomExtension::new_acme_identifier(&[7; 32])];
    Certified::self_signed(&params, certificates::key())
}

/// RFC 8737 §3: the name is proven by the certificate shown for `acme-tls/1` and nothing follows.
#[tokio::test]
async fn control_of_a_name_is_proven_while_it_is_asked_for() {
    let certs = Certs::dynamic("mail.example", Arc::new(|_| {}));
    let clock = Arc::new(ManualClock::default());
    let acceptor = TlsAcceptor::new(certs.clone(), TlsOptions::default(), clock);
    assert!(!acceptor.is_ready());
    let mut config = client_config(TlsVersion::V13, None);
    config.alpn_protocols = vec![b"acme-tls/1".to_vec()];
    let config = Arc::new(config);
    let prove = async |name| {
        let (client_io, server_io) = duplex(64 * 1024);
        let connector = tokio_rustls::TlsConnector::from(Arc::clone(&config));
        let client = async {
            let name = ServerName::try_from("a.example").unwrap();
            let mut stream = connector.connect(name, client_io).await?;
            // The server says goodbye at once.
            assert_eq!(stream.read(&mut [0; 1]).await?, 0);
            io::Result::Ok(stream.get_ref().1.peer_certificates().unwrap()[0].to_vec())
        };
        let server = Conn::memory(server_io).start_tls(&acceptor);
        let (shown, ended): (_, Result<Conn, _>) = tokio::join!(client, server);
        assert!(matches!(ended.unwrap_err(), HandshakeError::Proven(proven) if proven == name));
        shown
    };
    let proof = proof("a.example");
    certs.begin_challenge("A.Example", &pem_of(&proof)).unwrap();
    assert_eq!(prove("a.example").await.unwrap(), proof.der().to_vec());
    // It is no certificate for anything else.
    assert!(!acceptor.is_ready());

    certs.end_challenge("a.example");
    let (client, conn) = connect(&acceptor, &config, "a.example").await;
    assert!(matches!(conn.unwrap_err(), HandshakeError::UnknownName(name) if name == "a.example"));
    let error = client.unwrap_err().downcast::<rustls::Error>().unwrap();
    assert_eq!(error, rustls::Error::AlertReceived(rustls::AlertDescription::UnrecognisedName));
    certs.put(&pem(&["a.example"])).unwrap();
    assert!(acceptor.is_ready());
}
