//! The session: its state, and which command may come when.

use std::fmt;
use std::sync::Arc;

use mox_base::{Host, Rng, UnixSeconds};

use super::auth::{Exchange, Login, LoginAttempt};
use super::{Action, Answer, Config, DataEnd, ERRORS_MAX, Envelope, Input, Question, Service, Tls};
use crate::command::Body;
use crate::command::{Command, CommandError, RcptCommand, Syntax, Verb, verb};
use crate::{ChunkReader, Reply};

/// One connection. See the [module](super) for how to drive it.
pub struct Session {
    pub(super) config: Arc<Config>,
    /// Shown in error replies, so that a user's report can be found in the log.
    id: String,
    pub(super) state: State,
    pub(super) tls: Option<Tls>,
    pub(super) login: Option<Login>,
    pub(super) client: Option<Client>,
    is_first_command: bool,
    errors: u32,
    pub(super) failed_logins: u32,
    pub(super) bad_transactions: u32,
    pub(super) good_transactions: u32,
    pub(super) is_slow: bool,
    pub(super) attempt: Option<LoginAttempt>,
}

/// What the client said of itself.
#[derive(Clone, Debug)]
pub(super) struct Client {
    pub(super) name: Option<Host>,
    pub(super) is_esmtp: bool,
}

/// What is awaited. Data of one state lives in that state.
#[derive(Debug, Default)]
pub(super) enum State {
    /// A command; no transaction.
    #[default]
    Idle,
    /// A command; a transaction is open.
    Transaction(Box<Envelope>),
    /// A command; a part of the message is there. RFC 3030 §2.
    Chunks(Box<Envelope>, Box<ChunkReader>),
    /// The answer on the name in HELO.
    HeloVerdict(Client),
    /// The end of a delay before a login.
    LoginDelay(Box<Exchange>),
    /// The client's response to a challenge.
    LoginResponse(Box<Exchange>),
    /// An answer for the login.
    LoginAnswer(Box<Exchange>),
    /// Whether the user may log in.
    LoginVerdict(Box<Exchange>),
    /// The answer on the sender.
    SenderVerdict(Box<Envelope>),
    /// Whether there may be a second recipient, who is this.
    SenderVerified(Box<Envelope>, RcptCommand),
    /// The answer on the recipient.
    RcptVerdict(Box<Envelope>, RcptCommand),
    /// The end of the data.
    Data(Box<Envelope>),
    /// The end of a chunk, and whether it is the last.
    ChunkEnd(Box<Envelope>, bool),
    /// What becomes of the message.
    Decision,
    /// The handshake.
    Tls,
    /// Nothing any more.
    Closed,
}

impl Session {
    /// Starts a session.
    ///
    /// - `id`: names the connection in error replies; printable ASCII.
    /// - `tls`: what is known of TLS if the connection starts with it.
    #[must_use]
    pub fn new(config: Arc<Config>, id: impl Into<String>, tls: Option<Tls>) -> Self {
        let mut session = Self {
            config,
            id: id.into(),
            state: State::Idle,
            tls: None,
            login: None,
            client: None,
            is_first_command: true,
            errors: 0,
            failed_logins: 0,
            bad_transactions: 0,
            good_transactions: 0,
            is_slow: false,
            attempt: None,
        };
        session.set_tls(tls);
        session
    }

    /// The greeting: the first action, followed by a line. RFC 5321 §4.2, §4.3.1.
    #[must_use]
    pub fn greet(&self) -> Action {
        Action::Reply(Reply::bare(220, format!("{} ESMTP mox", self.config.hostname.ascii())))
    }

    /// Whether the client is to be served slowly.
    #[must_use]
    pub fn is_slow(&self) -> bool {
        self.is_slow
    }

    /// As whom the client is logged in.
    #[must_use]
    pub fn username(&self) -> Option<&str> {
        self.login.as_ref().map(|login| login.username.as_str())
    }

    /// What the client calls itself, where that matters.
    #[must_use]
    pub fn client_name(&self) -> Option<&Host> {
        self.client.as_ref().and_then(|client| client.name.as_ref())
    }

    /// The transaction that is open, also while a question about it is.
    #[must_use]
    pub fn transaction(&self) -> Option<&Envelope> {
        match &self.state {
            State::Transaction(envelope)
            | State::Chunks(envelope, _)
            | State::ChunkEnd(envelope, _)
            | State::SenderVerdict(envelope)
            | State::SenderVerified(envelope, _)
            | State::RcptVerdict(envelope, _)
            | State::Data(envelope) => Some(envelope),
            _ => None,
        }
    }

    /// Whether the next line is part of a login, and so not for traces.
    #[must_use]
    pub fn is_next_line_secret(&self) -> bool {
        matches!(self.state, State::LoginResponse(_))
    }

    /// The outcome of a login, once: for the record of logins and the limit on failed ones. To be
    /// asked for after each action.
    pub fn take_login_attempt(&mut self) -> Option<LoginAttempt> {
        self.attempt.take()
    }

