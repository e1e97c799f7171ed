//! Listening sockets and the loop that accepts connections.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::{Conn, Supervisor};

/// Connections that the kernel holds for us before they are accepted.
pub const BACKLOG: i32 = 1_024;

/// Connections open at once on one listener. Above that, new ones wait in the backlog.
pub const CONNECTIONS_MAX: usize = 10_000;

/// How long a connection may be silent before the kernel asks whether the peer is still there.
pub const KEEPALIVE: Duration = Duration::from_secs(5 * 60);

/// The address that a connection has which is not TCP, for the limits by address.
pub const MEMORY_PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 10));

/// An address could not be listened on.
#[derive(Debug, thiserror::Error)]
#[error("listen on {addr}")]
pub struct BindError {
    /// The address as asked for.
    pub addr: SocketAddr,
    /// Why not.
    #[source]
    pub source: io::Error,
}

/// A socket that listens.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    addr: SocketAddr,
}

/// How a listener behaves.
#[derive(Clone, Debug)]
pub struct ListenerOptions {
    /// What it serves, for the log: `smtp`, `imaps`, ….
    pub name: &'static str,
    /// See [`CONNECTIONS_MAX`].
    pub connections_max: usize,
}

impl ListenerOptions {
    /// A listener under this name, with the usual bounds.
    #[must_use]
    pub fn named(name: &'static str) -> Self {
        Self { name, connections_max: CONNECTIONS_MAX }
    }
}

/// A connection that was accepted.
#[derive(Debug)]
pub struct Incoming {
    /// Plain TCP so far; on a port with immediate TLS the driver starts TLS first.
    pub conn: Conn,
    /// Its number, unique in this run of the server.
    pub cid: u64,
    /// Cancelled when the server shuts down.
    pub stopping: CancellationToken,
}

impl Listener {
    /// Listens on one address. Port 0 takes a free one. An IPv6 socket takes IPv6 only, so that
    /// `0.0.0.0` and `::` can be listened on side by side.
    ///
    /// Must be called inside a tokio runtime.
    pub fn bind(addr: SocketAddr) -> Result<Self, BindError> {
        let socket = Self::bind_std(addr)?;
        Self::from_std(socket).map_err(|source| BindError { addr, source })
    }

    /// As [`Listener::bind`], but only the socket: to be passed on, or used with
    /// [`Listener::from_std`]. Needs no runtime.
    pub fn bind_std(addr: SocketAddr) -> Result<std::net::TcpListener, BindError> {
        let bind = || -> io::Result<Socket> {
            let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
            if addr.is_ipv6() {
                socket.set_only_v6(true)?;
            }
            // A restarted server takes its port back while old connections still linger.
            socket.set_reuse_address(true)?;
            socket.bind(&addr.into())?;
            socket.listen(BACKLOG)?;
            Ok(socket)
        };
        bind().map(Into::into).map_err(|source| BindError { addr, source })
    }

    /// Takes a socket that is bound and listens already, as a privileged parent passes it on.
    ///
    /// # Errors
    ///
    /// If it does not listen, or the runtime cannot wait for it.
    pub fn from_std(socket: std::net::TcpListener) -> io::Result<Self> {
        if !SockRef::from(&socket).is_listener()? {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the socket does not listen"));
        }
        socket.set_nonblocking(true)?;
        let socket = TcpListener::from_std(socket)?;
        let addr = socket.local_addr()?;
        Ok(Self { socket, addr })
    }

    /// The address with its real port.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Accepts connections until the supervisor accepts no more, and runs `handle` for each in a task.
    pub async fn serve<F, H>(self, supervisor: Supervisor, options: ListenerOptions, handle: H)
    where
        F: Future<Output = ()> + Send + 'static,
        H: Fn(Incoming) -> F,
    {
        let ended = supervisor.accepts_no_more();
        ended.run_until_cancelled(self.accept_loop(&supervisor, &options, handle)).await;
    }

    async fn accept_loop<F, H>(&self, supervisor: &Supervisor, options: &ListenerOptions, handle: H)
    where
        F: Future<Output = ()> + Send + 'static,
        H: Fn(Incoming) -> F,
    {
        let slots = Arc::new(Semaphore::new(options.connections_max));
        let mut backoff = AcceptBackoff::default();
        loop {
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
            let (stream, peer) = match self.socket.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    let wait = backoff.failed(&error);
                    if !wait.is_zero() {
                        let name = options.name;
                        tracing::error!(name, addr = %self.addr, %error, ?wait, "accept failed");
                    }
                    tokio::time::sleep(wait).await;
                    continue;
                }
            };
            backoff.succeeded();
            prepare(&stream);
            let cid = supervisor.next_cid();
            let conn = Conn::tcp(stream, peer, self.addr);
            let task = handle(Incoming { conn, cid, stopping: supervisor.stopping() });
            supervisor.spawn(options.name, cid, async move {
                task.await;
                drop(slot);
            });
        }
    }
}

/// Sets keep-alive and sends small writes at once. Failing is no reason to refuse a client.
fn prepare(stream: &TcpStream) {
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE);
    let set = SockRef::from(stream).set_tcp_keepalive(&keepalive);
    if let Err(error) = set.and_then(|()| stream.set_nodelay(true)) {
        tracing::debug!(%error, "socket options not set");
    }
}

/// How long to wait after a failed `accept`.
///
/// Without a wait, a process out of file descriptors would spin: the connection stays in the
/// backlog and `accept` fails again at once.
#[derive(Debug, Default)]
pub struct AcceptBackoff {
    next: Duration,
}

