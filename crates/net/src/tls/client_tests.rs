use aws_lc_rs::digest::{SHA256, digest};
use mox_base::UnixSeconds;
use mox_testkit::ManualClock;
use mox_testkit::certificates::{self, Authority, Certified};
use mox_tlspolicy::dane::{Matching, Selector};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::WebPkiClientVerifier;
use rustls::{ALL_VERSIONS, RootCertStore, ServerConfig};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;
use crate::trace::Kind;
use crate::{ConnError, Wait};

const TEST: Wait = Wait::new("test", Duration::from_secs(10));

/// 2026-01-01.
const NOW: UnixSeconds = UnixSeconds(1_767_225_600);

fn domain(name: &str) -> Domain {
    Domain::parse(name).unwrap()
}

fn names(names: &[&str]) -> Vec<Domain> {
    names.iter().map(|name| domain(name)).collect()
}

/// An authority, and a server whose certificate it made.
pub(crate) struct Lab {
    authority: Authority,
    own: Certified,
}

impl Lab {
    /// A server's certificate for these names, good through this year.
    pub(crate) fn new(names: &[&str], last_year: i32) -> Self {
        let name = format!("{names:?} {last_year}");
        let authority = certificates::root(certificates::authority_params(&name));
        let params = certificates::until(certificates::params(names), last_year);
        let mut own = Certified::signed_by(&params, &authority);
        own.above.push(authority.der().clone());
        Self { authority, own }
    }

    pub(crate) fn connector(&self) -> Connector {
        let mut roots = Roots::default();
        roots.add(self.authority.der()).unwrap();
        Connector::new(roots, Arc::new(ManualClock::at(NOW)))
    }

    pub(crate) fn server(&self) -> ServerConfig {
        self.own.server(ALL_VERSIONS)
    }

    /// DANE-EE by the key's SHA-256.
    fn record(&self) -> Tlsa {
        let key = Selector::Spki.select(self.own.der()).unwrap();
        Tlsa { usage: 3, selector: 1, matching: 1, data: Matching::Sha256.data(&key) }
    }
}

fn strangers() -> Connector {
    Connector::new(Roots::default(), Arc::new(ManualClock::at(NOW)))
}

/// A server that does its part of the handshake, says hello and hears the client out.
async fn serve(io: DuplexStream, config: ServerConfig) -> io::Result<()> {
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let mut stream = acceptor.accept(io).await?;
    stream.write_all(b"220 hi\r\n").await?;
    stream.flush().await?;
    stream.read_to_end(&mut Vec::new()).await?;
    Ok(())
}

async fn connect_to(
    connector: &Connector,
    verify: &Verify,
    config: ServerConfig,
) -> Result<(Conn, TlsOutcome), TlsError> {
    let (client, server) = duplex(64 * 1024);
    drop(tokio::spawn(serve(server, config)));
    let (mut conn, outcome) = connector.connect(Conn::memory(client), verify).await?;
    conn.fill(TEST).await.unwrap();
    assert_eq!(conn.buffered(), b"220 hi\r\n");
    Ok((conn, outcome))
}

#[tokio::test]
async fn what_was_settled_is_told() {
    let lab = Lab::new(&["mx.example"], 2030);
    for (max, suite) in [(TlsVersion::V12, "TLS_ECDHE_"), (TlsVersion::V13, "TLS_AES_")] {
        let connector = lab.connector().with_versions(TlsVersion::V12, max);
        let verify = Verify { pkix: true, names: names(&["mx.example"]), ..Verify::default() };
        let (conn, outcome) = connect_to(&connector, &verify, lab.server()).await.unwrap();
        let info = conn.tls().unwrap();
        assert_eq!((info.version, info.sni.as_deref()), (max, Some("mx.example")));
        assert!(info.cipher_suite.starts_with(suite), "{}", info.cipher_suite);
        assert!(!info.resumed);
        // RFC 9266 §3: with TLS 1.2 there is no exporter; RFC 5929 §4.1.
        assert_eq!(info.exporter.is_some(), max == TlsVersion::V13);
        let hash = digest(&SHA256, lab.own.der());
        assert_eq!(info.server_end_point.as_deref(), Some(hash.as_ref()));
        assert_eq!(outcome, TlsOutcome { pkix: Ok(()), dane: None, chain: lab.own.chain() });
    }
}

#[tokio::test]
async fn both_ends_have_the_same_channel_bindings() {
    // RFC 9266 §2.
    let certs = super::super::accept::tests::acceptor(super::super::TlsOptions::default());
    let (client, server) = duplex(64 * 1024);
    let connector = strangers();
    let verify = Verify::default();
    let client = connector.connect(Conn::memory(client), &verify);
    let server = Conn::memory(server).start_tls(&certs);
    let (client, server) = tokio::join!(client, server);
    let ((client, _), server) = (client.unwrap(), server.unwrap());
    let (ours, theirs) = (client.tls().unwrap(), server.tls().unwrap());
    assert!(ours.exporter.is_some());
    assert_eq!(ours.exporter, theirs.exporter);
    assert_eq!(ours.server_end_point, theirs.server_end_point);
    assert_eq!((&ours.sni, &theirs.sni), (&None, &None));
}

