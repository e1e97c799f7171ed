//! Copies of a data directory, put back and checked.
//!
//! [`backup`] copies configuration and data while a server uses them: each database as of one moment,
//! then the body files that its copy names. The manifest, with a checksum of every file, is
//! written last. [`verify_backup`] finds every damaged byte of a backup and says which message it hits,
//! and [`verify_data`] looks for contradictions in any data directory. [`restore`] puts a backup back, wholly or an account of it.
//!
//! Not here: talking to the running server. Whoever calls sees to it that no body file goes
//! meanwhile.

mod error;
mod file;
mod fix;
mod layout;
mod manifest;
mod restore;
mod run;
mod verify;

pub use error::{BackupError, Result};
pub use fix::fix;
pub use layout::{ACCOUNTS, CONFIG, DATA, MOVED, QUEUE, REPORTS};
pub use manifest::{CHUNK_BYTES, End, Entry, FORMAT, Header, Kind, MANIFEST, Manifest};
pub use restore::{
    AccountRestored, Message, Restored, check_unused, messages, restore, restore_account,
};
pub use run::{Options, Outcome, Progress, Source, backup};
pub use verify::{Target, Verified, verify_backup, verify_data, verify_files};
