//! Mending what is derived, or was damaged: nothing here loses a message.
//!
//! Work over all messages goes in steps, each a commit of its own, so that deliveries come between
//! them; a step that is cut off is simply done again.

mod message;
mod numbers;

pub(crate) use numbers::{bump_uidvalidity, fix_numbers, reassign_uids, recount};

use crate::Result;
use crate::account::Account;

/// What is mended step by step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repair {
    /// What was made of messages by reading them: parts, preview, subject, dates.
    Parse,
    /// The same, only of those whose parts cannot be read from the database.
    ParseBroken,
    /// Sizes of messages, and with them what mailboxes count.
    Sizes,
    /// Which thread a message belongs to, decided anew in the order in which they came.
    Threads,
}

/// What came of a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RepairStep {
    /// Where the next step goes on; `None` when all is done.
    pub next: Option<i64>,
    /// Messages looked at.
    pub looked: u64,
    /// Messages that were changed.
    pub changed: u64,
    /// Messages that cannot be read.
    pub unreadable: u64,
}

impl Account {
    /// Mends some messages behind `after`, which is 0 at first and then what the last step said.
    /// Blocks: the messages are read here, and what changed is written in one commit.
    ///
    /// # Errors
    ///
    /// If the database cannot be read or written.
    pub fn repair_some(&self, what: Repair, after: i64) -> Result<RepairStep> {
        message::step(self, what, after)
    }
}
