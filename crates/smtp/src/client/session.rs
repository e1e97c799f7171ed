//! The session: greeting, EHLO, STARTTLS, AUTH, then messages.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mox_sasl::{ChannelBindings, Client, NONCE_BYTES};

use super::progress::{After, Outcome, Progress};
use super::{
    Action, Config, DeliveryError, ErrorKind, Extensions, Loss, Step, TlsUse, Transaction,
};
use crate::{Reply, ReplyError};

/// One connection. See the [module](super) for how to drive it.
pub struct Session {
    config: Config,
    /// Random and fresh; used for one login.
    nonce: [u8; NONCE_BYTES],
    state: State,
    extensions: Extensions,
    has_tls: bool,
    bindings: ChannelBindings,
    needs_rset: bool,
    forgoes_chunks: bool,
    is_usable: bool,
}

/// Which reply is awaited.
enum State {
    Greeting,
    Ehlo,
    Helo,
    StartTls,
    Tls,
    Auth(Box<Client>),
    /// We gave up a login for this reason, and said so. RFC 4954 §4.
    AuthAborted(ErrorKind),
    Ready,
    Transaction(Box<Progress>),
    Quit,
    Closed,
}

impl State {
    fn step(&self) -> Step {
        match self {
            Self::Greeting => Step::Greeting,
            Self::Ehlo => Step::Ehlo,
            Self::Helo => Step::Helo,
            Self::StartTls | Self::Tls => Step::StartTls,
            Self::Auth(_) | Self::AuthAborted(_) => Step::Auth,
            Self::Ready => Step::Mail,
            Self::Transaction(progress) => progress.step(),
            Self::Quit | Self::Closed => Step::Quit,
        }
    }
}

impl Session {
    /// Prepares a session. `bindings`: of TLS that is on from the start.
    #[must_use]
    pub fn new(
        config: Config,
        nonce: [u8; NONCE_BYTES],
        bindings: Option<ChannelBindings>,
    ) -> Self {
        Self {
            config,
            nonce,
            state: State::Greeting,
            extensions: Extensions::default(),
            has_tls: bindings.is_some(),
            bindings: bindings.unwrap_or_default(),
            needs_rset: false,
            forgoes_chunks: false,
            is_usable: true,
        }
    }

    /// The first action: wait for the greeting. RFC 5321 §3.1.
    #[must_use]
    pub fn start(&self) -> Action {
        Action::Read
    }

