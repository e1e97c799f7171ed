//! One connection from its first byte to its last.

use std::sync::Arc;
use std::time::Duration;

use mox_imap::session::{Action, Op, Outcome, Session, Settings};
use mox_imap::wire::redact;
use mox_login::{Exchange, Login, Peer};
use mox_net::trace::{Kind, Tracer};
use mox_net::{Conn, ConnError, Deadline, Incoming, Wait, blocking};
use mox_sasl::ChannelBindings;
use mox_store::{Account, NewMessage};
use tokio_util::sync::CancellationToken;

use crate::changes::{Feed, OwnChanges};
use crate::{Imapd, Port, append, fetch, mailboxes, messages, refusal, search, select, sign_in};

/// For a command of a client that is not logged in.
pub const COMMAND_WAIT: Wait = Wait::new("command", Duration::from_secs(30));

/// For a command of a client that is, also in IDLE. RFC 9051 §5.4: at least 30 minutes.
pub const AUTHENTICATED_WAIT: Wait = Wait::new("command", Duration::from_secs(30 * 60));

/// For the next bytes of a literal.
pub const LITERAL_WAIT: Wait = Wait::new("literal", Duration::from_secs(30));

/// For the socket to take some output.
pub const FLUSH_WAIT: Wait = Wait::new("reply", Duration::from_secs(30));

/// For all output of one command, before login and after.
const COMMAND_OUTPUT_WAITS: [Wait; 2] = [
    Wait::new("replies", Duration::from_secs(30)),
    Wait::new("replies", Duration::from_secs(5 * 60)),
];

/// Failed logins after which a connection is served slowly.
pub const SLOW_AFTER_FAILURES: u32 = 3;

/// Who is logged in, with what only they have.
pub(crate) struct User {
    pub(crate) account: Account,
    pub(crate) feed: Feed,
}

/// A connection with its session and what it is in the middle of.
pub(crate) struct Connection {
    pub(crate) imapd: Imapd,
    pub(crate) port: Port,
    pub(crate) conn: Conn,
    pub(crate) session: Session,
    pub(crate) user: Option<User>,
    /// The exchange of an AUTHENTICATE under way.
    pub(crate) exchange: Option<Exchange>,
    /// The messages of an APPEND under way.
    pub(crate) staged: Vec<NewMessage>,
    pub(crate) failed_logins: u32,
    stopping: CancellationToken,
}

/// Why a connection is over. What the client should know has been queued.
pub(crate) enum End {
    /// As the protocol has it.
    Closed,
    /// The connection is broken.
    Broken(ConnError),
}

impl From<ConnError> for End {
    fn from(error: ConnError) -> Self {
        Self::Broken(error)
    }
}

/// Serves a connection to its end.
pub(crate) async fn serve(imapd: Imapd, incoming: Incoming, port: Port) {
    let Incoming { mut conn, cid, stopping } = incoming;
    let ip = conn.peer_ip();
    let services = Arc::clone(&imapd.services);
    conn.set_tracer(Tracer::new("imapserver", cid, services.trace.clone()));
    tracing::info!(cid, remote = %conn.peer(), local = %conn.local(), "new connection");
    if port.is_tls_immediate {
        let Some(acceptor) = &port.tls else { return };
        conn = match conn.start_tls(acceptor).await {
            Ok(conn) => conn,
            Err(error) => {
                tracing::info!(cid, %error, "tls handshake");
                return;
            }
        };
    }
    let now = services.clock.now();
    let refused = if stopping.is_cancelled() {
        Some("mox shutting down")
    } else if !services.limits.try_connect(ip, now) {
        Some("connection rate from your ip or network too high, slow down please")
    } else if !services.logins.may_try(ip) {
        Some("too many auth failures")
    } else {
        None
    };
    let permit = services.limits.try_open(ip);
    let refused = refused.or_else(|| {
        permit.is_none().then_some("too many open connections from your ip or network")
    });
    let session = Session::new(Settings::default());
    let mut connection = Connection {
        imapd,
        port,
        conn,
        session,
        user: None,
        exchange: None,
        staged: Vec::new(),
        failed_logins: 0,
        stopping,
    };
    connection.session = Session::new(connection.settings());
    let end = match refused {
        Some(text) => connection.refuse(text).await,
        None => connection.run().await,
    };
    if let End::Broken(error) = &end {
        tracing::debug!(cid, %error, "connection broken");
    }
    tracing::info!(cid, "connection closed");
    connection.conn.close().await;
    drop(permit);
}

