//! A compressed stream over another: raw deflate both ways, for COMPRESS of IMAP.
//!
//! What the peer sends is inflated only as far as there is room for it above, so that a few bytes
//! that inflate to gigabytes cost no more memory than what they inflate to would have cost if sent
//! plain. What we send is compressed as it comes and made readable by each flush. The compressor
//! is large and can be given back while nothing happens; see [`Deflated::release`].
//!
//! Source: RFC 4978, RFC 1951.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::coop;

use crate::transport::Transport;

/// How hard we compress, from 0 to 9. Measured with text, flushed every 32 KB: 182 MB/s to 38% with
/// level 1, 91 MB/s to 27% with 3, 37 MB/s to 26% with 6. What is compressed already gets no smaller
/// with any.
const LEVEL: u32 = 3;

/// Bytes of the peer that are read, and inflated, at a time.
const RAW_BYTES: usize = 4 * 1024;

/// Bytes that are inflated, or taken to be compressed, at a time.
const PIECE_BYTES: usize = 16 * 1024;

/// Room that a compressor is given at a time.
const ROOM_BYTES: usize = 4 * 1024;

/// Compressed bytes waiting to be sent above which no more are made.
const PACKED_BYTES_MAX: usize = 16 * 1024;

/// What a flush ends with: the length of an empty stored block, and its complement. RFC 1951
/// §3.2.4.
const FLUSH_MARK: [u8; 4] = [0, 0, 0xff, 0xff];

/// What the peer sent is not deflate.
#[derive(Debug)]
pub(crate) struct BadDeflate;

impl fmt::Display for BadDeflate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not deflate")
    }
}

impl std::error::Error for BadDeflate {}

/// A stream that is compressed both ways.
pub(crate) struct Deflated {
    inner: Transport,
    /// Received and not yet inflated.
    raw: Vec<u8>,
    inflate: Decompress,
    /// The last call of `inflate` filled its room, so that it may hold more.
    is_full: bool,
    /// How much of [`FLUSH_MARK`] the inflated bytes end with.
    marked: usize,
    /// The peer has ended its stream: what follows is not part of it.
    is_over: bool,
    /// Made when there is something to send.
    compress: Option<Compress>,
    /// Compressed and not yet sent.
    packed: Vec<u8>,
    /// The compressor holds what was not flushed.
    is_held: bool,
    /// Our stream is over, or its rest cannot be sent.
    is_done: bool,
}

