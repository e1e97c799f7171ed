//! A connection to a server: drives the client's session, with an end to every wait.

mod content;
mod waits;

use mox_net::tls::client::{Connector, TlsError, TlsOutcome, Verify};
use mox_net::trace::Kind;
use mox_net::{Conn, ConnError, Deadline, Wait};
use mox_sasl::{ChannelBindings, NONCE_BYTES};
use mox_smtp::client::{
    Action, Config, DeliveryError, Extensions, Loss, Session, Step, Transaction,
};
use mox_smtp::{DataWriter, Reply, ReplyParser};
use tokio::time::Instant;

use crate::measure;

pub use content::{Content, ContentError, PIECE_BYTES_MAX};
pub use waits::Waits;

/// What became of a transaction: for each recipient, in order.
pub type Results = Vec<Result<Reply, DeliveryError>>;

/// A connection with a session on it.
#[derive(Debug)]
pub struct Connection {
    conn: Conn,
    session: Session,
    parser: ReplyParser,
    waits: Waits,
    /// By when all must be done.
    end: Option<Deadline>,
    /// Whether the server offered STARTTLS before there was TLS.
    has_starttls: bool,
    trouble: Option<ConnError>,
}

/// How to begin a session.
#[derive(Debug)]
pub struct Setup<'a> {
    /// Who we are, and whether there is to be STARTTLS and a login.
    pub config: Config,
    /// Random and fresh.
    pub nonce: [u8; NONCE_BYTES],
    /// How TLS is started and what the server must show.
    pub connector: &'a Connector,
    /// What the server must show once it starts TLS.
    pub verify: &'a Verify,
    /// How long to wait for what.
    pub waits: Waits,
    /// By when all of the session must be done.
    pub end: Option<Deadline>,
}

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
#[error("{cause}")]
pub struct OpenError {
    /// What went wrong.
    pub cause: OpenFault,
    /// What was wrong with the connection, if that was it. Right after a handshake, this is how a
    /// TLS 1.3 server tells that it does not like ours.
    pub trouble: Option<ConnError>,
    /// Whether the server offered STARTTLS.
    pub has_starttls: bool,
    /// What its certificate was found to be, if there was a handshake within the session.
    pub outcome: Option<TlsOutcome>,
}

/// What was the matter with a session that did not begin.
#[derive(Debug, thiserror::Error)]
pub enum OpenFault {
    /// The server, or its being lost.
    #[error(transparent)]
    Session(DeliveryError),
    /// The handshake.
    #[error(transparent)]
    Tls(TlsError),
}

impl Connection {
    /// Begins a session on a connection that was just made, or with TLS from the start, and goes on
    /// to where messages can be sent. With it comes what the certificate was found to be, if TLS was
    /// started within the session.
    ///
    /// # Errors
    ///
    /// If the server does not want one or is not there (it is said good-bye to if it can be), or
    /// the handshake fails.
    pub async fn open(
        conn: Conn,
        setup: Setup<'_>,
    ) -> Result<(Self, Option<TlsOutcome>), OpenError> {
        let Setup { config, nonce, connector, verify, waits, end } = setup;
        let session = Session::new(config, nonce, bindings(&conn));
        let (parser, has_starttls, trouble) = (ReplyParser::default(), false, None);
        let mut connection = Self { conn, session, parser, waits, end, has_starttls, trouble };
        let mut action = connection.session.start();
        let mut outcome = None;
        loop {
            action = connection.drive(action).await;
            connection.has_starttls |= connection.extensions().has_starttls;
            match action {
                Action::StartTls => {
                    let found;
                    (connection, found) = connection.start_tls(connector, verify).await?;
                    outcome = Some(found);
                    let bindings = bindings(&connection.conn).unwrap_or_default();
                    action = connection.session.tls_established(bindings);
                }
                Action::Failed(error) => {
                    let trouble = connection.trouble.take();
                    let has_starttls = connection.has_starttls;
                    connection.quit().await;
                    let cause = OpenFault::Session(error);
                    return Err(OpenError { cause, trouble, has_starttls, outcome });
                }
                _ => return Ok((connection, outcome)),
            }
        }
    }

