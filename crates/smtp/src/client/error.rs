//! Why a message or a session did not get through.

use std::fmt;

use crate::{Reply, ReplyError};

/// What was under way. In the order of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// The server speaks first. RFC 5321 §3.1.
    Greeting,
    /// RFC 5321 §4.1.1.1.
    Ehlo,
    /// RFC 5321 §4.1.1.1.
    Helo,
    /// RFC 3207 §4.
    StartTls,
    /// RFC 4954 §4.
    Auth,
    /// RFC 5321 §4.1.1.5.
    Rset,
    /// RFC 5321 §4.1.1.2.
    Mail,
    /// RFC 5321 §4.1.1.3.
    Rcpt,
    /// The command, and the message up to its final dot. RFC 5321 §4.1.1.4.
    Data,
    /// A part of the message that is not its last. RFC 3030 §2.
    Bdat,
    /// The final dot or the last part was sent, and is to be answered.
    End,
    /// RFC 5321 §4.1.1.10.
    Quit,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Greeting => "greeting",
            Self::Ehlo => "EHLO",
            Self::Helo => "HELO",
            Self::StartTls => "STARTTLS",
            Self::Auth => "AUTH",
            Self::Rset => "RSET",
            Self::Mail => "MAIL FROM",
            Self::Rcpt => "RCPT TO",
            Self::Data => "DATA",
            Self::Bdat => "BDAT",
            Self::End => "end of data",
            Self::Quit => "QUIT",
        })
    }
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The server closed it.
    Closed,
    /// The server kept silent, or did not read, for too long. RFC 5321 §4.5.3.2.
    TimedOut,
    /// The network or TLS failed.
    Broken,
}

/// What kind of trouble it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The server said no.
    Refused,
    /// The server takes no more recipients in this transaction: those left go into another one, on
    /// the same connection. RFC 5321 §4.5.3.1.10.
    TooManyRcpts,
    /// The server said that it does not take messages of this size. RFC 1870 §6.1.
    TooBig,
    /// The message has 8-bit data, and the server does not say that it takes that. RFC 6152 §3.
    No8BitMime,
    /// The message has binary data, and the server does not say that it takes that. RFC 3030 §3.
    NoBinaryMime,
    /// The server offers CHUNKING and does not know BDAT, of which RFC 3030 §2 knows nothing: over
    /// another connection, without chunks, it may take the message.
    NoChunking,
    /// An address or a header field needs SMTPUTF8, which the server does not have. RFC 6531 §3.2.
    NoSmtpUtf8,
    /// The message must stay under TLS, which the server does not promise. RFC 8689 §4.2.1.
    NoRequireTls,
    /// No mechanism that both sides have and that may be used here.
    NoMechanism,
    /// The login went wrong on our side: the server is not to be trusted.
    Sasl(mox_sasl::ClientError),
    /// A reply of a kind that has no place here.
    Unexpected,
    /// Bytes that are no reply.
    BadReply(ReplyError),
    /// The connection was lost.
    Lost(Loss),
}

/// Why a message did not get to a recipient, or why there is no session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryError {
    /// Whether there is no sense in trying again.
    pub is_permanent: bool,
    /// The reply that said so, if one did.
    pub reply: Option<Reply>,
    /// What was under way.
    pub command: Step,
    /// What kind of trouble it was.
    pub kind: ErrorKind,
}

impl DeliveryError {
    /// The server refused a command. RFC 5321 §4.2.1: 5yz is permanent.
    pub(super) fn refused(command: Step, reply: Reply) -> Self {
        let is_permanent = reply.is_permanent();
        Self { is_permanent, reply: Some(reply), command, kind: ErrorKind::Refused }
    }

    /// The server did not keep to the protocol: it may another time.
    pub(super) fn unexpected(command: Step, reply: Reply) -> Self {
        Self { reply: Some(reply), ..Self::ours(command, ErrorKind::Unexpected) }
    }

    /// The server does not know what it offered.
    pub(super) fn no_chunking(command: Step, reply: Reply) -> Self {
        Self { reply: Some(reply), ..Self::ours(command, ErrorKind::NoChunking) }
    }

    /// Something that may pass and that no reply tells of.
    pub(super) fn ours(command: Step, kind: ErrorKind) -> Self {
        Self { is_permanent: false, reply: None, command, kind }
    }

    /// The reply code, if a reply was what failed it.
    #[must_use]
    pub fn code(&self) -> Option<u16> {
        self.reply.as_ref().map(|reply| reply.code)
    }