impl Connection {
    /// What the session must know of the connection as it is now.
    pub(crate) fn settings(&self) -> Settings {
        let tls = self.conn.tls();
        Settings {
            is_tls: tls.is_some(),
            can_start_tls: tls.is_none() && self.port.tls.is_some(),
            plaintext_allowed: self.port.plaintext_allowed,
            has_channel_binding: !self.peer().bindings.is_empty(),
            has_client_certificate: tls.is_some_and(|tls| tls.client_key.is_some()),
            is_pedantic: self.imapd.services.is_pedantic,
            version: self.imapd.services.version.clone(),
        }
    }

    /// What a login is checked against.
    pub(crate) fn peer(&self) -> Peer {
        let tls = self.conn.tls();
        let bindings = ChannelBindings {
            tls_exporter: tls.and_then(|tls| tls.exporter),
            tls_server_end_point: tls
                .and_then(|tls| tls.server_end_point.clone())
                .map(Vec::into_boxed_slice),
        };
        let client_key = tls.and_then(|tls| tls.client_key.clone());
        Peer { ip: self.conn.peer_ip(), bindings, client_key }
    }

    async fn refuse(&mut self, text: &str) -> End {
        let _close = self.session.bye(text);
        self.send().await.err().unwrap_or(End::Closed)
    }

    async fn run(&mut self) -> End {
        if let Err(end) = self.greet().await {
            return end;
        }
        let mut action = Action::Read;
        loop {
            if let Err(end) = self.send().await {
                return end;
            }
            if let Some(user) = &self.user {
                user.feed.applied(&self.session);
            }
            let next = match action {
                Action::Read => self.read().await,
                Action::Perform(op) => self.perform(op).await,
                Action::StartTls => self.start_tls().await,
                Action::Close => return End::Closed,
            };
            action = match next {
                Ok(action) => action,
                Err(end) => return end,
            };
        }
    }

    async fn greet(&mut self) -> Result<(), End> {
        match self.imapd.services.logins.preauth(&self.peer()).await {
            Ok(None) => self.session.greet(None),
            Ok(Some(login)) => {
                let name = login.username.clone();
                match self.log_in(login).await {
                    Ok(()) => self.session.greet(Some(&name)),
                    Err(_) => {
                        return Err(self.refuse("open account for address: try again later").await);
                    }
                }
            }
            Err(error) => {
                tracing::info!(%error, "client key not accepted");
                return Err(self.refuse("[ALERT] client certificate not accepted").await);
            }
        }
        Ok(())
    }

    /// Binds the connection to an account.
    pub(crate) async fn log_in(&mut self, login: Login) -> Result<(), mox_imap::session::Refusal> {
        let account = login.account;
        let opened = blocking(move || account.subscribe().map(|feed| (account, feed))).await;
        let (account, subscription) = opened.map_err(|error| refusal::store(&error))?;
        let account = account.acting_as(&subscription);
        self.user = Some(User { account, feed: Feed::new(subscription) });
        Ok(())
    }

    /// Sends what the session has written.
    pub(crate) async fn send(&mut self) -> Result<(), End> {
        let output = self.session.output();
        if output.is_empty() && !self.conn.has_output() {
            return Ok(());
        }
        self.conn.send(Kind::Protocol, output);
        self.session.clear_output();
        Ok(self.conn.flush(FLUSH_WAIT).await?)
    }

    /// Sends data of a FETCH, and waits until the socket has taken it.
    pub(crate) async fn send_data(&mut self, data: &[u8]) -> Result<(), End> {
        self.conn.send(Kind::Data, data);
        Ok(self.conn.flush(FLUSH_WAIT).await?)
    }

    /// Gives the session input; waits for some if there is none.
    async fn read(&mut self) -> Result<Action, End> {
        while self.conn.buffered().is_empty() {
            if self.stopping.is_cancelled() {
                return Ok(self.session.bye("mox shutting down"));
            }
            if let Some(action) = self.wait().await? {
                return Ok(action);
            }
        }
        // Commands that ask nothing of the store tell of changes too.
        self.pump(OwnChanges::Ignored);
        let mut input = self.conn.buffered();
        let before = input.len();
        let kind = if self.session.expects_secret() { Kind::Auth } else { Kind::Protocol };
        let action = self.session.receive(&mut input);
        let count = before - input.len();
        self.trace_command(kind, count);
        if !matches!(action, Action::Read) {
            let wait = COMMAND_OUTPUT_WAITS[usize::from(self.session.is_authenticated())];
            self.conn.set_write_deadline(Some(Deadline::after(wait)));
        }
        Ok(action)
    }

