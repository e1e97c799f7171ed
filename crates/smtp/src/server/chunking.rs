//! BDAT: a message comes in by chunks of known size. RFC 3030 §2.
//!
//! A chunk is read to its end whatever becomes of it, since a client that pipelines has sent it
//! already, and nothing of a message may ever be taken for commands. After a chunk that is refused
//! the transaction is over: later chunks find none, and are skipped.

use super::session::State;
use super::{Action, DataEnd, DataRefusal, Envelope, Question, Session};
use crate::command::{BdatCommand, Body, Command, Verb};
use crate::{ChunkReader, OVERFLOW_BYTES_MAX, Reply};

/// How a chunk ended.
#[derive(Debug)]
pub enum ChunkEnd {
    /// After all its bytes; of the last one after [`ChunkReader::finish`].
    Complete(Box<ChunkReader>),
    /// Read to its end, but there was no room to keep it.
    StorageFull,
    /// Read to its end, but it could not be kept.
    StorageFailed,
}

impl Session {
    pub(super) fn bdat(&mut self, argument: &str) -> Action {
        let command = Command::parse_argument(Verb::Bdat, argument, false, self.syntax());
        let Ok(Command::Bdat(BdatCommand { chunk_bytes, is_last })) = command else {
            // Nobody knows where the chunk ends. Its content as commands could be anything, also
            // what the author of a message wishes.
            return self.close(Reply::new(501, (5, 2), "bad size of chunk"));
        };
        if chunk_bytes > self.config.size_bytes_max.saturating_add(OVERFLOW_BYTES_MAX) {
            let reply = self.too_big(chunk_bytes);
            return self.close(reply);
        }
        if let Err(reply) = self.check_order(Verb::Bdat) {
            return self.skip_chunk(chunk_bytes, reply);
        }
        let (envelope, mut reader, is_first) = match std::mem::take(&mut self.state) {
            State::Transaction(envelope) => {
                let is_binary = envelope.mail.body == Some(Body::BinaryMime);
                let reader = ChunkReader::new(self.config.size_bytes_max, is_binary);
                (envelope, Box::new(reader), true)
            }
            State::Chunks(envelope, reader) => (envelope, reader, false),
            state => {
                self.state = state;
                return self.skip_chunk(chunk_bytes, Reply::new(503, (5, 1), "send mail first"));
            }
        };
        reader.begin_chunk(chunk_bytes);
        self.state = State::ChunkEnd(envelope, is_last);
        Action::ReadChunk { reader, is_first, is_last }
    }

    fn skip_chunk(&mut self, chunk_bytes: u64, reply: Reply) -> Action {
        match self.refuse(reply) {
            Action::Reply(reply) => Action::SkipChunk { chunk_bytes, reply },
            action => action,
        }
    }

    pub(super) fn chunk_end(
        &mut self,
        envelope: Box<Envelope>,
        is_last: bool,
        end: ChunkEnd,
    ) -> Action {
        let reader = match end {
            ChunkEnd::Complete(reader) => reader,
            ChunkEnd::StorageFull => return self.reject(Reply::from(&DataRefusal::StorageFull)),
            ChunkEnd::StorageFailed => return self.reject(Reply::from(&DataRefusal::Unavailable)),
        };
        let report = reader.report();
        if !is_last && report.fault.is_none() {
            self.state = State::Chunks(envelope, reader);
            let size_bytes = report.size_bytes;
            return Action::Reply(Reply::new(250, (0, 0), format!("{size_bytes} bytes so far")));
        }
        match self.check_data(&envelope, DataEnd::Complete(report)) {
            Err(action) => action,
            Ok(report) => self.ask(State::Decision, Question::Decide { envelope, report }),
        }
    }
}