    /// Bytes that came behind the reply to STARTTLS are in the buffer of the connection, and do not
    /// survive the handshake. RFC 3207 §6.
    async fn start_tls(
        self,
        connector: &Connector,
        verify: &Verify,
    ) -> Result<(Self, TlsOutcome), OpenError> {
        let Self { conn, has_starttls, .. } = self;
        match connector.connect(conn, verify).await {
            Ok((conn, outcome)) => {
                if let Some(dane) = &outcome.dane {
                    mox_metrics::tlspolicy::dane_verified(dane.is_ok());
                }
                Ok((Self { conn, parser: ReplyParser::default(), ..self }, outcome))
            }
            Err(mut error) => {
                let outcome = error.outcome.take().map(|outcome| *outcome);
                if let Some(dane) = outcome.as_ref().and_then(|outcome| outcome.dane.as_ref()) {
                    mox_metrics::tlspolicy::dane_verified(dane.is_ok());
                }
                let cause = OpenFault::Tls(error);
                Err(OpenError { cause, trouble: None, has_starttls, outcome })
            }
        }
    }

    /// The connection, for those who go on by themselves.
    #[must_use]
    pub fn into_conn(self) -> Conn {
        self.conn
    }

    /// What the server can do.
    #[must_use]
    pub fn extensions(&self) -> &Extensions {
        self.session.extensions()
    }

    /// Whether the server offered STARTTLS before there was TLS.
    #[must_use]
    pub fn has_starttls(&self) -> bool {
        self.has_starttls
    }

    /// See [`Session::forgo_chunks`].
    pub fn forgo_chunks(&mut self) {
        self.session.forgo_chunks();
    }

