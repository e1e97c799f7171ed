//! The client's side of an exchange.

use std::fmt;

use mox_base::Secret;

use crate::scram::{NONCE_BYTES, ScramError};
use crate::scram_client::{ClientFirst, ServerSignature};
use crate::{ChannelBindings, Mechanism};

/// Why the client gives up. None of them is the server's refusal, which its protocol reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientError {
    /// A -PLUS mechanism on a connection without channel binding.
    NoChannelBinding,
    /// A challenge not of the mechanism's grammar, or over
    /// [`MESSAGE_BYTES_MAX`](crate::MESSAGE_BYTES_MAX).
    Malformed,
    /// The server's nonce does not extend ours, or by too little. RFC 5802 §5.1.
    BadNonce,
    /// A salt or an iteration count that would give the password away, or keep us busy for long.
    WeakParameters,
    /// The server does not know the password: it is not who it claims to be.
    BadServerSignature,
    /// The server said why it refuses.
    Scram(ScramError),
    /// The server says that all went well before the exchange was complete, so that it has not
    /// shown who it is; or sends a challenge after its end.
    OutOfOrder,
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoChannelBinding => "no channel binding on this connection",
            Self::Malformed => "malformed sasl challenge",
            Self::BadNonce => "server nonce does not extend client nonce",
            Self::WeakParameters => "salt or iteration count out of range",
            Self::BadServerSignature => "server does not know the password",
            Self::Scram(error) => error.value(),
            Self::OutOfOrder => "sasl exchange out of order",
        })
    }
}

impl std::error::Error for ClientError {}

/// One exchange as seen by the client.
///
/// Send the mechanism's name with [`Client::initial`]; answer each challenge by [`Client::step`];
/// when the server reports success, ask [`Client::finish`] whether to believe it.
pub struct Client {
    mechanism: Mechanism,
    username: String,
    password: Secret,
    state: State,
}

enum State {
    /// Nothing sent.
    Start,
    /// LOGIN: the user name was sent with the command, or is asked for next.
    LoginUsername,
    LoginPassword,
    /// SCRAM before and after its first message.
    ScramStart(Box<ClientFirst>),
    ScramFirst(Box<ClientFirst>),
    ScramFinal(ServerSignature),
    /// Everything was sent.
    Complete,
    Failed,
}

impl Client {
    /// Prepares an exchange.
    ///
    /// - `username`: for EXTERNAL the authorization identity; may be empty there.
    /// - `offered`: what the server offers, so that it learns if somebody removed -PLUS from that
    ///   list (RFC 5802 §6).
    /// - `nonce`: random and fresh.
    pub fn new(
        mechanism: Mechanism,
        username: &str,
        password: Secret,
        offered: &[Mechanism],
        bindings: &ChannelBindings,
        nonce: [u8; NONCE_BYTES],
    ) -> Result<Self, ClientError> {
        let state = match mechanism.scram_hash() {
            None => State::Start,
            Some(hash) => {
                let server_has_plus = offered.iter().any(|mechanism| mechanism.is_plus());
                let binding = bindings.strongest();
                if mechanism.is_plus() && binding.is_none() {
                    return Err(ClientError::NoChannelBinding);
                }
                let could_bind = binding.is_some() && !server_has_plus;
                let binding = binding.filter(|_| mechanism.is_plus());
                let first = ClientFirst::new(hash, username, binding, could_bind, nonce);
                State::ScramStart(Box::new(first))
            }
        };
        Ok(Self { mechanism, username: username.to_owned(), password, state })
    }

    /// The first of the wanted mechanisms that the server offers and that is possible.
    ///
    /// `is_private`: whether the password itself may be sent, which takes TLS to the right server.
    #[must_use]
    pub fn choose(
        wanted: &[Mechanism],
        offered: &[Mechanism],
        bindings: &ChannelBindings,
        is_private: bool,
    ) -> Option<Mechanism> {
        wanted.iter().copied().find(|mechanism| {
            offered.contains(mechanism)
                && (!mechanism.is_plus() || !bindings.is_empty())
                && (!mechanism.sends_password() || is_private)
        })
    }

    /// The mechanism.
    #[must_use]
    pub fn mechanism(&self) -> Mechanism {
        self.mechanism
    }

    /// The initial response, or `None` if the server speaks first (LOGIN).
    pub fn initial(&mut self) -> Option<Vec<u8>> {
        match std::mem::replace(&mut self.state, State::Failed) {
            State::Start => match self.mechanism {
                Mechanism::Login => {
                    self.state = State::LoginUsername;
                    None
                }
                // RFC 4616 §2.
                Mechanism::Plain => {
                    self.state = State::Complete;
                    Some(format!("\0{}\0{}", self.username, self.password.expose()).into_bytes())
                }
                _ => {
                    self.state = State::Complete;
                    Some(self.username.clone().into_bytes())
                }
            },
            State::ScramStart(first) => {
                let message = first.message();
                self.state = State::ScramFirst(first);
                Some(message.into_bytes())
            }
            state => {
                debug_assert!(false, "initial response asked for twice");
                self.state = state;
                None
            }
        }
    }