#[track_caller]
fn told(result: Result<(Conn, TlsOutcome), TlsError>) -> Result<TlsOutcome, TlsFailure> {
    result.map(|(_, outcome)| outcome).map_err(|error| error.failure)
}

/// RFC 8460 §4.3.1, by real handshakes.
#[tokio::test]
async fn authorities_are_decisive_only_if_demanded() {
    let good = Lab::new(&["mx.example"], 2030);
    let expired = Lab::new(&["mx.example"], 2025);
    let ours = names(&["mx.example"]);
    let cases = [
        (&good, good.connector(), ours.clone(), Ok(())),
        (&good, good.connector(), names(&["other.example", "mx.example"]), Ok(())),
        (&good, good.connector(), names(&["other.example"]), Err(CertFault::OtherName)),
        (&good, good.connector(), Vec::new(), Err(CertFault::OtherName)),
        (&expired, expired.connector(), ours.clone(), Err(CertFault::Expired)),
        (&good, expired.connector(), ours.clone(), Err(CertFault::UnknownIssuer)),
        (&good, strangers(), ours, Err(CertFault::NoRoots)),
    ];
    for (lab, connector, names, want) in cases {
        let verify = Verify { pkix: true, names, ..Verify::default() };
        let got = told(connect_to(&connector, &verify, lab.server()).await);
        assert_eq!(got.map(|outcome| outcome.pkix), want.map(Ok).map_err(TlsFailure::Certificate));
        // RFC 7435 §3: without a demand it is only told.
        for verify in
            [Verify { pkix: false, ..verify.clone() }, Verify { ignore_errors: true, ..verify }]
        {
            let got = told(connect_to(&connector, &verify, lab.server()).await);
            assert_eq!(got.unwrap().pkix, want);
        }
    }
}

/// RFC 7672 §2.2, §3.1; RFC 8461 §2.
#[tokio::test]
async fn records_of_dane_are_decisive() {
    let lab = Lab::new(&["mx.example"], 2025);
    let other = Tlsa { data: vec![7; 32], ..lab.record() };
    let unusable = Tlsa { usage: 1, ..lab.record() };
    let no_match = Err(DaneError::NoMatch);
    let cases = [
        (vec![lab.record()], Ok(0)),
        (vec![other.clone(), lab.record()], Ok(0)),
        (vec![other.clone()], no_match),
        (vec![unusable.clone(), other.clone()], no_match),
        (vec![unusable], Err(DaneError::Unusable)),
        (Vec::new(), Err(DaneError::Unusable)),
    ];
    let depth = |outcome: &TlsOutcome| {
        let dane = outcome.dane.clone().unwrap();
        dane.map(|found| found.depth.unwrap())
    };
    for (records, want) in cases {
        // The certificate has expired and names nobody who is asked for: that does not matter.
        let verify = Verify { dane: Some(records.into()), ..Verify::default() };
        let got = told(connect_to(&strangers(), &verify, lab.server()).await);
        match want {
            Err(DaneError::NoMatch) => {
                assert_eq!(got.unwrap_err(), TlsFailure::Dane(DaneError::NoMatch));
            }
            want => assert_eq!(depth(&got.unwrap()), want),
        }
        let verify = Verify { ignore_errors: true, ..verify };
        let got = told(connect_to(&strangers(), &verify, lab.server()).await);
        assert_eq!(depth(&got.unwrap()), want);
    }
    // Both are demanded: either failure is decisive.
    let verify = Verify {
        pkix: true,
        dane: Some(vec![lab.record()].into()),
        names: names(&["mx.example"]),
        ..Verify::default()
    };
    let got = told(connect_to(&lab.connector(), &verify, lab.server()).await);
    assert_eq!(got.unwrap_err(), TlsFailure::Certificate(CertFault::Expired));
}

/// Plays a server that answers the client's hello with these bytes.
async fn answer_hello(answer: &'static [u8]) -> TlsFailure {
    let (client, mut server) = duplex(64 * 1024);
    let serve = async {
        let mut hello = [0; 64];
        server.read_exact(&mut hello).await.unwrap();
        server.write_all(answer).await.unwrap();
        server.shutdown().await.unwrap();
        // What follows is read, so that the client sees our end, not an error in writing.
        server.read_to_end(&mut Vec::new()).await.unwrap();
    };
    let connector = strangers();
    let verify = Verify::default();
    let (result, ()) = tokio::join!(connector.connect(Conn::memory(client), &verify), serve);
    result.unwrap_err().failure
}

