//! A SASL exchange with its questions answered.

use mox_sasl::{Failure, Mechanism, NONCE_BYTES, Server, Step};

use crate::logins::{Login, LoginError, Logins, Peer};

/// How an exchange goes on.
pub enum Outcome {
    /// Send this to the client, even if empty, and pass its response to [`Exchange::step`].
    Challenge(Vec<u8>),
    /// Logged in.
    Done(Login),
    /// Over, without success.
    Failed(LoginError),
}

/// A SASL exchange of one connection.
pub struct Exchange {
    logins: Logins,
    peer: Peer,
    server: Server,
}

impl Logins {
    /// Starts an exchange. That the mechanism may be used on this connection (a password in the
    /// clear needs TLS) is checked by the driver before.
    #[must_use]
    pub fn start(&self, mechanism: Mechanism, peer: &Peer) -> Exchange {
        let mut nonce = [0; NONCE_BYTES];
        self.inner().rng.fill(&mut nonce);
        let server = Server::start(mechanism, peer.bindings.clone(), nonce);
        Exchange { logins: self.clone(), peer: peer.clone(), server }
    }
}

impl Exchange {
    /// The mechanism.
    #[must_use]
    pub fn mechanism(&self) -> Mechanism {
        self.server.mechanism()
    }

    /// As whom the client wants to log in, as far as it has said so; for the log.
    #[must_use]
    pub fn username(&self) -> Option<&str> {
        self.server.username()
    }

    /// The first step, with the initial response if there was one.
    pub async fn first(&mut self, initial: Option<&[u8]>) -> Outcome {
        if !self.logins.may_try(self.peer.ip) {
            return Outcome::Failed(LoginError::TooManyFailures);
        }
        let step = self.server.first(initial);
        self.settle(step).await
    }

    /// Takes the client's response to a challenge.
    pub async fn step(&mut self, response: &[u8]) -> Outcome {
        let step = self.server.step(response);
        self.settle(step).await
    }

    /// Takes the client's `*`: the exchange failed for what the last challenge said was wrong,
    /// else because it was ended.
    pub fn cancel(mut self) -> LoginError {
        let failure = self.server.abort();
        self.abort(failure)
    }

    /// Takes that the client gave up, or sent what cannot be decoded.
    pub fn abort(self, failure: Failure) -> LoginError {
        let error = LoginError::Refused(failure);
        self.logins.count(self.peer.ip, Err(&error));
        error
    }

    /// Answers questions until there is something for the client.
    async fn settle(&mut self, mut step: Step) -> Outcome {
        let outcome = loop {
            match step {
                Step::Challenge(message) => return Outcome::Challenge(message),
                Step::Ask(question) => match self.logins.answer(&self.peer, question).await {
                    Ok(answer) => step = self.server.answer(answer),
                    Err(error) => {
                        tracing::error!(%error, "looking up credentials");
                        break Err(error);
                    }
                },
                Step::Done => {
                    // The client is who it says; whether that helps depends on the account.
                    let username = self.server.username().unwrap_or_default().to_owned();
                    break self.logins.authorize(&self.peer, username).await;
                }
                Step::Failed(failure) => break Err(LoginError::Refused(failure)),
            }
        };
        self.logins.count(self.peer.ip, outcome.as_ref().map(|_| ()));
        outcome.map_or_else(Outcome::Failed, Outcome::Done)
    }
}
