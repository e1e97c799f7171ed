//! The server's side of an exchange.

use std::fmt;

use unicode_normalization::UnicodeNormalization;

use crate::scram::{NONCE_BYTES, ScramError};
use crate::scram_server::{ClientFirst, ServerFirst};
use crate::{ChannelBindings, Mechanism, Password, ScramHash, ScramVerifier};

/// The largest message taken from a client, in bytes after base64. Bounds what an exchange holds.
pub const MESSAGE_BYTES_MAX: usize = 2_048;

/// The longest user name, in bytes as given. Longer than any address.
pub const USERNAME_BYTES_MAX: usize = 512;

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Send this to the client, even if empty, and pass its response to [`Server::step`].
    Challenge(Vec<u8>),
    /// Find this out and pass it to [`Server::answer`].
    Ask(Question),
    /// The client is who [`Server::username`] says. Whether that account may log in now (it may
    /// be disabled) is for the driver.
    Done,
    /// Over, without success.
    Failed(Failure),
}

/// What the exchange must know to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// Is this the password of that user? Answer [`Answer::Password`].
    ///
    /// For an unknown user, check it against [`Decoy::verifiers`](crate::Decoy::verifiers) all the
    /// same, which takes as long as for an account.
    Password {
        /// In NFC.
        username: String,
        /// As typed, prepared.
        password: Password,
    },
    /// What is the verifier of that user? Answer [`Answer::Verifier`], for an unknown user with
    /// the decoy's.
    Verifier {
        /// In NFC.
        username: String,
        /// Which of its verifiers.
        hash: ScramHash,
    },
    /// Whose is the client certificate of this connection? Answer [`Answer::Certificate`].
    Certificate {
        /// As whom the client wants to log in, in NFC; `None` leaves it to the certificate.
        username: Option<String>,
    },
}

/// The answer to a [`Question`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Whether it is the password.
    Password(bool),
    /// The verifier, of the asked hash.
    Verifier(ScramVerifier),
    /// The user name to log in as; `None` if there is no certificate, it is not known, or it does
    /// not belong to the account of the asked name.
    Certificate(Option<String>),
    /// It cannot be found out now.
    Unavailable,
}

/// Why an exchange ended without success. None of them tells whether the user exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The client ended it.
    Aborted,
    /// A message not of the mechanism's grammar, or over [`MESSAGE_BYTES_MAX`] or
    /// [`USERNAME_BYTES_MAX`].
    Malformed,
    /// Unknown user, or wrong password, proof or certificate.
    BadCredentials,
    /// The client wants to act as another than who it is. RFC 4422 §3.4.1.
    AuthzidRefused,
    /// SCRAM only: a fault in the protocol, a missing channel binding, or the sign of an attack.
    Scram(ScramError),
    /// The driver could not answer.
    Unavailable,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Aborted => "authentication aborted by client",
            Self::Malformed => "malformed sasl message",
            Self::BadCredentials => "bad credentials",
            Self::AuthzidRefused => "authorization identity differs from user name",
            Self::Scram(error) => error.value(),
            Self::Unavailable => "temporary failure",
        })
    }
}

impl std::error::Error for Failure {}

/// One exchange, from the choice of the mechanism to its end.
pub struct Server {
    mechanism: Mechanism,
    bindings: ChannelBindings,
    nonce: [u8; NONCE_BYTES],
    username: Option<String>,
    state: State,
}

/// What is awaited. Data of one state lives in that state.
enum State {
    /// The client's first message.
    Initial,
    /// LOGIN: the password.
    LoginPassword,
    /// The answer to `Question::Password`.
    PasswordVerdict,
    /// The answer to `Question::Certificate`.
    CertificateVerdict,
    /// The answer to `Question::Verifier`.
    Verifier(Box<ClientFirst>),
    /// SCRAM: the proof.
    Proof(Box<ServerFirst>),
    /// SCRAM: the empty response to our last message; then this outcome.
    Outcome(Result<(), Failure>),
    Ended,
}

impl Server {
    /// Starts an exchange.
    ///
    /// `bindings` are those of the connection. Where there are any, the -PLUS mechanisms must have
    /// been offered, since a client that has not seen them says so and is refused (RFC 5802 §6).
    /// `nonce` is random and fresh.
    #[must_use]
    pub fn start(
        mechanism: Mechanism,
        bindings: ChannelBindings,
        nonce: [u8; NONCE_BYTES],
    ) -> Self {
        Self { mechanism, bindings, nonce, username: None, state: State::Initial }
    }