    /// Advances the session by one input. `rng` gives nonces.
    #[must_use]
    pub fn handle(&mut self, input: Input<'_>, now: UnixSeconds, rng: &dyn Rng) -> Action {
        let state = std::mem::take(&mut self.state);
        match (state, input) {
            (_, Input::ShuttingDown) => self.close(Reply::new(421, (3, 2), "shutting down")),
            (_, Input::TimedOut) => {
                self.close(Reply::new(421, (4, 2), "nothing received for too long"))
            }
            (_, Input::LineTooLong) => self.close(Reply::new(500, (5, 0), "line too long")),
            (
                state @ (State::Idle | State::Transaction(_) | State::Chunks(..)),
                Input::Line(line),
            ) => {
                self.state = state;
                self.command(line, now, rng)
            }
            (State::LoginResponse(exchange), Input::Line(line)) => {
                self.login_response(exchange, line)
            }
            (State::LoginDelay(exchange), Input::DelayOver) => self.start_login(exchange),
            (State::Tls, Input::TlsEstablished(tls)) => self.tls_established(tls),
            (State::Tls, Input::EarlyBytes) => {
                // Commands put behind STARTTLS by somebody on the path, who hopes that they are
                // taken for the client's once TLS is on. RFC 3207 §4.2, §6.
                self.close(Reply::new(554, (5, 1), "data received before tls was started"))
            }
            (State::Data(envelope), Input::DataEnd(end)) => self.data_end(envelope, end),
            (State::ChunkEnd(envelope, is_last), Input::ChunkEnd(end)) => {
                self.chunk_end(envelope, is_last, end)
            }
            (state, Input::Answer(answer)) => self.answer(state, answer),
            (state, input) => {
                debug_assert!(false, "{input:?} in {state:?}");
                self.close(Reply::new(421, (3, 0), "internal error"))
            }
        }
    }

    fn answer(&mut self, state: State, answer: Answer) -> Action {
        match (state, answer) {
            (State::HeloVerdict(client), Answer::ClientExists(exists)) => {
                self.helo_verdict(client, exists)
            }
            (State::LoginAnswer(exchange), Answer::Sasl(answer)) => {
                self.login_answer(exchange, answer)
            }
            (State::LoginVerdict(exchange), Answer::Login(verdict)) => {
                self.login_verdict(&exchange, verdict)
            }
            (State::SenderVerdict(envelope), Answer::Sender(verdict)) => {
                self.sender_verdict(envelope, verdict)
            }
            (State::SenderVerified(envelope, rcpt), Answer::SenderVerified(is_verified)) => {
                self.second_rcpt(envelope, rcpt, is_verified)
            }
            (State::RcptVerdict(envelope, rcpt), Answer::Rcpt(verdict)) => {
                self.rcpt_verdict(envelope, rcpt, verdict)
            }
            (State::Decision, Answer::Decision(decision)) => self.decided(decision),
            (state, answer) => {
                debug_assert!(false, "{answer:?} in {state:?}");
                self.close(Reply::new(421, (3, 0), "internal error"))
            }
        }
    }

    /// A command line, in [`State::Idle`], [`State::Transaction`] or [`State::Chunks`].
    fn command(&mut self, line: &[u8], now: UnixSeconds, rng: &dyn Rng) -> Action {
        let is_first = std::mem::take(&mut self.is_first_command);
        let Some((verb, argument)) = verb(line) else {
            if is_first {
                return self.close(Reply::new(500, (5, 2), "this is an smtp server"));
            }
            return self.refuse(Reply::new(500, (5, 1), "unknown command"));
        };
        if verb == Verb::Bdat {
            return self.bdat(argument);
        }
        if let Err(reply) = self.check_order(verb) {
            return self.refuse(reply);
        }
        let is_utf8 = self.envelope().is_some_and(|envelope| envelope.mail.is_utf8);
        match Command::parse_argument(verb, argument, is_utf8, self.syntax()) {
            Ok(command) => self.dispatch(command, now, rng),
            Err(error) => {
                let reply = self.command_error(verb, argument, error);
                self.refuse(reply)
            }
        }
    }

    fn dispatch(&mut self, command: Command, now: UnixSeconds, rng: &dyn Rng) -> Action {
        match command {
            Command::Helo(name) => self.helo(name),
            Command::Ehlo(name) => self.ehlo(name, now),
            Command::StartTls => self.starttls(),
            Command::Auth(auth) => self.auth(&auth, rng),
            Command::Mail(mail) => self.mail(mail, now),
            Command::Rcpt(rcpt) => self.rcpt(rcpt),
            // BDAT goes its own way: its argument is looked at before anything else.
            Command::Data | Command::Bdat(_) => self.data(),
            Command::Rset => {
                self.state = State::Idle;
                Action::Reply(Reply::new(250, (0, 0), "ok"))
            }
            // RFC 5321 §3.5.3: saying who exists is a gift to spammers.
            Command::Vrfy | Command::Expn => {
                Action::Reply(Reply::new(252, (7, 0), "not verified, but you may try to deliver"))
            }
            Command::Help => Action::Reply(Reply::new(214, (0, 0), "see rfc 5321")),
            Command::Noop => Action::Reply(Reply::new(250, (0, 0), "ok")),
            Command::Quit => {
                self.state = State::Closed;
                Action::Close(Some(Reply::new(221, (0, 0), "bye")))
            }
        }
    }

