//! A connection: bytes in, bytes out, each wait with a name and an end.

use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use bytes::{Buf, BufMut, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::MEMORY_PEER;
use crate::deflate::{BadDeflate, Deflated};
use crate::tls::client::{Connector, TlsError, TlsOutcome, Verify};
use crate::tls::{HandshakeError, TlsAcceptor, TlsInfo};
use crate::trace::{Kind, Tracer};
use crate::transport::{ByteStream, Plain, Prefixed, Transport};

/// Bytes that were received and not yet taken: [`Conn::fill`] refuses to read more.
pub const READ_BUFFER_BYTES_MAX: usize = 256 * 1024;

/// Bytes waiting to be sent above which [`Conn::wants_flush`] says so.
pub const WRITE_BUFFER_BYTES: usize = 32 * 1024;

/// How long [`Conn::close`] waits for the peer to take the last bytes and to close its side.
pub const CLOSE_WAIT: Duration = Duration::from_secs(2);

/// In slow mode, the wait before each read and after each byte sent.
pub const SLOW_PAUSE: Duration = Duration::from_secs(1);

/// In slow mode, the rest is sent at once when less than this is left of the wait for a write.
pub const SLOW_RUSH: Duration = Duration::from_secs(5);

/// How long the compressor of a compressed connection is kept while the peer is silent. It is far
/// larger than all else that an idle connection holds; without it, what is sent next refers to
/// nothing that was sent before, and is a little longer.
pub const COMPRESSOR_KEEP: Duration = Duration::from_secs(10);

/// Bytes that one read asks for while nothing is known about the peer, and while it idles.
const READ_BYTES_MIN: usize = 1_024;

/// Bytes that one read asks for at most.
const READ_BYTES_MAX: usize = 64 * 1024;

/// Bytes that a closing connection reads and throws away.
const DRAIN_BYTES_MAX: usize = 64 * 1024;

/// The longest a read or a write may take, with a name for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// What is waited for: `command`, `literal`, `reply`, ….
    pub name: &'static str,
    /// How long.
    pub limit: Duration,
}

impl Wait {
    /// A named wait. Meant for constants.
    #[must_use]
    pub const fn new(name: &'static str, limit: Duration) -> Self {
        Self { name, limit }
    }
}

/// The end of a longer piece of work, such as a message or a literal, whatever its single waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    /// What must be done by then.
    pub name: &'static str,
    /// When.
    pub at: Instant,
}

impl Deadline {
    /// The end of `wait`, starting now.
    #[must_use]
    pub fn after(wait: Wait) -> Self {
        Self { name: wait.name, at: Instant::now() + wait.limit }
    }
}

/// Why a connection cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnError {
    /// A single read or write took too long.
    #[error("{name}: nothing for {}s", limit.as_secs())]
    TimedOut {
        /// The name of the [`Wait`].
        name: &'static str,
        /// Its length.
        limit: Duration,
    },
    /// A [`Deadline`] passed.
    #[error("{name}: not done in time")]
    DeadlinePassed {
        /// The name of the [`Deadline`].
        name: &'static str,
    },
    /// More than [`READ_BUFFER_BYTES_MAX`] bytes wait to be taken.
    #[error("read buffer is full")]
    BufferFull,
    /// The peer of a compressed connection sent what is not deflate.
    #[error("not deflate")]
    BadDeflate,
    /// The socket or TLS failed while reading.
    #[error("read from peer")]
    Read(#[source] io::Error),
    /// The socket or TLS failed while writing.
    #[error("write to peer")]
    Write(#[source] io::Error),
}

impl ConnError {
    /// Whether the peer was too slow, rather than gone.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::TimedOut { .. } | Self::DeadlinePassed { .. })
    }

    /// The alert by which the peer ended TLS, if it did. RFC 8446 §6.
    #[must_use]
    pub fn remote_alert(&self) -> Option<u8> {
        let (Self::Read(error) | Self::Write(error)) = self else { return None };
        match error.get_ref()?.downcast_ref::<rustls::Error>()? {
            rustls::Error::AlertReceived(alert) => Some((*alert).into()),
            _ => None,
        }
    }
}

