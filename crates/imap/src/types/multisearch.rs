//! What a search over several mailboxes asks for.
//!
//! Source: RFC 7377 §2.

use super::{MailboxFilter, ParsedKey, ReturnOptions};

/// The most filters of one ESEARCH. Ours: there are seven kinds, and each takes a list of names.
pub const SEARCH_SOURCES_MAX: usize = 100;

/// ESEARCH. RFC 7377 §2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MultiSearch {
    /// Where to look; without IN the selected mailbox. RFC 7377 §2.2.
    pub sources: Vec<MailboxFilter>,
    /// The RETURN options, ALL without RETURN.
    pub options: ReturnOptions,
    /// The program.
    pub key: ParsedKey,
}
