//! The server's side of a connection, without the connection.
//!
//! A driver feeds a [`Session`] with lines and answers; the session replies, or asks. Whatever
//! takes time, touches the world or depends on configuration is a [`Question`]. Each [`Action`]
//! says which [`Input`] comes next, so a driver is one loop:
//!
//! - [`Action::Reply`], [`Action::Challenge`] and [`Action::Read`]: write (if there is something;
//!   flush when no further whole line is in the buffer), read a line → [`Input::Line`].
//! - [`Action::Ask`]: find out → [`Input::Answer`].
//! - [`Action::Delay`]: wait → [`Input::DelayOver`].
//! - [`Action::StartTls`]: if bytes are buffered after the command's line → [`Input::EarlyBytes`],
//!   *without* having written; else write, flush, shake hands → [`Input::TlsEstablished`].
//! - [`Action::ReadData`]: write, flush, feed the [`DataReader`] → [`Input::DataEnd`].
//! - [`Action::ReadChunk`]: feed the [`ChunkReader`] → [`Input::ChunkEnd`].
//! - [`Action::SkipChunk`]: read as many bytes, write, read a line → [`Input::Line`].
//! - [`Action::Close`]: write and close.
//!
//! While [`Session::is_slow`], the driver waits a second before each read and writes a byte a
//! second: a price for guessing passwords and sending spam.

mod auth;
mod chunking;
mod combine;
mod hello;
mod session;
mod transaction;
mod verdict;

use std::time::Duration;

use mox_base::{Domain, Host, UnixSeconds};
use mox_sasl::ChannelBindings;

pub use auth::{LoginAttempt, LoginFailure, LoginVerdict};
pub use chunking::ChunkEnd;
pub use combine::combine;
pub use session::Session;
pub use verdict::{DataRefusal, RcptRefusal, SenderRefusal};

use crate::command::{MailCommand, RcptCommand};
use crate::{ChunkReader, DataReader, DataReport, ForwardPath, Reply, ReversePath};

/// The most recipients of one transaction. RFC 5321 §4.5.3.1.10 wants 100 at least.
pub const RCPTS_MAX: usize = 1_000;

/// How many transactions may fail after their data on a connection that has had no good one.
pub const BAD_TRANSACTIONS_MAX: u32 = 10;

/// How many commands may be wrong on one connection before it is closed.
pub const ERRORS_MAX: u32 = 100;

/// Failed logins on a connection after which it becomes slow, and each further one is delayed.
pub const FAILED_LOGINS_FREE: u32 = 3;

/// The longest delay before a login.
pub const LOGIN_DELAY_MAX: Duration = Duration::from_secs(60);

/// `Received` fields after which a message is taken to go in circles. RFC 5321 §6.3.
pub const RECEIVED_MAX: u32 = 100;

/// How long a message may be held back, in seconds: 60 days. RFC 4865 §3.
pub const HOLD_SECS_MAX: u32 = 60 * 24 * 3_600;

/// The size limit where none is configured, in bytes.
pub const SIZE_BYTES_DEFAULT: u64 = 100 * 1024 * 1024;

/// Who is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Other servers, port 25: mail for addresses here.
    Delivery,
    /// Mail programs of our users, ports 465 and 587: mail to anyone, after a login. RFC 6409.
    Submission,
}

/// What a listener is set up for.
#[derive(Clone, Debug)]
pub struct Config {
    /// Who is served.
    pub service: Service,
    /// What we call ourselves.
    pub hostname: Domain,
    /// The largest message taken, in bytes. RFC 1870.
    pub size_bytes_max: u64,
    /// See [`Syntax`](crate::command::Syntax).
    pub is_pedantic: bool,
    /// Delivery: a client whose message is refused is served slowly from then on.
    pub slows_offenders: bool,
    /// Whether a certificate is at hand for STARTTLS.
    pub has_starttls: bool,
    /// Whether REQUIRETLS is offered, once TLS is on. RFC 8689.
    pub has_requiretls: bool,
    /// Submission: no login without TLS. RFC 8314 §3.
    pub login_needs_tls: bool,
    /// Delivery: a second recipient only if the sender is verified (SPF), so that a failure for
    /// one of them can be reported to somebody who did send the message.
    pub second_rcpt_needs_verified_sender: bool,
}

/// What matters of the TLS connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// For the -PLUS mechanisms.
    pub bindings: ChannelBindings,
    /// The login address that the client's certificate is registered for. The client is logged in
    /// as that at once.
    pub certificate_username: Option<String>,
}

/// What a driver tells the session.
#[derive(Debug)]
pub enum Input<'a> {
    /// A line, without its end.
    Line(&'a [u8]),
    /// [`CommandLine::TooLong`](crate::CommandLine::TooLong).
    LineTooLong,
    /// Nothing came for too long.
    TimedOut,
    /// We are shutting down.
    ShuttingDown,
    /// The answer to [`Action::Ask`].
    Answer(Answer),
    /// The wait of [`Action::Delay`] is over.
    DelayOver,
    /// After [`Action::StartTls`]: TLS is on.
    TlsEstablished(Tls),
    /// After [`Action::StartTls`]: bytes were sent without waiting for our reply.
    EarlyBytes,
    /// After [`Action::ReadData`].
    DataEnd(DataEnd),
    /// After [`Action::ReadChunk`].
    ChunkEnd(ChunkEnd),
}

