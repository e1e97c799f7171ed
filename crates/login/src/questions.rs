//! The questions of an exchange one by one, for a protocol whose session runs the SASL state
//! machine itself.

use std::net::IpAddr;

use mox_net::blocking;
use mox_sasl::{Answer, Failure, Question};

use crate::logins::{Login, LoginError, Logins, Peer};

impl Logins {
    /// Answers a question of an exchange.
    ///
    /// # Errors
    ///
    /// If the account cannot be read.
    pub async fn answer(&self, peer: &Peer, question: Question) -> Result<Answer, LoginError> {
        let logins = self.clone();
        match question {
            Question::Password { username, password } => self.check(username, password).await,
            Question::Verifier { username, hash } => {
                let verifier = move || logins.inner().verifier(&username, hash);
                blocking(verifier).await.map(Answer::Verifier)
            }
            Question::Certificate { username } => {
                let fingerprint = peer.client_key.clone();
                let owner =
                    move || logins.inner().key_owner(fingerprint.as_deref(), username.as_deref());
                blocking(owner).await.map(Answer::Certificate)
            }
        }
    }

    /// Opens the account of a user who has proved who they are.
    ///
    /// # Errors
    ///
    /// If the account may not be used, or is not that of the connection's certificate.
    pub async fn authorize(&self, peer: &Peer, username: String) -> Result<Login, LoginError> {
        let only = match peer.client_key.clone() {
            Some(fingerprint) => {
                let logins = self.clone();
                blocking(move || logins.inner().key_account(&fingerprint)).await?
            }
            None => None,
        };
        self.open(username, only).await
    }

    /// Logs in by the client key of the connection alone. `None` if there is no key, or the
    /// address has failed too often to have one looked up.
    ///
    /// # Errors
    ///
    /// If the key is not registered, which counts as a failure, or its account cannot log in.
    pub async fn by_certificate(&self, peer: &Peer) -> Result<Option<Login>, LoginError> {
        let Some(fingerprint) = peer.client_key.clone().filter(|_| self.may_try(peer.ip)) else {
            return Ok(None);
        };
        let logins = self.clone();
        let owner = blocking(move || logins.inner().key_owner(Some(&fingerprint), None)).await?;
        let Some(username) = owner else {
            let error = LoginError::Refused(Failure::BadCredentials);
            self.record(peer.ip, Err(&error));
            return Err(error);
        };
        self.authorize(peer, username).await.map(Some)
    }

    /// Counts the outcome of an exchange against the address, or in its favour.
    pub fn record(&self, ip: IpAddr, outcome: Result<(), &LoginError>) {
        self.count(ip, outcome);
    }
}