/// RFC 8460 §4.3: what stands in reports about handshakes that fail.
#[tokio::test]
async fn broken_handshakes_are_told_apart() {
    for (answer, want) in [
        // RFC 8446 §5.1, §6: handshake_failure, unrecognized_name.
        (&b"\x15\x03\x03\x00\x02\x02\x28"[..], TlsFailure::RemoteAlert(40)),
        (b"\x15\x03\x03\x00\x02\x02\x70", TlsFailure::RemoteAlert(112)),
        (b"454 4.7.0 no TLS today\r\n", TlsFailure::NotTls),
        (b"\x00\x00\x00\x00\x00\x00\x00\x00", TlsFailure::NotTls),
        (b"", TlsFailure::Closed),
        (b"\x16\x03\x03\x00\x40", TlsFailure::Closed),
        // A hello that is cut short, and application data instead of one.
        (b"\x16\x03\x03\x00\x08\x02\x00\x00\x04\x03\x03\x00\x00", TlsFailure::LocalAlert(50)),
        (b"\x17\x03\x03\x00\x01\x00", TlsFailure::LocalAlert(10)),
    ] {
        assert_eq!(answer_hello(answer).await, want, "{answer:?}");
    }
}

#[tokio::test]
async fn no_version_in_common() {
    let lab = Lab::new(&["mx.example"], 2030);
    let server = || lab.own.server(&[&rustls::version::TLS12]);
    let verify = Verify::default();
    let connector = lab.connector().with_versions(TlsVersion::V13, TlsVersion::V13);
    let got = told(connect_to(&connector, &verify, server()).await);
    assert_eq!(got.unwrap_err(), TlsFailure::RemoteAlert(70));
    told(connect_to(&lab.connector(), &verify, server()).await).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_server_that_hangs_in_the_handshake_is_left() {
    let (client, _server) = duplex(64 * 1024);
    let started = tokio::time::Instant::now();
    let error = strangers().connect(Conn::memory(client), &Verify::default()).await.unwrap_err();
    assert_eq!(error.failure, TlsFailure::TimedOut);
    assert_eq!(started.elapsed(), HANDSHAKE_WAIT);
}

#[tokio::test]
async fn replies_that_came_before_the_handshake_are_no_replies() {
    // RFC 3207 §6: somebody on the way has put a reply behind that to STARTTLS.
    let (client, mut server) = duplex(64 * 1024);
    let mut conn = Conn::memory(client);
    server.write_all(b"220 go\r\n250 AUTH PLAIN\r\n").await.unwrap();
    conn.fill(TEST).await.unwrap();
    conn.consume(Kind::Protocol, 8);
    let error = strangers().connect(conn, &Verify::default()).await.unwrap_err();
    assert_eq!(error.failure, TlsFailure::NotTls);
}

#[tokio::test]
async fn an_alert_after_the_handshake_is_found_by_the_first_read() {
    // RFC 8446 §4.4.2.4: certificate_required, which the server can only say when the client is
    // done.
    let lab = Lab::new(&["mx.example"], 2030);
    let mut clients = RootCertStore::empty();
    clients.add(lab.authority.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let clients =
        WebPkiClientVerifier::builder_with_provider(Arc::new(clients), Arc::clone(&provider));
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_client_cert_verifier(clients.build().unwrap())
        .with_single_cert(lab.own.chain(), lab.own.key_der())
        .unwrap();
    let (client, server) = duplex(64 * 1024);
    let served = tokio::spawn(serve(server, config));
    let (mut conn, _) =
        strangers().connect(Conn::memory(client), &Verify::default()).await.unwrap();
    let error = conn.fill(TEST).await.unwrap_err();
    assert_eq!(alert_of(&error), Some(116), "{error:?}");
    assert_eq!(alert_of(&ConnError::BufferFull), None);
    assert!(served.await.unwrap().is_err());
}

/// RFC 8446 §4.4.2.
#[tokio::test]
async fn a_server_that_asks_is_shown_our_certificate() {
    let lab = Lab::new(&["client.example"], 2030);
    let mut clients = RootCertStore::empty();
    clients.add(lab.authority.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let clients =
        WebPkiClientVerifier::builder_with_provider(Arc::new(clients), Arc::clone(&provider));
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(clients.build().unwrap())
        .with_single_cert(lab.own.chain(), lab.own.key_der())
        .unwrap();
    let connector = strangers().with_client_cert(lab.own.chain(), lab.own.key_der());
    connect_to(&connector, &Verify::default(), config).await.unwrap();
}

/// A certificate of X.509 version 1, as old tools still make them, and its key. Good until 2126.
const ODD: &str = "\
-----BEGIN CERTIFICATE-----\n\
MIIBKDCBzwIUcY5FC3JQjnyzxioiWc2/yAHIY/AwCgYIKoZIzj0EAwIwFjEUMBIG\n\
A1UEAwwLb2xkLmV4YW1wbGUwIBcNMjYxMTIxMTMzODI2WhgPMjEyNjEwMjgxMzM4\n\
MjZaMBYxFDASBgNVBAMMC29sZC5leGFtcGxlMFkwEwYHKoZIzj0CAQYIKoZIzj0D\n\
AQcDQgAEfet8ht2uM2qW+YjKpauxehUh2pMAe7lnGW8amhieAyGLHSanOPuLvHFc\n\
k7/QRbe8Lh43Qq4cybqw3u3IEZjo0zAKBggqhkjOPQQDAgNIADBFAiEArxCrg8I8\n\
Iz5sUgocdlAgHRt4PEl8xGy6bCajxTXtvZUCIF7FRVPLE9BkC7Ju3arFDhROXBLE\n\
o8sAaHBBKOs4C8Zf\n\
-----END CERTIFICATE-----\n\
-----BEGIN PRIVATE KEY-----\n\
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg+GGMrlk1KTFdZxG8\n\
f3uh3JOjUyxCA0+DUZ7Z+l/BuaehRANCAAR963yG3a4zapb5iMqlq7F6FSHakwB7\n\
uWcZbxqaGJ4DIYsdJqc4+4u8cVyTv9BFt7wuHjdCrhzJurDe7cgRmOjT\n\
-----END PRIVATE KEY-----\n";

/// Shows a certificate that the library would not show by itself.
#[derive(Debug)]
struct Shows(Arc<rustls::sign::CertifiedKey>);

impl rustls::server::ResolvesServerCert for Shows {
    fn resolve(
        &self,
        _hello: rustls::server::ClientHello<'_>,
    ) -> Option<Arc<rustls::sign::CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

fn showing(
    shown: &Arc<rustls::sign::CertifiedKey>,
    version: &'static rustls::SupportedProtocolVersion,
) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Shows(Arc::clone(shown))))
}

/// RFC 8446 §4.4.3: a certificate is public, so that whoever shows it must sign with its key.
#[tokio::test]
async fn a_certificate_of_somebody_else_proves_nothing() {
    let (lab, thief) = (Lab::new(&["mx.example"], 2030), Lab::new(&["mx.example"], 2030));
    let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&thief.own.key_der()).unwrap();
    let shown = Arc::new(rustls::sign::CertifiedKey::new(lab.own.chain(), key));
    let names = names(&["mx.example"]);
    let bad = CertFault::BadSignature;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let verify = Verify { pkix: true, names: names.clone(), ..Verify::default() };
        let got = told(connect_to(&lab.connector(), &verify, showing(&shown, version)).await);
        assert_eq!(got.unwrap_err(), TlsFailure::Certificate(bad));
        let verify = Verify { pkix: false, dane: Some(vec![lab.record()].into()), ..verify };
        let got = told(connect_to(&lab.connector(), &verify, showing(&shown, version)).await);
        assert_eq!(got.unwrap_err(), TlsFailure::Dane(DaneError::Fault(bad)));
        // Where nobody vouches the thief could have shown one of its own.
        let verify = Verify { dane: None, ..verify };
        let got = told(connect_to(&lab.connector(), &verify, showing(&shown, version)).await);
        assert_eq!(got.unwrap().pkix, Err(bad));
    }
}

