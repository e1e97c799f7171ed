//! A transaction under way. RFC 5321 §3.3, RFC 2920, RFC 3030 §2.

use std::collections::VecDeque;

use super::{Action, DeliveryError, ErrorKind, Extensions, Loss, Step, Transaction};
use crate::{Reply, ReplyError};

/// How many bytes of commands are sent before their replies are read, but for the last command.
///
/// So many fit into the buffers of any network stack, and so do their replies, so that a server
/// that writes before it reads and a client that does the same do not wait for each other. RFC 2920
/// §3.1.
pub const GROUP_BYTES_MAX: usize = 8 * 1024;

/// From what size on messages are sent in chunks, where the server takes them, in bytes. Below,
/// chunks gain nothing over DATA.
pub const CHUNKED_FROM_BYTES: u64 = 256 * 1024;

/// The size of a chunk, in bytes. Each is answered before the next is sent, so that a server that
/// does not want the message need not read all of it.
pub const CHUNK_BYTES_MAX: u64 = 2 * 1024 * 1024;

/// Codes of a server that has not understood BDAT, whatever it said to EHLO. RFC 5321 §4.2.2.
const NO_BDAT: [u16; 3] = [500, 502, 503];

/// The code of a server that goes away, whatever was asked. RFC 5321 §3.8.
const SHUTTING_DOWN: u16 = 421;

/// A command whose reply is awaited, or that is still to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    Rset,
    Mail,
    Rcpt(usize),
    Data,
    /// The final dot after no message at all.
    Nothing,
    /// A chunk that is not the last.
    Chunk,
    /// The final dot, or the last chunk.
    End,
}

/// What is known of a recipient.
#[derive(Clone, Debug)]
enum Verdict {
    Unknown,
    Accepted,
    Refused(Box<DeliveryError>),
}

/// A transaction under way.
#[derive(Debug)]
pub(super) struct Progress {
    has_pipelining: bool,
    /// The bytes of the message that were not asked for yet; `None` with DATA.
    unchunked_bytes: Option<u64>,
    /// The message can go by DATA as well, and no chunk of it was taken yet.
    may_be_data: bool,
    unsent: VecDeque<(Sent, String)>,
    awaited: VecDeque<Sent>,
    /// Why there is no transaction.
    mail: Option<Box<DeliveryError>>,
    rcpts: Vec<Verdict>,
    /// Whether all that was to be written of the message so far was.
    is_written: bool,
}

/// What follows from a reply.
pub(super) enum Outcome {
    /// Go on.
    Go(Action),
    /// The transaction is over.
    Done {
        results: Vec<Result<Reply, DeliveryError>>,
        /// What the server must be told, or whether it is of no more use.
        after: After,
    },
}

/// What is left of the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// The server is ready for the next transaction.
    Ready,
    /// The server may still have this one open. RFC 5321 §4.1.1.5.
    NeedsRset,
    /// The connection is of no more use.
    Unusable,
}

impl Progress {
    /// Queues the commands; `Err` if it is of no use to send them.
    ///
    /// - `forgoes_chunks`: DATA is used for all that need not go in chunks.
    pub(super) fn new(
        transaction: &Transaction,
        extensions: &Extensions,
        has_tls: bool,
        needs_rset: bool,
        forgoes_chunks: bool,
    ) -> Result<Self, DeliveryError> {
        if let Some(error) = transaction.refusal(extensions, has_tls) {
            return Err(error);
        }
        let is_large = transaction.size_bytes >= CHUNKED_FROM_BYTES;
        let wants_chunks = transaction.is_binary || (is_large && !forgoes_chunks);
        let is_chunked = extensions.has_chunking && wants_chunks;
        let mut unsent = VecDeque::with_capacity(transaction.rcpts.len() + 3);
        if needs_rset {
            unsent.push_back((Sent::Rset, "RSET".to_owned()));
        }
        unsent.push_back((Sent::Mail, transaction.mail_line(extensions)));
        for (index, rcpt) in transaction.rcpts.iter().enumerate() {
            unsent.push_back((Sent::Rcpt(index), transaction.rcpt_line(rcpt, extensions)));
        }
        if !is_chunked {
            unsent.push_back((Sent::Data, "DATA".to_owned()));
        }
        Ok(Self {
            has_pipelining: extensions.has_pipelining,
            unchunked_bytes: is_chunked.then_some(transaction.size_bytes),
            may_be_data: is_chunked && !transaction.is_binary,
            unsent,
            awaited: VecDeque::new(),
            mail: None,
            rcpts: vec![Verdict::Unknown; transaction.rcpts.len()],
            is_written: false,
        })
    }