impl fmt::Debug for Deflated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deflated").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl Deflated {
    /// Starts both streams; `early` are the first bytes of the peer's.
    pub(crate) fn new(inner: Transport, early: Vec<u8>) -> Self {
        Self {
            inner,
            raw: early,
            inflate: Decompress::new(false),
            is_full: false,
            marked: 0,
            is_over: false,
            compress: None,
            packed: Vec::new(),
            is_held: false,
            is_done: false,
        }
    }

    /// Whether there is a compressor that [`Self::release`] would give back.
    pub(crate) fn holds_compressor(&self) -> bool {
        self.compress.is_some() && !self.is_held
    }

    /// Gives the compressor back, with about 300 KB. The next output gets a new one: after a flush
    /// the stream is between two blocks at a whole byte, where another compressor can go on that
    /// refers to nothing that came before.
    pub(crate) fn release(&mut self) {
        if self.holds_compressor() {
            self.compress = None;
        }
    }

    /// Ends both streams. Ours is over at once; the peer's is where it has flushed or ended it
    /// after what was read last: anything it says before that is an error. Returns the stream below
    /// and what came behind the end of the peer's.
    ///
    /// Not cancel safe: the connection is to be closed if the future is dropped.
    pub(crate) async fn finish(mut self: Box<Self>) -> io::Result<(Transport, Vec<u8>)> {
        poll_fn(|cx| self.poll_end(cx, FlushCompress::Finish)).await?;
        let mut byte = [0];
        let mut room = ReadBuf::new(&mut byte);
        if self.is_full {
            self.inflate_into(&mut room)?;
        }
        while room.filled().is_empty() && !self.is_over && self.marked < FLUSH_MARK.len() {
            poll_fn(|cx| self.poll_read_piece(cx, &mut room)).await?;
        }
        if !room.filled().is_empty() {
            return Err(bad_deflate());
        }
        Ok((self.inner, self.raw))
    }

    /// Compresses `bytes` behind what is there.
    fn pack(&mut self, bytes: &[u8], flush: FlushCompress) -> io::Result<()> {
        let level = || Compress::new(Compression::new(LEVEL), false);
        let compress = self.compress.get_or_insert_with(level);
        let start = compress.total_in();
        loop {
            let taken = usize::try_from(compress.total_in() - start).unwrap_or(usize::MAX);
            let rest = bytes.get(taken..).unwrap_or_default();
            self.packed.reserve(ROOM_BYTES);
            let status = compress.compress_vec(rest, &mut self.packed, flush);
            let status = status.map_err(io::Error::other)?;
            let has_room = self.packed.len() < self.packed.capacity();
            let all = usize::try_from(compress.total_in() - start) == Ok(bytes.len());
            if matches!(status, Status::StreamEnd) || (all && has_room) {
                return Ok(());
            }
        }
    }

    /// Sends what is compressed.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.packed.is_empty() {
            match ready!(Pin::new(&mut self.inner).poll_write(cx, &self.packed)) {
                Ok(0) => return Poll::Ready(Err(self.failed(io::ErrorKind::WriteZero.into()))),
                Ok(count) => drop(self.packed.drain(..count)),
                Err(error) => return Poll::Ready(Err(self.failed(error))),
            }
        }
        self.packed = Vec::new();
        Poll::Ready(Ok(()))
    }

    /// A part of our stream is lost: the peer could make nothing of more.
    fn failed(&mut self, error: io::Error) -> io::Error {
        self.is_done = true;
        self.packed = Vec::new();
        error
    }

    /// Ends our stream and sends the last of it, with a last block only for a peer that has to
    /// know where the stream ends.
    fn poll_end(&mut self, cx: &mut Context<'_>, how: FlushCompress) -> Poll<io::Result<()>> {
        if !self.is_done {
            self.is_done = true;
            if self.is_held || matches!(how, FlushCompress::Finish) {
                self.pack(&[], how)?;
            }
            self.is_held = false;
            self.compress = None;
        }
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    /// Inflates what is there into `room`, at most to the end of a flush. Returns whether that
    /// gave anything.
    fn inflate_into(&mut self, room: &mut ReadBuf<'_>) -> io::Result<bool> {
        if self.is_over || (self.raw.is_empty() && !self.is_full) {
            return Ok(false);
        }
        let count = if self.is_full { 0 } else { self.piece_bytes() };
        let piece = self.raw.get(..count).unwrap_or_default();
        let out = room.initialize_unfilled_to(room.remaining().min(PIECE_BYTES));
        let (in_before, out_before) = (self.inflate.total_in(), self.inflate.total_out());
        let status = self.inflate.decompress(piece, out, FlushDecompress::None);
        let Ok(status) = status else {
            return Err(bad_deflate());
        };
        let taken = usize::try_from(self.inflate.total_in() - in_before).unwrap_or(usize::MAX);
        let given = usize::try_from(self.inflate.total_out() - out_before).unwrap_or(usize::MAX);
        self.is_full = given == out.len();
        self.is_over = matches!(status, Status::StreamEnd);
        if count > 0 && taken == 0 && given == 0 && !self.is_over {
            return Err(bad_deflate());
        }
        self.marked = piece.iter().take(taken).fold(self.marked, |seen, byte| marked(seen, *byte));
        room.advance(given);
        self.raw.drain(..taken.min(count));
        if self.raw.is_empty() {
            self.raw = Vec::new();
        }
        Ok(given > 0)
    }

    /// How many of the received bytes are inflated next: up to the end of a flush. What follows it
    /// may not be deflate any more. RFC 8437 §4.1: a client may have left compression there.
    fn piece_bytes(&self) -> usize {
        let mut seen = self.marked;
        let ends = |byte: &u8| {
            seen = marked(seen, *byte);
            seen == FLUSH_MARK.len()
        };
        let most = self.raw.len().min(RAW_BYTES);
        self.raw.iter().take(most).position(ends).map_or(most, |at| at + 1)
    }

    /// Inflates until there is something, or the end of a flush has come.
    fn poll_read_piece(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // A peer whose bytes inflate to very many must not keep others from this thread.
        let progress = ready!(coop::poll_proceed(cx));
        loop {
            let before = self.marked;
            let has_more = self.inflate_into(room)?;
            let is_flushed = before < self.marked && self.marked == FLUSH_MARK.len();
            if has_more || self.is_over || is_flushed {
                progress.made_progress();
                return Poll::Ready(Ok(()));
            }
            if !self.raw.is_empty() {
                continue;
            }
            let mut chunk = [0; RAW_BYTES];
            let mut read = ReadBuf::new(&mut chunk);
            ready!(Pin::new(&mut self.inner).poll_read(cx, &mut read))?;
            if read.filled().is_empty() {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            self.raw.extend_from_slice(read.filled());
        }
    }
}

fn bad_deflate() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, BadDeflate)
}