/// RFC 7435 §3, RFC 7671 §5.1.
#[tokio::test]
async fn odd_certificates_will_do_where_nobody_vouches() {
    let cert = CertificateDer::from_pem_slice(ODD.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(ODD.as_bytes()).unwrap();
    let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).unwrap();
    let shown = Arc::new(rustls::sign::CertifiedKey::new(vec![cert.clone()], key));
    let server = |version| showing(&shown, version);
    let part = Selector::Spki.select(&cert).unwrap();
    let fits = Tlsa { usage: 3, selector: 1, matching: 1, data: Matching::Sha256.data(&part) };
    let names = names(&["old.example"]);
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let verify = Verify { names: names.clone(), ..Verify::default() };
        let got = told(connect_to(&strangers(), &verify, server(version)).await);
        assert!(got.unwrap().pkix.is_err());
        let verify = Verify { dane: Some(vec![fits.clone()].into()), ..verify };
        let got = told(connect_to(&strangers(), &verify, server(version)).await);
        assert!(matches!(got.unwrap().dane, Some(Ok(_))));
        let verify = Verify { pkix: true, dane: None, ..verify };
        let got = told(connect_to(&strangers(), &verify, server(version)).await);
        assert!(matches!(got, Err(TlsFailure::Certificate(_))), "{got:?}");
    }
}
