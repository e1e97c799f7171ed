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
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, duplex};
use tokio_rustls::TlsAcceptor;

use crate::{ClientError, Credentials, Session};

const PASSWORD: &str = "correct horse";

/// How the server's side of an exchange ended.
type Outcome = (Mechanism, Result<(), Failure>);

/// A server that offers all of SCRAM over TLS. One `in_between` speaks TLS with the client, and is bound
/// to another connection on its other side.
async fn serve(stream: DuplexStream, is_new_tls: bool, in_between: bool) -> Outcome {
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
        tls_exporter: is_new_tls.then_some(exporter),
        tls_server_end_point: Some(end_point),
    };
    let mut tls = BufReader::new(tls);
    let offered = "AUTH=PLAIN AUTH=SCRAM-SHA-1 AUTH=SCRAM-SHA-256 AUTH=SCRAM-SHA-256-PLUS SASL-IR";
    tls.write_all(format!("* OK [CAPABILITY IMAP4rev1 {offered}]\r\n").as_bytes()).await.unwrap();

    let mut line = String::new();
    tls.read_line(&mut line).await.unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    let mechanism = Mechanism::parse(words[2]).unwrap();
    let mut server = Server::start(mechanism, bindings, [7; 18]);
    let mut step = server.first(Some(&BASE64.decode(words[3]).unwrap()));
    let tag = words[0].to_owned();
    loop {
        step = match step {
            Step::Ask(Question::Verifier { hash, .. }) => {
                let password = Password::prepare(PASSWORD).unwrap();
                let stored = Verifiers::derive(&password, [1; 16], [2; 16]);
                server.answer(Answer::Verifier(stored.for_hash(hash).clone()))
            }
            Step::Ask(_) => return (mechanism, Err(Failure::Malformed)),
            Step::Challenge(challenge) => {
                let challenge = format!("+ {}\r\n", BASE64.encode(challenge));
                tls.write_all(challenge.as_bytes()).await.unwrap();
                line.clear();
                tls.read_line(&mut line).await.unwrap();
                match line.trim_end() {
                    "*" => return (mechanism, Err(server.abort())),
                    answer => server.step(&BASE64.decode(answer).unwrap()),
                }
            }
            Step::Done => break,
            Step::Failed(failure) => return (mechanism, Err(failure)),
        };
    }
    tls.write_all(format!("{tag} OK in\r\n").as_bytes()).await.unwrap();
    line.clear();
    tls.read_line(&mut line).await.unwrap();
    let (tag, _) = line.split_once(' ').unwrap();
    let last = format!("* CAPABILITY IMAP4rev1\r\n{tag} OK\r\n");
    tls.write_all(last.as_bytes()).await.unwrap();
    (mechanism, Ok(()))
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

async fn both(is_new_tls: bool, in_between: bool) -> (Result<(), ClientError>, Outcome) {
    let (here, there) = duplex(1 << 16);
    tokio::join!(log_in(here), serve(there, is_new_tls, in_between))
}

/// RFC 5802 §6; RFC 9266 §2 with TLS 1.3, RFC 5929 §4 with TLS 1.2.
#[tokio::test]
async fn a_login_over_tls_is_bound_to_it() {
    for is_new_tls in [true, false] {
        let (client, server) = both(is_new_tls, false).await;
        assert_eq!(server, (Mechanism::ScramSha256Plus, Ok(())), "TLS 1.3: {is_new_tls}");
        client.unwrap();
    }
}

/// The certificate is not looked at here: only the binding shows that somebody is in between.
#[tokio::test]
async fn somebody_in_between_gets_nothing() {
    for is_new_tls in [true, false] {
        let (client, (mechanism, server)) = both(is_new_tls, true).await;
        assert_eq!(mechanism, Mechanism::ScramSha256Plus);
        assert!(matches!(server, Err(Failure::Scram(_))), "{server:?}");
        assert!(matches!(client, Err(ClientError::Sasl(_))), "{client:?}");
    }
}
