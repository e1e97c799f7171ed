//! What bytes travel over below a [`Conn`](crate::Conn).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::{client, server};

use crate::deflate::Deflated;

/// A byte stream without TLS.
#[derive(Debug)]
pub(crate) enum Plain {
    Tcp(TcpStream),
    Unix(UnixStream),
    Memory(DuplexStream),
}

/// A byte stream below TLS: bytes that were read too early come first.
///
/// Also keeps the first bytes, by which a client of SSL 2 or of no TLS at all is told apart.
#[derive(Debug)]
pub(crate) struct Prefixed {
    prefix: Vec<u8>,
    first: [u8; 3],
    seen: usize,
    io: Plain,
}

/// Plain or with TLS.
#[derive(Debug)]
pub(crate) enum Transport {
    Plain(Plain),
    Tls(Box<server::TlsStream<Prefixed>>),
    /// As the client.
    ClientTls(Box<client::TlsStream<Prefixed>>),
    /// Compressed, over one of the others.
    Deflated(Box<Deflated>),
    /// Only while TLS or compression is being started or ended.
    Gone,
}

/// The bytes of a [`Conn`](crate::Conn), within TLS if that is on, for a library that reads and writes
/// by its own rules.
#[derive(Debug)]
pub struct ByteStream(pub(crate) Transport);

impl AsyncRead for ByteStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for ByteStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_shutdown(cx)
    }
}

impl Transport {
    /// Whether [`Self::release_compressor`] would give anything back.
    pub(crate) fn holds_compressor(&self) -> bool {
        matches!(self, Self::Deflated(io) if io.holds_compressor())
    }

    /// Gives back what only sending needs.
    pub(crate) fn release_compressor(&mut self) {
        if let Self::Deflated(io) = self {
            io.release();
        }
    }
}

impl Prefixed {
    pub(crate) fn new(prefix: Vec<u8>, io: Plain) -> Self {
        Self { prefix, first: [0; 3], seen: 0, io }
    }

    /// Whether the first record looks like the hello of SSL 2: a length with the top bit set, then
    /// message type 1.
    pub(crate) fn looks_like_sslv2(&self) -> bool {
        self.seen == 3 && self.first[0] & 0x80 != 0 && self.first[2] == 1
    }

    fn note(&mut self, bytes: &[u8]) {
        for byte in bytes.iter().take(3 - self.seen) {
            self.first[self.seen] = *byte;
            self.seen += 1;
        }
    }
}

impl AsyncRead for Prefixed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.prefix.is_empty() {
            let count = self.prefix.len().min(buffer.remaining());
            let rest = self.prefix.split_off(count);
            let bytes = std::mem::replace(&mut self.prefix, rest);
            buffer.put_slice(&bytes);
            self.note(&bytes);
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.io).poll_read(cx, buffer);
        if self.seen < 3 {
            self.note(&buffer.filled()[before..]);
        }
        polled
    }
}

impl AsyncWrite for Prefixed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

impl AsyncRead for Plain {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(io) => Pin::new(io).poll_read(cx, buffer),
            Self::Unix(io) => Pin::new(io).poll_read(cx, buffer),
            Self::Memory(io) => Pin::new(io).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Plain {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(io) => Pin::new(io).poll_write(cx, bytes),
            Self::Unix(io) => Pin::new(io).poll_write(cx, bytes),
            Self::Memory(io) => Pin::new(io).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(io) => Pin::new(io).poll_flush(cx),
            Self::Unix(io) => Pin::new(io).poll_flush(cx),
            Self::Memory(io) => Pin::new(io).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(io) => Pin::new(io).poll_shutdown(cx),
            Self::Unix(io) => Pin::new(io).poll_shutdown(cx),
            Self::Memory(io) => Pin::new(io).poll_shutdown(cx),
        }
    }
}

fn gone() -> io::Error {
    io::ErrorKind::NotConnected.into()
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_read(cx, buffer),
            Self::Tls(io) => Pin::new(io.as_mut()).poll_read(cx, buffer),
            Self::ClientTls(io) => Pin::new(io.as_mut()).poll_read(cx, buffer),
            Self::Deflated(io) => Pin::new(io.as_mut()).poll_read(cx, buffer),
            Self::Gone => Poll::Ready(Err(gone())),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_write(cx, bytes),
            Self::Tls(io) => Pin::new(io.as_mut()).poll_write(cx, bytes),
            Self::ClientTls(io) => Pin::new(io.as_mut()).poll_write(cx, bytes),
            Self::Deflated(io) => Pin::new(io.as_mut()).poll_write(cx, bytes),
            Self::Gone => Poll::Ready(Err(gone())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_flush(cx),
            Self::Tls(io) => Pin::new(io.as_mut()).poll_flush(cx),
            Self::ClientTls(io) => Pin::new(io.as_mut()).poll_flush(cx),
            Self::Deflated(io) => Pin::new(io.as_mut()).poll_flush(cx),
            Self::Gone => Poll::Ready(Err(gone())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_shutdown(cx),
            Self::Tls(io) => Pin::new(io.as_mut()).poll_shutdown(cx),
            Self::ClientTls(io) => Pin::new(io.as_mut()).poll_shutdown(cx),
            Self::Deflated(io) => Pin::new(io.as_mut()).poll_shutdown(cx),
            Self::Gone => Poll::Ready(Err(gone())),
        }
    }
}