/// How the data ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataEnd {
    /// At CRLF `.` CRLF.
    Complete(DataReport),
    /// [`DataProgress::Overrun`](crate::DataProgress::Overrun).
    Overrun,
    /// Read to its end, but there was no room to keep it.
    StorageFull,
    /// Read to its end, but it could not be kept.
    StorageFailed,
}

/// What a driver must do.
#[derive(Debug)]
pub enum Action {
    /// Write, then read a line.
    Reply(Reply),
    /// Write these bytes, a challenge of a login, then read a line. Not for traces.
    Challenge(Vec<u8>),
    /// Read a line.
    Read,
    /// Find out.
    Ask(Question),
    /// Wait.
    Delay(Duration),
    /// Write, then start TLS.
    StartTls(Reply),
    /// Write, then read data by this reader.
    ReadData {
        /// 354.
        reply: Reply,
        /// Set to the size limit.
        reader: DataReader,
    },
    /// Read a chunk by this reader, which knows how much that is. RFC 3030 §2.
    ReadChunk {
        /// To be given back.
        reader: Box<ChunkReader>,
        /// Whether a message starts with it; what there was of another is to be dropped.
        is_first: bool,
        /// Whether the message ends with it.
        is_last: bool,
    },
    /// Read as many bytes and forget them, then write, then read a line.
    SkipChunk {
        /// Bytes that follow the line.
        chunk_bytes: u64,
        /// Why.
        reply: Reply,
    },
    /// Write if there is something, and close the connection.
    Close(Option<Reply>),
}

/// What the session must know to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// Does DNS know of this name, or may it? Asked for HELO in delivery.
    ClientExists(Domain),
    /// A question of the login; see [`mox_sasl::Question`].
    Sasl(mox_sasl::Question),
    /// The client proved to be this user. May it log in?
    Login {
        /// In NFC.
        username: String,
    },
    /// May the message be from there? Submission: does it belong to the account? Delivery: can
    /// the domain get mail?
    Sender(ReversePath),
    /// Is the sender verified (SPF), so that there may be a second recipient? Not asked for the
    /// null sender.
    SenderVerified(ReversePath),
    /// Do we take mail for this recipient?
    Rcpt(ForwardPath),
    /// The data is there: what becomes of it?
    Decide {
        /// To whom and from whom.
        envelope: Box<Envelope>,
        /// What is known of the data.
        report: DataReport,
    },
}

/// The answer to a [`Question`] of the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// `false` only for a definite no.
    ClientExists(bool),
    /// See [`mox_sasl::Answer`].
    Sasl(mox_sasl::Answer),
    /// Whether the account may be used.
    Login(LoginVerdict),
    /// Whether the sender will do.
    Sender(Result<(), SenderRefusal>),
    /// Whether the sender is verified.
    SenderVerified(bool),
    /// Whether the recipient will do.
    Rcpt(Result<(), RcptRefusal>),
    /// What became of the message.
    Decision(Decision),
}

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The same for all recipients.
    All(Result<(), DataRefusal>),
    /// For each recipient, in the order of [`Envelope::rcpts`]. Where some are refused and some
    /// not, the client is told that all is well: the driver must have made a report for the sender.
    Each(Vec<Result<(), DataRefusal>>),
}

/// From whom and to whom, and how it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// What the client calls itself; `None` where that does not matter.
    pub client_name: Option<Host>,
    /// Whether it said EHLO.
    pub is_esmtp: bool,
    /// As whom it is logged in.
    pub username: Option<String>,
    /// Whether it came by TLS.
    pub is_tls: bool,
    /// Sender and parameters.
    pub mail: MailCommand,
    /// The recipients, at least one when the data is decided upon.
    pub rcpts: Vec<RcptCommand>,
    /// Submission: when the message may be sent, if not at once.
    pub release: Option<FutureRelease>,
    /// How urgent it is, from -9 to 9; what is asked for on submission, and of others no more than
    /// 0. RFC 6710 §4.
    pub priority: i8,
}

/// When a message that is held back may be sent. RFC 4865.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FutureRelease {
    /// The moment, at most [`HOLD_SECS_MAX`] ahead.
    pub at: UnixSeconds,
    /// What was asked for: `for;` and seconds, or `until;` and a time.
    pub request: String,
}

impl Envelope {
    /// Whether an address in it needs SMTPUTF8: one with a localpart that is not ASCII. A domain
    /// can always be given in A-labels. RFC 6531 §3.2.
    #[must_use]
    pub fn needs_utf8(&self) -> bool {
        let sender = self.mail.reverse_path.mailbox();
        let rcpts = self.rcpts.iter().filter_map(|rcpt| rcpt.forward_path.mailbox());
        sender.into_iter().chain(rcpts).any(|mailbox| mailbox.localpart.is_international())
    }
}