    /// Takes the bytes of a command. They are logged as a whole, without secrets, by the loop's
    /// debug line; the trace of the raw line is marked as one that may hold a secret until login.
    fn trace_command(&mut self, kind: Kind, count: usize) {
        let kind = if self.session.is_authenticated() { kind } else { Kind::Auth };
        self.conn.consume(kind, count);
        let text = self.session.command_text();
        if kind == Kind::Auth && !text.is_empty() && tracing::enabled!(tracing::Level::DEBUG) {
            tracing::debug!(command = %redact(text), "received");
        }
    }

    /// Waits for input, or for changes to tell in IDLE. An action ends the waiting.
    async fn wait(&mut self) -> Result<Option<Action>, End> {
        let wait = if self.session.is_authenticated() { AUTHENTICATED_WAIT } else { COMMAND_WAIT };
        self.conn.set_write_deadline(None);
        let idle_feed =
            self.user.as_ref().filter(|_| self.session.is_idle()).map(|user| &user.feed);
        let changed = async {
            match idle_feed {
                Some(feed) => feed.ready().await,
                None => std::future::pending().await,
            }
        };
        // Only waiting happens in the arms; `fill` loses nothing when it is dropped.
        let is_changed = tokio::select! {
            filled = self.conn.fill(wait) => match filled {
                Ok(0) => return Err(End::Closed),
                Ok(_) => false,
                Err(error) if error.is_timeout() && self.session.is_authenticated() => {
                    return Ok(Some(self.session.bye("inactive")));
                }
                Err(error) => return Err(error.into()),
            },
            () = changed => true,
            () = self.stopping.cancelled() => return Ok(Some(self.session.bye("mox shutting down"))),
        };
        if !is_changed {
            return Ok(None);
        }
        self.pump(OwnChanges::Ignored);
        let action = self.session.poll();
        self.send().await?;
        if let Some(user) = &self.user {
            user.feed.applied(&self.session);
        }
        Ok(if matches!(action, Action::Read) { None } else { Some(action) })
    }

    /// Gives the session the changes committed so far.
    pub(crate) fn pump(&mut self, own: OwnChanges) {
        if let Some(user) = &mut self.user {
            user.feed.pump(&mut self.session, own);
        }
    }

    /// The account of the connection. The session asks for it only after login.
    pub(crate) fn account(&self) -> Option<Account> {
        self.user.as_ref().map(|user| user.account.clone())
    }

    async fn start_tls(&mut self) -> Result<Action, End> {
        let Some(acceptor) = self.port.tls.clone() else {
            return Ok(self.session.bye("internal error"));
        };
        let (memory, _) = tokio::io::duplex(1);
        let conn = std::mem::replace(&mut self.conn, Conn::memory(memory));
        match conn.start_tls(&acceptor).await {
            Ok(conn) => self.conn = conn,
            Err(error) => {
                tracing::info!(%error, "tls handshake after starttls");
                return Err(End::Closed);
            }
        }
        let settings = self.settings();
        self.session.tls_started(settings);
        Ok(Action::Read)
    }

    /// Does what the session asks for.
    async fn perform(&mut self, op: Op) -> Result<Action, End> {
        let own = match &op {
            Op::Rename { .. } | Op::Delete(_) => OwnChanges::Messages,
            _ => OwnChanges::Ignored,
        };
        let outcome = match op {
            Op::Login { .. }
            | Op::Authenticate { .. }
            | Op::AuthenticateResponse(_)
            | Op::AuthenticateCancel
            | Op::Identify(_) => sign_in::perform(self, op).await,
            Op::Select(op) => select::select(self, op).await,
            Op::Resync { mailbox, since } => select::resync(self, mailbox, since).await,
            Op::AppendStart { .. } | Op::AppendFinish { .. } | Op::AppendCancel => {
                append::perform(self, op).await
            }
            Op::AppendMessage(op) => append::message(self, op).await?,
            Op::Fetch(op) => fetch::fetch(self, op).await?,
            Op::Search(op) => search::search(self, op).await,
            Op::Store(_) | Op::Copy(_) | Op::Move(_) | Op::Expunge { .. } | Op::Unselect { .. } => {
                messages::perform(self, op).await
            }
            op => mailboxes::perform(self, op).await,
        };
        self.pump(own);
        Ok(self.session.complete(outcome))
    }
}

/// The answer to an operation that needs an account when there is none: the session never asks.
pub(crate) fn no_account() -> Outcome {
    debug_assert!(false, "an operation before login");
    Outcome::Refused(mox_imap::session::Refusal::Failed)
}