    /// Answers a challenge.
    pub fn step(&mut self, challenge: &[u8]) -> Result<Vec<u8>, ClientError> {
        if challenge.len() > crate::MESSAGE_BYTES_MAX {
            self.state = State::Failed;
            return Err(ClientError::Malformed);
        }
        match std::mem::replace(&mut self.state, State::Failed) {
            // The text of the challenges is not fixed, only their order is.
            State::LoginUsername => {
                self.state = State::LoginPassword;
                Ok(self.username.clone().into_bytes())
            }
            State::LoginPassword => {
                self.state = State::Complete;
                Ok(self.password.expose().as_bytes().to_vec())
            }
            State::ScramFirst(first) => {
                let text = str::from_utf8(challenge).map_err(|_| ClientError::Malformed)?;
                let (message, signature) = first.finish(text, self.password.expose())?;
                self.state = State::ScramFinal(signature);
                Ok(message.into_bytes())
            }
            State::ScramFinal(signature) => {
                let text = str::from_utf8(challenge).map_err(|_| ClientError::Malformed)?;
                signature.check(text)?;
                self.state = State::Complete;
                Ok(Vec::new())
            }
            State::Start | State::ScramStart(_) | State::Complete | State::Failed => {
                Err(ClientError::OutOfOrder)
            }
        }
    }

    /// Whether a success that the server reports is to be believed: with SCRAM only after it has
    /// shown that it knows the password. RFC 5802 §5.
    pub fn finish(&self) -> Result<(), ClientError> {
        if matches!(self.state, State::Complete) { Ok(()) } else { Err(ClientError::OutOfOrder) }
    }
}

/// Shows no secret.
impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("mechanism", &self.mechanism)
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(wanted: &[Mechanism], offered: &[Mechanism], with_tls: bool, want: Option<Mechanism>) {
        let tls_exporter = with_tls.then_some([0; 32]);
        let bindings = ChannelBindings { tls_exporter, ..ChannelBindings::default() };
        let got = Client::choose(wanted, offered, &bindings, with_tls);
        assert_eq!(got, want, "{wanted:?} of {offered:?}");
    }

    /// RFC 4616 §6: no password in the clear.
    #[test]
    fn the_first_possible_mechanism_is_chosen() {
        use Mechanism::*;
        let all = &Mechanism::ALL[1..];
        check(all, all, true, Some(ScramSha256Plus));
        check(all, all, false, Some(ScramSha256));
        check(&[Plain, ScramSha256], all, true, Some(Plain));
        check(all, &[Plain, ScramSha1Plus], true, Some(ScramSha1Plus));
        check(all, &[Plain, ScramSha1Plus], false, None);
        check(all, &[Login, Plain], true, Some(Plain));
        check(all, &[External], true, None);
        check(&[External], &[External, Plain], true, Some(External));
        check(all, &[], true, None);
        check(&[], all, true, None);
    }

    fn client(mechanism: Mechanism) -> Result<Client, ClientError> {
        let bindings = ChannelBindings::default();
        let password = Secret::new("moxmoxmox");
        Client::new(mechanism, "mjl@x", password, &[mechanism], &bindings, [0; NONCE_BYTES])
    }

    #[test]
    fn plain_login_and_external_messages() {
        let mut plain = client(Mechanism::Plain).unwrap();
        assert_eq!(plain.initial().unwrap(), b"\0mjl@x\0moxmoxmox");
        assert_eq!(plain.finish(), Ok(()));
        assert_eq!(plain.step(b""), Err(ClientError::OutOfOrder));

        let mut login = client(Mechanism::Login).unwrap();
        assert_eq!(login.initial(), None);
        assert_eq!(login.step(b"User Name\0").unwrap(), b"mjl@x");
        assert_eq!(login.finish(), Err(ClientError::OutOfOrder));
        assert_eq!(login.step(b"Password\0").unwrap(), b"moxmoxmox");
        assert_eq!(login.finish(), Ok(()));

        let mut external = client(Mechanism::External).unwrap();
        assert_eq!(external.initial().unwrap(), b"mjl@x");
        assert!(!format!("{external:?}").contains("moxmoxmox"));
    }

    #[test]
    fn plus_needs_a_binding_and_challenges_have_a_limit() {
        let none = client(Mechanism::ScramSha1Plus).unwrap_err();
        assert_eq!(none, ClientError::NoChannelBinding);
        let mut login = client(Mechanism::Login).unwrap();
        login.initial();
        let long = vec![b'x'; crate::MESSAGE_BYTES_MAX + 1];
        assert_eq!(login.step(&long), Err(ClientError::Malformed));
        assert_eq!(login.step(b"Username:"), Err(ClientError::OutOfOrder));
    }
}
