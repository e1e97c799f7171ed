//! An IMAP client, for taking over accounts from other servers.
//!
//! It reads: folders with their roles and subscriptions, and messages with flags and dates. Bodies are
//! streamed, and whatever the server sends is bounded. It is no mail program: it changes nothing on the
//! server, not even flags, and keeps no copy of a folder.
//!
//! What was taken over is remembered in a [`Journal`], so that the next time only new messages come.

#[cfg(test)]
mod binding_tests;
mod error;
mod fetch;
mod folder;
mod journal;
mod login;
mod session;
#[cfg(test)]
mod tests;

pub use error::ClientError;
pub use fetch::{Fetched, Listed, WINDOW_MESSAGES};
pub use folder::{FOLDERS_MAX, Folder};
pub use journal::{Journal, JournalError, Mark};
pub use login::{Credentials, TlsMode};
pub use session::{COMMAND_WAIT, Selected, Session};
