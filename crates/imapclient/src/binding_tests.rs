//! Logging in over TLS, bound to it.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use mox_base::Secret;
use mox_net::tls::client::{Connector, Verify};
use mox_net::tls::load_roots;
use mox_net::{Conn, SystemClock, SystemRng};
use mox_sasl::{
    Answer, ChannelBindings, Failure, Mechanism, Password, Question, Server, Step, Verifiers,
};
use mox_testkit::certificates::Certified;
use rustls::version::{TLS12, TLS13};
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader, DuplexStream,
    duplex,
};
use tokio_rustls::TlsAcceptor;

use crate::{ClientError, Credentials, Session};

const PASSWORD: &str = "correct horse";

/// How the server's side of an exchange ended.
type Outcome = (Mechanism, Result<(), Failure>);

/// A server that offers all of SCRAM over TLS.
#[derive(Clone, Copy, Default)]
struct Peer {
    /// TLS 1.3 and not 1.2.
    is_new_tls: bool,
    /// It speaks TLS with the client, and is bound to another connection on its other side.
    in_between: bool,
    /// It does not have `tls-exporter`.
    lacks_exporter: bool,
    /// It does not have `tls-server-end-point`.
    lacks_end_point: bool,
    /// It does not say why it refuses.
    is_terse: bool,
}

async fn serve(stream: DuplexStream, peer: Peer) -> Vec<Outcome> {
    let Peer { is_new_tls, in_between, .. } = peer;
    let made = Certified::new(&["mail.example"]);
    let config = made.server(&[if is_new_tls { &TLS13 } else { &TLS12 }]);
    let tls = TlsAcceptor::from(Arc::new(config)).accept(stream).await.unwrap();
    let (label, context) = (b"EXPORTER-Channel-Binding", Some(&b""[..]));
    let exporter = tls.get_ref().1.export_keying_material([0; 32], label, context).unwrap();
    let exporter = if in_between { [1; 32] } else { exporter };
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, made.der());
    let end_point: Box<[u8]> = if in_between { [1; 32].into() } else { hash.as_ref().into() };
    // RFC 9266 §3: with TLS 1.2 the exporter is not offered here.
    let bindings = ChannelBindings {
        tls_exporter: (is_new_tls && !peer.lacks_exporter).then_some(exporter),
        tls_server_end_point: Some(end_point).filter(|_| !peer.lacks_end_point),
    };
    let mut tls = BufReader::new(tls);
    let offered = "AUTH=PLAIN AUTH=SCRAM-SHA-1 AUTH=SCRAM-SHA-256 AUTH=SCRAM-SHA-256-PLUS SASL-IR";
    tls.write_all(format!("* OK [CAPABILITY IMAP4rev1 {offered}]\r\n").as_bytes()).await.unwrap();

    let mut outcomes = Vec::new();
    let mut line = String::new();
    while tls.read_line(&mut line).await.is_ok_and(|count| count > 0) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [tag, "AUTHENTICATE", name, initial] = words.as_slice() else {
            let last = format!("* CAPABILITY IMAP4rev1\r\n{} OK\r\n", words[0]);
            tls.write_all(last.as_bytes()).await.unwrap();
            break;
        };
        let (tag, mechanism) = ((*tag).to_owned(), Mechanism::parse(name).unwrap());
        let server = Server::start(mechanism, bindings.clone(), [7; 18]);
        let initial = BASE64.decode(initial).unwrap();
        let outcome = exchange(&mut tls, server, &initial, peer.is_terse).await;
        let word = if outcome.is_ok() { "OK in" } else { "NO" };
        tls.write_all(format!("{tag} {word}\r\n").as_bytes()).await.unwrap();
        outcomes.push((mechanism, outcome));
        line.clear();
    }
    outcomes
}