/// A connection over TCP or memory, plain or with TLS.
///
/// An idle connection holds about 1 KiB of buffers: both are given back before each wait for a
/// silent peer.
#[derive(Debug)]
pub struct Conn {
    transport: Transport,
    peer: SocketAddr,
    local: SocketAddr,
    tls: Option<Box<TlsInfo>>,
    input: BytesMut,
    read_bytes: usize,
    output: BytesMut,
    read_deadline: Option<Deadline>,
    write_deadline: Option<Deadline>,
    slow: bool,
    received_bytes: u64,
    sent_bytes: u64,
    tracer: Tracer,
}

impl Conn {
    /// A TCP connection.
    #[must_use]
    pub fn tcp(stream: TcpStream, peer: SocketAddr, local: SocketAddr) -> Self {
        Self::new(Plain::Tcp(stream), peer, local)
    }

    /// A connection in memory, for tests.
    /// Its peer is [`MEMORY_PEER`].
    #[must_use]
    pub fn memory(stream: DuplexStream) -> Self {
        let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self::new(Plain::Memory(stream), SocketAddr::from((MEMORY_PEER, 0)), local)
    }

    /// A connection of a program on this machine, and what was received of it already. Its peer is
    /// [`MEMORY_PEER`], as it has no address.
    #[must_use]
    pub fn unix(stream: UnixStream, early: &[u8]) -> Self {
        let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let conn = Self::new(Plain::Unix(stream), SocketAddr::from((MEMORY_PEER, 0)), local);
        Self { input: BytesMut::from(early), ..conn }
    }

    fn new(io: Plain, peer: SocketAddr, local: SocketAddr) -> Self {
        Self {
            transport: Transport::Plain(io),
            // An IPv4 client on an IPv6 socket is an IPv4 client to everything above.
            peer: SocketAddr::new(peer.ip().to_canonical(), peer.port()),
            local: SocketAddr::new(local.ip().to_canonical(), local.port()),
            tls: None,
            input: BytesMut::new(),
            read_bytes: READ_BYTES_MIN,
            output: BytesMut::new(),
            read_deadline: None,
            write_deadline: None,
            slow: false,
            received_bytes: 0,
            sent_bytes: 0,
            tracer: Tracer::off(),
        }
    }

    /// The address of the peer.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// The address of the peer without its port, for limits.
    #[must_use]
    pub fn peer_ip(&self) -> IpAddr {
        self.peer.ip()
    }

    /// Our own address.
    #[must_use]
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// What the handshake settled, if TLS is on.
    #[must_use]
    pub fn tls(&self) -> Option<&TlsInfo> {
        self.tls.as_deref()
    }

    /// Bytes received, without TLS's own.
    #[must_use]
    pub fn received_bytes(&self) -> u64 {
        self.received_bytes
    }

    /// Bytes sent, without TLS's own.
    #[must_use]
    pub fn sent_bytes(&self) -> u64 {
        self.sent_bytes
    }

    /// Logs the session from here on.
    pub fn set_tracer(&mut self, tracer: Tracer) {
        self.tracer = tracer;
    }

    /// Turns slow mode on or off: [`SLOW_PAUSE`] before each read and after each byte sent. It
    /// costs a peer that misbehaves its time, and us a timer.
    pub fn set_slow(&mut self, slow: bool) {
        self.slow = slow;
    }

    /// Whether slow mode is on.
    #[must_use]
    pub fn is_slow(&self) -> bool {
        self.slow
    }

    /// Bounds all reads together until it is taken away with `None`.
    pub fn set_read_deadline(&mut self, deadline: Option<Deadline>) {
        self.read_deadline = deadline;
    }

    /// Bounds all writes together until it is taken away with `None`.
    pub fn set_write_deadline(&mut self, deadline: Option<Deadline>) {
        self.write_deadline = deadline;
    }

    /// The bytes received and not yet taken.
    #[must_use]
    pub fn buffered(&self) -> &[u8] {
        &self.input
    }

    /// Takes the first `count` buffered bytes, at most all, and traces them as `kind`.
    pub fn consume(&mut self, kind: Kind, count: usize) {
        let count = count.min(self.input.len());
        self.tracer.received(kind, &self.input[..count]);
        self.input.advance(count);
    }

