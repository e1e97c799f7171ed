//! Every way to log in, over plain connections and TLS.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mox_base::{Address, Secret, UnixSeconds};
use mox_net::ConnectionLimits;
use mox_net::tls::{Certs, KeyCertPem, TlsAcceptor, TlsOptions, spki_fingerprint};
use mox_sasl::{ChannelBindings, Mechanism};
use mox_store::ClientKey;
use mox_testkit::ManualClock;
use mox_testkit::certificates::{self, Certified, TrustAll};
use rustls::pki_types::ServerName;
use rustls::{ALL_VERSIONS, SignatureScheme};
use tokio::io::BufReader;

use crate::support::{Client, PASSWORD, Server, Setup, server, server_with};

pub(crate) fn acceptor() -> TlsAcceptor {
    let made = Certified::new(&["mail.example.org"]);
    let pem = KeyCertPem { cert: made.cert_pem().into(), key: made.key_pem().into() };
    let certs = Certs::from_pem(&[pem], "mail.example.org").unwrap();
    let options = TlsOptions { client_keys: true, ..TlsOptions::default() };
    TlsAcceptor::new(certs, options, Arc::new(ManualClock::default()))
}

/// Shakes hands; returns the client with what its channel can be bound to.
pub(crate) async fn start_tls(
    client: Client,
    key: Option<&Certified>,
) -> (Client, ChannelBindings) {
    let trust = Arc::new(TrustAll(vec![SignatureScheme::ECDSA_NISTP256_SHA256]));
    let config = certificates::client(trust, ALL_VERSIONS, key);
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let name = ServerName::try_from("mail.example.org").unwrap();
    let plain = client.stream.into_inner();
    let stream = connector.connect(name, plain).await.unwrap();
    let exporter = stream
        .get_ref()
        .1
        .export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(b""))
        .unwrap();
    let bindings = ChannelBindings { tls_exporter: Some(exporter), ..ChannelBindings::default() };
    let stream = BufReader::new(Box::new(stream) as Box<dyn crate::support::Io>);
    (Client { stream, ..client }, bindings)
}

impl Server {
    /// A client of the port with immediate TLS, and the greeting it read.
    pub(crate) async fn connect_tls(
        &self,
        key: Option<&Certified>,
    ) -> (Client, ChannelBindings, String) {
        let (mut client, bindings) = start_tls(self.dial(64 << 10), key).await;
        let greeting = client.line().await;
        (client, bindings, greeting)
    }

    pub(crate) fn register(&self, key: &Certified, account: &str, no_imap_preauth: bool) {
        let key = ClientKey {
            fingerprint: spki_fingerprint(key.der()).unwrap(),
            created: UnixSeconds(1),
            kind: "ecdsa-p256".to_owned(),
            name: "test".to_owned(),
            no_imap_preauth,
            certificate: key.der().to_vec(),
            account: account.to_owned(),
            login_address: Address::parse(&format!("{account}@example.org")).unwrap(),
        };
        self.keys.add(&key).unwrap();
    }
}

/// Runs AUTHENTICATE to its end; the tagged reply.
pub(crate) async fn authenticate(
    client: &mut Client,
    mechanism: Mechanism,
    (user, password): (&str, &str),
    bindings: &ChannelBindings,
    with_initial: bool,
) -> String {
    let secret = Secret::new(password);
    let mut sasl = mox_sasl::Client::new(mechanism, user, secret, &[], bindings, [7; 18]).unwrap();
    let initial = sasl.initial();
    let encoded = initial
        .map(|initial| if initial.is_empty() { "=".to_owned() } else { STANDARD.encode(initial) });
    match encoded.as_ref().filter(|_| with_initial) {
        Some(text) => client.send(&format!("a AUTHENTICATE {mechanism} {text}\r\n")).await,
        None => client.send(&format!("a AUTHENTICATE {mechanism}\r\n")).await,
    }
    let mut is_first = !with_initial;
    loop {
        let line = client.line().await;
        let Some(challenge) = line.strip_prefix("+ ") else { return line };
        if std::mem::take(&mut is_first) {
            let first = encoded.clone().unwrap_or_default();
            client.send(&format!("{}\r\n", first.trim_start_matches('='))).await;
            continue;
        }
        match sasl.step(&STANDARD.decode(challenge).unwrap()) {
            Ok(response) => client.send(&format!("{}\r\n", STANDARD.encode(response))).await,
            Err(_) => client.send("*\r\n").await,
        }
    }
}

