//! MAIL, RCPT and DATA: a message comes in. RFC 5321 §3.3.

use mox_base::{Host, UnixSeconds};

use super::session::State;
use super::{
    Action, BAD_TRANSACTIONS_MAX, DataEnd, DataRefusal, Decision, Envelope, FutureRelease,
    HOLD_SECS_MAX, Question, RCPTS_MAX, RECEIVED_MAX, RcptRefusal, SIZE_BYTES_DEFAULT,
    SenderRefusal, Service, Session, combine,
};
use crate::command::{Body, Hold, MailCommand, PRIORITY_MAX, RcptCommand};
use crate::{DataFault, DataReader, DataReport, ForwardPath, Mailbox, Reply, ReversePath};

impl Session {
    pub(super) fn mail(&mut self, mail: MailCommand, now: UnixSeconds) -> Action {
        if self.good_transactions == 0 && self.bad_transactions > BAD_TRANSACTIONS_MAX {
            return self.close(Reply::new(550, (1, 0), "too many refused messages"));
        }
        if mail.size_bytes.is_some_and(|size| size > self.config.size_bytes_max) {
            let reply = self.too_big(mail.size_bytes.unwrap_or(u64::MAX));
            return self.reject(reply);
        }
        if mail.requires_tls && !self.config.has_requiretls {
            return self.refuse(Reply::new(555, (3, 3), "unknown parameter"));
        }
        if mail.requires_tls && self.tls.is_none() {
            // RFC 8689 §2: it came in the open already.
            return self.refuse(Reply::new(523, (7, 10), "requiretls needs tls"));
        }
        let is_delivery = self.config.service == Service::Delivery;
        let host = mail.reverse_path.mailbox().map(|mailbox| &mailbox.host);
        if is_delivery && matches!(host, Some(Host::Ip(_))) {
            return self.reject(Reply::new(
                550,
                (7, 0),
                "senders at ip addresses are not accepted",
            ));
        }
        let release = match mail.hold.as_ref().map(|hold| release(hold, now)) {
            Some(None) => return self.reject(Reply::new(554, (5, 4), "cannot hold it that long")),
            Some(release) => release,
            None => None,
        };
        let client = self.client.clone();
        let reverse_path = mail.reverse_path.clone();
        let envelope = Box::new(Envelope {
            is_esmtp: client.as_ref().is_some_and(|client| client.is_esmtp),
            client_name: client.and_then(|client| client.name),
            username: self.login.as_ref().map(|login| login.username.clone()),
            is_tls: self.tls.is_some(),
            // A stranger cannot be more urgent than others. RFC 6710 §5.1.
            priority: mail.priority.unwrap_or_default().min(if is_delivery {
                0
            } else {
                PRIORITY_MAX
            }),
            mail,
            rcpts: Vec::new(),
            release,
        });
        if reverse_path == ReversePath::Null {
            // A report; anyone may send one. RFC 5321 §4.5.5.
            return self.sender_verdict(envelope, Ok(()));
        }
        self.ask(State::SenderVerdict(envelope), Question::Sender(reverse_path))
    }

    pub(super) fn sender_verdict(
        &mut self,
        envelope: Box<Envelope>,
        verdict: Result<(), SenderRefusal>,
    ) -> Action {
        match verdict {
            Ok(()) => {
                let is_changed = envelope.mail.priority.is_some_and(|it| it != envelope.priority);
                self.state = State::Transaction(envelope);
                // RFC 6710 §7.
                let enhanced = if is_changed { (3, 6) } else { (1, 0) };
                let text = if is_changed { "ok, but no more urgent than others" } else { "ok" };
                Action::Reply(Reply::new(250, enhanced, text))
            }
            Err(refusal) => self.reject(Reply::from(&refusal)),
        }
    }

    /// The order of the checks is that of what they cost.
    pub(super) fn rcpt(&mut self, rcpt: RcptCommand) -> Action {
        let State::Transaction(envelope) = std::mem::take(&mut self.state) else {
            return self.refuse(Reply::new(503, (5, 1), "send mail first"));
        };
        let is_delivery = self.config.service == Service::Delivery;
        let count = envelope.rcpts.len();
        let is_null = envelope.mail.reverse_path == ReversePath::Null;
        let refusal = if count >= RCPTS_MAX {
            // RFC 5321 §4.5.3.1.10.
            Some(Reply::new(452, (5, 3), "too many recipients"))
        } else if is_delivery && is_null && count > 0 {
            // A report is about one message to one sender. RFC 5321 §4.5.5.
            Some(Reply::new(452, (5, 3), "one recipient only for the null sender"))
        } else if is_delivery && is_literal(&rcpt.forward_path) {
            Some(Reply::from(&RcptRefusal::NotOurs))
        } else {
            None
        };
        if let Some(reply) = refusal {
            self.state = State::Transaction(envelope);
            return self.reject(reply);
        }
        if is_delivery && count == 1 && self.config.second_rcpt_needs_verified_sender {
            let question = Question::SenderVerified(envelope.mail.reverse_path.clone());
            return self.ask(State::SenderVerified(envelope, rcpt), question);
        }
        self.ask_rcpt(envelope, rcpt)
    }

    pub(super) fn second_rcpt(
        &mut self,
        envelope: Box<Envelope>,
        rcpt: RcptCommand,
        is_verified: bool,
    ) -> Action {
        if is_verified {
            return self.ask_rcpt(envelope, rcpt);
        }
        self.state = State::Transaction(envelope);
        self.reject(Reply::new(452, (5, 3), "one recipient only without verified sender"))
    }