    /// Reads more bytes into the buffer and returns how many; 0 at the end of the stream.
    ///
    /// Cancel safe: dropping the future loses no bytes. A TLS peer that closes without saying so
    /// also gives 0: each protocol has its own end marks, so a cut stream is noticed there.
    pub async fn fill(&mut self, wait: Wait) -> Result<usize, ConnError> {
        if self.input.len() >= READ_BUFFER_BYTES_MAX {
            return Err(ConnError::BufferFull);
        }
        if self.slow {
            bounded(SLOW_PAUSE + wait.limit, wait, self.read_deadline, sleep(SLOW_PAUSE)).await?;
        }
        let count = match self.read_ready().await {
            Some(result) => result,
            None => {
                // The peer is silent, perhaps for hours: hold as little as possible.
                if self.input.is_empty() {
                    self.input = BytesMut::with_capacity(READ_BYTES_MIN);
                }
                if self.output.is_empty() {
                    self.output = BytesMut::new();
                }
                self.read_waiting(wait).await?
            }
        };
        let count = match count {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => 0,
            Err(error) if error.get_ref().is_some_and(|cause| cause.is::<BadDeflate>()) => {
                return Err(ConnError::BadDeflate);
            }
            result => result.map_err(ConnError::Read)?,
        };
        self.received_bytes = self.received_bytes.saturating_add(count as u64);
        self.read_bytes = match count {
            _ if count >= self.read_bytes => (self.read_bytes * 2).min(READ_BYTES_MAX),
            _ if count < self.read_bytes / 4 => (self.read_bytes / 2).max(READ_BYTES_MIN),
            _ => self.read_bytes,
        };
        Ok(count)
    }

    /// Waits for the peer; after a while with less memory.
    async fn read_waiting(&mut self, wait: Wait) -> Result<io::Result<usize>, ConnError> {
        let mut limit = wait.limit;
        loop {
            let keeps = limit > COMPRESSOR_KEEP && self.transport.holds_compressor();
            let part = if keeps { COMPRESSOR_KEEP } else { limit };
            let mut room = (&mut self.input).limit(self.read_bytes);
            let read = self.transport.read_buf(&mut room);
            match bounded(part, wait, self.read_deadline, read).await {
                Err(ConnError::TimedOut { .. }) if keeps => {
                    self.transport.release_compressor();
                    limit -= part;
                }
                result => return result,
            }
        }
    }

    /// Reads what is there already, if anything.
    async fn read_ready(&mut self) -> Option<io::Result<usize>> {
        self.input.reserve(self.read_bytes);
        // The buffer may have grown beyond what was asked for.
        let mut room = (&mut self.input).limit(self.read_bytes);
        let mut read = pin!(self.transport.read_buf(&mut room));
        poll_fn(|cx| match read.as_mut().poll(cx) {
            Poll::Ready(result) => Poll::Ready(Some(result)),
            Poll::Pending => Poll::Ready(None),
        })
        .await
    }

    /// Puts bytes into the write buffer and traces them as `kind`. Nothing is sent before
    /// [`Self::flush`], which the caller does when [`Self::wants_flush`] and before it waits.
    pub fn send(&mut self, kind: Kind, bytes: &[u8]) {
        self.tracer.sent(kind, bytes);
        self.output.extend_from_slice(bytes);
    }

    /// Whether so much waits to be sent that it should be sent now.
    #[must_use]
    pub fn wants_flush(&self) -> bool {
        self.output.len() >= WRITE_BUFFER_BYTES
    }

    /// Whether anything waits to be sent.
    #[must_use]
    pub fn has_output(&self) -> bool {
        !self.output.is_empty()
    }

    /// Sends what waits. `wait` bounds the whole call.
    pub async fn flush(&mut self, wait: Wait) -> Result<(), ConnError> {
        if self.output.is_empty() {
            return Ok(());
        }
        let deadline = self.write_deadline;
        let count = self.output.len();
        let write = Self::write_output(&mut self.transport, &mut self.output, self.slow, wait);
        bounded(wait.limit, wait, deadline, write).await?.map_err(ConnError::Write)?;
        self.sent_bytes = self.sent_bytes.saturating_add(count as u64);
        Ok(())
    }

    async fn write_output(
        transport: &mut Transport,
        output: &mut BytesMut,
        slow: bool,
        wait: Wait,
    ) -> io::Result<()> {
        let started = Instant::now();
        while slow && output.len() > 1 && started.elapsed() + SLOW_RUSH < wait.limit {
            transport.write_all(&output[..1]).await?;
            transport.flush().await?;
            output.advance(1);
            sleep(SLOW_PAUSE).await;
        }
        transport.write_all_buf(output).await?;
        transport.flush().await
    }

