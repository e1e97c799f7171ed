//! One connection from its first byte to its last.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use mox_login::Peer;
use mox_mailauth::spf;
use mox_metrics::smtp;
use mox_net::tls::TlsAcceptor;
use mox_net::trace::{Kind, Tracer};
use mox_net::{Conn, ConnError, Deadline, Incoming, NotAdmitted, OpenPermit, Wait};
use mox_sasl::ChannelBindings;
use mox_smtp::redact::client_line;
use mox_smtp::server::{Action, Config, Input, Service, Session, Tls};
use mox_smtp::{CommandLine, Reply, command_line};
use tokio_util::sync::CancellationToken;

use crate::facts::Sender;
use crate::measure::{self, Timer};
use crate::spool::Spool;
use crate::{Port, Smtpd, answers, data, refusal};

/// For a whole command. RFC 5321 §4.5.3.2.7: at least 5 minutes.
pub const COMMAND_WAIT: Wait = Wait::new("command", Duration::from_secs(5 * 60));

/// The reply after which a message is sent. RFC 5321 §4.2.3.
const GO_AHEAD: u16 = 354;

/// What metrics call the service that is logged in to.
const SUBMISSION: &str = "submission";

/// For the socket to take the replies written so far.
pub const FLUSH_WAIT: Wait = Wait::new("reply", Duration::from_secs(30));

/// How long DNS is waited for once the server is to stop. The server itself waits a little longer for
/// connections to end.
pub const STOPPING_WAIT: Duration = Duration::from_secs(2);

/// Waits for something, but for no longer than [`STOPPING_WAIT`] if the server is to stop.
pub(crate) async fn in_time<T>(
    stopping: &CancellationToken,
    work: impl Future<Output = T>,
) -> Option<T> {
    let late = async {
        stopping.cancelled().await;
        tokio::time::sleep(STOPPING_WAIT).await;
    };
    // Only waiting happens in the arms; what is given up is not needed any more.
    tokio::select! {
        biased;
        done = work => Some(done),
        () = late => None,
    }
}

/// A connection with its session and what it is in the middle of.
pub(crate) struct Connection {
    pub(crate) smtpd: Smtpd,
    pub(crate) port: Port,
    pub(crate) conn: Conn,
    pub(crate) session: Session,
    pub(crate) cid: u64,
    /// Names the connection to the outside.
    pub(crate) id: String,
    /// The account of the user who is logged in.
    pub(crate) account: Option<String>,
    /// The message whose data has ended.
    pub(crate) spool: Option<Spool>,
    /// The message that is coming in by chunks.
    pub(crate) chunks: Option<data::Chunks>,
    /// What SPF said of a sender, from the second recipient to the data.
    pub(crate) spf: Option<(Sender, spf::Received)>,
    /// Whether a message was not wanted by somebody.
    pub(crate) is_doubtful: bool,
    /// Of the command that is being answered.
    pub(crate) timer: Option<Timer>,
    pub(crate) stopping: CancellationToken,
}