async fn exchange(
    tls: &mut BufReader<impl AsyncRead + AsyncWrite + Unpin>,
    mut server: Server,
    initial: &[u8],
    is_terse: bool,
) -> Result<(), Failure> {
    let mut step = server.first(Some(initial));
    loop {
        step = match step {
            Step::Ask(Question::Verifier { hash, .. }) => {
                let password = Password::prepare(PASSWORD).unwrap();
                let stored = Verifiers::derive(&password, [1; 16], [2; 16]);
                server.answer(Answer::Verifier(stored.for_hash(hash).clone()))
            }
            Step::Ask(_) => return Err(Failure::Malformed),
            Step::Challenge(challenge) if is_terse && challenge.starts_with(b"e=") => {
                server.step(b"")
            }
            Step::Challenge(challenge) => {
                let challenge = format!("+ {}\r\n", BASE64.encode(challenge));
                tls.write_all(challenge.as_bytes()).await.unwrap();
                let mut line = String::new();
                tls.read_line(&mut line).await.unwrap();
                match line.trim_end() {
                    "*" => return Err(server.abort()),
                    answer => server.step(&BASE64.decode(answer).unwrap()),
                }
            }
            Step::Done => return Ok(()),
            Step::Failed(failure) => return Err(failure),
        };
    }
}

async fn log_in(stream: DuplexStream) -> Result<(), ClientError> {
    let roots = load_roots(false, &[]).unwrap();
    let connector = Connector::new(roots, Arc::new(SystemClock::new()));
    let connected = connector.connect(Conn::memory(stream), &Verify::default()).await;
    let (conn, _) = connected.map_err(|error| ClientError::Tls(Box::new(error)))?;
    let mut session = Session::begin(conn, std::env::temp_dir(), 1_000).await?;
    let credentials = Credentials { user: "user".to_owned(), password: Secret::new(PASSWORD) };
    session.log_in(&credentials, false, &SystemRng).await
}

async fn both(peer: Peer) -> (Result<(), ClientError>, Vec<Outcome>) {
    let (here, there) = duplex(1 << 16);
    tokio::join!(log_in(here), serve(there, peer))
}

/// RFC 5802 §6; RFC 9266 §2 with TLS 1.3, RFC 5929 §4 with TLS 1.2.
#[tokio::test]
async fn a_login_over_tls_is_bound_to_it() {
    for is_new_tls in [true, false] {
        let (client, server) = both(Peer { is_new_tls, ..Peer::default() }).await;
        assert_eq!(server, [(Mechanism::ScramSha256Plus, Ok(()))], "TLS 1.3: {is_new_tls}");
        client.unwrap();
    }
}

/// The certificate is not looked at here: only the binding shows that somebody is in between.
#[tokio::test]
async fn somebody_in_between_gets_nothing() {
    for is_new_tls in [true, false] {
        for lacks_exporter in [true, false] {
            let peer = Peer { is_new_tls, in_between: true, lacks_exporter, ..Peer::default() };
            let (client, server) = both(peer).await;
            let is_bound = |one: &Outcome| one.0 == Mechanism::ScramSha256Plus && one.1.is_err();
            assert_eq!(server.len(), if is_new_tls && lacks_exporter { 2 } else { 1 });
            assert!(server.iter().all(is_bound), "{server:?}");
            assert!(matches!(client, Err(ClientError::Sasl(_))), "{client:?}");
        }
    }
}

/// RFC 5802 §6, RFC 5929 §4: there are servers with TLS 1.3 that know nothing of RFC 9266.
#[tokio::test]
async fn the_other_type_of_binding_is_tried_too() {
    for is_terse in [true, false] {
        let peer = Peer { is_new_tls: true, lacks_exporter: true, is_terse, ..Peer::default() };
        let (client, server) = both(peer).await;
        client.unwrap();
        let [(first, Err(_)), (second, Ok(()))] = server.as_slice() else { panic!("{server:?}") };
        assert_eq!([*first, *second], [Mechanism::ScramSha256Plus; 2]);
    }
}

/// RFC 5802 §6. Attack: all types are refused, and the client goes on without.
#[tokio::test]
async fn it_is_never_tried_without_a_binding_where_one_is_offered() {
    for (is_new_tls, tries) in [(true, 2), (false, 1)] {
        let peer =
            Peer { is_new_tls, lacks_exporter: true, lacks_end_point: true, ..Peer::default() };
        let (client, server) = both(peer).await;
        assert_eq!(server.len(), tries);
        assert!(server.iter().all(|one| one.0 == Mechanism::ScramSha256Plus), "{server:?}");
        assert!(matches!(client, Err(ClientError::LoginRefused(_))), "{client:?}");
    }
}