    /// Performs a TLS handshake as the server, at most [`crate::tls::HANDSHAKE_WAIT`] long, and
    /// returns the connection with TLS on.
    ///
    /// Nothing that was received in plain text can reach the session that goes on: bytes still in
    /// the buffer are given to the handshake, which fails on them unless they are its own. The
    /// new connection starts with an empty buffer. RFC 3207 §6 and RFC 9051 §11.1 tell of the
    /// attack: a command slipped in behind STARTTLS and executed as if it had been protected.
    ///
    /// Replies that wait to be sent must be flushed before; they are dropped here.
    pub async fn start_tls(mut self, acceptor: &TlsAcceptor) -> Result<Self, HandshakeError> {
        let Transport::Plain(io) = std::mem::replace(&mut self.transport, Transport::Gone) else {
            return Err(HandshakeError::AlreadyTls);
        };
        let early = std::mem::take(&mut self.input);
        let (stream, info) = acceptor.accept(Prefixed::new(early.to_vec(), io)).await?;
        Ok(Self {
            transport: Transport::Tls(Box::new(stream)),
            tls: Some(Box::new(info)),
            input: BytesMut::new(),
            output: BytesMut::new(),
            ..self
        })
    }

    /// See [`Connector::connect`].
    pub(crate) async fn connect_tls(
        mut self,
        connector: &Connector,
        verify: &Verify,
    ) -> Result<(Self, TlsOutcome), TlsError> {
        let Transport::Plain(io) = std::mem::replace(&mut self.transport, Transport::Gone) else {
            return Err(TlsError::already_tls());
        };
        let early = std::mem::take(&mut self.input);
        let io = Prefixed::new(early.to_vec(), io);
        let (stream, info, outcome) = connector.handshake(io, verify, self.peer.ip()).await?;
        let conn = Self {
            transport: Transport::ClientTls(Box::new(stream)),
            tls: Some(Box::new(info)),
            input: BytesMut::new(),
            output: BytesMut::new(),
            ..self
        };
        Ok((conn, outcome))
    }

    /// The stream itself, for a library that reads and writes by its own rules. Only before anything
    /// was received, or what was received and not taken is lost.
    pub(crate) fn into_transport(self) -> Transport {
        debug_assert!(self.input.is_empty() && self.output.is_empty(), "bytes would be lost");
        self.transport
    }

    /// The stream itself, for a library that reads and writes by its own rules. Only before anything
    /// was received, or what was received and not taken is lost. The waits of [`Self::fill`] and
    /// [`Self::flush`] end with this: who takes the stream has to bound its own.
    #[must_use]
    pub fn into_stream(self) -> ByteStream {
        ByteStream(self.into_transport())
    }

    /// Whether what is sent and received is compressed.
    #[must_use]
    pub fn is_deflated(&self) -> bool {
        matches!(self.transport, Transport::Deflated(_))
    }

    /// From here on all is raw deflate in both directions (RFC 1951), within TLS if that is on.
    ///
    /// What was received and not taken yet is the start of the peer's stream. Replies that wait to
    /// be sent must be flushed before, or they are compressed too. Costs about 50 KB while the
    /// connection is idle and 350 KB while it sends. Does nothing if it is compressed already.
    pub fn start_deflate(&mut self) {
        if self.is_deflated() {
            return;
        }
        debug_assert!(self.output.is_empty(), "output before compression was not sent");
        let early = std::mem::take(&mut self.input);
        let inner = std::mem::replace(&mut self.transport, Transport::Gone);
        self.transport = Transport::Deflated(Box::new(Deflated::new(inner, early.to_vec())));
    }