    /// The mechanism.
    #[must_use]
    pub fn mechanism(&self) -> Mechanism {
        self.mechanism
    }

    /// As whom the client logs in, as far as it has said so. Only after [`Step::Done`] it is so.
    #[must_use]
    pub fn username(&self) -> Option<&str> {
        self.username.as_deref()
    }

    /// The first step: with the initial response if the client sent one (it may be empty, which is
    /// not the same as none). RFC 4422 §3, §5.
    pub fn first(&mut self, initial: Option<&[u8]>) -> Step {
        match (initial, self.mechanism) {
            (Some(message), _) => self.step(message),
            (None, Mechanism::Login) => Step::Challenge(b"Username:".to_vec()),
            (None, _) => Step::Challenge(Vec::new()),
        }
    }

    /// Takes the client's response to a challenge.
    pub fn step(&mut self, message: &[u8]) -> Step {
        let state = std::mem::replace(&mut self.state, State::Ended);
        let text =
            if message.len() > MESSAGE_BYTES_MAX { None } else { str::from_utf8(message).ok() };
        let step = match (state, text) {
            (State::Outcome(outcome), _) => outcome_step(outcome, message),
            (State::Initial | State::LoginPassword | State::Proof(_), None) => {
                Err(Failure::Malformed)
            }
            (State::Initial, Some(text)) => self.initial(text),
            (State::LoginPassword, Some(text)) => self.ask_password(text),
            (State::Proof(state), Some(text)) => Ok(self.proof(&state, text)),
            (
                State::PasswordVerdict
                | State::CertificateVerdict
                | State::Verifier(_)
                | State::Ended,
                _,
            ) => {
                debug_assert!(false, "a message while none was awaited");
                Err(Failure::Unavailable)
            }
        };
        step.unwrap_or_else(Step::Failed)
    }

    /// Takes the answer to a question.
    pub fn answer(&mut self, answer: Answer) -> Step {
        match (std::mem::replace(&mut self.state, State::Ended), answer) {
            (State::PasswordVerdict, Answer::Password(true)) => Step::Done,
            (State::PasswordVerdict, Answer::Password(false))
            | (State::CertificateVerdict, Answer::Certificate(None)) => {
                Step::Failed(Failure::BadCredentials)
            }
            (State::CertificateVerdict, Answer::Certificate(Some(username))) => {
                self.username = Some(username);
                Step::Done
            }
            (State::Verifier(first), Answer::Verifier(verifier))
                if Some(verifier.hash()) == self.mechanism.scram_hash() =>
            {
                let (message, state) = first.respond(self.nonce, verifier);
                self.state = State::Proof(Box::new(state));
                Step::Challenge(message)
            }
            (_, Answer::Unavailable) => Step::Failed(Failure::Unavailable),
            _ => {
                debug_assert!(false, "an answer to another question");
                Step::Failed(Failure::Unavailable)
            }
        }
    }

    /// Takes the client's `*`, and returns why the exchange failed: what was wrong before, if our
    /// last challenge said so, else that it was ended.
    pub fn abort(&mut self) -> Failure {
        match std::mem::replace(&mut self.state, State::Ended) {
            State::Outcome(Err(failure)) => failure,
            _ => Failure::Aborted,
        }
    }

    fn initial(&mut self, text: &str) -> Result<Step, Failure> {
        match self.mechanism {
            Mechanism::Plain => self.plain(text),
            Mechanism::Login => {
                self.username = Some(normal_username(text)?);
                self.state = State::LoginPassword;
                Ok(Step::Challenge(b"Password:".to_vec()))
            }
            Mechanism::External => self.external(text),
            Mechanism::ScramSha256Plus | Mechanism::ScramSha256 => {
                self.scram(text, ScramHash::Sha256)
            }
            Mechanism::ScramSha1Plus | Mechanism::ScramSha1 => self.scram(text, ScramHash::Sha1),
        }
    }

    /// `message = [authzid] UTF8NUL authcid UTF8NUL passwd`. RFC 4616 §2.
    fn plain(&mut self, text: &str) -> Result<Step, Failure> {
        let mut fields = text.split('\0');
        let (Some(authzid), Some(authcid), Some(password), None) =
            (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            return Err(Failure::Malformed);
        };
        let username = normal_username(authcid)?;
        self.username = Some(username.clone());
        if !authzid.is_empty() && normal_username(authzid)? != username {
            return Err(Failure::AuthzidRefused);
        }
        self.ask_password(password)
    }

