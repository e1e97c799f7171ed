//! Mail into and out of accounts: mbox, Maildir, zip and tar files.
//!
//! Every source of mail is read into the same [`Event`]s, which an [`import()`] takes over into an
//! account. Between a client and the server they travel as bytes ([`FrameWriter`], [`read_frames`]): the
//! client reads the files, so the server opens nothing that somebody names to it.
//!
//! This crate knows no sockets and no configuration, and does not read from other servers.

mod body;
mod event;
mod export;
#[cfg(test)]
mod fixture;
mod flag_fields;
mod frames;
mod from_line;
mod import;
mod lines;
mod maildir_name;
mod names;
mod read;

pub use body::{BODY_MEMORY_MAX, Body, BodyWriter};
pub use event::{Event, Item, Sink, SourceError};
pub use export::{
    ExportError, ExportOptions, ExportWatcher, Exported, Format, Target, export,
    write_mbox_message, write_with_line_feeds,
};
pub use flag_fields::flag_word;
pub use frames::{FrameWriter, read_frames};
pub use import::{
    BATCH_BYTES, BATCH_MESSAGES, ImportError, ImportOptions, Notice, Outcome, Summary, Watcher,
    import,
};
pub use names::{decode_utf7, mailbox_name, role_by_name};
pub use read::{
    ENTRIES_MAX, EXPANDED_BYTES_MAX, FOLDER_ENTRIES_MAX, Kind, MESSAGE_BYTES_MAX, Meter, Metered,
    PATH_BYTES_MAX, ReadOptions, read_directory, read_mbox, read_path, read_tar, read_tgz,
    read_zip, size_of,
};
