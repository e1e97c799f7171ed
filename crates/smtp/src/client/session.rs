//! The session: greeting, EHLO, STARTTLS, AUTH, then messages.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mox_sasl::{ChannelBindings, Client, NONCE_BYTES};

use super::transaction::{Outcome, Progress};
use super::{Action, ClientError, Config, Extensions, TlsUse, Transaction};
use crate::Reply;

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
}

/// Which reply is awaited.
enum State {
    Greeting,
    Ehlo,
    Helo,
    StartTls,
    Tls,
    Auth(Box<Client>),
    Ready,
    Transaction(Box<Progress>),
    Quit,
    Closed,
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

    /// Takes a reply.
    pub fn reply(&mut self, reply: Reply) -> Action {
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Greeting if reply.code == 220 => self.ehlo(),
            State::Ehlo if reply.is_positive() => {
                self.extensions = Extensions::parse(&reply.text);
                self.after_ehlo()
            }
            // A server of the time before extensions. RFC 5321 §3.2.
            State::Ehlo if reply.is_permanent() => {
                self.state = State::Helo;
                send(format!("HELO {}\r\n", self.config.name))
            }
            State::Helo if reply.is_positive() => self.after_ehlo(),
            State::StartTls if reply.code == 220 => {
                self.state = State::Tls;
                Action::StartTls
            }
            State::Auth(client) => self.auth_reply(client, reply),
            State::Transaction(progress) => self.transaction_reply(progress, reply),
            State::Quit => Action::Quit,
            State::Greeting | State::Ehlo | State::Helo | State::StartTls => {
                Action::Failed(ClientError::Refused(reply))
            }
            // Mostly a 421: the server is going away. RFC 5321 §3.8.
            State::Ready | State::Tls | State::Closed => {
                Action::Failed(ClientError::UnexpectedReply(reply))
            }
        }
    }

    /// TLS is on. All that the server said before is forgotten. RFC 3207 §4.2.
    pub fn tls_established(&mut self, bindings: ChannelBindings) -> Action {
        debug_assert!(matches!(self.state, State::Tls), "tls was not asked for");
        self.has_tls = true;
        self.bindings = bindings;
        self.extensions = Extensions::default();
        self.ehlo()
    }

    /// Starts to send a message. Only when ready.
    pub fn deliver(&mut self, transaction: &Transaction) -> Action {
        debug_assert!(matches!(self.state, State::Ready), "not ready");
        match Progress::new(transaction, &self.extensions, self.needs_rset) {
            Ok(mut progress) => {
                self.needs_rset = false;
                let action = progress.send();
                self.state = State::Transaction(Box::new(progress));
                action
            }
            Err(results) => Action::Done(results),
        }
    }

    /// The message has been sent, to its final dot.
    #[must_use]
    pub fn data_sent(&self) -> Action {
        Action::Read
    }

    /// Ends the session. RFC 5321 §4.1.1.10.
    pub fn quit(&mut self) -> Action {
        self.state = State::Quit;
        send("QUIT\r\n".to_owned())
    }

    fn ehlo(&mut self) -> Action {
        self.state = State::Ehlo;
        send(format!("EHLO {}\r\n", self.config.name))
    }

    fn after_ehlo(&mut self) -> Action {
        if !self.has_tls && self.config.tls != TlsUse::Never {
            if self.extensions.has_starttls {
                self.state = State::StartTls;
                return send("STARTTLS\r\n".to_owned());
            }
            if self.config.tls == TlsUse::Required {
                return Action::Failed(ClientError::NoTls);
            }
        }
        match self.start_login() {
            Ok(action) => action,
            Err(error) => Action::Failed(error),
        }
    }

    /// RFC 4954 §4. The initial response goes with the command: every mechanism but LOGIN has one.
    fn start_login(&mut self) -> Result<Action, ClientError> {
        let Some(login) = &self.config.login else {
            self.state = State::Ready;
            return Ok(Action::Ready);
        };
        let offered = &self.extensions.mechanisms;
        let mechanism = Client::strongest(offered, &self.bindings, self.config.is_private);
        let mechanism = mechanism.ok_or(ClientError::NoMechanism)?;
        let password = login.password.clone();
        let mut client =
            Client::new(mechanism, &login.username, password, offered, &self.bindings, self.nonce)
                .map_err(ClientError::Sasl)?;
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
                Err(error) => Action::Failed(ClientError::Sasl(error)),
            },
            334 => {
                let Ok(challenge) = STANDARD.decode(reply.text.trim()) else {
                    return Action::Failed(ClientError::UnexpectedReply(reply));
                };
                match client.step(&challenge) {
                    Ok(response) => {
                        self.state = State::Auth(client);
                        let line = format!("{}\r\n", STANDARD.encode(response));
                        Action::Send { bytes: line.into_bytes(), is_secret: true }
                    }
                    Err(error) => Action::Failed(ClientError::Sasl(error)),
                }
            }
            _ => Action::Failed(ClientError::Refused(reply)),
        }
    }

    fn transaction_reply(&mut self, mut progress: Box<Progress>, reply: Reply) -> Action {
        match progress.reply(reply) {
            Outcome::Go(action) => {
                self.state = State::Transaction(progress);
                action
            }
            Outcome::Done { results, needs_rset } => {
                self.needs_rset = needs_rset;
                self.state = State::Ready;
                Action::Done(results)
            }
            Outcome::Unexpected(reply) => Action::Failed(ClientError::UnexpectedReply(reply)),
        }
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

#[cfg(test)]
mod tests {
    use super::super::Credentials;
    use super::*;
    use crate::command::Body;
    use crate::{ForwardPath, ReplyParser, ReversePath};
    use mox_base::Secret;

    fn session(tls: TlsUse, login: bool) -> Session {
        let credentials =
            || Credentials { username: "mjl".to_owned(), password: Secret::new("moxmoxmox") };
        let login = login.then(credentials);
        let config = Config { name: "me.example".to_owned(), tls, login, is_private: false };
        Session::new(config, [0; NONCE_BYTES], None)
    }

    /// Feeds the replies and returns, in one text, what was sent and the last action if it sends
    /// nothing.
    fn feed(session: &mut Session, replies: &str) -> (String, Option<Action>) {
        let (mut parser, mut rest) = (ReplyParser::default(), replies.as_bytes());
        let (mut sent, mut last) = (String::new(), None);
        while let (taken, Some(reply)) = parser.push(rest).unwrap() {
            rest = &rest[taken..];
            last = match session.reply(reply) {
                Action::Send { bytes, .. } => {
                    sent.push_str(std::str::from_utf8(&bytes).unwrap());
                    None
                }
                Action::Read => None,
                action => Some(action),
            };
        }
        (sent, last)
    }

    fn transaction(rcpts: usize) -> Transaction {
        Transaction {
            reverse_path: ReversePath::Null,
            rcpts: vec![ForwardPath::Postmaster; rcpts],
            size_bytes: 10,
            body: Body::EightBitMime,
            needs_utf8: false,
        }
    }

    /// RFC 5321 §3.1, §3.2; RFC 3207 §4.
    #[test]
    fn sessions_begin() {
        let mut plain = session(TlsUse::IfOffered, false);
        let (sent, last) = feed(&mut plain, "220 hi\r\n250-x\r\n250 SIZE 5\r\n");
        assert_eq!((sent.as_str(), last), ("EHLO me.example\r\n", Some(Action::Ready)));
        assert_eq!(plain.extensions().size_bytes_max, Some(5));

        let mut old = session(TlsUse::IfOffered, false);
        let (sent, last) = feed(&mut old, "220 hi\r\n500 what?\r\n250 ok\r\n");
        let want = "EHLO me.example\r\nHELO me.example\r\n";
        assert_eq!((sent.as_str(), last), (want, Some(Action::Ready)));

        let mut tls = session(TlsUse::Required, false);
        let (sent, last) = feed(&mut tls, "220 hi\r\n250-x\r\n250 STARTTLS\r\n220 go\r\n");
        assert_eq!(
            (sent.as_str(), last),
            ("EHLO me.example\r\nSTARTTLS\r\n", Some(Action::StartTls))
        );
        assert!(matches!(tls.tls_established(ChannelBindings::default()), Action::Send { .. }));

        let mut stripped = session(TlsUse::Required, false);
        let (_, last) = feed(&mut stripped, "220 hi\r\n250 x\r\n");
        assert_eq!(last, Some(Action::Failed(ClientError::NoTls)));

        let busy = Reply::new(421, (3, 2), "busy");
        let (_, last) = feed(&mut session(TlsUse::Never, false), "421 4.3.2 busy\r\n");
        assert_eq!(last, Some(Action::Failed(ClientError::Refused(busy))));
    }

    /// RFC 4954 §4: no password in the clear, no belief without proof.
    #[test]
    fn logins_are_careful() {
        let (_, last) =
            feed(&mut session(TlsUse::Never, true), "220 hi\r\n250-x\r\n250 AUTH PLAIN\r\n");
        assert_eq!(last, Some(Action::Failed(ClientError::NoMechanism)));
        let mut scram = session(TlsUse::Never, true);
        let (sent, last) =
            feed(&mut scram, "220 hi\r\n250-x\r\n250 AUTH PLAIN SCRAM-SHA-256\r\n235 sure\r\n");
        assert!(sent.contains("AUTH SCRAM-SHA-256 biws"), "{sent}");
        let error = ClientError::Sasl(mox_sasl::ClientError::OutOfOrder);
        assert_eq!(last, Some(Action::Failed(error)));
    }

    const READY: &str = "220 hi\r\n250-x\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 100\r\n";

    /// RFC 2920 §3.1.
    #[test]
    fn commands_are_pipelined_and_replies_kept_apart() {
        let mut session = session(TlsUse::Never, false);
        feed(&mut session, READY);
        let Action::Send { bytes, .. } = session.deliver(&transaction(2)) else { panic!() };
        let want = "MAIL FROM:<> SIZE=10 BODY=8BITMIME\r\nRCPT TO:<postmaster>\r\n\
                    RCPT TO:<postmaster>\r\nDATA\r\n";
        assert_eq!(String::from_utf8(bytes).unwrap(), want);
        let (_, last) = feed(&mut session, "250 ok\r\n550 5.1.1 no\r\n250 ok\r\n354 go\r\n");
        assert_eq!(last, Some(Action::SendData));
        assert_eq!(session.data_sent(), Action::Read);
        let (_, last) = feed(&mut session, "250 2.0.0 ok\r\n");
        let refused = Reply::new(550, (1, 1), "no");
        assert_eq!(last, Some(Action::Done(vec![Err(refused.clone()), Ok(())])));

        // All refused, and the server wants data nevertheless.
        assert!(matches!(session.deliver(&transaction(1)), Action::Send { .. }));
        let (sent, last) = feed(&mut session, "250 ok\r\n550 5.1.1 no\r\n354 go\r\n554 none\r\n");
        assert_eq!((sent.as_str(), last), (".\r\n", Some(Action::Done(vec![Err(refused)]))));
        let Action::Send { bytes, .. } = session.deliver(&transaction(1)) else { panic!() };
        assert!(bytes.starts_with(b"RSET\r\nMAIL"));
    }

    /// RFC 5321 §3.3.
    #[test]
    fn without_pipelining_each_command_waits() {
        let mut session = session(TlsUse::Never, false);
        feed(&mut session, "220 hi\r\n250 x\r\n");
        let first = Action::Send { bytes: b"MAIL FROM:<>\r\n".to_vec(), is_secret: false };
        assert_eq!(session.deliver(&transaction(2)), first);
        let (sent, last) = feed(&mut session, "250 ok\r\n250 ok\r\n450 later\r\n354 go\r\n");
        assert_eq!(sent, "RCPT TO:<postmaster>\r\nRCPT TO:<postmaster>\r\nDATA\r\n");
        assert_eq!(last, Some(Action::SendData));
        let (_, last) = feed(&mut session, "552 full\r\n");
        let (full, later) = (Reply::bare(552, "full"), Reply::bare(450, "later"));
        assert_eq!(last, Some(Action::Done(vec![Err(full), Err(later)])));
        assert!(matches!(session.deliver(&transaction(1)), Action::Send { .. }));
        let (sent, last) = feed(&mut session, "250 reset\r\n451 later\r\n");
        assert_eq!(sent, "MAIL FROM:<>\r\n");
        assert_eq!(last, Some(Action::Done(vec![Err(Reply::bare(451, "later"))])));
    }

    /// RFC 1870 §6.1, RFC 6531 §3.2.
    #[test]
    fn what_the_server_cannot_take_is_not_sent() {
        let mut session = session(TlsUse::Never, false);
        feed(&mut session, READY);
        let mut big = transaction(1);
        big.size_bytes = 101;
        let Action::Done(results) = session.deliver(&big) else { panic!() };
        assert!(matches!(results.as_slice(), [Err(reply)] if reply.code == 552));
        let mut utf8 = transaction(1);
        utf8.needs_utf8 = true;
        let Action::Done(results) = session.deliver(&utf8) else { panic!() };
        assert!(matches!(results.as_slice(), [Err(reply)] if reply.code == 550));
        let (_, last) = feed(&mut session, "421 4.4.2 bye\r\n");
        assert!(matches!(last, Some(Action::Failed(ClientError::UnexpectedReply(_)))));
    }
}