    fn ask_password(&mut self, password: &str) -> Result<Step, Failure> {
        // A password that no account can have. The refusal comes quickly, but that depends only
        // on what the client sent, not on whether the user exists.
        let password = Password::prepare(password).map_err(|_| Failure::BadCredentials)?;
        let username = self.username.clone().unwrap_or_default();
        self.state = State::PasswordVerdict;
        Ok(Step::Ask(Question::Password { username, password }))
    }

    /// An authorization identity, or nothing. RFC 4422 appendix A.
    fn external(&mut self, text: &str) -> Result<Step, Failure> {
        let username = if text.is_empty() { None } else { Some(normal_username(text)?) };
        self.username.clone_from(&username);
        self.state = State::CertificateVerdict;
        Ok(Step::Ask(Question::Certificate { username }))
    }

    fn scram(&mut self, text: &str, hash: ScramHash) -> Result<Step, Failure> {
        let first = ClientFirst::parse(text, self.mechanism.is_plus(), &self.bindings)
            .map_err(Failure::Scram)?;
        if first.username.len() > USERNAME_BYTES_MAX {
            return Err(Failure::Malformed);
        }
        let username = first.username.clone();
        self.username = Some(username.clone());
        if first.authzid.as_ref().is_some_and(|authzid| *authzid != username) {
            return Err(Failure::AuthzidRefused);
        }
        self.state = State::Verifier(Box::new(first));
        Ok(Step::Ask(Question::Verifier { username, hash }))
    }

    /// The last message of SCRAM goes out as a challenge in any case: neither IMAP (RFC 9051
    /// §6.2.2) nor SMTP (RFC 4954 §4) has a place for it in their final reply.
    fn proof(&mut self, state: &ServerFirst, text: &str) -> Step {
        let (message, outcome) = match state.finish(text) {
            Ok(message) => (message, Ok(())),
            Err(error) => {
                let failure = match error {
                    ScramError::InvalidProof => Failure::BadCredentials,
                    error => Failure::Scram(error),
                };
                (format!("e={error}").into_bytes(), Err(failure))
            }
        };
        self.state = State::Outcome(outcome);
        Step::Challenge(message)
    }
}

/// A client that proved itself must answer our last message with an empty one; what it says to an
/// error does not matter.
fn outcome_step(outcome: Result<(), Failure>, message: &[u8]) -> Result<Step, Failure> {
    outcome?;
    if message.is_empty() { Ok(Step::Done) } else { Err(Failure::Malformed) }
}

/// A user name in NFC, without control characters. RFC 8265 §3.3 asks for more, which is left to
/// the syntax of addresses.
fn normal_username(text: &str) -> Result<String, Failure> {
    let is_good =
        !text.is_empty() && text.len() <= USERNAME_BYTES_MAX && !text.chars().any(char::is_control);
    if is_good { Ok(text.nfc().collect()) } else { Err(Failure::Malformed) }
}

