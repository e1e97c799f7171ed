//! The client session against the server session: a message gets through, by every mechanism.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a broken set-up should fail the test"
)]

#[expect(dead_code, reason = "each test uses a part of it")]
mod client;
#[expect(dead_code, reason = "each test uses a part of it")]
mod driver;

use client::transaction;
use driver::{Driver, Event, PASSWORD, USER};
use mox_base::Secret;
use mox_sasl::ChannelBindings;
use mox_smtp::client::{
    Action, Config, Credentials, DeliveryError, ErrorKind, Session, Step, TlsUse,
};
use mox_smtp::server::Service;
use mox_smtp::{Reply, ReplyParser, stuff};

/// The two, joined by pipes.
struct Pair {
    client: Session,
    server: Driver,
    parser: ReplyParser,
    /// From the server, not yet parsed.
    received: Vec<u8>,
    /// What the server asked, without answers.
    asked: Vec<String>,
    /// Bytes of the message sent in chunks.
    sent: usize,
}

impl Pair {
    fn new(service: Service, tls: TlsUse, password: Option<&str>) -> Self {
        let login = password.map(|password| Credentials {
            username: USER.to_owned(),
            password: Secret::new(password),
            mechanisms: Credentials::MECHANISMS.to_vec(),
        });
        let name = "client.example".to_owned();
        let config = Config { name, tls, login, is_private: false };
        Self {
            client: Session::new(config, [5; 18], None),
            server: Driver::new(driver::config(service), None),
            parser: ReplyParser::default(),
            received: Vec::new(),
            asked: Vec::new(),
            sent: 0,
        }
    }

    /// Runs until the client has nothing to do. Every recipient but `nobody` is known.
    fn run(&mut self, mut action: Action, message: &[u8]) -> Action {
        loop {
            action = match action {
                Action::Send { bytes, .. } => {
                    self.server.receive(&bytes);
                    let reply = self.read();
                    self.client.reply(reply)
                }
                Action::Read => {
                    let reply = self.read();
                    self.client.reply(reply)
                }
                Action::StartTls => {
                    self.server.tls_established(driver::tls(None));
                    let tls_exporter = Some([7; 32]);
                    let bindings = ChannelBindings { tls_exporter, ..ChannelBindings::default() };
                    self.client.tls_established(bindings)
                }
                Action::SendData => {
                    self.server.receive(&stuff(message).unwrap());
                    self.client.data_sent()
                }
                Action::SendChunk { command, size_bytes } => {
                    self.server.receive(&command);
                    let (piece, _) = message[self.sent..].split_at(size_bytes.try_into().unwrap());
                    self.sent += piece.len();
                    self.server.receive(piece);
                    self.client.data_sent()
                }
                action => return action,
            };
        }
    }

    fn read(&mut self) -> Reply {
        loop {
            for event in self.server.take_events() {
                match event {
                    Event::Sent(bytes) => self.received.extend_from_slice(&bytes),
                    Event::Told(text) => self.asked.push(text),
                }
            }
            let (taken, reply) = self.parser.push(&self.received).unwrap();
            self.received.drain(..taken);
            if let Some(reply) = reply {
                return reply;
            }
            let question = self.server.question().cloned().expect("a reply or a question");
            let words = match driver::describe(&question).split_once(' ') {
                Some(("password" | "verifier", _)) => "auto",
                Some(("rcpt", path)) if path.contains("nobody") => "unknown",
                _ => "ok",
            };
            self.server.answer(driver::answer(&question, words));
        }
    }
}

/// No session, for a reason of ours.
fn failed(kind: ErrorKind) -> Action {
    let (is_permanent, reply, command) = (false, None, Step::Auth);
    Action::Failed(DeliveryError { is_permanent, reply, command, kind })
}

/// RFC 5321 §3.3, RFC 2920, RFC 3207.
#[test]
fn a_message_is_delivered() {
    let mut pair = Pair::new(Service::Delivery, TlsUse::Required, None);
    let action = pair.client.start();
    assert_eq!(pair.run(action, b""), Action::Ready);
    let words = "a@client.example mjl@local.example nobody@local.example 8bit";
    let action = pair.client.deliver(&transaction(words));
    let done = pair.run(action, b"a: b\r\n\r\n.dot\r\n");
    let Action::Done(results) = done else { panic!("{done:?}") };
    assert!(matches!(&results[0], Ok(reply) if reply.code == 250));
    assert!(matches!(&results[1], Err(error) if error.code() == Some(550) && error.is_permanent));
    let decide = pair.asked.iter().find(|text| text.starts_with("decide")).unwrap();
    let want = "decide <a@client.example> -> <mjl@local.example> by - \
                client=client.example esmtp=true tls=true utf8=false size=14";
    assert_eq!(decide, want);
    let action = pair.client.quit();
    assert_eq!(pair.run(action, b""), Action::Quit);
}

/// RFC 3030 §3, RFC 3461 §4, RFC 6710 §4, RFC 8689 §4.1: each side understands what the other says.
#[test]
fn what_the_client_asks_for_is_understood() {
    let mut pair = Pair::new(Service::Delivery, TlsUse::Required, None);
    let action = pair.client.start();
    assert_eq!(pair.run(action, b""), Action::Ready);
    let message = b"a: b\r\n\r\n\0bare\nlines\r\n.\r\n";
    let words = "a@client.example mjl@local.example notify=SUCCESS,DELAY envid=x+y=z \
                 binary requiretls size=";
    let mut transaction = transaction(&format!("{words}{}", message.len()));
    transaction.rcpts[0].orcpt = Some("rfc822;m+x@local.example".to_owned());
    transaction.priority = -2;
    let action = pair.client.deliver(&transaction);
    let done = pair.run(action, message);
    let Action::Done(results) = done else { panic!("{done:?}") };
    assert!(matches!(&results[0], Ok(reply) if reply.code == 250), "{results:?}");
    let decide = pair.asked.iter().find(|text| text.starts_with("decide")).unwrap();
    for part in [
        "NOTIFY=SUCCESS,DELAY",
        "rfc822;m+x@local.example",
        "binary",
        "requiretls",
        "ret=FULL",
        "envid=\"x+y=z\"",
        &format!("size={}", message.len()),
    ] {
        assert!(decide.to_lowercase().contains(&part.to_lowercase()), "{part}: {decide}");
    }
}

/// RFC 4954; RFC 5802 with channel binding.
#[test]
fn the_client_logs_in_with_the_strongest_mechanism() {
    let mut pair = Pair::new(Service::Submission, TlsUse::IfOffered, Some(PASSWORD));
    let action = pair.client.start();
    assert_eq!(pair.run(action, b""), Action::Ready);
    let attempt = format!("login-attempt SCRAM-SHA-256-PLUS {USER} ok");
    assert!(pair.asked.contains(&attempt), "{:?}", pair.asked);
}

#[test]
fn a_wrong_password_is_refused() {
    let mut pair = Pair::new(Service::Submission, TlsUse::IfOffered, Some("wrong password"));
    let action = pair.client.start();
    // SCRAM tells the client itself, before the server's protocol does.
    let error = mox_sasl::ClientError::Scram(mox_sasl::ScramError::InvalidProof);
    assert_eq!(pair.run(action, b""), failed(ErrorKind::Sasl(error)));
}

#[test]
fn without_tls_no_login_is_offered() {
    let mut pair = Pair::new(Service::Submission, TlsUse::Never, Some(PASSWORD));
    let action = pair.client.start();
    assert_eq!(pair.run(action, b""), failed(ErrorKind::NoMechanism));
}