    /// Whether another message can be sent on it.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.session.is_usable() && self.trouble.is_none()
    }

    /// The connection itself, for its addresses and what TLS settled.
    #[must_use]
    pub fn conn(&self) -> &Conn {
        &self.conn
    }

    /// What was wrong with the connection, once it is not usable.
    #[must_use]
    pub fn trouble(&self) -> Option<&ConnError> {
        self.trouble.as_ref()
    }

    /// Changes by when all of the session must be done: each message has a time of its own.
    pub fn set_end(&mut self, end: Option<Deadline>) {
        self.end = end;
    }

    /// Sends a message. `content` is exactly as long as the transaction says. RFC 5321 §3.3.
    ///
    /// On a connection that sent messages before, an error [`Loss::Closed`] at [`Step::Mail`] or
    /// [`Step::Rset`] mostly says that the server was tired of waiting: a new connection may do.
    ///
    /// # Errors
    ///
    /// If the message itself cannot be read, is of another length, or cannot be sent over SMTP. The
    /// connection is not usable after that: the server would wait for the rest.
    pub async fn deliver(
        &mut self,
        transaction: &Transaction,
        mut content: Content,
    ) -> Result<Results, ContentError> {
        if content.size_bytes() != transaction.size_bytes {
            return Err(ContentError::Size);
        }
        if !self.conn.buffered().is_empty() {
            // Mostly a 421. RFC 5321 §3.8.
            let _failed = self.read().await;
        }
        if !self.is_usable() {
            let kind = mox_smtp::client::ErrorKind::Lost(Loss::Closed);
            let error =
                DeliveryError { is_permanent: false, reply: None, command: Step::Mail, kind };
            return Ok(vec![Err(error); transaction.rcpts.len()]);
        }
        let mut action = self.session.deliver(transaction);
        loop {
            action = match self.drive(action).await {
                Action::SendData => self.send_data(&mut content).await,
                Action::SendChunk { command, size_bytes } => {
                    self.conn.send(Kind::Protocol, &command);
                    let is_text = !transaction.is_binary;
                    self.send_chunk(&mut content, size_bytes, is_text).await
                }
                Action::Done(results) => return Ok(results),
                action => {
                    debug_assert!(false, "{action:?} in a transaction");
                    Ok(self.session.lost(Loss::Broken))
                }
            }
            .inspect_err(|_| self.trouble = Some(abandoned()))?;
        }
    }

    /// Says good-bye and closes. RFC 5321 §4.1.1.10.
    pub async fn quit(mut self) {
        if self.trouble.is_none() {
            let action = self.session.quit();
            self.drive(action).await;
        }
        self.conn.close().await;
    }

    /// Sends commands and reads replies until there is something else to do.
    async fn drive(&mut self, mut action: Action) -> Action {
        loop {
            action = match action {
                Action::Send { bytes, is_secret } => {
                    let kind = if is_secret { Kind::Auth } else { Kind::Protocol };
                    self.conn.send(kind, &bytes);
                    match self.flush().await {
                        Ok(()) => self.read().await,
                        Err(error) => self.read_last(error).await,
                    }
                }
                Action::Read => self.read().await,
                action => return action,
            };
        }
    }

    /// The message up to its final dot. RFC 5321 §4.1.1.4.
    async fn send_data(&mut self, content: &mut Content) -> Result<Action, ContentError> {
        let (mut writer, mut out) = (DataWriter::default(), Vec::new());
        while let Some(piece) = content.next(PIECE_BYTES_MAX as u64).await? {
            out.clear();
            writer.push(&piece, &mut out)?;
            self.conn.send(Kind::Data, &out);
            if self.conn.wants_flush()
                && let Err(error) = self.flush().await
            {
                return Ok(self.read_last(error).await);
            }
        }
        out.clear();
        writer.finish(&mut out)?;
        self.conn.send(Kind::Data, &out);
        Ok(self.sent().await)
    }

    /// A part of the message, as it is but for what only BINARYMIME may have. RFC 3030 §2.
    async fn send_chunk(
        &mut self,
        content: &mut Content,
        size_bytes: u64,
        is_text: bool,
    ) -> Result<Action, ContentError> {
        let mut left_bytes = size_bytes;
        while left_bytes > 0 {
            let Some(piece) = content.next(left_bytes.min(PIECE_BYTES_MAX as u64)).await? else {
                return Err(ContentError::Size);
            };
            if is_text {
                content.check_lines(&piece)?;
            }
            left_bytes = left_bytes.saturating_sub(piece.len() as u64);
            self.conn.send(Kind::Data, &piece);
            if self.conn.wants_flush()
                && let Err(error) = self.flush().await
            {
                return Ok(self.read_last(error).await);
            }
        }
        if is_text && content.is_at_end() {
            content.check_last_line()?;
        }
        Ok(self.sent().await)
    }

    async fn sent(&mut self) -> Action {
        match self.flush().await {
            Ok(()) => self.session.data_sent(),
            Err(error) => self.read_last(error).await,
        }
    }

    async fn flush(&mut self) -> Result<(), ConnError> {
        self.conn.set_write_deadline(self.end);
        self.conn.flush(self.waits.block).await
    }

    /// Reads one reply, all of it within the time that its command has.
    async fn read(&mut self) -> Action {
        let wait = self.waits.of(self.session.step());
        self.read_within(wait).await
    }

    /// Nothing more can be written: what the server said before that is still good to know.
    /// RFC 2920 §3.1.
    async fn read_last(&mut self, error: ConnError) -> Action {
        let mut action = self.read_within(self.waits.last).await;
        // The replies to all that was written.
        while matches!(action, Action::Read) {
            action = self.read_within(self.waits.last).await;
        }
        let is_over = matches!(action, Action::Done(_) | Action::Failed(_) | Action::Quit);
        let loss = if error.is_timeout() { Loss::TimedOut } else { Loss::Broken };
        self.trouble = Some(error);
        if is_over { action } else { self.session.lost(loss) }
    }

    async fn read_within(&mut self, wait: Wait) -> Action {
        let (step, since) = (self.session.step(), Instant::now());
        let own = Deadline::after(wait);
        let deadline = self.end.filter(|end| end.at < own.at).unwrap_or(own);
        self.conn.set_read_deadline(Some(deadline));
        loop {
            match self.parser.push(self.conn.buffered()) {
                Ok((taken, reply)) => {
                    self.conn.consume(Kind::Protocol, taken);
                    if let Some(reply) = reply {
                        measure::replied(step, &reply, since.elapsed());
                        return self.session.reply(reply);
                    }
                }
                Err(error) => return self.session.garbage(error),
            }
            match self.conn.fill(wait).await {
                Ok(0) => {
                    measure::lost(step, since.elapsed());
                    return self.session.lost(Loss::Closed);
                }
                Ok(_) => {}
                Err(error) => {
                    measure::lost(step, since.elapsed());
                    let loss = if error.is_timeout() { Loss::TimedOut } else { Loss::Broken };
                    self.trouble = Some(error);
                    return self.session.lost(loss);
                }
            }
        }
    }
}

/// What a login can be bound to. RFC 9266, RFC 5929 §4.
fn bindings(conn: &Conn) -> Option<ChannelBindings> {
    conn.tls().map(|info| ChannelBindings {
        tls_exporter: info.exporter,
        tls_server_end_point: info.server_end_point.as_deref().map(Into::into),
    })
}

/// We broke off ourselves, in the middle of a message.
fn abandoned() -> ConnError {
    ConnError::Write(std::io::ErrorKind::ConnectionAborted.into())
}
