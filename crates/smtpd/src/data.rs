//! DATA and BDAT: from the first byte of a message to its end.

use std::time::Duration;

use mox_net::trace::Kind;
use mox_net::{ConnError, Deadline, Wait};
use mox_smtp::server::{Action, ChunkEnd, DataEnd, Input};
use mox_smtp::{ChunkReader, DataProgress, DataReader, Reply};

use tokio::time::Instant;

use crate::connection::{Connection, End, FLUSH_WAIT};
use crate::spool::Spool;
use crate::{header, refusal};

/// For the next bytes of a message. RFC 5321 §4.5.3.2.5 has clients wait 3 minutes for a block.
pub const DATA_WAIT: Wait = Wait::new("data", Duration::from_secs(3 * 60));

/// For a whole message.
pub const DATA_DEADLINE: Wait = Wait::new("message", Duration::from_secs(30 * 60));

/// How much of a message is looked at, and written to the spool, at a time.
const CHUNK_BYTES: usize = 64 << 10;

/// Reads a message into a spool, and gives the session its end.
pub(crate) async fn read(
    connection: &mut Connection,
    reply: &Reply,
    reader: DataReader,
) -> Result<Action, End> {
    connection.reply(reply);
    connection.conn.flush(FLUSH_WAIT).await?;
    connection.spool = None;
    connection.conn.set_read_deadline(Some(Deadline::after(DATA_DEADLINE)));
    let end = receive(connection, reader).await;
    connection.conn.set_read_deadline(None);
    match end {
        Ok(Some(end)) => Ok(connection.handle(Input::DataEnd(end))),
        Ok(None) => Err(went_away(connection)),
        Err(error) if error.is_timeout() => Ok(connection.handle(Input::TimedOut)),
        Err(error) => Err(error.into()),
    }
}

/// A message on its way into the spool.
struct Incoming {
    /// `None` once it is known that the message will not be kept.
    spool: Option<Spool>,
    /// What is not in the spool yet.
    pending: Vec<u8>,
    has_started: bool,
    failure: Option<DataEnd>,
}

/// Reads to the end of the data. `None` if the client closes before. What cannot be kept is read
/// all the same: the client listens only at the end.
async fn receive(
    connection: &mut Connection,
    mut reader: DataReader,
) -> Result<Option<DataEnd>, ConnError> {
    let mut incoming = Incoming::new(connection);
    loop {
        if connection.conn.buffered().is_empty() && connection.conn.fill(DATA_WAIT).await? == 0 {
            return Ok(None);
        }
        let buffered = connection.conn.buffered();
        let piece = buffered.get(..CHUNK_BYTES).unwrap_or(buffered);
        let progress = reader.push(piece, &mut incoming.pending);
        let taken_bytes = match progress {
            DataProgress::End { taken_bytes } => taken_bytes,
            DataProgress::More | DataProgress::Overrun => piece.len(),
        };
        connection.conn.consume(Kind::Data, taken_bytes);
        let is_end = progress != DataProgress::More;
        if reader.report().fault.is_some() {
            incoming.drop_content();
        }
        incoming.keep(is_end, connection.cid).await;
        match progress {
            DataProgress::More => {}
            DataProgress::Overrun => return Ok(Some(DataEnd::Overrun)),
            DataProgress::End { .. } => {
                connection.spool = incoming.spool;
                let complete = DataEnd::Complete(reader.report());
                return Ok(Some(incoming.failure.unwrap_or(complete)));
            }
        }
    }
}

/// The chunks of a message so far. RFC 3030 §2.
pub(crate) struct Chunks {
    incoming: Incoming,
    /// For the whole message.
    deadline: Deadline,
}

/// Reads a chunk into the spool, and gives the session its end.
pub(crate) async fn read_chunk(
    connection: &mut Connection,
    mut reader: Box<ChunkReader>,
    is_first: bool,
    is_last: bool,
) -> Result<Action, End> {
    let known = connection.chunks.take().filter(|_| !is_first);
    let mut chunks = known.unwrap_or_else(|| Chunks {
        incoming: Incoming::new(connection),
        deadline: Deadline::after(DATA_DEADLINE),
    });
    connection.spool = None;
    // Attack: a chunk now and then, each there as soon as it is looked for.
    if Instant::now() >= chunks.deadline.at {
        return Ok(connection.handle(Input::TimedOut));
    }
    connection.conn.set_read_deadline(Some(chunks.deadline));
    let read = receive_chunk(connection, &mut reader, &mut chunks.incoming, is_last).await;
    connection.conn.set_read_deadline(None);
    match read {
        Ok(true) => {}
        Ok(false) => return Err(went_away(connection)),
        Err(error) if error.is_timeout() => return Ok(connection.handle(Input::TimedOut)),
        Err(error) => return Err(error.into()),
    }
    let end = match chunks.incoming.failure {
        Some(DataEnd::StorageFull) => ChunkEnd::StorageFull,
        Some(_) => ChunkEnd::StorageFailed,
        None => ChunkEnd::Complete(reader),
    };
    if is_last {
        connection.spool = chunks.incoming.spool;
    } else {
        connection.chunks = Some(chunks);
    }
    Ok(connection.handle(Input::ChunkEnd(end)))
}

