//! What is queued: one message for all its recipients, and a row for each of them.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use mox_base::UnixSeconds;
use mox_smtp::dsn::{Notify, Ret};
use mox_smtp::{Mailbox, ReversePath};
use serde::{Deserialize, Serialize};

use crate::body::Body;
use crate::outgoing::SendingLimits;

/// The most recipients of one message.
pub const RCPTS_MAX: usize = 20_000;

/// Attempts after which a message has failed, unless it says otherwise.
pub const ATTEMPTS_MAX: u32 = 8;

/// The most attempts of one message whose results are kept; the oldest go first.
pub const RESULTS_MAX: usize = 100;

/// The most bytes kept of what a server answered to an attempt.
pub const RESULT_TEXT_BYTES_MAX: usize = 4_096;

/// One queued recipient of a message. Never used again, and kept when the message is retired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MessageId(pub i64);

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a message is to us.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Somebody's message.
    #[default]
    Mail,
    /// A report about another message, with the null sender: never reported about itself.
    Notice,
    /// A DMARC aggregate report.
    DmarcReport,
    /// A TLS report.
    TlsReport,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] =
        [Self::Mail, Self::Notice, Self::DmarcReport, Self::TlsReport];

    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Mail => 0,
            Self::Notice => 1,
            Self::DmarcReport => 2,
            Self::TlsReport => 3,
        }
    }
}

/// When a message may leave at the earliest, as its sender asked. RFC 4865 §4.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// The time.
    pub at: UnixSeconds,
    /// As it was asked for: `for;` with seconds or `until;` with a date.
    pub request: String,
}

/// A message to add.
#[derive(Debug)]
pub struct NewMessage {
    /// Whose message it is.
    pub account: String,
    /// What goes on the wire, with all header fields that we added.
    pub body: Body,
    /// A form for peers with SMTPUTF8, of a notice.
    pub utf8_body: Option<Body>,
    /// There are bytes above 127. RFC 6152.
    pub has_8bit: bool,
    /// There are lines too long for text, or bare CR or LF. RFC 3030 §3.
    pub is_binary: bool,
    /// There is UTF-8 in header fields. RFC 6531.
    pub needs_utf8: bool,
    /// With angle brackets; empty if there is none.
    pub message_id: String,
    /// Decoded.
    pub subject: String,
    /// RFC 3461 §4.3.
    pub ret: Option<Ret>,
    /// Decoded. RFC 3461 §4.4.
    pub envid: Option<String>,
    /// -9 to 9, the higher the sooner. RFC 6710.
    pub priority: i8,
    /// `Some(true)`: REQUIRETLS (RFC 8689 §2); `Some(false)`: `TLS-Required: No` (RFC 8689 §5).
    pub require_tls: Option<bool>,
    /// FUTURERELEASE.
    pub release: Option<Release>,
    /// For webhooks.
    pub extra: BTreeMap<String, String>,
    /// What it is to us.
    pub kind: Kind,
    /// In place of [`ATTEMPTS_MAX`].
    pub attempts_max: Option<u32>,
    /// The name of the transport to take, whatever the routes say.
    pub transport: Option<String>,
    /// What the account may send, if that is limited; of what is not, nothing is counted either.
    pub limits: Option<SendingLimits>,
    /// At least one, at most [`RCPTS_MAX`].
    pub recipients: Vec<NewRecipient>,
}

impl NewMessage {
    /// A message with nothing special about it and no recipients yet.
    #[must_use]
    pub fn new(account: &str, body: Body) -> Self {
        Self {
            account: account.to_owned(),
            body,
            utf8_body: None,
            has_8bit: false,
            is_binary: false,
            needs_utf8: false,
            message_id: String::new(),
            subject: String::new(),
            ret: None,
            envid: None,
            priority: 0,
            require_tls: None,
            release: None,
            extra: BTreeMap::new(),
            kind: Kind::Mail,
            attempts_max: None,
            transport: None,
            limits: None,
            recipients: Vec::new(),
        }
    }
}

/// A recipient of a message to add.
#[derive(Clone, Debug)]
pub struct NewRecipient {
    /// Where reports go; differs between recipients that have a FromID.
    pub mail_from: ReversePath,
    /// To whom.
    pub rcpt_to: Mailbox,
    /// The token in `mail_from` that names this row, unique among what is queued and retired.
    pub from_id: Option<String>,
    /// RFC 3461 §4.1.
    pub notify: Option<Notify>,
    /// As `type;address`. RFC 3461 §4.2.
    pub orcpt: Option<String>,
}