    /// Sends what waits as the end of our stream, and goes on without compression where the peer's
    /// stream ends, or where it was flushed after the last that was taken. `wait` bounds the whole
    /// call.
    ///
    /// Fails with [`ConnError::BadDeflate`] if the peer says more in its stream: nothing that it
    /// compressed can reach the session that goes on. Does nothing if there is no compression.
    pub async fn end_deflate(&mut self, wait: Wait) -> Result<(), ConnError> {
        if !self.is_deflated() {
            return Ok(());
        }
        if !self.input.is_empty() {
            return Err(ConnError::BadDeflate);
        }
        let Transport::Deflated(mut io) = std::mem::replace(&mut self.transport, Transport::Gone)
        else {
            return Ok(());
        };
        let output = &mut self.output;
        let count = output.len() as u64;
        let finish = async {
            io.write_all_buf(output).await?;
            io.finish().await
        };
        let finished = bounded(wait.limit, wait, self.write_deadline, finish).await?;
        let (inner, rest) = finished.map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => ConnError::BadDeflate,
            _ => ConnError::Write(error),
        })?;
        self.sent_bytes = self.sent_bytes.saturating_add(count);
        self.transport = inner;
        self.input = BytesMut::from(&rest[..]);
        Ok(())
    }

    /// Sends what waits, says goodbye and closes, all within [`CLOSE_WAIT`].
    ///
    /// What the peer still sends is read and thrown away for a while: closing a socket with
    /// unread bytes resets it, and the reset can overtake our last reply.
    pub async fn close(mut self) {
        let close = async {
            self.transport.write_all_buf(&mut self.output).await?;
            self.transport.shutdown().await?;
            let mut drained = 0;
            while drained < DRAIN_BYTES_MAX {
                self.input.clear();
                self.input.reserve(READ_BYTES_MIN);
                match self.transport.read_buf(&mut self.input).await? {
                    0 => break,
                    count => drained += count,
                }
            }
            io::Result::Ok(())
        };
        if let Ok(Err(error)) = timeout(CLOSE_WAIT, close).await {
            tracing::debug!(%error, peer = %self.peer, "close connection");
        }
    }
}

/// Runs one wait under its own limit and under the deadline of the work it belongs to.
async fn bounded<T>(
    limit: Duration,
    wait: Wait,
    deadline: Option<Deadline>,
    work: impl Future<Output = T>,
) -> Result<T, ConnError> {
    let end = Instant::now() + limit;
    match deadline {
        Some(deadline) if deadline.at < end => timeout_at(deadline.at, work)
            .await
            .map_err(|_| ConnError::DeadlinePassed { name: deadline.name }),
        _ => timeout_at(end, work)
            .await
            .map_err(|_| ConnError::TimedOut { name: wait.name, limit: wait.limit }),
    }
}

#[cfg(test)]
impl Conn {
    /// [`Self::fill`] if that need not wait.
    pub(crate) async fn fill_now(&mut self) -> Option<Result<usize, ConnError>> {
        let mut fill = pin!(self.fill(Wait::new("test", Duration::from_secs(30))));
        poll_fn(|cx| match fill.as_mut().poll(cx) {
            Poll::Ready(result) => Poll::Ready(Some(result)),
            Poll::Pending => Poll::Ready(None),
        })
        .await
    }

    /// Bytes allocated for what is received and sent, without TLS's and deflate's own.
    pub(crate) fn held_bytes(&self) -> usize {
        self.input.capacity() + self.output.capacity()
    }