/// Reads to the end of a chunk, of the last one with what the message needs to be whole. `false` if
/// the client closes before.
async fn receive_chunk(
    connection: &mut Connection,
    reader: &mut ChunkReader,
    incoming: &mut Incoming,
    is_last: bool,
) -> Result<bool, ConnError> {
    loop {
        let is_end = reader.left_bytes() == 0;
        if is_end && is_last {
            reader.finish(&mut incoming.pending);
        }
        if reader.report().fault.is_some() {
            incoming.drop_content();
        }
        incoming.keep(is_end && is_last, connection.cid).await;
        if is_end {
            return Ok(true);
        }
        if connection.conn.buffered().is_empty() && !fill_chunk(connection).await? {
            return Ok(false);
        }
        let buffered = connection.conn.buffered();
        let piece = buffered.get(..CHUNK_BYTES).unwrap_or(buffered);
        let taken_bytes = reader.push(piece, &mut incoming.pending);
        connection.conn.consume(Kind::Data, taken_bytes);
    }
}

/// Reads a chunk that nobody wants. An action if the client is too slow.
pub(crate) async fn skip_chunk(
    connection: &mut Connection,
    chunk_bytes: u64,
) -> Result<Option<Action>, End> {
    connection.conn.set_read_deadline(Some(Deadline::after(DATA_DEADLINE)));
    let mut left_bytes = chunk_bytes;
    while left_bytes > 0 {
        if connection.conn.buffered().is_empty() {
            match fill_chunk(connection).await {
                Ok(false) => return Err(went_away(connection)),
                Ok(true) => {}
                Err(error) if error.is_timeout() => {
                    return Ok(Some(connection.handle(Input::TimedOut)));
                }
                Err(error) => return Err(error.into()),
            }
        }
        let buffered_bytes = connection.conn.buffered().len();
        let taken_bytes = usize::try_from(left_bytes).unwrap_or(usize::MAX).min(buffered_bytes);
        connection.conn.consume(Kind::Data, taken_bytes);
        left_bytes -= taken_bytes as u64;
    }
    connection.conn.set_read_deadline(None);
    Ok(None)
}

/// Reads more of a chunk; `false` if the client has closed. Replies to what came before it go out first,
/// as nothing waits for the end of a line here: the client may want them before it sends on. RFC 2920
/// §3.2.
async fn fill_chunk(connection: &mut Connection) -> Result<bool, ConnError> {
    connection.conn.flush(FLUSH_WAIT).await?;
    Ok(connection.conn.fill(DATA_WAIT).await? > 0)
}

fn went_away(connection: &Connection) -> End {
    tracing::info!(cid = connection.cid, "client went away within a message");
    End::Closed
}

impl Incoming {
    fn new(connection: &Connection) -> Self {
        let services = &connection.smtpd.services;
        let spool = Spool::new(&services.spool_dir, &connection.smtpd.memory_spools);
        Self { spool: Some(spool), pending: Vec::new(), has_started: false, failure: None }
    }

    fn drop_content(&mut self) {
        self.spool = None;
        self.pending = Vec::new();
    }

    /// Writes what is pending, once it is worth it.
    async fn keep(&mut self, is_end: bool, cid: u64) {
        if !self.has_started && (is_end || header::has_first_line(&self.pending)) {
            self.has_started = true;
            if !header::starts_with_header(&self.pending) {
                self.pending.splice(0..0, *b"\r\n");
            }
        }
        if !self.has_started || (!is_end && self.pending.len() < CHUNK_BYTES) {
            return;
        }
        let Some(spool) = self.spool.take() else {
            self.pending.clear();
            return;
        };
        match spool.append(&mut self.pending).await {
            Ok(spool) => self.spool = Some(spool),
            Err(error) => {
                tracing::error!(cid, %error, "spooling a message");
                self.failure = Some(refusal::spool(&error));
                self.drop_content();
            }
        }
    }
}
