//! One message on its way. RFC 5321 §3.3, RFC 2920.

use std::collections::VecDeque;

use super::{Action, Extensions};
use crate::command::Body;
use crate::{ForwardPath, Reply, ReversePath};

/// What is to be sent.
#[derive(Clone, Debug)]
pub struct Transaction {
    /// Where errors go.
    pub reverse_path: ReversePath,
    /// To whom; at least one.
    pub rcpts: Vec<ForwardPath>,
    /// The size of the message, in bytes. RFC 1870.
    pub size_bytes: u64,
    /// What kind of bytes are in it.
    pub body: Body,
    /// Whether an address or a header needs SMTPUTF8.
    pub needs_utf8: bool,
}

impl Transaction {
    /// Why it is of no use to try, if so. RFC 1870 §6.1, RFC 6531 §3.2.
    fn refusal(&self, extensions: &Extensions) -> Option<Reply> {
        let max = extensions.size_bytes_max.filter(|max| *max > 0);
        if max.is_some_and(|max| self.size_bytes > max) {
            return Some(Reply::new(552, (3, 4), "message too big for the server"));
        }
        if self.needs_utf8 && !extensions.has_smtputf8 {
            return Some(Reply::new(550, (6, 7), "server does not support smtputf8"));
        }
        None
    }

    /// RFC 5321 §4.1.1.2 with the parameters of RFC 1870, RFC 6152, RFC 6531.
    fn mail_line(&self, extensions: &Extensions) -> String {
        let mut line = match (&self.reverse_path, self.needs_utf8) {
            (ReversePath::Mailbox(mailbox), true) => format!("MAIL FROM:<{mailbox}>"),
            (path, _) => format!("MAIL FROM:{path}"),
        };
        if extensions.size_bytes_max.is_some() {
            line.push_str(&format!(" SIZE={}", self.size_bytes));
        }
        if extensions.has_8bitmime && self.body == Body::EightBitMime {
            line.push_str(" BODY=8BITMIME");
        }
        if self.needs_utf8 {
            line.push_str(" SMTPUTF8");
        }
        line
    }

    fn rcpt_line(&self, path: &ForwardPath) -> String {
        match (path, self.needs_utf8) {
            (ForwardPath::Mailbox(mailbox), true) => format!("RCPT TO:<{mailbox}>"),
            (path, _) => format!("RCPT TO:{path}"),
        }
    }
}

/// A command whose reply is awaited, or that is still to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Rset,
    Mail,
    Rcpt(usize),
    Data,
    /// The end of the data.
    End,
}

/// A transaction under way.
#[derive(Debug)]
pub(super) struct Progress {
    has_pipelining: bool,
    unsent: VecDeque<(Step, String)>,
    awaited: VecDeque<Step>,
    mail: Option<Reply>,
    /// For each recipient the reply that refused it.
    rcpts: Vec<Option<Reply>>,
    /// The reply that refused all that are left.
    data: Option<Reply>,
}

/// What follows from a reply.
pub(super) enum Outcome {
    /// Go on.
    Go(Action),
    /// The transaction is over.
    Done {
        results: Vec<Result<(), Reply>>,
        /// Whether the server may still have it open. RFC 5321 §4.1.1.5.
        needs_rset: bool,
    },
    /// The server is out of step.
    Unexpected(Reply),
}

impl Progress {
    /// Queues the commands; `Err` if it is of no use to send them.
    pub(super) fn new(
        transaction: &Transaction,
        extensions: &Extensions,
        needs_rset: bool,
    ) -> Result<Self, Vec<Result<(), Reply>>> {
        if let Some(reply) = transaction.refusal(extensions) {
            return Err(vec![Err(reply); transaction.rcpts.len()]);
        }
        let mut unsent = VecDeque::new();
        if needs_rset {
            unsent.push_back((Step::Rset, "RSET".to_owned()));
        }
        unsent.push_back((Step::Mail, transaction.mail_line(extensions)));
        for (index, path) in transaction.rcpts.iter().enumerate() {
            unsent.push_back((Step::Rcpt(index), transaction.rcpt_line(path)));
        }
        unsent.push_back((Step::Data, "DATA".to_owned()));
        Ok(Self {
            has_pipelining: extensions.has_pipelining,
            unsent,
            awaited: VecDeque::new(),
            mail: None,
            rcpts: vec![None; transaction.rcpts.len()],
            data: None,
        })
    }

    /// Sends the next command, or all of them. DATA ends a group: RFC 2920 §3.1.
    pub(super) fn send(&mut self) -> Action {
        let mut bytes = Vec::new();
        let count = if self.has_pipelining { self.unsent.len() } else { 1 };
        for (step, line) in self.unsent.drain(..count.min(self.unsent.len())) {
            bytes.extend_from_slice(line.as_bytes());
            bytes.extend_from_slice(b"\r\n");
            self.awaited.push_back(step);
        }
        Action::Send { bytes, is_secret: false }
    }

    /// Takes the reply to the oldest command that has none.
    pub(super) fn reply(&mut self, reply: Reply) -> Outcome {
        let Some(step) = self.awaited.pop_front() else {
            return Outcome::Unexpected(reply);
        };
        match step {
            Step::Rset if reply.is_positive() => self.next(),
            Step::Rset => Outcome::Unexpected(reply),
            Step::Mail => {
                self.mail = Some(reply).filter(|reply| !reply.is_positive());
                self.next()
            }
            Step::Rcpt(index) => {
                if let Some(slot) = self.rcpts.get_mut(index) {
                    *slot = Some(reply).filter(|reply| !reply.is_positive());
                }
                self.next()
            }
            Step::Data if reply.code == 354 => {
                self.awaited.push_back(Step::End);
                if self.has_recipient() {
                    return Outcome::Go(Action::SendData);
                }
                // All were refused and yet the data is wanted: give it none. RFC 2920 §3.1.
                Outcome::Go(Action::Send { bytes: b".\r\n".to_vec(), is_secret: false })
            }
            Step::Data | Step::End => {
                let is_good = step == Step::End && reply.is_positive();
                self.data = Some(reply).filter(|_| !is_good);
                let needs_rset = !is_good;
                Outcome::Done { results: self.results(), needs_rset }
            }
        }
    }

    /// The message has been sent; its reply is awaited.
    fn next(&mut self) -> Outcome {
        if !self.awaited.is_empty() {
            return Outcome::Go(Action::Read);
        }
        // Not pipelined: stop as soon as it is clear that nothing can come of it.
        let is_data_next = matches!(self.unsent.front(), Some((Step::Data, _)));
        if self.mail.is_some() || (is_data_next && !self.has_recipient()) {
            return Outcome::Done { results: self.results(), needs_rset: true };
        }
        Outcome::Go(self.send())
    }

    fn has_recipient(&self) -> bool {
        self.mail.is_none() && self.rcpts.iter().any(Option::is_none)
    }

    /// What refused a recipient first is what counts for it.
    fn results(&self) -> Vec<Result<(), Reply>> {
        let result = |rcpt: &Option<Reply>| {
            let refusal = self.mail.as_ref().or(rcpt.as_ref()).or(self.data.as_ref());
            refusal.cloned().map_or(Ok(()), Err)
        };
        self.rcpts.iter().map(result).collect()
    }
}
