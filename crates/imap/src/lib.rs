//! IMAP types, parser, printer and server session without sockets.
#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]

pub mod parser;
pub mod print;
pub mod types;
pub mod wire;
