//! A client that sends commands and counts responses.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use mox::localserve::{ADDRESS, PASSWORD};
use mox_imap::client::{Response, ResponseReader};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

/// How long a client waits for the server: a bench must not hang.
pub(crate) const PEER_WAIT: Duration = Duration::from_secs(30);

/// What is read at once. Few system calls, so that the client costs little.
const READ_BYTES: usize = 64 << 10;

enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

/// A session that has been greeted.
pub(crate) struct Imap {
    stream: Stream,
    reader: ResponseReader,
    last_tag: u32,
}

impl Imap {
    /// Connects and waits for the greeting.
    pub(crate) fn connect(addr: SocketAddr) -> Result<Self> {
        Self::greeted(Stream::Plain(tcp(addr)?))
    }

    /// Like [`Imap::connect`], with a TLS handshake first.
    pub(crate) fn connect_tls(addr: SocketAddr, config: &Arc<ClientConfig>) -> Result<Self> {
        let name = ServerName::try_from("localhost")?;
        let tls = ClientConnection::new(Arc::clone(config), name)?;
        Self::greeted(Stream::Tls(Box::new(StreamOwned::new(tls, tcp(addr)?))))
    }

    fn greeted(stream: Stream) -> Result<Self> {
        let mut session = Self { stream, reader: ResponseReader::default(), last_tag: 0 };
        session.wait(|response| response.rest().starts_with(b"OK"))?;
        Ok(session)
    }

    /// Connects and logs in.
    pub(crate) fn open(addr: SocketAddr) -> Result<Self> {
        let mut session = Self::connect(addr)?;
        session.login()?;
        Ok(session)
    }

    /// Logs in with PLAIN and an initial response.
    pub(crate) fn login(&mut self) -> Result<()> {
        let response = BASE64.encode(format!("\0{ADDRESS}\0{PASSWORD}"));
        self.command(&format!("AUTHENTICATE PLAIN {response}"), |_| ()).map(drop)
    }

    /// Sends a command, shows each untagged response, and returns the text of the tagged OK.
    pub(crate) fn command(
        &mut self,
        text: &str,
        each: impl FnMut(&Response<'_>),
    ) -> Result<String> {
        let tag = self.send(text.as_bytes())?;
        self.finish(&tag, each).with_context(|| format!("command {text}"))
    }

    /// Sends a command and returns how many FETCH responses it had.
    pub(crate) fn count_fetches(&mut self, text: &str) -> Result<u64> {
        let mut count = 0;
        self.command(text, |response| {
            let start = response.bytes();
            count += u64::from(start.get(..64).unwrap_or(start).windows(7).any(is_fetch));
        })?;
        Ok(count)
    }

    /// Adds a message, by a literal that waits for nothing (RFC 7888 §3). Returns its UID.
    pub(crate) fn append(&mut self, mailbox: &str, flags: &str, message: &[u8]) -> Result<u32> {
        let mut command = Vec::with_capacity(message.len() + 64);
        write!(command, "APPEND {mailbox} ({flags}) {{{}+}}\r\n", message.len())?;
        command.extend_from_slice(message);
        let tag = self.send(&command)?;
        let reply = self.finish(&tag, |_| ())?;
        uids_of(&reply, "APPENDUID").and_then(|uids| uids.last().copied()).context("no APPENDUID")
    }

    /// Begins IDLE, and returns when it has begun.
    pub(crate) fn idle(&mut self) -> Result<()> {
        self.send(b"IDLE")?;
        self.wait(|response| response.tag() == b"+")
    }

    /// Reads responses up to the one looked for.
    pub(crate) fn wait(&mut self, mut wanted: impl FnMut(&Response<'_>) -> bool) -> Result<()> {
        loop {
            while let Some(response) = self.reader.next_response() {
                if wanted(&response) {
                    return Ok(());
                }
            }
            self.fill()?;
        }
    }

    /// Sends a command, and returns its tag.
    pub(crate) fn send(&mut self, command: &[u8]) -> Result<String> {
        self.last_tag += 1;
        let tag = format!("a{}", self.last_tag);
        let line = [tag.as_bytes(), b" ", command, b"\r\n"].concat();
        self.send_raw(&line)?;
        Ok(tag)
    }

    /// Sends what is no command, or not a whole one.
    pub(crate) fn send_raw(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes)?;
        Ok(self.stream.flush()?)
    }

    /// Waits for the next response, whatever it is.
    pub(crate) fn next<T>(&mut self, read: impl FnOnce(&Response<'_>) -> T) -> Result<T> {
        loop {
            if let Some(response) = self.reader.next_response() {
                return Ok(read(&response));
            }
            self.fill()?;
        }
    }

    fn finish(&mut self, tag: &str, mut each: impl FnMut(&Response<'_>)) -> Result<String> {
        loop {
            while let Some(response) = self.reader.next_response() {
                if response.is_reply(tag) {
                    ensure!(response.is_ok(tag), "refused: {}", response.text());
                    return Ok(response.text());
                }
                each(&response);
            }
            self.fill()?;
        }
    }

    fn fill(&mut self) -> Result<()> {
        let mut buffer = [0; READ_BYTES];
        let count = self.stream.read(&mut buffer)?;
        ensure!(count > 0, "the server closed the connection");
        self.reader.feed(buffer.get(..count).unwrap_or_default());
        Ok(())
    }
}

fn tcp(addr: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(addr)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PEER_WAIT))?;
    Ok(stream)
}

fn is_fetch(window: &[u8]) -> bool {
    window == b" FETCH "
}

/// The UIDs given last in the response code of this name: `[APPENDUID v uids]`, and the new ones
/// of `[COPYUID v from to]`. RFC 9051 §7.1.
pub(crate) fn uids_of(reply: &str, code: &str) -> Option<Vec<u32>> {
    let (_, rest) = reply.split_once(&format!("[{code} "))?;
    let (inside, _) = rest.split_once(']')?;
    expand(inside.rsplit(' ').next()?)
}

/// The numbers of a set without `*`, in the order given.
pub(crate) fn expand(set: &str) -> Option<Vec<u32>> {
    /// The most numbers in a set that is believed.
    const UIDS_MAX: usize = 1_000_000;
    let mut uids = Vec::new();
    for range in set.split(',') {
        let (from, to) = range.split_once(':').unwrap_or((range, range));
        let (from, to): (u32, u32) = (from.parse().ok()?, to.parse().ok()?);
        uids.extend((from.min(to)..=from.max(to)).take(UIDS_MAX));
    }
    Some(uids)
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(reply: &str, code: &str, want: Option<&[u32]>) {
        assert_eq!(uids_of(reply, code).as_deref(), want, "{reply}");
    }

    /// RFC 9051 §7.1.
    #[test]
    fn uids_are_read_from_response_codes() {
        check("a1 OK [APPENDUID 38505 3955] done", "APPENDUID", Some(&[3955]));
        check("* OK [COPYUID 38505 304,319:320 3956:3958] x", "COPYUID", Some(&[3956, 3957, 3958]));
        check("* OK [COPYUID 1 1 4294967295] x", "COPYUID", Some(&[u32::MAX]));
        check("* OK [COPYUID 1 1 4294967296] x", "COPYUID", None);
        check("a1 OK done", "APPENDUID", None);
        check("a1 OK [APPENDUID 1 x] done", "APPENDUID", None);
    }
}
