//! AUTH: logging in. RFC 4954.

use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mox_base::Rng;
use mox_sasl::{Failure, Mechanism, NONCE_BYTES, ScramError, Server, Step};

use super::session::State;
use super::{Action, FAILED_LOGINS_FREE, LOGIN_DELAY_MAX, Question, Service, Session};
use crate::Reply;
use crate::command::{AuthCommand, InitialResponse, decode_response};

/// As whom the client is logged in.
#[derive(Clone, Debug)]
pub(super) struct Login {
    pub(super) username: String,
    /// By its TLS certificate alone; it may still log in with AUTH.
    pub(super) is_by_certificate: bool,
}

/// A login under way.
pub(super) struct Exchange {
    server: Server,
    initial: InitialResponse,
}

/// Shows no secret.
impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.server.fmt(f)
    }
}

/// Whether a client that has proved who it is may log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoginVerdict {
    /// Yes.
    Ok,
    /// The account is switched off, with a text of the administrator's.
    Disabled(String),
    /// The connection has a certificate of another account.
    OtherAccount,
    /// It cannot be found out now.
    Unavailable,
}

/// The outcome of a login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginAttempt {
    /// By which mechanism.
    pub mechanism: Mechanism,
    /// As whom, as far as the client said.
    pub username: Option<String>,
    /// How it ended.
    pub result: Result<(), LoginFailure>,
}

impl LoginAttempt {
    /// Whether it is one for the limit on failed logins: not if the fault is ours.
    #[must_use]
    pub fn is_counted(&self) -> bool {
        !matches!(
            self.result,
            Ok(()) | Err(LoginFailure::Unavailable | LoginFailure::Sasl(Failure::Unavailable))
        )
    }
}

/// Why a login failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoginFailure {
    /// In the exchange.
    Sasl(Failure),
    /// A response that is no base64.
    BadBase64,
    /// The account is switched off.
    Disabled,
    /// The connection has a certificate of another account.
    OtherAccount,
    /// It could not be found out.
    Unavailable,
}

