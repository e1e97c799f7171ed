//! Mail into and out of accounts: mbox, Maildir, zip and tar files.

mod body;
mod event;
#[cfg(test)]
mod fixture;
mod flag_fields;
mod from_line;
mod lines;
mod maildir_name;
mod names;
mod read;

pub use body::{BODY_MEMORY_MAX, Body, BodyWriter};
pub use event::{Event, Item, Sink, SourceError};
pub use names::{decode_utf7, mailbox_name, role_by_name};
pub use read::{
    ENTRIES_MAX, EXPANDED_BYTES_MAX, FOLDER_ENTRIES_MAX, Kind, Meter, Metered, PATH_BYTES_MAX,
    ReadOptions, read_directory, read_mbox, read_path, read_tar, read_tgz, read_zip, size_of,
};