const RIGHT: (&str, &str) = ("mjl@example.org", PASSWORD);

#[tokio::test]
async fn every_mechanism_logs_in_over_tls_and_none_with_a_wrong_password() {
    let server = server_with(Setup::with_tls(acceptor(), true));
    let mechanisms = [
        Mechanism::Plain,
        Mechanism::ScramSha1,
        Mechanism::ScramSha256,
        Mechanism::ScramSha1Plus,
        Mechanism::ScramSha256Plus,
    ];
    for mechanism in mechanisms {
        for with_initial in [true, false] {
            let (mut client, bindings, greeting) = server.connect_tls(None).await;
            assert!(greeting.contains(&format!(" AUTH={mechanism}")), "{greeting}");
            // RFC 5802 §6: with a plain mechanism the client does not look at the channel.
            let bindings = if mechanism.is_plus() { bindings } else { ChannelBindings::default() };
            let wrong = (RIGHT.0, "wrong horse");
            let reply = authenticate(&mut client, mechanism, wrong, &bindings, with_initial).await;
            assert!(reply.starts_with("a NO [AUTHENTICATIONFAILED]"), "{mechanism}: {reply}");
            let reply = authenticate(&mut client, mechanism, RIGHT, &bindings, with_initial).await;
            assert!(reply.starts_with("a OK [CAPABILITY "), "{mechanism}: {reply}");
            client.ok("SELECT Inbox").await;
            client.ok("LOGOUT").await;
        }
    }
}

#[tokio::test]
async fn a_channel_of_another_connection_is_refused() {
    let server = server_with(Setup::with_tls(acceptor(), true));
    let (mut client, ..) = server.connect_tls(None).await;
    let other = ChannelBindings { tls_exporter: Some([1; 32]), ..ChannelBindings::default() };
    let reply = authenticate(&mut client, Mechanism::ScramSha256Plus, RIGHT, &other, true).await;
    assert!(reply.starts_with("a NO [AUTHENTICATIONFAILED]"), "{reply}");
}

#[tokio::test]
async fn exchanges_can_go_wrong_in_every_way() {
    let server = server();
    let mut client = server.connect().await;
    client.fails("AUTHENTICATE NONE", "NO").await;
    client.fails("AUTHENTICATE LOGIN", "NO").await;
    client.fails("AUTHENTICATE SCRAM-SHA-256-PLUS biws", "NO").await;
    client.fails("AUTHENTICATE EXTERNAL =", "NO").await;
    client.fails("AUTHENTICATE PLAIN !!!", "BAD").await;
}

/// RFC 9051 §6.2.2: `*` cancels, and so does what is not base64.
#[tokio::test]
async fn an_exchange_can_be_cancelled() {
    let server = server();
    for answer in ["*", "!!!", "AAAA=A"] {
        let mut client = server.connect().await;
        client.send("a AUTHENTICATE PLAIN\r\n").await;
        assert_eq!(client.line().await, "+ ");
        client.send(&format!("{answer}\r\n")).await;
        let line = client.line().await;
        assert!(line.starts_with("a BAD "), "{answer}: {line}");
        // The same connection may try again.
        client.ok(&format!("LOGIN mjl@example.org \"{PASSWORD}\"")).await;
    }
}

#[tokio::test]
async fn users_are_told_apart_only_by_the_right_password() {
    let server = server();
    let mut client = server.connect().await;
    let plain = |text: &str| format!("AUTHENTICATE PLAIN {}", STANDARD.encode(text));
    client.fails("LOGIN mjl \"correct horse\"", "NO [AUTHENTICATIONFAILED]").await;
    client.fails("LOGIN off@example.org wrong-one", "NO [AUTHENTICATIONFAILED]").await;
    let mut client = server.connect().await;
    let (_, reply) = client.command("LOGIN off@example.org \"correct horse\"").await;
    assert_eq!(reply, "NO LOGIN login disabled for account: on leave");
    let other = "other@example.org\0mjl@example.org\0correct horse";
    client.fails(&plain(other), "NO [AUTHORIZATIONFAILED]").await;
    let mut client = server.connect().await;
    client.fails(&plain("one\0two"), "BAD").await;
    client.ok(&plain("\0mjl@example.org\0correct horse")).await;
    client.fails("LOGIN a b", "NO").await;
}

