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

/// How hard we compress, from 0 to 9. Mail in text gets smaller by hardly more with the slower
/// levels, and what is compressed already by none.
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
        poll_fn(|cx| self.poll_end(cx)).await?;
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

    /// Ends our stream and sends the last of it.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.is_done {
            self.is_done = true;
            self.pack(&[], FlushCompress::Finish)?;
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
        // A peer that takes nothing any more is not waited for here: it is gone or broken.
        ready!(self.poll_end(cx))?;
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
