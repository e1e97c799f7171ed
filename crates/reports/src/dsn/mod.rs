//! Delivery status notifications: messages that tell what became of another message.
//!
//! Sources: RFC 3461 §6 (when, and what), RFC 3464 (the fields), RFC 6522 (the parts), RFC 6533 (UTF-8).
//! [`compose`] makes one, [`parse`] reads those of others.
//!
//! Not here: whether one may be sent, and to whom.

mod address;
mod compose;
mod parse;

use std::net::IpAddr;

use mox_base::{Address, DateTime, Domain, Host, Localpart, UnixSeconds};

pub use compose::{COMMENT_CHARS_MAX, HEADER_RETURNED_BYTES_MAX, RETURNED_BYTES_MAX, compose};
pub use parse::{DsnError, ParsedDsn, ParsedRecipient, RECIPIENTS_MAX, STATUS_BYTES_MAX, parse};

/// What happened to the message for a recipient. RFC 3464 §2.3.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// It could not be delivered, and this will not be tried again.
    Failed,
    /// It could not be delivered yet.
    Delayed,
    /// It was delivered.
    Delivered,
    /// It was given to a system that may not report.
    Relayed,
    /// It was delivered and sent on to several more.
    Expanded,
}

impl Action {
    const ALL: [Self; 5] =
        [Self::Failed, Self::Delayed, Self::Delivered, Self::Relayed, Self::Expanded];

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Delayed => "delayed",
            Self::Delivered => "delivered",
            Self::Relayed => "relayed",
            Self::Expanded => "expanded",
        }
    }

    fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| word.eq_ignore_ascii_case(action.as_str()))
    }
}

/// An enhanced status code: class 2, 4 or 5, subject, detail. RFC 3463 §2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Status {
    /// 2, 4 or 5.
    pub class: u8,
    /// 0 to 999.
    pub subject: u16,
    /// 0 to 999.
    pub detail: u16,
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.class, self.subject, self.detail)
    }
}

impl Status {
    /// `status-code = DIGIT "." 1*3DIGIT "." 1*3DIGIT`. RFC 3464 §2.3.4.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split('.').map(|number| {
            let is_number = (1..=3).contains(&number.len());
            let is_number = is_number && number.bytes().all(|b| b.is_ascii_digit());
            number.parse::<u16>().ok().filter(|_| is_number)
        });
        let (class, subject, detail) = (numbers.next()??, numbers.next()??, numbers.next()??);
        let is_class = matches!(class, 2 | 4 | 5) && numbers.next().is_none();
        is_class.then_some(Self { class: u8::try_from(class).ok()?, subject, detail })
    }
}

/// An address of an envelope, which may be at an address literal. RFC 5321 §4.1.2.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EnvelopeAddress {
    /// Decoded.
    pub localpart: Localpart,
    /// Where it is.
    pub host: Host,
}

impl From<Address> for EnvelopeAddress {
    fn from(address: Address) -> Self {
        Self { localpart: address.localpart, host: Host::Domain(address.domain) }
    }
}

/// Which characters a notification may have. RFC 6533 §3, §4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// ASCII: for any server.
    Ascii,
    /// UTF-8 in headers and addresses: only for servers with SMTPUTF8 and 8BITMIME.
    Utf8,
}

/// A notification to be made.
#[derive(Clone, Debug)]
pub struct Dsn {
    /// Who reports.
    pub reporting_mta: Domain,
    /// Author of the notification, such as postmaster.
    pub from: Address,
    /// The sender of the message that it is about.
    pub to: EnvelopeAddress,
    /// For the notification itself, without `<>`.
    pub message_id: String,
    /// When it is made.
    pub date: DateTime,
    /// From [`mox_mime::random_boundary`].
    pub boundary: String,
    /// The message that it is about.
    pub original: Original,
    /// What became of it for whom; at least one.
    pub recipients: Vec<Recipient>,
}

/// The message that a notification is about.
#[derive(Clone, Debug, Default)]
pub struct Original {
    /// Its Message-ID with `<>`; empty if it has none.
    pub message_id: String,
    /// Its Subject, decoded.
    pub subject: String,
    /// When we took it.
    pub arrived: UnixSeconds,
    /// `ENVID`, decoded. RFC 3461 §4.4.
    pub envid: Option<String>,
    /// What its sender asked for, as `for;N` or `until;T`. RFC 4865 §4.1.
    pub future_release: Option<String>,
    /// Its header, or all of it, with CRLF line ends.
    pub content: Vec<u8>,
    /// Whether `content` is all of it. Over [`RETURNED_BYTES_MAX`] only its header is returned.
    pub is_whole: bool,
}

/// What became of a message for one recipient. RFC 3464 §2.3.
#[derive(Clone, Debug)]
pub struct Recipient {
    /// Whom we tried to deliver to.
    pub rcpt: EnvelopeAddress,
    /// `ORCPT` as `type;address`, decoded. RFC 3461 §4.2.
    pub orcpt: Option<String>,
    /// What happened.
    pub action: Action,
    /// The code for it.
    pub status: Status,
    /// What went wrong, in words; empty if nothing did.
    pub explanation: String,
    /// The reply of the other server, line by line, with its code; empty if there is none.
    pub reply_lines: Vec<String>,
    /// The other server.
    pub remote_mta: Option<(String, Option<IpAddr>)>,
    /// When it was last tried.
    pub last_attempt: Option<UnixSeconds>,
    /// Until when it will be tried; of delays.
    pub will_retry_until: Option<UnixSeconds>,
}

#[cfg(test)]
mod tests;
