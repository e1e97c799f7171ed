//! What was taken and what was not.

use std::collections::BTreeMap;

/// How many notes of one kind are kept; the rest are counted.
pub const NOTES_MAX: usize = 20;

/// What became of an account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// What was taken, by kind.
    pub taken: BTreeMap<&'static str, u64>,
    /// What ours has no place for, by kind: it stays in the original's files.
    pub left: BTreeMap<&'static str, u64>,
    /// What is not as it was, or damaged, by kind: how many, and some of them.
    pub notes: BTreeMap<&'static str, (u64, Vec<String>)>,
}

impl Summary {
    pub(crate) fn took(&mut self, what: &'static str, count: u64) {
        *self.taken.entry(what).or_default() += count;
    }

    pub(crate) fn leave(&mut self, what: &'static str, count: u64) {
        if count > 0 {
            *self.left.entry(what).or_default() += count;
        }
    }

    pub(crate) fn note(&mut self, what: &'static str, which: String) {
        let (count, some) = self.notes.entry(what).or_default();
        *count += 1;
        if some.len() < NOTES_MAX {
            some.push(which);
        }
    }

    /// Whether mail is missing from what was taken.
    #[must_use]
    pub fn has_lost_messages(&self) -> bool {
        self.notes.contains_key(LOST)
    }
}

/// The kind of notes about messages that could not be taken.
pub(crate) const LOST: &str = "messages that could not be taken";
