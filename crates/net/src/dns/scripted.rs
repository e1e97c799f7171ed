//! A server on loopback that says what a test tells it to.

#![expect(clippy::unwrap_used, reason = "a broken server should fail the test that made it")]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
#[cfg(test)]
use hickory_proto::rr::{Name as WireName, RData, Record};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinSet;

/// How a question came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    Udp,
    Tcp,
}

type Script = dyn Fn(&Message, By) -> Vec<Vec<u8>> + Send + Sync;

/// Answers each question with the datagrams, or the contents of the TCP connection, of its script,
/// until it is dropped.
pub(super) struct Scripted {
    pub(super) addr: SocketAddr,
    asked: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Scripted {
    pub(super) async fn start(
        script: impl Fn(&Message, By) -> Vec<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        let (udp, tcp) = sockets().await;
        let addr = udp.local_addr().unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let script: Arc<Script> = Arc::new(script);
        let mut tasks = JoinSet::new();
        tasks.spawn(by_udp(udp, Arc::clone(&script), Arc::clone(&asked)));
        tasks.spawn(by_tcp(tcp, script, Arc::clone(&asked)));
        Self { addr, asked, _tasks: tasks }
    }

    /// Answers with the same bytes however it is asked.
    #[cfg(test)]
    pub(super) async fn answering(
        answer: impl Fn(&Message) -> Message + Send + Sync + 'static,
    ) -> Self {
        Self::start(move |question, by| vec![framed(&answer(question), by)]).await
    }

    /// Takes questions and says nothing.
    #[cfg(test)]
    pub(super) async fn silent() -> Self {
        Self::start(|_, _| Vec::new()).await
    }

    pub(super) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

/// Two sockets of one port.
async fn sockets() -> (UdpSocket, TcpListener) {
    loop {
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        // Another program may have the same port by UDP.
        if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()).await {
            return (udp, tcp);
        }
    }
}

async fn by_udp(socket: UdpSocket, script: Arc<Script>, asked: Arc<AtomicUsize>) {
    let mut buffer = vec![0; 65_535];
    while let Ok((read, peer)) = socket.recv_from(&mut buffer).await {
        asked.fetch_add(1, Ordering::Relaxed);
        let question = Message::from_vec(&buffer[..read]).unwrap();
        for datagram in script(&question, By::Udp) {
            // Whoever asked may have gone.
            let _sent = socket.send_to(&datagram, peer).await;
        }
    }
}

async fn by_tcp(listener: TcpListener, script: Arc<Script>, asked: Arc<AtomicUsize>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let Ok(length) = stream.read_u16().await else { continue };
        let mut question = vec![0; length.into()];
        if stream.read_exact(&mut question).await.is_err() {
            continue;
        }
        asked.fetch_add(1, Ordering::Relaxed);
        let question = Message::from_vec(&question).unwrap();
        let _written = stream.write_all(&script(&question, By::Tcp).concat()).await;
    }
}

/// A message as it goes over the wire.
pub(super) fn framed(message: &Message, by: By) -> Vec<u8> {
    let mut bytes = message.to_vec().unwrap();
    if by == By::Tcp {
        let length = u16::try_from(bytes.len()).unwrap();
        bytes.splice(..0, length.to_be_bytes());
    }
    bytes
}

/// An answer to a question with nothing in it.
pub(super) fn empty(question: &Message, code: ResponseCode) -> Message {
    let mut answer = Message::new(question.metadata.id, MessageType::Response, OpCode::Query);
    answer.metadata.recursion_available = true;
    answer.metadata.response_code = code;
    answer.add_queries(question.queries.iter().cloned());
    answer
}

/// An answer with records.
#[cfg(test)]
pub(super) fn with(question: &Message, records: &[(&str, u32, RData)]) -> Message {
    let mut answer = empty(question, ResponseCode::NoError);
    for (name, ttl, data) in records {
        let name = WireName::from_ascii(name).unwrap();
        answer.add_answer(Record::from_rdata(name, *ttl, data.clone()));
    }
    answer
}