    /// Sends the next command, or a group of them. DATA ends a group: RFC 2920 §3.1.
    pub(super) fn send(&mut self) -> Action {
        let mut bytes = Vec::new();
        while let Some((sent, line)) = self.unsent.pop_front() {
            bytes.extend_from_slice(line.as_bytes());
            bytes.extend_from_slice(b"\r\n");
            self.awaited.push_back(sent);
            if !self.has_pipelining || bytes.len() >= GROUP_BYTES_MAX {
                break;
            }
        }
        Action::Send { bytes, is_secret: false }
    }

    /// What was asked for of the message has been sent.
    pub(super) fn data_sent(&mut self) {
        self.is_written = true;
    }

    /// Takes the reply to the oldest command that has none.
    pub(super) fn reply(&mut self, reply: Reply) -> Outcome {
        let step = self.step();
        let Some(sent) = self.awaited.pop_front() else {
            return self.end(&DeliveryError::unexpected(step, reply), After::Unusable);
        };
        if reply.code == SHUTTING_DOWN {
            let error = DeliveryError::refused(step, reply);
            return self.end(&error, After::Unusable);
        }
        let is_answer = match sent {
            Sent::Data => !reply.is_positive(),
            Sent::Nothing => true,
            // It has not got the message yet, whatever it says.
            Sent::End | Sent::Chunk if reply.is_positive() && !self.is_written => false,
            Sent::Rset => reply.is_positive(),
            _ => !reply.is_intermediate(),
        };
        if !is_answer {
            return self.end(&DeliveryError::unexpected(step, reply), After::Unusable);
        }
        match sent {
            Sent::Rset => self.next(),
            Sent::Mail => {
                if !reply.is_positive() {
                    self.mail = Some(Box::new(DeliveryError::refused(step, reply)));
                }
                self.next()
            }
            Sent::Rcpt(index) => {
                self.rcpt_reply(index, reply);
                self.next()
            }
            Sent::Data if reply.is_intermediate() => self.data(),
            Sent::Chunk if reply.is_positive() => {
                self.may_be_data = false;
                self.chunk()
            }
            Sent::End if reply.is_positive() => {
                let results = self.results(|| Ok(reply.clone()));
                Outcome::Done { results, after: After::Ready }
            }
            // Attack: it may have read the chunk as commands, and the sender of the message have
            // written them. Nothing that it says now is an answer to us.
            Sent::Chunk | Sent::End if self.may_be_data && NO_BDAT.contains(&reply.code) => {
                self.end(&DeliveryError::no_chunking(step, reply), After::Unusable)
            }
            Sent::Data | Sent::Nothing | Sent::Chunk | Sent::End => {
                // In the middle of the message there is no way to say anything else.
                let is_cut = matches!(sent, Sent::Chunk | Sent::End) && !self.is_written;
                let after = if is_cut { After::Unusable } else { After::NeedsRset };
                self.end(&DeliveryError::refused(step, reply), after)
            }
        }
    }

    /// Something came that is no reply.
    pub(super) fn garbage(&mut self, error: ReplyError) -> Outcome {
        let error = DeliveryError::ours(self.step(), ErrorKind::BadReply(error));
        self.end(&error, After::Unusable)
    }

    /// The connection is gone. What the server has already refused stays refused: it may close the
    /// connection right after it said so.
    pub(super) fn lost(&mut self, loss: Loss) -> Outcome {
        let error = DeliveryError::ours(self.step(), ErrorKind::Lost(loss));
        self.end(&error, After::Unusable)
    }

    /// What is under way: the oldest command without a reply, or the next to be sent.
    pub(super) fn step(&self) -> Step {
        let next = self.unsent.front().map(|(sent, _)| sent);
        match self.awaited.front().or(next) {
            Some(Sent::Rset) => Step::Rset,
            Some(Sent::Mail) => Step::Mail,
            Some(Sent::Rcpt(_)) => Step::Rcpt,
            Some(Sent::Data | Sent::Nothing) => Step::Data,
            Some(Sent::Chunk) => Step::Bdat,
            Some(Sent::End) if self.is_written => Step::End,
            Some(Sent::End) if self.unchunked_bytes.is_some() => Step::Bdat,
            Some(Sent::End) | None => Step::Data,
        }
    }