impl Session {
    /// The mechanisms that work on this connection, strongest first.
    pub(super) fn mechanisms(&self) -> impl Iterator<Item = Mechanism> + '_ {
        Mechanism::ALL.into_iter().filter(|mechanism| self.check_mechanism(*mechanism).is_ok())
    }

    /// RFC 4954 §4: 538 where TLS is missing.
    fn check_mechanism(&self, mechanism: Mechanism) -> Result<(), Reply> {
        let needs_tls =
            self.config.login_needs_tls || mechanism.is_plus() || mechanism == Mechanism::External;
        let Some(tls) = &self.tls else {
            return if needs_tls { Err(Reply::new(538, (7, 11), "tls required")) } else { Ok(()) };
        };
        if mechanism.is_plus() && tls.bindings.is_empty() {
            return Err(Reply::new(504, (5, 4), "no channel binding on this connection"));
        }
        if mechanism == Mechanism::External && tls.certificate_username.is_none() {
            return Err(Reply::new(535, (7, 8), "no known client certificate"));
        }
        Ok(())
    }

    pub(super) fn auth(&mut self, command: &AuthCommand, rng: &dyn Rng) -> Action {
        if self.config.service != Service::Submission {
            return self.refuse(Reply::new(503, (5, 1), "no authentication here"));
        }
        if self.login.as_ref().is_some_and(|login| !login.is_by_certificate) {
            return self.refuse(Reply::new(503, (5, 1), "authenticated already"));
        }
        if self.envelope().is_some() {
            return self.refuse(Reply::new(503, (5, 1), "not during a transaction"));
        }
        let Ok(mechanism) = Mechanism::parse(&command.mechanism) else {
            return self.refuse(Reply::new(504, (5, 4), "unknown mechanism"));
        };
        if let Err(reply) = self.check_mechanism(mechanism) {
            return self.refuse(reply);
        }
        let mut nonce = [0; NONCE_BYTES];
        rng.fill(&mut nonce);
        let bindings = self.tls.as_ref().map(|tls| tls.bindings.clone()).unwrap_or_default();
        let server = Server::start(mechanism, bindings, nonce);
        let exchange = Box::new(Exchange { server, initial: command.initial.clone() });
        let extra = self.failed_logins.saturating_sub(FAILED_LOGINS_FREE);
        if extra == 0 {
            return self.start_login(exchange);
        }
        self.state = State::LoginDelay(exchange);
        Action::Delay(Duration::from_secs(extra.into()).min(LOGIN_DELAY_MAX))
    }

    pub(super) fn start_login(&mut self, mut exchange: Box<Exchange>) -> Action {
        let initial = std::mem::replace(&mut exchange.initial, InitialResponse::Absent);
        let step = exchange.server.first(initial.as_deref());
        self.login_step(exchange, step)
    }

    /// A line with base64, or `*`. RFC 4954 §4.
    pub(super) fn login_response(&mut self, mut exchange: Box<Exchange>, line: &[u8]) -> Action {
        if line == b"*" {
            let failure = exchange.server.abort();
            return self.login_failed(&exchange, LoginFailure::Sasl(failure));
        }
        match decode_response(line) {
            Some(response) => {
                let step = exchange.server.step(&response);
                self.login_step(exchange, step)
            }
            None => self.login_failed(&exchange, LoginFailure::BadBase64),
        }
    }

    pub(super) fn login_answer(
        &mut self,
        mut exchange: Box<Exchange>,
        answer: mox_sasl::Answer,
    ) -> Action {
        let step = exchange.server.answer(answer);
        self.login_step(exchange, step)
    }

    fn login_step(&mut self, exchange: Box<Exchange>, step: Step) -> Action {
        match step {
            // Not a `Reply`: it is one line, however long. RFC 4954 §4.
            Step::Challenge(challenge) => {
                self.state = State::LoginResponse(exchange);
                Action::Challenge(format!("334 {}\r\n", STANDARD.encode(challenge)).into_bytes())
            }
            Step::Ask(question) => self.ask(State::LoginAnswer(exchange), Question::Sasl(question)),
            Step::Done => {
                let username = exchange.server.username().unwrap_or_default().to_owned();
                self.ask(State::LoginVerdict(exchange), Question::Login { username })
            }
            Step::Failed(failure) => self.login_failed(&exchange, LoginFailure::Sasl(failure)),
        }
    }

    pub(super) fn login_verdict(&mut self, exchange: &Exchange, verdict: LoginVerdict) -> Action {
        match verdict {
            LoginVerdict::Ok => {
                let username = exchange.server.username().unwrap_or_default().to_owned();
                self.attempt = Some(attempt(exchange, Ok(())));
                self.login = Some(Login { username, is_by_certificate: false });
                self.failed_logins = 0;
                self.is_slow = false;
                Action::Reply(Reply::new(235, (7, 0), "welcome"))
            }
            LoginVerdict::Disabled(text) => {
                let action = self.login_failed(exchange, LoginFailure::Disabled);
                match action {
                    Action::Reply(mut reply) if !text.is_empty() => {
                        reply.text = format!("account disabled: {text}");
                        self.reject(reply)
                    }
                    action => action,
                }
            }
            LoginVerdict::OtherAccount => self.login_failed(exchange, LoginFailure::OtherAccount),
            LoginVerdict::Unavailable => self.login_failed(exchange, LoginFailure::Unavailable),
        }
    }

    /// RFC 4954 §6, RFC 5248 §2.4.
    fn login_failed(&mut self, exchange: &Exchange, failure: LoginFailure) -> Action {
        let reply = match &failure {
            LoginFailure::Sasl(Failure::Aborted) => {
                Reply::new(501, (5, 0), "authentication aborted")
            }
            LoginFailure::BadBase64 => Reply::new(501, (5, 2), "bad base64"),
            LoginFailure::Sasl(Failure::Malformed) => {
                Reply::new(501, (5, 4), "malformed authentication message")
            }
            LoginFailure::Sasl(Failure::BadCredentials | Failure::AuthzidRefused)
            | LoginFailure::OtherAccount => Reply::new(535, (7, 8), "bad credentials"),
            LoginFailure::Sasl(Failure::Scram(ScramError::ChannelBindingsDontMatch)) => {
                Reply::new(535, (7, 7), "channel bindings do not match, is somebody in between?")
            }
            LoginFailure::Sasl(Failure::Scram(error)) => Reply::new(535, (7, 0), error.value()),
            LoginFailure::Disabled => Reply::new(525, (7, 13), "account disabled"),
            LoginFailure::Sasl(Failure::Unavailable) | LoginFailure::Unavailable => {
                Reply::new(454, (7, 0), "temporary authentication failure")
            }
        };
        let attempt = attempt(exchange, Err(failure));
        if attempt.is_counted() {
            self.failed_logins = self.failed_logins.saturating_add(1);
            self.is_slow |= self.failed_logins >= FAILED_LOGINS_FREE;
        }
        self.attempt = Some(attempt);
        self.reject(reply)
    }
}

fn attempt(exchange: &Exchange, result: Result<(), LoginFailure>) -> LoginAttempt {
    let username = exchange.server.username().map(str::to_owned);
    LoginAttempt { mechanism: exchange.server.mechanism(), username, result }
}