/// Why a connection is over. What the client should know is in the write buffer.
pub(crate) enum End {
    /// As the protocol has it, or the client went away.
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
pub(crate) async fn serve(smtpd: Smtpd, incoming: Incoming, port: Port) {
    let Incoming { mut conn, cid, stopping } = incoming;
    let services = Arc::clone(&smtpd.services);
    conn.set_tracer(Tracer::new("smtpserver", cid, services.trace.clone()));
    tracing::info!(cid, remote = %conn.peer(), local = %conn.local(), "new connection");
    smtp::connected(measure::kind_of(port.kind));
    // A port for several protocols has shaken hands to learn which.
    if port.is_tls_immediate && conn.tls().is_none() {
        let Some(acceptor) = &port.tls else {
            tracing::error!(cid, "port with immediate tls has no certificates");
            return;
        };
        conn = match conn.start_tls(acceptor).await {
            Ok(conn) => conn,
            Err(error) => {
                tracing::info!(cid, %error, reason = %error.reason(), "tls handshake");
                return;
            }
        };
    }
    let admitted = admit(&smtpd, &conn, &port, &stopping);
    let id = services.received_ids.id(cid);
    let config = Arc::new(config(&smtpd, &port));
    let session = Session::new(Arc::clone(&config), id.clone(), None);
    let mut connection = Connection {
        smtpd,
        port,
        conn,
        session,
        cid,
        id,
        account: None,
        spool: None,
        chunks: None,
        spf: None,
        is_doubtful: false,
        timer: None,
        stopping,
    };
    let end = match &admitted {
        Ok(_permit) => connection.run(config).await,
        Err(reply) => {
            connection.reply(reply);
            End::Closed
        }
    };
    match &end {
        End::Broken(error) => tracing::info!(cid, %error, "connection closed"),
        End::Closed => tracing::info!(cid, "connection closed"),
    }
    connection.conn.close().await;
    drop(admitted);
}

/// Whether the client is served at all. The open permit counts the connection.
fn admit(
    smtpd: &Smtpd,
    conn: &Conn,
    port: &Port,
    stopping: &CancellationToken,
) -> Result<OpenPermit, Reply> {
    let services = &smtpd.services;
    let (ip, now) = (conn.peer_ip(), services.clock.now());
    // Nobody logs in to deliver mail from elsewhere.
    let may_log_in = || port.kind != Service::Submission || services.logins.may_try(ip);
    let admitted = services.limits.admit(ip, now, stopping.is_cancelled(), may_log_in);
    admitted.map_err(|why| match why {
        NotAdmitted::Stopping => Reply::new(421, (3, 2), "shutting down"),
        NotAdmitted::Rate => {
            Reply::new(421, (7, 0), "too many connections from your network, slow down")
        }
        NotAdmitted::AuthFailures => {
            Reply::new(421, (7, 0), "too many failed logins from your network")
        }
        NotAdmitted::Open => Reply::new(421, (7, 0), "too many open connections from your network"),
    })
}

/// What the session must know of the port.
fn config(smtpd: &Smtpd, port: &Port) -> Config {
    let is_submission = port.kind == Service::Submission;
    Config {
        service: port.kind,
        hostname: port.hostname.clone(),
        size_bytes_max: port.message_bytes_max,
        is_pedantic: smtpd.services.is_pedantic,
        slows_offenders: !smtpd.services.is_localserve,
        has_requiretls: port.offers_requiretls,
        has_starttls: port.tls.as_ref().is_some_and(TlsAcceptor::is_ready)
            && !port.is_tls_immediate,
        login_needs_tls: is_submission && port.requires_tls,
        // A message that some recipients get and some do not is reported to the sender by mail: it
        // must be certain that this is who sent it. There is nobody to verify on a localserve.
        second_rcpt_needs_verified_sender: !smtpd.services.is_localserve,
    }
}

impl Connection {
    async fn run(&mut self, config: Arc<Config>) -> End {
        match self.begin(config).await {
            Ok(mut action) => loop {
                action = match self.step(action).await {
                    Ok(action) => action,
                    Err(end) => return end,
                }
            },
            Err(end) => end,
        }
    }

    async fn begin(&mut self, config: Arc<Config>) -> Result<Action, End> {
        let tls = self.tls().await?;
        self.session = Session::new(config, self.id.clone(), tls);
        Ok(self.session.greet())
    }