    fn ask_rcpt(&mut self, envelope: Box<Envelope>, rcpt: RcptCommand) -> Action {
        let question = Question::Rcpt(rcpt.forward_path.clone());
        self.ask(State::RcptVerdict(envelope, rcpt), question)
    }

    pub(super) fn rcpt_verdict(
        &mut self,
        mut envelope: Box<Envelope>,
        rcpt: RcptCommand,
        verdict: Result<(), RcptRefusal>,
    ) -> Action {
        let action = match verdict {
            Ok(()) => {
                envelope.rcpts.push(rcpt);
                Action::Reply(Reply::new(250, (1, 0), "ok"))
            }
            Err(refusal) => self.reject(Reply::from(&refusal)),
        };
        self.state = State::Transaction(envelope);
        action
    }

    /// The transaction ends with DATA, whatever comes of it: RFC 5321 §4.1.1.4 clears all buffers.
    pub(super) fn data(&mut self) -> Action {
        let State::Transaction(envelope) = std::mem::take(&mut self.state) else {
            return self.refuse(Reply::new(503, (5, 1), "send mail first"));
        };
        self.state = State::Data(envelope);
        let reply = Reply::bare(354, "send the message, end with a dot");
        Action::ReadData { reply, reader: DataReader::new(self.config.size_bytes_max) }
    }

    /// What can be told of the data without looking into it.
    pub(super) fn check_data(
        &mut self,
        envelope: &Envelope,
        end: DataEnd,
    ) -> Result<DataReport, Action> {
        let is_submission = self.config.service == Service::Submission;
        let report = match end {
            DataEnd::Complete(report) => report,
            DataEnd::Overrun => {
                let reply = self.too_big(u64::MAX);
                return Err(self.close(reply));
            }
            DataEnd::StorageFull => {
                return Err(self.reject(Reply::from(&DataRefusal::StorageFull)));
            }
            DataEnd::StorageFailed => {
                return Err(self.reject(Reply::from(&DataRefusal::Unavailable)));
            }
        };
        let is_8bit_announced =
            matches!(envelope.mail.body, Some(Body::EightBitMime | Body::BinaryMime));
        let refusal = match report.fault {
            Some(DataFault::Smuggling) => {
                Some(Reply::new(500, (5, 2), "bare cr or lf, refused because of smtp smuggling"))
            }
            Some(DataFault::TooBig) => Some(self.too_big(self.config.size_bytes_max + 1)),
            // RFC 5321 §6.3.
            None if report.received_count > RECEIVED_MAX => {
                Some(Reply::new(550, (4, 6), "mail loop"))
            }
            None if is_submission && report.header_bytes.is_none() => {
                Some(Reply::new(554, (6, 0), "no empty line between header and body"))
            }
            None if is_submission
                && self.config.is_pedantic
                && report.has_8bit
                && !is_8bit_announced =>
            {
                Some(Reply::new(500, (6, 0), "8-bit message without body=8bitmime"))
            }
            None => None,
        };
        match refusal {
            Some(reply) => Err(self.refuse_message(reply)),
            None => Ok(report),
        }
    }

    pub(super) fn decided(&mut self, decision: Decision) -> Action {
        let results = match decision {
            Decision::All(result) => vec![result],
            Decision::Each(results) => results,
        };
        let is_ours =
            results.iter().all(|result| result.as_ref().is_err_and(DataRefusal::is_our_fault));
        let results = results.into_iter();
        let reply = combine(results.map(|result| result.map_err(|refusal| Reply::from(&refusal))));
        if reply.is_positive() {
            self.good_transactions = self.good_transactions.saturating_add(1);
            return Action::Reply(reply);
        }
        // A full disk here must not make a bad client of a good one, and in the end turn our
        // temporary failure into a permanent one.
        if is_ours { self.reject(reply) } else { self.refuse_message(reply) }
    }

    fn refuse_message(&mut self, reply: Reply) -> Action {
        self.bad_transactions = self.bad_transactions.saturating_add(1);
        let is_offence = self.config.service == Service::Delivery;
        self.is_slow |= is_offence && self.config.slows_offenders;
        self.reject(reply)
    }

    /// RFC 1870 §6.1; x.2.3 where the limit is lower here than is usual.
    pub(super) fn too_big(&self, size_bytes: u64) -> Reply {
        let enhanced = if size_bytes < SIZE_BYTES_DEFAULT { (2, 3) } else { (3, 4) };
        let max = self.config.size_bytes_max;
        Reply::new(552, enhanced, format!("message too big, at most {max} bytes"))
    }
}

fn is_literal(path: &ForwardPath) -> bool {
    matches!(path, ForwardPath::Mailbox(Mailbox { host: Host::Ip(_), .. }))
}

/// When a message may go; `None` if that is past or too far away. RFC 4865 §4.
fn release(hold: &Hold, now: UnixSeconds) -> Option<FutureRelease> {
    let (at, request) = match hold {
        Hold::For(secs) => (now.plus_secs((*secs).into()), format!("for;{secs}")),
        Hold::Until { at, text } => (*at, format!("until;{text}")),
    };
    (1..=i64::from(HOLD_SECS_MAX))
        .contains(&at.secs_since(now))
        .then_some(FutureRelease { at, request })
}
