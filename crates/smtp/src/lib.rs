//! SMTP grammar, replies and sessions without sockets.
#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]

pub mod client;
pub mod command;
mod data;
mod data_writer;
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

pub use data::{DataFault, DataProgress, DataReader, DataReport, OVERFLOW_BYTES_MAX};
pub use data_writer::{DataWriter, stuff};
pub use line::{COMMAND_LINE_BYTES_MAX, CommandLine, command_line};
pub use path::{ForwardPath, Mailbox, PATH_BYTES_MAX, PEDANTIC_LOCALPART_BYTES_MAX, ReversePath};
pub use reply::{
    Enhanced, REPLY_LINE_BYTES_MAX, REPLY_LINE_BYTES_TAKEN_MAX, REPLY_LINES_MAX, Reply,
};
pub use reply_parser::{ReplyError, ReplyParser};
pub use xtext::{decode_xtext, encode_xtext};
