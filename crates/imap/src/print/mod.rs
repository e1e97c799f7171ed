//! Responses into bytes, one file per family.
//!
//! Everything is appended to a `Vec<u8>`: no allocation per message or value.

mod fetch;
mod mailbox;
mod reply;
mod structure;
mod text;
mod url;

pub(crate) use fetch::section_spec;
pub use fetch::{FetchLine, Naming, set, vanished, vanished_earlier};
pub use mailbox::{ListLine, MailboxStatus, flags_line, status};
pub use reply::{Code, Status, tagged, untagged};
pub use structure::{body_structure, envelope, part_structure};
pub use text::{NUL_SHOWN, astring, flags, literal_start, mailbox, nstring, number, string};
pub use url::{UrlFetchLine, bad_url, gen_url_auth};