/// Shows no secret.
impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("mechanism", &self.mechanism)
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(mechanism: Mechanism) -> Server {
        Server::start(mechanism, ChannelBindings::default(), [0; NONCE_BYTES])
    }

    fn ask(username: &str, password: &str) -> Step {
        let password = Password::prepare(password).unwrap();
        Step::Ask(Question::Password { username: username.to_owned(), password })
    }

    #[track_caller]
    fn check(mechanism: Mechanism, message: &str, want: &Step) {
        let got = start(mechanism).first(Some(message.as_bytes()));
        assert_eq!(&got, want, "{mechanism} {message:?}");
    }

    /// RFC 4616 §2, §4.
    #[test]
    fn plain_has_three_fields() {
        const MALFORMED: Step = Step::Failed(Failure::Malformed);
        let long = "u".repeat(USERNAME_BYTES_MAX);
        // Valid.
        check(Mechanism::Plain, "\0tim\0tanstaaftanstaaf", &ask("tim", "tanstaaftanstaaf"));
        check(Mechanism::Plain, "tim\0tim\0xipj3plmq", &ask("tim", "xipj3plmq"));
        check(Mechanism::Plain, "\0e\u{301}@x\0pw", &ask("\u{e9}@x", "pw"));
        check(Mechanism::Plain, "e\u{301}\0\u{e9}\0pw", &ask("\u{e9}", "pw"));
        // At the edge of valid.
        check(Mechanism::Plain, &format!("\0{long}\0pw"), &ask(&long, "pw"));
        // Just past the edge.
        check(Mechanism::Plain, &format!("\0{long}u\0pw"), &MALFORMED);
        check(Mechanism::Plain, "Ursel\0Kurt\0xipj3plmq", &Step::Failed(Failure::AuthzidRefused));
        check(Mechanism::Plain, "\0tim\0", &Step::Failed(Failure::BadCredentials));
        check(Mechanism::Plain, "\0tim\0a\tb", &Step::Failed(Failure::BadCredentials));
        // Never valid.
        check(Mechanism::Plain, "", &MALFORMED);
        check(Mechanism::Plain, "\0tim", &MALFORMED);
        check(Mechanism::Plain, "\0tim\0a\0b", &MALFORMED);
        check(Mechanism::Plain, "\0\0pw", &MALFORMED);
        check(Mechanism::Plain, "\0t\nim\0pw", &MALFORMED);
        assert_eq!(start(Mechanism::Plain).step(b"\0tim\0\xff"), MALFORMED);
        assert_eq!(start(Mechanism::Plain).step(&[b'a'; MESSAGE_BYTES_MAX + 1]), MALFORMED);
    }

    #[test]
    fn login_asks_for_name_and_password() {
        let mut server = start(Mechanism::Login);
        assert_eq!(server.first(None), Step::Challenge(b"Username:".to_vec()));
        assert_eq!(server.step(b"tim"), Step::Challenge(b"Password:".to_vec()));
        assert_eq!(server.username(), Some("tim"));
        assert_eq!(server.step(b"moxmoxmox"), ask("tim", "moxmoxmox"));
        assert_eq!(server.answer(Answer::Password(true)), Step::Done);

        let mut server = start(Mechanism::Login);
        assert_eq!(server.first(Some(b"tim")), Step::Challenge(b"Password:".to_vec()));
        assert_eq!(server.step(b"moxmoxmoy"), ask("tim", "moxmoxmoy"));
        let bad = Step::Failed(Failure::BadCredentials);
        assert_eq!(server.answer(Answer::Password(false)), bad);
        check(Mechanism::Login, "", &Step::Failed(Failure::Malformed));
    }

    /// RFC 4422 appendix A.
    #[test]
    fn external_leaves_the_name_to_the_certificate_or_asks_for_one() {
        let question = |username: Option<&str>| {
            Step::Ask(Question::Certificate { username: username.map(str::to_owned) })
        };
        let mut server = start(Mechanism::External);
        assert_eq!(server.first(None), Step::Challenge(Vec::new()));
        assert_eq!(server.step(b""), question(None));
        assert_eq!(server.answer(Answer::Certificate(Some("mjl@x".to_owned()))), Step::Done);
        assert_eq!(server.username(), Some("mjl@x"));

        let mut server = start(Mechanism::External);
        assert_eq!(server.first(Some(b"mjl2@x")), question(Some("mjl2@x")));
        let bad = Step::Failed(Failure::BadCredentials);
        assert_eq!(server.answer(Answer::Certificate(None)), bad);
        check(Mechanism::External, "a\0b", &Step::Failed(Failure::Malformed));
    }

    #[test]
    fn an_abort_reports_what_was_wrong_before_it() {
        let mut server = start(Mechanism::Plain);
        assert_eq!(server.first(None), Step::Challenge(Vec::new()));
        assert_eq!(server.abort(), Failure::Aborted);

        let mut server = start(Mechanism::ScramSha256);
        let first = server.first(Some(b"n,,n=user,r=12345678"));
        assert!(matches!(first, Step::Ask(Question::Verifier { hash: ScramHash::Sha256, .. })));
        let decoy = crate::Decoy::new([0; 32]).verifiers("user").sha256;
        assert!(matches!(server.answer(Answer::Verifier(decoy)), Step::Challenge(_)));
        let refusal = Step::Challenge(b"e=invalid-encoding".to_vec());
        assert_eq!(server.step(b"garbage"), refusal);
        assert_eq!(server.abort(), Failure::Scram(ScramError::InvalidEncoding));
    }

    #[test]
    fn a_store_that_does_not_answer_is_no_wrong_password() {
        let mut server = start(Mechanism::Plain);
        assert!(matches!(server.first(Some(b"\0tim\0moxmoxmox")), Step::Ask(_)));
        assert_eq!(server.answer(Answer::Unavailable), Step::Failed(Failure::Unavailable));
    }

    /// RFC 5802 §5.1 (`a`).
    #[test]
    fn scram_takes_no_other_authorization_identity() {
        let refused = Step::Failed(Failure::AuthzidRefused);
        check(Mechanism::ScramSha1, "n,a=other,n=user,r=12345678", &refused);
        let question = Question::Verifier { username: "user".to_owned(), hash: ScramHash::Sha1 };
        check(Mechanism::ScramSha1, "n,a=user,n=user,r=12345678", &Step::Ask(question));
    }
}
