//! What the tests of this crate share.

use std::io::Read as _;
use std::path::Path;

use mox_base::MailboxName;

use crate::event::Item;
use crate::read::ReadOptions;

/// Reading into the Inbox, with room for messages of 10 MB.
pub(crate) fn options(dir: &Path) -> ReadOptions {
    ReadOptions {
        target: MailboxName::inbox(),
        temporary: dir.to_owned(),
        message_bytes_max: 10_000_000,
        strip: None,
    }
}

/// The content of a message.
pub(crate) fn content(mut item: Item) -> Vec<u8> {
    let mut bytes = Vec::new();
    item.content.read_to_end(&mut bytes).unwrap();
    bytes
}