    /// The enhanced status code: the server's or, where no reply is to blame, ours. RFC 3463.
    #[must_use]
    pub fn enhanced(&self) -> Option<(u8, u16, u16)> {
        if let Some(reply) = &self.reply {
            let class = u8::try_from(reply.code / 100).ok()?;
            return reply.enhanced.map(|enhanced| (class, enhanced.subject, enhanced.detail));
        }
        let (subject, detail) = match self.kind {
            ErrorKind::TooBig => (3, 4),
            ErrorKind::No8BitMime | ErrorKind::NoBinaryMime => (6, 3),
            ErrorKind::NoChunking => (5, 1),
            ErrorKind::NoSmtpUtf8 => (6, 7),
            ErrorKind::NoRequireTls => (7, 30),
            ErrorKind::NoMechanism => (7, 0),
            ErrorKind::Sasl(_) => (7, 0),
            ErrorKind::Lost(_) => (4, 2),
            ErrorKind::BadReply(_) | ErrorKind::Unexpected => (5, 0),
            ErrorKind::Refused | ErrorKind::TooManyRcpts => return None,
        };
        Some((if self.is_permanent { 5 } else { 4 }, subject, detail))
    }

    /// Whether the server may have taken the message although we did not hear of it: another try
    /// may deliver it twice, which SMTP cannot prevent. RFC 1047.
    #[must_use]
    pub fn is_in_doubt(&self) -> bool {
        self.command == Step::End
            && matches!(
                self.kind,
                ErrorKind::Lost(_) | ErrorKind::BadReply(_) | ErrorKind::Unexpected
            )
    }
}

/// In one line, without control characters.
impl fmt::Display for DeliveryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.kind {
            ErrorKind::Refused | ErrorKind::TooManyRcpts | ErrorKind::Unexpected => "",
            ErrorKind::TooBig => "message too big for the server",
            ErrorKind::No8BitMime => "server does not support 8-bit data",
            ErrorKind::NoBinaryMime => "server does not support binary data",
            ErrorKind::NoChunking => "server does not know bdat",
            ErrorKind::NoSmtpUtf8 => "server does not support smtputf8",
            ErrorKind::NoRequireTls => "server does not support requiretls",
            ErrorKind::NoMechanism => "no login mechanism in common",
            ErrorKind::Sasl(error) => return write!(f, "{}: {error}", self.command),
            ErrorKind::BadReply(error) => return write!(f, "{}: {error}", self.command),
            ErrorKind::Lost(Loss::Closed) => "server closed the connection",
            ErrorKind::Lost(Loss::TimedOut) => "server did not answer in time",
            ErrorKind::Lost(Loss::Broken) => "connection lost",
        };
        match (&self.reply, self.kind) {
            (Some(reply), ErrorKind::Unexpected) => {
                write!(f, "{}: unexpected reply {reply}", self.command)
            }
            (Some(reply), _) => write!(f, "{}: {reply}", self.command),
            (None, _) => write!(f, "{}: {text}", self.command),
        }
    }
}

impl std::error::Error for DeliveryError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(error: &DeliveryError, text: &str, enhanced: Option<(u8, u16, u16)>) {
        assert_eq!((error.to_string().as_str(), error.enhanced()), (text, enhanced));
    }

    /// RFC 3463 §3; RFC 1047.
    #[test]
    fn errors_tell_what_happened() {
        let refused = DeliveryError::refused(Step::Rcpt, Reply::new(550, (1, 1), "no\nsuch"));
        check(&refused, "RCPT TO: 550 5.1.1 no", Some((5, 1, 1)));
        assert!(refused.is_permanent && !refused.is_in_doubt());
        let bare = DeliveryError::refused(Step::Mail, Reply::bare(451, "later"));
        check(&bare, "MAIL FROM: 451 later", None);
        assert!(!bare.is_permanent);
        let odd = DeliveryError::unexpected(Step::End, Reply::bare(354, "go on"));
        check(&odd, "end of data: unexpected reply 354 go on", None);
        assert!(!odd.is_permanent && odd.is_in_doubt());
        let lost = |step| DeliveryError::ours(step, ErrorKind::Lost(Loss::TimedOut));
        check(&lost(Step::End), "end of data: server did not answer in time", Some((4, 4, 2)));
        assert!(lost(Step::End).is_in_doubt() && !lost(Step::Data).is_in_doubt());
        let utf8 = ErrorKind::NoSmtpUtf8;
        let utf8 = DeliveryError { is_permanent: true, ..DeliveryError::ours(Step::Mail, utf8) };
        check(&utf8, "MAIL FROM: server does not support smtputf8", Some((5, 6, 7)));
    }
}
