//! One connection from its first byte to its last.

use mox_base::ModSeq;
use mox_imap::session::{Action, Op, Outcome, Refusal, Session, Settings};
use mox_login::{Exchange, Login, Peer};
use mox_metrics::imap;
use mox_net::tls::TlsAcceptor;
use mox_net::trace::{Kind, TraceLevel, Tracer};
use mox_net::{Conn, ConnError, Incoming, NotAdmitted, OpenPermit};
use mox_sasl::ChannelBindings;
use mox_store::{Account, NewMessage};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::changes::{Feed, OwnChanges};
use crate::pace::{AUTHENTICATED_WAIT, COMMAND_WAIT, FLUSH_WAIT, Pace};
use crate::record::{self, Record};
use crate::{
    Imapd, Port, append, catenate, context, fetch, mailboxes, messages, notify, search, select,
    sign_in, url, url_fetch,
};

const SHUTTING_DOWN: &str = "mox shutting down";

/// For a session whose account a failed commit has closed, or whose logins the operator has switched
/// off. RFC 9051 §7.1: the code says that it is our trouble and may pass. The next login opens the
/// account anew, its log made durable first, or is told why it is not let in.
const ACCOUNT_CLOSED: &str = "[UNAVAILABLE] account was closed, please reconnect";

/// Failed logins after which a connection is served slowly.
pub const SLOW_AFTER_FAILURES: u32 = 3;

/// Who is logged in, with what only they have.
pub(crate) struct User {
    pub(crate) account: Account,
    /// The name they logged in with.
    pub(crate) name: String,
    pub(crate) feed: Feed,
}

/// A connection with its session and what it is in the middle of.
pub(crate) struct Connection {
    /// Its number, for the log.
    pub(crate) cid: u64,
    pub(crate) imapd: Imapd,
    pub(crate) port: Port,
    pub(crate) conn: Conn,
    pub(crate) session: Session,
    pub(crate) user: Option<User>,
    /// The exchange of an AUTHENTICATE under way.
    pub(crate) exchange: Option<Exchange>,
    /// The messages of an APPEND under way.
    pub(crate) staged: Vec<NewMessage>,
    /// The one that is put together from parts.
    pub(crate) parts: Option<Box<append::Spool>>,
    pub(crate) failed_logins: u32,
    /// UNAUTHENTICATE was used: the client's key counts for EXTERNAL only.
    is_key_unbound: bool,
    pub(crate) pace: Pace,
    /// Until when changes may come together before NOTIFY tells of them.
    pub(crate) quiet_until: Option<Instant>,
    record: Record,
    pub(crate) stopping: CancellationToken,
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
pub(crate) async fn serve(imapd: Imapd, incoming: Incoming, port: Port, login: Option<Login>) {
    let Incoming { mut conn, cid, stopping } = incoming;
    conn.set_tracer(Tracer::new("imapserver", cid, imapd.services.trace.clone()));
    tracing::info!(cid, remote = %conn.peer(), local = %conn.local(), "new connection");
    // A port for several protocols has shaken hands to learn which.
    if port.is_tls_immediate && conn.tls().is_none() {
        let Some(acceptor) = &port.tls else {
            tracing::error!(cid, "port with immediate tls has no certificates");
            return;
        };
        conn = match Box::pin(conn.start_tls(acceptor)).await {
            Ok(conn) => conn,
            Err(error) => {
                tracing::info!(cid, %error, reason = %error.reason(), "tls handshake");
                return;
            }
        };
    }
    imap::connected(if port.is_tls_immediate { "imaps" } else { "imap" });
    let mut connection = Connection {
        cid,
        imapd,
        port,
        conn,
        session: Session::new(Settings::default()),
        user: None,
        exchange: None,
        staged: Vec::new(),
        parts: None,
        failed_logins: 0,
        is_key_unbound: false,
        pace: Pace::default(),
        quiet_until: None,
        record: Record::default(),
        stopping,
    };
    connection.session = Session::new(connection.settings());
    let (end, permit) = match connection.admit() {
        Ok(permit) => (connection.run(login).await, Some(permit)),
        Err(text) => (connection.refuse(text).await, None),
    };
    match &end {
        End::Broken(error) => tracing::info!(cid, %error, "connection closed"),
        End::Closed => tracing::info!(cid, "connection closed"),
    }
    // Closing waits for the client: nobody else is to wait for the account meanwhile.
    let Connection { conn, user, .. } = connection;
    drop(user);
    conn.close().await;
    drop(permit);
}

impl Connection {
    /// Lets the connection in, or says why not.
    fn admit(&self) -> Result<OpenPermit, &'static str> {
        let services = &self.imapd.services;
        let (ip, now) = (self.conn.peer_ip(), services.clock.now());
        let is_stopping = self.stopping.is_cancelled();
        let admitted = services.limits.admit(ip, now, is_stopping, || services.logins.may_try(ip));
        admitted.map_err(|why| match why {
            NotAdmitted::Stopping => SHUTTING_DOWN,
            NotAdmitted::Rate => {
                "connection rate from your ip or network too high, slow down please"
            }
            NotAdmitted::AuthFailures => "too many auth failures",
            NotAdmitted::Open => "too many open connections from your ip or network",
        })
    }

