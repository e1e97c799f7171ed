//! COMPRESS with a client that deflates. RFC 4978.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use mox_net::AuthFailures;
use mox_testkit::TestRng;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, ReadBuf};
use tokio::time::{Instant, sleep};

use crate::hostile::{below, play, stream};
use crate::logins::{acceptor, start_tls};
use crate::support::{Client, Io, PASSWORD, Server, Setup, server, server_with};

/// A client's end of a compressed stream. What it writes waits for `poll_flush`.
///
/// RFC 8437 §4.1: what it writes behind UNAUTHENTICATE is plain, and what it reads behind the end of
/// the server's stream.
struct Deflating {
    inner: Box<dyn Io>,
    compress: Compress,
    inflate: Decompress,
    outgoing: Vec<u8>,
    incoming: Vec<u8>,
    /// Bytes written to the stream below at a time.
    chunk_bytes: usize,
    is_plain_out: bool,
    is_plain_in: bool,
}

impl Deflating {
    fn over(inner: Box<dyn Io>, chunk_bytes: usize) -> Self {
        let compress = Compress::new(Compression::default(), false);
        let (outgoing, incoming) = (Vec::new(), Vec::new());
        let inflate = Decompress::new(false);
        let (is_plain_out, is_plain_in) = (false, false);
        Self {
            inner,
            compress,
            inflate,
            outgoing,
            incoming,
            chunk_bytes,
            is_plain_out,
            is_plain_in,
        }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outgoing.is_empty() {
            let count = self.outgoing.len().min(self.chunk_bytes);
            let count = ready!(Pin::new(&mut self.inner).poll_write(cx, &self.outgoing[..count]))?;
            self.outgoing.drain(..count);
        }
        Pin::new(&mut self.inner).poll_flush(cx)
    }
}

/// The compressed form of `bytes` behind what `compress` has seen.
fn deflate(compress: &mut Compress, bytes: &[u8], flush: FlushCompress) -> Vec<u8> {
    let start = compress.total_in();
    let mut all = Vec::new();
    loop {
        let at = usize::try_from(compress.total_in() - start).unwrap();
        all.reserve(4_096);
        compress.compress_vec(&bytes[at..], &mut all, flush).unwrap();
        let is_taken = compress.total_in() - start == bytes.len() as u64;
        if is_taken && all.len() < all.capacity() {
            return all;
        }
    }
}

impl AsyncRead for Deflating {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            let before = (this.inflate.total_in(), this.inflate.total_out());
            if this.is_plain_in {
                let count = this.incoming.len().min(room.remaining());
                room.put_slice(&this.incoming[..count]);
                this.incoming.drain(..count);
                return match count {
                    0 => Pin::new(&mut this.inner).poll_read(cx, room),
                    _ => Poll::Ready(Ok(())),
                };
            }
            let out = room.initialize_unfilled();
            let status =
                this.inflate.decompress(&this.incoming, out, FlushDecompress::None).unwrap();
            this.is_plain_in = status == Status::StreamEnd;
            let taken = usize::try_from(this.inflate.total_in() - before.0).unwrap();
            this.incoming.drain(..taken);
            let given = usize::try_from(this.inflate.total_out() - before.1).unwrap();
            if given > 0 {
                room.advance(given);
                return Poll::Ready(Ok(()));
            }
            if this.is_plain_in {
                continue;
            }
            let mut chunk = [0; 4_096];
            let mut read = ReadBuf::new(&mut chunk);
            ready!(Pin::new(&mut this.inner).poll_read(cx, &mut read))?;
            if read.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            this.incoming.extend_from_slice(read.filled());
        }
    }
}