/// How much of [`FLUSH_MARK`] is there after one more byte.
fn marked(seen: usize, byte: u8) -> usize {
    match (seen, byte) {
        (1 | 2, 0) => 2,
        (_, 0) => 1,
        (2, 0xff) => 3,
        (3, 0xff) => 4,
        _ => 0,
    }
}

impl AsyncRead for Deflated {
    /// The end of the peer's stream, by its last block or by the end of the stream below, is the
    /// end of this one.
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = room.filled().len();
        while room.remaining() > 0 && room.filled().len() == before && !self.is_over {
            ready!(self.poll_read_piece(cx, room))?;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Deflated {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_done {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if self.packed.len() >= PACKED_BYTES_MAX {
            ready!(self.poll_drain(cx))?;
        }
        let count = bytes.len().min(PIECE_BYTES);
        self.is_held = true;
        self.pack(bytes.get(..count).unwrap_or_default(), FlushCompress::None)?;
        Poll::Ready(Ok(count))
    }

    /// Makes all that was written readable for the peer. RFC 4978 §4 leaves to us when: it is once
    /// for what is written together.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_held {
            self.pack(&[], FlushCompress::Sync)?;
            self.is_held = false;
        }
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A peer that takes nothing any more is not waited for here: it is gone or broken. There
        // are clients that take a last block for an error, and lose the answer to LOGOUT.
        ready!(self.poll_end(cx, FlushCompress::Sync))?;
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;
    use crate::trace::Kind;
    use crate::{COMPRESSOR_KEEP, Conn, ConnError, Wait};

    const WAIT: Wait = Wait::new("test", Duration::from_secs(30));

    fn pair(buffer_bytes: usize) -> (DuplexStream, Conn) {
        let (client, server) = duplex(buffer_bytes);
        let mut conn = Conn::memory(server);
        conn.start_deflate();
        (client, conn)
    }

    /// All that a client would send, flushed as told.
    fn packed(pieces: &[(&[u8], FlushCompress)]) -> Vec<u8> {
        let mut compress = Compress::new(Compression::best(), false);
        let mut all = Vec::new();
        for (piece, flush) in pieces {
            let end = compress.total_in() + piece.len() as u64;
            loop {
                let at = piece.len() - usize::try_from(end - compress.total_in()).unwrap();
                all.reserve(4_096);
                compress.compress_vec(&piece[at..], &mut all, *flush).unwrap();
                if compress.total_in() == end && all.len() < all.capacity() {
                    break;
                }
            }
        }
        all
    }

    /// Reads until this much has come, or no more does.
    async fn take(conn: &mut Conn, count: usize) -> Vec<u8> {
        while conn.buffered().len() < count && conn.fill(WAIT).await.unwrap() > 0 {}
        let bytes = conn.buffered().to_vec();
        conn.consume(Kind::Protocol, bytes.len());
        bytes
    }

    /// What the client makes of what it got; whether our stream was over.
    fn unpacked(bytes: &[u8]) -> (Vec<u8>, bool) {
        let mut inflate = Decompress::new(false);
        let mut all = Vec::new();
        loop {
            all.reserve(4_096);
            let at = usize::try_from(inflate.total_in()).unwrap();
            let status =
                inflate.decompress_vec(&bytes[at..], &mut all, FlushDecompress::None).unwrap();
            let has_taken_all = usize::try_from(inflate.total_in()).unwrap() == bytes.len();
            if status == Status::StreamEnd || (has_taken_all && all.len() < all.capacity()) {
                return (all, status == Status::StreamEnd);
            }
        }
    }

    async fn received(client: &mut DuplexStream) -> Vec<u8> {
        let mut bytes = vec![0; 1 << 20];
        let count = client.read(&mut bytes).await.unwrap();
        bytes.truncate(count);
        bytes
    }

    /// RFC 4978 §3: what follows the command at once is compressed already.
    #[tokio::test]
    async fn what_came_early_is_inflated() {
        let (mut client, server) = duplex(1 << 20);
        let mut conn = Conn::memory(server);
        let early = packed(&[(b"b NOOP\r\n", FlushCompress::Sync)]);
        client.write_all(b"a COMPRESS DEFLATE\r\n").await.unwrap();
        client.write_all(&early).await.unwrap();
        conn.fill(WAIT).await.unwrap();
        conn.consume(Kind::Protocol, b"a COMPRESS DEFLATE\r\n".len());
        conn.start_deflate();
        conn.start_deflate();
        assert!(conn.is_deflated());
        assert_eq!(take(&mut conn, 8).await, b"b NOOP\r\n");
    }

    /// RFC 4978 §4: what was sent can be read after a flush, whatever is read at a time.
    #[tokio::test]
    async fn a_stream_can_be_cut_at_any_byte() {
        let text: Vec<u8> = (0..2_000_u32).flat_map(|n| n.to_string().into_bytes()).collect();
        let pieces = [
            (&b"a NOOP\r\n"[..], FlushCompress::Sync),
            (&text[..], FlushCompress::Partial),
            (&text[..999], FlushCompress::Full),
            (&b""[..], FlushCompress::Sync),
            (&b"b NOOP\r\n"[..], FlushCompress::Finish),
        ];
        let want: Vec<u8> = pieces.iter().flat_map(|(piece, _)| piece.iter().copied()).collect();
        let bytes = packed(&pieces);
        for size in [1, 2, 3, 7, 100, bytes.len()] {
            let (mut client, mut conn) = pair(1 << 20);
            let mut got: Vec<u8> = Vec::new();
            for chunk in bytes.chunks(size) {
                client.write_all(chunk).await.unwrap();
                tokio::task::yield_now().await;
                while let Some(filled) = conn.fill_now().await {
                    if filled.unwrap() == 0 {
                        break;
                    }
                }
                got.extend(conn.buffered());
                conn.consume(Kind::Protocol, usize::MAX);
            }
            assert_eq!(got.len(), want.len(), "{size}");
            assert_eq!(got, want);
            assert_eq!(conn.fill(WAIT).await.unwrap(), 0, "the client has ended its stream");
        }
    }

    /// Some clients flush with an empty block of fixed codes instead of a stored one, which ends in
    /// the middle of a byte: servers that wait for whole bytes stall them.
    #[tokio::test]
    async fn a_partial_flush_is_enough() {
        let (mut client, mut conn) = pair(1 << 20);
        let pieces: [(&[u8], &[u8]); 4] = [
            (b"\x4a\x54\xf0\xf3\xf7\x0f\xe0\xe5\x02\x08", b"a NOOP\r\n"),
            (
                b"\xa0\x24\x85\x60\x57\x1f\x57\xe7\x10\x05\xcf\xbc\xa4\xfc\x0a\x5e\x2e\x80\x00",
                b"b SELECT Inbox\r\n",
            ),
            (b"\x4a\x86\x8a\x03\x04", b"c NOOP\r\n"),
            (b"\x50\x05\x40", b"x"),
        ];
        for (packed, want) in pieces {
            client.write_all(packed).await.unwrap();
            assert_eq!(take(&mut conn, want.len()).await, want);
        }
    }

    #[tokio::test]
    async fn what_is_sent_can_be_read_after_each_flush() {
        let (mut client, mut conn) = pair(1 << 20);
        let mut bytes = Vec::new();
        let mut want = Vec::new();
        for number in 0..50_usize {
            let text = format!("* {number} EXISTS\r\n").repeat(1 + number * number);
            conn.send(Kind::Protocol, text.as_bytes());
            conn.flush(WAIT).await.unwrap();
            want.extend(text.into_bytes());
            bytes.extend(received(&mut client).await);
            assert!(bytes.ends_with(&FLUSH_MARK));
            assert!(unpacked(&bytes).0 == want, "{number}");
        }
        assert!(bytes.len() * 10 < want.len());
        conn.close().await;
        bytes.extend(received(&mut client).await);
        assert!(unpacked(&bytes) == (want, false), "closing adds no last block");
    }

    /// What cannot be compressed gets hardly longer, and a slow reader gets all of it.
    #[tokio::test]
    async fn noise_and_a_small_window() {
        let (mut client, mut conn) = pair(100);
        let mut state = 1_u64;
        let noise = |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        };
        let noise: Vec<u8> = (0..300_000).map(noise).collect();
        let reading = tokio::spawn(async move {
            let mut all = Vec::new();
            client.read_to_end(&mut all).await.unwrap();
            all
        });
        for piece in noise.chunks(32 << 10) {
            conn.send(Kind::Data, piece);
            conn.flush(WAIT).await.unwrap();
        }
        drop(conn);
        let all = reading.await.unwrap();
        assert!(all.len() < noise.len() + noise.len() / 50);
        assert!(unpacked(&all).0 == noise);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_deflate_is_an_error() {
        // Block type 3, twice, and a stored block whose length is not what it says it is.
        for bytes in [&[0xff; 8][..], &[0x07], &[0, 1, 0, 1, 0]] {
            let (mut client, mut conn) = pair(1_024);
            client.write_all(bytes).await.unwrap();
            let result = loop {
                match conn.fill(WAIT).await {
                    Ok(count) if count > 0 => {}
                    result => break result,
                }
            };
            assert!(matches!(result, Err(ConnError::BadDeflate)), "{bytes:?} {result:?}");
        }
        // The client goes away in the middle.
        let (mut client, mut conn) = pair(1_024);
        client.write_all(&packed(&[(b"a NOOP\r\n", FlushCompress::Sync)])[..6]).await.unwrap();
        drop(client);
        while conn.fill(WAIT).await.unwrap() > 0 {}
        // The time for a command is as without compression.
        let (_client, mut conn) = pair(1_024);
        let error = conn.fill(WAIT).await.unwrap_err();
        assert_eq!(error.to_string(), "test: nothing for 30s");
    }

    /// 64 MB from 64 KB: what is held stays small, and each read gives other tasks their turn.
    #[tokio::test]
    async fn a_bomb_is_inflated_as_it_is_taken() {
        let zeros = vec![0; 1 << 20];
        let bomb: Vec<_> = (0..64).map(|_| (&zeros[..], FlushCompress::None)).collect();
        let bytes = packed(&bomb);
        assert!(bytes.len() < 128 << 10);
        let (mut client, mut conn) = pair(1 << 20);
        client.write_all(&bytes).await.unwrap();
        let mut got = 0;
        while got < 32 << 20 {
            let count = conn.fill(WAIT).await.unwrap();
            assert!(count <= PIECE_BYTES);
            assert!(conn.held_bytes() < 300 << 10, "{}", conn.held_bytes());
            got += count;
            conn.consume(Kind::Data, count);
        }
        let others = tokio::spawn(async { 7 });
        conn.fill(WAIT).await.unwrap();
        while !others.is_finished() {
            let count = conn.fill(WAIT).await.unwrap();
            assert!(count > 0, "the rest was inflated before others had their turn");
            conn.consume(Kind::Data, count);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_compressor_is_given_back_while_nothing_happens() {
        let (mut client, mut conn) = pair(1 << 20);
        conn.send(Kind::Protocol, b"* 1 EXISTS\r\n");
        conn.flush(WAIT).await.unwrap();
        assert!(conn.holds_compressor());
        let short = Wait::new("short", COMPRESSOR_KEEP);
        assert!(conn.fill(short).await.is_err());
        assert!(conn.holds_compressor());
        let started = tokio::time::Instant::now();
        assert!(conn.fill(WAIT).await.is_err());
        assert_eq!(started.elapsed(), WAIT.limit);
        assert!(!conn.holds_compressor());
        conn.send(Kind::Protocol, b"* 2 EXISTS\r\n");
        conn.flush(WAIT).await.unwrap();
        let all = received(&mut client).await;
        assert_eq!(unpacked(&all).0, b"* 1 EXISTS\r\n* 2 EXISTS\r\n");
    }

    /// RFC 8437 §4.1: compression ends behind the command and behind the reply, in both directions
    /// and whatever follows.
    #[tokio::test]
    async fn both_streams_can_end() {
        for flush in [FlushCompress::Sync, FlushCompress::Full, FlushCompress::Finish] {
            let mut bytes = packed(&[(b"a UNAUTHENTICATE\r\n", flush)]);
            bytes.extend(b"b NOOP\r\n");
            for at in 0..bytes.len() {
                let (mut client, mut conn) = pair(1 << 20);
                client.write_all(&bytes[..at]).await.unwrap();
                let mut rest = Some(&bytes[at..]);
                while conn.buffered().len() < 18 {
                    tokio::task::yield_now().await;
                    if conn.fill_now().await.is_none() {
                        client.write_all(rest.take().unwrap()).await.unwrap();
                    }
                }
                assert_eq!(conn.buffered(), b"a UNAUTHENTICATE\r\n", "{at}");
                conn.consume(Kind::Protocol, 18);
                if let Some(rest) = rest {
                    client.write_all(rest).await.unwrap();
                }
                conn.send(Kind::Protocol, b"a OK done\r\n");
                conn.end_deflate(WAIT).await.unwrap();
                assert!(!conn.is_deflated());
                let got = received(&mut client).await;
                assert_eq!(unpacked(&got), (b"a OK done\r\n".to_vec(), true));
                assert_eq!(take(&mut conn, 8).await, b"b NOOP\r\n", "{at}");
                conn.send(Kind::Protocol, b"b OK done\r\n");
                conn.flush(WAIT).await.unwrap();
                assert_eq!(received(&mut client).await, b"b OK done\r\n");
            }
        }
    }

    /// A command that was compressed must not be executed after the end as if it had come plain.
    #[tokio::test(start_paused = true)]
    async fn nothing_compressed_is_left_behind_the_end() {
        for (first, second) in [
            (FlushCompress::None, FlushCompress::Sync),
            (FlushCompress::Partial, FlushCompress::Finish),
        ] {
            let bytes = packed(&[(b"a UNAUTHENTICATE\r\n", first), (b"b NOOP\r\n", second)]);
            let (mut client, mut conn) = pair(1 << 20);
            client.write_all(&bytes).await.unwrap();
            while conn.buffered().len() < 18 {
                conn.fill(WAIT).await.unwrap();
            }
            conn.consume(Kind::Protocol, 18);
            let ended = conn.end_deflate(WAIT).await;
            assert!(matches!(ended, Err(ConnError::BadDeflate)), "{ended:?}");
        }
        // A client that never says where its stream ends is not waited for without end.
        let (mut client, mut conn) = pair(1 << 20);
        let bytes = packed(&[(b"a UNAUTHENTICATE\r\n", FlushCompress::Sync)]);
        client.write_all(&bytes[..bytes.len() - 1]).await.unwrap();
        take(&mut conn, 18).await;
        assert!(conn.end_deflate(WAIT).await.unwrap_err().is_timeout());
    }

    #[test]
    fn the_end_of_a_flush_is_found_wherever_it_starts() {
        for (bytes, want) in [
            (&[0, 0, 0xff, 0xff][..], 4),
            (&[9, 0, 0, 0, 0xff, 0xff], 4),
            (&[0, 0xff, 0, 0, 0xff], 3),
            (&[0, 0, 0xff, 0, 0, 0xff, 0xff], 4),
            (&[0, 0, 0xff, 0xff, 0], 1),
            (&[0, 0xff, 0xff], 0),
        ] {
            let seen = bytes.iter().fold(0, |seen, byte| marked(seen, *byte));
            assert_eq!(seen, want, "{bytes:?}");
        }
    }

    proptest! {
        /// Any bytes end in an error, in waiting for more, or at the end; never in a panic.
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let (mut client, mut conn) = pair(1 << 20);
                client.write_all(&bytes).await.unwrap();
                drop(client);
                while let Ok(1..) = conn.fill(WAIT).await {
                    conn.consume(Kind::Protocol, usize::MAX);
                }
            });
        }
    }
}