    /// Does what the session wants, and gives it what comes of it.
    async fn step(&mut self, action: Action) -> Result<Action, End> {
        match action {
            Action::Reply(reply) => {
                self.reply(&reply);
                self.command().await
            }
            Action::Challenge(line) => {
                self.conn.send(Kind::Auth, &line);
                self.command().await
            }
            Action::Read => self.command().await,
            Action::Ask(question) => {
                let answer = answers::answer(self, question).await?;
                Ok(self.handle(Input::Answer(answer)))
            }
            Action::Delay(wait) => {
                self.pause(wait).await?;
                Ok(self.handle(Input::DelayOver))
            }
            Action::StartTls(reply) => self.start_tls(&reply).await,
            Action::ReadData { reply, reader } => data::read(self, &reply, reader).await,
            Action::ReadChunk { reader, is_first, is_last } => {
                data::read_chunk(self, reader, is_first, is_last).await
            }
            Action::SkipChunk { chunk_bytes, reply } => {
                if let Some(action) = data::skip_chunk(self, chunk_bytes).await? {
                    return Ok(action);
                }
                self.reply(&reply);
                self.command().await
            }
            Action::Close(reply) => {
                if let Some(reply) = reply {
                    self.reply(&reply);
                }
                Err(End::Closed)
            }
        }
    }

    /// Puts a reply into the write buffer.
    pub(crate) fn reply(&mut self, reply: &Reply) {
        // The go-ahead for DATA is not yet the answer to it.
        if reply.code != GO_AHEAD
            && let Some(timer) = self.timer.take()
        {
            timer.stop(self.port.kind, reply);
        }
        self.conn.send(Kind::Protocol, &reply.to_bytes());
    }

    /// Gives the session an input that is not a line.
    pub(crate) fn handle(&mut self, input: Input<'_>) -> Action {
        let services = &self.smtpd.services;
        let action = self.session.handle(input, services.clock.now(), &*services.rng);
        self.note();
        action
    }

    /// Gives the session the next line. Replies are sent once no further line is there: a client
    /// that pipelines (RFC 2920 §3.2) gets them together.
    async fn command(&mut self) -> Result<Action, End> {
        self.conn.set_read_deadline(Some(Deadline::after(refusal::renamed(
            COMMAND_WAIT,
            "whole command",
        ))));
        loop {
            if self.conn.wants_flush() {
                self.conn.flush(FLUSH_WAIT).await?;
            }
            if self.stopping.is_cancelled() {
                return Ok(self.handle(Input::ShuttingDown));
            }
            let (input, count) = match command_line(self.conn.buffered()) {
                CommandLine::Complete { line, taken_bytes } => (Input::Line(line), taken_bytes),
                CommandLine::TooLong => (Input::LineTooLong, self.conn.buffered().len()),
                CommandLine::Incomplete => {
                    if let Some(action) = self.fill().await? {
                        return Ok(action);
                    }
                    continue;
                }
            };
            let is_response = self.session.is_next_line_secret();
            let is_secret = match &input {
                Input::Line(line) => *client_line(line, is_response) != **line,
                // Nobody knows what it was to be.
                _ => true,
            };
            if !is_response {
                self.timer = Some(Timer::start(match &input {
                    Input::Line(line) => Some(line),
                    _ => None,
                }));
            }
            let services = &self.smtpd.services;
            let action = self.session.handle(input, services.clock.now(), &*services.rng);
            let kind = if is_secret { Kind::Auth } else { Kind::Protocol };
            self.conn.consume(kind, count);
            self.note();
            return Ok(action);
        }
    }

    /// Sends the replies and waits for more of a command. An action ends the waiting.
    async fn fill(&mut self) -> Result<Option<Action>, End> {
        self.conn.flush(FLUSH_WAIT).await?;
        // Only waiting happens in the arms; `fill` loses nothing when it is dropped.
        let filled = tokio::select! {
            filled = self.conn.fill(COMMAND_WAIT) => filled,
            () = self.stopping.cancelled() => return Ok(Some(self.handle(Input::ShuttingDown))),
        };
        match filled {
            Ok(0) => Err(End::Closed),
            Ok(_) => Ok(None),
            Err(error) if error.is_timeout() => Ok(Some(self.handle(Input::TimedOut))),
            Err(error) => Err(error.into()),
        }
    }

