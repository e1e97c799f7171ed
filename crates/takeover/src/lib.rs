//! Taking over the data directory of the original mox: accounts with all their numbers.
//!
//! The original's files are only read, under a shared lock, and must not be in use. What an account has
//! there goes to an account of ours with the same UIDs, modseqs and threads, so that mail programs
//! notice nothing ([`Account::open`], [`Account::copy`]). What cannot be taken is told, never passed over
//! in silence ([`Summary`]), also before anything is written ([`Account::check`]).

mod account;
mod auth;
mod check;
mod file;
pub mod files;
mod junk;
mod known;
mod mailbox;
mod message;
mod messages;
mod original;
mod password;
mod queue;
mod ranges;
mod records;
mod report;
mod reports;
mod sending;
mod stray;
mod summary;
mod target;

pub use account::{Account, Watch};
pub use auth::{Auth, CERTIFICATE_BYTES_MAX};
pub use file::{FileSource, TakeoverError};
pub use messages::{BATCH_BYTES_MAX, BATCH_MESSAGES_MAX};
pub use original::{Original, Targets, Wanted};
pub use queue::{QueueAccount, QueueFiles};
pub use report::Report;
pub use reports::{BATCH_ROW_BYTES_MAX, BATCH_ROWS_MAX, Reports};
pub use summary::{NOTE_BYTES_MAX, NOTES_MAX, Notes, Summary};
pub use target::{REPORT, Target, TargetError, finish, is_finished, is_original, is_unfinished};