const BACKOFF_MIN: Duration = Duration::from_millis(10);
const BACKOFF_MAX: Duration = Duration::from_secs(1);

impl AcceptBackoff {
    /// The wait after this failure: none if it concerned one connection only, else doubling from
    /// 10 ms to 1 s.
    pub fn failed(&mut self, error: &io::Error) -> Duration {
        use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
        if matches!(
            error.kind(),
            ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted
        ) {
            return Duration::ZERO;
        }
        self.next = (self.next * 2).clamp(BACKOFF_MIN, BACKOFF_MAX);
        self.next
    }

    /// A connection was accepted: the next failure starts over.
    pub fn succeeded(&mut self) {
        self.next = Duration::ZERO;
    }
}

#[cfg(test)]
mod tests {
    use mox_base::UnixSeconds;
    use mox_testkit::ManualClock;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::{Wait, trace::Kind};

    const TEST: Wait = Wait::new("test", Duration::from_secs(10));

    #[track_caller]
    fn check_backoff(errors: &[i32], want_millis: &[u64]) {
        let mut backoff = AcceptBackoff::default();
        let waits: Vec<_> = errors
            .iter()
            .map(|errno| backoff.failed(&io::Error::from_raw_os_error(*errno)))
            .collect();
        let want: Vec<_> = want_millis.iter().copied().map(Duration::from_millis).collect();
        assert_eq!(waits, want);
    }

    #[test]
    fn accept_waits_longer_when_resources_run_out() {
        const EMFILE: i32 = 24;
        const ENFILE: i32 = 23;
        const ENOBUFS: i32 = 105;
        const ECONNABORTED: i32 = 103;
        check_backoff(&[ECONNABORTED, ECONNABORTED], &[0, 0]);
        check_backoff(&[EMFILE, ENFILE, ENOBUFS], &[10, 20, 40]);
        check_backoff(&[EMFILE; 9], &[10, 20, 40, 80, 160, 320, 640, 1_000, 1_000]);
        let mut backoff = AcceptBackoff::default();
        let full = io::Error::from_raw_os_error(EMFILE);
        backoff.failed(&full);
        backoff.failed(&full);
        backoff.succeeded();
        assert_eq!(backoff.failed(&full), BACKOFF_MIN);
    }

    async fn echo(mut incoming: Incoming) {
        while incoming.conn.fill(TEST).await.unwrap() > 0 {
            let bytes = incoming.conn.buffered().to_vec();
            incoming.conn.consume(Kind::Protocol, bytes.len());
            incoming.conn.send(Kind::Protocol, &bytes);
            incoming.conn.flush(TEST).await.unwrap();
        }
    }

    fn supervisor() -> Supervisor {
        Supervisor::new(&ManualClock::at(UnixSeconds(0)))
    }

    async fn ask(client: &mut TcpStream, text: &[u8]) -> Vec<u8> {
        client.write_all(text).await.unwrap();
        let mut answer = vec![0; text.len()];
        client.read_exact(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn connections_are_served_on_both_families_until_shutdown() {
        let supervisor = supervisor();
        for addr in ["127.3.1.9:0", "[::1]:0"] {
            let listener = match Listener::bind(addr.parse().unwrap()) {
                // A machine may have no IPv6.
                Err(error) if addr.starts_with('[') => {
                    assert!(error.to_string().contains("[::1]:0"));
                    continue;
                }
                bound => bound.unwrap(),
            };
            let addr = listener.addr();
            let options = ListenerOptions::named("test");
            let serve = listener.serve(supervisor.clone(), options, echo);
            let serving = tokio::spawn(serve);
            let mut client = TcpStream::connect(addr).await.unwrap();
            assert_eq!(ask(&mut client, b"hello").await, b"hello");
            drop(client);
            if addr.is_ipv6() || Listener::bind("[::1]:0".parse().unwrap()).is_err() {
                supervisor.shutdown(Duration::from_secs(5)).await;
                serving.await.unwrap();
                assert!(TcpStream::connect(addr).await.is_err(), "the port is closed");
            }
        }
        assert_eq!(supervisor.panics(), 0);
    }

    #[tokio::test]
    async fn a_connection_over_the_maximum_waits_for_a_free_place() {
        let supervisor = supervisor();
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let addr = listener.addr();
        let options = ListenerOptions { name: "test", connections_max: 1 };
        tokio::spawn(listener.serve(supervisor.clone(), options, echo));
        let mut first = TcpStream::connect(addr).await.unwrap();
        assert_eq!(ask(&mut first, b"one").await, b"one");
        let mut second = TcpStream::connect(addr).await.unwrap();
        assert_eq!(supervisor.tasks(), 1);
        drop(first);
        assert_eq!(ask(&mut second, b"two").await, b"two");
    }

    #[tokio::test]
    async fn a_socket_that_was_passed_on_must_listen() {
        let passed = Listener::bind_std("127.0.0.1:0".parse().unwrap()).unwrap();
        let addr = passed.local_addr().unwrap();
        assert_eq!(Listener::from_std(passed).unwrap().addr(), addr);
        let deaf = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        deaf.bind(&addr_of("127.0.0.1:0").into()).unwrap();
        let refused = Listener::from_std(deaf.into()).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
    }

    fn addr_of(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[tokio::test]
    async fn a_taken_port_is_an_error_that_names_the_address() {
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let error = Listener::bind(listener.addr()).unwrap_err();
        assert_eq!(error.addr, listener.addr());
        assert_eq!(error.source.kind(), io::ErrorKind::AddrInUse);
    }
}