impl AsyncWrite for Deflating {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_plain_out {
            self.outgoing.extend_from_slice(bytes);
            return Poll::Ready(Ok(bytes.len()));
        }
        self.is_plain_out = bytes.ends_with(b" UNAUTHENTICATE\r\n");
        let flush = if self.is_plain_out { FlushCompress::Finish } else { FlushCompress::None };
        let packed = deflate(&mut self.compress, bytes, flush);
        self.outgoing.extend(packed);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.is_plain_out {
            let packed = deflate(&mut self.compress, b"", FlushCompress::Sync);
            self.outgoing.extend(packed);
        }
        self.poll_send(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

impl Client {
    /// Sends COMPRESS and goes on compressed.
    pub(crate) async fn compress(mut self, chunk_bytes: usize) -> Self {
        assert_eq!(self.reply("COMPRESS DEFLATE").await, "OK COMPRESS active");
        self.deflating(chunk_bytes)
    }

    /// Deflates and inflates from here on.
    fn deflating(self, chunk_bytes: usize) -> Self {
        let Self { stream, task, number } = self;
        assert_eq!(stream.buffer(), b"");
        let inner = Box::new(Deflating::over(stream.into_inner(), chunk_bytes));
        Self { stream: BufReader::new(inner), task, number }
    }
}

fn large_message() -> Vec<u8> {
    let mut message = b"Subject: large\r\n\r\n".to_vec();
    while message.len() < 700_000 {
        message.extend_from_slice(format!("line at {}\r\n", message.len()).as_bytes());
    }
    message
}

async fn check_session(server: &Server, chunk_bytes: usize) {
    let mut client = server.inbox().await.compress(chunk_bytes).await;
    client.fails("COMPRESS DEFLATE", "NO [COMPRESSIONACTIVE]").await;
    let lines = client.ok("CAPABILITY").await;
    assert!(!lines[0].contains("COMPRESS"), "{lines:?}");
    client.send("a CREATE {3}\r\n").await;
    assert_eq!(client.line().await, "+ ");
    client.send("x/y\r\n").await;
    client.finish("a").await;
    let (_, reply) = client.append("Inbox", "Subject: small\r\n\r\nsmall\r\n").await;
    assert!(reply.starts_with("OK [APPENDUID "), "{reply}");
    let lines = client.ok("FETCH 1:* BODY.PEEK[]").await;
    let large = String::from_utf8(large_message()).unwrap();
    assert!(lines.iter().any(|line| line.contains(&large)), "{}", lines.len());
    client.send("b IDLE\r\n").await;
    assert_eq!(client.line().await, "+ waiting");
    server.deliver(b"Subject: new\r\n\r\n");
    assert!(client.line().await.ends_with(" EXISTS"));
    client.line().await;
    client.send("DONE\r\nc NOOP\r\nd DELETE x/y\r\n").await;
    client.finish("b").await;
    client.finish("c").await;
    client.finish("d").await;
    client.send("e LOGOUT\r\n").await;
    assert_eq!(client.line().await, "* BYE thanks");
    assert_eq!(client.line().await, "e OK LOGOUT done");
    client.closed().await;
}

/// RFC 4978 §3: a whole session, cut at any byte.
#[tokio::test]
async fn a_compressed_session() {
    let server = server();
    server.deliver(&large_message());
    for chunk_bytes in [1, 5, 1 << 20] {
        check_session(&server, chunk_bytes).await;
    }
    server.check();
}

#[tokio::test]
async fn compression_within_tls() {
    let server = server_with(Setup::with_tls(acceptor(), false));
    let mut client = server.connect().await;
    client.ok("STARTTLS").await;
    let (mut client, _) = start_tls(client, None).await;
    client.ok(&format!("LOGIN mjl@example.org \"{PASSWORD}\"")).await;
    let mut client = client.compress(1 << 20).await;
    assert_eq!(client.ok("LIST \"\" Inbox").await.len(), 1);
}

/// RFC 4978 §3: the client may send on without waiting for the OK, compressed.
#[tokio::test]
async fn what_is_sent_behind_the_command_is_compressed() {
    let server = server();
    for size in [1, 7, 1_000] {
        let mut client = server.login().await;
        let mut bytes = b"a COMPRESS DEFLATE\r\n".to_vec();
        let mut compress = Compress::new(Compression::default(), false);
        bytes.extend(deflate(&mut compress, b"b NOOP\r\nc NOOP\r\n", FlushCompress::Sync));
        for chunk in bytes.chunks(size) {
            client.stream.write_all(chunk).await.unwrap();
        }
        assert_eq!(client.line().await, "a OK COMPRESS active");
        let Client { stream, task, number } = client;
        let early = stream.buffer().to_vec();
        let mut deflating = Deflating::over(stream.into_inner(), 1 << 20);
        deflating.incoming = early;
        deflating.compress = compress;
        let mut client = Client { stream: BufReader::new(Box::new(deflating)), task, number };
        client.finish("b").await;
        client.finish("c").await;
        client.ok("NOOP").await;
    }
}

/// Of what is not deflate nothing is executed: it ends the connection.
#[tokio::test]
async fn garbage_ends_the_connection() {
    let server = server();
    for garbage in [&b"a CREATE plain\r\n"[..], &[0xff; 100], b"\x07", &[0, 1, 0, 1, 0]] {
        let mut client = server.login().await;
        client.ok("COMPRESS DEFLATE").await;
        client.stream.write_all(garbage).await.unwrap();
        let mut rest = Vec::new();
        client.stream.read_to_end(&mut rest).await.unwrap();
        // At most the empty last block of the server's stream.
        assert!(rest.len() <= 2, "{rest:?}");
        client.task.await.unwrap();
    }
    // One that is cut off in the middle is just gone.
    let mut client = server.login().await;
    client.ok("COMPRESS DEFLATE").await;
    let mut compress = Compress::new(Compression::default(), false);
    let bytes = deflate(&mut compress, b"a CREATE plain\r\n", FlushCompress::Sync);
    client.stream.write_all(&bytes[..10]).await.unwrap();
    client.vanish().await;
    let names = server.account.read().unwrap().mailboxes().unwrap();
    assert!(names.iter().all(|mailbox| mailbox.name.as_str() != "plain"));
}

/// A line of 256 MB in 256 KB is too long after its first 16 KB; a message of it is one that was
/// announced so.
#[tokio::test]
async fn a_bomb_is_only_what_it_says() {
    let server = server_with(Setup { quota_bytes: Some(1 << 20), ..Setup::default() });
    let spaces = vec![b'x'; 1 << 20];
    let mut compress = Compress::new(Compression::best(), false);
    let mut bomb = deflate(&mut compress, b"a NOOP ", FlushCompress::None);
    for _ in 0..256 {
        bomb.extend(deflate(&mut compress, &spaces, FlushCompress::None));
    }
    let mut client = server.login().await;
    client.ok("COMPRESS DEFLATE").await;
    // A few KB that are some MB: the rest is not needed to see what this is.
    let _closed = client.stream.write_all(&bomb[..4_096]).await;
    let mut rest = Vec::new();
    let _reset = client.stream.read_to_end(&mut rest).await;
    client.task.await.unwrap();
    // A message over the quota is refused before it comes.
    let mut client = server.login().await.compress(1 << 20).await;
    client.fails("APPEND Inbox {268435456}", "NO [OVERQUOTA]").await;
    client.ok("NOOP").await;
}

/// Random commands, compressed and flushed anyhow, in every second round with a byte that is
/// another: what is not deflate ends the connection, and harms nothing.
#[tokio::test]
async fn nothing_a_client_compresses_harms_the_server() {
    let server = server_with(Setup { failures: AuthFailures::with(&[]), ..Setup::default() });
    for seed in 0..60 {
        let rng = TestRng::new(1_000 + seed);
        let commands = stream(&rng);
        let mut bytes = format!("l LOGIN mjl@example.org \"{PASSWORD}\"\r\n").into_bytes();
        bytes.extend_from_slice(b"c COMPRESS DEFLATE\r\n");
        let plain = bytes.len() as u64;
        let mut compress = Compress::new(Compression::default(), false);
        let mut rest = &commands[..];
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(1 + below(&rng, rest.len() as u64) as usize);
            let flush = match below(&rng, 3) {
                0 => FlushCompress::None,
                1 => FlushCompress::Partial,
                _ => FlushCompress::Sync,
            };
            bytes.extend(deflate(&mut compress, piece, flush));
            rest = after;
        }
        bytes.extend(deflate(&mut compress, b"", FlushCompress::Finish));
        if seed % 2 == 1 {
            let at = plain + below(&rng, bytes.len() as u64 - plain);
            bytes[at as usize] ^= 1 + below(&rng, 255) as u8;
        }
        play(&server, &rng, &bytes).await;
    }
    server.check();
    assert_eq!(server.body_files(), Vec::<String>::new());
    server.inbox().await.ok("FETCH 1:* (FLAGS)").await;
}

/// The same waits as without compression: for commands, and for a client that reads nothing.
#[tokio::test(start_paused = true)]
async fn time_runs_out_for_compressed_clients_too() {
    let server = server();
    let mut client = server.login().await.compress(1 << 20).await;
    client.ok("NOOP").await;
    let started = Instant::now();
    assert_eq!(client.line().await, "* BYE inactive");
    assert_eq!(started.elapsed().as_secs(), 30 * 60);
    client.closed().await;
    // Noise, so that it is not small when compressed.
    let mut state = 1_u64;
    let mut noise = b"Subject: x\r\n\r\n".to_vec();
    while noise.len() < 500_000 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        noise.extend(format!("{state:x}\r\n").into_bytes());
    }
    server.deliver(&noise);
    let mut client = server.inbox().await.compress(1 << 20).await;
    client.send("a FETCH 1 BODY.PEEK[]\r\n").await;
    let started = Instant::now();
    while !client.task.is_finished() {
        sleep(Duration::from_secs(1)).await;
    }
    assert!((30..40).contains(&started.elapsed().as_secs()), "{:?}", started.elapsed());
}

#[tokio::test]
async fn stopping_is_told_compressed() {
    let server = server();
    let mut client = server.login().await.compress(1 << 20).await;
    client.ok("NOOP").await;
    server.stopping.cancel();
    assert_eq!(client.line().await, "* BYE mox shutting down");
    client.closed().await;
}
