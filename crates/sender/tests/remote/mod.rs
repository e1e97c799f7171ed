//! A server that plays a script, well or badly.
//!
//! One step a line: `S: text` says a line, `C: text` hears a line that begins so, `DATA` hears a
//! message up to its final dot, `BYTES n` so many bytes. `RAW text` says bytes with `\r`,
//! `\n` and `\xNN`, `DRIP text` says a line, one byte every 20 seconds, `TLS` does its part of a handshake,
//! `BADTLS` something else, `DEAF` stops to read without closing, `CLOSE` ends the connection. At the
//! end of the script it listens until the client goes.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a client that does not keep to the script should fail the test"
)]

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use mox_base::{Clock as _, UnixSeconds};
use mox_net::Conn;
use mox_net::tls::client::Connector;
use mox_testkit::ManualClock;
use mox_testkit::certificates::Certified;
use mox_tlspolicy::pkix::Roots;
use rustls::ALL_VERSIONS;
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, duplex};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::advance;

/// 2026-01-01.
pub(crate) const NOW: UnixSeconds = UnixSeconds(1_767_225_600);

/// Between the bytes of a reply that drips, on the paused clock of the test.
const DRIP: Duration = Duration::from_secs(20);

/// What a remote heard on one connection.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Heard {
    /// Commands, without their line ends.
    pub(crate) lines: Vec<String>,
    /// Messages, as they were sent.
    pub(crate) data: Vec<String>,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Plays the script over a connection in memory.
pub(crate) fn connect(script: &str) -> (Conn, JoinHandle<Heard>) {
    let (client, server) = duplex(64 * 1024);
    let script = script.to_owned();
    (Conn::memory(client), tokio::spawn(async move { play(Box::new(server), &script).await }))
}

/// Plays the scripts over TCP, one for each connection, one after the other.
pub(crate) async fn listen(scripts: &[&str]) -> (SocketAddr, JoinHandle<Vec<Heard>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let scripts: Vec<_> = scripts.iter().map(|script| (*script).to_owned()).collect();
    let played = async move {
        let mut all = Vec::new();
        for script in scripts {
            let (stream, _) = listener.accept().await.unwrap();
            all.push(play(Box::new(stream), &script).await);
        }
        all
    };
    (addr, tokio::spawn(played))
}

async fn play(stream: Box<dyn Stream>, script: &str) -> Heard {
    let mut heard = Heard::default();
    let mut stream = BufReader::new(stream);
    for step in script.lines().map(str::trim).filter(|step| !step.is_empty()) {
        let (verb, rest) = step.split_once(' ').unwrap_or((step, ""));
        match verb {
            "S:" => say(&mut stream, format!("{rest}\r\n").as_bytes()).await,
            "RAW" => say(&mut stream, &unescape(rest)).await,
            "DRIP" => {
                for byte in format!("{rest}\r\n").as_bytes() {
                    advance(DRIP).await;
                    say(&mut stream, &[*byte]).await;
                }
            }
            "C:" => {
                let line = hear(&mut stream, b"\r\n").await;
                assert!(line.starts_with(rest), "{line:?} instead of {rest:?}");
                heard.lines.push(line.trim_end().to_owned());
            }
            "DATA" => {
                let data = hear(&mut stream, b"\r\n.\r\n").await;
                heard.data.push(data);
            }
            "BYTES" => {
                let mut data = vec![0; rest.parse().unwrap()];
                stream.read_exact(&mut data).await.unwrap();
                heard.data.push(String::from_utf8_lossy(&data).into_owned());
            }
            "TLS" => {
                let acceptor =
                    tokio_rustls::TlsAcceptor::from(Arc::new(CERTIFIED.server(ALL_VERSIONS)));
                let plain = stream.into_inner();
                match acceptor.accept(Pinned(plain)).await {
                    Ok(tls) => stream = BufReader::new(Box::new(tls)),
                    Err(_) => return heard,
                }
            }
            "BADTLS" => {
                say(&mut stream, b"this is not TLS, whatever I said before\r\n").await;
                return heard;
            }
            "DEAF" => std::future::pending().await,
            "CLOSE" => return heard,
            _ => panic!("{step}"),
        }
    }
    // Errors and the end are the same to us.
    drop(stream.read_to_end(&mut Vec::new()).await);
    heard
}

/// Who is not there to hear it does not matter.
async fn say(stream: &mut BufReader<Box<dyn Stream>>, bytes: &[u8]) {
    if stream.write_all(bytes).await.is_ok() {
        drop(stream.flush().await);
    }
}

/// Reads up to and with an end. The end of the connection gives what there is.
async fn hear(stream: &mut BufReader<Box<dyn Stream>>, end: &[u8]) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(end) {
        match stream.read_u8().await {
            Ok(byte) => bytes.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((plain, escape)) = rest.split_once('\\') {
        bytes.extend_from_slice(plain.as_bytes());
        let (byte, length) = match escape.get(..1) {
            Some("r") => (b'\r', 1),
            Some("n") => (b'\n', 1),
            Some("x") => (u8::from_str_radix(&escape[1..3], 16).unwrap(), 3),
            _ => panic!("{text}"),
        };
        bytes.push(byte);
        rest = &escape[length..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

/// A boxed stream that a handshake can own.
struct Pinned(Box<dyn Stream>);

impl AsyncRead for Pinned {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Pinned {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        bytes: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// What all servers show, for any host that tests speak of.
static CERTIFIED: LazyLock<Certified> =
    LazyLock::new(|| Certified::new(&["mx.example", "mx.one.example"]));

/// The certificate that all servers show.
pub(crate) fn certificate() -> CertificateDer<'static> {
    CERTIFIED.der().clone()
}

/// Trusts nobody, at [`NOW`].
pub(crate) fn connector() -> Connector {
    let clock = ManualClock::at(NOW);
    debug_assert_eq!(clock.now(), NOW);
    Connector::new(Roots::default(), Arc::new(clock))
}