    pub(crate) fn holds_compressor(&self) -> bool {
        self.transport.holds_compressor()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    const COMMAND: Wait = Wait::new("command", Duration::from_secs(30));
    const REPLY: Wait = Wait::new("reply", Duration::from_secs(30));

    #[tokio::test(start_paused = true)]
    async fn bytes_stay_until_they_are_taken() {
        let (mut client, server) = duplex(1024);
        let mut conn = Conn::memory(server);
        client.write_all(b"one\r\ntwo").await.unwrap();
        assert_eq!(conn.fill(COMMAND).await.unwrap(), 8);
        conn.consume(Kind::Protocol, 5);
        assert_eq!(conn.buffered(), b"two");
        client.write_all(b"\r\n").await.unwrap();
        assert_eq!(conn.fill(COMMAND).await.unwrap(), 2);
        assert_eq!(conn.buffered(), b"two\r\n");
        conn.consume(Kind::Protocol, 999);
        drop(client);
        assert_eq!(conn.fill(COMMAND).await.unwrap(), 0);
        assert_eq!(conn.received_bytes(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_peer_is_named_after_its_wait() {
        let (_client, server) = duplex(1024);
        let mut conn = Conn::memory(server);
        let started = Instant::now();
        let error = conn.fill(COMMAND).await.unwrap_err();
        assert!(error.is_timeout());
        assert_eq!(error.to_string(), "command: nothing for 30s");
        assert_eq!(started.elapsed(), COMMAND.limit);
        // A deadline that comes first goes first.
        conn.set_read_deadline(Some(Deadline::after(Wait::new("literal", SLOW_RUSH))));
        let error = conn.fill(COMMAND).await.unwrap_err();
        assert_eq!(error.to_string(), "literal: not done in time");
        assert_eq!(started.elapsed(), COMMAND.limit + SLOW_RUSH);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_nothing_is_named_too() {
        let (_client, server) = duplex(16);
        let mut conn = Conn::memory(server);
        conn.send(Kind::Data, &[b'x'; 100]);
        let error = conn.flush(REPLY).await.unwrap_err();
        assert_eq!(error.to_string(), "reply: nothing for 30s");
    }

    #[tokio::test(start_paused = true)]
    async fn a_cancelled_fill_loses_nothing() {
        let (mut client, server) = duplex(1024);
        let mut conn = Conn::memory(server);
        let cancelled = timeout(Duration::from_secs(1), conn.fill(COMMAND)).await;
        assert!(cancelled.is_err());
        client.write_all(b"late").await.unwrap();
        assert_eq!(conn.fill(COMMAND).await.unwrap(), 4);
        assert_eq!(conn.buffered(), b"late");
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_cannot_fill_the_buffer_without_end() {
        let (mut client, server) = duplex(1 << 20);
        let mut conn = Conn::memory(server);
        client.write_all(&vec![b'x'; 1 << 20]).await.unwrap();
        let error = loop {
            if let Err(error) = conn.fill(COMMAND).await {
                break error;
            }
        };
        assert!(matches!(error, ConnError::BufferFull), "{error}");
        assert!(conn.buffered().len() < READ_BUFFER_BYTES_MAX + READ_BYTES_MAX);
        assert!(conn.input.capacity() <= READ_BUFFER_BYTES_MAX * 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_waiting_connection_holds_little_memory() {
        let (mut client, server) = duplex(1 << 20);
        let mut conn = Conn::memory(server);
        client.write_all(&vec![b'x'; 1 << 19]).await.unwrap();
        let mut taken = 0;
        while taken < 1 << 19 {
            taken += conn.fill(COMMAND).await.unwrap();
            let count = conn.buffered().len();
            conn.consume(Kind::Data, count);
        }
        assert!(conn.read_bytes > 16 * 1024, "reads grew to {}", conn.read_bytes);
        conn.send(Kind::Data, &vec![b'y'; 100_000]);
        assert!(conn.wants_flush());
        conn.flush(REPLY).await.unwrap();
        assert!(conn.fill(COMMAND).await.is_err());
        assert!(conn.input.capacity() <= READ_BYTES_MIN, "{}", conn.input.capacity());
        assert_eq!(conn.output.capacity(), 0);
        assert_eq!(conn.sent_bytes(), 100_000);
    }

    #[tokio::test(start_paused = true)]
    async fn slow_mode_pauses_reads_and_sends_a_byte_a_second() {
        let (mut client, server) = duplex(1024);
        let mut conn = Conn::memory(server);
        conn.set_slow(true);
        client.write_all(b"x").await.unwrap();
        let started = Instant::now();
        conn.fill(COMMAND).await.unwrap();
        assert_eq!(started.elapsed(), Duration::from_secs(1));

        conn.send(Kind::Protocol, b"no\r\n");
        conn.flush(REPLY).await.unwrap();
        assert_eq!(started.elapsed(), Duration::from_secs(4), "three bytes, then the last");

        // 100 bytes would take 99 seconds: from second 25 on the rest goes at once.
        conn.send(Kind::Protocol, &[b'x'; 100]);
        conn.flush(REPLY).await.unwrap();
        assert_eq!(started.elapsed(), Duration::from_secs(4 + 25));
        drop(conn);
        let mut all = Vec::new();
        client.read_to_end(&mut all).await.unwrap();
        assert_eq!(all.len(), 104);
    }

    #[tokio::test(start_paused = true)]
    async fn closing_sends_the_rest_and_does_not_wait_for_ever() {
        let (mut client, server) = duplex(1024);
        let mut conn = Conn::memory(server);
        conn.send(Kind::Protocol, b"bye\r\n");
        let started = Instant::now();
        conn.close().await;
        assert_eq!(started.elapsed(), CLOSE_WAIT, "this client never closes");
        let mut all = Vec::new();
        client.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, b"bye\r\n");
    }
}