impl NewRecipient {
    /// A recipient with nothing special about it.
    #[must_use]
    pub fn new(mail_from: ReversePath, rcpt_to: Mailbox) -> Self {
        Self { mail_from, rcpt_to, from_id: None, notify: None, orcpt: None }
    }
}

/// A queued recipient, with all that is known of it but the body.
#[derive(Clone, Debug, PartialEq)]
pub struct Queued {
    /// Which.
    pub id: MessageId,
    /// Shared by recipients that were added together with the same sender; absent for one alone.
    pub base_id: Option<MessageId>,
    /// Shared by all recipients that were added together.
    pub body_id: i64,
    /// When it was added.
    pub queued: UnixSeconds,
    /// Whose it is.
    pub account: String,
    /// Where reports go.
    pub mail_from: ReversePath,
    /// To whom.
    pub rcpt_to: Mailbox,
    /// See [`NewRecipient::from_id`].
    pub from_id: Option<String>,
    /// RFC 3461 §4.1.
    pub notify: Option<Notify>,
    /// RFC 3461 §4.2.
    pub orcpt: Option<String>,
    /// -9 to 9. RFC 6710.
    pub priority: i8,
    /// See [`NewMessage::require_tls`].
    pub require_tls: Option<bool>,
    /// See [`NewMessage::transport`].
    pub transport: Option<String>,
    /// No attempts are made.
    pub is_held: bool,
    /// An attempt is being made.
    pub is_leased: bool,
    /// Attempts begun.
    pub attempts: u32,
    /// In place of [`ATTEMPTS_MAX`].
    pub attempts_max: Option<u32>,
    /// The earliest time of the next attempt.
    pub next_attempt: UnixSeconds,
    /// When the last attempt began.
    pub last_attempt: Option<UnixSeconds>,
    /// Oldest first, at most [`RESULTS_MAX`].
    pub results: Vec<Attempt>,
    /// The addresses tried, in order, by host.
    pub dialed_ips: BTreeMap<String, Vec<IpAddr>>,
    /// What it is to us.
    pub kind: Kind,
    /// Bytes on the wire.
    pub size: u64,
    /// With angle brackets; empty if there is none.
    pub message_id: String,
    /// Decoded.
    pub subject: String,
    /// RFC 6152.
    pub has_8bit: bool,
    /// RFC 3030 §3.
    pub is_binary: bool,
    /// RFC 6531.
    pub needs_utf8: bool,
    /// There is a form for peers with SMTPUTF8.
    pub has_utf8_body: bool,
    /// RFC 3461 §4.3.
    pub ret: Option<Ret>,
    /// RFC 3461 §4.4.
    pub envid: Option<String>,
    /// RFC 4865.
    pub release: Option<Release>,
    /// For webhooks.
    pub extra: BTreeMap<String, String>,
}

impl Queued {
    /// The number of attempts after which it has failed.
    #[must_use]
    pub fn attempts_allowed(&self) -> u32 {
        self.attempts_max.unwrap_or(ATTEMPTS_MAX)
    }
}

/// What came of an attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Attempt {
    /// When it began, in seconds of Unix time.
    pub start: i64,
    /// How long it took.
    pub duration_ms: u64,
    /// The message was delivered.
    pub is_success: bool,
    /// Of the reply, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<u16>,
    /// Of the reply, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enhanced: Option<(u8, u16, u16)>,
    /// What was answered, or what went wrong; at most [`RESULT_TEXT_BYTES_MAX`].
    #[serde(skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// The host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote_mta: Option<String>,
    /// Its address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote_ip: Option<IpAddr>,
}

impl Attempt {
    /// The text of an attempt that a crash cut off.
    pub const INTERRUPTED: &'static str = "interrupted: the server was stopped";

    /// The text of an attempt that there was none of.
    pub const DROPPED: &'static str = "dropped by an administrator";
}

/// The longest start of `text` of at most `max` bytes.
pub(crate) fn truncated(text: &str, max: usize) -> &str {
    text.get(..text.floor_char_boundary(max)).unwrap_or(text)
}
