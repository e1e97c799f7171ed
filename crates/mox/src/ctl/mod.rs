//! The control socket: commands to a running server from programs on the same machine.
//!
//! A Unix socket `ctl` in the data directory, open to those who may read its owner's files: there
//! is no other check. The server greets with `ctlv0`. A command is a word on its own line, its
//! parameters follow, one a line; the answer is `ok` or one line of error text, after which the
//! server closes. Data goes in pieces: a decimal count on a line and so many bytes, each
//! piece answered by `ok`; a count of 0 ends it and is not answered.
//!
//! Known commands: `stop`, `restart`, `confinement`, `doctor`, `setaccountpassword`, `loglevels`, `setloglevels`, `tlspubkeylist`,
//! `tlspubkeyget`, `tlspubkeyadd`, `tlspubkeyrm`, `deliver`, `rebuildsearch`, `searchprogress`,
//! `retrain`, `junkprogress`, `junkcheck`, `decisions`, `import`, `backup`, those that mend (`repair.rs`), those of the queue (`queue/mod.rs`), those that change domains and accounts (`admin.rs`), `imapserve`, after which the socket speaks IMAP and no more
//! commands are taken.

mod admin;
mod backup;
mod client;
mod commands;
mod decisions;
mod deliver;
mod doctor;
mod imapserve;
mod import;
mod junk;
mod keys;
mod parameters;
pub(crate) mod queue;
mod repair;
mod search;
mod socket;
#[cfg(test)]
pub(crate) mod tests;
mod wire;

pub(crate) use admin::AliasWords;
pub use backup::{DONE, HOLD_MAX, MORE};
pub use client::Client;
pub(crate) use import::parse_summary;
pub(crate) use junk::score_text;
pub use repair::Appended;
pub use socket::{CONNECTIONS_MAX, Control, SOCKET};
pub use wire::{
    COMMANDS_MAX, DATA_BYTES_MAX, GREETING, LINE_BYTES_MAX, LINE_WAIT, PIECE_BYTES_MAX, Wire,
    WireError,
};
