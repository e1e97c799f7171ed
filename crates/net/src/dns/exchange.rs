//! One question to several servers, by UDP, and by TCP where that is not enough.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use hickory_proto::op::{Message, ResponseCode};
use mox_base::Rng;
use mox_dns::Trouble;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::resolv_conf::ResolvConf;
use super::wire::{self, Question, Received};

/// Questions that are on their way at the same time at most; more wait. Each has a socket.
pub const QUESTIONS_MAX: usize = 256;

/// Datagrams with a wrong number that are read while waiting for the right one. Somebody who sends
/// more tries to guess it: the question is asked again by TCP. RFC 5452 §9.1.
pub const STRAYS_MAX: usize = 64;

/// Bytes of a datagram that are read: more than is asked for, since some servers do not listen.
const UDP_BYTES_MAX: usize = 4096;

/// The servers, and how they are asked.
pub(super) struct Upstream {
    conf: ResolvConf,
    rng: Arc<dyn Rng>,
    room: Semaphore,
}

/// An answer, and who gave it.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) message: Message,
    pub(super) server: SocketAddr,
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.conf.fmt(f)
    }
}

impl Upstream {
    pub(super) fn new(conf: ResolvConf, rng: Arc<dyn Rng>) -> Self {
        Self { conf, rng, room: Semaphore::new(QUESTIONS_MAX) }
    }

    pub(super) fn conf(&self) -> &ResolvConf {
        &self.conf
    }

    /// Asks the servers one after the other until one gives an answer: that there is something, that
    /// there is nothing, or that what there is cannot be vouched for.
    ///
    /// A server that fails in its own words is not asked again. Returns the trouble that says most.
    pub(super) async fn ask(&self, question: &Question) -> Result<Reply, Trouble> {
        let Ok(_permit) = self.room.acquire().await else { return Err(Trouble::Unreachable) };
        let mut has_failed = vec![false; self.conf.servers.len()];
        let mut trouble = Trouble::Unreachable;
        for _ in 0..self.conf.attempts {
            for (server, has_failed) in self.conf.servers.iter().zip(&mut has_failed) {
                if *has_failed {
                    continue;
                }
                match self.ask_one(*server, question).await.and_then(final_answer) {
                    Ok(message) => return Ok(Reply { message, server: *server }),
                    Err(one) => {
                        tracing::debug!(%server, name = %question.name, kind = %question.kind,
                            trouble = ?one, "no answer from a DNS server");
                        *has_failed = matches!(one, Trouble::ServerFailure | Trouble::Refused);
                        trouble = worse(trouble, one);
                    }
                }
            }
        }
        Err(trouble)
    }

    /// One server, asked once, or again without EDNS if it does not know that.
    async fn ask_one(&self, server: SocketAddr, question: &Question) -> Result<Message, Trouble> {
        let message = self.ask_once(server, question, true).await?;
        if wire::refuses_edns(&message) {
            return self.ask_once(server, question, false).await;
        }
        Ok(message)
    }

    async fn ask_once(
        &self,
        server: SocketAddr,
        question: &Question,
        edns: bool,
    ) -> Result<Message, Trouble> {
        let wait = self.conf.timeout;
        if !self.conf.tcp_only {
            let id = self.id();
            let bytes = question.encode(id, edns)?;
            let asked = timeout(wait, by_udp(server, &bytes, id, question)).await;
            match asked.unwrap_or(Err(Trouble::Timeout))? {
                Some(message) if !message.metadata.truncation => return Ok(message),
                // Cut off, or somebody guesses. RFC 7766 §5.
                _ => {}
            }
        }
        let id = self.id();
        let bytes = question.encode(id, edns)?;
        let asked = timeout(wait, by_tcp(server, &bytes, id, question)).await;
        asked.unwrap_or(Err(Trouble::Timeout))
    }

    /// A number that nobody can guess. RFC 5452 §9.2.
    fn id(&self) -> u16 {
        let mut bytes = [0; 2];
        self.rng.fill(&mut bytes);
        u16::from_be_bytes(bytes)
    }
}

/// Asks by UDP. `None` if too much came that is no answer.
///
/// The socket is new, so that its port is chosen at random by the system (RFC 5452 §9.2), and takes
/// datagrams from the server only.
async fn by_udp(
    server: SocketAddr,
    bytes: &[u8],
    id: u16,
    question: &Question,
) -> Result<Option<Message>, Trouble> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).await.map_err(|error| unreachable(&error))?;
    socket.connect(server).await.map_err(|error| unreachable(&error))?;
    socket.send(bytes).await.map_err(|error| unreachable(&error))?;
    let mut buffer = vec![0; UDP_BYTES_MAX];
    for _ in 0..STRAYS_MAX {
        let read = socket.recv(&mut buffer).await.map_err(|error| unreachable(&error))?;
        match wire::receive(buffer.get(..read).unwrap_or_default(), id, question) {
            Received::Stray => {}
            Received::Damaged => return Err(Trouble::Malformed),
            Received::Answer(message) => return Ok(Some(*message)),
        }
    }
    Ok(None)
}

/// Asks by TCP. RFC 1035 §4.2.2, RFC 7766 §8.
async fn by_tcp(
    server: SocketAddr,
    bytes: &[u8],
    id: u16,
    question: &Question,
) -> Result<Message, Trouble> {
    let length = u16::try_from(bytes.len()).map_err(|_| Trouble::Malformed)?;
    let mut framed = length.to_be_bytes().to_vec();
    framed.extend_from_slice(bytes);
    let answer = async {
        let mut stream = TcpStream::connect(server).await?;
        stream.write_all(&framed).await?;
        let length = stream.read_u16().await?;
        // 64 KB at most, and as much as comes: a length alone takes no memory.
        let mut answer = Vec::new();
        stream.take(length.into()).read_to_end(&mut answer).await?;
        io::Result::Ok((answer, usize::from(length)))
    };
    let (answer, length) = answer.await.map_err(|error| unreachable(&error))?;
    if answer.len() != length {
        return Err(Trouble::Malformed);
    }
    match wire::receive(&answer, id, question) {
        // By TCP nothing is left to be cut off.
        Received::Answer(message) if !message.metadata.truncation => Ok(*message),
        _ => Err(Trouble::Malformed),
    }
}

fn unreachable(error: &io::Error) -> Trouble {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Trouble::Malformed,
        io::ErrorKind::TimedOut => Trouble::Timeout,
        _ => Trouble::Unreachable,
    }
}

/// The message, if it settles the question.
fn final_answer(message: Message) -> Result<Message, Trouble> {
    match message.metadata.response_code {
        ResponseCode::NoError | ResponseCode::NXDomain => Ok(message),
        ResponseCode::ServFail if wire::is_bogus(&message) => Ok(message),
        ResponseCode::Refused | ResponseCode::NotImp | ResponseCode::NotAuth => {
            Err(Trouble::Refused)
        }
        ResponseCode::FormErr => Err(Trouble::Malformed),
        _ => Err(Trouble::ServerFailure),
    }
}

/// Of two troubles the one that tells more: what a server said before what it did not say.
fn worse(one: Trouble, other: Trouble) -> Trouble {
    let rank = |trouble| match trouble {
        Trouble::Unreachable => 0,
        Trouble::Timeout => 1,
        Trouble::Malformed => 2,
        Trouble::Refused => 3,
        Trouble::ServerFailure => 4,
    };
    if rank(other) > rank(one) { other } else { one }
}