    /// What the session must know of the connection as it is now.
    pub(crate) fn settings(&self) -> Settings {
        let tls = self.conn.tls();
        Settings {
            is_tls: tls.is_some(),
            can_start_tls: tls.is_none()
                && self.port.tls.as_ref().is_some_and(TlsAcceptor::is_ready),
            plaintext_allowed: self.port.plaintext_allowed,
            has_channel_binding: !self.peer().bindings.is_empty(),
            has_client_certificate: tls.is_some_and(|tls| tls.client_key.is_some()),
            is_pedantic: self.imapd.services.is_pedantic,
            message_limit: None,
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

    /// What a login by other means than the client's key is checked against.
    ///
    /// A connection with a key belongs to the key's account, whatever password is shown on it. RFC
    /// 8437 §4.2: UNAUTHENTICATE ends that, and does not forget the key.
    pub(crate) fn peer_without_key(&self) -> Peer {
        let peer = self.peer();
        if self.is_key_unbound { Peer { client_key: None, ..peer } } else { peer }
    }

    pub(crate) async fn refuse(&mut self, text: &str) -> End {
        let _close = self.session.bye(text);
        self.pace.close(&mut self.conn);
        self.send().await.err().unwrap_or(End::Closed)
    }

    async fn run(&mut self, login: Option<Login>) -> End {
        if let Err(end) = Box::pin(self.greet(login)).await {
            return end;
        }
        let mut action = Action::Read;
        loop {
            if action == Action::Close {
                self.pace.close(&mut self.conn);
            }
            let sent = match action {
                Action::EndCompression => Box::pin(self.end_compression()).await,
                _ => self.send().await,
            };
            if let Err(end) = sent {
                return end;
            }
            self.record.answered(self.cid, &mut self.session);
            if let Some(user) = &self.user {
                user.feed.applied(&self.session);
            }
            // What is done rarely, or needs much room, has it on the heap: an idle connection is
            // a future as large as `read`.
            let next = match action {
                Action::Read | Action::EndCompression => self.read().await,
                Action::Perform(op) => Box::pin(self.perform(op)).await,
                Action::Compress => self.compress(),
                Action::StartTls => Box::pin(self.start_tls()).await,
                Action::Close => return End::Closed,
            };
            action = match next {
                Ok(action) => action,
                Err(end) => return end,
            };
        }
    }

    /// The greeting, for whoever is logged in by its key or was before.
    async fn greet(&mut self, login: Option<Login>) -> Result<(), End> {
        let preauth = match login {
            Some(login) => Ok(Some(login)),
            None => self.imapd.services.logins.preauth(&self.peer()).await,
        };
        match preauth {
            Ok(None) => self.session.greet(None),
            Ok(Some(login)) => {
                mox_login::measure(sign_in::KIND, None, Ok(()));
                let name = login.username.clone();
                tracing::info!(cid = self.cid, user = name, "logged in with the greeting");
                self.log_in(&login);
                self.session.greet(Some(&name));
            }
            Err(error) => {
                mox_login::measure(sign_in::KIND, None, Err(&error));
                tracing::info!(cid = self.cid, %error, "client key not accepted");
                return Err(self.refuse("[ALERT] client certificate not accepted").await);
            }
        }
        Ok(())
    }

    /// Binds the connection to an account.
    pub(crate) fn log_in(&mut self, login: &Login) {
        let subscription = login.account.subscribe();
        let account = login.account.acting_as(&subscription);
        self.session.hide_capabilities(login.imap_capabilities_disabled.clone());
        let name = login.username.clone();
        self.user = Some(User { account, name, feed: Feed::new(subscription) });
    }

    /// Lets go of the account: as if nobody had logged in, but for what failed before.
    pub(crate) fn log_out(&mut self) {
        self.user = None;
        self.exchange = None;
        self.staged.clear();
        self.parts = None;
        self.quiet_until = None;
        self.is_key_unbound = true;
    }

    /// Sends what the session has written.
    pub(crate) async fn send(&mut self) -> Result<(), End> {
        let output = std::mem::take(self.session.output());
        let sent = self.write(Kind::Protocol, &output).await;
        // Small buffers are used again.
        *self.session.output() = output;
        self.session.clear_output();
        sent
    }

    /// Sends bytes of a response, and waits until the socket has taken them.
    pub(crate) async fn write(&mut self, kind: Kind, bytes: &[u8]) -> Result<(), End> {
        self.pace.write(&mut self.conn, kind, bytes).await.map_err(End::Broken)
    }

    /// Gives the session input; waits for some if there is none.
    async fn read(&mut self) -> Result<Action, End> {
        if self.is_account_closed() {
            return Ok(self.session.bye(ACCOUNT_CLOSED));
        }
        let part = self.session.reading();
        self.pace.reads(&mut self.conn, part, self.session.is_authenticated());
        while self.conn.buffered().is_empty() {
            if let Some(action) = self.wait().await? {
                return Ok(action);
            }
        }
        // A command that has come but was not begun is not executed.
        if self.stopping.is_cancelled() {
            return Ok(self.session.bye(SHUTTING_DOWN));
        }
        // Commands that ask nothing of the store tell of changes too.
        self.pump(OwnChanges::Ignored);
        if self.is_account_closed() {
            return Ok(self.session.bye(ACCOUNT_CLOSED));
        }
        self.pace.arm(&mut self.conn, self.session.is_authenticated());
        let is_traced = self.imapd.services.trace.level() != TraceLevel::Off;
        let secret = is_traced.then(|| record::Shown::before(&self.session, self.conn.buffered()));
        let mut input = self.conn.buffered();
        let before = input.len();
        let action = self.session.receive(&mut input);
        let count = before - input.len();
        let shown = secret.map_or(count, |secret| secret.bytes(count));
        self.conn.consume(Kind::Protocol, shown);
        self.conn.consume(Kind::Auth, count - shown);
        self.pace.received(self.session.reading());
        self.record.received(&self.session, &action);
        Ok(action)
    }

    /// Waits for input, or for changes to tell in IDLE and for NOTIFY. An action ends the waiting.
    async fn wait(&mut self) -> Result<Option<Action>, End> {
        let is_authenticated = self.session.is_authenticated();
        let wait = if is_authenticated { AUTHENTICATED_WAIT } else { COMMAND_WAIT };
        // A line that is half there is a command whose numbers mean what the client knew.
        let is_listening = self.session.is_listening() && self.conn.buffered().is_empty();
        let feed = self.user.as_ref().filter(|_| is_listening).map(|user| &user.feed);
        let dismissed = async {
            match self.user.as_ref() {
                Some(user) => user.feed.closed().await,
                None => std::future::pending().await,
            }
        };
        let has_news = self.session.has_news();
        let quiet_until = self.quiet_until;
        let changed = async {
            let Some(feed) = feed else { return std::future::pending().await };
            if let Some(end) = quiet_until {
                sleep_until(end).await;
            }
            // What came while a command was under way is told now.
            if !has_news {
                feed.ready().await;
            }
        };
        // Only waiting happens in the arms; `fill` loses nothing when it is dropped.
        let is_changed = tokio::select! {
            filled = self.conn.fill(wait) => match filled {
                Ok(0) => return Err(End::Closed),
                Ok(_) => false,
                Err(error) if error.is_timeout() && is_authenticated && !self.pace.in_literal() => {
                    return Ok(Some(self.session.bye("inactive")));
                }
                Err(error) => return Err(error.into()),
            },
            () = changed => true,
            () = dismissed => return Ok(Some(self.session.bye(ACCOUNT_CLOSED))),
            // Deviation: the original ends a session that is not in IDLE at its next
            // command; all that wait are told at once instead, so that none is cut off without
            // a word when the time for stopping is over.
            () = self.stopping.cancelled() => return Ok(Some(self.session.bye(SHUTTING_DOWN))),
        };
        if !is_changed {
            return Ok(None);
        }
        self.quiet_until = None;
        self.pump(OwnChanges::Ignored);
        if self.is_account_closed() {
            return Ok(Some(self.session.bye(ACCOUNT_CLOSED)));
        }
        let action = self.session.poll();
        self.pace.arm(&mut self.conn, is_authenticated);
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

    /// Notes how far the operation under way has read.
    pub(crate) fn reads(&mut self, modseq: ModSeq) {
        if let Some(user) = &mut self.user {
            user.feed.reads(modseq);
        }
    }

    /// Whether nothing can be done with the account any more but open it anew.
    fn is_account_closed(&self) -> bool {
        self.user.as_ref().is_some_and(|user| user.feed.is_closed())
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
                let (cid, reason) = (self.cid, error.reason());
                tracing::info!(cid, %error, %reason, "tls handshake after starttls");
                return Err(End::Closed);
            }
        }
        let settings = self.settings();
        self.session.tls_started(settings);
        self.pace.begin();
        Ok(Action::Read)
    }

    /// RFC 4978 §3: the OK was sent plain, all after it is compressed.
    fn compress(&mut self) -> Result<Action, End> {
        self.conn.start_deflate();
        self.pace.begin();
        Ok(Action::Read)
    }

    /// RFC 8437 §4.1: the OK is the last that is compressed. One that is sent plain behind the
    /// command already is waiting.
    async fn end_compression(&mut self) -> Result<(), End> {
        let output = std::mem::take(self.session.output());
        self.conn.send(Kind::Protocol, &output);
        self.pace.begin();
        self.conn.end_deflate(FLUSH_WAIT).await.map_err(End::Broken)
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
            | Op::Unauthenticate
            | Op::Identify(_) => sign_in::perform(self, op).await,
            Op::Select(op) => select::select(self, op).await,
            Op::Resync { mailbox, since } => select::resync(self, mailbox, since).await,
            Op::AppendStart { .. }
            | Op::AppendFinish { .. }
            | Op::Replace { .. }
            | Op::AppendCancel => append::perform(self, op).await,
            Op::CatenateText { .. } | Op::CatenateUrl(_) | Op::CatenateEnd { .. } => {
                catenate::perform(self, op).await?
            }
            Op::AppendMessage(op) => append::message(self, op).await?,
            Op::Fetch(op) => fetch::fetch(self, op).await?,
            Op::GenUrlAuth { urls, utf8 } => url::generate(self, urls, utf8).await?,
            Op::ResetUrlKeys(mailbox) => url::reset(self, mailbox).await,
            Op::UrlFetch { urls, utf8 } => url_fetch::fetch(self, urls, utf8).await?,
            Op::Facts(of) => notify::facts(self, of).await,
            Op::Search(op) => search::search(self, op).await?,
            Op::Update(op) => context::update(self, *op).await?,
            Op::MultiSearch(op) => search::multi_search(self, op).await?,
            Op::Thread(op) => search::thread(self, op).await?,
            Op::Store(_) | Op::Copy(_) | Op::Move(_) | Op::Expunge { .. } | Op::Unselect { .. } => {
                messages::perform(self, op).await
            }
            op => mailboxes::perform(self, op).await,
        };
        if let Some(user) = &self.user {
            user.feed.catch_up().await;
        }
        self.pump(own);
        // The time it took is not the client's.
        self.pace.arm(&mut self.conn, self.session.is_authenticated());
        self.pace.begin();
        Ok(self.session.complete(outcome))
    }
}

/// The answer to an operation that needs an account when there is none: the session never asks.
pub(crate) fn no_account() -> Outcome {
    debug_assert!(false, "an operation before login");
    Outcome::Refused(Refusal::Failed)
}