    /// RFC 5321 §4.5.3.1.10: 452 says that there is no room for more recipients, and so does 552,
    /// as RFC 821 had it. But not if there was none for a single one.
    ///
    /// 251 (RFC 5321 §3.4) and any other 2yz accept it: RFC 5321 §4.2.1 has the first digit decide.
    fn rcpt_reply(&mut self, index: usize, reply: Reply) {
        let has_other = self.has_rcpt();
        let Some(verdict) = self.rcpts.get_mut(index) else { return };
        if reply.is_positive() {
            *verdict = Verdict::Accepted;
            return;
        }
        let is_full = matches!(reply.code, 452 | 552);
        let mut error = DeliveryError::refused(Step::Rcpt, reply);
        // A mailbox that is full now may not be later.
        error.is_permanent &= !is_full;
        let is_too_many = is_full && has_other;
        if is_too_many {
            error.kind = ErrorKind::TooManyRcpts;
        }
        let error = Box::new(error);
        *verdict = Verdict::Refused(error.clone());
        if is_too_many {
            self.drop_unsent_rcpts(&error);
        }
    }

    /// Those that were not sent yet go into another transaction.
    fn drop_unsent_rcpts(&mut self, error: &DeliveryError) {
        while let Some((Sent::Rcpt(index), _)) = self.unsent.front() {
            if let Some(verdict) = self.rcpts.get_mut(*index) {
                *verdict = Verdict::Refused(Box::new(error.clone()));
            }
            self.unsent.pop_front();
        }
    }

    /// The server waits for the message.
    fn data(&mut self) -> Outcome {
        if self.has_rcpt() {
            self.awaited.push_back(Sent::End);
            return Outcome::Go(Action::SendData);
        }
        // All were refused and yet the data is wanted: give it none. RFC 2920 §3.1.
        self.awaited.push_back(Sent::Nothing);
        Outcome::Go(Action::Send { bytes: b".\r\n".to_vec(), is_secret: false })
    }

    /// Sends the next chunk. RFC 3030 §2.
    fn chunk(&mut self) -> Outcome {
        let left_bytes = self.unchunked_bytes.unwrap_or_default();
        let size_bytes = left_bytes.min(CHUNK_BYTES_MAX);
        self.unchunked_bytes = Some(left_bytes - size_bytes);
        self.is_written = false;
        let (sent, last) =
            if size_bytes == left_bytes { (Sent::End, " LAST") } else { (Sent::Chunk, "") };
        self.awaited.push_back(sent);
        let command = format!("BDAT {size_bytes}{last}\r\n").into_bytes();
        Outcome::Go(Action::SendChunk { command, size_bytes })
    }

    fn next(&mut self) -> Outcome {
        if !self.awaited.is_empty() {
            return Outcome::Go(Action::Read);
        }
        // All that was sent is answered: stop as soon as it is clear that nothing can come of it.
        let is_data_next = matches!(self.unsent.front(), None | Some((Sent::Data, _)));
        if self.mail.is_some() || (is_data_next && !self.has_rcpt()) {
            // Everyone has an error of their own by now.
            let none = DeliveryError::ours(Step::Rcpt, ErrorKind::Unexpected);
            return self.end(&none, After::NeedsRset);
        }
        if self.unsent.is_empty() {
            return self.chunk();
        }
        Outcome::Go(self.send())
    }

    fn has_rcpt(&self) -> bool {
        self.mail.is_none() && self.rcpts.iter().any(|rcpt| matches!(rcpt, Verdict::Accepted))
    }

    /// Ends the transaction with an error for those who were not refused before.
    fn end(&mut self, error: &DeliveryError, after: After) -> Outcome {
        Outcome::Done { results: self.results(|| Err(error.clone())), after }
    }

    /// What refused a recipient first is what counts for it; `rest` is for all others.
    fn results(
        &mut self,
        rest: impl Fn() -> Result<Reply, DeliveryError>,
    ) -> Vec<Result<Reply, DeliveryError>> {
        let mail = self.mail.take();
        let result = |rcpt: Verdict| match (&mail, rcpt) {
            (Some(error), _) => Err(DeliveryError::clone(error)),
            (None, Verdict::Refused(error)) => Err(*error),
            (None, Verdict::Accepted | Verdict::Unknown) => rest(),
        };
        std::mem::take(&mut self.rcpts).into_iter().map(result).collect()
    }
}
