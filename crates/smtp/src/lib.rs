//! SMTP grammar, replies and sessions, without sockets.
//!
//! [`command`] reads commands, [`Reply`] and [`ReplyParser`] write and read replies,
//! [`DataReader`], [`ChunkReader`] and [`DataWriter`] carry messages, [`server`] and [`client`] hold the sessions;
//! [`trace`] and [`submission`] make the header fields that a server adds. RFC 5321 with
//! PIPELINING, SIZE, STARTTLS, AUTH, 8BITMIME, ENHANCEDSTATUSCODES, SMTPUTF8, LIMITS, CHUNKING,
//! BINARYMIME, DSN, REQUIRETLS and MT-PRIORITY; RFC 6409 for submission, with FUTURERELEASE.
//!
//! Not here: sockets, time-outs and TLS belong to drivers; who may log in, which addresses exist
//! and what becomes of a message are questions that a session asks ([`server::Question`]).
//!
//! ```
//! use std::sync::Arc;
//! use mox_base::{Domain, Rng, UnixSeconds};
//! use mox_smtp::server::{Action, Answer, Config, Input, Question, Service, Session};
//!
//! struct NoChance;
//! impl Rng for NoChance {
//!     fn fill(&self, _: &mut [u8]) {}
//! }
//!
//! let config = Config {
//!     service: Service::Delivery,
//!     hostname: Domain::parse("mail.example").unwrap(),
//!     size_bytes_max: 1_000_000,
//!     is_pedantic: false,
//!     slows_offenders: true,
//!     has_starttls: false,
//!     has_requiretls: true,
//!     login_needs_tls: true,
//!     second_rcpt_needs_verified_sender: true,
//! };
//! let now = UnixSeconds(1_795_164_932);
//! let mut session = Session::new(Arc::new(config), "id1", None);
//! assert!(matches!(session.greet(), Action::Reply(reply) if reply.code == 220));
//! let action = session.handle(Input::Line(b"EHLO client.example"), now, &NoChance);
//! assert!(matches!(action, Action::Reply(reply) if reply.code == 250));
//! let action = session.handle(Input::Line(b"MAIL FROM:<a@client.example>"), now, &NoChance);
//! assert!(matches!(action, Action::Ask(Question::Sender(_))));
//! let action = session.handle(Input::Answer(Answer::Sender(Ok(()))), now, &NoChance);
//! assert!(matches!(action, Action::Reply(reply) if reply.to_bytes() == b"250 2.1.0 ok\r\n"));
//! ```
#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]

mod chunks;
pub mod client;
pub mod command;
mod data;
mod data_writer;
pub mod dsn;
mod lex;
mod line;
mod path;
pub mod redact;
mod reply;
mod reply_parser;
pub mod server;
pub mod simulate;
pub mod submission;
pub mod trace;
mod xtext;

pub use chunks::ChunkReader;
pub use data::{DataFault, DataProgress, DataReader, DataReport, OVERFLOW_BYTES_MAX};
pub use data_writer::{BareLineEnd, DataWriter, stuff};
pub use dsn::{Notify, Ret};
pub use line::{COMMAND_LINE_BYTES_MAX, CommandLine, command_line};
pub use path::{ForwardPath, Mailbox, PATH_BYTES_MAX, PEDANTIC_LOCALPART_BYTES_MAX, ReversePath};
pub use reply::{
    Enhanced, REPLY_LINE_BYTES_MAX, REPLY_LINE_BYTES_TAKEN_MAX, REPLY_LINES_MAX, Reply,
};
pub use reply_parser::{ReplyError, ReplyParser};
pub use xtext::{decode_xtext, encode_xtext};