    /// Acts on what the last input told of the client.
    fn note(&mut self) {
        let is_doubtful = self.is_doubtful && !self.smtpd.services.is_localserve;
        self.conn.set_slow(self.session.is_slow() || is_doubtful);
        if self.session.transaction().is_none() {
            // RSET and the like: RFC 3030 §2.
            self.chunks = None;
        }
        let Some(attempt) = self.session.take_login_attempt() else { return };
        let (cid, remote) = (self.cid, self.conn.peer_ip());
        let outcome = refusal::attempt(&attempt);
        self.smtpd.services.logins.record(remote, outcome.as_ref().copied());
        mox_login::measure(SUBMISSION, Some(attempt.mechanism), outcome.as_ref().copied());
        let (mechanism, user) = (attempt.mechanism.name(), attempt.username.unwrap_or_default());
        match outcome {
            Ok(()) => tracing::info!(cid, %remote, mechanism, user, "logged in"),
            Err(error) => tracing::info!(cid, %remote, mechanism, user, %error, "login failed"),
        }
    }

    /// Sends the replies so far and waits, though not beyond a shutdown.
    pub(crate) async fn pause(&mut self, wait: Duration) -> Result<(), End> {
        self.conn.flush(FLUSH_WAIT).await?;
        let stopping = self.stopping.clone();
        let _woken = stopping.run_until_cancelled(tokio::time::sleep(wait)).await;
        Ok(())
    }

    /// RFC 3207 §4: what the client sent too early is not executed, and not even read.
    async fn start_tls(&mut self, reply: &Reply) -> Result<Action, End> {
        if !self.conn.buffered().is_empty() {
            return Ok(self.handle(Input::EarlyBytes));
        }
        self.reply(reply);
        self.conn.flush(FLUSH_WAIT).await?;
        // The session offers it only with certificates at hand.
        let Some(acceptor) = self.port.tls.clone() else { return Err(End::Closed) };
        let is_delivery = self.port.kind == Service::Delivery;
        if is_delivery {
            smtp::starttls();
        }
        let (memory, _) = tokio::io::duplex(1);
        let conn = std::mem::replace(&mut self.conn, Conn::memory(memory));
        self.conn = match conn.start_tls(&acceptor).await {
            Ok(conn) => conn,
            Err(error) => {
                let reason = error.reason();
                tracing::info!(cid = self.cid, %error, %reason, "tls handshake after starttls");
                if is_delivery {
                    // Other texts are the client's choice.
                    smtp::starttls_failed(match reason {
                        Cow::Borrowed(reason) => reason,
                        Cow::Owned(_) => "other",
                    });
                }
                return Err(End::Closed);
            }
        };
        self.account = None;
        let tls = self.tls().await?.unwrap_or_default();
        Ok(self.handle(Input::TlsEstablished(tls)))
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

    /// What the session must know of TLS, if it is on. A client certificate logs its owner in; one
    /// that is not registered ends the connection, as the client thinks it is logged in by it.
    async fn tls(&mut self) -> Result<Option<Tls>, End> {
        if self.conn.tls().is_none() {
            return Ok(None);
        }
        let peer = self.peer();
        let mut tls = Tls { bindings: peer.bindings.clone(), certificate_username: None };
        if self.port.kind == Service::Delivery {
            return Ok(Some(tls));
        }
        match self.smtpd.services.logins.by_certificate(&peer).await {
            Ok(Some(login)) => {
                mox_login::measure(SUBMISSION, None, Ok(()));
                self.account = Some(login.account.name().to_owned());
                tls.certificate_username = Some(login.username);
            }
            Ok(None) => {}
            Err(error) => {
                mox_login::measure(SUBMISSION, None, Err(&error));
                let (cid, remote) = (self.cid, peer.ip);
                tracing::info!(cid, %remote, %error, "client certificate not accepted");
                self.reply(&Reply::new(554, (7, 8), "client certificate not accepted"));
                return Err(End::Closed);
            }
        }
        Ok(Some(tls))
    }
}