    /// What the server can do, once [`Action::Ready`] is reached.
    #[must_use]
    pub fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    /// Whether another message can be sent on this connection: the server kept to the protocol, and
    /// did not say that it goes away. If not, not even QUIT is sent.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.is_usable
    }

    /// Whether TLS is on.
    #[must_use]
    pub fn has_tls(&self) -> bool {
        self.has_tls
    }

    /// What is under way, which says how long to wait for a reply. RFC 5321 §4.5.3.2.
    #[must_use]
    pub fn step(&self) -> Step {
        self.state.step()
    }

    /// Takes a reply.
    pub fn reply(&mut self, reply: Reply) -> Action {
        let reply = self.without_unannounced_codes(reply);
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Greeting if reply.code == 220 => self.ehlo(),
            State::Ehlo if reply.is_positive() => {
                self.extensions = Extensions::parse(&reply.text);
                self.after_ehlo()
            }
            // A server of the time before extensions, which cannot have started TLS. RFC 5321 §3.2.
            State::Ehlo if matches!(reply.code, 500..=504) && !self.is_upgraded() => {
                self.state = State::Helo;
                send(format!("HELO {}\r\n", self.config.name))
            }
            State::Helo if reply.is_positive() => self.after_ehlo(),
            State::StartTls if reply.code == 220 => {
                self.state = State::Tls;
                Action::StartTls
            }
            State::Auth(client) => self.auth_reply(client, reply),
            State::AuthAborted(kind) => Action::Failed(DeliveryError::ours(Step::Auth, kind)),
            State::Transaction(progress) => self.advance(progress, |p| p.reply(reply)),
            State::Quit => Action::Quit,
            state @ (State::Greeting | State::Ehlo | State::Helo | State::StartTls) => {
                self.refused(state.step(), reply)
            }
            // Nothing was asked: mostly a 421, the server is going away. RFC 5321 §3.8.
            state @ (State::Ready | State::Tls | State::Closed) => {
                self.is_usable = false;
                Action::Failed(DeliveryError::unexpected(state.step(), reply))
            }
        }
    }

    /// The server sent something that is no reply. Nothing more is said to it.
    pub fn garbage(&mut self, error: ReplyError) -> Action {
        self.fail(ErrorKind::BadReply(error), |progress| progress.garbage(error))
    }

    /// The connection was lost, and no reply is left to be read. Within a transaction, replies that
    /// came before count: the server may have closed it because of what it said. RFC 2920 §3.1.
    pub fn lost(&mut self, loss: Loss) -> Action {
        self.fail(ErrorKind::Lost(loss), |progress| progress.lost(loss))
    }

    /// TLS is on. All that the server said before is forgotten. RFC 3207 §4.2.
    pub fn tls_established(&mut self, bindings: ChannelBindings) -> Action {
        debug_assert!(matches!(self.state, State::Tls), "tls was not asked for");
        self.has_tls = true;
        self.bindings = bindings;
        self.extensions = Extensions::default();
        self.ehlo()
    }

    /// From now on messages go by DATA, but for those with BINARYMIME, even if the server offers
    /// CHUNKING: for one that has shown that it does not know BDAT, see [`ErrorKind::NoChunking`].
    pub fn forgo_chunks(&mut self) {
        self.forgoes_chunks = true;
    }

    /// Starts to send a message. Only when ready and usable.
    pub fn deliver(&mut self, transaction: &Transaction) -> Action {
        let is_ready = matches!(self.state, State::Ready) && self.is_usable;
        debug_assert!(is_ready, "not ready");
        if !is_ready {
            let error = DeliveryError::ours(Step::Mail, ErrorKind::Lost(Loss::Closed));
            return Action::Done(vec![Err(error); transaction.rcpts.len()]);
        }
        let has_tls = self.has_tls;
        let (needs_rset, forgoes_chunks) = (self.needs_rset, self.forgoes_chunks);
        match Progress::new(transaction, &self.extensions, has_tls, needs_rset, forgoes_chunks) {
            Ok(mut progress) => {
                self.needs_rset = false;
                let action = progress.send();
                self.state = State::Transaction(Box::new(progress));
                action
            }
            Err(error) => Action::Done(vec![Err(error); transaction.rcpts.len()]),
        }
    }

    /// The message, or the chunk of it, has been sent to its end.
    pub fn data_sent(&mut self) -> Action {
        debug_assert!(matches!(self.state, State::Transaction(_)), "no data was asked for");
        if let State::Transaction(progress) = &mut self.state {
            progress.data_sent();
        }
        Action::Read
    }

    /// Ends the session. RFC 5321 §4.1.1.10.
    pub fn quit(&mut self) -> Action {
        if !std::mem::take(&mut self.is_usable) {
            self.state = State::Closed;
            return Action::Quit;
        }
        self.state = State::Quit;
        send("QUIT\r\n".to_owned())
    }

    /// Whether TLS was started within the session.
    fn is_upgraded(&self) -> bool {
        self.has_tls && self.config.tls != TlsUse::Never
    }

    fn ehlo(&mut self) -> Action {
        self.state = State::Ehlo;
        send(format!("EHLO {}\r\n", self.config.name))
    }

    fn after_ehlo(&mut self) -> Action {
        let wants_tls = match self.config.tls {
            TlsUse::Never => false,
            TlsUse::IfOffered => self.extensions.has_starttls,
            TlsUse::Required => true,
        };
        if wants_tls && !self.has_tls {
            self.state = State::StartTls;
            return send("STARTTLS\r\n".to_owned());
        }
        match self.start_login() {
            Ok(action) => action,
            Err(kind) => Action::Failed(DeliveryError::ours(Step::Auth, kind)),
        }
    }

    /// RFC 4954 §4. The initial response goes with the command: every mechanism but LOGIN has one.
    fn start_login(&mut self) -> Result<Action, ErrorKind> {
        let Some(login) = &self.config.login else {
            self.state = State::Ready;
            return Ok(Action::Ready);
        };
        let (wanted, is_private) = (&login.mechanisms, self.config.is_private);
        let offered = &self.extensions.mechanisms;
        let mechanism = Client::choose(wanted, offered, &self.bindings, is_private);
        let mechanism = mechanism.ok_or(ErrorKind::NoMechanism)?;
        // Who does not want channel binding must not say that the server lacks it: RFC 5802 §6.
        let none = ChannelBindings::default();
        let can_bind = login.mechanisms.iter().any(|mechanism| mechanism.is_plus());
        let bindings = if can_bind { &self.bindings } else { &none };
        let password = login.password.clone();
        let mut client =
            Client::new(mechanism, &login.username, password, offered, bindings, self.nonce)
                .map_err(ErrorKind::Sasl)?;
        let command = match client.initial().as_deref() {
            None => format!("AUTH {mechanism}\r\n"),
            Some([]) => format!("AUTH {mechanism} =\r\n"),
            Some(initial) => format!("AUTH {mechanism} {}\r\n", STANDARD.encode(initial)),
        };
        self.state = State::Auth(Box::new(client));
        Ok(Action::Send { bytes: command.into_bytes(), is_secret: true })
    }

    fn auth_reply(&mut self, mut client: Box<Client>, reply: Reply) -> Action {
        match reply.code {
            235 => match client.finish() {
                Ok(()) => {
                    self.state = State::Ready;
                    Action::Ready
                }
                Err(error) => {
                    Action::Failed(DeliveryError::ours(Step::Auth, ErrorKind::Sasl(error)))
                }
            },
            334 => {
                // One line of base64: the text of several is parted by LF, which is none.
                let Ok(challenge) = STANDARD.decode(reply.text.trim_matches(' ')) else {
                    return self.abort_login(ErrorKind::Sasl(mox_sasl::ClientError::Malformed));
                };
                match client.step(&challenge) {
                    Ok(response) => {
                        self.state = State::Auth(client);
                        let line = format!("{}\r\n", STANDARD.encode(response));
                        Action::Send { bytes: line.into_bytes(), is_secret: true }
                    }
                    Err(error) => self.abort_login(ErrorKind::Sasl(error)),
                }
            }
            _ => self.refused(Step::Auth, reply),
        }
    }

    /// RFC 4954 §4: `*` cancels, and 501 is the answer.
    fn abort_login(&mut self, kind: ErrorKind) -> Action {
        self.state = State::AuthAborted(kind);
        send("*\r\n".to_owned())
    }

    /// No session, for a reason that the server gave.
    fn refused(&mut self, step: Step, reply: Reply) -> Action {
        self.is_usable &= reply.code != 421;
        if reply.is_positive() || reply.is_intermediate() {
            self.is_usable = false;
            return Action::Failed(DeliveryError::unexpected(step, reply));
        }
        let mut error = DeliveryError::refused(step, reply);
        // A wrong password says nothing of the message, and can be set right while it waits.
        error.is_permanent &= step != Step::Auth;
        Action::Failed(error)
    }

    fn fail(&mut self, kind: ErrorKind, outcome: impl FnOnce(&mut Progress) -> Outcome) -> Action {
        self.is_usable = false;
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Transaction(progress) => self.advance(progress, outcome),
            State::Quit => Action::Quit,
            state => Action::Failed(DeliveryError::ours(state.step(), kind)),
        }
    }

    fn advance(
        &mut self,
        mut progress: Box<Progress>,
        outcome: impl FnOnce(&mut Progress) -> Outcome,
    ) -> Action {
        match outcome(&mut progress) {
            Outcome::Go(action) => {
                self.state = State::Transaction(progress);
                action
            }
            Outcome::Done { results, after } => {
                self.needs_rset = after == After::NeedsRset;
                self.is_usable &= after != After::Unusable;
                self.state = if self.is_usable { State::Ready } else { State::Closed };
                Action::Done(results)
            }
        }
    }

    /// Enhanced codes count only if they were announced. RFC 2034 §3.
    fn without_unannounced_codes(&self, mut reply: Reply) -> Reply {
        if !self.extensions.has_enhanced_codes
            && let Some(code) = reply.enhanced_text()
        {
            reply.enhanced = None;
            reply.text = format!("{code} {}", reply.text);
        }
        reply
    }
}

fn send(line: String) -> Action {
    Action::Send { bytes: line.into_bytes(), is_secret: false }
}

/// Shows no secret.
impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("extensions", &self.extensions).finish_non_exhaustive()
    }
}