/// RFC 9051 §6.2.1: what was said before TLS does not count, capabilities change.
#[tokio::test]
async fn starttls_changes_what_may_be_done() {
    let server = server_with(Setup::with_tls(acceptor(), false));
    let mut client = server.connect().await;
    let lines = client.ok("CAPABILITY").await;
    assert!(lines[0].contains(" STARTTLS") && lines[0].contains(" LOGINDISABLED"));
    assert!(!lines[0].contains("-PLUS") && !lines[0].contains("AUTH=PLAIN"), "{}", lines[0]);
    client.fails("LOGIN mjl@example.org \"correct horse\"", "NO [PRIVACYREQUIRED]").await;
    client.fails("AUTHENTICATE PLAIN", "NO [PRIVACYREQUIRED]").await;
    client.ok("STARTTLS").await;
    let (mut client, bindings) = start_tls(client, None).await;
    let lines = client.ok("CAPABILITY").await;
    assert!(lines[0].contains(" AUTH=PLAIN") && lines[0].contains("-PLUS"), "{}", lines[0]);
    assert!(!lines[0].contains("STARTTLS") && !lines[0].contains("LOGINDISABLED"));
    client.fails("STARTTLS", "BAD").await;
    let reply = authenticate(&mut client, Mechanism::ScramSha256Plus, RIGHT, &bindings, true).await;
    assert!(reply.starts_with("a OK"), "{reply}");
    client.fails("STARTTLS", "NO").await;
}

/// A command slipped in behind STARTTLS breaks the handshake instead of being executed.
#[tokio::test]
async fn nothing_sent_behind_starttls_is_executed() {
    let server = server_with(Setup::with_tls(acceptor(), false));
    let mut client = server.connect().await;
    client.send("a STARTTLS\r\nb NOOP\r\n").await;
    assert_eq!(client.line().await, "a OK STARTTLS done");
    while let Some(line) = client.line_or_end().await {
        assert!(!line.contains("b OK"), "{line}");
    }
}

#[tokio::test]
async fn a_client_that_leaves_in_the_handshake_is_no_trouble() {
    let server = server_with(Setup::with_tls(acceptor(), true));
    let mut client = server.dial(1024);
    client.send("\x16\x03").await;
    client.vanish().await;
}

#[tokio::test]
async fn a_registered_key_logs_in_with_the_greeting() {
    let server = server_with(Setup::with_tls(acceptor(), true));
    let key = Certified::new(&["client"]);
    server.register(&key, "mjl", false);
    let (mut client, _, greeting) = server.connect_tls(Some(&key)).await;
    assert!(greeting.starts_with("* PREAUTH [CAPABILITY "), "{greeting}");
    assert!(greeting.ends_with(" mjl@example.org"), "{greeting}");
    client.fails("AUTHENTICATE EXTERNAL =", "NO").await;
    client.ok("SELECT Inbox").await;

    let (client, _, greeting) = server.connect_tls(Some(&Certified::new(&["unknown"]))).await;
    assert_eq!(greeting, "* BYE [ALERT] client certificate not accepted");
    client.closed().await;
}

#[tokio::test]
async fn external_takes_the_key_for_its_own_account_only() {
    let server = server_with(Setup::with_tls(acceptor(), true));
    let key = Certified::new(&["client"]);
    server.register(&key, "mjl", true);
    for user in ["", "mjl@example.org"] {
        let (mut client, bindings, greeting) = server.connect_tls(Some(&key)).await;
        assert!(greeting.starts_with("* OK ") && greeting.contains(" AUTH=EXTERNAL"));
        let reply =
            authenticate(&mut client, Mechanism::External, (user, ""), &bindings, true).await;
        assert!(reply.starts_with("a OK"), "{user}: {reply}");
        client.ok("SELECT Inbox").await;
    }
    let (mut client, bindings, _) = server.connect_tls(Some(&key)).await;
    let other = ("other@example.org", PASSWORD);
    let none = ChannelBindings::default();
    let reply = authenticate(&mut client, Mechanism::External, other, &bindings, true).await;
    assert!(reply.starts_with("a NO [AUTHENTICATIONFAILED]"), "{reply}");
    // Nor with the other's password: the connection belongs to this account.
    let reply = authenticate(&mut client, Mechanism::Plain, other, &none, true).await;
    assert!(reply.starts_with("a NO [AUTHENTICATIONFAILED]"), "{reply}");
    // Behind STARTTLS a key never logs in by itself.
    let server = server_with(Setup::with_tls(acceptor(), false));
    server.register(&key, "mjl", false);
    let mut client = server.connect().await;
    client.ok("STARTTLS").await;
    let (mut client, bindings) = start_tls(client, Some(&key)).await;
    client.fails("SELECT Inbox", "NO").await;
    let reply = authenticate(&mut client, Mechanism::External, ("", ""), &bindings, false).await;
    assert!(reply.starts_with("a OK"), "{reply}");
}