    /// RFC 5321 §4.1.4, RFC 6409 §4.3.
    pub(super) fn check_order(&self, verb: Verb) -> Result<(), Reply> {
        let is_mail = matches!(verb, Verb::Mail | Verb::Rcpt | Verb::Data | Verb::Bdat);
        let needs_hello = is_mail || matches!(verb, Verb::Auth | Verb::StartTls);
        if needs_hello && self.client.is_none() {
            return Err(Reply::new(503, (5, 1), "say ehlo first"));
        }
        if is_mail && self.config.service == Service::Submission && self.login.is_none() {
            return Err(Reply::new(530, (7, 0), "authentication required"));
        }
        match (verb, self.envelope()) {
            (Verb::Mail, Some(_)) => Err(Reply::new(503, (5, 1), "a transaction is open already")),
            (Verb::Rcpt | Verb::Data, Some(_)) if matches!(self.state, State::Chunks(..)) => {
                Err(Reply::new(503, (5, 1), "send the rest with bdat"))
            }
            (Verb::Rcpt | Verb::Data | Verb::Bdat, None) => {
                Err(Reply::new(503, (5, 1), "send mail first"))
            }
            (Verb::Data | Verb::Bdat, Some(envelope)) if envelope.rcpts.is_empty() => {
                Err(Reply::new(503, (5, 1), "send rcpt first"))
            }
            // RFC 3030 §3.
            (Verb::Data, Some(envelope)) if envelope.mail.body == Some(Body::BinaryMime) => {
                Err(Reply::new(503, (5, 1), "binarymime needs bdat"))
            }
            _ => Ok(()),
        }
    }

    /// RFC 5321 §4.2.4, §4.1.1.11; RFC 6531 §3.5.
    fn command_error(&self, verb: Verb, argument: &str, error: CommandError) -> Reply {
        match error {
            CommandError::UnknownCommand => Reply::new(500, (5, 1), "unknown command"),
            CommandError::Syntax { left_bytes } => {
                let mut text = "syntax error".to_owned();
                // Whoever is logged in may learn what we are made of. Never a password, though:
                // replies are traced.
                let at = argument.len().saturating_sub(left_bytes);
                let may_show = self.login.is_some() && verb != Verb::Auth;
                if let Some(left) = argument.get(at..).filter(|_| may_show) {
                    let left: String = left.chars().take(SYNTAX_LEFT_CHARS_MAX).collect();
                    text = format!("syntax error at {left:?}");
                }
                Reply::new(501, (5, 2), text)
            }
            CommandError::UnknownParameter => Reply::new(555, (3, 3), "unknown parameter"),
            CommandError::DuplicateParameter => Reply::new(501, (5, 4), "duplicate parameter"),
            CommandError::BadParameterValue => Reply::new(501, (5, 4), "bad value of parameter"),
            CommandError::UnknownBody => Reply::new(555, (5, 4), "unknown kind of body"),
            CommandError::LocalpartNeedsUtf8 => {
                let code = if verb == Verb::Mail { 550 } else { 553 };
                Reply::new(code, (6, 7), "address needs smtputf8")
            }
        }
    }

    pub(super) fn syntax(&self) -> Syntax {
        Syntax {
            is_pedantic: self.config.is_pedantic,
            is_submission: self.config.service == Service::Submission,
        }
    }

    pub(super) fn envelope(&self) -> Option<&Envelope> {
        match &self.state {
            State::Transaction(envelope) | State::Chunks(envelope, _) => Some(envelope),
            _ => None,
        }
    }

    /// Replies that the client did something wrong, and counts it.
    pub(super) fn refuse(&mut self, reply: Reply) -> Action {
        self.errors = self.errors.saturating_add(1);
        if self.errors > ERRORS_MAX {
            return self.close(Reply::new(421, (7, 0), "too many errors"));
        }
        Action::Reply(self.with_id(reply))
    }

    /// Replies that something was refused that was no mistake of the client program.
    pub(super) fn reject(&self, reply: Reply) -> Action {
        Action::Reply(self.with_id(reply))
    }

    pub(super) fn close(&mut self, reply: Reply) -> Action {
        self.state = State::Closed;
        Action::Close(Some(self.with_id(reply)))
    }

    /// Adds the name of the connection to the last line.
    fn with_id(&self, mut reply: Reply) -> Reply {
        if reply.code >= 400 {
            reply.text.push_str(&format!(" ({})", self.id));
        }
        reply
    }

    pub(super) fn ask(&mut self, state: State, question: Question) -> Action {
        self.state = state;
        Action::Ask(question)
    }

    fn data_end(&mut self, envelope: Box<Envelope>, end: DataEnd) -> Action {
        match self.check_data(&envelope, end) {
            Err(action) => action,
            Ok(report) => self.ask(State::Decision, Question::Decide { envelope, report }),
        }
    }
}

/// How much of a line is shown in the reply to it.
const SYNTAX_LEFT_CHARS_MAX: usize = 60;

/// Shows no secret.
impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("id", &self.id)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}
