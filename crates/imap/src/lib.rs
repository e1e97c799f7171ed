//! IMAP4rev1 and IMAP4rev2: types, parser, printer and the server side of a session.
//!
//! - [`types`]: commands and what they are made of.
//! - [`wire`]: bytes in any pieces into whole commands, messages kept out of memory.
//! - [`parser`]: a command's text into a [`types::Command`], one file per family.
//! - [`print`]: responses appended to a byte buffer.
//! - [`session`]: what a server says in which state, driven by calls and answered by actions.
//! - [`client`]: responses read back, for tests and benches.
//!
//! It has no sockets, files, clock or randomness, knows no store and checks no password: the driver
//! does that when the session asks. It is no client library either.
//!
//! ```
//! use mox_imap::parser::{self, Options};
//! use mox_imap::types::{Command, Name};
//!
//! let text = b"a1 UID FETCH 1:* (FLAGS BODY.PEEK[HEADER.FIELDS (Subject)])";
//! let head = parser::head(text).unwrap();
//! assert_eq!((head.tag, head.name), ("a1", Some(Name::UidFetch)));
//! let command = parser::arguments(&head, text, Options::default()).unwrap();
//! assert!(matches!(command, Command::Fetch(fetch) if fetch.items.len() == 2));
//! ```
#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]

pub mod client;
pub mod parser;
pub mod print;
pub mod session;
pub mod types;
pub mod wire;