/// Guessing gets slow, and fast again after a success.
#[tokio::test(start_paused = true)]
async fn failed_logins_slow_the_connection_down() {
    let server = server();
    let mut client = server.connect().await;
    let mut took = Vec::new();
    for _ in 0..6 {
        let started = tokio::time::Instant::now();
        client.fails("LOGIN mjl@example.org wrong-one", "NO [AUTHENTICATIONFAILED]").await;
        took.push(started.elapsed().as_secs());
    }
    assert!(took[..2].iter().all(|secs| *secs == 0), "{took:?}");
    assert!(took[2..].iter().all(|secs| *secs >= 25), "{took:?}");
    assert_eq!(took[5] - took[3], 2, "a second more for each failure: {took:?}");
    client.ok(&format!("LOGIN mjl@example.org \"{PASSWORD}\"")).await;
    let started = tokio::time::Instant::now();
    client.ok("NOOP").await;
    assert_eq!(started.elapsed().as_secs(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_address_that_failed_too_often_is_turned_away() {
    let server = server();
    for _ in 0..5 {
        let mut client = server.connect().await;
        for _ in 0..2 {
            client.fails("LOGIN mjl@example.org wrong-one", "NO [AUTHENTICATIONFAILED]").await;
        }
    }
    let mut client = server.dial(1024);
    assert_eq!(client.line().await, "* BYE too many auth failures");
    client.closed().await;
}

#[tokio::test]
async fn too_many_connections_are_turned_away() {
    let limits = ConnectionLimits::with(&[], [2, 9, 9]);
    let server = server_with(Setup { limits, ..Setup::default() });
    let (one, _two) = (server.connect().await, server.connect().await);
    for _ in 0..3 {
        let mut client = server.dial(1024);
        let want = "* BYE too many open connections from your ip or network";
        assert_eq!(client.line().await, want);
        client.closed().await;
    }
    one.vanish().await;
    server.connect().await;

    let minute = mox_net::Window { secs: 60, limits: [1, 9, 9] };
    let limits = ConnectionLimits::with(&[minute], [9, 9, 9]);
    let server = server_with(Setup { limits, ..Setup::default() });
    server.connect().await;
    let mut client = server.dial(1024);
    assert!(client.line().await.starts_with("* BYE connection rate"));
    client.closed().await;
    server.stopping.cancel();
    let mut client = server.dial(1024);
    assert_eq!(client.line().await, "* BYE mox shutting down");
    client.closed().await;
}

/// By account: what fails with one mail program is no matter for the others.
#[tokio::test]
async fn capabilities_can_be_hidden_from_an_account() {
    let server = server_with(Setup::with_tls(acceptor(), true));
    let key = Certified::new(&["client"]);
    server.register(&key, "other", false);
    let (mut client, _, greeting) = server.connect_tls(Some(&key)).await;
    let offers = |line: &str, name: &str| line.split([' ', ']']).any(|word| word == name);
    let check = |line: &str, is_other: bool| {
        assert!(line.contains("CAPABILITY IMAP4rev2 "), "{line}");
        assert_eq!(offers(line, "IDLE"), !is_other, "{line}");
        assert!(offers(line, "NAMESPACE"), "{line}");
    };
    check(&greeting, true);
    assert!(!offers(&greeting, "COMPRESS=DEFLATE"), "{greeting}");
    check(&client.ok("CAPABILITY").await[0], true);
    client.ok("UNAUTHENTICATE").await;
    check(&client.ok("CAPABILITY").await[0], false);
    let reply = client.reply(&format!("LOGIN mjl@example.org \"{PASSWORD}\"")).await;
    check(&reply, false);
    assert!(offers(&reply, "COMPRESS=DEFLATE"), "{reply}");
    client.ok("UNAUTHENTICATE").await;
    check(&client.reply(&format!("LOGIN other@example.org \"{PASSWORD}\"")).await, true);
    client.ok("COMPRESS DEFLATE").await;
}
